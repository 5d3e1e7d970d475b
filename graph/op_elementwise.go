package graph

import (
	"fmt"
	"math"

	"ropewalk/tensor"
)

// arithmeticOps are the operators of two or more operands that broadcast and give
// numbers.
var arithmeticOps = map[string]operator{
	"Add": pairwise(func(x, y float64) float64 { return x + y }, func(_ tensor.DType, x, y int64) int64 { return x + y }),
	"Sub": pairwise(func(x, y float64) float64 { return x - y }, func(_ tensor.DType, x, y int64) int64 { return x - y }),
	"Mul": pairwise(func(x, y float64) float64 { return x * y }, func(_ tensor.DType, x, y int64) int64 { return x * y }),
	"Div": pairwise(func(x, y float64) float64 { return x / y }, divideInt),

	"PRelu": prelu(),
	"Pow":   {infer: inferPow, evaluate: evaluatePow, min: 2, max: 2},
	"Mod":   {infer: inferMod, evaluate: evaluateMod, min: 2, max: 2},

	"Max":  many(math.Max, maxInt, false),
	"Min":  many(math.Min, minInt, false),
	"Sum":  many(func(x, y float64) float64 { return x + y }, nil, false),
	"Mean": many(func(x, y float64) float64 { return x + y }, nil, true),

	"BitwiseAnd": pairwise(nil, func(_ tensor.DType, x, y int64) int64 { return x & y }),
	"BitwiseOr":  pairwise(nil, func(_ tensor.DType, x, y int64) int64 { return x | y }),
	"BitwiseXor": pairwise(nil, func(_ tensor.DType, x, y int64) int64 { return x ^ y }),
	"BitShift":   {infer: inferBitShift, evaluate: evaluateBitShift, min: 2, max: 2},
}

// pairwise is an operator on two arrays of one type, which broadcast; its result has
// their type. A nil function is a kind of elements that it does not take.
func pairwise(float func(x, y float64) float64, integer func(d tensor.DType, x, y int64) int64) operator {
	return operator{
		min: 2, max: 2,
		infer: func(_ *context, _ *Node, in []*Operand) ([]Type, error) {
			return inferPairwise(in, float != nil, integer != nil)
		},
		evaluate: func(c *context, _ *Node, in []*Value) ([]*Value, error) {
			return evaluatePairwise(c, in, float, integer)
		},
	}
}

func inferPairwise(in []*Operand, float, integer bool) ([]Type, error) {
	if err := sameType(in...); err != nil {
		return nil, err
	}
	d := in[0].Type.DType
	if !(isNumber(d) && (kindOf(d) == kindFloat && float || kindOf(d) == kindInt && integer)) {
		return nil, fmt.Errorf("it is not defined for %s", d)
	}
	s, err := broadcast(in[0].Type.Shape, in[1].Type.Shape)
	return []Type{{d, s}}, err
}

func evaluatePairwise(c *context, in []*Value, float func(x, y float64) float64, integer func(d tensor.DType, x, y int64) int64) ([]*Value, error) {
	out := newValue(c.types[0])
	x, y := in[0], in[1]
	eachBroadcast(out.Shape, func(i, a, b int) {
		if out.Float != nil {
			out.Float[i] = float(x.Float[a], y.Float[b])
		} else {
			out.Int[i] = out.Type.Wrap(integer(out.Type, x.Int[a], y.Int[b]))
		}
	}, x.Shape, y.Shape)
	return []*Value{out}, nil
}

// isNumber reports whether elements of type d are numbers: neither text nor truth.
func isNumber(d tensor.DType) bool { return d != Text && d != tensor.Bool && kindOf(d) != kindNone }

// divideInt divides toward zero; by zero it gives zero, where ONNX has no rule.
func divideInt(d tensor.DType, x, y int64) int64 {
	switch {
	case y == 0:
		return 0
	case d == tensor.U64:
		return int64(uint64(x) / uint64(y))
	case y == -1: // the least integer has no negative
		return -x
	}
	return x / y
}

