package kernel

// In the functions of this file len(dst) is the number of elements; operands must
// be at least as long. dst may be one of the operands.

func (p *Pool) elements(o op, dst, a, b, c []float32, k ...float32) {
	n := len(dst)
	need("the first operand", a, n)
	if b != nil {
		need("the second operand", b, n)
	}
	if c != nil {
		need("the third operand", c, n)
	}
	j := vecJob{op: o, dst: dst, a: a, b: b, c: c, n: n}
	copy(j.k[:], k)
	p.vector(j)
}

// operand makes nil and empty the same: too short, unless nothing is needed.
func operand(s []float32) []float32 {
	if s == nil {
		return []float32{}
	}
	return s
}

// Add computes dst = a + b.
func Add(p *Pool, dst, a, b []float32) { p.elements(opAdd, dst, a, operand(b), nil) }

// Sub computes dst = a − b.
func Sub(p *Pool, dst, a, b []float32) { p.elements(opSub, dst, a, operand(b), nil) }

// Mul computes dst = a·b.
func Mul(p *Pool, dst, a, b []float32) { p.elements(opMul, dst, a, operand(b), nil) }

// Div computes dst = a/b.
func Div(p *Pool, dst, a, b []float32) { p.elements(opDiv, dst, a, operand(b), nil) }

// MulAdd computes dst = a·b + c.
func MulAdd(p *Pool, dst, a, b, c []float32) {
	p.elements(opMulAdd, dst, a, operand(b), operand(c))
}

// Axpy computes dst += alpha·x.
func Axpy(p *Pool, dst []float32, alpha float32, x []float32) {
	p.elements(opCombine, dst, x, dst, nil, alpha, 1)
}

// Combine computes dst = s·a + t·b.
func Combine(p *Pool, dst []float32, s float32, a []float32, t float32, b []float32) {
	p.elements(opCombine, dst, a, operand(b), nil, s, t)
}

// Affine computes dst = clamp(scale·x + shift). With a clamp to [0, 1] it is the
// hard sigmoid.
func Affine(p *Pool, dst, x []float32, scale, shift float32, c Clamp) {
	lo, hi := c.bounds()
	p.elements(opAffine, dst, x, nil, nil, scale, shift, lo, hi)
}

// Scale computes dst = s·x.
func Scale(p *Pool, dst, x []float32, s float32) { Affine(p, dst, x, s, 0, Clamp{}) }

// Apply computes dst = clamp(x).
func (c Clamp) Apply(p *Pool, dst, x []float32) { Affine(p, dst, x, 1, 0, c) }

// AddClamp computes dst = clamp(a + b): the end of a residual block.
func AddClamp(p *Pool, dst, a, b []float32, c Clamp) {
	lo, hi := c.bounds()
	p.elements(opAddClamp, dst, a, operand(b), nil, lo, hi)
}

// Grad computes dx = dy where Lo < x < Hi, and 0 elsewhere. x may be the operand
// or the result of Apply: it makes no difference.
func (c Clamp) Grad(p *Pool, dx, x, dy []float32) {
	lo, hi := c.bounds()
	p.elements(opClampGrad, dx, x, operand(dy), nil, lo, hi)
}

// Exp computes dst = exp(x), to 2 ULP. Below −87.33 it is 0, above 88.72 it is +Inf.
func Exp(p *Pool, dst, x []float32) { p.elements(opExp, dst, x, nil, nil) }

// Sigmoid computes dst = 1/(1 + exp(−x)), to 4 ULP.
func Sigmoid(p *Pool, dst, x []float32) { p.elements(opSigmoid, dst, x, nil, nil) }

// Tanh computes dst = tanh(x), to 4 ULP.
func Tanh(p *Pool, dst, x []float32) { p.elements(opTanh, dst, x, nil, nil) }

// Erf computes dst = erf(x), to 4 ULP.
func Erf(p *Pool, dst, x []float32) { p.elements(opErf, dst, x, nil, nil) }

// SiLU computes dst = x·sigmoid(x), or swish.
func SiLU(p *Pool, dst, x []float32) { p.elements(opSiLU, dst, x, nil, nil) }

// GELU computes dst = x·Φ(x), with the normal distribution Φ, not an
// approximation by tanh.
func GELU(p *Pool, dst, x []float32) { p.elements(opGELU, dst, x, nil, nil) }

// HardSwish computes dst = x·clamp(x/6 + 1/2, 0, 1).
func HardSwish(p *Pool, dst, x []float32) { p.elements(opHardSwish, dst, x, nil, nil) }

// SigmoidGrad computes dx = dy·y·(1 − y), where y is the result of Sigmoid.
func SigmoidGrad(p *Pool, dx, y, dy []float32) { p.elements(opSigmoidGrad, dx, y, operand(dy), nil) }

// TanhGrad computes dx = dy·(1 − y²), where y is the result of Tanh.
func TanhGrad(p *Pool, dx, y, dy []float32) { p.elements(opTanhGrad, dx, y, operand(dy), nil) }

// SiLUGrad computes dx from the operand x of SiLU.
func SiLUGrad(p *Pool, dx, x, dy []float32) { p.elements(opSiLUGrad, dx, x, operand(dy), nil) }

// GELUGrad computes dx from the operand x of GELU.
func GELUGrad(p *Pool, dx, x, dy []float32) { p.elements(opGELUGrad, dx, x, operand(dy), nil) }

// HardSwishGrad computes dx from the operand x of HardSwish.
func HardSwishGrad(p *Pool, dx, x, dy []float32) {
	p.elements(opHardSwishGrad, dx, x, operand(dy), nil)
}
