package symmetry

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ropewalk/tensor"
)

// ErrFamily reports tensors whose names are of no family that is known.
var ErrFamily = errors.New("symmetry: the names of the tensors are of no network that is known")

// NamesOptions say what names and shapes don't. Nil and the zero value are the default.
type NamesOptions struct {
	// HeadSize is the width of a head of attention; 0 is not known, unless a norm of heads
	// tells. Without it heads do not move.
	HeadSize int
}

// DeriveNames finds what can be put in another order, and multiplied, in a network of
// which only the tensors are there, by their names and shapes:
//
//	ResNets             of torchvision (also ResNeXt), and for CIFAR with shortcuts that
//	                    pad (option A) or convolve; ReLU
//	VGG, AlexNet        of torchvision, and VGG with one full layer; ReLU
//	MobileNet-v2, -v3   of torchvision
//	LeNets              convN and fcN; ReLU, and no other tensors
//	ViT                 of torchvision and of Hugging Face; GELU
//	BERT, GPT-2         of Hugging Face, with tied words or without; GELU
//	Llama, Mistral, …   of Hugging Face: RMS norms, rotary embeddings, grouped-query
//	                    heads, gated layers, also as experts (Mixtral, Qwen-MoE,
//	                    DeepSeek-MoE), Phi with fused layers; SiLU
//
// It believes names: a network with the names of one of these but other functions
// between has other symmetries, and nothing here can tell. Where there is a graph, use
// [Derive]. A set of other names is an error that wraps [ErrFamily]. Tensors that the
// family does not have do not move, nor what has an axis as long as one of theirs.
func DeriveNames(set *tensor.Set, o *NamesOptions) (*Spec, error) {
	if o == nil {
		o = &NamesOptions{}
	}
	for _, f := range families {
		for _, t := range set.All() {
			prefix, ok := strings.CutSuffix(t.Name, f.mark)
			if !ok || prefix != "" && !strings.HasSuffix(prefix, ".") {
				continue
			}
			n := &named{deriver: newDeriver(set), prefix: prefix, options: o, norms: 1e-5}
			f.trace(n)
			if n.err != nil {
				return nil, fmt.Errorf("symmetry: as %s: %w", f.name, n.err)
			}
			n.strangers()
			return n.collect()
		}
	}
	var known []string
	for _, f := range families {
		known = append(known, fmt.Sprintf("%s by a %s", f.name, f.mark))
	}
	return nil, fmt.Errorf("%w; known are %s", ErrFamily, strings.Join(known, ", "))
}

// families are tried in order, each by a tensor that it has.
var families = []struct {
	name, mark string
	trace      func(*named)
}{
	{"a Llama", "layers.0.self_attn.q_proj.weight", (*named).llama},
	{"a Phi", "layers.0.self_attn.qkv_proj.weight", (*named).llama},
	{"a GPT-2", "h.0.attn.c_attn.weight", (*named).gpt2},
	{"a BERT", "encoder.layer.0.attention.self.query.weight", (*named).bert},
	{"a ViT of Hugging Face", "encoder.layer.0.attention.attention.query.weight", (*named).hfViT},
	{"a ViT of torchvision", "encoder.layers.encoder_layer_0.self_attention.in_proj_weight", (*named).vit},
	{"a MobileNet", "features.0.0.weight", (*named).mobileNet},
	{"a ResNet", "layer1.0.conv1.weight", (*named).resnet},
	{"a VGG or AlexNet", "features.0.weight", (*named).sequential},
	{"a LeNet", "fc1.weight", (*named).lenet},
}

// noWeight reports whether a tensor has no part in what the network computes, or none
// that an order of neurons could change: counters, masks, and tables of positions.
func noWeight(t *tensor.Tensor) bool {
	if !t.DType.IsFloat() || len(t.Shape) == 0 {
		return true
	}
	for _, end := range []string{".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq"} {
		if strings.HasSuffix(t.Name, end) {
			return true
		}
	}
	return false
}

