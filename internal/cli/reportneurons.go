package cli

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"ropewalk/internal/report"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// A neuronView is what became of the neurons of a group, by the weights that make them.
// It is of one tensor: that with the most weights that can be looked at.
type neuronView struct {
	group, tensor string
	n             int // neurons of the reference
	// Of each neuron of the reference: the cosine between it and its partner, what its
	// norm was multiplied by, and the norm of the difference over that of the neuron. NaN
	// where the neuron or its partner is zero.
	cosine, ratio, change []float64
	// Similarities of some neurons, reference × suspect, before and after the suspect was
	// put in order; before is nil if the suspect has other shapes.
	shown         int
	before, after []float64
}

// The limits of what is looked at for charts of neurons.
const (
	mostMaps      = 12      // groups with a heat map
	mostShown     = 256     // neurons of a heat map, before cells are joined
	mostNumbers   = 2048    // numbers of a neuron that a cosine of a heat map is made of
	mostViewed    = 1 << 22 // values of a tensor
	mostGroupRows = 48      // rows of the map of changed neurons
	mostLeftNamed = 8       // groups without charts that are named
)

// neuronViews compares the neurons of ref with those of restored, the suspect in the
// order of the reference, and of sus, the suspect as it came. Groups of which no tensor
// can be looked at are left out, and named.
func neuronViews(ctx context.Context, spec *symmetry.Spec, ref, sus, restored *tensor.Set) (views []neuronView, left []string, err error) {
	every := 1 + (len(spec.Groups)-1)/mostMaps
	for i := range spec.Groups {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		g := &spec.Groups[i]
		p := viewed(g, ref, restored)
		if p == nil {
			left = append(left, g.Name)
			continue
		}
		a, err := neuronRows(ref.Lookup(p.Tensor), p, g.Size)
		if err != nil {
			return nil, nil, err
		}
		b, err := neuronRows(restored.Lookup(p.Tensor), p, g.Size)
		if err != nil {
			return nil, nil, err
		}
		v := neuronView{group: g.Name, tensor: p.Tensor, n: g.Size}
		v.compare(a, b)
		if i%every == 0 {
			v.shown = min(g.Size, mostShown)
			v.after = similarities(a, b, v.shown)
			if t := sus.Lookup(p.Tensor); t != nil && t.Shape.Equal(ref.Lookup(p.Tensor).Shape) && t.DType.Known() {
				own, err := neuronRows(t, p, g.Size)
				if err != nil {
					return nil, nil, err
				}
				v.before = similarities(a, own, v.shown)
			}
		}
		views = append(views, v)
	}
	return views, left, nil
}

// viewed returns where the neurons of a group are made: the largest place that both
// sides have in one shape and that is not too large.
func viewed(g *symmetry.Group, a, b *tensor.Set) *symmetry.Place {
	var best *symmetry.Place
	most := int64(0)
	for i := range g.Places {
		p := &g.Places[i]
		t, u := a.Lookup(p.Tensor), b.Lookup(p.Tensor)
		if p.Tensors != nil || p.Role != symmetry.Incoming || t == nil || u == nil || !t.Shape.Equal(u.Shape) || !t.DType.Known() || !u.DType.Known() {
			continue
		}
		if n := t.Elems(); n > most && n <= mostViewed && isReal(t) && isReal(u) {
			best, most = p, n
		}
	}
	return best
}

func isReal(t *tensor.Tensor) bool { return partOf(t.DType) == t.DType && t.DType.Bits() >= 8 }

