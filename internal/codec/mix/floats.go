package mix

import (
	"encoding/binary"
	"slices"

	"ropewalk/internal/codec"
)

// A Kind is a floating-point format: how wide, and how many bits of it are
// exponent and mantissa; the sign is the bit above them.
type Kind struct{ Width, Exponent, Mantissa int }

// The kinds that [AppendFloats] codes.
var (
	Float64  = Kind{8, 11, 52}
	Float32  = Kind{4, 8, 23}
	Float16  = Kind{2, 5, 10}
	BFloat16 = Kind{2, 8, 7}
)

// headBits is how many leading mantissa bits are modelled. Within an octave
// the density of trained weights falls, most in the largest octaves; the third
// bit gains less than 0.01 bit per weight.
const headBits = 3

// zeroClass stands for the value +0. The class of every other value is its
// exponent field plus one.
const zeroClass = 0

// AppendFloats appends the coded form of little-endian values of one kind.
// The segments' lengths add up to the number of values.
func AppendFloats(dst, src []byte, kind Kind, segs []codec.Segment) []byte {
	used := make([]bool, 1<<kind.Exponent+1)
	for i := 0; i < len(src); i += kind.Width {
		used[kind.class(Load(src[i:], kind.Width))] = true
	}
	var classes []int
	for c, u := range used {
		if u {
			classes = append(classes, c)
		}
	}
	dst = appendClasses(dst, classes)
	c := newEncoder(nil)
	f := newFloatModel(&c, kind, classes, segs)
	f.run(src, segs)
	body := c.Finish()
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	dst = append(dst, body...)
	return append(dst, f.noise.bytes()...)
}

// DecodeFloats fills dst, whose length the caller knows.
func DecodeFloats(dst, coded []byte, kind Kind, segs []codec.Segment) error {
	classes, coded, err := parseClasses(coded, 1<<kind.Exponent)
	if err != nil {
		return err
	}
	size, n := codec.Uvarint(coded)
	if n <= 0 || size > uint64(len(coded)-n) {
		return ErrCorrupt
	}
	c := newDecoder(coded[n : n+int(size)])
	f := newFloatModel(&c, kind, classes, segs)
	f.noise.buf = coded[n+int(size):]
	f.run(dst, segs)
	if c.Overrun() || !f.noise.exhausted() {
		return ErrCorrupt
	}
	return nil
}

// appendClasses stores a strictly increasing list as its length and gaps.
func appendClasses(dst []byte, classes []int) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(classes)))
	last := -1
	for _, c := range classes {
		dst = binary.AppendUvarint(dst, uint64(c-last-1))
		last = c
	}
	return dst
}

func parseClasses(coded []byte, highest int) (classes []int, rest []byte, err error) {
	count, n := codec.Uvarint(coded)
	if n <= 0 || count == 0 || count > uint64(min(highest+1, len(coded))) {
		return nil, nil, ErrCorrupt
	}
	coded = coded[n:]
	last := -1
	for range count {
		gap, n := codec.Uvarint(coded)
		if n <= 0 || gap >= uint64(highest-last) {
			return nil, nil, ErrCorrupt
		}
		last += int(gap) + 1
		classes = append(classes, last)
		coded = coded[n:]
	}
	return classes, coded, nil
}

func (k Kind) class(v uint64) int {
	if v == 0 {
		return zeroClass
	}
	return int(v>>k.Mantissa&(1<<k.Exponent-1)) + 1
}

// floatModel predicts the class (about: the binary logarithm) of each value,
// its sign, and its leading mantissa bits.
type floatModel struct {
	kind    Kind
	classes []int   // used ones, increasing
	rank    []int16 // class → index in classes
	ranks   []int16 // of the values so far
	signs   []int8  // -1, 0, +1 of the values so far
	num     *number
	sign    *predictor
	head    []uint32 // [rank][tree of head bits]
	noise   bitBuffer
	mode    int
	scales
}

const rankUnit = 16 // ranks are averaged in units of 1/16 octave

