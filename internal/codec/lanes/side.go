package lanes

// coder is a carry-free binary range coder with adaptive probabilities, in
// either direction. It carries what the tables are made from, which is little,
// so it may be slow; one function then describes a value for both directions.
//
// The interval [lo, hi] shrinks with each decision; leading bytes on which both
// bounds agree are final.
type coder struct {
	lo, hi   uint32
	decoding bool
	buf      []byte // encoding: what is final so far; decoding: the input
	pos      int    // decoding: the next byte; behind the end zeros are read
	code     uint32
}

func newEncoder(dst []byte) coder { return coder{hi: ^uint32(0), buf: dst} }

func newDecoder(src []byte) coder {
	c := coder{hi: ^uint32(0), buf: src, decoding: true}
	for range 4 {
		c.code = c.code<<8 | uint32(c.next())
	}
	return c
}

func (c *coder) next() byte {
	c.pos++
	if c.pos <= len(c.buf) {
		return c.buf[c.pos-1]
	}
	return 0
}

// prob is the probability of 1 in units of 2^-16, from which 2^15 is taken so
// that the zero value is even odds, and how often it was used.
type prob struct {
	p int32
	n uint8
}

const (
	probLimit = 30 // uses after which a probability adapts at the same rate
	probClip  = 1<<15 - 256
)

// rates are what a probability moves by of the way, in units of 2^-16.
var rates = func() (r [probLimit + 1]int32) {
	for i := range r {
		r[i] = int32(65536 / (2*i + 3) * 2)
	}
	return r
}()

// bit codes one decision. Encoding, it returns b; decoding, b is ignored.
func (c *coder) bit(p *prob, b int) int {
	b = c.narrow(b, uint32(p.p+1<<15))
	target := int32(b<<16 - 1<<15)
	p.p += int32(int64(target-p.p) * int64(rates[p.n]) >> 16)
	p.p = min(max(p.p, -probClip), probClip)
	if p.n < probLimit {
		p.n++
	}
	return b
}

// flat codes n bits that no probability is kept for, the highest first.
func (c *coder) flat(v, n int) int {
	x := 0
	for n--; n >= 0; n-- {
		x = x<<1 | c.narrow(v>>n&1, 1<<15)
	}
	return x
}

func (c *coder) narrow(b int, p uint32) int {
	mid := c.lo + uint32(uint64(c.hi-c.lo)*uint64(p)>>16)
	if c.decoding {
		b = 0
		if c.code <= mid {
			b = 1
		}
	}
	if b != 0 {
		c.hi = mid
	} else {
		c.lo = mid + 1
	}
	for (c.lo^c.hi)>>24 == 0 {
		if c.decoding {
			c.code = c.code<<8 | uint32(c.next())
		} else {
			c.buf = append(c.buf, byte(c.hi>>24))
		}
		c.lo <<= 8
		c.hi = c.hi<<8 | 255
	}
	return b
}

// end finishes: with the fewest bytes that stay inside of the interval, whatever
// follows. They are the same for both directions, so their number need not be
// stored. It returns, decoding, the input behind them; ok is false if there is
// not that much input.
func (c *coder) end() (rest []byte, ok bool) {
	n, v := 0, uint32(0)
	for ; c.lo != 0 || c.hi != ^uint32(0); n++ {
		mask := ^uint32(0) >> (8 * n)
		v = (c.lo + mask) &^ mask // round up to n leading bytes
		if v >= c.lo && v|mask <= c.hi {
			break
		}
	}
	if c.decoding {
		at := c.pos - 4 + n
		if at > len(c.buf) {
			return nil, false
		}
		return c.buf[at:], true
	}
	for i := range n {
		c.buf = append(c.buf, byte(v>>(24-8*i)))
	}
	return nil, true
}

// A number codes small integers: whether zero, the sign, and the magnitude in
// unary, whose every step has a probability of its own.
type number struct {
	zero, sign prob
	more       [15]prob
}

// maxEscape bounds the bits of what is above the unary part.
const maxEscape = 16

// signed codes v.
func (m *number) signed(c *coder, v int) int {
	if c.bit(&m.zero, b2i(v == 0)) != 0 {
		return 0
	}
	if c.bit(&m.sign, b2i(v < 0)) != 0 {
		return -1 - m.above(c, -v-1)
	}
	return 1 + m.above(c, v-1)
}

// unsigned codes v >= 0.
func (m *number) unsigned(c *coder, v int) int {
	if c.bit(&m.zero, b2i(v == 0)) != 0 {
		return 0
	}
	return 1 + m.above(c, v-1)
}

func (m *number) above(c *coder, v int) int {
	for i := range m.more {
		if c.bit(&m.more[i], b2i(v > i)) == 0 {
			return i
		}
	}
	// An Elias gamma code of the rest.
	x := v - len(m.more) + 1
	n := 0
	for n < maxEscape && c.narrow(b2i(x>>(n+1) != 0), 1<<15) != 0 {
		n++
	}
	return len(m.more) - 1 + (1<<n | c.flat(x&(1<<n-1), n))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
