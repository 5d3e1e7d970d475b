package cli

import (
	"bufio"
	"fmt"
	"strings"

	"ropewalk/internal/suite"
)

// benchListResult is what bench --list says.
type benchListResult struct {
	Schema  string          `json:"schema"`
	Suites  []benchListings `json:"suites"`
	verbose bool
}

// benchListings are the rows of a suite that would be measured.
type benchListings struct {
	Name string         `json:"name"`
	Rows []benchListing `json:"rows" about:"in the order of the tables"`
}

type benchListing struct {
	Row      string   `json:"row" about:"TABLE/ROW, and /VALUE of each thing that the table is measured for: what --match is held against"`
	Seeds    int      `json:"seeds" about:"how often it is run"`
	Missing  []string `json:"missing,omitempty" about:"data that it needs and that was not given"`
	Commands []string `json:"commands" about:"of the first seed; $here and $start are folders, and what else begins with $ is data"`
}

func newBenchList(suites []*suite.Suite, plan *benchPlan, verbose bool) *benchListResult {
	r := &benchListResult{Schema: "ropewalk/bench-list/1", Suites: []benchListings{}, verbose: verbose}
	for i, s := range suites {
		l := benchListings{Name: s.Name, Rows: []benchListing{}}
		at := map[string]int{}
		for _, j := range plan.jobs[i] {
			k, ok := at[j.Line()]
			if !ok {
				k = len(l.Rows)
				at[j.Line()] = k
				l.Rows = append(l.Rows, benchListing{Row: j.Line(), Missing: j.Missing, Commands: j.Commands()})
			}
			l.Rows[k].Seeds++
		}
		r.Suites = append(r.Suites, l)
	}
	return r
}

func (r *benchListResult) text(w *bufio.Writer) {
	for i := range r.Suites {
		s := &r.Suites[i]
		runs := 0
		for k := range s.Rows {
			x := &s.Rows[k]
			runs += x.Seeds
			fmt.Fprintf(w, "%s %s", printable(s.Name), printable(x.Row))
			if len(x.Missing) > 0 {
				fmt.Fprintf(w, " (left out for want of %s)", printable(strings.Join(x.Missing, ", ")))
			}
			fmt.Fprintln(w)
			if r.verbose {
				for _, c := range x.Commands {
					fmt.Fprintf(w, "    %s\n", printable(c))
				}
			}
		}
		fmt.Fprintf(w, "%s: %s, %s with all seeds\n", printable(s.Name), count(len(s.Rows), "row"), count(runs, "run"))
	}
}
