// Package randomnet draws networks for property tests: convolutions (grouped, depthwise),
// norms, residual sums, concatenations, slices, gates, attention, in any order.
package randomnet

import (
	"encoding/binary"
	"fmt"
	"math"

	"pgregory.net/rapid"

	"ropewalk/graph"
	"ropewalk/tensor"
)

// A randomNet is a network that grows by operators drawn at random.
type randomNet struct {
	t       *rapid.T
	nodes   []*graph.Node
	weights []*tensor.Tensor
	shapes  map[string]tensor.Shape
	count   int
	seed    uint64
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func int64s(values ...int64) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// normal returns a number that follows from the seed and how many were drawn.
func (n *randomNet) normal() float64 {
	next := func() float64 {
		n.seed += 0x9e3779b97f4a7c15
		x := n.seed
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		return float64((x^x>>31)>>11) / (1 << 53)
	}
	return math.Sqrt(-2*math.Log(1-next())) * math.Cos(2*math.Pi*next())
}

func (n *randomNet) name(prefix string) string {
	n.count++
	return fmt.Sprintf("%s%d", prefix, n.count)
}

func (n *randomNet) weight(name string, mean, sigma float64, shape ...int64) string {
	s := tensor.Shape(shape)
	x := make([]float32, must(s.Elems()))
	for i := range x {
		x[i] = float32(mean + sigma*n.normal())
	}
	n.weights = append(n.weights, &tensor.Tensor{Name: name, DType: tensor.F32, Shape: s, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
	return name
}

func (n *randomNet) ints(values ...int64) string {
	name := n.name("ints")
	n.weights = append(n.weights, &tensor.Tensor{Name: name, DType: tensor.I64, Shape: tensor.Shape{int64(len(values))}, Data: tensor.Bytes(int64s(values...))})
	return name
}

func (n *randomNet) op(op string, a graph.Attributes, shape tensor.Shape, inputs ...string) string {
	out := n.name("v")
	if a == nil {
		a = graph.Attributes{}
	}
	n.nodes = append(n.nodes, &graph.Node{Name: out, Op: op, Inputs: inputs, Outputs: []string{out}, Attributes: a})
	n.shapes[out] = shape
	return out
}

func with(s tensor.Shape, axis int, n int64) tensor.Shape {
	out := append(tensor.Shape(nil), s...)
	out[axis] = n
	return out
}

func (n *randomNet) conv(x string, out, groups int64) string {
	in := n.shapes[x][1]
	name := n.name("conv")
	kernel := rapid.SampledFrom([]int64{1, 3}).Draw(n.t, "kernel")
	inputs := []string{x, n.weight(name+".weight", 0, math.Sqrt(2/float64(in/groups*kernel*kernel)), out, in/groups, kernel, kernel)}
	if rapid.Bool().Draw(n.t, "bias") {
		inputs = append(inputs, n.weight(name+".bias", 0.1, 0.3, out))
	}
	a := graph.Attributes{"kernel_shape": []int64{kernel, kernel}, "group": groups}
	if kernel == 3 {
		a["pads"] = []int64{1, 1, 1, 1}
	}
	return n.op("Conv", a, with(n.shapes[x], 1, out), inputs...)
}

func (n *randomNet) norm(x string) string {
	c := n.shapes[x][1]
	name := n.name("bn")
	v := n.weight(name+".running_var", 0, 0, c)
	raw := n.weights[len(n.weights)-1]
	values := make([]float32, c)
	for i := range values {
		values[i] = float32(0.3 + math.Abs(n.normal()))
	}
	raw.Data = tensor.Bytes(tensor.F32.AppendFloats(nil, values))
	return n.op("BatchNormalization", graph.Attributes{"epsilon": 1e-3}, n.shapes[x], x,
		n.weight(name+".weight", 1, 0.5, c), n.weight(name+".bias", 0.2, 0.5, c), n.weight(name+".running_mean", 0, 0.5, c), v)
}

func (n *randomNet) activation(x string) string {
	op := rapid.SampledFrom([]string{"Relu", "LeakyRelu", "Tanh", "Sigmoid", "HardSwish", "Abs", "Neg", "Identity"}).Draw(n.t, "activation")
	return n.op(op, nil, n.shapes[x], x)
}

// image adds one of the blocks that work on (1, channels, height, width).
func (n *randomNet) image(x string) string {
	s := n.shapes[x]
	c := s[1]
	even := c%2 == 0
	switch rapid.SampledFrom([]string{"conv", "norm", "activation", "residual", "concat", "grouped", "depthwise", "slice", "pad", "squeeze", "groupnorm", "prelu", "glu", "shuffle", "mean", "split"}).Draw(n.t, "block") {
	case "conv":
		return n.conv(x, rapid.SampledFrom([]int64{4, 6, 8}).Draw(n.t, "out"), 1)
	case "norm":
		return n.norm(x)
	case "residual":
		y := n.activation(n.norm(n.conv(x, 6, 1)))
		return n.op("Add", nil, s, n.conv(y, c, 1), x)
	case "concat":
		y := n.conv(x, 3, 1)
		return n.op("Concat", graph.Attributes{"axis": int64(1)}, with(s, 1, c+3), x, y)
	case "grouped":
		if even {
			return n.conv(x, rapid.SampledFrom([]int64{4, 8}).Draw(n.t, "out"), 2)
		}
	case "depthwise":
		return n.conv(x, c*rapid.SampledFrom([]int64{1, 2}).Draw(n.t, "times"), c)
	case "slice":
		if c > 3 {
			return n.op("Slice", nil, with(s, 1, c-2), x, n.ints(1), n.ints(c-1), n.ints(1))
		}
	case "pad":
		return n.op("Pad", graph.Attributes{}, with(s, 1, c+3), x, n.ints(0, 1, 0, 0, 0, 2, 0, 0))
	case "squeeze":
		y := n.op("GlobalAveragePool", nil, tensor.Shape{1, c, 1, 1}, x)
		y = n.conv(n.activation(n.conv(y, 3, 1)), c, 1)
		return n.op("Mul", nil, s, x, n.op("Sigmoid", nil, n.shapes[y], y))
	case "groupnorm":
		if even {
			name := n.name("gn")
			return n.op("GroupNormalization", graph.Attributes{"num_groups": int64(2)}, s, x, n.weight(name+".weight", 1, 0.5, c), n.weight(name+".bias", 0, 0.5, c))
		}
	case "prelu":
		return n.op("PRelu", nil, s, x, n.weight(n.name("slope"), 0.3, 0.1, c, 1, 1))
	case "glu":
		gate := n.op("Sigmoid", nil, with(s, 1, 5), n.conv(x, 5, 1))
		return n.op("Mul", nil, with(s, 1, 5), gate, n.conv(x, 5, 1))
	case "shuffle":
		if even {
			y := n.op("Reshape", nil, tensor.Shape{1, 2, c / 2, s[2], s[3]}, x, n.ints(1, 2, c/2, s[2], s[3]))
			y = n.op("Transpose", graph.Attributes{"perm": []int64{0, 2, 1, 3, 4}}, tensor.Shape{1, c / 2, 2, s[2], s[3]}, y)
			return n.op("Reshape", nil, s, y, n.ints(1, c, s[2], s[3]))
		}
	case "mean": // over a part of the channels, of which nobody else knows
		if c > 3 {
			y := n.op("Slice", nil, with(s, 1, c-2), x, n.ints(0), n.ints(c-2), n.ints(1))
			y = n.op("ReduceMean", nil, with(s, 1, 1), y, n.ints(1))
			return n.op("Mul", nil, s, x, y)
		}
	case "split":
		if even {
			a := n.op("Slice", nil, with(s, 1, c/2), x, n.ints(0), n.ints(c/2), n.ints(1))
			b := n.op("Slice", nil, with(s, 1, c/2), x, n.ints(c/2), n.ints(c), n.ints(1))
			return n.op("Add", nil, with(s, 1, c/2), n.activation(a), b)
		}
	}
	return n.activation(x)
}

func (n *randomNet) linear(x string, out int64) string {
	s := n.shapes[x]
	in := s[len(s)-1]
	name := n.name("fc")
	y := n.op("MatMul", nil, with(s, len(s)-1, out), x, n.weight(name+".weight", 0, math.Sqrt(1/float64(in)), in, out))
	return n.op("Add", nil, n.shapes[y], y, n.weight(name+".bias", 0.1, 0.2, out))
}

// tokens adds one of the blocks that work on (1, tokens, width).
func (n *randomNet) tokens(x string) string {
	s := n.shapes[x]
	width := s[2]
	name := n.name("block")
	layerNorm := func(x string) string {
		op, inputs := "LayerNormalization", []string{x, n.weight(name+".norm.weight", 1, 0.4, width)}
		if rapid.Bool().Draw(n.t, "rms") {
			op = "RMSNormalization"
		} else {
			inputs = append(inputs, n.weight(name+".norm.bias", 0, 0.4, width))
		}
		return n.op(op, graph.Attributes{"axis": int64(-1)}, s, inputs...)
	}
	y := layerNorm(x)
	switch rapid.SampledFrom([]string{"mlp", "gated", "attention"}).Draw(n.t, "layer") {
	case "mlp":
		y = n.linear(n.activation(n.linear(y, 5)), width)
	case "gated":
		gate := n.linear(y, 6)
		gate = n.op("Sigmoid", nil, n.shapes[gate], gate)
		y = n.linear(n.op("Mul", nil, n.shapes[gate], gate, n.linear(y, 6)), width)
	case "attention":
		heads, kv, c := int64(4), rapid.SampledFrom([]int64{1, 2, 4}).Draw(n.t, "kv"), int64(3)
		project := func(h int64) string {
			z := n.linear(y, h*c)
			z = n.op("Reshape", nil, tensor.Shape{1, s[1], h, c}, z, n.ints(1, s[1], h, c))
			z = n.op("Transpose", graph.Attributes{"perm": []int64{0, 2, 1, 3}}, tensor.Shape{1, h, s[1], c}, z)
			if h == heads {
				return z
			}
			z = n.op("Unsqueeze", nil, tensor.Shape{1, h, 1, s[1], c}, z, n.ints(2))
			z = n.op("Expand", nil, tensor.Shape{1, h, heads / h, s[1], c}, z, n.ints(1, h, heads/h, s[1], c))
			return n.op("Reshape", nil, tensor.Shape{1, heads, s[1], c}, z, n.ints(1, heads, s[1], c))
		}
		q, k, v := project(heads), project(kv), project(kv)
		k = n.op("Transpose", graph.Attributes{"perm": []int64{0, 1, 3, 2}}, tensor.Shape{1, heads, c, s[1]}, k)
		a := n.op("MatMul", nil, tensor.Shape{1, heads, s[1], s[1]}, q, k)
		a = n.op("Softmax", graph.Attributes{"axis": int64(-1)}, n.shapes[a], a)
		z := n.op("MatMul", nil, tensor.Shape{1, heads, s[1], c}, a, v)
		z = n.op("Transpose", graph.Attributes{"perm": []int64{0, 2, 1, 3}}, tensor.Shape{1, s[1], heads, c}, z)
		z = n.op("Reshape", nil, tensor.Shape{1, s[1], heads * c}, z, n.ints(1, s[1], heads*c))
		y = n.linear(z, width)
	}
	return n.op("Add", nil, s, x, y)
}

// Draw draws a network: blocks on an image, on tokens, a head.
func Draw(t *rapid.T) *graph.Graph {
	n := &randomNet{t: t, shapes: map[string]tensor.Shape{"x": {1, 3, 3, 3}}, seed: rapid.Uint64().Draw(t, "seed")}
	x := n.conv("x", 6, 1)
	for range rapid.IntRange(0, 5).Draw(t, "blocks") {
		x = n.image(x)
	}
	c := n.shapes[x][1]
	if layers := rapid.IntRange(0, 2).Draw(t, "layers"); layers > 0 {
		x = n.op("Reshape", nil, tensor.Shape{1, c, 9}, x, n.ints(1, c, 9))
		x = n.op("Transpose", graph.Attributes{"perm": []int64{0, 2, 1}}, tensor.Shape{1, 9, c}, x)
		for range layers {
			x = n.tokens(x)
		}
	}
	if rapid.Bool().Draw(t, "last") && len(n.shapes[x]) == 4 {
		// As networks with channels behind do.
		x = n.op("Transpose", graph.Attributes{"perm": []int64{0, 2, 3, 1}}, tensor.Shape{1, 3, 3, c}, x)
	}
	x = n.op("Flatten", nil, tensor.Shape{1, 9 * c}, x)
	x = n.linear(n.activation(n.linear(x, 7)), 4)
	return &graph.Graph{
		Name: "random", Nodes: n.nodes, Outputs: []string{x},
		Inputs:  []graph.Input{{Name: "x", Type: tensor.F32, Shape: []graph.Dim{{Size: 1}, {Size: 3}, {Size: 3}, {Size: 3}}}},
		Weights: must(tensor.NewSet(n.weights...)),
	}
}
