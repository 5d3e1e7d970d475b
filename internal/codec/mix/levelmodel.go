package mix

import (
	"slices"

	"ropewalk/internal/codec"
)

const (
	// scaleBits: values are in units of 1/4096 of the step between the levels
	// around the most frequent one.
	scaleBits = 12
	valueMax  = 1 << 26
	scaleMax  = 26 << 8 // logarithm of an expected magnitude

	maxPlaces  = 1 << 16 // columns, and places in a row, with statistics of their own
	maxLines   = 1 << 12 // columns and rows with counters of their own
	maxTaps    = 32      // taps with counters and weights of their own
	tapClasses = 25      // taps with a predictor of their own
)

// A scale is the sum of magnitudes, of the errors of prediction, and the
// number of values that were seen.
type scale struct{ mag, err, n int64 }

func (s *scale) add(mag, err int64) {
	s.mag += mag
	s.err += err
	s.n++
}

// logMean returns the binary logarithm of the mean of sum over n values and
// weight more that have the mean prior.
func logMean(sum, n, prior, weight int64) int32 {
	return log2(uint64(sum+prior*weight+1)) - log2(uint64(n+weight))
}

// A posStat is what was seen at one place of the rows before.
type posStat struct{ sum, mag int64 }

// A levelModel predicts symbols from what lies around them: see doc.go.
type levelModel struct {
	*mixer
	params levelParams
	segs   []codec.Segment
	tree   *tree
	small  bool      // there are no deep nodes
	book   book      // of the segment that is being coded
	linear []*linear // of each segment; segments of one kernel shape share it
	coefs  coefCoder

	values  []int32 // all so far
	offsets []int16 // their symbols, relative to the mode

	all, row  scale
	rowSum    int64
	cols      []scale
	taps      [maxTaps * 4]scale
	pos       []posStat
	lineShift uint // right shift of offsets in contexts
	colCtx    int
	rowCtx    int
	took      []int64 // by each segment, in bits/65536
	assign    chooser // instead of symbols, while they are being chosen
	onlyFit   bool
}

// chooser picks the symbol of value i of the block. cost gives the price of a
// symbol in bits/65536; it may be called during the call only.
type chooser func(i int, cost func(sym int) uint32) int

// A book is the values of the levels of a segment, and the thresholds between
// them, in the model's unit.
type book struct {
	x, thr []int32 // thr[j] is half way between levels j-1 and j
}

// set fills the book, in the memory that it has.
func (b *book) set(levels []int32, mode int, centre bool) {
	n := len(levels)
	b.x, b.thr = slices.Grow(b.x[:0], n)[:n], slices.Grow(b.thr[:0], n+1)[:n+1]
	lo, hi := max(mode-1, 0), min(mode+1, n-1)
	step := int64(1)
	if hi > lo {
		step = max((int64(levels[hi])-int64(levels[lo]))/int64(hi-lo), 1)
	}
	zero := int64(0)
	if centre {
		zero = int64(levels[mode])
	}
	for i, l := range levels {
		x := (int64(l) - zero) << scaleBits / step
		b.x[i] = int32(min(max(x, -valueMax), valueMax))
	}
	for i := 1; i < n; i++ {
		b.thr[i] = (b.x[i-1] + b.x[i]) >> 1
	}
}

// Sizes of the contexts of the counters, in the order of levelModel.contexts.
func contextSizes(cols, rows int) [numCounters]int {
	return [numCounters]int{12 * 12 * 8, 12 * 12 * 8, 12 * 12 * 8, cols, rows, 81 * maxTaps, 24 * 16, 27 * 24}
}

