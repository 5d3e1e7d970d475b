package graph

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// gatherOps read or write elements at places that are data.
var gatherOps = map[string]operator{
	"Gather":          {infer: inferGather, evaluate: evaluateGather, min: 2, max: 2},
	"GatherElements":  {infer: inferGatherElements, evaluate: evaluateGatherElements, min: 2, max: 2},
	"GatherND":        {infer: inferGatherND, evaluate: evaluateGatherND, min: 2, max: 2},
	"ScatterElements": {infer: inferScatterElements, evaluate: evaluateScatterElements, min: 3, max: 3},
	"Scatter":         {infer: inferScatterElements, evaluate: evaluateScatterElements, min: 3, max: 3},
	"ScatterND":       {infer: inferScatterND, evaluate: evaluateScatterND, min: 3, max: 3},
	"Compress":        {infer: inferCompress, evaluate: evaluateCompress, min: 2, max: 2},
	"OneHot":          {infer: inferOneHot, evaluate: evaluateOneHot, min: 3, max: 3},
	"NonZero":         {infer: inferNonZero, evaluate: evaluateNonZero, min: 1, max: 1},
}

// placeOf returns an index as one from the start.
func placeOf(index, length int64) (int, error) {
	if index < -length || index >= length {
		return 0, fmt.Errorf("index %d is outside of an axis of %d", index, length)
	}
	if index < 0 {
		index += length
	}
	return int(index), nil
}

func indices(o *Operand) error {
	if kindOf(o.Type.DType) != kindInt {
		return fmt.Errorf("the indices are %v, want whole numbers", o.Type)
	}
	return nil
}

func nodeAxis(n *Node, absent int64, rank int) (int, error) {
	r := read(n)
	at := r.int("axis", absent)
	if r.err != nil {
		return 0, r.err
	}
	return axisOf(at, rank)
}

func inferGather(_ *context, n *Node, in []*Operand) ([]Type, error) {
	s := in[0].Type.Shape
	axis, err := nodeAxis(n, 0, len(s))
	if err != nil {
		return nil, err
	}
	return []Type{{in[0].Type.DType, slices.Concat(s[:axis], in[1].Type.Shape, s[axis+1:])}}, indices(in[1])
}

func evaluateGather(c *context, n *Node, in []*Value) ([]*Value, error) {
	s := in[0].Shape
	axis, err := nodeAxis(n, 0, len(s))
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	places := make([]int, len(in[1].Int))
	for i, x := range in[1].Int {
		if places[i], err = placeOf(x, s[axis]); err != nil {
			return nil, err
		}
	}
	if out.elems() == 0 {
		return []*Value{out}, nil
	}
	block := product(s[axis+1:])
	for o := range out.elems() {
		outer, p, inner := o/(block*len(places)), o/block%len(places), o%block
		out.set(o, in[0], (outer*int(s[axis])+places[p])*block+inner)
	}
	return []*Value{out}, nil
}

func inferGatherElements(_ *context, n *Node, in []*Operand) ([]Type, error) {
	s, at := in[0].Type.Shape, in[1].Type.Shape
	axis, err := nodeAxis(n, 0, len(s))
	if err != nil {
		return nil, err
	}
	if err := within(at, s, axis); err != nil {
		return nil, err
	}
	return []Type{{in[0].Type.DType, at}}, indices(in[1])
}

// within says whether indices of shape at fit into s along all axes but one.
func within(at, s tensor.Shape, axis int) error {
	if len(at) != len(s) {
		return fmt.Errorf("the indices are %v, want as many axes as %v has", at, s)
	}
	for i, d := range at {
		if i != axis && d > s[i] {
			return fmt.Errorf("the indices are %v, which axis %d of %v does not hold", at, i, s)
		}
	}
	return nil
}

// eachElement calls f for each index i with the place in an array of shape s that it
// names along an axis.
func eachElement(at *Value, s tensor.Shape, axis int, f func(i, place int)) error {
	strides := stridesOf(s)
	step := strides[axis]
	strides[axis] = 0
	w := newWalker(at.Shape, strides)
	for i, x := range at.Int {
		p, err := placeOf(x, s[axis])
		if err != nil {
			return err
		}
		f(i, w.off[0]+p*step)
		w.next()
	}
	return nil
}

func evaluateGatherElements(c *context, n *Node, in []*Value) ([]*Value, error) {
	axis, err := nodeAxis(n, 0, len(in[0].Shape))
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	err = eachElement(in[1], in[0].Shape, axis, func(i, place int) { out.set(i, in[0], place) })
	return []*Value{out}, err
}

func inferGatherND(_ *context, n *Node, in []*Operand) ([]Type, error) {
	s, at := in[0].Type.Shape, in[1].Type.Shape
	r := read(n)
	batch := r.int("batch_dims", 0)
	if r.err != nil {
		return nil, r.err
	}
	if len(at) == 0 || batch < 0 || batch >= int64(len(at)) || batch > int64(len(s)) {
		return nil, fmt.Errorf("%d axes of batch do not fit %v and indices %v", batch, s, at)
	}
	b := int(batch)
	depth := at[len(at)-1]
	if !at[:b].Equal(s[:b]) || depth > int64(len(s)-b) || depth < 1 {
		return nil, fmt.Errorf("indices %v do not fit %v with %d axes of batch", at, s, b)
	}
	return []Type{{in[0].Type.DType, slices.Concat(at[:len(at)-1], s[b+int(depth):])}}, indices(in[1])
}

