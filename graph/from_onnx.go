package graph

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"ropewalk/internal/format/onnx"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// The limits of what a model may become. A small file can call functions that
// call functions, and paths to nested graphs are part of names.
const (
	maxNodes     = 1 << 20  // of all graphs together, functions inlined
	maxNameBytes = 64 << 20 // of all names of values and nodes
	maxAdded     = 64 << 20 // bytes of tensors that the canonical form adds
	maxCalls     = 64       // functions within functions
)

// FromONNX returns the graph of an ONNX model in the canonical form. The name is
// that of the file, as errors print it. External data is opened with open, which
// may be nil if there is none. Weights are read from d when they are asked for, so
// d has to stay open as long as the graph is used.
//
// An operator that is not known does not keep a graph from being read: see
// [Graph.Missing]. A file that breaks its format, or whose graph is none (a value
// that nothing makes, or two nodes make; a cycle), is a *layout.CorruptError; one
// that is too large or too deep a *layout.UnsupportedError.
func FromONNX(name string, d tensor.Data, open layout.Opener) (*Graph, error) {
	m, err := onnx.Open(name, d, open)
	if err != nil {
		return nil, err
	}
	base, err := m.Layout.Set()
	if err != nil {
		return nil, &layout.CorruptError{File: name, Offset: -1, Reason: err.Error(), Err: err}
	}
	net, err := m.Network(base)
	if err != nil {
		return nil, err
	}
	if net.Graph == nil {
		return nil, &layout.UnsupportedError{File: name, Offset: -1, Reason: "the model has no graph to run, only functions or a graph for training"}
	}
	imp := newImporter(name, net, base)
	g, err := imp.model()
	if err != nil {
		return nil, err
	}
	g.source = &source{model: m, base: base}
	return g, nil
}

// FromLayout is [FromONNX] for a model that is open already, as package
// checkpoint opens it; also for one inside of a .rope file. A layout of another
// format is a *layout.UnsupportedError.
func FromLayout(l *layout.Layout) (*Graph, error) {
	if l.Format != onnx.Format {
		return nil, &layout.UnsupportedError{File: l.Files[0].Name, Offset: -1, Reason: fmt.Sprintf("a checkpoint in the format %s has no graph, only ONNX has one", l.Format)}
	}
	return FromONNX(l.Files[0].Name, l.Files[0].Data, func(name string) (tensor.Data, error) {
		clean, err := layout.LocalName(name)
		if err != nil {
			return nil, err
		}
		for _, f := range l.Files[1:] {
			if f.Name == clean {
				return f.Data, nil
			}
		}
		return nil, fmt.Errorf("the checkpoint has no file %q", name)
	})
}

// An importer makes a Graph of one model.
type importer struct {
	file       string
	net        *onnx.Network
	base       *tensor.Set
	functions  map[functionKey]*onnx.Function
	values     namer // names of values and weights
	nodes      namer // names of nodes
	count      int   // of nodes
	added      []*tensor.Tensor
	addedNames map[string]*tensor.Tensor
	addedSize  int64
	// floats says that there may be floats other than F32, so that a constant that
	// was an attribute has to take the type of another operand.
	floats   bool
	declared map[string]Input
}

type functionKey struct{ domain, name, overload string }

func newImporter(file string, net *onnx.Network, base *tensor.Set) *importer {
	imp := &importer{
		file:       file,
		net:        net,
		base:       base,
		functions:  make(map[functionKey]*onnx.Function, len(net.Functions)),
		values:     newNamer(),
		nodes:      newNamer(),
		declared:   map[string]Input{},
		addedNames: map[string]*tensor.Tensor{},
	}
	for _, f := range net.Functions {
		imp.functions[functionKey{f.Domain, f.Name, f.Overload}] = f
	}
	for _, t := range base.All() {
		imp.values.unique(t.Name)
		imp.floats = imp.floats || isOtherFloat(t.DType)
	}
	imp.floats = imp.floats || otherFloats(net.Graph)
	for _, f := range net.Functions {
		imp.floats = imp.floats || slices.ContainsFunc(f.Nodes, makesOtherFloats)
	}
	return imp
}

func isOtherFloat(d tensor.DType) bool { return d.Numeric() && d != tensor.F32 }

// otherFloats reports whether a graph names a float type other than F32.
func otherFloats(g *onnx.Graph) bool {
	for _, vs := range [][]onnx.Value{g.Inputs, g.Outputs, g.Values} {
		if slices.ContainsFunc(vs, func(v onnx.Value) bool { return isOtherFloat(v.Type) }) {
			return true
		}
	}
	return slices.ContainsFunc(g.Nodes, makesOtherFloats)
}

