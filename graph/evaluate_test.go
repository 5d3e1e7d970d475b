package graph

import (
	"errors"
	"fmt"
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

// Graphs that are small in a file and large when they run end with an error, and so do
// those that make no sense.
func TestEvaluateHostileGraphs(t *testing.T) {
	doubling := &Graph{Inputs: []Input{{Name: "x0"}}, Outputs: []string{"x60"}}
	for i := range 60 {
		x := fmt.Sprint("x", i)
		doubling.Nodes = append(doubling.Nodes, &Node{
			Name: x, Op: "Concat", Inputs: []string{x, x}, Outputs: []string{fmt.Sprint("x", i+1)}, Attributes: Attributes{"axis": int64(0)},
		})
	}
	loop := func(body *Graph) *Node {
		return &Node{Name: "loop", Op: "Loop", Inputs: []string{"", ""}, Outputs: []string{}, Attributes: Attributes{"body": body}}
	}
	within := endless()
	within.Nodes = append(within.Nodes, loop(endless()))
	growing := endless()
	growing.Outputs = append(growing.Outputs, "big")
	growing.Nodes = append(growing.Nodes, &Node{Name: "big", Op: "RandomUniform", Outputs: []string{"big"}, Attributes: Attributes{"shape": []int64{1 << 10}}})
	deep := &Graph{Outputs: []string{"x0"}}
	for range 100 {
		deep = &Graph{Outputs: []string{"y"}, Nodes: []*Node{{
			Name: "if", Op: "If", Inputs: []string{"on"}, Outputs: []string{"y"}, Attributes: Attributes{"then_branch": deep, "else_branch": branch("Constant", Attributes{"value_float": 1.0})},
		}}}
	}
	deep.Inputs = []Input{{Name: "on"}, {Name: "x0"}}
	one := func(n *Node) *Graph {
		return &Graph{Inputs: []Input{{Name: "x0"}}, Outputs: []string{"x0"}, Nodes: []*Node{n}}
	}
	stacked := loop(growing)
	stacked.Outputs = []string{"stack"}
	for _, tt := range []struct {
		name string
		g    *Graph
		want string
	}{
		{"doubling", doubling, "more memory"},
		{"loop in loop", one(loop(within)), "more work"},
		{"stack of a loop", one(stacked), "more memory"},
		{"deep", deep, "more than 32 deep"},
		{"nobody makes it", one(&Node{Name: "n", Op: "Neg", Inputs: []string{"gone"}, Outputs: []string{"y"}}), `node "n" (Neg): value "gone" is used, but nothing makes it`},
		{"branch that gives nothing", one(&Node{
			Name: "n", Op: "If", Inputs: []string{"on"}, Outputs: []string{"y"}, Attributes: Attributes{"then_branch": &Graph{}, "else_branch": &Graph{}},
		}), "its output 0 is not computed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := map[string]*Value{"x0": list(1), "on": truths(tensor.Shape{}, 1)}
			if tt.name == "branch that gives nothing" {
				tt.g.Inputs = append(tt.g.Inputs, Input{Name: "on"})
			}
			_, err := Evaluate(tt.g, in, &EvaluateOptions{MaxElems: 1 << 20, MaxSteps: 1 << 24})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// What is held is given back: a graph may make more values than fit at a time.
func TestEvaluateReleases(t *testing.T) {
	g := &Graph{Inputs: []Input{{Name: "x0"}}, Outputs: []string{"x50"}}
	for i := range 50 {
		g.Nodes = append(g.Nodes, &Node{Name: fmt.Sprint(i), Op: "Neg", Inputs: []string{fmt.Sprint("x", i)}, Outputs: []string{fmt.Sprint("x", i+1)}})
	}
	x := newValue(Type{tensor.F32, tensor.Shape{100}})
	if _, err := Evaluate(g, map[string]*Value{"x0": x}, &EvaluateOptions{MaxElems: 250}); err != nil {
		t.Error(err)
	}
	if _, err := Evaluate(g, map[string]*Value{"x0": x}, &EvaluateOptions{MaxElems: 250, All: true}); err == nil {
		t.Error("all values fit in memory for a few")
	}
}
