package native

import (
	"math"

	"ropewalk/internal/kernel"
)

const (
	lowest  = float32(-math.MaxFloat32)
	highest = float32(math.MaxFloat32)
)

// A unaryRule is a function of one number, on arrays. Its gradient is computed from
// the operand x or the result y, whichever it keeps; dx may be dy.
type unaryRule struct {
	forward  func(p *kernel.Pool, y, x []float32, k []float32)
	gradient func(p *kernel.Pool, dx, saved, dy []float32, k []float32)
	fromX    bool // the gradient looks at x
	fromY    bool // the gradient looks at y
}

func plain(f func(p *kernel.Pool, y, x []float32)) func(p *kernel.Pool, y, x []float32, k []float32) {
	return func(p *kernel.Pool, y, x []float32, _ []float32) { f(p, y, x) }
}

func plainGrad(f func(p *kernel.Pool, dx, saved, dy []float32)) func(p *kernel.Pool, dx, saved, dy []float32, k []float32) {
	return func(p *kernel.Pool, dx, saved, dy []float32, _ []float32) { f(p, dx, saved, dy) }
}

// A unary computes a unaryRule; k are its constants.
type unary struct {
	rule *unaryRule
	pool *kernel.Pool
	x    *operand
	y    *site
	k    []float32
}

// makeUnary returns a maker for rule, whose constants come from attributes.
func makeUnary(rule *unaryRule, k func(n *node) []float32) maker {
	return func(n *node) (operator, error) {
		o := &unary{rule: rule, pool: n.pool, x: n.in[0], y: n.out[0]}
		if o.x.ints {
			return nil, n.lacks("integers")
		}
		if k != nil {
			o.k = k(n)
		}
		n.inPlace(0)
		if rule.fromX {
			n.keepIn(0)
		}
		if rule.fromY {
			n.keepOut()
		}
		n.writes()
		n.gradInPlace(0)
		return o, nil
	}
}

func (o *unary) forward() { o.rule.forward(o.pool, o.y.float, o.x.float, o.k) }

func (o *unary) backward() {
	saved := o.y.float
	if o.rule.fromX {
		saved = o.x.float
	}
	o.rule.gradient(o.pool, o.x.into, saved, o.y.grad, o.k)
}

var (
	relu = unaryRule{
		forward:  func(p *kernel.Pool, y, x []float32, _ []float32) { kernel.ReLU().Apply(p, y, x) },
		gradient: func(p *kernel.Pool, dx, y, dy []float32, _ []float32) { kernel.ReLU().Grad(p, dx, y, dy) },
		fromY:    true,
	}
	sigmoid   = unaryRule{forward: plain(kernel.Sigmoid), gradient: plainGrad(kernel.SigmoidGrad), fromY: true}
	tanh      = unaryRule{forward: plain(kernel.Tanh), gradient: plainGrad(kernel.TanhGrad), fromY: true}
	hardSwish = unaryRule{forward: plain(kernel.HardSwish), gradient: plainGrad(kernel.HardSwishGrad), fromX: true}
	gelu      = unaryRule{forward: plain(kernel.GELU), gradient: plainGrad(kernel.GELUGrad), fromX: true}
	exp       = unaryRule{forward: plain(kernel.Exp), gradient: plainGrad(kernel.Mul), fromY: true}
	erf       = unaryRule{
		forward: plain(kernel.Erf), gradient: func(p *kernel.Pool, dx, x, dy []float32, _ []float32) {
			for i, v := range x {
				dx[i] = dy[i] * float32(2/math.SqrtPi*math.Exp(-float64(v)*float64(v)))
			}
		}, fromX: true,
	}
	// hardSigmoid is clamp(k[0]·x + k[1]) to [0, 1].
	hardSigmoid = unaryRule{
		forward: func(p *kernel.Pool, y, x []float32, k []float32) {
			kernel.Affine(p, y, x, k[0], k[1], unit)
		},
		gradient: func(p *kernel.Pool, dx, y, dy []float32, k []float32) {
			unit.Grad(p, dx, y, dy)
			kernel.Scale(p, dx, dx, k[0])
		}, fromY: true,
	}
	unit = kernel.Clamp{On: true, Lo: 0, Hi: 1}
	silu = unaryRule{forward: plain(kernel.SiLU), gradient: plainGrad(kernel.SiLUGrad), fromX: true}
)

func hardSigmoidConstants(n *node) []float32 {
	return []float32{float32(n.number("alpha", 0.2)), float32(n.number("beta", 0.5))}
}

// A clip is Clip; its bounds are read when it runs.
type clip struct {
	pool   *kernel.Pool
	x      *operand
	lo, hi *operand // nil for none
	y      *site
	clamp  kernel.Clamp
}

func makeClip(n *node) (operator, error) {
	o := &clip{pool: n.pool, x: n.in[0], lo: n.operand(1), hi: n.operand(2), y: n.out[0]}
	if o.x.ints {
		return &wholeClip{x: o.x, lo: o.lo, hi: o.hi, y: o.y}, nil
	}
	if n.mayWant(1) || n.mayWant(2) {
		return nil, n.lacks("bounds that are trained")
	}
	n.inPlace(0)
	n.keepIn(0)
	n.writes(0)
	n.gradInPlace(0)
	return o, nil
}

func (o *clip) forward() {
	o.clamp = kernel.Clamp{On: true, Lo: lowest, Hi: highest}
	if o.lo != nil {
		o.clamp.Lo = o.lo.float[0]
	}
	if o.hi != nil {
		o.clamp.Hi = o.hi.float[0]
	}
	o.clamp.Apply(o.pool, o.y.float, o.x.float)
}

func (o *clip) backward() { o.clamp.Grad(o.pool, o.x.into, o.x.float, o.y.grad) }
