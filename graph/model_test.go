package graph

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"ropewalk/internal/format/onnx"
	"ropewalk/tensor"
)

// A model is an ONNX file in the making, for tests.
type model struct {
	opset   int64
	inputs  []onnx.Value
	outputs []string
	weights []*tensor.Tensor
	nodes   []*onnx.Node
}

// bytes returns the file.
func (m model) bytes(t testing.TB) []byte {
	t.Helper()
	net := &onnx.Network{IRVersion: 10, Opsets: []onnx.Opset{{Domain: "", Version: m.opset}}, Graph: &onnx.Graph{Name: "g", Inputs: m.inputs, Nodes: m.nodes}}
	for _, o := range m.outputs {
		net.Graph.Outputs = append(net.Graph.Outputs, onnx.Value{Name: o})
	}
	for _, w := range m.weights {
		net.Graph.Initializers = append(net.Graph.Initializers, onnx.Initializer{Name: w.Name, Constant: onnx.Constant{Dense: w, Shape: w.Shape}})
	}
	var b bytes.Buffer
	if err := net.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// load imports the file.
func (m model) load(t testing.TB) *Graph {
	t.Helper()
	g, err := FromONNX("m.onnx", tensor.Bytes(m.bytes(t)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// in is an input of F32; a negative axis is not known.
func in(name string, axes ...int64) onnx.Value {
	v := onnx.Value{Name: name, Type: tensor.F32, Ranked: true}
	for i, a := range axes {
		d := onnx.Dim{Size: a}
		if a < 0 {
			d.Name = fmt.Sprintf("%s%d", name, i)
		}
		v.Shape = append(v.Shape, d)
	}
	return v
}

// nd is a node: "y, z = Op(x, w)" and its attributes by name and value.
func nd(text string, attributes ...any) *onnx.Node {
	left, right, _ := strings.Cut(text, " = ")
	op, args, _ := strings.Cut(strings.TrimSuffix(right, ")"), "(")
	n := &onnx.Node{Op: op, Outputs: names(left), Inputs: names(args)}
	for i := 0; i < len(attributes); i += 2 {
		v := attributes[i+1]
		switch x := v.(type) {
		case int:
			v = int64(x)
		case *tensor.Tensor:
			v = onnx.Constant{Dense: x, Shape: x.Shape}
		}
		n.Attributes = append(n.Attributes, onnx.Attribute{Name: attributes[i].(string), Value: v})
	}
	return n
}

func names(list string) []string {
	if list == "" {
		return nil
	}
	out := strings.Split(list, ",")
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}

func f32(name string, shape tensor.Shape, v ...float64) *tensor.Tensor {
	t := floatArray(v)
	t.Name, t.Shape = name, shape
	return t
}

func i64(name string, shape tensor.Shape, v ...int64) *tensor.Tensor {
	t := intArray(v)
	t.Name, t.Shape = name, shape
	return t
}

// show prints nodes, one a line. Constants with few elements are printed as
// their values.
func show(g *Graph, constants map[string]*Value) string {
	var b strings.Builder
	showNodes(&b, g, g.Nodes, constants, "")
	return b.String()
}

func showNodes(b *strings.Builder, g *Graph, nodes []*Node, constants map[string]*Value, indent string) {
	for _, n := range nodes {
		args := make([]string, len(n.Inputs))
		for i, name := range n.Inputs {
			args[i] = showOperand(g, name, constants)
		}
		fmt.Fprintf(b, "%s%s = %s(%s)", indent, strings.Join(n.Outputs, ", "), n.Op, strings.Join(args, ", "))
		for _, name := range slices.Sorted(maps.Keys(n.Attributes)) {
			switch v := n.Attributes[name].(type) {
			case *tensor.Tensor:
				x, err := ValueOf(v)
				if err != nil {
					panic(err)
				}
				fmt.Fprintf(b, " %s=%v%v", name, x.Float, x.Int)
			case *Graph:
				fmt.Fprintf(b, " %s={\n", name)
				showNodes(b, g, v.Nodes, constants, indent+"  ")
				fmt.Fprintf(b, "%s  return %s}", indent, strings.Join(v.Outputs, ", "))
			default:
				fmt.Fprintf(b, " %s=%v", name, v)
			}
		}
		if n.Problem != "" {
			fmt.Fprintf(b, " !%s", n.Problem)
		}
		b.WriteString("\n")
	}
}

func showOperand(g *Graph, name string, constants map[string]*Value) string {
	v := constants[name]
	if t := g.Weights.Lookup(name); t != nil && t.Elems() <= 8 {
		var err error
		if v, err = ValueOf(t); err != nil {
			panic(err)
		}
	}
	switch {
	case v == nil || v.elems() > 8:
		return name
	case v.Float != nil:
		return fmt.Sprintf("%v", v.Float)
	case v.Text != nil:
		return fmt.Sprintf("%q", v.Text)
	}
	return fmt.Sprintf("%v", v.Int)
}

// trim takes the indentation of a raw string in a test away.
func trim(s string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.Trim(s, "\n\t"), "\n") {
		b.WriteString(strings.TrimLeft(line, "\t ") + "\n")
	}
	return b.String()
}
