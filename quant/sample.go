package quant

import (
	"math"
	"slices"
)

// exactSample is the number of weights up to which a sample keeps each of them.
const exactSample = 1 << 18

// binShift is how many low bits of a float32 the bins of a larger sample
// ignore: they are 1/2048 of the value wide. Sums stay exact; only where a
// cell ends is blurred, and at the optimum that costs nothing of first order.
const binShift = 12

// A sample is what choosing levels needs to know of a tensor: its weights in
// order, with running sums, so that the count, the centroid and the distortion
// of any interval cost two searches. Values are in units of the scale.
type sample struct {
	v  []float64 // increasing; the largest of a bin
	n  []float64 // [i]: how many weights are in the first i entries
	s  []float64 // their sensitivities; n itself if there are none
	sx []float64 // sensitivity × value
	sq []float64 // sensitivity × value²
}

// A cell is the sums over an interval of a sample.
type cell struct{ n, s, sx, sq float64 }

// newSample summarises x/scale with the given sensitivities (nil: all 1).
// x must be finite.
func newSample(x, sens []float32, scale float64) *sample {
	keys := make([]uint64, len(x)) // order of the value, index
	for i, v := range x {
		keys[i] = uint64(orderOf(v))<<32 | uint64(i)
	}
	sortKeys(keys)
	shift := 32
	if len(x) > exactSample {
		shift += binShift
	}
	entries := 0
	for i, k := range keys {
		if i == len(keys)-1 || len(keys) <= exactSample || keys[i+1]>>shift != k>>shift {
			entries++
		}
	}
	sm := &sample{
		v:  make([]float64, 0, entries),
		n:  make([]float64, 1, entries+1),
		sx: make([]float64, 1, entries+1),
		sq: make([]float64, 1, entries+1),
	}
	if sens != nil {
		sm.s = make([]float64, 1, entries+1)
	}
	inv := 1 / scale
	var n, s, sx, sq float64
	for i, k := range keys {
		j := uint32(k)
		v := float64(x[j]) * inv
		w := 1.0
		if sens != nil {
			w = float64(sens[j])
		}
		n++
		s += w
		sx += float64(w * v)
		sq += float64(float64(w*v) * v)
		if i == len(keys)-1 || len(keys) <= exactSample || keys[i+1]>>shift != k>>shift {
			sm.v = append(sm.v, v)
			sm.n = append(sm.n, n)
			sm.sx = append(sm.sx, sx)
			sm.sq = append(sm.sq, sq)
			if sens != nil {
				sm.s = append(sm.s, s)
			}
		}
	}
	if sens == nil {
		sm.s = sm.n
	}
	return sm
}

func (sm *sample) total() cell  { return sm.between(0, len(sm.v)) }
func (sm *sample) min() float64 { return sm.v[0] }
func (sm *sample) max() float64 { return sm.v[len(sm.v)-1] }

// meanSensitivity is 1 if there are none.
func (sm *sample) meanSensitivity() float64 {
	all := sm.total()
	return all.s / all.n
}

// upTo returns how many entries from the one at lo on are <= t, plus lo. It is
// fast if they are few.
func (sm *sample) upTo(lo int, t float64) int {
	hi, step := lo, 1
	for hi < len(sm.v) && sm.v[hi] <= t {
		lo = hi + 1
		hi += step
		step *= 2
	}
	hi = min(hi, len(sm.v))
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if sm.v[mid] <= t {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// between returns the sums of the entries i to j-1.
func (sm *sample) between(i, j int) cell {
	return cell{sm.n[j] - sm.n[i], sm.s[j] - sm.s[i], sm.sx[j] - sm.sx[i], sm.sq[j] - sm.sq[i]}
}

// cells returns the sums between thresholds, which do not decrease: the first
// holds what is <= thresholds[0], the last what is above the last.
func (sm *sample) cells(dst []cell, thresholds []float64) []cell {
	dst = dst[:0]
	at := 0
	for _, t := range thresholds {
		next := sm.upTo(at, t)
		dst = append(dst, sm.between(at, next))
		at = next
	}
	return append(dst, sm.between(at, len(sm.v)))
}

// centroid returns the level of least distortion, or otherwise in a cell
// without weights or sensitivity.
func (c cell) centroid(otherwise float64) float64 {
	if c.n == 0 || !(c.s > 0) {
		return otherwise
	}
	return c.sx / c.s
}

// distortion returns the weighted squared error of the cell against a level.
func (c cell) distortion(level float64) float64 {
	d := c.sq - float64(2*float64(level*c.sx)) + float64(float64(level*level)*c.s)
	return max(d, 0) // a difference of large sums
}

// orderOf maps finite floats to integers of the same order; -0 counts as 0.
func orderOf(v float32) uint32 {
	b := math.Float32bits(v + 0) // -0 + 0 = 0
	if b>>31 != 0 {
		return ^b
	}
	return b | 1<<31
}

// sortKeys sorts by the upper half, equal ones by the lower: what comes in is
// in the order of the lower half, and each pass keeps the order of equals.
func sortKeys(keys []uint64) {
	if len(keys) < 1<<10 {
		slices.Sort(keys)
		return
	}
	const digit = 11
	other := make([]uint64, len(keys))
	for pass := range 3 {
		shift := 32 + digit*pass
		var start [1 << digit]int
		for _, k := range keys {
			start[k>>shift&(1<<digit-1)]++
		}
		sum := 0
		for i, n := range start {
			start[i] = sum
			sum += n
		}
		for _, k := range keys {
			d := k >> shift & (1<<digit - 1)
			other[start[d]] = k
			start[d]++
		}
		keys, other = other, keys
	}
	copy(other, keys) // three passes: the result lies in what was the scratch
}