// remainderInt is what divideInt leaves, with the sign of x.
func remainderInt(d tensor.DType, x, y int64) int64 {
	switch {
	case y == 0 || y == -1:
		return 0
	case d == tensor.U64:
		return int64(uint64(x) % uint64(y))
	}
	return x % y
}

// moduloInt is the remainder with the sign of y.
func moduloInt(d tensor.DType, x, y int64) int64 {
	r := remainderInt(d, x, y)
	if r != 0 && d != tensor.U64 && (r < 0) != (y < 0) {
		r += y
	}
	return r
}

// lessInt compares integers of type d.
func lessInt(d tensor.DType, x, y int64) bool {
	if d == tensor.U64 {
		return uint64(x) < uint64(y)
	}
	return x < y
}

func maxInt(d tensor.DType, x, y int64) int64 {
	if lessInt(d, x, y) {
		return y
	}
	return x
}

func minInt(d tensor.DType, x, y int64) int64 {
	if lessInt(d, y, x) {
		return y
	}
	return x
}

// many is an operator on one or more arrays of one type, which folds them by two.
func many(float func(x, y float64) float64, integer func(d tensor.DType, x, y int64) int64, mean bool) operator {
	return operator{
		min: 1, max: -1,
		infer: func(_ *context, _ *Node, in []*Operand) ([]Type, error) {
			shapes := make([]tensor.Shape, len(in))
			for i, o := range in {
				if o == nil {
					return nil, fmt.Errorf("input %d is missing", i)
				}
				shapes[i] = o.Type.Shape
			}
			if err := sameType(in...); err != nil {
				return nil, err
			}
			d := in[0].Type.DType
			if !isNumber(d) || kindOf(d) == kindInt && integer == nil {
				return nil, fmt.Errorf("it is not defined for %s", d)
			}
			s, err := broadcast(shapes...)
			return []Type{{d, s}}, err
		},
		evaluate: func(c *context, _ *Node, in []*Value) ([]*Value, error) {
			out := newValue(c.types[0])
			for k, x := range in {
				w := newWalker(out.Shape, stretched(x.Shape, out.Shape))
				for i := range out.elems() {
					switch {
					case k == 0:
						out.set(i, x, w.off[0])
					case out.Float != nil:
						out.Float[i] = float(out.Float[i], x.Float[w.off[0]])
					default:
						out.Int[i] = integer(out.Type, out.Int[i], x.Int[w.off[0]])
					}
					w.next()
				}
			}
			if mean {
				for i := range out.Float {
					out.Float[i] /= float64(len(in))
				}
			}
			return []*Value{out}, nil
		},
	}
}

// prelu scales what is negative; the slope broadcasts to x, not x to the slope.
func prelu() operator {
	op := pairwise(
		func(x, slope float64) float64 {
			if x < 0 {
				return x * slope
			}
			return x
		},
		func(d tensor.DType, x, slope int64) int64 {
			if lessInt(d, x, 0) {
				return x * slope
			}
			return x
		})
	infer := op.infer
	op.infer = func(c *context, n *Node, in []*Operand) ([]Type, error) {
		t, err := infer(c, n, in)
		if err == nil && !t[0].Shape.Equal(in[0].Type.Shape) {
			return nil, fmt.Errorf("the slope %v does not broadcast to %v", in[1].Type.Shape, in[0].Type.Shape)
		}
		return t, err
	}
	return op
}

// The exponent of Pow may be of another type than the base; the result has that of
// the base.
func inferPow(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	for _, o := range in {
		if !isNumber(o.Type.DType) {
			return nil, fmt.Errorf("it is not defined for %s", o.Type.DType)
		}
	}
	s, err := broadcast(in[0].Type.Shape, in[1].Type.Shape)
	return []Type{{in[0].Type.DType, s}}, err
}

