package align

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ropewalk/internal/kernel"
)

// A permuted and rescaled layer is put in order again, whatever its gauge, and
// the factors are found.
func TestRecover(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		n := rapid.IntRange(4, 40).Draw(t, "neurons")
		var factors []Gauge
		if f := rapid.IntRange(-1, int(Sign)).Draw(t, "gauge"); f >= 0 {
			factors = []Gauge{Gauge(f)}
		}
		s := layer(r, n, rapid.IntRange(20, 60).Draw(t, "in"), rapid.IntRange(0, 40).Draw(t, "out"), factors, func([]float32) {})
		got, err := Match(&s.group, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s.truth, got.Matching); diff != "" {
			t.Fatalf("%v: matching (-want +got):\n%s", factors, diff)
		}
		for f := range factors {
			for i, want := range s.scale[f] {
				if x := got.Scale[f][i]; math.Abs(x/want-1) > 1e-3 {
					t.Fatalf("%v: factor of neuron %d is %v, want %v", factors, i, x, want)
				}
			}
		}
		for i, c := range got.Certainty {
			if c < 0.9 {
				t.Fatalf("certainty of neuron %d is %v (%+v)", i, c, got.Views)
			}
		}
	})
}

// Exchanging reference and suspect inverts the matching; threads change nothing.
func TestSymmetric(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	s := layer(r, 50, 64, 32, []Gauge{Nonzero}, func(x []float32) { noise(r, x, 1) })
	a, err := Match(&s.group, &Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	b := must(Match(&s.group, &Options{Threads: 7}))
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("1 and 7 threads differ:\n%s", diff)
	}
	back := s.group
	back.Ref, back.Sus = back.Sus, back.Ref
	back.Views = slices.Clone(back.Views)
	for k := range back.Views {
		v := &back.Views[k]
		v.Ref, v.Sus = v.Sus, v.Ref
	}
	c := must(Match(&back, nil))
	if diff := cmp.Diff(a.Matching, *c.Inverse()); diff != "" {
		t.Errorf("exchanged sides:\n%s", diff)
	}
}

// The paper's method follows the law of Ψ; the predicted numbers are those of
// papers 2.4, of which the first row is the published VGG16 layer (99.88 and
// 93.50 measured there).
func TestLaw(t *testing.T) {
	for _, tt := range []struct {
		n, d   int
		om, ps float64
	}{
		{512, 2304, 7, 99.97},
		{512, 2304, 10, 94.8},
		{2048, 512, 7, 41.0},
		{2048, 512, 10, 12.8},
		{1280, 960, 7, 84.7},
		{1280, 960, 10, 41.6},
		{255, 128, 7, 12.5},
		{255, 128, 10, 5.5},
		{256, 256, 7, 30.0},
		{256, 256, 10, 12.4},
		{3072, 768, 10, 22.5},
		{64, 9, 0, 100},
	} {
		if got := Law(tt.n, tt.d, tt.om); math.Abs(got-tt.ps) > 0.06 {
			t.Errorf("Law(%d, %d, %v) = %.2f, want %.2f", tt.n, tt.d, tt.om, got, tt.ps)
		}
	}
}

// Simulated layers obey the law. 4 standard errors, and half a point for what
// cosines differ from inner products.
func TestLawSimulated(t *testing.T) {
	for _, tt := range []struct {
		n, d int
		om   float64
	}{{255, 128, 2}, {255, 128, 4}, {256, 256, 7}, {128, 1152, 10}, {64, 25, 1}} {
		want := Law(tt.n, tt.d, tt.om)
		sum := 0.0
		const seeds = 6
		for seed := range uint64(seeds) {
			r := rand.New(rand.NewPCG(seed, 5))
			s := layer(r, tt.n, tt.d, 0, nil, func(x []float32) { noise(r, x, tt.om) })
			sum += Psi(&must(Match(&s.group, &Options{Method: Paper})).Matching, &s.truth) / seeds
		}
		p := want / 100
		tol := 0.5 + 400*math.Sqrt(p*(1-p)/float64(seeds*tt.n))
		t.Logf("%dx%d noise %v: Ψ %.2f, law %.2f ± %.2f", tt.n, tt.d, tt.om, sum, want, tol)
		if math.Abs(sum-want) > tol {
			t.Errorf("%dx%d noise %v: Ψ %.2f, law %.2f ± %.2f", tt.n, tt.d, tt.om, sum, want, tol)
		}
	}
}

