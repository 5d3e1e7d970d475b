package graph

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// quantizeOps go between floats and small integers, and multiply the latter.
var quantizeOps = map[string]operator{
	"QuantizeLinear":        {infer: inferQuantize, evaluate: evaluateQuantize, min: 2, max: 3},
	"DequantizeLinear":      {infer: inferDequantize, evaluate: evaluateDequantize, min: 2, max: 3},
	"DynamicQuantizeLinear": {infer: inferDynamicQuantize, evaluate: evaluateDynamicQuantize, min: 1, max: 1},

	"MatMulInteger": {infer: inferMatMulInteger, evaluate: evaluateMatMulInteger, min: 2, max: 4},
	"ConvInteger":   {infer: inferConvInteger, evaluate: evaluateConvInteger, min: 2, max: 4},
	"QLinearMatMul": {infer: inferQLinearMatMul, evaluate: evaluateQLinearMatMul, min: 8, max: 8},
	"QLinearConv":   {infer: inferQLinearConv, evaluate: evaluateQLinearConv, min: 8, max: 9},
}

// A grain says which scale and zero point an element has: one for all, one for each
// place along an axis, or one for each block along it.
type grain struct {
	shape tensor.Shape // of the data
	axis  int          // -1: one for all
	block int64        // 1 if there are no blocks
	own   []int        // strides of the scales
}

func grainOf(n *Node, x, scale tensor.Shape) (*grain, error) {
	r := read(n)
	at, block := r.int("axis", 1), r.int("block_size", 0)
	if r.err != nil {
		return nil, r.err
	}
	g := &grain{shape: x, axis: -1, block: 1}
	if k, err := scale.Elems(); err == nil && k == 1 && len(scale) <= 1 && block == 0 {
		return g, nil
	}
	axis, err := axisOf(at, len(x))
	if err != nil {
		return nil, err
	}
	g.axis = axis
	g.own = make([]int, len(x))
	if block == 0 {
		if !scale.Equal(tensor.Shape{x[axis]}) {
			return nil, fmt.Errorf("the scales are %v, want one for each of %d places along axis %d", scale, x[axis], axis)
		}
		g.own[axis] = 1
		return g, nil
	}
	want := slices.Clone(x)
	if block < 1 {
		return nil, fmt.Errorf("attribute block_size is %d", block)
	}
	want[axis] = (x[axis] + block - 1) / block
	if !scale.Equal(want) {
		return nil, fmt.Errorf("the scales are %v, want %v for blocks of %d", scale, want, block)
	}
	g.block, g.own = block, stridesOf(scale)
	return g, nil
}

// each calls f for each element i with the number k of its scale.
func (g *grain) each(f func(i, k int)) {
	w := newWalker(g.shape)
	for i := range product(g.shape) {
		k := 0
		if g.axis >= 0 {
			for a, p := range w.at {
				if a == g.axis {
					p /= g.block
				}
				k += int(p) * g.own[a]
			}
		}
		f(i, k)
		w.next()
	}
}

func inferQuantize(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	d := tensor.U8
	if number := r.int("output_dtype", 0); number != 0 && r.err == nil {
		d, r.err = dataType(number)
	}
	r.flag("saturate", true)
	if r.err != nil {
		return nil, r.err
	}
	if kindOf(in[1].Type.DType) != kindFloat || !isNumber(in[0].Type.DType) {
		return nil, fmt.Errorf("its inputs are %v and scales %v, want numbers and floats", in[0].Type, in[1].Type)
	}
	if in[2] != nil {
		if d = in[2].Type.DType; !in[2].Type.Shape.Equal(in[1].Type.Shape) && product(in[2].Type.Shape) != 1 {
			return nil, fmt.Errorf("the zero points are %v, the scales %v", in[2].Type, in[1].Type)
		}
	}
	if !isSigned(d) && !isUnsigned(d) || d.Bits() > 16 {
		return nil, fmt.Errorf("it cannot quantize to %s", d)
	}
	_, err := grainOf(n, in[0].Type.Shape, in[1].Type.Shape)
	return []Type{{d, in[0].Type.Shape}}, err
}

