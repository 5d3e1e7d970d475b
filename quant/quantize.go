package quant

import (
	"math"
	"slices"
)

// A Quantized is a tensor as symbols and the levels that they stand for.
// Symbol s of a weight in channel c stands for
//
//	Levels[s]              if Scales is nil
//	Scales[c] · Levels[s]  else: one product of float32, rounded once
//
// where a channel is an index of axis 0. It shares no memory with its input
// and is immutable but for [Quantized.Assign] and [Quantized.Refit].
type Quantized struct {
	Levels  []float32 // increasing; integers if there are Scales
	Scales  []float32 // all positive, or nil
	Symbols []uint16  // one for each weight, below len(Levels)

	Bits     float64 // of the symbols, by the ideal order-0 code; no codebook
	NMSE     float64 // squared error / squared weights, both summed
	MaxError float64 // largest distance of a weight and its value

	fit fit
}

// fit is how the levels were made, so that they can be made again for
// other symbols.
type fit struct {
	move   bool      // levels may move at all
	ints   []int     // of a uniform quantizer: the multiple of the step at each level
	step   float64   // their distance, if there are no scales
	scales []float64 // scales before they were fitted, if there are any
	row    int       // weights of a channel
	sens   bool      // there are sensitivities
	lambda []float64 // of each channel, in units of weights (not of the sample)
}

// Values appends the values of all weights to dst[:0] and returns it.
func (q *Quantized) Values(dst []float32) []float32 {
	dst = slices.Grow(dst[:0], len(q.Symbols))
	if q.Scales == nil {
		for _, s := range q.Symbols {
			dst = append(dst, q.Levels[s])
		}
		return dst
	}
	for i, s := range q.Symbols {
		dst = append(dst, q.Scales[i/q.fit.row]*q.Levels[s])
	}
	return dst
}

// quantize quantizes a tensor that is not constant.
func (p *Plan) quantize(t *summary, w, sens []float32, lambda float64) *Quantized {
	scale := t.scales[0]
	own := p.lambda(t, lambda)
	c := p.choose(t, own)
	q := &Quantized{Symbols: make([]uint16, t.n)}
	q.fit = fit{move: true, row: t.row, sens: sens != nil}
	for _, s := range t.scales {
		l := float64(float64(own*s) * s)
		if sens != nil {
			l = own * t.weight // the sample's sensitivities have the scale in them
		}
		q.fit.lambda = append(q.fit.lambda, l)
	}
	switch p.o.Method {
	case Lloyd, LloydGaussian, Codebook:
		q.fit.move = false
		if p.o.Method == Codebook {
			q.Levels = slices.Clone(p.o.Codebook)
		} else {
			q.Levels = t.store(c, scale)
		}
		q.assignNearest(w)
		q.measure(w)
		return q
	case Uniform:
		// One of the levels is zero, the others are multiples.
		zero, _ := slices.BinarySearch(c.levels, 0)
		for i := range c.levels {
			q.fit.ints = append(q.fit.ints, i-zero)
		}
		q.fit.step = stepOf(c)
	}
	if len(t.scales) > 1 || p.o.PerChannel && len(t.shape) >= 2 {
		for _, s := range t.scales {
			q.fit.scales = append(q.fit.scales, float64(s*q.fit.step))
		}
		q.fit.step = 0
	}
	raw := scalar{c.levels, make([]float64, len(c.thresholds))}
	for r, s := range t.scales {
		for i, thr := range c.thresholds {
			raw.thresholds[i] = float64(thr * s)
		}
		for i := r * t.row; i < (r+1)*t.row; i++ {
			q.Symbols[i] = uint16(raw.symbol(float64(w[i])))
		}
	}
	for i, l := range c.levels {
		c.levels[i] = float64(l * scale)
	}
	q.refit(w, sens, c.levels)
	return q
}

// quantizeConstant gives the one value there is, exactly.
func (t *summary) quantizeConstant(w []float32) *Quantized {
	q := &Quantized{Levels: []float32{0}, Symbols: make([]uint16, t.n)}
	if t.n > 0 {
		q.Levels[0] = w[0] + 0 // no -0
	}
	q.fit.row = max(t.row, 1)
	q.fit.lambda = make([]float64, max(t.n, 1)/q.fit.row)
	if t.row < t.n {
		v := q.Levels[0]
		scale := float32(math.Abs(float64(v)))
		switch {
		case v == 0:
			scale = 1
		case v < 0:
			q.Levels[0] = -1
		default:
			q.Levels[0] = 1
		}
		q.Scales = slices.Repeat([]float32{scale}, t.n/t.row)
	}
	return q
}