// conditions of the tables: what happens to every tensor of the group.
var conditions = []struct {
	name   string
	damage func(r *rand.Rand, x []float32)
}{
	{"none", func(*rand.Rand, []float32) {}},
	{"noise 1", func(r *rand.Rand, x []float32) { noise(r, x, 1) }},
	{"noise 2", func(r *rand.Rand, x []float32) { noise(r, x, 2) }},
	{"noise 4", func(r *rand.Rand, x []float32) { noise(r, x, 4) }},
	{"noise 7", func(r *rand.Rand, x []float32) { noise(r, x, 7) }},
	{"prune .9", func(_ *rand.Rand, x []float32) { prune(x, 0.9) }},
	{"prune .95", func(_ *rand.Rand, x []float32) { prune(x, 0.95) }},
	{"prune .99", func(_ *rand.Rand, x []float32) { prune(x, 0.99) }},
	{"quant 4", func(_ *rand.Rand, x []float32) { quantize(x, 4) }},
	{"quant 3", func(_ *rand.Rand, x []float32) { quantize(x, 3) }},
	{"quant 2", func(_ *rand.Rand, x []float32) { quantize(x, 2) }},
	{"prune .9, quant 4, noise 1", func(r *rand.Rand, x []float32) { prune(x, 0.9); quantize(x, 4); noise(r, x, 1) }},
}

// Ours is never worse than the paper's, and one layer with 64 incoming and 64
// outgoing weights is found where the paper's fails.
func TestOneLayer(t *testing.T) {
	const n, in, out, seeds = 128, 64, 64, 3
	for k, c := range conditions {
		var psi [3]float64
		for seed := range uint64(seeds) {
			r := rand.New(rand.NewPCG(seed, uint64(k)))
			s := layer(r, n, in, out, []Gauge{Positive}, func(x []float32) { c.damage(r, x) })
			for m := range psi {
				psi[m] += Psi(&must(Match(&s.group, &Options{Method: Method(m)})).Matching, &s.truth) / seeds
			}
		}
		t.Logf("%-28s joint %6.2f  paper %6.2f  ranking %6.2f", c.name, psi[Joint], psi[Paper], psi[Ranking])
		if psi[Joint] < psi[Paper] {
			t.Errorf("%s: joint %.2f is worse than the paper's %.2f", c.name, psi[Joint], psi[Paper])
		}
		if want := map[string]float64{"noise 4": 55, "noise 7": 10, "prune .99": 60, "prune .9, quant 4, noise 1": 60}; psi[Joint] < want[c.name] {
			t.Errorf("%s: joint %.2f, want %v", c.name, psi[Joint], want[c.name])
		} else if want[c.name] == 0 && psi[Joint] < 99.9 {
			t.Errorf("%s: joint %.2f, want all", c.name, psi[Joint])
		}
	}
}

// Certainty means what it says: of matches with certainty near p, about p are
// right; and the mean certainty is near the share that is right.
func TestCalibrated(t *testing.T) {
	var claimed, right, count [10]float64
	for seed := range uint64(6) {
		for _, om := range []float64{0.5, 1, 2, 3, 4, 5, 6, 8} {
			r := rand.New(rand.NewPCG(seed, uint64(om*10)))
			s := layer(r, 100, 64, 64, nil, func(x []float32) { noise(r, x, om) })
			got := must(Match(&s.group, nil))
			for i, c := range got.Certainty {
				b := min(9, int(c*10))
				count[b]++
				claimed[b] += c
				if got.Sus[i] == s.truth.Sus[i] {
					right[b]++
				}
			}
		}
	}
	for b := range count {
		if count[b] == 0 {
			continue
		}
		c, p := claimed[b]/count[b], right[b]/count[b]
		t.Logf("certainty %.3f: %.3f of %v right", c, p, count[b])
		if tol := 0.1 + 3*math.Sqrt(c*(1-c)/count[b]); c > p+tol {
			t.Errorf("certainty %.3f, but only %.3f of %v right", c, p, count[b])
		}
	}
	if p := right[9] / count[9]; p < 0.99 {
		t.Errorf("%.4f of those called certain are right", p)
	}
}