func evaluateGatherND(c *context, n *Node, in []*Value) ([]*Value, error) {
	s, at := in[0].Shape, in[1].Shape
	b := int(read(n).int("batch_dims", 0))
	out := newValue(c.types[0])
	if out.elems() == 0 {
		return []*Value{out}, nil
	}
	depth := int(at[len(at)-1])
	block, perBatch := product(s[b+depth:]), product(at[b:len(at)-1])
	for i := range product(at[:len(at)-1]) {
		place := i / perBatch
		for k := range depth {
			p, err := placeOf(in[1].Int[i*depth+k], s[b+k])
			if err != nil {
				return nil, err
			}
			place = place*int(s[b+k]) + p
		}
		for k := range block {
			out.set(i*block+k, in[0], place*block+k)
		}
	}
	return []*Value{out}, nil
}

// reductions are how ScatterElements and ScatterND put an update onto an element.
func scatterOnto(n *Node, d tensor.DType) (func(out *Value, o int, update *Value, i int), error) {
	r := read(n)
	how := r.string("reduction", "none")
	if r.err != nil {
		return nil, r.err
	}
	var float func(x, y float64) float64
	var integer func(d tensor.DType, x, y int64) int64
	switch how {
	case "none":
		return func(out *Value, o int, update *Value, i int) { out.set(o, update, i) }, nil
	case "add":
		float, integer = func(x, y float64) float64 { return x + y }, func(_ tensor.DType, x, y int64) int64 { return x + y }
	case "mul":
		float, integer = func(x, y float64) float64 { return x * y }, func(_ tensor.DType, x, y int64) int64 { return x * y }
	case "max":
		float, integer = math.Max, maxInt
	case "min":
		float, integer = math.Min, minInt
	default:
		return nil, fmt.Errorf("attribute reduction is %q, want none, add, mul, max or min", how)
	}
	if !isNumber(d) {
		return nil, fmt.Errorf("reduction %s is not defined for %s", how, d)
	}
	return func(out *Value, o int, update *Value, i int) {
		if out.Float != nil {
			out.Float[o] = float(out.Float[o], update.Float[i])
		} else {
			out.Int[o] = d.Wrap(integer(d, out.Int[o], update.Int[i]))
		}
	}, nil
}

// clone returns a copy whose elements may be changed.
func (v *Value) clone() *Value {
	return &Value{v.Type, v.Shape, slices.Clone(v.Float), slices.Clone(v.Int), slices.Clone(v.Text)}
}

func inferScatterElements(_ *context, n *Node, in []*Operand) ([]Type, error) {
	s, at := in[0].Type.Shape, in[1].Type.Shape
	axis, err := nodeAxis(n, 0, len(s))
	if err != nil {
		return nil, err
	}
	if err := within(at, s, axis); err != nil {
		return nil, err
	}
	if !in[2].Type.Shape.Equal(at) {
		return nil, fmt.Errorf("the updates are %v, the indices %v", in[2].Type.Shape, at)
	}
	if err := sameType(in[0], in[2]); err != nil {
		return nil, err
	}
	if _, err := scatterOnto(n, in[0].Type.DType); err != nil {
		return nil, err
	}
	return []Type{in[0].Type}, indices(in[1])
}

func evaluateScatterElements(_ *context, n *Node, in []*Value) ([]*Value, error) {
	axis, err := nodeAxis(n, 0, len(in[0].Shape))
	if err != nil {
		return nil, err
	}
	onto, err := scatterOnto(n, in[0].Type)
	if err != nil {
		return nil, err
	}
	out := in[0].clone()
	err = eachElement(in[1], out.Shape, axis, func(i, place int) { onto(out, place, in[2], i) })
	return []*Value{out}, err
}

func inferScatterND(_ *context, n *Node, in []*Operand) ([]Type, error) {
	s, at := in[0].Type.Shape, in[1].Type.Shape
	if len(at) == 0 || at[len(at)-1] > int64(len(s)) {
		return nil, fmt.Errorf("indices %v do not fit %v", at, s)
	}
	want := slices.Concat(at[:len(at)-1], s[at[len(at)-1]:])
	if !in[2].Type.Shape.Equal(want) {
		return nil, fmt.Errorf("the updates are %v, want %v for indices %v", in[2].Type.Shape, want, at)
	}
	if err := sameType(in[0], in[2]); err != nil {
		return nil, err
	}
	if _, err := scatterOnto(n, in[0].Type.DType); err != nil {
		return nil, err
	}
	return []Type{in[0].Type}, indices(in[1])
}

