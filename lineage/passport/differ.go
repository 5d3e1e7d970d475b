package passport

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/lineage"
	"ropewalk/symmetry"
)

// roundingError is by how much, relative to their size, sums of float32 differ that are of
// the same numbers: each factor is rounded once, and so is each sum.
const roundingError = 4e-6

// A likeness is what the sketches of a tensor say about the reference and the suspect.
type likeness struct {
	xx, xy, yy float64 // of the sums of neurons, at the place that has most of them
	sums       int     // how many
	relative   float64 // length of the difference, over that of the reference
	exact      bool    // relative is of the numbers themselves
	changed    int64   // the most numbers that can differ by more than rounding
	neurons    []changed
	largest    float64 // of single numbers
	at         int
}

// changed is a neuron whose numbers in a tensor differ by more than rounding.
type changed struct {
	group   string
	neuron  int
	role    symmetry.Role
	index   []int   // of a single number
	factor  float64 // of lengths
	along   float64 // cosine of sums
	size    float64 // of a single number
	numbers int
}

// differences compares the restored suspect, tensor by tensor.
func (c *comparer) differences() {
	back := map[string]*Tensor{}
	for i := range c.back.Tensors {
		back[c.back.Tensors[i].Name] = &c.back.Tensors[i]
	}
	c.likes = map[string]*likeness{}
	if len(c.back.Groups) > 0 {
		for g := range c.p.Spec.Groups {
			for k := range c.p.Spec.Groups[g].Places {
				c.compare(g, k)
			}
		}
	}
	for i := range c.p.Tensors {
		t := &c.p.Tensors[i]
		own := c.own[t.Name]
		d := c.plain(t, own)
		u := back[t.Name]
		d.Equal = t.equal(u)
		l := c.likes[t.Name]
		switch {
		case d.Equal:
			d.Changed, d.Slope, d.Relative = 0, 1, 0
		case l != nil:
			d.Relative, d.Changed = l.relative, l.changed
			d.Rounding = l.changed == 0 && l.relative < roundingError
			if l.xx > 0 {
				d.Slope = l.xy / l.xx
			}
			d.Largest = l.largest
			if l.exact && l.largest > 0 {
				d.At = []int{l.at}
			}
		case u != nil && t.Numeric() && t.Squares > 0:
			// Nothing but moments: the least that the difference can be.
			d.Relative = math.Abs(math.Sqrt(u.Squares/t.Squares) - 1)
		}
		if u != nil && u.Levels > 0 && (d.Levels == 0 || u.Levels < d.Levels) && u.DType == own.DType {
			d.Levels = u.Levels // of a grid that came before the factors
		}
		if n := float64(d.Elements) - float64(t.Zeros); n > 0 && own != nil && slices.Equal(own.Shape, t.Shape) {
			d.Zeros = max(0, float64(own.Zeros)-float64(t.Zeros)) / n
		}
		c.out.Tensors = append(c.out.Tensors, d)
	}
}

// Numeric reports whether the tensor's moments mean anything.
func (t *Tensor) Numeric() bool { return t.DType.Numeric() }