// Networks that have nothing to do with each other are never aligned with
// certainty: a thousand pairs of many shapes, Gaussian and heavy-tailed weights,
// with structure that they share.
func TestUnrelated(t *testing.T) {
	pairs, sure, neurons, worst := 0, 0, 0, 0.0
	views := 0
	for seed := range uint64(1050) {
		r := rand.New(rand.NewPCG(seed, 77))
		n := 4 + r.IntN(60)
		g := Group{Name: "g", Ref: n, Sus: n, Factors: [][]Gauge{nil, {Positive}, {Nonzero}, {Sign}}[r.IntN(4)]}
		for k := range 1 + r.IntN(3) {
			dim := 1 + r.IntN(80)
			profile := gaussian(r, dim)
			draw := func() []float32 {
				x := gaussian(r, n*dim)
				for i := range x {
					switch seed % 3 {
					case 1: // columns of unequal importance, alike in both
						x[i] *= profile[i%dim]
					case 2: // heavy tails
						x[i] *= x[i] * x[i]
					}
				}
				return x
			}
			v := View{Name: fmt.Sprint(k), Role: Role(k % 3), Dim: dim, Ref: draw(), Sus: draw()}
			if len(g.Factors) > 0 {
				v.Acts = []Act{{Factor: 0, Power: 1 - 2*(k%2), Odd: true}}
			}
			g.Views = append(g.Views, v)
		}
		got := must(Match(&g, nil))
		pairs++
		mean := 0.0
		for _, c := range got.Certainty {
			mean += c / float64(n)
			neurons++
			if c > 0.9 {
				sure++
			}
		}
		worst = max(worst, mean)
		for _, v := range got.Views {
			if v.Correlation > 0 {
				views++
			}
		}
		if mean > 0.5 {
			t.Errorf("pair %d (%d neurons): mean certainty %.2f: %+v", seed, n, mean, got.Views)
		}
	}
	t.Logf("%d pairs: %d of %d neurons above 0.9, largest mean %.3f, %d views thought related", pairs, sure, neurons, worst, views)
	if float64(sure) > 0.005*float64(neurons) {
		t.Errorf("%d of %d unrelated neurons are called certain", sure, neurons)
	}
}

// Neurons removed from the suspect, and strangers added to it.
func TestRectangular(t *testing.T) {
	for _, om := range []float64{0, 0.5, 1} {
		r := rand.New(rand.NewPCG(4, 4))
		const n, dim = 100, 72
		g := Group{Name: "g", Ref: n}
		order := r.Perm(n)[:80] // 20 are gone
		for range 40 {
			order = append(order, -1)
		}
		r.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
		g.Sus = len(order)
		for k := range 2 {
			ref := gaussian(r, n*dim)
			sus := rowsOf(r, ref, dim, order)
			noise(r, sus, om)
			g.Views = append(g.Views, View{Name: fmt.Sprint(k), Role: Role(k), Dim: dim, Ref: ref, Sus: sus})
		}
		got := must(Match(&g, nil))
		for j, i := range order {
			if got.Ref[j] != i {
				t.Errorf("noise %v: suspect neuron %d is %d, matched with %d", om, j, i, got.Ref[j])
			}
		}
	}
}

