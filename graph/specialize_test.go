package graph

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/internal/format/onnx"
	"ropewalk/tensor"
)

func specialized(t *testing.T, m model, shapes map[string]tensor.Shape, constants map[string]*Value) *Specialized {
	t.Helper()
	s, err := Specialize(m.load(t), shapes, constants)
	if err != nil {
		t.Fatal(err)
	}
	checkSpecialized(t, s)
	return s
}

// checkSpecialized checks what every specialized graph has to be.
func checkSpecialized(t *testing.T, s *Specialized) {
	t.Helper()
	there := map[string]bool{}
	for _, in := range s.Graph.Inputs {
		there[in.Name] = true
	}
	for _, w := range s.Graph.Weights.All() {
		there[w.Name] = true
		if s.Constants[w.Name] != nil {
			t.Errorf("%q is both a weight and a constant", w.Name)
		}
	}
	for name, v := range s.Constants {
		there[name] = true
		if !s.Types[name].equal(v.typ()) {
			t.Errorf("constant %q is %v, of type %v", name, v.typ(), s.Types[name])
		}
	}
	nodes := map[string]bool{}
	var graph func(g *Graph)
	graph = func(g *Graph) {
		for _, n := range g.Nodes {
			if nodes[n.Name] {
				t.Errorf("two nodes are named %q", n.Name)
			}
			nodes[n.Name] = true
			for _, name := range n.Inputs {
				if name != "" && !there[name] {
					t.Errorf("node %q reads %q, which is not there", n.Name, name)
				}
			}
			for _, in := range n.subgraphs() {
				graph(in)
			}
			for _, name := range n.Outputs {
				if name == "" {
					continue
				}
				if there[name] {
					t.Errorf("%q is made twice", name)
				}
				there[name] = true
				if s.Types[name].DType == "" {
					t.Errorf("%q has no type", name)
				}
			}
		}
		for _, name := range g.Outputs {
			if !there[name] {
				t.Errorf("output %q is not there", name)
			}
		}
	}
	graph(s.Graph)
}

