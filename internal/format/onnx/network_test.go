package onnx

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// everyKind is a model with every kind of attribute and tensor.
func everyKind() []byte {
	floatList := msg(f32(attributeFloats, 1), f32(attributeFloats, 2))
	inner := msg(
		initializer(rawTensor("w", 1, floats(3, 4), 2)),
		makeNode("Add", "", "y"),
		sub(graphOutput, str(valueName, "y")),
	)
	sparse := msg(
		sub(sparseValues, rawTensor("s", 1, floats(5), 1)),
		sub(sparseIndices, rawTensor("", 7, int64s(2), 1)),
		num(sparseDims, 4),
	)
	return model(
		str(graphName, "main"),
		initializer(rawTensor("w", 1, floats(1, 2), 2)),
		initializer(dims(2), num(tensorType, typeString), str(tensorString, "a"), str(tensorString, ""), str(tensorName, "words")),
		sub(graphSparse, sparse),
		sub(graphInput, str(valueName, "x"), sub(valueType, sub(typeTensor, num(tensorTypeElement, 1),
			sub(tensorTypeShape, sub(shapeDim, str(dimParam, "n")), sub(shapeDim, num(dimValue, 3)), sub(shapeDim))))),
		sub(graphValue, str(valueName, "z"), sub(valueType, sub(typeTensor, num(tensorTypeElement, typeString)))),
		sub(graphNode, str(nodeInput, "x"), str(nodeInput, ""), str(nodeOutput, "z"), str(nodeOp, "If"), str(nodeDomain, "ai.onnx"), str(nodeOverload, "o"),
			sub(nodeAttribute, attr("f", f32(attributeFloat, 0.5), num(attributeKind, kindFloat))),
			sub(nodeAttribute, attr("zero", num(attributeKind, kindInt))),
			sub(nodeAttribute, attr("i", num(attributeInt, -7))),
			sub(nodeAttribute, attr("s", str(attributeString, "\xff"))),
			sub(nodeAttribute, attr("floats", floatList)),
			sub(nodeAttribute, attr("ints", packed(attributeInts, 1, -1))),
			sub(nodeAttribute, attr("strings", str(attributeStrings, "p"), str(attributeStrings, "q"))),
			sub(nodeAttribute, attr("t", sub(attributeTensor, rawTensor("", 1, floats(9), 1)))),
			sub(nodeAttribute, attr("none", num(attributeKind, kindInts))),
			sub(nodeAttribute, attr("then", sub(attributeGraph, inner))),
			sub(nodeAttribute, attr("two", sub(attributeGraphs, inner), sub(attributeGraphs, inner))),
		),
		makeNode("Constant", "", "c", attr("value_floats", floatList)),
	)
}

func network(t *testing.T, b []byte) (*Network, *tensor.Set) {
	t.Helper()
	m, set := mustOpen(t, b, nil)
	n, err := m.Network(set)
	if err != nil {
		t.Fatal(err)
	}
	return n, set
}

// Everything in a graph is read, and tensors are those of the set.
func TestNetwork(t *testing.T) {
	n, set := network(t, everyKind())
	if n.IRVersion != 10 || n.Producer != "hand" || len(n.Opsets) != 1 || n.Opsets[0] != (Opset{"", 21}) {
		t.Errorf("head is %+v", n)
	}
	g := n.Graph
	if want := []Value{{Name: "x", Type: tensor.F32, Ranked: true, Shape: []Dim{{-1, "n"}, {3, ""}, {-1, ""}}}}; !cmp.Equal(g.Inputs, want) {
		t.Errorf("inputs: %s", cmp.Diff(want, g.Inputs))
	}
	if want := []Value{{Name: "z", Text: true}}; !cmp.Equal(g.Values, want) {
		t.Errorf("values: %s", cmp.Diff(want, g.Values))
	}
	if g.Name != "main" || len(g.Initializers) != 3 || len(g.Nodes) != 2 {
		t.Fatalf("graph %q with %d initializers and %d nodes", g.Name, len(g.Initializers), len(g.Nodes))
	}
	if i := g.Initializers[0]; i.Name != "w" || i.Dense != set.Lookup("w") {
		t.Errorf("initializer is %+v", i)
	}
	if i := g.Initializers[1]; i.Name != "words" || !cmp.Equal(i.Text, []string{"a", ""}) || !i.Shape.Equal(tensor.Shape{2}) {
		t.Errorf("initializer of strings is %+v", i)
	}
	if i := g.Initializers[2]; i.Name != "s" || i.Values != set.Lookup("s") || i.Indices != set.Lookup("s.indices") || !i.Shape.Equal(tensor.Shape{4}) {
		t.Errorf("sparse initializer is %+v", i)
	}
	nd := g.Nodes[0]
	if nd.Op != "If" || nd.Domain != "" || nd.Overload != "o" || !cmp.Equal(nd.Inputs, []string{"x", ""}) || !cmp.Equal(nd.Outputs, []string{"z"}) {
		t.Errorf("node is %+v", nd)
	}
	want := []any{0.5, int64(0), int64(-7), "\xff", []float64{1, 2}, []int64{1, -1}, []string{"p", "q"}}
	for i, w := range want {
		if got := nd.Attributes[i].Value; !cmp.Equal(got, w) {
			t.Errorf("attribute %q is %v, want %v", nd.Attributes[i].Name, got, w)
		}
	}
	if c := nd.Attributes[7].Value.(Constant); c.Dense != set.Lookup("If_0.t") || c.Dense == nil {
		t.Errorf("tensor attribute is %+v", c)
	}
	if v := nd.Attributes[8].Value; !cmp.Equal(v, []int64{}) {
		t.Errorf("empty list is %v", v)
	}
	then := nd.Attributes[9].Value.(*Graph)
	if then.Path != "If_0.then/" || then.Initializers[0].Dense != set.Lookup("If_0.then/w") || then.Initializers[0].Name != "w" {
		t.Errorf("subgraph is %+v", then)
	}
	if two := nd.Attributes[10].Value.([]*Graph); len(two) != 2 || two[1].Path != "If_0.two[1]/" {
		t.Errorf("subgraphs are %+v", two)
	}
	if a := g.Nodes[1].Attributes[0]; a.Tensor != set.Lookup("c") || a.Tensor == nil || !cmp.Equal(a.Value, []float64{1, 2}) {
		t.Errorf("list of a Constant is %+v", a)
	}
}

