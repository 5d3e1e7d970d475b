package mix

import (
	"encoding/binary"

	"ropewalk/internal/codec"
)

// MaxLevels bounds a codebook.
const MaxLevels = 4096

// AppendLevels appends the coded form of symbols, indices into the sorted
// levels of their segment, so that near symbols are near values. The segments'
// lengths add up to len(syms).
func AppendLevels(dst []byte, syms []uint16, segs []codec.Segment) []byte {
	modes, shift := levelParams(syms, segs)
	for _, m := range modes {
		dst = binary.AppendUvarint(dst, uint64(m))
	}
	dst = append(dst, byte(shift))
	c := newEncoder(dst)
	codeLevels(&c, syms, modes, shift, segs)
	return c.finish()
}

// DecodeLevels fills syms, whose length the caller knows.
func DecodeLevels(syms []uint16, coded []byte, segs []codec.Segment) error {
	modes := make([]int, len(segs))
	for i := range modes {
		mode, n := binary.Uvarint(coded)
		if n <= 0 || mode >= uint64(len(segs[i].Levels)) {
			return ErrCorrupt
		}
		modes[i], coded = int(mode), coded[n:]
	}
	if len(coded) == 0 || coded[0] > maxShift {
		return ErrCorrupt
	}
	c := newDecoder(coded[1:])
	inside := codeLevels(&c, syms, modes, uint(coded[0]), segs)
	if !inside || c.overrun() {
		return ErrCorrupt
	}
	return nil
}

const maxShift = 8

// levelParams returns the most frequent symbol of each segment (the lowest of
// several) and the number of low bits to split off so that what remains is
// small: unary coding of large magnitudes is slow, and learns slowly.
func levelParams(syms []uint16, segs []codec.Segment) (modes []int, shift uint) {
	n, dist := len(syms), 0
	var hist [MaxLevels]int32
	for _, seg := range segs {
		clear(hist[:])
		for _, s := range syms[:seg.Len] {
			hist[s]++
		}
		syms = syms[seg.Len:]
		mode := 0
		for s, n := range hist {
			if n > hist[mode] {
				mode = s
			}
		}
		for s, n := range hist {
			dist += abs(s-mode) * int(n)
		}
		modes = append(modes, mode)
	}
	for shift < maxShift && dist>>shift > 5*n {
		shift++
	}
	return modes, shift
}

// codeLevels reports whether all symbols are levels of their segment.
func codeLevels(c *coder, syms []uint16, modes []int, shift uint, segs []codec.Segment) bool {
	m := newLevelModel(c, shift, segs)
	base := 0
	for i, s := range segs {
		m.mode, m.k = modes[i], len(s.Levels)
		m.lo, m.hi = -(m.mode >> shift), (m.k-1)>>shift-m.mode>>shift
		m.run(syms, s, base)
		base += s.Len
	}
	return !m.outside
}

// levelModel predicts the high part of each symbol: its distance to the mode,
// without the low bits, which are coded by plain counters below it.
type levelModel struct {
	num    *number
	values []int16 // high parts so far, in block order
	low    []uint32
	shift  uint
	mode   int // of the segment
	k      int // its levels
	lo, hi int // bounds of its high part
	scales
	outside bool // a damaged block has a symbol of k or more
}

const scaleUnit = 32 // magnitudes are averaged in units of 1/32

func newLevelModel(c *coder, shift uint, segs []codec.Segment) *levelModel {
	m := &levelModel{
		values: make([]int16, codec.Total(segs)),
		shift:  shift,
		scales: newScales(segs, mean{4 * scaleUnit, 4}),
	}
	m.num = newNumber(c, 32,
		32*32,                   // expected magnitude × neighbourhood
		10*10*8,                 // left, and the one before
		10*10*8,                 // same place in the last two filters
		10*10*8,                 // same tap of the last two input channels
		16*32*8,                 // tap × column × row scale
		min(len(m.cols), 1<<12), // column
		32*32,                   // column × row scale
		1,                       // nothing: learns fastest
		10*10*16,                // the row of the kernel above, and the last input channel × tap
		3*3*3*3*3*16,            // signs around × tap
	)
	if shift > 0 {
		m.low = make([]uint32, (2*lowClasses+1)<<shift)
		for i := range m.low {
			m.low[i] = counterHalf
		}
	}
	return m
}

