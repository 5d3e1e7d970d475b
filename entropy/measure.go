package entropy

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
)

// An Entropy is a measured entropy. It is that of the empirical distribution
// of the blocks that were counted: no code without a free table can reach it,
// and with more distinct blocks than samples it says little.
type Entropy struct {
	Order    int     // weights in a block, n
	Blocks   int64   // that were counted, M
	Distinct int64   // different ones among them
	Bits     float64 // H_n, in bits per block, 0 to log2 of Distinct
}

// PerWeight returns H_n/n in bits per weight.
func (e Entropy) PerWeight() float64 { return e.Bits / float64(e.Order) }

// Measure returns the entropy of order n of symbols, pooled over tensors.
// Blocks are disjoint; what is left of a tensor behind its last whole block is
// ignored, and no block crosses tensors. It panics if n < 1.
func Measure(n int, tensors ...[]uint16) Entropy {
	c := NewCounter(&CounterOptions{Order: n})
	for c.Next() {
		for _, t := range tensors {
			c.Add(t)
			c.EndTensor()
		}
	}
	e, err := c.Entropy()
	if err != nil {
		panic("entropy: internal error: " + err.Error())
	}
	return e
}

// CounterOptions say what a [Counter] counts. Nil means all defaults.
type CounterOptions struct {
	// Order is the number of symbols in a block; default 1.
	Order int
	// Sliding counts the blocks that begin at every symbol; the default, that of
	// the paper, is that each begins where the last one ended.
	Sliding bool
	// MaxDistinct is how many different blocks are held in memory at a time, each
	// in 24 bytes and 2 per symbol, about; if there are more, they are counted in
	// several passes. Default 2^21.
	MaxDistinct int
}

// A Counter counts blocks of symbols exactly, in bounded memory: different
// blocks beyond a limit are left for a further pass over the same symbols, in
// which only blocks of another range of hashes are counted.
//
//	for c.Next() {
//		for each tensor {
//			c.Add(symbols) // as often as there are pieces
//			c.EndTensor()
//		}
//	}
//	e, err := c.Entropy()
//
// It is not safe for concurrent use.
type Counter struct {
	order, words int
	sliding      bool
	limit        int
	top          uint64 // the bits of a block in the first word
	seed         uint64

	pass   int
	lo, hi uint64 // hashes that are counted in this pass, both inclusive
	blocks int64  // in this pass
	first  int64  // in the first pass

	block []uint64 // the last symbols, 16 bits each, the newest lowest
	have  int      // symbols in it that belong to the tensor and no earlier block

	slots  []uint32 // open addressing: entry plus one; 0 is empty
	keys   []uint64 // words of each entry
	counts []int64  // of each entry

	distinct int64
	sums     map[int64]int64 // how many blocks are there how often
}

// NewCounter returns a counter without blocks. It panics if an option is negative.
func NewCounter(o *CounterOptions) *Counter {
	f := CounterOptions{}
	if o != nil {
		f = *o
	}
	if f.Order == 0 {
		f.Order = 1
	}
	if f.MaxDistinct == 0 {
		f.MaxDistinct = 1 << 21
	}
	if f.Order < 1 || f.MaxDistinct < 1 {
		panic(fmt.Sprintf("entropy: order %d and at most %d blocks, want positive numbers", f.Order, f.MaxDistinct))
	}
	c := &Counter{order: f.Order, words: (f.Order + 3) / 4, sliding: f.Sliding, limit: f.MaxDistinct}
	c.top = math.MaxUint64 >> (64 - 16*((f.Order-1)%4+1))
	c.block = make([]uint64, c.words)
	c.seed = rand.Uint64() // so that nobody can choose blocks that collide
	c.slots = make([]uint32, 1024)
	c.sums = make(map[int64]int64)
	return c
}

// Next begins a pass. It returns false when none is needed any more.
func (c *Counter) Next() bool {
	c.EndTensor()
	if c.pass++; c.pass == 1 {
		c.lo, c.hi, c.blocks = 0, math.MaxUint64, 0
		return true
	}
	if c.pass == 2 {
		c.first = c.blocks
	}
	for _, n := range c.counts {
		c.sums[n]++
	}
	c.distinct += int64(len(c.counts))
	if c.hi == math.MaxUint64 || c.blocks != c.first {
		return false
	}
	// The next range is as wide as this one came out, or what is left.
	width := c.hi - c.lo
	c.lo = c.hi + 1
	c.hi = c.lo + min(width, math.MaxUint64-c.lo)
	c.blocks = 0
	clear(c.slots)
	c.keys, c.counts = c.keys[:0], c.counts[:0]
	return true
}