// compare compares the sketches of a group at one place.
func (c *comparer) compare(g, k int) {
	group, place := &c.p.Spec.Groups[g], &c.p.Spec.Groups[g].Places[k]
	a, b := &c.p.Groups[g].Places[k], &c.back.Groups[g].Places[k]
	if a.Numbers == 0 || b.Numbers != a.Numbers {
		return
	}
	l := c.likes[place.Tensor]
	first := l == nil
	if first {
		l = &likeness{changed: math.MaxInt64}
		c.likes[place.Tensor] = l
	}
	var now int64
	note := func(x changed) {
		x.group, x.role = group.Name, place.Role
		now += int64(x.numbers)
		l.neurons = append(l.neurons, x)
	}
	if a.Values != nil {
		var dd, xx, xy float64
		for i, x := range a.Values {
			u, v := float64(x), float64(b.Values[i])
			dd, xx, xy = dd+(u-v)*(u-v), xx+u*u, xy+u*v
			if d := math.Abs(u - v); d > roundingError*max(math.Abs(u), math.Abs(v)) {
				note(changed{neuron: i, index: []int{place.Position(i, 0)}, factor: v / u, size: d, numbers: 1})
				if d > l.largest {
					l.largest, l.at = d, place.Position(i, 0)
				}
			}
		}
		l.exact = true
		if xx > 0 {
			l.relative = math.Sqrt(dd / xx)
		} else if dd > 0 {
			l.relative = math.Inf(1)
		}
		l.xx, l.xy = xx, xy
		l.changed = min(l.changed, now)
		return
	}
	dim := dimOf(c.p.Tensor(place.Tensor).Shape, place)
	sa, sb := a.steps(), b.steps()
	var xx, xy, yy float64
	for i := range group.Size {
		var x2, y2, p float64
		for n, s := range a.Sums[i*a.Numbers:][:a.Numbers] {
			x, y := float64(s)*float64(sa[i]), float64(b.Sums[i*a.Numbers+n])*float64(sb[i])
			x2, y2, p = x2+x*x, y2+y*y, p+x*y
		}
		xx, xy, yy = xx+x2, xy+p, yy+y2
		u, v := float64(a.Lengths[i]), float64(b.Lengths[i])
		cos := 1.0
		if x2 > 0 && y2 > 0 {
			cos = p / math.Sqrt(x2*y2)
		}
		const rounded = 2e-4 // of a cosine, by 8 bits
		if math.Abs(u-v) > roundingError*max(u, v) || cos < 1-rounded {
			note(changed{neuron: i, factor: v / u, along: cos, numbers: dim})
		}
	}
	l.changed = min(l.changed, now)
	if len(a.Sums) > l.sums {
		l.sums, l.xx, l.xy, l.yy = len(a.Sums), xx, xy, yy
		var dd, ww float64
		for n, x := range a.Whole {
			d := float64(x) - float64(b.Whole[n])
			dd, ww = dd+d*d, ww+float64(x)*float64(x)
		}
		// Where all neurons differ a little, their own sums tell it better.
		l.relative = 0
		if ww > 0 {
			l.relative = math.Sqrt(dd / ww)
		}
		if r := math.Sqrt(max(0, xx+yy-2*xy) / max(xx, 1e-300)); r > 0.03 { // above the error of 8 bits
			l.relative = r
		}
	}
}

// conclude names what was done to weights, and gives the verdict.
func (c *comparer) conclude() {
	var pruned, nonzero float64
	var noise, square float64 // of what pruning, types and grids don't explain
	levels := 0
	var quantized, pruning []string
	rounding, equal := true, true
	for i := range c.out.Tensors {
		d := &c.out.Tensors[i]
		t := &c.p.Tensors[i]
		equal = equal && d.Equal
		rounding = rounding && (d.Equal || d.Rounding)
		if len(t.Shape) < 2 || !t.Numeric() || d.Equal || d.Rounding {
			continue
		}
		own := c.own[t.Name]
		l := c.likes[t.Name]
		if own == nil || l == nil || l.xx == 0 {
			continue
		}
		nonzero += float64(d.Elements) - float64(t.Zeros)
		share := d.Zeros * (float64(d.Elements) - float64(t.Zeros))
		scale := t.Squares / l.xx // sums are worth as much as numbers
		residual := (l.xx + l.yy - 2*l.xy) * scale
		const many = 256
		grid := 0.0
		left := float64(d.Elements) - float64(own.Zeros) // numbers that could all be different
		if d.Levels > 0 && d.Levels <= many && (t.Levels == 0 || t.Levels > 2*d.Levels) && left > float64(2*d.Levels) {
			quantized = append(quantized, t.Name)
			levels = max(levels, d.Levels)
			step := (own.Largest - own.Least) / float64(max(1, d.Levels-1))
			residual = max(0, residual-1.5*step*step/12*float64(d.Elements))
			// Zero is a level, to which small numbers go: of none more than of Laplace's.
			grid = 0.1 - math.Expm1(-step/math.Sqrt(2*t.Squares/float64(d.Elements)))
		}
		if d.Zeros > 0.01+grid {
			pruning = append(pruning, t.Name)
			pruned += share
			residual = 2 * max(0, l.yy-l.xy) * scale // <y-x, y> is 0 where numbers are kept or gone
		}
		if cast := castError(own.DType); own.DType != t.DType {
			residual = max(0, residual-4*cast*cast*t.Squares)
		}
		// Sums of 8 bits have an error of their own.
		residual = max(0, residual-4e-4*t.Squares)
		noise += residual
		square += t.Squares
	}
	if len(c.cast) > 0 {
		to := c.own[c.cast[0]].DType
		c.change(lineage.Change{Kind: lineage.Cast, Text: fmt.Sprintf("cast to %s", to), Names: c.cast, DType: string(to)})
	}
	if len(pruning) > 0 {
		share := pruned / nonzero
		c.change(lineage.Change{Kind: lineage.Prune, Text: "pruned " + percent(share), Share: share, Scope: "weights", Names: pruning})
	}
	if len(quantized) > 0 {
		bits := math.Ceil(math.Log2(float64(levels)))
		c.change(lineage.Change{Kind: lineage.Quantize, Text: fmt.Sprintf("quantized to %.0f bits", bits), Levels: levels, Bits: bits, Scope: "tensor", Names: quantized})
	}
	strength := 0.0
	if square > 0 {
		strength = math.Sqrt(noise / square)
	}
	edited := c.edits()
	least := 0.03 // what sketches leave unexplained
	if len(pruning)+len(quantized) > 0 {
		least = 0.1 // and what is known of pruning and of grids
	}
	switch {
	case equal || rounding:
	case edited:
	case strength > least || len(pruning)+len(quantized)+len(c.cast) == 0:
		if strength <= least && square > 0 {
			strength = c.whole()
		}
		c.change(lineage.Change{Kind: lineage.Noise, Text: fmt.Sprintf("weights changed by %.2g of their standard deviation (noise or training: sketches do not tell)", strength), Strength: strength})
	}
	c.verdict(equal, rounding)
}

