package quant

import (
	"cmp"
	"math"
)

// stepLambda is lambda/step² where the slopes of distortion and rate agree at
// high rate: D = step²/12 and halving the step costs one bit, so
// -dD/dR = 2·ln 2·D = (ln 2/6)·step².
const stepLambda = math.Ln2 / 6

// grid returns the quantizer round(x/step) with a rounding offset: |x| in
// steps rounds up only if its fraction is at least 1-rounding. So 0.5 takes the
// nearest level, and less makes the zero wider and all cells shifted outwards.
// The integers are clipped to [lo, hi].
func grid(step, rounding float64, lo, hi int) *scalar {
	q := &scalar{make([]float64, 0, hi-lo+1), make([]float64, 0, hi-lo)}
	for k := lo; k <= hi; k++ {
		q.levels = append(q.levels, float64(float64(k)*step))
		switch {
		case k == hi:
		case k >= 0:
			q.thresholds = append(q.thresholds, float64((float64(k+1)-rounding)*step))
		default:
			q.thresholds = append(q.thresholds, float64((float64(k)+rounding)*step))
		}
	}
	return q
}

// gridRange returns the least and the largest of the integers that the weights
// round to, at most limit apart: if they are further, those around zero, for that
// is where the mass is.
func gridRange(sm *sample, step, rounding float64, limit int) (lo, hi int) {
	const far = 1 << 20
	lo = -int(min(math.Floor(-min(sm.min(), 0)/step+rounding), far))
	hi = int(min(math.Floor(max(sm.max(), 0)/step+rounding), far))
	if hi-lo < limit {
		return lo, hi
	}
	// Take from the longer side first.
	lower := min(-lo, max((limit-1)/2, limit-1-hi))
	return -lower, limit - 1 - lower
}

// point is what a choice of levels costs: distortion as in the sample, and
// bits by the ideal order-0 code.
type point struct{ d, bits float64 }

func (p point) cost(lambda float64) float64 { return p.d + float64(lambda*p.bits) }

// evaluate returns what q costs with its levels moved to the centroids, except
// for zero.
func evaluate(sm *sample, q *scalar, scratch *[]cell) point {
	*scratch = sm.cells(*scratch, q.thresholds)
	p := point{bits: order0(*scratch)}
	for i, c := range *scratch {
		l := 0.0
		if q.levels[i] != 0 {
			l = c.centroid(q.levels[i])
		}
		p.d += c.distortion(l)
	}
	return p
}

// minimize returns the place in [lo, hi] where f is least, by golden section,
// to the given width. With several minima it finds one of them.
func minimize(lo, hi, width float64, f func(float64) float64) float64 {
	const golden = 0.6180339887498949
	a, b := hi-float64(golden*(hi-lo)), lo+float64(golden*(hi-lo))
	fa, fb := f(a), f(b)
	for hi-lo > width {
		if fa <= fb {
			hi, b, fb = b, a, fa
			a = hi - float64(golden*(hi-lo))
			fa = f(a)
		} else {
			lo, a, fa = a, b, fb
			b = lo + float64(golden*(hi-lo))
			fb = f(b)
		}
	}
	return float64((lo + hi) * 0.5)
}

// Bounds of what a search for lambda tries: below, 4096 levels are not enough
// for a tensor; above, all weights are zero.
const (
	lambdaMin = 1e-9
	lambdaMax = 1e4
)

