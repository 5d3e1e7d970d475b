package graph

import (
	"fmt"
	"math"

	"ropewalk/tensor"
)

// logicOps are comparisons, and the operators on truth values.
var logicOps = map[string]operator{
	"Equal":          compare(func(order int) bool { return order == 0 }, true),
	"Less":           compare(func(order int) bool { return order == -1 }, false),
	"LessOrEqual":    compare(func(order int) bool { return order == -1 || order == 0 }, false),
	"Greater":        compare(func(order int) bool { return order == 1 }, false),
	"GreaterOrEqual": compare(func(order int) bool { return order == 1 || order == 0 }, false),

	"And": connective(func(x, y int64) int64 { return x & y }),
	"Or":  connective(func(x, y int64) int64 { return x | y }),
	"Xor": connective(func(x, y int64) int64 { return x ^ y }),
	"Not": {
		min: 1, max: 1,
		infer: func(_ *context, _ *Node, in []*Operand) ([]Type, error) {
			if d := in[0].Type.DType; d != tensor.Bool {
				return nil, fmt.Errorf("it is not defined for %s", d)
			}
			return []Type{in[0].Type}, nil
		},
		evaluate: func(c *context, _ *Node, in []*Value) ([]*Value, error) {
			out := newValue(c.types[0])
			for i, x := range in[0].Int {
				out.Int[i] = 1 - x
			}
			return []*Value{out}, nil
		},
	},
	"Where": {infer: inferWhere, evaluate: evaluateWhere, min: 3, max: 3},
	"IsNaN": test(func(_ *attributesReader, x float64) bool { return x != x }),
	"IsInf": test(func(r *attributesReader, x float64) bool {
		return math.IsInf(x, 1) && r.flag("detect_positive", true) || math.IsInf(x, -1) && r.flag("detect_negative", true)
	}),
}

// unordered is the order of a NaN and anything.
const unordered = 2

// order returns -1, 0 or 1 as element i of x is below, equal to or above element j of
// y, or unordered.
func order(x *Value, i int, y *Value, j int) int {
	switch {
	case x.Float != nil:
		switch a, b := x.Float[i], y.Float[j]; {
		case a < b:
			return -1
		case a > b:
			return 1
		case a == b:
			return 0
		}
		return unordered
	case x.Int != nil:
		switch a, b := x.Int[i], y.Int[j]; {
		case a == b:
			return 0
		case lessInt(x.Type, a, b):
			return -1
		}
		return 1
	}
	switch a, b := x.Text[i], y.Text[j]; {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// compare is an operator that says whether the order of two elements is one wanted; all
// means that it takes truth values and text, too.
func compare(want func(order int) bool, all bool) operator {
	return operator{
		min: 2, max: 2,
		infer: func(_ *context, _ *Node, in []*Operand) ([]Type, error) {
			if err := sameType(in...); err != nil {
				return nil, err
			}
			if d := in[0].Type.DType; !all && !isNumber(d) {
				return nil, fmt.Errorf("it is not defined for %s", d)
			}
			s, err := broadcast(in[0].Type.Shape, in[1].Type.Shape)
			return []Type{{tensor.Bool, s}}, err
		},
		evaluate: func(c *context, _ *Node, in []*Value) ([]*Value, error) {
			out := newValue(c.types[0])
			eachBroadcast(out.Shape, func(i, a, b int) {
				out.Int[i] = truth(want(order(in[0], a, in[1], b)))
			}, in[0].Shape, in[1].Shape)
			return []*Value{out}, nil
		},
	}
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// connective is an operator on two truth values.
func connective(f func(x, y int64) int64) operator {
	return operator{
		min: 2, max: 2,
		infer: func(_ *context, _ *Node, in []*Operand) ([]Type, error) {
			for _, o := range in {
				if o.Type.DType != tensor.Bool {
					return nil, fmt.Errorf("it is not defined for %s", o.Type.DType)
				}
			}
			s, err := broadcast(in[0].Type.Shape, in[1].Type.Shape)
			return []Type{{tensor.Bool, s}}, err
		},
		evaluate: func(c *context, _ *Node, in []*Value) ([]*Value, error) {
			out := newValue(c.types[0])
			eachBroadcast(out.Shape, func(i, a, b int) { out.Int[i] = f(in[0].Int[a], in[1].Int[b]) }, in[0].Shape, in[1].Shape)
			return []*Value{out}, nil
		},
	}
}

// test is an operator that says something of each float.
func test(f func(r *attributesReader, x float64) bool) operator {
	return operator{
		min: 1, max: 1,
		infer: func(_ *context, n *Node, in []*Operand) ([]Type, error) {
			r := read(n)
			r.flag("detect_positive", true)
			r.flag("detect_negative", true)
			if d := in[0].Type.DType; kindOf(d) != kindFloat {
				r.fail("it is not defined for %s", d)
			}
			return []Type{{tensor.Bool, in[0].Type.Shape}}, r.err
		},
		evaluate: func(c *context, n *Node, in []*Value) ([]*Value, error) {
			out := newValue(c.types[0])
			r := read(n)
			for i, x := range in[0].Float {
				out.Int[i] = truth(f(r, x))
			}
			return []*Value{out}, nil
		},
	}
}

func inferWhere(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	if d := in[0].Type.DType; d != tensor.Bool {
		return nil, fmt.Errorf("the condition is %s, want truth values", d)
	}
	if err := sameType(in[1:]...); err != nil {
		return nil, err
	}
	s, err := broadcast(in[0].Type.Shape, in[1].Type.Shape, in[2].Type.Shape)
	return []Type{{in[1].Type.DType, s}}, err
}

func evaluateWhere(c *context, _ *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	w := newWalker(out.Shape, stretched(in[0].Shape, out.Shape), stretched(in[1].Shape, out.Shape), stretched(in[2].Shape, out.Shape))
	for i := range out.elems() {
		k := 2 - int(in[0].Int[w.off[0]])
		out.set(i, in[k], w.off[k])
		w.next()
	}
	return []*Value{out}, nil
}
