package suite

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Line is a row of a table: the numbers of all its seeds.
type Line struct {
	Table  string           `json:"table"`
	Row    string           `json:"row"`
	What   string           `json:"what,omitempty"`
	Each   []string         `json:"each,omitempty" about:"values of what the rows are there for"`
	Seeds  int              `json:"seeds" about:"that there are numbers of"`
	Failed int              `json:"failed,omitempty" about:"seeds whose answer was that it cannot be had"`
	Values map[string]Range `json:"values" about:"by column"`
	// Missing names data that it needs, and Pending counts seeds that were not run.
	Missing []string `json:"missing,omitempty" about:"data that was not given"`
	Pending int      `json:"pending,omitempty" about:"seeds that were not run yet, or failed"`

	records []*Record
}

// A Range is a number over seeds.
type Range struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// Lines puts the records of jobs together, a line for each row of each table, in the
// order of the jobs.
func Lines(jobs []*Job, records []Record) []Line {
	var lines []Line
	index := map[string]int{}
	values := map[string]map[string][]float64{}
	for _, j := range jobs {
		key := j.Suite.Name + " " + j.Line()
		i, ok := index[key]
		if !ok {
			i = len(lines)
			index[key] = i
			l := Line{Table: j.Table.Name, Row: j.Row.Name, What: j.Row.What, Missing: j.Missing, Values: map[string]Range{}}
			for _, c := range j.Each {
				l.Each = append(l.Each, c.Value)
			}
			lines = append(lines, l)
			values[key] = map[string][]float64{}
		}
		l := &lines[i]
		rec := find(records, j)
		switch {
		case rec == nil && len(j.Missing) == 0:
			l.Pending++
		case rec == nil:
		case rec.Failed != "":
			l.Failed++
			l.records = append(l.records, rec)
		default:
			l.Seeds++
			l.records = append(l.records, rec)
			for k, x := range rec.Values {
				values[key][k] = append(values[key][k], x)
			}
		}
	}
	for key, i := range index {
		for k, v := range values[key] {
			lines[i].Values[k] = Range{median(v), slices.Min(v), slices.Max(v)}
		}
	}
	return lines
}

// median returns the middle of v, or the mean of the two in the middle.
func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// number writes a value with digits behind the point, and no minus before zero.
func number(x float64, digits int) string {
	s := strconv.FormatFloat(x, 'f', digits, 64)
	if strings.Trim(s, "-0.") == "" {
		return strings.TrimPrefix(s, "-")
	}
	return s
}

// Text writes a range: the median, and the least and the most in brackets if they differ.
func (r Range) Text(digits int) string {
	m, least, most := number(r.Median, digits), number(r.Least, digits), number(r.Most, digits)
	if least == most || math.IsNaN(r.Median) {
		return m
	}
	return m + " (" + least + " – " + most + ")"
}

// cells returns the head of a table, and its rows, as text.
func (t *Table) cells(lines []Line) (head []string, rows [][]string) {
	// A column for each with several values. One that has but one here needs no column if
	// it has no other, or if the others are told of as left out for want of data.
	var shown []int
	for i, e := range t.Each {
		for k, values := range e {
			if varies(t, lines, i, false) || len(values) > 1 && !varies(t, lines, i, true) {
				shown = append(shown, i)
				head = append(head, k)
			}
		}
	}
	head = append(head, "row")
	seeds := false
	for i := range lines {
		l := &lines[i]
		seeds = seeds || l.Table == t.Name && !l.without() && (l.Seeds != 1 || l.Failed > 0)
	}
	for _, c := range t.Columns {
		head = append(head, c.title())
	}
	if seeds {
		head = append(head, "seeds")
	}
	for i := range lines {
		l := &lines[i]
		if l.Table != t.Name || l.without() {
			continue
		}
		var row []string
		for _, k := range shown {
			row = append(row, l.Each[k])
		}
		row = append(row, cmp.Or(l.What, l.Row))
		for _, c := range t.Columns {
			if v, ok := l.Values[c.Name]; ok {
				row = append(row, v.Text(c.Digits))
			} else {
				row = append(row, "-")
			}
		}
		if seeds {
			row = append(row, l.state())
		}
		rows = append(rows, row)
	}
	return head, rows
}

// without reports whether there is nothing of a line, for want of data.
func (l *Line) without() bool { return len(l.Missing) > 0 && l.Seeds == 0 && l.Failed == 0 }

// varies reports whether lines of a table have several values of one of each; all counts
// those, too, of which there is nothing for want of data.
func varies(t *Table, lines []Line, i int, all bool) bool {
	first := ""
	for k := range lines {
		if l := &lines[k]; l.Table == t.Name && (all || !l.without()) {
			if first == "" {
				first = l.Each[i]
			}
			if l.Each[i] != first {
				return true
			}
		}
	}
	return false
}

// state says how many seeds there are, and why not more.
func (l *Line) state() string {
	words := []string{strconv.Itoa(l.Seeds)}
	if l.Failed > 0 {
		words = append(words, strconv.Itoa(l.Failed)+" failed")
	}
	if l.Pending > 0 {
		words = append(words, strconv.Itoa(l.Pending)+" not run")
	}
	return strings.Join(words, ", ")
}

func (c *Column) title() string { return cmp.Or(c.Title, c.Name) }