// strangers has axes stay that are as long as one of a tensor that the family does not
// have: an adapter, or a second head, may be where they are.
func (n *named) strangers() {
	lengths := map[int64]string{}
	for _, t := range n.set.All() {
		if _, ok := n.weights[t.Name]; ok || noWeight(t) {
			continue
		}
		v := n.weight(t.Name)
		n.fixAll(v, n.reason("a tensor that the family does not have"))
		for _, d := range t.Shape {
			if _, ok := lengths[d]; !ok && d > 1 {
				lengths[d] = t.Name
			}
		}
	}
	if len(lengths) == 0 {
		return
	}
	for _, t := range n.set.All() {
		v := n.weights[t.Name]
		if v == nil {
			continue
		}
		for i, d := range t.Shape {
			if name, ok := lengths[d]; ok {
				n.fixAxis(&v.axes[i], n.reason(fmt.Sprintf("as long as an axis of %q, which the family does not have", name)))
			}
		}
	}
}

// A named is a network that is followed by the names of its tensors. After an error
// it goes on with what there is, and keeps the first.
type named struct {
	*deriver
	prefix  string
	options *NamesOptions
	norms   float64 // what batch norms add to variances
	err     error
}

func (n *named) fail(format string, args ...any) {
	if n.err == nil {
		n.err = fmt.Errorf("%w: "+format, append([]any{ErrFamily}, args...)...)
	}
}

// optional returns a tensor of that rank, or nil.
func (n *named) optional(name string, rank int) *value {
	t := n.set.Lookup(n.prefix + name)
	if t == nil {
		return nil
	}
	if len(t.Shape) != rank || slices.Contains(t.Shape, 0) {
		n.fail("%s is %v, want %d axes", n.prefix+name, t.Shape, rank)
		return nil
	}
	return n.weight(n.prefix + name)
}

// tensor returns a tensor that has to be there; its first axes have the given lengths, or
// any where these are 0.
func (n *named) tensor(name string, lengths ...int64) *value {
	v := n.optional(name, len(lengths))
	if v == nil {
		n.fail("there is no %s", n.prefix+name)
		shape := slices.Clone(tensor.Shape(lengths))
		for i := range shape {
			shape[i] = max(shape[i], 1)
		}
		return still(shape, spatial)
	}
	for i, want := range lengths {
		if want != 0 && v.shape[i] != want {
			n.fail("%s is %v, want %d along axis %d", n.prefix+name, v.shape, want, i)
			return still(v.shape, spatial)
		}
	}
	return v
}

// linear is x·wᵀ + b, with w (out, in).
func (n *named) linear(x *value, name string) *value {
	in := x.shape[len(x.shape)-1]
	w := n.tensor(name+".weight", 0, in)
	if w.shape[1] != in {
		return still(tensor.Shape{x.shape[0], 1}, spatial)
	}
	y := n.matMul(x, n.transpose(w, []int{1, 0}))
	if b := n.optional(name+".bias", 1); b != nil && b.shape[0] == w.shape[0] {
		y = n.mix(y, b, sums)
	}
	return y
}

// conv is a convolution of an image, whose groups follow from the shapes.
func (n *named) conv(x *value, name string) *value {
	w := n.tensor(name+".weight", 0, 0, 0, 0)
	in := x.shape[1]
	if in%w.shape[1] != 0 || w.shape[0]%(in/w.shape[1]) != 0 {
		n.fail("%s is %v, and gets %d channels", n.prefix+name+".weight", w.shape, in)
		return x
	}
	bias := n.optional(name+".bias", 1)
	if bias != nil && bias.shape[0] != w.shape[0] {
		n.fail("%s is %v, want %d", n.prefix+name+".bias", bias.shape, w.shape[0])
		return x
	}
	shape := slices.Clone(x.shape)
	shape[1] = w.shape[0]
	return n.deriver.conv(x, w, bias, in/w.shape[1], false, false, shape)
}

// norm is a batch norm of torch.
func (n *named) norm(x *value, name string) *value {
	c := x.shape[1]
	part := func(p string) *value { return n.tensor(name+p, c) }
	scale, shift, mean, variance := part(".weight"), part(".bias"), part(".running_mean"), part(".running_var")
	if n.err != nil {
		return x
	}
	return n.batchNorm(x, scale, shift, mean, variance, n.norms)
}

