package cli

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"

	"ropewalk/internal/report"
	"ropewalk/train"
)

// evalPage is the page of eval.
func (e *env) evalPage(r *evalResult) *report.Page {
	p := newPage("eval", filepath.Base(r.Model))
	p.eval(r, e.command())
	p.claims()
	return p.Page
}

// eval shows how a network does; a command of "" is made of what the result says.
func (p *pager) eval(r *evalResult, command string) {
	s := p.section("Result")
	if command == "" {
		words := []string{"ropewalk", "eval", r.Model}
		for _, f := range [][2]string{{"--data", r.Data}, {"--split", r.Split}, {"--normalise", r.Normalise}, {"--against", r.Against}} {
			if f[1] != "" {
				words = append(words, f[0], f[1])
			}
		}
		if r.Seed != nil {
			words = append(words, "--seed", strconv.FormatUint(*r.Seed, 10))
		}
		command = shellWords(words...)
	}
	if r.Result != nil {
		facts := []report.Fact{fact("loss", "%.4f", r.Result.Loss)}
		if r.Result.Top1 != nil {
			facts = append(facts, fact("top-1", "%s", percentText(*r.Result.Top1)))
		}
		if r.Result.Top5 != nil {
			facts = append(facts, fact("top-5", "%s", percentText(*r.Result.Top5)))
		}
		s.Facts(append(facts, fact("examples", "%s", commas(int64(r.Result.Examples))), fact("data", "%s (%s)", r.Data, r.Split), fact("normalised", "%s", r.Normalise))...)
		if r.Assumed {
			s.Text("Nothing says how the network was trained, so the data was taken as it is (pixels 0 to 1). A network that was trained otherwise does badly, and gives no other sign of it.")
		}
		p.classes(r.Result)
		p.ledger = append(p.ledger, report.Claim{Text: fmt.Sprintf("%s on %s (%s):", r.Model, r.Data, r.Split), Value: scores(r.Result.Summary(), r.Result.Examples), Command: command})
		return
	}
	if c := r.Comparison; c != nil {
		p.outputs(s, r, c)
		agree := "outputs compared"
		if len(c.Outputs) > 0 {
			agree = fmt.Sprintf("relative difference %.3g", c.Outputs[0].Relative)
			if c.Outputs[0].Agreement != nil {
				agree += fmt.Sprintf(", agreement %s", percentText(*c.Outputs[0].Agreement))
			}
		}
		p.ledger = append(p.ledger, report.Claim{Text: fmt.Sprintf("%s against %s:", r.Model, r.Against), Value: agree, Command: command})
	}
}

// outputs shows how far the outputs of two networks are apart.
func (p *pager) outputs(s *report.Section, r *evalResult, c *train.Comparison) {
	var facts []report.Fact
	if c.Top1A != nil && c.Top1B != nil {
		facts = append(facts, report.Fact{Name: "top-1", Value: percentText(*c.Top1A), Note: r.Model}, report.Fact{Name: "top-1", Value: percentText(*c.Top1B), Note: r.Against})
	}
	on := "random inputs"
	if r.Data != "" {
		on = r.Data
	}
	s.Facts(append(facts, fact("examples", "%s", commas(int64(c.Examples))), fact("run on", "%s", on))...)
	t := &report.Table{Columns: []report.Column{{Name: "output", Text: true}, {Name: "values"}, {Name: "equal"}, {Name: "max"}, {Name: "mean"}, {Name: "relative"}, {Name: "agree"}, {Name: "KL"}}}
	for _, o := range c.Outputs {
		row := []report.Cell{report.Name(o.Name), numberCell(o.Values), numberCell(o.Equal), realCell("%.3g", o.Max), realCell("%.3g", o.Mean), realCell("%.3g", o.Relative), noCell, noCell}
		if o.Agreement != nil {
			row[6] = shareCell(*o.Agreement)
		}
		if o.KL != nil {
			row[7] = realCell("%.3g", *o.KL)
		}
		t.Row(row...)
	}
	s.Table(t)
}

