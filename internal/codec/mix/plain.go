package mix

import (
	"math/bits"
)

// A plain is the coder of segments in which nothing but the frequencies of the
// symbols can be learned: order 0. The model of doc.go comes near to that, but
// it mixes, and its noise and what it learns about histograms without a shape
// cost more than counting does. Counting costs what the histogram is worth:
// about half the logarithm of the number of values for each level.
//
// A symbol is coded by its bits, highest first. Each node of that tree counts
// the answers that it gave.
type plain struct {
	coder  *coder
	how    estimator
	levels int
	depth  int
	count  []uint32     // [node]: the values that came by; the root is node 1
	novel  [32][2]int64 // of nodes that had one answer so far, by the bits of their count: no, yes: another one came
}

// An estimator makes probabilities of counts. The zero value is none: the
// segment is modelled.
type estimator int

const (
	// novelty learns how likely it is that a node gives an answer for the first
	// time, from other nodes; otherwise it counts from 1 on. It is for codebooks
	// with holes, and of many levels.
	novelty estimator = iota + 1
	// The others assume that each level came already 1/16, 1/4, 1, 4, 16 times:
	// from few high peaks to nearly equal.
	leastPrior
	estimators = leastPrior + 5
)

// priorUnit is one value, in the units of priors.
const priorUnit = 16

func newPlain(c *coder, how estimator, levels int) *plain {
	p := &plain{coder: c, how: how, levels: levels, depth: bits.Len(uint(levels - 1))}
	p.count = make([]uint32, 2<<p.depth)
	return p
}

// A step is one decision on the way to a symbol.
type step struct {
	node   int
	n0, n1 int64  // answers before
	p      uint32 // probability of 1, of 2^16
}

// at returns the decision at a node, whose subtree has 2^(low+1) leaves. If
// only one answer is possible, ok is false: it is 0.
func (p *plain) at(node, low int) (s step, ok bool) {
	first := (2*node+1)<<low - 1<<p.depth // symbol of the right part
	if first >= p.levels {
		return step{node: node}, false
	}
	s = step{node: node, n0: int64(p.count[2*node]), n1: int64(p.count[2*node+1])}
	var part, all int64
	switch n := s.n0 + s.n1; {
	case p.how != novelty:
		prior := int64(1) << (2 * (p.how - leastPrior))
		right := int64(min(1<<low, p.levels-first))
		part, all = s.n1*priorUnit+right*prior, n*priorUnit+(right+1<<low)*prior
	case n > 0 && (s.n0 == 0 || s.n1 == 0):
		t := &p.novel[bits.Len64(uint64(n))]
		part, all = 2*t[1]+1, 2*(t[0]+t[1])+2
		if s.n0 == 0 {
			part = all - part
		}
	default:
		part, all = s.n1+1, n+2
	}
	s.p = uint32(min(max(part<<16/all, 1), 65535))
	return s, true
}

// learn counts an answer.
func (p *plain) learn(s step, bit int) {
	if p.how == novelty && (s.n0 == 0) != (s.n1 == 0) {
		t := &p.novel[bits.Len64(uint64(s.n0+s.n1))]
		t[b2i((bit == 1) == (s.n1 == 0))]++
	}
	p.count[2*s.node+bit]++
}

// code codes a symbol and returns it.
func (p *plain) code(sym int) int {
	node := 1
	for low := p.depth - 1; low >= 0; low-- {
		bit := 0
		s, ok := p.at(node, low)
		if ok {
			bit = p.coder.Bit(sym>>low&1, s.p)
			p.learn(s, bit)
		}
		node = 2*node + bit
	}
	return node - 1<<p.depth
}

// cost returns what code would take for a symbol, in bits/65536.
func (p *plain) cost(sym int) uint32 {
	node, price := 1, uint32(0)
	for low := p.depth - 1; low >= 0; low-- {
		bit := sym >> low & 1
		if s, ok := p.at(node, low); ok {
			price += priceOf(bit, s.p)
		}
		node = 2*node + bit
	}
	return price
}

// choosePlain returns the estimator that codes symbols in the fewest bytes, and
// how much less than limit that is, in bits/65536; 0 and 0 if none does.
func choosePlain(syms []uint16, levels int, limit int64) (best estimator, gain int64) {
	var buf []byte
	least := limit
	for how := novelty; how < estimators; how++ {
		c := newEncoder(buf[:0])
		p := newPlain(&c, how, levels)
		for i, v := range syms {
			p.code(int(v))
			if i&1023 == 0 && spent(&c) >= least {
				break // it can only grow
			}
		}
		if n := spent(&c); n < least {
			best, least = how, n
		}
		buf = c.Finish()
	}
	return best, limit - least
}

// spent returns what a coder has stored so far, in bits/65536.
func spent(c *coder) int64 {
	n, width := c.Spent()
	return int64(n)<<19 + 32<<16 - log2Exactly(width)
}

// information returns the entropy of symbols, times their number, in
// bits/65536.
func information(syms []uint16, levels int) int64 {
	count := make([]int64, levels)
	for _, v := range syms {
		count[v]++
	}
	sum, whole := int64(0), log2Exactly(uint64(len(syms)))
	for _, n := range count {
		if n > 0 {
			sum += n * (whole - log2Exactly(uint64(n)))
		}
	}
	return sum
}

// log2Exactly returns 65536·log2(x) for 1 <= x <= 2^32, rounded down.
func log2Exactly(x uint64) int64 {
	e := bits.Len64(x) - 1
	y := x << (62 - e) // 1 <= y/2^62 < 2
	l := int64(e)
	for range 16 {
		hi, lo := bits.Mul64(y, y)
		y = hi<<2 | lo>>62 // below 4·2^62
		l <<= 1
		if y>>63 != 0 {
			y >>= 1
			l++
		}
	}
	return l
}
