package lanes

import "ropewalk/internal/codec"

// A shape is a segment as rows that lanes can take turns in.
type shape struct {
	rows, row  int // number of rows, of which the first and last may be cut; values in a whole one
	cols, taps int
	start      int // of the segment in its first row
	n          int // values
}

// foldLen is the length of segments of few rows from which they are folded.
const foldLen = 1 << 14

// shapeOf returns the shape of a segment. If it has fewer rows than there are
// lanes, most lanes would idle: such a segment is folded into a row for each
// lane, and keeps no structure but its order.
func shapeOf(s codec.Segment, lanes int) shape {
	row := s.Row()
	g := shape{row: row, cols: s.Cols, taps: s.Taps, start: s.Start % row, n: s.Len}
	g.rows = (g.start + s.Len + row - 1) / row
	if g.rows < lanes && (g.rows == 1 || s.Len >= foldLen) {
		piece := (s.Len + lanes - 1) / lanes
		g = shape{row: piece, cols: piece, taps: 1, n: s.Len, rows: (s.Len + piece - 1) / piece}
	}
	return g
}

// A span is a range of positions in the rows of a step, for a range of lanes.
type span struct{ from, to, first, last int }

// spans returns the spans of step i, in which lane l has row i*lanes+l. Only
// the first and the last row of a segment may be incomplete, so there are at
// most three, some of them empty.
func (g *shape) spans(i, lanes int) [3]span {
	first := i * lanes
	active := min(lanes, g.rows-first)
	lo, hi := 0, g.row
	if i == 0 {
		lo = g.start
	}
	if first+active == g.rows {
		hi = g.start + g.n - (g.rows-1)*g.row
	}
	switch {
	case active == 1:
		return [3]span{{lo, hi, 0, 1}}
	case lo <= hi:
		return [3]span{{0, lo, 1, active}, {lo, hi, 0, active}, {hi, g.row, 0, active - 1}}
	default:
		return [3]span{{0, hi, 1, active}, {hi, lo, 1, active - 1}, {lo, g.row, 0, active - 1}}
	}
}

// steps returns the number of steps.
func (g *shape) steps(lanes int) int { return (g.rows + lanes - 1) / lanes }

// at returns where in the segment position 0 of the row of a lane lies.
func (g *shape) at(step, lanes, lane int) int { return (step*lanes+lane)*g.row - g.start }

// span returns the range of values of row r and the position of the first.
func (g *shape) span(r int) (from, to, pos int) {
	from = r*g.row - g.start
	if from < 0 {
		pos, from = -from, 0
	}
	return from, min((r+1)*g.row-g.start, g.n), pos
}

const maxLanes = 8

// lanesOf returns the number of lanes of a block: every lane costs bytes.
func lanesOf(symbols int) int {
	switch {
	case symbols < 1<<13:
		return 1
	case symbols < 1<<15:
		return 4
	}
	return maxLanes
}

// structured reports whether columns and taps may have classes, and values be
// predicted: whether a segment is large enough to say anything about them.
func (g *shape) structured() bool { return g.cols <= g.n && g.taps <= min(maxTaps, g.n) }
