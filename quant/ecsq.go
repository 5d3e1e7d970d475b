package quant

import "math"

const (
	ecsqRounds = 200
	ecsqGain   = 1e-6
)

// ecsq lowers D + lambda·R by turns: cells for the present levels and code
// lengths (see envelope), code lengths for the cells, levels for the cells. No
// step can raise it. Cells that nobody wants disappear. A level of zero stays
// as long as its cell holds zero.
func ecsq(sm *sample, q *scalar, lambda float64, rounds int) (*scalar, point) {
	levels, thresholds := q.levels, q.thresholds
	var cells []cell
	var length []float64
	last := math.Inf(1)
	var p point
	for round := 0; ; round++ {
		cells = sm.cells(cells, thresholds)
		p = point{bits: order0(cells)}
		moved := make([]float64, len(levels))
		for i, c := range cells {
			if levels[i] != 0 || !holdsZero(thresholds, i) {
				moved[i] = c.centroid(levels[i])
			}
			p.d += c.distortion(moved[i])
		}
		levels = moved
		cost := p.cost(lambda)
		if cost >= last-float64(last*ecsqGain) || round >= rounds {
			break
		}
		last = cost
		length = lengths(length, cells)
		var used []int
		used, thresholds = envelope(levels, length, lambda)
		kept := make([]float64, len(used))
		for i, u := range used {
			kept[i] = levels[u]
		}
		levels = kept
	}
	return dropEmpty(levels, thresholds, cells), p
}

// holdsZero reports whether zero lies in cell i. If it does not, a level of
// zero could come to lie beyond its neighbour.
func holdsZero(thresholds []float64, i int) bool {
	return (i == 0 || thresholds[i-1] < 0) && (i == len(thresholds) || thresholds[i] >= 0)
}

// dropEmpty removes the levels of empty cells; their interval goes to a
// neighbour.
func dropEmpty(levels, thresholds []float64, cells []cell) *scalar {
	q := &scalar{}
	for i, c := range cells {
		if c.n == 0 {
			continue
		}
		if len(q.levels) > 0 {
			q.thresholds = append(q.thresholds, thresholds[i-1])
		}
		q.levels = append(q.levels, levels[i])
	}
	return q
}

// chooseECSQ starts from the uniform levels of least cost; if none are given,
// the step is tried finer and coarser, for the iteration keeps what it gets.
func chooseECSQ(sm *sample, o *Options, lambda float64) *scalar {
	uniform := Options{Levels: o.Levels, Step: o.Step}
	start := chooseUniform(sm, &uniform, lambda)
	best, at := ecsq(sm, start, lambda, ecsqRounds)
	if o.Step > 0 {
		return best
	}
	step := stepOf(start)
	for _, f := range []float64{0.8, 0.9, 1.1, 1.25} {
		lo, hi := gridRange(sm, step*f, 0.5, o.Levels)
		q, p := ecsq(sm, grid(step*f, 0.5, lo, hi), lambda, ecsqRounds)
		if p.cost(lambda) < at.cost(lambda) {
			best, at = q, p
		}
	}
	return best
}

// stepOf returns the step of a uniform quantizer.
func stepOf(q *scalar) float64 {
	if len(q.levels) < 2 {
		return 1
	}
	return q.levels[1] - q.levels[0]
}
