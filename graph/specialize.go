package graph

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ropewalk/tensor"
)

// A Specialized is a graph for inputs of fixed shapes: what an engine compiles.
//
// Every value of its graph has a type. What follows from the shapes and from
// constants is computed: shape arithmetic is gone, and so are Identity, Cast to the
// same type, Reshape to the same shape, and If with a known condition. A value that
// nodes read is made by a node before, an input, a weight of Graph.Weights, or one of
// Constants. An output may be any of these.
//
// Graph.Weights are the parameters and buffers that are left, and what is too large
// for Constants. They are never folded, so that they can change.
type Specialized struct {
	Graph *Graph
	// Types are those of all values, by name, those in subgraphs included.
	Types map[string]Type
	// Constants are the values that are known, by name.
	Constants map[string]*Value
}

const (
	// maxFold bounds the elements of a value that is computed beforehand. Shapes
	// have a few, tables of positions some thousands.
	maxFold = 1 << 20
	// maxFolds bounds the elements of all such values, and maxFoldSteps the work.
	maxFolds     = 1 << 25
	maxFoldSteps = 1 << 26
)

// Specialize fixes the shapes of the inputs of g. An input that shapes leaves out
// must have a shape that is known. Axes of the same name must have the same length.
//
// constants are values of inputs that do not change (such as a sampling rate); they
// may be nil. These inputs are not among those of the result.
//
// Operators that are not known, and shapes that follow from data, are one
// *[UnsupportedError], which names all that the outputs need. A graph that does not
// fit together (a matrix product of the wrong sizes) is an error which names the
// node.
func Specialize(g *Graph, shapes map[string]tensor.Shape, constants map[string]*Value) (*Specialized, error) {
	s := &specializer{
		g:         g,
		known:     map[string]*Operand{},
		alias:     map[string]string{},
		maker:     map[string]*Node{},
		unknown:   map[string]bool{},
		changing:  map[string]bool{},
		needed:    needed(g),
		foldsLeft: maxFolds,
	}
	u := newUsage(g)
	for name, is := range u.use {
		s.changing[name] = is != noUse
	}
	b := newBudget(&EvaluateOptions{MaxElems: maxFolds, MaxSteps: maxFoldSteps})
	s.c = newContext(s.find, b)
	inputs, err := s.inputs(shapes, constants)
	if err != nil {
		return nil, err
	}
	nodes, err := s.nodes(g.Nodes)
	if err != nil {
		return nil, err
	}
	if len(s.missing) > 0 {
		return nil, &UnsupportedError{What: "compute the graph", Missing: s.missing}
	}
	return s.finish(inputs, nodes)
}

// A specializer specializes one graph.
type specializer struct {
	g         *Graph
	c         *context
	known     map[string]*Operand
	alias     map[string]string // other names of values
	maker     map[string]*Node  // new nodes by their outputs
	unknown   map[string]bool   // values of which nothing can be said: see missing
	changing  map[string]bool   // weights that are not folded
	needed    map[*Node]bool
	missing   []Missing
	foldsLeft int64
}

