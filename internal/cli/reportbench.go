package cli

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"ropewalk/internal/report"
	"ropewalk/internal/suite"
)

// benchTable is how a table of a suite is shown.
type benchTable struct {
	Name    string        `json:"name"`
	Title   string        `json:"title"`
	About   string        `json:"about,omitempty"`
	Each    []string      `json:"each,omitempty" about:"what there are rows for, in the order of the values in lines"`
	Columns []benchColumn `json:"columns"`
	Charts  []suite.Chart `json:"charts,omitempty" about:"how a page draws it"`
}

type benchColumn struct {
	Name   string `json:"name"`
	Title  string `json:"title"`
	Digits int    `json:"digits" about:"behind the point"`
	Time   bool   `json:"time,omitempty" about:"it is another number on another machine or day"`
}

// tablesOf describes the tables of a suite.
func tablesOf(s *suite.Suite) []benchTable {
	var list []benchTable
	for i := range s.Tables {
		t := &s.Tables[i]
		b := benchTable{Name: t.Name, Title: cmp.Or(t.Title, t.Name), About: strings.TrimSpace(t.About), Charts: t.Charts}
		for _, e := range t.Each {
			for k := range e {
				b.Each = append(b.Each, k)
			}
		}
		for _, c := range t.Columns {
			b.Columns = append(b.Columns, benchColumn{c.Name, cmp.Or(c.Title, c.Name), c.Digits, c.Time})
		}
		list = append(list, b)
	}
	return list
}

// benchPage is the page of bench.
func (e *env) benchPage(r *benchResult) *report.Page {
	title := "Suites"
	if len(r.Suites) == 1 {
		title = cmp.Or(r.Suites[0].Title, r.Suites[0].Name)
	}
	p := newPage("bench", title)
	p.bench(r, e.command())
	p.claims()
	return p.Page
}

// bench shows the tables of suites.
func (p *pager) bench(r *benchResult, command string) {
	about := p.about
	for i := range r.Suites {
		s := &r.Suites[i]
		if len(r.Suites) > 1 || about != "" {
			p.about = cmp.Or(s.Title, s.Name)
		}
		if s.About != "" || len(s.Missing) > 0 || len(s.Failed) > 0 || r.Quick {
			p.benchHead(r, s)
		}
		lines := s.lines()
		shown := 0
		for k := range s.Tables {
			t := s.Tables[k]
			t.Columns = t.Columns[:min(len(t.Columns), mostValueColumns)]
			t.Each = t.Each[:min(len(t.Each), mostEach)]
			if p.benchTable(&t, lines[t.Name]) {
				shown++
			}
			delete(lines, t.Name) // tables have names of their own
		}
		c := report.Claim{Text: fmt.Sprintf("The tables of suite %s: medians over seeds, and the least and the most where they differ", s.Name), Value: count(s.Runs, "run"), Command: command}
		if command == "" {
			c.Command = shellWords("ropewalk", "bench", s.Name)
		}
		c.Assumption = "the same seeds give the same numbers, but for times"
		if shown > 0 {
			p.ledger = append(p.ledger, c)
		}
	}
	p.about = about
}

// lines returns the lines of each table that there are results of. They may be those of
// somebody else, so their words are cut: charts repeat them.
func (s *benchSuite) lines() map[string][]*suite.Line {
	cut := func(text string) string {
		if len(text) > mostWord {
			return text[:mostWord] + "…"
		}
		return text
	}
	lines := map[string][]*suite.Line{}
	for i := range s.Lines {
		l := s.Lines[i]
		if l.Seeds <= 0 && l.Failed <= 0 {
			continue
		}
		l.Row, l.What = cut(l.Row), cut(l.What)
		l.Each = slices.Clone(l.Each[:min(len(l.Each), mostEach)])
		for k, v := range l.Each {
			l.Each[k] = cut(v)
		}
		lines[l.Table] = append(lines[l.Table], &l)
	}
	return lines
}