// lowClasses is how many magnitudes of the high part the low bits tell apart.
const lowClasses = 24

func (m *levelModel) run(syms []uint16, s codec.Segment, base int) {
	m.begin(s)
	fs := s.Cols * s.Taps // one filter
	kw := kernelWidth(s.Taps)
	mode := m.mode >> m.shift
	num := m.num
	for p := startOf(s, base); p.cur < base+s.Len; {
		var l, l2, f1, f2, c1, c2 int
		if i := p.back(1); i >= 0 {
			l = int(m.values[i])
		}
		if i := p.back(2); i >= 0 {
			l2 = int(m.values[i])
		}
		if i := p.back(fs); i >= 0 {
			f1 = int(m.values[i])
		}
		if i := p.back(2 * fs); i >= 0 {
			f2 = int(m.values[i])
		}
		if p.col > 0 {
			if i := p.back(s.Taps); i >= 0 {
				c1 = int(m.values[i])
			}
			if p.col > 1 {
				if i := p.back(2 * s.Taps); i >= 0 {
					c2 = int(m.values[i])
				}
			}
		}
		u := 0
		if p.tap >= kw {
			if i := p.back(kw); i >= 0 {
				u = int(m.values[i])
			}
		}
		t := uint32(min(p.tap, 15))
		g := max(m.all.sum/m.all.n, 1)
		r, cm, tm := m.at(&p, g)
		rq, cq := log3(r, g), log3(cm, g)
		e := log3(int32(min(int64(r)*int64(cm)/int64(g)*int64(tm)/int64(g), 1<<20)), scaleUnit)
		near := log3(int32(abs(l)+abs(l2)+abs(f1)+abs(f2)+abs(c1)+abs(c2)), 16)
		num.ctx = [maxInputs]uint32{
			e*32 + near,
			clip9(l)*10 + clip9(l2) + 100*(e>>2),
			clip9(f1)*10 + clip9(f2) + 100*(e>>2),
			clip9(c1)*10 + clip9(c2) + 100*(e>>2),
			uint32(min(p.tap, 15))*32 + cq + 512*(rq>>2),
			uint32(min(p.col, len(num.counters[5])/valueNode-1)),
			cq*32 + rq,
			0,
			clip9(u)*10 + clip9(c1) + 100*t,
			(((tri(sgn(l))*3+tri(sgn(u)))*3+tri(sgn(c1)))*3+tri(sgn(f1)))*3 + tri(sgn(f2)) + 243*t,
		}
		num.set = e

		var v int
		if !num.decoding {
			v = int(syms[p.cur])>>m.shift - mode
		}
		v = num.code(v, m.lo, m.hi)
		m.values[p.cur] = int16(v)
		sym := v + mode
		if m.shift > 0 {
			sym = m.lowBits(int(syms[p.cur]), sym, v)
		}
		if num.decoding {
			if sym >= m.k {
				m.outside, sym = true, m.k-1
			}
			syms[p.cur] = uint16(sym)
		}

		m.add(&p, int32(abs(v))*scaleUnit)
		if p.advance() {
			m.row = mean{}
		}
	}
}

// lowBits codes the bits below the high part and returns the whole symbol.
func (m *levelModel) lowBits(sym, high, v int) int {
	class := min(max(v, -lowClasses), lowClasses) + lowClasses
	tree := m.low[class<<m.shift : (class+1)<<m.shift]
	node := 1
	for i := int(m.shift) - 1; i >= 0; i-- {
		node = node<<1 | m.num.single(&tree[node], sym>>i&1)
	}
	return high<<m.shift | node&(1<<m.shift-1)
}

// clip9 maps a value to 0..9: below -4, -4 … 4, or above.
func clip9(v int) uint32 { return uint32(min(max(v, -5), 4) + 5) }

func abs(v int) int {
	if v < 0 {
		return -v
	}
	return v
}

// sgn returns -1, 0 or 1.
func sgn(v int) int8 {
	switch {
	case v < 0:
		return -1
	case v > 0:
		return 1
	}
	return 0
}
