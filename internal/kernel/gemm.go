package kernel

import "fmt"

// GemmArgs say which product Gemm computes:
//
//	C = A·B, or C += A·B with Accumulate, then + RowBias, + ColBias, Clamp
//
// All matrices are row-major. A is M×K, or K×M with TransA; B is K×N, or N×K with
// TransB; C is M×N. LDA, LDB and LDC are the distances between the starts of rows;
// 0 stands for dense rows.
type GemmArgs struct {
	M, N, K          int
	A, B, C          []float32
	LDA, LDB, LDC    int
	TransA, TransB   bool
	Accumulate       bool
	RowBias, ColBias []float32 // length M, N; nil for none
	Clamp            Clamp

	// Packed, if it is not nil, is B, as Pack has made it; B, LDB and TransB
	// are then not used.
	Packed *PackedB

	// Batch is the number of products; 0 stands for 1. Operands of product i begin
	// i times their stride further on; a stride of 0 uses the same operand for
	// all. A Packed B and the biases are the same for all.
	Batch                     int
	StrideA, StrideB, StrideC int
}

// Gemm multiplies matrices. With K = 0 the product is 0.
func Gemm(p *Pool, g *GemmArgs) {
	a := *g
	a.check()
	if a.M == 0 || a.N == 0 {
		return
	}
	p.gemm(&a)
}

func (g *GemmArgs) check() {
	if g.M < 0 || g.N < 0 || g.K < 0 || g.Batch < 0 || g.StrideA < 0 || g.StrideB < 0 || g.StrideC < 0 {
		panic(fmt.Sprintf("kernel: Gemm of %d×%d×%d, batch %d, strides %d, %d, %d", g.M, g.K, g.N, g.Batch, g.StrideA, g.StrideB, g.StrideC))
	}
	g.Batch = max(g.Batch, 1)
	size := func(what string, s []float32, ld *int, rows, cols, stride int) {
		if *ld == 0 {
			*ld = cols
		}
		if *ld < cols {
			panic(fmt.Sprintf("kernel: rows of %s are %d apart and have %d elements", what, *ld, cols))
		}
		if rows > 0 && cols > 0 {
			need(what, s, (g.Batch-1)*stride+(rows-1)**ld+cols)
		}
	}
	rows, cols := g.M, g.K
	if g.TransA {
		rows, cols = cols, rows
	}
	size("A", g.A, &g.LDA, rows, cols, g.StrideA)
	if g.Packed != nil {
		if g.Packed.k != g.K || g.Packed.n != g.N {
			panic(fmt.Sprintf("kernel: Gemm wants a B of %d×%d, and the packed one is %d×%d", g.K, g.N, g.Packed.k, g.Packed.n))
		}
	} else {
		rows, cols = g.K, g.N
		if g.TransB {
			rows, cols = cols, rows
		}
		size("B", g.B, &g.LDB, rows, cols, g.StrideB)
	}
	size("C", g.C, &g.LDC, g.M, g.N, g.StrideC)
	if g.Batch > 1 && g.StrideC < (g.M-1)*g.LDC+g.N {
		panic("kernel: the results of a batch of products overlap")
	}
	if g.RowBias != nil {
		need("RowBias", g.RowBias, g.M)
	}
	if g.ColBias != nil {
		need("ColBias", g.ColBias, g.N)
	}
}

// A PackedB is the right operand of a product, in the order in which Gemm reads
// it: for weights that many products use. It is for the path that was current
// when it was made.
type PackedB struct {
	k, n int
	data []float32
}

// Pack makes b the K×N matrix that lies in s with rows ld apart (0: dense), or
// the transpose of the N×K one. It keeps nothing of s.
func (b *PackedB) Pack(s []float32, k, n, ld int, trans bool) {
	g := GemmArgs{M: 0, N: n, K: k, B: s, LDB: ld, TransB: trans}
	g.check()
	b.k, b.n = k, n
	b.pack(s, g.LDB, trans)
}