// neuronRows reads a tensor and returns the numbers of each neuron.
func neuronRows(t *tensor.Tensor, p *symmetry.Place, n int) ([][]float64, error) {
	v, err := sampleValues(t, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	outer, inner := 1, 1
	for i, d := range t.Shape {
		switch {
		case i < p.Axis:
			outer *= int(d)
		case i > p.Axis:
			inner *= int(d)
		}
	}
	dim := int(t.Shape[p.Axis])
	rows := make([][]float64, n)
	for i := range rows {
		rows[i] = make([]float64, 0, outer*p.Run*inner)
		for o := range outer {
			for k := range p.Run {
				from := (o*dim + p.Position(i, k)) * inner
				if from < 0 || from+inner > len(v) {
					return nil, fmt.Errorf("%s: neuron %d is outside of shape %v", t.Name, i, t.Shape)
				}
				rows[i] = append(rows[i], v[from:from+inner]...)
			}
		}
	}
	return rows, nil
}

func (v *neuronView) compare(a, b [][]float64) {
	for i := range a {
		xx, yy, xy, dd := 0.0, 0.0, 0.0, 0.0
		for k, x := range a[i] {
			y := b[i][k]
			xx += x * x
			yy += y * y
			xy += x * y
			dd += (x - y) * (x - y)
		}
		v.cosine = append(v.cosine, min(1, xy/math.Sqrt(xx*yy)))
		v.ratio = append(v.ratio, math.Sqrt(yy/xx))
		v.change = append(v.change, math.Sqrt(dd/xx))
	}
}

// similarities returns the cosines of all pairs of shown neurons.
func similarities(a, b [][]float64, shown int) []float64 {
	unit := func(rows [][]float64) [][]float64 {
		out := make([][]float64, shown)
		for i := range out {
			row := rows[i*len(rows)/shown]
			step := 1 + (len(row)-1)/mostNumbers
			sum := 0.0
			for k := 0; k < len(row); k += step {
				out[i] = append(out[i], row[k])
				sum += row[k] * row[k]
			}
			for k := range out[i] {
				out[i][k] /= math.Sqrt(sum)
			}
		}
		return out
	}
	x, y := unit(a), unit(b)
	c := make([]float64, shown*shown)
	for i := range x {
		for j := range y {
			sum := 0.0
			for k, u := range x[i] {
				sum += u * y[j][k]
			}
			c[i*shown+j] = sum
		}
	}
	return c
}

// neurons draws what the views show, and names the groups that are left out.
func (p *pager) neurons(views []neuronView, left []string) {
	if len(views)+len(left) == 0 {
		return
	}
	s := p.section("Neurons, by their incoming weights")
	if len(left) > 0 {
		few := left[:min(len(left), mostLeftNamed)]
		text := fmt.Sprintf("%s of %d have no charts here, since no tensor that makes their neurons has one shape on both sides and at most %s numbers of 8 bits or more: %s",
			count(len(left), "group"), len(left)+len(views), commas(mostViewed), strings.Join(few, ", "))
		if more := len(left) - len(few); more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		s.Text(text + ". What was found of them is in the tables.")
	}
	if len(views) == 0 {
		return
	}
	maps := &report.Choice{Label: "Group"}
	for i := range views {
		if v := &views[i]; v.after != nil {
			maps.Charts = append(maps.Charts, v.chart())
		}
	}
	s.Choice(maps)
	s.Chart(normChart(views))
	s.Chart(changeChart(views))
}

func (v *neuronView) chart() *report.Chart {
	h := &report.Heatmap{X: "suspect", Y: "reference", Unit: "cosine", Low: -1, High: 1, Signs: true}
	if v.before != nil {
		h.Panes = append(h.Panes, report.NewPane("as it came", v.shown, v.shown, v.before, -1, 1))
	}
	h.Panes = append(h.Panes, report.NewPane("in the order of the reference", v.shown, v.shown, v.after, -1, 1))
	for i := range h.Panes {
		if v.shown < v.n || h.Panes[i].Rows < v.n {
			h.Panes[i].TotalRows, h.Panes[i].TotalCols = v.n, v.n
		}
	}
	caption := fmt.Sprintf("Cosines between neurons in %s. A diagonal shows neurons at their places.", v.tensor)
	if v.shown < v.n {
		caption += fmt.Sprintf(" Of %s neurons, %d are shown.", commas(int64(v.n)), v.shown)
	}
	return &report.Chart{Title: fmt.Sprintf("%s, %s", v.group, count(v.n, "neuron")), Caption: caption, Data: h}
}

// normChart shows what cosines cannot see: norms that changed while the direction was kept.
func normChart(views []neuronView) *report.Chart {
	c := report.Curve{Name: "neurons"}
	low, high := math.Inf(1), 0.0
	for i := range views {
		v := &views[i]
		for k := range v.cosine {
			if v.cosine[k]-v.cosine[k] != 0 || v.ratio[k]-v.ratio[k] != 0 {
				continue
			}
			low, high = min(low, v.ratio[k]), max(high, v.ratio[k])
			c.X, c.Y = append(c.X, v.cosine[k]), append(c.Y, v.ratio[k])
			c.Labels = append(c.Labels, fmt.Sprintf("%s, neuron %d", v.group, k))
		}
	}
	return &report.Chart{
		Title:   "Norm and direction",
		Caption: "Each point is a neuron and its partner, factors that cancel taken back. At 1 and 1 nothing changed; above or below that, the norm was changed and the direction kept, which no cosine shows.",
		Wide:    true,
		Data: &report.Scatter{
			X: "cosine with the reference", Y: "norm / norm in the reference", Groups: []report.Curve{c}, Bounds: []report.Bounds{{Name: "unchanged", At: 1}},
			LogY: low > 0 && high > 4*low,
		},
	}
}

// changeChart is a map of the neurons that changed, a row for each group.
func changeChart(views []neuronView) *report.Chart {
	worst := func(v neuronView) float64 {
		m := 0.0
		for _, x := range v.change {
			if x > m {
				m = x
			}
		}
		return m
	}
	shown := slices.Clone(views)
	slices.SortStableFunc(shown, func(a, b neuronView) int { return cmp.Compare(worst(b), worst(a)) })
	shown = shown[:min(len(shown), mostGroupRows)]
	names := map[string]bool{}
	width := 0
	for _, v := range shown {
		names[v.group] = true
		width = max(width, v.n)
	}
	shown = slices.DeleteFunc(slices.Clone(views), func(v neuronView) bool { return !names[v.group] })
	shown = shown[:min(len(shown), mostGroupRows)] // groups with one name
	values := make([]float64, len(shown)*width)
	labels := &report.Labels{}
	high := 0.0
	for i, v := range shown {
		labels.Rows = append(labels.Rows, v.group)
		for k := range width {
			values[i*width+k] = math.NaN()
			if k < v.n {
				x := v.change[k]
				if values[i*width+k] = x; x-x == 0 && x > high {
					high = x
				}
			}
		}
	}
	scale := high
	if scale == 0 {
		scale = 1 // nothing changed: one colour
	}
	caption := "How far each neuron is from its partner, as a part of its norm. Cells that stand for several neurons show the one that changed most."
	if len(shown) < len(views) {
		caption += fmt.Sprintf(" Of %d groups, the %d that changed most.", len(views), len(shown))
	}
	pane := report.NewPane("", len(shown), width, values, 0, scale)
	return &report.Chart{Title: "Changed neurons", Caption: caption, Wide: true, Data: &report.Heatmap{X: "neuron", Unit: "of the norm", Low: 0, High: report.Value(scale), Panes: []report.Pane{pane}, Cells: labels}}
}
