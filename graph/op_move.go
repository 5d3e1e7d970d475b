package graph

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// moveOps put elements to other places: each has a rule which element of which
// operand comes where.
var moveOps = map[string]operator{
	"Transpose":       {infer: inferTranspose, evaluate: evaluateTranspose, min: 1, max: 1},
	"Concat":          {infer: inferConcat, evaluate: evaluateConcat, min: 1, max: -1},
	"Split":           {infer: inferSplit, evaluate: evaluateSplit, min: 1, max: 2},
	"Slice":           {infer: inferSlice, evaluate: evaluateSlice, min: 3, max: 5},
	"Pad":             {infer: inferPad, evaluate: evaluatePad, min: 2, max: 4},
	"CenterCropPad":   {infer: inferCenterCropPad, evaluate: evaluateCenterCropPad, min: 2, max: 2},
	"Expand":          {infer: inferExpand, evaluate: evaluateExpand, min: 2, max: 2},
	"Tile":            {infer: inferTile, evaluate: evaluateTile, min: 2, max: 2},
	"DepthToSpace":    {infer: inferDepthToSpace, evaluate: evaluateDepthToSpace, min: 1, max: 1},
	"SpaceToDepth":    {infer: inferSpaceToDepth, evaluate: evaluateSpaceToDepth, min: 1, max: 1},
	"Trilu":           {infer: inferTrilu, evaluate: evaluateTrilu, min: 1, max: 2},
	"ReverseSequence": {infer: inferReverseSequence, evaluate: evaluateReverseSequence, min: 2, max: 2},
}

// gatherWith returns the array of that shape whose element is that of v at the offset
// which a walk with these strides has, from a first offset.
func gatherWith(v *Value, shape tensor.Shape, first int, strides []int) *Value {
	out := newValue(Type{v.Type, shape})
	w := newWalker(shape, strides)
	for i := range out.elems() {
		out.set(i, v, first+w.off[0])
		w.next()
	}
	return out
}

// permutation returns attribute perm, or all axes reversed.
func permutation(n *Node, rank int) ([]int, error) {
	r := read(n)
	perm := r.ints("perm")
	if r.err != nil {
		return nil, r.err
	}
	order := make([]int, rank)
	if perm == nil {
		for i := range order {
			order[i] = rank - 1 - i
		}
		return order, nil
	}
	if len(perm) != rank {
		return nil, fmt.Errorf("attribute perm has %d axes, want %d", len(perm), rank)
	}
	if _, err := axesOf(perm, rank); err != nil {
		return nil, fmt.Errorf("attribute perm: %w", err)
	}
	for i, a := range perm {
		order[i], _ = axisOf(a, rank)
	}
	return order, nil
}

func inferTranspose(_ *context, n *Node, in []*Operand) ([]Type, error) {
	from := in[0].Type.Shape
	perm, err := permutation(n, len(from))
	if err != nil {
		return nil, err
	}
	to := make(tensor.Shape, len(from))
	for i, a := range perm {
		to[i] = from[a]
	}
	return []Type{{in[0].Type.DType, to}}, nil
}

func evaluateTranspose(c *context, n *Node, in []*Value) ([]*Value, error) {
	perm, err := permutation(n, len(in[0].Shape))
	if err != nil {
		return nil, err
	}
	return []*Value{transpose(in[0], perm)}, nil
}

// transpose returns v with its axes in the order of perm.
func transpose(v *Value, perm []int) *Value {
	own := stridesOf(v.Shape)
	strides, to := make([]int, len(perm)), make(tensor.Shape, len(perm))
	for i, a := range perm {
		strides[i], to[i] = own[a], v.Shape[a]
	}
	return gatherWith(v, to, 0, strides)
}

