package attack

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"ropewalk/graph"
	"ropewalk/symmetry"
)

// dummyScale is the deviation of the logarithm of the factors that hide dummies.
const dummyScale = 0.5

// dummy adds neurons that leave the function as it is (Yan and others, Rethinking
// White-Box Watermarks under Neural Structural Obfuscation, USENIX Security 2023): R
// times as many as each group has, at least one, by turns
//
//	split    the input of a real neuron, and a share of its output, which that one loses
//	zero     an input of its own, and nobody reads it
//	clique   two with an input of their own, the same, whose outputs cancel
//
// or only those of the kind that is an option. An input of its own is that of a real
// neuron in another order. Then all neurons of these groups are rescaled and
// shuffled, unless the option plain says that the dummies stay behind the others.
//
// A group is left alone if its places are not in a row on axes of their own, or, what
// shows by trying, if the function would change: a norm over the neurons sees how
// many there are. Without a graph, only groups that let factors through are taken, since
// such a norm does not.
func (r *run) dummy(s *Step, rep *Report) error {
	seats := map[string][]seat{}
	var sure, unsure []string
	for i := range r.Spec.Groups {
		g := &r.Spec.Groups[i]
		if !r.chosen(g) {
			continue
		}
		factor := false
		for _, f := range g.Factors {
			factor = factor || f.Scales()
		}
		why := r.rigid(g)
		switch {
		case why != "":
		case !factor && (r.Graph == nil || r.o.Unproved):
			why = "a norm over the neurons may see how many there are, and without proof that is not known"
		case factor:
			sure = append(sure, g.Name)
		default:
			unsure = append(unsure, g.Name)
		}
		if why != "" {
			rep.Left = append(rep.Left, Left{g.Name, why})
			continue
		}
		seats[g.Name] = dummySeats(source(r.seed(), g.Name)(), g.Size, s)
	}
	if len(seats) == 0 {
		return fmt.Errorf("%w: it has no group with which that can be done: %s: %s", ErrNetwork, rep.Left[0].Group, rep.Left[0].Reason)
	}
	part := r.Spec.Only(func(g *symmetry.Group) bool { return seats[g.Name] != nil })
	if err := r.finite(part); err != nil {
		return err
	}
	return r.proved(rep, true, func() error {
		good := func(before *graph.Graph, names []string) error {
			var proof Report
			err := r.compare(&proof, before, true)
			if err == nil && proof.Unproved != "" && slices.Contains(unsure, names[0]) {
				err = fmt.Errorf("a norm over the neurons may see how many there are, and that is not known: %s", proof.Unproved)
			}
			return err
		}
		if err := r.attempt(rep, [][]string{sure, unsure}, seats, good); err != nil || s.has("plain") {
			return err
		}
		left := map[string]bool{}
		for _, l := range rep.Left {
			left[l.Group] = true
		}
		part := r.Spec.Only(func(g *symmetry.Group) bool { return r.chosen(g) && !left[g.Name] })
		e, err := part.Fit(r.Set, part.Random(&symmetry.RandomOptions{Seed: r.seed(), Scale: dummyScale}))
		if err != nil {
			return err
		}
		return r.apply(part, e)
	})
}

// dummySeats returns the neurons of a group of n, and its dummies.
func dummySeats(r *rand.Rand, n int, s *Step) []seat {
	list := make([]seat, n)
	for i := range list {
		list[i] = seat{from: i, out: 1}
	}
	count := max(1, int(math.Round(s.Strength*float64(n))))
	kinds := []DummyKind{SplitDummy, ZeroDummy, CliqueDummy}
	for _, k := range kinds {
		if s.has(string(k)) {
			kinds = []DummyKind{k}
		}
	}
	for turn := 0; len(list) < n+count; turn++ {
		kind := kinds[turn%len(kinds)]
		if kind == CliqueDummy && len(list) == n+count-1 {
			kind = ZeroDummy // a clique takes two
		}
		at := len(list)
		d := seat{from: r.IntN(n), kind: kind, of: -1, seed: r.Uint64(), mixed: true}
		switch kind {
		case SplitDummy:
			whole := list[d.from].out
			share := 0.2 + 0.6*r.Float64()
			d.mixed, d.of, d.out = false, d.from, share*whole
			list[d.from].out -= d.out
		case CliqueDummy:
			d.of, d.out = at, 1
			list = append(list, d)
			d.out = -1
		}
		list = append(list, d)
	}
	return list
}
