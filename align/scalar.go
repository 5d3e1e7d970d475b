package align

import (
	"math"
	"slices"
)

// A scalar is a view of one number per neuron, or the length of a longer one, as
// normal scores.
type scalar struct {
	name     string
	role     Role
	ref, sus []float64
	fixed    bool      // the same whatever the factors are
	most     []float64 // of each suspect neuron: the log-likelihood ratio that it can have at most
}

func newScalar(name string, role Role, ref, sus []float32, folded bool) scalar {
	s := scalar{name: name, role: role}
	s.ref, _ = normalScores(ref, folded)
	var ties []int
	s.sus, ties = normalScores(sus, folded)
	s.most = make([]float64, len(sus))
	for j, k := range ties {
		// One number says at most which of the neurons with that number it is.
		s.most[j] = math.Log(float64(len(sus)) / float64(k))
	}
	return s
}

// newScalars makes the scalars of the views with one number. Numbers that the
// factors change alike, as scale and shift of a norm, are taken as ratios to one of
// them: these are the same whatever the neuron was multiplied by, to rounding,
// while the number alone can be compared only in a gauge that rests on all the
// other weights and what was done to them. ref and sus are the numbers in that
// gauge.
func newScalars(g *Group, ref, sus [][]float32) []scalar {
	var out []scalar
	var firsts []int // views that others are ratios to
	for k := range g.Views {
		v := &g.Views[k]
		if v.Dim != 1 {
			continue
		}
		alike := -1
		var a, b int
		for _, f := range firsts {
			if x, y, ok := cancel(g.Factors, v.Acts, g.Views[f].Acts); ok {
				alike, a, b = f, x, y
				break
			}
		}
		p := parity(g.Factors, v.Acts)
		if alike < 0 {
			if moves(g.Factors, v.Acts) {
				firsts = append(firsts, k)
			}
			x := newScalar(v.Name, v.Role, ref[k], sus[k], p != 0)
			x.fixed = !moves(g.Factors, v.Acts)
			out = append(out, x)
			continue
		}
		w := &g.Views[alike]
		signed := p == parity(g.Factors, w.Acts) && a%2 != 0 && b%2 != 0
		x := newScalar(v.Name+" to "+w.Name, v.Role, ratios(v.Ref, w.Ref, a, b, signed), ratios(v.Sus, w.Sus, a, b, signed), false)
		x.fixed = true
		out = append(out, x)
	}
	return out
}

// moves reports whether the magnitude of numbers depends on the factors.
func moves(factors []Gauge, acts []Act) bool {
	for f, g := range factors {
		if g.scales() && powerOf(acts, f) != 0 {
			return true
		}
	}
	return false
}

// cancel returns the smallest powers, a above 0 and b not 0, for which x^a·y^b does
// not depend on the size of the factors, where x and y are numbers with these acts.
func cancel(factors []Gauge, x, y []Act) (a, b int, ok bool) {
	for f, g := range factors {
		if !g.scales() {
			continue
		}
		p, q := powerOf(x, f), powerOf(y, f)
		switch {
		case p == 0 && q == 0:
			continue
		case p == 0 || q == 0:
			return 0, 0, false
		}
		c, d := q, -p // x^q·y^-p
		if c < 0 {
			c, d = -c, -d
		}
		for c%2 == 0 && d%2 == 0 {
			c, d = c/2, d/2
		}
		if ok && (c != a || d != b) {
			return 0, 0, false
		}
		a, b, ok = c, d, true
	}
	return a, b, ok
}

// ratios returns x^a·y^b by magnitude, with the sign of x·y if signed.
func ratios(x, y []float32, a, b int, signed bool) []float32 {
	out := make([]float32, len(x))
	for i := range x {
		if x[i] == 0 {
			continue
		}
		r := float64(a)*math.Log(math.Abs(float64(x[i]))) + float64(b)*math.Log(math.Abs(float64(y[i])))
		// Any function that keeps the order will do: scores are of ranks. This one
		// takes all that two float32 can make.
		z := float32(math.Exp(min(max(r, -2000), 2000) / 25))
		if signed && (x[i] < 0) != (y[i] < 0) {
			z = -z
		}
		out[i] = z
	}
	return out
}

// maxScalarRho bounds the correlation of single numbers: what rounding leaves.
const maxScalarRho = 1 - 1e-6

// leastScalar bounds what a number can say against a pair: it may have been changed
// alone.
const leastScalar = -4

// addScalars adds the views of single numbers, each weighed by the correlation it
// shows over the pairs that are matched now and trusted.
func (e *evidence) addScalars(total []float32, of []int, trust []float64) []ViewEvidence {
	var reports []ViewEvidence
	for k := range e.scalars {
		s := &e.scalars[k]
		rho := s.correlation(of, trust)
		reports = append(reports, ViewEvidence{Name: s.name, Role: s.role.String(), Dim: 1, Effective: 1, Correlation: rho})
		if rho == 0 {
			continue
		}
		q := 1 - rho*rho
		for i, x := range s.ref {
			row := total[i*e.m:][:e.m]
			base := -math.Log(q)/2 - rho*rho*x*x/(2*q)
			for j, y := range s.sus {
				row[j] += float32(max(leastScalar, min(s.most[j], base+(rho*x*y-rho*rho*y*y/2)/q)))
			}
		}
	}
	return reports
}

