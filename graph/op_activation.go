package graph

import (
	"fmt"
	"math"

	"ropewalk/tensor"
)

// activationOps are the operators on one element at a time: functions of mathematics,
// and those that networks put between layers.
var activationOps = map[string]operator{
	"Identity": {min: 1, max: 1, infer: keepType, evaluate: func(_ *context, _ *Node, in []*Value) ([]*Value, error) { return in[:1], nil }},

	"Abs":   unary(math.Abs, func(d tensor.DType, x int64) int64 { return max(x, d.Wrap(-x)*truth(isSigned(d))) }),
	"Neg":   unary(func(x float64) float64 { return -x }, func(_ tensor.DType, x int64) int64 { return -x }),
	"Sign":  unary(sign, signInt),
	"Ceil":  unary(math.Ceil, nil),
	"Floor": unary(math.Floor, nil),
	"Round": unary(math.RoundToEven, nil),

	"BitwiseNot": unary(nil, func(_ tensor.DType, x int64) int64 { return ^x }),

	"Sqrt":       unary(math.Sqrt, nil),
	"Exp":        unary(math.Exp, nil),
	"Log":        unary(math.Log, nil),
	"Reciprocal": unary(func(x float64) float64 { return 1 / x }, nil),
	"Erf":        unary(math.Erf, nil),
	"Sin":        unary(math.Sin, nil),
	"Cos":        unary(math.Cos, nil),
	"Tan":        unary(math.Tan, nil),
	"Asin":       unary(math.Asin, nil),
	"Acos":       unary(math.Acos, nil),
	"Atan":       unary(math.Atan, nil),
	"Sinh":       unary(math.Sinh, nil),
	"Cosh":       unary(math.Cosh, nil),
	"Asinh":      unary(math.Asinh, nil),
	"Acosh":      unary(math.Acosh, nil),
	"Atanh":      unary(math.Atanh, nil),
	"Tanh":       unary(math.Tanh, nil),

	"Relu":     unary(relu, func(d tensor.DType, x int64) int64 { return maxInt(d, x, 0) }),
	"Sigmoid":  unary(sigmoid, nil),
	"Softplus": unary(softplus, nil),
	"Softsign": unary(func(x float64) float64 { return x / (1 + math.Abs(x)) }, nil),
	"Mish":     unary(func(x float64) float64 { return x * math.Tanh(softplus(x)) }, nil),
	"HardSwish": unary(func(x float64) float64 {
		return x * clip(x/6+0.5, 0, 1)
	}, nil),

	"LeakyRelu": parametric(func(r *attributesReader) func(x float64) float64 {
		alpha := r.float("alpha", 0.01)
		return func(x float64) float64 {
			if x < 0 {
				return alpha * x
			}
			return x
		}
	}),
	"Elu": parametric(func(r *attributesReader) func(x float64) float64 {
		alpha := r.float("alpha", 1)
		return func(x float64) float64 {
			if x < 0 {
				return alpha * math.Expm1(x)
			}
			return x
		}
	}),
	"Selu": parametric(func(r *attributesReader) func(x float64) float64 {
		alpha, gamma := r.float("alpha", 1.67326319217681884765625), r.float("gamma", 1.05070102214813232421875)
		return func(x float64) float64 {
			if x <= 0 {
				return gamma * alpha * math.Expm1(x)
			}
			return gamma * x
		}
	}),
	"Celu": parametric(func(r *attributesReader) func(x float64) float64 {
		alpha := r.float("alpha", 1)
		return func(x float64) float64 { return math.Max(0, x) + math.Min(0, alpha*math.Expm1(x/alpha)) }
	}),
	"ThresholdedRelu": parametric(func(r *attributesReader) func(x float64) float64 {
		alpha := r.float("alpha", 1)
		return func(x float64) float64 {
			if x > alpha {
				return x
			}
			return 0
		}
	}),
	"HardSigmoid": parametric(func(r *attributesReader) func(x float64) float64 {
		alpha, beta := r.float("alpha", 0.2), r.float("beta", 0.5)
		return func(x float64) float64 { return clip(alpha*x+beta, 0, 1) }
	}),
	"Shrink": parametric(func(r *attributesReader) func(x float64) float64 {
		lambd, bias := r.float("lambd", 0.5), r.float("bias", 0)
		return func(x float64) float64 {
			switch {
			case x < -lambd:
				return x + bias
			case x > lambd:
				return x - bias
			}
			return 0
		}
	}),
	"Swish": parametric(func(r *attributesReader) func(x float64) float64 {
		alpha := r.float("alpha", 1)
		return func(x float64) float64 { return x * sigmoid(alpha*x) }
	}),
	"Gelu": parametric(func(r *attributesReader) func(x float64) float64 {
		switch a := r.string("approximate", "none"); a {
		case "none":
			return func(x float64) float64 { return 0.5 * x * math.Erfc(-x/math.Sqrt2) }
		case "tanh":
			return func(x float64) float64 {
				return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
			}
		default:
			r.fail("attribute approximate is %q, want none or tanh", a)
			return nil
		}
	}),

	"Clip": {infer: inferClip, evaluate: evaluateClip, min: 1, max: 3},
}

