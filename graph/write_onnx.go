package graph

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"ropewalk/internal/format/onnx"
	"ropewalk/tensor"
)

// The versions that WriteONNX writes. The canonical form is that of opset 22; what
// that changed since 21 is that more operators take BF16, and runtimes that know 21
// are older by a year.
const (
	writtenIR    = 10
	writtenOpset = 21
)

// laterOperators are those that are newer than writtenOpset, with the opset and the
// IR version of the release that brought them.
var laterOperators = map[string]struct{ opset, ir int64 }{
	"Attention":        {23, 11},
	"RMSNormalization": {23, 11},
	"RotaryEmbedding":  {23, 11},
	"Swish":            {24, 12},
	"TensorScatter":    {24, 12},
}

// WriteONNX writes g as an ONNX model of opset 21 in its canonical form, with all
// weights in it that are used. The types of the outputs, which ONNX wants, are found
// by specializing g to some shapes; where that fails they are those that the file of
// g declares. To write the file that g comes from with other weights see
// [Graph.EditONNX].
//
// Nodes that have no canonical form are an *[UnsupportedError]; a model of more than
// 2 GiB is a *layout.UnsupportedError. Nothing has been written then.
func (g *Graph) WriteONNX(w io.Writer) error {
	outputs, err := g.outputTypes()
	if err != nil {
		return err
	}
	return writeONNX(w, g, outputs, nil)
}

// WriteONNX writes the specialized graph as an ONNX model, like
// [Graph.WriteONNX].
func (s *Specialized) WriteONNX(w io.Writer) error {
	outputs := make([]Input, len(s.Graph.Outputs))
	for i, name := range s.Graph.Outputs {
		outputs[i] = inputOfType(name, s.Types[name])
	}
	return writeONNX(w, s.Graph, outputs, s.Constants)
}

func inputOfType(name string, t Type) Input {
	in := Input{Name: name, Type: t.DType, Shape: make([]Dim, len(t.Shape))}
	for i, n := range t.Shape {
		in.Shape[i] = Dim{Size: n}
	}
	return in
}

// guesses are pairs of lengths for axes that may have any: networks on images want a
// multiple of their stride, others something small.
var guesses = [][2]int64{{64, 96}, {224, 256}, {2, 3}, {1, 2}, {512, 576}}

// outputTypes returns what can be said of the outputs for inputs of any shape: the
// axes that come out the same for inputs of two lengths are fixed.
func (g *Graph) outputTypes() ([]Input, error) {
	var first error
	for _, pair := range guesses {
		a, err := g.guess(pair[0])
		if err == nil {
			var b *Specialized
			if b, err = g.guess(pair[1]); err == nil {
				return g.commonTypes(a, b), nil
			}
		}
		if first == nil {
			first = err
		}
	}
	outputs := make([]Input, len(g.Outputs))
	for i, name := range g.Outputs {
		in, ok := g.Declared[name]
		if !ok || in.Type == "" {
			return nil, fmt.Errorf("the type of output %q is not known: %w", name, first)
		}
		in.Name = name
		outputs[i] = in
	}
	return outputs, nil
}

// guess specializes g with n for each axis that is not known.
func (g *Graph) guess(n int64) (*Specialized, error) {
	shapes := map[string]tensor.Shape{}
	for _, in := range g.Inputs {
		shape := make(tensor.Shape, len(in.Shape))
		for i, d := range in.Shape {
			if shape[i] = d.Size; d.Size < 0 {
				shape[i] = n
			}
		}
		shapes[in.Name] = shape
	}
	return Specialize(g, shapes, nil)
}

func (g *Graph) commonTypes(a, b *Specialized) []Input {
	names := map[string]bool{} // of axes that are not known
	for _, in := range g.Inputs {
		for i, d := range in.Shape {
			if d.Size < 0 {
				name := d.Name
				if name == "" {
					name = fmt.Sprintf("%s/%d", in.Name, i)
				}
				names[name] = d.Name != ""
			}
		}
	}
	one := ""
	for name, named := range names {
		if len(names) == 1 && named {
			one = name // what follows from an unknown length follows from this one
		}
	}
	out := make([]Input, len(g.Outputs))
	for i, name := range g.Outputs {
		s, t := a.Types[name], b.Types[name]
		out[i] = inputOfType(name, s)
		if len(s.Shape) != len(t.Shape) {
			out[i].Shape = nil
			continue
		}
		for k := range s.Shape {
			if s.Shape[k] != t.Shape[k] {
				out[i].Shape[k] = Dim{Size: -1}
				if g.isInputLength(one, s.Shape[k], a) && g.isInputLength(one, t.Shape[k], b) {
					out[i].Shape[k].Name = one
				}
			}
		}
	}
	return out
}

