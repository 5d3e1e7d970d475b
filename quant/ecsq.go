package quant

const (
	ecsqRounds = 200
	ecsqGain   = 1e-6 // a round that lowers the cost by less is the last
)

// ecsq lowers D + lambda·R by turns: cells for the present levels and code
// lengths (see envelope), code lengths for the cells, levels for the cells. No
// step can raise it. Cells that nobody wants disappear. A level of zero stays
// as long as its cell holds zero.
//
// With sensitivities a cell ends where the mean sensitivity would have it. Then
// a step may raise the cost, and is not taken. (Assign looks at each weight's.)
func ecsq(sm *sample, q *scalar, lambda float64, rounds int) (*scalar, point) {
	levels, thresholds := q.levels, q.thresholds
	cellLambda := lambda / sm.meanSensitivity()
	var cells []cell
	var length []float64
	var best *scalar
	var at point
	for round := 0; ; round++ {
		cells = sm.cells(cells, thresholds)
		p := point{bits: order0(cells)}
		moved := make([]float64, len(levels))
		for i, c := range cells {
			if levels[i] != 0 || !holdsZero(thresholds, i) {
				moved[i] = c.centroid(levels[i])
			}
			p.d += c.distortion(moved[i])
		}
		levels = moved
		old := at.cost(lambda)
		if best == nil || p.cost(lambda) < old {
			best, at = dropEmpty(levels, thresholds, cells), p
		}
		if round > 0 && p.cost(lambda) >= old-float64(old*ecsqGain) || round >= rounds {
			return best, at
		}
		length = lengths(length, cells)
		var used []int
		used, thresholds = envelope(levels, length, cellLambda)
		kept := make([]float64, len(used))
		for i, u := range used {
			kept[i] = levels[u]
		}
		levels = kept
	}
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

// chooseECSQ starts from the uniform levels that belong to lambda, or that the
// options name.
func chooseECSQ(sm *sample, o *Options, lambda float64) *scalar {
	uniform := Options{Levels: o.Levels, Step: o.Step, Rounding: 0.5}
	start := chooseUniform(sm, &uniform, lambda)
	start = dropEmpty(start.levels, start.thresholds, sm.cells(nil, start.thresholds))
	best, _ := ecsq(sm, start, lambda, ecsqRounds)
	return best
}

// stepOf returns the step of a uniform quantizer.
func stepOf(q *scalar) float64 {
	if len(q.levels) < 2 {
		return 1
	}
	return q.levels[1] - q.levels[0]
}
