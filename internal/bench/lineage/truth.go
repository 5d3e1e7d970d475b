package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"ropewalk/attack"
	"ropewalk/lineage"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// An item is a change that was made, and what may be said of it.
//
// A step cannot be seen, and may go unnamed, where a later one covers it: noise and
// training cover the zeros of pruning and the levels of a quantizer or a rounded type;
// factors and new levels cover a rounded type; and a quantizer covers what it rounds away:
// of no tensor is more than one weight in twenty on a level that is not the one nearest to
// what the weight was in the reference.
//
// Where neurons were split and some were removed after that, what reads the part that is left is less than
// it was, and may be named as edited.
//
// Noise or training, pruning and quantizing are named in their order, unless a fitted
// quantizer may have zero for a level.
type item struct {
	kinds   []lineage.Kind // any of these names it
	must    bool           // it has to be named
	ordered bool           // and in the order of the items that have one
	check   func(*lineage.Change) string
}

// A case is an attacked network, and what is true of it.
type truth struct {
	attack *attack.Result
	chain  attack.Chain
	items  []item
	// Preserves says that all steps leave the function as it is.
	preserves bool
}

// covered is the share of weights on other levels that shows a step before a quantizer.
const covered = 0.05

// tell does an attack, and says what is true of the suspect.
func tell(ctx context.Context, s *subject, text string, seed uint64) (*truth, error) {
	r, err := attacked(ctx, s.Network, text, seed, s.trainer)
	if err != nil {
		return nil, err
	}
	chain, err := attack.Parse(text)
	if err != nil {
		return nil, err
	}
	t := &truth{attack: r, chain: chain, preserves: true}
	for _, step := range chain {
		t.preserves = t.preserves && step.Kind.Preserves()
	}
	t.moved(s.Spec)
	if t.parted() {
		t.items = append(t.items, item{kinds: []lineage.Kind{lineage.Edited}})
	}
	back, err := restored(s.Spec, r)
	if err != nil {
		return nil, err
	}
	for i := range chain {
		seen, err := t.seen(s, i, back)
		if err != nil {
			return nil, err
		}
		if err := t.step(ctx, s, i, seen, back, seed); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// moved says what became of neurons.
func (t *truth) moved(spec *symmetry.Spec) {
	var order, scale, sign bool
	added, removed, neurons, orphans := 0, 0, 0, 0
	for name, m := range t.attack.Truth.Element {
		last := -1
		for _, j := range m.Order {
			order = order || j >= 0 && j < last
			if j >= 0 {
				last = j
			}
		}
		gone := t.attack.Truth.Removed[name]
		for _, f := range m.Factors {
			for j, x := range f {
				if slices.Contains(gone, j) {
					continue
				}
				scale = scale || math.Abs(math.Abs(x)-1) > 1e-5
				sign = sign || x < 0
			}
		}
		if g := spec.Group(name); g != nil && len(gone) > 0 {
			neurons += g.Size
		}
		removed += len(gone)
		added += len(t.attack.Truth.Added[name])
		for _, a := range t.attack.Truth.Added[name] {
			if a.Kind == attack.SplitDummy && a.Of < 0 {
				orphans++ // it stands for the neuron that it was split from, which is gone
			}
		}
	}
	all := 0
	for i := range spec.Groups {
		all += spec.Groups[i].Size
	}
	for _, x := range []struct {
		is    bool
		kind  lineage.Kind
		check func(*lineage.Change) string
	}{
		{order, lineage.Reorder, nil},
		{scale, lineage.Rescale, nil},
		{sign, lineage.SignFlip, nil},
		{added > 0, lineage.Padding, func(c *lineage.Change) string {
			if c.Neurons >= added-orphans && c.Neurons <= added {
				return ""
			}
			return differs("neurons", c.Neurons, added)
		}},
		{removed > 0, lineage.Removal, func(c *lineage.Change) string {
			for gone := max(0, removed-orphans); gone < removed; gone++ {
				if near("share", c.Share, 0.02, 0, float64(gone)/float64(all), float64(gone)/float64(max(1, neurons))) == "" {
					return ""
				}
			}
			return near("share", c.Share, 0.02, 0, float64(removed)/float64(all), float64(removed)/float64(max(1, neurons)))
		}},
	} {
		if x.is {
			t.items = append(t.items, item{kinds: []lineage.Kind{x.kind}, must: true, check: x.check})
		}
	}
}

func differs[T comparable](what string, got, want T) string {
	if got != want {
		return fmt.Sprintf("%s %v, want %v", what, got, want)
	}
	return ""
}

// near says by how much a number is off, if it is not near any of those that it may be.
func near(what string, got, absolute, relative float64, want ...float64) string {
	for _, w := range want {
		if math.Abs(got-w) <= absolute+relative*math.Abs(w) {
			return ""
		}
	}
	return fmt.Sprintf("%s %.3g, want %.3g", what, got, want[0])
}

// step says what is true of a step on weights.
func (t *truth) step(ctx context.Context, s *subject, i int, seen bool, back *tensor.Set, seed uint64) error {
	step := &t.chain[i]
	switch step.Kind {
	case attack.Prune:
		share, err := zeros(s.Set, cmp.Or(back, t.attack.Set))
		if err != nil {
			return err
		}
		scope := "tensor"
		if slices.Contains(step.Options, "global") {
			scope = "network"
		}
		t.items = append(t.items, item{[]lineage.Kind{lineage.Prune}, seen, !t.zeroLevel(), func(c *lineage.Change) string {
			return cmp.Or(near("share", c.Share, 0.02, 0, step.Strength, share), differs("scope", c.Scope, scope))
		}})
	case attack.Quantize:
		scope, grid := "tensor", "uniform"
		for _, o := range step.Options {
			switch o {
			case "channel":
				scope = "channel"
			case "lloyd-max", "gaussian":
				grid = "not uniform"
			}
		}
		left, err := levels(t.attack.Set, scope == "channel")
		if err != nil {
			return err
		}
		t.items = append(t.items, item{[]lineage.Kind{lineage.Quantize}, seen, !t.zeroLevel(), func(c *lineage.Change) string {
			if c.Bits != step.Strength && c.Bits != left {
				return differs("bits", c.Bits, step.Strength)
			}
			return cmp.Or(differs("scope", c.Scope, scope), differs("grid", c.Grid, grid))
		}})
	case attack.Noise, attack.Finetune:
		low, high, err := strengths(s.Set, back)
		if err != nil {
			return err
		}
		// What a quantizer or pruning does is not training: only the step itself counts.
		if step.Kind == attack.Finetune && (t.has(attack.Quantize) || t.before(i, attack.Prune)) {
			if low, high, err = t.alone(ctx, s, i, seed); err != nil {
				return err
			}
		} else if back == nil {
			neurons, err := own(s.Spec, t.attack)
			if err != nil {
				return err
			}
			if low, high, err = strengths(s.Set, neurons); err != nil {
				return err
			}
		}
		kinds := []lineage.Kind{lineage.Noise}
		if step.Kind == attack.Finetune {
			kinds = []lineage.Kind{lineage.Training}
		}
		if t.has(attack.Noise) && t.has(attack.Finetune) {
			kinds = []lineage.Kind{lineage.Noise, lineage.Training, lineage.Shifted} // their sum may be called either
		}
		if t.has(attack.Overwrite) {
			kinds = append(kinds, lineage.Shifted) // one tensor is changed in two ways
		}
		t.items = append(t.items, item{kinds, seen, len(kinds) == 1, func(c *lineage.Change) string {
			if c.Strength >= 0.85*low && c.Strength <= 1.15*high {
				return ""
			}
			if step.Kind == attack.Noise && near("", c.Strength, 0, 0.15, step.Strength) == "" {
				return ""
			}
			return fmt.Sprintf("strength %.3g, want %.3g to %.3g", c.Strength, low, high)
		}})
	case attack.Overwrite:
		name := t.attack.Reports[i].Mark.Tensor
		kinds := []lineage.Kind{lineage.Edited, lineage.Shifted, lineage.Noise, lineage.Training}
		t.items = append(t.items, item{kinds, seen, false, func(c *lineage.Change) string {
			if len(t.chain) > 1 && len(c.Names) == 0 {
				return ""
			}
			return differs("tensors", fmt.Sprint(c.Names), fmt.Sprint([]string{name}))
		}})
	case attack.Cast:
		want := map[string]tensor.DType{"f16": tensor.F16, "bf16": tensor.BF16}[step.Options[0]]
		t.items = append(t.items, item{[]lineage.Kind{lineage.Cast}, seen, false, func(c *lineage.Change) string {
			return differs("type", c.DType, string(want))
		}})
	}
	return nil
}

// alone returns the strength of a step: how far the network is after it from what it was
// before.
func (t *truth) alone(ctx context.Context, s *subject, i int, seed uint64) (low, high float64, err error) {
	before := s.Set
	if i > 0 {
		r, err := attacked(ctx, s.Network, t.chain[:i].String(), seed, s.trainer)
		if err != nil {
			return 0, 0, err
		}
		before = r.Set
	}
	r, err := attacked(ctx, s.Network, t.chain[:i+1].String(), seed, s.trainer)
	if err != nil {
		return 0, 0, err
	}
	return strengths(before, r.Set)
}

// zeroLevel says whether there is a quantizer that may have zero for a level: then nobody
// can say whether weights were pruned before or after.
func (t *truth) zeroLevel() bool {
	return slices.ContainsFunc(t.chain, func(s attack.Step) bool {
		return s.Kind == attack.Quantize && (slices.Contains(s.Options, "lloyd-max") || slices.Contains(s.Options, "gaussian"))
	})
}

// parted says whether parts of neurons were removed.
func (t *truth) parted() bool {
	split := false
	for i := range t.chain {
		s := &t.chain[i]
		split = split || s.Kind == attack.Dummy && slices.Contains(s.Options, "split")
		if split && s.Kind == attack.Remove {
			return true
		}
	}
	return false
}

func (t *truth) has(k attack.Kind) bool {
	return slices.ContainsFunc(t.chain, func(s attack.Step) bool { return s.Kind == k })
}

// seen says whether a step on weights can be seen after those behind it: see [item].
func (t *truth) seen(s *subject, i int, back *tensor.Set) (bool, error) {
	step := &t.chain[i]
	rounded := step.Kind == attack.Cast && slices.Contains(step.Options, "round")
	var quantizer *attack.Step
	for _, later := range t.chain[i+1:] {
		switch later.Kind {
		case attack.Noise, attack.Finetune:
			if rounded || step.Kind == attack.Prune || step.Kind == attack.Quantize || step.Kind == attack.Overwrite || step.Kind == later.Kind {
				return false, nil
			}
		case attack.Scale, attack.Dummy:
			if rounded {
				return false, nil
			}
		case attack.Quantize:
			if rounded {
				return false, nil
			}
			quantizer = &later
		}
	}
	if step.Kind == attack.Overwrite && (t.before(i, attack.Noise) || t.before(i, attack.Finetune)) {
		return false, nil
	}
	if quantizer == nil || step.Kind.Preserves() || step.Kind == attack.Cast || step.Kind == attack.Remove || step.Kind == attack.Finetune {
		return true, nil // training changes biases, too, which are not quantized
	}
	moved, err := symmetry.Apply(s.Spec, s.Set, t.attack.Truth.Element)
	if err != nil {
		return true, nil // neurons were added or removed, and the step is taken to show
	}
	share := 0.0
	for _, x := range []struct{ ref, sus *tensor.Set }{{moved, t.attack.Set}, {s.Set, back}} {
		n, err := beside(x.ref, x.sus, quantizer)
		if err != nil {
			return false, err
		}
		share = max(share, n)
	}
	return share >= covered, nil
}

func (t *truth) before(i int, k attack.Kind) bool {
	return slices.ContainsFunc(t.chain[:i], func(s attack.Step) bool { return s.Kind == k })
}
