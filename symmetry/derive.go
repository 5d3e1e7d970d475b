package symmetry

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"ropewalk/graph"
	"ropewalk/tensor"
)

// DeriveOptions say how to look at a graph. Nil and the zero value are the default.
type DeriveOptions struct {
	// Shapes fix inputs by name. Axes that the graph leaves open are 1 if they are the
	// first, or have the name of such, else 64.
	Shapes map[string]tensor.Shape
	// Constants are inputs with a value that does not change.
	Constants map[string]*graph.Value
}

// openAxis is the length of an axis that a graph leaves open.
const openAxis = 64

// Derive finds what can be put in another order, and multiplied, in a network
// without a change of its function. The places are tensors of g.Weights.
//
// It follows each axis of each value from operator to operator. What it does not know
// stays where it is, and Spec.Fixed says why: it may find too few symmetries, never
// too many. [Verify] holds the result against the running network.
//
// A graph that does not fit together, or has shapes that follow from data, is an error.
func Derive(g *graph.Graph, o *DeriveOptions) (*Spec, error) {
	s, err := specialize(g, o)
	if err != nil {
		return nil, err
	}
	d := newDeriver(g.Weights)
	w := &walker{deriver: d, s: s}
	for _, in := range s.Graph.Inputs {
		d.values[in.Name] = still(s.Types[in.Name].Shape, d.reason(fmt.Sprintf("input %q of the network", in.Name)))
	}
	if err := w.nodes(s.Graph.Nodes); err != nil {
		return nil, err
	}
	for _, name := range s.Graph.Outputs {
		if v := w.value(name); v != nil {
			d.fixAll(v, d.reason(fmt.Sprintf("output %q of the network", name)))
		}
	}
	return d.collect()
}

// specialize fixes the shapes of the inputs.
func specialize(g *graph.Graph, o *DeriveOptions) (*graph.Specialized, error) {
	if o == nil {
		o = &DeriveOptions{}
	}
	s, err := graph.Specialize(g, inputShapes(g, o), o.Constants)
	if missing, ok := errors.AsType[*graph.UnsupportedError](err); ok {
		return nil, fmt.Errorf("symmetry: the network cannot be followed: %w", missing)
	}
	return s, err
}

// inputShapes returns a shape for each input that is no constant.
func inputShapes(g *graph.Graph, o *DeriveOptions) map[string]tensor.Shape {
	shapes := map[string]tensor.Shape{}
	batch := map[string]bool{}
	for _, in := range g.Inputs {
		if len(in.Shape) > 0 && in.Shape[0].Size < 0 && in.Shape[0].Name != "" {
			batch[in.Shape[0].Name] = true
		}
	}
	for _, in := range g.Inputs {
		if o.Constants[in.Name] != nil {
			continue
		}
		if s, ok := o.Shapes[in.Name]; ok {
			shapes[in.Name] = s
			continue
		}
		if in.Shape == nil {
			continue // Specialize says what is wrong
		}
		s := make(tensor.Shape, len(in.Shape))
		for i, dim := range in.Shape {
			switch {
			case dim.Size >= 0:
				s[i] = dim.Size
			case i == 0 || batch[dim.Name]:
				s[i] = 1
			default:
				s[i] = openAxis
			}
		}
		shapes[in.Name] = s
	}
	return shapes
}

// A walker goes through the nodes of a graph.
type walker struct {
	*deriver
	s *graph.Specialized
}

// value returns a value by name; "" has none.
func (w *walker) value(name string) *value {
	if name == "" {
		return nil
	}
	if v, ok := w.values[name]; ok {
		return v
	}
	if c := w.s.Constants[name]; c != nil {
		v := w.constant(name, c)
		w.values[name] = v
		return v
	}
	return w.weight(name)
}

// constant returns a constant as a value: along axes where all its numbers are equal
// it may be in any order, along others it stays.
func (w *walker) constant(name string, c *graph.Value) *value {
	v := still(c.Shape, w.reason(fmt.Sprintf("constant %q of the graph", name)))
	for k, n := range c.Shape {
		if n > 1 && uniform(c, k) {
			v.axes[k] = w.freshAxis(n)
			clear(v.axes[k].scales)
		}
	}
	return v
}

// uniform reports whether all numbers of c along axis k are equal.
func uniform(c *graph.Value, k int) bool {
	inner := 1
	for _, n := range c.Shape[k+1:] {
		inner *= int(n)
	}
	length := int(c.Shape[k])
	same := func(i, j int) bool {
		switch {
		case c.Float != nil:
			return c.Float[i] == c.Float[j]
		case c.Int != nil:
			return c.Int[i] == c.Int[j]
		}
		return false
	}
	for i := range len(c.Float) + len(c.Int) + len(c.Text) {
		if at := i / inner % length; at > 0 && !same(i, i-inner) {
			return false
		}
	}
	return true
}

// number returns the single number of a constant.
func (w *walker) number(name string) (float64, bool) {
	c := w.s.Constants[name]
	if c == nil {
		t := w.s.Graph.Weights.Lookup(name)
		if t == nil || !t.DType.Numeric() || t.Elems() != 1 {
			return 0, false
		}
		v, err := graph.ValueOf(t)
		if err != nil {
			return 0, false
		}
		c = v
	}
	switch {
	case len(c.Float) == 1:
		return c.Float[0], true
	case len(c.Int) == 1:
		return float64(c.Int[0]), true
	}
	return 0, false
}

