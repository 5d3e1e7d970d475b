package mix

import (
	"encoding/binary"
	"math/bits"

	"ropewalk/internal/codec"
)

// AppendDelta appends the coded form of src as its difference to base, which
// has as many values of the same kind. For integers, kind.Exponent is zero.
//
// Floats are compared as the integers that order them, so that a small change
// is a small number, counted in units of the last place. How many bits such a
// change has follows from the exponent of the base value and from how much the
// weights around it changed; that is what the contexts are made of.
func AppendDelta(dst, src, base []byte, kind Kind, segs []codec.Segment) []byte {
	n := len(src) / kind.Width
	hist := make([]int, 8*kind.Width+1)
	for i := range n {
		d := kind.diff(Load(src[i*kind.Width:], kind.Width), Load(base[i*kind.Width:], kind.Width))
		hist[bits.Len64(magnitude(d))]++
	}
	mode := 0
	for c, k := range hist {
		if k > hist[mode] {
			mode = c
		}
	}
	dst = append(dst, byte(mode))
	c := newEncoder(nil)
	m := newDeltaModel(&c, kind, mode, segs)
	m.run(src, base, segs)
	body := c.Finish()
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	dst = append(dst, body...)
	return append(dst, m.noise.bytes()...)
}

// DecodeDelta fills dst, which is as long as base.
func DecodeDelta(dst, coded, base []byte, kind Kind, segs []codec.Segment) error {
	if len(coded) == 0 || int(coded[0]) > 8*kind.Width || len(dst) != len(base) {
		return ErrCorrupt
	}
	mode := int(coded[0])
	coded = coded[1:]
	size, n := codec.Uvarint(coded)
	if n <= 0 || size > uint64(len(coded)-n) {
		return ErrCorrupt
	}
	c := newDecoder(coded[n : n+int(size)])
	m := newDeltaModel(&c, kind, mode, segs)
	m.noise.buf = coded[n+int(size):]
	m.run(dst, base, segs)
	if c.Overrun() || !m.noise.exhausted() {
		return ErrCorrupt
	}
	return nil
}

// ordered maps bit patterns to integers in the order of the values they stand
// for; it is its own kind of inverse, see [Kind.unordered].
func (k Kind) ordered(v uint64) uint64 {
	sign := uint64(1) << (8*k.Width - 1)
	if k.Exponent > 0 && v&sign != 0 {
		return ^v & (sign<<1 - 1)
	}
	return v ^ sign
}

func (k Kind) unordered(o uint64) uint64 {
	sign := uint64(1) << (8*k.Width - 1)
	if k.Exponent > 0 && o&sign == 0 {
		return ^o & (sign<<1 - 1)
	}
	return o ^ sign
}

// diff returns ordered(v) - ordered(base), wrapped to the width.
func (k Kind) diff(v, base uint64) int64 {
	unused := 64 - 8*k.Width
	return int64((k.ordered(v)-k.ordered(base))<<unused) >> unused
}

// add is the inverse of diff: it returns v.
func (k Kind) add(d int64, base uint64) uint64 {
	unused := 64 - 8*k.Width
	return k.unordered((k.ordered(base) + uint64(d)) << unused >> unused)
}

func magnitude(d int64) uint64 {
	if d < 0 {
		return uint64(-d)
	}
	return uint64(d)
}

// Differences writes to dst, for each value of src, the difference to base
// with its sign in the lowest bit, in the same width. It is the form in which
// the fast coder stores a delta.
func Differences(dst, src, base []byte, kind Kind) {
	w := kind.Width
	for i := 0; i+w <= len(src); i += w {
		d := kind.diff(Load(src[i:], w), Load(base[i:], w))
		Store(dst[i:], w, uint64(d<<1)^uint64(d>>63))
	}
}

// ApplyDifferences is the inverse of [Differences]: it turns the differences
// in dst into values.
func ApplyDifferences(dst, base []byte, kind Kind) {
	w := kind.Width
	for i := 0; i+w <= len(dst); i += w {
		z := Load(dst[i:], w)
		d := int64(z>>1) ^ -int64(z&1)
		Store(dst[i:], w, kind.add(d, Load(base[i:], w)))
	}
}

// deltaModel predicts the length of each difference in bits.
type deltaModel struct {
	kind    Kind
	mode    int
	lengths []int16 // so far
	reach   []int16 // length plus exponent of the base: the change in absolute terms
	num     *number
	sign    [65]uint32
	head    [65]uint32 // the bit below the leading one
	noise   bitBuffer
	scales
}

