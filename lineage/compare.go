package lineage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"ropewalk/align"
	"ropewalk/align/gauge"
	"ropewalk/graph"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// ErrInput reports networks that nothing can be said of: there are no tensors, or values that are no numbers.
var ErrInput = errors.New("lineage: the networks can't be compared")

// Compare says what a suspect is to a reference. It goes down the ladder until
// something holds. The tensors of both stay open as long as the result is used.
// Errors are [ErrInput], and those of reading.
func Compare(ctx context.Context, ref, sus Network, o *Options) (*Comparison, error) {
	if o == nil {
		o = &Options{}
	}
	c := &comparer{ctx: ctx, ref: ref, own: sus, o: o, out: &Comparison{Function: Function{Same: Unknown}}}
	if ref.Set.Len() == 0 || sus.Set.Len() == 0 {
		return nil, fmt.Errorf("%w: there are %d and %d tensors", ErrInput, ref.Set.Len(), sus.Set.Len())
	}
	if c.sameFiles() {
		c.out.Verdict = Identical
		c.out.Function = Function{Same: Yes, How: "the files are the same bytes"}
		return c.out, nil
	}
	var err error
	if c.stock, err = takeStock(ref.Set, sus.Set); err != nil {
		return nil, err
	}
	if err := c.constants(); err != nil {
		return nil, err
	}
	c.containers()
	equal, err := c.stock.equal(ref.Set)
	if err != nil {
		return nil, err
	}
	if equal {
		c.out.Verdict = SameWeights
		c.out.Function = Function{Same: Yes, How: "all tensors are the same bytes"}
		c.out.Restored = c.stock.sus
		return c.out, nil
	}
	if err := c.finite(); err != nil {
		return nil, err
	}
	c.spec = common(ref.Spec, ref.Set, c.stock.sus)
	if err := c.align(); err != nil {
		return nil, err
	}
	related, err := c.related()
	if err != nil {
		return nil, err
	}
	if !related {
		c.out.Verdict = Unrelated
		c.out.Function.How = "networks that are not known to be related were not compared further"
		return c.out, nil
	}
	if err := c.differences(); err != nil {
		return nil, err
	}
	if err := c.function(); err != nil {
		return nil, err
	}
	c.out.Verdict = rung(c.out.Changes)
	return c.out, nil
}

// Whether two networks compute the same.
const (
	Yes     = "yes"
	No      = "no"
	Unknown = "unknown"
)

// A comparer is a comparison in progress.
type comparer struct {
	ctx      context.Context
	ref, own Network
	o        *Options
	stock    *inventory
	spec     *symmetry.Spec  // of what both have
	edited   *editReport     // nil if nothing was looked for
	few      *align.Verbatim // what neurons are the reference's, if all others are those of a stranger
	// moved is the suspect in the reference's order with its own factors, and scaled the
	// reference with those of the suspect: what both are the same in but for damage, as
	// it was done to the suspect.
	moved, scaled *tensor.Set
	out           *Comparison
}

func (c *comparer) progress(part string) {
	if c.o.Progress != nil {
		c.o.Progress(part)
	}
}

// sameFiles says whether both are the same files. One file may have another name.
func (c *comparer) sameFiles() bool {
	a, b := c.ref.Files, c.own.Files
	if len(a) == 0 || len(a) != len(b) {
		return false
	}
	if len(a) == 1 {
		return slices.Equal(slices.Collect(maps.Values(a)), slices.Collect(maps.Values(b)))
	}
	return maps.Equal(a, b)
}

// constants takes out of the lists of added and missing tensors what the other side has as a
// constant of its operators: a file of one version of ONNX has a tensor for what one of another
// has as an attribute.
func (c *comparer) constants() (err error) {
	held := func(in *tensor.Set, other *graph.Graph) func(string) bool {
		return func(name string) bool {
			if other == nil || other.Weights == nil || err != nil {
				return false
			}
			a, b := in.Lookup(name), other.Weights.Lookup(name)
			if a == nil || b == nil {
				return false
			}
			var same bool
			same, err = sameBytes(a, b)
			return same
		}
	}
	c.stock.added = slices.DeleteFunc(c.stock.added, held(c.own.Set, c.ref.Graph))
	c.stock.missing = slices.DeleteFunc(c.stock.missing, held(c.ref.Set, c.own.Graph))
	return err
}