// Functions have their own inputs, opsets and defaults.
func TestNetworkFunction(t *testing.T) {
	f := msg(
		str(functionName, "Twice"), str(functionDomain, "mine"), str(functionInput, "a"), str(functionOutput, "b"),
		str(functionRequired, "k"),
		sub(functionAttribute, attr("alpha", f32(attributeFloat, 2), num(attributeKind, kindFloat))),
		sub(functionOpset, num(opsetVersion, 13)),
		sub(functionNode, str(nodeInput, "a"), str(nodeInput, "a"), str(nodeOutput, "b"), str(nodeOp, "Add"),
			sub(nodeAttribute, attr("k", str(attributeRef, "k")))),
	)
	n, _ := network(t, msg(model(), sub(modelFunctions, f)))
	if len(n.Functions) != 1 {
		t.Fatalf("%d functions", len(n.Functions))
	}
	fn := n.Functions[0]
	if fn.Name != "Twice" || fn.Domain != "mine" || fn.Path != "mine.Twice/" || len(fn.Nodes) != 1 ||
		!cmp.Equal(fn.Attributes, []string{"k"}) || fn.Defaults[0].Value != 2.0 || fn.Opsets[0].Version != 13 {
		t.Errorf("function is %+v", fn)
	}
	if a := fn.Nodes[0].Attributes[0]; a.Ref != "k" || a.Value != nil {
		t.Errorf("attribute is %+v", a)
	}
	if err := n.Write(&bytes.Buffer{}); err == nil {
		t.Error("functions were written")
	}
}

// What is written is read back as it was.
func TestNetworkWrite(t *testing.T) {
	n, _ := network(t, everyKind())
	var b bytes.Buffer
	if err := n.Write(&b); err != nil {
		t.Fatal(err)
	}
	again, set := network(t, b.Bytes())
	opt := cmp.Options{
		cmp.FilterPath(func(p cmp.Path) bool {
			name := p.Last().String()
			return name == ".At" || name == ".Tensor"
		}, cmp.Ignore()),
		cmp.Comparer(func(a, b *tensor.Tensor) bool {
			if a == nil || b == nil {
				return a == b
			}
			x, err := a.Bytes()
			if err != nil {
				return false
			}
			y, err := b.Bytes()
			return err == nil && a.DType == b.DType && a.Shape.Equal(b.Shape) && bytes.Equal(x, y)
		}),
	}
	if d := cmp.Diff(n, again, opt); d != "" {
		t.Error(d)
	}
	if set.Lookup("If_0.two[1]/w") == nil {
		t.Error("a nested tensor is lost")
	}
}

// Cuts and flips give an error or a network, and nothing else.
func TestNetworkDamaged(t *testing.T) {
	whole := everyKind()
	try := func(b []byte) {
		m, err := Open("m", tensor.Bytes(b), nil)
		if err != nil {
			return
		}
		set, err := m.Layout.Set()
		if err != nil {
			return
		}
		n, err := m.Network(set)
		if err != nil {
			var corrupt *layout.CorruptError
			var unsupported *layout.UnsupportedError
			if !errors.As(err, &corrupt) && !errors.As(err, &unsupported) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		_ = n.Write(&bytes.Buffer{}) // must not panic
	}
	for i := range whole {
		try(whole[:i])
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[i] ^= 1 << bit
			try(b)
		}
	}
}

// Too many nodes are refused before they take memory.
func TestNetworkLimits(t *testing.T) {
	node := sub(graphNode)
	m, set := mustOpen(t, model(bytes.Repeat(node, maxNodes+1)), nil)
	_, err := m.Network(set)
	if _, ok := errors.AsType[*layout.UnsupportedError](err); !ok {
		t.Errorf("got %v, want an UnsupportedError", err)
	}
	m, set = mustOpen(t, model(sub(graphInput, append(protowire.AppendTag(nil, valueName, protowire.VarintType), 1))), nil)
	if _, err := m.Network(set); err == nil {
		t.Errorf("a name that is a number was read")
	}
}
