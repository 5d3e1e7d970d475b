package graph

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/internal/format/onnx"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// branchOf returns a subgraph without inputs.
func branchOf(output string, weights []*tensor.Tensor, nodes ...*onnx.Node) *onnx.Graph {
	g := &onnx.Graph{Name: "branch", Nodes: nodes, Outputs: []onnx.Value{{Name: output}}}
	for _, w := range weights {
		g.Initializers = append(g.Initializers, onnx.Initializer{Name: w.Name, Constant: onnx.Constant{Dense: w, Shape: w.Shape}})
	}
	return g
}

// Inputs, outputs, weights and types are those of the file.
func TestFromONNX(t *testing.T) {
	w := f32("w", tensor.Shape{3, 2}, 1, 2, 3, 4, 5, 6)
	m := model{
		opset: 17, inputs: []onnx.Value{in("x", -1, 3), in("w", 3, 2)}, outputs: []string{"z", "y"}, weights: []*tensor.Tensor{w},
		nodes: []*onnx.Node{nd("y = MatMul(x, w)"), nd("z = Relu(y)"), nd("u = Nonsense(y, , )", "k", 3)},
	}
	m.nodes[0].Name = "product"
	g := m.load(t)
	want := []Input{{Name: "x", Type: tensor.F32, Shape: []Dim{{-1, "x0"}, {3, ""}}}}
	if d := cmp.Diff(want, g.Inputs); d != "" {
		t.Errorf("a weight that is an input as well is no input:\n%s", d)
	}
	if d := cmp.Diff([]string{"z", "y"}, g.Outputs); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(trim(`
		y = MatMul(x, [1 2 3 4 5 6])
		z = Relu(y)
		u = Nonsense(y) k=3`), show(g, nil)); d != "" {
		t.Error(d)
	}
	if g.Name != "g" || g.Nodes[0].Name != "product" || g.Nodes[1].Name != "Relu_1" || g.Nodes[1].Opset != 17 {
		t.Errorf("names are %q, %q, %q", g.Name, g.Nodes[0].Name, g.Nodes[1].Name)
	}
	missing := []Missing{{Node: "Nonsense_2", Op: "Nonsense", Opset: 17}}
	if d := cmp.Diff(missing, g.Missing()); d != "" {
		t.Error(d)
	}
}

// Every kind of Constant becomes a weight; strings stay a node.
func TestConstants(t *testing.T) {
	m := model{
		opset: 17, outputs: []string{"y", "s", "t"},
		nodes: []*onnx.Node{
			nd("a = Constant()", "value", f32("", tensor.Shape{1, 2}, 1, 2)),
			nd("b = Constant()", "value_float", 3.0),
			nd("c = Constant()", "value_floats", []float64{4, 5}),
			nd("d = Constant()", "value_int", 6),
			nd("e = Constant()", "value_ints", []int64{7, 8}),
			nd("f = Constant()", "value_ints", []int64{}),
			nd("s = Constant()", "value_string", "one"),
			nd("t = Constant()", "value_strings", []string{"one", "two"}),
			nd("y = F(a, b, c, d, e, f)"),
		},
	}
	g := m.load(t)
	want := `
		s = Constant() value_string=one
		t = Constant() value_strings=[one two]
		y = F([1 2], [3], [4 5], [6], [7 8], [])`
	if d := cmp.Diff(trim(want), show(g, nil)); d != "" {
		t.Error(d)
	}
	for name, shape := range map[string]tensor.Shape{"a": {1, 2}, "b": {}, "c": {2}, "d": {}, "e": {2}, "f": {0}} {
		if w := g.Weights.Lookup(name); w == nil || !w.Shape.Equal(shape) {
			t.Errorf("weight %q is %+v, want %v", name, w, shape)
		}
	}
}

