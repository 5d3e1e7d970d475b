package align

import (
	"math"
	"slices"
)

// imitate does to the numbers of ref what seems to have been done to those of
// sus. It returns nil if nothing of the kind is seen.
//
// Pruning by magnitude and quantization map each number by a monotone function,
// whose result has many equal values. Whatever the function was, its k-th smallest
// result comes from the k-th smallest number; so giving the k-th smallest number
// of ref the k-th smallest value of sus repeats it exactly, thresholds, levels and
// all, without knowing which neuron went where. A pair then has a cosine of 1
// where it had 0.5. If noise came on top, or rescaling, it is an approximation;
// evidence uses it only where it separates better than ref itself.
func imitate(ref, sus []float32) []float32 {
	if len(ref) < 16 || len(sus) < 16 {
		return nil
	}
	values := slices.Clone(sus)
	slices.Sort(values)
	equal := 0
	for k := 1; k < len(values); k++ {
		if values[k] == values[k-1] {
			equal++
		}
	}
	share := float64(equal) / float64(len(sus))
	if share < 0.05 {
		return nil
	}
	// Numbers as integers of the same order, each with its place: one fast sort, and
	// ties go by place.
	order := make([]uint64, len(ref))
	for i, x := range ref {
		b := math.Float32bits(x + 0) // -0 is 0
		if b>>31 == 1 {
			b = ^b
		} else {
			b |= 1 << 31
		}
		order[i] = uint64(b)<<32 | uint64(i)
	}
	slices.Sort(order)
	equal = 0
	for k := 1; k < len(order); k++ {
		if order[k]>>32 == order[k-1]>>32 {
			equal++
		}
	}
	// A twentieth more than the reference has, so that chance does not look like it.
	if share < 0.05+float64(equal)/float64(len(ref)) {
		return nil
	}
	out := make([]float32, len(ref))
	for k, at := range order {
		out[uint32(at)] = values[k*len(values)/len(order)]
	}
	return out
}
