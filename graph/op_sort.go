package graph

import (
	"fmt"
	"slices"

	"ropewalk/tensor"
)

// sortOps look for the greatest, the least, and the same.
var sortOps = map[string]operator{
	"TopK":   {infer: inferTopK, evaluate: evaluateTopK, min: 2, max: 2},
	"ArgMax": argOperator(func(d int) bool { return d == 1 }),
	"ArgMin": argOperator(func(d int) bool { return d == -1 }),
	"CumSum": {infer: inferCumSum, evaluate: evaluateCumSum, min: 2, max: 2},
	"Unique": {infer: inferUnique, evaluate: evaluateUnique, min: 1, max: 1},
}

// TopK has the number of elements as an input; among equals the first wins.
func inferTopK(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	r.flag("largest", true)
	r.flag("sorted", true)
	if r.err != nil {
		return nil, r.err
	}
	t := in[0].Type
	if !isNumber(t.DType) {
		return nil, fmt.Errorf("it is not defined for %s", t.DType)
	}
	axis, err := nodeAxis(n, -1, len(t.Shape))
	if err != nil {
		return nil, err
	}
	k, err := needInt(in[1], "k")
	if err != nil {
		return nil, err
	}
	if k < 0 || k > t.Shape[axis] {
		return nil, fmt.Errorf("%d elements are wanted of an axis of %d", k, t.Shape[axis])
	}
	to := slices.Clone(t.Shape)
	to[axis] = k
	return []Type{{t.DType, to}, {tensor.I64, to}}, nil
}

func evaluateTopK(c *context, n *Node, in []*Value) ([]*Value, error) {
	x := in[0]
	axis, err := nodeAxis(n, -1, len(x.Shape))
	if err != nil {
		return nil, err
	}
	first := -1
	if read(n).flag("largest", true) {
		first = 1
	}
	out, where := newValue(c.types[0]), newValue(Type{tensor.I64, c.types[0].Shape})
	k, length := int(out.Shape[axis]), int(x.Shape[axis])
	if err := c.spendProduct(int64(x.elems()), 64); err != nil {
		return nil, err
	}
	line := make([]int, length)
	eachLine(x.Shape, axis, func(at, stride int) {
		for i := range line {
			line[i] = i
		}
		slices.SortStableFunc(line, func(i, j int) int {
			return -first * total(x, at+i*stride, at+j*stride)
		})
		o := at/(length*stride)*k*stride + at%stride
		for i, from := range line[:k] {
			out.set(o+i*stride, x, at+from*stride)
			where.Int[o+i*stride] = int64(from)
		}
	})
	return []*Value{out, where}, nil
}

// total orders two elements of x; NaN is above all.
func total(x *Value, i, j int) int {
	d := order(x, i, x, j)
	if d == unordered {
		return int(truth(x.Float[i] != x.Float[i]) - truth(x.Float[j] != x.Float[j]))
	}
	return d
}

// argOperator gives the place of the element of a line before which none is better.
func argOperator(better func(order int) bool) operator {
	return operator{
		min: 1, max: 1,
		infer: func(_ *context, n *Node, in []*Operand) ([]Type, error) {
			t := in[0].Type
			r := read(n)
			keep := r.flag("keepdims", true)
			r.flag("select_last_index", false)
			if r.err != nil {
				return nil, r.err
			}
			if !isNumber(t.DType) {
				return nil, fmt.Errorf("it is not defined for %s", t.DType)
			}
			axis, err := nodeAxis(n, 0, len(t.Shape))
			if err != nil {
				return nil, err
			}
			set := make([]bool, len(t.Shape))
			set[axis] = true
			to := reducedShape(t.Shape, set, keep)
			if m, err := to.Elems(); t.Shape[axis] == 0 && (err != nil || m > 0) {
				return nil, fmt.Errorf("axis %d of %v is empty", axis, t.Shape)
			}
			return []Type{{tensor.I64, to}}, nil
		},
		evaluate: func(c *context, n *Node, in []*Value) ([]*Value, error) {
			x := in[0]
			axis, err := nodeAxis(n, 0, len(x.Shape))
			if err != nil {
				return nil, err
			}
			last := read(n).flag("select_last_index", false)
			out := newValue(c.types[0])
			o := 0
			eachLine(x.Shape, axis, func(at, stride int) {
				top := 0
				for i := 1; i < int(x.Shape[axis]); i++ {
					if d := total(x, at+i*stride, at+top*stride); better(d) || last && d == 0 {
						top = i
					}
				}
				out.Int[o] = int64(top)
				o++
			})
			return []*Value{out}, nil
		},
	}
}

func inferCumSum(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	r.flag("exclusive", false)
	r.flag("reverse", false)
	if r.err != nil {
		return nil, r.err
	}
	if d := in[0].Type.DType; !isNumber(d) {
		return nil, fmt.Errorf("it is not defined for %s", d)
	}
	if k, err := in[1].Type.Shape.Elems(); err != nil || k != 1 || kindOf(in[1].Type.DType) != kindInt {
		return nil, fmt.Errorf("the axis is %v, want a whole number", in[1].Type)
	}
	return []Type{in[0].Type}, nil
}