// fewPairs are too few to measure the correlation of single numbers by.
const fewPairs = 6

// begin finds pairs to measure single numbers by where a matching of certainty trust
// has too few: weights say nothing yet, as those of narrow layers whose neighbours
// are not known, but a neuron with the numbers of another in most of its norms is
// that one. Each neuron is a point of as many scores as there are single numbers, a
// view as others are. It counts for the beginning only.
func (e *evidence) begin(base []float32, of []int, trust []float64, o *Options) ([]int, []float64, error) {
	const least = 4 // numbers: fewer agree by chance
	trusted := 0
	for _, t := range trust {
		if t >= 0.5 {
			trusted++
		}
	}
	if trusted >= fewPairs {
		return of, trust, nil
	}
	var cosines []float32
	var f fit
	for _, all := range [...]bool{true, false} { // without those that a damaged gauge may have moved
		var points []*scalar
		for c := range e.scalars {
			if all || e.scalars[c].fixed {
				points = append(points, &e.scalars[c])
			}
		}
		k := len(points)
		if k < least || !all && k == len(e.scalars) {
			continue
		}
		ref, sus := make([]float32, e.n*k), make([]float32, e.m*k)
		for c, s := range points {
			for i, x := range s.ref {
				ref[i*k+c] = float32(x)
			}
			for j, x := range s.sus {
				sus[j*k+c] = float32(x)
			}
		}
		c := products(unit(ref, k), unit(sus, k), k, e.pool)
		if x := e.fitNull(c, false, true, 0.5/math.Sqrt(float64(k))); x.mu > 0 && x.logLR > f.logLR {
			cosines, f = c, x
		}
	}
	if f.mu == 0 {
		return of, trust, nil
	}
	alone := &evidence{n: e.n, m: e.m, views: make([]ViewEvidence, 1), uneven: e.uneven, void: []voids{{make([]bool, e.n), make([]bool, e.m)}}}
	alone.plain = slices.Clone(base)
	alone.add(cosines, f, 0, 0)
	of, err := e.assign(alone.plain, base, o)
	if err != nil {
		return nil, nil, err
	}
	e.points = true
	return of, e.certainty(alone.plain, of), nil
}

// correlation returns that of matched pairs, on the safe side: 1.64 standard
// errors lower, and 0 if that is negative or there are too few. Where three of four
// pairs agree better than the correlation of all says, it is theirs: the others may
// be no pairs, or changed.
func (s *scalar) correlation(of []int, trust []float64) float64 {
	var w, xx, yy, xy float64
	var apart []float64
	rare := math.Log(8)
	for i, j := range of {
		if j < 0 || trust[i] < 0.5 {
			continue
		}
		x, y := s.ref[i], s.sus[j]
		w++
		xx += x * x
		yy += y * y
		xy += x * y
		if s.most[j] > rare { // many agree in a number that many have
			apart = append(apart, math.Abs(x-y))
		}
	}
	if w < fewPairs || xx == 0 || yy == 0 {
		return 0
	}
	r := xy / math.Sqrt(xx*yy)
	if len(apart) >= fewPairs && 2*float64(len(apart)) >= w {
		slices.Sort(apart)
		// The upper quartile of |N(0, σ²)| is 1.15 σ, and σ² is 2(1-ρ).
		d := apart[(3*len(apart)-1)/4] / 1.1503
		r = max(r, 1-d*d/2)
	}
	r = min(max(r, -0.9999), 1-1e-9)
	return min(maxScalarRho, max(0, math.Tanh(math.Atanh(r)-1.64/math.Sqrt(w-3))))
}

// normalScores replaces each number by the quantile of the normal distribution at
// its rank; equal numbers get the mean rank. So evidence does not depend on
// units, nor on what does not change the order. Folded ones lose their sign first.
// ties says of each number how many are equal to it.
func normalScores(x []float32, folded bool) (scores []float64, ties []int) {
	n := len(x)
	y := slices.Clone(x)
	if folded {
		for i, v := range y {
			y[i] = float32(math.Abs(float64(v)))
		}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case y[a] < y[b]:
			return -1
		case y[a] > y[b]:
			return 1
		}
		return 0
	})
	out := make([]float64, n)
	ties = make([]int, n)
	for from := 0; from < n; {
		to := from + 1
		for to < n && y[order[to]] == y[order[from]] {
			to++
		}
		q := gaussQuantile((float64(from+to) / 2) / float64(n))
		for _, i := range order[from:to] {
			out[i] = q
			ties[i] = to - from
		}
		from = to
	}
	return out, ties
}
