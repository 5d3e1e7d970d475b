package align

import "slices"

// What a pair of neurons has in common where most of the network was not damaged at all.
const (
	// exactRest is what may be left of the squares of a pair that is just what it was, but for rounding,
	// and wholePairs the share of all pairs that have to be so.
	exactRest  = 2e-4
	wholePairs = 0.9
	// sameWeights is the share of a neuron's weights that have to be just what they were where others are
	// not, as those that read neurons of which a part is gone.
	sameWeights = 0.5
	// impostorRest is what is left, at all places, of a pair that has nothing in common: a quarter of the
	// squares is more than neurons of many numbers share by chance.
	impostorRest = 0.75
	// impostorNumbers is how many numbers a place needs to say so, or that there is anything.
	impostorNumbers = 16
	// plausibleRest is the most that may be left of a usual pair, for others to be looked at: neighbours
	// that are impostors have a part in it.
	plausibleRest = 0.5
)

// A suspicion is what a matching looks like if nothing but neurons was added and removed.
type suspicion struct {
	// impostors are the neurons of the reference, by class, whose partners have nothing in common with
	// them: dummies that have taken the places of neurons that are gone.
	impostors [][]int
	exact     float64 // share of the pairs that are just what they were
	usual     float64 // what is left of most pairs
}

// suspect looks for impostors among the pairs of classes of which both sides have different numbers.
func (d *driver) suspect(ref, sus *Spec, r, s *side, out *NetworkResult) suspicion {
	if d.sketches != nil || !slices.ContainsFunc(out.Classes, func(c ClassResult) bool { return len(c.Sus) != len(c.Ref) }) {
		return suspicion{impostors: make([][]int, len(ref.Classes)), usual: 1} // of sketches there are no weights
	}
	least := make([][]float64, len(ref.Classes)) // what is left at the place where that is least
	told := make([][]bool, len(ref.Classes))
	for c := range least {
		least[c] = slices.Repeat([]float64{1}, ref.Classes[c].Size)
		told[c] = make([]bool, ref.Classes[c].Size)
	}
	d.held(ref, sus, r, s, out, func(c int, place *Place, seen float64, pairs []heldPair) {
		outer, inner := r.arrays[place.Tensor].split(place.Axis)
		many := float64(outer*inner)*seen >= impostorNumbers
		for _, p := range pairs {
			if p.xx == 0 {
				continue
			}
			rest := 1.0
			if p.yy > 0 {
				rest = max(0, 1-p.xy*p.xy/(p.xx*p.yy))
			}
			if rest > 0 && sameRatio(p.x, p.y) >= sameWeights {
				rest = 0
			}
			if many || rest <= exactRest { // few numbers are alike by chance
				least[c][p.i] = min(least[c][p.i], rest)
				told[c][p.i] = true
			}
		}
	})
	x := suspicion{impostors: make([][]int, len(ref.Classes)), usual: 1}
	var rests []float64
	exact := 0.0
	for c := range least {
		m := &out.Classes[c].Matching
		for i, j := range m.Sus {
			if j < 0 || !told[c][i] {
				continue
			}
			rest := least[c][i]
			if rests = append(rests, rest); rest <= exactRest {
				exact++
			}
			if rest > impostorRest && len(m.Sus) != len(m.Ref) && d.fixed[c] == nil {
				x.impostors[c] = append(x.impostors[c], i)
			}
		}
	}
	if len(rests) > 0 {
		slices.Sort(rests)
		x.usual, x.exact = rests[len(rests)/2], exact/float64(len(rests))
	}
	return x
}

// any reports whether there are impostors.
func (x *suspicion) any() bool {
	return slices.ContainsFunc(x.impostors, func(list []int) bool { return len(list) > 0 })
}

// disown returns a result without pairs.
func (r *NetworkResult) disown(pairs [][]int) *NetworkResult {
	alone := *r
	alone.Classes = slices.Clone(r.Classes)
	for c, list := range pairs {
		if len(list) == 0 {
			continue
		}
		x := &alone.Classes[c]
		x.Sus, x.Ref, x.Certainty, x.Margin = slices.Clone(x.Sus), slices.Clone(x.Ref), slices.Clone(x.Certainty), slices.Clone(x.Margin)
		x.Scale = slices.Clone(x.Scale)
		for f := range x.Scale {
			x.Scale[f] = slices.Clone(x.Scale[f])
		}
		for _, i := range list {
			x.Ref[x.Sus[i]], x.Sus[i] = -1, -1
			if x.Certainty != nil {
				x.Certainty[i], x.Margin[i] = 0, 0
			}
			for f := range x.Scale {
				x.Scale[f][i] = 1
			}
		}
		x.Ambiguous = slices.DeleteFunc(slices.Clone(x.Ambiguous), func(a Ambiguity) bool { return slices.Contains(list, a.Ref) })
	}
	return &alone
}
