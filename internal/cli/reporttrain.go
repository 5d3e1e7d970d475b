package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"ropewalk/internal/report"
	"ropewalk/train"
)

// maxHistory bounds the history of a run, in bytes.
const maxHistory = 256 << 20

// maxEpoch bounds a line of it.
const maxEpoch = 1 << 20

// readHistory reads the history of a run. The last line may be incomplete: the run may
// be at work on it.
func (e *env) readHistory(path string) ([]train.Event, error) {
	f, err := e.openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if most := cmp.Or(e.history, maxHistory); st.Size() > most {
		err := budgetf("%s has %v, more than the %v that a history may have here", path, byteSize(st.Size()), byteSize(most))
		if most < maxHistory {
			return nil, err.withHint("%s", shellWords("ropewalk", "report", path, "-o", "report.html"))
		}
		return nil, err
	}
	return parseHistory(path, io.LimitReader(f, st.Size()))
}

func parseHistory(path string, r io.Reader) ([]train.Event, error) {
	lines := bufio.NewReaderSize(r, maxEpoch)
	var events []train.Event
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, &verdict{status: exitRefused, err: fmt.Errorf("%s: line %d is longer than %v, which no epoch of a history is", path, n, byteSize(maxEpoch))}
		}
		if errors.Is(err, io.EOF) {
			return events, nil // what follows the last line is being written
		}
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var ev train.Event
		if err := json.Unmarshal(line, &ev); err != nil || ev.Type != "epoch" {
			return nil, &verdict{status: exitRefused, err: fmt.Errorf("%s: line %d is not an epoch of a history", path, n)}
		}
		events = append(events, ev)
	}
}