func TestSpecialize(t *testing.T) {
	x := []onnx.Value{in("x", -1, 3, 4)}
	w := f32("w", tensor.Shape{12, 2}, make([]float64, 24)...)
	yes := &Value{Type: tensor.Bool, Shape: tensor.Shape{}, Int: []int64{1}}
	c := onnx.Value{Name: "c", Type: tensor.Bool, Ranked: true}
	cond := func(then, other *onnx.Graph) *onnx.Node {
		return nd("z = If(c)", "then_branch", then, "else_branch", other)
	}
	tests := []struct {
		name      string
		m         model
		constants map[string]*Value
		want      string
		types     map[string]string
	}{
		{
			"shape arithmetic",
			model{
				inputs: x, outputs: []string{"y"}, weights: []*tensor.Tensor{w},
				nodes: []*onnx.Node{
					nd("s = Shape(x)"), nd("zero = Constant()", "value_ints", []int64{0}), nd("rest = Constant()", "value_ints", []int64{-1}),
					nd("n = Gather(s, zero)"), nd("t = Concat(n, rest)", "axis", 0),
					nd("r = Reshape(x, t)"), nd("y = MatMul(r, w)"), nd("unused = Nonsense(x)"),
				},
			},
			nil, `
				r = Reshape(x, [5 -1])
				y = MatMul(r, w)`,
			map[string]string{"r": "F32 5x12", "y": "F32 5x2"},
		},
		{
			"identities",
			model{
				inputs: x, outputs: []string{"y", "z", "u"},
				nodes: []*onnx.Node{
					nd("a = Identity(x)"), nd("b = Neg(a)"), nd("y = Identity(b)"), nd("z = Identity(b)"), nd("e = Cast(y)", "to", 1), nd("f = Abs(e)"), nd("u = Identity(x)"),
					nd("g = Exp(f)"),
				},
			},
			nil, `
				y = Neg(x)
				z = Identity(y)
				u = Identity(x)`,
			map[string]string{"z": "F32 5x3x4"},
		},
		{
			"constants",
			model{
				outputs: []string{"y"},
				nodes:   []*onnx.Node{nd("a = Constant()", "value_floats", []float64{1, 2}), nd("b = Exp(a)"), nd("y = Sub(b, b)")},
			},
			nil, "",
			map[string]string{"y": "F32 2"},
		},
		{
			"weights are not folded",
			model{
				inputs: x, outputs: []string{"y"}, weights: []*tensor.Tensor{f32("v", tensor.Shape{2, 4}, 1, 2, 3, 4, 5, 6, 7, 8), f32("two", tensor.Shape{}, 2)},
				nodes: []*onnx.Node{nd("t = Transpose(v)"), nd("a = MatMul(x, t)"), nd("h = Exp(two)"), nd("y = Mul(a, h)")},
			},
			nil, `
				t = Transpose([1 2 3 4 5 6 7 8])
				a = MatMul(x, t)
				y = Mul(a, [7.38905609893065])`,
			map[string]string{"t": "F32 4x2", "h": "F32 scalar"},
		},
		{
			"the branch that is taken",
			model{
				inputs: append([]onnx.Value{c}, x...), outputs: []string{"z"},
				nodes: []*onnx.Node{cond(branchOf("q", nil, nd("p = Relu(x)"), nd("q = Neg(p)")), branchOf("r", nil, nd("r = Nonsense(x)")))},
			},
			map[string]*Value{"c": yes},
			`
				If_0.then_branch/p = Relu(x)
				z = Neg(If_0.then_branch/p)`,
			map[string]string{"z": "F32 5x3x4"},
		},
		{
			"branches that both stay",
			model{
				inputs: append([]onnx.Value{c}, x...), outputs: []string{"z"},
				nodes: []*onnx.Node{nd("i = Identity(x)"), cond(branchOf("q", nil, nd("p = Identity(i)"), nd("o = Shape(p)"), nd("q = Reshape(p, o)")), branchOf("r", nil, nd("u = Cos(x)"), nd("r = Relu(i)")))},
			},
			nil, `
				z = If(c) else_branch={
				If_1.else_branch/r = Relu(x)
				return If_1.else_branch/r} then_branch={
				return x}`,
			map[string]string{"z": "F32 5x3x4", "If_1.else_branch/r": "F32 5x3x4"},
		},
		{
			"an old softmax along channels",
			model{
				opset: 9, inputs: []onnx.Value{in("x", -1, 3, 4)}, outputs: []string{"y", "z"},
				nodes: []*onnx.Node{nd("r = ReduceMean(x)", "axes", []int64{2}), nd("y = Softmax(r)"), nd("z = Softmax(x)")},
			},
			nil, `
				r = ReduceMean(x, [2])
				y = Softmax(r) axis=1
				Softmax_2.rows = Flatten(x) axis=1
				z.rows = Softmax(Softmax_2.rows) axis=-1
				z = Reshape(z.rows, [5 3 4])`,
			nil,
		},
		{
			"outputs that nobody wants",
			model{inputs: x, outputs: []string{"y"}, nodes: []*onnx.Node{nd("y, m = Dropout(x)"), nd("unused = Neg(m)")}},
			nil, `y = Dropout(x)`, nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.m.opset == 0 {
				tt.m.opset = 17
			}
			shapes := map[string]tensor.Shape{}
			for _, in := range tt.m.inputs {
				if in.Name == "x" {
					shapes["x"] = tensor.Shape{5, 3, 4}
				}
			}
			s := specialized(t, tt.m, shapes, tt.constants)
			got := show(s.Graph, s.Constants)
			if d := cmp.Diff(trim(tt.want), trim(got)); d != "" {
				t.Error(d)
			}
			for name, want := range tt.types {
				if _, live := s.Types[name]; live && s.Types[name].String() != want {
					t.Errorf("%q is %v, want %s", name, s.Types[name], want)
				}
			}
		})
	}
}

