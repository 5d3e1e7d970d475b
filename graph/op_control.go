package graph

import (
	"fmt"
	"slices"

	"ropewalk/tensor"
)

// controlOps run graphs that are attributes of their nodes.
var controlOps = map[string]operator{
	"If":   {infer: inferIf, evaluate: evaluateIf, min: 1, max: 1, late: true},
	"Loop": {infer: inferLoop, evaluate: evaluateLoop, min: 0, max: -1, late: true},
	"Scan": {infer: inferScan, evaluate: evaluateScan, min: 1, max: -1, late: true},
}

// maxDepth bounds graphs in graphs.
const maxDepth = 32

// nested returns the context for a subgraph.
func (c *context) nested() (*context, error) {
	inner := *c
	inner.depth++
	if inner.depth > maxDepth {
		return nil, fmt.Errorf("graphs are nested more than %d deep", maxDepth)
	}
	return &inner, nil
}

// runNested computes the outputs of a subgraph, in their order.
func (c *context) runNested(g *Graph, in []*Value) ([]*Value, error) {
	inner, err := c.nested()
	if err != nil {
		return nil, err
	}
	for i, v := range in {
		if i < len(g.Inputs) {
			if err := g.Inputs[i].accepts(v.typ()); err != nil {
				return nil, err
			}
		}
	}
	values, err := inner.run(g, in, false)
	if err != nil {
		return nil, err
	}
	out := make([]*Value, len(g.Outputs))
	for i, name := range g.Outputs {
		out[i] = values[name]
	}
	return out, nil
}

// foldLimit bounds the constants that are made when subgraphs are looked through.
const foldLimit = 1 << 12

// knowNested returns what is known of the outputs of a subgraph.
func (c *context) knowNested(g *Graph, in []*Operand) ([]*Operand, error) {
	if len(in) != len(g.Inputs) {
		return nil, fmt.Errorf("graph %q gets %d inputs, want %d", g.Name, len(in), len(g.Inputs))
	}
	inner, err := c.nested()
	if err != nil {
		return nil, err
	}
	known := map[string]*Operand{}
	find := func(name string) (*Operand, error) {
		if o, ok := known[name]; ok {
			return o, nil
		}
		return c.outer(name)
	}
	inner.outer = find
	for i, o := range in {
		known[g.Inputs[i].Name] = o
	}
	for _, n := range g.Nodes {
		if err := inner.spend(nodeSteps); err != nil {
			return nil, err
		}
		args := make([]*Operand, len(n.Inputs))
		for i, name := range n.Inputs {
			if name == "" {
				continue
			}
			if args[i], err = find(name); err != nil {
				return nil, nodeError(n, err)
			}
		}
		out, err := inner.know(n, args, foldLimit)
		if err != nil {
			return nil, nodeError(n, err)
		}
		for i, name := range n.Outputs {
			if name != "" {
				known[name] = out[i]
			}
		}
	}
	out := make([]*Operand, len(g.Outputs))
	for i, name := range g.Outputs {
		if out[i], err = find(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// oneTruth says whether o can be a condition.
func oneTruth(o *Operand) error {
	if k, err := o.Type.Shape.Elems(); err != nil || k != 1 || o.Type.DType != tensor.Bool {
		return fmt.Errorf("the condition is %v, want one truth value", o.Type)
	}
	return nil
}

// inferIf looks through the branch that is taken, or through both, whose outputs must
// then be of the same types.
func inferIf(c *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	branches := []*Graph{r.graph("else_branch"), r.graph("then_branch")}
	if r.err != nil {
		return nil, r.err
	}
	if err := oneTruth(in[0]); err != nil {
		return nil, err
	}
	if in[0].Value != nil {
		branches = branches[in[0].Value.Int[0]:][:1]
	}
	var types []Type
	for i, g := range branches {
		out, err := c.knowNested(g, nil)
		if err != nil {
			return nil, err
		}
		t := typesOf(out)
		if i > 0 && !slices.EqualFunc(t, types, Type.equal) {
			return nil, fmt.Errorf("its branches give %v and %v, and which is taken is known only when the graph runs", t, types)
		}
		types = t
	}
	return types, nil
}

func typesOf(operands []*Operand) []Type {
	types := make([]Type, len(operands))
	for i, o := range operands {
		types[i] = o.Type
	}
	return types
}

func evaluateIf(c *context, n *Node, in []*Value) ([]*Value, error) {
	r := read(n)
	g := r.graph("else_branch")
	if err := oneTruth(&Operand{in[0].typ(), in[0]}); err != nil {
		return nil, err
	}
	if in[0].Int[0] == 1 {
		g = r.graph("then_branch")
	}
	if r.err != nil {
		return nil, r.err
	}
	return c.runNested(g, nil)
}