// whole is the relative difference of all weights by sums over all neurons, which tell
// small ones.
func (c *comparer) whole() float64 {
	var dd, xx float64
	for i := range c.out.Tensors {
		t := &c.p.Tensors[i]
		if d := c.out.Tensors[i].Relative; len(t.Shape) > 1 && d-d == 0 {
			dd += d * d * t.Squares
			xx += t.Squares
		}
	}
	if xx == 0 {
		return 0
	}
	return math.Sqrt(dd / xx)
}

// castError is by how much a type rounds, relative to a number.
func castError[T ~string](d T) float64 {
	switch string(d) {
	case "BF16":
		return 1. / 256
	case "F16":
		return 1. / 2048
	}
	return 0x1p-24
}

// edits names neurons that differ where most do not, and reports whether that is all that
// differs.
func (c *comparer) edits() bool {
	const few, most = 0.1, 100
	single := true
	var list []lineage.Edit
	for i := range c.out.Tensors {
		d := &c.out.Tensors[i]
		if d.Equal || d.Rounding {
			continue
		}
		l := c.likes[d.Name]
		if l == nil {
			single = single && len(c.p.Tensors[i].Shape) < 2
			list = append(list, lineage.Edit{What: "tensor", Text: fmt.Sprintf("%s differs", d.Name), Tensor: d.Name, Neuron: -1})
			continue
		}
		for _, x := range l.neurons {
			if len(list) < most {
				list = append(list, x.edit(d.Name))
			}
		}
	}
	var elements float64
	for i := range c.p.Tensors {
		n, _ := c.p.Tensors[i].Shape.Elems() // checked
		elements += float64(n)
	}
	var differ float64
	for i := range c.out.Tensors {
		if d := &c.out.Tensors[i]; !d.Equal && !d.Rounding {
			differ += float64(d.Changed)
		}
	}
	if !single || len(list) == 0 || len(list) >= most || differ > few*elements {
		return false
	}
	c.out.Edits = list
	c.change(lineage.Change{Kind: lineage.Edited, Text: fmt.Sprintf("edited: %s", some(texts(list)))})
	return true
}

func texts(list []lineage.Edit) []string {
	var out []string
	for _, e := range list {
		out = append(out, e.Text)
	}
	return out
}