// isInputLength reports whether n is the length that s has for the axis of a name.
func (g *Graph) isInputLength(axis string, n int64, s *Specialized) bool {
	for i, in := range g.Inputs {
		for k, d := range in.Shape {
			if axis != "" && d.Size < 0 && d.Name == axis {
				return s.Graph.Inputs[i].Shape[k].Size == n
			}
		}
	}
	return false
}

// writeONNX writes g, in which constants stand for the values of their names.
func writeONNX(w io.Writer, g *Graph, outputs []Input, constants map[string]*Value) error {
	u := &UnsupportedError{What: "write the graph as ONNX"}
	net := &onnx.Network{IRVersion: writtenIR, Producer: "ropewalk"}
	opsets := map[string]int64{"": writtenOpset}
	g.each(func(g *Graph) {
		for _, n := range g.Nodes {
			if n.Problem != "" {
				u.Missing = append(u.Missing, Missing{Node: n.Name, Op: n.Op, Domain: n.Domain, Opset: n.Opset, Why: n.Problem})
			}
			if n.Domain != "" {
				opsets[n.Domain] = max(opsets[n.Domain], n.Opset, 1)
			} else if later, ok := laterOperators[n.Op]; ok {
				opsets[""] = max(opsets[""], later.opset)
				net.IRVersion = max(net.IRVersion, later.ir)
			}
		}
	})
	if len(u.Missing) > 0 {
		return u
	}
	for _, domain := range slices.Sorted(maps.Keys(opsets)) {
		net.Opsets = append(net.Opsets, onnx.Opset{Domain: domain, Version: opsets[domain]})
	}
	var err error
	if net.Graph, err = onnxGraph(g, outputs); err != nil {
		return err
	}
	if net.Graph.Name == "" {
		net.Graph.Name = "ropewalk" // an empty name is not valid
	}
	read := map[string]bool{}
	for _, name := range g.Outputs {
		read[name] = true
	}
	for _, n := range g.Nodes {
		operands(n, func(name string) { read[name] = true })
	}
	for _, t := range g.Weights.All() {
		if read[t.Name] {
			net.Graph.Initializers = append(net.Graph.Initializers, onnx.Initializer{Name: t.Name, Constant: onnx.Constant{Dense: t, Shape: t.Shape}})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(constants)) {
		v := constants[name]
		c := onnx.Constant{Shape: v.Shape}
		if v.Type == Text {
			c.Text = slices.Concat([]string{}, v.Text)
		} else if c.Dense, err = v.Tensor(name); err != nil {
			return err
		}
		net.Graph.Initializers = append(net.Graph.Initializers, onnx.Initializer{Name: name, Constant: c})
	}
	return net.Write(w)
}

// onnxGraph returns a graph as package onnx has it. Without types of the outputs it
// is a subgraph, which has to make its outputs itself.
func onnxGraph(g *Graph, outputs []Input) (*onnx.Graph, error) {
	out := &onnx.Graph{Name: g.Name}
	made := map[string]bool{}
	for _, in := range g.Inputs {
		out.Inputs = append(out.Inputs, onnxValue(in))
	}
	for _, n := range g.Nodes {
		nd, err := onnxNode(n)
		if err != nil {
			return nil, fmt.Errorf("node %q: %w", n.Name, err)
		}
		out.Nodes = append(out.Nodes, nd)
		for _, name := range n.Outputs {
			made[name] = true
		}
	}
	if outputs != nil {
		for _, o := range outputs {
			out.Outputs = append(out.Outputs, onnxValue(o))
		}
		return out, nil
	}
	if out.Name == "" {
		out.Name = "subgraph"
	}
	for i, name := range g.Outputs {
		if !made[name] {
			own := fmt.Sprintf("%s.%s.%d", name, out.Name, i)
			out.Nodes = append(out.Nodes, &onnx.Node{Op: "Identity", Inputs: []string{name}, Outputs: []string{own}})
			name = own
		}
		out.Outputs = append(out.Outputs, onnx.Value{Name: name})
	}
	return out, nil
}

func onnxValue(in Input) onnx.Value {
	v := onnx.Value{Name: in.Name, Type: in.Type, Ranked: in.Shape != nil}
	if in.Type == Text {
		v.Type, v.Text = "", true
	}
	for _, d := range in.Shape {
		v.Shape = append(v.Shape, onnx.Dim(d))
	}
	return v
}

func onnxNode(n *Node) (*onnx.Node, error) {
	out := &onnx.Node{Name: n.Name, Op: n.Op, Domain: n.Domain, Inputs: n.Inputs, Outputs: n.Outputs}
	for _, name := range slices.Sorted(maps.Keys(n.Attributes)) {
		a := onnx.Attribute{Name: name, Value: n.Attributes[name]}
		switch v := a.Value.(type) {
		case *tensor.Tensor:
			a.Value = onnx.Constant{Dense: v, Shape: v.Shape}
		case *Graph:
			in, err := onnxGraph(v, nil)
			if err != nil {
				return nil, err
			}
			a.Value = in
		}
		out.Attributes = append(out.Attributes, a)
	}
	return out, nil
}
