package lanes

import "sync"

// A fitter finds the parameters of segments.
type fitter struct {
	model    model
	levels   []uint32 // how often each level is there
	contexts []uint16 // of the parameters that are tried
	hist     []uint32 // of each table, its symbols
	counts   []uint32 // of each table
	tables   []int    // those that are looked at
	freqs    []uint16
	expected []uint64
	seen     []uint64
	scalers  [2]scaler  // of coarse classes and of fine ones
	side     *sideModel // as it is before the segment
	trial    sideModel
	out      []byte
}

// fit finds the parameters of a segment and which tables its symbols have. side
// is what its neighbours told.
func (f *fitter) fit(best *params, contexts []uint16, side *sideModel, syms []uint16, levels []int32, g *shape) {
	f.side = side
	f.levels = countLevels(f.levels, syms, len(levels))
	if f.levels[syms[0]] == uint32(len(syms)) {
		*best = params{constant: true, symbol: int(syms[0])}
		return
	}

	// Without structure: one table.
	s := &f.scalers[0]
	s.load(syms, levels, f.levels, g)
	none := params{split: splitOf(f.levels, len(syms))}
	s.place(&none, len(levels))
	f.model.prepare(&none, levels)
	f.histogram(len(syms))
	bits := f.complete(&none, g, levels)
	*best = none
	clear(contexts)

	// With what pays if a bit less of scale is a bit less of code. Of values
	// that are mostly zero that is only a part.
	perValue := float64(bits) / 1024 / float64(g.n)
	s.yield = min(perValue*0.5, 1)
	p := params{split: none.split, fine: 1}
	s.apply(&p)
	if fine := (params{split: none.split, fine: 2}); p.rowed || p.coled {
		t := &f.scalers[1]
		t.share(s)
		if t.apply(&fine); t.bits > s.bits {
			p, s = fine, t
		}
	}
	scaled, mean := p, s.mean
	predicted := g.structured() && g.cols*g.taps > 1 && s.predict(&p)
	if predicted || p.rowed || p.coled || p.tapped {
		s.place(&p, len(levels))
		f.try(best, contexts, &bits, &p, syms, levels, g)
	}
	if predicted && perValue < 1.2 && (p.rowed || p.coled || p.tapped) {
		s.mean = mean
		s.place(&scaled, len(levels))
		f.try(best, contexts, &bits, &scaled, syms, levels, g)
	}
}

// countLevels counts how often each of k levels is there, in the memory of counts.
func countLevels(counts []uint32, syms []uint16, k int) []uint32 {
	// Neighbours are often alike, and a counter takes time to come back.
	counts = resize(counts, 2*k)
	even, odd := counts[:k], counts[k:]
	for ; len(syms) >= 2; syms = syms[2:] {
		even[syms[0]]++
		odd[syms[1]]++
	}
	for _, s := range syms {
		even[s]++
	}
	for i, n := range odd {
		even[i] += n
	}
	return even
}

// try replaces the best parameters by p, if it is better.
func (f *fitter) try(best *params, contexts []uint16, bits *int64, p *params, syms []uint16, levels []int32, g *shape) {
	f.model.prepare(p, levels)
	f.contexts = room(f.contexts, len(syms))
	f.model.contexts(f.contexts, syms, g)
	f.count(syms)
	if b := f.complete(p, g, levels); b < *bits {
		*best, *bits = *p, b
		copy(contexts, f.contexts)
	}
}

// complete completes p with a shape, a dead zone and weights, and returns what
// it costs, in units of 2^-10 bits.
func (f *fitter) complete(p *params, g *shape, levels []int32) int64 {
	m := &f.model
	m.params = p
	p.shape = f.side.lastShape
	if p.shape == 0 {
		p.shape = 6
	}
	f.choose()
	best := f.climb(f.bits())
	if p.split == 0 && f.zeros(levels)*3 > g.n {
		for d := 1; d < len(deadZones); d++ {
			dead, shape := p.dead, p.shape
			p.dead = d
			m.prepare(p, levels)
			if b := f.climb(f.bits()); b < best {
				best = b
				continue
			}
			p.dead, p.shape = dead, shape
		}
		m.prepare(p, levels)
	}
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

// climb moves the shape to where symbols cost least, from bits.
func (f *fitter) climb(bits int64) int64 {
	p := f.model.params
	for _, dir := range [2]int{1, -1} {
		start := p.shape
		for s := start + dir; s > 0 && s < shapes; s += dir {
			was := p.shape
			p.shape = s
			b := f.bits()
			if b >= bits {
				p.shape = was
				break
			}
			bits = b
		}
		if p.shape != start {
			break
		}
	}
	return bits
}

// zeros returns how many values are zero.
func (f *fitter) zeros(levels []int32) int {
	n := 0
	for i, l := range levels {
		if l == 0 && i < f.model.symbols {
			for t := range f.counts {
				n += int(f.hist[t*f.model.symbols+i])
			}
		}
	}
	return n
}

// choose lists the tables that are used.
func (f *fitter) choose() {
	f.tables = f.tables[:0]
	for t, n := range f.counts {
		if n > 0 {
			f.tables = append(f.tables, t)
		}
	}
}

// histogram counts all n symbols as those of one table.
func (f *fitter) histogram(n int) {
	m := &f.model
	f.hist = resize(f.hist, m.symbols)
	f.counts = resize(f.counts, 1)
	for i, k := range f.levels {
		f.hist[i>>m.split] += k
	}
	f.counts[0] = uint32(n)
}

// cost adds what the parameters cost.
func (f *fitter) cost(p *params, g *shape, k int, bits int64) int64 {
	f.trial = *f.side
	c := newEncoder(f.out[:0])
	if !f.trial.code(&c, p, g, k) {
		return 1 << 62
	}
	f.out, _ = c.End()
	return bits + int64(len(f.out))<<13
}

// count counts the symbols of each table.
func (f *fitter) count(syms []uint16) {
	m := &f.model
	n := m.scales * m.width
	f.hist = resize(f.hist, n*m.symbols)
	f.counts = resize(f.counts, n)
	for i, t := range f.contexts {
		f.hist[int(t)*m.symbols+int(syms[i]>>m.split)]++
		f.counts[t]++
	}
}

// bits returns what the symbols cost with the tables of the model.
func (f *fitter) bits() int64 {
	m := &f.model
	f.freqs = resize(f.freqs, m.symbols)
	logs := logarithms()
	bits := int64(0)
	for _, t := range f.tables {
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
	expected, seen := resize(f.expected, m.symbols), resize(f.seen, m.symbols)
	f.expected, f.seen = expected, seen
	for _, t := range f.tables {
		n := f.counts[t]
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

// splitOf returns how many low bits of n symbols to store plainly: as many as
// leave symbols for a table, and such that are noise.
func splitOf(levels []uint32, n int) uint {
	sum := 0
	for i, k := range levels {
		sum += i * int(k)
	}
	mean := sum / n
	dist := 0
	for i, k := range levels {
		dist += abs(i-mean) * int(k)
	}
	last := len(levels) - 1
	split := uint(0)
	for last>>split >= maxSymbols || last>>split >= 64 && dist>>split > 6*n {
		split++
	}
	return split
}
