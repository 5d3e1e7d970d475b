package align

import (
	"math"
	"slices"
)

// scales returns what each neuron of the suspect was multiplied by, by class,
// factor and reference neuron, or nil if no class has factors. It begins with what
// balancing took from either side, and refines that by least squares with the
// factors of all other classes taken back.
func (p *pair) scales(r, s *side, results []*Result) [][][]float64 {
	if !slices.ContainsFunc(p.classes, func(c Class) bool { return len(c.Factors) > 0 }) {
		return nil
	}
	out := ones(p.classes)
	for c := range p.classes {
		for f, gauge := range p.classes[c].Factors {
			bit := flipBit(p.classes[c].Factors, f)
			for i, j := range results[c].Sus {
				if j < 0 {
					continue
				}
				out[c][f][i] = p.refScale[c][f][i] / p.susScale[c][f][j]
				if gauge.flips() && len(p.state[c].flips) > 0 && p.state[c].flips[i]>>bit&1 == 1 {
					out[c][f][i] = -out[c][f][i]
				}
			}
		}
	}
	errs := ones(p.classes)
	for range 3 {
		change, imitated := p.refine(r, s, results, out, errs)
		if !imitated || change < 1e-5 {
			break // else what was pruned is known better with better factors
		}
	}
	for c := range out {
		for f, gauge := range p.classes[c].Factors {
			if !gauge.scales() {
				continue
			}
			for i, j := range results[c].Sus {
				if j >= 0 {
					out[c][f][i] = settled(out[c][f][i], errs[c][f][i])
				}
			}
		}
	}
	return out
}

// flipBit returns which bit of a set of flips stands for a factor.
func flipBit(factors []Gauge, f int) int {
	bit := 0
	for _, g := range factors[:f] {
		if g.flips() {
			bit++
		}
	}
	return bit
}

// refine compares the reference, rescaled by the factors found so far, with the
// suspect, and multiplies what is left into the factors: each pair has, at each
// place, a ratio of inner products whose logarithm is the sum of the logarithms of
// factors. Classes share tensors, so theirs are found in turn. It returns the
// largest change of a logarithm, puts the standard errors into errs, and tells whether anything was compared with what
// imitates the suspect.
//
// Factors act on whole rows and columns, so all is worked out on tables of squares
// and products, made once.
func (p *pair) refine(r, s *side, results []*Result, out, errs [][][]float64) (change float64, imitated bool) {
	own := r.rescaled(p.classes, out)
	q := newPair(&Spec{Classes: p.classes}, &Spec{Classes: p.suspects}, own, s, p.pool, false)
	for c := range q.state { // signs are in the factors
		q.state[c] = state{of: results[c].Sus, flips: make([]uint64, p.classes[c].Size)}
	}
	// Where evidence took the imitation, factors do.
	for c := range p.classes {
		for _, v := range results[c].Views {
			if v.Imitated {
				imitated = true
			}
		}
	}
	like := map[string]*array{}
	partner := map[string]*array{}
	for name, a := range q.ref.arrays {
		x := q.sus.arrays[name]
		masks := make([][]bool, len(a.dims))
		for axis := range a.dims {
			x, masks[axis] = q.toReference(x, name, axis, -1)
		}
		if y := q.imitated[name]; y != nil && imitated {
			a = y
		}
		like[name], partner[name] = masked(a, masks), x
	}
	sum := func(a, b map[string]*array) tables {
		return own.reduced(func(name string) func(from, to int) float64 {
			x, y := a[name].data, b[name].data
			return func(from, to int) (sum float64) {
				for k, v := range x[from:to] {
					sum += float64(v) * float64(y[from+k])
				}
				return sum
			}
		})
	}
	xx, xy, yy := sum(like, like), sum(like, partner), sum(partner, partner)
	begun := cloned(out)
	for round := range rounds {
		last := 0.0
		for c := range p.classes {
			class := &p.classes[c]
			if !slices.ContainsFunc(class.Factors, Gauge.scales) {
				continue
			}
			step := ones(p.classes[c : c+1])[0]
			fits := make([]placeSums, 0, len(class.Places))
			for k := range class.Places {
				place := &class.Places[k]
				f := placeSums{acts: place.Acts}
				f.xx, f.dim = xx.sums(class, place)
				f.xy, _ = xy.sums(class, place)
				f.yy, _ = yy.sums(class, place)
				if f.dim > 1 && silent(results[c], place) {
					continue
				}
				fits = append(fits, f)
			}
			for i, j := range results[c].Sus {
				if j < 0 {
					continue
				}
				var ratios []ratio
				for _, f := range fits {
					if r, ok := newRatio(f.acts, f.dim, f.xx[i], f.xy[i], f.yy[i]); ok {
						ratios = append(ratios, r)
					}
				}
				logs, e := solve(class.Factors, ratios)
				for f, l := range logs {
					errs[c][f][i] = e[f]
					step[f][i] = math.Exp(l)
					out[c][f][i] *= step[f][i]
					if math.Abs(l) > 0.03*e[f] { // what is below its error is not worth another round
						last = max(last, math.Abs(l))
					}
				}
			}
			xx.rescale(class, step, 2)
			xy.rescale(class, step, 1)
		}
		change = max(change, last)
		if last < 1e-8 {
			break
		}
		// Neurons that are no pairs contradict each other at places that classes share, and
		// their factors run away from round to round.
		if round == rounds-1 && last > 0.1 {
			for c := range out {
				for f := range out[c] {
					copy(out[c][f], begun[c][f])
				}
			}
		}
	}
	for c := range p.classes {
		for k := range p.classes[c].Places {
			place := &p.classes[c].Places[k]
			squares, dim := xx.sums(&p.classes[c], place)
			products, _ := xy.sums(&p.classes[c], place)
			others, _ := yy.sums(&p.classes[c], place)
			results[c].contradicted(viewName(place), dim, squares, products, others)
		}
	}
	return change, imitated
}

// rounds are how often factors are found in turn, at most.
const rounds = 100

func cloned(x [][][]float64) [][][]float64 {
	out := make([][][]float64, len(x))
	for c := range x {
		for _, f := range x[c] {
			out[c] = append(out[c], slices.Clone(f))
		}
	}
	return out
}

// contradicted takes the certainty of pairs whose weights at a place are opposite: a sign
// was flipped that nobody looked for (see FromSymmetry), or the match is wrong.
func (r *Result) contradicted(name string, dim int, xx, xy, yy []float64) {
	const deviations = 6
	if dim < 2 || r.Certainty == nil {
		return
	}
	for i, j := range r.Sus {
		if j < 0 || xx[i] == 0 || yy[i] == 0 || r.Certainty[i] == 0 {
			continue
		}
		if c := xy[i] / math.Sqrt(xx[i]*yy[i]); c*math.Sqrt(float64(dim)) < -deviations || c < -0.9 && dim > 8 {
			r.Certainty[i] = 0
			r.Ambiguous = append(r.Ambiguous, Ambiguity{Ref: i, Sus: j, Other: -1, Reason: "its weights in " + name + " have the opposite sign, which is not taken back"})
		}
	}
}

// A placeSums holds the sums of one place: squares and products of each pair.
type placeSums struct {
	acts       []Act
	dim        int
	xx, xy, yy []float64
}

// silent reports whether the view of a place said nothing about who is who.
func silent(r *Result, place *Place) bool {
	name := viewName(place)
	return slices.ContainsFunc(r.Views, func(v ViewEvidence) bool { return v.Name == name && v.Correlation == 0 })
}
