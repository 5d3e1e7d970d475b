package graph

import "strconv"

// A namer makes names unique, as package onnx does: w, w#2, w#3.
type namer struct {
	next  map[string]int // the number to try next, for each name in use
	bytes int
}

func newNamer() namer { return namer{next: map[string]int{}} }

func (n *namer) unique(name string) string {
	out := name
	for {
		if _, used := n.next[out]; !used {
			break
		}
		n.next[name] = max(n.next[name], 2)
		out = name + "#" + strconv.Itoa(n.next[name])
		n.next[name]++
	}
	n.next[out] = 0
	n.bytes += len(out)
	return out
}
