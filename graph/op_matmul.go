package graph

import (
	"fmt"
	"slices"

	"ropewalk/tensor"
)

// matmulOps are products of matrices, without those of small integers (quantizeOps).
var matmulOps = map[string]operator{
	"MatMul": {infer: inferMatMul, evaluate: evaluateMatMul, min: 2, max: 2},
	"Gemm":   {infer: inferGemm, evaluate: evaluateGemm, min: 2, max: 3},
	"Det":    {infer: inferDet, evaluate: evaluateDet, min: 1, max: 1},
}

// A product is the shape of a product of stacks of matrices, as numpy has it: a
// vector on the left is a row, one on the right a column, and its axis is taken out
// of the result.
type matrixProduct struct {
	a, b    tensor.Shape // with two axes at least
	out     tensor.Shape // with two axes at least
	result  tensor.Shape
	m, k, n int64
}

func matrixProductOf(a, b tensor.Shape) (*matrixProduct, error) {
	if len(a) == 0 || len(b) == 0 {
		return nil, fmt.Errorf("%v and %v cannot be multiplied, want one axis at least", a, b)
	}
	p := &matrixProduct{a: a, b: b}
	if len(a) == 1 {
		p.a = tensor.Shape{1, a[0]}
	}
	if len(b) == 1 {
		p.b = tensor.Shape{b[0], 1}
	}
	ra, rb := len(p.a), len(p.b)
	p.m, p.k, p.n = p.a[ra-2], p.a[ra-1], p.b[rb-1]
	if p.b[rb-2] != p.k {
		return nil, fmt.Errorf("%v and %v cannot be multiplied: %d columns and %d rows", a, b, p.k, p.b[rb-2])
	}
	stack, err := broadcast(p.a[:ra-2], p.b[:rb-2])
	if err != nil {
		return nil, err
	}
	p.out = append(slices.Clone(stack), p.m, p.n)
	p.result = slices.Clone(stack)
	if len(a) > 1 {
		p.result = append(p.result, p.m)
	}
	if len(b) > 1 {
		p.result = append(p.result, p.n)
	}
	return p, nil
}

// each calls f for each element of the product with the first elements of the row
// and of the column that make it; the elements of a column are n apart.
func (p *matrixProduct) each(f func(o, a, b int)) {
	if product(p.out) == 0 {
		return
	}
	stack := p.out[:len(p.out)-2]
	sa, sb := stretched(p.a[:len(p.a)-2], stack), stretched(p.b[:len(p.b)-2], stack)
	m, k, n := int(p.m), int(p.k), int(p.n)
	w := newWalker(stack, sa, sb)
	for s := range product(stack) {
		for i := range m {
			for j := range n {
				f((s*m+i)*n+j, (w.off[0]*m+i)*k, w.off[1]*k*n+j)
			}
		}
		w.next()
	}
}

func inferMatMul(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	if err := sameType(in...); err != nil {
		return nil, err
	}
	d := in[0].Type.DType
	if !isNumber(d) {
		return nil, fmt.Errorf("it is not defined for %s", d)
	}
	p, err := matrixProductOf(in[0].Type.Shape, in[1].Type.Shape)
	if err != nil {
		return nil, err
	}
	return []Type{{d, p.result}}, nil
}

func evaluateMatMul(c *context, _ *Node, in []*Value) ([]*Value, error) {
	a, b := in[0], in[1]
	p, err := matrixProductOf(a.Shape, b.Shape)
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	if err := c.spendProduct(int64(out.elems()), p.k); err != nil {
		return nil, err
	}
	k, n := int(p.k), int(p.n)
	p.each(func(o, i, j int) {
		if out.Float != nil {
			sum := 0.0
			for l := range k {
				sum += a.Float[i+l] * b.Float[j+l*n]
			}
			out.Float[o] = sum
			return
		}
		sum := int64(0)
		for l := range k {
			sum += a.Int[i+l] * b.Int[j+l*n]
		}
		out.Int[o] = out.Type.Wrap(sum)
	})
	return []*Value{out}, nil
}

// A gemm is alpha·A·B + beta·C with A of m×k and B of k×n after transposition.
type gemm struct {
	m, k, n        int64
	alpha, beta    float64
	transA, transB bool
}

