package graph

import (
	"math"
	"testing"

	"ropewalk/tensor"
)

func gatherCases() []opCase {
	x := upTo(2, 3)
	f := floats
	return []opCase{
		{"Gather", Attributes{"axis": int64(1)}, values(x, ints(tensor.Shape{1, 2}, 2, -3)), values(f(tensor.Shape{2, 1, 2}, 2, 0, 5, 3))},
		{"Gather one", nil, values(x, whole(1)), values(list(3, 4, 5))},
		{"GatherElements", Attributes{"axis": int64(1)}, values(x, ints(tensor.Shape{2, 2}, 2, 0, -1, 1)), values(f(tensor.Shape{2, 2}, 2, 0, 5, 4))},
		{"GatherND", nil, values(x, ints(tensor.Shape{2, 2}, 0, 1, 1, -1)), values(list(1, 5))},
		{"GatherND batch", Attributes{"batch_dims": int64(1)}, values(x, ints(tensor.Shape{2, 1}, 2, 0)), values(list(2, 3))},
		{"ScatterElements", Attributes{"axis": int64(1)}, values(x, ints(tensor.Shape{1, 2}, 2, 0), f(tensor.Shape{1, 2}, 10, 20)), values(f(tensor.Shape{2, 3}, 20, 1, 10, 3, 4, 5))},
		{"ScatterElements add", Attributes{"reduction": "add"}, values(list(1, 2), counts(0, 0), list(10, 20)), values(list(31, 2))},
		{"Scatter", nil, values(list(1, 2), counts(1), list(10)), values(list(1, 10))},
		{"ScatterND", nil, values(x, ints(tensor.Shape{1, 1}, 1), f(tensor.Shape{1, 3}, 7, 8, 9)), values(f(tensor.Shape{2, 3}, 0, 1, 2, 7, 8, 9))},
		{"ScatterND max", Attributes{"reduction": "max"}, values(list(1, 5), ints(tensor.Shape{2, 1}, 0, 1), list(3, 3)), values(list(3, 5))},
		{"Compress", Attributes{"axis": int64(1)}, values(x, truths(tensor.Shape{2}, 0, 1)), values(f(tensor.Shape{2, 1}, 1, 4))},
		{"Compress flat", nil, values(x, truths(tensor.Shape{5}, 1, 0, 0, 0, 1)), values(list(0, 4))},
		{"OneHot", nil, values(counts(1, -1, 7), whole(3), list(0, 5)), values(f(tensor.Shape{3, 3}, 0, 5, 0, 0, 0, 5, 0, 0, 0))},
		{"OneHot axis", Attributes{"axis": int64(0)}, values(counts(1, 0), whole(2), list(0, 1)), values(f(tensor.Shape{2, 2}, 0, 1, 1, 0))},
		{"NonZero", nil, values(f(tensor.Shape{2, 2}, 1, 0, 0, 2)), values(ints(tensor.Shape{2, 2}, 0, 1, 0, 1))},
	}
}

func sortCases() []opCase {
	x := floats(tensor.Shape{2, 3}, 1, 3, 2, 5, 4, 5)
	return []opCase{
		{"TopK", nil, values(x, counts(2)), values(floats(tensor.Shape{2, 2}, 3, 2, 5, 5), ints(tensor.Shape{2, 2}, 1, 2, 0, 2))},
		{"TopK least", Attributes{"largest": int64(0), "axis": int64(0)}, values(x, counts(1)), values(floats(tensor.Shape{1, 3}, 1, 3, 2), ints(tensor.Shape{1, 3}, 0, 0, 0))},
		{"ArgMax", Attributes{"axis": int64(1), "keepdims": int64(0)}, values(x), values(counts(1, 0))},
		{"ArgMax last", Attributes{"axis": int64(1), "select_last_index": int64(1)}, values(x), values(ints(tensor.Shape{2, 1}, 1, 2))},
		{"ArgMin", Attributes{"keepdims": int64(0)}, values(x), values(counts(0, 0, 0))},
		{"CumSum", nil, values(x, whole(1)), values(floats(tensor.Shape{2, 3}, 1, 4, 6, 5, 9, 14))},
		{"CumSum exclusive reverse", Attributes{"exclusive": int64(1), "reverse": int64(1)}, values(counts(1, 2, 3), whole(0)), values(counts(5, 3, 0))},
		{"Unique", nil, values(list(2, 1, 1, 3)), values(list(1, 2, 3), counts(1, 0, 3), counts(1, 0, 0, 2), counts(2, 1, 1))},
		{"Unique unsorted", Attributes{"sorted": int64(0)}, values(list(2, 1, 1, 3)), values(list(2, 1, 3), counts(0, 1, 3), counts(0, 1, 1, 2), counts(1, 2, 1))},
		{"Unique axis", Attributes{"axis": int64(1)}, values(floats(tensor.Shape{2, 3}, 1, 0, 1, 2, 3, 2)), values(floats(tensor.Shape{2, 2}, 0, 1, 3, 2), counts(1, 0), counts(1, 0, 1), counts(1, 2))},
	}
}