func (p *pager) benchHead(r *benchResult, s *benchSuite) {
	sec := p.section("Suite " + s.Name)
	if s.About != "" {
		sec.Text(s.About)
	}
	if r.Quick {
		sec.Text("Measured with --quick: fewer rows, one seed, short trainings. It shows that all works, and not how well.")
	}
	if len(s.Missing) > 0 {
		t := &report.Table{Title: "Left out for want of data", Columns: []report.Column{{Name: "data", Text: true}, {Name: "how to get it", Text: true}}}
		for _, k := range slices.Sorted(maps.Keys(s.Missing)) {
			t.Row(report.Name(k), report.Text(s.Missing[k]))
		}
		sec.Table(t)
	}
	if len(s.Failed) > 0 {
		t := &report.Table{Title: "Failed", Columns: []report.Column{{Name: "run and reason", Text: true}}}
		for _, f := range s.Failed {
			t.Row(report.Cell{Text: f, Tone: report.Bad})
		}
		sec.Table(t)
	}
}

// benchTable shows a table of which there are results, and its charts, which are of the
// rows that are shown.
func (p *pager) benchTable(t *benchTable, lines []*suite.Line) bool {
	lines = slices.DeleteFunc(lines, func(l *suite.Line) bool { return len(l.Each) < len(t.Each) })
	if len(lines) == 0 {
		return false
	}
	rows := &report.Table{Left: max(0, len(lines)-report.MaxRows)}
	lines = lines[:len(lines)-rows.Left]
	sec := p.section(t.Title)
	if t.About != "" {
		sec.Text(t.About)
	}
	var charts []*report.Chart
	for i := range t.Charts[:min(len(t.Charts), mostBenchCharts-p.benchCharts)] {
		c := &t.Charts[i]
		var one *report.Chart
		if c.Kind == suite.Curves {
			one = t.curves(c, lines)
		} else {
			one = t.matrix(c, lines)
		}
		if one != nil {
			charts = append(charts, one)
		}
	}
	if len(charts) > 0 {
		sec.Chart(charts...)
		p.benchCharts += len(charts)
	}
	for _, k := range t.Each {
		rows.Columns = append(rows.Columns, report.Column{Name: k, Text: true})
	}
	rows.Columns = append(rows.Columns, report.Column{Name: "row", Text: true})
	for _, c := range t.Columns {
		rows.Columns = append(rows.Columns, report.Column{Name: c.Title})
	}
	rows.Columns = append(rows.Columns, report.Column{Name: "seeds"})
	for _, l := range lines {
		var cells []report.Cell
		for i := range t.Each {
			cells = append(cells, report.Name(l.Each[i]))
		}
		cells = append(cells, report.Text(cmp.Or(l.What, l.Row)))
		for _, c := range t.Columns {
			v, ok := l.Values[c.Name]
			if !ok {
				cells = append(cells, noCell)
				continue
			}
			cells = append(cells, report.Number(c.text(v), v.Median))
		}
		n := numberCell(int64(l.Seeds))
		if l.Failed > 0 {
			n.Text, n.Tone = fmt.Sprintf("%d, %d failed", l.Seeds, l.Failed), report.Warn
		}
		rows.Row(append(cells, n)...)
	}
	sec.Table(rows)
	return true
}

// text writes a number over seeds.
func (c *benchColumn) text(r suite.Range) string {
	whole := func(x float64) bool { return x == math.Trunc(x) && math.Abs(x) < 1<<53 }
	switch {
	case c.Digits != 0 || !whole(r.Median) || !whole(r.Least) || !whole(r.Most):
		return r.Text(c.digits())
	case r.Least == r.Most:
		return commas(int64(r.Median))
	}
	return fmt.Sprintf("%s (%s – %s)", commas(int64(r.Median)), commas(int64(r.Least)), commas(int64(r.Most)))
}

// digits are behind the point; a result may be that of somebody else.
func (c *benchColumn) digits() int { return min(max(c.Digits, 0), 12) }

func (t *benchTable) column(name string) *benchColumn {
	if i := slices.IndexFunc(t.Columns, func(c benchColumn) bool { return c.Name == name }); i >= 0 {
		return &t.Columns[i]
	}
	return &benchColumn{Name: name, Title: name}
}

