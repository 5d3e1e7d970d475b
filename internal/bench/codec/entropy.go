package main

import (
	"math"
	"slices"
)

// What an ideal coder would need that knew the statistics of the stream
// beforehand, in bits. Counts are those of the stream itself, so the higher
// orders are lower than any coder could come: with 32 levels, order 2 has more
// counts than there are weights in a small network.

// orderZero returns the entropy of each matrix by its own counts, summed.
func orderZero(s *stream) float64 {
	sum := 0.0
	for _, t := range s.tensors {
		keys := make([]uint64, len(t.syms))
		for i, sym := range t.syms {
			keys[i] = uint64(sym)
		}
		sum += information(keys)
	}
	return sum
}

// conditional returns the entropy of the whole stream, matrices one after
// another, given the last few symbols: one for order 1, at most three.
func conditional(s *stream, order int) float64 {
	var syms []uint16
	for _, t := range s.tensors {
		syms = append(syms, t.syms...)
	}
	if len(syms) <= order {
		return 0
	}
	contexts := make([]uint64, len(syms)-order)
	joint := make([]uint64, len(syms)-order)
	for i := range contexts {
		for _, sym := range syms[i : i+order] {
			contexts[i] = contexts[i]<<16 | uint64(sym)
		}
		joint[i] = contexts[i]<<16 | uint64(syms[i+order])
	}
	return information(joint) - information(contexts)
}

// information returns how many bits the keys take, each at the cost of its
// share. It sorts them.
func information(keys []uint64) float64 {
	slices.Sort(keys)
	sum, n := 0.0, float64(len(keys))
	for from := 0; from < len(keys); {
		to := from + 1
		for to < len(keys) && keys[to] == keys[from] {
			to++
		}
		count := float64(to - from)
		sum += count * math.Log2(n/count)
		from = to
	}
	return sum
}
