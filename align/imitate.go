package align

import (
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
	order := make([]int32, len(ref))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		switch {
		case ref[a] < ref[b]:
			return -1
		case ref[a] > ref[b]:
			return 1
		}
		return 0
	})
	equalSus, equalRef := 0, 0
	for k := 1; k < len(values); k++ {
		if values[k] == values[k-1] {
			equalSus++
		}
	}
	for k := 1; k < len(order); k++ {
		if ref[order[k]] == ref[order[k-1]] {
			equalRef++
		}
	}
	// A twentieth more than the reference has, so that chance does not look like it.
	if float64(equalSus)/float64(len(sus)) < 0.05+float64(equalRef)/float64(len(ref)) {
		return nil
	}
	out := make([]float32, len(ref))
	for k, at := range order {
		out[at] = values[k*len(values)/len(order)]
	}
	return out
}