func newFloatModel(c *coder, kind Kind, classes []int, segs []codec.Segment) *floatModel {
	f := &floatModel{
		kind: kind, classes: classes,
		rank:  make([]int16, classes[len(classes)-1]+1),
		ranks: make([]int16, codec.Total(segs)),
		signs: make([]int8, codec.Total(segs)),
		head:  make([]uint32, len(classes)<<headBits),
		// Trained weights crowd below the largest exponents.
		mode: max(len(classes)-4, 0),
	}
	f.scales = newScales(segs, mean{int32(f.mode) * rankUnit * 4, 4})
	f.noise.decoding = c.Decoding()
	for r, cl := range classes {
		f.rank[cl] = int16(r)
	}
	for i := range f.head {
		f.head[i] = counterHalf
	}
	f.num = newNumber(c, 32,
		32*32,                   // expected rank × neighbourhood
		10*10*8,                 // left, and the one before
		10*10*8,                 // same place in the last two filters
		10*10*8,                 // same tap of the last two input channels
		16*32*8,                 // tap × column × row scale
		min(len(f.cols), 1<<12), // column
		32*32,                   // column × row scale
		1,                       // nothing: learns fastest
	)
	f.sign = newPredictor(c, 1, 16,
		3*3*3*3*16, // left, up, and the last two of the same tap × tap
		3*3*3*16,   // last three filters at the same place
		3*3*3*8,    // left three × how large it is
	)
	return f
}

func (f *floatModel) run(buf []byte, segs []codec.Segment) {
	base := 0
	for _, s := range segs {
		f.segment(buf, s, base)
		base += s.Len
	}
}

// around maps a rank to 0..9 by its distance to the expected one.
func around(rank int, expected int32) uint32 {
	return clip9(rank - int(expected/rankUnit))
}

func (f *floatModel) segment(buf []byte, s codec.Segment, base int) {
	f.begin(s)
	fs := s.Row()
	kw := kernelWidth(s.Taps)
	num, sign, width := f.num, f.sign, f.kind.Width
	top := len(f.classes) - 1
	for p := startOf(s, base); p.cur < base+s.Len; {
		g := f.all.sum / f.all.n
		r, cm, tm := f.at(&p, g)
		expected := min(max(r+cm+tm-2*g, 0), int32(top)*rankUnit)
		e := octave(expected, g)

		// What is not there counts as what is expected, with sign 0.
		exp := int(expected / rankUnit)
		l, l2, f1, f2, c1, c2 := exp, exp, exp, exp, exp, exp
		var sl, sl2, sl3, su, sf1, sf2, sf3, sc1, sc2 int8
		if i := p.back(1); i >= 0 {
			l, sl = int(f.ranks[i]), f.signs[i]
		}
		if i := p.back(2); i >= 0 {
			l2, sl2 = int(f.ranks[i]), f.signs[i]
		}
		if i := p.back(3); i >= 0 {
			sl3 = f.signs[i]
		}
		if p.tap >= kw {
			if i := p.back(kw); i >= 0 {
				su = f.signs[i]
			}
		}
		if i := p.back(fs); i >= 0 {
			f1, sf1 = int(f.ranks[i]), f.signs[i]
		}
		if i := p.back(2 * fs); i >= 0 {
			f2, sf2 = int(f.ranks[i]), f.signs[i]
		}
		if i := p.back(3 * fs); i >= 0 {
			sf3 = f.signs[i]
		}
		if p.col > 0 {
			if i := p.back(s.Taps); i >= 0 {
				c1, sc1 = int(f.ranks[i]), f.signs[i]
			}
			if p.col > 1 {
				if i := p.back(2 * s.Taps); i >= 0 {
					c2, sc2 = int(f.ranks[i]), f.signs[i]
				}
			}
		}
		near := octave(int32((2*l+l2+2*f1+f2+2*c1+c2)*rankUnit/9), g)
		rq, cq := octave(r, g), octave(cm, g)
		num.ctx = [maxInputs]uint32{
			e*32 + near,
			around(l, expected)*10 + around(l2, expected) + 100*(e>>2),
			around(f1, expected)*10 + around(f2, expected) + 100*(e>>2),
			around(c1, expected)*10 + around(c2, expected) + 100*(e>>2),
			uint32(min(p.tap, 15))*32 + cq + 512*(rq>>2),
			uint32(min(p.col, len(num.counters[5])/valueNode-1)),
			cq*32 + rq,
		}
		num.set = e

		var v uint64
		at := buf[p.cur*width:]
		rank := 0
		if !num.Decoding() {
			v = Load(at, width)
			rank = int(f.rank[f.kind.class(v)])
		}
		rank = num.code(rank-f.mode, -f.mode, top-f.mode) + f.mode
		f.ranks[p.cur] = int16(rank)
		class := f.classes[rank]
		if class != zeroClass {
			t := uint32(min(p.tap, 15))
			size := uint32(min(max(rank-exp+4, 0), 7))
			sign.ctx = [maxInputs]uint32{
				tri(sl)*27 + tri(su)*9 + tri(sc1)*3 + tri(sc2) + 81*t,
				tri(sf1)*9 + tri(sf2)*3 + tri(sf3) + 27*t,
				tri(sl)*9 + tri(sl2)*3 + tri(sl3) + 27*size,
			}
			sign.set = t
			m := f.kind.Mantissa
			neg := sign.decide(int(v>>(m+f.kind.Exponent)&1), 0)
			f.signs[p.cur] = int8(1 - 2*neg)
			mant := f.mantissa(v&(1<<m-1), rank)
			if num.Decoding() {
				v = mant | uint64(class-1)<<m | uint64(neg)<<(m+f.kind.Exponent)
			}
			f.add(&p, int32(rank)*rankUnit)
		}
		if num.Decoding() {
			Store(at, width, v)
		}
		if p.advance() {
			f.row = mean{}
		}
	}
}