// but names what a line is of, without one of each.
func (t *benchTable) but(l *suite.Line, without string) string {
	var words []string
	for i, k := range t.Each {
		if k != without {
			words = append(words, l.Each[i])
		}
	}
	return strings.Join(words, ", ")
}

// of returns the value that a line has of one of each, or the name of its row.
func (t *benchTable) of(l *suite.Line, each string) string {
	if i := slices.Index(t.Each, each); i >= 0 {
		return l.Each[i]
	}
	return cmp.Or(l.What, l.Row)
}

// curves draws two columns against each other: as points, with a colour for each row, or as
// a curve for each combination of all but what it goes through.
func (t *benchTable) curves(c *suite.Chart, lines []*suite.Line) *report.Chart {
	several := slices.ContainsFunc(lines, func(l *suite.Line) bool { return l.Row != lines[0].Row })
	var curves []report.Curve
	index := map[string]int{}
	for _, l := range lines {
		x, hasX := l.Values[c.X]
		y, hasY := l.Values[c.Y]
		if !hasX || !hasY || c.LogX && !(x.Median > 0) || c.LogY && !(y.Median > 0) {
			continue
		}
		name, label := cmp.Or(l.What, l.Row), t.but(l, "")
		if c.Over != "" {
			if name, label = t.but(l, c.Over), c.Over+" = "+t.of(l, c.Over); several {
				name = strings.TrimPrefix(name+", "+cmp.Or(l.What, l.Row), ", ")
			}
		}
		name = cmp.Or(name, t.Title)
		i, ok := index[name]
		if !ok {
			i = len(curves)
			index[name] = i
			curves = append(curves, report.Curve{Name: name, Points: c.Over != ""})
		}
		k := &curves[i]
		k.X, k.Y, k.Labels = append(k.X, x.Median), append(k.Y, y.Median), append(k.Labels, label)
	}
	if len(curves) == 0 {
		return nil
	}
	chart := &report.Chart{Title: cmp.Or(c.Title, t.Title), Caption: "Medians over seeds; each point is a row of the table.", Wide: true}
	x, y := t.column(c.X).Title, t.column(c.Y).Title
	if c.Over == "" {
		chart.Data = &report.Scatter{X: x, Y: y, LogX: c.LogX, LogY: c.LogY, Groups: curves}
		return chart
	}
	for i := range curves {
		byX(&curves[i])
	}
	chart.Caption = fmt.Sprintf("Medians over seeds; each point is another %s.", c.Over)
	chart.Data = &report.Lines{X: x, Y: y, LogX: c.LogX, LogY: c.LogY, Curves: curves}
	return chart
}

// byX puts the points of a curve in the order of their places.
func byX(c *report.Curve) {
	order := make([]int, len(c.X))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(c.X[a], c.X[b]) })
	x, y, labels := slices.Clone(c.X), slices.Clone(c.Y), slices.Clone(c.Labels)
	for to, from := range order {
		c.X[to], c.Y[to], c.Labels[to] = x[from], y[from], labels[from]
	}
}

