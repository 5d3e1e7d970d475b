package lanes

import "math"

// A scaler finds the classes of rows, columns and taps, and the coefficients of
// the prediction. It may calculate with floats, but rounds every product before
// it adds it: some machines would fuse the two and find something else.
type scaler struct {
	g          *shape
	values     []float32 // of each level
	magnitudes []float32 // of each symbol
	lengths    []float64 // of each row: the sum of magnitudes
	total      float64   // of these
	rows       []float32 // one over the scale of each row, column, tap
	cols       []float32
	taps       []float32
	mean       float64 // magnitude of values times these
	sums       []float64
	position   []float32
	counts     []float64
	moments    []moments
	bits       float64 // what the values need less than without, about
	yield      float64 // of a bit that a scale says, how much is less to code
}

// load begins with a segment, in which each level is counts times.
func (s *scaler) load(syms []uint16, levels []int32, counts []uint32, g *shape) {
	s.g = g
	s.values = room(s.values, len(levels))
	s.total = 0
	for i, x := range levels {
		s.values[i] = float32(x)
		s.total += float64(abs(int(x)) * int(counts[i]))
	}
	s.magnitudes = room(s.magnitudes, len(syms))
	s.lengths = room(s.lengths, g.rows)
	for r := range s.lengths {
		from, to, _ := g.span(r)
		length := 0
		out := s.magnitudes[from:to]
		for i, v := range syms[from:to] {
			x := levels[v]
			x = max(x, -x)
			length += int(x)
			out[i] = float32(x)
		}
		s.lengths[r] = float64(length)
	}
	s.reset()
}

// share begins with the segment of another scaler, whose memory it uses.
func (s *scaler) share(other *scaler) {
	s.g, s.values, s.magnitudes = other.g, other.values, other.magnitudes
	s.lengths, s.total, s.yield = other.lengths, other.total, other.yield
	s.reset()
}

func (s *scaler) reset() {
	g := s.g
	s.mean = max(s.total/float64(g.n), 1.0/16)
	s.rows = ones(s.rows, g.rows)
	s.cols = ones(s.cols, min(g.cols, g.n))
	s.taps = ones(s.taps, min(g.taps, g.n))
	s.bits = 0
}

func ones(s []float32, n int) []float32 {
	s = resize(s, n)
	for i := range s {
		s[i] = 1
	}
	return s
}

// apply finds the classes with the step of p.fine, and uses what pays.
func (s *scaler) apply(p *params) {
	g := s.g
	n := float64(g.n)
	sums, counts := s.begin(g.rows)
	for r := range g.rows {
		from, to, _ := g.span(r)
		sums[r], counts[r] = s.lengths[r], float64(to-from)
	}
	p.rows, p.rowed = s.classes(p.rows, s.rows, &p.smooth[0], p.step())
	if !g.structured() {
		return
	}
	// One pass for positions, which make columns and taps.
	width := g.row
	s.position = resize(s.position, width)
	position := s.position
	for r := range g.rows {
		from, to, pos := g.span(r)
		inv := s.rows[r]
		sums := position[pos : pos+to-from]
		for i, x := range s.magnitudes[from:to] {
			sums[i] += float32(x * inv)
		}
	}
	sums, counts = s.begin(g.cols)
	for i, v := range position {
		sums[i/g.taps] += float64(v)
		counts[i/g.taps] += n / float64(width)
	}
	p.cols, p.coled = s.classes(p.cols, s.cols, &p.smooth[1], p.step())
	if g.taps > 1 {
		sums, counts = s.begin(g.taps)
		for i, v := range position {
			sums[i%g.taps] += float64(float64(v) * float64(s.cols[i/g.taps]))
			counts[i%g.taps] += n / float64(width)
		}
		p.taps, p.tapped = s.classes(p.taps, s.taps, &p.smooth[2], p.step())
	}
}

func (s *scaler) begin(n int) (sums, counts []float64) {
	s.sums, s.counts = resize(s.sums, n), resize(s.counts, n)
	return s.sums, s.counts
}