func (n *named) relu(x *value) *value {
	x.each(n.scales.positive)
	return x
}

// pixels is the side of the images that stand for all.
const pixels = 2

func (n *named) image(c int64) *value {
	return still(tensor.Shape{1, c, pixels, pixels}, n.reason("input of the network"))
}

// flat makes a list of an image whose sides are not known, for a layer of that width.
func (n *named) flat(x *value, width int64) *value {
	c := x.shape[1]
	if width%c != 0 {
		n.fail("a layer of %d inputs follows on %d channels", width, c)
		return still(tensor.Shape{1, width}, spatial)
	}
	list := &value{shape: tensor.Shape{1, c, width / c}, axes: []axis{x.axes[0], x.axes[1], {why: spatial}}}
	return n.reshape(n.keep(list), tensor.Shape{1, width})
}

// finish has the outputs stay.
func (n *named) finish(x *value) { n.fixAll(x, n.reason("output of the network")) }

// resnet follows the blocks layerL.B.
func (n *named) resnet() {
	x := n.image(n.tensor("conv1.weight", 0, 0, 0, 0).shape[1])
	x = n.relu(n.norm(n.conv(x, "conv1"), "bn1"))
	for l := 1; n.err == nil && n.has(fmt.Sprintf("layer%d.0.conv1.weight", l)); l++ {
		for b := 0; n.err == nil && n.has(fmt.Sprintf("layer%d.%d.conv1.weight", l, b)); b++ {
			x = n.residual(x, fmt.Sprintf("layer%d.%d.", l, b))
		}
	}
	head := "fc"
	if !n.has("fc.weight") {
		head = "linear"
	}
	n.finish(n.linear(n.flat(x, x.shape[1]), head))
}

func (n *named) has(name string) bool { return n.set.Lookup(n.prefix+name) != nil }

func (n *named) residual(x *value, at string) *value {
	y := n.norm(n.conv(x, at+"conv1"), at+"bn1")
	for k := 2; n.has(fmt.Sprintf("%sconv%d.weight", at, k)); k++ {
		y = n.norm(n.conv(n.relu(y), fmt.Sprintf("%sconv%d", at, k)), fmt.Sprintf("%sbn%d", at, k))
	}
	short := x
	switch grown := y.shape[1] - x.shape[1]; {
	case n.has(at + "downsample.0.weight"):
		short = n.norm(n.conv(x, at+"downsample.0"), at+"downsample.1")
	case n.has(at + "shortcut.0.weight"):
		short = n.norm(n.conv(x, at+"shortcut.0"), at+"shortcut.1")
	case grown > 0 && grown%2 == 0:
		short = n.pad(x, 1, int(grown/2), int(grown/2), true)
	}
	if !short.shape.Equal(y.shape) {
		n.fail("block %s adds %d channels to %d", n.prefix+at, y.shape[1], short.shape[1])
		return y
	}
	return n.relu(n.mix(y, short, sums))
}

var numbered = regexp.MustCompile(`^(features|classifier)\.(\d{1,4})\.weight$`)

// sequential follows features.N, and classifier.N or classifier.
func (n *named) sequential() {
	layers := map[string][]int{}
	for _, t := range n.set.All() {
		name, _ := strings.CutPrefix(t.Name, n.prefix)
		if m := numbered.FindStringSubmatch(name); m != nil {
			k, _ := strconv.Atoi(m[2]) // digits, and few
			layers[m[1]] = append(layers[m[1]], k)
		}
	}
	slices.Sort(layers["features"])
	slices.Sort(layers["classifier"])
	x := n.image(n.tensor("features.0.weight", 0, 0, 0, 0).shape[1])
	for _, k := range layers["features"] {
		name := fmt.Sprintf("features.%d", k)
		if n.has(name + ".running_var") {
			x = n.relu(n.norm(x, name))
			continue
		}
		x = n.conv(x, name)
		if !n.has(fmt.Sprintf("features.%d.running_var", k+1)) {
			x = n.relu(x)
		}
	}
	var full []string
	for _, k := range layers["classifier"] {
		full = append(full, fmt.Sprintf("classifier.%d", k))
	}
	if len(full) == 0 {
		full = []string{"classifier"}
	}
	x = n.flat(x, n.tensor(full[0]+".weight", 0, 0).shape[1])
	for i, name := range full {
		x = n.linear(x, name)
		if i < len(full)-1 {
			x = n.relu(x)
		}
	}
	n.finish(x)
}

