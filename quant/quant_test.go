package quant_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ropewalk/quant"
)

// gaussian returns n numbers that are nearly Gaussian, by integers only: the
// same on all machines.
func gaussian(seed uint64, n int, sigma float32) []float32 {
	r := rand.New(rand.NewPCG(seed, 0))
	w := make([]float32, n)
	for i := range w {
		s := -6 << 16
		for range 12 {
			s += r.IntN(1 << 16)
		}
		w[i] = float32(s) / (1 << 16) * sigma
	}
	return w
}

func drawTensor(t *rapid.T) (shape []int64, w, sens []float32) {
	rows, cols := rapid.IntRange(1, 6).Draw(t, "rows"), rapid.IntRange(1, 40).Draw(t, "cols")
	w = make([]float32, rows*cols)
	for i := range w {
		w[i] = rapid.OneOf(
			rapid.Float32Range(-1, 1),
			rapid.Float32Range(-1e-6, 1e-6),
			rapid.Float32Range(-100, 100),
			rapid.SampledFrom([]float32{0, 1, -1, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32}),
		).Draw(t, "w")
	}
	if rapid.Bool().Draw(t, "sensitive") {
		sens = make([]float32, len(w))
		for i := range sens {
			sens[i] = rapid.Float32Range(0, 10).Draw(t, "sens")
		}
	}
	return []int64{int64(rows), int64(cols)}, w, sens
}

func drawOptions(t *rapid.T) *quant.Options {
	o := &quant.Options{Method: rapid.SampledFrom([]quant.Method{"", quant.Uniform, quant.Lloyd, quant.LloydGaussian, quant.ECSQ}).Draw(t, "method")}
	lloyd := o.Method == quant.Lloyd || o.Method == quant.LloydGaussian
	switch n := rapid.IntRange(0, 4).Draw(t, "how"); {
	case n == 0:
	case n == 1:
		o.Levels = rapid.IntRange(2, 300).Draw(t, "levels")
	case n == 2:
		o.Bits = rapid.Float64Range(0.1, 9).Draw(t, "bits")
	case lloyd:
	case n == 3:
		o.Step = rapid.Float64Range(0.01, 9).Draw(t, "step")
	default:
		o.Lambda = rapid.Float64Range(1e-4, 10).Draw(t, "lambda")
	}
	if o.Method == quant.Uniform {
		o.PerChannel = rapid.Bool().Draw(t, "per channel")
	}
	return o
}

// Whatever goes in, what comes out is well formed, measured right, and the
// same again.
func TestQuantize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape, w, sens := drawTensor(t)
		o := drawOptions(t)
		q, err := quant.Quantize("w", shape, w, sens, o)
		if errors.Is(err, quant.ErrOptions) && o.Bits > 0 {
			return // so few bits are too few for, say, two weights
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(q.Levels) == 0 || len(q.Levels) > quant.MaxLevels || o.Levels > 0 && len(q.Levels) > o.Levels {
			t.Fatalf("%d levels", len(q.Levels))
		}
		for i, l := range q.Levels {
			if l-l != 0 || i > 0 && q.Levels[i-1] >= l || l == 0 && math.Signbit(float64(l)) {
				t.Fatalf("levels %v", q.Levels)
			}
		}
		values := q.Values(nil)
		worst, d, e := 0.0, 0.0, 0.0
		for i, v := range values {
			if v-v != 0 {
				t.Fatalf("value %d is %g, of %g", i, v, w[i])
			}
			diff := float64(w[i]) - float64(v)
			worst = max(worst, math.Abs(diff))
			d += diff * diff
			e += float64(w[i]) * float64(w[i])
		}
		if worst != q.MaxError || e > 0 && math.Abs(d/e-q.NMSE) > 1e-9*max(q.NMSE, 1e-30) {
			t.Fatalf("errors are %g and %g, not %g and %g", worst, d/e, q.MaxError, q.NMSE)
		}
		// Per channel, a channel of small weights may have a large error, and HEMP's
		// levels are only as good as the fit of a Gaussian.
		if sens == nil && !o.PerChannel && o.Method != quant.LloydGaussian && q.NMSE > 1.001 {
			t.Fatalf("worse than all zeros: %g", q.NMSE)
		}
		again, err := quant.Quantize("w", shape, w, sens, o)
		if err != nil || !cmp.Equal(again.Values(nil), values) || !cmp.Equal(again.Symbols, q.Symbols) {
			t.Fatal("another result the second time")
		}
	})
}

