package graph

import "maps"

// renamed returns attributes in whose graphs outer values go by their new names.
func (s *specializer) renamed(as Attributes) Attributes {
	return rename(as, s.resolve)
}

// rename returns attributes in whose graphs each value that is read goes by another
// name. Attributes without graphs are returned as they are.
func rename(as Attributes, to func(string) string) Attributes {
	var out Attributes
	for name, a := range as {
		g, ok := a.(*Graph)
		if !ok {
			continue
		}
		if out == nil {
			out = maps.Clone(as)
		}
		in := *g
		in.Nodes = renameNodes(g.Nodes, to)
		in.Outputs = make([]string, len(g.Outputs))
		for i, name := range g.Outputs {
			in.Outputs[i] = to(name)
		}
		out[name] = &in
	}
	if out == nil {
		return as
	}
	return out
}

func renameNodes(nodes []*Node, to func(string) string) []*Node {
	out := make([]*Node, len(nodes))
	for i, n := range nodes {
		become := *n
		become.Inputs = make([]string, len(n.Inputs))
		for k, name := range n.Inputs {
			become.Inputs[k] = to(name)
		}
		become.Outputs = make([]string, len(n.Outputs))
		for k, name := range n.Outputs {
			become.Outputs[k] = to(name)
		}
		become.Attributes = rename(n.Attributes, to)
		out[i] = &become
	}
	return out
}