func newLevelModel(c *coder, p levelParams, segs []codec.Segment) *levelModel {
	m := &levelModel{params: p, segs: segs, coefs: newCoefCoder(c), took: make([]int64, len(segs))}
	lo, hi, cols, rows, pos := 0, 0, 1, 1, 1
	kinds := map[[2]int]*linear{}
	for i, s := range segs {
		if p.segs[i].plain != 0 {
			m.linear = append(m.linear, nil)
			continue
		}
		mode := p.segs[i].mode
		lo, hi = min(lo, -mode), max(hi, len(s.Levels)-1-mode)
		fs := s.Row()
		cols = max(cols, min(s.Cols, maxPlaces))
		pos = max(pos, min(fs, maxPlaces))
		rows = max(rows, min((s.Len+fs-1)/fs+1, maxLines)) // the first may begin in the middle
		kind := [2]int{s.Taps, s.Width}
		if kinds[kind] == nil {
			kinds[kind] = newLinear(s.Taps)
		}
		m.linear = append(m.linear, kinds[kind])
	}
	m.tree = newTree(lo, hi, p.spread, p.zero)
	m.colCtx, m.rowCtx = min(cols, maxLines), rows
	nodes, deep := min(max(len(m.tree.nodes)+2*b2i(p.zero), 1), nodeMax), 0
	if m.small = nodes <= smallTree; !m.small {
		full := wideNodes
		for i, s := range segs {
			if m.linear[i] != nil && s.Taps > tapClasses {
				full = longNodes
			}
		}
		nodes, deep = min(nodes, full), nodes
	}
	m.mixer = newMixer(c, nodes, deep, contextSizes(m.colCtx, m.rowCtx))
	n := codec.Total(segs)
	m.values = make([]int32, n)
	m.offsets = make([]int16, n)
	m.cols = make([]scale, cols)
	m.pos = make([]posStat, pos)
	for s := p.spread; s > 44; s -= 4 {
		m.lineShift++
	}
	m.reset()
	return m
}

// reset makes the scale of all what it is before the first value.
func (m *levelModel) reset() { m.all = scale{8 << scaleBits, 8 << scaleBits, 8} }

// fit chooses the linear predictors for symbols.
func (m *levelModel) fit(syms []uint16) {
	m.onlyFit = true
	base := 0
	for i, s := range m.segs {
		if m.linear[i] != nil {
			cut := s
			cut.Len = min(s.Len, fitValues)
			m.segment(syms, i, cut, base)
		}
		base += s.Len
	}
	m.onlyFit = false
	m.reset()
	clear(m.values)
	for _, l := range m.linear {
		if l != nil {
			l.choose()
		}
	}
}

// run codes all symbols: those of syms, or into syms when decoding.
func (m *levelModel) run(syms []uint16) {
	base := 0
	for i, s := range m.segs {
		before := spent(m.coder)
		if l := m.linear[i]; l != nil {
			if !l.started {
				m.coefs.code(l)
				l.start()
				l.price = spent(m.coder) - before
				before += l.price
			}
			l.values += s.Len
			m.segment(syms, i, s, base)
		} else {
			m.plain(syms[base:base+s.Len], i, base)
		}
		base += s.Len
		m.took[i] = spent(m.coder) - before
	}
}

// costs returns what each segment took, with its share of the coefficients, in
// bits/65536.
func (m *levelModel) costs() []int64 {
	for i, s := range m.segs {
		if l := m.linear[i]; l != nil && s.Len > 0 {
			m.took[i] += l.price * int64(s.Len) / int64(l.values)
		}
	}
	return m.took
}

// plain codes one segment without the model.
func (m *levelModel) plain(syms []uint16, si, base int) {
	p := newPlain(m.coder, m.params.segs[si].plain, len(m.segs[si].Levels))
	for j, sym := range syms {
		if m.assign != nil {
			sym = uint16(m.assign(base+j, p.cost))
		}
		syms[j] = uint16(p.code(int(sym)))
	}
}

// at returns the value n before place j, or 0 if there is none.
func at[T int16 | int32](x []T, j, n int) T {
	if u := uint(j - n); u < uint(len(x)) {
		return x[u]
	}
	return 0
}

// atIf is at where ok, else 0.
func atIf[T int16 | int32](ok bool, x []T, j, n int) T {
	if ok {
		return at(x, j, n)
	}
	return 0
}

