package lineage

import (
	"math"

	"ropewalk/quant"
)

// An observed is what models of one tensor are fitted to, and what was counted in all of it.
type observed struct {
	points []point // those with finite values, in the order of the tensor
	// Of all weights: how many there are, how many are zero in either, and how many are
	// zero in the suspect only. moved are those that are neither zero nor as they were.
	n, zeros, refZeros, lost, moved int64
	deviation                       float64 // of the reference
	// lossy is the relative error of the suspect's values beside all damage: of its type,
	// and of factors that were taken back.
	lossy  float64
	scaled bool // factors were taken back
	// rowsLost is how many of the lost weights are in rows, or columns, that are zero as a whole.
	rowsLost int64
	low      float64 // the smallest magnitude of the suspect that is not 0
	// fileZeros is the share of zeros, and fileDeviation the deviation, of all that the suspect
	// has, with what was added to it, and refDeviation that of all that the reference has; 0 if that
	// has other factors, or is just what is looked at.
	fileZeros, fileDeviation, refDeviation float64
	// below returns which share of all the reference's weights is not above a magnitude; nil if
	// it has other factors.
	below func(magnitude float64) float64
	spans [2]func(row int32) (float64, float64) // least and largest value of tensor and channel; nil if it has none
}

const (
	// fewLost is how many weights have to be zero that were not before that is called pruning:
	// less are edits.
	fewLost = 4
	// fewShare is the same as a share of all.
	fewShare = 1.0 / 512
)

// pruned reports whether zeros that were not there are too many for edits.
func (s *observed) pruned() bool {
	return s.lost >= fewLost && float64(s.lost) >= fewShare*float64(s.n)
}

// drifted reports whether most weights that are left are not as they were.
func (s *observed) drifted() bool {
	return 2*s.moved > s.n-max(s.zeros, s.refZeros) && s.moved >= 2
}

// plain looks at a tensor without levels.
func (s *observed) plain(t *trace) {
	if !s.pruned() {
		if s.drifted() {
			t.drift = plainDrift(s.points)
			s.hidden(t)
		}
		return
	}
	t.cut = s.counted()
	// What is zero by magnitude has a sharp edge, unless something was added in between.
	sorted := byMagnitude(s.points)
	zero := 0
	for _, p := range sorted {
		if p.y == 0 {
			zero++
		}
	}
	wrong := 0
	for k, p := range sorted {
		if p.y == 0 {
			t.cut.low = max(t.cut.low, math.Abs(p.x))
			if k >= zero {
				wrong++
			}
		} else if p.x != 0 && (t.cut.high == 0 || math.Abs(p.x) < t.cut.high) {
			t.cut.high = math.Abs(p.x)
		}
	}
	t.cut.fuzzy = float64(wrong) > 0.002*float64(len(sorted))+1
	// Factors that are not known exactly move weights across the edge as well as what was added.
	crossed := wrong > 0 && t.cut.low > t.cut.high && !s.scaled
	if !s.drifted() {
		if !t.cut.fuzzy && wrong > 0 { // the few that are wrong are no part of the edge
			t.cut.low, t.cut.high = math.Abs(sorted[max(0, zero-1)].x), math.Abs(sorted[min(zero, len(sorted)-1)].x)
		}
		return
	}
	if h, g, _ := hiddenCut(sorted); h != nil && g > modelGain && s.remains(sorted, h) {
		t.cut, t.drift = nil, plainDrift(s.points)
		s.hidden(t)
		return
	}
	left := make([]point, 0, len(s.points)-zero)
	for _, p := range s.points {
		if p.y != 0 {
			left = append(left, p)
		}
	}
	if len(left) < telling { // they may as well be on levels, of which there are about as many
		return
	}
	if t.cut.fuzzy = t.cut.fuzzy || crossed; !t.cut.fuzzy {
		// The zeros outlived what was added: it was not added to them.
		if d := plainDrift(left); d != nil && d.strength < 0.02 || wrong == 0 && d != nil && d.strength > 0.1 {
			t.drift, t.noisePrune = d, after
			return
		}
	}
	// Kept weights are those that noise made large, so zeros have to be counted in.
	edge := s.low
	c := make([]censored, len(s.points))
	for i, p := range s.points {
		c[i] = censored{p.x, p.y, p.y}
		if p.y == 0 {
			c[i].low, c[i].high = -edge, edge
		}
	}
	t.drift, t.noisePrune = likelyDrift(c, s.deviation), before
	if t.cut.fuzzy {
		t.cut.low, t.cut.high = 0, edge
	}
}