// ints returns the numbers of a constant of integers.
func (w *walker) ints(name string) ([]int64, bool) {
	c := w.s.Constants[name]
	if c == nil || c.Float != nil || c.Text != nil {
		return nil, false
	}
	return c.Int, true
}

func (w *walker) nodes(nodes []*graph.Node) error {
	for _, n := range nodes {
		if err := w.node(n); err != nil {
			return fmt.Errorf("symmetry: node %q (%s): %w", n.Name, n.Op, err)
		}
	}
	return nil
}

// node follows the axes through one operator. Whatever it does not know stays.
func (w *walker) node(n *graph.Node) error {
	c := &call{walker: w, n: n}
	for _, name := range n.Inputs {
		v := w.value(name)
		if name != "" && v == nil {
			return fmt.Errorf("value %q is used, but nothing makes it", name)
		}
		c.in = append(c.in, v)
	}
	for _, name := range n.Outputs {
		c.shapes = append(c.shapes, w.s.Types[name].Shape)
	}
	if n.Op == "If" && n.Domain == "" {
		return w.branches(c)
	}
	var outs []*value
	if f := operators[n.Op]; f != nil && n.Domain == "" {
		outs = f(c)
	}
	if outs == nil {
		outs = c.refuse(unknownOperator(n.Op))
	}
	for i, name := range n.Outputs {
		switch {
		case name == "":
		case i < len(outs) && outs[i] != nil:
			if !outs[i].shape.Equal(c.shapes[i]) {
				return fmt.Errorf("internal error: output %d is %v, and was followed as %v", i, c.shapes[i], outs[i].shape)
			}
			w.values[name] = outs[i]
		default:
			w.values[name] = still(c.shapes[i], w.reason(unknownOperator(n.Op)))
		}
	}
	return nil
}

// branches follows both sides of an If, whose results are the same neurons.
func (w *walker) branches(c *call) error {
	for _, v := range c.in {
		w.fixAll(v, w.reason("a condition"))
	}
	var results [][]*value
	for _, name := range []string{"then_branch", "else_branch"} {
		g, ok := c.n.Attributes[name].(*graph.Graph)
		if !ok {
			return fmt.Errorf("it has no %s", name)
		}
		if err := w.nodes(g.Nodes); err != nil {
			return err
		}
		var outs []*value
		for _, out := range g.Outputs {
			v := w.value(out)
			if v == nil {
				return fmt.Errorf("value %q is used, but nothing makes it", out)
			}
			outs = append(outs, v)
		}
		results = append(results, outs)
	}
	for i, name := range c.n.Outputs {
		if i >= len(results[0]) || i >= len(results[1]) {
			return fmt.Errorf("its branches have %d and %d outputs", len(results[0]), len(results[1]))
		}
		a, b := results[0][i], results[1][i]
		if !a.shape.Equal(b.shape) {
			why := w.reason("branches with results of different shapes")
			w.fixAll(a, why)
			w.fixAll(b, why)
			w.values[name] = still(c.shapes[i], why)
			continue
		}
		for k := range a.axes {
			w.sameAxis(&a.axes[k], &b.axes[k])
		}
		out := still(a.shape, spatial)
		for k := range a.axes {
			if a.axes[k].moves() && b.axes[k].moves() {
				out.axes[k] = a.axes[k]
			}
		}
		w.values[name] = w.keep(out)
	}
	return nil
}

// A call is a node with its operands.
type call struct {
	*walker
	n      *graph.Node
	in     []*value // nil for those that are left out
	shapes []tensor.Shape
}

// refuse has all that the node reads stay, subgraphs included.
func (c *call) refuse(reason string) []*value {
	why := c.reason(reason)
	for _, v := range c.in {
		if v != nil {
			c.fixAll(v, why)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(c.n.Attributes)) {
		if g, ok := c.n.Attributes[k].(*graph.Graph); ok {
			c.refuseGraph(g, why)
		}
	}
	outs := make([]*value, len(c.n.Outputs))
	for i := range outs {
		outs[i] = still(c.shapes[i], why)
	}
	return outs
}

func (c *call) refuseGraph(g *graph.Graph, why int32) {
	stop := func(name string) {
		if v := c.value(name); v != nil {
			c.fixAll(v, why)
		}
	}
	for _, n := range g.Nodes {
		for _, name := range n.Inputs {
			stop(name)
		}
		for _, a := range n.Attributes {
			if in, ok := a.(*graph.Graph); ok {
				c.refuseGraph(in, why)
			}
		}
	}
	for _, name := range g.Outputs {
		stop(name)
	}
}

func (c *call) arg(i int) *value {
	if i >= len(c.in) {
		return nil
	}
	return c.in[i]
}

func (c *call) input(i int) string {
	if i >= len(c.n.Inputs) {
		return ""
	}
	return c.n.Inputs[i]
}

func attribute[T any](c *call, name string, absent T) T {
	if v, ok := c.n.Attributes[name].(T); ok {
		return v
	}
	return absent
}

// axisOf returns the attribute axis, which counts from the end if negative.
func (c *call) axisOf(absent int64, rank int) int {
	a := attribute(c, "axis", absent)
	if a < 0 {
		a += int64(rank)
	}
	return int(min(max(a, 0), int64(max(rank-1, 0))))
}