// assignNearest sets the symbols to those of the nearest levels.
func (q *Quantized) assignNearest(w []float32) {
	levels := make([]float64, len(q.Levels))
	for i, l := range q.Levels {
		levels[i] = float64(l)
	}
	c := nearest(levels)
	for i, v := range w {
		q.Symbols[i] = uint16(c.symbol(float64(v)))
	}
}

// store returns the levels of a quantizer as float32, or as halves if these
// are hardly worse.
func (t *summary) store(c *scalar, scale float64) []float32 {
	cells := t.sm.cells(nil, c.thresholds)
	exact := make([]float64, len(c.levels))
	for i, l := range c.levels {
		exact[i] = float64(l * scale)
	}
	full, half := round32(exact), roundHalf(exact)
	cost := func(levels []float32) float64 {
		d := 0.0
		for i, c := range cells {
			d += c.distortion(float64(levels[i]) / scale)
		}
		return d
	}
	const hardly = 1.001
	if half != nil && (full == nil || cost(half) <= hardly*cost(full)) {
		return half
	}
	if full == nil { // levels that float32 cannot tell apart
		return increasing32(exact)
	}
	return full
}

// refit sets levels and measures for the symbols; levels are where they are
// now, and symbols that no weight has disappear. It is the last step of every
// quantizer whose levels may move: to the centroids, rounded to 16 or 32 bits,
// or to the multiples of a step, whichever has the lowest D + lambda·R with the
// codebook's bits counted.
func (q *Quantized) refit(w, sens []float32, levels []float64) {
	cells := make([]cell, len(levels))
	for i, s := range q.Symbols {
		v, c := float64(w[i]), &cells[s]
		e := 1.0
		if sens != nil {
			e = float64(sens[i])
		}
		c.n++
		c.s += e
		c.sx += float64(e * v)
		c.sq += float64(float64(e*v) * v)
	}
	levels, cells = q.compact(levels, cells)
	q.Bits = order0(cells)
	if q.fit.scales != nil {
		q.refitScales(w, sens)
		q.measure(w)
		return
	}
	free := make([]float64, len(levels))
	for i, c := range cells {
		if levels[i] != 0 {
			free[i] = c.centroid(levels[i])
		}
	}
	free = ordered(free, levels)
	best, least := []float32(nil), math.Inf(1)
	d := 0.0
	for i, c := range cells {
		d += c.distortion(free[i])
	}
	// Even if only distortion counts, a bit is worth what it saves at high
	// rate: -dD/dR = 2·ln 2·D.
	lambda := max(q.fit.lambda[0], float64(2*math.Ln2*d)/float64(len(w)))
	try := func(levels []float32, bits float64) {
		if levels == nil {
			return
		}
		cost := float64(lambda * bits)
		for i, c := range cells {
			cost += c.distortion(float64(levels[i]))
		}
		if cost < least {
			best, least = levels, cost
		}
	}
	k := float64(len(levels))
	try(q.gridLevels(cells), 32+8*k)
	try(roundHalf(free), 16*k)
	try(round32(free), 32*k)
	if best == nil {
		best = increasing32(free)
	}
	q.Levels = best
	q.measure(w)
}

// compact removes symbols that no weight has.
func (q *Quantized) compact(levels []float64, cells []cell) ([]float64, []cell) {
	to := make([]uint16, len(cells))
	n := 0
	for i, c := range cells {
		to[i] = uint16(n)
		if c.n == 0 {
			continue
		}
		levels[n], cells[n] = levels[i], cells[i]
		if q.fit.ints != nil {
			q.fit.ints[n] = q.fit.ints[i]
		}
		n++
	}
	if n < len(cells) {
		for i, s := range q.Symbols {
			q.Symbols[i] = to[s]
		}
	}
	if q.fit.ints != nil {
		q.fit.ints = q.fit.ints[:n]
	}
	return levels[:n], cells[:n]
}

