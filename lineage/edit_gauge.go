package lineage

import (
	"math"
	"math/rand/v2"
	"slices"

	"ropewalk/align"
	"ropewalk/symmetry"
)

// Factors of align are a least-squares fit to all places of a neuron: where one place was
// edited, they are a compromise that is right at none. Here each neuron gets the factors that
// explain the most of its places exactly; what they don't explain are the edits.

// A ratioTensor holds the logarithms of ratios of a tensor's numbers to those of the
// reference, with what is known of factors taken back; NaN where there is none.
type ratioTensor struct {
	dims  []int
	log   []float64
	turn  []bool  // of opposite sign
	error float64 // of a logarithm, by rounding
}

// A regauge finds factors anew.
type regauge struct {
	p       *pairing
	tensors map[string]*ratioTensor
	scale   [][][]float64 // by class, factor and reference neuron: in all
	active  []bool        // classes that are looked at
}

// newRegauge loads what classes with factors are in.
func newRegauge(p *pairing, active []bool) (*regauge, error) {
	g := &regauge{p: p, tensors: map[string]*ratioTensor{}, scale: make([][][]float64, len(p.classes)), active: active}
	for c := range p.classes {
		x := &p.classes[c]
		for f := range x.Factors {
			s := slices.Repeat([]float64{1}, x.Size)
			if f < len(x.result.Scale) {
				copy(s, x.result.Scale[f])
			}
			g.scale[c] = append(g.scale[c], s)
		}
		if !active[c] {
			continue
		}
		for k := range x.Places {
			name := x.Places[k].Tensor
			if name == "" || g.tensors[name] != nil {
				continue
			}
			n, err := p.read(name)
			if err != nil {
				return nil, err
			}
			if n != nil {
				g.tensors[name] = newRatios(n)
			}
		}
	}
	return g, nil
}

func newRatios(n *pairedTensor) *ratioTensor {
	t := &ratioTensor{dims: n.dims, log: make([]float64, len(n.x)), turn: make([]bool, len(n.x)), error: rounds(n.dtype)}
	for k, x := range n.x {
		y := n.y[k]
		if n.eps > 0 {
			x, y = x+n.eps, y+n.eps
		}
		if x == 0 || y == 0 || math.IsInf(x, 0) || math.IsInf(y, 0) {
			t.log[k] = math.NaN()
			continue
		}
		t.log[k], t.turn[k] = math.Log(math.Abs(y/x)), (x < 0) != (y < 0)
	}
	return t
}

// around returns how many numbers of a tensor there are before an axis, and within one of
// its positions.
func around(dims []int, axis int) (outer, inner int) {
	outer, inner = 1, 1
	for _, d := range dims[:axis] {
		outer *= d
	}
	for _, d := range dims[axis+1:] {
		inner *= d
	}
	return outer, inner
}

// slab calls f with each number of neuron i at a place.
func slab(dims []int, p *symmetry.Place, i int, f func(k int)) {
	outer, inner := around(dims, p.Axis)
	for o := range outer {
		for r := range p.Run {
			base := (o*dims[p.Axis] + p.Position(i, r)) * inner
			for k := base; k < base+inner; k++ {
				f(k)
			}
		}
	}
}

// A vote is what a place says of the factors of a neuron: the sum of their logarithms times
// their powers is log.
type vote struct {
	place   *symmetry.Place
	log     float64
	turned  bool
	upright float64 // share of numbers that are not turned
	weight  float64 // less for a single number, which always agrees with itself
	error   float64 // that rounding makes of log
}

// single is the weight of a place with one number, beside 1 for those with more: two that
// agree outweigh a row, one does not.
const single = 0.75