// mantissa codes the leading bits by plain counters and stores the others.
func (f *floatModel) mantissa(bits uint64, rank int) uint64 {
	low := f.kind.Mantissa - headBits
	tree := f.head[rank<<headBits : (rank+1)<<headBits]
	node := 1
	for i := headBits - 1; i >= 0; i-- {
		node = node<<1 | f.num.single(&tree[node], int(bits>>(low+i)&1))
	}
	rest := f.noise.code(bits&(1<<low-1), uint(low))
	return uint64(node&(1<<headBits-1))<<low | rest
}

// octave maps a mean rank to 0..31 in quarter octaves around the global mean.
func octave(rank, all int32) uint32 {
	return uint32(min(max((rank-all)/(rankUnit/4)+20, 0), 31))
}

// tri maps a sign to 0..2.
func tri(s int8) uint32 { return uint32(s + 1) }

// kernelWidth returns the width of a square kernel, or the number of taps of
// one that is not square (it counts as a row).
func kernelWidth(taps int) int {
	for w := 1; w*w <= taps; w++ {
		if w*w == taps {
			return w
		}
	}
	return taps
}

// bitBuffer keeps bits that are not worth a model, lowest bit first.
type bitBuffer struct {
	decoding bool
	buf      []byte
	pos      int // decoding: next byte
	acc      uint64
	n        uint
	short    bool // decoding: more was asked for than there is
}

// code appends or reads the n low bits of v, n <= 56.
func (b *bitBuffer) code(v uint64, n uint) uint64 {
	if !b.decoding {
		b.acc |= v << b.n
		b.n += n
		for b.n >= 8 {
			b.buf = append(b.buf, byte(b.acc))
			b.acc >>= 8
			b.n -= 8
		}
		return v
	}
	for b.n < n {
		if b.pos >= len(b.buf) {
			b.short = true
			return 0
		}
		b.acc |= uint64(b.buf[b.pos]) << b.n
		b.pos++
		b.n += 8
	}
	v = b.acc & (1<<n - 1)
	b.acc >>= n
	b.n -= n
	return v
}

// bytes returns all bits, padded with zeros to a whole byte.
func (b *bitBuffer) bytes() []byte {
	if b.n > 0 {
		b.buf = append(b.buf, byte(b.acc))
		b.acc, b.n = 0, 0
	}
	return slices.Clip(b.buf)
}

// exhausted reports whether decoding has used all bytes, and not more, and
// left over nothing but zeros.
func (b *bitBuffer) exhausted() bool {
	return !b.short && b.pos == len(b.buf) && b.n < 8 && b.acc == 0
}