// ordered returns free if it increases, else levels: centroids of symbols that
// were chosen by cost may overtake each other.
func ordered(free, levels []float64) []float64 {
	for i := 1; i < len(free); i++ {
		if !(free[i-1] < free[i]) {
			return levels
		}
	}
	return free
}

// gridLevels returns the multiples of the step that fits best, nil if the
// quantizer is not uniform or float32 cannot tell the multiples apart.
func (q *Quantized) gridLevels(cells []cell) []float32 {
	if q.fit.ints == nil {
		return nil
	}
	xk, kk := 0.0, 0.0
	for i, c := range cells {
		k := float64(q.fit.ints[i])
		xk += float64(k * c.sx)
		kk += float64(float64(k*k) * c.s)
	}
	step := q.fit.step
	if xk > 0 && kk > 0 {
		step = xk / kk
	}
	levels := make([]float32, len(cells))
	for i, k := range q.fit.ints {
		levels[i] = float32(step) * float32(k)
		if !finite(levels[i]) || i > 0 && !(levels[i-1] < levels[i]) {
			return nil
		}
	}
	return levels
}

// refitScales sets the scale of each channel to the one of least distortion.
func (q *Quantized) refitScales(w, sens []float32) {
	q.Levels = make([]float32, len(q.fit.ints))
	largest := 1.0
	for i, k := range q.fit.ints {
		q.Levels[i] = float32(k)
		largest = max(largest, math.Abs(float64(k)))
	}
	q.Scales = make([]float32, len(q.fit.scales))
	for r := range q.Scales {
		xk, kk := 0.0, 0.0
		for i := r * q.fit.row; i < (r+1)*q.fit.row; i++ {
			e := 1.0
			if sens != nil {
				e = float64(sens[i])
			}
			k := float64(q.fit.ints[q.Symbols[i]])
			xk += float64(float64(e*k) * float64(w[i]))
			kk += float64(float64(e*k) * k)
		}
		s := q.fit.scales[r]
		if xk > 0 && kk > 0 {
			s = xk / kk
		}
		// A positive scale that no level makes infinite.
		s = min(s, float64(math.MaxFloat32*(1-1e-6))/largest)
		q.Scales[r] = max(float32(s), math.SmallestNonzeroFloat32)
	}
}

// measure sets NMSE and MaxError, and Bits.
func (q *Quantized) measure(w []float32) {
	cells := make([]cell, len(q.Levels))
	d, e, worst := 0.0, 0.0, 0.0
	for i, s := range q.Symbols {
		cells[s].n++
		v := q.Levels[s]
		if q.Scales != nil {
			v = q.Scales[i/q.fit.row] * v
		}
		x := float64(w[i])
		diff := math.Abs(x - float64(v))
		d += float64(diff * diff)
		e += float64(x * x)
		worst = max(worst, diff)
	}
	q.Bits, q.MaxError, q.NMSE = order0(cells), worst, 0
	if d > 0 {
		q.NMSE = d / e
	}
}

// round32 returns the levels as float32, nil if two become one.
func round32(levels []float64) []float32 { return rounded(levels, toFloat32) }

// roundHalf returns the levels as numbers that have an exact form in 16 bits,
// nil if two become one or one is too large.
func roundHalf(levels []float64) []float32 { return rounded(levels, toHalf) }

func rounded(levels []float64, to func(float64) float32) []float32 {
	out := make([]float32, len(levels))
	for i, l := range levels {
		out[i] = to(l) + 0 // no -0
		if !finite(out[i]) || i > 0 && !(out[i-1] < out[i]) {
			return nil
		}
	}
	return out
}

func toFloat32(x float64) float32 { return float32(x) }

// toHalf returns the nearest number of IEEE 754 binary16, a tie to even.
func toHalf(x float64) float32 {
	if math.Abs(x) >= 65520 {
		return float32(math.Inf(1))
	}
	_, e := math.Frexp(x) // |x| in [2^(e-1), 2^e)
	ulp := math.Ldexp(1, max(e-11, -24))
	return float32(math.RoundToEven(x/ulp) * ulp)
}

// increasing32 returns the levels as float32, each at least one step above the
// one before.
func increasing32(levels []float64) []float32 {
	out := make([]float32, len(levels))
	for i, l := range levels {
		out[i] = float32(l)
		if i > 0 && !(out[i-1] < out[i]) {
			out[i] = math.Nextafter32(out[i-1], math.MaxFloat32)
		}
	}
	return out
}