// votes returns what the places of a neuron say.
func (g *regauge) votes(c, i int, buf *[]float64) []vote {
	x := &g.p.classes[c]
	var out []vote
	for k := range x.Places {
		p := &x.Places[k]
		t := g.tensors[p.Tensor]
		if t == nil || len(p.Acts) == 0 {
			continue
		}
		b := (*buf)[:0]
		sign := 0
		slab(t.dims, p, i, func(k int) {
			if l := t.log[k]; l == l {
				b = append(b, l)
				if t.turn[k] {
					sign--
				} else {
					sign++
				}
			}
		})
		*buf = b
		if len(b) == 0 {
			continue
		}
		v := vote{place: p, weight: 1, error: t.error / 2, turned: sign < 0, upright: 0.5 + 0.5*float64(sign)/float64(len(b))}
		if len(b) == 1 {
			v.weight = single
		}
		v.log = centre(b, t.error)
		out = append(out, v)
	}
	return out
}

// centre returns the median, or, where several numbers agree to rounding, the middle of the
// largest number that do. It sorts b.
func centre(b []float64, rounding float64) float64 {
	slices.Sort(b)
	from, n := 0, 0
	for lo, hi := 0, 0; hi < len(b); hi++ {
		for b[hi]-b[lo] > rounding {
			lo++
		}
		if hi-lo+1 > n {
			from, n = lo, hi-lo+1
		}
	}
	if n < 2 || 2*n < len(b) {
		return b[len(b)/2]
	}
	return b[from+n/2]
}

// power returns the power of a factor at a place.
func power(p *symmetry.Place, f int) float64 {
	for _, a := range p.Acts {
		if a.Factor == f {
			return float64(a.Power)
		}
	}
	return 0
}

// left is what steps leave of a vote.
func (v *vote) left(steps []float64) float64 {
	l := v.log
	for _, a := range v.place.Acts {
		l -= float64(a.Power) * steps[a.Factor]
	}
	return l
}

// medians returns the steps of a neuron's factors with the least sum of what they leave of
// votes, one factor after the other.
func medians(x *pairedGroup, votes []vote) []float64 {
	steps := make([]float64, len(x.Factors))
	type estimate struct{ at, weight float64 }
	var list []estimate
	for range 4 {
		for f, gauge := range x.Factors {
			if !gauge.Scales() {
				continue
			}
			list = list[:0]
			total := 0.0
			for k := range votes {
				if p := power(votes[k].place, f); p != 0 {
					list = append(list, estimate{steps[f] + votes[k].left(steps)/p, votes[k].weight})
					total += votes[k].weight
				}
			}
			slices.SortStableFunc(list, func(a, b estimate) int {
				switch {
				case a.at < b.at:
					return -1
				case a.at > b.at:
					return 1
				}
				return 0
			})
			sum := 0.0
			for _, e := range list {
				if sum += e.weight; 2*sum >= total {
					steps[f] = e.at
					break
				}
			}
		}
	}
	return steps
}

// apply multiplies factors, and takes the change back from ratios.
func (g *regauge) apply(c, i int, steps []float64) {
	x := &g.p.classes[c]
	for f, s := range steps {
		g.scale[c][f][i] *= math.Exp(s)
	}
	for k := range x.Places {
		p := &x.Places[k]
		t := g.tensors[p.Tensor]
		if t == nil {
			continue
		}
		d := 0.0
		for _, a := range p.Acts {
			d += float64(a.Power) * steps[a.Factor]
		}
		if d != 0 {
			slab(t.dims, p, i, func(k int) { t.log[k] -= d })
		}
	}
}

// Medians of classes that share tensors creep towards each other: sweeps end when steps are far
// below rounding, or when that many numbers were read.
const (
	still     = 0x1p-27
	maxSwept  = 1 << 28
	minSweeps = 20
	firstLook = 2 // sweeps, after which it is clear whether large networks were damaged; of others after minSweeps
	// manyWeights is how many make more sweeps than that slow.
	manyWeights = 1 << 17
)

// sweeps is how often polish goes through all neurons, at most.
func (g *regauge) sweeps() int { return max(minSweeps, min(maxSwept/max(1, 2*g.size()), 400)) }

