package mix

import (
	"errors"

	"ropewalk/internal/codec"
)

// ErrCorrupt reports coded bytes that no encoder writes.
var ErrCorrupt = errors.New("mix: damaged block")

const (
	maxColStats = 1 << 16 // columns that get statistics of their own
	maxTapStats = 64
)

// place is where in its array a value lies, and what lies before it. cur
// indexes the block; offsets below base belong to other arrays.
type place struct {
	seg       codec.Segment
	cur, base int
	col, tap  int
}

func startOf(s codec.Segment, base int) place {
	inRow := s.Start % s.Row()
	return place{seg: s, cur: base, base: base, col: inRow / s.Taps, tap: inRow % s.Taps}
}

// advance moves to the next value and reports whether a new row begins.
func (p *place) advance() bool {
	p.cur++
	if p.tap++; p.tap < p.seg.Taps {
		return false
	}
	p.tap = 0
	if p.col++; p.col < p.seg.Cols {
		return false
	}
	p.col = 0
	return true
}

// back returns the index of the value n before this one, or -1 if that is not
// in the same run.
func (p *place) back(n int) int {
	if i := p.cur - n; i >= p.base {
		return i
	}
	return -1
}

// mean is a running mean of small integers with a prior.
type mean struct{ sum, n int32 }

const meanLimit = 30000

func (m *mean) add(x int32) {
	m.sum += x
	m.n++
	if m.n > meanLimit {
		m.sum /= 2
		m.n /= 2
	}
}

// with returns the mean as if prior had been seen weight times before.
func (m *mean) with(prior, weight int32) int32 { return (m.sum + prior*weight) / (m.n + weight) }

// scales are the running means of a model: of all values, and of each column,
// tap, and the current row of a segment.
type scales struct {
	all, row mean
	cols     []mean
	taps     [maxTapStats]mean
}

// newScales returns the means of a block. all is what is assumed of it.
func newScales(segs []codec.Segment, all mean) scales {
	cols := 1
	for _, s := range segs {
		cols = max(cols, min(s.Cols, maxColStats))
	}
	return scales{all: all, cols: make([]mean, cols)}
}

// begin forgets what belongs to another segment.
func (s *scales) begin(seg codec.Segment) {
	s.row = mean{}
	clear(s.cols[:min(seg.Cols, len(s.cols))])
	clear(s.taps[:])
}

// at returns the means of the row, column and tap of a place, each drawn
// towards g as far as it has seen little.
func (s *scales) at(p *place, g int32) (row, col, tap int32) {
	return s.row.with(g, 6), s.cols[s.col(p)].with(g, 4), s.taps[s.tap(p)].with(g, 16)
}

// add counts a value at a place.
func (s *scales) add(p *place, x int32) {
	s.all.add(x)
	s.row.add(x)
	s.cols[s.col(p)].add(x)
	s.taps[s.tap(p)].add(x)
}

func (s *scales) col(p *place) int { return min(p.col, len(s.cols)-1) }
func (s *scales) tap(p *place) int { return min(p.tap, maxTapStats-1) }

// clip9 maps a value to 0..9: below -4, -4 … 4, or above.
func clip9(v int) uint32 { return uint32(min(max(v, -5), 4) + 5) }
