package nets

import (
	"fmt"
	"math"

	"ropewalk/graph"
	"ropewalk/tensor"
)

var transformers = []plan{{"vit_b_32", 1000, imagenet, vitB32}}

// The sizes of ViT-B/32 (Dosovitskiy et al., 2020, table 1).
const (
	vitPatch  = 32
	vitWidth  = 768
	vitHeads  = 12
	vitHidden = 3072
	vitLayers = 12
)

// vitB32 is torchvision's. Between layers an example is a list of tokens; all of a
// batch are one list there, (batch*tokens, width), so that full layers are Gemm.
func vitB32(b *builder, x value) {
	if x.shape[1]%vitPatch != 0 || x.shape[2]%vitPatch != 0 {
		b.fail("height and width have to be multiples of the patches' %d", vitPatch)
	}
	c := vitWidth / vitHeads
	x = b.conv(x, "conv_proj", convolution{out: vitWidth, kernel: vitPatch, stride: vitPatch, weight: lecun, bias: zeroBias})
	patches := x.shape[1] * x.shape[2]
	tokens := patches + 1
	x = b.node("Reshape", "patches", tensor.Shape{vitWidth, patches}, nil, x.name, b.ints("patches.shape", 0, vitWidth, patches))
	x = b.node("Transpose", "tokens", tensor.Shape{patches, vitWidth}, graph.Attributes{"perm": []int64{0, 2, 1}}, x.name)
	// One class token for each example of the batch.
	class := b.weight("class_token", zeros, 1, 1, vitWidth)
	n := b.node("Shape", "batch", nil, graph.Attributes{"start": int64(0), "end": int64(1)}, x.name)
	n = b.node("Concat", "class.shape", nil, graph.Attributes{"axis": int64(0)}, n.name, b.ints("class.rest", 1, vitWidth))
	first := b.node("Expand", "class", tensor.Shape{1, vitWidth}, nil, class, n.name)
	x = b.node("Concat", "sequence", tensor.Shape{tokens, vitWidth}, graph.Attributes{"axis": int64(1)}, first.name, x.name)
	x = b.node("Add", "embedded", x.shape, nil, x.name, b.weight("encoder.pos_embedding", distribution{normal, 0.02}, 1, tokens, vitWidth))

	rows := tensor.Shape{vitWidth} // an example is several of them
	x = b.node("Reshape", "rows", rows, nil, x.name, b.ints("rows.shape", -1, vitWidth))
	mlp := linear{glorot, always(distribution{normal, 1e-6})}
	for i := range vitLayers {
		at := fmt.Sprintf("encoder.layers.encoder_layer_%d.", i)
		y := b.layerNorm(x, at+"ln_1")
		y = b.attention(y, at+"self_attention", tokens, int64(c))
		x = b.add(y, x, at+"add_1")
		y = b.layerNorm(x, at+"ln_2")
		y = b.full(y, at+"mlp.0", at+"mlp.0", vitHidden, mlp)
		y = b.act(y, "Gelu", at+"mlp.1")
		y = b.full(y, at+"mlp.3", at+"mlp.3", vitWidth, mlp)
		x = b.add(x, y, at+"add_2")
	}
	// Only the class token goes on; to normalise the others would change nothing.
	x = b.node("Reshape", "examples", tensor.Shape{tokens, vitWidth}, nil, x.name, b.ints("examples.shape", -1, tokens, vitWidth))
	x = b.node("Gather", "first", tensor.Shape{vitWidth}, graph.Attributes{"axis": int64(1)}, x.name, b.index("first.index", 0))
	x = b.layerNorm(x, "encoder.ln")
	b.head(x, "heads.head", linear{func(_, _ int64) distribution { return zeros }, zeroBias})
}

func (b *builder) layerNorm(x value, name string) value {
	return b.node("LayerNormalization", name, x.shape, graph.Attributes{"axis": int64(-1), "epsilon": 1e-6}, x.name,
		b.weight(name+".weight", ones, vitWidth), b.weight(name+".bias", zeros, vitWidth))
}

// attention adds torch's MultiheadAttention of rows of tokens with themselves; each
// head has c of their numbers.
func (b *builder) attention(x value, name string, tokens, c int64) value {
	rows := x.shape
	// The matrix of queries, keys and values is three times as wide as that of each,
	// and initialised so.
	x = b.node("Gemm", name+".in_proj", tensor.Shape{3 * vitWidth}, graph.Attributes{"transB": int64(1)}, x.name,
		b.weight(name+".in_proj_weight", glorot(vitWidth, 3*vitWidth), 3*vitWidth, vitWidth),
		b.weight(name+".in_proj_bias", zeros, 3*vitWidth))
	x = b.node("Reshape", name+".split", nil, nil, x.name, b.ints("attention.split", -1, tokens, 3, vitHeads, c))
	x = b.node("Transpose", name+".heads", nil, graph.Attributes{"perm": []int64{2, 0, 3, 1, 4}}, x.name) // (3, batch, heads, tokens, c)
	part := func(i int64, which string) value {
		return b.node("Gather", name+"."+which, nil, graph.Attributes{"axis": int64(0)}, x.name, b.index("attention."+which, i))
	}
	q, k, v := part(0, "query"), part(1, "key"), part(2, "value")
	q = b.node("Mul", name+".scaled", nil, nil, q.name, b.scalar("attention.scale", float32(1/math.Sqrt(float64(c)))))
	k = b.node("Transpose", name+".keys", nil, graph.Attributes{"perm": []int64{0, 1, 3, 2}}, k.name)
	s := b.node("MatMul", name+".scores", nil, nil, q.name, k.name)
	s = b.node("Softmax", name+".weights", nil, graph.Attributes{"axis": int64(-1)}, s.name)
	x = b.node("MatMul", name+".mixed", nil, nil, s.name, v.name)
	x = b.node("Transpose", name+".tokens", nil, graph.Attributes{"perm": []int64{0, 2, 1, 3}}, x.name)
	x = b.node("Reshape", name+".rows", rows, nil, x.name, b.ints("attention.rows", -1, vitWidth))
	return b.full(x, name+".out_proj", name+".out_proj", vitWidth, linear{torchDefault, zeroBias})
}
