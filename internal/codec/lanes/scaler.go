package lanes

import "math"

// A choice is which ingredients a segment may use.
type choice struct {
	rows, cols, taps bool
	fine             int
	means            int
}

// A scaler finds classes and coefficients.
type scaler struct {
	g      *shape
	values []int32
	mean   float64
	rows   []float64 // scales, relative to the mean
	cols   []float64
	taps   []float64
}

func (s *scaler) load(syms []uint16, levels []int32, g *shape) {
	s.g = g
	s.values = resize(s.values, len(syms))
	sum := int64(0)
	for i, v := range syms {
		x := levels[v]
		s.values[i] = x
		sum += int64(abs(int(x)))
	}
	s.mean = max(float64(sum)/float64(len(syms)), 1.0/16)
}

// each calls f for each value with its row, column and tap.
func (s *scaler) each(f func(row, col, tap, i int)) {
	g := s.g
	row, pos := 0, g.start
	col, tap := pos/g.taps, pos%g.taps
	for i := range s.values {
		f(row, col, tap, i)
		if tap++; tap == g.taps {
			tap = 0
			if col++; col == g.cols {
				col = 0
				row++
			}
		}
	}
}

// classes turns sums of magnitudes into classes, and these into scales.
func (s *scaler) classes(list []int16, scales, sums, counts []float64, step int) {
	for i := range list {
		m := (sums[i] + 2) / (counts[i] + 2)
		l := log2of(uint64(max(m, 1.0/256)*(1<<20))) - 20<<16
		unit := step << 13
		c := min(max((l+unit/2)/unit, -64), 64)
		if l+unit/2 < 0 {
			c = max(-((-l + unit/2) / unit), -64)
		}
		list[i] = int16(c)
		scales[i] = power(c * step)
	}
}

// power returns 2^(e/8).
func power(e int) float64 {
	return math.Ldexp(float64(eighths[e&7]), e>>3-30)
}

func (s *scaler) apply(p *params, c choice) {
	g := s.g
	p.fine, p.means = c.fine, c.means
	p.rowed, p.coled, p.tapped = c.rows, c.cols, c.taps
	step := p.step()
	s.rows = ones(s.rows, g.rows)
	s.cols = ones(s.cols, min(g.cols, g.n+1))
	s.taps = ones(s.taps, min(g.taps, g.n+1))
	inv := 1 / s.mean
	if c.rows {
		p.rows = make([]int16, g.rows)
		sums, counts := make([]float64, g.rows), make([]float64, g.rows)
		s.each(func(row, _, _, i int) {
			sums[row] += float64(float64(abs(int(s.values[i]))) * inv)
			counts[row]++
		})
		s.classes(p.rows, s.rows, sums, counts, step)
	}
	if c.cols {
		p.cols = make([]int16, g.cols)
		sums, counts := make([]float64, g.cols), make([]float64, g.cols)
		s.each(func(row, col, _, i int) {
			sums[col] += float64(float64(abs(int(s.values[i]))) * inv / s.rows[row])
			counts[col]++
		})
		s.classes(p.cols, s.cols, sums, counts, step)
	}
	if c.taps {
		p.taps = make([]int16, g.taps)
		sums, counts := make([]float64, g.taps), make([]float64, g.taps)
		s.each(func(row, col, tap, i int) {
			sums[tap] += float64(float64(abs(int(s.values[i]))) * inv / s.rows[row] / s.cols[col])
			counts[tap]++
		})
		s.classes(p.taps, s.taps, sums, counts, step)
	}
	if c.means > 0 {
		s.predict(p)
	}
	s.place(p)
}

func ones(s []float64, n int) []float64 {
	s = resize(s, n)
	for i := range s {
		s[i] = 1
	}
	return s
}

// class returns the sum of classes.
func (p *params) class(row, col, tap int) int {
	c := 0
	if p.rowed {
		c += int(p.rows[row])
	}
	if p.coled {
		c += int(p.cols[col])
	}
	if p.tapped {
		c += int(p.taps[tap])
	}
	return c
}

