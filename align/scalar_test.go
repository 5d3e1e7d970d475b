package align

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// normed makes a group of n neurons with a batch norm behind, whose incoming and
// outgoing weights are gone for the first quiet of them, and which are rescaled.
func normed(r *rand.Rand, n, quiet int, gauge Gauge) (g *Group, truth *Matching) {
	order := r.Perm(n)
	truth = must(NewMatching(order, n)).Inverse()
	scale := [2][]float64{}
	for f := range scale {
		for range n {
			x := math.Exp(0.7 * r.NormFloat64())
			if f == 0 && gauge.flips() && r.IntN(2) == 0 {
				x = -x
			}
			scale[f] = append(scale[f], x)
		}
	}
	g = &Group{Name: "normed", Ref: n, Sus: n, Factors: []Gauge{gauge, Positive}}
	for _, v := range []struct {
		name  string
		role  Role
		dim   int
		acts  []Act
		above bool
	}{
		{"in", Incoming, 27, []Act{{0, 1, true}}, false},
		{"gamma", Parameter, 1, []Act{{0, 0, true}, {1, 1, false}}, false},
		{"beta", Parameter, 1, []Act{{1, 1, false}}, false},
		{"mean", Statistic, 1, []Act{{0, 1, true}}, false},
		{"variance", Statistic, 1, []Act{{0, 2, false}}, true},
		{"out", Outgoing, 27, []Act{{1, -1, false}}, false},
	} {
		ref := gaussian(r, n*v.dim)
		if v.above {
			for i, x := range ref {
				ref[i] = x*x + 0.1
			}
		}
		sus := slices.Clone(ref)
		for i := range n {
			factor := 1.0
			for _, a := range v.acts {
				factor *= math.Pow(math.Abs(scale[a.Factor][i]), float64(a.Power))
				if a.Odd && scale[a.Factor][i] < 0 {
					factor = -factor
				}
			}
			for c := range v.dim {
				sus[i*v.dim+c] *= float32(factor)
			}
			if i < quiet && v.dim > 1 {
				clear(sus[i*v.dim:][:v.dim])
			}
		}
		g.Views = append(g.Views, View{Name: v.name, Role: v.role, Dim: v.dim, Ref: ref, Sus: rowsOf(r, sus, v.dim, order), Acts: v.acts})
	}
	return g, truth
}

// Neurons without any weights left are told apart by what scaling does not change in
// their norms; and if the norms are those of others, by nothing, which is said.
func TestScalarsOfDeadNeurons(t *testing.T) {
	for _, gauge := range []Gauge{Positive, Nonzero} {
		for seed := range uint64(5) {
			r := rand.New(rand.NewPCG(seed, 77))
			g, truth := normed(r, 40, 12, gauge)
			res := must(Match(g, nil))
			if got := Psi(&res.Matching, truth); got != 100 {
				t.Errorf("%v, seed %d: Ψ = %v", gauge, seed, got)
			}
			for k := range g.Views {
				if v := &g.Views[k]; v.Dim == 1 {
					r.Shuffle(len(v.Sus), func(i, j int) { v.Sus[i], v.Sus[j] = v.Sus[j], v.Sus[i] })
				}
			}
			res = must(Match(g, nil))
			right := 0
			for i, j := range res.Sus {
				switch {
				case i >= 12 && j == truth.Sus[i]:
					right++
				case i < 12 && res.Certainty[i] > 0.5:
					t.Errorf("%v, seed %d: dead neuron %d is matched with certainty %.2f", gauge, seed, i, res.Certainty[i])
				}
			}
			if right < 28 {
				t.Errorf("%v, seed %d: foreign norms leave %d of 28 neurons found", gauge, seed, right)
			}
		}
	}
}

