package lineage

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"ropewalk/symmetry"
)

// function says whether both compute the same: by the weights, and by running them.
func (c *comparer) function() error {
	f := &c.out.Function
	preserved := !slices.ContainsFunc(c.out.Changes, func(x Change) bool { return !x.Preserves })
	if preserved {
		*f = Function{Same: Yes, How: "all weights are the same, but for what the network's symmetries let be"}
	} else {
		*f = Function{Same: Unknown, How: "weights differ, and the network was not run"}
	}
	if c.ref.Graph == nil || c.own.Graph == nil {
		return nil
	}
	c.progress("running both")
	o := &symmetry.VerifyOptions{Seed: c.o.Seed, Run: c.o.Run, Inputs: c.o.Inputs, Tolerance: runTolerance}
	d, err := symmetry.Compare(c.ref.Graph, c.own.Graph, o)
	f.Differences = d
	if errors.Is(err, symmetry.ErrChanged) && !slices.ContainsFunc(c.out.Changes, func(x Change) bool { return !x.Preserves && x.Kind != Padding }) {
		o.Tolerance = c.rounding(o)
		if farthest(d) <= o.Tolerance {
			err = nil
		}
	}
	switch {
	case errors.Is(err, symmetry.ErrChanged):
		f.Same, f.How = No, "both were run on the same inputs"
	case err != nil:
		f.How += fmt.Sprintf("; it could not be run: %v", err)
	default:
		f.Same, f.How = Yes, "both were run on the same inputs"
		for i := range c.out.Changes { // shapes that follow from padding do
			if x := &c.out.Changes[i]; x.Kind == Padding {
				x.Preserves = true
			}
		}
	}
	return c.ctx.Err()
}

const (
	// runTolerance is how far outputs may be apart, relative to the largest, by rounding:
	// factors round all weights once in 24 bits, and sums of many of them do the rest.
	runTolerance = 1e-5
	// maxRunTolerance is how far at most, in networks that enlarge what rounding does.
	maxRunTolerance = 1e-3
	// roundings is how many times further than the reference with the suspect's factors the
	// outputs of the suspect may be, which was rounded otherwise.
	roundings = 8
)

// rounding returns how far the suspect's outputs may be from those of the reference if all that
// was done to it preserves the function: some times as far as the outputs of the reference itself are
// when its neurons are multiplied by the suspect's factors, and in another order if that has one or
// more neurons, so that sums are added up otherwise. These differ by nothing but rounding.
func (c *comparer) rounding(o *symmetry.VerifyOptions) float64 {
	if c.scaled == nil || c.out.Match == nil {
		return runTolerance
	}
	set := c.scaled
	if slices.ContainsFunc(c.out.Changes, func(x Change) bool { return x.Kind == Reorder || x.Kind == Padding }) {
		e := symmetry.Element{}
		r := rand.New(rand.NewPCG(c.o.Seed, 1))
		for i := range c.out.Match.Classes {
			x := &c.out.Match.Classes[i]
			e[x.Name] = &symmetry.Move{Order: r.Perm(len(x.Sus))}
		}
		moved, err := symmetry.Apply(c.spec, set, e)
		if err != nil {
			return runTolerance
		}
		set = moved
	}
	if set == c.ref.Set {
		return runTolerance
	}
	scaled := *c.ref.Graph
	scaled.Weights = set
	d, err := symmetry.Compare(c.ref.Graph, &scaled, o)
	if err != nil && !errors.Is(err, symmetry.ErrChanged) {
		return runTolerance
	}
	return min(max(runTolerance, roundings*farthest(d)), maxRunTolerance)
}

// farthest returns the largest of differences: infinite if there are none.
func farthest(d []symmetry.Difference) float64 {
	largest := math.Inf(1)
	for i, x := range d {
		if i == 0 || !(x.Largest <= largest) {
			largest = x.Largest
		}
	}
	return largest
}
