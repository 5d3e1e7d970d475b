package graph

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/tensor"
)

func floats(shape tensor.Shape, x ...float64) *Value {
	return &Value{Type: tensor.F32, Shape: shape, Float: x}
}

func ints(shape tensor.Shape, x ...int64) *Value {
	return &Value{Type: tensor.I64, Shape: shape, Int: x}
}

func truths(shape tensor.Shape, x ...int64) *Value {
	return &Value{Type: tensor.Bool, Shape: shape, Int: x}
}

// Values with weights, a use of a value twice, and what is returned.
func TestEvaluate(t *testing.T) {
	w, err := floats(tensor.Shape{2}, 10, 20).Tensor("w")
	if err != nil {
		t.Fatal(err)
	}
	set, err := tensor.NewSet(w)
	if err != nil {
		t.Fatal(err)
	}
	g := &Graph{
		Inputs:  []Input{{"x", tensor.F32, []Dim{{-1, "n"}, {2, ""}}}},
		Outputs: []string{"z", "w"},
		Weights: set,
		Nodes: []*Node{
			{Name: "a", Op: "Add", Inputs: []string{"x", "w"}, Outputs: []string{"y"}},
			{Name: "b", Op: "Mul", Inputs: []string{"y", "y"}, Outputs: []string{"z"}},
		},
	}
	x := floats(tensor.Shape{1, 2}, 1, 2)
	got, err := Evaluate(g, map[string]*Value{"x": x}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]*Value{"z": floats(tensor.Shape{1, 2}, 121, 484), "w": floats(tensor.Shape{2}, 10, 20)}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	got, err = Evaluate(g, map[string]*Value{"x": x}, &EvaluateOptions{All: true})
	if err != nil {
		t.Fatal(err)
	}
	want["x"], want["y"] = x, floats(tensor.Shape{1, 2}, 11, 22)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}

	for _, tt := range []struct {
		name string
		x    *Value
		o    *EvaluateOptions
		want string
	}{
		{"no input", nil, nil, `input "x" is missing`},
		{"rank", floats(tensor.Shape{2}, 1, 2), nil, `want F32 -1x2`},
		{"length", floats(tensor.Shape{1, 3}, 1, 2, 3), nil, `want F32 -1x2`},
		{"type", ints(tensor.Shape{1, 2}, 1, 2), nil, `want F32`},
		{"elements", floats(tensor.Shape{1, 2}, 1), nil, `has 1 elements, want 2`},
		{"memory", x, &EvaluateOptions{MaxElems: 3}, `node "a" (Add): its output F32 1x2: it would take more memory`},
		{"work", x, &EvaluateOptions{MaxSteps: 600}, `node "b" (Mul): it would take more work`},
	} {
		in := map[string]*Value{}
		if tt.x != nil {
			in["x"] = tt.x
		}
		if _, err := Evaluate(g, in, tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

// Everything that is not known is said at once, in subgraphs too.
func TestEvaluateUnsupported(t *testing.T) {
	sub := &Graph{Nodes: []*Node{{Name: "c", Op: "Cook"}}}
	g := &Graph{Nodes: []*Node{
		{Name: "a", Op: "Bake"},
		{Name: "b", Op: "Add", Domain: "com.example", Attributes: Attributes{"body": sub}},
	}}
	_, err := Evaluate(g, nil, nil)
	e, ok := errors.AsType[*UnsupportedError](err)
	if !ok {
		t.Fatal(err)
	}
	var got []string
	for _, m := range e.Missing {
		got = append(got, m.Node)
	}
	if d := cmp.Diff([]string{"a", "b", "c"}, got); d != "" {
		t.Error(d)
	}
}

// Every type goes to a tensor and back.
func TestValueTensor(t *testing.T) {
	for _, v := range []*Value{
		{Type: tensor.F64, Shape: tensor.Shape{2}, Float: []float64{1e-300, -1}},
		{Type: tensor.F32, Shape: tensor.Shape{1, 2}, Float: []float64{0.5, -3}},
		{Type: tensor.F16, Shape: tensor.Shape{2}, Float: []float64{0.5, -3}},
		{Type: tensor.BF16, Shape: tensor.Shape{2}, Float: []float64{0.5, -3}},
		{Type: tensor.I4, Shape: tensor.Shape{3}, Int: []int64{-8, 7, -1}},
		{Type: tensor.U4, Shape: tensor.Shape{3}, Int: []int64{15, 0, 8}},
		{Type: tensor.I8, Shape: tensor.Shape{2}, Int: []int64{-128, 127}},
		{Type: tensor.U8, Shape: tensor.Shape{2}, Int: []int64{255, 0}},
		{Type: tensor.I16, Shape: tensor.Shape{2}, Int: []int64{-32768, 32767}},
		{Type: tensor.U16, Shape: tensor.Shape{}, Int: []int64{65535}},
		{Type: tensor.I32, Shape: tensor.Shape{2}, Int: []int64{-1 << 31, 1<<31 - 1}},
		{Type: tensor.U32, Shape: tensor.Shape{1}, Int: []int64{1<<32 - 1}},
		{Type: tensor.I64, Shape: tensor.Shape{2}, Int: []int64{-1 << 63, 1<<63 - 1}},
		{Type: tensor.U64, Shape: tensor.Shape{1}, Int: []int64{-1}},
		{Type: tensor.Bool, Shape: tensor.Shape{2}, Int: []int64{0, 1}},
		{Type: tensor.F32, Shape: tensor.Shape{0, 2}, Float: []float64{}},
	} {
		x, err := v.Tensor("v")
		if err != nil {
			t.Fatal(err)
		}
		got, err := ValueOf(x)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(v, got); d != "" {
			t.Errorf("%v: %s", v.typ(), d)
		}
	}
}
