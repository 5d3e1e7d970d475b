package native

import (
	"slices"

	"ropewalk/internal/kernel"
	"ropewalk/tensor"
)

// A matmul is MatMul: products of the matrices in the last two axes, over the axes
// before, which broadcast.
type matmul struct {
	pool    *kernel.Pool
	a, b    *operand
	y       *site
	m, n, k int
	// Product i is of the matrices at a·offsets[i][0] and so on; if step is set,
	// offsets grow evenly and one call does all.
	offsets [][3]int
	step    [3]int
	even    bool
}

func makeMatMul(n *node) (operator, error) {
	o := &matmul{pool: n.pool, a: n.in[0], b: n.in[1], y: n.out[0]}
	sa, sb := slices.Clone(o.a.shape), slices.Clone(o.b.shape)
	if len(sa) == 1 {
		sa = tensor.Shape{1, sa[0]}
	}
	if len(sb) == 1 {
		sb = tensor.Shape{sb[0], 1}
	}
	o.m, o.k, o.n = int(sa[len(sa)-2]), int(sa[len(sa)-1]), int(sb[len(sb)-1])
	outerA, outerB := dims(sa[:len(sa)-2]), dims(sb[:len(sb)-2])
	if product(outerB) == 1 { // rows of all matrices of A are rows of one
		o.m *= product(outerA)
		outerA, outerB = nil, nil
	}
	outer := make([]int, max(len(outerA), len(outerB)))
	for i := range outer {
		outer[i] = 1
		for _, s := range [][]int{outerA, outerB} {
			if j := i - len(outer) + len(s); j >= 0 && s[j] != 1 {
				outer[i] = s[j]
			}
		}
	}
	g := newGrid(outer, 2, broadcast(outerA, outer), broadcast(outerB, outer), dense(outer))
	g.pieces = 1
	da, db, dc := g.last()
	g.walk(0, func(a, b, c, n int) {
		for i := range n {
			o.offsets = append(o.offsets, [3]int{(a + i*da) * o.m * o.k, (b + i*db) * o.k * o.n, (c + i*dc) * o.m * o.n})
		}
	})
	o.even = true
	if len(o.offsets) > 1 {
		o.step = o.offsets[1]
	}
	for i, at := range o.offsets {
		for k := range at {
			o.even = o.even && at[k] == i*o.step[k]
		}
	}
	if o.y.ints {
		return &wholeProduct{o}, nil
	}
	if n.mayWant(0) {
		n.keepIn(1)
	}
	if n.mayWant(1) {
		n.keepIn(0)
	}
	n.chooses()
	return o, nil
}

func (o *matmul) forward() {
	o.each([3]int{0, 1, 2}, kernel.GemmArgs{M: o.m, N: o.n, K: o.k}, o.a.float, o.b.float, o.y.float, false)
}

// each multiplies all pairs of x and z into c; which says which of the operands
// (0, 1, or 2 for the result) each of them is.
func (o *matmul) each(which [3]int, g kernel.GemmArgs, x, z, c []float32, add bool) {
	distinct := o.step[which[2]] != 0 || len(o.offsets) <= 1
	if o.even && distinct {
		g.A, g.B, g.C, g.Accumulate = x, z, c, add
		g.Batch = len(o.offsets)
		if g.Batch == 0 {
			return
		}
		g.StrideA, g.StrideB, g.StrideC = o.step[which[0]], o.step[which[1]], o.step[which[2]]
		kernel.Gemm(o.pool, &g)
		return
	}
	if which[2] != 2 { // a gradient, to which several products may add
		if !add {
			clear(c)
		}
		add = true
	}
	for _, at := range o.offsets {
		g.A, g.B, g.C, g.Accumulate = x[at[which[0]]:], z[at[which[1]]:], c[at[which[2]]:], add
		kernel.Gemm(o.pool, &g)
	}
}

func (o *matmul) backward() {
	if o.a.wanted() {
		if len(o.offsets) == 0 && !o.a.add {
			clear(o.a.into)
		}
		o.each([3]int{2, 1, 0}, kernel.GemmArgs{M: o.m, N: o.k, K: o.n, TransB: true}, o.y.grad, o.b.float, o.a.into, o.a.add)
	}
	if o.b.wanted() {
		if len(o.offsets) == 0 && !o.b.add {
			clear(o.b.into)
		}
		o.each([3]int{0, 2, 1}, kernel.GemmArgs{M: o.k, N: o.n, K: o.m, TransA: true}, o.a.float, o.y.grad, o.b.into, o.b.add)
	}
}
