package mix

// A tree cuts the interval of all symbols into single ones by yes/no
// decisions. Symbols are offsets to the most frequent one of their segment, so
// that segments with different codebooks share it.
type tree struct {
	zero             bool
	nodes            []treeNode
	low, high, whole int32 // roots below zero, above zero, and of all
}

type treeNode struct {
	split int32    // first offset of the upper half
	id    int32    // whose counters
	child [2]int32 // -1: one offset is left
}

const (
	nodeZero   = 0
	nodeSign   = 1
	nodeUnique = 272 // nodes that do not share what they learn
	nodeMax    = nodeUnique + 12

	// Nodes from here on are deep, unless the tree is small; those of long
	// kernels, which are signals, and whose neighbours tell much, later.
	smallTree = 20
	wideNodes = 8
	longNodes = 80
)

// newTree cuts the offsets from lo to hi, balanced by the mass of a logistic
// distribution with that spread (quarter octaves).
func newTree(lo, hi int, spread int, zero bool) *tree {
	t := &tree{zero: zero}
	cum := make([]int64, hi-lo+2)                           // mass below offset lo+i
	s := int64(exp2Table[spread&3*64]>>22) << (spread >> 2) // spread in 1/256
	for i := range hi - lo + 1 {
		d := int64(lo+i)*2 - 1
		a := min(max(d*128*256/s, -2047), 2047)
		b := min(max((d+2)*128*256/s, -2047), 2047)
		m := int64(logisticTable[2048+b]) - int64(logisticTable[2048+a])
		cum[i+1] = cum[i] + m + 4096
	}
	next := int32(0)
	if zero {
		next = 2 // after nodeZero and nodeSign
	}
	// Breadth first, so that the most frequent nodes get counters of their own.
	type job struct {
		a, b int // interval
		to   *int32
	}
	t.low, t.high, t.whole = -1, -1, -1
	var queue []job
	if zero {
		queue = []job{{lo, 0, &t.low}, {1, hi + 1, &t.high}}
	} else {
		queue = []job{{lo, hi + 1, &t.whole}}
	}
	total := hi - lo + 1
	t.nodes = make([]treeNode, 0, total)
	for len(queue) > 0 {
		j := queue[0]
		queue = queue[1:]
		if j.b-j.a < 2 {
			continue
		}
		// First k in a+1 … b-1 such that at least half lies below.
		half := (cum[j.a-lo] + cum[j.b-lo]) / 2
		l, r := j.a+1, j.b-1
		for l < r {
			m := (l + r) >> 1
			if cum[m-lo] >= half {
				r = m
			} else {
				l = m + 1
			}
		}
		// The one before may be nearer.
		if l-1 > j.a && half-cum[l-1-lo] < cum[l-lo]-half {
			l--
		}
		id := next
		if next < nodeUnique {
			next++
		} else {
			n := int32(0)
			for w := j.b - j.a; w > 2; w >>= 1 {
				n++
			}
			id = nodeUnique + min(n, nodeMax-nodeUnique-1)
		}
		*j.to = int32(len(t.nodes))
		t.nodes = append(t.nodes, treeNode{split: int32(l), id: id, child: [2]int32{-1, -1}})
		n := &t.nodes[len(t.nodes)-1]
		queue = append(queue, job{j.a, l, &n.child[0]}, job{l, j.b, &n.child[1]})
	}
	return t
}