func evaluatePow(c *context, _ *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	x, y := in[0], in[1]
	eachBroadcast(out.Shape, func(i, a, b int) {
		if out.Int != nil && y.Int != nil {
			out.Int[i] = out.Type.Wrap(powInt(y.Type, x.Int[a], y.Int[b]))
			return
		}
		p := math.Pow(x.number(a), y.number(b))
		if out.Float != nil {
			out.Float[i] = p
		} else {
			out.Int[i] = toInt(out.Type, p)
		}
	}, x.Shape, y.Shape)
	return []*Value{out}, nil
}

// powInt is x to the y, with overflow; a negative power of an integer other than
// 1 and -1 is zero.
func powInt(exponent tensor.DType, x, y int64) int64 {
	if lessInt(exponent, y, 0) {
		switch {
		case x == 1 || x == -1 && y%2 == 0:
			return 1
		case x == -1:
			return -1
		}
		return 0
	}
	p := int64(1)
	for e := uint64(y); e > 0; e >>= 1 {
		if e&1 == 1 {
			p *= x
		}
		x *= x
	}
	return p
}

func inferMod(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	if fmod := r.flag("fmod", false); r.err == nil && !fmod && kindOf(in[0].Type.DType) == kindFloat {
		r.fail("floats need attribute fmod = 1")
	}
	if r.err != nil {
		return nil, r.err
	}
	return inferPairwise(in, true, true)
}

func evaluateMod(c *context, n *Node, in []*Value) ([]*Value, error) {
	integer := moduloInt
	if read(n).flag("fmod", false) {
		integer = remainderInt
	}
	return evaluatePairwise(c, in, math.Mod, integer)
}

func inferBitShift(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	if d := r.string("direction", ""); r.err == nil && d != "LEFT" && d != "RIGHT" {
		r.fail("attribute direction is %q, want LEFT or RIGHT", d)
	}
	if d := in[0].Type.DType; r.err == nil && !isUnsigned(d) {
		r.fail("it is not defined for %s", d)
	}
	if r.err != nil {
		return nil, r.err
	}
	return inferPairwise(in, false, true)
}

func evaluateBitShift(c *context, n *Node, in []*Value) ([]*Value, error) {
	left := read(n).string("direction", "") == "LEFT"
	return evaluatePairwise(c, in, nil, func(_ tensor.DType, x, y int64) int64 {
		if left {
			return int64(uint64(x) << uint64(y))
		}
		return int64(uint64(x) >> uint64(y))
	})
}

// sameType says whether operands, those that are there, are of one element type.
func sameType(in ...*Operand) error {
	first := -1
	for i, o := range in {
		switch {
		case o == nil:
		case first < 0:
			first = i
		case o.Type.DType != in[first].Type.DType:
			return fmt.Errorf("input %d is %s and input %d is %s, want one type", first, in[first].Type.DType, i, o.Type.DType)
		}
	}
	return nil
}

// number returns element i as a float.
func (v *Value) number(i int) float64 {
	switch {
	case v.Float != nil:
		return v.Float[i]
	case v.Type == tensor.U64:
		return float64(uint64(v.Int[i]))
	}
	return float64(v.Int[i])
}

// toInt returns x as an element of the integer type d, cut toward zero. What does
// not fit becomes the nearest that does, NaN zero: ONNX has no rule, Go none either.
func toInt(d tensor.DType, x float64) int64 {
	x = math.Trunc(x)
	switch {
	case x != x:
		return 0
	case d == tensor.U64:
		switch {
		case x <= 0:
			return 0
		case x >= 1<<64:
			return -1
		}
		return int64(uint64(x))
	}
	lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
	if d != tensor.I64 {
		lo, hi = intRange(d)
	}
	switch {
	case x <= float64(lo):
		return lo
	case x >= float64(hi):
		return hi
	}
	return int64(x)
}