// history draws the curves of a run.
func (p *pager) history(events []train.Event) {
	s := p.section("Training")
	if len(events) == 0 {
		s.Text("No epoch is over yet.")
	} else {
		last := &events[len(events)-1]
		facts := []report.Fact{fact("epochs", "%s", commas(int64(last.Epoch))), fact("updates", "%s", commas(int64(last.Step))), fact("loss", "%.4f", last.Loss), fact("time", "%.1f s", last.Seconds)}
		if best := bestOf(events); best != nil {
			facts = append(facts, scoreFact("best", best.Validation, fmt.Sprintf("after epoch %d", best.Epoch)))
		}
		s.Facts(facts...)
	}
	loss := report.Curve{Name: "loss"}
	held := report.Curve{Name: "loss, validation", Dashed: true}
	top1, top5 := report.Curve{Name: "top-1"}, report.Curve{Name: "top-5", Dashed: true}
	rate := report.Curve{Name: "rate"}
	penalties, notes := map[string]*report.Curve{}, map[string]*report.Curve{}
	add := func(c *report.Curve, x int, y float64) { c.X, c.Y = append(c.X, float64(x)), append(c.Y, y) }
	named := func(m map[string]*report.Curve, name string, x int, y float64) {
		if m[name] == nil && len(m) < report.MaxCurves {
			m[name] = &report.Curve{Name: name}
		}
		if m[name] != nil {
			add(m[name], x, y)
		}
	}
	for i := range events {
		ev := &events[i]
		add(&loss, ev.Epoch, ev.Loss)
		add(&rate, ev.Epoch, ev.Rate)
		if v := ev.Validation; v != nil {
			add(&held, ev.Epoch, v.Loss)
			if v.Top1 != nil {
				add(&top1, ev.Epoch, *v.Top1)
			}
			if v.Top5 != nil {
				add(&top5, ev.Epoch, *v.Top5)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(ev.Penalties)) {
			named(penalties, name, ev.Epoch, ev.Penalties[name])
		}
		for _, who := range slices.Sorted(maps.Keys(ev.Notes)) {
			for _, name := range slices.Sorted(maps.Keys(ev.Notes[who])) {
				named(notes, who+" "+name, ev.Epoch, ev.Notes[who][name])
			}
		}
	}
	// A page that is watched has the same charts from the first epoch on.
	losses := &report.Lines{X: "epoch", Y: "loss", Curves: []report.Curve{loss}}
	if len(held.X) > 0 {
		losses.Curves = append(losses.Curves, held)
	}
	charts := []*report.Chart{{Title: "Loss", Caption: "Mean over the examples of each epoch, as the network was when it saw them.", Data: losses}}
	if len(top1.X) > 0 {
		a := &report.Lines{X: "epoch", Y: "share of the examples", Percent: true, Curves: []report.Curve{top1}}
		if len(top5.X) > 0 {
			a.Curves = append(a.Curves, top5)
		}
		charts = append(charts, &report.Chart{Title: "Accuracy", Caption: "On the validation data.", Data: a})
	}
	if len(penalties) > 0 {
		l := &report.Lines{X: "epoch", Y: "penalty"}
		for _, name := range slices.Sorted(maps.Keys(penalties)) {
			l.Curves = append(l.Curves, *penalties[name])
		}
		charts = append(charts, &report.Chart{Title: "Penalties", Caption: "Means over the updates of each epoch.", Data: l})
	}
	for _, name := range slices.Sorted(maps.Keys(notes)) {
		charts = append(charts, noteChart(*notes[name]))
	}
	charts = append(charts, &report.Chart{Title: "Learning rate", Caption: "Of the last update of each epoch.", Data: &report.Lines{X: "epoch", Y: "rate", Curves: []report.Curve{rate}}})
	s.Chart(charts...)
	t := &report.Table{Columns: []report.Column{{Name: "epoch"}, {Name: "loss"}, {Name: "validation loss"}, {Name: "top-1"}, {Name: "top-5"}, {Name: "rate"}, {Name: "seconds"}}}
	marked := keepsBest(events)
	for i := range events {
		ev := &events[i]
		row := []report.Cell{numberCell(int64(ev.Epoch)), realCell("%.5f", ev.Loss), noCell, noCell, noCell, realCell("%.3g", ev.Rate), realCell("%.1f", ev.Seconds)}
		if v := ev.Validation; v != nil {
			row[2] = realCell("%.5f", v.Loss)
			if v.Top1 != nil {
				row[3] = shareCell(*v.Top1)
			}
			if v.Top5 != nil {
				row[4] = shareCell(*v.Top5)
			}
			if ev.Best && marked {
				row[2].Tone = report.Good
			}
		}
		t.Row(row...)
	}
	if len(t.Rows) > 0 {
		p.section("Epochs").Table(t)
	}
}

// keepsBest reports whether a run can end with the weights of its best epoch. Training for
// size cannot: the last symbols are what is stored.
func keepsBest(events []train.Event) bool {
	return !slices.ContainsFunc(events, func(ev train.Event) bool { return ev.Notes[penaltyHemp] != nil })
}

// hempNotes are what training for size says of its epochs, by the names that
// [compact.Recipe.Observe] gives them.
var hempNotes = map[string]struct{ title, y, caption string }{
	"loss":      {"Loss of the floats", "loss", "On the validation data, with the floats behind the quantized weights."},
	"top1":      {"Accuracy of the floats", "share of the examples", "On the validation data, with the floats behind the quantized weights."},
	"h1":        {"Entropy of single weights", "bits per weight", "H_1 of the quantized weights, all tensors together: what a coder needs that looks at one weight at a time."},
	"hn":        {"Entropy of blocks", "bits per weight", "H_n/n of the quantized weights, all tensors together: what a coder needs for a weight that looks at blocks of n, as --order says (else 3 as published, 2 by default)."},
	"nonzero":   {"Weights that are not zero", "weights", "Of those that are quantized."},
	"bytes":     {"Size of the file", "bytes", "If training had ended there."},
	"estimated": {"Size in the end", "bytes", "As it was foreseen then."},
	"lambda":    {"What a bit costs", "nats of the loss", "At the last update of each epoch."},
}

// noteChart draws what an observer says, of whom and what the curve is named.
func noteChart(c report.Curve) *report.Chart {
	who, what, _ := strings.Cut(c.Name, " ")
	l := &report.Lines{X: "epoch", Y: what, Curves: []report.Curve{c}}
	n, ok := hempNotes[what]
	if !ok || who != penaltyHemp {
		return &report.Chart{Title: c.Name, Data: l}
	}
	l.Y, l.Percent, l.Curves[0].Name = n.y, what == "top1", n.title
	return &report.Chart{Title: n.title, Caption: n.caption, Data: l}
}

// bestOf returns the last epoch that was better than all before, or nil if there is none,
// or it does not matter.
func bestOf(events []train.Event) *train.Event {
	if !keepsBest(events) {
		return nil
	}
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Best && events[i].Validation != nil {
			return &events[i]
		}
	}
	return nil
}

