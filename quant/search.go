package quant

import (
	"fmt"
	"math"
)

// A BudgetError reports that no lambda reaches a size.
type BudgetError struct {
	Target   int64
	Smallest int64 // what can be reached
}

// Error implements error.
func (e *BudgetError) Error() string {
	return fmt.Sprintf("quant: a size of %d cannot be reached, the smallest is %d", e.Target, e.Smallest)
}

const (
	searchTries = 40
	searchSlack = 0.005 // how far below the target is near enough
)

// Search returns a lambda in [lo, hi] for which size is at most target and, if
// the sizes are dense enough, at least 99.5 % of it; and that size. It assumes
// that size falls as lambda grows, calls it about ten times, never twice with
// the same lambda, and returns its first error. Of sizes that jump it returns the
// largest below the target that it met. If even hi gives more than the target,
// the error is a *BudgetError.
func Search(lo, hi float64, size func(lambda float64) (int64, error), target int64) (float64, int64, error) {
	return search(lo, hi, size, target, searchSlack)
}

func search(lo, hi float64, size func(lambda float64) (int64, error), target int64, slack float64) (float64, int64, error) {
	if !(0 < lo && lo <= hi) || math.IsInf(hi, 1) {
		return 0, 0, impossible("no lambda from %g to %g", lo, hi)
	}
	enough := target - int64(float64(float64(target)*slack))
	best, bestSize := 0.0, int64(-1)
	smallest := int64(math.MaxInt64)
	// What is known of the ends, in logarithms to base 2: how far their size is
	// above the target. 0 is unknown.
	a, b := log2(lo), log2(hi)
	var fa, fb float64
	try := func(x float64) (float64, error) {
		lambda := exp2(x)
		switch x {
		case log2(lo):
			lambda = lo
		case log2(hi):
			lambda = hi
		}
		n, err := size(lambda)
		if err != nil {
			return 0, err
		}
		smallest = min(smallest, n)
		if n <= target && n > bestSize {
			best, bestSize = lambda, n
		}
		if n <= target {
			return min(log2(float64(max(n, 1))/float64(max(target, 1))), -1e-12), nil
		}
		return log2(float64(n) / float64(max(target, 1))), nil
	}
	side := 0
	for n := 0; n < searchTries && bestSize < enough; n++ {
		var x float64
		switch {
		case n == 0:
			x = float64((a + b) * 0.5)
		case fb == 0:
			x = b
		case fa == 0:
			x = max(b-float64(3*n), a) // sizes fall slowly; large ones take long to make
		case b-a < 1e-9:
			return best, bestSize, nil
		default:
			// Aim at the middle of what is near enough.
			aim := float64(slack * (0.5 / math.Ln2))
			x = b - float64((fb+aim)*(b-a))/(fb-fa)
			// Near an end the line says little: stay away from it.
			x = min(max(x, a+float64((b-a)*0.02)), b-float64((b-a)*0.02))
			if n%5 == 4 {
				x = float64((a + b) * 0.5)
			}
		}
		f, err := try(x)
		if err != nil {
			return 0, 0, err
		}
		if f > 0 {
			if x == b {
				break // even hi is too large
			}
			a, fa = x, f
			if side == 1 {
				fb *= 0.5 // Illinois: or this end would never move
			}
			side = 1
		} else {
			if x == a {
				break // even lo is small enough
			}
			b, fb = x, f
			if side == -1 {
				fa *= 0.5
			}
			side = -1
		}
	}
	if bestSize < 0 {
		return 0, 0, &BudgetError{target, smallest}
	}
	return best, bestSize, nil
}

// exp2 returns 2 to the power of x.
func exp2(x float64) float64 {
	n := math.Floor(x)
	return math.Ldexp(exp(float64((x-n)*math.Ln2)), int(n))
}
