package lineage

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/align"
	"ropewalk/tensor"
)

// structure says what became of the neurons: moved, multiplied, added, gone, or of
// another network.
func (c *comparer) structure() error {
	m := c.out.Match
	if m == nil {
		return nil
	}
	classes := m.All()
	for i := range classes {
		c.out.Groups = append(c.out.Groups, groupDifference(&classes[i]))
	}
	if c.out.Canonical == "" {
		if err := c.cosines(); err != nil {
			return err
		}
	}
	c.name(Reorder, true, func(g *GroupDifference) int { return g.Moved }, func(int, int) string { return "reordered" })
	c.name(Padding, true, func(g *GroupDifference) int { return g.Added }, func(n, _ int) string { return "padded with " + count(n, "neuron") })
	c.name(Removal, false, func(g *GroupDifference) int { return len(g.Removed) }, func(n, all int) string {
		return fmt.Sprintf("%s removed (%.0f %%)", count(n, "neuron"), 100*float64(n)/float64(all))
	})
	c.name(Rescale, true, func(g *GroupDifference) int { return g.Rescaled }, func(int, int) string { return "rescaled" })
	c.name(SignFlip, true, func(g *GroupDifference) int { return g.Flipped }, func(int, int) string { return "sign-flipped" })
	c.name(Partial, false, func(g *GroupDifference) int { return len(g.Strangers) }, func(n, all int) string {
		return fmt.Sprintf("partly derived: %.0f %% of the neurons are others", 100*float64(n)/float64(all))
	})
	return nil
}

// minPartial is the least share of the neurons that makes a network partly another.
const minPartial = 0.02

// name enters a change of neurons, if there is one.
func (c *comparer) name(k Kind, preserves bool, of func(*GroupDifference) int, text func(n, all int) string) {
	x := Change{Kind: k, Preserves: preserves}
	all := 0
	for i := range c.out.Groups {
		g := &c.out.Groups[i]
		all += g.Neurons
		if n := of(g); n > 0 {
			x.Neurons += n
			x.Names = append(x.Names, g.Name)
		}
	}
	if x.Neurons == 0 || k == Partial && float64(x.Neurons) < minPartial*float64(all) {
		return // a few that were replaced are edits
	}
	if k == Removal || k == Partial {
		x.Share = float64(x.Neurons) / float64(all)
	}
	x.Text = text(x.Neurons, all)
	c.out.Changes = append(c.out.Changes, x)
}

func groupDifference(x *align.ClassResult) GroupDifference {
	g := GroupDifference{Name: x.Name, Neurons: len(x.Sus), Suspect: len(x.Ref), Moved: moved(x)}
	for i, j := range x.Sus {
		switch {
		case j < 0:
			g.Removed = append(g.Removed, i)
			continue
		case x.Certainty != nil && x.Certainty[i] >= certain:
			g.Certain++
		}
		scaled, flipped := false, false
		for _, f := range x.Scale {
			scaled = scaled || math.Abs(f[i]) != 1
			flipped = flipped || f[i] < 0
		}
		if scaled {
			g.Rescaled++
		}
		if flipped {
			g.Flipped++
		}
	}
	for _, i := range x.Ref {
		if i < 0 {
			g.Added++
		}
	}
	if g.Added > 0 || len(g.Removed) > 0 {
		g.Moved = displaced(x.Sus)
	}
	return g
}

// displaced counts the neurons that have to move for the others to keep their order, where
// places alone say nothing because some neurons were added or are gone: all but a longest
// rising sequence.
func displaced(sus []int) int {
	var ends []int // of the best sequence of each length
	n := 0
	for _, j := range sus {
		if j < 0 {
			continue
		}
		n++
		k, _ := slices.BinarySearch(ends, j)
		if k == len(ends) {
			ends = append(ends, j)
		} else {
			ends[k] = j
		}
	}
	return n - len(ends)
}

