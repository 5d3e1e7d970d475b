package graph

import (
	"fmt"
	"math"

	"ropewalk/tensor"
)

// constantOps make arrays from a few numbers.
var constantOps = map[string]operator{
	"Constant":        {infer: inferConstant, evaluate: evaluateConstant, min: 0, max: 0},
	"ConstantOfShape": {infer: inferConstantOfShape, evaluate: evaluateConstantOfShape, min: 1, max: 1},
	"Range":           {infer: inferRange, evaluate: evaluateRange, min: 3, max: 3},
	"EyeLike":         {infer: inferEyeLike, evaluate: evaluateEyeLike, min: 1, max: 1, byType: true},
}

// constantOf returns what a Constant holds.
func constantOf(c *context, n *Node) (*Value, error) {
	if len(n.Attributes) != 1 {
		return nil, fmt.Errorf("it has %d attributes, want one value", len(n.Attributes))
	}
	for name, a := range n.Attributes {
		switch a := a.(type) {
		case *tensor.Tensor:
			if a.Elems() > c.budget.elems {
				return nil, errMemory
			}
			return ValueOf(a)
		case float64:
			return scalarFloat(tensor.F32, a), nil
		case int64:
			return &Value{Type: tensor.I64, Shape: tensor.Shape{}, Int: []int64{a}}, nil
		case string:
			return &Value{Type: Text, Shape: tensor.Shape{}, Text: []string{a}}, nil
		case []float64:
			return &Value{Type: tensor.F32, Shape: tensor.Shape{int64(len(a))}, Float: a}, nil
		case []int64:
			return &Value{Type: tensor.I64, Shape: tensor.Shape{int64(len(a))}, Int: a}, nil
		case []string:
			return &Value{Type: Text, Shape: tensor.Shape{int64(len(a))}, Text: a}, nil
		default:
			return nil, fmt.Errorf("attribute %s is of type %T, want a value", name, a)
		}
	}
	return nil, nil // not reached
}

func inferConstant(c *context, n *Node, _ []*Operand) ([]Type, error) {
	v, err := constantOf(c, n)
	if err != nil {
		return nil, err
	}
	return []Type{v.typ()}, nil
}

func evaluateConstant(c *context, n *Node, _ []*Value) ([]*Value, error) {
	v, err := constantOf(c, n)
	return []*Value{v}, err
}

// filling returns attribute value of ConstantOfShape, one element.
func filling(n *Node) (*Value, error) {
	r := read(n)
	t := get(r, "value", (*tensor.Tensor)(nil))
	if r.err != nil {
		return nil, r.err
	}
	if t == nil {
		return scalarFloat(tensor.F32, 0), nil
	}
	if t.Elems() != 1 {
		return nil, fmt.Errorf("attribute value is %v, want one element", t.Shape)
	}
	return ValueOf(t)
}

func inferConstantOfShape(_ *context, n *Node, in []*Operand) ([]Type, error) {
	v, err := filling(n)
	if err != nil {
		return nil, err
	}
	to, err := needInts(in[0], "the shape")
	if err != nil {
		return nil, err
	}
	return []Type{{v.Type, append(tensor.Shape{}, to...)}}, nil
}

func evaluateConstantOfShape(c *context, n *Node, _ []*Value) ([]*Value, error) {
	v, err := filling(n)
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	for i := range out.elems() {
		out.set(i, v, 0)
	}
	return []*Value{out}, nil
}

// Range counts from start to before limit by delta, which are scalars.
func inferRange(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	if err := sameType(in...); err != nil {
		return nil, err
	}
	d := in[0].Type.DType
	if !isNumber(d) {
		return nil, fmt.Errorf("it is not defined for %s", d)
	}
	var v [3]*Value
	for i, what := range []string{"the start", "the limit", "the step"} {
		x, err := need(in[i], what)
		if err != nil {
			return nil, err
		}
		if x.elems() != 1 {
			return nil, fmt.Errorf("%s is %v, want a scalar", what, x.typ())
		}
		v[i] = x
	}
	if v[2].number(0) == 0 {
		return nil, fmt.Errorf("the step is zero")
	}
	var count float64
	if kindOf(d) == kindInt { // floats cannot tell great integers apart
		distance, step := v[1].Int[0]-v[0].Int[0], v[2].Int[0]
		count = math.Max(0, float64(divideInt(d, distance, step)))
		if remainderInt(d, distance, step) != 0 && (distance < 0) == (step < 0) {
			count++
		}
	} else {
		count = math.Max(0, math.Ceil((v[1].Float[0]-v[0].Float[0])/v[2].Float[0]))
	}
	if !(count < 1<<40) {
		return nil, fmt.Errorf("it would have %g elements", count)
	}
	return []Type{{d, tensor.Shape{int64(count)}}}, nil
}

func evaluateRange(c *context, _ *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	for i := range out.Float {
		out.Float[i] = in[0].Float[0] + float64(i)*in[2].Float[0]
	}
	for i := range out.Int {
		out.Int[i] = out.Type.Wrap(in[0].Int[0] + int64(i)*in[2].Int[0])
	}
	return []*Value{out}, nil
}

func inferEyeLike(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	r.int("k", 0)
	to := in[0].Type.DType
	if number := r.int("dtype", 0); number != 0 && r.err == nil {
		to, r.err = dataType(number)
	}
	if r.err == nil && (to == Text || len(in[0].Type.Shape) != 2) {
		r.fail("its input is %v, want a matrix of numbers", in[0].Type)
	}
	return []Type{{to, in[0].Type.Shape}}, r.err
}

func evaluateEyeLike(c *context, n *Node, _ []*Value) ([]*Value, error) {
	k := read(n).int("k", 0)
	out := newValue(c.types[0])
	w := newWalker(out.Shape)
	for i := range out.elems() {
		on := w.at[1]-w.at[0] == k
		if out.Float != nil {
			out.Float[i] = float64(truth(on))
		} else {
			out.Int[i] = truth(on)
		}
		w.next()
	}
	return []*Value{out}, nil
}
