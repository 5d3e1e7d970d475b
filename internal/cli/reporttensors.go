package cli

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"ropewalk/checkpoint"
	"ropewalk/internal/report"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// pages of inspect and pack: what is in a checkpoint, and what its bytes are spent on.

// inspectPage makes the page of inspect; set has the values, or is nil.
func (e *env) inspectPage(r *inspectResult, set *tensor.Set, command string) (*report.Page, error) {
	p := newPage("inspect", filepath.Base(r.File))
	if err := p.inspect(r, set); err != nil {
		return nil, err
	}
	what := fmt.Sprintf("%s has %s with %s values, in", filepath.Base(r.File), count(r.Count, "tensor"), commas(r.Values))
	p.claims(report.Claim{Text: what, Value: commas(r.Bytes) + " bytes", Command: command})
	return p.Page, nil
}

func (p *pager) inspect(r *inspectResult, set *tensor.Set) error {
	s := p.section("What it is")
	facts := []report.Fact{
		{Name: "format", Value: r.Format, Note: holdsText(r)},
		bytesFact("size", r.Bytes), fact("tensors", "%s", commas(int64(r.Count))), fact("values", "%s", commas(r.Values)),
		fact("bits per value", "%.3f", 8*float64(r.Bytes)/float64(max(1, r.Values))),
	}
	if r.Original > 0 {
		facts = append(facts, report.Fact{Name: "packed to", Value: percentText(float64(r.Bytes) / float64(r.Original)), Note: "of " + commas(r.Original) + " bytes"})
	}
	s.Facts(facts...)
	if r.Root != "" {
		s.Text("Root digest " + r.Root)
	}
	return p.contents(r, set)
}

// contents shows what the bytes are spent on, and the tensors.
func (p *pager) contents(r *inspectResult, set *tensor.Set) error {
	s := p.section("Where the bytes are")
	s.Chart(ledgerChart(r))
	s.Table(ledgerTable(r.Ledger))
	if set != nil {
		charts, err := histograms(largest(r.Tensors, set), set, nil)
		if err != nil {
			return err
		}
		if len(charts) > 0 {
			p.section("Values").Choice(&report.Choice{Label: "Tensor", Charts: charts})
		}
	}
	p.entropy(r)
	if r.Groups != nil {
		p.groups(r.Groups)
	}
	p.section("Tensors").Table(tensorTable(r))
	if len(r.Metadata) > 0 {
		t := &report.Table{Columns: []report.Column{{Name: "key", Text: true}, {Name: "value", Text: true}}}
		for _, m := range r.Metadata {
			t.Row(report.Name(m.Key), report.Text(m.Value))
		}
		p.section("Metadata").Table(t)
	}
	return nil
}

func holdsText(r *inspectResult) string {
	if r.Holds == "" {
		return ""
	}
	return "of " + r.Holds
}

// ledgerChart is a treemap of the bytes of a file: tensors by their dotted names, and the
// other parts. Colours are bits for each value.
func ledgerChart(r *inspectResult) *report.Chart {
	bits := map[string]float64{}
	notes := map[string]string{}
	for i := range r.Tensors {
		t := &r.Tensors[i]
		notes[t.Name] = fmt.Sprintf("%s %s", t.DType, t.Shape)
		if t.Stored != nil {
			bits[t.Name] = *t.Stored
		} else if n, _ := t.Shape.Elems(); n > 0 && r.Holds == "" {
			bits[t.Name] = 8 * float64(t.Bytes) / float64(n)
		}
		if r.Holds == "" && t.Stats != nil && t.Stats.Entropy != nil {
			bits[t.Name] = *t.Stats.Entropy
		}
	}
	color := "bits per value"
	if r.Holds == "" && slices.ContainsFunc(r.Tensors, func(t tensorInfo) bool { return t.Stats != nil && t.Stats.Entropy != nil }) {
		color = "entropy, bits per value"
	}
	m := &report.Treemap{Unit: "bytes", Color: color}
	rest := map[string]int64{}
	root := &report.Node{}
	for _, l := range r.Ledger {
		if l.Part != rope.PartTensor {
			rest[l.Part] += l.Bytes
			continue
		}
		leaf := report.Node{Name: l.Name, Value: report.Value(l.Bytes), Note: notes[l.Name]}
		if b, ok := bits[l.Name]; ok {
			leaf.Color = value(b)
		}
		grow(root, strings.Split(l.Name, "."), leaf, 0)
	}
	m.Nodes = root.Children
	for _, part := range []string{rope.PartHeader, rope.PartSkeleton, rope.PartIndex, rope.PartTrailer} {
		if n := rest[part]; n > 0 {
			m.Nodes = append(m.Nodes, report.Node{Name: part, Value: report.Value(n)})
		}
	}
	return &report.Chart{Title: "Bytes of each tensor", Caption: "Areas are bytes in the file; colours say how many bits a value takes. A click goes into a part.", Wide: true, Data: m}
}

