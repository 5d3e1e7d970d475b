package onnx

import "strconv"

// maxNames bounds the bytes of all names of tensors. Names of nested tensors
// repeat the path to them, so a small file could ask for very many.
const maxNames = 64 << 20

// A namer makes names unique.
type namer struct {
	next  map[string]int // the number to try next, for each name in use
	total int
}

// unique returns name, or name#2, name#3, ... if it is in use. It fails if all
// names together are too long.
func (n *namer) unique(name string) (string, bool) {
	base, out := name, name
	for {
		if _, used := n.next[out]; !used {
			break
		}
		if n.next[base] == 0 {
			n.next[base] = 2
		}
		out = base + "#" + strconv.Itoa(n.next[base])
		n.next[base]++
	}
	n.next[out] = 0
	n.total += len(out)
	return out, n.total <= maxNames
}
