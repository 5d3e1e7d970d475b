package passport

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"ropewalk/align"
	"ropewalk/lineage"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// Compare is [lineage.Compare] with a passport in the place of the reference, as far as a
// passport allows. Equal tensors, and suspects that were only reordered, are proven by
// SHA-256. Of tensors that differ, the sketches say by how much: Relative and Slope are
// estimates with an error of about √(2/numbers) of them, Changed is the most that can have
// changed, and single weights are not found, but the neurons that they belong to are. What
// was done is concluded from that and from the suspect's own values. That a rescaled
// suspect computes the same is never claimed.
//
// Of o, Threads, Memory, and Progress are looked at. Errors wrap [ErrNumbers] and
// [align.ErrMemory], and a suspect without tensors is [ErrMisfit].
func Compare(ctx context.Context, p *Passport, sus lineage.Network, o *lineage.Options) (*lineage.Comparison, error) {
	if o == nil {
		o = &lineage.Options{}
	}
	say := o.Progress
	if say == nil {
		say = func(string) {}
	}
	if sus.Set.Len() == 0 {
		return nil, fmt.Errorf("%w: it has no tensors", ErrMisfit)
	}
	say("digests")
	list, err := survey(ctx, sus.Set, o.Threads)
	if err != nil {
		return nil, err
	}
	c := &comparer{p: p, own: map[string]*Tensor{}, out: &lineage.Comparison{Function: lineage.Function{Same: "unknown", How: "the passport has no weights to run"}}}
	for i := range list {
		c.own[list[i].Name] = &list[i]
	}
	c.names(list)
	if c.allEqual(c.own) {
		c.same(sus)
		return c.out, nil
	}
	say("matching")
	found, err := Match(ctx, p, sus.Set, &align.NetworkOptions{Options: align.Options{Threads: o.Threads}, Memory: o.Memory})
	if errors.Is(err, ErrMisfit) {
		c.apart(err)
		return c.out, nil
	}
	if err != nil {
		return nil, err
	}
	c.out.Match = found
	if !found.Related {
		c.apart(nil)
		return c.out, nil
	}
	found = settled(found)
	c.out.Match = found
	say("restoring")
	if c.out.Restored, err = align.Restore(p.Spec, sus.Set, found); err != nil {
		return nil, err
	}
	if err := c.restored(ctx, o.Threads); err != nil {
		return nil, err
	}
	c.moved()
	c.differences()
	c.conclude()
	return c.out, nil
}

// A comparer makes a comparison.
type comparer struct {
	p     *Passport
	own   map[string]*Tensor // of the suspect, as it is
	back  *Passport          // of the suspect, restored: its sketches are those of the passport's places
	out   *lineage.Comparison
	likes map[string]*likeness
	cast  []string
}

// names notes tensors that are missing, added or of other shapes.
func (c *comparer) names(list []Tensor) {
	var missing, added, shapes []string
	for i := range c.p.Tensors {
		t := &c.p.Tensors[i]
		switch u := c.own[t.Name]; {
		case u == nil:
			missing = append(missing, t.Name)
		case !slices.Equal(u.Shape, t.Shape):
			shapes = append(shapes, t.Name)
		case u.DType != t.DType:
			c.cast = append(c.cast, t.Name)
		}
	}
	for i := range list {
		if c.p.Tensor(list[i].Name) == nil {
			added = append(added, list[i].Name)
		}
	}
	note := func(kind lineage.Kind, names []string) {
		if len(names) > 0 {
			c.change(lineage.Change{Kind: kind, Text: fmt.Sprintf("%s: %s", kind, some(names)), Names: names})
		}
	}
	note(lineage.MissingTensor, missing)
	note(lineage.AddedTensors, added)
	note(lineage.OtherShapes, shapes)
}

func (c *comparer) change(x lineage.Change) { c.out.Changes = append(c.out.Changes, x) }

