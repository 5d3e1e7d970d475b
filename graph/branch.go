package graph

import (
	"fmt"
)

// branch returns what becomes of an If: the nodes of one of its branches if the
// condition is known, else an If whose branches are specialized.
func (s *specializer) branch(n *Node, in []*Operand, inputs []string) ([]*Node, error) {
	r := read(n)
	yes, no := r.graph("then_branch"), r.graph("else_branch")
	if r.err != nil {
		return nil, nodeError(n, r.err)
	}
	if len(in) != 1 || in[0] == nil {
		return nil, nodeError(n, fmt.Errorf("it has %d inputs, want 1", len(in)))
	}
	for _, g := range []*Graph{yes, no} {
		if len(g.Outputs) != len(n.Outputs) || len(g.Inputs) != 0 {
			return nil, nodeError(n, fmt.Errorf("a branch has %d inputs and %d outputs, want none and %d", len(g.Inputs), len(g.Outputs), len(n.Outputs)))
		}
	}
	if c := in[0].Value; c != nil {
		if kindOf(c.Type) != kindInt || len(c.Int) != 1 {
			return nil, nodeError(n, fmt.Errorf("its condition is %v, want one truth value", c.typ()))
		}
		g := no
		if c.Int[0] != 0 {
			g = yes
		}
		out, err := s.nodes(g.Nodes)
		if err != nil {
			return nil, err
		}
		for i, name := range n.Outputs {
			if name == "" {
				continue
			}
			from := s.resolve(g.Outputs[i])
			if s.unknown[from] {
				s.unknown[name] = true
				continue
			}
			s.alias[name] = from
		}
		return out, nil
	}
	become := *n
	become.Inputs = inputs
	become.Attributes = Attributes{}
	types := make([][]Type, 2)
	for i, g := range []*Graph{yes, no} {
		var err error
		var in *Graph
		if in, types[i], err = s.inner(g); err != nil {
			return nil, err
		}
		become.Attributes[[]string{"then_branch", "else_branch"}[i]] = in
	}
	for i, name := range n.Outputs {
		if name == "" {
			continue
		}
		if types[0][i].DType == "" || types[1][i].DType == "" { // see unknown
			s.unknown[name] = true
			continue
		}
		if !types[0][i].equal(types[1][i]) {
			s.lack(n, Missing{
				Node: n.Name, Op: n.Op, Domain: n.Domain, Opset: n.Opset,
				Why: fmt.Sprintf("its output %d is %v in one branch and %v in the other, and the condition is not constant", i, types[0][i], types[1][i]),
			})
			return nil, nil
		}
		s.known[name] = &Operand{Type: types[0][i]}
	}
	s.made(&become)
	return []*Node{&become}, nil
}

// inner specializes a branch that stays one. The type of an output of which nothing
// can be said is the zero Type.
func (s *specializer) inner(g *Graph) (*Graph, []Type, error) {
	nodes, err := s.nodes(g.Nodes)
	if err != nil {
		return nil, nil, err
	}
	out := *g
	out.Nodes = nodes
	out.Outputs = make([]string, len(g.Outputs))
	types := make([]Type, len(g.Outputs))
	for i, name := range g.Outputs {
		out.Outputs[i] = s.resolve(name)
		if s.unknown[out.Outputs[i]] {
			continue
		}
		o, err := s.find(name)
		if err != nil {
			return nil, nil, fmt.Errorf("output %q of a branch: %w", name, err)
		}
		types[i] = o.Type
	}
	return &out, types, nil
}