func gemmOf(n *Node, a, b tensor.Shape) (*gemm, error) {
	r := read(n)
	g := &gemm{alpha: r.float("alpha", 1), beta: r.float("beta", 1), transA: r.flag("transA", false), transB: r.flag("transB", false)}
	if r.err != nil {
		return nil, r.err
	}
	if len(a) != 2 || len(b) != 2 {
		return nil, fmt.Errorf("%v and %v cannot be multiplied, want two matrices", a, b)
	}
	g.m, g.k = a[0], a[1]
	if g.transA {
		g.m, g.k = g.k, g.m
	}
	k, cols := b[0], b[1]
	if g.transB {
		k, cols = cols, k
	}
	g.n = cols
	if k != g.k {
		return nil, fmt.Errorf("%v and %v cannot be multiplied: %d columns and %d rows", a, b, g.k, k)
	}
	return g, nil
}

func inferGemm(_ *context, n *Node, in []*Operand) ([]Type, error) {
	if err := sameType(in...); err != nil {
		return nil, err
	}
	d := in[0].Type.DType
	if !isNumber(d) {
		return nil, fmt.Errorf("it is not defined for %s", d)
	}
	g, err := gemmOf(n, in[0].Type.Shape, in[1].Type.Shape)
	if err != nil {
		return nil, err
	}
	out := tensor.Shape{g.m, g.n}
	if in[2] != nil {
		if s, err := broadcast(in[2].Type.Shape, out); err != nil || !s.Equal(out) {
			return nil, fmt.Errorf("input 2 of shape %v does not broadcast to %v", in[2].Type.Shape, out)
		}
	}
	return []Type{{d, out}}, nil
}

func evaluateGemm(c *context, node *Node, in []*Value) ([]*Value, error) {
	g, err := gemmOf(node, in[0].Shape, in[1].Shape)
	if err != nil {
		return nil, err
	}
	if err := c.spendProduct(g.m, g.n, g.k); err != nil {
		return nil, err
	}
	a, b := in[0], in[1]
	out := newValue(c.types[0])
	m, k, n := int(g.m), int(g.k), int(g.n)
	ai, al, bl, bj := k, 1, n, 1 // how far apart elements are along i, l and j
	if g.transA {
		ai, al = 1, m
	}
	if g.transB {
		bl, bj = 1, k
	}
	bias := make([]int, 2)
	if in[2] != nil {
		bias = stretched(in[2].Shape, out.Shape)
	}
	for o := range out.elems() {
		i, j := o/n, o%n
		if out.Float != nil {
			sum := 0.0
			for l := range k {
				sum += a.Float[i*ai+l*al] * b.Float[l*bl+j*bj]
			}
			sum *= g.alpha
			if in[2] != nil {
				sum += g.beta * in[2].Float[i*bias[0]+j*bias[1]]
			}
			out.Float[o] = sum
			continue
		}
		sum := int64(0)
		for l := range k {
			sum += a.Int[i*ai+l*al] * b.Int[l*bl+j*bj]
		}
		if g.alpha != 1 {
			sum = toInt(out.Type, g.alpha*float64(sum))
		}
		if in[2] != nil {
			x := in[2].Int[i*bias[0]+j*bias[1]]
			if g.beta != 1 {
				x = toInt(out.Type, g.beta*float64(x))
			}
			sum += x
		}
		out.Int[o] = out.Type.Wrap(sum)
	}
	return []*Value{out}, nil
}

func inferDet(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	s := in[0].Type.Shape
	if len(s) < 2 || s[len(s)-1] != s[len(s)-2] || kindOf(in[0].Type.DType) != kindFloat {
		return nil, fmt.Errorf("its input is %v, want square matrices of floats", in[0].Type)
	}
	return []Type{{in[0].Type.DType, slices.Clone(s[:len(s)-2])}}, nil
}

// evaluateDet eliminates with the greatest pivot of a column.
func evaluateDet(c *context, _ *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	n := int(in[0].Shape[len(in[0].Shape)-1])
	if err := c.spendProduct(int64(out.elems()), int64(n), int64(n), int64(n)); err != nil {
		return nil, err
	}
	for o := range out.Float {
		m := slices.Clone(in[0].Float[o*n*n : (o+1)*n*n])
		det := 1.0
		for p := range n {
			top := p
			for i := p + 1; i < n; i++ {
				if abs(m[i*n+p]) > abs(m[top*n+p]) {
					top = i
				}
			}
			if top != p {
				for j := range n {
					m[p*n+j], m[top*n+j] = m[top*n+j], m[p*n+j]
				}
				det = -det
			}
			det *= m[p*n+p]
			if m[p*n+p] == 0 {
				break
			}
			for i := p + 1; i < n; i++ {
				f := m[i*n+p] / m[p*n+p]
				for j := p; j < n; j++ {
					m[i*n+j] -= f * m[p*n+j]
				}
			}
		}
		out.Float[o] = det
	}
	return []*Value{out}, nil
}

func abs(x float64) float64 {
	if x < 0 {
		return -x
	}
	return x
}
