package report

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A thinned curve keeps its ends, its order, and its lowest and highest points.
func TestThinned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9000).Draw(t, "n")
		seed := rapid.Uint64().Draw(t, "seed")
		c := Curve{X: make(Numbers, n), Y: make(Numbers, n)}
		for i := range n {
			seed = seed*6364136223846793005 + 1442695040888963407
			c.X[i], c.Y[i] = float64(i), float64(seed>>40)
			if seed>>60 == 0 {
				c.Y[i] = math.NaN()
			}
		}
		got := c.bounded()
		if len(got.X) != len(got.Y) || len(got.X) > MaxPoints {
			t.Fatalf("%d and %d points of %d", len(got.X), len(got.Y), n)
		}
		if got.X[0] != 0 || got.X[len(got.X)-1] != float64(n-1) || !slices.IsSorted(got.X) {
			t.Fatalf("ends %v and %v of %d points", got.X[0], got.X[len(got.X)-1], n)
		}
		for _, extreme := range []func(Numbers) float64{lowest, highest} {
			if a, b := extreme(c.Y), extreme(got.Y); a != b {
				t.Fatalf("an extreme of %v became %v", a, b)
			}
		}
	})
}

func lowest(v Numbers) float64 {
	m := math.Inf(1)
	for _, x := range v {
		if x < m {
			m = x
		}
	}
	return m
}

func highest(v Numbers) float64 {
	m := math.Inf(-1)
	for _, x := range v {
		if x > m {
			m = x
		}
	}
	return m
}

// A heat map that is made smaller keeps the largest of the cells that became one.
func TestPane(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.IntRange(1, 300).Draw(t, "rows"), rapid.IntRange(1, 300).Draw(t, "cols")
		i, j := rapid.IntRange(0, rows-1).Draw(t, "i"), rapid.IntRange(0, cols-1).Draw(t, "j")
		v := make([]float64, rows*cols)
		v[i*cols+j] = 1
		p := NewPane("p", rows, cols, v, 0, 1)
		if p.Rows > MaxCells || p.Cols > MaxCells || len(p.Cells) != p.Rows*p.Cols {
			t.Fatalf("%d × %d cells, %d bytes", p.Rows, p.Cols, len(p.Cells))
		}
		for k, c := range p.Cells {
			want := byte(0)
			if k == i*p.Rows/rows*p.Cols+j*p.Cols/cols {
				want = 254
			}
			if c != want {
				t.Fatalf("cell %d of %d × %d is %d, want %d", k, rows, cols, c, want)
			}
		}
	})
	p := NewPane("", 1, 3, []float64{math.NaN(), -9, 9}, 0, 1)
	if !slices.Equal(p.Cells, Bytes{255, 0, 254}) {
		t.Errorf("no number, too small and too large are %v", p.Cells)
	}
}

// A treemap that is made smaller has the same area, and the largest parts are in it.
func TestNodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &Treemap{}
		total, groups := Value(0), rapid.IntRange(1, 3500).Draw(t, "groups")
		each := rapid.IntRange(0, 9).Draw(t, "each")
		for g := range groups {
			n := Node{Name: "g", Value: Value(g % 97)}
			for k := range each {
				n.Children = append(n.Children, Node{Name: "k", Value: Value(k)})
			}
			total += n.Value
			m.Nodes = append(m.Nodes, n)
		}
		got := m.bounded().(*Treemap)
		sum, count := Value(0), 0
		for i := range got.Nodes {
			sum += got.Nodes[i].Value
			count += got.Nodes[i].count()
		}
		if sum != total || count > MaxNodes {
			t.Fatalf("area %v of %v, %d nodes", sum, total, count)
		}
	})
}

// A histogram counts each number once, and none is lost when bins are joined.
func TestHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bins := rapid.IntRange(1, 900).Draw(t, "bins")
		v := rapid.SliceOf(rapid.Float64Range(-3, 3)).Draw(t, "values")
		h := &Histogram{Edges: Bins(-1, 1, bins)}
		h.Tally("a", append(v, math.NaN()))
		got := h.bounded().(*Histogram)
		sum := 0.0
		for _, n := range got.Counts[0].N {
			sum += n
		}
		if int(sum) != len(v) || len(got.Counts[0].N) > MaxBins || len(got.Edges) != len(got.Counts[0].N)+1 {
			t.Fatalf("%v of %d counted, %d bins, %d edges", sum, len(v), len(got.Counts[0].N), len(got.Edges))
		}
		if got.Edges[0] != -1 || got.Edges[len(got.Edges)-1] != 1 {
			t.Fatalf("edges from %v to %v", got.Edges[0], got.Edges[len(got.Edges)-1])
		}
	})
}

// Bars that stand for several show the lowest, which is what one looks for.
func TestBars(t *testing.T) {
	b := &Bars{Values: slices.Repeat(Numbers{1}, 10_000)}
	b.Values[7777] = .25
	got := b.bounded().(*Bars)
	if len(got.Values) != MaxPoints || got.Total != 10_000 || !slices.Contains(got.Values, .25) {
		t.Errorf("%d bars for %d, lowest %v", len(got.Values), got.Total, lowest(got.Values))
	}
}

func TestLabel(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"conv1.weight", "conv1.weight"},
		{"a\x00b\nc", "a\uFFFDb\uFFFDc"},
		{"abc\u202edef\u200b", "abc\uFFFDdef\uFFFD"},
		{"層.weight", "層.weight"},
		{string([]byte{0xff, 'a'}), "\uFFFDa"},
	} {
		if got := label(tt.in); got != tt.want {
			t.Errorf("label(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	if n := len([]rune(label(strings.Repeat("ä", 1<<20)))); n > maxLabel+1 {
		t.Errorf("a long name has %d letters", n)
	}
}