func evaluateCumSum(c *context, n *Node, in []*Value) ([]*Value, error) {
	r := read(n)
	exclusive, reverse := r.flag("exclusive", false), r.flag("reverse", false)
	x := in[0]
	axis, err := axisOf(in[1].Int[0], len(x.Shape))
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	length := int(x.Shape[axis])
	eachLine(x.Shape, axis, func(at, stride int) {
		sum, whole := 0.0, int64(0)
		for i := range length {
			p := at + i*stride
			if reverse {
				p = at + (length-1-i)*stride
			}
			before, wholeBefore := sum, whole
			if out.Float != nil {
				sum += x.Float[p]
				out.Float[p] = sum
				if exclusive {
					out.Float[p] = before
				}
				continue
			}
			whole += x.Int[p]
			out.Int[p] = x.Type.Wrap(whole)
			if exclusive {
				out.Int[p] = x.Type.Wrap(wholeBefore)
			}
		}
	})
	return []*Value{out}, nil
}

// A uniqueResult is the result of Unique: each different slice once.
type uniqueResult struct {
	axis             int // -1: the elements, not slices
	first, to, count []int
}

func uniqueOf(c *context, n *Node, x *Value) (*uniqueResult, error) {
	r := read(n)
	sorted := r.flag("sorted", true)
	if r.err != nil {
		return nil, r.err
	}
	u := &uniqueResult{axis: -1}
	length, block := x.elems(), 1
	if r.has("axis") {
		axis, err := nodeAxis(n, 0, len(x.Shape))
		if err != nil {
			return nil, err
		}
		u.axis, length = axis, int(x.Shape[axis])
		if length > 0 {
			block = x.elems() / length
		}
		if block == 0 && length > 0 {
			return nil, fmt.Errorf("its input %v has slices without elements", x.Shape)
		}
	}
	if err := c.spendProduct(int64(length), int64(block), 64); err != nil {
		return nil, err
	}
	inner := block
	if u.axis >= 0 {
		inner = product(x.Shape[u.axis+1:])
	}
	compare := func(i, j int) int {
		for k := range block {
			outer := k / max(inner, 1) * length * inner
			if d := total(x, outer+i*inner+k%max(inner, 1), outer+j*inner+k%max(inner, 1)); d != 0 {
				return d
			}
		}
		return 0
	}
	by := make([]int, length)
	for i := range by {
		by[i] = i
	}
	slices.SortStableFunc(by, compare)
	u.to = make([]int, length)
	for i, p := range by {
		if i == 0 || compare(by[i-1], p) != 0 {
			u.first, u.count = append(u.first, p), append(u.count, 0)
		}
		u.to[p] = len(u.first) - 1
		u.count[len(u.first)-1]++
	}
	if sorted {
		return u, nil
	}
	// In the order in which they are first seen.
	rank := make([]int, len(u.first))
	for i := range rank {
		rank[i] = i
	}
	slices.SortFunc(rank, func(i, j int) int { return u.first[i] - u.first[j] })
	v := &uniqueResult{axis: u.axis, to: make([]int, length)}
	back := make([]int, len(rank))
	for i, k := range rank {
		v.first, v.count = append(v.first, u.first[k]), append(v.count, u.count[k])
		back[k] = i
	}
	for i, k := range u.to {
		v.to[i] = back[k]
	}
	return v, nil
}

func inferUnique(c *context, n *Node, in []*Operand) ([]Type, error) {
	x, err := need(in[0], "its input")
	if err != nil {
		return nil, err
	}
	u, err := uniqueOf(c, n, x)
	if err != nil {
		return nil, err
	}
	count := int64(len(u.first))
	to := tensor.Shape{count}
	if u.axis >= 0 {
		to = slices.Clone(x.Shape)
		to[u.axis] = count
	}
	list := Type{tensor.I64, tensor.Shape{count}}
	return []Type{{x.Type, to}, list, {tensor.I64, tensor.Shape{int64(len(u.to))}}, list}, nil
}

func evaluateUnique(c *context, n *Node, in []*Value) ([]*Value, error) {
	x := in[0]
	u, err := uniqueOf(c, n, x)
	if err != nil {
		return nil, err
	}
	list := func(numbers []int) *Value {
		v := newValue(Type{tensor.I64, tensor.Shape{int64(len(numbers))}})
		for i, k := range numbers {
			v.Int[i] = int64(k)
		}
		return v
	}
	out := newValue(c.types[0])
	inner, length := 1, x.elems()
	if u.axis >= 0 {
		inner, length = product(x.Shape[u.axis+1:]), int(x.Shape[u.axis])
	}
	for o := range out.elems() {
		outer, p := o/(inner*len(u.first)), u.first[o/inner%len(u.first)]
		out.set(o, x, (outer*length+p)*inner+o%inner)
	}
	return []*Value{out, list(u.first), list(u.to), list(u.count)}, nil
}