// matrix draws columns as colours, with what was done at the left.
func (t *benchTable) matrix(c *suite.Chart, lines []*suite.Line) *report.Chart {
	low, high := min(c.Low, c.High), max(c.Low, c.High)
	if high <= low || len(c.Values) == 0 {
		return nil
	}
	several := slices.ContainsFunc(lines, func(l *suite.Line) bool { return l.Row != lines[0].Row })
	var rows, cols []string
	seenRows, seenCols := map[string]bool{}, map[string]bool{}
	at := map[[2]string]*suite.Line{}
	for _, l := range lines {
		row, col := t.of(l, c.Down), t.but(l, c.Down)
		if c.Down != "" && several {
			col = strings.TrimPrefix(col+", "+cmp.Or(l.What, l.Row), ", ")
		}
		if !seenRows[row] {
			rows = append(rows, row)
		}
		if !seenCols[col] {
			cols = append(cols, col)
		}
		seenRows[row], seenCols[col] = true, true
		at[[2]string{row, col}] = l
	}
	// Cells have text, so they are shown as they are or not at all.
	const most = 64
	shown := c.Values[:min(len(c.Values), report.MaxCells)]
	rows, cols = rows[:min(len(rows), most)], cols[:min(len(cols), most, report.MaxCells/len(shown))]
	columns := make([]*benchColumn, len(shown))
	for i, v := range shown {
		columns[i] = t.column(v)
	}
	labels := &report.Labels{Rows: rows}
	for _, col := range cols {
		for _, v := range columns {
			name := v.Title
			if len(cols) > 1 && len(shown) > 1 {
				name = col + ": " + name
			} else if len(cols) > 1 {
				name = col
			}
			labels.Cols = append(labels.Cols, name)
		}
	}
	var values []float64
	for _, row := range rows {
		for _, col := range cols {
			for _, v := range columns {
				x, text := math.NaN(), ""
				if l := at[[2]string{row, col}]; l != nil {
					if r, ok := l.Values[v.Name]; ok {
						x = r.Median
						text = strconv.FormatFloat(x, 'f', min(v.digits(), 1), 64)
					}
				}
				if c.Low > c.High {
					x = low + high - x // the scale is the other way round
				}
				values, labels.Text = append(values, x), append(labels.Text, text)
			}
		}
	}
	return &report.Chart{Title: cmp.Or(c.Title, "Attacks"), Caption: "Medians over seeds.", Wide: len(labels.Cols) > 6, Data: &report.Heatmap{
		Low: report.Value(c.Low), High: report.Value(c.High), Panes: []report.Pane{report.NewPane("", len(rows), len(labels.Cols), values, low, high)}, Cells: labels,
	}}
}

// records shows results of a bench as they are written down, run by run, while it goes on,
// too. Their tables, with medians and titles, are on the page of the bench.
func (p *pager) records(list []suite.Record) {
	if len(list) == 0 {
		return
	}
	var tables []string
	columns, runs := map[string][]string{}, map[string][]*suite.Record{}
	failed, seconds := 0, 0.0
	for i := range list {
		r := &list[i]
		if runs[r.Table] == nil {
			tables = append(tables, r.Table)
		}
		runs[r.Table] = append(runs[r.Table], r)
		for k := range r.Values {
			if !slices.Contains(columns[r.Table], k) && len(columns[r.Table]) < mostValueColumns {
				columns[r.Table] = append(columns[r.Table], k)
			}
		}
		if r.Failed != "" {
			failed++
		}
		seconds += r.Seconds
	}
	s := p.section("Runs of suite " + list[0].Suite)
	s.Facts(fact("runs", "%s", commas(int64(len(list)))), fact("tables", "%s", commas(int64(len(tables)))), fact("failed", "%s", commas(int64(failed))), fact("time of all", "%.1f s", seconds))
	for _, name := range tables[:min(len(tables), mostValueTables)] {
		slices.Sort(columns[name])
		t := &report.Table{Title: name, Columns: []report.Column{{Name: "row", Text: true}, {Name: "seed"}}}
		for _, k := range columns[name] {
			t.Columns = append(t.Columns, report.Column{Name: k})
		}
		t.Columns = append(t.Columns, report.Column{Name: "seconds"}, report.Column{Name: "note", Text: true})
		for _, r := range runs[name] {
			row := []report.Cell{report.Name(r.Row), report.Number(fmt.Sprint(r.Seed), float64(r.Seed))}
			for _, k := range columns[name] {
				c := noCell
				switch x, ok := r.Values[k]; {
				case ok && x == math.Trunc(x) && math.Abs(x) < 1<<53:
					c = numberCell(int64(x))
				case ok:
					c = realCell("%.6g", x)
				}
				row = append(row, c)
			}
			note := report.Text(r.Failed)
			if !r.Whole() {
				note = report.Cell{Text: "this line is not as it was written: its digest is another", Tone: report.Bad}
			}
			t.Row(append(row, realCell("%.1f", r.Seconds), note)...)
		}
		s.Table(t)
	}
}

// The limits of what is shown of results that somebody wrote.
const (
	mostValueColumns = 24
	mostValueTables  = 64
	mostBenchCharts  = 64  // of a page
	mostEach         = 16  // of what rows are there for
	mostWord         = 200 // bytes of what rows are called
)
