package graph

import (
	"maps"
	"slices"
)

// subgraphs returns the graphs that are attributes of the node, by name.
func (n *Node) subgraphs() []*Graph {
	var gs []*Graph
	for _, name := range slices.Sorted(maps.Keys(n.Attributes)) {
		if g, ok := n.Attributes[name].(*Graph); ok {
			gs = append(gs, g)
		}
	}
	return gs
}

// each calls visit for g and for all graphs in it, outer ones first.
func (g *Graph) each(visit func(*Graph)) {
	visit(g)
	for _, n := range g.Nodes {
		for _, in := range n.subgraphs() {
			in.each(visit)
		}
	}
}
