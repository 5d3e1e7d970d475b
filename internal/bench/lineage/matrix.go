package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"ropewalk/attack"
	"ropewalk/internal/bench/rival"
	"ropewalk/lineage"
)

// A finding is what was said of an attacked network.
type finding struct {
	Network string   `json:"network"`
	Attack  string   `json:"attack"`
	Verdict string   `json:"verdict"`
	Said    []string `json:"said"`
	// Wrong says what is wrong with that, and Function what with what is said of the function.
	Wrong    []string `json:"wrong,omitempty"`
	Function string   `json:"function,omitempty"`
	Same     string   `json:"same"`
	// Apart is how far outputs are apart.
	Apart   float64 `json:"apart"`
	Left    string  `json:"left,omitempty"` // why the attack is not possible
	Seconds float64 `json:"seconds"`
}

// matrixTable does attacks and their pairs, and compares.
func matrixTable(ctx context.Context, c *config, b *strings.Builder) error {
	s, err := openStore(c.store, "matrix", func(f *finding) string { return f.Network + "#" + f.Attack })
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }() // each line was written
	for i, p := range subjects {
		if !c.match.MatchString(p.name) || c.quick && !p.quick || c.page {
			continue
		}
		n, err := p.open(ctx, c)
		if err != nil && missing(b, p.name, err) {
			continue
		}
		if err == nil {
			err = n.measure(ctx, c, s, uint64(i)+1000*c.seed)
			n.close()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	matrixPage(b, s)
	return nil
}

// measure does what is not there.
func (s *subject) measure(ctx context.Context, c *config, to *store[finding], seed uint64) error {
	single, double := chains(c.pairs, seed)
	for i, text := range append(single, double...) {
		old := to.all[s.name+"#"+text]
		if !c.attacks.MatchString(text) || old != nil && (!c.again || len(old.Wrong) == 0 && old.Function == "") {
			continue
		}
		f, err := s.find(ctx, c, text, uint64(i)+1000*c.seed)
		if err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		if err := to.add(f); err != nil {
			return err
		}
		mark := "ok"
		if len(f.Wrong) > 0 || f.Function != "" {
			mark = "WRONG " + strings.Join(append(slices.Clone(f.Wrong), f.Function), "; ")
		}
		fmt.Fprintf(os.Stderr, "%s, %s: %s: %s | %s (%.1f s)\n", s.name, text, f.Verdict, strings.Join(f.Said, ", "), mark, f.Seconds)
	}
	return nil
}

func (s *subject) find(ctx context.Context, c *config, text string, seed uint64) (*finding, error) {
	f := &finding{Network: s.name, Attack: text}
	t, err := tell(ctx, s, text, seed)
	if errors.Is(err, attack.ErrNetwork) {
		f.Left = err.Error()
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	start := time.Now()
	said, err := lineage.Compare(ctx, side(s.Network), side(t.attack.Network), &lineage.Options{Threads: c.threads, Run: compute})
	if err != nil {
		return nil, err
	}
	f.Seconds = time.Since(start).Seconds()
	f.Verdict, f.Same = string(said.Verdict), said.Function.Same
	for _, x := range said.Changes {
		f.Said = append(f.Said, x.Text)
	}
	if f.Apart, err = apart(s.Graph, t.attack.Graph); err != nil {
		return nil, err
	}
	if t.preserves && f.Apart > same {
		return nil, fmt.Errorf("internal error: outputs are %.3g apart after what should preserve the function", f.Apart)
	}
	f.Wrong, f.Function = judge(t, said), function(t, said, f.Apart)
	return f, nil
}

// matrixPage prints how often what was said is right.
func matrixPage(b *strings.Builder, s *store[finding]) {
	if len(s.keys) == 0 {
		return
	}
	fmt.Fprintf(b, "### Attacks and their pairs\n\n")
	var rows [][]string
	type count struct{ all, right, kinds, asModified, asPreserving, left int }
	counted := func(f *finding, n *count) {
		if f.Left != "" {
			n.left++
			return
		}
		n.all++
		if len(f.Wrong) == 0 {
			n.right++
		}
		if !slices.ContainsFunc(f.Wrong, func(w string) bool {
			return strings.HasPrefix(w, "missing") || strings.HasPrefix(w, "not done")
		}) {
			n.kinds++
		}
		switch {
		case strings.HasPrefix(f.Function, "a change"):
			n.asModified++
		case f.Function != "":
			n.asPreserving++
		}
	}
	row := func(name string, n count, seconds float64) []string {
		return []string{
			name, fmt.Sprint(n.all), fmt.Sprintf("%d (%.1f %%)", n.right, 100*float64(n.right)/float64(max(1, n.all))), fmt.Sprintf("%d (%.1f %%)", n.kinds, 100*float64(n.kinds)/float64(max(1, n.all))),
			fmt.Sprint(n.asModified), fmt.Sprint(n.asPreserving), fmt.Sprint(n.left), fmt.Sprintf("%.1f", seconds/float64(max(1, n.all))),
		}
	}
	var total count
	spent := 0.0
	for _, p := range subjects {
		var n count
		seconds := 0.0
		for _, k := range s.keys {
			if f := s.all[k]; f.Network == p.name {
				counted(f, &n)
				counted(f, &total)
				seconds += f.Seconds
			}
		}
		if spent += seconds; n.all+n.left > 0 {
			rows = append(rows, row(p.name, n, seconds))
		}
	}
	rows = append(rows, row("all", total, spent))
	rival.Table(b, []string{"network", "cases", "named right", "kinds right", "preserving, called modification", "modification, called preserving", "not possible", "s a case"}, rows)

	fmt.Fprintf(b, "\nRight of all, first step downwards, second to the right; single steps in the first column:\n\n")
	var words []string
	for _, k := range attack.Kinds() {
		words = append(words, string(k))
	}
	rows = nil
	for _, first := range words {
		line := []string{first}
		for _, second := range append([]string{""}, words...) {
			var n count
			for _, k := range s.keys {
				f := s.all[k]
				c, err := attack.Parse(f.Attack)
				if err != nil || len(c) > 2 || string(c[0].Kind) != first || second == "" && len(c) > 1 || second != "" && (len(c) < 2 || string(c[1].Kind) != second) {
					continue
				}
				counted(f, &n)
			}
			if n.all == 0 {
				line = append(line, "")
			} else {
				line = append(line, fmt.Sprintf("%d/%d", n.right, n.all))
			}
		}
		rows = append(rows, line)
	}
	rival.Table(b, append([]string{"", "alone"}, words...), rows)

	reasons := map[string]int{}
	for _, k := range s.keys {
		for _, w := range s.all[k].Wrong {
			if at := strings.Index(w, ","); strings.HasPrefix(w, "verdict") && at > 0 {
				w = w[:at] + " does not go with the changes"
			} else if at := strings.IndexAny(w, "0123456789["); at > 0 {
				w = strings.TrimSpace(w[:at])
			}
			reasons[w]++
		}
	}
	var list []string
	for w := range reasons {
		list = append(list, w)
	}
	slices.SortFunc(list, func(x, y string) int { return 2*(reasons[y]-reasons[x]) + strings.Compare(x, y) })
	if len(list) > 0 {
		fmt.Fprintf(b, "\nWhat is wrong: ")
		for i, w := range list {
			if i > 0 {
				b.WriteString("; ")
			}
			fmt.Fprintf(b, "%s (%d)", w, reasons[w])
		}
		b.WriteString(".\n")
	}
	b.WriteString("\n")
}
