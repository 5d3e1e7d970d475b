package quant_test

import (
	"errors"
	"testing"

	"ropewalk/quant"
)

// Two outliers far from all others: a fine step has few levels in use, however
// far they reach, and a smaller lambda never gives a larger error.
func TestFarOutliers(t *testing.T) {
	w := gaussian(3, 20000, 1)
	w[7], w[77], w[777] = 90, 40, -25
	last := 1.0
	for _, lambda := range []float64{1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9} {
		q, err := quant.Quantize("w", []int64{100, 200}, w, nil, &quant.Options{Lambda: lambda})
		if err != nil {
			t.Fatal(err)
		}
		if len(q.Levels) > quant.MaxLevels || q.NMSE > last || q.MaxError > 1 {
			t.Errorf("lambda %g: %d levels, error %g after %g, at most %g", lambda, len(q.Levels), q.NMSE, last, q.MaxError)
		}
		last = q.NMSE * 1.01 // where the levels are at their limit, it no longer falls
	}
	if last > 2e-6 {
		t.Errorf("the least error is %g", last)
	}
}

// A step for which there are not enough levels is refused with one that does.
func TestLeastStep(t *testing.T) {
	w := gaussian(4, 20000, 1)
	_, err := quant.Quantize("w", []int64{100, 200}, w, nil, &quant.Options{Step: 1e-5})
	if !errors.Is(err, quant.ErrOptions) {
		t.Fatal(err)
	}
	q, err := quant.Quantize("w", []int64{100, 200}, w, nil, &quant.Options{Step: 2.5e-3})
	if err != nil || len(q.Levels) > quant.MaxLevels || q.NMSE > 1e-6 {
		t.Errorf("%v", err)
	}
}
