package quant

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// drawWeights gives weights that are multiples of 1/1024, so that all sums of
// them and of their squares are exact, in any order.
func drawWeights(t *rapid.T, low, high int) []float32 {
	ints := rapid.SliceOfN(rapid.OneOf(
		rapid.IntRange(-3, 3), rapid.IntRange(-1000, 1000), rapid.IntRange(-100000, 100000),
	), low, high).Draw(t, "w")
	w := make([]float32, len(ints))
	for i, v := range ints {
		w[i] = float32(v) / 1024
	}
	return w
}

func drawSensitivities(t *rapid.T, n int) []float32 {
	if !rapid.Bool().Draw(t, "sensitive") {
		return nil
	}
	ints := rapid.SliceOfN(rapid.IntRange(0, 9), n, n).Draw(t, "sens")
	s := make([]float32, n)
	for i, v := range ints {
		s[i] = float32(v)
	}
	return s
}

// slowLloyd is Lloyd's iteration as the textbook has it. It reports whether
// there was an empty cell.
func slowLloyd(w, sens []float32, levels []float64, rounds int) (_ []float64, empty bool) {
	levels = slices.Clone(levels)
	for range rounds {
		n, s, sx := make([]int, len(levels)), make([]float64, len(levels)), make([]float64, len(levels))
		for i, v := range w {
			best := 0
			for j := range levels {
				if math.Abs(float64(v)-levels[j]) < math.Abs(float64(v)-levels[best]) {
					best = j
				}
			}
			e := 1.0
			if sens != nil {
				e = float64(sens[i])
			}
			n[best]++
			s[best] += e
			sx[best] += e * float64(v)
		}
		for j := range levels {
			if s[j] > 0 {
				levels[j] = sx[j] / s[j]
			}
		}
		empty = empty || slices.Contains(n, 0)
	}
	return levels, empty
}

// The fast Lloyd is equal to the slow one, as long as no cell is empty (then
// the fast one does better).
func TestLloydIsLloyd(t *testing.T) {
	compared := 0
	rapid.Check(t, func(t *rapid.T) {
		w := drawWeights(t, 20, 60)
		sens := drawSensitivities(t, len(w))
		rounds := rapid.IntRange(1, 20).Draw(t, "rounds")
		sm := newSample(w, sens, 1)
		levels := cubeRootStart(sm, rapid.IntRange(2, 6).Draw(t, "k"))
		want, empty := slowLloyd(w, sens, levels, rounds)
		if empty {
			return
		}
		got, _ := lloydFrom(sm, slices.Clone(levels), rounds-1)
		// The fast one stops when there is nothing to gain. Then the slow one has
		// nothing to gain either, but may creep on.
		if !cmp.Equal(want, got.levels, cmpopts.EquateApprox(0, 1e-9)) {
			d := distortion(w, sens, want)
			if d < distortion(w, sens, got.levels)*(1-1e-4) {
				t.Fatalf("got %v, want %v", got.levels, want)
			}
		}
		compared++
	})
	if compared < 30 {
		t.Errorf("only %d comparisons", compared)
	}
}

func distortion(w, sens []float32, levels []float64) float64 {
	d := 0.0
	for i, v := range w {
		least := math.Inf(1)
		for _, l := range levels {
			least = min(least, (float64(v)-l)*(float64(v)-l))
		}
		if sens != nil {
			least *= float64(sens[i])
		}
		d += least
	}
	return d
}

// No round of Lloyd raises the distortion, empty cells or not.
func TestLloydNeverRises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWeights(t, 2, 80)
		sm := newSample(w, drawSensitivities(t, len(w)), 1)
		k := rapid.IntRange(1, 20).Draw(t, "k")
		last := math.Inf(1)
		for rounds := range 8 {
			_, d := lloydFrom(sm, uniformStart(sm, k), rounds)
			if d > last*(1+1e-12)+1e-9 {
				t.Fatalf("distortion %g after %d rounds, %g after one fewer", d, rounds, last)
			}
			last = d
		}
	})
}

// No round of the entropy-constrained iteration raises D + lambda·R.
func TestECSQNeverRises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWeights(t, 2, 80)
		sm := newSample(w, nil, 1)
		lambda := rapid.Float64Range(0, 100).Draw(t, "lambda")
		step := rapid.Float64Range(0.5, 100).Draw(t, "step")
		last := math.Inf(1)
		for rounds := range 8 {
			lo, hi := gridRange(sm, step, 0.5, 64)
			_, p := ecsq(sm, grid(step, 0.5, lo, hi), lambda, rounds)
			c := p.cost(lambda)
			if c > last*(1+1e-12)+1e-9 {
				t.Fatalf("cost %g after %d rounds, %g after one fewer", c, rounds, last)
			}
			last = c
		}
	})
}