// What does not fit is said; what cannot be computed is one error.
func TestSpecializeErrors(t *testing.T) {
	g := model{
		opset: 17, inputs: []onnx.Value{in("x", -1, 3), in("u", -1, 3), in("v", 2)}, outputs: []string{"y", "z", "n"}, weights: []*tensor.Tensor{f32("w", tensor.Shape{3, 2}, 1, 2, 3, 4, 5, 6)},
		nodes: []*onnx.Node{nd("y = MatMul(x, w)"), nd("a = Nonsense(u)"), nd("b = Neg(a)"), nd("z = Conv(b, w)", "odd", 1), nd("n = NonZero(x)")},
	}.load(t)
	g.Inputs[1].Shape[0].Name = g.Inputs[0].Shape[0].Name // the same length
	bad := []struct {
		name   string
		shapes map[string]tensor.Shape
		consts map[string]*Value
		want   string
	}{
		{"no shape", nil, nil, `input "x" needs a shape: its axes are x0 x 3`},
		{"unknown input", map[string]tensor.Shape{"x": {1, 3}, "u": {1, 3}, "w": {1}}, nil, `the graph has no input "w"; its inputs are ["x" "u" "v"]`},
		{"wrong rank", map[string]tensor.Shape{"x": {3}, "u": {1, 3}}, nil, `input "x" is F32 3`},
		{"wrong length", map[string]tensor.Shape{"x": {1, 4}, "u": {1, 3}}, nil, `input "x" is F32 1x4`},
		{"negative", map[string]tensor.Shape{"x": {-1, 3}, "u": {1, 3}}, nil, `axis 0 is -1`},
		{"huge", map[string]tensor.Shape{"x": {1 << 62, 3}, "u": {1, 3}}, nil, `input "x": tensor: invalid shape`},
		{"axes that differ", map[string]tensor.Shape{"x": {1, 3}, "u": {2, 3}}, nil, `input "u": axis 0 (x0) is 2, but 1 in another input`},
		{"wrong value", map[string]tensor.Shape{"x": {1, 3}, "u": {1, 3}}, map[string]*Value{"v": {Type: tensor.F32, Shape: tensor.Shape{2}}}, `input "v": F32 2 has 0 elements`},
		{"value of another shape", map[string]tensor.Shape{"x": {1, 3}, "u": {1, 3}, "v": {2}}, map[string]*Value{"v": {Type: tensor.F32, Shape: tensor.Shape{1}, Float: []float64{1}}}, `input "v" is to be 2, but its value is 1`},
	}
	for _, tt := range bad {
		if _, err := Specialize(g, tt.shapes, tt.consts); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	_, err := Specialize(g, map[string]tensor.Shape{"x": {1, 3}, "u": {1, 3}}, nil)
	var u *UnsupportedError
	if !errors.As(err, &u) || len(u.Missing) != 3 {
		t.Fatalf("got %v, want an UnsupportedError with three entries", err)
	}
	for i, want := range []string{`Nonsense (opset 17) of node "Nonsense_1"`, `Conv (opset 17) of node "Conv_3": attribute odd is not known`, `NonZero (opset 17) of node "NonZero_4": `} {
		if got := u.Missing[i].String(); !strings.HasPrefix(got, want) {
			t.Errorf("entry %d is %q, want %q", i, got, want)
		}
	}
	fits := model{opset: 17, inputs: []onnx.Value{in("x", 2, 4)}, outputs: []string{"y"}, weights: []*tensor.Tensor{f32("w", tensor.Shape{3, 2}, 1, 2, 3, 4, 5, 6)}, nodes: []*onnx.Node{nd("y = MatMul(x, w)")}}
	if _, err := Specialize(fits.load(t), nil, nil); err == nil || !strings.Contains(err.Error(), `node "MatMul_0" (MatMul)`) {
		t.Errorf("got %v, want an error that names the node", err)
	}
}

// A small file cannot ask for much memory or time.
func TestSpecializeBounds(t *testing.T) {
	big := i64("big", tensor.Shape{2}, 1<<20, 1<<20)
	var nodes []*onnx.Node
	nodes = append(nodes, nd("z = ConstantOfShape(big)"), nd("y = Exp(z)"))
	last := "small"
	outputs := []string{"y"}
	nodes = append(nodes, nd("small = ConstantOfShape(half)"))
	for i := range 100 {
		next := "s" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		nodes = append(nodes, nd(next+" = Neg("+last+")"))
		last = next
		outputs = append(outputs, next)
	}
	s := specialized(t, model{opset: 17, outputs: outputs, weights: []*tensor.Tensor{big, i64("half", tensor.Shape{1}, 1<<19)}, nodes: nodes}, nil, nil)
	if s.Constants["y"] != nil || s.Types["y"].String() != "F32 1048576x1048576" {
		t.Errorf("y is %v", s.Types["y"])
	}
	held := 0
	for _, v := range s.Constants {
		held += v.elems()
	}
	if held > maxFolds {
		t.Errorf("%d elements are held, want at most %d", held, maxFolds)
	}
	if s.Constants["saa"] == nil {
		t.Error("what is small is not folded")
	}
}