func makesOtherFloats(n *onnx.Node) bool {
	return slices.ContainsFunc(n.Attributes, func(a onnx.Attribute) bool {
		switch v := a.Value.(type) {
		case *onnx.Graph:
			return otherFloats(v)
		case int64:
			d, err := dataType(v)
			return (a.Name == "to" || a.Name == "dtype") && err == nil && isOtherFloat(d)
		case string: // Cast of opset 1
			return a.Name == "to" && v != "FLOAT"
		case onnx.Constant:
			return v.Dense != nil && isOtherFloat(v.Dense.DType)
		}
		return false
	})
}

func (imp *importer) corrupt(at int64, format string, args ...any) error {
	return &layout.CorruptError{File: imp.file, Offset: at, Reason: fmt.Sprintf(format, args...)}
}

func (imp *importer) unsupported(at int64, format string, args ...any) error {
	return &layout.UnsupportedError{File: imp.file, Offset: at, Reason: fmt.Sprintf(format, args...)}
}

func (imp *importer) model() (*Graph, error) {
	b := &block{names: map[string]string{}, opsets: imp.opsets(imp.net.Opsets, imp.net.IRVersion)}
	g, err := imp.graph(imp.net.Graph, b)
	if err != nil {
		return nil, err
	}
	all := make([]*tensor.Tensor, 0, imp.base.Len()+len(imp.added))
	for _, t := range imp.base.All() {
		all = append(all, t)
	}
	if g.Weights, err = tensor.NewSet(append(all, imp.added...)...); err != nil {
		return nil, err
	}
	g.Declared = imp.declared
	dangling(g)
	return g, nil
}

// dangling notes the nodes that read an output which the canonical form of an
// operator has no more.
func dangling(g *Graph) {
	made := map[string]bool{"": true}
	for _, t := range g.Weights.All() {
		made[t.Name] = true
	}
	g.each(func(g *Graph) {
		for _, in := range g.Inputs {
			made[in.Name] = true
		}
		for _, n := range g.Nodes {
			for _, name := range n.Outputs {
				made[name] = true
			}
		}
	})
	g.each(func(g *Graph) {
		for _, n := range g.Nodes {
			for _, name := range n.Inputs {
				if !made[name] && n.Problem == "" {
					n.Problem = fmt.Sprintf("it reads %q, an output that its operator has no more since opset 14", name)
				}
			}
		}
	})
}

// opsets returns the versions of domains. Before IR version 3 there was no list.
func (imp *importer) opsets(list []onnx.Opset, ir int64) map[string]int64 {
	m := make(map[string]int64, len(list))
	if ir < 3 && len(list) == 0 {
		m[""] = 1
	}
	for _, o := range list {
		m[o.Domain] = o.Version
	}
	return m
}

// graph imports a graph into the empty block b, whose prefix is set.
func (imp *importer) graph(g *onnx.Graph, b *block) (*Graph, error) {
	out := &Graph{Name: g.Name}
	constant := make(map[string]bool, len(g.Initializers))
	for _, i := range g.Initializers {
		constant[i.Name] = true
	}
	for _, v := range g.Inputs {
		if constant[v.Name] { // a default, which files of IR version 3 have for every weight
			continue
		}
		name, err := imp.define(b, v.Name, g.At)
		if err != nil {
			return nil, err
		}
		in := inputOf(v)
		in.Name = name
		out.Inputs = append(out.Inputs, in)
	}
	for _, i := range g.Initializers {
		if err := imp.constant(b, i.Name, i.Constant, i.At); err != nil {
			return nil, err
		}
	}
	if err := imp.body(b, g.Nodes); err != nil {
		return nil, err
	}
	for _, v := range g.Outputs {
		name, ok := b.find(v.Name)
		if !ok {
			return nil, imp.corrupt(g.At, "output %q of the graph is made by nothing", b.prefix+v.Name)
		}
		out.Outputs = append(out.Outputs, name)
	}
	for _, vs := range [][]onnx.Value{g.Values, g.Outputs} {
		for _, v := range vs {
			if name, ok := b.names[v.Name]; ok && (v.Type != "" || v.Text) {
				in := inputOf(v)
				in.Name = name
				imp.declared[name] = in
			}
		}
	}
	var err error
	out.Nodes, err = sorted(b.out)
	if err != nil {
		return nil, imp.corrupt(g.At, "%s", err)
	}
	return out, nil
}