// polish goes through all neurons until medians agree, or for that many sweeps.
func (g *regauge) polish(sweeps int) {
	var buf []float64
	for range sweeps {
		last := 0.0
		for c := range g.p.classes {
			x := &g.p.classes[c]
			if !g.active[c] || !slices.ContainsFunc(x.Factors, symmetry.Gauge.Scales) {
				continue
			}
			for i := range x.Size {
				if g.p.ctx.Err() != nil {
					return
				}
				steps := medians(x, g.votes(c, i, &buf))
				most := 0.0
				for _, s := range steps {
					most = max(most, math.Abs(s))
				}
				if most > 0 {
					g.apply(c, i, steps)
				}
				last = max(last, most)
			}
		}
		if last < still {
			break
		}
	}
}

// decide gives each neuron the factors that explain the most places. It returns whether
// anything changed.
func (g *regauge) decide() bool {
	var buf []float64
	changed := false
	for c := range g.p.classes {
		x := &g.p.classes[c]
		if !g.active[c] || !slices.ContainsFunc(x.Factors, symmetry.Gauge.Scales) {
			continue
		}
		for i := range x.Size {
			votes := g.votes(c, i, &buf)
			if len(votes) == 0 {
				continue
			}
			none := make([]float64, len(x.Factors)) // factors as they would be if nothing had been multiplied
			for f, gauge := range x.Factors {
				if gauge.Scales() {
					none[f] = -math.Log(math.Abs(g.scale[c][f][i]))
				}
			}
			support := func(steps []float64) float64 { return support(votes, steps) + g.preference(c, i, steps) }
			best := make([]float64, len(x.Factors))
			most := support(best)
			for _, from := range [][]float64{best, none, medians(x, votes)} {
				steps, score := climb(x, votes, from, support)
				if score > most+1e-9 {
					best, most = steps, score
				}
			}
			if !explained(votes, best) {
				r := rand.New(rand.NewPCG(uint64(c), uint64(i)))
				for range bases {
					steps, score := climb(x, votes, basis(x, votes, r), support)
					if score > most+1e-9 {
						best, most = steps, score
					}
				}
			}
			for _, s := range best {
				if math.Abs(s) > 1e-6 {
					changed = true
				}
			}
			g.apply(c, i, best)
		}
	}
	return changed
}

// bases is how many choices of places are tried as those that tell all factors.
const bases = 48

// explained reports whether steps explain all votes.
func explained(votes []vote, steps []float64) bool {
	for k := range votes {
		if math.Abs(votes[k].left(steps)) > votes[k].error {
			return false
		}
	}
	return true
}

// basis returns the steps that follow from places in a random order, of which each counts
// that those before it do not determine.
func basis(x *pairedGroup, votes []vote, r *rand.Rand) []float64 {
	n := len(x.Factors)
	steps := make([]float64, n)
	pivots := make([][]float64, n)
	for _, k := range r.Perm(len(votes)) {
		row := make([]float64, n+1)
		row[n] = votes[k].log
		for f, gauge := range x.Factors {
			if gauge.Scales() {
				row[f] = power(votes[k].place, f)
			}
		}
		for f := range n {
			if math.Abs(row[f]) < 1e-9 {
				continue
			}
			if pivots[f] == nil {
				pivots[f] = row
				break
			}
			q := row[f] / pivots[f][f]
			for j := range row {
				row[j] -= q * pivots[f][j]
			}
		}
	}
	for f := n - 1; f >= 0; f-- {
		if pivots[f] == nil {
			continue
		}
		s := pivots[f][n]
		for j := f + 1; j < n; j++ {
			s -= pivots[f][j] * steps[j]
		}
		steps[f] = s / pivots[f][f]
	}
	return steps
}

// climb changes one factor after the other to what a place says, as long as support grows.
func climb(x *pairedGroup, votes []vote, from []float64, support func(steps []float64) float64) ([]float64, float64) {
	steps := slices.Clone(from)
	score := support(steps)
	for range 4 {
		better := false
		for f, gauge := range x.Factors {
			if !gauge.Scales() {
				continue
			}
			for k := range votes {
				p := power(votes[k].place, f)
				if p == 0 {
					continue
				}
				old := steps[f]
				steps[f] += votes[k].left(steps) / p
				if s := support(steps); s > score+1e-9 {
					score, better = s, true
				} else {
					steps[f] = old
				}
			}
		}
		if !better {
			break
		}
	}
	return steps, score
}

