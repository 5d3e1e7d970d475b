package native

import (
	"math"

	"ropewalk/internal/kernel"
)

// A pointRule is a function of one number with constants k, and its derivative.
type pointRule struct {
	f     func(x float32, k []float32) float32
	slope func(x, y float32, k []float32) float32
	fromX bool // slope looks at x
	fromY bool // slope looks at y
}

// A point computes a pointRule on each element. It is for functions that no kernel
// has.
type point struct {
	rule   *pointRule
	pool   *kernel.Pool
	x      *operand
	y      *site
	k      []float32
	pieces int
	do     func(worker, i int)
	undo   func(worker, i int)
}

func newPoint(n *node, rule *pointRule, k ...float32) (operator, error) {
	o := &point{rule: rule, pool: n.pool, x: n.in[0], y: n.out[0], k: k}
	if o.x.ints || o.y.ints {
		return nil, n.lacks("integers that are known only when it runs")
	}
	o.pieces = (o.x.size + grainOf/4 - 1) / (grainOf / 4)
	o.do, o.undo = o.piece, o.pieceBack
	n.inPlace(0)
	n.gradInPlace(0)
	n.writes(0)
	if rule.fromX {
		n.keepIn(0)
	}
	if rule.fromY {
		n.keepOut()
	}
	return o, nil
}

func (o *point) forward()  { o.pool.Run(o.pieces, o.do) }
func (o *point) backward() { o.pool.Run(o.pieces, o.undo) }

func (o *point) piece(_, i int) {
	lo, hi := i*grainOf/4, min((i+1)*grainOf/4, o.x.size)
	f, y := o.rule.f, o.y.float[lo:hi]
	for j, x := range o.x.float[lo:hi] {
		y[j] = f(x, o.k)
	}
}

func (o *point) pieceBack(_, i int) {
	lo, hi := i*grainOf/4, min((i+1)*grainOf/4, o.x.size)
	slope, dx := o.rule.slope, o.x.into[lo:hi]
	x, y := o.x.float[lo:hi], o.y.float[lo:hi]
	for j, dy := range o.y.grad[lo:hi] {
		dx[j] = dy * slope(x[j], y[j], o.k)
	}
}

func makePoint(n *node) (operator, error) { return newPoint(n, pointRules[n.Op]) }

// wide computes in float64.
func wide(f func(x float64) float64) func(x float32, _ []float32) float32 {
	return func(x float32, _ []float32) float32 { return float32(f(float64(x))) }
}

// wideSlope computes in float64.
func wideSlope(f func(x float64) float64) func(x, _ float32, _ []float32) float32 {
	return func(x, _ float32, _ []float32) float32 { return float32(f(float64(x))) }
}

func flat(_, _ float32, _ []float32) float32 { return 0 }

func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// pointRules are those without constants.
var pointRules = map[string]*pointRule{
	"Neg":        {f: func(x float32, _ []float32) float32 { return -x }, slope: func(_, _ float32, _ []float32) float32 { return -1 }},
	"Abs":        {f: wide(math.Abs), slope: func(x, _ float32, _ []float32) float32 { return sign(x) }, fromX: true},
	"Sqrt":       {f: wide(math.Sqrt), slope: func(_, y float32, _ []float32) float32 { return 0.5 / y }, fromY: true},
	"Log":        {f: wide(math.Log), slope: func(x, _ float32, _ []float32) float32 { return 1 / x }, fromX: true},
	"Reciprocal": {f: func(x float32, _ []float32) float32 { return 1 / x }, slope: func(_, y float32, _ []float32) float32 { return -y * y }, fromY: true},
	"Sin":        {f: wide(math.Sin), slope: wideSlope(math.Cos), fromX: true},
	"Cos":        {f: wide(math.Cos), slope: wideSlope(func(x float64) float64 { return -math.Sin(x) }), fromX: true},
	"Tan":        {f: wide(math.Tan), slope: func(_, y float32, _ []float32) float32 { return 1 + y*y }, fromY: true},
	"Asin":       {f: wide(math.Asin), slope: wideSlope(func(x float64) float64 { return 1 / math.Sqrt(1-x*x) }), fromX: true},
	"Acos":       {f: wide(math.Acos), slope: wideSlope(func(x float64) float64 { return -1 / math.Sqrt(1-x*x) }), fromX: true},
	"Atan":       {f: wide(math.Atan), slope: wideSlope(func(x float64) float64 { return 1 / (1 + x*x) }), fromX: true},
	"Sinh":       {f: wide(math.Sinh), slope: wideSlope(math.Cosh), fromX: true},
	"Cosh":       {f: wide(math.Cosh), slope: wideSlope(math.Sinh), fromX: true},
	"Asinh":      {f: wide(math.Asinh), slope: wideSlope(func(x float64) float64 { return 1 / math.Sqrt(x*x+1) }), fromX: true},
	"Acosh":      {f: wide(math.Acosh), slope: wideSlope(func(x float64) float64 { return 1 / math.Sqrt(x*x-1) }), fromX: true},
	"Atanh":      {f: wide(math.Atanh), slope: wideSlope(func(x float64) float64 { return 1 / (1 - x*x) }), fromX: true},
	"Softplus":   {f: wide(softplus), slope: wideSlope(logistic), fromX: true},
	"Softsign": {
		f: wide(func(x float64) float64 { return x / (1 + math.Abs(x)) }),
		slope: wideSlope(func(x float64) float64 {
			d := 1 + math.Abs(x)
			return 1 / (d * d)
		}), fromX: true,
	},
	"Mish": {
		f: wide(func(x float64) float64 { return x * math.Tanh(softplus(x)) }),
		slope: wideSlope(func(x float64) float64 {
			t := math.Tanh(softplus(x))
			return t + x*(1-t*t)*logistic(x)
		}), fromX: true,
	},
	"Floor": {f: wide(math.Floor), slope: flat},
	"Ceil":  {f: wide(math.Ceil), slope: flat},
	"Round": {f: wide(math.RoundToEven), slope: flat},
	"Sign":  {f: func(x float32, _ []float32) float32 { return sign(x) }, slope: flat},
}

