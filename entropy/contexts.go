package entropy

import (
	"fmt"
	"math"

	"ropewalk/tensor"
)

// Scales are half octaves around the mean magnitude of a tensor. A context is
// the sum of the classes of row and column.
const (
	scaleReach    = 8 // classes on each side
	scaleContexts = 2*scaleReach + 1
)

// A grid is a tensor as rows of columns of taps, and the classes of rows and
// columns. The zero grid has one context.
type grid struct {
	rows, cols, taps       int
	row, col               []int // classes, -scaleReach to scaleReach
	rowSum, colSum         []float64
	rowClasses, colClasses int // that are there
}

// newGrid returns the grid of a shape: rows are axis 0, columns axis 1, taps the
// rest. A vector is one row of columns without classes, as for the coders.
func newGrid(shape tensor.Shape) grid {
	g := grid{rows: 1, cols: 1, taps: 1}
	switch {
	case len(shape) == 1:
		g.taps = int(shape[0])
	case len(shape) >= 2:
		g.rows, g.cols = int(shape[0]), int(shape[1])
		for _, d := range shape[2:] {
			g.taps *= int(d)
		}
	}
	g.row, g.col = make([]int, g.rows), make([]int, g.cols)
	g.rowSum, g.colSum = make([]float64, g.rows), make([]float64, g.cols)
	return g
}

// classify finds the classes for n weights with these magnitudes: of rows first,
// then of columns, of the magnitudes over what the row expects.
func (g *grid) classify(n int, magnitude func(i int) float64) {
	if n == 0 {
		return
	}
	clear(g.rowSum)
	clear(g.colSum)
	total := 0.0
	for i := range n {
		m := magnitude(i)
		g.rowSum[i/(g.cols*g.taps)] += m
		total += m
	}
	mean := total / float64(n)
	g.rowClasses = classesOf(g.row, g.rowSum, mean*float64(g.cols*g.taps))
	for i := range n {
		g.colSum[i/g.taps%g.cols] += magnitude(i) * math.Exp2(-float64(g.row[i/(g.cols*g.taps)])/2)
	}
	total = 0
	for _, s := range g.colSum {
		total += s
	}
	g.colClasses = classesOf(g.col, g.colSum, total/float64(g.cols))
}

// classesOf sets the class of each sum: half octaves from the mean. It returns
// how many different ones there are.
func classesOf(class []int, sums []float64, mean float64) int {
	var used [scaleContexts]bool
	n := 0
	for i, s := range sums {
		c := -scaleReach
		switch {
		case mean == 0:
			c = 0
		case s > 0:
			c = int(math.Round(min(max(2*math.Log2(s/mean), -scaleReach), scaleReach)))
		}
		class[i] = c
		if !used[c+scaleReach] {
			used[c+scaleReach] = true
			n++
		}
	}
	return n
}

// A gridWalk gives the contexts of one weight after the other.
type gridWalk struct {
	g             *grid
	row, col, tap int
	context       int
}

// walk begins at weight i.
func (g *grid) walk(i int) gridWalk {
	w := gridWalk{g: g}
	if g.row == nil {
		return w
	}
	w.tap, w.col, w.row = i%g.taps, i/g.taps%g.cols, i/(g.taps*g.cols)
	w.set()
	return w
}

func (w *gridWalk) set() {
	w.context = min(max(w.g.row[w.row]+w.g.col[w.col], -scaleReach), scaleReach) + scaleReach
}

// next returns the context of the weight and goes on.
func (w *gridWalk) next() int {
	c := w.context
	if w.g.row == nil {
		return c
	}
	if w.tap++; w.tap < w.g.taps {
		return c
	}
	w.tap = 0
	if w.col++; w.col == w.g.cols {
		w.col = 0
		w.row++
	}
	if w.row < w.g.rows {
		w.set()
	}
	return c
}

// Estimate returns how many bits a coder of this model needs for symbols of
// levels, about: the ideal code of each context, the classes of rows and columns
// by their own entropy, and half a logarithm of its count for each frequency that
// a coder has to learn (Rissanen). Levels themselves are not counted.
func Estimate(l Layer, levels []float64, symbols []uint16, o *RateOptions) (float64, error) {
	v, err := NewLevels(levels)
	if err != nil {
		return 0, err
	}
	r, err := NewRate([]Layer{l}, []*Levels{v}, o)
	if err != nil {
		return 0, err
	}
	t := r.tensors[0]
	if t.n != len(symbols) {
		return 0, fmt.Errorf("tensor %q of shape %v has %d symbols, want %d", l.Name, l.Shape, len(symbols), t.n)
	}
	for i, s := range symbols {
		if int(s) >= len(levels) {
			return 0, fmt.Errorf("tensor %q: symbol %d is %d, there are %d levels", l.Name, i, s, len(levels))
		}
	}
	if r.o.Model == Blocks {
		order, err := l.Scan.Order(l.Shape)
		if err != nil {
			return 0, err
		}
		seq := symbols
		if order != nil {
			seq = make([]uint16, len(symbols))
			for i, at := range order {
				seq[i] = symbols[at]
			}
		}
		e := Measure(r.o.Order, seq)
		return e.PerWeight()*float64(t.n) + learning(float64(e.Distinct), float64(e.Blocks)), nil
	}
	if r.o.Model == RowColumn {
		origin := v.origin()
		t.grid.classify(t.n, func(i int) float64 { return math.Abs(levels[symbols[i]] - origin) })
	}
	k := max(len(levels), 2)
	counts := make([]float64, t.contexts*k)
	walk := t.grid.walk(0)
	for _, s := range symbols {
		counts[walk.next()*k+int(s)]++
	}
	bits := 0.0
	for c := 0; c < len(counts); c += k {
		n, used := 0.0, 0.0
		for _, x := range counts[c : c+k] {
			n += x
			if x > 0 {
				used++
			}
		}
		for _, x := range counts[c : c+k] {
			if x > 0 {
				bits += x * math.Log2(n/x)
			}
		}
		bits += learning(used, n)
	}
	if r.o.Model == RowColumn {
		bits += classBits(t.grid.row) + classBits(t.grid.col)
	}
	return bits, nil
}

// learning returns what n symbols, of so many kinds, cost beyond their entropy.
func learning(kinds, n float64) float64 {
	if n < 1 {
		return 0
	}
	return max(kinds-1, 0) / 2 * math.Log2(n)
}

// classBits returns what classes cost, by their own entropy.
func classBits(class []int) float64 {
	s := make([]uint16, len(class))
	for i, c := range class {
		s[i] = uint16(c + scaleReach)
	}
	e := Measure(1, s)
	return e.Bits*float64(e.Blocks) + learning(float64(e.Distinct), float64(e.Blocks))
}