// maxAreas is how many parts of a name become areas of their own.
const maxAreas = 4

// grow puts a leaf where its name leads.
func grow(at *report.Node, parts []string, leaf report.Node, depth int) {
	at.Value += leaf.Value
	if len(parts) == 1 || depth == maxAreas {
		leaf.Name = strings.Join(parts, ".")
		at.Children = append(at.Children, leaf)
		return
	}
	// Tensors come in the order of layers, so the branch is mostly the last one.
	for i := len(at.Children) - 1; i >= max(0, len(at.Children)-64); i-- {
		if c := &at.Children[i]; c.Name == parts[0] && c.Children != nil {
			grow(c, parts[1:], leaf, depth+1)
			return
		}
	}
	at.Children = append(at.Children, report.Node{Name: parts[0]})
	grow(&at.Children[len(at.Children)-1], parts[1:], leaf, depth+1)
}

func ledgerTable(ledger []rope.Entry) *report.Table {
	sums, order, total := map[string]int64{}, []string{}, int64(0)
	for _, l := range ledger {
		if _, ok := sums[l.Part]; !ok {
			order = append(order, l.Part)
		}
		sums[l.Part] += l.Bytes
		total += l.Bytes
	}
	t := &report.Table{Columns: []report.Column{{Name: "part", Text: true}, {Name: "bytes"}, {Name: "share"}}}
	for _, part := range order {
		t.Row(report.Text(part), numberCell(sums[part]), shareCell(float64(sums[part])/float64(max(1, total))))
	}
	t.Row(report.Text("all"), numberCell(total), shareCell(1))
	return t
}

func tensorTable(r *inspectResult) *report.Table {
	t := &report.Table{Columns: []report.Column{{Name: "tensor", Text: true}, {Name: "type", Text: true}, {Name: "shape", Text: true}, {Name: "bytes"}}}
	hasStats := len(r.Tensors) > 0 && r.Tensors[0].Stats != nil
	if r.Holds != "" {
		t.Columns = append(t.Columns, report.Column{Name: "stored", Note: "bits per value in the file"})
	}
	if hasStats {
		t.Columns = append(t.Columns, report.Column{Name: "entropy", Note: "order 0, bits per value"}, report.Column{Name: "distinct"}, report.Column{Name: "zeros"})
	}
	for i := range r.Tensors {
		in := &r.Tensors[i]
		row := []report.Cell{report.Name(in.Name), report.Text(string(in.DType)), report.Text(in.Shape.String()), numberCell(in.Bytes)}
		if r.Holds != "" {
			c := report.Text(storedText(in))
			if in.Stored != nil {
				c = realCell("%.2f", *in.Stored)
			}
			row = append(row, c)
		}
		if hasStats {
			row = append(row, statCells(in.Stats)...)
		}
		t.Row(row...)
	}
	return t
}

func statCells(s *tensorStats) []report.Cell {
	if s == nil {
		return []report.Cell{noCell, noCell, noCell}
	}
	row := []report.Cell{noCell, report.Number("> 65,536", maxDistinct+1), shareCell(float64(s.Zeros) / float64(max(1, s.Values)))}
	if s.Entropy != nil {
		row[0] = realCell("%.2f", *s.Entropy)
	}
	if s.Distinct != nil {
		row[1] = numberCell(*s.Distinct)
	}
	return row
}

// entropy shows H_n/n of blocks beside the bits that are stored.
func (p *pager) entropy(r *inspectResult) {
	if r.Pooled == nil {
		return
	}
	l := &report.Lines{X: "weights in a block", Y: "bits per weight"}
	add := func(name string, list []blockEntropy) {
		c := report.Curve{Name: name}
		for _, b := range list {
			c.X, c.Y = append(c.X, float64(b.Order)), append(c.Y, b.Bits)
		}
		l.Curves = append(l.Curves, c)
	}
	add("all together", r.Pooled.Entropy)
	for i := range r.Tensors {
		if t := &r.Tensors[i]; len(t.Entropy) > 0 && len(l.Curves) < 12 {
			add(t.Name, t.Entropy)
		}
	}
	if r.Pooled.Stored != nil {
		l.Bounds = []report.Bounds{{Name: "stored", At: report.Value(*r.Pooled.Stored)}}
	}
	p.section("Entropy of blocks").Chart(&report.Chart{Title: "H_n/n", Caption: "What order there is among weights that stand side by side. Of few blocks it is too low.", Wide: true, Data: l})
}

