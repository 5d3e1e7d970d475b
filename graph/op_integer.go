package graph

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// eightBits says whether operands are small integers.
func eightBits(in ...*Operand) error {
	for _, o := range in {
		if o != nil && o.Type.DType != tensor.I8 && o.Type.DType != tensor.U8 {
			return fmt.Errorf("it is not defined for %s", o.Type.DType)
		}
	}
	return nil
}

// A zero point may be one for all, one for each row of a left operand (or each column
// of a right one), or have an axis of length 1 where these lie. fits says whether it
// does, and returns its strides in the operand.
func zeroStrides(zero, data tensor.Shape, perLast bool) ([]int, error) {
	if k, err := zero.Elems(); err == nil && k == 1 {
		return make([]int, len(data)), nil
	}
	rank := len(data)
	if len(zero) == 1 {
		axis := rank - 2
		if perLast {
			axis = rank - 1
		}
		if axis >= 0 && zero[0] == data[axis] {
			strides := make([]int, rank)
			strides[axis] = 1
			return strides, nil
		}
	}
	if s, err := broadcast(zero, data); err == nil && s.Equal(data) && len(zero) == rank {
		return stretched(zero, data), nil
	}
	return nil, fmt.Errorf("zero points or scales %v do not fit %v", zero, data)
}

// centered returns v less its zero points.
func centered(v, zero *Value, perLast bool) (*Value, error) {
	out := &Value{Type: tensor.I64, Shape: v.Shape, Int: slices.Clone(v.Int)}
	if zero == nil {
		return out, nil
	}
	strides, err := zeroStrides(zero.Shape, v.Shape, perLast)
	if err != nil {
		return nil, err
	}
	w := newWalker(v.Shape, strides)
	for i := range out.Int {
		out.Int[i] -= zero.Int[w.off[0]]
		w.next()
	}
	return out, nil
}

func inferMatMulInteger(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	if err := eightBits(in...); err != nil {
		return nil, err
	}
	p, err := matrixProductOf(in[0].Type.Shape, in[1].Type.Shape)
	if err != nil {
		return nil, err
	}
	for i, o := range in[2:] {
		if o != nil {
			if _, err := zeroStrides(o.Type.Shape, in[i].Type.Shape, i == 1); err != nil {
				return nil, err
			}
		}
	}
	return []Type{{tensor.I32, p.result}}, nil
}

// productInt returns the product of integers, by the number of each element.
func productInt(c *context, a, b *Value, f func(o int, sum int64)) error {
	p, err := matrixProductOf(a.Shape, b.Shape)
	if err != nil {
		return err
	}
	if err := c.spendProduct(append(append([]int64{}, p.out...), p.k)...); err != nil {
		return err
	}
	p.each(func(o, i, j int) {
		sum := int64(0)
		for l := range int(p.k) {
			sum += a.Int[i+l] * b.Int[j+l*int(p.n)]
		}
		f(o, sum)
	})
	return nil
}

func evaluateMatMulInteger(c *context, _ *Node, in []*Value) ([]*Value, error) {
	a, err := centered(in[0], in[2], false)
	if err != nil {
		return nil, err
	}
	b, err := centered(in[1], in[3], true)
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	err = productInt(c, a, b, func(o int, sum int64) { out.Int[o] = out.Type.Wrap(sum) })
	return []*Value{out}, err
}

func inferConvInteger(_ *context, n *Node, in []*Operand) ([]Type, error) {
	if err := eightBits(in...); err != nil {
		return nil, err
	}
	v, err := convolutionOf(n, in[0].Type.Shape, in[1].Type.Shape)
	if err != nil {
		return nil, err
	}
	if err := oneZero(in[2], "the zero point of the input"); err != nil {
		return nil, err
	}
	if err := oneOrEach(in[3], v.groups*v.outGroup, "the zero points of the filters"); err != nil {
		return nil, err
	}
	return []Type{{tensor.I32, v.shape()}}, nil
}

func oneZero(o *Operand, what string) error {
	if o == nil {
		return nil
	}
	if k, err := o.Type.Shape.Elems(); err != nil || k != 1 {
		return fmt.Errorf("%s is %v, want a scalar", what, o.Type)
	}
	return nil
}

// oneOrEach says whether o has one element, or one for each filter.
func oneOrEach(o *Operand, filters int64, what string) error {
	if o == nil || len(o.Type.Shape) <= 1 && product(o.Type.Shape) == 1 {
		return nil
	}
	return perChannel(o, filters, what)
}

func evaluateConvInteger(c *context, n *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	err := convolveInt(c, n, in[0], in[1], in[2], in[3], func(o, _ int, sum int64) { out.Int[o] = out.Type.Wrap(sum) })
	return []*Value{out}, err
}

