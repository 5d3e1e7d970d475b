package symmetry

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ropewalk/tensor"
)

// ErrFamily reports tensors whose names are of no family that is known.
var ErrFamily = errors.New("symmetry: the names of the tensors are of no network that is known")

// ErrHeads reports [NamesOptions] that do not fit the tensors, or each other.
var ErrHeads = errors.New("symmetry: no such heads of attention")

// NamesOptions say what names and shapes don't. Nil and the zero value are the default.
//
// Heads of attention move only where their size is known: from HeadSize, Heads, or a norm
// of heads. Else they stay, for the reason [UnknownHeads]. Numbers that do not fit the
// tensors, or each other, are an error that wraps [ErrHeads].
type NamesOptions struct {
	// HeadSize is the width of a head of attention, that of its queries; 0 is not known.
	HeadSize int
	// Heads is the number of heads of attention in a layer, that of their queries; 0 is
	// not known.
	Heads int
	// KeyValueHeads is the number of heads of keys and values in a layer, where heads share
	// them; 0 is not known. It is only checked: it follows from the size.
	KeyValueHeads int
}

// UnknownHeads is the reason for which heads of attention stay, if [NamesOptions] do not
// tell their number.
const UnknownHeads = "heads of attention, whose number is not known"

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
			n := &named{deriver: newDeriver(set), prefix: prefix, options: o, norms: 1e-5, strange: map[string]bool{}}
			f.trace(n)
			if n.err != nil {
				return nil, fmt.Errorf("symmetry: as %s: %w", f.name, n.err)
			}
			n.strangers()
			s, err := n.collect()
			if err != nil {
				return nil, err
			}
			n.addExperts(s)
			if err := s.Fits(set); err != nil {
				return nil, fmt.Errorf("symmetry: internal error: %w", err)
			}
			return s, nil
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
		n.strange[t.Name] = true
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
	norms   float64         // what batch norms add to variances
	strange map[string]bool // tensors that the family does not have
	experts []string        // blocks that have some, such as "layers.0.mlp."
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

func (n *named) has(name string) bool { return n.set.Lookup(n.prefix+name) != nil }
