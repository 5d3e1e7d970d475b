package cli

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ropewalk/internal/report"
	"ropewalk/lineage"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// verifyPage is the page of verify. What can move is nil if it is not known; then there is
// nothing of neurons on the page.
func (e *env) verifyPage(ctx context.Context, r *verifyResult, spec *symmetry.Spec, ref, sus *tensor.Set) (*report.Page, error) {
	p := newPage("verify", filepath.Base(r.Suspect))
	p.Lead = "What was done to it, held against " + filepath.Base(r.Reference) + "."
	p.verify(r)
	restored := r.Restored
	if restored == nil && r.Match == nil && r.Verdict != lineage.Unrelated {
		restored = sus // nothing moved, or nothing is known of what can
	}
	if restored != nil {
		if spec != nil {
			views, left, err := neuronViews(ctx, spec, ref, sus, restored)
			if err != nil {
				return nil, err
			}
			p.neurons(views, left)
		}
		charts, err := histograms(mostChanged(r.Tensors, ref), ref, restored, "reference", "suspect, in order")
		if err != nil {
			return nil, err
		}
		if len(charts) > 0 {
			p.section("Values").Choice(&report.Choice{Label: "Tensor", Charts: charts})
		}
	}
	p.differences(r.Tensors)
	p.claims(verifyClaim(r, e.command()))
	return p.Page, nil
}

// writeReport writes the page of a verification.
func (v *verification) writeReport(ctx context.Context) error {
	p, err := v.page(ctx)
	if err != nil {
		return err
	}
	return v.e.writeReport(&v.o.report, p, v.inputs()...)
}

func (v *verification) page(ctx context.Context) (*report.Page, error) {
	if v.pass != nil {
		return v.e.verifyPage(ctx, v.r, nil, nil, v.sus.c.Tensors) // there are no weights to draw
	}
	return v.e.verifyPage(ctx, v.r, v.spec(), v.ref.c.Tensors, v.sus.c.Tensors)
}

func verifyClaim(r *verifyResult, command string) report.Claim {
	if command == "" {
		command = shellWords("ropewalk", "verify", r.Suspect, "--against", r.Reference)
	}
	c := report.Claim{Text: fmt.Sprintf("%s is, to %s,", r.Suspect, r.Reference), Value: r.Summary, Command: command}
	if n := r.Neurons; n != nil && !n.Proven {
		c.Assumption = "weights of strangers are independent; unrelated means that no evidence was found, not that there is none"
	}
	return c
}

// verdictTones say how verdicts are meant to be taken.
var verdictTones = map[lineage.Verdict]report.Tone{
	lineage.Identical: report.Good, lineage.SameWeights: report.Good, lineage.Reordered: report.Good, lineage.Rescaled: report.Good,
	lineage.Reencoded: report.Warn, lineage.Pruned: report.Warn, lineage.Modified: report.Bad, lineage.PartlyDerived: report.Bad,
}

