package graph

import (
	"fmt"

	"ropewalk/tensor"
)

// A Specialized is a graph for inputs of fixed shapes.
type Specialized struct {
	Graph     *Graph
	Types     map[string]Type
	Constants map[string]*Value
}

// Specialize fixes the shapes of the inputs.
func Specialize(g *Graph, shapes []tensor.Shape) (*Specialized, error) {
	known := map[string]*Operand{}
	s := &Specialized{Types: map[string]Type{}, Constants: map[string]*Value{}}
	for i, in := range g.Inputs {
		known[in.Name] = &Operand{Type: Type{in.Type, shapes[i]}}
	}
	floats := map[string]bool{}
	for _, t := range g.Weights.All() {
		o := &Operand{Type: Type{t.DType, t.Shape}}
		v, err := ValueOf(t)
		if err != nil {
			continue
		}
		o.Value = v
		floats[t.Name] = t.DType.Numeric()
		known[t.Name] = o
	}
	c := newContext(func(name string) (*Operand, error) {
		if o := known[name]; o != nil {
			return o, nil
		}
		return nil, fmt.Errorf("value %q is not known", name)
	}, newBudget(&EvaluateOptions{}))
	out := *g
	out.Nodes = nil
	for _, n := range g.Nodes {
		in := make([]*Operand, len(n.Inputs))
		variable := false
		for i, name := range n.Inputs {
			if name != "" {
				in[i] = known[name]
				variable = variable || floats[name]
			}
		}
		res, err := c.know(n, in, 1<<16)
		if err != nil {
			return nil, nodeError(n, err)
		}
		all := true
		for i, name := range n.Outputs {
			if variable {
				res[i].Value = nil
			}
			known[name] = res[i]
			all = all && res[i].Value != nil
		}
		if !all {
			out.Nodes = append(out.Nodes, n)
		}
	}
	for name, o := range known {
		s.Types[name] = o.Type
		if o.Value != nil && !floats[name] {
			s.Constants[name] = o.Value
		}
	}
	s.Graph = &out
	return s, nil
}