// containers names what is around the tensors.
func (c *comparer) containers() {
	v := c.stock
	add := func(k Kind, preserves bool, names []string, text string, args ...any) {
		if len(names) > 0 {
			slices.Sort(names)
			c.out.Changes = append(c.out.Changes, Change{Kind: k, Text: fmt.Sprintf(text, args...), Preserves: preserves, Names: names})
		}
	}
	if c.ref.Files != nil && c.own.Files != nil {
		c.out.Changes = append(c.out.Changes, Change{Kind: Container, Text: "in another container", Preserves: true})
	}
	var keys []string
	for k, x := range c.ref.Metadata {
		if y, ok := c.own.Metadata[k]; !ok || x != y {
			keys = append(keys, k)
		}
	}
	for k := range c.own.Metadata {
		if _, ok := c.ref.Metadata[k]; !ok {
			keys = append(keys, k)
		}
	}
	add(Metadata, true, keys, "metadata edited: %s", few(keys))
	renamed := slices.Collect(maps.Keys(v.renamed))
	add(Renamed, true, renamed, "%s renamed", count(len(renamed), "tensor"))
	add(MissingTensor, false, v.missing, "%s missing", count(len(v.missing), "tensor"))
	add(AddedTensors, false, v.added, "%s added", count(len(v.added), "tensor"))
}

// finite looks for values that are no numbers, which nothing can be compared by. Tensors
// that are the same on both sides, as masks of attention with infinities, are no weights.
func (c *comparer) finite() error {
	for _, side := range []struct {
		name string
		set  *tensor.Set
	}{{"reference", c.ref.Set}, {"suspect", c.stock.sus}} {
		for _, t := range side.set.All() {
			if !t.DType.Numeric() {
				continue
			}
			x, err := t.Float32s()
			if err != nil {
				return fmt.Errorf("tensor %s of the %s: %w", t.Name, side.name, err)
			}
			for i, v := range x {
				if v-v != 0 {
					if a, b := c.ref.Set.Lookup(t.Name), c.stock.sus.Lookup(t.Name); a != nil && b != nil {
						if same, err := sameBytes(a, b); same || err != nil {
							if err != nil {
								return err
							}
							break
						}
					}
					return fmt.Errorf("%w: tensor %s of the %s has %v at %d", ErrInput, t.Name, side.name, v, i)
				}
			}
		}
	}
	return c.ctx.Err()
}

// align finds which neuron is which: from the canonical orders if there are any that agree,
// else from how much the weights resemble each other.
func (c *comparer) align() error {
	c.progress("order")
	ref, sus := c.ref.Set, c.stock.sus
	if len(c.stock.reshaped)+len(c.stock.missing) == 0 {
		a, of, err := Canonical(c.spec, ref)
		if err == nil {
			b, by, err := Canonical(c.spec, sus)
			if err != nil {
				return err
			}
			if a == b {
				c.out.Match = proven(c.spec, of, by)
				c.out.Canonical = fmt.Sprintf("%x", a)
				c.out.Restored, err = align.Restore(c.spec, sus, c.out.Match)
				c.moved, c.scaled = c.out.Restored, ref
				return err
			}
		} else if !errors.Is(err, ErrNoCanonical) {
			return err
		}
	}
	if len(c.spec.Groups) == 0 {
		c.out.Restored, c.moved, c.scaled = sus, sus, ref
		return nil
	}
	c.progress("alignment")
	found, few, err := match(c.ctx, c.spec, ref, sus, c.o)
	if err != nil {
		return err
	}
	c.out.Match, c.few = found, few
	if !found.Related {
		if err := c.unmoved(); err != nil || !found.Related {
			return err
		}
	}
	c.progress("factors")
	if err := c.settle(); err != nil {
		return err
	}
	if c.out.Restored, err = align.Restore(c.spec, sus, c.out.Match); err != nil {
		return err
	}
	return c.correct()
}

// correct looks for edits, which finds factors, signs and orders again where what is left is exact:
// these are better than those of any search.
func (c *comparer) correct() (err error) {
	if c.edited, err = c.edits(); err != nil || c.edited.Damaged || c.edited.Match == nil || c.edited.Match == c.out.Match {
		return err
	}
	c.out.Match, c.out.Restored = c.edited.Match, c.edited.Back
	if c.moved, err = align.Restore(c.spec, c.stock.sus, c.out.Match.WithoutFactors()); err != nil {
		return err
	}
	c.scaled, err = c.rescaled()
	return err
}

// related says whether the networks have to do with each other: by the match, or, where
// nothing is known to move, by their weights as they stand.
func (c *comparer) related() (bool, error) {
	switch {
	case c.stock.sus.Len() == 0:
		return false, nil
	case c.out.Match != nil:
		return c.out.Match.Related, nil
	}
	related, _, err := inPlace(c.ref.Set, c.stock.sus)
	return related, err
}