func constantCases() []opCase {
	half, _ := floats(tensor.Shape{1}, 0.5).Tensor("")
	return []opCase{
		{"Constant", Attributes{"value": half}, nil, values(list(0.5))},
		{"Constant list", Attributes{"value_ints": []int64{1, 2}}, nil, values(counts(1, 2))},
		{"Constant float", Attributes{"value_float": 0.5}, nil, values(scalar(0.5))},
		{"ConstantOfShape", nil, values(counts(1, 2)), values(floats(tensor.Shape{1, 2}, 0, 0))},
		{"ConstantOfShape value", Attributes{"value": half}, values(counts(2)), values(list(0.5, 0.5))},
		{"Range", nil, values(whole(1), whole(8), whole(3)), values(counts(1, 4, 7))},
		{"Range backward", nil, values(scalar(1), scalar(0), scalar(-0.4)), values(list(1, 0.6, 0.2))},
		{"Range empty", nil, values(whole(5), whole(1), whole(1)), values(counts())},
		{"EyeLike", Attributes{"k": int64(1), "dtype": int64(7)}, values(upTo(2, 3)), values(ints(tensor.Shape{2, 3}, 0, 1, 0, 0, 0, 1))},
	}
}

// randomCases are those whose outcome is certain; TestChance looks at the others.
func randomCases() []opCase {
	return []opCase{
		{"Dropout", nil, values(list(1, 2), scalar(0.5)), values(list(1, 2), truths(tensor.Shape{2}, 1, 1))},
		{"RandomNormal", Attributes{"shape": []int64{2}, "mean": 3.0, "scale": 0.0}, nil, values(list(3, 3))},
		{"RandomUniform", Attributes{"shape": []int64{2}, "low": 3.0, "high": 3.0}, nil, values(list(3, 3))},
		{"RandomNormalLike", Attributes{"mean": 3.0, "scale": 0.0}, values(list(0, 0)), values(list(3, 3))},
		{"RandomUniformLike", Attributes{"low": 3.0, "high": 3.0}, values(list(0, 0)), values(list(3, 3))},
		{"Bernoulli", Attributes{"dtype": int64(9)}, values(list(0, 1)), values(truths(tensor.Shape{2}, 0, 1))},
		{"Multinomial", Attributes{"sample_size": int64(3)}, values(floats(tensor.Shape{1, 2}, -1000, 0)), values(&Value{Type: tensor.I32, Shape: tensor.Shape{1, 3}, Int: []int64{1, 1, 1}})},
	}
}