func newDeltaModel(c *coder, kind Kind, mode int, segs []codec.Segment) *deltaModel {
	m := &deltaModel{
		kind: kind, mode: mode,
		lengths: make([]int16, codec.Total(segs)), reach: make([]int16, codec.Total(segs)),
		scales: newScales(segs, mean{}),
	}
	m.noise.decoding = c.Decoding()
	for i := range m.sign {
		m.sign[i], m.head[i] = counterHalf, counterHalf
	}
	m.num = newNumber(c, 64,
		64*32,                   // expected length × exponent of the base
		10*10*16,                // left, and the one before
		10*10*16,                // same place in the last two filters
		10*10*16,                // same tap of the last two input channels
		2*2*2*2*2*64,            // which of the neighbours changed at all
		min(len(m.cols), 1<<12), // column
		1,                       // nothing: learns fastest
	)
	return m
}

func (m *deltaModel) run(buf, base []byte, segs []codec.Segment) {
	at := 0
	for _, s := range segs {
		m.segment(buf, base, s, at)
		at += s.Len
	}
}

func (m *deltaModel) segment(buf, base []byte, s codec.Segment, start int) {
	m.begin(s)
	fs := s.Row()
	num, width, wide := m.num, m.kind.Width, 8*m.kind.Width
	for p := startOf(s, start); p.cur < start+s.Len; {
		b := Load(base[p.cur*width:], width)
		exp := 0
		if m.kind.Exponent > 0 {
			exp = int(b >> m.kind.Mantissa & (1<<m.kind.Exponent - 1))
		}
		g := int32(m.mode*rankUnit + exp*rankUnit)
		if m.all.n > 0 {
			g = m.all.sum / m.all.n
		}
		r, cm, tm := m.at(&p, g)
		reach := r + cm + tm - 2*g
		expected := min(max(reach-int32(exp*rankUnit), 0), int32(wide*rankUnit))
		e := uint32(min(expected/(rankUnit/2), 63))

		// A neighbour predicts the length by its reach; 0 is "unchanged".
		near := func(back int) (around10, changed uint32) {
			i := p.back(back)
			if i < 0 {
				return 5, 0
			}
			if m.lengths[i] == 0 {
				return 0, 0
			}
			return max(around(int(m.reach[i])-exp, expected), 1), 1
		}
		l, kl := near(1)
		l2, kl2 := near(2)
		f1, kf1 := near(fs)
		f2, kf2 := near(2 * fs)
		c1, kc1 := near(s.Taps)
		c2, _ := near(2 * s.Taps)
		num.ctx = [maxInputs]uint32{
			e*32 + uint32(min(exp*32>>m.kind.Exponent, 31)),
			l*10 + l2 + 100*(e>>2),
			f1*10 + f2 + 100*(e>>2),
			c1*10 + c2 + 100*(e>>2),
			kl | kl2<<1 | kf1<<2 | kf2<<3 | kc1<<4 | e<<5,
			uint32(min(p.col, len(num.counters[5])/valueNode-1)),
		}
		num.set = e

		var d int64
		if !num.Decoding() {
			d = m.kind.diff(Load(buf[p.cur*width:], width), b)
		}
		mag := magnitude(d)
		n := num.code(bits.Len64(mag)-m.mode, -m.mode, wide-m.mode) + m.mode
		m.lengths[p.cur], m.reach[p.cur] = int16(n), int16(n+exp)
		if n > 0 {
			neg := num.single(&m.sign[n], b2i(d < 0))
			mag = m.low(mag, n)
			if neg == 1 {
				d = -int64(mag)
			} else {
				d = int64(mag)
			}
			m.add(&p, int32(n+exp)*rankUnit)
		} else {
			d = 0
		}
		if num.Decoding() {
			Store(buf[p.cur*width:], width, m.kind.add(d, b))
		}
		if p.advance() {
			m.row = mean{}
		}
	}
}

// low codes the n-1 bits of mag below its leading one.
func (m *deltaModel) low(mag uint64, n int) uint64 {
	v := uint64(1)
	if n > 1 {
		v = v<<1 | uint64(m.num.single(&m.head[n], int(mag>>(n-2)&1)))
	}
	for rest := n - 2; rest > 0; {
		k := min(rest, 32)
		rest -= k
		v = v<<k | m.noise.code(mag>>rest&(1<<k-1), uint(k))
	}
	return v
}