func evaluateScatterND(_ *context, n *Node, in []*Value) ([]*Value, error) {
	onto, err := scatterOnto(n, in[0].Type)
	if err != nil {
		return nil, err
	}
	out := in[0].clone()
	s, at := out.Shape, in[1].Shape
	depth := int(at[len(at)-1])
	if in[2].elems() == 0 {
		return []*Value{out}, nil
	}
	block := product(s[depth:])
	for i := range product(at[:len(at)-1]) {
		place := 0
		for k := range depth {
			p, err := placeOf(in[1].Int[i*depth+k], s[k])
			if err != nil {
				return nil, err
			}
			place = place*int(s[k]) + p
		}
		for k := range block {
			onto(out, place*block+k, in[2], i*block+k)
		}
	}
	return []*Value{out}, nil
}

// chosen returns the places that Compress keeps, along which axis; -1 is all elements
// in a row.
func chosen(n *Node, in []*Operand) (places []int, axis int, err error) {
	s := in[0].Type.Shape
	axis = -1
	length := int64(product(s))
	if read(n).has("axis") {
		if axis, err = nodeAxis(n, 0, len(s)); err != nil {
			return nil, 0, err
		}
		length = s[axis]
	}
	mask, err := needInts(in[1], "the condition")
	if err != nil {
		return nil, 0, err
	}
	for i, keep := range mask {
		if keep == 0 {
			continue
		}
		if int64(i) >= length {
			return nil, 0, fmt.Errorf("the condition keeps element %d of %d", i, length)
		}
		places = append(places, i)
	}
	return places, axis, nil
}

func inferCompress(_ *context, n *Node, in []*Operand) ([]Type, error) {
	places, axis, err := chosen(n, in)
	if err != nil {
		return nil, err
	}
	to := tensor.Shape{int64(len(places))}
	if axis >= 0 {
		to = slices.Clone(in[0].Type.Shape)
		to[axis] = int64(len(places))
	}
	return []Type{{in[0].Type.DType, to}}, nil
}

func evaluateCompress(c *context, n *Node, in []*Value) ([]*Value, error) {
	places, axis, err := chosen(n, operandsOf(in))
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	if out.elems() == 0 {
		return []*Value{out}, nil
	}
	block, length := 1, in[0].elems()
	if axis >= 0 {
		block, length = product(in[0].Shape[axis+1:]), int(in[0].Shape[axis])
	}
	for o := range out.elems() {
		outer, p, inner := o/(block*len(places)), o/block%len(places), o%block
		out.set(o, in[0], (outer*length+places[p])*block+inner)
	}
	return []*Value{out}, nil
}

// OneHot has indices, the depth, and the two values off and on.
func inferOneHot(_ *context, n *Node, in []*Operand) ([]Type, error) {
	s := in[0].Type.Shape
	axis, err := nodeAxis(n, -1, len(s)+1)
	if err != nil {
		return nil, err
	}
	if !isNumber(in[0].Type.DType) || !isNumber(in[1].Type.DType) || !in[2].Type.Shape.Equal(tensor.Shape{2}) {
		return nil, fmt.Errorf("its inputs are %v, %v and %v, want numbers, a number and two values", in[0].Type, in[1].Type, in[2].Type)
	}
	v, err := need(in[1], "the depth")
	if err != nil {
		return nil, err
	}
	if v.elems() != 1 || !(v.number(0) >= 0 && v.number(0) <= 1<<40) {
		return nil, fmt.Errorf("the depth is %v, want one number", v.typ())
	}
	depth := int64(v.number(0))
	return []Type{{in[2].Type.DType, slices.Concat(s[:axis], tensor.Shape{depth}, s[axis:])}}, nil
}

func evaluateOneHot(c *context, n *Node, in []*Value) ([]*Value, error) {
	axis, err := nodeAxis(n, -1, len(in[0].Shape)+1)
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	for o := range out.elems() {
		out.set(o, in[2], 0)
	}
	if out.elems() == 0 {
		return []*Value{out}, nil
	}
	depth, block := out.Shape[axis], product(out.Shape[axis+1:])
	for i := range in[0].elems() {
		x := math.Trunc(in[0].number(i))
		if !(x >= -float64(depth) && x < float64(depth)) {
			continue // all off
		}
		at := int64(x)
		if at < 0 {
			at += depth
		}
		out.set((i/block*int(depth)+int(at))*block+i%block, in[2], 1)
	}
	return []*Value{out}, nil
}

// NonZero gives the places of all elements that are not zero, one in each column.
func inferNonZero(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	v, err := need(in[0], "its input")
	if err != nil {
		return nil, err
	}
	if v.Type == Text {
		return nil, fmt.Errorf("it is not defined for %s", v.Type)
	}
	count := int64(0)
	for i := range v.elems() {
		count += truth(v.number(i) != 0)
	}
	return []Type{{tensor.I64, tensor.Shape{int64(len(v.Shape)), count}}}, nil
}

func evaluateNonZero(c *context, _ *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	w := newWalker(in[0].Shape)
	count, at := int(out.Shape[1]), 0
	for i := range in[0].elems() {
		if in[0].number(i) != 0 {
			for k, p := range w.at {
				out.Int[k*count+at] = p
			}
			at++
		}
		w.next()
	}
	return []*Value{out}, nil
}