func (p *pager) groups(g *groupsInfo) {
	t := &report.Table{Columns: []report.Column{{Name: "group", Text: true}, {Name: "neurons"}, {Name: "may be multiplied by", Text: true}, {Name: "places", Text: true}}}
	for _, x := range g.Groups {
		t.Row(report.Name(x.Name), numberCell(int64(x.Size)), report.Text(strings.Join(x.Factors, ", ")), report.Text(strings.Join(x.Places, ", ")))
	}
	s := p.section("Neurons that can move")
	s.Text("Derived from: " + g.Source + ".")
	s.Table(t)
}

// mostHistograms is how many tensors have a histogram on a page.
const mostHistograms = 12

// largest returns the names of the largest tensors of numbers, in their order.
func largest(list []tensorInfo, set *tensor.Set) []string {
	sorted := slices.DeleteFunc(slices.Clone(list), func(t tensorInfo) bool {
		u := set.Lookup(t.Name)
		return u == nil || !u.DType.Known() || u.Elems() < 2
	})
	isVector := func(t tensorInfo) bool { return len(t.Shape) < 2 }
	if slices.ContainsFunc(sorted, func(t tensorInfo) bool { return !isVector(t) }) {
		sorted = slices.DeleteFunc(sorted, isVector)
	}
	slices.SortStableFunc(sorted, func(a, b tensorInfo) int { return cmp.Compare(b.Bytes, a.Bytes) })
	sorted = sorted[:min(len(sorted), mostHistograms)]
	var names []string
	for _, t := range list {
		if slices.ContainsFunc(sorted, func(u tensorInfo) bool { return u.Name == t.Name }) {
			names = append(names, t.Name)
		}
	}
	return names
}

// histograms draws the values of tensors of a, and those of b over them, if there is b;
// names say which is which then.
func histograms(tensors []string, a, b *tensor.Set, names ...string) ([]*report.Chart, error) {
	var list []*report.Chart
	for _, name := range tensors {
		t := a.Lookup(name)
		if t == nil {
			continue
		}
		first, err := sampleValues(t, mostValues)
		if err != nil {
			return nil, err
		}
		var second []float64
		if u := b.Lookup(name); u != nil {
			if second, err = sampleValues(u, mostValues); err != nil {
				return nil, err
			}
		}
		if c := histogramChart(name, t.Elems(), first, second, names); c != nil {
			list = append(list, c)
		}
	}
	return list, nil
}

// mostValues is how many values of a tensor a histogram is made of.
const mostValues = 1 << 18

func histogramChart(name string, n int64, first, second []float64, names []string) *report.Chart {
	low, high := math.Inf(1), math.Inf(-1)
	for _, x := range slices.Concat(first, second) {
		if x-x == 0 {
			low, high = min(low, x), max(high, x)
		}
	}
	if low > high {
		return nil
	}
	if low == high {
		low, high = low-.5, high+.5
	}
	pad := (high - low) / 100
	h := &report.Histogram{X: "value", Edges: report.Bins(low-pad, high+pad, 120)}
	caption := "How often which value is."
	last := first
	if len(names) == 2 {
		h.Tally(names[0], first)
		h.Tally(names[1], second)
		last = second
	} else {
		h.Tally("values", first)
	}
	if levels := levelsOf(last); levels != nil {
		h.Ticks, h.TickName = levels, "levels"
		caption += fmt.Sprintf(" Broken lines are its %d levels.", len(levels))
	}
	if n > mostValues {
		caption += fmt.Sprintf(" Of %s values, %s were looked at.", commas(n), commas(int64(len(first))))
	}
	return &report.Chart{Title: name, Caption: caption, Data: h}
}

// levelsOf returns the different values, if they are few: the levels of a quantizer.
func levelsOf(v []float64) report.Numbers {
	const most = 64
	seen := map[float64]bool{}
	for _, x := range v {
		if x-x != 0 {
			continue
		}
		if seen[x] = true; len(seen) > most {
			return nil
		}
	}
	if len(seen) < 2 || len(v) < 4*len(seen) {
		return nil
	}
	levels := make(report.Numbers, 0, len(seen))
	for x := range seen {
		levels = append(levels, x)
	}
	slices.Sort(levels)
	return levels
}