// minTold is which share of the factors has to be told by what is exact, where no neuron
// is certain.
const minTold = 0.5

// settle finds the factors with which the suspect is most like the reference.
func (c *comparer) settle() error {
	plain := c.out.Match.WithoutFactors()
	moved, err := align.Restore(c.spec, c.stock.sus, plain)
	if err != nil {
		return err
	}
	c.moved, c.scaled = moved, c.ref.Set
	rescaled, told, err := gauge.Settle(c.spec, c.ref.Set, moved, c.out.Match)
	if err != nil {
		return err
	}
	if c.out.InPlace != nil && told < minTold {
		c.out.Match, rescaled = plain, false // too much is damaged for factors to be known
	}
	if rescaled {
		c.scaled, err = c.rescaled()
	}
	return err
}

// rescaled returns the reference with its neurons multiplied as the suspect's are.
func (c *comparer) rescaled() (*tensor.Set, error) {
	e := symmetry.Element{}
	for i := range c.out.Match.Classes {
		x := &c.out.Match.Classes[i]
		e[x.Name] = &symmetry.Move{Factors: x.Scale}
	}
	e, err := c.spec.Fit(c.ref.Set, e)
	if err != nil {
		return nil, err
	}
	return symmetry.Apply(c.spec, c.ref.Set, e)
}

// differences says what became of neurons and tensors.
func (c *comparer) differences() error {
	if err := c.structure(); err != nil {
		return err
	}
	c.progress("tensors")
	scaled := slices.ContainsFunc(c.out.Changes, func(x Change) bool { return x.Kind == Rescale || x.Kind == SignFlip || x.Kind == Padding })
	back := false
	if !scaled {
		var err error
		if scaled, err = c.rounded(); err != nil {
			return err
		}
		if back = scaled; back {
			c.out.Changes = append(c.out.Changes, Change{Kind: Rescale, Preserves: true, Text: "rescaled and back, to rounding"})
		}
	}
	var ways map[string]route
	if c.out.Match != nil {
		ways = routes(c.spec, c.ref.Set, c.out.Match)
	}
	doubts, resized := c.doubts()
	var all []examined
	for _, t := range c.ref.Set.All() {
		back := c.out.Restored.Lookup(t.Name)
		if back == nil || !back.Shape.Equal(t.Shape) {
			continue
		}
		o := examineOptions{scaled: scaled}
		if scaled {
			o.forth = c.scaled.Lookup(t.Name)
		}
		if way := ways[t.Name]; way != nil {
			o.ownAt, o.absent = way.own, way.absent(t.Shape)
			o.doubtful = doubts[t.Name].over(t.Shape)
			if resized[t.Name] {
				o.file, o.rows = c.stock.sus.Lookup(t.Name), way[0]
			}
			if scaled {
				part, err := c.parts(t.Name, o.doubtful)
				if err != nil {
					return err
				}
				if part != nil {
					o.forth = part
				}
			}
		}
		d, r, err := examine(t, back, c.moved.Lookup(t.Name), o)
		if err != nil {
			return err
		}
		all = append(all, examined{d, r})
		c.out.Tensors = append(c.out.Tensors, *d)
		if err := c.ctx.Err(); err != nil {
			return err
		}
	}
	c.out.Changes = append(c.out.Changes, damages(all)...)
	c.unnamed()
	if back {
		return nil // each weight is off by rounding, and none by more
	}
	if c.edited == nil {
		var err error
		if c.edited, err = c.edits(); err != nil {
			return err
		}
	}
	for _, e := range c.edited.Edits {
		if c.follows(e.Tensor) {
			c.edited.Total--
			continue
		}
		c.out.Edits = append(c.out.Edits, e)
	}
	c.out.Edited = c.edited.Total
	return c.ctx.Err()
}