// inputs notes the types of the inputs.
func (s *specializer) inputs(shapes map[string]tensor.Shape, constants map[string]*Value) ([]Input, error) {
	byName := map[string]bool{}
	axes := map[string]int64{}
	var out []Input
	for _, in := range s.g.Inputs {
		byName[in.Name] = true
		shape, given := shapes[in.Name]
		value := constants[in.Name]
		switch {
		case value != nil:
			if err := value.check(); err != nil {
				return nil, fmt.Errorf("input %q: %w", in.Name, err)
			}
			if given && !shape.Equal(value.Shape) {
				return nil, fmt.Errorf("input %q is to be %v, but its value is %v", in.Name, shape, value.Shape)
			}
			shape = value.Shape
		case !given:
			if shape = fixed(in.Shape); shape == nil {
				return nil, fmt.Errorf("input %q needs a shape: %s", in.Name, in.describe())
			}
		}
		t := Type{in.Type, shape}
		if t.DType == "" {
			t.DType = tensor.F32
			if value != nil {
				t.DType = value.Type
			}
		}
		if _, err := shape.Elems(); err != nil {
			return nil, fmt.Errorf("input %q: %w", in.Name, err)
		}
		if value != nil {
			t.DType = value.Type
		}
		if err := in.accepts(t); err != nil {
			return nil, err
		}
		for i, d := range in.Shape {
			if d.Size >= 0 || d.Name == "" {
				continue
			}
			if n, seen := axes[d.Name]; seen && n != shape[i] {
				return nil, fmt.Errorf("input %q: axis %d (%s) is %d, but %d in another input", in.Name, i, d.Name, shape[i], n)
			}
			axes[d.Name] = shape[i]
		}
		s.known[in.Name] = &Operand{Type: t, Value: value}
		if value != nil {
			continue
		}
		fixedIn := Input{Name: in.Name, Type: t.DType, Shape: make([]Dim, len(shape))}
		for i, n := range shape {
			fixedIn.Shape[i] = Dim{Size: n}
		}
		out = append(out, fixedIn)
	}
	for _, name := range slices.Concat(slices.Sorted(maps.Keys(shapes)), slices.Sorted(maps.Keys(constants))) {
		if !byName[name] {
			return nil, fmt.Errorf("the graph has no input %q; its inputs are %q", name, s.g.inputNames())
		}
	}
	return out, nil
}

func (g *Graph) inputNames() []string {
	names := make([]string, len(g.Inputs))
	for i, in := range g.Inputs {
		names[i] = in.Name
	}
	return names
}

// fixed returns the shape if it is known, else nil.
func fixed(dims []Dim) tensor.Shape {
	if dims == nil {
		return nil
	}
	shape := make(tensor.Shape, len(dims))
	for i, d := range dims {
		if d.Size < 0 {
			return nil
		}
		shape[i] = d.Size
	}
	return shape
}

// describe says what is known of the shape of an input.
func (in Input) describe() string {
	if in.Shape == nil {
		return "nothing is known of it"
	}
	return fmt.Sprintf("its axes are %s", dimsString(in.Shape))
}

// dimsString returns axes as "batch x 3 x ? x ?".
func dimsString(dims []Dim) string {
	parts := make([]string, len(dims))
	for i, d := range dims {
		switch {
		case d.Size >= 0:
			parts[i] = strconv.FormatInt(d.Size, 10)
		case d.Name != "":
			parts[i] = d.Name
		default:
			parts[i] = "?"
		}
	}
	return strings.Join(parts, " x ")
}

// needed returns the nodes that the outputs need, those of subgraphs included.
func needed(g *Graph) map[*Node]bool {
	out := map[*Node]bool{}
	live := map[string]bool{}
	var mark func(g *Graph)
	mark = func(g *Graph) {
		for _, name := range g.Outputs {
			live[name] = true
		}
		for _, n := range slices.Backward(g.Nodes) {
			if !slices.ContainsFunc(n.Outputs, func(name string) bool { return live[name] }) {
				continue
			}
			out[n] = true
			for _, name := range n.Inputs {
				live[name] = true
			}
			for _, in := range n.subgraphs() {
				mark(in)
			}
		}
	}
	mark(g)
	return out
}

// find returns what is known of a value, for operators with subgraphs.
func (s *specializer) find(name string) (*Operand, error) {
	name = s.resolve(name)
	if o := s.known[name]; o != nil {
		return o, nil
	}
	t := s.g.Weights.Lookup(name)
	if t == nil {
		return nil, fmt.Errorf("value %q is used, but nothing makes it", name)
	}
	o := &Operand{Type: Type{t.DType, t.Shape}}
	if n := t.Elems(); !s.changing[name] && kindOf(t.DType) != kindNone && n <= min(maxFold, s.foldsLeft) {
		var err error
		if o.Value, err = ValueOf(t); err != nil {
			return nil, err
		}
		s.foldsLeft -= n
	}
	s.known[name] = o
	return o, nil
}

