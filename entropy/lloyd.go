package entropy

import (
	"fmt"
	"math"
	"slices"
)

// GaussianLevels returns n levels, as the paper's program finds them (section
// 1.5 of the notes): Lloyd–Max for a Gaussian with the mean and variance of the
// weights. It begins in the middles of n equal cells of their range, or with
// start if that is not nil. In each of at most 100 rounds a level becomes the
// mean of the density in its cell, of which the outer ones end 0.01 beyond the
// weights,
//
//	mean + σ·(φ(a)-φ(b)) / (Φ(b)-Φ(a))        a, b in units of σ from the mean
//
// until the squared error on the weights no longer falls; the best levels are
// returned.
//
// A tensor whose weights are nearly 0 (variance below 1e-8, mean below 1e-5) has
// levels on a grid of 1e-4 that has an exact 0. Another tensor that is constant,
// for which the paper's program fails, has its value and the numbers 1e-4 apart
// around it. The weights must be finite.
func GaussianLevels[T Float](w []T, n int, start []float64) ([]float64, error) {
	if n < 1 || n > maxCenters-2 {
		return nil, fmt.Errorf("entropy: %d levels, want 1 to %d", n, maxCenters-2)
	}
	if len(w) == 0 {
		return nil, fmt.Errorf("entropy: no weights to choose %d levels for", n)
	}
	sum := 0.0
	for i, x := range w {
		if x-x != 0 {
			return nil, fmt.Errorf("entropy: weight %d is %g; only finite numbers can be quantized", i, x)
		}
		sum += float64(x)
	}
	mean := sum / float64(len(w))
	variance := 0.0
	for _, x := range w {
		variance += (float64(x) - mean) * (float64(x) - mean)
	}
	variance /= float64(len(w))
	least, largest := float64(slices.Min(w)), float64(slices.Max(w))
	const step = 1e-4
	switch {
	case variance < 1e-8 && math.Abs(mean) < 1e-5:
		return around(0, step, n), nil
	case least == largest:
		return around(least, max(step, math.Abs(least)*step), n), nil
	}
	sigma := math.Sqrt(variance)
	levels := slices.Clone(start)
	if start == nil {
		levels = make([]float64, n)
		for i := range levels {
			levels[i] = least + (largest-least)*(float64(i)+0.5)/float64(n)
		}
	} else if err := checkLevels(start); err != nil || len(start) != n {
		return nil, fmt.Errorf("entropy: a start of %d levels for %d: %w", len(start), n, err)
	}
	var best []float64
	error2 := math.Inf(1)
	for range 100 {
		a := (least - margin - mean) / sigma
		fa := normalDensity(a)
		for i := range levels {
			t := largest + margin
			if i+1 < n {
				t = (levels[i] + levels[i+1]) / 2
			}
			b := (t - mean) / sigma
			fb := normalDensity(b)
			// Far out there is no mass; then the level stays.
			if p := normalMass(a, b); p > 1e-300 {
				levels[i] = mean + sigma*(fa-fb)/p
			}
			a, fa = b, fb
		}
		if checkLevels(levels) != nil {
			break
		}
		e := squaredError(w, levels)
		if e >= error2 {
			break
		}
		best, error2 = append(best[:0], levels...), e
	}
	if best == nil { // cannot move: so far out that the density has no mass
		return around(mean, (largest-least)/float64(n), n), nil
	}
	return best, nil
}

// around returns n levels with a step between them, of which the middle one is x.
func around(x, step float64, n int) []float64 {
	levels := make([]float64, n)
	for i := range levels {
		levels[i] = x + float64(i-n/2)*step
	}
	return levels
}

func normalDensity(x float64) float64 { return math.Exp(-x*x/2) / math.Sqrt(2*math.Pi) }

// normalMass returns Φ(b)-Φ(a), on the side where it does not cancel.
func normalMass(a, b float64) float64 {
	if a > 0 {
		a, b = -b, -a
	}
	return (math.Erfc(-b/math.Sqrt2) - math.Erfc(-a/math.Sqrt2)) / 2
}

// squaredError returns the sum of squared distances to the nearest levels.
func squaredError[T Float](w []T, levels []float64) float64 {
	c := &Centers{at: midpoints(levels)}
	if len(c.at) > 0 {
		c.build()
	}
	e := 0.0
	for _, x := range w {
		k := 0
		if len(c.at) > 0 {
			k = c.find(float64(x))
		}
		d := float64(x) - levels[k]
		e += d * d
	}
	return e
}

// midpoints returns the numbers halfway between levels.
func midpoints(levels []float64) []float64 {
	var t []float64
	for i := 1; i < len(levels); i++ {
		t = append(t, (levels[i-1]+levels[i])/2)
	}
	return t
}
