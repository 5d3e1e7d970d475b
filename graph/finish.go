package graph

import (
	"fmt"
	"maps"
	"slices"

	"ropewalk/tensor"
)

// finish gives the outputs their names, drops nodes that nobody needs any more, and
// collects types, constants and weights.
func (s *specializer) finish(inputs []Input, nodes []*Node) (*Specialized, error) {
	out := &Specialized{
		Graph:     &Graph{Name: s.g.Name, Inputs: inputs, Outputs: s.g.Outputs},
		Types:     map[string]Type{},
		Constants: map[string]*Value{},
	}
	// The node that makes an output under another name takes that of the output, if
	// it makes no other output. What no node makes gets an Identity.
	to := map[string]string{}
	taken := map[string]bool{}
	for _, name := range s.g.Outputs {
		taken[name] = true
	}
	top := map[string]bool{} // made by a node that is in no subgraph
	for _, n := range nodes {
		for _, name := range n.Outputs {
			top[name] = true
		}
	}
	var last []*Node
	for _, name := range s.g.Outputs {
		from := s.resolve(name)
		o, err := s.find(from)
		switch {
		case err != nil:
			return nil, fmt.Errorf("output %q: %w", name, err)
		case from == name:
			continue
		case o.Value != nil:
			s.known[name] = o
			continue
		case top[from] && !taken[from] && to[from] == "":
			to[from] = name
		default:
			if n := to[from]; n != "" {
				from = n
			}
			last = append(last, &Node{Name: name, Op: "Identity", Inputs: []string{from}, Outputs: []string{name}, Attributes: Attributes{}})
		}
		s.known[name] = &Operand{Type: o.Type}
	}
	s.nameApart(nodes, last)
	nodes = renameNodes(append(nodes, last...), func(name string) string {
		if n, ok := to[name]; ok {
			return n
		}
		return name
	})
	live := map[string]bool{}
	out.Graph.Nodes = prune(nodes, s.g.Outputs, live)
	for _, in := range inputs {
		live[in.Name] = true
	}
	var weights []*tensor.Tensor
	for name := range live {
		o := s.known[name]
		if o == nil {
			continue // made in a subgraph that is as it was, as that of a Loop
		}
		out.Types[name] = o.Type
		if o.Value != nil {
			out.Constants[name] = o.Value
		}
	}
	for _, t := range s.g.Weights.All() {
		if live[t.Name] && out.Constants[t.Name] == nil {
			weights = append(weights, t)
		}
	}
	var err error
	out.Graph.Weights, err = tensor.NewSet(weights...)
	return out, err
}

// Plain returns the graph with the constants among its weights, so that it needs
// nothing beside it: to evaluate it, or to specialize it again. Constants of text
// become Constant nodes.
func (s *Specialized) Plain() (*Graph, error) {
	out := *s.Graph
	var weights []*tensor.Tensor
	for _, t := range s.Graph.Weights.All() {
		weights = append(weights, t)
	}
	var texts []*Node
	for _, name := range slices.Sorted(maps.Keys(s.Constants)) {
		v := s.Constants[name]
		if v.Type == Text {
			n := &Node{Name: name, Op: "Constant", Outputs: []string{name}, Attributes: Attributes{"value_strings": v.Text}}
			if len(v.Shape) == 0 {
				n.Attributes = Attributes{"value_string": v.Text[0]}
			}
			texts = append(texts, n)
			continue
		}
		t, err := v.Tensor(name)
		if err != nil {
			return nil, err
		}
		weights = append(weights, t)
	}
	out.Nodes = append(texts, out.Nodes...)
	var err error
	out.Weights, err = tensor.NewSet(weights...)
	return &out, err
}

// nameApart gives the new nodes names that no other has.
func (s *specializer) nameApart(nodes, last []*Node) {
	names := newNamer()
	for _, n := range nodes {
		names.unique(n.Name)
	}
	for _, n := range last {
		n.Name = names.unique(n.Name)
	}
}

// prune returns the nodes that outputs need, and adds the names of all values that
// are made or read to live. Outputs that nobody reads are left out where ONNX allows
// it.
func prune(nodes []*Node, outputs []string, live map[string]bool) []*Node {
	for _, name := range outputs {
		live[name] = true
	}
	var kept []*Node
	for _, n := range slices.Backward(nodes) {
		if !slices.ContainsFunc(n.Outputs, func(name string) bool { return name != "" && live[name] }) {
			continue
		}
		if first, ok := optionalOutputs[n.Op]; ok && n.Domain == "" {
			n.Outputs = slices.Clone(n.Outputs)
			for i := first; i < len(n.Outputs); i++ {
				if !live[n.Outputs[i]] {
					n.Outputs[i] = ""
				}
			}
			n.Outputs = trimmed(n.Outputs)
		}
		for name, a := range n.Attributes {
			if g, ok := a.(*Graph); ok {
				in := *g // renameNodes has copied the attributes
				in.Nodes = prune(g.Nodes, g.Outputs, live)
				n.Attributes[name] = &in
			}
		}
		for _, name := range n.Inputs {
			if name != "" {
				live[name] = true
			}
		}
		for _, name := range n.Outputs {
			if name != "" {
				live[name] = true
			}
		}
		kept = append(kept, n)
	}
	slices.Reverse(kept)
	return kept
}
