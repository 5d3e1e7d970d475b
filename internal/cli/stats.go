package cli

import (
	"context"
	"math"

	"ropewalk/checkpoint"
	"ropewalk/tensor"
)

// maxDistinct bounds the table of values that is kept to count them: as many
// as a 16-bit type has, so that for those the count is always exact.
const maxDistinct = 1 << 16

// tensorStats says how the values of one tensor are distributed. A complex
// number counts as two values; an unknown type, as its bytes.
type tensorStats struct {
	Values    int64    `json:"values"`
	Distinct  *int64   `json:"distinct,omitempty" about:"different bit patterns; absent if more than 65536"`
	Entropy   *float64 `json:"entropy_bits,omitempty" about:"order-0 entropy in bits per value; absent if more than 65536 are distinct"`
	Bytes     float64  `json:"byte_entropy_bits" about:"bits per value, each byte of it coded alone with order-0 entropy"`
	Zeros     int64    `json:"zeros" about:"values that equal 0, of either sign"`
	NonFinite int64    `json:"non_finite" about:"infinities and NaNs"`
}

// statsOf reads the tensors that want picks and returns their statistics,
// nil for the others.
func statsOf(ctx context.Context, c *checkpoint.Checkpoint, want []int, progress func(n int64)) ([]*tensorStats, error) {
	all := make([]*tensorStats, c.Tensors.Len())
	err := parallel(ctx, len(want), func(w int) error {
		t := c.Tensors.At(want[w])
		h := newHistogram(t.DType)
		for _, k := range chunks(c, want[w]) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			b, err := k.read(c)
			if err != nil {
				return err
			}
			h.add(b, numbersIn(t, h.part, k))
			k.release(c)
			progress(k.n)
		}
		all[want[w]] = h.stats()
		return nil
	})
	return all, err
}

// A histogram counts values, and the bytes in each place of them.
type histogram struct {
	part      tensor.DType
	bits      []uint64 // scratch
	n         int64
	counts    *valueCounts // nil once there are too many
	planes    [8][256]int64
	zeros     int64
	nonFinite int64
}

func newHistogram(d tensor.DType) *histogram {
	return &histogram{part: partOf(d), counts: newValueCounts()}
}

func (h *histogram) add(raw []byte, n int64) {
	h.bits = appendBits(h.bits[:0], h.part, raw, n)
	h.n += int64(len(h.bits))
	for _, v := range h.bits {
		if h.counts != nil && !h.counts.add(v) {
			h.counts = nil
		}
		for p := range (h.part.Bits() + 7) / 8 {
			h.planes[p][byte(v>>(8*p))]++
		}
	}
	h.classify()
}

// classify counts zeros and what is not finite.
func (h *histogram) classify() {
	if !h.part.IsFloat() {
		for _, v := range h.bits {
			if v == 0 {
				h.zeros++
			}
		}
		return
	}
	number := floatOf(h.part)
	for _, v := range h.bits {
		switch x := number(v); {
		case x == 0:
			h.zeros++
		case x-x != 0:
			h.nonFinite++
		}
	}
}

func (h *histogram) stats() *tensorStats {
	s := &tensorStats{Values: h.n, Zeros: h.zeros, NonFinite: h.nonFinite}
	if h.counts != nil {
		distinct := int64(h.counts.used)
		bits := order0(h.counts.n, h.n)
		s.Distinct, s.Entropy = &distinct, &bits
	}
	for p := range h.planes {
		s.Bytes += order0(h.planes[p][:], h.n)
	}
	return s
}

// order0 returns the order-0 entropy in bits of n things with these counts.
func order0(counts []int64, n int64) float64 {
	sum := 0.0
	for _, c := range counts {
		if c > 0 {
			sum += float64(c) * math.Log2(float64(n)/float64(c))
		}
	}
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}

// valueCounts is a hash table from values to how often they occur, open
// addressing with linear probing.
type valueCounts struct {
	keys []uint64
	n    []int64 // 0 marks an empty slot
	used int
}

func newValueCounts() *valueCounts {
	const least = 256
	return &valueCounts{keys: make([]uint64, least), n: make([]int64, least)}
}

// add counts one value. It returns false if there are too many.
func (c *valueCounts) add(v uint64) bool {
	i := c.slot(v)
	if c.n[i] == 0 {
		if c.used == maxDistinct {
			return false
		}
		if 2*c.used >= len(c.keys) {
			c.grow()
			i = c.slot(v)
		}
		c.keys[i] = v
		c.used++
	}
	c.n[i]++
	return true
}

// slot returns where v is, or would be put.
func (c *valueCounts) slot(v uint64) int {
	mask := len(c.keys) - 1
	i := int(v*0x9e3779b97f4a7c15>>32) & mask
	for c.n[i] != 0 && c.keys[i] != v {
		i = (i + 1) & mask
	}
	return i
}

func (c *valueCounts) grow() {
	old := *c
	c.keys, c.n = make([]uint64, 2*len(old.keys)), make([]int64, 2*len(old.n))
	for i, n := range old.n {
		if n > 0 {
			at := c.slot(old.keys[i])
			c.keys[at], c.n[at] = old.keys[i], n
		}
	}
}