// segment codes one segment, whose symbols begin at base in the block.
func (m *levelModel) segment(syms []uint16, si int, s codec.Segment, base int) {
	if s.Len == 0 {
		return
	}
	m.taps = [len(m.taps)]scale{}
	m.row, m.rowSum = scale{}, 0
	m.firstDeep = wideNodes
	switch {
	case m.small:
		m.firstDeep = smallTree
	case s.Taps > tapClasses:
		m.firstDeep = longNodes
	}
	m.book.set(s.Levels, m.params.segs[si].mode, m.params.segs[si].centre)

	var (
		lin  = m.linear[si]
		bk   = &m.book
		mode = m.params.segs[si].mode
		last = len(s.Levels) - 1
		sy   = syms[base : base+s.Len]
		x    = m.values[base : base+s.Len]
		v    = m.offsets[base : base+s.Len]
		T, W = s.Taps, max(s.Width, 1)
		in   = s.Start % s.Row()
		col  = in / T
		tap  = in % T
		row  = 0
		// Distances back, none longer than needed: their multiples must fit.
		bT, bW, fs = min(T, s.Len+1), min(W, s.Len+1), min(s.Row(), s.Len+1)
	)
	period := uint64(s.Len-1)/fitSample + 1 // of which one is looked at, when fitting
	price := func(s int) uint32 { return m.cost(s-mode, mode, last, bk.thr) }
	defer m.forgetSegment(s, in)
	for j := range x {
		kh, kw := tap/W, tap%W
		cs := &m.cols[min(col, len(m.cols)-1)]
		ts := &m.taps[min(tap, len(m.taps)-1)]
		ps := &m.pos[min(in, len(m.pos)-1)]

		var xv, err int32
		if m.onlyFit {
			xv = bk.x[sy[j]]
		}
		// Fitting, a sample will do. It must not keep step with rows and taps.
		if !m.onlyFit || uint64(uint32(j)*0x9e3779b1)*period>>32 == 0 {
			// Expected magnitude: the row's times the column's times the tap's,
			// each relative to that of all.
			g := m.all.mag / m.all.n
			lg := log2(uint64(g + 1))
			lR := logMean(m.row.mag, m.row.n, g, 6) - lg
			lC := logMean(cs.mag, cs.n, g, 4) - lg
			lK := logMean(ts.mag, ts.n, g, 16) - lg
			lSep := min(lR+lC+lg, scaleMax)
			sep := exp2(lSep)

			// What lies around.
			up, left, c1 := kh > 0, kw > 0, col > 0
			L, U, UL := atIf(left, x, j, 1), atIf(up, x, j, bW), atIf(up && left, x, j, bW+1)
			UR := atIf(up && kw < W-1, x, j, bW-1)
			C1, C2 := atIf(c1, x, j, bT), atIf(col > 1, x, j, 2*bT)
			O1, O2 := at(x, j, fs), at(x, j, 2*fs)
			pm := int32(ps.sum / int64(row+2))

			f := &lin.f
			if T > 1 && T <= smallKernel {
				for i := range 8 {
					f[i] = atIf(i < tap, x, j, tap-i)
				}
			} else {
				f[0], f[1], f[2], f[3] = L, U, UL, UR
				f[4], f[5] = atIf(kw > 1, x, j, 2), atIf(kh > 1, x, j, 2*bW)
				f[6], f[7] = atIf(kw > 2, x, j, 3), atIf(kw > 3, x, j, 4)
				f[26], f[27] = atIf(kw > 4, x, j, 5), atIf(kw > 5, x, j, 6)
			}
			f[8], f[9] = pm, int32(m.rowSum/(m.row.n+4))
			f[10], f[11], f[12], f[13] = C1, C2, O1, O2
			f[14], f[15] = at(x, j, 3*fs), atIf(col > 2, x, j, 3*bT)
			for i := range 5 {
				f[16+i] = atIf(col > 3+i, x, j, (4+i)*bT)
				f[21+i] = at(x, j, (4+i)*fs)
			}
			lin.predict(min(tap, tapClasses-1), lSep, sep)

			if m.onlyFit {
				lin.gather(bk.x[sy[j]], period)
			} else {
				ge := m.all.err / m.all.n
				le := log2(uint64(ge + 1))
				lE := logMean(m.row.err, m.row.n, ge, 6) + logMean(cs.err, cs.n, ge, 4) - le

				// Magnitude of the neighbours that are there.
				near, weight := 6*sep, int64(6)
				if left {
					near, weight = near+6*int64(abs32(L)), weight+6
				}
				if up {
					near, weight = near+6*int64(abs32(U)), weight+6
					if left {
						near, weight = near+3*int64(abs32(UL)), weight+3
					}
					if kw < W-1 {
						near, weight = near+3*int64(abs32(UR)), weight+3
					}
				}
				if c1 {
					near, weight = near+3*int64(abs32(C1)), weight+3
					if col > 1 {
						near, weight = near+2*int64(abs32(C2)), weight+2
					}
				}
				if j >= fs {
					near, weight = near+3*int64(abs32(O1)), weight+3
					if j >= 2*fs {
						near, weight = near+2*int64(abs32(O2)), weight+2
					}
				}
				lNear := log2(uint64(near+1)) - log2(uint64(weight))
				// Magnitude at this place of the rows before.
				lPos := logMean(ps.mag, int64(row), exp2(lC+lK+lg), 3) + lR

				// Scale of the error of prediction, times 0.72: a logistic
				// distribution of that scale has mean magnitude about 1.
				const c = -121
				m.expert(0, lin.fixed, lE+c)
				m.expert(1, lin.adapted, c+(2*lE+lNear-lSep)>>1)
				m.expert(2, (lin.fixed*7+int64(pm)*3)/10, c+lPos+lE-lSep)

				rel := lE - scaleBits<<8 // in steps
				mq := m.meanBucket(0)
				sh := m.lineShift
				vL, vL2 := at(v, j, 1)>>sh, at(v, j, 2)>>sh
				vO, vO2 := at(v, j, fs)>>sh, at(v, j, 2*fs)>>sh
				vC, vC2 := atIf(c1, v, j, bT)>>sh, atIf(col > 1, v, j, 2*bT)>>sh
				octave := octaves(rel, 1, deepSets)
				t := uint32(min(tap, maxTaps-1))
				m.context([numCounters]uint32{
					(clip12(vL)*12+clip12(vL2))*8 + octave,
					(clip12(vO)*12+clip12(vO2))*8 + octave,
					(clip12(vC)*12+clip12(vC2))*8 + octave,
					uint32(min(col, m.colCtx-1)),
					uint32(min(row, m.rowCtx-1)),
					(((signOf(L)*3+signOf(U))*3+signOf(UL))*3+signOf(C1))*maxTaps + t,
					octaves(lPos-scaleBits<<8, 4, 24)*16 + mq,
					((signOf(vL)*3+signOf(vO))*3+signOf(vC))*24 + octaves(lSep-scaleBits<<8, 3, 24),
				}, t, octave)

				var sym int
				switch {
				case m.coder.Decoding():
					sym = m.code(0, mode, last, bk.thr) + mode
					sy[j] = uint16(sym)
				case m.assign != nil:
					sym = m.assign(base+j, price)
					sy[j] = uint16(sym)
					m.code(sym-mode, mode, last, bk.thr)
				default:
					sym = int(sy[j])
					m.code(sym-mode, mode, last, bk.thr)
				}
				v[j] = int16(sym - mode)
				xv = bk.x[sym]
				err = int32(min(abs64(int64(xv)-lin.fixed), 2*valueMax))
				lin.learn(xv)
			}
		}
		x[j] = xv

		mag := int64(abs32(xv))
		m.all.add(mag, int64(err))
		if m.all.n > 60000 {
			m.all = scale{m.all.mag / 2, m.all.err / 2, m.all.n / 2}
		}
		m.row.add(mag, int64(err))
		m.rowSum += int64(xv)
		cs.add(mag, int64(err))
		ts.add(mag, 0)
		ps.sum += int64(xv)
		ps.mag += mag
		in++
		if tap++; tap == T {
			tap = 0
			if col++; col == s.Cols {
				col, in = 0, 0
				row++
				m.row, m.rowSum = scale{}, 0
			}
		}
	}
}

