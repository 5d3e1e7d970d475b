package symmetry

import (
	"fmt"
	"strings"

	"ropewalk/tensor"
)

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
			n.fixAll(n.linear(x, block+"gate"), n.reason(whyExperts))
			n.experts = append(n.experts, block)
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
