// Package codec is what the block coders below it agree on: how a block of
// values lies in the arrays that it is cut from, and how numbers are read.
//
// The coders are [ropewalk/internal/codec/planes] for bytes,
// [ropewalk/internal/codec/lanes] for quantized values at speed, and
// [ropewalk/internal/codec/mix] for the fewest bytes. They see integers only:
// nothing that steers a decoder may be floating point.
package codec

// A Segment is a run of consecutive values of one array inside of a block,
// and the shape of that array as the contexts see it: rows (filters, outputs)
// of columns (input channels) of taps (kernel positions).
type Segment struct {
	Cols, Taps int // both at least 1
	Width      int // taps in a row of the kernel: the last axis; divides Taps
	Start      int // index in the array of the first value of the run
	Len        int

	// Levels are the values that symbols stand for, increasing (equal where
	// they are too close), in any fixed point below 2^21: coders of symbols
	// predict with them. A coder of other things ignores them. Several segments
	// may share the slice.
	Levels []int32
}

// Row returns the number of values in a row. Shapes come from headers: what
// would not fit an int is longer than any block.
func (s Segment) Row() int {
	const longest = 1 << 61 // a few rows fit an int
	if s.Cols > longest/s.Taps {
		return longest
	}
	return s.Cols * s.Taps
}

// Shape returns the columns, taps and kernel width of an array: axis 1, the
// product of the axes behind it, and the last of these. A vector has one row
// of its length; so it has no structure but its order.
func Shape(dims []int64) (cols, taps, width int) {
	cols, taps, width = 1, 1, 1
	switch {
	case len(dims) == 1:
		cols = int(dims[0])
	case len(dims) >= 2:
		cols = int(dims[1])
		for _, d := range dims[2:] {
			taps *= int(d)
			width = int(d)
		}
	}
	return max(cols, 1), max(taps, 1), max(width, 1)
}

// Total returns the number of values of all segments.
func Total(segs []Segment) int {
	n := 0
	for _, s := range segs {
		n += s.Len
	}
	return n
}
