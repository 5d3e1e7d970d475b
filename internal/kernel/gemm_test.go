package kernel

import (
	"fmt"
	"math"
	"testing"
)

// product is Gemm in float64, and the sum of the magnitudes of what it adds up.
func product(g *GemmArgs, i, j, n int) (sum, size float64) {
	add := func(v float64) { sum += v; size += math.Abs(v) }
	for k := range g.K {
		a, b := n*g.StrideA+i*g.LDA+k, n*g.StrideB+k*g.LDB+j
		if g.TransA {
			a = n*g.StrideA + k*g.LDA + i
		}
		if g.TransB {
			b = n*g.StrideB + j*g.LDB + k
		}
		add(float64(g.A[a]) * float64(g.B[b]))
	}
	if g.Accumulate {
		add(float64(g.C[n*g.StrideC+i*g.LDC+j]))
	}
	if g.RowBias != nil {
		add(float64(g.RowBias[i]))
	}
	if g.ColBias != nil {
		add(float64(g.ColBias[j]))
	}
	if g.Clamp.On {
		sum = max(float64(g.Clamp.Lo), min(sum, float64(g.Clamp.Hi)))
	}
	return sum, size
}

const canary = float32(12345.678)

// guarded is a copy of s between canaries, off the alignment of memory.
func guarded(s []float32) (copied []float32, check func(t *testing.T, what string)) {
	const guard = 67
	all := make([]float32, len(s)+2*guard)
	for i := range all {
		all[i] = canary
	}
	copied = all[guard : guard+len(s) : guard+len(s)]
	copy(copied, s)
	return copied, func(t *testing.T, what string) {
		t.Helper()
		for i, v := range all {
			if (i < guard || i >= guard+len(s)) && v != canary {
				t.Fatalf("%s: element %d of %d was written", what, i-guard, len(s))
			}
		}
	}
}

func TestGemm(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		r := generator(2)
		pools := []*Pool{newPool(t, 1), newPool(t, 3)}
		count := 160
		if testing.Short() {
			count = 40
		}
		for i := range count {
			g := GemmArgs{
				M: 1 + r.IntN(40), N: 1 + r.IntN(80), K: r.IntN(50), TransA: r.IntN(2) == 0, TransB: r.IntN(2) == 0,
				Accumulate: r.IntN(2) == 0, Batch: 1,
			}
			switch r.IntN(8) {
			case 0:
				g.K += 700
			case 1:
				g.M = 1 + r.IntN(9)
			case 2:
				g.M, g.N, g.K = g.M*7, g.N*3, g.K*5
			case 3:
				g.Batch = 1 + r.IntN(9)
			}
			dims := func(rows, cols int, trans bool) (ld, size int) {
				if trans {
					rows, cols = cols, rows
				}
				ld = cols + r.IntN(2)*r.IntN(20)
				return max(ld, 1), max((rows-1)*ld+cols, 0)
			}
			var sizeA, sizeB, sizeC int
			g.LDA, sizeA = dims(g.M, g.K, g.TransA)
			g.LDB, sizeB = dims(g.K, g.N, g.TransB)
			g.LDC, sizeC = dims(g.M, g.N, false)
			g.StrideA, g.StrideB, g.StrideC = sizeA+r.IntN(3), sizeB+r.IntN(3), sizeC+r.IntN(3)
			if r.IntN(4) == 0 {
				g.StrideB = 0
			}
			g.A, _ = guarded(random(r, (g.Batch-1)*g.StrideA+sizeA))
			g.B, _ = guarded(random(r, (g.Batch-1)*g.StrideB+sizeB))
			start := random(r, (g.Batch-1)*g.StrideC+sizeC)
			if r.IntN(2) == 0 {
				g.RowBias, _ = guarded(random(r, g.M))
			}
			if r.IntN(2) == 0 {
				g.ColBias, _ = guarded(random(r, g.N))
			}
			if r.IntN(2) == 0 {
				g.Clamp = Clamp{true, -1, 2}
			}
			t.Run(fmt.Sprintf("%d:%dx%dx%d", i, g.M, g.K, g.N), func(t *testing.T) {
				var first []float32
				for run := range 4 {
					args := g
					if run >= 2 {
						if g.Batch > 1 && g.StrideB != 0 {
							break
						}
						var b PackedB
						b.Pack(g.B, g.K, g.N, g.LDB, g.TransB)
						args.Packed, args.B = &b, nil
					}
					c, check := guarded(start)
					args.C = c
					Gemm(pools[run%2], &args)
					check(t, "C")
					for n := range g.Batch {
						for i := range g.M {
							for j := range g.LDC {
								at := n*g.StrideC + i*g.LDC + j
								if i == g.M-1 && j >= g.N {
									continue
								}
								if j >= g.N {
									if c[at] != start[at] {
										t.Fatalf("C[%d][%d] lies between rows and was written", i, j)
									}
									continue
								}
								g.C = start
								want, size := product(&g, i, j, n)
								// A sum of K terms in any order errs by K roundings at most; on average by √K.
								if e := math.Abs(float64(c[at]) - want); !(e <= size*float64(g.K+4)*0x1p-24) {
									t.Fatalf("run %d: C[%d][%d] of product %d is %v, want %v", run, i, j, n, c[at], want)
								}
							}
						}
					}
					if run == 0 {
						first = c
					} else if run == 1 {
						for i := range c {
							if math.Float32bits(c[i]) != math.Float32bits(first[i]) {
								t.Fatalf("element %d is %v with one thread, and %v with three", i, first[i], c[i])
							}
						}
					}
				}
			})
		}
	})
}

// The mean time of a product, as OpenBLAS measures it.
func BenchmarkGemm(b *testing.B) {
	for _, s := range [][3]int{{512, 512, 512}, {1024, 1024, 1024}, {100, 784, 300}, {6400, 500, 50}, {131072, 144, 16}, {8192, 576, 64}, {1, 1024, 1024}} {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%dx%dx%d/threads=%d", s[0], s[1], s[2], threads), func(b *testing.B) {
				r := generator(3)
				p := newPool(b, threads)
				g := GemmArgs{M: s[0], K: s[1], N: s[2], A: random(r, s[0]*s[1]), B: random(r, s[1]*s[2]), C: make([]float32, s[0]*s[2])}
				measure(b, 2*float64(s[0])*float64(s[1])*float64(s[2]), func() { Gemm(p, &g) })
			})
		}
	}
}
