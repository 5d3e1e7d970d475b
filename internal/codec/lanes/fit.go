package lanes

import "sync"

// A fitter finds the parameters of segments.
type fitter struct {
	model    model
	levels   []uint32 // how often each level is there
	entries  []uint32 // of the parameters that are tried
	hist     []uint32 // how often each entry is used
	counts   []uint32 // of each table
	tables   []uint16 // those that are used
	freqs    []uint16
	expected []uint64
	seen     []uint64
	scalers  [2]scaler  // of coarse classes and of fine ones
	side     *sideModel // as it is before the segment
	trial    sideModel
	out      []byte
}

// A fit is what a segment is coded with.
type fit struct {
	params  params
	entries []uint32 // of each symbol, as [model.entries] has them
	tables  []uint16 // those that are used, if it is not constant
}

// fit finds what codes a segment. side is what its neighbours told, and the
// memory of best is used again, but for the entries, which have room for all.
func (f *fitter) fit(best *fit, side *sideModel, syms []uint16, levels []int32, g *shape) {
	f.side = side
	f.levels = count(f.levels, syms, len(levels))
	if f.levels[syms[0]] == uint32(len(syms)) {
		best.params = params{constant: true, symbol: int(syms[0])}
		return
	}

	// Without structure: one table.
	s := &f.scalers[0]
	s.load(syms, levels, f.levels, g)
	none := params{split: splitOf(f.levels, len(syms))}
	s.place(&none, len(levels))
	f.model.prepare(&none, levels)
	f.hist = resize(f.hist, f.model.symbols)
	for i, n := range f.levels {
		f.hist[i>>none.split] += n
	}
	bits := f.complete(&none, g, levels)
	best.params = none
	best.tables = append(best.tables[:0], f.tables...)

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
	predicted := g.structured() && g.cols*g.taps > 1 && s.predict(&p, syms)
	one := true
	if predicted || p.rowed || p.coled || p.tapped {
		s.place(&p, len(levels))
		one = !f.try(best, &bits, &p, syms, levels, g)
	}
	if predicted && perValue < 1.2 && (p.rowed || p.coled || p.tapped) {
		s.mean = mean
		s.place(&scaled, len(levels))
		one = !f.try(best, &bits, &scaled, syms, levels, g) && one
	}
	if one {
		for i, v := range syms {
			best.entries[i] = uint32(v >> none.split)
		}
	}
}

// count counts how often each number below k is there, in the memory of counts.
func count[T uint16 | uint32](counts []uint32, numbers []T, k int) []uint32 {
	// Neighbours are often alike, and a counter takes time to come back.
	counts = resize(counts, 2*k)
	even, odd := counts[:k], counts[k:]
	for ; len(numbers) >= 2; numbers = numbers[2:] {
		even[numbers[0]]++
		odd[numbers[1]]++
	}
	for _, i := range numbers {
		even[i]++
	}
	for i, n := range odd {
		even[i] += n
	}
	return even
}

// try replaces the best fit by p, if it takes fewer bits, and reports whether.
func (f *fitter) try(best *fit, bits *int64, p *params, syms []uint16, levels []int32, g *shape) bool {
	m := &f.model
	m.prepare(p, levels)
	f.entries = room(f.entries, len(syms))
	m.entries(f.entries, syms, g)
	f.hist = count(f.hist, f.entries, m.scales*m.width*m.symbols)
	b := f.complete(p, g, levels)
	if b >= *bits {
		return false
	}
	*bits = b
	best.params = *p
	best.tables = append(best.tables[:0], f.tables...)
	copy(best.entries, f.entries)
	return true
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
			b := f.climb(f.bits())
			if b >= best {
				p.dead, p.shape = dead, shape
				break
			}
			best = b
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

// choose lists the tables that are used, and counts how often.
func (f *fitter) choose() {
	m := &f.model
	f.tables = f.tables[:0]
	f.counts = room(f.counts, m.scales*m.width)
	for t := range f.counts {
		n := uint32(0)
		for _, h := range f.hist[t*m.symbols : (t+1)*m.symbols] {
			n += h
		}
		if f.counts[t] = n; n > 0 {
			f.tables = append(f.tables, uint16(t))
		}
	}
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

// bits returns what the symbols cost with the tables of the model.
func (f *fitter) bits() int64 {
	m := &f.model
	f.freqs = resize(f.freqs, m.symbols)
	logs := logarithms()
	bits := int64(0)
	for _, t := range f.tables {
		m.frequencies(f.freqs, int(t))
		for i, h := range f.hist[int(t)*m.symbols:][:m.symbols] {
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
		m.frequencies(f.freqs, int(t))
		for i, h := range f.hist[int(t)*m.symbols:][:m.symbols] {
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