func inputOf(v onnx.Value) Input {
	in := Input{Name: v.Name, Type: v.Type}
	if v.Text {
		in.Type = Text
	}
	if v.Ranked {
		in.Shape = make([]Dim, len(v.Shape))
		for i, d := range v.Shape {
			in.Shape[i] = Dim(d)
		}
	}
	return in
}

// body imports nodes into b. All names are defined before any is looked up, for
// nodes may come in any order.
func (imp *importer) body(b *block, nodes []*onnx.Node) error {
	resolved := make([][]onnx.Attribute, len(nodes))
	outputs := make([][]string, len(nodes))
	for i, n := range nodes {
		resolved[i] = b.resolve(n.Attributes)
		if isConstant(n) {
			if len(n.Outputs) != 1 {
				return imp.corrupt(n.At, "a Constant has %d outputs", len(n.Outputs))
			}
			if err := imp.constantNode(b, n, resolved[i]); err != nil {
				return err
			}
			continue
		}
		outputs[i] = make([]string, len(n.Outputs))
		for k, name := range n.Outputs {
			if name == "" {
				continue
			}
			var err error
			if outputs[i][k], err = imp.define(b, name, n.At); err != nil {
				return err
			}
		}
	}
	for i, n := range nodes {
		if isConstant(n) {
			continue
		}
		if err := imp.node(b, n, resolved[i], outputs[i]); err != nil {
			return err
		}
	}
	return nil
}

func isConstant(n *onnx.Node) bool { return n.Op == "Constant" && n.Domain == "" }

// nodeName returns how a node is called in messages and in the names of what is
// in it: as in package onnx.
func nodeName(n *onnx.Node) string {
	return cmp.Or(n.Name, cmp.Or(n.Op, "node")+"_"+strconv.Itoa(n.Index))
}

// node imports one node, which may become several.
func (imp *importer) node(b *block, n *onnx.Node, attributes []onnx.Attribute, outputs []string) error {
	inputs := make([]string, len(n.Inputs))
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		var ok bool
		if inputs[i], ok = b.find(name); !ok {
			return imp.corrupt(n.At, "node %q (%s) reads %q, which nothing makes", b.own(nodeName(n)), n.Op, name)
		}
	}
	if imp.count++; imp.count > maxNodes {
		return imp.unsupported(n.At, "the model has more than %d nodes when its functions are in place", maxNodes)
	}
	if f := imp.functions[functionKey{n.Domain, n.Op, n.Overload}]; f != nil {
		return imp.call(b, n, f, attributes, inputs, outputs)
	}
	out := &Node{
		Name:       imp.nodes.unique(b.own(nodeName(n))),
		Op:         n.Op,
		Domain:     n.Domain,
		Inputs:     trimmed(inputs),
		Outputs:    outputs,
		Attributes: make(Attributes, len(attributes)),
		Opset:      b.opsets[n.Domain],
	}
	for _, a := range attributes {
		if _, dup := out.Attributes[a.Name]; dup {
			return imp.corrupt(n.At, "node %q has two attributes %q", out.Name, a.Name)
		}
		v, err := imp.attribute(b, n, a)
		if err != nil {
			return err
		}
		if v == nil {
			out.Problem = fmt.Sprintf("attribute %s is of a kind that is not known", a.Name)
			continue
		}
		out.Attributes[a.Name] = v
	}
	r := &rewriter{imp: imp, b: b, at: n.At, n: out, version: out.Opset}
	if err := r.rewrite(); err != nil {
		return err
	}
	b.out = append(b.out, out)
	return nil
}

// trimmed drops optional inputs that are left out at the end.
func trimmed(names []string) []string {
	for len(names) > 0 && names[len(names)-1] == "" {
		names = names[:len(names)-1]
	}
	return names
}

// attribute returns the value of an attribute as a Graph has it, or nil.
func (imp *importer) attribute(b *block, n *onnx.Node, a onnx.Attribute) (any, error) {
	switch v := a.Value.(type) {
	case int64, float64, string, []int64, []float64, []string:
		return v, nil
	case onnx.Constant:
		if v.Dense != nil {
			return v.Dense, nil
		}
	case *onnx.Graph:
		inner := &block{
			outer:      b,
			prefix:     b.own(nodeName(n)) + "." + a.Name + "/",
			names:      map[string]string{},
			opsets:     b.opsets,
			attributes: b.attributes,
			calls:      b.calls,
		}
		return imp.graph(v, inner)
	}
	return nil, nil
}
