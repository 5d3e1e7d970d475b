package lineage

import (
	"math"
	"slices"

	"ropewalk/align"
	"ropewalk/internal/assignment"
	"ropewalk/symmetry"
)

// Evidence of cosines and ranks can fail where neurons are single numbers, or where edits
// contradict the rest. What agrees exactly decides then.

const (
	maxReordered = 256     // neurons of a group that are looked at
	maxCompared  = 1 << 25 // numbers that are compared for that
)

// reordered returns the match with neurons exchanged where that makes more places agree
// exactly, and whether any were.
func (p *pairing) reordered(differing []string) (match *align.NetworkResult, changed bool, err error) {
	if p.restored != nil {
		return p.match, false, nil // who has no partner is no matter of exactness
	}
	loaded := map[string]*pairedTensor{}
	load := func(name string) (*pairedTensor, error) {
		if n, ok := loaded[name]; ok {
			return n, nil
		}
		n, err := p.read(name)
		loaded[name] = n
		return n, err
	}
	diff := map[string]bool{}
	for _, name := range differing {
		diff[name] = true
	}
	out := *p.match
	out.Classes = slices.Clone(p.match.Classes)
	for c := range p.classes {
		if err := p.ctx.Err(); err != nil {
			return nil, false, err
		}
		x := &p.classes[c]
		k := slices.IndexFunc(out.Classes, func(r align.ClassResult) bool { return r.Name == x.Name })
		if k < 0 {
			continue
		}
		places := make([]*pairedTensor, len(x.Places))
		touched, size := false, 0
		for i := range x.Places {
			if places[i], err = load(x.Places[i].Tensor); err != nil {
				return nil, false, err
			}
			touched = touched || diff[x.Places[i].Tensor]
			if places[i] != nil {
				size += len(places[i].x) / x.Size
			}
		}
		if !touched {
			continue
		}
		var bad []int
		for i := range x.Size {
			if !x.agrees(places, i) {
				bad = append(bad, i)
			}
		}
		if len(bad) < 2 || len(bad) > maxReordered || len(bad)*len(bad)*max(1, size) > maxCompared {
			continue
		}
		to, better := x.exchange(places, bad)
		if !better {
			continue
		}
		changed = true
		r := &out.Classes[k]
		old := r.Matching
		r.Sus, r.Ref = slices.Clone(old.Sus), slices.Clone(old.Ref)
		scale := r.Scale
		r.Scale = nil
		for f := range scale {
			r.Scale = append(r.Scale, slices.Clone(scale[f]))
		}
		for a, b := range to {
			i, j := bad[a], bad[b]
			r.Sus[i] = old.Sus[j]
			r.Ref[r.Sus[i]] = i
			for f := range scale {
				r.Scale[f][i] = scale[f][j]
			}
		}
	}
	if !changed {
		return p.match, false, nil
	}
	return &out, true, nil
}

// agrees reports whether at least half of the numbers of neuron i are the same at every place.
func (x *pairedGroup) agrees(places []*pairedTensor, i int) bool {
	for k := range x.Places {
		n := places[k]
		if n == nil {
			continue
		}
		seen, other := 0, 0
		slab(n.dims, &x.Places[k], i, func(at int) {
			if n.x[at] != 0 || n.y[at] != 0 {
				seen++
				if n.differs(at, n.index(at)) {
					other++
				}
			}
		})
		if 2*other > seen {
			return false
		}
	}
	return true
}

// exchange returns which of the neurons in bad takes the place of each, so that most places
// agree, and whether more do than before.
func (x *pairedGroup) exchange(places []*pairedTensor, bad []int) (to []int, better bool) {
	cost := make([]float64, len(bad)*len(bad))
	before := 0.0
	var buf []float64
	for a, i := range bad {
		for b, j := range bad {
			s := x.agreement(places, i, j, &buf)
			if a == b {
				before += s
				s += 1e-3
			}
			cost[a*len(bad)+b] = -s
		}
	}
	solution, err := assignment.Minimize(len(bad), len(bad), cost, nil)
	if err != nil {
		return nil, false // no cost is infinite: it cannot be
	}
	after := 0.0
	for a, b := range solution.Col {
		after -= cost[a*len(bad)+b]
		if a == b {
			after -= 1e-3
		}
	}
	return solution.Col, after > before+single/2
}

// agreement adds up the weights of the places at which the suspect's neuron at j is the
// reference's neuron i, if it was multiplied by the factors that suit that best.
func (x *pairedGroup) agreement(places []*pairedTensor, i, j int, buf *[]float64) float64 {
	var votes []vote
	sum := 0.0
	for k := range x.Places {
		n := places[k]
		if n == nil {
			continue
		}
		p := &x.Places[k]
		moves := slices.ContainsFunc(p.Acts, func(a symmetry.Act) bool { return a.Power != 0 && x.Factors[a.Factor].Scales() })
		var from []int
		slab(n.dims, p, i, func(at int) { from = append(from, at) })
		b, seen, same, at := (*buf)[:0], 0, 0, 0
		slab(n.dims, p, j, func(to int) {
			u, v := n.x[from[at]], n.y[to]
			at++
			if u == 0 && v == 0 {
				return
			}
			seen++
			if u == v || n.close(u, v) && math.Abs(u) > n.size/64 {
				same++
			}
			if n.eps > 0 {
				u, v = u+n.eps, v+n.eps
			}
			if u != 0 && v != 0 {
				b = append(b, math.Log(math.Abs(v/u)))
			}
		})
		*buf = b
		v := vote{place: p, weight: 1, error: rounds(n.dtype) / 2}
		if len(from) == 1 {
			v.weight = single
		}
		switch {
		case seen == 0:
			sum += v.weight
		case !moves:
			if 2*same >= seen {
				sum += v.weight
			}
		case len(b) > 0:
			v.log = centre(b, rounds(n.dtype))
			near := 0
			for _, l := range b {
				if math.Abs(l-v.log) <= v.error {
					near++
				}
			}
			if 2*near >= seen {
				votes = append(votes, v)
			}
		}
	}
	if len(votes) == 0 {
		return sum
	}
	most := 0.0
	plain := func(steps []float64) float64 { return support(votes, steps) }
	for _, start := range [][]float64{make([]float64, len(x.Factors)), medians(x, votes)} {
		if _, s := climb(x, votes, start, plain); s > most {
			most = s
		}
	}
	return sum + most
}
