package align

import (
	"math"

	"ropewalk/internal/kernel"
)

// unit returns the rows of x (rows, dim), each divided by its length. Rows of
// zeros stay zeros, and rows that factors have taken out of the range of float32 become
// zeros: nothing is to be seen in them.
func unit(x []float32, dim int) []float32 {
	y := make([]float32, len(x))
	for at := 0; at < len(x); at += dim {
		var sum float64
		for _, v := range x[at : at+dim] {
			sum += float64(v) * float64(v)
		}
		if sum == 0 || sum-sum != 0 {
			continue
		}
		s := 1 / math.Sqrt(sum)
		for k, v := range x[at : at+dim] {
			y[at+k] = float32(float64(v) * s)
		}
	}
	return y
}

// products returns c (rows of a, rows of b): the inner products of all rows of a
// with all rows of b, each of dim numbers.
func products(a, b []float32, dim int, pool *kernel.Pool) []float32 {
	n, m := len(a)/dim, len(b)/dim
	c := make([]float32, n*m)
	kernel.Gemm(pool, &kernel.GemmArgs{M: n, N: m, K: dim, A: a, B: b, C: c, TransB: true})
	return c
}
