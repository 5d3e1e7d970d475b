package graph

import (
	"fmt"
	"math"

	"ropewalk/tensor"
)

// poolOps take what lies under a window together, channel by channel.
var poolOps = map[string]operator{
	"MaxPool":     {infer: inferPool, evaluate: evaluateMaxPool, min: 1, max: 1},
	"AveragePool": {infer: inferPool, evaluate: evaluateAveragePool, min: 1, max: 1},
	"LpPool":      {infer: inferPool, evaluate: evaluateLpPool, min: 1, max: 1},
	"MaxUnpool":   {infer: inferMaxUnpool, evaluate: evaluateMaxUnpool, min: 2, max: 3},

	"GlobalMaxPool": globalPool(func(_ *attributesReader, x []float64) float64 { return greatest(x) }),
	"GlobalAveragePool": globalPool(func(_ *attributesReader, x []float64) float64 {
		sum := 0.0
		for _, v := range x {
			sum += v
		}
		return sum / float64(len(x))
	}),
	"GlobalLpPool": globalPool(func(r *attributesReader, x []float64) float64 {
		return norm(x, float64(r.int("p", 2)))
	}),
}

// norm is the p-norm.
func norm(x []float64, p float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += math.Pow(math.Abs(v), p)
	}
	return math.Pow(sum, 1/p)
}

func globalPool(f func(r *attributesReader, x []float64) float64) operator {
	return operator{
		min: 1, max: 1,
		infer: func(_ *context, n *Node, in []*Operand) ([]Type, error) {
			if err := floatsOnly(in...); err != nil {
				return nil, err
			}
			r := read(n)
			if p := r.int("p", 2); r.err == nil && p < 1 {
				r.fail("attribute p is %d, want 1 or more", p)
			}
			if r.err != nil {
				return nil, r.err
			}
			batch, channels, space, err := images(in[0].Type.Shape)
			to := tensor.Shape{batch, channels}
			for range space {
				to = append(to, 1)
			}
			return []Type{{in[0].Type.DType, to}}, err
		},
		evaluate: func(c *context, n *Node, in []*Value) ([]*Value, error) {
			out := newValue(c.types[0])
			area := product(in[0].Shape[2:])
			for o := range out.Float {
				out.Float[o] = f(read(n), in[0].Float[o*area:(o+1)*area])
			}
			return []*Value{out}, nil
		},
	}
}

func poolOf(n *Node, x tensor.Shape) (*window, error) {
	r := read(n)
	_, _, space, err := images(x)
	if err != nil {
		return nil, err
	}
	if !r.has("kernel_shape") {
		r.fail("attribute kernel_shape is missing")
	}
	kernel := r.perAxis("kernel_shape", len(space))
	ceil := r.flag("ceil_mode", false)
	r.flag("count_include_pad", false)
	r.flag("storage_order", false)
	if p := r.int("p", 2); r.err == nil && p < 1 {
		r.fail("attribute p is %d, want 1 or more", p)
	}
	if r.err != nil {
		return nil, r.err
	}
	return windowOf(r, space, kernel, ceil)
}

func inferPool(_ *context, n *Node, in []*Operand) ([]Type, error) {
	t := in[0].Type
	if kindOf(t.DType) != kindFloat && !(n.Op == "MaxPool" && isNumber(t.DType)) {
		return nil, fmt.Errorf("it is not defined for %s", t.DType)
	}
	w, err := poolOf(n, t.Shape)
	if err != nil {
		return nil, err
	}
	to := append(tensor.Shape{t.Shape[0], t.Shape[1]}, w.out...)
	if n.Op == "MaxPool" {
		return []Type{{t.DType, to}, {tensor.I64, to}}, nil
	}
	return []Type{{t.DType, to}}, nil
}

// pool calls f for each output o with the first element of its channel, and the row of
// the table for its place.
func pool(c *context, n *Node, x *Value, f func(o, first int, row []int)) error {
	w, err := poolOf(n, x.Shape)
	if err != nil {
		return err
	}
	if product(c.types[0].Shape) == 0 {
		return nil
	}
	if err := c.spendProduct(append(append([]int64{}, c.types[0].Shape...), w.kernel...)...); err != nil {
		return err
	}
	places, taps, table, err := w.table(c)
	if err != nil {
		return err
	}
	area := product(w.in)
	for ch := range int(x.Shape[0] * x.Shape[1]) {
		for p := range places {
			f(ch*places+p, ch*area, table[p*taps:(p+1)*taps])
		}
	}
	return nil
}

