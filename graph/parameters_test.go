package graph

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/internal/format/onnx"
	"ropewalk/tensor"
)

// Parameters are what layers multiply with and add, in the order of the file.
func TestParameters(t *testing.T) {
	weight := func(name string, n int64) *tensor.Tensor { return f32(name, tensor.Shape{n}, make([]float64, n)...) }
	g := model{
		opset: 17, inputs: []onnx.Value{in("x", 2), in("i")}, outputs: []string{"y", "z"},
		weights: []*tensor.Tensor{
			weight("scales", 4), weight("conv", 8), weight("bias", 1), weight("gamma", 2), weight("beta", 2), weight("mean", 2), weight("var", 2),
			weight("linear", 6), weight("one", 1), weight("many", 3), weight("table", 8), weight("class", 4), weight("slope", 1), weight("factor", 2),
			weight("direction", 4), weight("eps", 1), weight("rate", 2), weight("unused", 4), weight("inner", 2), i64("ints", tensor.Shape{3}, 1, 2, 3),
		},
		nodes: []*onnx.Node{
			nd("a = Conv(x, conv, bias)"), nd("b = BatchNormalization(a, gamma, beta, mean, var)"),
			nd("lt = Transpose(linear)"), nd("c = MatMul(b, lt)"), nd("d = Mul(c, one)"), nd("e = Add(d, many)"), nd("p = PRelu(e, slope)"),
			nd("h = Gather(table, i)"), nd("s = Shape(x)"), nd("cls = Expand(class, s)"), nd("j = Concat(cls, h)", "axis", 0),
			nd("sf = Cast(s)", "to", 1), nd("sr = Mul(sf, scales)"), nd("si = Cast(sr)", "to", 7), nd("k = Resize(j, , , si)"),
			nd("norm = ReduceL2(direction)"), nd("safe = Add(norm, eps)"), nd("unit = Div(direction, safe)"), nd("wn = Mul(unit, factor)"), nd("y = Conv(k, wn)"),
			nd("q = Pow(p, rate)"),
			nd("z = If(i)", "then_branch", branchOf("o", nil, nd("o = Add(q, inner)")), "else_branch", branchOf("q", nil)),
		},
	}.load(t)
	want := strings.Fields("conv bias gamma beta linear many table class slope factor direction inner")
	if d := cmp.Diff(want, g.Parameters()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"mean", "var"}, g.Buffers()); d != "" {
		t.Error(d)
	}
}

func TestWithWeights(t *testing.T) {
	g := model{opset: 17, inputs: []onnx.Value{in("x", 2)}, outputs: []string{"y"}, weights: []*tensor.Tensor{f32("w", tensor.Shape{2}, 1, 2), i64("n", tensor.Shape{1}, 3)}, nodes: []*onnx.Node{nd("y = Mul(x, w)")}}.load(t)
	set := func(ts ...*tensor.Tensor) *tensor.Set {
		s, err := tensor.NewSet(ts...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	double := &tensor.Tensor{Name: "w", DType: tensor.F64, Shape: tensor.Shape{2}, Data: tensor.Bytes(tensor.F64.AppendFloats(nil, []float32{5, 6}))}
	h, err := g.WithWeights(set(double))
	if err != nil {
		t.Fatal(err)
	}
	v, err := ValueOf(h.Weights.Lookup("w"))
	if err != nil || v.Type != tensor.F32 || !cmp.Equal(v.Float, []float64{5, 6}) {
		t.Errorf("w is %v, %v", v, err)
	}
	if old, _ := ValueOf(g.Weights.Lookup("w")); !cmp.Equal(old.Float, []float64{1, 2}) {
		t.Errorf("the old graph has %v", old.Float)
	}
	for want, bad := range map[string]*tensor.Tensor{
		`no weight "v"`:              f32("v", tensor.Shape{2}, 1, 2),
		`weight "w" is 1, in the`:    f32("w", tensor.Shape{1}, 1),
		`weight "w" is I64, in the`:  i64("w", tensor.Shape{2}, 1, 2),
		`weight "n" is F32, in the `: f32("n", tensor.Shape{1}, 1),
	} {
		if _, err := g.WithWeights(set(bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// What normalizes by the batch is found also where a branch hides it, and by what
// older versions said in place of training_mode.
func TestBatchStatistics(t *testing.T) {
	norm := func(out, more string) *onnx.Node {
		n := nd(out + " = BatchNormalization(x, s, s, s, s)" + more)
		n.Name = "norm " + out
		return n
	}
	live := nd("l = BatchNormalization(x, s, s, s, s)", "training_mode", 1)
	live.Name = "norm l"
	weights := []*tensor.Tensor{f32("s", tensor.Shape{1}, 1)}
	g := model{
		opset: 17, inputs: []onnx.Value{in("x", 2, 1), in("i")}, outputs: []string{"p", "z"}, weights: weights,
		nodes: []*onnx.Node{norm("p", ""), nd("z = If(i)", "then_branch", branchOf("l", nil, live), "else_branch", branchOf("p", nil))},
	}.load(t)
	if d := cmp.Diff([]string{"If_1.then_branch/norm l"}, g.BatchStatistics()); d != "" {
		t.Error(d)
	}
	old := nd("q, m, v, a, b = BatchNormalization(x, s, s, s, s)")
	old.Name = "norm q"
	g = model{opset: 12, inputs: []onnx.Value{in("x", 2, 1)}, outputs: []string{"q"}, weights: weights, nodes: []*onnx.Node{old}}.load(t)
	if d := cmp.Diff([]string{"norm q"}, g.BatchStatistics()); d != "" {
		t.Error(d)
	}
}
