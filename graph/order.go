package graph

import (
	"fmt"
	"strconv"
	"strings"
)

// sorted returns nodes in topological order: each comes after those whose values
// it reads, and otherwise they stay as they are. Nodes that read each other's
// values in a circle are an error.
func sorted(nodes []*Node) ([]*Node, error) {
	maker := map[string]int{}
	for i, n := range nodes {
		for _, name := range n.Outputs {
			if name != "" {
				maker[name] = i
			}
		}
	}
	needs := make([][]int, len(nodes))
	inOrder := true
	for i, n := range nodes {
		operands(n, func(name string) {
			if m, ok := maker[name]; ok {
				needs[i] = append(needs[i], m)
				inOrder = inOrder && m < i
			}
		})
	}
	if inOrder {
		return nodes, nil
	}
	const unseen, open, done = 0, 1, 2
	state := make([]uint8, len(nodes))
	out := make([]*Node, 0, len(nodes))
	var path []int // nodes that are open: each needs the next
	for start := range nodes {
		if state[start] == unseen {
			path = append(path[:0], start)
			state[start] = open
		}
		for len(path) > 0 && state[start] != done {
			i := path[len(path)-1]
			if len(needs[i]) == 0 {
				state[i] = done
				out = append(out, nodes[i])
				path = path[:len(path)-1]
				continue
			}
			next := needs[i][0]
			needs[i] = needs[i][1:]
			switch state[next] {
			case unseen:
				state[next] = open
				path = append(path, next)
			case open:
				return nil, circle(nodes, path, next)
			}
		}
	}
	return out, nil
}

// circle names the nodes of a circle: the end of the path, from the node next.
func circle(nodes []*Node, path []int, next int) error {
	for len(path) > 0 && path[0] != next {
		path = path[1:]
	}
	var names []string
	for _, i := range path {
		if len(names) == 5 {
			names = append(names, "...")
			break
		}
		names = append(names, strconv.Quote(nodes[i].Name))
	}
	return fmt.Errorf("nodes read each other's values in a circle: %s", strings.Join(names, " reads of "))
}

// operands calls visit for each value that a node reads, those that only its
// subgraphs read included. What is made inside of a subgraph is among them.
func operands(n *Node, visit func(name string)) {
	for _, name := range n.Inputs {
		if name != "" {
			visit(name)
		}
	}
	for _, a := range n.Attributes {
		g, ok := a.(*Graph)
		if !ok {
			continue
		}
		for _, inner := range g.Nodes {
			operands(inner, visit)
		}
		for _, name := range g.Outputs {
			visit(name)
		}
	}
}
