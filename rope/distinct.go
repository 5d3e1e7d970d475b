package rope

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"ropewalk/internal/codec/mix"
)

// A distinct counts the different values of an array, as long as there are at
// most [mix.MaxLevels] of them.
type distinct struct {
	width  int
	direct bool     // patterns are their own places in the table
	keys   []uint64 // else: open addressing
	counts []uint64 // 0 where the table is empty
	n      int
	full   bool // more than MaxLevels
}

// newDistinct returns a distinct for an array of so many values.
func newDistinct(width int, values int64) *distinct {
	d := &distinct{width: width}
	size := 2 << bits.Len64(uint64(min(values, mix.MaxLevels+1))) // at most half full
	if width == 1 || width == 2 && values > 1<<14 {
		d.direct, size = true, 1<<(8*width)
	} else {
		d.keys = make([]uint64, size)
	}
	d.counts = make([]uint64, size)
	return d
}

// add looks at more values. It stops looking once there are too many.
func (d *distinct) add(b []byte) {
	switch {
	case d.full:
	case d.direct && d.width == 1:
		for _, v := range b {
			d.insert(int(v))
		}
	case d.direct:
		for ; len(b) >= 2 && !d.full; b = b[2:] {
			d.insert(int(binary.LittleEndian.Uint16(b)))
		}
	default:
		for ; len(b) >= d.width && !d.full; b = b[d.width:] {
			v := mix.Load(b, d.width)
			at := place64(v, len(d.keys))
			for d.counts[at] != 0 && d.keys[at] != v {
				at = (at + 1) % len(d.keys)
			}
			d.keys[at] = v
			d.insert(at)
		}
	}
}

// insert counts the value in a place of the table.
func (d *distinct) insert(at int) {
	if d.counts[at]++; d.counts[at] > 1 {
		return
	}
	if d.n++; d.n > mix.MaxLevels {
		d.full, d.keys, d.counts = true, nil, nil
	}
}

// place64 is where a table of a power of two of places looks for v first.
func place64(v uint64, size int) int {
	return int(v * 0x9e3779b97f4a7c15 >> 32 & uint64(size-1))
}

// A histogram is the different values of an array in their order, and how
// often each occurs.
type histogram struct {
	values []uint64
	counts []uint64
}

// histogram returns what was seen, empty if it was too much.
func (d *distinct) histogram(u unit) histogram {
	type entry struct{ order, value, count uint64 }
	var es []entry
	for at, n := range d.counts {
		if n == 0 {
			continue
		}
		v := uint64(at)
		if !d.direct {
			v = d.keys[at]
		}
		es = append(es, entry{u.ordered(v), v, n})
	}
	slices.SortFunc(es, func(a, b entry) int {
		if a.order < b.order {
			return -1
		}
		return 1
	})
	var h histogram
	for _, e := range es {
		h.values = append(h.values, e.value)
		h.counts = append(h.counts, e.count)
	}
	return h
}