func inferConcat(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	if !r.has("axis") {
		r.fail("attribute axis is missing")
	}
	at := r.int("axis", 0)
	if r.err != nil {
		return nil, r.err
	}
	for i, o := range in {
		if o == nil {
			return nil, fmt.Errorf("input %d is missing", i)
		}
	}
	if err := sameType(in...); err != nil {
		return nil, err
	}
	to := slices.Clone(in[0].Type.Shape)
	axis, err := axisOf(at, len(to))
	if err != nil {
		return nil, err
	}
	for i, o := range in[1:] {
		s := o.Type.Shape
		if len(s) != len(to) {
			return nil, fmt.Errorf("input %d is %v, which cannot be joined to %v", i+1, s, to)
		}
		for k, d := range s {
			switch {
			case k == axis && to[k] > math.MaxInt64-d:
				return nil, fmt.Errorf("axis %d overflows", axis)
			case k == axis:
				to[k] += d
			case d != to[k]:
				return nil, fmt.Errorf("input %d is %v, which cannot be joined to %v along axis %d", i+1, s, to, axis)
			}
		}
	}
	return []Type{{in[0].Type.DType, to}}, nil
}

func evaluateConcat(c *context, n *Node, in []*Value) ([]*Value, error) {
	axis, err := axisOf(read(n).int("axis", 0), len(in[0].Shape))
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	if out.elems() == 0 {
		return []*Value{out}, nil
	}
	at := 0
	for range product(out.Shape[:axis]) {
		for _, v := range in {
			block := product(v.Shape[axis:])
			from := at / product(out.Shape[axis:]) * block
			for i := range block {
				out.set(at+i, v, from+i)
			}
			at += block
		}
	}
	return []*Value{out}, nil
}

// Split has the lengths of the parts as an input, or cuts into as many equal parts as
// it has outputs (attribute num_outputs), the last of which may be shorter.
func inferSplit(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	at := r.int("axis", 0)
	parts := r.int("num_outputs", int64(len(n.Outputs)))
	if r.err != nil {
		return nil, r.err
	}
	from := in[0].Type.Shape
	axis, err := axisOf(at, len(from))
	if err != nil {
		return nil, err
	}
	var lengths []int64
	if in[1] != nil {
		if lengths, err = needInts(in[1], "the lengths"); err != nil {
			return nil, err
		}
		left := from[axis]
		for _, d := range lengths {
			if d < 0 || d > left {
				return nil, fmt.Errorf("parts of lengths %v cannot be cut from an axis of %d", lengths, from[axis])
			}
			left -= d
		}
		if left != 0 {
			return nil, fmt.Errorf("parts of lengths %v do not fill an axis of %d", lengths, from[axis])
		}
	} else {
		if parts < 1 || parts != int64(len(n.Outputs)) {
			return nil, fmt.Errorf("it has %d outputs and makes %d parts", len(n.Outputs), parts)
		}
		each := (from[axis] + parts - 1) / parts
		left := from[axis]
		for range parts {
			d := min(each, left)
			lengths = append(lengths, d)
			left -= d
		}
	}
	types := make([]Type, len(lengths))
	for i, d := range lengths {
		to := slices.Clone(from)
		to[axis] = d
		types[i] = Type{in[0].Type.DType, to}
	}
	return types, nil
}

func evaluateSplit(c *context, n *Node, in []*Value) ([]*Value, error) {
	axis, err := axisOf(read(n).int("axis", 0), len(in[0].Shape))
	if err != nil {
		return nil, err
	}
	strides := stridesOf(in[0].Shape)
	var out []*Value
	first := 0
	for _, t := range c.types {
		out = append(out, gatherWith(in[0], t.Shape, first, strides))
		first += int(t.Shape[axis]) * strides[axis]
	}
	return out, nil
}

func inferExpand(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	want, err := needInts(in[1], "the shape")
	if err != nil {
		return nil, err
	}
	if _, err := tensor.Shape(want).Elems(); err != nil {
		return nil, err
	}
	to, err := broadcast(in[0].Type.Shape, want)
	return []Type{{in[0].Type.DType, to}}, err
}

func evaluateExpand(c *context, _ *Node, in []*Value) ([]*Value, error) {
	to := c.types[0].Shape
	return []*Value{gatherWith(in[0], to, 0, stretched(in[0].Shape, to))}, nil
}

