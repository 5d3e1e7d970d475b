package quant

import "math"

// scalar is a quantizer of numbers in units of the scale: symbol k stands for
// levels[k] and is used for what lies in (thresholds[k-1], thresholds[k]].
type scalar struct {
	levels     []float64 // increasing
	thresholds []float64 // one fewer, not decreasing
}

// symbol returns the symbol of x.
func (q *scalar) symbol(x float64) int {
	lo, hi := 0, len(q.thresholds)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if q.thresholds[mid] < x {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// nearest returns the quantizer of least distortion with the given levels. A
// tie goes to the lower level.
func nearest(levels []float64) *scalar {
	return &scalar{levels, midpoints(nil, levels)}
}

func midpoints(dst, levels []float64) []float64 {
	dst = dst[:0]
	for i := 1; i < len(levels); i++ {
		dst = append(dst, float64((levels[i-1]+levels[i])*0.5))
	}
	return dst
}

// order0 returns the bits that the best static code of the cells' symbols
// would take, its table not counted.
func order0(cells []cell) float64 {
	total, bits := 0.0, 0.0
	for _, c := range cells {
		if c.n > 0 {
			total += c.n
			bits -= float64(c.n * log2(c.n))
		}
	}
	if total == 0 {
		return 0
	}
	return max(bits+float64(total*log2(total)), 0)
}

// lengths sets dst to the ideal code lengths of the cells' symbols, in bits;
// that of an empty cell is infinite.
func lengths(dst []float64, cells []cell) []float64 {
	dst = dst[:0]
	total := 0.0
	for _, c := range cells {
		total += c.n
	}
	for _, c := range cells {
		if c.n == 0 {
			dst = append(dst, math.Inf(1))
			continue
		}
		dst = append(dst, log2(total/c.n))
	}
	return dst
}

// envelope returns which levels, each with its code length, are the cheapest
// for some number x in (x-level)² + lambda·length, and where each one ends.
// As functions of x these are parabolas of one shape, so that any two cross
// once and the result is their lower envelope.
func envelope(levels, length []float64, lambda float64) (used []int, thresholds []float64) {
	for j := range levels {
		if math.IsInf(length[j], 1) {
			continue
		}
		for len(used) > 0 {
			i := used[len(used)-1]
			gap := levels[j] - levels[i]
			t := float64((levels[i]+levels[j])*0.5) + float64(lambda*(length[j]-length[i]))/float64(2*gap)
			if n := len(thresholds); n > 0 && t <= thresholds[n-1] {
				used, thresholds = used[:len(used)-1], thresholds[:n-1]
				continue
			}
			thresholds = append(thresholds, t)
			break
		}
		used = append(used, j)
	}
	return used, thresholds
}