// support adds up the places that steps explain; of equal sums, what those say who read the
// neuron is preferred.
func support(votes []vote, steps []float64) float64 {
	sum := 0.0
	for k := range votes {
		v := &votes[k]
		if math.Abs(v.left(steps)) <= v.error {
			sum += v.weight
			if v.place.Role == symmetry.Outgoing {
				sum += 1e-5
			}
		}
	}
	return sum
}

// preference is for factors of 1, then for powers of two; it decides where support is equal.
func (g *regauge) preference(c, i int, steps []float64) float64 {
	sum := 0.0
	for f, gauge := range g.p.classes[c].Factors {
		if !gauge.Scales() {
			continue
		}
		switch l := math.Log(math.Abs(g.scale[c][f][i])) + steps[f]; {
		case math.Abs(l) < 2e-6:
			sum += 2e-2
		case math.Abs(l-math.Ln2*math.Round(l/math.Ln2)) < 2e-6:
			sum += 1e-2
		}
	}
	return sum
}

// signs gives each neuron the signs that the most places show.
func (g *regauge) signs() {
	var buf []float64
	for c := range g.p.classes {
		x := &g.p.classes[c]
		if !g.active[c] || !slices.ContainsFunc(x.Factors, symmetry.Gauge.Flips) {
			continue
		}
		for i := range x.Size {
			votes := g.votes(c, i, &buf)
			flip := make([]bool, len(x.Factors))
			score := func() float64 {
				sum := 0.0
				for k := range votes {
					odd := votes[k].turned
					for _, a := range votes[k].place.Acts {
						odd = odd != (a.Odd && flip[a.Factor])
					}
					if !odd {
						sum += votes[k].weight
						if votes[k].place.Role == symmetry.Outgoing {
							sum += 1e-5
						}
					}
				}
				for f := range flip {
					if (g.scale[c][f][i] < 0) == flip[f] {
						sum += 1e-2
					}
				}
				return sum
			}
			best, most := slices.Clone(flip), score()
			right := true
			for k := range votes {
				right = right && !votes[k].turned
			}
			if right { // as it is nothing contradicts
				continue
			}
			r := rand.New(rand.NewPCG(uint64(c), uint64(i)))
			for start := range turns {
				for f, gauge := range x.Factors {
					flip[f] = start > 0 && gauge.Flips() && r.Uint64()&1 == 1
				}
				if s := turnBest(x, flip, score); s > most+1e-9 {
					most = s
					copy(best, flip)
				}
			}
			copy(flip, best)
			g.turn(c, i, flip)
		}
	}
}

// turns is from how many choices of signs the best is looked for.
const turns = 16

// turnBest turns one sign or two as long as that makes the score larger, and returns it.
func turnBest(x *pairedGroup, flip []bool, score func() float64) float64 {
	best := score()
	try := func(set ...int) bool {
		for _, f := range set {
			flip[f] = !flip[f]
		}
		if s := score(); s > best+1e-9 {
			best = s
			return true
		}
		for _, f := range set {
			flip[f] = !flip[f]
		}
		return false
	}
	for again := true; again; {
		again = false
		for f, gauge := range x.Factors {
			if !gauge.Flips() {
				continue
			}
			again = try(f) || again
			for h := range f {
				if x.Factors[h].Flips() {
					again = try(f, h) || again
				}
			}
		}
	}
	return best
}

