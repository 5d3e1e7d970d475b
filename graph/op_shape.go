package graph

import (
	"errors"
	"fmt"
	"slices"

	"ropewalk/tensor"
)

// shapeOps change the axes of an array and keep its elements in order, or say
// what the axes are.
var shapeOps = map[string]operator{
	"Reshape":   {infer: inferReshape, evaluate: evaluateReshaped, min: 2, max: 2},
	"Flatten":   {infer: inferFlatten, evaluate: evaluateReshaped, min: 1, max: 1},
	"Squeeze":   {infer: inferSqueeze, evaluate: evaluateReshaped, min: 1, max: 2},
	"Unsqueeze": {infer: inferUnsqueeze, evaluate: evaluateReshaped, min: 2, max: 2},
	"Shape":     {infer: inferShape, evaluate: evaluateShape, min: 1, max: 1, byType: true},
	"Size":      {infer: inferSize, evaluate: evaluateSize, min: 1, max: 1, byType: true},
}

// evaluateReshaped gives the elements the shape that was inferred.
func evaluateReshaped(c *context, _ *Node, in []*Value) ([]*Value, error) {
	return []*Value{in[0].reshaped(c.types[0].Shape)}, nil
}

func inferReshape(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	keepZero := r.flag("allowzero", false)
	if r.err != nil {
		return nil, r.err
	}
	want, err := needInts(in[1], "the shape")
	if err != nil {
		return nil, err
	}
	from := in[0].Type.Shape
	to := tensor.Shape(slices.Clone(want))
	free := -1
	for i, d := range to {
		switch {
		case d == -1 && free >= 0:
			return nil, fmt.Errorf("shape %v has -1 twice", want)
		case d == -1:
			free = i
			to[i] = 1
		case d < 0:
			return nil, fmt.Errorf("shape %v has a negative axis", want)
		case d == 0 && !keepZero && i >= len(from):
			return nil, fmt.Errorf("shape %v copies axis %d, which %v does not have", want, i, from)
		case d == 0 && !keepZero:
			to[i] = from[i]
		}
	}
	total, err := from.Elems()
	if err != nil {
		return nil, err
	}
	got, err := to.Elems()
	if err != nil {
		return nil, err
	}
	if free >= 0 {
		if got == 0 || total%got != 0 {
			return nil, fmt.Errorf("%v cannot be reshaped to %v", from, want)
		}
		to[free] = total / got
		got = total
	}
	if got != total {
		return nil, fmt.Errorf("%v has %d elements and cannot be reshaped to %v", from, total, want)
	}
	return []Type{{in[0].Type.DType, to}}, nil
}

func inferFlatten(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	axis := r.int("axis", 1)
	if r.err != nil {
		return nil, r.err
	}
	s := in[0].Type.Shape
	if axis < 0 {
		axis += int64(len(s))
	}
	if axis < 0 || axis > int64(len(s)) {
		return nil, fmt.Errorf("axis %d is outside of the %d axes", axis, len(s))
	}
	return []Type{{in[0].Type.DType, tensor.Shape{int64(product(s[:axis])), int64(product(s[axis:]))}}}, nil
}

func inferSqueeze(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	from := in[0].Type.Shape
	gone := make([]bool, len(from))
	if in[1] == nil {
		for i, d := range from {
			gone[i] = d == 1
		}
	} else {
		axes, err := needInts(in[1], "the axes")
		if err != nil {
			return nil, err
		}
		if gone, err = axesOf(axes, len(from)); err != nil {
			return nil, err
		}
	}
	to := tensor.Shape{}
	for i, d := range from {
		switch {
		case !gone[i]:
			to = append(to, d)
		case d != 1:
			return nil, fmt.Errorf("axis %d of %v cannot be taken out, it is not 1", i, from)
		}
	}
	return []Type{{in[0].Type.DType, to}}, nil
}

func inferUnsqueeze(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	axes, err := needInts(in[1], "the axes")
	if err != nil {
		return nil, err
	}
	from := in[0].Type.Shape
	if len(from)+len(axes) > tensor.MaxRank {
		return nil, fmt.Errorf("%d axes are too many", len(from)+len(axes))
	}
	added, err := axesOf(axes, len(from)+len(axes))
	if err != nil {
		return nil, err
	}
	to := make(tensor.Shape, len(added))
	next := 0
	for i, a := range added {
		if a {
			to[i] = 1
			continue
		}
		to[i] = from[next]
		next++
	}
	return []Type{{in[0].Type.DType, to}}, nil
}

// Shape has attributes start and end, which cut what it says.
func inferShape(_ *context, n *Node, in []*Operand) ([]Type, error) {
	lo, hi, err := shapeRange(n, len(in[0].Type.Shape))
	return []Type{{tensor.I64, tensor.Shape{int64(hi - lo)}}}, err
}

func shapeRange(n *Node, rank int) (lo, hi int, err error) {
	r := read(n)
	within := func(a int64) int {
		if a < 0 {
			a += int64(rank)
		}
		return int(min(max(a, 0), int64(rank)))
	}
	lo, hi = within(r.int("start", 0)), within(r.int("end", int64(rank)))
	return lo, max(lo, hi), r.err
}

func evaluateShape(_ *context, n *Node, in []*Value) ([]*Value, error) {
	lo, hi, err := shapeRange(n, len(in[0].Shape))
	return []*Value{{Type: tensor.I64, Shape: tensor.Shape{int64(hi - lo)}, Int: append([]int64{}, in[0].Shape[lo:hi]...)}}, err
}

func inferSize(*context, *Node, []*Operand) ([]Type, error) {
	return []Type{{tensor.I64, tensor.Shape{}}}, nil
}

func evaluateSize(_ *context, _ *Node, in []*Value) ([]*Value, error) {
	return []*Value{{Type: tensor.I64, Shape: tensor.Shape{}, Int: []int64{int64(product(in[0].Shape))}}}, nil
}

var errNumbers = errors.New("its operands do not have as many numbers as it needs")
