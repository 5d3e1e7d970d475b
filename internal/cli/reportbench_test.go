package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ropewalk/internal/report"
	"ropewalk/internal/suite"
)

// benchOf is a result of one table, with a line for each combination of two of each.
func benchOf(down, across int, charts ...suite.Chart) *benchResult {
	t := benchTable{Name: "t", Title: "T", Each: []string{"p", "q"}, Columns: []benchColumn{{Name: "a", Title: "A"}, {Name: "b", Title: "B"}}, Charts: charts}
	s := benchSuite{Name: "s", Tables: []benchTable{t}}
	for i := range down {
		for k := range across {
			values := map[string]suite.Range{"a": {Median: float64(i)}, "b": {Median: float64(k)}}
			s.Lines = append(s.Lines, suite.Line{Table: "t", Row: "r", Each: []string{fmt.Sprint("p", i), fmt.Sprint("q", k)}, Seeds: 1, Values: values})
		}
	}
	return &benchResult{Suites: []benchSuite{s}}
}

// heatmaps returns the matrices of a page.
func heatmaps(p *pager) (list []*report.Heatmap) {
	for _, s := range p.Content {
		for _, b := range s.Blocks {
			for _, c := range b.Charts {
				list = append(list, c.Data.(*report.Heatmap))
			}
		}
	}
	return list
}

// A result of strangers may ask for a matrix of any size: what is drawn is bounded, and each
// cell has its own text.
func TestBenchPageIsBounded(t *testing.T) {
	for _, tt := range []struct{ values, down, across, cols int }{
		{2, 3, 4, 8},
		{40000, 2, 3, 128},
		{3, 70, 43, 126},
		{1, 2, 100, 64},
	} {
		values := slices.Repeat([]string{"a", "b"}, tt.values/2+1)[:tt.values]
		p := newPage("bench", "")
		p.bench(benchOf(tt.down, tt.across, suite.Chart{Kind: suite.Matrix, Down: "p", Values: values, High: 1}), "")
		h := heatmaps(p)
		if len(h) != 1 {
			t.Fatalf("%+v: %d charts, want 1", tt, len(h))
		}
		pane, labels := h[0].Panes[0], h[0].Cells
		if len(labels.Rows) != min(tt.down, 64) || len(labels.Cols) != tt.cols || pane.Rows != len(labels.Rows) || pane.Cols != tt.cols || pane.TotalCols != 0 || len(labels.Text) != pane.Rows*pane.Cols {
			t.Errorf("%+v: %d rows, %d columns, %d texts, a pane of %d×%d", tt, len(labels.Rows), len(labels.Cols), len(labels.Text), pane.Rows, pane.Cols)
		}
	}

	// So are how many there are, and what they are called.
	r := benchOf(2, 2, slices.Repeat([]suite.Chart{{Kind: suite.Matrix, Down: "p", Values: []string{"a", "b"}, High: 1}}, 1000)...)
	r.Suites[0].Lines[0].Each[1] = strings.Repeat("q", 1<<20)
	r.Suites = append(r.Suites, r.Suites[0])
	p := newPage("bench", "")
	p.bench(r, "")
	h := heatmaps(p)
	if len(h) != mostBenchCharts {
		t.Errorf("%d charts, want %d", len(h), mostBenchCharts)
	}
	if n := len(h[0].Cells.Cols[0]); n > 2*mostWord {
		t.Errorf("a name of %d bytes", n)
	}
}

// Rows beyond those of a table are counted, and charts are of the rows that are shown.
func TestBenchPageOfManyRows(t *testing.T) {
	p := newPage("bench", "")
	p.bench(benchOf(report.MaxRows+7, 1, suite.Chart{Kind: suite.Curves, X: "a", Y: "b"}), "")
	var tables []*report.Table
	points := 0
	for _, b := range p.Content[0].Blocks {
		if b.Table != nil {
			tables = append(tables, b.Table)
		}
		for _, c := range b.Charts {
			points += len(c.Data.(*report.Scatter).Groups[0].X)
		}
	}
	if len(tables) != 1 || len(tables[0].Rows) != report.MaxRows || tables[0].Left != 7 || points != report.MaxRows {
		t.Errorf("%d tables, %d points, want one of %d and 7 that are left, and as many points", len(tables), points, report.MaxRows)
	}
}

// A suite without a title is called by its name.
func TestBenchPageTitle(t *testing.T) {
	r := benchOf(1, 1)
	for title, want := range map[string]string{"": "s", "Sizes": "Sizes"} {
		r.Suites[0].Title = title
		if got := (&env{}).benchPage(r).Title; got != want {
			t.Errorf("title %q of a suite that is called %q, want %q", got, title, want)
		}
	}
}
