package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ropewalk/align"
	"ropewalk/internal/report"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// alignPage is the page of align.
func (e *env) alignPage(ctx context.Context, r *alignResult, spec *symmetry.Spec, ref, sus *tensor.Set, found *align.NetworkResult) (*report.Page, error) {
	p := newPage("align", filepath.Base(r.Suspect))
	p.Lead = "Which neuron is which, in the order of " + filepath.Base(r.Reference) + "."
	p.align(r)
	if r.Verdict != unrelated {
		restored, err := align.Restore(spec, sus, found)
		if err != nil {
			return nil, err
		}
		views, left, err := neuronViews(ctx, spec, ref, sus, restored)
		if err != nil {
			return nil, err
		}
		p.neurons(views, left)
	}
	p.claims(alignClaim(r, e.command()))
	return p.Page, nil
}

func alignClaim(r *alignResult, command string) report.Claim {
	if command == "" {
		command = shellWords("ropewalk", "align", "--method", r.Method, "--to", r.Reference, r.Suspect)
	}
	c := report.Claim{Text: fmt.Sprintf("%s is, to %s,", r.Suspect, r.Reference), Value: r.Verdict, Command: command}
	if r.Verdict == "" {
		c.Text, c.Value = fmt.Sprintf("Neurons of %s with a partner in %s:", r.Reference, r.Suspect), fmt.Sprintf("%s of %s", commas(int64(r.Matched)), commas(int64(r.Neurons)))
	} else {
		c.Assumption = "weights of strangers are independent; certainties are of a model that is fitted to the two networks"
	}
	return c
}

func (p *pager) align(r *alignResult) {
	s := p.section("Answer")
	facts := []report.Fact{fact("neurons matched", "%s of %s", commas(int64(r.Matched)), commas(int64(r.Neurons)))}
	word, tone, text := r.Method, report.Neutral, "This method has no certainty, and sees no factors."
	switch r.Verdict {
	case aligned:
		word, tone, text = r.Verdict, report.Good, "All neurons of the reference have a partner that is certain."
	case partly:
		word, tone, text = r.Verdict, report.Warn, "The networks are related; some neurons have no partner that is certain."
	case unrelated:
		word, tone, text = r.Verdict, report.Neutral, "No match of these networks is better than one of strangers. That is no proof that one was not made from the other."
	}
	if r.Verdict != "" {
		facts = append(facts, fact("certain", "%s", commas(int64(r.Certain))), fact("mean certainty", "%.4f", r.Certainty), report.Fact{Name: "evidence", Value: fmt.Sprintf("e^%.0f", r.LogEvidence), Note: "related above e^10"})
	}
	if r.Rescaled {
		facts = append(facts, fact("factors", "neurons were rescaled"))
	}
	if r.Truth != nil {
		facts = append(facts, report.Fact{Name: "Ψ", Value: fmt.Sprintf("%.2f %%", r.Truth.Psi), Note: "of neurons, by the truth of --map"})
	}
	s.Verdict(&report.Verdict{Word: word, Tone: tone, Text: text, Facts: facts})
	all := report.Numbers{}
	t := &report.Table{Columns: []report.Column{{Name: "group", Text: true}, {Name: "neurons"}, {Name: "matched"}, {Name: "certain"}, {Name: "mean certainty"}, {Name: "removed"}, {Name: "added"}, {Name: "ambiguous"}, {Name: "rescaled"}}}
	names, means := []string{}, report.Numbers{}
	for i := range r.Groups {
		g := &r.Groups[i]
		all = append(all, g.Each...)
		names, means = append(names, g.Name), append(means, g.Certainty)
		scaled := 0
		for k := range g.Order {
			if slices.ContainsFunc(g.Factors, func(f []float64) bool { return k < len(f) && f[k] != 1 }) {
				scaled++
			}
		}
		row := []report.Cell{report.Name(g.Name), numberCell(int64(g.Neurons)), numberCell(int64(g.Matched)), noCell, noCell, numberCell(int64(len(g.Removed))), numberCell(int64(len(g.Added))), numberCell(int64(len(g.Ambiguous))), numberCell(int64(scaled))}
		if r.Verdict != "" {
			row[3], row[4] = numberCell(int64(g.Certain)), realCell("%.4f", g.Certainty)
			if g.Certain < g.Neurons {
				row[3].Tone = report.Warn
			}
		}
		t.Row(row...)
	}
	s = p.section("Groups of neurons")
	if len(all) > 0 {
		s.Chart(
			&report.Chart{Title: "Certainty of each neuron", Caption: "The probability that its partner is the right one, neurons of all groups in their order.", Data: &report.Bars{X: "neuron", Y: "certainty", Values: all, Low: value(0), High: value(1), Bounds: []report.Bounds{{Name: "0.99", At: align.Certain}}}},
			&report.Chart{Title: "Certainty of each group", Caption: "Means over its neurons.", Data: &report.Bars{X: "group", Y: "certainty", Names: names, Values: means, Low: value(0), High: value(1)}},
		)
	}
	if f := factorChart(r); f != nil {
		s.Chart(f)
	}
	s.Table(t)
	p.strangers(r)
}

// factorChart shows what neurons were multiplied by; nil if by nothing.
func factorChart(r *alignResult) *report.Chart {
	if !r.Rescaled {
		return nil
	}
	c := report.Curve{Name: "factors"}
	n := 0
	for i := range r.Groups {
		g := &r.Groups[i]
		for k := range g.Order {
			for _, f := range g.Factors {
				if k < len(f) {
					c.X, c.Y, c.Labels = append(c.X, float64(n)), append(c.Y, f[k]), append(c.Labels, fmt.Sprintf("%s, neuron %d", g.Name, k))
				}
			}
			n++
		}
	}
	positive := !slices.ContainsFunc(c.Y, func(x float64) bool { return !(x > 0) })
	return &report.Chart{Title: "What neurons were multiplied by", Caption: "Factors that the rest of the network takes back.", Wide: true, Data: &report.Scatter{X: "neuron", Y: "factor", LogY: positive, Groups: []report.Curve{c}, Bounds: []report.Bounds{{Name: "unchanged", At: 1}}}}
}

// strangers lists neurons that have no partner, or none that is sure.
func (p *pager) strangers(r *alignResult) {
	t := &report.Table{Columns: []report.Column{{Name: "group", Text: true}, {Name: "neuron"}, {Name: "of"}, {Name: "what", Text: true}}}
	for i := range r.Groups {
		g := &r.Groups[i]
		if r.Verdict == unrelated {
			break // nothing of strangers is certain
		}
		for _, k := range g.Removed {
			t.Row(report.Name(g.Name), numberCell(int64(k)), report.Text("reference"), report.Text("removed"))
		}
		for _, d := range g.Added {
			t.Row(report.Name(g.Name), numberCell(int64(d.Sus)), report.Text("suspect"), report.Text("added: "+string(d.Kind)))
		}
		for _, a := range g.Ambiguous {
			what := fmt.Sprintf("ambiguous: matched with %d", a.Sus)
			if a.Other >= 0 {
				what += fmt.Sprintf(", next %d", a.Other)
			}
			t.Row(report.Name(g.Name), numberCell(int64(a.Ref)), report.Text("reference"), report.Text(strings.TrimSpace(what+"; "+a.Reason)))
		}
	}
	if len(t.Rows) > 0 {
		p.section("Neurons in doubt").Table(t)
	}
}
