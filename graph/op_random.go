package graph

import (
	"fmt"
	"math"

	"ropewalk/tensor"
)

// randomOps are the operators that draw. Their numbers are not those of other
// programs, of which ONNX asks no more than a distribution.
var randomOps = map[string]operator{
	"Dropout":           {infer: inferDropout, evaluate: evaluateDropout, min: 1, max: 3, volatile: true},
	"RandomNormal":      {infer: inferRandom, evaluate: evaluateRandom, min: 0, max: 0, volatile: true},
	"RandomUniform":     {infer: inferRandom, evaluate: evaluateRandom, min: 0, max: 0, volatile: true},
	"RandomNormalLike":  {infer: inferRandom, evaluate: evaluateRandom, min: 1, max: 1, volatile: true},
	"RandomUniformLike": {infer: inferRandom, evaluate: evaluateRandom, min: 1, max: 1, volatile: true},
	"Bernoulli":         {infer: inferBernoulli, evaluate: evaluateBernoulli, min: 1, max: 1, volatile: true},
	"Multinomial":       {infer: inferMultinomial, evaluate: evaluateMultinomial, min: 1, max: 1, volatile: true},
}

// Dropout: data, the share that is dropped (0.5 if left out), and whether to train. The
// second output is what was kept.
func inferDropout(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	t := in[0].Type
	if kindOf(t.DType) != kindFloat {
		return nil, fmt.Errorf("it is not defined for %s", t.DType)
	}
	for i, k := range []kind{kindFloat, kindInt} {
		o := in[i+1]
		if o == nil {
			continue
		}
		if n, err := o.Type.Shape.Elems(); err != nil || n != 1 || kindOf(o.Type.DType) != k {
			return nil, fmt.Errorf("input %d is %v, want a scalar", i+1, o.Type)
		}
		if i == 0 && o.Value != nil && !(o.Value.Float[0] >= 0 && o.Value.Float[0] < 1) {
			return nil, fmt.Errorf("a share of %g cannot be dropped, want 0 up to 1", o.Value.Float[0])
		}
	}
	return []Type{t, {tensor.Bool, t.Shape}}, nil
}

func evaluateDropout(c *context, n *Node, in []*Value) ([]*Value, error) {
	ratio := 0.5
	if in[1] != nil {
		ratio = in[1].Float[0]
	}
	mask := newValue(Type{tensor.Bool, in[0].Shape})
	training := c.training || in[2] != nil && in[2].Int[0] != 0
	if !training || ratio == 0 {
		for i := range mask.Int {
			mask.Int[i] = 1
		}
		return []*Value{in[0], mask}, nil
	}
	if c.mask != nil {
		keep := c.mask(n.Name, len(mask.Int))
		if len(keep) != len(mask.Int) {
			return nil, fmt.Errorf("EvaluateOptions.Mask has %d elements, want %d", len(keep), len(mask.Int))
		}
		for i, k := range keep {
			mask.Int[i] = truth(k)
		}
	} else {
		for i := range mask.Int {
			mask.Int[i] = truth(c.chance.Float64() >= ratio)
		}
	}
	out := newValue(c.types[0])
	for i, x := range in[0].Float {
		if mask.Int[i] == 1 {
			out.Float[i] = x / (1 - ratio)
		}
	}
	return []*Value{out, mask}, nil
}

// inferRandom: the shape is that of attribute shape or of the operand, the type that
// of attribute dtype, or of the operand.
func inferRandom(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	for _, name := range []string{"mean", "scale", "low", "high", "seed"} {
		r.float(name, 0)
	}
	t := Type{tensor.F32, tensor.Shape(r.ints("shape"))}
	if len(in) > 0 && in[0] != nil {
		t = in[0].Type
	}
	if number := r.int("dtype", 0); number != 0 && r.err == nil {
		t.DType, r.err = dataType(number)
	}
	if r.err == nil && kindOf(t.DType) != kindFloat {
		r.fail("it is not defined for %s", t.DType)
	}
	return []Type{t}, r.err
}

func evaluateRandom(c *context, n *Node, _ []*Value) ([]*Value, error) {
	r := read(n)
	out := newValue(c.types[0])
	draw := c.source(r)
	normal := n.Op == "RandomNormal" || n.Op == "RandomNormalLike"
	for i := range out.Float {
		if normal {
			out.Float[i] = r.float("mean", 0) + r.float("scale", 1)*draw.NormFloat64()
		} else {
			low := r.float("low", 0)
			out.Float[i] = low + (r.float("high", 1)-low)*draw.Float64()
		}
	}
	return []*Value{out}, nil
}

// source returns the source of numbers of a node, which may have a seed of its own.
func (c *context) source(r *attributesReader) *chance {
	if r.has("seed") {
		return newChance(math.Float64bits(r.float("seed", 0)))
	}
	return c.chance
}

func inferBernoulli(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	r.float("seed", 0)
	t := in[0].Type
	if kindOf(t.DType) != kindFloat {
		r.fail("it is not defined for %s", t.DType)
	}
	if number := r.int("dtype", 0); number != 0 && r.err == nil {
		t.DType, r.err = dataType(number)
	}
	if t.DType == Text {
		r.fail("it cannot give text")
	}
	return []Type{t}, r.err
}

func evaluateBernoulli(c *context, n *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	draw := c.source(read(n))
	for i, p := range in[0].Float {
		x := truth(draw.Float64() < p)
		if out.Float != nil {
			out.Float[i] = float64(x)
		} else {
			out.Int[i] = x
		}
	}
	return []*Value{out}, nil
}

// Multinomial draws classes by their logarithms of shares, not normalized, of which each
// row has its own.
func inferMultinomial(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	r.float("seed", 0)
	count := r.int("sample_size", 1)
	d := tensor.I32
	if number := r.int("dtype", 0); number != 0 && r.err == nil {
		d, r.err = dataType(number)
	}
	s := in[0].Type.Shape
	if r.err == nil && (d != tensor.I32 && d != tensor.I64 || count < 1 || len(s) != 2 || s[1] == 0 || kindOf(in[0].Type.DType) != kindFloat) {
		r.fail("%d draws of %v as %s from %v", count, d, d, in[0].Type)
	}
	if r.err != nil {
		return nil, r.err
	}
	return []Type{{d, tensor.Shape{s[0], count}}}, nil
}

func evaluateMultinomial(c *context, n *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	draw := c.source(read(n))
	classes, count := int(in[0].Shape[1]), int(out.Shape[1])
	if err := c.spendProduct(int64(out.elems()), int64(classes)); err != nil {
		return nil, err
	}
	share := make([]float64, classes)
	for row := range int(out.Shape[0]) {
		copy(share, in[0].Float[row*classes:])
		softmax(share)
		for k := range count {
			u, at := draw.Float64(), 0
			for at < classes-1 && u >= share[at] {
				u -= share[at]
				at++
			}
			out.Int[row*count+k] = int64(at)
		}
	}
	return []*Value{out}, nil
}