// place chooses the base and which classes get tables: all but the rarest.
func (s *scaler) place(p *params) {
	const offset = 3 * 64
	var hist [2*offset + 1]int
	step := p.step()
	var scale [2*offset + 1]float64
	for i := range scale {
		scale[i] = power(-(i - offset) * step)
	}
	sum := 0.0
	s.each(func(row, col, tap, i int) {
		c := p.class(row, col, tap) + offset
		hist[c]++
		x := s.values[i]
		if p.means > 0 {
			x -= int32(s.guess(p, i, col, tap))
		}
		sum += float64(float64(abs(int(x))) * scale[c])
	})
	n := len(s.values)
	spare := n / 256
	lo, hi := 0, len(hist)-1
	for k := 0; lo < hi && k+hist[lo] <= spare; lo++ {
		k += hist[lo]
	}
	for k := 0; hi > lo && k+hist[hi] <= spare; hi-- {
		k += hist[hi]
	}
	lo -= offset
	hi -= offset
	m := sum / float64(n)
	base := (log2of(uint64(max(m, 1.0/16)*256)) - 8<<16 + 1<<12) >> 13
	// Of scales below the unit there are none.
	for base+lo*step < 0 && lo < hi {
		lo++
	}
	for hi > lo && (hi-lo >= maxScales || base+hi*step > maxScale) {
		hi--
	}
	p.low, p.scales = lo, hi-lo+1
	p.base = min(max(base+lo*step, 0), maxScale)
	if !p.rowed && !p.coled && !p.tapped {
		p.low, p.fine = 0, 0
	}
}

// guess returns the prediction of the value i.
func (s *scaler) guess(p *params, i, col, tap int) int {
	coefs := &p.coefs[min(tap, maxSets-1)]
	n := min(tap, maxBack)
	sum := 0
	for k := range min(n, i) {
		sum += int(coefs[k]) * int(s.values[i-1-k])
	}
	if col > 0 && i >= s.g.taps {
		sum += int(coefs[n]) * int(s.values[i-s.g.taps])
	}
	return sum / coefUnit
}

// predict finds the coefficients: least squares, every value counted in units
// of the scale of its row and column.
func (s *scaler) predict(p *params) {
	g := s.g
	type system struct {
		a [maxBack + 1][maxBack + 1]float64
		b [maxBack + 1]float64
	}
	systems := make([]system, sets(g.taps))
	var x [maxBack + 1]float64
	s.each(func(row, col, tap, i int) {
		t := min(tap, maxSets-1)
		n := min(tap, maxBack)
		inv := 1 / (s.rows[row] * s.cols[col] * s.mean)
		for k := range n {
			x[k] = 0
			if i > k {
				x[k] = float64(s.values[i-1-k]) * inv
			}
		}
		x[n] = 0
		if col > 0 && i >= g.taps {
			x[n] = float64(s.values[i-g.taps]) * inv
		}
		y := float64(s.values[i]) * inv
		sy := &systems[t]
		for j := range n + 1 {
			for k := range j + 1 {
				sy.a[j][k] += float64(x[j] * x[k])
			}
			sy.b[j] += float64(x[j] * y)
		}
	})
	for t := range systems {
		n := features(t)
		sy := &systems[t]
		w := solve(&sy.a, &sy.b, n)
		for k := range n {
			c := math.Floor(w[k]*coefUnit + 0.5)
			p.coefs[t][k] = int16(min(max(c, -maxCoef), maxCoef))
		}
	}
}

// solve solves the symmetric system of which a has the lower half.
func solve(a *[maxBack + 1][maxBack + 1]float64, b *[maxBack + 1]float64, n int) [maxBack + 1]float64 {
	for i := range n {
		a[i][i] = float64(a[i][i]*1.0001) + 1e-3
		for j := range i {
			a[j][i] = a[i][j]
		}
	}
	for i := range n {
		for j := i + 1; j < n; j++ {
			f := a[j][i] / a[i][i]
			for k := i; k < n; k++ {
				a[j][k] -= float64(f * a[i][k])
			}
			b[j] -= float64(f * b[i])
		}
	}
	var x [maxBack + 1]float64
	for i := n - 1; i >= 0; i-- {
		v := b[i]
		for k := i + 1; k < n; k++ {
			v -= float64(a[i][k] * x[k])
		}
		x[i] = v / a[i][i]
	}
	return x
}