// What is random has the distribution that it should have, to five standard deviations.
func TestChance(t *testing.T) {
	const n = 10000
	x := newValue(Type{tensor.F32, tensor.Shape{n}})
	for i := range x.Float {
		x.Float[i] = 0.25
	}
	logits := floats(tensor.Shape{1, 2}, math.Log(1), math.Log(3))
	for _, tt := range []struct {
		c               opCase
		mean, deviation float64
	}{
		{opCase{"RandomNormal", Attributes{"shape": []int64{n}, "mean": 1.0, "scale": 2.0}, nil, values(x)}, 1, 2},
		{opCase{"RandomUniform", Attributes{"shape": []int64{n}, "low": -1.0, "high": 1.0}, nil, values(x)}, 0, 1 / math.Sqrt(3)},
		{opCase{"Bernoulli", nil, values(x), values(x)}, 0.25, math.Sqrt(0.25 * 0.75)},
		{opCase{"Dropout", nil, values(x, scalar(0.75), truths(tensor.Shape{}, 1)), values(x)}, 0.25, math.Sqrt(0.25 * 0.75)},
		{opCase{"Multinomial", Attributes{"sample_size": int64(n)}, values(logits), values(x)}, 0.75, math.Sqrt(0.25 * 0.75)},
	} {
		out, err := testContext().apply(tt.c.node(), tt.c.in)
		if err != nil {
			t.Fatal(err)
		}
		sum, squares := 0.0, 0.0
		for i := range n {
			v := out[0].number(i)
			sum += v
			squares += (v - tt.mean) * (v - tt.mean)
		}
		if d := math.Abs(sum/n - tt.mean); d > 5*tt.deviation/math.Sqrt(n) {
			t.Errorf("%s: the mean is %g, want %g", tt.c.name, sum/n, tt.mean)
		}
		if got := math.Sqrt(squares / n); math.Abs(got/tt.deviation-1) > 0.1 && tt.c.name != "Dropout" {
			t.Errorf("%s: the deviation is %g, want %g", tt.c.name, got, tt.deviation)
		}
	}
}