// verify shows the verdict and what it rests on.
func (p *pager) verify(r *verifyResult) {
	if r.Comparison == nil {
		return // JSON of somebody else
	}
	c := r.Comparison
	ladder := make([]string, 0, 9)
	for _, v := range lineage.Verdicts() {
		ladder = append(ladder, string(v))
	}
	text := r.Summary
	if c.Verdict == lineage.Unrelated {
		text = "No evidence was found that it was made from the reference. That is no proof that it was not."
	}
	text = strings.ToUpper(text[:min(1, len(text))]) + text[min(1, len(text)):]
	facts := []report.Fact{{Name: "function", Value: map[string]string{"yes": "preserved", "no": "changed"}[c.Function.Same], Note: c.Function.How}}
	if facts[0].Value == "" {
		facts[0].Value = "not known"
	}
	if n := r.Neurons; n != nil {
		f := report.Fact{Name: "neurons found", Value: fmt.Sprintf("%s of %s", commas(int64(n.Matched)), commas(int64(n.Neurons))), Note: fmt.Sprintf("%s certain, evidence e^%.0f", commas(int64(n.Certain)), n.LogEvidence)}
		if n.Proven {
			f.Note = "proven by digests of both in canonical order"
		}
		facts = append(facts, f)
	}
	changed, rounded := 0, 0
	for i := range c.Tensors {
		switch t := &c.Tensors[i]; {
		case t.Equal:
		case t.Rounding:
			rounded++
		default:
			changed++
		}
	}
	if len(c.Tensors) > 0 {
		f := fact("tensors changed", "%s of %s", commas(int64(changed)), commas(int64(len(c.Tensors))))
		if rounded > 0 {
			f.Note = count(rounded, "other") + " by rounding of factors only"
		}
		facts = append(facts, f)
	}
	if a := r.Accuracy; a != nil && a.Suspect != nil && a.Reference != nil {
		facts = append(facts, scoreFact("suspect", a.Suspect, a.Data), scoreFact("reference", a.Reference, a.Data))
	}
	passed := report.Fact{Name: "policy", Value: "passed"}
	if !r.Passed {
		passed.Value = "failed"
		for i, b := range r.Breaches {
			passed.Note += map[bool]string{true: "; "}[i > 0] + b.Text
		}
	}
	if !r.unjudged {
		facts = append(facts, passed)
	}
	p.section("Answer").Verdict(&report.Verdict{Word: string(c.Verdict), Tone: verdictTones[c.Verdict], Text: text, Ladder: ladder, Facts: facts})
	p.changes(c.Changes)
	p.evidence(c.Evidence)
	p.edits(r)
	p.moved(c.Groups)
	if len(r.Unchecked) > 0 {
		t := &report.Table{Note: "A check that could not be made is passed by nothing.", Columns: []report.Column{{Name: "check", Text: true}, {Name: "why not", Text: true}}}
		for _, u := range r.Unchecked {
			t.Row(report.Text(u.Check), report.Text(u.Why))
		}
		p.section("What could not be checked").Table(t)
	}
}

// changes lists what was done, in its order.
func (p *pager) changes(list []lineage.Change) {
	if len(list) == 0 {
		return
	}
	const few = 6
	t := &report.Table{Columns: []report.Column{{Name: "change", Text: true}, {Name: "in words", Text: true}, {Name: "function", Text: true}, {Name: "where", Text: true}}}
	for i := range list {
		c := &list[i]
		where := strings.Join(c.Names[:min(few, len(c.Names))], ", ")
		if n := len(c.Names) - few; n > 0 {
			where += fmt.Sprintf(" and %d more", n)
		}
		f := report.Cell{Text: "may change", Tone: report.Warn}
		if c.Preserves {
			f = report.Cell{Text: "preserved", Tone: report.Good}
		}
		t.Row(report.Text(string(c.Kind)), report.Text(c.Text), f, report.Text(where))
	}
	p.section("What was done").Table(t)
}

// edits lists places that were changed by themselves.
func (p *pager) edits(r *verifyResult) {
	if len(r.Edits) > 0 {
		t := &report.Table{Columns: []report.Column{{Name: "what", Text: true}, {Name: "tensor", Text: true}, {Name: "neuron"}, {Name: "in words", Text: true}, {Name: "size"}}}
		for i := range r.Edits {
			x := &r.Edits[i]
			neuron := noCell
			if x.Neuron >= 0 {
				neuron = numberCell(int64(x.Neuron))
			}
			t.Row(report.Text(x.What), report.Name(x.Tensor), neuron, report.Text(x.Text), realCell("%.3g", x.Size))
		}
		p.section("Places that were edited").Table(t)
	}
	if len(r.GraphEdits)+len(r.MetadataEdits) == 0 {
		return
	}
	t := &report.Table{Columns: []report.Column{{Name: "in", Text: true}, {Name: "what", Text: true}}}
	for i := range r.GraphEdits {
		t.Row(report.Text("graph"), report.Text(r.GraphEdits[i].Text))
	}
	for i := range r.MetadataEdits {
		t.Row(report.Text("metadata"), report.Text(r.MetadataEdits[i].String()))
	}
	p.section("Graph and metadata").Table(t)
}

