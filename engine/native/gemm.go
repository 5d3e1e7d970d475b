package native

import "ropewalk/internal/kernel"

// A gemm is Gemm: alpha·A·B + beta·C, and a clamp that was fused to it. C
// broadcasts.
type gemm struct {
	pool        *kernel.Pool
	a, b, c     *operand // c may be nil
	y           *site
	args        kernel.GemmArgs
	alpha, beta float32
	clamp       kernel.Clamp
	row         bool  // c is one row, which the kernel adds
	rest        *pair // adds c otherwise
}

func makeGemm(n *node) (operator, error) {
	o := &gemm{
		pool: n.pool, a: n.in[0], b: n.in[1], c: n.operand(2), y: n.out[0], clamp: n.clamp,
		alpha: float32(n.number("alpha", 1)), beta: float32(n.number("beta", 1)),
	}
	if o.y.ints {
		return nil, n.lacks("integers")
	}
	g := &o.args
	g.TransA, g.TransB = n.integer("transA", 0) != 0, n.integer("transB", 0) != 0
	g.M, g.N, g.K = int(o.y.shape[0]), int(o.y.shape[1]), int(o.a.shape[1])
	if g.TransA {
		g.K = int(o.a.shape[0])
	}
	o.row = o.c != nil && o.alpha == 1 && o.beta == 1 && o.c.size == g.N && len(o.c.shape) > 0 && o.c.shape[len(o.c.shape)-1] == int64(g.N)
	if o.row || o.c == nil && o.alpha == 1 {
		g.Clamp = n.clamp
	}
	if n.mayWant(0) {
		n.keepIn(1)
	}
	if n.mayWant(1) {
		n.keepIn(0)
	}
	if n.clamp.On {
		n.keepOut()
	}
	n.chooses(0, 1)
	if o.c != nil {
		shape := []int{g.M, g.N}
		p := &pair{pool: n.pool, rule: pairRules["Add"], a: &operand{site: o.y}, b: o.c, y: o.y}
		sy, sc := dense(shape), broadcast(dims(o.c.shape), shape)
		p.forth = newGrid(shape, 0, sy, sy, sc)
		p.forthDo = p.forth.body(o.addC)
		p.backB = newGrid(shape, 2, sy, sy, sc)
		p.backBDo = p.backB.body(o.backC)
		o.rest = p
		if o.row {
			n.chooses(2)
		}
	}
	return o, nil
}

func (o *gemm) forward() {
	g := &o.args
	g.A, g.B, g.C = o.a.float, o.b.float, o.y.float
	if o.row {
		g.ColBias = o.c.float
	}
	kernel.Gemm(o.pool, g)
	if o.row || o.c == nil && o.alpha == 1 {
		return
	}
	if o.alpha != 1 {
		kernel.Scale(o.pool, o.y.float, o.y.float, o.alpha)
	}
	if o.c != nil {
		o.rest.forth.run(o.pool, o.rest.forthDo)
	}
	if o.clamp.On {
		o.clamp.Apply(o.pool, o.y.float, o.y.float)
	}
}

func (o *gemm) addC(y, _, c, n int) {
	_, _, dc := o.rest.forth.last()
	for i := range n {
		o.y.float[y+i] += o.beta * o.c.float[c+i*dc]
	}
}

func (o *gemm) backC(y, _, c, n int) {
	g := o.rest.backB
	dy, _, dc := g.last()
	for i := range n {
		o.c.into[c+i*dc] += o.beta * o.y.grad[y+i*dy]
	}
}

func (o *gemm) backward() {
	dy := o.y.grad
	if o.clamp.On {
		o.clamp.Grad(o.pool, dy, o.y.float, dy)
	}
	if o.c != nil && o.c.wanted() {
		if o.row {
			d := kernel.Planes{Batch: o.args.M, Channels: o.args.N, Size: 1}
			kernel.ChannelSums(o.pool, d, o.c.into, dy, o.c.add)
		} else {
			o.rest.backB.run(o.pool, o.rest.backBDo)
		}
	}
	if o.alpha != 1 {
		kernel.Scale(o.pool, dy, dy, o.alpha)
	}
	a, b := matrix{o.a.float, o.args.TransA}, matrix{o.b.float, o.args.TransB}
	if o.a.wanted() {
		gradA(o.pool, o.args.M, o.args.N, o.args.K, o.a.into, a.trans, dy, b, o.a.add)
	}
	if o.b.wanted() {
		gradB(o.pool, o.args.M, o.args.N, o.args.K, o.b.into, b.trans, dy, a, o.b.add)
	}
}

// A matrix is an operand of a product, and whether it is stored transposed.
type matrix struct {
	values []float32
	trans  bool
}

// gradA computes the gradient of A (m×k, or stored k×m) of C = A·B from dc (m×n).
func gradA(p *kernel.Pool, m, n, k int, da []float32, trans bool, dc []float32, b matrix, add bool) {
	g := kernel.GemmArgs{M: m, N: k, K: n, A: dc, B: b.values, TransB: !b.trans, C: da, Accumulate: add}
	if trans { // dAᵀ = B·dCᵀ
		g = kernel.GemmArgs{M: k, N: m, K: n, A: b.values, TransA: b.trans, B: dc, TransB: true, C: da, Accumulate: add}
	}
	kernel.Gemm(p, &g)
}

// gradB computes the gradient of B (k×n, or stored n×k).
func gradB(p *kernel.Pool, m, n, k int, db []float32, trans bool, dc []float32, a matrix, add bool) {
	g := kernel.GemmArgs{M: k, N: n, K: m, A: a.values, TransA: !a.trans, B: dc, C: db, Accumulate: add}
	if trans { // dBᵀ = dCᵀ·A
		g = kernel.GemmArgs{M: n, N: k, K: m, A: dc, TransA: true, B: a.values, TransB: a.trans, C: db, Accumulate: add}
	}
	kernel.Gemm(p, &g)
}