// MaxPool's second output has the number of each greatest element in all of X; with
// storage_order the axes of space are counted the other way round.
func evaluateMaxPool(c *context, n *Node, in []*Value) ([]*Value, error) {
	x := in[0]
	out := newValue(c.types[0])
	where := newValue(Type{tensor.I64, out.Shape})
	columns := read(n).flag("storage_order", false)
	space := x.Shape[2:]
	strides := stridesOf(space)
	err := pool(c, n, x, func(o, first int, row []int) {
		top := -1
		for _, at := range row {
			if at < 0 {
				continue
			}
			if top < 0 {
				top = at
			} else if d := order(x, first+at, x, first+top); d == 1 || d == unordered && x.Float[first+at] != x.Float[first+at] {
				top = at
			}
		}
		if top < 0 { // nothing but pad
			if out.Float != nil {
				out.Float[o] = math.Inf(-1)
			} else {
				out.Int[o] = firstOf(math.MinInt64, out.Type)
			}
			where.Int[o] = -1
			return
		}
		out.set(o, x, first+top)
		where.Int[o] = int64(first + top)
		if columns {
			at, step := 0, 1
			for i, s := range strides {
				at += top / s % int(space[i]) * step
				step *= int(space[i])
			}
			where.Int[o] = int64(first + at)
		}
	})
	return []*Value{out, where}, err
}

// evaluateAveragePool divides by the number of elements under the window, or, with
// count_include_pad, by the size of the kernel: also where a window that ceil_mode adds
// reaches beyond the pad. ONNX and ONNX Runtime do so; PyTorch leaves these out.
func evaluateAveragePool(c *context, n *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	pads := read(n).flag("count_include_pad", false)
	err := pool(c, n, in[0], func(o, first int, row []int) {
		sum, count := 0.0, 0
		for _, at := range row {
			if at >= 0 {
				sum += in[0].Float[first+at]
			}
			if at >= 0 || pads {
				count++
			}
		}
		if count > 0 {
			out.Float[o] = sum / float64(count)
		}
	})
	return []*Value{out}, err
}

func evaluateLpPool(c *context, n *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	p := float64(read(n).int("p", 2))
	var under []float64
	err := pool(c, n, in[0], func(o, first int, row []int) {
		under = under[:0]
		for _, at := range row {
			if at >= 0 {
				under = append(under, in[0].Float[first+at])
			}
		}
		out.Float[o] = norm(under, p)
	})
	return []*Value{out}, err
}

// MaxUnpool puts elements where MaxPool found them, in an array of the shape that
// follows from the window, or of the shape that is its third input.
func inferMaxUnpool(_ *context, n *Node, in []*Operand) ([]Type, error) {
	t := in[0].Type
	_, _, space, err := images(t.Shape)
	if err != nil {
		return nil, err
	}
	if kindOf(in[1].Type.DType) != kindInt || !in[1].Type.Shape.Equal(t.Shape) {
		return nil, fmt.Errorf("the places are %v, want whole numbers of shape %v", in[1].Type, t.Shape)
	}
	r := read(n)
	if !r.has("kernel_shape") {
		r.fail("attribute kernel_shape is missing")
	}
	rank := len(space)
	w := &window{in: space, before: make([]int64, rank), behind: make([]int64, rank)}
	kernel, stride := r.perAxis("kernel_shape", rank), r.perAxis("strides", rank)
	r.pads(w, "NOTSET")
	if r.err != nil {
		return nil, r.err
	}
	to := tensor.Shape{t.Shape[0], t.Shape[1]}
	for i, d := range space {
		if d > 1<<24 {
			return nil, fmt.Errorf("%v is too large", t.Shape)
		}
		to = append(to, (d-1)*stride[i]+kernel[i]-w.before[i]-w.behind[i])
	}
	if in[2] != nil {
		want, err := needInts(in[2], "the shape")
		if err != nil {
			return nil, err
		}
		if len(want) != len(to) {
			return nil, fmt.Errorf("the shape is %v, want %d axes", want, len(to))
		}
		to = tensor.Shape(want)
	}
	return []Type{{t.DType, to}}, nil
}

func evaluateMaxUnpool(c *context, _ *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	for i, at := range in[1].Int {
		// The places count in an array of the window's shape; the tests of ONNX
		// take them as they are in the larger one, too.
		if at < 0 || at >= int64(out.elems()) {
			return nil, fmt.Errorf("place %d of element %d lies outside of %v", at, i, out.Shape)
		}
		out.set(int(at), in[0], i)
	}
	return []*Value{out}, nil
}