// tokens is the length of the sequences that stand for all.
const tokens = 2

// llama follows layers.L.self_attn and layers.L.mlp.
func (n *named) llama() {
	table := n.tensor("embed_tokens.weight", 0, 0)
	n.fixAxis(&table.axes[0], n.reason("rows that are looked up by number"))
	width := table.shape[1]
	x := n.keep(&value{shape: tensor.Shape{tokens, width}, axes: []axis{{why: spatial}, table.axes[1]}})
	for l := 0; n.err == nil && n.has(fmt.Sprintf("layers.%d.input_layernorm.weight", l)); l++ {
		at := fmt.Sprintf("layers.%d.", l)
		x = n.mix(x, n.attention(n.rms(x, at+"input_layernorm"), at+"self_attn."), sums)
		y := n.rms(x, at+"post_attention_layernorm")
		x = n.mix(x, n.feedForward(y, at), sums)
	}
	x = n.rms(x, "norm")
	head := strings.TrimSuffix(n.prefix, "model.") + "lm_head.weight"
	w := n.set.Lookup(head)
	switch {
	case w == nil: // tied
		n.finish(n.matMul(x, n.transpose(table, []int{1, 0})))
	case len(w.Shape) == 2 && w.Shape[1] == width:
		n.perhapsTied(table, n.weight(head))
		n.finish(n.matMul(x, n.transpose(n.weight(head), []int{1, 0})))
	default:
		n.fail("%s is %v, want %d along axis 1", head, w.Shape, width)
	}
}

func (n *named) rms(x *value, name string) *value {
	return n.affine(n.normalised(x), n.tensor(name+".weight", x.shape[len(x.shape)-1]), nil, len(x.shape)-1)
}

// heads say what attention does with queries and keys; q, k are norms of heads, or "".
type heads struct {
	size   int64 // 0: not known
	rotary bool
	q, k   string
}

// attention has rotary embeddings, and heads that share keys and values.
func (n *named) attention(x *value, at string) *value {
	h := heads{size: int64(n.options.HeadSize), rotary: true, q: at + "q_norm.weight", k: at + "k_norm.weight"}
	if norm := n.optional(h.q, 1); norm != nil && h.size == 0 {
		h.size = norm.shape[0]
	}
	if n.has(at + "q_proj.weight") {
		q, k, v := n.linear(x, at+"q_proj"), n.linear(x, at+"k_proj"), n.linear(x, at+"v_proj")
		return n.linear(n.attend(q, k, v, h), at+"o_proj")
	}
	all := n.linear(x, at+"qkv_proj")
	wide := n.tensor(at+"o_proj.weight", x.shape[1], 0).shape[1]
	narrow := (all.shape[1] - wide) / 2
	if n.err != nil || narrow < 1 || wide+2*narrow != all.shape[1] {
		n.fail("%s makes %d numbers, which are no queries of %d and two of something", n.prefix+at+"qkv_proj", all.shape[1], wide)
		return x
	}
	return n.linear(n.attend(n.part(all, 0, wide), n.part(all, wide, narrow), n.part(all, wide+narrow, narrow), h), at+"o_proj")
}