// extend says which share of all that the reference has, or the suspect, a cut has taken.
func (s *observed) extend(t *trace) {
	if t.cut == nil || !t.cut.exact {
		return
	}
	t.cut.filed = s.fileZeros
	if s.below != nil && !t.cut.fuzzy && t.cut.low > 0 {
		t.cut.whole = s.below(t.cut.low)
	}
}

// relate has the strength of a drift be a share of the deviation of all that there was, where
// that is known: noise is drawn by it, and neurons that nobody reads make it less.
func (s *observed) relate(t *trace) {
	if t.drift == nil || !(s.deviation > 0) {
		return
	}
	if s.refDeviation > 0 {
		t.drift.strength *= s.deviation / s.refDeviation
		t.drift.strengthError *= s.deviation / s.refDeviation
	}
	if !(s.fileDeviation > 0) {
		return
	}
	noise := t.drift.strength * s.deviation
	was := math.Sqrt(max(0, s.fileDeviation*s.fileDeviation-noise*noise))
	if t.cut != nil || t.grid != nil { // these have changed both
		was = s.fileDeviation * s.deviation / math.Hypot(s.deviation, noise)
	}
	if was > noise/100 {
		t.drift.strength *= s.deviation / was
		t.drift.strengthError *= s.deviation / was
	}
}

// remains reports whether the zeros are what training has left of a cut: all below its
// threshold, but not all that is.
func (s *observed) remains(sorted []point, c *cut) bool {
	inside, outside, below := 0, 0, 0
	for _, p := range sorted {
		small := math.Abs(p.x) <= c.low
		if small {
			below++
		}
		switch {
		case p.y != 0:
		case small:
			inside++
		default:
			outside++
		}
	}
	return 10*inside < 9*below && 100*outside <= inside
}

// counted is a cut whose zeros are still there.
func (s *observed) counted() *cut {
	return &cut{share: float64(s.zeros) / float64(s.n), exact: true, rows: 10*s.rowsLost >= 9*s.lost}
}

// hidden looks for damage that the drift came after.
func (s *observed) hidden(t *trace) {
	if t.drift == nil || len(s.points) < 64 {
		return
	}
	t.hidden, t.hiddenGain, t.hiddenDrift = hiddenCut(byMagnitude(s.points))
	var m moments
	for _, p := range s.points {
		m.add(p.x, p.y)
	}
	try := func(kind, bits int, round func(p point) float64) {
		if round != nil {
			t.gridGains[kind][bits], t.gridDrifts[kind][bits] = hiddenGrid(s.points, m.rest(), round)
		}
	}
	for bits := 1; bits <= maxHiddenBits; bits++ {
		for kind, span := range s.spans {
			if span != nil {
				try(kind, bits, even(bits, span))
			}
		}
		if bits <= maxHiddenLloyd {
			try(lloydGrid, bits, uneven(s.points, bits, quant.Lloyd))
			try(gaussianGrid, bits, uneven(s.points, bits, quant.LloydGaussian))
		}
	}
}