func (x *changed) edit(name string) lineage.Edit {
	e := lineage.Edit{Tensor: name, Group: x.group, Neuron: x.neuron, Factor: x.factor, Size: x.size, Index: x.index}
	if e.Factor-e.Factor != 0 {
		e.Factor = 0
	}
	const straight = 0.9995
	switch {
	case x.index != nil && x.role == symmetry.Statistic:
		e.What, e.Text = "statistic", fmt.Sprintf("the statistic of neuron %d of %s in %s", x.neuron, x.group, name)
	case x.index != nil:
		e.What, e.Text = "bias", fmt.Sprintf("the number of neuron %d of %s in %s", x.neuron, x.group, name)
	case x.role == symmetry.Outgoing:
		e.What, e.Text = "column", fmt.Sprintf("what reads neuron %d of %s in %s", x.neuron, x.group, name)
	case x.along > straight && e.Factor > 0:
		e.What, e.Text = "norm", fmt.Sprintf("neuron %d of %s in %s is %.4g times as long", x.neuron, x.group, name, x.factor)
	default:
		e.What, e.Text = "row", fmt.Sprintf("neuron %d of %s in %s", x.neuron, x.group, name)
	}
	return e
}

// verdict is the first rung of the ladder that all changes allow.
func (c *comparer) verdict(equal, rounding bool) {
	c.partial()
	all := lineage.Verdicts()
	worst := slices.Index(all, lineage.SameWeights)
	names := false
	for _, x := range c.out.Changes {
		v, _ := x.Kind.Rung() // all kinds that are named here have one
		worst = max(worst, slices.Index(all, v))
		names = names || slices.Contains([]lineage.Kind{lineage.MissingTensor, lineage.AddedTensors, lineage.OtherShapes, lineage.Removal, lineage.Padding}, x.Kind)
	}
	if kept := all[worst]; !equal && (kept == lineage.SameWeights || kept == lineage.Reordered) {
		// Other bits, and no factors that explain them: as after factors that were taken back.
		var list []string
		for i := range c.out.Tensors {
			if d := &c.out.Tensors[i]; !d.Equal {
				list = append(list, d.Name)
			}
		}
		c.change(lineage.Change{Kind: lineage.Rescale, Text: "other bits, by no more than rounding, as if rescaled and back: " + some(list), Names: list})
		worst = slices.Index(all, lineage.Rescaled)
	}
	c.out.Verdict = all[worst]
	switch {
	case names:
	case equal && c.out.Verdict == lineage.Reordered:
		c.out.Function = lineage.Function{Same: "yes", How: "in the order of the reference, all tensors have the SHA-256 of the passport"}
	case rounding:
		c.out.Function.How = "sketches and lengths differ by no more than rounding, which is evidence, and no proof"
	}
}

// partial notes that some neurons are those of the reference and others are not.
func (c *comparer) partial() {
	var found, strange, all int
	for g := range c.p.Spec.Groups {
		group := &c.p.Spec.Groups[g]
		if len(c.back.Groups) == 0 {
			return
		}
		for i := range group.Size {
			var xx, xy, yy float64
			sums := 0
			for k := range group.Places {
				a, b := &c.p.Groups[g].Places[k], &c.back.Groups[g].Places[k]
				if a.Sums == nil || b.Sums == nil || a.Lengths[i] == 0 {
					continue
				}
				// Each place counts by its sums, whatever its size.
				sa, sb := stepOf(1, a.Exponents[i]), stepOf(1, b.Exponents[i])
				for n := range a.Numbers {
					x, y := float64(a.Sums[i*a.Numbers+n])*sa, float64(b.Sums[i*a.Numbers+n])*sb
					xx, xy, yy = xx+x*x, xy+x*y, yy+y*y
				}
				sums += a.Numbers
			}
			if sums < 64 || xx == 0 {
				continue
			}
			all++
			cos := 0.0
			if yy > 0 {
				cos = xy / math.Sqrt(xx*yy)
			}
			switch {
			case cos > 0.9:
				found++
			case cos*math.Sqrt(float64(sums)) < 3.5:
				strange++
			}
		}
	}
	// Who was damaged alike is alike: some as they were, and others unlike anything, is
	// what only a mixture looks like.
	if all < 8 || strange < max(2, all/20) || found < max(2, all/50) || found+strange < all/2 {
		return
	}
	share := float64(found) / float64(all)
	c.change(lineage.Change{Kind: lineage.Partial, Text: fmt.Sprintf("%s of the neurons are those of the reference", percent(share)), Share: share, Neurons: found})
}