// cosines fills in how much neurons resemble their partners, and finds those that do not.
func (c *comparer) cosines() error {
	type sums struct{ xx, xy, yy []float64 }
	of := map[string]*sums{}
	type place struct {
		group          string
		axis, run, str int
		at             []int
		n              int
	}
	byTensor := map[string][]place{}
	dims := map[string]float64{} // numbers of a neuron
	for i := range c.spec.Groups {
		g := &c.spec.Groups[i]
		of[g.Name] = &sums{make([]float64, g.Size), make([]float64, g.Size), make([]float64, g.Size)}
		for _, p := range g.Places {
			if p.Tensors == nil {
				byTensor[p.Tensor] = append(byTensor[p.Tensor], place{g.Name, p.Axis, p.Run, p.Stride, p.At, g.Size})
			}
		}
	}
	for _, t := range c.scaled.All() {
		places := byTensor[t.Name]
		u := c.moved.Lookup(t.Name)
		if len(places) == 0 || len(t.Shape) < 2 {
			continue
		}
		x, y, err := both(t, u)
		if err != nil {
			return err
		}
		if x == nil {
			continue
		}
		weight := 1 / max(square(x), math.SmallestNonzeroFloat64) * float64(len(x))
		for _, p := range places {
			s := of[p.group]
			inner := 1
			for _, n := range t.Shape[p.axis+1:] {
				inner *= int(n)
			}
			axis := int(t.Shape[p.axis])
			owner := make([]int, axis)
			for i := range owner {
				owner[i] = -1
			}
			for i := range p.n {
				for r := range p.run {
					at := i*p.run + r*p.str
					if p.at != nil {
						at = p.at[i] + r*p.str
					}
					owner[at] = i
				}
			}
			for at := 0; at < len(x); at += inner {
				i := owner[at/inner%axis]
				if i < 0 {
					continue
				}
				var xx, xy, yy float64
				for k := at; k < at+inner; k++ {
					a, b := float64(x[k]), float64(y[k])
					xx, xy, yy = xx+a*a, xy+a*b, yy+b*b
				}
				s.xx[i], s.xy[i], s.yy[i] = s.xx[i]+weight*xx, s.xy[i]+weight*xy, s.yy[i]+weight*yy
			}
			dims[p.group] += float64(len(x)) / float64(p.n)
		}
	}
	for i := range c.out.Groups {
		g := &c.out.Groups[i]
		s := of[g.Name]
		if s == nil {
			continue
		}
		g.Cosines = make([]float64, g.Neurons)
		for k := range g.Cosines {
			if d := s.xx[k] * s.yy[k]; d > 0 {
				g.Cosines[k] = s.xy[k] / math.Sqrt(d)
			}
		}
		g.Strangers = strangers(g, s.xx, s.xy, s.yy, dims[g.Name])
	}
	return nil
}

// strangers returns the neurons of a group that have nothing of their partner where what
// happened to the others would have left enough to see: xx, xy and yy are sums of squares
// and products over dim numbers of each.
func strangers(g *GroupDifference, xx, xy, yy []float64, dim float64) []int {
	var slopes []float64
	for i := range xx {
		if xx[i] > 0 && yy[i] > 0 {
			slopes = append(slopes, xy[i]/xx[i])
		}
	}
	if len(slopes) == 0 {
		return nil
	}
	slices.Sort(slopes)
	// What most have kept; of a mixture with strangers, what those have kept that are none.
	slope := min(1, slopes[len(slopes)*9/10])
	var rest []float64
	for i := range xx {
		rest = append(rest, yy[i]-2*slope*xy[i]+slope*slope*xx[i])
	}
	slices.Sort(rest)
	noise := max(0, rest[len(rest)/2])
	var out []int
	for i := range xx {
		if xx[i] == 0 || yy[i] == 0 || 4*slope*slope*xx[i] < noise || slices.Contains(g.Removed, i) {
			continue // of neurons far below the noise nothing is to be seen
		}
		chance := math.Sqrt(xx[i] * yy[i] / dim)
		if expected, seen := slope*xx[i]/chance, xy[i]/chance; expected > 8 && seen < 4 {
			out = append(out, i)
		}
	}
	return out
}

// both reads a tensor on both sides, or returns nil if these are not alike.
func both(a, b *tensor.Tensor) (x, y []float32, err error) {
	if a == nil || b == nil || !a.Shape.Equal(b.Shape) || !a.DType.Numeric() || !b.DType.Numeric() {
		return nil, nil, nil
	}
	if x, err = floats(a); err != nil {
		return nil, nil, err
	}
	y, err = floats(b)
	return x, y, err
}

func square(x []float32) float64 {
	s := 0.0
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	return s
}