// between says between which levels weights were pruned, if they were on levels by then: the largest that
// is zero was nearer to its own level than to the smallest that is left.
func (c *cut) between(points []point) {
	var zero, kept [2]float64 // largest and smallest magnitude, by sign
	for _, p := range points {
		side := 0
		if p.x < 0 {
			side = 1
		}
		x, y := math.Abs(p.x), math.Abs(p.y)
		switch {
		case p.y == 0:
			zero[side] = max(zero[side], x)
		case p.x*p.y > 0 && (kept[side] == 0 || y < kept[side]):
			kept[side] = y
		}
	}
	for side := range zero {
		if kept[side] == 0 {
			continue
		}
		// Of a level at the threshold, as many weights are zero as were to be.
		c.under = max(c.under, min(2*zero[side]-kept[side], kept[side]))
		if c.over == 0 || kept[side] < c.over {
			c.over = kept[side]
		}
	}
}

// levelled looks at a tensor whose values are on the levels of t.grid; levels returns
// those of a row, ascending, without zeros beside the grid.
func (s *observed) levelled(t *trace, levels func(row int32) []float64) {
	type seen struct {
		off    bool // its level is not the nearest
		middle bool // it is on the level nearest to 0
	}
	sorted := byMagnitude(s.points)
	look := make([]seen, len(sorted))
	c := make([]censored, 0, len(sorted))
	n, off, offMiddle := 0, 0, 0
	exact := true // the middle is 0
	for k, p := range sorted {
		u := levels(p.row)
		if len(u) == 0 {
			continue
		}
		if t.grid.beside && p.y == 0 {
			least := math.Abs(u[nearestLevel(u, 0)])
			c = append(c, censored{p.x, -least, least})
			continue
		}
		n++
		i, j, m := nearestLevel(u, p.x), nearestLevel(u, p.y), nearestLevel(u, 0)
		low, high := cell(u, j)
		// At the edge of a cell, rounding decides.
		slack := 4*s.lossy*max(math.Abs(p.x), math.Abs(p.y)) + 1e-4*(u[min(j+1, len(u)-1)]-u[max(j-1, 0)])
		look[k] = seen{i != j && !(p.x >= low-slack && p.x <= high+slack), j == m}
		if look[k].off {
			off++
			if look[k].middle {
				offMiddle++
			}
		}
		exact = exact && u[m] == 0
		c = append(c, censored{p.x, low, high})
	}
	if t.grid.beside && s.pruned() {
		t.cut, t.pruneQuantize = s.counted(), after
	}
	if n == 0 || off <= max(2, n/200) {
		return
	}
	if !t.grid.beside && offMiddle*50 >= off*49 {
		// Below the threshold all are in the middle, and above on their own levels.
		wrong := off
		least, at := wrong, 0
		for k := range sorted {
			if look[k].off {
				wrong--
			}
			if !look[k].middle {
				wrong++
			}
			if wrong < least {
				least, at = wrong, k+1
			}
		}
		if off-least >= 8 && (exact || 10*least <= off) {
			c := &cut{share: float64(at) / float64(len(sorted))}
			if exact {
				c = s.counted()
			}
			c.low = math.Abs(sorted[at-1].x)
			for _, p := range sorted[at:] { // the first that is not where the pruned ones are
				if i := levels(p.row); nearestLevel(i, p.y) != nearestLevel(i, 0) {
					c.high = math.Abs(p.x)
					break
				}
			}
			t.cut = c
			t.pruneQuantize = before
			if exact && least > max(2, n/500) {
				t.pruneQuantize = after
			}
			return
		}
		if 10*least <= off {
			return // too few to call it a pruning, which alone would explain them
		}
	}
	if exact && !t.grid.beside && s.pruned() {
		// Levels about zero may have been pruned away, and what is left of them is no level.
		g, u := *t.grid, trace{grid: t.grid}
		t.grid.zero, t.grid.beside, t.grid.levels = false, true, max(1, t.grid.levels-1)
		t.grid.values = withoutZero(t.grid.values)
		s.levelled(&u, func(row int32) []float64 { return withoutZero(levels(row)) })
		if u.drift == nil {
			t.cut, t.pruneQuantize = u.cut, after
			return
		}
		*t.grid = g
	}
	if off > max(4, n/50) && n >= telling {
		t.drift, t.noiseQuantize = likelyDrift(c, s.deviation), before
	}
}
