package lineage

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/align"
	"ropewalk/align/gauge"
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
		c.out.Groups = append(c.out.Groups, groupDifference(&classes[i], m.Whole))
	}
	if c.out.Canonical == "" {
		if err := c.cosines(); err != nil {
			return err
		}
		if err := c.forgetStrangers(); err != nil {
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

// groupDifference counts what became of the neurons of a group; whole says that nothing else was done to them.
func groupDifference(x *align.ClassResult, whole bool) GroupDifference {
	g := GroupDifference{Name: x.Name, Neurons: len(x.Sus), Suspect: len(x.Ref), Moved: moved(x)}
	for i, j := range x.Sus {
		switch {
		case j < 0:
			g.Removed = append(g.Removed, i)
			continue
		case x.Certainty != nil && x.Certainty[i] >= align.Certain:
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
	// Neurons that nothing explains are those that lost their partners, if there are enough: that
	// some were removed where others were added can't be told from damage.
	unknown := 0
	for _, d := range x.Added {
		if d.Kind == align.Stranger {
			unknown++
		}
	}
	if n := len(g.Removed); n > 0 && n <= unknown && !whole {
		g.Lost, g.Removed = g.Removed, nil
		g.Added -= n
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
	type sums struct{ xx, xy, yy, xl, ll []float64 }
	of := map[string]*sums{}
	byTensor := map[string][]placeOf{}
	dims := map[string]float64{} // numbers of a neuron
	for i := range c.spec.Groups {
		g := &c.spec.Groups[i]
		of[g.Name] = &sums{make([]float64, g.Size), make([]float64, g.Size), make([]float64, g.Size), make([]float64, g.Size), make([]float64, g.Size)}
		for _, p := range g.Places {
			if p.Tensors == nil {
				byTensor[p.Tensor] = append(byTensor[p.Tensor], placeOf{&p, i, 0, g.Size})
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
		like := align.Imitate(x, y)
		if like == nil {
			like = x
		}
		for _, p := range places {
			s := of[c.spec.Groups[p.group].Name]
			inner := 1
			for _, n := range t.Shape[p.Axis+1:] {
				inner *= int(n)
			}
			axis := int(t.Shape[p.Axis])
			doubt := c.doubted(places, t.Shape, p.Axis)
			owner := make([]int, axis)
			for i := range owner {
				owner[i] = -1
			}
			for i := range p.size {
				for r := range p.Run {
					owner[p.Position(i, r)] = i
				}
			}
			for at := 0; at < len(x); at += inner {
				i := owner[at/inner%axis]
				if i < 0 {
					continue
				}
				var xx, xy, yy, xl, ll float64
				for k := at; k < at+inner; k++ {
					if doubt != nil && doubt[at/inner/axis*inner+k-at] {
						continue
					}
					a, b, l := float64(x[k]), float64(y[k]), float64(like[k])
					xx, xy, yy = xx+a*a, xy+a*b, yy+b*b
					xl, ll = xl+a*l, ll+l*l
				}
				s.xx[i], s.xy[i], s.yy[i] = s.xx[i]+weight*xx, s.xy[i]+weight*xy, s.yy[i]+weight*yy
				s.xl[i], s.ll[i] = s.xl[i]+weight*xl, s.ll[i]+weight*ll
			}
			name := c.spec.Groups[p.group].Name
			dims[name] += float64(len(x)-axis*marked(doubt)) / float64(p.size)
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
		// Of neurons of which pruning or a grid leaves nothing, nothing can be missed.
		left := func(i int) bool { return s.xl[i] > 2*seenFrom*math.Sqrt(s.xx[i]*s.ll[i]/dims[g.Name]) }
		g.Strangers = slices.DeleteFunc(strangers(g, s.xx, s.xy, s.yy, dims[g.Name]), func(i int) bool { return !left(i) })
	}
	c.lose()
	if c.few != nil {
		for i := range c.out.Groups {
			g := &c.out.Groups[i]
			g.Strangers, g.Removed, g.Lost, g.Added, g.unlike = c.others(g.Name), nil, nil, 0, nil
		}
	}
	return nil
}

// others returns the neurons of a group that the suspect has not verbatim. Those that it has in their place are a
// stranger's, however many they are: nothing was added or removed.
func (c *comparer) others(group string) (out []int) {
	for k := range c.out.Match.Classes {
		if c.out.Match.Classes[k].Name != group {
			continue
		}
		for i, j := range c.few.Sus[k] {
			if j < 0 {
				out = append(out, i)
			}
		}
	}
	return out
}

const (
	// intact is the cosine of neurons that are what they were but for rounding, and minIntact the
	// share of them in a network that nobody has damaged: factors of some may be off.
	intact    = 0.9999
	minIntact = 0.25
)

// lose takes back that neurons are gone, or are others, from groups of a damaged network that have more
// than the reference: those that damage has made hard to know again may as well be among these.
func (c *comparer) lose() {
	whole, all := 0, 0
	for i := range c.out.Groups {
		for _, x := range c.out.Groups[i].Cosines {
			if x != 0 {
				all++
			}
			if x >= intact {
				whole++
			}
		}
	}
	if c.out.Match.Whole || float64(whole) >= minIntact*float64(all) {
		return
	}
	for i := range c.out.Groups {
		g := &c.out.Groups[i]
		if n := len(g.Removed); n > 0 && n <= g.Added {
			g.Lost = append(g.Lost, g.Removed...)
			slices.Sort(g.Lost)
			g.Removed = nil
			g.Added -= n
		}
		if g.Suspect > g.Neurons {
			g.unlike, g.Strangers = g.Strangers, nil
		}
	}
}

// doubted marks, of the positions on all axes but one, those of neurons that may be others;
// nil is none.
func (c *comparer) doubted(places []placeOf, shape tensor.Shape, but int) []bool {
	marks, dims := make([][]bool, len(shape)), make([]int, len(shape))
	found := false
	for a, n := range shape {
		dims[a] = int(n)
	}
	for _, p := range places {
		if p.Axis == but {
			continue
		}
		x := c.class(c.spec.Groups[p.group].Name)
		for i := range p.size {
			if x == nil || !x.Doubtful(i) {
				continue
			}
			if marks[p.Axis] == nil {
				marks[p.Axis] = make([]bool, dims[p.Axis])
			}
			for r := range p.Run {
				marks[p.Axis][p.Position(i, r)] = true
			}
			found = true
		}
	}
	if !found {
		return nil
	}
	before, behind := gauge.AnyOf(marks[:but], dims[:but]), gauge.AnyOf(marks[but+1:], dims[but+1:])
	out := make([]bool, 0, len(before)*len(behind))
	for _, a := range before {
		for _, b := range behind {
			out = append(out, a || b)
		}
	}
	return out
}

func marked(x []bool) (n int) {
	for _, v := range x {
		if v {
			n++
		}
	}
	return n
}

// class returns the match of a group; nil if there is none.
func (c *comparer) class(name string) *align.ClassResult {
	list := c.out.Match.Classes
	if i := slices.IndexFunc(list, func(x align.ClassResult) bool { return x.Name == name }); i >= 0 {
		return &list[i]
	}
	return nil
}

// forgetStrangers takes back the factors of neurons that are none of the reference's:
// what they were multiplied by is nothing that can be known.
func (c *comparer) forgetStrangers() (err error) {
	found := false
	for i := range c.out.Groups {
		g := &c.out.Groups[i]
		x := c.class(g.Name)
		if x == nil {
			continue
		}
		for _, n := range g.Strangers {
			for f := range x.Scale {
				found = found || x.Scale[f][n] != 1
				x.Scale[f][n] = 1
			}
		}
		again := groupDifference(x, c.out.Match.Whole)
		again.Cosines, again.Strangers = g.Cosines, g.Strangers
		again.Removed, again.Lost, again.Added, again.unlike = g.Removed, g.Lost, g.Added, g.unlike
		*g = again
	}
	if !found {
		return nil
	}
	if c.scaled, err = c.rescaled(); err != nil {
		return err
	}
	c.out.Restored, err = align.Restore(c.spec, c.stock.sus, c.out.Match)
	return err
}

// seenFrom is from how many standard deviations of chance a neuron resembles its partner.
const seenFrom = 4

// strangers returns the neurons of a group that have nothing of their partner where what
// happened to the others would have left enough to see: xx, xy and yy are sums of squares
// and products over dim numbers of each.
func strangers(g *GroupDifference, xx, xy, yy []float64, dim float64) []int {
	chance := func(i int) float64 { return math.Sqrt(xx[i] * yy[i] / dim) }
	var kept []int
	var slopes []float64
	for i := range xx {
		if xx[i] > 0 && yy[i] > 0 && xy[i] > seenFrom*chance(i) {
			kept, slopes = append(kept, i), append(slopes, xy[i]/xx[i])
		}
	}
	if len(slopes) == 0 {
		return nil
	}
	slices.Sort(slopes)
	// What nearly all have kept who have kept anything: damage that hits some neurons more
	// than others leaves no gap below that.
	slope := min(1, slopes[len(slopes)/10])
	var rest []float64
	for _, i := range kept {
		rest = append(rest, yy[i]-2*slope*xy[i]+slope*slope*xx[i])
	}
	slices.Sort(rest)
	noise := max(0, rest[len(rest)/2])
	large := func(x []float64) float64 { return slices.Sorted(slices.Values(x))[len(x)/2] / 4 }
	leastX, leastY := large(xx), large(yy)
	var out []int
	for i := range xx {
		if xx[i] == 0 || yy[i] == 0 || 4*slope*slope*xx[i] < noise || xx[i] < leastX || yy[i] < leastY || slices.Contains(g.Removed, i) {
			continue // of neurons that are small, or far below the noise, nothing is to be seen
		}
		if slope*xx[i] > 2*seenFrom*chance(i) && xy[i] < seenFrom*chance(i) {
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
	if x, err = a.Float32s(); err != nil {
		return nil, nil, err
	}
	y, err = b.Float32s()
	return x, y, err
}

func square(x []float32) float64 {
	s := 0.0
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	return s
}