func keepType(_ *context, _ *Node, in []*Operand) ([]Type, error) { return []Type{in[0].Type}, nil }

// unary is an operator on one element. A nil function is a kind of elements that it
// does not take.
func unary(float func(x float64) float64, integer func(d tensor.DType, x int64) int64) operator {
	return operator{
		min: 1, max: 1,
		infer: func(_ *context, _ *Node, in []*Operand) ([]Type, error) {
			d := in[0].Type.DType
			if !(isNumber(d) && (kindOf(d) == kindFloat && float != nil || kindOf(d) == kindInt && integer != nil)) {
				return nil, fmt.Errorf("it is not defined for %s", d)
			}
			return []Type{in[0].Type}, nil
		},
		evaluate: func(c *context, _ *Node, in []*Value) ([]*Value, error) {
			out := newValue(c.types[0])
			for i, x := range in[0].Float {
				out.Float[i] = float(x)
			}
			for i, x := range in[0].Int {
				out.Int[i] = out.Type.Wrap(integer(out.Type, x))
			}
			return []*Value{out}, nil
		},
	}
}

// parametric is an operator on one float whose function depends on attributes.
func parametric(function func(r *attributesReader) func(x float64) float64) operator {
	return operator{
		min: 1, max: 1,
		infer: func(_ *context, n *Node, in []*Operand) ([]Type, error) {
			r := read(n)
			function(r)
			// Shrink takes integers, too.
			if d := in[0].Type.DType; kindOf(d) != kindFloat && !(n.Op == "Shrink" && isNumber(d)) {
				r.fail("it is not defined for %s", d)
			}
			return []Type{in[0].Type}, r.err
		},
		evaluate: func(c *context, n *Node, in []*Value) ([]*Value, error) {
			f := function(read(n))
			out := newValue(c.types[0])
			for i, x := range in[0].Float {
				out.Float[i] = f(x)
			}
			for i := range in[0].Int {
				out.Int[i] = toInt(out.Type, f(in[0].number(i)))
			}
			return []*Value{out}, nil
		},
	}
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x // zero, NaN
}

func signInt(d tensor.DType, x int64) int64 {
	return truth(lessInt(d, 0, x)) - truth(lessInt(d, x, 0))
}

func relu(x float64) float64 {
	if x < 0 {
		return 0
	}
	return x // NaN stays
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// softplus is log(1+exp(x)), which must not overflow.
func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func clip(x, lo, hi float64) float64 { return math.Min(math.Max(x, lo), hi) }

// Clip has its bounds as scalars; one that is left out is none.
func inferClip(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	if err := sameType(in...); err != nil {
		return nil, err
	}
	if d := in[0].Type.DType; !isNumber(d) {
		return nil, fmt.Errorf("it is not defined for %s", d)
	}
	for i, o := range in[1:] {
		if o == nil {
			continue
		}
		if n, err := o.Type.Shape.Elems(); err != nil || n != 1 {
			return nil, fmt.Errorf("input %d is %v, want a scalar", i+1, o.Type)
		}
	}
	return []Type{in[0].Type}, nil
}

func evaluateClip(c *context, _ *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	copy(out.Float, in[0].Float)
	copy(out.Int, in[0].Int)
	lo, hi := in[1], in[2]
	for i := range out.elems() {
		switch { // the upper bound wins, as in numpy
		case lo != nil && out.Float != nil:
			out.Float[i] = math.Max(out.Float[i], lo.Float[0])
		case lo != nil:
			out.Int[i] = maxInt(out.Type, out.Int[i], lo.Int[0])
		}
		switch {
		case hi != nil && out.Float != nil:
			out.Float[i] = math.Min(out.Float[i], hi.Float[0])
		case hi != nil:
			out.Int[i] = minInt(out.Type, out.Int[i], hi.Int[0])
		}
	}
	return []*Value{out}, nil
}
