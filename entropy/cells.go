package entropy

import (
	"math"
	"math/bits"
)

// A codec of cells: the tuple (i_1, …, i_n) of center indices as a number. If
// the K^n tuples are few enough, it is their place in a table ("dense"), with
// i_1 the most significant digit of base K. Else each index has bits of its own
// in one of two words, and a hash table finds the place.
type cellCode struct {
	order, alphabet int
	dense           bool
	cells           int      // dense: K^n
	digit           []uint64 // what index i_m is multiplied by
	high            []bool   // the digit is in the high word
	offset          []cellKey
	head            []int // dense: offset without the last two weights
}

type cellKey struct{ hi, lo uint64 }

func (k cellKey) plus(o cellKey) cellKey  { return cellKey{k.hi + o.hi, k.lo + o.lo} }
func (k cellKey) minus(o cellKey) cellKey { return cellKey{k.hi - o.hi, k.lo - o.lo} }

// newCellCode returns the code for tuples of so many indices below alphabet;
// tables of at most limit cells are dense. ok is false if two words are too few.
func newCellCode(order, alphabet, limit int) (c cellCode, ok bool) {
	c = cellCode{order: order, alphabet: alphabet, digit: make([]uint64, order), high: make([]bool, order)}
	cells := 1
	for m := order - 1; m >= 0 && cells > 0; m-- {
		c.digit[m] = uint64(cells)
		if cells *= alphabet; cells > limit {
			cells = 0
		}
	}
	if c.dense = cells > 0; c.dense {
		c.cells = cells
	} else {
		width := bits.Len(uint(alphabet - 1))
		per := 64 / width
		if order > 2*per {
			return c, false
		}
		for m := range order {
			c.high[m] = m >= per
			c.digit[m] = 1 << (width * (m % per))
		}
	}
	// offset[s] leads from the cell of all lower centers to the one where bit
	// order-1-m of s says which center i_m is.
	c.offset = make([]cellKey, 1<<order)
	for s := range c.offset {
		for m := range order {
			if s>>(order-1-m)&1 == 1 {
				c.offset[s] = c.offset[s].plus(c.step(m))
			}
		}
	}
	if c.dense && order >= 2 {
		c.head = make([]int, 1<<(order-2))
		for s := range c.head {
			c.head[s] = int(c.offset[s<<2].lo)
		}
	}
	return c, true
}

// step is what index i_m adds to the key for each center.
func (c *cellCode) step(m int) cellKey { return c.times(m, 1) }

func (c *cellCode) times(m, index int) cellKey {
	if c.high[m] {
		return cellKey{hi: c.digit[m] * uint64(index)}
	}
	return cellKey{lo: c.digit[m] * uint64(index)}
}

// A massTable is a mass for each cell that has one.
type massTable struct {
	slots []uint32 // open addressing: entry plus one; 0 is empty
	keys  []cellKey
	mass  []float64
}

func (t *massTable) clear() {
	clear(t.slots)
	t.keys, t.mass = t.keys[:0], t.mass[:0]
}

func (k cellKey) hash() uint64 { return mix64(mix64(k.hi+1) ^ k.lo) }

// add adds mass to a cell.
func (t *massTable) add(k cellKey, mass float64) {
	if 2*len(t.keys) >= len(t.slots) {
		t.grow()
	}
	mask := uint64(len(t.slots) - 1)
	at := k.hash() & mask
	for ; t.slots[at] != 0; at = (at + 1) & mask {
		if e := t.slots[at] - 1; t.keys[e] == k {
			t.mass[e] += mass
			return
		}
	}
	t.keys, t.mass = append(t.keys, k), append(t.mass, mass)
	t.slots[at] = uint32(len(t.keys))
}

// find returns the entry of a cell, -1 if it has no mass.
func (t *massTable) find(k cellKey) int {
	if len(t.slots) == 0 {
		return -1
	}
	mask := uint64(len(t.slots) - 1)
	for at := k.hash() & mask; t.slots[at] != 0; at = (at + 1) & mask {
		if e := t.slots[at] - 1; t.keys[e] == k {
			return int(e)
		}
	}
	return -1
}

func (t *massTable) grow() {
	t.slots = make([]uint32, max(1024, 2*len(t.slots)))
	mask := uint64(len(t.slots) - 1)
	for e, k := range t.keys {
		at := k.hash() & mask
		for t.slots[at] != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = uint32(e + 1)
	}
}

// information turns masses, of total mass blocks, into logarithms of
// probabilities, and returns their part of the entropy in bits. The logarithm of
// an empty cell is set to 0: it is only ever multiplied by a weight of 0.
func information(logs, mass []float64, blocks float64) float64 {
	h := 0.0
	for i, m := range mass {
		logs[i] = 0
		if m > 0 {
			p := m / blocks
			logs[i] = math.Log2(p)
			h -= p * logs[i]
		}
	}
	return h
}