// A weight gets the nearest level of a codebook, the lower one of two.
func TestCodebook(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		level := rapid.Map(rapid.IntRange(-1000, 1000), func(i int) float32 { return float32(i) / 8 })
		levels := rapid.SliceOfNDistinct(level, 1, 20, rapid.ID).Draw(t, "levels")
		slices.Sort(levels)
		// Halves of the distances of levels: many ties.
		w := rapid.SliceOfN(rapid.Map(rapid.IntRange(-2100, 2100), func(i int) float32 { return float32(i) / 16 }), 2, 50).Draw(t, "w")
		w[0], w[1] = -7, 7
		q, err := quant.Quantize("w", []int64{int64(len(w))}, w, nil, &quant.Options{Method: quant.Codebook, Codebook: levels})
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range q.Values(nil) {
			want := levels[0]
			for _, l := range levels {
				if math.Abs(float64(l-w[i])) < math.Abs(float64(want-w[i])) {
					want = l
				}
			}
			if v != want {
				t.Fatalf("%g became %g, want %g of %v", w[i], v, want, levels)
			}
		}
	})
}

// Per channel, each value is a float32 product of a scale and an integer; so
// quantizing what came out, with the same scales, gives the same.
func TestPerChannel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.IntRange(2, 6).Draw(t, "rows"), rapid.IntRange(2, 50).Draw(t, "cols")
		w := gaussian(rapid.Uint64().Draw(t, "seed"), rows*cols, 1)
		for i := range w {
			w[i] *= float32(math.Exp2(float64(i / cols * 3)))
		}
		q, err := quant.Quantize("w", []int64{int64(rows), int64(cols)}, w, nil, &quant.Options{
			PerChannel: true,
			Step:       rapid.Float64Range(0.01, 2).Draw(t, "step"),
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(q.Scales) != rows {
			t.Fatalf("%d scales for %d channels", len(q.Scales), rows)
		}
		for i, v := range q.Values(nil) {
			scale := q.Scales[i/cols]
			k := math.Round(float64(v) / float64(scale))
			if scale <= 0 || v != scale*float32(k) || float32(k) != q.Levels[q.Symbols[i]] {
				t.Fatalf("value %d is %g, no multiple of %g", i, v, scale)
			}
		}
	})
}

// The bits of the results are those of every other machine. If a change is
// meant to change results, these numbers change with it.
func TestSameOnAllMachines(t *testing.T) {
	w := gaussian(1, 6000, 0.05)
	for i := range w {
		w[i] *= float32(1 + i/600%5)
	}
	for _, tt := range []struct {
		o    quant.Options
		want string
	}{
		{quant.Options{}, "49efd9def1fd3e2c"},
		{quant.Options{Bits: 2}, "8f28e62f65039af2"},
		{quant.Options{Lambda: 0.3, PerChannel: true}, "1ce9b17e784a2c63"},
		{quant.Options{Method: quant.Lloyd, Levels: 8}, "5d88f576bcc05d53"},
		{quant.Options{Method: quant.LloydGaussian, Levels: 4}, "f30b84dd6d0ec38e"},
		{quant.Options{Method: quant.ECSQ, Lambda: 0.1}, "2e4d9ef5e663f954"},
	} {
		q, err := quant.Quantize("w", []int64{10, 600}, w, nil, &tt.o)
		if err != nil {
			t.Fatal(err)
		}
		h := fnv.New64a()
		for _, v := range q.Values(nil) {
			_ = binary.Write(h, binary.LittleEndian, v)
		}
		if got := fmt.Sprintf("%016x", h.Sum64()); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.o, got, tt.want)
		}
	}
}

