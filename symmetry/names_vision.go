package symmetry

import (
	"fmt"

	"ropewalk/tensor"
)

// plain is a function of each number that takes no factors.
func (n *named) plain(x *value) *value {
	n.freeze(x)
	return n.unscaled(x)
}

// odd is a function with f(-x) = -f(x).
func (n *named) odd(x *value) *value {
	x.each(n.scales.unit)
	return x
}

// pooled are the means of an image's channels, (1, channels, 1, 1).
func (n *named) pooled(x *value) *value {
	out := still(tensor.Shape{1, x.shape[1], 1, 1}, spatial)
	copy(out.axes[:2], x.axes)
	return n.keep(out)
}

// add is a sum of two values of one shape.
func (n *named) add(x, y *value, at string) *value {
	if !x.shape.Equal(y.shape) {
		n.fail("%s adds %v to %v", n.prefix+at, y.shape, x.shape)
		return x
	}
	return n.mix(x, y, sums)
}

// numberOf counts the modules at + "0", at + "1", … as far as they are followed by
// one of some endings.
func (n *named) numberOf(at string, endings ...string) int {
	for k := 0; ; k++ {
		found := false
		for _, e := range endings {
			found = found || n.has(fmt.Sprintf("%s%d%s", at, k, e))
		}
		if !found {
			return k
		}
	}
}

// mobileNet follows features.N.conv (v2) or features.N.block (v3). Strides are not
// known: a block that ends on as many channels as it begins with is taken to have a
// shortcut, and if it has none the groups are only fewer than they could be.
func (n *named) mobileNet() {
	last := n.numberOf("features.", ".0.weight", ".conv.0.0.weight", ".block.0.0.weight") - 1
	v3 := n.has("features.1.block.0.0.weight")
	if last < 2 || !v3 && !n.has("features.1.conv.0.0.weight") {
		n.fail("there is no %sfeatures.1.conv.0.0.weight, nor a block", n.prefix)
		return
	}
	// The first blocks of v3 have ReLU, the others HardSwish. Which are the first
	// follows from their number: 15 in the large network, 11 in the small one.
	if v3 {
		n.norms = 1e-3
	}
	relus := map[int]int{16: 6, 12: 3}[last]
	layer := func(x *value, name string, act func(*value) *value) *value {
		return act(n.norm(n.conv(x, name+".0"), name+".1"))
	}
	none := func(x *value) *value { return x }
	x := layer(n.image(n.tensor("features.0.0.weight", 0, 0, 0, 0).shape[1]), "features.0", n.plain)
	for i := 1; n.err == nil && i < last; i++ {
		y := x
		if !v3 {
			at := fmt.Sprintf("features.%d.conv.", i)
			k := n.numberOf(at, ".0.weight")
			for j := range k {
				y = layer(y, fmt.Sprintf("%s%d", at, j), n.plain)
			}
			y = n.norm(n.conv(y, fmt.Sprintf("%s%d", at, k)), fmt.Sprintf("%s%d", at, k+1))
			if n.err == nil && y.shape.Equal(x.shape) {
				y = n.mix(x, y, sums)
			}
			x = y
			continue
		}
		act := n.plain
		if i <= relus {
			act = n.relu
		}
		at := fmt.Sprintf("features.%d.block.", i)
		k := n.numberOf(at, ".0.weight", ".fc1.weight")
		for j := range k {
			name := fmt.Sprintf("%s%d", at, j)
			switch {
			case n.has(name + ".fc1.weight"):
				y = n.squeezeExcite(y, name)
			case j == k-1:
				y = layer(y, name, none)
			default:
				y = layer(y, name, act)
			}
		}
		if n.err == nil && y.shape.Equal(x.shape) {
			y = n.mix(y, x, sums)
		}
		x = y
	}
	if n.err != nil {
		return
	}
	x = layer(x, fmt.Sprintf("features.%d", last), n.plain)
	x = n.flat(x, x.shape[1])
	if v3 {
		x = n.plain(n.linear(x, "classifier.0"))
		n.finish(n.linear(x, "classifier.3"))
		return
	}
	n.finish(n.linear(x, "classifier.1"))
}

func (n *named) squeezeExcite(x *value, name string) *value {
	y := n.relu(n.conv(n.pooled(x), name+".fc1"))
	y = n.plain(n.conv(y, name+".fc2"))
	if y.shape[1] != x.shape[1] {
		n.fail("%s multiplies %d channels by %d", n.prefix+name, x.shape[1], y.shape[1])
		return x
	}
	return n.mix(x, y, products)
}