// Add counts the blocks of more symbols of a tensor.
func (c *Counter) Add(symbols []uint16) {
	for _, s := range symbols {
		for i := 0; i < c.words-1; i++ {
			c.block[i] = c.block[i]<<16 | c.block[i+1]>>48
		}
		c.block[c.words-1] = c.block[c.words-1]<<16 | uint64(s)
		if c.have++; c.have < c.order {
			continue
		}
		c.have = 0
		if c.sliding {
			c.have = c.order - 1
		}
		c.block[0] &= c.top
		c.blocks++
		if h := c.hash(c.block); h >= c.lo && h <= c.hi {
			c.count(h)
		}
	}
}

// EndTensor forgets symbols that no block has: the next ones are of another tensor.
func (c *Counter) EndTensor() {
	c.have = 0
	clear(c.block)
}

// Entropy returns the result after the last pass. It is an error if a pass
// saw another number of blocks than the first.
func (c *Counter) Entropy() (Entropy, error) {
	if c.blocks != c.first {
		return Entropy{}, fmt.Errorf("entropy: pass %d over the symbols saw %d blocks, the first saw %d", c.pass-1, c.blocks, c.first)
	}
	e := Entropy{Order: c.order, Blocks: c.blocks, Distinct: c.distinct}
	if c.blocks == 0 {
		return e, nil
	}
	// Blocks are summed up in the order of their counts, so that the result
	// does not depend on their places to the last bit.
	sum := 0.0
	for _, n := range slices.Sorted(maps.Keys(c.sums)) {
		sum += float64(c.sums[n]) * float64(n) * math.Log2(float64(n))
	}
	e.Bits = max(math.Log2(float64(c.blocks))-sum/float64(c.blocks), 0)
	return e, nil
}

func (c *Counter) hash(block []uint64) uint64 {
	h := c.seed
	for _, w := range block {
		h = mix64(h ^ w)
	}
	return h
}

// mix64 is a bijection that spreads every bit (the finalizer of SplitMix64).
func mix64(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// count counts the current block, whose hash is h.
func (c *Counter) count(h uint64) {
	mask := uint64(len(c.slots) - 1)
	at := h & mask
	for ; c.slots[at] != 0; at = (at + 1) & mask {
		e := int(c.slots[at] - 1)
		if slices.Equal(c.keys[e*c.words:(e+1)*c.words], c.block) {
			c.counts[e]++
			return
		}
	}
	c.keys = append(c.keys, c.block...)
	c.counts = append(c.counts, 1)
	c.slots[at] = uint32(len(c.counts))
	if len(c.counts) > c.limit && c.hi > c.lo {
		c.narrow()
	}
	if 2*len(c.counts) > len(c.slots) {
		c.slots = make([]uint32, 2*len(c.slots))
		c.place()
	}
}

// narrow leaves the upper half of the hashes for a later pass.
func (c *Counter) narrow() {
	for len(c.counts) > c.limit && c.hi > c.lo {
		c.hi = c.lo + (c.hi-c.lo)/2
		n := 0
		for e := range c.counts {
			key := c.keys[e*c.words : (e+1)*c.words]
			if c.hash(key) <= c.hi {
				copy(c.keys[n*c.words:], key)
				c.counts[n] = c.counts[e]
				n++
			}
		}
		c.keys, c.counts = c.keys[:n*c.words], c.counts[:n]
	}
	clear(c.slots)
	c.place()
}

// place fills the empty slots with all entries.
func (c *Counter) place() {
	mask := uint64(len(c.slots) - 1)
	for e := range c.counts {
		at := c.hash(c.keys[e*c.words:(e+1)*c.words]) & mask
		for c.slots[at] != 0 {
			at = (at + 1) & mask
		}
		c.slots[at] = uint32(e + 1)
	}
}