// convolveInt convolves integers less their zero points; what is not there counts
// as a zero point.
func convolveInt(c *context, n *Node, x, w, zeroX, zeroW *Value, f func(o, filter int, sum int64)) error {
	v, err := convolutionOf(n, x.Shape, w.Shape)
	if err != nil {
		return err
	}
	ofX := zeroOf(zeroX, 0)
	return v.each(c, func(o, filter int, pairs func(yield func(i, j int))) {
		ofW := zeroOf(zeroW, filter)
		sum := int64(0)
		pairs(func(i, j int) { sum += (x.Int[i] - ofX) * (w.Int[j] - ofW) })
		f(o, filter, sum)
	})
}

// QLinearMatMul: a, its scale and zero point; b, its; the scale and zero point of
// the result.
func inferQLinearMatMul(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	if err := eightBits(in[0], in[2], in[3], in[5], in[7]); err != nil {
		return nil, err
	}
	p, err := matrixProductOf(in[0].Type.Shape, in[3].Type.Shape)
	if err != nil {
		return nil, err
	}
	for _, i := range []int{1, 2, 4, 5} {
		if _, err := zeroStrides(in[i].Type.Shape, in[i/3*3].Type.Shape, i > 3); err != nil {
			return nil, err
		}
		// Scales that differ along the sum would not come out of it.
		if k := product(in[i].Type.Shape); i%3 == 1 && k != 1 {
			return nil, fmt.Errorf("input %d has %d scales, want one", i, k)
		}
	}
	for _, i := range []int{6, 7} {
		if err := oneZero(in[i], "scale or zero point of the result"); err != nil {
			return nil, err
		}
	}
	for _, i := range []int{1, 4, 6} {
		if kindOf(in[i].Type.DType) != kindFloat {
			return nil, fmt.Errorf("input %d is %v, want floats", i, in[i].Type)
		}
	}
	return []Type{{in[7].Type.DType, p.result}}, nil
}

func evaluateQLinearMatMul(c *context, _ *Node, in []*Value) ([]*Value, error) {
	a, err := centered(in[0], in[2], false)
	if err != nil {
		return nil, err
	}
	b, err := centered(in[3], in[5], true)
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	err = productInt(c, a, b, func(o int, sum int64) {
		out.Int[o] = requantize(out.Type, sum, in[1].Float[0], in[4].Float[0], in[6].Float[0], in[7].Int[0])
	})
	return []*Value{out}, err
}

// requantize scales a sum of products back to small integers, in float32 as other
// programs do, so that ties are theirs.
func requantize(d tensor.DType, sum int64, ofA, ofB, ofOut float64, zero int64) int64 {
	scale := roundTo(tensor.F32, roundTo(tensor.F32, ofA*ofB)/ofOut)
	return saturate(d, math.RoundToEven(roundTo(tensor.F32, float64(sum)*scale))+float64(zero))
}

// QLinearConv: x, its scale and zero point; w, its (one or one for each filter); the
// scale and zero point of the result; the bias in units of the product of the scales.
func inferQLinearConv(_ *context, n *Node, in []*Operand) ([]Type, error) {
	if err := eightBits(in[0], in[2], in[3], in[5], in[7]); err != nil {
		return nil, err
	}
	v, err := convolutionOf(n, in[0].Type.Shape, in[3].Type.Shape)
	if err != nil {
		return nil, err
	}
	for _, i := range []int{1, 2, 6, 7} {
		if err := oneZero(in[i], fmt.Sprintf("input %d", i)); err != nil {
			return nil, err
		}
	}
	filters := v.groups * v.outGroup
	for _, i := range []int{4, 5} {
		if err := oneOrEach(in[i], filters, fmt.Sprintf("input %d", i)); err != nil {
			return nil, err
		}
	}
	for _, i := range []int{1, 4, 6} {
		if kindOf(in[i].Type.DType) != kindFloat {
			return nil, fmt.Errorf("input %d is %v, want floats", i, in[i].Type)
		}
	}
	if in[8] != nil && in[8].Type.DType != tensor.I32 {
		return nil, fmt.Errorf("the bias is %v, want I32", in[8].Type)
	}
	if err := perChannel(in[8], filters, "the bias"); err != nil {
		return nil, err
	}
	return []Type{{in[7].Type.DType, v.shape()}}, nil
}

func evaluateQLinearConv(c *context, n *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	err := convolveInt(c, n, in[0], in[3], in[2], in[5], func(o, filter int, sum int64) {
		if in[8] != nil {
			sum += in[8].Int[filter]
		}
		scale := in[4].Float[0]
		if len(in[4].Float) > 1 {
			scale = in[4].Float[filter]
		}
		out.Int[o] = requantize(out.Type, sum, in[1].Float[0], scale, in[6].Float[0], in[7].Int[0])
	})
	return []*Value{out}, err
}