// leaky is x, times k[0] below 0.
var leaky = pointRule{
	f: func(x float32, k []float32) float32 {
		if x < 0 {
			return k[0] * x
		}
		return x
	},
	slope: func(x, _ float32, k []float32) float32 {
		if x < 0 {
			return k[0]
		}
		return 1
	}, fromX: true,
}

// elu is k[1]·x, or k[1]·k[0]·(exp(x/k[2]) − 1) below 0: Elu, Selu and Celu.
var elu = pointRule{
	f: func(x float32, k []float32) float32 {
		if x < 0 {
			return k[1] * k[0] * float32(math.Expm1(float64(x/k[2])))
		}
		return k[1] * x
	},
	slope: func(x, _ float32, k []float32) float32 {
		if x < 0 {
			return k[1] * k[0] / k[2] * float32(math.Exp(float64(x/k[2])))
		}
		return k[1]
	}, fromX: true,
}

func makeLeakyRelu(n *node) (operator, error) {
	return newPoint(n, &leaky, float32(n.number("alpha", 0.01)))
}

func makeElu(n *node) (operator, error) {
	return newPoint(n, &elu, float32(n.number("alpha", 1)), 1, 1)
}

func makeSelu(n *node) (operator, error) {
	return newPoint(n, &elu, float32(n.number("alpha", 1.67326319217681884765625)), float32(n.number("gamma", 1.05070102214813232421875)), 1)
}

func makeCelu(n *node) (operator, error) {
	a := float32(n.number("alpha", 1))
	return newPoint(n, &elu, a, 1, a)
}

// gelu by tanh, an approximation (Hendrycks and Gimpel 2016).
var tanhGelu = pointRule{
	f: wide(func(x float64) float64 { return 0.5 * x * (1 + math.Tanh(geluInner(x))) }),
	slope: wideSlope(func(x float64) float64 {
		t := math.Tanh(geluInner(x))
		return 0.5*(1+t) + 0.5*x*(1-t*t)*math.Sqrt(2/math.Pi)*(1+3*0.044715*x*x)
	}), fromX: true,
}

func geluInner(x float64) float64 { return math.Sqrt(2/math.Pi) * (x + 0.044715*x*x*x) }

func makeGelu(n *node) (operator, error) {
	if n.text("approximate", "none") == "tanh" {
		return newPoint(n, &tanhGelu)
	}
	return makeUnary(&gelu, nil)(n)
}

// swishBy is x·sigmoid(k[0]·x).
var swishBy = pointRule{
	f: func(x float32, k []float32) float32 { return x * float32(logistic(float64(k[0]*x))) },
	slope: func(x, _ float32, k []float32) float32 {
		s := float32(logistic(float64(k[0] * x)))
		return s + k[0]*x*s*(1-s)
	}, fromX: true,
}

func makeSwish(n *node) (operator, error) {
	if a := n.number("alpha", 1); a != 1 {
		return newPoint(n, &swishBy, float32(a))
	}
	return makeUnary(&silu, nil)(n)
}

// thresholded is x above k[0], 0 elsewhere.
var thresholded = pointRule{
	f: func(x float32, k []float32) float32 {
		if x > k[0] || x != x {
			return x
		}
		return 0
	},
	slope: func(x, _ float32, k []float32) float32 { return float32(truth(x > k[0])) }, fromX: true,
}

func makeThresholdedRelu(n *node) (operator, error) {
	return newPoint(n, &thresholded, float32(n.number("alpha", 1)))
}

// shrink takes x towards 0 by k[1], and to 0 between -k[0] and k[0].
var shrink = pointRule{
	f: func(x float32, k []float32) float32 {
		switch {
		case x < -k[0]:
			return x + k[1]
		case x > k[0]:
			return x - k[1]
		}
		return 0
	},
	slope: func(x, _ float32, k []float32) float32 { return float32(truth(x < -k[0] || x > k[0])) }, fromX: true,
}

func makeShrink(n *node) (operator, error) {
	return newPoint(n, &shrink, float32(n.number("lambd", 0.5)), float32(n.number("bias", 0)))
}
