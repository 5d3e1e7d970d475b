package lanes

import "sync"

// A fitter finds the parameters of segments. It may calculate with floats, but
// every product is rounded before it is added, as some machines would fuse the
// two and find other parameters.
type fitter struct {
	model  model
	seq    []uint32
	hist   []uint32 // of each table, its symbols
	counts []uint32 // of each table
	freqs  []uint16
	scaler scaler
	side   *sideModel // as it is before the segment
	trial  sideModel
	out    []byte
}

// fit finds the parameters of a segment. side is what its neighbours told.
func (f *fitter) fit(best *params, side *sideModel, syms []uint16, levels []int32, g *shape, lanes int) {
	f.side = side
	*best = params{constant: true, symbol: int(syms[0])}
	for _, s := range syms {
		if s != syms[0] {
			best.constant = false
			break
		}
	}
	if best.constant {
		return
	}
	f.seq = resize(f.seq, len(syms))
	f.scaler.load(syms, levels, g)
	split := splitOf(syms, len(levels))
	bestBits := int64(-1)
	try := func(c choice) bool {
		var p params
		p.split = split
		f.scaler.apply(&p, c)
		bits := f.evaluate(&p, syms, levels, g, lanes)
		if bestBits < 0 || bits < bestBits {
			*best, bestBits = p, bits
			return true
		}
		return false
	}
	c := choice{}
	try(c)
	c = choice{rows: true, cols: g.cols > 1 && g.structured(), taps: g.taps > 1 && g.structured(), fine: 1}
	try(c)
	if g.structured() && g.cols*g.taps > 1 {
		p := c
		p.means = 6
		if try(p) {
			c = p
		} else {
			p.rows, p.cols, p.taps = false, false, false
			try(p)
		}
	}
	for _, change := range []func(*choice){
		func(c *choice) { c.fine = 2 },
		func(c *choice) { c.fine = 0 },
		func(c *choice) { c.taps = false },
		func(c *choice) { c.rows = false },
		func(c *choice) { c.cols = false },
	} {
		p := c
		if change(&p); p != c && try(p) {
			c = p
		}
	}
}

// evaluate completes p with a shape, a dead zone and weights, and returns what
// it costs, in units of 2^-10 bits.
func (f *fitter) evaluate(p *params, syms []uint16, levels []int32, g *shape, lanes int) int64 {
	m := &f.model
	m.prepare(p, levels)
	m.contexts(syms, g, lanes, f.seq)
	f.count()
	best := int64(-1)
	shape, dead := 0, 0
	for s := range shapes {
		p.shape = s
		if b := f.bits(); best < 0 || b < best {
			best, shape = b, s
		}
	}
	p.shape = shape
	if p.split == 0 {
		for d := range deadZones {
			p.dead = d
			m.prepare(p, levels)
			if b := f.bits(); b < best {
				best, dead = b, d
			}
		}
	}
	p.dead = dead
	m.prepare(p, levels)
	plain := f.cost(p, g, len(levels), best)
	p.weighted = true
	p.weights = make([]int16, m.symbols)
	for range 3 {
		f.reweigh()
	}
	if b := f.cost(p, g, len(levels), f.bits()); b < plain {
		return b
	}
	p.weighted = false
	return plain
}

// cost adds what the parameters cost.
func (f *fitter) cost(p *params, g *shape, k int, bits int64) int64 {
	f.trial = *f.side
	c := newEncoder(f.out[:0])
	if !f.trial.code(&c, p, g, k) {
		return 1 << 62
	}
	c.end()
	f.out = c.buf
	return bits + int64(len(c.buf))<<13
}

// count counts the symbols of each table.
func (f *fitter) count() {
	m := &f.model
	n := m.scales * m.width
	f.hist = resize(f.hist, n*m.symbols)
	f.counts = resize(f.counts, n)
	for _, q := range f.seq {
		t := int(q >> 11)
		f.hist[t*m.symbols+int(q&255)]++
		f.counts[t]++
	}
}

// bits returns what the symbols cost with the tables of the model.
func (f *fitter) bits() int64 {
	m := &f.model
	f.freqs = resize(f.freqs, m.symbols)
	logs := logarithms()
	bits := int64(0)
	for t, n := range f.counts {
		if n == 0 {
			continue
		}
		m.frequencies(f.freqs, t/m.width, t%m.width-m.means)
		for i, h := range f.hist[t*m.symbols : (t+1)*m.symbols] {
			bits += int64(h) * int64(logs[f.freqs[i]])
		}
	}
	return bits
}

// reweigh moves the weights towards those with which each symbol is as frequent
// as the tables say.
func (f *fitter) reweigh() {
	m := &f.model
	expected := make([]uint64, m.symbols)
	seen := make([]uint64, m.symbols)
	for t, n := range f.counts {
		if n == 0 {
			continue
		}
		m.frequencies(f.freqs, t/m.width, t%m.width-m.means)
		for i, h := range f.hist[t*m.symbols : (t+1)*m.symbols] {
			expected[i] += uint64(f.freqs[i]) * uint64(n)
			seen[i] += uint64(h)
		}
	}
	for i := range seen {
		l := log2of(seen[i]*2*total+total) - log2of(expected[i]*2+total)
		w := int(m.weights[i]) + (l+1<<12)>>13
		m.weights[i] = int16(min(max(w, -maxWeight), maxWeight))
	}
}

// logarithms[f] is what a symbol of frequency f costs, in units of 2^-10 bits.
var logarithms = sync.OnceValue(func() *[total + 1]uint16 {
	t := new([total + 1]uint16)
	for i := 1; i <= total; i++ {
		t[i] = uint16((totalBits<<16 - log2of(uint64(i)) + 32) >> 6)
	}
	return t
})

// splitOf returns how many low bits to store plainly: as many as leave symbols
// for a table, and such that are noise.
func splitOf(syms []uint16, levels int) uint {
	sum := 0
	for _, s := range syms {
		sum += int(s)
	}
	mean := sum / len(syms)
	dist := 0
	for _, s := range syms {
		dist += abs(int(s) - mean)
	}
	split := uint(0)
	for (levels-1)>>split >= maxSymbols || (levels-1)>>split >= 64 && dist>>split > 12*len(syms) {
		split++
	}
	return split
}