// resolve returns the name that a value goes by.
func (s *specializer) resolve(name string) string {
	for {
		to, ok := s.alias[name]
		if !ok {
			return name
		}
		name = to
	}
}

// nodes returns what becomes of nodes.
func (s *specializer) nodes(list []*Node) ([]*Node, error) {
	var out []*Node
	for _, n := range list {
		if !s.needed[n] {
			continue
		}
		become, err := s.node(n)
		if err != nil {
			return nil, err
		}
		out = append(out, become...)
	}
	return out, nil
}

// lack notes that a node cannot be computed; what follows from it cannot either, and
// is not looked at.
func (s *specializer) lack(n *Node, m Missing) {
	s.missing = append(s.missing, m)
	s.ignore(n)
}

func (s *specializer) ignore(n *Node) {
	for _, name := range n.Outputs {
		s.unknown[name] = true
	}
}

// node returns what becomes of a node: nothing, itself, or the nodes of a branch.
func (s *specializer) node(n *Node) ([]*Node, error) {
	if m := missing(n); m != nil {
		s.lack(n, *m)
		return nil, nil
	}
	blind := false
	operands(n, func(name string) { blind = blind || s.unknown[s.resolve(name)] })
	if blind {
		s.ignore(n)
		return nil, nil
	}
	in := make([]*Operand, len(n.Inputs))
	inputs := make([]string, len(n.Inputs))
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		var err error
		if in[i], err = s.find(name); err != nil {
			return nil, nodeError(n, err)
		}
		inputs[i] = s.resolve(name)
	}
	if n.Domain == "" {
		switch n.Op {
		case "If":
			return s.branch(n, in, inputs)
		case "Identity":
			if len(n.Outputs) == 1 && len(inputs) == 1 && in[0] != nil {
				s.alias[n.Outputs[0]] = inputs[0]
				return nil, nil
			}
		}
	}
	out, err := s.know(n, in)
	if _, follows := errors.AsType[*neededError](err); follows {
		s.lack(n, Missing{Node: n.Name, Op: n.Op, Domain: n.Domain, Opset: n.Opset, Why: err.Error()})
		return nil, nil
	}
	if err != nil {
		return nil, nodeError(n, err)
	}
	if s.learn(n, out) {
		return nil, nil
	}
	if len(n.Outputs) == 1 && s.keeps(n, in, out[0].Type) {
		s.alias[n.Outputs[0]] = inputs[0]
		return nil, nil
	}
	become := *n
	become.Inputs = inputs
	become.Attributes = s.renamed(n.Attributes)
	if flat := s.unflatten(&become, out); flat != nil {
		become = *flat
	}
	s.made(&become)
	return []*Node{&become}, nil
}

func (s *specializer) made(n *Node) {
	for _, name := range n.Outputs {
		s.maker[name] = n
	}
}

// know returns what is known of the outputs of a node. It computes them only within
// the limits.
func (s *specializer) know(n *Node, in []*Operand) ([]*Operand, error) {
	out, err := s.c.know(n, in, min(maxFold, s.foldsLeft))
	if errors.Is(err, errMemory) || errors.Is(err, errSteps) {
		return s.c.know(n, in, -1)
	}
	return out, err
}

// learn notes what is known of the outputs of n. It reports whether that is all:
// then nothing needs the node. Values of which only some are known are made all the
// same, and so they count as unknown.
func (s *specializer) learn(n *Node, out []*Operand) bool {
	all := true
	for i, name := range n.Outputs {
		all = all && (name == "" || out[i].Value != nil)
	}
	for i, name := range n.Outputs {
		if name == "" {
			continue
		}
		o := out[i]
		if !all {
			o = &Operand{Type: o.Type}
		} else {
			s.foldsLeft -= int64(o.Value.elems())
		}
		s.known[name] = o
	}
	return all
}
