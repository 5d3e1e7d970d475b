package attack

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// A mark of Uchida and others (Embedding Watermarks into Deep Neural Networks, 2017) is
// T bits b in the mean over the output filters of one kernel: with w̄ that mean,
// flattened to M numbers, and a secret T × M matrix X of N(0, 1),
//
//	bit i is 1 if X[i]·w̄ > 0
//
// This file is the part that knows no network.

// secret returns the matrix X of a mark, row by row.
func secret(bits, m int, r *rand.Rand) []float64 {
	x := make([]float64, bits*m)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	return x
}

// project returns X·w̄.
func project(x, mean []float64) []float64 {
	m := len(mean)
	y := make([]float64, len(x)/m)
	for i := range y {
		for k, v := range x[i*m:][:m] {
			y[i] += v * mean[k]
		}
	}
	return y
}

// leastChange returns the d of least norm with which bit i of w̄ + d reads as bits[i] by
// a margin, or better where it does already:
//
//	d = Xᵀ(X·Xᵀ)⁻¹·(t - X·w̄),  t[i] = ±max(margin, ±(X·w̄)[i])
//
// so it is 0 if there is nothing to do. X has to have no more rows than columns.
func leastChange(x, mean []float64, bits []bool, margin float64) ([]float64, error) {
	m, n := len(mean), len(bits)
	rest := project(x, mean)
	for i, b := range bits {
		s := 1.0
		if !b {
			s = -1
		}
		rest[i] = s*math.Max(margin, s*rest[i]) - rest[i]
	}
	gram := make([]float64, n*n)
	for i := range n {
		for j := range i + 1 {
			sum := 0.0
			for k, v := range x[i*m:][:m] {
				sum += v * x[j*m+k]
			}
			gram[i*n+j], gram[j*n+i] = sum, sum
		}
	}
	if err := solve(gram, rest); err != nil {
		return nil, err
	}
	d := make([]float64, m)
	for i, f := range rest {
		for k, v := range x[i*m:][:m] {
			d[k] += f * v
		}
	}
	return d, nil
}

// solve solves a·y = b for a symmetric positive definite a, by Cholesky's
// decomposition, and leaves y in b.
func solve(a, b []float64) error {
	n := len(b)
	for i := range n {
		for j := range i + 1 {
			sum := a[i*n+j]
			for k := range j {
				sum -= a[i*n+k] * a[j*n+k]
			}
			if i != j {
				a[i*n+j] = sum / a[j*n+j]
				continue
			}
			if !(sum > 1e-12*a[i*n+i]) {
				return fmt.Errorf("row %d of the secret matrix follows from those before", i)
			}
			a[i*n+i] = math.Sqrt(sum)
		}
	}
	for i := range n {
		for k := range i {
			b[i] -= a[i*n+k] * b[k]
		}
		b[i] /= a[i*n+i]
	}
	for i := n - 1; i >= 0; i-- {
		for k := i + 1; k < n; k++ {
			b[i] -= a[k*n+i] * b[k]
		}
		b[i] /= a[i*n+i]
	}
	return nil
}