// Equal and dead neurons are listed, not guessed silently.
func TestAmbiguous(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	s := layer(r, 20, 30, 0, nil, func([]float32) {})
	v := &s.group.Views[0]
	v.Name = "in"
	s.group.Views = s.group.Views[:1]
	a, b := s.truth.Sus[3], s.truth.Sus[8]
	copy(v.Ref[3*30:][:30], v.Ref[8*30:][:30]) // twins
	copy(v.Sus[a*30:][:30], v.Sus[b*30:][:30])
	clear(v.Ref[5*30:][:30]) // dead
	clear(v.Sus[s.truth.Sus[5]*30:][:30])
	got := must(Match(&s.group, nil))
	var listed []int
	for _, x := range got.Ambiguous {
		listed = append(listed, x.Ref)
		if x.Ref != 5 && x.Other != a && x.Other != b {
			t.Errorf("%+v: the other should be %d or %d", x, a, b)
		}
		if dead := strings.Contains(x.Reason, "no weights"); dead != (x.Ref == 5) {
			t.Errorf("%+v", x)
		}
	}
	if diff := cmp.Diff([]int{3, 5, 8}, listed); diff != "" {
		t.Errorf("ambiguous neurons (-want +got):\n%s", diff)
	}
	if got.Certainty[3] > 0.6 || got.Certainty[0] < 0.95 {
		t.Errorf("certainty of a twin %v, of a single %v", got.Certainty[3], got.Certainty[0])
	}
}

func TestMatchRefuses(t *testing.T) {
	ok := func() *Group {
		return &Group{Name: "g", Ref: 2, Sus: 2, Views: []View{{Name: "w", Role: Outgoing, Dim: 2, Ref: make([]float32, 4), Sus: make([]float32, 4)}}}
	}
	for _, tt := range []struct {
		name string
		edit func(g *Group, o *Options)
		want string
	}{
		{"empty", func(g *Group, _ *Options) { g.Ref = 0 }, "0 and 2 neurons"},
		{"no views", func(g *Group, _ *Options) { g.Views = nil }, "no views"},
		{"short", func(g *Group, _ *Options) { g.Views[0].Sus = g.Views[0].Sus[1:] }, "4 and 3 numbers"},
		{"NaN", func(g *Group, _ *Options) { g.Views[0].Sus[3] = float32(math.NaN()) }, "view w: suspect neuron 1 has the weight NaN"},
		{"Inf", func(g *Group, _ *Options) { g.Views[0].Ref[1] = float32(math.Inf(-1)) }, "reference neuron 0 has the weight -Inf"},
		{"act", func(g *Group, _ *Options) { g.Views[0].Acts = []Act{{Factor: 0}} }, "of 0 factors"},
		{"gauge", func(g *Group, _ *Options) { g.Factors = []Gauge{9} }, "Gauge(9)"},
		{"flips", func(g *Group, _ *Options) { g.Factors = append(slices.Repeat([]Gauge{Sign}, 64), Nonzero) }, "65 factors that flip"},
		{"method", func(_ *Group, o *Options) { o.Method = 7 }, "Method(7)"},
		{"paper without incoming", func(_ *Group, o *Options) { o.Method = Paper }, "no view of incoming weights"},
		{"ranking without incoming", func(_ *Group, o *Options) { o.Method = Ranking }, "no view of incoming weights"},
	} {
		g, o := ok(), &Options{}
		tt.edit(g, o)
		if _, err := Match(g, o); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if r, err := Match(ok(), nil); err != nil || len(r.Ambiguous) != 2 {
		t.Errorf("two dead neurons: %+v, %v", r, err)
	}
	if _, err := NewMatching([]int{0, 2}, 2); !errors.Is(err, ErrInput) {
		t.Errorf("partner out of range: %v", err)
	}
}

// products equals the simple loop, to rounding, for every remainder of the blocks.
func TestProducts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	pool := kernel.NewPool(2)
	defer pool.Close()
	for _, s := range [][3]int{{1, 1, 1}, {2, 3, 5}, {7, 4, 33}, {40, 37, 4100}} {
		n, m, d := s[0], s[1], s[2]
		a, b := gaussian(r, n*d), gaussian(r, m*d)
		got := products(a, b, d, pool)
		for i := range n {
			for j := range m {
				want, size := 0.0, 0.0
				for k, x := range a[i*d:][:d] {
					y := float64(x) * float64(b[j*d+k])
					want += y
					size += math.Abs(y)
				}
				if math.Abs(float64(got[i*m+j])-want) > 1e-6*size {
					t.Fatalf("%v: product of %d and %d is %v, want %v", s, i, j, got[i*m+j], want)
				}
			}
		}
	}
}