func resizeCases() []opCase {
	x := floats(tensor.Shape{1, 1, 2}, 0, 4)
	to := func(n int64) []*Value { return values(x, nil, nil, counts(1, 1, n)) }
	out := func(v ...float64) []*Value { return values(floats(tensor.Shape{1, 1, int64(len(v))}, v...)) }
	linear := func(mode string) Attributes {
		return Attributes{"mode": "linear", "coordinate_transformation_mode": mode}
	}
	plane := upTo(1, 1, 2, 2)
	return []opCase{
		{"Resize nearest", Attributes{"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}, values(x, nil, list(1, 1, 2)), out(0, 0, 4, 4)},
		{"Resize nearest half pixel", nil, values(floats(tensor.Shape{4}, 1, 2, 3, 4), nil, nil, counts(2)), values(list(1, 3))},
		{"Resize nearest ceil", Attributes{"nearest_mode": "round_prefer_ceil"}, values(floats(tensor.Shape{4}, 1, 2, 3, 4), nil, nil, counts(2)), values(list(2, 4))},
		{"Resize half_pixel", linear("half_pixel"), to(4), out(0, 1, 3, 4)},
		{"Resize pytorch_half_pixel", linear("pytorch_half_pixel"), to(1), out(0)},
		{"Resize align_corners", linear("align_corners"), to(5), out(0, 1, 2, 3, 4)},
		{"Resize asymmetric", linear("asymmetric"), to(4), out(0, 2, 4, 4)},
		{"Resize symmetric", linear("half_pixel_symmetric"), values(x, nil, list(1, 1, 1.6)), out(0, 2, 4)},
		{"Resize crop", Attributes{"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 9.0}, values(x, list(0, 0, 0.5, 1, 1, 1.5), nil, counts(1, 1, 3)), out(2, 4, 9)},
		{"Resize cubic", Attributes{"mode": "cubic"}, values(floats(tensor.Shape{4}, 0, 1, 2, 3), nil, nil, counts(2)), values(list(0.40625, 2.59375))},
		{"Resize antialias", Attributes{"mode": "linear", "antialias": int64(1)}, values(floats(tensor.Shape{4}, 0, 1, 2, 3), nil, nil, counts(2)), values(list(0.625, 2.375))},
		{"Resize axes", Attributes{"axes": []int64{2}, "mode": "linear"}, values(x, nil, nil, counts(4)), out(0, 1, 3, 4)},
		{"Resize ratio", Attributes{"keep_aspect_ratio_policy": "not_larger"}, values(upTo(2, 4), nil, nil, counts(1, 4)), values(floats(tensor.Shape{1, 2}, 0, 2))},
		{"Resize integers", Attributes{"mode": "linear"}, values(small(tensor.U8, 0, 4), nil, nil, counts(4)), values(small(tensor.U8, 0, 1, 3, 4))},
		{"GridSample", nil, values(plane, floats(tensor.Shape{1, 1, 2, 2}, 0, 0, -1, -1)), values(floats(tensor.Shape{1, 1, 1, 2}, 1.5, 0))},
		{"GridSample corners", Attributes{"align_corners": int64(1), "mode": "nearest"}, values(plane, floats(tensor.Shape{1, 1, 2, 2}, 1, -1, 0.9, 1)), values(floats(tensor.Shape{1, 1, 1, 2}, 1, 3))},
		{"GridSample border", Attributes{"padding_mode": "border"}, values(plane, floats(tensor.Shape{1, 1, 1, 2}, 5, 5)), values(floats(tensor.Shape{1, 1, 1, 1}, 3))},
		{"GridSample reflection", Attributes{"padding_mode": "reflection", "align_corners": int64(1)}, values(plane, floats(tensor.Shape{1, 1, 1, 2}, 1.5, -1)), values(floats(tensor.Shape{1, 1, 1, 1}, 0.75))},
	}
}

// With all weights one and one feature, states of recurrent nodes can be written down.
func recurrentCases() []opCase {
	x := floats(tensor.Shape{2, 1, 1}, 1, 2)
	ones := func(shape ...int64) *Value {
		v := newValue(Type{tensor.F32, shape})
		for i := range v.Float {
			v.Float[i] = 1
		}
		return v
	}
	s := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	rnn1 := math.Tanh(1.0)
	rnn2 := math.Tanh(2 + rnn1)
	gru := func(x, h float64, before bool) float64 {
		z, r := s(x+h), s(x+h)
		g := math.Tanh(x + r*h)
		if before { // the state's part has a bias of 1 that is reset, too
			z, r = s(x+h+1), s(x+h+1)
			g = math.Tanh(x + r*(h+1))
		}
		return (1-z)*g + z*h
	}
	gru1 := gru(1, 0, false)
	lin1 := gru(1, 0, true)
	lstm := func(x, h, c float64) (float64, float64) {
		c = s(x+h)*c + s(x+h)*math.Tanh(x+h)
		return s(x+h) * math.Tanh(c), c
	}
	h1, c1 := lstm(1, 0, 0)
	h2, c2 := lstm(2, h1, c1)
	bias := floats(tensor.Shape{1, 6}, 0, 0, 0, 1, 1, 1)
	back1 := math.Tanh(2.0)
	back2 := math.Tanh(1 + back1)
	y := func(v ...float64) *Value { return floats(tensor.Shape{2, 1, 1, 1}, v...) }
	last := func(v float64) *Value { return floats(tensor.Shape{1, 1, 1}, v) }
	return []opCase{
		{"RNN", Attributes{"hidden_size": int64(1)}, values(x, ones(1, 1, 1), ones(1, 1, 1)), values(y(rnn1, rnn2), last(rnn2))},
		{"RNN both ways", Attributes{"direction": "bidirectional"}, values(x, ones(2, 1, 1), ones(2, 1, 1)), values(floats(tensor.Shape{2, 2, 1, 1}, rnn1, back2, rnn2, back1), floats(tensor.Shape{2, 1, 1}, rnn2, back2))},
		{"RNN lengths", nil, values(x, ones(1, 1, 1), ones(1, 1, 1), nil, small(tensor.I32, 1)), values(y(rnn1, 0), last(rnn1))},
		{"RNN functions", Attributes{"activations": []string{"Affine"}, "activation_alpha": []float64{2}, "activation_beta": []float64{1}, "clip": 4.0}, values(x, ones(1, 1, 1), ones(1, 1, 1)), values(y(3, 9), last(9))},
		{"RNN batch first", Attributes{"layout": int64(1)}, values(floats(tensor.Shape{1, 2, 1}, 1, 2), ones(1, 1, 1), ones(1, 1, 1)), values(floats(tensor.Shape{1, 2, 1, 1}, rnn1, rnn2), last(rnn2))},
		{"GRU", nil, values(x, ones(1, 3, 1), ones(1, 3, 1)), values(y(gru1, gru(2, gru1, false)), last(gru(2, gru1, false)))},
		{"GRU linear", Attributes{"linear_before_reset": int64(1)}, values(x, ones(1, 3, 1), ones(1, 3, 1), bias), values(y(lin1, gru(2, lin1, true)), last(gru(2, lin1, true)))},
		{"LSTM", nil, values(x, ones(1, 4, 1), ones(1, 4, 1)), values(y(h1, h2), last(h2), last(c2))},
		{"LSTM initial", nil, values(floats(tensor.Shape{1, 1, 1}, 2), ones(1, 4, 1), ones(1, 4, 1), nil, nil, last(h1), last(c1)), values(floats(tensor.Shape{1, 1, 1, 1}, h2), last(h2), last(c2))},
	}
}

// branch returns a graph of one node without inputs.
func branch(op string, with Attributes) *Graph {
	return &Graph{Outputs: []string{op}, Nodes: []*Node{{Name: op, Op: op, Outputs: []string{op}, Attributes: with}}}
}

// summing is the body of a loop that sums the turns, and of which the sums are kept.
func summing() *Graph {
	return &Graph{
		Inputs:  []Input{{Name: "turn"}, {Name: "on"}, {Name: "sum"}},
		Outputs: []string{"on", "sum2", "kept"},
		Nodes: []*Node{
			{Name: "add", Op: "Add", Inputs: []string{"sum", "turn"}, Outputs: []string{"sum2"}},
			{Name: "keep", Op: "Identity", Inputs: []string{"sum2"}, Outputs: []string{"kept"}},
		},
	}
}

func controlCases() []opCase {
	both := Attributes{
		"then_branch": branch("Constant", Attributes{"value_float": 1.0}),
		"else_branch": branch("RandomUniform", Attributes{"low": 2.0, "high": 2.0, "shape": []int64{}}),
	}
	scanned := &Graph{
		Inputs:  []Input{{Name: "sum"}, {Name: "x"}},
		Outputs: []string{"sum2", "kept"},
		Nodes: []*Node{
			{Name: "add", Op: "Add", Inputs: []string{"sum", "x"}, Outputs: []string{"sum2"}},
			{Name: "keep", Op: "Identity", Inputs: []string{"sum2"}, Outputs: []string{"kept"}},
		},
	}
	x := floats(tensor.Shape{2, 2}, 1, 2, 3, 4)
	return []opCase{
		{"If", both, values(truths(tensor.Shape{}, 1)), values(scalar(1))},
		{"If else", both, values(truths(tensor.Shape{}, 0)), values(scalar(2))},
		{"Loop", Attributes{"body": summing()}, values(whole(3), nil, whole(10)), values(whole(13), counts(10, 11, 13))},
		{"Loop no turn", Attributes{"body": summing()}, values(whole(3), truths(tensor.Shape{}, 0), whole(10)), values(whole(10), counts())},
		{"Scan", Attributes{"body": scanned, "num_scan_inputs": int64(1)}, values(list(0, 10), x), values(list(4, 16), floats(tensor.Shape{2, 2}, 1, 12, 4, 16))},
		{
			"Scan axes",
			Attributes{"body": scanned, "num_scan_inputs": int64(1), "scan_input_axes": []int64{1}, "scan_input_directions": []int64{1}, "scan_output_axes": []int64{1}, "scan_output_directions": []int64{1}},
			values(list(0, 10), x), values(list(3, 17), floats(tensor.Shape{2, 2}, 3, 2, 17, 14)),
		},
	}
}

// A subgraph sees the values around it, and what is in it is folded only if those are
// constant.
func TestSubgraphSeesOuterValues(t *testing.T) {
	inner := &Graph{Outputs: []string{"y"}, Nodes: []*Node{{Name: "neg", Op: "Neg", Inputs: []string{"x"}, Outputs: []string{"y"}}}}
	n := &Node{Name: "if", Op: "If", Inputs: []string{"c"}, Outputs: []string{"z"}, Attributes: Attributes{"then_branch": inner, "else_branch": inner}}
	g := &Graph{Inputs: []Input{{Name: "x"}, {Name: "c"}}, Outputs: []string{"z"}, Nodes: []*Node{n}}
	on := truths(tensor.Shape{}, 1)
	got, err := Evaluate(g, map[string]*Value{"x": list(1, 2), "c": on}, nil)
	if err != nil || got["z"].Float[1] != -2 {
		t.Fatal(got["z"], err)
	}
	for _, constant := range []bool{false, true} {
		c := newContext(func(string) (*Operand, error) {
			o := &Operand{Type: list(1, 2).typ()}
			if constant {
				o.Value = list(1, 2)
			}
			return o, nil
		}, newBudget(&EvaluateOptions{}))
		out, err := c.know(n, []*Operand{{on.typ(), on}}, 100)
		if err != nil {
			t.Fatal(err)
		}
		if !out[0].Type.equal(list(1, 2).typ()) || (out[0].Value != nil) != constant {
			t.Errorf("constant %t: %v, value %v", constant, out[0].Type, out[0].Value)
		}
	}
}

func quantizeCases() []opCase {
	u8 := func(x ...int64) *Value { return small(tensor.U8, x...) }
	one := func(d tensor.DType, x int64) *Value { return small(d, x).reshaped(tensor.Shape{}) }
	square := func(d tensor.DType, shape tensor.Shape, x ...int64) *Value { return small(d, x...).reshaped(shape) }
	return []opCase{
		{"QuantizeLinear", nil, values(list(-1, 0, 1, 3, 1000), scalar(2), one(tensor.U8, 128)), values(u8(128, 128, 128, 130, 255))},
		{"QuantizeLinear axis", Attributes{"axis": int64(0)}, values(floats(tensor.Shape{2, 1}, 4, 4), list(2, 1), small(tensor.I8, 0, -1)), values(square(tensor.I8, tensor.Shape{2, 1}, 2, 3))},
		{"QuantizeLinear blocks", Attributes{"axis": int64(0), "block_size": int64(2)}, values(list(1, 2, 3), list(1, 3)), values(u8(1, 2, 1))},
		{"DequantizeLinear", nil, values(u8(0, 128, 255), scalar(2), one(tensor.U8, 128)), values(list(-256, 0, 254))},
		{"DequantizeLinear axis", nil, values(square(tensor.I8, tensor.Shape{1, 2}, 3, 4), list(2, 3), small(tensor.I8, 1, 0)), values(floats(tensor.Shape{1, 2}, 4, 12))},
		{"DynamicQuantizeLinear", nil, values(list(-51, 0, 204)), values(u8(0, 51, 255), scalar(1), one(tensor.U8, 51))},
		{"MatMulInteger", nil, values(square(tensor.U8, tensor.Shape{1, 2}, 3, 4), square(tensor.I8, tensor.Shape{2, 1}, 5, -6), one(tensor.U8, 1), small(tensor.I8, 1)), values(square(tensor.I32, tensor.Shape{1, 1}, 2*4+3*-7))},
		{"ConvInteger", Attributes{"pads": []int64{1, 0}}, values(square(tensor.U8, tensor.Shape{1, 1, 2}, 3, 4), square(tensor.U8, tensor.Shape{1, 1, 2}, 1, 1), one(tensor.U8, 1)), values(square(tensor.I32, tensor.Shape{1, 1, 2}, 2, 5))},
		{
			"QLinearMatMul", nil, values(square(tensor.U8, tensor.Shape{1, 2}, 3, 4), scalar(0.5), one(tensor.U8, 1), square(tensor.I8, tensor.Shape{2, 1}, 5, 6), scalar(2), one(tensor.I8, 0), scalar(4), one(tensor.U8, 10)),
			values(square(tensor.U8, tensor.Shape{1, 1}, 17)),
		},
		{
			"QLinearConv", nil, values(square(tensor.U8, tensor.Shape{1, 1, 1}, 7), scalar(1), one(tensor.U8, 3), square(tensor.I8, tensor.Shape{2, 1, 1}, 5, 5), list(1, 2), small(tensor.I8, 0, 1), scalar(2), one(tensor.U8, 0), small(tensor.I32, 2, 0)),
			values(square(tensor.U8, tensor.Shape{1, 2, 1}, 11, 16)),
		},
	}
}

func lossCases() []opCase {
	x := floats(tensor.Shape{2, 2}, -1, -2, -3, -4)
	even := floats(tensor.Shape{1, 2, 2}, 0, 0, 0, math.Log(3))
	labels := ints(tensor.Shape{1, 2}, 1, 1)
	shares := floats(tensor.Shape{1, 2, 2}, -math.Ln2, -math.Log(4), -math.Ln2, math.Log(0.75))
	return []opCase{
		{"NegativeLogLikelihoodLoss", nil, values(x, counts(0, 1)), values(scalar(2.5))},
		{"NegativeLogLikelihoodLoss weights", nil, values(x, counts(0, 1), list(1, 3)), values(scalar(13.0 / 4))},
		{"NegativeLogLikelihoodLoss ignore", Attributes{"ignore_index": int64(-1), "reduction": "none"}, values(x, counts(-1, 1)), values(list(0, 4))},
		{"SoftmaxCrossEntropyLoss", Attributes{"reduction": "sum"}, values(even, labels), values(scalar(math.Ln2-math.Log(0.75)), shares)},
	}
}

func detectCases() []opCase {
	boxes := floats(tensor.Shape{1, 3, 4}, 0, 0, 2, 2, 0, 0, 2, 1.8, 5, 5, 6, 6)
	scores := floats(tensor.Shape{1, 1, 3}, 0.5, 0.9, 0.1)
	return []opCase{
		{"NonMaxSuppression", nil, values(boxes, scores, whole(9), scalar(0.5), scalar(0.05)), values(ints(tensor.Shape{2, 3}, 0, 0, 1, 0, 0, 2))},
		{"NonMaxSuppression most", nil, values(boxes, scores, whole(1)), values(ints(tensor.Shape{1, 3}, 0, 0, 1))},
		{"NonMaxSuppression none", nil, values(boxes, scores), values(ints(tensor.Shape{0, 3}))},
		{
			"RoiAlign",
			Attributes{"output_height": int64(1), "output_width": int64(1), "coordinate_transformation_mode": "output_half_pixel"},
			values(upTo(1, 1, 4, 4), floats(tensor.Shape{1, 4}, 0, 0, 2, 2), counts(0)), values(floats(tensor.Shape{1, 1, 1, 1}, 5)),
		},
	}
}

func signalCases() []opCase {
	x := floats(tensor.Shape{1, 4, 1}, 1, 2, 3, 4)
	spectrum := floats(tensor.Shape{1, 4, 2}, 10, 0, -2, 2, -2, 0, -2, -2)
	return []opCase{
		{"HannWindow", nil, values(whole(4)), values(list(0, 0.5, 1, 0.5))},
		{"HannWindow symmetric", Attributes{"periodic": int64(0)}, values(whole(3)), values(list(0, 1, 0))},
		{"HammingWindow", nil, values(whole(2)), values(list(4.0/46, 1))},
		{"BlackmanWindow", nil, values(whole(2)), values(list(0, 1))},
		{"MelWeightMatrix", nil, values(whole(1), whole(4), whole(8), scalar(0), scalar(8)), values(floats(tensor.Shape{3, 1}, 0, 1, 0.5))},
		{"DFT", nil, values(x), values(spectrum)},
		{"DFT onesided", Attributes{"onesided": int64(1)}, values(x, whole(4), whole(1)), values(floats(tensor.Shape{1, 3, 2}, 10, 0, -2, 2, -2, 0))},
		{"DFT inverse", Attributes{"inverse": int64(1)}, values(spectrum), values(floats(tensor.Shape{1, 4, 2}, 1, 0, 2, 0, 3, 0, 4, 0))},
		{"DFT longer", nil, values(floats(tensor.Shape{1, 1, 1}, 3), whole(2)), values(floats(tensor.Shape{1, 2, 2}, 3, 0, 3, 0))},
		{"STFT", nil, values(x, whole(2), list(1, 1), nil), values(floats(tensor.Shape{1, 2, 2, 2}, 3, 0, -1, 0, 7, 0, -1, 0))},
	}
}

func textCases() []opCase {
	two := tensor.Shape{2}
	grams := Attributes{
		"mode": "TF", "min_gram_length": int64(1), "max_gram_length": int64(2), "max_skip_count": int64(1),
		"ngram_counts": []int64{0, 2}, "ngram_indexes": []int64{0, 1, 2}, "pool_int64s": []int64{5, 6, 5, 7},
	}
	return []opCase{
		{"StringConcat", nil, values(words(two, "a", "b"), words(tensor.Shape{}, "c")), values(words(two, "ac", "bc"))},
		{"StringNormalizer", Attributes{"case_change_action": "UPPER", "stopwords": []string{"The"}}, values(words(two, "the", "end")), values(words(tensor.Shape{1}, "END"))},
		{"StringNormalizer nothing left", Attributes{"stopwords": []string{"a"}, "is_case_sensitive": int64(1)}, values(words(tensor.Shape{1}, "a")), values(words(tensor.Shape{1}, ""))},
		{"TfIdfVectorizer", grams, values(counts(5, 6, 7, 5)), values(list(2, 1, 1))},
	}
}