// doubts marks where nothing is to be learned of damage: the places of neurons that may be others
// than those of the reference, and the weights that read one that was put together of several, of which
// each was damaged alone. It returns in which tensors neurons were added or are gone, too.
func (c *comparer) doubts() (doubts map[string]marks, resized map[string]bool) {
	doubts, resized = map[string]marks{}, map[string]bool{}
	if c.out.Match == nil {
		return doubts, resized
	}
	for g := range c.spec.Groups {
		group := &c.spec.Groups[g]
		x := c.class(group.Name)
		if x == nil {
			continue
		}
		whole, read := make([]bool, group.Size), make([]bool, group.Size)
		for i := range whole {
			whole[i] = x.Sus[i] >= 0 && x.Doubtful(i)
		}
		if i := slices.IndexFunc(c.out.Groups, func(d GroupDifference) bool { return d.Name == group.Name }); i >= 0 {
			for _, k := range slices.Concat(c.out.Groups[i].Strangers, c.out.Groups[i].unlike) {
				whole[k] = true
			}
		}
		for _, m := range x.Merged {
			if i := x.Ref[m.Into]; i >= 0 {
				read[i] = true
			}
		}
		more := slices.Contains(x.Ref, -1) || slices.Contains(x.Sus, -1)
		for k := range group.Places {
			p := &group.Places[k]
			if p.Tensors != nil {
				continue
			}
			resized[p.Tensor] = resized[p.Tensor] || more && len(c.out.Match.Exchanged) == 0
			for i := range group.Size {
				if !whole[i] && !(read[i] && p.Role == symmetry.Outgoing) {
					continue
				}
				for r := range p.Run {
					doubts[p.Tensor] = doubts[p.Tensor].at(c.ref.Set.Lookup(p.Tensor).Shape, p.Axis, p.Position(i, r))
				}
			}
		}
	}
	return doubts, resized
}

// A marks is positions of a tensor's axes; nil for an axis is none.
type marks [][]bool

// at adds a position; m may be nil.
func (m marks) at(shape tensor.Shape, axis, at int) marks {
	if m == nil {
		m = make(marks, len(shape))
	}
	if m[axis] == nil {
		m[axis] = make([]bool, shape[axis])
	}
	m[axis][at] = true
	return m
}

// over marks the values, row-major, at any of the positions; nil is none.
func (m marks) over(shape tensor.Shape) []bool {
	if m == nil {
		return nil
	}
	dims := make([]int, len(shape))
	for a, n := range shape {
		dims[a] = int(n)
	}
	return gauge.AnyOf(m, dims)
}

// edits looks for places that were changed where most of what is around them was not.
func (c *comparer) edits() (*editReport, error) {
	c.progress("edits")
	found := c.out.Match
	if found == nil { // there are no groups
		found = &align.NetworkResult{}
	}
	return findEdits(c.ctx, c.spec, c.ref.Set, c.out.Restored, c.stock.sus, found, &editOptions{Threads: c.o.Threads})
}

// unnamed enters that weights are not what they were, if no other change says so.
func (c *comparer) unnamed() {
	var names []string
	for _, d := range c.out.Tensors {
		if d.Changed > 0 && !c.follows(d.Name) {
			names = append(names, d.Name)
		}
	}
	if len(names) == 0 || slices.ContainsFunc(c.out.Changes, func(x Change) bool {
		v, _ := x.Kind.Rung()
		return !x.Preserves && (v == Reencoded || v == Pruned || v == Modified) && x.Kind != Removal && x.Kind != MissingTensor && x.Kind != AddedTensors && x.Kind != OtherShapes
	}) {
		return
	}
	c.out.Changes = append(c.out.Changes, Change{Kind: Edited, Text: "edited: " + few(names), Names: names})
}

// maxShapeNumbers is how many numbers a constant has that says a shape.
const maxShapeNumbers = 16

// follows says whether a tensor is a few integers, as those that say a shape, in a network that has
// lost neurons or got more: these have to change with it. What else they may do is seen by
// running both networks only.
func (c *comparer) follows(name string) bool {
	t := c.ref.Set.Lookup(name)
	if t == nil || t.DType.IsFloat() || t.Elems() > maxShapeNumbers {
		return false
	}
	i := slices.IndexFunc(c.out.Changes, func(x Change) bool { return x.Kind == Padding || x.Kind == Removal })
	if i < 0 {
		return false
	}
	c.out.Changes[i].Preserves = false
	return true
}

// manyRounded is which share of the weights has to differ for rounding to be the reason.
const manyRounded = 0.05

// rounded says whether many weights differ from the reference's, and all by no more than what
// rounding makes of factors that were taken back.
func (c *comparer) rounded() (bool, error) {
	var differ, all int
	for _, t := range c.ref.Set.All() {
		u := c.out.Restored.Lookup(t.Name)
		if u == nil {
			continue
		}
		same, err := sameBytes(t, u)
		if err != nil {
			return false, err
		}
		all += int(t.Elems())
		if same {
			continue
		}
		x, y, err := both(t, u)
		if err != nil || len(x) == 0 {
			return false, err
		}
		floor := factorFloor * math.Sqrt(square(x)/float64(len(x)))
		for i, v := range x {
			if v == y[i] {
				continue
			}
			differ++
			if math.Abs(float64(v)-float64(y[i])) > factorError*math.Abs(float64(v))+floor {
				return false, nil
			}
		}
	}
	return float64(differ) > manyRounded*float64(all), nil
}
