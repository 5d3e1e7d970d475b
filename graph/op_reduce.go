package graph

import (
	"fmt"
	"math"

	"ropewalk/tensor"
)

// reduceOps fold all elements along some axes into one.
var reduceOps = map[string]operator{
	"ReduceSum":       reduce(sumFold, nil, true),
	"ReduceMean":      reduce(sumFold, func(x, n float64) float64 { return x / n }, false),
	"ReduceProd":      reduce(fold{1, func(a, x float64) float64 { return a * x }, 1, func(_ tensor.DType, a, x int64) int64 { return a * x }}, nil, true),
	"ReduceMax":       reduce(fold{math.Inf(-1), math.Max, math.MinInt64, maxInt}, nil, true),
	"ReduceMin":       reduce(fold{math.Inf(1), math.Min, math.MaxInt64, minInt}, nil, true),
	"ReduceL1":        reduce(fold{0, func(a, x float64) float64 { return a + math.Abs(x) }, 0, func(_ tensor.DType, a, x int64) int64 { return a + max(x, -x) }}, nil, true),
	"ReduceL2":        reduce(squareFold, func(x, _ float64) float64 { return math.Sqrt(x) }, true),
	"ReduceSumSquare": reduce(squareFold, nil, true),
	"ReduceLogSum":    reduce(sumFold, func(x, _ float64) float64 { return math.Log(x) }, false),

	"ReduceLogSumExp": {infer: inferReduce(false), evaluate: evaluateLogSumExp, min: 1, max: 2},
}

// A fold is how elements are taken together, from a first value on.
type fold struct {
	first    float64
	float    func(a, x float64) float64
	firstInt int64
	integer  func(d tensor.DType, a, x int64) int64
}

var (
	sumFold    = fold{0, func(a, x float64) float64 { return a + x }, 0, func(_ tensor.DType, a, x int64) int64 { return a + x }}
	squareFold = fold{0, func(a, x float64) float64 { return a + x*x }, 0, func(_ tensor.DType, a, x int64) int64 { return a + x*x }}
)

// reduce is an operator that folds, and at the end may change each result by the number
// of elements that went into it.
func reduce(f fold, last func(x, n float64) float64, integer bool) operator {
	return operator{
		min: 1, max: 2,
		infer: inferReduce(integer || last != nil),
		evaluate: func(c *context, n *Node, in []*Value) ([]*Value, error) {
			out := newValue(c.types[0])
			for i := range out.Float {
				out.Float[i] = f.first
			}
			for i := range out.Int {
				out.Int[i] = firstOf(f.firstInt, out.Type)
			}
			each, count, err := reduction(n, in)
			if err != nil {
				return nil, err
			}
			each(func(o, i int) {
				if out.Float != nil {
					out.Float[o] = f.float(out.Float[o], in[0].Float[i])
				} else {
					out.Int[o] = out.Type.Wrap(f.integer(out.Type, out.Int[o], in[0].Int[i]))
				}
			})
			if last == nil {
				return []*Value{out}, nil
			}
			for i, x := range out.Float {
				out.Float[i] = last(x, float64(count))
			}
			for i := range out.Int {
				out.Int[i] = toInt(out.Type, last(out.number(i), float64(count)))
			}
			return []*Value{out}, nil
		},
	}
}

// firstOf returns the extremes of int64 as those of type d.
func firstOf(x int64, d tensor.DType) int64 {
	switch {
	case x != math.MinInt64 && x != math.MaxInt64 || d == tensor.I64:
		return x
	case d == tensor.Bool:
		return truth(x > 0)
	case d == tensor.U64:
		return -truth(x > 0)
	}
	lo, hi := intRange(d)
	if x > 0 {
		return hi
	}
	return lo
}

// inferReduce returns the inference of an operator with attributes keepdims and
// noop_with_empty_axes, whose second input has the axes, all if it is left out or empty.
func inferReduce(integer bool) func(c *context, n *Node, in []*Operand) ([]Type, error) {
	return func(_ *context, n *Node, in []*Operand) ([]Type, error) {
		d := in[0].Type.DType
		truths := d == tensor.Bool && (n.Op == "ReduceMax" || n.Op == "ReduceMin")
		if !isNumber(d) && !truths || kindOf(d) == kindInt && !integer {
			return nil, fmt.Errorf("it is not defined for %s", d)
		}
		set, keep, err := reducedAxes(n, in)
		if err != nil {
			return nil, err
		}
		return []Type{{d, reducedShape(in[0].Type.Shape, set, keep)}}, nil
	}
}

func reducedAxes(n *Node, in []*Operand) (set []bool, keep bool, err error) {
	r := read(n)
	keep, noop := r.flag("keepdims", true), r.flag("noop_with_empty_axes", false)
	if r.err != nil {
		return nil, false, r.err
	}
	var axes []int64
	if len(in) > 1 && in[1] != nil {
		if axes, err = needInts(in[1], "the axes"); err != nil {
			return nil, false, err
		}
	}
	set, err = axesOf(axes, len(in[0].Type.Shape))
	if len(axes) == 0 && !noop {
		for i := range set {
			set[i] = true
		}
	}
	return set, keep, err
}

func reducedShape(from tensor.Shape, set []bool, keep bool) tensor.Shape {
	to := tensor.Shape{}
	for i, d := range from {
		switch {
		case !set[i]:
			to = append(to, d)
		case keep:
			to = append(to, 1)
		}
	}
	return to
}

// reduction returns a function that calls its argument for each element i of the first
// operand with the result o it goes into, and how many go into each.
func reduction(n *Node, in []*Value) (each func(f func(o, i int)), count int, err error) {
	set, _, err := reducedAxes(n, operandsOf(in))
	if err != nil {
		return nil, 0, err
	}
	shape := in[0].Shape
	strides, count := reducedStrides(shape, set)
	return func(f func(o, i int)) {
		w := newWalker(shape, strides)
		for i := range in[0].elems() {
			f(w.off[0], i)
			w.next()
		}
	}, count, nil
}

// reducedStrides returns the strides of the result of a reduction in a walk over
// the operand, and how many elements go into each element of the result.
func reducedStrides(shape tensor.Shape, set []bool) (strides []int, count int) {
	own := stridesOf(reducedShape(shape, set, true))
	count = 1
	for i := range own {
		if set[i] {
			own[i] = 0
			count *= int(shape[i])
		}
	}
	return own, count
}

// ReduceLogSumExp takes the greatest out first, so that nothing overflows.
func evaluateLogSumExp(c *context, n *Node, in []*Value) ([]*Value, error) {
	each, _, err := reduction(n, in)
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	top := make([]float64, len(out.Float))
	for i := range top {
		top[i] = math.Inf(-1)
	}
	each(func(o, i int) { top[o] = math.Max(top[o], in[0].Float[i]) })
	each(func(o, i int) {
		if !math.IsInf(top[o], 0) {
			out.Float[o] += math.Exp(in[0].Float[i] - top[o])
		}
	})
	for i, t := range top {
		if math.IsInf(t, 0) {
			out.Float[i] = t
			continue
		}
		out.Float[i] = t + math.Log(out.Float[i])
	}
	return []*Value{out}, nil
}