// moved shows what happened to groups of neurons.
func (p *pager) moved(groups []lineage.GroupDifference) {
	if len(groups) == 0 {
		return
	}
	t := &report.Table{Columns: []report.Column{{Name: "group", Text: true}, {Name: "neurons"}, {Name: "moved"}, {Name: "rescaled"}, {Name: "sign-flipped"}, {Name: "certain"}, {Name: "removed"}, {Name: "added"}, {Name: "strangers", Note: "resemble their partner no more than chance"}}}
	var all report.Numbers
	for i := range groups {
		g := &groups[i]
		row := []report.Cell{report.Name(g.Name)}
		for _, n := range []int{g.Neurons, g.Moved, g.Rescaled, g.Flipped, g.Certain, len(g.Removed), g.Added, len(g.Strangers)} {
			row = append(row, numberCell(int64(n)))
		}
		if g.Certain < g.Neurons {
			row[5].Tone = report.Warn
		}
		if len(g.Strangers) > 0 {
			row[8].Tone = report.Bad
		}
		t.Row(row...)
		all = append(all, g.Cosines...)
	}
	s := p.section("Groups of neurons")
	if len(all) > 0 {
		s.Chart(&report.Chart{Title: "Likeness of each neuron", Caption: "The cosine of all weights of each neuron with those of its partner; neurons of all groups in their order, 0 without a partner.", Wide: true, Data: &report.Bars{X: "neuron", Y: "cosine", Values: all, High: value(1)}})
	}
	s.Table(t)
}

// mostChanged returns the names of tensors with the largest changes that can be drawn, or
// of the largest ones if none changed.
func mostChanged(list []lineage.TensorDifference, ref *tensor.Set) []string {
	sorted := slices.DeleteFunc(slices.Clone(list), func(d lineage.TensorDifference) bool {
		t := ref.Lookup(d.Name)
		return t == nil || !t.DType.Known() || t.Elems() < 16
	})
	slices.SortStableFunc(sorted, func(a, b lineage.TensorDifference) int {
		if c := cmp.Compare(b.Relative, a.Relative); c != 0 {
			return c
		}
		return cmp.Compare(b.Elements, a.Elements)
	})
	var names []string
	for _, d := range sorted[:min(len(sorted), mostHistograms)] {
		names = append(names, d.Name)
	}
	return names
}

// differences shows what became of each tensor.
func (p *pager) differences(list []lineage.TensorDifference) {
	if len(list) == 0 {
		return
	}
	s := p.section("Tensors, in the order of the reference")
	t := &report.Table{Columns: []report.Column{{Name: "tensor", Text: true}, {Name: "state", Text: true}, {Name: "values"}, {Name: "changed"}, {Name: "difference", Note: "standard deviation of the difference over that of the reference"}, {Name: "largest"}, {Name: "at", Text: true}, {Name: "new zeros"}, {Name: "levels"}, {Name: "type", Text: true}}}
	names, relative := []string{}, report.Numbers{}
	for i := range list {
		d := &list[i]
		state := report.Cell{Text: "changed", Tone: report.Warn}
		switch {
		case d.Equal:
			state = report.Cell{Text: "equal", Tone: report.Good}
		case d.Rounding:
			state = report.Text("rounding")
		}
		at := ""
		if len(d.At) > 0 {
			at = strings.ReplaceAll(strings.Trim(fmt.Sprint(d.At), "[]"), " ", ", ")
		}
		levels := noCell
		if d.Levels > 0 {
			levels = numberCell(int64(d.Levels))
		}
		dtype := d.ReferenceDType
		if d.DType != d.ReferenceDType {
			dtype += " → " + d.DType
		}
		t.Row(report.Name(d.Name), state, numberCell(d.Elements), shareCell(float64(d.Changed)/float64(max(1, d.Elements))), realCell("%.3g", d.Relative), realCell("%.3g", d.Largest), report.Text(at), shareCell(d.Zeros), levels, report.Text(dtype))
		if !d.Equal {
			names, relative = append(names, d.Name), append(relative, d.Relative)
		}
	}
	if slices.ContainsFunc(relative, func(x float64) bool { return x > 0 }) {
		s.Chart(&report.Chart{Title: "How far tensors are from the reference", Caption: "Standard deviation of the difference, in units of that of the reference's values; tensors that are equal are left out.", Wide: true, Data: &report.Bars{X: "tensor", Y: "difference", Names: names, Values: relative, Low: value(0)}})
	}
	s.Table(t)
}

