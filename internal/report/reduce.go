package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of a page. They keep it below 5 MB, and quick to open.
const (
	MaxRows   = 3000 // of a table
	MaxCells  = 128  // rows and columns of a heat map
	MaxPoints = 2000 // of a curve, of a cloud, and bars
	MaxNodes  = 3000 // of a treemap
	MaxBins   = 256  // of a histogram
	MaxTicks  = 256
	MaxCurves = 24
	maxLabel  = 160 // letters of a name
)

// pooled makes a matrix smaller: each cell is the largest of the numbers that it stands
// for, NaN if none of them is finite.
func pooled(rows, cols int, v []float64, toRows, toCols int) []float64 {
	if rows == toRows && cols == toCols {
		return v
	}
	out := slices.Repeat([]float64{math.NaN()}, toRows*toCols)
	for i := range rows {
		for j := range cols {
			x, at := v[i*cols+j], i*toRows/rows*toCols+j*toCols/cols
			if x-x == 0 && !(out[at] >= x) {
				out[at] = x
			}
		}
	}
	return out
}

// thinned returns which points of a curve are kept: the first and last, and the lowest
// and highest of each stretch, so that no peak is lost.
func thinned(y []float64) []int {
	if len(y) <= MaxPoints {
		return nil // all
	}
	const stretches = MaxPoints/2 - 1
	keep := []int{0}
	for s := range stretches {
		from, to := s*len(y)/stretches, (s+1)*len(y)/stretches
		low, high := -1, -1
		for i := from; i < to; i++ {
			if y[i] != y[i] {
				continue
			}
			if low < 0 || y[i] < y[low] {
				low = i
			}
			if high < 0 || y[i] > y[high] {
				high = i
			}
		}
		if low < 0 {
			low, high = from, from
		}
		keep = append(keep, min(low, high), max(low, high))
	}
	return slices.Compact(append(keep, len(y)-1))
}

func picked[T any](v []T, at []int) []T {
	if at == nil || v == nil {
		return v
	}
	out := make([]T, 0, len(at))
	for _, i := range at {
		if i < len(v) {
			out = append(out, v[i])
		}
	}
	return out
}

func (c Curve) bounded() Curve {
	c.Name = label(c.Name)
	n := min(len(c.X), len(c.Y))
	at := thinned(c.Y[:n])
	c.X, c.Y = picked(c.X[:n], at), picked(c.Y[:n], at)
	c.Labels = labels(picked(c.Labels, at))
	return c
}

func curves(list []Curve) []Curve {
	out := make([]Curve, 0, min(len(list), MaxCurves))
	for _, c := range list[:cap(out)] {
		out = append(out, c.bounded())
	}
	return out
}

func (l *Lines) bounded() Data {
	c := *l
	c.X, c.Y, c.Right = label(l.X), label(l.Y), label(l.Right)
	c.Curves = curves(l.Curves)
	return &c
}

func (s *Scatter) bounded() Data {
	c := *s
	c.X, c.Y = label(s.X), label(s.Y)
	c.Groups = curves(s.Groups)
	return &c
}

func (h *Histogram) bounded() Data {
	c := *h
	c.Counts = nil
	step := 1 + (len(h.Edges)-2)/MaxBins
	for _, n := range h.Counts[:min(len(h.Counts), 4)] {
		sums := make(Numbers, 0, MaxBins)
		for i := 0; i < len(n.N); i += step {
			sum := 0.0
			for _, x := range n.N[i:min(i+step, len(n.N))] {
				sum += x
			}
			sums = append(sums, sum)
		}
		c.Counts = append(c.Counts, Count{label(n.Name), sums})
	}
	if step > 1 {
		c.Edges = nil
		for i := 0; i < len(h.Edges); i += step {
			c.Edges = append(c.Edges, h.Edges[i])
		}
		if (len(h.Edges)-1)%step != 0 {
			c.Edges = append(c.Edges, h.Edges[len(h.Edges)-1])
		}
	}
	if len(c.Ticks) > MaxTicks {
		c.Ticks = nil // a line at every pixel says nothing
		c.TickName = ""
	}
	return &c
}