// lenet follows convN, with bnN where it is there, and fcN. Networks of many kinds
// have such names in a part of them, so here all tensors have to be known.
func (n *named) lenet() {
	var x *value
	k := 1
	for ; n.err == nil && n.has(fmt.Sprintf("conv%d.weight", k)); k++ {
		name := fmt.Sprintf("conv%d", k)
		if x == nil {
			x = n.image(n.tensor(name+".weight", 0, 0, 0, 0).shape[1])
		}
		x = n.conv(x, name)
		if bn := fmt.Sprintf("bn%d", k); n.has(bn + ".running_var") {
			x = n.norm(x, bn)
		}
		x = n.relu(x)
	}
	width := n.tensor("fc1.weight", 0, 0).shape[1]
	if x == nil {
		x = still(tensor.Shape{1, width}, n.reason("input of the network"))
	} else {
		x = n.flat(x, width)
	}
	for k := 1; n.err == nil && n.has(fmt.Sprintf("fc%d.weight", k)); k++ {
		if k > 1 {
			x = n.relu(x)
		}
		x = n.linear(x, fmt.Sprintf("fc%d", k))
	}
	n.finish(x)
	for _, t := range n.set.All() {
		if _, ok := n.weights[t.Name]; !ok && !noWeight(t) {
			n.fail("%s is no tensor of such a network", t.Name)
		}
	}
}

// vit follows torchvision's encoder.layers.encoder_layer_L.
func (n *named) vit() {
	x := n.conv(n.image(n.tensor("conv_proj.weight", 0, 0, 0, 0).shape[1]), "conv_proj")
	x = n.patches(x, "class_token", "encoder.pos_embedding")
	for l := 0; n.err == nil; l++ {
		at := fmt.Sprintf("encoder.layers.encoder_layer_%d.", l)
		if !n.has(at + "self_attention.in_proj_weight") {
			break
		}
		width := x.shape[1]
		y := n.layerNorm(x, at+"ln_1")
		y = n.matMul(y, n.transpose(n.tensor(at+"self_attention.in_proj_weight", 3*width, width), []int{1, 0}))
		if b := n.optional(at+"self_attention.in_proj_bias", 1); b != nil && b.shape[0] == y.shape[1] {
			y = n.mix(y, b, sums)
		}
		if n.err != nil {
			return
		}
		y = n.attend(n.third(y, 0), n.third(y, 1), n.third(y, 2), heads{})
		x = n.add(n.linear(y, at+"self_attention.out_proj"), x, at)
		mlp := at + "mlp."
		first, second := mlp+"0", mlp+"3"
		if !n.has(first + ".weight") { // of older versions
			first, second = mlp+"linear_1", mlp+"linear_2"
		}
		y = n.plain(n.linear(n.layerNorm(x, at+"ln_2"), first))
		x = n.add(x, n.linear(y, second), at)
	}
	if n.err != nil {
		return
	}
	x = n.layerNorm(x, "encoder.ln")
	if n.has("heads.pre_logits.weight") {
		x = n.odd(n.linear(x, "heads.pre_logits"))
	}
	n.finish(n.linear(x, "heads.head"))
}

// patches makes tokens of the places of an image, with one for the class in front, and
// adds their positions.
func (n *named) patches(x *value, class, positions string) *value {
	width := x.shape[1]
	out := still(tensor.Shape{tokens, width}, spatial)
	out.axes[1] = x.axes[1]
	out = n.keep(out)
	for _, name := range []string{class, positions} {
		w := n.tensor(name, 1, 0, width)
		if n.err != nil {
			return out
		}
		n.fixAxis(&w.axes[1], spatial)
		row := still(tensor.Shape{tokens, width}, spatial)
		row.axes[1] = w.axes[2]
		out = n.mix(out, n.keep(row), sums)
	}
	return out
}

// third returns queries (0), keys or values (2) of what makes all three.
func (n *named) third(x *value, which int) *value {
	width := x.shape[1] / 3
	size := n.headSize(width, width, 0)
	if size == 0 {
		return n.part(x, int64(which)*width, width)
	}
	// By the axes that the graph has, so that factors of heads are told from those of
	// the positions inside.
	x = n.reshape(x, tensor.Shape{tokens, 3, width / size, size})
	return n.reshape(n.pick(x, 1, []int{which}), tensor.Shape{tokens, width})
}

// part returns some columns of a list of rows.
func (n *named) part(x *value, from, length int64) *value {
	return n.pick(x, 1, sequence(int(from), int(length), 1))
}

func (n *named) layerNorm(x *value, name string) *value {
	last := len(x.shape) - 1
	w := n.tensor(name+".weight", x.shape[last])
	b := n.optional(name+".bias", 1)
	if b != nil && b.shape[0] != x.shape[last] {
		n.fail("%s is %v, want %d", n.prefix+name+".bias", b.shape, x.shape[last])
		return x
	}
	return n.affine(n.normalised(x), w, b, last)
}