// turn changes signs of factors.
func (g *regauge) turn(c, i int, flip []bool) {
	if !slices.Contains(flip, true) {
		return
	}
	x := &g.p.classes[c]
	for f := range flip {
		if flip[f] {
			g.scale[c][f][i] = -g.scale[c][f][i]
		}
	}
	for k := range x.Places {
		p := &x.Places[k]
		odd := false
		for _, a := range p.Acts {
			odd = odd != (a.Odd && flip[a.Factor])
		}
		if t := g.tensors[p.Tensor]; t != nil && odd {
			slab(t.dims, p, i, func(k int) { t.turn[k] = !t.turn[k] })
		}
	}
}

// settle makes factors 1, or a power of two, that are so but for rounding.
func (g *regauge) settle() {
	for c := range g.p.classes {
		x := &g.p.classes[c]
		rounding := 0.0
		for k := range x.Places {
			if t := g.tensors[x.Places[k].Tensor]; t != nil {
				rounding = max(rounding, t.error/4)
			}
		}
		for f, gauge := range x.Factors {
			for i, s := range g.scale[c][f] {
				l := math.Log2(math.Abs(s))
				if e := math.Round(l); gauge.Scales() && math.Abs(l-e) < 2*rounding {
					g.scale[c][f][i] = math.Copysign(math.Ldexp(1, int(e)), s)
				}
			}
		}
	}
}

// clear reports whether most numbers of a neuron were multiplied by one factor, in most tensors
// with more than one axis: else they were damaged, and nothing is exact.
func (g *regauge) clear() bool {
	near, of := map[string]int{}, map[string]int{} // by tensor
	var buf []float64
	for c := range g.p.classes {
		x := &g.p.classes[c]
		for k := range x.Places {
			p := &x.Places[k]
			t := g.tensors[p.Tensor]
			if t == nil || len(t.dims) < 2 {
				continue
			}
			agree, n := 0, 0
			for i := range x.Size {
				buf = buf[:0]
				slab(t.dims, p, i, func(k int) {
					if l := t.log[k]; l == l {
						buf = append(buf, l)
					}
				})
				if len(buf) < 2 {
					continue
				}
				middle, off := centre(buf, t.error), min(64*t.error, max(4*t.error, 0.01)) // a type of 16 bits is coarse itself
				for _, l := range buf {
					n++
					if math.Abs(l-middle) < off {
						agree++
					}
				}
			}
			if n > 0 && agree*max(1, of[p.Tensor]) >= near[p.Tensor]*n {
				near[p.Tensor], of[p.Tensor] = agree, n
			}
		}
	}
	good := 0
	for name := range of {
		if 2*near[name] >= of[name] {
			good++
		}
	}
	return 2*good >= len(of)
}

// regauged returns the match with the factors that explain the most places exactly, and
// whether these can be told; if not, with those that medians show.
func (p *pairing) regauged(active []bool) (match *align.NetworkResult, exact bool, err error) {
	g, err := newRegauge(p, active)
	if err != nil {
		return nil, false, err
	}
	sweeps := g.sweeps()
	// Of many weights a look says whether anything is exact, before hours are spent on it, or minutes.
	look := 0
	switch {
	case sweeps == minSweeps:
		look = firstLook
	case g.size() >= manyWeights:
		look = minSweeps
	}
	if look > 0 {
		g.polish(look)
		if !g.clear() {
			sweeps = 0
		}
	}
	for range 4 {
		g.polish(sweeps)
		if err := p.ctx.Err(); err != nil {
			return nil, false, err
		}
		if g.commonLogs() < still {
			break
		}
	}
	if exact = g.clear(); exact {
		for range 5 {
			if changed := g.decide(); !changed || p.ctx.Err() != nil {
				break
			}
		}
		g.allSigns()
	}
	g.settle()
	out := *p.match
	out.Classes = slices.Clone(p.match.Classes)
	byName := map[string]int{}
	for k := range out.Classes {
		byName[out.Classes[k].Name] = k
	}
	for c := range p.classes {
		if k, ok := byName[p.classes[c].Name]; ok && active[c] && len(p.classes[c].Factors) > 0 {
			out.Classes[k].Scale = g.scale[c]
		}
	}
	return &out, exact, nil
}
