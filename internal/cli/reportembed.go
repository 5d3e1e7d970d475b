package cli

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"

	"ropewalk/internal/report"
	"ropewalk/mark"
	"ropewalk/tensor"
)

// embedPage is the page of mark embed, with the weights before and after.
func (e *env) embedPage(r *markEmbedResult, o *embedOptions, before, after *tensor.Set) (*report.Page, error) {
	p := newPage("mark embed", filepath.Base(r.Model))
	p.Lead = "What the mark of key " + r.Key + " did to it."
	p.embedded(r)
	worst := map[string]float64{}
	for i := range r.Changes {
		worst[r.Changes[i].Name] = r.Changes[i].weight()
	}
	names := firstOf(worst, before)
	charts, err := histograms(names, before, after, "before", "after")
	if err != nil {
		return nil, err
	}
	moves, err := moveCharts(names, before, after)
	if err != nil {
		return nil, err
	}
	if len(charts) > 0 {
		s := p.section("Values before and after")
		s.Choice(&report.Choice{Label: "Values of", Charts: charts})
		s.Choice(&report.Choice{Label: "Changes of", Charts: moves})
	}
	if o.payload != "" {
		p.section("Whom this page is for").Text("The command below has the payload in it. Whoever is not to know that should not have this page.")
	}
	p.claims(embedClaims(r, e.command(), o)...)
	return p.Page, nil
}

// embedClaims are what is said of a mark. Without the options, which name the key's file,
// how the mark is read is not among them.
func embedClaims(r *markEmbedResult, command string, o *embedOptions) []report.Claim {
	c := r.Cost
	if c == nil || r.Parameters == nil {
		return nil // another program's JSON
	}
	list := []report.Claim{{
		Text:  fmt.Sprintf("The mark of key %s changes, of the %s weights in %s of %s,", r.Key, commas(c.Weights), count(c.Tensors, "tensor"), r.Model),
		Value: fmt.Sprintf("%s, by %.2g of their norm", commas(c.Changed), c.Change), Command: command,
	}, {
		Text: "Outputs change by", Value: fmt.Sprintf("about %.2g (predicted)", c.Output), Command: command,
		Assumption: "the change is random towards the inputs of each layer, and parts of layers add as independent ones do",
	}}
	if a := r.Accuracy; a != nil {
		list = append(list, report.Claim{Text: fmt.Sprintf("Accuracy on %s (%s), %s without the mark, is with it", a.Data, a.Split, percentText(a.Before)), Value: percentText(a.After), Command: command})
	}
	if k := r.Packed; k != nil && k.Before > 0 {
		list = append(list, report.Claim{Text: fmt.Sprintf("Packed without loss, %s bytes without the mark, it takes with it", commas(k.Before)), Value: commas(k.After) + " bytes", Command: command})
	}
	if r.Digest != "" {
		list = append(list, report.Claim{Text: "The commitment, to be published or time-stamped before the network, has the digest", Value: r.Digest, Command: shellWords("ropewalk", "mark", "list", "--json", r.Commitment)})
	}
	if o != nil && len(r.Files) > 0 {
		list = append(list, report.Claim{Text: "How the mark is read:", Command: o.readCommand(r)})
	}
	return list
}

// readCommand is the command line that reads a mark.
func (o *embedOptions) readCommand(r *markEmbedResult) string {
	words := []string{"ropewalk", "mark", "extract", r.Files[0].Name, "--key", o.key, "--reference", r.Model}
	if o.net != "" {
		words = append(words, "--net", o.net)
	}
	if r.Commitment != "" {
		return shellWords(append(words, "--commitment", r.Commitment)...) // which has all the rest
	}
	words = append(words, "--scheme", r.Parameters.Scheme)
	if n := r.Parameters.Bits; n > 0 {
		words = append(words, "--bits", strconv.Itoa(n))
	}
	for _, pattern := range o.only {
		words = append(words, "--tensor", pattern)
	}
	return shellWords(words...)
}

