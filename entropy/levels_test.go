package entropy

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/tensor"
)

// Levels keep their order and their zero, whatever the gradient.
func TestLevelsStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfNDistinct(rapid.IntRange(-20, 20), 1, 6, func(i int) int { return i }).Draw(t, "levels")
		slices.Sort(values)
		var v []float64
		for _, x := range values {
			v = append(v, float64(x))
		}
		l, err := NewLevels(v)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			for i := range l.Gradient {
				l.Gradient[i] = rapid.Float64Range(-1e3, 1e3).Draw(t, "gradient")
			}
			l.Step(rapid.Float64Range(0, 10).Draw(t, "rate"))
		}
		if err := checkLevels(l.Values()); err != nil {
			t.Fatal(err)
		}
		if z := l.Zero(); z >= 0 && l.Values()[z] != 0 || z != slices.Index(v, 0) {
			t.Fatalf("zero is level %d of %v, of %v before", z, l.Values(), v)
		}
	})
}

// Adam goes downhill, by the rate in its first step.
func TestLevelsAdam(t *testing.T) {
	l, err := Symmetric(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	copy(l.Gradient, []float64{3, 9, -0.01})
	l.Step(0.125)
	want := []float64{-1.125, 0, 1.125}
	for i, x := range l.Values() {
		if math.Abs(x-want[i]) > 1e-6 {
			t.Errorf("levels %v, want %v", l.Values(), want)
			break
		}
	}
	if !slices.Equal(l.Gradient, make([]float64, 3)) {
		t.Errorf("the gradient is %v after the step", l.Gradient)
	}
	if l.Round(func(x float64) float64 { return math.Trunc(x / 2) }) {
		t.Error("levels became one")
	}
	if !l.Round(math.Trunc) || !slices.Equal(l.Values(), []float64{-1, 0, 1}) {
		t.Errorf("rounded to %v", l.Values())
	}
}

// Forward takes the nearest level, but around zero; Backward sums by level.
func TestQuantizer(t *testing.T) {
	l, err := NewLevels([]float64{-1, 0, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	layers := []Layer{{Name: "w", Shape: tensor.Shape{8}}, {Name: "b", Shape: tensor.Shape{2}}}
	q, err := NewQuantizer(layers, []*Levels{l, nil}, &QuantizerOptions{DeadZone: 0.6})
	if err != nil {
		t.Fatal(err)
	}
	w := [][]float32{{-3, -0.61, -0.59, 0.59, 0.61, 1.4, 1.6, 9}, {5, 6}}
	dst := [][]float32{make([]float32, 8), {7, 8}}
	q.Forward(dst, w)
	if want := []uint16{0, 0, 1, 1, 2, 2, 3, 3}; !slices.Equal(q.Symbols(0), want) {
		t.Errorf("symbols %v, want %v", q.Symbols(0), want)
	}
	if want := []float32{-1, -1, 0, 0, 1, 1, 2, 2}; !slices.Equal(dst[0], want) || dst[1][0] != 7 {
		t.Errorf("values %v, want %v", dst, want)
	}
	q.Backward([][]float32{{1, 2, 4, 8, 16, 32, 64, 128}, {1, 1}})
	if want := []float64{3, 0, 48, 192}; !slices.Equal(l.Gradient, want) {
		t.Errorf("gradient by level %v, want %v", l.Gradient, want)
	}
	q.Freeze()
	w[0][2], w[0][1] = 5, 0
	q.Forward(w, w) // in place
	if want := []uint16{0, 1, 1, 1, 2, 2, 3, 3}; !slices.Equal(q.Symbols(0), want) {
		t.Errorf("frozen symbols %v, want %v", q.Symbols(0), want)
	}
	q.Free()
	w[0][2] = 5
	q.Forward(dst, w)
	if q.Symbols(0)[2] != 3 {
		t.Error("still frozen")
	}
	w[0][0], w[0][7] = -9, 9
	q.Clamp(w, 1.4)
	if w[0][0] != -1.4 || w[0][7] != 2.8 || w[1][1] != 6 {
		t.Errorf("clamped to %v", w)
	}
	for _, zone := range []float64{-1, 1, math.NaN()} {
		if _, err := NewQuantizer(layers, []*Levels{l, nil}, &QuantizerOptions{DeadZone: zone}); err == nil {
			t.Errorf("a dead zone of %v was taken", zone)
		}
	}
	if n := testing.AllocsPerRun(5, func() { q.Forward(dst, w) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Straight-through training of a linear model with ternary weights: with the
// rate, weights that bring little become zero, and those that bring much stay.
func TestStraightThrough(t *testing.T) {
	const in, matter = 60, 8
	train := func(lambda float64) (large, all int, bits float64) {
		rng := rand.New(rand.NewPCG(11, 11))
		truth := make([]float64, in)
		for i := range truth {
			truth[i] = 0.2 * float64(1-2*(i%2))
			if i < matter {
				truth[i] *= 5
			}
		}
		l, err := Symmetric(0.5, 1)
		if err != nil {
			t.Fatal(err)
		}
		layers := []Layer{{Name: "w", Shape: tensor.Shape{1, in}}}
		q, err := NewQuantizer(layers, []*Levels{l}, &QuantizerOptions{DeadZone: 0.6})
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewRate(layers, []*Levels{l}, &RateOptions{Beyond: 0.3})
		if err != nil {
			t.Fatal(err)
		}
		r.SetLambda(lambda)
		latents, values, g := [][]float32{make([]float32, in)}, [][]float32{make([]float32, in)}, [][]float32{make([]float32, in)}
		for i := range latents[0] {
			latents[0][i] = float32(rng.NormFloat64() * 0.05)
		}
		for range 600 {
			q.Forward(values, latents)
			clear(g[0])
			for range 16 {
				x, y := make([]float64, in), 0.0
				for i := range x {
					x[i] = rng.NormFloat64()
					y += x[i] * (truth[i] - float64(values[0][i]))
				}
				for i := range x {
					g[0][i] -= float32(x[i] * y / 16)
				}
			}
			q.Backward(g)
			r.AddGrad(latents, g)
			for i := range latents[0] {
				latents[0][i] -= 0.02 * g[0][i]
			}
			l.Step(0.003)
			q.Clamp(latents, 1.4)
		}
		q.Forward(values, latents)
		for i, v := range values[0] {
			if float64(v)*truth[i] > 0 {
				all++
				if i < matter {
					large++
				}
			}
		}
		return large, all, Measure(1, q.Symbols(0)).Bits * in
	}
	large0, all0, bits0 := train(0)
	large1, all1, bits1 := train(0.06)
	t.Logf("without rate %d of %d large weights, %d in all, %.1f bits; with it %d, %d, %.1f", large0, matter, all0, bits0, large1, all1, bits1)
	if large0 != matter || large1 < matter-1 || all0 < 30 || all1 > 20 || bits1 > 0.8*bits0 {
		t.Error("the rate should keep the large weights only")
	}
}

// A support that is held has exactly its weights different from zero, on their side.
func TestHold(t *testing.T) {
	for _, tt := range []struct {
		levels []float64
		want   []uint16
	}{
		{[]float64{-1, 0, 1}, []uint16{0, 1, 2, 0, 2, 1}},
		{[]float64{0, 1}, []uint16{1, 0, 1, 1, 1, 0}},
		{[]float64{-1, 0}, []uint16{0, 1, 0, 0, 0, 1}},
	} {
		l, err := NewLevels(tt.levels)
		if err != nil {
			t.Fatal(err)
		}
		q, err := NewQuantizer([]Layer{{Name: "w", Shape: tensor.Shape{6}}}, []*Levels{l}, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Hold(0, []bool{true, false, true, true, true, false})
		w := [][]float32{{-3, 3, 0.1, -0.1, 0, -2}}
		q.Forward(w, w)
		if !slices.Equal(q.Symbols(0), tt.want) {
			t.Errorf("levels %v: symbols %v, want %v", tt.levels, q.Symbols(0), tt.want)
		}
	}
}

// Comparing with few thresholds gives what searching them gives, on thresholds, too.
func TestFewThresholds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, fewThresholds/2).Draw(t, "levels")
		l, err := Symmetric(rapid.Float64Range(1e-3, 10).Draw(t, "step"), k)
		if err != nil {
			t.Fatal(err)
		}
		w := rapid.SliceOfN(rapid.Float32Range(-30, 30), 20, 20).Draw(t, "weights")
		q, err := NewQuantizer([]Layer{{Name: "w", Shape: tensor.Shape{int64(len(w) + 6*k)}}}, []*Levels{l}, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Forward([][]float32{make([]float32, len(w)+6*k)}, [][]float32{make([]float32, len(w)+6*k)})
		for _, at := range q.tensors[0].cells.at {
			f := float32(at)
			w = append(w, math.Nextafter32(f, -100), f, math.Nextafter32(f, 100))
		}
		dst := [][]float32{make([]float32, len(w))}
		q.Forward(dst, [][]float32{w})
		q.tensors[0].cells.build() // few thresholds need no search
		for j, x := range w {
			want := below(&q.tensors[0].cells, float64(x))
			if int(q.Symbols(0)[j]) != want || dst[0][j] != float32(l.Values()[want]) {
				t.Fatalf("%v: symbol %d, value %v, want %d of %v", x, q.Symbols(0)[j], dst[0][j], want, l.Values())
			}
		}
	})
}

// Where zeros stay, looking at the other weights alone gives what looking at all of
// them would give: forward, the sums of gradients, and what is clamped.
func TestLive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, fewThresholds).Draw(t, "levels")
		n := rapid.IntRange(1, 40).Draw(t, "weights")
		draw := func(name string) [][]float32 {
			return [][]float32{rapid.SliceOfN(rapid.Float32Range(-3, 3), n, n).Draw(t, name)}
		}
		l, err := Symmetric(0.5, k)
		if err != nil {
			t.Fatal(err)
		}
		q, err := NewQuantizer([]Layer{{Name: "w", Shape: tensor.Shape{int64(n)}}}, []*Levels{l}, &QuantizerOptions{DeadZone: 0.6})
		if err != nil {
			t.Fatal(err)
		}
		w := draw("first")
		q.Forward([][]float32{make([]float32, n)}, w)
		held := rapid.Bool().Draw(t, "held")
		stays := make([]bool, n)
		if held {
			support := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "support")
			for j := range stays {
				stays[j] = !support[j]
			}
			q.Hold(0, support)
		} else {
			for j, s := range q.Symbols(0) {
				stays[j] = int(s) == l.Zero()
			}
			q.Freeze()
		}
		w = draw("second")
		symbols, sums, g := make([]uint16, n), make([]float64, len(l.Values())), draw("gradient")
		cells := &Centers{at: slices.Clone(q.tensors[0].cells.at)}
		cells.build()
		for j, x := range w[0] {
			s := below(cells, float64(x))
			switch {
			case stays[j]:
				s = k
			case held && s == k && x < 0:
				s--
			case held && s == k:
				s++
			}
			symbols[j] = uint16(s)
			if s != k {
				sums[s] += float64(g[0][j])
			}
		}
		q.Forward(w, slices.Clone(w))
		if !slices.Equal(q.Symbols(0), symbols) {
			t.Fatalf("symbols %v, want %v", q.Symbols(0), symbols)
		}
		for j, s := range symbols {
			if w[0][j] != float32(l.Values()[s]) {
				t.Fatalf("weight %d is %g at symbol %d of %v", j, w[0][j], s, l.Values())
			}
		}
		if q.Backward(g); !slices.Equal(l.Gradient, sums) {
			t.Fatalf("gradients %v, want %v", l.Gradient, sums)
		}
		latents := draw("third")
		q.Clamp(latents, 1.4)
		most := float32(1.4 * 0.5 * float64(k))
		for j, x := range latents[0] {
			if !stays[j] && (x < -most || x > most) {
				t.Fatalf("latent %d is %g, beyond %g", j, x, most)
			}
		}
	})
}
