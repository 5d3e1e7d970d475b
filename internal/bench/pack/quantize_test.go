package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func gaussian(n int) []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	w := make([]float32, n)
	for i := range w {
		w[i] = float32(rng.NormFloat64())
	}
	return w
}

func distortion(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
	}
	return sum / float64(len(a))
}

func distinct(w []float32) int {
	return len(slices.Compact(slices.Sorted(slices.Values(w))))
}

// The distortion of a Gaussian is that of the tables of Max, "Quantizing for
// minimum distortion" (1960): 0.1175 with 4 levels, 0.009497 with 16.
func TestLloydMaxGaussian(t *testing.T) {
	w := gaussian(100_000)
	for k, want := range map[int]float64{4: 0.1175, 16: 0.009497} {
		got := distortion(w, lloydMax(w, k))
		if math.Abs(got-want) > 0.03*want { // the noise of the sample
			t.Errorf("%d levels: distortion %.5f, want %.5f", k, got, want)
		}
	}
}

func TestLevels(t *testing.T) {
	w := gaussian(5000)
	for _, k := range []int{1, 2, 4, 16, 256} {
		if got := distinct(lloydMax(w, k)); got > k || got < k*9/10 {
			t.Errorf("lloydMax with %d levels has %d", k, got)
		}
	}
	if got := distinct(int8Grid(w)); got > 255 || got < 100 {
		t.Errorf("int8Grid has %d levels", got)
	}
}

// What has few values already stays as it is.
func TestQuantizeFixedPoints(t *testing.T) {
	for _, w := range [][]float32{{}, {0, 0}, {3}, {1, -1, 1, 2}} {
		if got := lloydMax(w, 4); !slices.Equal(got, w) {
			t.Errorf("lloydMax(%v) = %v", w, got)
		}
	}
	for _, w := range [][]float32{{}, {0, 0}, {127, -127, 1, 5}} {
		if got := int8Grid(w); !slices.Equal(got, w) {
			t.Errorf("int8Grid(%v) = %v", w, got)
		}
	}
}
