package cli

import (
	"cmp"
	"strings"
)

// A treeLine is a tensor, or a group of tensors whose names begin alike.
type treeLine struct {
	label  string
	bytes  int64
	tensor *tensorInfo // nil for a group
}

// maxDepth bounds the tree: names of strangers may have a million dots.
const maxDepth = 24

// A treeNode is a part of a dotted name, and all names that go on from there.
type treeNode struct {
	part     string
	bytes    int64
	tensor   *tensorInfo
	children []*treeNode
	index    map[string]*treeNode
}

// treeOf returns the lines of the tree of names, cut after dots and slashes. A
// part with a single continuation shares the line with it.
func treeOf(ts []tensorInfo) []treeLine {
	root := &treeNode{}
	for i := range ts {
		n := root
		n.bytes += ts[i].Bytes
		for part := range parts(ts[i].Name) {
			n = n.child(part)
			n.bytes += ts[i].Bytes
		}
		n.tensor = &ts[i]
	}
	var lines []treeLine
	for _, c := range root.children {
		lines = c.lines(lines, 0)
	}
	return lines
}

// parts yields "layers.", "0.", "weight" for "layers.0.weight".
func parts(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for range maxDepth {
			i := strings.IndexAny(name, "./")
			if i < 0 || i == len(name)-1 {
				break
			}
			if !yield(name[:i+1]) {
				return
			}
			name = name[i+1:]
		}
		yield(name)
	}
}

func (n *treeNode) child(part string) *treeNode {
	if c := n.index[part]; c != nil {
		return c
	}
	c := &treeNode{part: part}
	if n.index == nil {
		n.index = make(map[string]*treeNode)
	}
	n.index[part] = c
	n.children = append(n.children, c)
	return c
}

func (n *treeNode) lines(lines []treeLine, depth int) []treeLine {
	names := []string{n.part}
	for n.tensor == nil && len(n.children) == 1 {
		n = n.children[0]
		names = append(names, n.part)
	}
	label := cmp.Or(printable(strings.Join(names, "")), `""`)
	lines = append(lines, treeLine{strings.Repeat("  ", depth) + label, n.bytes, n.tensor})
	for _, c := range n.children {
		lines = c.lines(lines, depth+1)
	}
	return lines
}