// chooseUniform returns a uniform quantizer of low cost, with at most o.Levels
// levels. What the options fix stays.
//
// The step is the one that belongs to lambda at high rate, at any rate. Measured
// on five nets at 0.3 to 5 bits, the best step of each tensor lowers the cost by
// 0.03 %. But the minimum is so flat that it would jump by 10 % as lambda
// changes a little; then the size jumps, too, and no budget can be met.
func chooseUniform(sm *sample, o *Options, lambda float64) *scalar {
	var scratch []cell
	limit := o.Levels
	clipped := func(step, rounding float64) *scalar {
		lo, hi := gridRange(sm, step, rounding, limit)
		return grid(step, rounding, lo, hi)
	}
	cost := func(step, rounding float64) float64 {
		return evaluate(sm, clipped(step, rounding), &scratch).cost(lambda)
	}
	step, rounding := o.Step, cmp.Or(o.Rounding, 0.5)
	if step == 0 {
		step = math.Sqrt(lambda / float64(sm.meanSensitivity()*stepLambda))
		if reach := float64(o.Levels/2) * step; reach < max(sm.max(), -sm.min()) {
			all := max(step, leastStep(sm))
			if inUse(sm, all, rounding) <= o.Levels {
				step = all
			} else {
				step = clippedStep(max(step, 1/float64(8*o.Levels)), 64, func(s float64) float64 {
					return cost(s, rounding)
				})
			}
		}
	}
	sparse := inUse(sm, step, rounding) <= o.Levels
	if sparse {
		limit = maxSymbols
	}
	if o.Rounding == 0 {
		best := bestRounding(func(r float64) float64 { return cost(step, r) })
		if !sparse || inUse(sm, step, best) <= o.Levels {
			rounding = best
		}
	}
	return clipped(step, rounding)
}

// maxSymbols bounds the multiples of a step between the least and the largest
// weight: a symbol has 16 bits, until those that are not used are dropped.
const maxSymbols = 1 << 16

// leastStep returns the step of which so many multiples reach over all weights.
func leastStep(sm *sample) float64 {
	return (max(sm.max(), 0) - min(sm.min(), 0)) / (maxSymbols - 2)
}

// inUse returns how many multiples of a step some weight rounds to, or more than
// [MaxLevels] if they reach too far. Of a heavy tail they are few.
func inUse(sm *sample, step, rounding float64) int {
	if step < leastStep(sm) {
		return maxSymbols
	}
	lo, hi := gridRange(sm, step, rounding, maxSymbols)
	n := 0
	for _, c := range sm.cells(nil, grid(step, rounding, lo, hi).thresholds) {
		if c.n > 0 {
			n++
		}
	}
	return n
}

// bestRounding returns the rounding offset of least cost. The minimum is flat,
// and the data put ripples on it; so it is that of the parabola of least squares
// through costs around the lowest one.
func bestRounding(cost func(r float64) float64) float64 {
	const points, reach, largest = 11, 3, 0.5
	var at [points]float64
	best := 0
	for i := range at {
		at[i] = cost(float64(i) * (largest / (points - 1)))
		if at[i] <= at[best] {
			best = i
		}
	}
	// With x = -reach … reach: sums of x² and x⁴ are 28 and 196, and c·x² is
	// measured against its mean, 4.
	mid := min(max(best, reach), points-1-reach)
	slope, bend := 0.0, 0.0
	for x := -reach; x <= reach; x++ {
		c := at[mid+x] - at[best]
		slope += float64(float64(x)*c) / 28
		bend += float64(float64(x*x-4)*c) / 84
	}
	x := float64(best - mid)
	if bend > 0 {
		x = -slope / float64(2*bend)
	}
	return min(max((float64(mid)+x)*(largest/(points-1)), 0), largest)
}

// clippedStep returns the step of least cost from lo up, at most times more,
// for a quantizer whose levels do not reach the largest weights. There may be
// several minima, so a coarse scan comes first.
func clippedStep(lo, times float64, cost func(step float64) float64) float64 {
	best, least := lo, math.Inf(1)
	try := func(s float64) float64 {
		c := cost(s)
		if c < least {
			best, least = s, c
		}
		return c
	}
	for s := lo; s <= lo*times; s *= math.Sqrt2 {
		try(s)
	}
	// Whether one outlier has a cell of its own can matter more than all else,
	// so there are minima beside the one that this finds: the least cost counts.
	minimize(max(best/math.Sqrt2, lo), best*math.Sqrt2, 0.01*best, try)
	return best
}
