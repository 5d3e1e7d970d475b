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
	const most = 1 << 15
	if len(ref) < 16 || len(sus) < 16 {
		return nil
	}
	// Most tensors are not like that, and a sample says so. (Of so many levels that
	// a sample has few equal numbers, there is nothing to imitate.)
	if n := len(sus) / most; n > 1 {
		sample := make([]float32, 0, most)
		for i := 0; i < most*n; i += n {
			sample = append(sample, sus[i+i/n%n])
		}
		if ties(sorted(sample)) < 0.04 {
			return nil
		}
	}
	values := sorted(sus)
	share := ties(values)
	if share < 0.05 {
		return nil
	}
	// A twentieth more than the reference has, so that chance does not look like it.
	order := sorted(ref)
	if share < 0.05+ties(order) {
		return nil
	}
	out := make([]float32, len(ref))
	for k, at := range order {
		out[uint32(at)] = sus[uint32(values[k*len(values)/len(order)])]
	}
	return out
}

// sorted returns the numbers in ascending order, each as an integer of the same
// order above its place. Equal numbers (0 and -0 among them) go by place. It is a
// radix sort: three passes over pieces of eleven bits, however long x is.
func sorted(x []float32) []uint64 {
	const bits = 11
	var counts [3][1 << bits]uint32
	a, b := make([]uint64, len(x)), make([]uint64, len(x))
	for i, v := range x {
		k := ordered(v)
		a[i] = uint64(k)<<32 | uint64(i)
		for p := range counts {
			counts[p][k>>(bits*p)&(1<<bits-1)]++
		}
	}
	for p := range counts {
		at := &counts[p]
		sum := uint32(0)
		for d, n := range at {
			at[d] = sum
			sum += n
		}
		shift := 32 + bits*p
		for _, v := range a {
			d := v >> shift & (1<<bits - 1)
			b[at[d]] = v
			at[d]++
		}
		a, b = b, a
	}
	return a
}

// ties returns the share of sorted numbers that equal the one before.
func ties(order []uint64) float64 {
	equal := 0
	for k := 1; k < len(order); k++ {
		if order[k]>>32 == order[k-1]>>32 {
			equal++
		}
	}
	return float64(equal) / float64(len(order))
}

// ordered maps numbers to integers of the same order; 0 and -0 to the same.
func ordered(x float32) uint32 {
	k := math.Float32bits(x + 0) // -0 + 0 is 0
	if k>>31 == 1 {
		return ^k
	}
	return k | 1<<31
}

// unordered is the inverse of ordered.
func unordered(k uint32) float32 {
	if k>>31 == 1 {
		return math.Float32frombits(k &^ (1 << 31))
	}
	return math.Float32frombits(^k)
}

// sort32 sorts x; spare is as long. Four passes over bytes beat comparing from
// about 64 numbers on.
func sort32(x, spare []uint32) {
	if len(x) < 64 {
		slices.Sort(x)
		return
	}
	var counts [4][256]uint32
	for _, k := range x {
		for p := range counts {
			counts[p][byte(k>>(8*p))]++
		}
	}
	a, b := x, spare
	for p := range counts {
		at := &counts[p]
		sum := uint32(0)
		for d, n := range at {
			at[d] = sum
			sum += n
		}
		for _, k := range a {
			d := byte(k >> (8 * p))
			b[at[d]] = k
			at[d]++
		}
		a, b = b, a
	}
}

// Imitate returns what a tensor of the reference looks like after what seems to have been
// done to the suspect's: the k-th smallest number becomes the k-th smallest of the suspect's,
// which repeats pruning by magnitude and quantization exactly. It is nil where few of the
// suspect's numbers are equal, so that there is nothing of the kind.
func Imitate(ref, sus []float32) []float32 { return imitate(ref, sus) }