// classes turns sums of magnitudes into classes, and reports whether they pay.
// If so it sets what to multiply values with.
func (s *scaler) classes(list []int16, inv []float32, smooth *bool, step int) ([]int16, bool) {
	if len(s.sums) < 2 {
		return list, false
	}
	list = resize(list, len(s.sums))
	unit := step << 13
	rest, gain, n, last := 0.0, 0.0, 0.0, 0
	var plain, delta [129]int
	for i := range list {
		l := octaves(float64(s.sums[i]/s.mean)+2) - octaves(s.counts[i]+2)
		c := min(max((l+unit/2+64*unit)/unit-64, -64), 64)
		list[i] = int16(c)
		rest += float64(s.sums[i] * power(-c*step))
		gain -= float64(s.counts[i] * float64(c*step))
		n += s.counts[i]
		plain[c+64]++
		delta[min(max(c-last, -64), 64)+64]++
		last = c
	}
	side := entropy(&plain)
	if d := entropy(&delta); d < side {
		side, *smooth = d, true
	}
	// The logarithm of the mean falls, and classes have to be added to it.
	m := max(rest/n, 1.0/16)
	bits := float64((float64(n*float64(octaves(s.mean)-octaves(m))/65536) + gain/8) * s.yield)
	if bits < side {
		return list, false
	}
	for i, c := range list {
		inv[i] = float32(power(-int(c) * step))
	}
	s.mean = m
	s.bits += bits - side
	return list, true
}

// power returns 2^(e/8).
func power(e int) float64 {
	return math.Ldexp(float64(eighths[e&7]), e>>3-30)
}

// place chooses the base and which classes get tables: all but the rarest. k is
// the number of levels.
func (s *scaler) place(p *params, k int) {
	const offset = 200
	hist := make([]float64, 2*offset+1)
	hist[offset] = 1
	add := func(list []int16) {
		next := make([]float64, len(hist))
		var counts [129]float64
		for _, c := range list {
			counts[c+64]++
		}
		for i, h := range hist {
			if h == 0 {
				continue
			}
			for c, k := range counts {
				if k > 0 {
					next[i+c-64] += float64(h * k / float64(len(list)))
				}
			}
		}
		hist = next
	}
	if p.rowed {
		add(p.rows)
	}
	if p.coled {
		add(p.cols)
	}
	if p.tapped {
		add(p.taps)
	}
	const spare = 1.0 / 256
	lo, hi := 0, len(hist)-1
	for k := hist[lo]; lo < hi && k <= spare; k += hist[lo] {
		lo++
	}
	for k := hist[hi]; hi > lo && k <= spare; k += hist[hi] {
		hi--
	}
	lo -= offset
	hi -= offset
	step := p.step()
	base := (octaves(max(s.mean, 1.0/16)) + 1<<12) >> 13
	for hi > lo && base+hi*step > maxScale {
		hi--
	}
	// There are no scales below the unit, and few values that have small ones.
	for lo < hi && (base+lo*step < 0 || hi-lo >= maxScales) {
		lo++
	}
	p.low, p.scales = lo, hi-lo+1
	// Tables take time to make, as much as a few symbols for each entry.
	symbols := (k-1)>>p.split + 1
	for p.means > 2 && p.scales*(2*p.means+1)*symbols > s.g.n/2 {
		p.means--
	}
	p.base = min(max(base+lo*step, 0), maxScale)
	if !p.rowed && !p.coled && !p.tapped {
		p.low, p.fine = 0, 0
	}
}

// entropy returns what numbers of which there are so many take, in bits.
func entropy(counts *[129]int) float64 {
	n, sum := 0, 0.0
	for _, k := range counts {
		if k > 0 {
			n += k
			sum += float64(float64(k)*float64(octaves(float64(k)))) - 3<<16
		}
	}
	return (float64(float64(n)*float64(octaves(float64(n)))) - sum) / 65536
}

// octaves returns the logarithm of x > 0 to the base 2, in units of 2^-16. It is
// right to 2^-10, and the same everywhere, as a floating logarithm is not.
func octaves(x float64) int {
	b := math.Float64bits(x)
	return (int(b>>52)-1023)<<16 + int(fractions[b>>(52-fractionBits)&(1<<fractionBits-1)])
}

const fractionBits = 10

// fractions are the logarithms of the middles of steps from 1 to 2.
var fractions = func() (t [1 << fractionBits]uint16) {
	for i := range t {
		t[i] = uint16(log2of(uint64(2<<fractionBits+2*i+1)) - (fractionBits+1)<<16)
	}
	return t
}()
