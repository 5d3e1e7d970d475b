package mix

// coder is a carry-free binary range coder with 32-bit bounds and 16-bit
// probabilities, in either direction. The interval [lo, hi] shrinks with each
// decision; leading bytes on which both bounds agree are final.
type coder struct {
	lo, hi   uint32
	decoding bool

	out []byte // encoding: what is final so far

	in   []byte // decoding
	pos  int    // next byte of in; counts on behind its end, where zeros are read
	code uint32 // the four bytes at the front
}

func newEncoder(dst []byte) coder { return coder{hi: ^uint32(0), out: dst} }

func newDecoder(in []byte) coder {
	c := coder{hi: ^uint32(0), in: in, decoding: true}
	for range 4 {
		c.code = c.code<<8 | uint32(c.next())
	}
	return c
}

func (c *coder) next() byte {
	c.pos++
	if c.pos <= len(c.in) {
		return c.in[c.pos-1]
	}
	return 0
}

// bit codes one decision; p is the probability of 1 in units of 2^-16, from 1
// to 65535. Encoding, it returns bit; decoding, bit is ignored.
func (c *coder) bit(bit int, p uint32) int {
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
			c.out = append(c.out, byte(c.hi>>24))
		}
		c.lo <<= 8
		c.hi = c.hi<<8 | 255
	}
	return bit
}

// finish ends encoding with the fewest bytes that stay inside of the interval
// when the decoder reads zeros after them.
func (c *coder) finish() []byte {
	if c.lo == 0 {
		return c.out
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
			for i := range n {
				c.out = append(c.out, byte(v>>(24-8*i)))
			}
			return c.out
		}
	}
	panic("mix: internal error: empty interval")
}

// overrun reports whether the decoder has consumed bytes that the encoder
// cannot have written: it always looks four bytes ahead, not more.
func (c *coder) overrun() bool { return c.pos > len(c.in)+4 }