// some joins the first few of a list.
func some(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

// allEqual reports whether tensors are those of the passport, and no others.
func (c *comparer) allEqual(list map[string]*Tensor) bool {
	return len(list) == len(c.p.Tensors) && !slices.ContainsFunc(c.p.Tensors, func(t Tensor) bool { return !t.equal(list[t.Name]) })
}

func (t *Tensor) equal(u *Tensor) bool {
	return u != nil && t.DType == u.DType && slices.Equal(t.Shape, u.Shape) && t.SHA256 == u.SHA256
}

// same is the verdict on equal tensors.
func (c *comparer) same(sus lineage.Network) {
	c.out.Verdict = lineage.SameWeights
	c.out.Function = lineage.Function{Same: "yes", How: "all tensors have the SHA-256 of the passport"}
	switch {
	case len(c.p.Files) > 0 && maps.Equal(c.p.Files, sus.Files):
		c.out.Verdict = lineage.Identical
	case len(c.p.Files) > 0 && len(sus.Files) > 0:
		c.change(lineage.Change{Kind: lineage.Container, Text: "in another container", Preserves: true})
	}
	for i := range c.p.Tensors {
		c.out.Tensors = append(c.out.Tensors, c.plain(&c.p.Tensors[i], c.own[c.p.Tensors[i].Name]))
	}
}

// plain is what digests alone say of a tensor.
func (c *comparer) plain(t, own *Tensor) lineage.TensorDifference {
	n, _ := t.Shape.Elems() // checked
	d := lineage.TensorDifference{Name: t.Name, Equal: t.equal(own), Elements: n, ReferenceLevels: t.Levels, ReferenceDType: string(t.DType)}
	if own != nil {
		d.Levels, d.DType = own.Levels, string(own.DType)
	}
	if d.Equal {
		d.Slope = 1
	} else {
		d.Changed = n
	}
	return d
}

// apart is the verdict where no match was found: misfit says why there was none to look
// for, or is nil. Tensors with weights that are equal bit for bit are no chance.
func (c *comparer) apart(misfit error) {
	var equal, all int64
	var names []string
	for i := range c.p.Tensors {
		t := &c.p.Tensors[i]
		n, _ := t.Shape.Elems() // checked
		d := c.plain(t, c.own[t.Name])
		c.out.Tensors = append(c.out.Tensors, d)
		all += n
		const telling = 64 // numbers of many values
		if d.Equal && n >= telling && (t.Levels == 0 || t.Levels > telling/2) {
			equal += n
			names = append(names, t.Name)
		}
	}
	c.out.Verdict = lineage.Unrelated
	c.out.Function = lineage.Function{Same: "unknown", How: "no relation was found"}
	if misfit != nil {
		c.out.Function.How = "nothing could be matched: " + misfit.Error()
	}
	if equal > 0 {
		share := float64(equal) / float64(all)
		c.out.Verdict = lineage.PartlyDerived
		c.change(lineage.Change{Kind: lineage.Partial, Text: fmt.Sprintf("%s of the weights are equal bit for bit", percent(share)), Share: share, Names: names})
	}
}

func percent(x float64) string { return fmt.Sprintf("%.3g %%", 100*x) }

// restored makes of the suspect, in the reference's order, what the passport keeps.
func (c *comparer) restored(ctx context.Context, threads int) error {
	var list []*tensor.Tensor
	for i := range c.p.Tensors {
		t := &c.p.Tensors[i]
		u := c.out.Restored.Lookup(t.Name)
		if u == nil || !slices.Equal(u.Shape, t.Shape) || u.DType.Numeric() != t.DType.Numeric() {
			continue
		}
		list = append(list, u)
	}
	set, err := tensor.NewSet(list...)
	if err != nil {
		return err
	}
	c.back = &Passport{Numbers: c.p.Numbers, Seed: c.p.Seed, Spec: &symmetry.Spec{}}
	if set.Len() == len(c.p.Tensors) {
		c.back.Spec = c.p.Spec
	}
	return c.back.survey(ctx, set, &MakeOptions{Threads: threads})
}

// moved notes what was done to neurons.
func (c *comparer) moved() {
	var order, scale, signs, added, removed []string
	var orders, scales, flips, adds, removes, all int
	for i := range c.out.Match.Classes {
		x := &c.out.Match.Classes[i]
		in := func(list *[]string, total *int, n int) {
			if n > 0 {
				*list = append(*list, x.Name)
				*total += n
			}
		}
		all += len(x.Sus)
		var o, s, f, gone int
		next := 0 // where the suspect's neurons would be had nobody moved
		for k, j := range x.Sus {
			if j < 0 {
				gone++
				continue
			}
			for slices.ContainsFunc(x.Added, func(a align.Dummy) bool { return a.Sus == next }) {
				next++
			}
			if j != next {
				o++
			}
			next++
			big, neg := false, false
			for _, g := range x.Scale {
				big = big || math.Abs(math.Abs(g[k])-1) > 1e-9
				neg = neg || g[k] < 0
			}
			if big {
				s++
			}
			if neg {
				f++
			}
		}
		in(&order, &orders, o)
		in(&scale, &scales, s)
		in(&signs, &flips, f)
		in(&added, &adds, len(x.Added))
		in(&removed, &removes, gone)
	}
	note := func(kind lineage.Kind, preserves bool, names []string, n int) {
		if n > 0 {
			c.change(lineage.Change{Kind: kind, Text: string(kind), Preserves: preserves, Names: names, Neurons: n, Share: float64(n) / float64(all)})
		}
	}
	note(lineage.Reorder, true, order, orders)
	note(lineage.Rescale, true, scale, scales)
	note(lineage.SignFlip, true, signs, flips)
	note(lineage.Padding, false, added, adds)
	note(lineage.Removal, false, removed, removes)
}
