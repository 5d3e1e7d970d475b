package cli

import (
	"errors"
	"io/fs"

	"ropewalk/internal/atomicfile"
	"ropewalk/internal/report"
)

// demoParts are results of the commands of a demo that its page draws.
type demoParts struct {
	small  *inspectResult
	verify *verifyResult
	align  *alignResult
	mark   *markExtractResult
}

// writePage writes the page about the whole demo, in the folder of the demo.
func (d *demo) writePage() error {
	d.r.Page = demoPage
	p := newPage("demo", "The whole story")
	p.Lead = "A network that is trained, made small, marked, stolen, and known again."
	p.demo(d.r)
	story := p.ledger
	for _, run := range []struct{ about, file string }{{"In floats", demoFloat}, {"To be small", demoSmall}} {
		events, err := d.readHistory(run.file + historyExt)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was not trained here
		}
		if err != nil {
			return err
		}
		p.about = run.about
		p.history(events)
	}
	p.about = demoSmall
	if err := p.inspect(d.page.small, nil); err != nil {
		return err
	}
	p.about = "What was done"
	p.verify(d.page.verify)
	p.differences(d.page.verify.Tensors)
	p.about = "Which neuron is which"
	p.align(d.page.align)
	p.about = "The mark"
	p.mark(d.page.mark, "")
	p.about, p.ledger = "", story
	p.claims()
	_, err := writeFile(demoPage, true, func(w *atomicfile.File) error { return report.Write(w, p.Page, nil) })
	return err
}

// demo shows the story: how large the network was in the end of each step, and how good.
func (p *pager) demo(r *demoResult) {
	s := p.section("Sizes and accuracies")
	files := []struct {
		name     string
		bytes    int64
		accuracy float64
	}{
		{"as trained", r.Bytes.Float, r.Accuracy.Float},
		{"packed without loss", r.Bytes.Lossless, r.Accuracy.Float},
		{"trained to be small", r.Bytes.Small, r.Accuracy.Small},
		{"marked", r.Bytes.Marked, r.Accuracy.Marked},
		{"stolen", r.Bytes.Stolen, r.Accuracy.Stolen},
	}
	var facts []report.Fact
	var points []report.Curve
	for _, f := range files {
		facts = append(facts, report.Fact{Name: f.name, Value: byteSize(f.bytes).String(), Note: percentText(f.accuracy) + " of " + commas(int64(r.Accuracy.Examples)) + " right"})
		if f.bytes > 0 {
			points = append(points, report.Curve{Name: f.name, X: report.Numbers{float64(f.bytes)}, Y: report.Numbers{100 * f.accuracy}})
		}
	}
	s.Facts(facts...)
	s.Chart(&report.Chart{
		Title: "Size against accuracy", Caption: "Each point is a file of the demo; what is packed without loss is as good as before.", Wide: true,
		Data: &report.Scatter{X: "bytes", Y: "test images right, %", LogX: true, Groups: points},
	})
	for i := range r.Steps {
		p.ledger = append(p.ledger, report.Claim{Text: r.Steps[i].Text, Command: r.Steps[i].Command})
	}
}