// What is impossible is refused with a sentence that names the tensor.
func TestRefused(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	w := []float32{1, 2, 3, 4}
	for _, tt := range []struct {
		name    string
		shape   []int64
		w, sens []float32
		o       *quant.Options
		want    string
		options bool
	}{
		{"nan", []int64{4}, []float32{1, nan, 3, 4}, nil, nil, `tensor "t": weight 1 is NaN`, false},
		{"inf", []int64{4}, []float32{1, 2, 3, -inf}, nil, nil, `tensor "t": weight 3 is -Inf`, false},
		{"shape", []int64{2, 3}, w, nil, nil, `tensor "t": shape 2x3 has 6 weights, there are 4`, false},
		{"axis", []int64{-2, -2}, w, nil, nil, `tensor "t": tensor: invalid shape: axis 0 is -2`, false},
		{"few sensitivities", []int64{4}, w, w[:3], nil, `tensor "t": has 4 weights, but 3 sensitivities`, false},
		{"negative sensitivity", []int64{4}, w, []float32{0, 0, -1, 0}, nil, `tensor "t": sensitivity 2 is -1`, false},
		{"nan sensitivity", []int64{4}, w, []float32{nan, 0, 1, 0}, nil, `tensor "t": sensitivity 0 is NaN`, false},
		{"one level", []int64{4}, w, nil, &quant.Options{Levels: 1}, `tensor "t" is not constant, it needs 2 levels`, true},
		{"levels", []int64{4}, w, nil, &quant.Options{Levels: 4097}, `tensor "t": 4097 levels, want 1 to 4096`, true},
		{"lambda", []int64{4}, w, nil, &quant.Options{Lambda: -1}, `lambda is -1, want a positive number`, true},
		{"bits", []int64{4}, w, nil, &quant.Options{Bits: math.NaN()}, `bits is NaN, want a positive number`, true},
		{"too many bits", []int64{4}, w, nil, &quant.Options{Bits: -2}, `bits is -2`, true},
		{"step", []int64{4}, w, nil, &quant.Options{Step: math.Inf(1)}, `step is +Inf`, true},
		{"rounding", []int64{4}, w, nil, &quant.Options{Rounding: 0.6}, `rounding is 0.6, want at most 0.5`, true},
		{"two aims", []int64{4}, w, nil, &quant.Options{Step: 1, Bits: 2}, `at most one of step, bits and lambda`, true},
		{"method", []int64{4}, w, nil, &quant.Options{Method: "best"}, `there is no method "best"`, true},
		{"lloyd per channel", []int64{4}, w, nil, &quant.Options{Method: quant.Lloyd, PerChannel: true}, `method "lloyd" has no scale per channel`, true},
		{"no codebook", []int64{4}, w, nil, &quant.Options{Method: quant.Codebook}, `a codebook of 0 levels`, true},
		{"order", []int64{4}, w, nil, &quant.Options{Method: quant.Codebook, Codebook: []float32{1, 1}}, `level 1 of the codebook, 1, is not above level 0, 1`, true},
		{"nan level", []int64{4}, w, nil, &quant.Options{Method: quant.Codebook, Codebook: []float32{nan}}, `level 0 of the codebook is NaN`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := quant.Quantize("t", tt.shape, tt.w, tt.sens, tt.o)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if errors.Is(err, quant.ErrOptions) != tt.options {
				t.Errorf("about options: %v, want %v", !tt.options, tt.options)
			}
		})
	}
}