// sampleValues reads at most that many values of a tensor: all, or runs of them that are
// spread evenly.
func sampleValues(t *tensor.Tensor, most int64) ([]float64, error) {
	part := partOf(t.DType)
	number := floatOf(part)
	bits := int64(part.Bits())
	total := t.Size() * 8 / bits
	if !isPacked(part) && part == t.DType {
		total = t.Elems()
	}
	const runs = 64
	run, step := total, int64(1)
	if total > most {
		run = most / runs &^ 7 // whole bytes, also of packed types
		step = runs
	}
	var out []float64
	var buf []byte
	for k := range step {
		from := (total - run) / max(1, step-1) * k &^ 7
		if step == 1 {
			from = 0
		}
		n := (run*bits + 7) / 8
		b, err := tensor.ReadRange(t.Data, from*bits/8, min(n, t.Size()-from*bits/8), buf)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Name, err)
		}
		for _, v := range appendBits(nil, part, b, run) {
			out = append(out, number(v))
		}
	}
	return out, nil
}

// isPacked reports whether values of a type share bytes.
func isPacked(d tensor.DType) bool { return d.Bits() < 8 }

// packPage is the page of pack: what became smaller, and what the bytes are now.
func (e *env) packPage(r *packResult, c, base *checkpoint.Checkpoint) (*report.Page, error) {
	packed, err := checkpoint.Open(r.Output, &checkpoint.Options{Base: base, Memory: int64(e.memory), Threads: e.threads})
	if err != nil {
		return nil, err
	}
	defer packed.Close()
	p := newPage("pack", filepath.Base(r.Output))
	p.pack(r)
	in := describe(packed)
	info := tensorInfos(packed)
	for i, t := range packed.Tensors.All() {
		in.Tensors = append(in.Tensors, info(i))
		in.Values += t.Elems()
	}
	if r.Quantized != nil {
		charts, err := histograms(largest(in.Tensors, packed.Tensors), c.Tensors, packed.Tensors, "before", "after")
		if err != nil {
			return nil, err
		}
		p.section("Values before and after").Choice(&report.Choice{Label: "Tensor", Charts: charts})
	}
	if err := p.contents(in, nil); err != nil {
		return nil, err
	}
	p.claims(packClaims(r, e.command())...)
	return p.Page, nil
}

func packClaims(r *packResult, command string) []report.Claim {
	if command == "" {
		command = shellWords("ropewalk", "inspect", r.Output)
	}
	list := []report.Claim{{Text: fmt.Sprintf("%s, %s bytes, is in %s, of which the size is", r.Input, commas(r.Original), r.Output), Value: commas(r.Packed) + " bytes", Command: command}}
	if r.Quantized == nil {
		list = append(list, report.Claim{Text: "What is unpacked is the input,", Value: "byte for byte", Command: shellWords("ropewalk", "unpack", r.Output, "-o", "restored"+filepath.Ext(r.Input))})
	}
	return list
}

// pack shows what became smaller.
func (p *pager) pack(r *packResult) {
	s := p.section("Result")
	s.Facts(
		bytesFact("before", r.Original), bytesFact("after", r.Packed), report.Fact{Name: "packed to", Value: percentText(1 / r.Ratio), Note: fmt.Sprintf("%.3f : 1", r.Ratio)},
		fact("tensors", "%s", commas(int64(r.Tensors))), fact("effort", "%s", r.Effort), fact("time", "%.2f s", r.Seconds),
	)
	s.Text("Root digest " + r.Root)
	if q := r.Quantized; q != nil {
		s = p.section("What was lost")
		s.Facts(fact("weights quantized", "%s", commas(q.Weights)), fact("bits per weight", "%.3f", q.Bits), fact("error", "%.3g", q.NMSE), fact("λ", "%.3g", q.Lambda))
		t := &report.Table{Columns: []report.Column{{Name: "tensor", Text: true}, {Name: "shape", Text: true}, {Name: "levels"}, {Name: "bits per weight"}, {Name: "error", Note: "squared error / squared weights"}, {Name: "largest error"}, {Name: "kept", Text: true}}}
		points := report.Curve{Name: "tensors", Points: true}
		for _, x := range q.Tensors {
			if x.Kept != "" {
				t.Row(report.Name(x.Name), report.Text(x.Shape.String()), noCell, noCell, noCell, noCell, report.Text(x.Kept))
				continue
			}
			t.Row(report.Name(x.Name), report.Text(x.Shape.String()), numberCell(int64(x.Levels)), realCell("%.3f", x.Bits), realCell("%.3g", x.NMSE), realCell("%.3g", x.MaxError), report.Text(""))
			if x.NMSE > 0 && x.Bits > 0 {
				points.X, points.Y, points.Labels = append(points.X, x.Bits), append(points.Y, x.NMSE), append(points.Labels, x.Name)
			}
		}
		if len(points.X) > 1 {
			s.Chart(&report.Chart{Title: "Rate and distortion", Caption: "Each point is a tensor.", Wide: true, Data: &report.Scatter{X: "bits per weight", Y: "squared error / squared weights", LogY: true, Groups: []report.Curve{points}}})
		}
		s.Table(t)
	}
}
