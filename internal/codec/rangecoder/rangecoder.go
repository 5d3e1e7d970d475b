// Package rangecoder is a carry-free binary range coder with 32-bit bounds and
// 16-bit probabilities: what the models of mix and lanes store their decisions
// with (docs/FORMAT.md, sections 5.4.1 and 7.1).
//
// The interval [lo, hi] shrinks with each decision; leading bytes on which both
// bounds agree are final. One type works in either direction, so that one
// function can describe a value for both.
package rangecoder

// A Coder codes decisions. Make it with [NewEncoder] or [NewDecoder].
type Coder struct {
	lo, hi   uint32
	decoding bool
	buf      []byte // encoding: what is final so far; decoding: the input
	pos      int    // decoding: the next byte; counts on behind the end, where zeros are read
	code     uint32 // decoding: the four bytes at the front
}

// NewEncoder returns a Coder that appends to dst.
func NewEncoder(dst []byte) Coder { return Coder{hi: ^uint32(0), buf: dst} }

// NewDecoder returns a Coder that reads src, which it neither changes nor leaves.
func NewDecoder(src []byte) Coder {
	c := Coder{hi: ^uint32(0), buf: src, decoding: true}
	for range 4 {
		c.code = c.code<<8 | uint32(c.next())
	}
	return c
}

// Decoding reports the direction.
func (c *Coder) Decoding() bool { return c.decoding }

func (c *Coder) next() byte {
	c.pos++
	if c.pos <= len(c.buf) {
		return c.buf[c.pos-1]
	}
	return 0
}

// Bit codes one decision; p is the probability of 1 in units of 2^-16, from 1
// to 65535. Encoding, it returns bit; decoding, bit is ignored.
func (c *Coder) Bit(bit int, p uint32) int {
	mid := c.lo + uint32(uint64(c.hi-c.lo)*uint64(p)>>16)
	if c.decoding {
		bit = 0
		if c.code <= mid {
			bit = 1
		}
	}
	if bit != 0 {
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
	return bit
}

// Finish ends encoding with the fewest bytes that stay inside of the interval
// when the decoder reads zeros after them, and returns all of them. Nothing may
// follow but what is known to be the end.
func (c *Coder) Finish() []byte {
	if c.lo == 0 {
		return c.buf
	}
	for n := 1; n <= 4; n++ {
		shift := 32 - 8*n
		v := c.lo
		if shift > 0 {
			mask := uint32(1)<<shift - 1
			v = (c.lo + mask) &^ mask // round up to n leading bytes
			if v < c.lo {
				continue // rounded up past 2^32
			}
		}
		if v <= c.hi {
			return c.appendLeading(v, n)
		}
	}
	panic("rangecoder: internal error: empty interval")
}

// End ends with the fewest bytes that stay inside of the interval, whatever
// follows. They are the same for both directions, so their number need not be
// stored. Encoding, it returns all bytes; decoding, the input behind them, and
// ok is false if there is not that much input.
func (c *Coder) End() (b []byte, ok bool) {
	n, v := 0, uint32(0)
	for ; c.lo != 0 || c.hi != ^uint32(0); n++ {
		mask := ^uint32(0) >> (8 * n)
		v = (c.lo + mask) &^ mask // round up to n leading bytes
		if v >= c.lo && v|mask <= c.hi {
			break
		}
	}
	if !c.decoding {
		return c.appendLeading(v, n), true
	}
	at := c.pos - 4 + n
	if at > len(c.buf) {
		return nil, false
	}
	return c.buf[at:], true
}

// appendLeading appends the n leading bytes of v and returns all bytes.
func (c *Coder) appendLeading(v uint32, n int) []byte {
	for i := range n {
		c.buf = append(c.buf, byte(v>>(24-8*i)))
	}
	return c.buf
}

// Spent returns how many bytes are final, and the width of the interval that
// is left, from 1 to 2^32: what was coded took 8n + 32 - log2(width) bits.
func (c *Coder) Spent() (n int, width uint64) {
	return len(c.buf), uint64(c.hi-c.lo) + 1
}

// Overrun reports whether the decoder has consumed bytes that the encoder
// cannot have written: it always looks four bytes ahead, not more.
func (c *Coder) Overrun() bool { return c.pos > len(c.buf)+4 }
