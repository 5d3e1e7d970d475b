package cli

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"ropewalk/attack"
	"ropewalk/internal/report"
	"ropewalk/tensor"
)

// attackPage is the page of attack; set has the weights as they were.
func (e *env) attackPage(r *attackResult, set *tensor.Set, res *attack.Result) (*report.Page, error) {
	p := newPage("attack", filepath.Base(r.Input))
	p.Lead = "What " + r.Attack + " did to it."
	p.attack(r)
	charts, err := histograms(mostDamaged(r, set), set, res.Set, "before", "after")
	if err != nil {
		return nil, err
	}
	if len(charts) > 0 {
		p.section("Values before and after").Choice(&report.Choice{Label: "Tensor", Charts: charts})
	}
	p.truth(res.Truth)
	p.claims(attackClaims(r, e.command())...)
	return p.Page, nil
}

func attackClaims(r *attackResult, command string) []report.Claim {
	var list []report.Claim
	if command == "" {
		words := []string{"ropewalk", "attack", r.Attack, r.Input, "--seed", fmt.Sprint(r.Seed)}
		if len(r.Files) > 0 {
			words = append(words, "-o", r.Files[0].Name)
		}
		command = shellWords(words...)
	}
	for _, f := range r.Files {
		what := fmt.Sprintf("%s after %s is in %s,", r.Input, r.Attack, f.Name)
		if f.Name == r.Map {
			what = fmt.Sprintf("Where each neuron went is in %s,", f.Name)
		}
		list = append(list, report.Claim{Text: what, Value: commas(f.Bytes) + " bytes", Command: command})
	}
	for i := range r.Steps {
		for _, d := range r.Steps[i].Proof {
			list = append(list, report.Claim{
				Text: fmt.Sprintf("%s leaves output %s as it was, but for", r.Steps[i].Step, d.Output), Value: fmt.Sprintf("%.2g of the largest output", d.Largest), Command: command,
				Assumption: "the random inputs on which both were run stand for all inputs",
			})
		}
	}
	return list
}

// attack shows what the steps did.
func (p *pager) attack(r *attackResult) {
	s := p.section("What was done")
	facts := []report.Fact{fact("attack", "%s", r.Attack), fact("seed", "%d", r.Seed), fact("steps", "%d", len(r.Steps))}
	for _, f := range r.Files {
		facts = append(facts, bytesFact(f.Name, f.Bytes))
	}
	v := r.outcome()
	v.Facts = append(v.Facts, append(facts, fact("time", "%.2f s", r.Seconds))...)
	s.Verdict(v)
	t := &report.Table{Columns: []report.Column{{Name: "step", Text: true}, {Name: "groups"}, {Name: "neurons"}, {Name: "tensors"}, {Name: "weights"}, {Name: "outputs apart", Text: true, Note: "before and after the step, as a share of the largest output"}, {Name: "note", Text: true}}}
	left := &report.Table{Title: "Groups that were left as they are", Columns: []report.Column{{Name: "step", Text: true}, {Name: "group", Text: true}, {Name: "why", Text: true}}}
	for i := range r.Steps {
		x := &r.Steps[i]
		row := []report.Cell{report.Name(x.Step), noCell, noCell, noCell, noCell, report.Text(proofText(x)), report.Text(noteText(x))}
		if x.Groups > 0 {
			row[1], row[2] = numberCell(int64(x.Groups)), numberCell(int64(x.Neurons))
		}
		if x.Tensors > 0 {
			row[3], row[4] = numberCell(int64(x.Tensors)), numberCell(x.Weights)
		}
		t.Row(row...)
		for _, l := range x.Left {
			left.Row(report.Name(x.Step), report.Name(l.Group), report.Text(l.Reason))
		}
	}
	s.Table(t)
	if len(left.Rows) > 0 {
		s.Table(left)
	}
	p.stepChanges(r.Changes)
}

// outcome says in a word whether the function is what it was.
func (r *attackResult) outcome() *report.Verdict {
	chain, err := attack.Parse(r.Attack)
	var changing []string
	for i := range chain {
		if !chain[i].Kind.Preserves() {
			changing = append(changing, chain[i].String())
		}
	}
	worst, unproved := 0.0, ""
	for i := range r.Steps {
		for _, d := range r.Steps[i].Proof {
			worst = max(worst, d.Largest)
		}
		if unproved == "" {
			unproved = r.Steps[i].Unproved
		}
	}
	proof := report.Fact{Name: "outputs apart", Value: fmt.Sprintf("%.2g", worst), Note: "of the largest, by steps that preserve the function"}
	switch {
	case err != nil || len(chain) == 0:
		return &report.Verdict{Word: "attacked", Text: "The steps and what each did are below."}
	case len(changing) > 0:
		return &report.Verdict{Word: "another function", Tone: report.Warn, Text: strings.Join(changing, ", ") + map[bool]string{true: " changes", false: " change"}[len(changing) == 1] + " what the network computes; by how much, ropewalk eval says."}
	case unproved != "":
		return &report.Verdict{Word: "same function, not proved", Tone: report.Warn, Text: "All steps preserve what the network computes, but outputs were not compared: " + unproved}
	}
	return &report.Verdict{Word: "same function", Tone: report.Good, Text: "All steps preserve what the network computes; its outputs were compared before and after each.", Facts: []report.Fact{proof}}
}