func (h *Heatmap) bounded() Data {
	c := *h
	c.Panes = slices.Clone(h.Panes)
	for i := range c.Panes {
		c.Panes[i].Name = label(c.Panes[i].Name)
	}
	if h.Cells != nil {
		c.Cells = &Labels{labels(h.Cells.Rows), labels(h.Cells.Cols), labels(h.Cells.Text)} // rows and columns beyond MaxCells have none
	}
	return &c
}

func (b *Bars) bounded() Data {
	c := *b
	c.X, c.Y = label(b.X), label(b.Y)
	c.Names = labels(b.Names)
	if len(b.Values) <= MaxPoints {
		return &c
	}
	c.Total = len(b.Values)
	c.Values, c.Names = make(Numbers, MaxPoints), nil
	for i := range c.Values {
		from, to := i*len(b.Values)/MaxPoints, (i+1)*len(b.Values)/MaxPoints
		c.Values[i] = slices.Min(b.Values[from:to])
	}
	return &c
}

func (t *Treemap) bounded() Data {
	c := *t
	c.Unit, c.Color = label(t.Unit), label(t.Color)
	c.Nodes = nodes(t.Nodes, MaxNodes)
	return &c
}

// nodes keeps at most that many nodes in all: of each level the largest, with one for
// the rest, so that areas are true.
func nodes(list []Node, most int) []Node {
	total := 0
	for i := range list {
		total += list[i].count()
	}
	out := make([]Node, 0, min(len(list), most))
	if total <= most {
		for _, n := range list {
			n.Name, n.Note = label(n.Name), label(n.Note)
			n.Children = nodes(n.Children, most)
			out = append(out, n)
		}
		return out
	}
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b Node) int { return cmp.Compare(b.Value, a.Value) })
	keep := min(len(sorted), max(1, most/2))
	room := most - keep - 1
	for i, n := range sorted[:keep] {
		n.Name, n.Note = label(n.Name), label(n.Note)
		share := room / (keep - i)
		if c := n.count() - 1; c > 0 {
			if share < 2 {
				n.Children = nil
			} else {
				n.Children = nodes(n.Children, min(share, c))
			}
			room -= min(share, c)
		}
		out = append(out, n)
	}
	if rest := sorted[keep:]; len(rest) > 0 {
		sum := Value(0)
		for _, n := range rest {
			sum += n.Value
		}
		out = append(out, Node{Name: fmt.Sprintf("%d smaller ones", len(rest)), Value: sum})
	}
	return out
}

func (n *Node) count() int {
	total := 1
	for i := range n.Children {
		total += n.Children[i].count()
	}
	return total
}

// label makes text of strangers fit to be shown: valid, of bounded length, without
// control characters or marks that turn the direction of writing.
func label(s string) string {
	if len(s) > 8*maxLabel { // no rune is longer than 4 bytes
		s = s[:4*maxLabel] + s[len(s)-4*maxLabel:]
	}
	s = sane(s)
	if r := []rune(s); len(r) > maxLabel {
		return string(r[:maxLabel/2]) + "…" + string(r[len(r)-maxLabel/2:])
	}
	return s
}

// sane replaces what is not valid, or changes how the rest is shown.
func sane(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

func labels(list []string) []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = label(s)
	}
	return out
}

// Bins cuts the stretch from low to high into n bins of one width.
func Bins(low, high float64, n int) Numbers {
	e := make(Numbers, n+1)
	for i := range e {
		e[i] = low + (high-low)*float64(i)/float64(n)
	}
	return e
}

// Tally counts values in bins of one width. What lies outside counts in the outermost;
// what is no number, nowhere.
func (h *Histogram) Tally(name string, values []float64) {
	n := len(h.Edges) - 1
	c := make(Numbers, n)
	low, high := h.Edges[0], h.Edges[n]
	for _, x := range values {
		if x != x || high <= low {
			continue
		}
		at := math.Floor(float64(n) * (x - low) / (high - low))
		c[int(min(float64(n-1), max(0, at)))]++
	}
	h.Counts = append(h.Counts, Count{name, c})
}