// Constant tensors are exact with any options, and so are empty ones.
func TestConstant(t *testing.T) {
	for _, v := range []float32{0, 1.25, -3e-39, math.MaxFloat32} {
		for _, o := range []quant.Options{{}, {Levels: 1}, {PerChannel: true}, {Method: quant.ECSQ, Bits: 0.01}, {Method: quant.Lloyd, Levels: 1}} {
			for _, rows := range []int64{0, 1, 3} {
				w := slices.Repeat([]float32{v}, int(rows)*4)
				q, err := quant.Quantize("w", []int64{rows, 4}, w, nil, &o)
				if err != nil {
					t.Fatal(err)
				}
				if got := q.Values(nil); !slices.Equal(got, w) || q.NMSE != 0 {
					t.Errorf("%g became %v with %+v", v, got, o)
				}
			}
		}
	}
}

func plan(t testing.TB, o *quant.Options, tensors ...[]float32) *quant.Plan {
	p, err := quant.NewPlan(o)
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range tensors {
		if err := p.Add(fmt.Sprint(i), []int64{int64(len(w))}, w, nil); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// Bits are met and never exceeded, and the estimate is what comes out, but for
// what is lost by storing multiples instead of centroids.
func TestBits(t *testing.T) {
	a, b := gaussian(1, 20000, 1), gaussian(2, 30000, 0.01)
	for i := range b {
		b[i] *= b[i] * b[i] // a heavier tail
	}
	for _, m := range []quant.Method{quant.Uniform, quant.ECSQ} {
		for _, bits := range []float64{0.3, 1, 2, 4.5} {
			p := plan(t, &quant.Options{Method: m, Bits: bits}, a, b)
			lambda, err := p.Lambda()
			if err != nil {
				t.Fatal(err)
			}
			got, d := 0.0, 0.0
			for i, w := range [][]float32{a, b} {
				q, err := p.Quantize(i, w, nil, lambda)
				if err != nil {
					t.Fatal(err)
				}
				got += q.Bits
				d += q.NMSE * float64(len(w))
			}
			e := p.Estimate(lambda)
			if math.Abs(e.Bits-got) > 1e-9*got {
				t.Errorf("%s: estimate of %g bits, got %g", m, e.Bits, got)
			}
			if math.Abs(e.Distortion-d) > 0.06*d {
				t.Errorf("%s: estimate of a distortion of %g, got %g", m, e.Distortion, d)
			}
			if want := bits * 50000; got > want || got < 0.995*want {
				t.Errorf("%s: %g bits, want %g", m, got, want)
			}
		}
	}
}

// At equal distortion the default needs fewer bits than Lloyd–Max.
func TestUniformBeatsLloyd(t *testing.T) {
	w := gaussian(3, 50000, 1)
	for _, tt := range []struct {
		levels int
		most   float64
	}{{4, 0.96}, {8, 0.96}, {16, 0.975}, {32, 0.985}} {
		l, err := quant.Quantize("w", []int64{50000}, w, nil, &quant.Options{Method: quant.Lloyd, Levels: tt.levels})
		if err != nil {
			t.Fatal(err)
		}
		u, err := quant.Quantize("w", []int64{50000}, w, nil, &quant.Options{Bits: l.Bits / 50000 * tt.most})
		if err != nil {
			t.Fatal(err)
		}
		if u.NMSE > l.NMSE {
			t.Errorf("%d levels: %g bits with %g, Lloyd %g with %g", tt.levels, u.Bits, u.NMSE, l.Bits, l.NMSE)
		}
	}
}

// The known optimum of a Gaussian: Max (1960) has 0.1175 for 4 levels and
// 0.03454 for 8. Ours is a sum of 12 uniform numbers, a little less than Gaussian.
func TestLloydOfGaussian(t *testing.T) {
	w := gaussian(4, 200000, 2)
	for _, m := range []quant.Method{quant.Lloyd, quant.LloydGaussian} {
		for levels, want := range map[int]float64{4: 0.1175, 8: 0.03454} {
			q, err := quant.Quantize("w", []int64{200000}, w, nil, &quant.Options{Method: m, Levels: levels})
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(q.NMSE/want-1) > 0.06 {
				t.Errorf("%s: %d levels have %g, want %g", m, levels, q.NMSE, want)
			}
		}
	}
}

// The unit of sensitivities makes no difference, and equal ones are as none.
func TestSensitivities(t *testing.T) {
	w := gaussian(5, 5000, 0.1)
	sens := make([]float32, len(w))
	for i := range sens {
		sens[i] = float32(1 + i%7)
	}
	quantize := func(unit float32) *quant.Quantized {
		s := make([]float32, len(w))
		for i := range s {
			s[i] = sens[i] * unit
		}
		q, err := quant.Quantize("w", []int64{5000}, w, s, &quant.Options{Lambda: 0.03})
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	if a, b := quantize(1), quantize(1<<20); !slices.Equal(a.Values(nil), b.Values(nil)) {
		t.Error("the unit of sensitivities makes a difference")
	}
	for i := range sens {
		sens[i] = 0.25
	}
	none, err := quant.Quantize("w", []int64{5000}, w, nil, &quant.Options{Lambda: 0.03})
	if err != nil {
		t.Fatal(err)
	}
	if got := quantize(1); math.Abs(got.NMSE/none.NMSE-1) > 0.001 {
		t.Errorf("equal sensitivities: %g, none: %g", got.NMSE, none.NMSE)
	}
	// A few that are a hundred times the others: the mean is only 8 % more.
	for i, v := range w {
		if math.Abs(float64(v)) < 1e-4 {
			sens[i] = 25
		}
	}
	if got := quantize(1); math.Abs(got.Bits/none.Bits-1) > 0.03 {
		t.Errorf("a few large sensitivities of small weights: %g bits, none: %g", got.Bits, none.Bits)
	}
}

// Search comes within 0.5 % of any target, or says what can be reached.
func TestSearch(t *testing.T) {
	most := 0
	rapid.Check(t, func(t *rapid.T) {
		largest := rapid.Int64Range(1e5, 1e9).Draw(t, "largest")
		fixed := rapid.Int64Range(0, largest/4).Draw(t, "fixed")
		power := rapid.Float64Range(0.05, 1).Draw(t, "power")
		bend := rapid.Float64Range(1e-5, 1).Draw(t, "bend")
		calls := 0
		seen := map[float64]bool{}
		size := func(lambda float64) (int64, error) {
			calls++
			if seen[lambda] {
				t.Fatalf("%g twice", lambda)
			}
			seen[lambda] = true
			return fixed + int64(float64(largest)*math.Pow(bend/(bend+lambda), power)), nil
		}
		const lo, hi = 1e-6, 100
		a, _ := size(hi)
		z, _ := size(lo)
		clear(seen)
		calls = 0
		target := rapid.Int64Range(1, z*5/4).Draw(t, "target")
		lambda, got, err := quant.Search(lo, hi, size, target)
		var budget *quant.BudgetError
		switch {
		case target < a:
			if !errors.As(err, &budget) || budget.Smallest != a || budget.Target != target {
				t.Fatalf("got %v, want a BudgetError of %d", err, a)
			}
		case err != nil:
			t.Fatal(err)
		case target >= z:
			if got != z && float64(got) < 0.995*float64(target)-1 {
				t.Fatalf("got %d at %g, want all: %d", got, lambda, z)
			}
		case got > target || float64(got) < 0.995*float64(target)-1:
			t.Fatalf("got %d of %d, in %d calls", got, target, calls)
		}
		most = max(most, calls)
	})
	if most > 24 { // mostly about ten; 20 is the most in 600,000 draws
		t.Errorf("%d calls", most)
	}
}

// Sizes that jump: the largest that fits.
func TestSearchOfSteps(t *testing.T) {
	size := func(lambda float64) (int64, error) { return 1000 - 100*int64(math.Round(math.Log10(lambda))), nil }
	_, got, err := quant.Search(1e-5, 1e5, size, 1199)
	if err != nil || got != 1100 {
		t.Errorf("got %d, %v, want 1100", got, err)
	}
	failure := errors.New("disk full")
	if _, _, err := quant.Search(1, 2, func(float64) (int64, error) { return 0, failure }, 5); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
}

// order0 is an adaptive coder in the simplest form: counts, of lately.
func order0(bits *float64) quant.Coder {
	return func(q *quant.Quantized, choose quant.Choice) []uint16 {
		count := slices.Repeat([]float64{1}, len(q.Levels))
		total := float64(len(count))
		*bits = 0
		out := make([]uint16, len(q.Symbols))
		for i := range out {
			cost := func(sym int) uint32 { return uint32(math.Log2(total/count[sym]) * 65536) }
			s := choose(i, cost)
			*bits += float64(cost(s)) / 65536
			count[s] += 8
			if total += 8; total > 8000 {
				total = 0
				for j := range count {
					count[j] = max(count[j]/2, 1)
					total += count[j]
				}
			}
			out[i] = uint16(s)
		}
		return out
	}
}

// Choosing by rate and distortion has a lower D + lambda·R than the nearest
// levels, and than the dead zone that is made without knowing the coder.
func TestAssign(t *testing.T) {
	const n = 20000
	w := gaussian(6, n, 0.3)
	for i := range w {
		if i > n/2 {
			w[i] *= 0.2 // the adaptive coder notices, a threshold does not
		}
	}
	for _, o := range []quant.Options{
		{Lambda: 0.1},
		{Lambda: 0.1, Rounding: 0.5},
		{Lambda: 0.4},
		{Lambda: 0.1, PerChannel: true},
		{Lambda: 0.1, Method: quant.ECSQ},
	} {
		q, err := quant.Quantize("w", []int64{2, n / 2}, w, nil, &o)
		if err != nil {
			t.Fatal(err)
		}
		e := []float64{0, 0} // of the channels
		for i, v := range w {
			e[i*2/n] += float64(v) * float64(v)
		}
		cost := func(bits float64) float64 {
			d := []float64{0, 0}
			for i, v := range q.Values(nil) {
				d[i*2/n] += float64(w[i]-v) * float64(w[i]-v)
			}
			if o.PerChannel {
				return (d[0]/e[0]+d[1]/e[1])*n/2 + o.Lambda*bits
			}
			return (d[0]+d[1])/(e[0]+e[1])*n + o.Lambda*bits
		}
		var bits float64
		code := order0(&bits)
		code(q, func(i int, _ func(int) uint32) int { return int(q.Symbols[i]) })
		before := cost(bits)
		q.Assign(w, nil, code)
		if after := cost(bits); after >= before {
			t.Errorf("%+v: cost %g, was %g", o, after, before)
		}
		if _, zero := slices.BinarySearch(q.Levels, 0); !zero {
			t.Errorf("%+v: there is no zero in %v", o, q.Levels)
		}
	}
}

// With sensitivities, what nobody feels is free to go where bits are few.
func TestAssignSensitive(t *testing.T) {
	w := gaussian(7, 10000, 1)
	sens := make([]float32, len(w))
	for i := range sens {
		sens[i] = float32(i % 2)
	}
	q, err := quant.Quantize("w", []int64{10000}, w, sens, &quant.Options{Lambda: 0.05})
	if err != nil {
		t.Fatal(err)
	}
	var bits float64
	q.Assign(w, sens, order0(&bits))
	d := [2]float64{}
	for i, v := range q.Values(nil) {
		d[i%2] += float64(w[i]-v) * float64(w[i]-v)
	}
	if d[0] < 4*d[1] {
		t.Errorf("distortion of what counts %g, of what does not %g", d[1], d[0])
	}
}
