package align

import (
	"math"
	"runtime"
	"sync"
)

// unit returns the rows of x (rows, dim), each divided by its length. Rows of
// zeros stay zeros.
func unit(x []float32, dim int) []float32 {
	y := make([]float32, len(x))
	for at := 0; at < len(x); at += dim {
		var sum float64
		for _, v := range x[at : at+dim] {
			sum += float64(v) * float64(v)
		}
		if sum == 0 {
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
func products(a, b []float32, dim, threads int) []float32 {
	n, m := len(a)/dim, len(b)/dim
	c := make([]float32, n*m)
	inParallel(n, threads, func(from, to int) {
		// A panel of b stays in the cache while rows of a pass by.
		panel := max(8, 1<<15/dim)
		for j0 := 0; j0 < m; j0 += panel {
			j1 := min(m, j0+panel)
			i := from
			for ; i+2 <= to; i += 2 {
				twoRows(c[i*m:], c[(i+1)*m:], a[i*dim:][:dim], a[(i+1)*dim:][:dim], b, j0, j1)
			}
			if i < to {
				oneRow(c[i*m:], a[i*dim:][:dim], b, j0, j1)
			}
		}
	})
	return c
}

// twoRows computes the products of two rows with rows j0 to j1 of b, two at a
// time: each number that is loaded is used twice.
func twoRows(c0, c1, a0, a1, b []float32, j0, j1 int) {
	dim := len(a0)
	a1 = a1[:dim]
	j := j0
	for ; j+2 <= j1; j += 2 {
		b0, b1 := b[j*dim:][:dim], b[(j+1)*dim:][:dim]
		var s00, s01, s10, s11 float32
		for k, x := range a0 {
			y, p, q := a1[k], b0[k], b1[k]
			s00 += x * p
			s01 += x * q
			s10 += y * p
			s11 += y * q
		}
		c0[j], c0[j+1], c1[j], c1[j+1] = s00, s01, s10, s11
	}
	for ; j < j1; j++ {
		c0[j] = dot(a0, b[j*dim:][:dim])
		c1[j] = dot(a1, b[j*dim:][:dim])
	}
}

func oneRow(c, a, b []float32, j0, j1 int) {
	for j := j0; j < j1; j++ {
		c[j] = dot(a, b[j*len(a):][:len(a)])
	}
}

// dot adds in the order of twoRows, so that a product does not depend on how the
// rows fall into pairs.
func dot(a, b []float32) float32 {
	var s float32
	b = b[:len(a)]
	for k, x := range a {
		s += x * b[k]
	}
	return s
}

// inParallel cuts n into even pieces and calls f for each, on as many threads.
func inParallel(n, threads int, f func(from, to int)) {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	threads = min(threads, (n+15)/16)
	if threads <= 1 {
		f(0, n)
		return
	}
	var wg sync.WaitGroup
	step := ((n+threads-1)/threads + 1) &^ 1
	for from := 0; from < n; from += step {
		wg.Go(func() { f(from, min(n, from+step)) })
	}
	wg.Wait()
}