func proofText(x *attack.Report) string {
	var list []string
	for _, d := range x.Proof {
		list = append(list, fmt.Sprintf("%s: %.2g", d.Output, d.Largest))
	}
	if x.Unproved != "" {
		list = append(list, "not compared: "+x.Unproved)
	}
	return strings.Join(list, ", ")
}

func noteText(x *attack.Report) string {
	var list []string
	if x.Loss != nil {
		list = append(list, fmt.Sprintf("loss %.4f in the last epoch", *x.Loss))
	}
	if m := x.Mark; m != nil {
		list = append(list, fmt.Sprintf("%s in %s, %d of which were wrong before; it changed by %.3g %%", count(m.Bits, "bit"), m.Tensor, m.Wrong, 100*m.Change))
	}
	return strings.Join(list, "; ")
}

// mostDamaged returns the names of the tensors that changed most, in their order, or of the
// largest if nothing is told of changes.
func mostDamaged(r *attackResult, set *tensor.Set) []string {
	_, worst := worstOf(r.Changes)
	return firstOf(worst, set)
}

// worstOf returns the names of the tensors that steps changed, in the order of the steps, and the
// weight of the largest change of each.
func worstOf(steps []stepChanges) (names []string, worst map[string]float64) {
	worst = map[string]float64{}
	for _, x := range steps {
		for i := range x.Tensors {
			t := &x.Tensors[i]
			if _, ok := worst[t.Name]; !ok {
				names = append(names, t.Name)
			}
			worst[t.Name] = max(worst[t.Name], t.weight())
		}
	}
	return names, worst
}

// firstOf returns the names of the tensors with the largest weights, as many as have a
// histogram, in the order of the set. Those of one axis come last.
func firstOf(weight map[string]float64, set *tensor.Set) []string {
	var list []*tensor.Tensor
	for _, t := range set.All() {
		if _, ok := weight[t.Name]; ok && t.Elems() >= 16 {
			list = append(list, t)
		}
	}
	order := slices.Clone(list)
	slices.SortStableFunc(order, func(a, b *tensor.Tensor) int {
		if va, vb := len(a.Shape) < 2, len(b.Shape) < 2; va != vb {
			return map[bool]int{true: 1, false: -1}[va]
		}
		return cmp.Compare(weight[b.Name], weight[a.Name])
	})
	order = order[:min(len(order), mostHistograms)]
	var names []string
	for _, t := range list {
		if slices.Contains(order, t) {
			names = append(names, t.Name)
		}
	}
	return names
}

// weight orders changes: by how far the values went, or, where that is not known, above all
// that are.
func (c *tensorChange) weight() float64 {
	if c.Relative == nil {
		return math.MaxFloat64
	}
	return *c.Relative
}

// The limits of a map of changes.
const (
	mostRows  = 40 // tensors
	mostSteps = 24
)

// stepChanges draws what each step did to each tensor.
func (p *pager) stepChanges(steps []stepChanges) {
	names, worst := worstOf(steps)
	if len(names) == 0 {
		return
	}
	s := p.section("What each step did to each tensor")
	s.Text("Values are compared place by place: what was moved counts as changed. What only was moved keeps its norm, and what only was multiplied its zeros.")
	s.Chart(changeCharts(steps[:min(len(steps), mostSteps)], names, worst)...)
	s.Table(changeTable(steps, len(steps) > 1))
}

func changeTable(steps []stepChanges, several bool) *report.Table {
	t := &report.Table{}
	if several {
		t.Columns = append(t.Columns, report.Column{Name: "step", Text: true})
	}
	t.Columns = append(t.Columns,
		report.Column{Name: "tensor", Text: true}, report.Column{Name: "shape", Text: true}, report.Column{Name: "values", Note: "that were looked at"}, report.Column{Name: "changed"},
		report.Column{Name: "difference", Note: "norm of the difference / norm before"}, report.Column{Name: "norm", Note: "after / before"},
		report.Column{Name: "zeros"}, report.Column{Name: "distinct", Note: "different values; more than 4096 are not counted"})
	for _, x := range steps {
		for i := range x.Tensors {
			c := &x.Tensors[i]
			var row []report.Cell
			if several {
				row = append(row, report.Name(x.Step))
			}
			changed, difference, norm := noCell, noCell, noCell
			if c.Changed != nil {
				changed = shareCell(c.share())
			}
			if c.Relative != nil {
				difference = realCell("%.3g", *c.Relative)
			}
			if c.NormBefore > 0 {
				norm = realCell("%.4g", c.NormAfter/c.NormBefore)
			}
			t.Row(append(row, report.Name(c.Name), report.Text(formText(c)), numberCell(c.Looked), changed, difference, norm,
				fromTo(commas(c.ZerosBefore), commas(c.ZerosAfter), float64(c.ZerosAfter)), fromTo(distinctText(c.DistinctBefore), distinctText(c.DistinctAfter), distinctKey(c.DistinctAfter)))...)
		}
	}
	return t
}