// Ratios of numbers that move alike do not depend on factors, others are not made.
func TestCancel(t *testing.T) {
	one, two, inverse := []Act{{0, 1, true}}, []Act{{0, 2, false}}, []Act{{0, -1, true}}
	both := []Act{{0, 1, true}, {1, 1, true}}
	factors := []Gauge{Positive, Nonzero}
	for _, c := range []struct {
		x, y []Act
		a, b int
		ok   bool
	}{
		{one, one, 1, -1, true},
		{one, two, 2, -1, true},
		{two, one, 1, -2, true},
		{one, inverse, 1, 1, true},
		{one, both, 0, 0, false},
		{both, both, 1, -1, true},
		{nil, nil, 0, 0, false},
		{nil, one, 0, 0, false},
	} {
		a, b, ok := cancel(factors, c.x, c.y)
		if a != c.a || b != c.b || ok != c.ok {
			t.Errorf("%v, %v: powers %d and %d, %v; want %d, %d, %v", c.x, c.y, a, b, ok, c.a, c.b, c.ok)
		}
	}
	x, y := []float32{3, -2, 0, 1e-38, 1e38}, []float32{1.5, 8, 2, 1e38, 0}
	for _, s := range []float32{0.01, 1, 77} {
		var sx, sy []float32
		for i := range x {
			sx, sy = append(sx, x[i]*s), append(sy, y[i]*s)
		}
		if a, _ := normalScores(ratios(x, y, 1, -1, true), false); true {
			b, _ := normalScores(ratios(sx, sy, 1, -1, true), false)
			if !slices.Equal(a, b) {
				t.Errorf("times %v: scores %v, before %v", s, b, a)
			}
		}
	}
}

// A number that all have in common is no evidence, however well it agrees.
func TestScalarTies(t *testing.T) {
	same := make([]float32, 50)
	same[7] = 1
	s := newScalar("bias", Parameter, same, same, false)
	if s.most[0] > 0.05 || math.Abs(s.most[7]-math.Log(50)) > 1e-9 {
		t.Errorf("a number of 49 of 50 neurons may say %v, of one %v", s.most[0], s.most[7])
	}
}

// It is the variance with its epsilon that scaling multiplies: so neurons whose
// variance is next to nothing, and of which nothing else is left, are found.
func TestEpsilonOfVariance(t *testing.T) {
	const n, epsilon = 40, 1e-3
	for _, known := range []bool{true, false} {
		r := rand.New(rand.NewPCG(5, 5))
		var e float64
		if known {
			e = epsilon
		}
		spec := &Spec{Classes: []Class{{Name: "c", Size: n, Factors: []Gauge{Positive}, Places: []Place{
			{Tensor: "w", Axis: 0, Role: Incoming, Acts: []Act{{0, 1, true}}},
			{Tensor: "mean", Axis: 0, Role: Statistic, Acts: []Act{{0, 1, true}}},
			{Tensor: "var", Axis: 0, Role: Statistic, Acts: []Act{{0, 2, false}}, Epsilon: e},
		}}}}
		order := r.Perm(n)
		w, mean, variance := gaussian(r, n*27), gaussian(r, n), gaussian(r, n)
		for i := range mean {
			mean[i] *= 0.01
			variance[i] = 1e-4 * (variance[i]*variance[i] + 0.1)
		}
		w2, mean2, variance2 := slices.Clone(w), slices.Clone(mean), slices.Clone(variance)
		for i := range n {
			f := math.Exp(math.Abs(r.NormFloat64()))
			for c := range 27 {
				w2[i*27+c] *= float32(f)
			}
			if i < 4 {
				clear(w2[i*27:][:27])
			}
			mean2[i] *= float32(f)
			variance2[i] = float32(f*f*(float64(variance[i])+epsilon) - epsilon)
		}
		a, b := newTestNet(), newTestNet()
		a.spec, b.spec = spec, spec
		a.put("w", w, n, 27)
		a.put("mean", mean, n)
		a.put("var", variance, n)
		b.put("w", rowsOf(r, w2, 27, order), n, 27)
		b.put("mean", rowsOf(r, mean2, 1, order), n)
		b.put("var", rowsOf(r, variance2, 1, order), n)
		res := must(MatchNetworks(a.network(), b.network(), nil))
		report := res.Classes[0].Views[len(res.Classes[0].Views)-1]
		if exact := report.Correlation > 0.999; exact != known {
			t.Errorf("epsilon known: %v; correlation of %s is %v", known, report.Name, report.Correlation)
		}
	}
}