// A sparse tensor is scattered into zeros.
func TestSparse(t *testing.T) {
	b := model{opset: 17, outputs: []string{"y", "z"}, nodes: []*onnx.Node{nd("y = Neg(s)"), nd("z = Neg(r)")}}.bytes(t)
	m, err := onnx.Open("m", tensor.Bytes(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	net, err := m.Network(nil)
	if err != nil {
		t.Fatal(err)
	}
	net.Graph.Initializers = []onnx.Initializer{
		{Name: "s", Constant: onnx.Constant{Values: f32("", tensor.Shape{2}, 5, 6), Indices: i64("", tensor.Shape{2}, 1, 3), Shape: tensor.Shape{2, 2}}},
		{Name: "r", Constant: onnx.Constant{Values: f32("", tensor.Shape{1}, 7), Indices: i64("", tensor.Shape{1, 2}, 1, 0), Shape: tensor.Shape{2, 2}}},
	}
	var file bytes.Buffer
	if err := net.Write(&file); err != nil {
		t.Fatal(err)
	}
	g, err := FromONNX("m", tensor.Bytes(file.Bytes()), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `
		s.zeros = ConstantOfShape([4]) value=[0][]
		s.flat = ScatterElements(s.zeros, [1 3], [5 6])
		s#2 = Reshape(s.flat, [2 2])
		r.zeros = ConstantOfShape([2 2]) value=[0][]
		r#2 = ScatterND(r.zeros, [1 0], [7])
		y = Neg(s#2)
		z = Neg(r#2)`
	if d := cmp.Diff(trim(want), show(g, nil)); d != "" {
		t.Error(d)
	}
}

// Names in subgraphs are those of package onnx, and what is outside is found.
func TestSubgraphs(t *testing.T) {
	inner := branchOf("y", nil, nd("y = Add(x, w)"))
	m := model{
		opset: 17, inputs: []onnx.Value{in("x", 2), in("c")}, outputs: []string{"z"}, weights: []*tensor.Tensor{f32("w", tensor.Shape{2}, 1, 2)},
		nodes: []*onnx.Node{nd("z = If(c)",
			"then_branch", branchOf("y", []*tensor.Tensor{f32("w", tensor.Shape{2}, 3, 4)},
				nd("v = Mul(x, w)"), nd("y = If(c)", "then_branch", inner, "else_branch", inner)),
			"else_branch", branchOf("x", nil))},
	}
	g := m.load(t)
	want := `
		z = If(c) else_branch={
		return x} then_branch={
		If_0.then_branch/v = Mul(x, [3 4])
		If_0.then_branch/y = If(c) else_branch={
		If_0.then_branch/If_1.else_branch/y = Add(x, [3 4])
		return If_0.then_branch/If_1.else_branch/y} then_branch={
		If_0.then_branch/If_1.then_branch/y = Add(x, [3 4])
		return If_0.then_branch/If_1.then_branch/y}
		return If_0.then_branch/y}`
	if d := cmp.Diff(trim(want), trim(show(g, nil))); d != "" {
		t.Error(d)
	}
	if g.Weights.Lookup("If_0.then_branch/w") == nil {
		t.Error("the weight of a branch has another name than in a checkpoint")
	}
	seen := map[string]bool{}
	g.each(func(g *Graph) {
		for _, n := range g.Nodes {
			if seen[n.Name] {
				t.Errorf("two nodes are named %q", n.Name)
			}
			seen[n.Name] = true
		}
	})
}

// Nodes in the wrong order are sorted; others stay.
func TestOrder(t *testing.T) {
	m := model{
		opset: 17, inputs: []onnx.Value{in("x", 2), in("c")}, outputs: []string{"z"},
		nodes: []*onnx.Node{
			nd("z = If(c)", "then_branch", branchOf("p", nil, nd("p = Neg(b)")), "else_branch", branchOf("q", nil, nd("q = Neg(x)"))),
			nd("b = Exp(a)"),
			nd("a = Abs(x)"),
			nd("d = Cos(x)"),
		},
	}
	var ops []string
	for _, n := range m.load(t).Nodes {
		ops = append(ops, n.Op)
	}
	if d := cmp.Diff([]string{"Abs", "Exp", "If", "Cos"}, ops); d != "" {
		t.Error(d)
	}
}

// withFunctions returns the file of m with functions in it.
func withFunctions(t testing.TB, m model, functions ...[]byte) []byte {
	t.Helper()
	b := m.bytes(t)
	for _, f := range functions {
		b = append(b, field(25, f)...)
	}
	return b
}

func field(num byte, payload ...[]byte) []byte {
	var b []byte
	for _, p := range payload {
		b = append(b, p...)
	}
	size := []byte{byte(len(b))}
	if len(b) >= 128 {
		size = []byte{byte(len(b)) | 128, byte(len(b) >> 7)}
	}
	tag := []byte{num<<3 | 2}
	if num >= 16 {
		tag = []byte{(num<<3 | 2) | 128, num >> 4}
	}
	return append(append(tag, size...), b...)
}

func text(num byte, s string) []byte { return field(num, []byte(s)) }

// ref is an attribute that has the value of one of the function.
func ref(name, of string, kind byte) []byte {
	return field(5, text(1, name), text(21, of), []byte{20<<3&127 | 128, 1, kind})
}

// Functions are put in the place of their calls, with attributes and defaults.
func TestFunctions(t *testing.T) {
	function := func(name string, body ...[]byte) []byte {
		return append(append(append(text(1, name), text(4, "a")...), text(5, "r")...), append(bytes.Join(body, nil), text(10, "mine")...)...)
	}
	leaky := function("Leaky", field(9, []byte{2 << 3, 9}), // opset 9
		field(7, text(2, "s"), text(4, "Constant"), ref("value_float", "slope", 1)),
		field(7, text(1, "a"), text(2, "c"), text(4, "Clip"), ref("max", "top", 1)),
		field(7, text(1, "c"), text(1, "s"), text(2, "r"), text(4, "Mul")))
	twice := function("Twice",
		field(7, text(1, "a"), text(2, "b"), text(4, "Leaky"), text(7, "mine"), ref("slope", "k", 1)),
		field(7, text(1, "b"), text(2, "r"), text(4, "Neg")))
	call := nd("y = Twice(x)", "k", 0.5)
	call.Domain, call.Name = "mine", "outer"
	other := nd("z = Leaky(y)", "slope", 2.0, "top", 6.0)
	other.Domain = "mine"
	m := model{opset: 17, inputs: []onnx.Value{in("x", 2)}, outputs: []string{"z"}, nodes: []*onnx.Node{call, other}}
	g, err := FromONNX("m", tensor.Bytes(withFunctions(t, m, leaky, twice)), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `
		outer/Leaky_0/c = Clip(x)
		outer/Leaky_0/r = Mul(outer/Leaky_0/c, [0.5])
		outer/b = Identity(outer/Leaky_0/r)
		outer/r = Neg(outer/b)
		y = Identity(outer/r)
		Leaky_1/c = Clip(y, , [6])
		Leaky_1/r = Mul(Leaky_1/c, [2])
		z = Identity(Leaky_1/r)`
	if d := cmp.Diff(trim(want), show(g, nil)); d != "" {
		t.Error(d)
	}

	// A function that calls itself, and one that doubles at each call.
	self := function("Self", field(7, text(1, "a"), text(2, "r"), text(4, "Self"), text(7, "mine")))
	var bombs [][]byte
	for i := range 40 {
		next := fmt.Sprintf("Bomb%d", i+1)
		bombs = append(bombs, function(fmt.Sprintf("Bomb%d", i),
			field(7, text(1, "a"), text(2, "b"), text(4, next), text(7, "mine")),
			field(7, text(1, "b"), text(2, "r"), text(4, next), text(7, "mine"))))
	}
	for op, fs := range map[string][][]byte{"Self": {self}, "Bomb0": bombs} {
		call := nd("z = " + op + "(x)")
		call.Domain = "mine"
		m.nodes = []*onnx.Node{call}
		_, err := FromONNX("m", tensor.Bytes(withFunctions(t, m, fs...)), nil)
		if _, ok := errors.AsType[*layout.UnsupportedError](err); !ok {
			t.Errorf("%s: got %v, want an UnsupportedError", op, err)
		}
	}
}

// What is wrong with a graph is said.
func TestBadGraphs(t *testing.T) {
	x := []onnx.Value{in("x", 2)}
	w := f32("w", tensor.Shape{1}, 1)
	tests := []struct {
		name string
		m    model
		want string
	}{
		{"missing value", model{inputs: x, outputs: []string{"y"}, nodes: []*onnx.Node{nd("y = Add(x, z)")}}, `node "Add_0" (Add) reads "z", which nothing makes`},
		{"missing output", model{inputs: x, outputs: []string{"y"}}, `output "y" of the graph is made by nothing`},
		{"made twice", model{inputs: x, outputs: []string{"y"}, nodes: []*onnx.Node{nd("y = Neg(x)"), nd("y = Abs(x)")}}, `value "y" is made twice`},
		{"two outputs of a node", model{inputs: x, outputs: []string{"y"}, nodes: []*onnx.Node{nd("y, y = Neg(x)")}}, `value "y" is made twice`},
		{"input made again", model{inputs: x, outputs: []string{"x"}, nodes: []*onnx.Node{nd("x = Neg(x)")}}, `value "x" is made twice`},
		{"weight made again", model{inputs: x, weights: []*tensor.Tensor{w}, nodes: []*onnx.Node{nd("w = Neg(x)")}}, `value "w" is made twice`},
		{"circle", model{inputs: x, outputs: []string{"a"}, nodes: []*onnx.Node{nd("a = Neg(b)"), nd("b = Abs(c)"), nd("c = Exp(a)")}}, `in a circle: "Neg_0" reads of "Abs_1" reads of "Exp_2"`},
		{"circle of one", model{outputs: []string{"a"}, nodes: []*onnx.Node{nd("a = Neg(a)")}}, `in a circle: "Neg_0"`},
		{"attribute twice", model{inputs: x, nodes: []*onnx.Node{nd("y = F(x)", "k", 1, "k", 2)}}, `node "F_0" has two attributes "k"`},
		{"constant without value", model{nodes: []*onnx.Node{nd("y = Constant()")}}, `Constant "y" has 0 attributes`},
		{"constant of a graph", model{nodes: []*onnx.Node{nd("y = Constant()", "value", branchOf("x", nil))}}, `of a kind that is not known`},
		{"constant with inputs in a circle", model{nodes: []*onnx.Node{nd("y, z = Constant()", "value_int", 1)}}, `a Constant has 2 outputs`},
		{"inner missing", model{inputs: x, nodes: []*onnx.Node{nd("y = If(x)", "then_branch", branchOf("q", nil, nd("q = Neg(p)")))}}, `node "If_0.then_branch/Neg_0" (Neg) reads "p"`},
		{"circle through a branch", model{inputs: x, nodes: []*onnx.Node{nd("y = If(x)", "then_branch", branchOf("q", nil, nd("q = Neg(y)")))}}, `in a circle`},
	}
	for _, tt := range tests {
		tt.m.opset = 17
		_, err := FromONNX("m.onnx", tensor.Bytes(tt.m.bytes(t)), nil)
		var c *layout.CorruptError
		if !errors.As(err, &c) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want a CorruptError with %q", tt.name, err, tt.want)
		}
	}
}

// A model without a graph, or of another format, has none.
func TestNoGraph(t *testing.T) {
	var u *layout.UnsupportedError
	if _, err := FromLayout(&layout.Layout{Format: "npz", Files: []layout.File{{Name: "a.npz"}}}); !errors.As(err, &u) {
		t.Errorf("got %v, want an UnsupportedError", err)
	}
	b := append([]byte{8, 10}, field(25, text(1, "F"))...)
	if _, err := FromONNX("m", tensor.Bytes(b), nil); !errors.As(err, &u) {
		t.Errorf("got %v, want an UnsupportedError", err)
	}
}

// What is nested too deep, or has too much of names, is refused.
func TestImportLimits(t *testing.T) {
	deep := branchOf("y", nil, nd("y = Neg(x)"))
	for range 70 {
		deep = branchOf("y", nil, nd("y = If(x)", "then_branch", deep, "else_branch", branchOf("x", nil)))
	}
	long := strings.Repeat("n", 4000)
	var many []*onnx.Node
	for i := range 1000 {
		many = append(many, nd(fmt.Sprintf("v%d = Neg(x)", i)))
	}
	names := branchOf("v0", nil, many...)
	for range 20 {
		n := nd("y = If(x)", "then_branch", names)
		n.Name = long
		names = branchOf("y", nil, n)
	}
	lists := make([]*onnx.Node, 0, 10)
	for i := range 10 {
		lists = append(lists, nd(fmt.Sprintf("y%d = Squeeze(x)", i), "axes", make([]int64, 5000)))
	}
	for name, nodes := range map[string][]*onnx.Node{"depth": deep.Nodes, "names": names.Nodes} {
		_, err := FromONNX("m", tensor.Bytes(model{opset: 11, inputs: []onnx.Value{in("x")}, nodes: nodes}.bytes(t)), nil)
		if _, ok := errors.AsType[*layout.UnsupportedError](err); !ok {
			t.Errorf("%s: got %v, want an UnsupportedError", name, err)
		}
	}
	g := model{opset: 11, inputs: []onnx.Value{in("x")}, nodes: lists}.load(t)
	if m := g.Missing(); len(m) != len(lists) || !strings.Contains(m[0].Why, "5000 numbers, want at most 4096") {
		t.Errorf("missing is %v", m)
	}
}

// An output that the canonical form of an operator has no more may be read by
// nobody.
func TestDangling(t *testing.T) {
	m := model{
		opset: 9, inputs: []onnx.Value{in("x", 2)}, outputs: []string{"z"},
		nodes: []*onnx.Node{nd("y, m, v, sm, sv = BatchNormalization(x, x, x, x, x)"), nd("z = Add(y, sv)")},
	}
	g := m.load(t)
	if ms := g.Missing(); len(ms) != 1 || ms[0].Node != "Add_1" || !strings.Contains(ms[0].Why, `reads "sv"`) {
		t.Errorf("missing is %v", ms)
	}
}

// Cuts and flips give a graph or an error that says what is wrong with the file.
func TestDamaged(t *testing.T) {
	whole := everything(t)
	try := func(b []byte) {
		g, err := FromONNX("m", tensor.Bytes(b), nil)
		if err != nil {
			checkFileError(t, err)
			return
		}
		exercise(g)
	}
	for i := range whole {
		try(whole[:i])
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i % 8)
		try(b)
		b[i] = 255
		try(b)
	}
}

func checkFileError(t testing.TB, err error) {
	var c *layout.CorruptError
	var u *layout.UnsupportedError
	if !errors.As(err, &c) && !errors.As(err, &u) {
		t.Fatalf("an error of another kind: %v", err)
	}
}

// exercise does with a graph what can be done with any.
func exercise(g *Graph) {
	g.Missing()
	g.Parameters()
	g.Buffers()
	shapes := map[string]tensor.Shape{}
	for _, in := range g.Inputs {
		shape := make(tensor.Shape, len(in.Shape))
		for i, d := range in.Shape {
			if shape[i] = d.Size; d.Size < 0 {
				shape[i] = 2
			}
		}
		shapes[in.Name] = shape
	}
	s, err := Specialize(g, shapes, nil)
	if err != nil {
		return
	}
	_ = s.WriteONNX(&bytes.Buffer{})
}

// everything is a small file with much in it.
func everything(t testing.TB) []byte {
	m := model{
		opset: 11, inputs: []onnx.Value{in("x", -1, 2, 4, 4), in("c")}, outputs: []string{"y", "z"},
		weights: []*tensor.Tensor{f32("w", tensor.Shape{2, 2, 1, 1}, 1, 2, 3, 4), f32("b", tensor.Shape{2}, 1, 2)},
		nodes: []*onnx.Node{
			nd("s = Shape(x)"),
			nd("k = Constant()", "value_ints", []int64{0}),
			nd("n = Gather(s, k)"),
			nd("m = Constant()", "value", i64("", tensor.Shape{1}, -1)),
			nd("r = Concat(n, m)", "axis", 0),
			nd("a = Conv(x, w, b)", "kernel_shape", []int64{1, 1}),
			nd("f = Reshape(a, r)"),
			nd("y = Softmax(f)"),
			nd("z = If(c)", "then_branch", branchOf("q", nil, nd("q = Relu(f)")), "else_branch", branchOf("p", []*tensor.Tensor{f32("v", tensor.Shape{1}, 2)}, nd("p = Mul(f, v)"))),
		},
	}
	return m.bytes(t)
}

func FuzzFromONNX(f *testing.F) {
	f.Add(everything(f))
	f.Add(model{opset: 6, inputs: []onnx.Value{in("x", 2)}, outputs: []string{"y"}, nodes: []*onnx.Node{nd("y = Add(x, x)", "axis", 0)}}.bytes(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := FromONNX("m", tensor.Bytes(b), nil)
		if err != nil {
			checkFileError(t, err)
			return
		}
		exercise(g)
	})
}
