package quant

import "math"

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

// gridRange returns the integers that the weights round to, at most limit of
// them: if there are more, those around zero, for that is where the mass is.
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

// chooseUniform returns the step and the rounding offset of least cost, with
// at most o.Levels levels. What the options fix stays.
func chooseUniform(sm *sample, o *Options, lambda float64) *scalar {
	var scratch []cell
	clipped := func(step, rounding float64) *scalar {
		lo, hi := gridRange(sm, step, rounding, o.Levels)
		return grid(step, rounding, lo, hi)
	}
	cost := func(step, rounding float64) float64 {
		return evaluate(sm, clipped(step, rounding), &scratch).cost(lambda)
	}
	step, rounding := o.Step, o.Rounding
	const usual = 0.45 // near the best for most tensors
	if step == 0 {
		r := rounding
		if r == 0 {
			r = usual
		}
		step = bestStep(o.Levels, lambda, 4, func(s float64) float64 { return cost(s, r) })
	}
	if rounding == 0 {
		rounding = minimize(0.05, 0.5, 0.02, func(r float64) float64 { return cost(step, r) })
		if cost(step, 0.5) <= cost(step, rounding) {
			rounding = 0.5
		}
		if o.Step == 0 {
			at := step
			step = minimize(0.8*at, 1.25*at, 0.005*at, func(s float64) float64 { return cost(s, rounding) })
		}
	}
	return clipped(step, rounding)
}

// bestStep returns the step at which cost is least. The one that belongs to
// lambda at high rate is known; a limit on the number of levels may want a larger
// one. Cost may have several minima, so a coarse scan comes first.
func bestStep(levels int, lambda, octaves float64, cost func(step float64) float64) float64 {
	lo := max(math.Sqrt(lambda/stepLambda)/2, 0.25/float64(levels))
	best, least := lo, math.Inf(1)
	hi := max(float64(octaves*lo), 64/float64(levels), 8*0.25/float64(levels))
	for s := lo; s <= hi*1.01; s *= math.Sqrt2 {
		if c := cost(s); c < least {
			best, least = s, c
		}
	}
	return minimize(best/math.Sqrt2, best*math.Sqrt2, 0.02*best, cost)
}
