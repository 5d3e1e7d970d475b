package graph

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"ropewalk/tensor"
)

// castOps change the type of elements.
var castOps = map[string]operator{
	"Cast":     {infer: inferCast, evaluate: evaluateCast, min: 1, max: 1},
	"CastLike": {infer: inferCastLike, evaluate: evaluateCast, min: 2, max: 2},
}

func inferCast(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	number := r.int("to", 0)
	r.flag("saturate", true)
	if r.err != nil {
		return nil, r.err
	}
	to, err := dataType(number)
	return []Type{{to, in[0].Type.Shape}}, err
}

func inferCastLike(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	return []Type{{in[1].Type.DType, in[0].Type.Shape}}, nil
}

func evaluateCast(c *context, _ *Node, in []*Value) ([]*Value, error) {
	v, err := convert(in[0], c.types[0].DType)
	if err != nil {
		return nil, err
	}
	return []*Value{v}, nil
}

// convert returns v with elements of type to. Floats are rounded to nearest even,
// integers cut to their bits, floats to integers cut toward zero.
func convert(v *Value, to tensor.DType) (*Value, error) {
	out := newValue(Type{to, v.Shape})
	for i := range out.elems() {
		switch {
		case to == Text:
			out.Text[i] = v.print(i)
		case v.Type == Text:
			x, err := strconv.ParseFloat(strings.TrimSpace(v.Text[i]), 64)
			if err != nil {
				return nil, fmt.Errorf("%q is no number", v.Text[i])
			}
			switch {
			case out.Float != nil:
				out.Float[i] = roundTo(to, x)
			case to == tensor.Bool:
				out.Int[i] = truth(x != 0)
			default:
				out.Int[i] = toInt(to, x)
			}
		case out.Float != nil:
			out.Float[i] = roundTo(to, v.number(i))
		case to == tensor.Bool:
			out.Int[i] = truth(v.number(i) != 0)
		case v.Float != nil:
			out.Int[i] = to.Wrap(toInt(wide(to), v.Float[i]))
		default:
			out.Int[i] = to.Wrap(v.Int[i])
		}
	}
	return out, nil
}

// wide is the type through which floats go to integers: what does not fit is cut to
// its bits, as C++ programs do on all usual machines; but four bits saturate.
func wide(d tensor.DType) tensor.DType {
	if d == tensor.U64 || d.Bits() == 4 {
		return d
	}
	return tensor.I64
}

// print returns element i as ONNX's reference implementation writes it.
func (v *Value) print(i int) string {
	switch {
	case v.Text != nil:
		return v.Text[i]
	case v.Type == tensor.Bool:
		if v.Int[i] == 1 {
			return "True"
		}
		return "False"
	case v.Type == tensor.U64:
		return strconv.FormatUint(uint64(v.Int[i]), 10)
	case v.Int != nil:
		return strconv.FormatInt(v.Int[i], 10)
	case math.IsNaN(v.Float[i]):
		return "NaN"
	case math.IsInf(v.Float[i], 1):
		return "INF"
	case math.IsInf(v.Float[i], -1):
		return "-INF"
	}
	bits := 64
	if v.Type != tensor.F64 {
		bits = 32
	}
	s := strconv.FormatFloat(v.Float[i], 'g', -1, bits)
	if v.Type == tensor.F16 { // as few digits as tell halves apart
		for digits := 1; digits < 6; digits++ {
			short := strconv.FormatFloat(v.Float[i], 'g', digits, 64)
			if x, err := strconv.ParseFloat(short, 64); err == nil && roundTo(tensor.F16, x) == v.Float[i] {
				return short
			}
		}
	}
	return s
}