// zeroOf returns zero point k, of those that may be left out, or be one for all.
func zeroOf(v *Value, k int) int64 {
	switch {
	case v == nil:
		return 0
	case len(v.Int) == 1:
		return v.Int[0]
	}
	return v.Int[k]
}

// saturate returns x, which is a whole number, as the nearest of type d.
func saturate(d tensor.DType, x float64) int64 {
	lo, hi := intRange(d)
	if x != x {
		return 0
	}
	return int64(clip(x, float64(lo), float64(hi)))
}

// evaluateQuantize rounds the quotient to the precision of the data before it rounds to
// integers: whether it is a tie must not depend on digits that no other program has.
func evaluateQuantize(c *context, n *Node, in []*Value) ([]*Value, error) {
	g, err := grainOf(n, in[0].Shape, in[1].Shape)
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	g.each(func(i, k int) {
		q := roundTo(in[1].Type, in[0].number(i)/in[1].Float[k])
		out.Int[i] = saturate(out.Type, math.RoundToEven(q)+float64(zeroOf(in[2], k)))
	})
	return []*Value{out}, nil
}

func inferDequantize(_ *context, n *Node, in []*Operand) ([]Type, error) {
	x, scale := in[0].Type, in[1].Type
	if kindOf(x.DType) != kindInt || x.DType == tensor.Bool || kindOf(scale.DType) != kindFloat {
		return nil, fmt.Errorf("its inputs are %v and scales %v, want integers and floats", x, scale)
	}
	if in[2] != nil && (in[2].Type.DType != x.DType || !in[2].Type.Shape.Equal(scale.Shape) && product(in[2].Type.Shape) != 1) {
		return nil, fmt.Errorf("the zero points are %v, the data %v with scales %v", in[2].Type, x, scale)
	}
	r := read(n)
	d := scale.DType
	if number := r.int("output_dtype", 0); number != 0 && r.err == nil {
		d, r.err = dataType(number)
	}
	if r.err == nil && kindOf(d) != kindFloat {
		r.fail("it cannot dequantize to %s", d)
	}
	if r.err != nil {
		return nil, r.err
	}
	_, err := grainOf(n, x.Shape, scale.Shape)
	return []Type{{d, x.Shape}}, err
}

func evaluateDequantize(c *context, n *Node, in []*Value) ([]*Value, error) {
	g, err := grainOf(n, in[0].Shape, in[1].Shape)
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	g.each(func(i, k int) {
		out.Float[i] = float64(in[0].Int[i]-zeroOf(in[2], k)) * in[1].Float[k]
	})
	return []*Value{out}, nil
}

func inferDynamicQuantize(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	if in[0].Type.DType != tensor.F32 {
		return nil, fmt.Errorf("it is not defined for %s", in[0].Type.DType)
	}
	return []Type{{tensor.U8, in[0].Type.Shape}, {tensor.F32, tensor.Shape{}}, {tensor.U8, tensor.Shape{}}}, nil
}

// DynamicQuantizeLinear chooses scale and zero point so that the range of the data,
// with zero in it, fills 8 bits.
func evaluateDynamicQuantize(c *context, _ *Node, in []*Value) ([]*Value, error) {
	lo, hi := 0.0, 0.0
	for _, x := range in[0].Float {
		lo, hi = math.Min(lo, x), math.Max(hi, x)
	}
	scale := roundTo(tensor.F32, (hi-lo)/255)
	zero := int64(0)
	if scale > 0 {
		zero = saturate(tensor.U8, math.RoundToEven(roundTo(tensor.F32, -lo/scale)))
	}
	out := newValue(c.types[0])
	for i, x := range in[0].Float {
		q := 0.0
		if scale > 0 {
			q = math.RoundToEven(roundTo(tensor.F32, x/scale))
		}
		out.Int[i] = saturate(tensor.U8, q+float64(zero))
	}
	return []*Value{out, scalarFloat(tensor.F32, scale), {Type: tensor.U8, Shape: tensor.Shape{}, Int: []int64{zero}}}, nil
}
