package graph

import (
	"fmt"
	"math"

	"ropewalk/tensor"
)

// arithmeticOps are the operators of two or more operands that broadcast.
var arithmeticOps = map[string]operator{
	"Add": pairwise(func(x, y float64) float64 { return x + y }, func(_ tensor.DType, x, y int64) int64 { return x + y }),
	"Sub": pairwise(func(x, y float64) float64 { return x - y }, func(_ tensor.DType, x, y int64) int64 { return x - y }),
	"Mul": pairwise(func(x, y float64) float64 { return x * y }, func(_ tensor.DType, x, y int64) int64 { return x * y }),
	"Div": pairwise(func(x, y float64) float64 { return x / y }, divideInt),
}

// pairwise is an operator on two arrays of one type, which broadcast; its result has
// their type. A nil function is a kind of elements that it does not take.
func pairwise(float func(x, y float64) float64, integer func(d tensor.DType, x, y int64) int64) operator {
	return operator{
		min: 2, max: 2,
		infer: func(_ *context, _ *Node, in []*Operand) ([]Type, error) {
			if err := sameType(in...); err != nil {
				return nil, err
			}
			d := in[0].Type.DType
			if k := kindOf(d); k == kindFloat && float == nil || k == kindInt && (integer == nil || d == tensor.Bool) || k == kindText {
				return nil, fmt.Errorf("it is not defined for %s", d)
			}
			s, err := broadcast(in[0].Type.Shape, in[1].Type.Shape)
			return []Type{{d, s}}, err
		},
		evaluate: func(c *context, _ *Node, in []*Value) ([]*Value, error) {
			out := newValue(c.types[0])
			x, y := in[0], in[1]
			eachBroadcast(out.Shape, func(i, a, b int) {
				if out.Float != nil {
					out.Float[i] = float(x.Float[a], y.Float[b])
				} else {
					out.Int[i] = wrap(out.Type, integer(out.Type, x.Int[a], y.Int[b]))
				}
			}, x.Shape, y.Shape)
			return []*Value{out}, nil
		},
	}
}

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

var _ = math.Abs

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
