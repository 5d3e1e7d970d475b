package graph

import (
	"fmt"
	"strings"
)

// Missing returns every node of g, those of subgraphs included, that cannot be
// computed: its operator or one of its attributes is not known, or its form is.
// Nil means that g can be computed, as far as that can be told without shapes.
func (g *Graph) Missing() []Missing {
	var all []Missing
	g.each(func(g *Graph) {
		for _, n := range g.Nodes {
			if m := missing(n); m != nil {
				all = append(all, *m)
			}
		}
	})
	return all
}

// missing returns what a node lacks, or nil.
func missing(n *Node) *Missing {
	m := Missing{Node: n.Name, Op: n.Op, Domain: n.Domain, Opset: n.Opset, Why: n.Problem}
	if m.Why != "" {
		return &m
	}
	if _, ok := lookup(n); !ok {
		return &m
	}
	if names := strangers(n); len(names) > 0 {
		m.Why = fmt.Sprintf("attribute %s is not known", strings.Join(names, ", "))
		return &m
	}
	return nil
}
