package align

import (
	"math"
	"slices"
)

// A residue is what damage has put into the weights of each neuron of a class of the suspect:
// the sums of squares that do not come from its partner. It is the same for all where
// noise or a grid did it, and none where nothing was damaged.
type residue struct {
	in, out float64
	exact   bool // nearly all pairs are just what they were
}

// residues measures it, by class, on the pairs that were found, with their factors taken
// back. Each is the median of the class, so that wrong pairs don't count.
func (d *driver) residues(ref, sus *Spec, r, s *side, out *NetworkResult) []residue {
	sums := make([]residue, len(ref.Classes))
	if d.sketches != nil || !slices.ContainsFunc(out.Classes, func(c ClassResult) bool { return slices.Contains(c.Ref, -1) }) {
		return sums // of sketches there are no weights; and without dummies nobody asks
	}
	d.held(ref, sus, r, s, out, func(c int, place *Place, seen float64, pairs []heldPair) {
		var left []float64
		for _, p := range pairs {
			if p.xx != 0 && p.yy != 0 {
				left = append(left, p.yy*math.Max(0, 1-p.xy*p.xy/(p.xx*p.yy))/seen)
			}
		}
		if place.Role == Incoming {
			sums[c].in += median(left)
		} else {
			sums[c].out += median(left)
		}
	})
	return sums
}

// A heldPair is a pair of neurons at one place, with factors taken back: the sums of squares and
// products of the numbers whose other axes have partners.
type heldPair struct {
	i, j       int
	xx, xy, yy float64
	x, y       []float32 // their numbers at the place
}

// held holds all pairs against each other that were found, and calls visit for each place of more
// than one number, with which share of the suspect's numbers there is known.
func (d *driver) held(ref, sus *Spec, r, s *side, out *NetworkResult, visit func(c int, place *Place, seen float64, pairs []heldPair)) {
	scales := make([][][]float64, len(out.Classes))
	for c := range out.Classes {
		scales[c] = out.Classes[c].Scale
		if len(scales[c]) != len(ref.Classes[c].Factors) {
			scales[c] = ones(ref.Classes[c : c+1])[0]
		}
	}
	own := r.rescaled(ref.Classes, scales)
	p := newPair(ref, sus, own, s, d.pool, false)
	for c := range p.state { // signs are in the factors
		p.state[c] = state{of: out.Classes[c].Sus, flips: make([]uint64, ref.Classes[c].Size)}
	}
	like, partner, known := map[string]*array{}, map[string]*array{}, map[string][]float64{}
	for _, name := range sortedNames(own.arrays) {
		a, x := own.arrays[name], s.arrays[name]
		masks := make([][]bool, len(a.dims))
		for axis := range a.dims {
			x, masks[axis] = p.toReference(x, name, axis, -1)
		}
		like[name], partner[name] = masked(a, masks), x
		for axis, mask := range masks {
			n := 0
			for _, ok := range mask {
				if ok {
					n++
				}
			}
			known[name] = append(known[name], float64(n)/float64(max(1, s.arrays[name].dims[axis])))
		}
	}
	for c := range ref.Classes {
		class := &ref.Classes[c]
		for k := range class.Places {
			place := &class.Places[k]
			if place.Role != Incoming && place.Role != Outgoing {
				continue
			}
			a, dim := neurons(like[place.Tensor], place, class.Size)
			b, _ := neurons(partner[place.Tensor], place, class.Size)
			seen := 1.0 // of the suspect's numbers, the share that has partners
			for axis, share := range known[place.Tensor] {
				if axis != place.Axis {
					seen *= share
				}
			}
			if dim < 2 || seen == 0 {
				continue
			}
			var pairs []heldPair
			for i, j := range out.Classes[c].Sus {
				if j >= 0 {
					x, y := a[i*dim:][:dim], b[i*dim:][:dim]
					pairs = append(pairs, heldPair{i, j, inner(x, x), inner(x, y), inner(y, y), x, y})
				}
			}
			visit(c, place, seen, pairs)
		}
	}
}

const (
	// ratioTolerance is how far ratios of weights that were multiplied by the same may be apart, and
	// minRatios and maxRatios of how many that is found.
	ratioTolerance = 1e-5
	minRatios      = 8
	maxRatios      = 256
)

// sameRatio returns the share of the numbers of x that are not zero of which y has just as many times
// as much, up to rounding; 0 if there are few.
func sameRatio(x, y []float32) float64 {
	var some []float64
	step := len(x)/maxRatios + 1
	for i := 0; i < len(x); i += step {
		if x[i] != 0 {
			some = append(some, float64(y[i])/float64(x[i]))
		}
	}
	if len(some) < minRatios {
		return 0
	}
	slices.Sort(some)
	middle := some[len(some)/2]
	if middle == 0 {
		return 0
	}
	n, all := 0, 0
	for i, v := range x {
		if v == 0 {
			continue
		}
		all++
		if math.Abs(float64(y[i])-middle*float64(v)) <= ratioTolerance*math.Abs(middle*float64(v)) {
			n++
		}
	}
	return float64(n) / float64(all)
}
