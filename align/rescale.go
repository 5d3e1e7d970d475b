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
	// Classes share tensors, so their factors are found in turn.
	seen := make([]*evidence, len(p.classes))
	for range 10 {
		if p.refine(r, s, results, out, seen) < 1e-5 {
			break
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
// suspect, and multiplies what is left into the factors. It returns the largest
// change of a logarithm. seen keeps which views count, from the first call on.
func (p *pair) refine(r, s *side, results []*Result, out [][][]float64, seen []*evidence) (change float64) {
	own := &side{arrays: map[string]*array{}, owners: r.owners}
	for name, a := range r.arrays {
		own.arrays[name] = a.clone()
	}
	for c := range p.classes {
		own.rescale(&p.classes[c], out[c])
	}
	q := newPair(&Spec{p.classes}, &Spec{p.suspects}, own, s, p.pool, false)
	for c := range q.state {
		q.state[c] = state{of: results[c].Sus, flips: make([]uint8, p.classes[c].Size)}
	}
	for c := range p.classes {
		factors := p.classes[c].Factors
		if !slices.ContainsFunc(factors, Gauge.scales) {
			continue
		}
		g := q.group(c)
		if seen[c] == nil {
			seen[c] = gather(g, p.pool)
		}
		step := seen[c].scales(g, results[c].Sus)
		for f := range step {
			for i, x := range step[f] {
				if x < 0 {
					x = -x // signs are decided
				}
				out[c][f][i] *= x
				change = max(change, math.Abs(math.Log(x)))
			}
		}
	}
	return change
}
