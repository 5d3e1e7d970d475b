package entropy

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"ropewalk/quant"
)

// The levels of a Gaussian are the published ones of Max (1960), for a sample
// large enough that its extremes do not matter.
func TestGaussianLevelsKnown(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	w := make([]float64, 60000)
	for i := range w {
		w[i] = rng.NormFloat64()
	}
	for n, want := range map[int][]float64{2: {0.7979}, 4: {0.4528, 1.510}, 8: {0.2451, 0.7560, 1.344, 2.152}} {
		got, err := GaussianLevels(w, n, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range want {
			// The rounds stop when the error on the data does, not where the
			// density has its optimum, so that some 1 % are left.
			if math.Abs(got[n/2+i]-x) > 0.03 || math.Abs(got[n/2-1-i]+x) > 0.03 {
				t.Errorf("%d levels: %v, Max has %v", n, got, want)
			}
		}
	}
}

// Package quant has the same method, whose outer cells have no end and whose
// levels may be rounded to 16 bits.
func TestGaussianLevelsLikeQuant(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	w := make([]float32, 30000)
	for i := range w {
		w[i] = float32(rng.NormFloat64()*0.3 + 0.05)
	}
	for _, n := range []int{2, 3, 4, 8, 16} {
		got, err := GaussianLevels(w, n, nil)
		if err != nil {
			t.Fatal(err)
		}
		q, err := quant.Quantize("w", []int64{30000}, w, nil, &quant.Options{Method: quant.LloydGaussian, Levels: n})
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range q.Levels {
			if math.Abs(got[i]-float64(x)) > 0.05*0.3 {
				t.Errorf("%d levels: %v, quant has %v", n, got, q.Levels)
				break
			}
		}
	}
}

func TestGaussianLevelsOdd(t *testing.T) {
	tests := []struct {
		name string
		w    []float64
		zero bool // wants an exact one
	}{
		{"zeros", make([]float64, 50), true},
		{"nearly zero", []float64{1e-6, -1e-6, 0, 2e-6}, true},
		{"constant", []float64{3, 3, 3, 3}, false},
		{"large constant", []float64{-1e30, -1e30}, false},
		{"two values", []float64{0, 0, 0, 1e6}, false},
		{"outlier", slices.Concat(make([]float64, 1000), []float64{1e8}), false},
		{"one weight", []float64{0.25}, false},
	}
	for _, tt := range tests {
		for _, n := range []int{1, 2, 3, 4, 16} {
			got, err := GaussianLevels(tt.w, n, nil)
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			if len(got) != n || checkLevels(got) != nil {
				t.Errorf("%s: levels %v", tt.name, got)
			}
			if tt.zero && !slices.Contains(got, 0) {
				t.Errorf("%s: no zero in %v", tt.name, got)
			}
			if least := slices.Min(tt.w); least == slices.Max(tt.w) && !slices.Contains(got, least) {
				t.Errorf("%s: %v is not in %v", tt.name, least, got)
			}
		}
	}
	for _, bad := range [][]float64{nil, {math.NaN()}, {math.Inf(1), 0}} {
		if _, err := GaussianLevels(bad, 4, nil); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
	if _, err := GaussianLevels([]float64{1, 2}, 2, []float64{1}); err == nil {
		t.Error("a start of another length was taken")
	}
	// A start that is a fixed point stays.
	w := []float64{-1, -0.5, 0.1, 0.4, 2}
	a, err := GaussianLevels(w, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := GaussianLevels(w, 3, a)
	if err != nil || checkLevels(b) != nil {
		t.Fatal(b, err)
	}
}
