package symmetry

import (
	"fmt"
	"strings"

	"ropewalk/tensor"
)

// rows returns what a table has for some tokens, (tokens, width).
func (n *named) rows(name string, width int64) *value {
	table := n.tensor(name, 0, width)
	n.fixAxis(&table.axes[0], n.reason("rows that are looked up by number"))
	return n.keep(&value{shape: tensor.Shape{tokens, table.shape[1]}, axes: []axis{{why: spatial}, table.axes[1]}})
}

// perhapsTied has two tables of words move alike. Files may hold tied ones twice, and
// names don't tell.
func (n *named) perhapsTied(words, head *value) {
	if !words.shape.Equal(head.shape) {
		return
	}
	for i := range words.axes {
		n.sameAxis(&words.axes[i], &head.axes[i])
	}
}

// root returns a network's part that holds the trunk, such as "bert.", and the
// network itself.
func (n *named) root(trunk string) *named {
	r := *n
	r.prefix = strings.TrimSuffix(n.prefix, trunk)
	return &r
}

// encoder follows encoder.layer.L of BERT, whose norms come after the sums, or of ViT, where
// they come first.
func (n *named) encoder(x *value, self string, first bool) *value {
	for l := 0; n.err == nil; l++ {
		at := fmt.Sprintf("encoder.layer.%d.", l)
		if !n.has(at + self + "query.weight") {
			break
		}
		norm := func(x *value, name string, now bool) *value {
			if !now {
				return x
			}
			return n.layerNorm(x, at+name)
		}
		y := norm(x, "layernorm_before", first)
		q, k, v := n.linear(y, at+self+"query"), n.linear(y, at+self+"key"), n.linear(y, at+self+"value")
		y = n.linear(n.attend(q, k, v, heads{}), at+"attention.output.dense")
		x = norm(n.add(y, x, at), "attention.output.LayerNorm", !first)
		y = norm(x, "layernorm_after", first)
		y = n.linear(n.plain(n.linear(y, at+"intermediate.dense")), at+"output.dense")
		x = norm(n.add(y, x, at), "output.LayerNorm", !first)
	}
	return x
}

// bert follows the BERT of Hugging Face, with the heads for masked words, next
// sentences, classes and answers.
func (n *named) bert() {
	words := n.tensor("embeddings.word_embeddings.weight", 0, 0)
	width := words.shape[1]
	x := n.rows("embeddings.word_embeddings.weight", width)
	for _, name := range []string{"embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight"} {
		if n.has(name) {
			x = n.add(x, n.rows(name, width), name)
		}
	}
	x = n.encoder(n.layerNorm(x, "embeddings.LayerNorm"), "attention.self.", false)
	root := n.root("bert.")
	out := x
	if n.has("pooler.dense.weight") {
		out = n.odd(n.linear(x, "pooler.dense"))
	}
	open := true // the tokens are an output
	if root.has("cls.predictions.transform.dense.weight") {
		open = false
		y := root.layerNorm(n.plain(root.linear(x, "cls.predictions.transform.dense")), "cls.predictions.transform.LayerNorm")
		decoder := words // tied
		if root.has("cls.predictions.decoder.weight") {
			decoder = root.tensor("cls.predictions.decoder.weight", 0, width)
			n.perhapsTied(words, decoder)
		}
		n.finish(n.matMul(y, n.transpose(decoder, []int{1, 0})))
		for _, name := range []string{"cls.predictions.bias", "cls.predictions.decoder.bias"} {
			if b := root.optional(name, 1); b != nil {
				n.finish(b)
			}
		}
	}
	for _, head := range []string{"cls.seq_relationship", "classifier"} {
		if root.has(head + ".weight") {
			open = false
			n.finish(root.linear(out, head))
		}
	}
	if root.has("qa_outputs.weight") {
		open = false
		n.finish(root.linear(x, "qa_outputs"))
	}
	if open {
		n.finish(x)
		n.finish(out)
	}
	n.keepError(root)
}

// keepError takes the first error of the network around.
func (n *named) keepError(root *named) {
	if n.err == nil {
		n.err = root.err
	}
}

// hfViT follows the ViT of Hugging Face.
func (n *named) hfViT() {
	const projection = "embeddings.patch_embeddings.projection"
	x := n.conv(n.image(n.tensor(projection+".weight", 0, 0, 0, 0).shape[1]), projection)
	x = n.patches(x, "embeddings.cls_token", "embeddings.position_embeddings")
	x = n.layerNorm(n.encoder(x, "attention.attention.", true), "layernorm")
	root := n.root("vit.")
	out := x
	if n.has("pooler.dense.weight") {
		out = n.odd(n.linear(x, "pooler.dense"))
	}
	if root.has("classifier.weight") {
		n.finish(root.linear(out, "classifier"))
	} else {
		n.finish(x)
		n.finish(out)
	}
	n.keepError(root)
}

// gpt2 follows h.L. Its full layers are (in, out), and queries, keys and values one.
func (n *named) gpt2() {
	width := n.tensor("wte.weight", 0, 0).shape[1]
	x := n.add(n.rows("wte.weight", width), n.rows("wpe.weight", width), "wpe")
	full := func(x *value, name string) *value {
		w := n.tensor(name+".weight", x.shape[1], 0)
		if n.err != nil {
			return x
		}
		y := n.matMul(x, w)
		if b := n.optional(name+".bias", 1); b != nil && b.shape[0] == y.shape[1] {
			y = n.mix(y, b, sums)
		}
		return y
	}
	for l := 0; n.err == nil && n.has(fmt.Sprintf("h.%d.attn.c_attn.weight", l)); l++ {
		at := fmt.Sprintf("h.%d.", l)
		y := full(n.layerNorm(x, at+"ln_1"), at+"attn.c_attn")
		if y.shape[1] != 3*width {
			n.fail("%s is %v, want %d along axis 1", n.prefix+at+"attn.c_attn.weight", y.shape, 3*width)
			return
		}
		y = n.attend(n.third(y, 0), n.third(y, 1), n.third(y, 2), heads{})
		x = n.add(x, full(y, at+"attn.c_proj"), at)
		y = n.plain(full(n.layerNorm(x, at+"ln_2"), at+"mlp.c_fc"))
		x = n.add(x, full(y, at+"mlp.c_proj"), at)
	}
	if n.err != nil {
		return
	}
	x = n.layerNorm(x, "ln_f")
	root := n.root("transformer.")
	switch {
	case root.has("lm_head.weight"):
		n.perhapsTied(n.tensor("wte.weight", 0, width), root.tensor("lm_head.weight", 0, width))
		n.finish(root.linear(x, "lm_head"))
	case root.has("score.weight"):
		n.finish(root.linear(x, "score"))
	case n.prefix == root.prefix: // the trunk alone: what it makes is the output
		n.finish(x)
	default: // tied
		n.finish(n.matMul(x, n.transpose(n.tensor("wte.weight", 0, width), []int{1, 0})))
	}
	n.keepError(root)
}