// trained shows the result of a run.
func (p *pager) trained(r *trainResult) {
	s := p.section("Result")
	facts := []report.Fact{
		fact("network", "%s", r.Net), fact("parameters", "%s", commas(r.Parameters)), bytesFact("file", r.Bytes), fact("data", "%s", r.Data),
		fact("examples", "%s", commas(int64(r.Examples))), fact("seed", "%d", r.Seed),
	}
	if r.Validation != nil {
		facts = append(facts, scoreFact(r.validationName(), r.Validation.Summary(), "of "+commas(int64(r.Validation.Examples))))
	}
	if r.Test != nil {
		facts = append(facts, scoreFact("test", r.Test.Summary(), "of "+commas(int64(r.Test.Examples))))
	}
	if h := r.Hemp; h != nil {
		facts = append(facts, fact("weights not zero", "%s of %s", commas(int64(h.Nonzero)), commas(int64(h.Quantized))), fact("λ", "%.3g", h.Lambda))
	}
	s.Facts(facts...)
	if h := r.Hemp; h != nil && len(h.Tries) > 1 {
		c := report.Curve{Name: "tries", Points: true}
		tries := slices.Clone(h.Tries)
		slices.SortStableFunc(tries, func(a, b try) int { return int(min(1, max(-1, a.Bytes-b.Bytes))) })
		for _, x := range tries {
			if x.Error == "" {
				c.X, c.Y, c.Labels = append(c.X, float64(x.Bytes)), append(c.Y, x.Top1), append(c.Labels, fmt.Sprintf("λ = %.3g", x.Lambda))
			}
		}
		s.Chart(&report.Chart{Title: "Size against accuracy", Caption: "Each point is a training with another λ.", Wide: true, Data: &report.Lines{X: "bytes", Y: "top-1", Percent: true, Curves: []report.Curve{c}}})
	}
	if r.Test != nil {
		p.classes(r.Test)
	} else if r.Validation != nil {
		p.classes(r.Validation)
	}
}

// trainPage is the page of a run that has come to its end.
func (e *env) trainPage(r *trainResult) (*report.Page, error) {
	p := newPage("train", filepath.Base(r.Output))
	p.trained(r)
	events, err := e.readHistory(r.History)
	if err != nil {
		return nil, err
	}
	p.history(events)
	p.claims(trainClaim(r, e.command()))
	return p.Page, nil
}

func trainClaim(r *trainResult, command string) report.Claim {
	c := report.Claim{Text: fmt.Sprintf("%s with the weights in %s", r.Net, r.Output), Command: command, Assumption: "the same kind of machine, for the same weights bit for bit"}
	if command == "" {
		c.Command = shellWords("ropewalk", "train", "--recipe", r.Recipe, "-o", "again"+filepath.Ext(r.Output))
	}
	switch {
	case r.Test != nil:
		c.Text, c.Value = c.Text+" has on the test data", scores(r.Test.Summary(), r.Test.Examples)
	case r.Validation != nil:
		c.Text, c.Value = c.Text+" has on the validation data", scores(r.Validation.Summary(), r.Validation.Examples)
	default:
		c.Text, c.Value = c.Text+" ended with a loss of", fmt.Sprintf("%.4f", r.Loss)
	}
	return c
}
