package lanes

import "ropewalk/internal/codec/rangecoder"

// coder is the range coder with adaptive probabilities. It carries what the
// tables are made from, which is little, so it may be slow; one function then
// describes a value for both directions.
type coder struct{ rangecoder.Coder }

func newEncoder(dst []byte) coder { return coder{rangecoder.NewEncoder(dst)} }
func newDecoder(src []byte) coder { return coder{rangecoder.NewDecoder(src)} }

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

// decide codes one decision. Encoding, it returns b; decoding, b is ignored.
func (c *coder) decide(p *prob, b int) int {
	b = c.Bit(b, uint32(p.p+1<<15))
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
		x = x<<1 | c.Bit(v>>n&1, 1<<15)
	}
	return x
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
	if c.decide(&m.zero, b2i(v == 0)) != 0 {
		return 0
	}
	if c.decide(&m.sign, b2i(v < 0)) != 0 {
		return -1 - m.above(c, -v-1)
	}
	return 1 + m.above(c, v-1)
}

// unsigned codes v >= 0.
func (m *number) unsigned(c *coder, v int) int {
	if c.decide(&m.zero, b2i(v == 0)) != 0 {
		return 0
	}
	return 1 + m.above(c, v-1)
}

func (m *number) above(c *coder, v int) int {
	for i := range m.more {
		if c.decide(&m.more[i], b2i(v > i)) == 0 {
			return i
		}
	}
	// An Elias gamma code of the rest.
	x := v - len(m.more) + 1
	n := 0
	for n < maxEscape && c.Bit(b2i(x>>(n+1) != 0), 1<<15) != 0 {
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