// embedded shows what a mark is, and what it costs.
func (p *pager) embedded(r *markEmbedResult) {
	c, m := r.Cost, r.Parameters
	if c == nil || m == nil {
		return // another program's JSON
	}
	s := p.section("The mark")
	s.Verdict(&report.Verdict{Word: "marked", Tone: report.Good, Text: strengthText(m), Facts: []report.Fact{
		{Name: "key", Value: r.Key},
		fact("scheme", "%s", m.Scheme), bitsFact(r),
		{Name: "weights changed", Value: percentText(float64(c.Changed) / float64(max(1, c.Weights))), Note: fmt.Sprintf("%s of %s in %s", commas(c.Changed), commas(c.Weights), count(c.Tensors, "tensor"))},
		{Name: "size of the change", Value: fmt.Sprintf("%.2g", c.Change), Note: "of the norm of these weights"},
		{Name: "change of outputs", Value: fmt.Sprintf("%.2g", c.Output), Note: "predicted, as a share of them"},
	}})
	s = p.section("What it costs")
	var facts []report.Fact
	if a := r.Accuracy; a != nil {
		on := fmt.Sprintf("%s (%s)", a.Data, a.Split)
		facts = append(facts, report.Fact{Name: "accuracy before", Value: percentText(a.Before), Note: on}, report.Fact{Name: "accuracy after", Value: percentText(a.After), Note: fmt.Sprintf("%+.2f points, %s", 100*(a.After-a.Before), count(a.Tries, "strength")+" measured")})
	}
	if k := r.Packed; k != nil && k.Before > 0 {
		after := bytesFact("packed, after", k.After)
		after.Note += fmt.Sprintf(", %+.2f %%", 100*(float64(k.After)/float64(k.Before)-1))
		facts = append(facts, bytesFact("packed, before", k.Before), after)
	}
	if c.Bits != 0 {
		facts = append(facts, report.Fact{Name: "entropy", Value: fmt.Sprintf("%+.0f bits", c.Bits), Note: "of the ideal code of single weights"})
	}
	for _, f := range r.Files {
		facts = append(facts, bytesFact(f.Name, f.Bytes))
	}
	s.Facts(append(facts, fact("time", "%.2f s", r.Seconds))...)
	if r.Accuracy == nil {
		s.Text("The accuracy was not measured: --data measures it.")
	}
	if r.Digest != "" {
		s.Text("Commitment " + r.Digest)
	}
	p.marked(r.Changes)
}

func strengthText(m *mark.Parameters) string {
	switch {
	case m.Epsilon > 0:
		return fmt.Sprintf("Each weight of the marked tensors is changed by ± %.3g standard deviations of its tensor, with signs from the key.", m.Epsilon)
	case m.Moves > 0:
		return fmt.Sprintf("%s moved to a neighbouring level, in directions from the key.", count(m.Moves, "weight"))
	}
	return fmt.Sprintf("Each bit reads with a margin of %.3g times that of a random direction.", m.Margin)
}

func bitsFact(r *markEmbedResult) report.Fact {
	f := report.Fact{Name: "payload", Value: "none", Note: "the mark is there or not"}
	if n := r.Parameters.Bits; n > 0 {
		f = fact("payload", "%d bits", n)
		f.Note = fmt.Sprintf("of %s that would fit", commas(int64(r.Capacity)))
	}
	return f
}

// marked shows what a mark did to each tensor.
func (p *pager) marked(list []tensorChange) {
	if len(list) == 0 {
		return
	}
	names, share, relative := []string{}, report.Numbers{}, report.Numbers{}
	for i := range list {
		c := &list[i]
		names = append(names, c.Name)
		y := math.NaN()
		if c.Relative != nil {
			y = *c.Relative
		}
		share, relative = append(share, c.share()), append(relative, y)
	}
	s := p.section("Tensors")
	s.Chart(
		&report.Chart{Title: "Weights that changed", Caption: "The part of the weights of each marked tensor that are others now.", Data: &report.Bars{X: "tensor", Y: "changed", Names: names, Values: share, Low: value(0), Percent: true}},
		&report.Chart{Title: "Size of the change", Caption: "The norm of the change over that of the tensor: what noise the mark is to each layer.", Data: &report.Bars{X: "tensor", Y: "change / norm", Names: names, Values: relative, Low: value(0)}},
	)
	s.Table(changeTable([]stepChanges{{Tensors: list}}, false))
}

// moveCharts draw how far the values went that changed.
func moveCharts(names []string, before, after *tensor.Set) ([]*report.Chart, error) {
	var list []*report.Chart
	for _, name := range names {
		t, u := before.Lookup(name), after.Lookup(name)
		if t == nil || u == nil || !t.Shape.Equal(u.Shape) {
			continue
		}
		x, err := sampleValues(t, mostValues)
		if err != nil {
			return nil, err
		}
		y, err := sampleValues(u, mostValues)
		if err != nil {
			return nil, err
		}
		var moves []float64
		for i, v := range x {
			if i < len(y) && v != y[i] {
				moves = append(moves, y[i]-v)
			}
		}
		if c := histogramChart(name, t.Elems(), moves, nil, nil); c != nil {
			c.Caption = fmt.Sprintf("How far weights went, of the %s that changed", commas(int64(len(moves))))
			if n := int64(len(x)); n < t.Elems() {
				c.Caption += fmt.Sprintf(", of %s that were looked at", commas(n))
			}
			c.Caption += "."
			c.Data.(*report.Histogram).X, c.Data.(*report.Histogram).Ticks = "after - before", nil //nolint:forcetypeassert // which histogramChart makes
			list = append(list, c)
		}
	}
	return list, nil
}