// attend returns what attention with heads makes of queries, keys and values, (tokens,
// heads·size): a list like the queries.
func (n *named) attend(q, k, v *value, h heads) *value {
	size, wide, narrow := h.size, q.shape[1], k.shape[1]
	if size <= 0 || wide%size != 0 || narrow%size != 0 || v.shape[1] != narrow || wide%narrow != 0 {
		why := n.reason("heads of a size that is not known")
		for _, y := range []*value{q, k, v} {
			n.fixAll(y, why)
		}
		return still(tensor.Shape{tokens, wide}, why)
	}
	count, kv := wide/size, narrow/size
	turned := func(y *value, h64 int64, norm string) *value { // (heads, tokens, size)
		y = n.reshape(y, tensor.Shape{tokens, h64, size})
		if norm != "" {
			if w := n.optional(norm, 1); w != nil && w.shape[0] == size {
				y = n.affine(n.normalised(y), w, nil, 2)
			}
		}
		if h.rotary {
			n.fixAxis(&y.axes[2], n.reason("rotary embeddings"))
		}
		return n.transpose(y, []int{1, 0, 2})
	}
	repeated := func(y *value) *value {
		if count == kv {
			return y
		}
		y = n.expand(n.reshape(y, tensor.Shape{kv, 1, tokens, size}), tensor.Shape{kv, count / kv, tokens, size})
		return n.reshape(y, tensor.Shape{count, tokens, size})
	}
	q, k = turned(q, count, h.q), repeated(turned(k, kv, h.k))
	v = repeated(n.transpose(n.reshape(v, tensor.Shape{tokens, kv, size}), []int{1, 0, 2}))
	s := n.matMul(q, n.transpose(k, []int{0, 2, 1}))
	n.freeze(s) // softmax
	y := n.transpose(n.matMul(n.unscaled(s), v), []int{1, 0, 2})
	return n.reshape(y, tensor.Shape{tokens, wide})
}

// feedForward is one gated layer, or a sum of several with weights of their own.
func (n *named) feedForward(x *value, at string) *value {
	gated := func(gate, up, down string) *value {
		g := n.linear(x, gate)
		n.freeze(g)
		u := n.linear(x, up)
		if !g.shape.Equal(u.shape) {
			n.fail("%s and %s are of different widths", n.prefix+gate, n.prefix+up)
			return x
		}
		return n.linear(n.mix(n.unscaled(g), u, products), down)
	}
	usual := func(at string) *value { return gated(at+"gate_proj", at+"up_proj", at+"down_proj") }
	if n.has(at + "mlp.gate_up_proj.weight") { // of Phi
		both := n.linear(x, at+"mlp.gate_up_proj")
		width := both.shape[1] / 2
		if both.shape[1]%2 != 0 {
			n.fail("%s has an odd number of rows", n.prefix+at+"mlp.gate_up_proj.weight")
			return x
		}
		g := n.plain(n.part(both, 0, width))
		return n.linear(n.mix(g, n.part(both, width, width), products), at+"mlp.down_proj")
	}
	if n.has(at + "mlp.gate_proj.weight") {
		return usual(at + "mlp.")
	}
	y := n.unscaled(still(x.shape, spatial))
	first := true
	sum := func(z *value) {
		if first {
			y, first = z, false
			return
		}
		y = n.mix(y, z, sums)
	}
	for _, block := range []string{at + "mlp.", at + "block_sparse_moe."} {
		if n.has(block + "gate.weight") {
			n.fixAll(n.linear(x, block+"gate"), n.reason("experts, which are tensors of their own"))
		}
		for e := 0; n.err == nil; e++ {
			expert := fmt.Sprintf("%sexperts.%d.", block, e)
			switch {
			case n.has(expert + "gate_proj.weight"):
				sum(usual(expert))
				continue
			case n.has(expert + "w1.weight"):
				sum(gated(expert+"w1", expert+"w3", expert+"w2"))
				continue
			}
			break
		}
		if n.has(block + "shared_expert.gate_proj.weight") {
			sum(usual(block + "shared_expert."))
		}
		if n.has(block + "shared_experts.gate_proj.weight") {
			sum(usual(block + "shared_experts."))
		}
		if n.has(block + "shared_expert_gate.weight") {
			n.fixAll(n.linear(x, block+"shared_expert_gate"), n.reason("a gate"))
		}
	}
	if first {
		n.fail("layer %s has no gated layer", n.prefix+at)
		return x
	}
	return y
}