// fromTo is a number before and after, which is sorted by as key.
func fromTo(before, after string, key float64) report.Cell {
	if before == after {
		return report.Number(after, key)
	}
	return report.Number(before+" → "+after, key)
}

func distinctText(n *int) string {
	if n == nil {
		return "> 4,096"
	}
	return commas(int64(*n))
}

func distinctKey(n *int) float64 {
	if n == nil {
		return mostDistinct + 1
	}
	return float64(*n)
}

// formText is the shape of a tensor, and what it was if it was another; with types, if these
// are others.
func formText(c *tensorChange) string {
	if c.Before == nil || c.After == nil {
		return "" // another program's JSON
	}
	before, after := c.Before.Shape.String(), c.After.Shape.String()
	if c.Before.DType != c.After.DType {
		before, after = string(c.Before.DType)+" "+before, string(c.After.DType)+" "+after
	}
	if before == after {
		return after
	}
	return before + " → " + after
}

// changeCharts draw how much changed, and what became of norms: bars for one step, and
// maps of tensors and steps for several.
func changeCharts(steps []stepChanges, names []string, worst map[string]float64) []*report.Chart {
	shown := slices.Clone(names)
	slices.SortStableFunc(shown, func(a, b string) int { return cmp.Compare(worst[b], worst[a]) })
	shown = shown[:min(len(shown), mostRows)]
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !slices.Contains(shown, n) })
	changed, norms := matrixOf(steps, names)
	note := ""
	if len(names) < len(worst) {
		note = fmt.Sprintf(" Of %d tensors, the %d that changed most.", len(worst), len(names))
	}
	if len(steps) == mostSteps {
		note += fmt.Sprintf(" At most %d steps are drawn; the table has all.", mostSteps)
	}
	const share, norm = "Values that changed", "Norms"
	aboutShare, aboutNorm := "The part of the values of each tensor that are others at their place."+note, "The norm of each tensor after a step, over that before it."+note
	if len(steps) == 1 {
		return []*report.Chart{
			{Title: share, Caption: aboutShare, Wide: true, Data: &report.Bars{X: "tensor", Y: "changed", Names: names, Values: changed, Low: value(0), High: value(1), Percent: true}},
			{Title: norm, Caption: aboutNorm, Wide: true, Data: &report.Bars{X: "tensor", Y: "norm after / before", Names: names, Values: norms, Low: value(0), Bounds: []report.Bounds{{Name: "unchanged", At: 1}}}},
		}
	}
	var cols []string
	for _, x := range steps {
		cols = append(cols, x.Step)
	}
	written := func(format string, v report.Numbers, scale float64) []string {
		text := make([]string, len(v))
		for i, x := range v {
			if x == x {
				text[i] = fmt.Sprintf(format, scale*x)
			}
		}
		return text
	}
	// Norms are drawn on a scale around 1, as far as they went.
	logs, far := make([]float64, len(norms)), 0.05
	for i, x := range norms {
		if logs[i] = math.Log2(x); logs[i]-logs[i] == 0 {
			far = max(far, math.Abs(logs[i]))
		} else {
			logs[i] = math.NaN()
		}
	}
	return []*report.Chart{
		{Title: share, Caption: aboutShare + " Empty: the step did not touch it, or it has another shape.", Wide: true, Data: &report.Heatmap{
			Unit: "of the values", Low: 0, High: 1, Panes: []report.Pane{report.NewPane("", len(names), len(cols), changed, 0, 1)}, Cells: &report.Labels{Rows: names, Cols: cols, Text: written("%.1f %%", changed, 100)},
		}},
		{Title: norm, Caption: aboutNorm + " Colours are powers of 2.", Wide: true, Data: &report.Heatmap{
			Unit: "powers of 2", Low: report.Value(-far), High: report.Value(far), Signs: true,
			Panes: []report.Pane{report.NewPane("", len(names), len(cols), logs, -far, far)}, Cells: &report.Labels{Rows: names, Cols: cols, Text: written("%.4g", norms, 1)},
		}},
	}
}

// matrixOf returns the parts that changed and the ratios of norms, tensor by tensor, a
// column for each step; NaN where there is no number.
func matrixOf(steps []stepChanges, names []string) (changed, norms report.Numbers) {
	changed = slices.Repeat(report.Numbers{math.NaN()}, len(names)*len(steps))
	norms = slices.Clone(changed)
	row := map[string]int{}
	for i, n := range names {
		row[n] = i
	}
	for k, x := range steps {
		for i := range x.Tensors {
			c := &x.Tensors[i]
			at, ok := row[c.Name]
			if !ok {
				continue
			}
			at = at*len(steps) + k
			changed[at] = c.share()
			if c.NormBefore > 0 {
				norms[at] = c.NormAfter / c.NormBefore
			}
		}
	}
	return changed, norms
}