// classes shows which classes a network knows, and what it takes them for.
func (p *pager) classes(r *train.Result) {
	if len(r.Classes) == 0 {
		return
	}
	s := p.section("Classes")
	names := make([]string, len(r.Classes))
	recall := make(report.Numbers, len(r.Classes))
	t := &report.Table{Columns: []report.Column{{Name: "class", Text: true}, {Name: "examples"}, {Name: "right"}, {Name: "recall"}, {Name: "precision"}}}
	for i, c := range r.Classes {
		if names[i] = c.Name; names[i] == "" {
			names[i] = strconv.Itoa(i)
		}
		row := []report.Cell{report.Text(names[i]), numberCell(int64(c.Examples)), numberCell(int64(c.Right)), noCell, noCell}
		recall[i] = math.NaN()
		if c.Recall != nil {
			row[3], recall[i] = shareCell(*c.Recall), *c.Recall
		}
		if c.Precision != nil {
			row[4] = shareCell(*c.Precision)
		}
		t.Row(row...)
	}
	charts := []*report.Chart{{Title: "Recall", Caption: "The part of the examples of each class that the network gets right.", Data: &report.Bars{X: "class", Y: "recall", Names: names, Values: recall, Low: value(0), High: value(1), Percent: true}}}
	if n := len(r.Confusion); n > 0 && n <= 30 {
		charts = append(charts, confusionChart(r.Confusion, names))
	}
	s.Chart(charts...)
	s.Table(t)
}

// confusionChart shows what each class was taken for, in parts of its examples.
func confusionChart(m [][]int, names []string) *report.Chart {
	n := len(m)
	shares, text := make([]float64, n*n), make([]string, n*n)
	for i, row := range m {
		sum := 0
		for _, x := range row {
			sum += x
		}
		for j, x := range row {
			if j >= n {
				continue
			}
			shares[i*n+j] = float64(x) / float64(max(1, sum))
			if x > 0 && n <= 14 {
				text[i*n+j] = commas(int64(x))
			}
		}
	}
	return &report.Chart{Title: "Confusions", Caption: "Rows are classes, columns what the network took them for; numbers are examples.", Data: &report.Heatmap{
		Unit: "of the class", Low: 0, High: 1, Panes: []report.Pane{report.NewPane("", n, n, shares, 0, 1)}, Cells: &report.Labels{Rows: names, Cols: names, Text: text},
	}}
}

// markPage is the page of mark extract.
func (e *env) markPage(r *markExtractResult) *report.Page {
	p := newPage("mark extract", filepath.Base(r.Suspect))
	p.mark(r, e.command())
	p.claims()
	return p.Page
}

func (p *pager) mark(r *markExtractResult, command string) {
	d, v := r.Reading, r.Verdict
	if d == nil || v == nil {
		return // another program's JSON
	}
	word, tone := "absent", report.Neutral
	text := "No evidence of the mark. That does not mean that the networks have nothing in common."
	if v.Present {
		word, tone, text = "present", report.Good, "The mark of this key is in the suspect."
	}
	facts := []report.Fact{
		{Name: "probability that it is chance", Value: "≤ " + power(v.Log10P), Note: "of " + count(v.Tests, "reading")},
		{Name: "threshold", Value: power(v.Threshold), Note: map[bool]string{true: "with a commitment", false: "without a commitment"}[r.Committed]},
		{Name: "key", Value: r.Key, Note: r.Owner},
		fact("scheme", "%s", d.Scheme),
	}
	if d.Scheme != "uchida" {
		facts = append(facts, fact("z", "%.1f", d.Z))
	}
	if d.BER != nil {
		facts = append(facts, report.Fact{Name: "bit errors", Value: percentText(*d.BER), Note: fmt.Sprintf("of %d bits", d.Bits)})
	}
	if d.Payload != "" {
		facts = append(facts, fact("payload", "%s", readable(d.Payload)))
	}
	s := p.section("Answer")
	s.Verdict(&report.Verdict{Word: word, Tone: tone, Text: text, Facts: facts})
	if r.Alignment != nil {
		s.Text("Alignment " + r.Alignment.String() + ".")
	}
	names, z := []string{}, report.Numbers{}
	t := &report.Table{Columns: []report.Column{{Name: "tensor", Text: true}, {Name: "weights"}, {Name: "z"}, {Name: "p"}}}
	for _, l := range d.Layers {
		names, z = append(names, l.Tensor), append(z, l.Z)
		t.Row(report.Name(l.Tensor), numberCell(l.Weights), realCell("%.1f", l.Z), report.Number(power(l.Log10P), l.Log10P))
	}
	s = p.section("Tensors")
	if len(z) > 1 && d.Scheme != "uchida" {
		s.Chart(&report.Chart{Title: "Reading of each tensor", Caption: "The correlation with the key in standard deviations of chance: without a mark nearly all lie between -3 and 3.", Wide: true, Data: &report.Bars{X: "tensor", Y: "z", Names: names, Values: z, Bounds: []report.Bounds{{Name: "3", At: 3}}}})
	}
	s.Table(t)
	p.ledger = append(p.ledger, report.Claim{Text: "The mark of key " + r.Key + " in " + r.Suspect + " is", Value: word, Command: command, Assumption: r.Assumption})
}
