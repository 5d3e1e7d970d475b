package suite

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// WriteMarkdown writes the tables of a suite.
func (s *Suite) WriteMarkdown(w io.Writer, lines []Line) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", cmp.Or(s.Title, s.Name))
	if s.About != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(s.About))
	}
	for i := range s.Tables {
		t := &s.Tables[i]
		head, rows := t.cells(lines)
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n", cmp.Or(t.Title, t.Name))
		if t.About != "" {
			fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(t.About))
		}
		b.WriteString("\n")
		line := func(cells []string) {
			b.WriteString("|")
			for _, c := range cells {
				fmt.Fprintf(&b, " %s |", strings.ReplaceAll(c, "|", "\\|"))
			}
			b.WriteString("\n")
		}
		line(head)
		names := len(head) - len(t.Columns)
		if head[len(head)-1] == "seeds" {
			names--
		}
		b.WriteString("|" + strings.Repeat("---|", names) + strings.Repeat("---:|", len(head)-names) + "\n")
		for _, r := range rows {
			line(r)
		}
	}
	left := map[string]int{}
	for i := range lines {
		if lines[i].without() {
			for _, k := range lines[i].Missing {
				left[k]++
			}
		}
	}
	for i, k := range keysOf(left) {
		if i == 0 {
			b.WriteString("\n")
		}
		rows := "1 row is"
		if left[k] > 1 {
			rows = fmt.Sprintf("%d rows are", left[k])
		}
		fmt.Fprintf(&b, "- %s left out for want of %s: %s.\n", rows, k, s.Data[k].Get)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteLaTeX writes the tables as environments of LaTeX that need no package.
func (s *Suite) WriteLaTeX(w io.Writer, lines []Line) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%% %s\n", strings.ReplaceAll(cmp.Or(s.Title, s.Name), "\n", " "))
	for i := range s.Tables {
		t := &s.Tables[i]
		head, rows := t.cells(lines)
		if len(rows) == 0 {
			continue
		}
		names := len(head) - len(t.Columns)
		if head[len(head)-1] == "seeds" {
			names--
		}
		fmt.Fprintf(&b, "\n\\begin{table}\n\\caption{%s}\n\\begin{tabular}{%s%s}\n\\hline\n", latex(cmp.Or(t.Title, t.Name)), strings.Repeat("l", names), strings.Repeat("r", len(head)-names))
		line := func(cells []string) {
			for k, c := range cells {
				if k > 0 {
					b.WriteString(" & ")
				}
				b.WriteString(latex(c))
			}
			b.WriteString(" \\\\\n")
		}
		line(head)
		b.WriteString("\\hline\n")
		for _, r := range rows {
			line(r)
		}
		b.WriteString("\\hline\n\\end{tabular}\n\\end{table}\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// escapes are what LaTeX does not take as it is.
var escapes = strings.NewReplacer(
	`\`, `\textbackslash{}`, `&`, `\&`, `%`, `\%`, `$`, `\$`, `#`, `\#`, `_`, `\_`, `{`, `\{`, `}`, `\}`, `~`, `\textasciitilde{}`, `^`, `\textasciicircum{}`,
	`–`, `--`, `Ψ`, `$\Psi$`, `λ`, `$\lambda$`, `σ`, `$\sigma$`, `ε`, `$\varepsilon$`, `×`, `$\times$`, `±`, `$\pm$`, `≤`, `$\leq$`, `<`, `$<$`, `>`, `$>$`,
)

func latex(s string) string { return escapes.Replace(s) }

// WriteCSV writes each number on a line of its own.
func (s *Suite) WriteCSV(w io.Writer, lines []Line) error {
	c := csv.NewWriter(w)
	rows := [][]string{{"suite", "table", "row", "seed", "column", "value", "failed"}}
	for i := range lines {
		for _, r := range lines[i].records {
			head := []string{r.Suite, r.Table, r.Row, strconv.FormatUint(r.Seed, 10)}
			if r.Failed != "" {
				rows = append(rows, append(head, "", "", r.Failed))
			}
			for _, k := range keysOf(r.Values) {
				rows = append(rows, append(slices.Clip(head), k, plain(r.Values[k]), ""))
			}
		}
	}
	return c.WriteAll(rows)
}

// plain writes a number with all its digits, and with an exponent only where it would be
// long without, as JSON has it.
func plain(x float64) string {
	if size := math.Abs(x); size != 0 && (size < 1e-6 || size >= 1e21) {
		return strconv.FormatFloat(x, 'e', -1, 64)
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// What tables may measure, in the words of IEEE 3304 (MPAI-NNW).
const (
	imperceptibility = "imperceptibility"
	robustness       = "robustness"
	cost             = "cost"
)

var measures = []string{imperceptibility, robustness, cost}

// HasTraceability reports whether a table of the suite belongs in a report on
// traceability.
func (s *Suite) HasTraceability() bool {
	for i := range s.Tables {
		if s.Tables[i].Measures != "" {
			return true
		}
	}
	return false
}

// A traceability is a report in the three parts that IEEE 3304 (MPAI-NNW) asks for of
// what traces neural networks. The standard says what is to be measured, and not in which
// form it is written: the fields are ours.
type traceability struct {
	Schema           string        `json:"schema"`
	About            string        `json:"about"`
	Suite            string        `json:"suite"`
	Program          string        `json:"program"`
	Imperceptibility []measurement `json:"imperceptibility"`
	Robustness       []measurement `json:"robustness"`
	Cost             []measurement `json:"computational_cost"`
}

type measurement struct {
	Table  string               `json:"table"`
	Row    string               `json:"row"`
	What   string               `json:"what,omitempty"`
	Each   map[string]string    `json:"each,omitempty"`
	Seeds  int                  `json:"seeds"`
	Values map[string]Range     `json:"values"`
	Units  map[string]string    `json:"units"`
	Vars   map[string]string    `json:"parameters,omitempty"`
	Raw    []map[string]float64 `json:"runs"`
}

// WriteTraceability writes that report as JSON.
func (s *Suite) WriteTraceability(w io.Writer, lines []Line, program string) error {
	r := traceability{
		Schema: "ropewalk/traceability/1", Suite: s.Name, Program: program,
		About:            "measurements of imperceptibility, robustness and computational cost, in the parts of IEEE 3304 (MPAI-NNW); made by the owner of the method, and certified by nobody",
		Imperceptibility: []measurement{}, Robustness: []measurement{}, Cost: []measurement{},
	}
	to := map[string]*[]measurement{imperceptibility: &r.Imperceptibility, robustness: &r.Robustness, cost: &r.Cost}
	for i := range s.Tables {
		t := &s.Tables[i]
		list := to[t.Measures]
		if list == nil {
			continue
		}
		units := map[string]string{}
		for _, c := range t.Columns {
			units[c.Name] = c.title()
		}
		for k := range lines {
			l := &lines[k]
			if l.Table != t.Name || l.Seeds == 0 {
				continue
			}
			m := measurement{Table: t.Name, Row: l.Row, What: l.What, Seeds: l.Seeds, Values: l.Values, Units: units, Each: map[string]string{}}
			for n, e := range t.Each {
				for name := range e {
					m.Each[name] = l.Each[n]
				}
			}
			for n := range t.Rows {
				if t.Rows[n].Name == l.Row {
					m.Vars = t.Rows[n].Vars
				}
			}
			for _, rec := range l.records {
				if rec.Failed == "" {
					m.Raw = append(m.Raw, rec.Values)
				}
			}
			*list = append(*list, m)
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(&r)
}