func inferTile(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	repeats, err := needInts(in[1], "the repeats")
	if err != nil {
		return nil, err
	}
	to := slices.Clone(in[0].Type.Shape)
	if len(repeats) != len(to) {
		return nil, fmt.Errorf("it has %d repeats for %d axes: %w", len(repeats), len(to), errNumbers)
	}
	for i, k := range repeats {
		if k < 0 || to[i] > 0 && k > math.MaxInt64/to[i] {
			return nil, fmt.Errorf("axis %d of %v cannot be repeated %d times", i, in[0].Type.Shape, k)
		}
		to[i] *= k
	}
	return []Type{{in[0].Type.DType, to}}, nil
}

func evaluateTile(c *context, _ *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	strides := stridesOf(in[0].Shape)
	w := newWalker(out.Shape)
	for i := range out.elems() {
		at := 0
		for k, p := range w.at {
			at += int(p%in[0].Shape[k]) * strides[k]
		}
		out.set(i, in[0], at)
		w.next()
	}
	return []*Value{out}, nil
}

func inferTrilu(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	r.flag("upper", true)
	if r.err != nil {
		return nil, r.err
	}
	if len(in[0].Type.Shape) < 2 {
		return nil, fmt.Errorf("its input is %v, want matrices", in[0].Type.Shape)
	}
	if in[1] != nil {
		if k, err := in[1].Type.Shape.Elems(); err != nil || k != 1 || kindOf(in[1].Type.DType) != kindInt {
			return nil, fmt.Errorf("the diagonal is %v, want a whole number", in[1].Type)
		}
	}
	return []Type{in[0].Type}, nil
}

func evaluateTrilu(c *context, n *Node, in []*Value) ([]*Value, error) {
	k := int64(0)
	if in[1] != nil {
		k = min(max(in[1].Int[0], -1<<62), 1<<62)
	}
	upper := read(n).flag("upper", true)
	out := newValue(c.types[0])
	w := newWalker(out.Shape)
	for i := range out.elems() {
		row, col := w.at[len(w.at)-2], w.at[len(w.at)-1]
		if upper && col >= row+k || !upper && col <= row+k {
			out.set(i, in[0], i)
		}
		w.next()
	}
	return []*Value{out}, nil
}

// ReverseSequence turns around the first elements along the axis of time, as many as
// there are in each sequence of the batch.
func inferReverseSequence(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	batch, time := r.int("batch_axis", 1), r.int("time_axis", 0)
	if r.err != nil {
		return nil, r.err
	}
	s := in[0].Type.Shape
	if len(s) < 2 || !(batch == 0 && time == 1 || batch == 1 && time == 0) {
		return nil, fmt.Errorf("its input is %v with batch axis %d and time axis %d, want 0 and 1", s, batch, time)
	}
	if l := in[1].Type; kindOf(l.DType) != kindInt || len(l.Shape) != 1 || l.Shape[0] != s[batch] {
		return nil, fmt.Errorf("the lengths are %v, want %d of them", l, s[batch])
	}
	return []Type{in[0].Type}, nil
}

func evaluateReverseSequence(c *context, n *Node, in []*Value) ([]*Value, error) {
	r := read(n)
	batch, time := r.int("batch_axis", 1), r.int("time_axis", 0)
	out := newValue(c.types[0])
	for b, l := range in[1].Int {
		if l < 0 || l > out.Shape[time] {
			return nil, fmt.Errorf("length %d of sequence %d is outside of 0 to %d", l, b, out.Shape[time])
		}
	}
	strides := stridesOf(out.Shape)
	w := newWalker(out.Shape)
	for i := range out.elems() {
		t, l := w.at[time], in[1].Int[w.at[batch]]
		from := i
		if t < l {
			from += int(l-1-2*t) * strides[time]
		}
		out.set(i, in[0], from)
		w.next()
	}
	return []*Value{out}, nil
}