// forgetSegment resets what belongs to one segment: only what it touched, as
// segments may be short and tables long. in is where in its row it began.
func (m *levelModel) forgetSegment(s codec.Segment, in int) {
	spans(in, s.Len, s.Row(), len(m.pos), func(a, b int) { clear(m.pos[a:b]) })
	col, cols := in/s.Taps, (in%s.Taps+s.Len-1)/s.Taps+1
	spans(col, cols, s.Cols, len(m.cols), func(a, b int) { clear(m.cols[a:b]) })
	if m.onlyFit {
		return
	}
	spans(col, cols, s.Cols, m.colCtx, func(a, b int) { m.forget(3, a, b) })
	m.forget(4, 0, min((in%s.Row()+s.Len-1)/s.Row()+1, m.rowCtx))
}

// spans gives the ranges of a table that n places from first on fall into.
// Places count up to size, then from 0 again; the last entry of the table
// stands for all behind it.
func spans(first, n, size, table int, do func(a, b int)) {
	if n >= size {
		first, n = 0, size
	}
	if over := n - (size - first); over > 0 {
		do(0, min(over, table))
		n -= over
	}
	do(min(first, table-1), min(first+n, table))
}

// code codes offset v to the mode in a codebook whose last index is last, and
// returns it. thr are the thresholds between the levels.
func (m *levelModel) code(v, mode, last int, thr []int32) int {
	a, b := -mode, last-mode+1
	if b-a < 2 {
		return a
	}
	m.begin()
	t := m.tree
	n := t.whole
	if t.zero {
		// Zero or not, then the side.
		m.around(thr, mode, last)
		if m.decide(b2i(v != 0), nodeZero) == 0 {
			return 0
		}
		side := b2i(v > 0)
		switch {
		case mode == 0:
			side = 1
		case mode == last:
			side = 0
		default:
			m.sides()
			side = m.decide(side, nodeSign)
		}
		if m.takeSide(side); side == 0 {
			b, n = 0, t.low
		} else {
			a, n = 1, t.high
		}
	}
	for b-a > 1 {
		nd := &t.nodes[n]
		s := int(nd.split)
		bit := 0
		switch {
		case s <= a:
			bit = 1
		case s >= b:
		default:
			m.cut(thr[s+mode])
			bit = m.decide(b2i(v >= s), nd.id)
			if m.take(bit); bit == 1 {
				a = s
			} else {
				b = s
			}
		}
		n = nd.child[bit]
	}
	return a
}

// cost returns what code would take for v, in bits/65536. Nothing is learned.
func (m *levelModel) cost(v, mode, last int, thr []int32) uint32 {
	m.pricing, m.price = true, 0
	m.code(v, mode, last, thr)
	m.pricing = false
	return m.price
}

// octaves puts a logarithm into one of n classes, k of them to an octave, the
// middle one beginning at 0.
func octaves(l, k, n int32) uint32 { return uint32(min(max(n/2+(l*k)>>8, 0), n-1)) }

// clip12 maps a value to 0 … 11: below -5, -5 … 4, above.
func clip12(v int16) uint32 { return uint32(min(max(v, -6), 5) + 6) }

// signOf is 0 below zero, 1 at it, 2 above.
func signOf[T int16 | int32](v T) uint32 {
	switch {
	case v < 0:
		return 0
	case v > 0:
		return 2
	}
	return 1
}

func abs32(v int32) int32 {
	if v < 0 {
		return -v
	}
	return v
}

func abs64(v int64) int64 {
	if v < 0 {
		return -v
	}
	return v
}