// The envelope gives each number the level that is cheapest for it.
func TestEnvelope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "n")
		levels, length := make([]float64, n), make([]float64, n)
		at := rapid.Float64Range(-20, 0).Draw(t, "first")
		for i := range n {
			levels[i], length[i] = at, rapid.Float64Range(0, 12).Draw(t, "length")
			at += rapid.Float64Range(0.1, 3).Draw(t, "gap")
		}
		lambda := rapid.Float64Range(0, 10).Draw(t, "lambda")
		used, thresholds := envelope(levels, length, lambda)
		cost := func(x float64, i int) float64 {
			return (x-levels[i])*(x-levels[i]) + lambda*length[i]
		}
		for range 20 {
			x := rapid.Float64Range(-30, 30).Draw(t, "x")
			got := cost(x, used[(&scalar{thresholds: thresholds}).symbol(x)])
			for i := range levels {
				if c := cost(x, i); c < got-1e-9 {
					t.Fatalf("%g costs %g, but %g with level %d", x, got, c, i)
				}
			}
		}
	})
}

// The cells of a sample are sums over the weights in them, binned or not.
func TestSample(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWeights(t, 1, 50)
		if rapid.Bool().Draw(t, "many") {
			w = slices.Repeat(w, 2000/len(w)+1)
		}
		sens := drawSensitivities(t, len(w))
		sm := newSample(w, sens, 1)
		thr := float64(w[rapid.IntRange(0, len(w)-1).Draw(t, "at")])
		var want [2]cell
		for i, v := range w {
			e := 1.0
			if sens != nil {
				e = float64(sens[i])
			}
			c := &want[0]
			if float64(v) > thr {
				c = &want[1]
			}
			c.n++
			c.s += e
			c.sx += e * float64(v)
			c.sq += e * float64(v) * float64(v)
		}
		got := sm.cells(nil, []float64{thr})
		if got[0] != want[0] || got[1] != want[1] {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestSampleOfMany(t *testing.T) {
	w := make([]float32, exactSample+12345)
	for i := range w {
		w[i] = float32(i*7919%len(w)-len(w)/2) / 1024
	}
	sm := newSample(w, nil, 1)
	if len(sm.v) > len(w)/4 {
		t.Errorf("%d bins for %d weights", len(sm.v), len(w))
	}
	if !slices.IsSorted(sm.v) {
		t.Error("not in order")
	}
	cells := sm.cells(nil, []float64{-50, 0, 0.5, 90})
	n, d := 0.0, 0.0
	for _, c := range cells {
		n += c.n
		d += c.sq
	}
	if all := sm.total(); n != float64(len(w)) || d != all.sq {
		t.Errorf("the cells hold %g weights and %g, all %g and %g", n, d, float64(len(w)), all.sq)
	}
}

// Our functions are those of package math, nearly.
func TestNumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64Range(1e-300, 1e300).Draw(t, "x")
		if got, want := log2(x), math.Log2(x); math.Abs(got-want) > 4e-16*max(math.Abs(want), 1)*2 {
			t.Errorf("log2(%g) = %.17g, want %.17g", x, got, want)
		}
		y := rapid.Float64Range(-690, 690).Draw(t, "y")
		if got, want := exp(y), math.Exp(y); math.Abs(got/want-1) > 1e-15 {
			t.Errorf("exp(%g) = %.17g, want %.17g", y, got, want)
		}
		if got, want := exp2(y), math.Exp2(y); math.Abs(got/want-1) > 1e-15 {
			t.Errorf("exp2(%g) = %.17g, want %.17g", y, got, want)
		}
		z := rapid.Float64Range(0, 30).Draw(t, "z")
		if got, want := above(z), math.Erfc(z/math.Sqrt2)/2; math.Abs(got/want-1) > 1e-12 {
			t.Errorf("above(%g) = %.17g, want %.17g", z, got, want)
		}
	})
	if log2(8) != 3 || log2(1) != 0 || exp(0) != 1 || exp2(-3) != 0.125 || above(0) != 0.5 {
		t.Error("exact values are not exact")
	}
}

// Each of the 31744 finite positive halves is its own nearest, and what lies
// between two goes to the nearer.
func TestHalf(t *testing.T) {
	half := func(i int) float64 {
		if i < 1<<10 {
			return math.Ldexp(float64(i), -24)
		}
		return math.Ldexp(float64(1<<10|i&(1<<10-1)), i>>10-25)
	}
	for i := range 31744 {
		v := half(i)
		if got := toHalf(v); float64(got) != v {
			t.Fatalf("half %d: %g became %g", i, v, got)
		}
		if i == 31743 {
			break
		}
		next := half(i + 1)
		if got := toHalf(-(v + 0.49*(next-v))); float64(got) != -v {
			t.Fatalf("just above half %d: got %g", i, got)
		}
		even := v
		if i%2 == 1 {
			even = next
		}
		if got := toHalf((v + next) / 2); float64(got) != even {
			t.Fatalf("tie above half %d: got %g", i, got)
		}
	}
	if !math.IsInf(float64(toHalf(65520)), 1) || toHalf(65519) != 65504 {
		t.Error("the end of the range")
	}
}