// evidence shows how probable it is that strangers look as these two do, each number with
// what it rests on.
func (p *pager) evidence(e *lineage.Evidence) {
	if e == nil {
		return
	}
	s := p.section("Evidence")
	word, tone := "no more than networks that learned the same", report.Neutral
	if e.Derived {
		word, tone = "more than networks that learned the same", report.Warn
	}
	s.Verdict(&report.Verdict{Word: word, Tone: tone, Text: e.Reason})
	add := func(text, value, assumption string) {
		s.Claims(report.Claim{Text: text, Value: value, Assumption: assumption})
	}
	if f := e.FixedPoints; f != nil {
		if f.Applies {
			text := fmt.Sprintf("%s of %s neurons are at their own place, where a random shuffle leaves %.3g. The probability of so many or more is", commas(int64(f.Fixed)), commas(int64(f.Neurons)), f.Expected)
			value := power(f.Log10P)
			if f.Bound {
				value = "at most " + value
			}
			add(text, value, f.Assumption)
		} else {
			add("The exact test of neurons at their own place does not apply:", f.Why, "")
		}
	}
	if x := e.Verbatim; x != nil && x.Tested > 0 {
		add(fmt.Sprintf("%s of %s neurons read with weights of the reference's, all of them. The probability of so many is at most", commas(int64(x.Neurons)), commas(int64(x.Tested))), power(x.Log10P), x.Assumption)
	}
	if x := e.Score; x != nil {
		add("The score of all matched weights is", fmt.Sprintf("e^%.0f", x.LogEvidence), x.Assumption)
		for _, c := range []*lineage.Conformal{x.Random, x.Given} {
			if c != nil {
				add(fmt.Sprintf("Of %s, %d have such a score or a higher one; p is", count(c.Counted, "control"), c.Above), fmt.Sprintf("%.3g", c.P), c.Assumption)
			}
		}
	}
	if r := e.Resemblance; r != nil {
		s.Facts(fact("correlation", "%.4f", r.Correlation), fact("by chance", "%.4f", r.Chance), fact("in all directions", "%.4f", r.Spectrum), fact("in the weakest", "%.4f", r.Weakest), fact("copied neurons", "%s", commas(int64(r.Copies))))
		if len(r.Tensors) > 1 {
			names, values := []string{}, report.Numbers{}
			for _, t := range r.Tensors {
				names, values = append(names, t.Name), append(values, t.Correlation)
			}
			s.Chart(&report.Chart{Title: "Resemblance of each tensor", Caption: "Correlation of the rows of matched neurons, with what all neurons have in common taken away.", Wide: true, Data: &report.Bars{X: "tensor", Y: "correlation", Names: names, Values: values, High: value(1)}})
		}
	}
	if n := e.Neurons; n != nil {
		add(fmt.Sprintf("Matches that can be claimed together, with a probability of %.3g that any is wrong:", n.FamilyWise.Level), fmt.Sprintf("%s of %s", commas(int64(n.FamilyWise.Claimed)), commas(int64(n.Neurons))), n.Assumption)
	}
	s.Text(e.Caution)
}
