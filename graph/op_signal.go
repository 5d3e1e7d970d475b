package graph

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// signalOps are spectra and the windows that go before them.
var signalOps = map[string]operator{
	"HannWindow":      windowFunction(0.5, 0.5, 0),
	"HammingWindow":   windowFunction(25.0/46, 21.0/46, 0),
	"BlackmanWindow":  windowFunction(0.42, 0.5, 0.08),
	"MelWeightMatrix": {infer: inferMel, evaluate: evaluateMel, min: 5, max: 5},
	"DFT":             {infer: inferDFT, evaluate: evaluateDFT, min: 1, max: 3},
	"STFT":            {infer: inferSTFT, evaluate: evaluateSTFT, min: 2, max: 4},
}

// floatType returns attribute name as a float type, F32 if it is absent.
func floatType(r *attributesReader, name string) tensor.DType {
	d := tensor.F32
	if number := r.int(name, 1); r.err == nil {
		d, r.err = dataType(number)
	}
	if r.err == nil && kindOf(d) != kindFloat {
		r.fail("attribute %s is %s, want floats", name, d)
	}
	return d
}

// windowFunction is a - b·cos(2πi/n) + c·cos(4πi/n), where n is the size, or one less
// if attribute periodic is 0.
func windowFunction(a, b, c float64) operator {
	return operator{
		min: 1, max: 1,
		infer: func(_ *context, n *Node, in []*Operand) ([]Type, error) {
			r := read(n)
			r.flag("periodic", true)
			d := floatType(r, "output_datatype")
			if r.err != nil {
				return nil, r.err
			}
			size, err := needInt(in[0], "the size")
			return []Type{{d, tensor.Shape{size}}}, err
		},
		evaluate: func(ctx *context, n *Node, _ []*Value) ([]*Value, error) {
			out := newValue(ctx.types[0])
			size := float64(len(out.Float))
			if !read(n).flag("periodic", true) {
				size--
			}
			for i := range out.Float {
				x := 0.0
				if size > 0 {
					x = 2 * math.Pi * float64(i) / size
				}
				out.Float[i] = a - b*math.Cos(x) + c*math.Cos(2*x)
			}
			return []*Value{out}, nil
		},
	}
}

func inferMel(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	d := floatType(r, "output_datatype")
	if r.err != nil {
		return nil, r.err
	}
	var v [3]int64
	for i, what := range []string{"the number of bins", "the length of the transform", "the rate"} {
		x, err := needInt(in[i], what)
		if err != nil {
			return nil, err
		}
		if x < 1 || x > 1<<40 {
			return nil, fmt.Errorf("%s is %d", what, x)
		}
		v[i] = x
	}
	for _, o := range in[3:] {
		if k, err := o.Type.Shape.Elems(); err != nil || k != 1 || kindOf(o.Type.DType) != kindFloat {
			return nil, fmt.Errorf("a bound of frequencies is %v, want a float", o.Type)
		}
	}
	return []Type{{d, tensor.Shape{v[1]/2 + 1, v[0]}}}, nil
}

// MelWeightMatrix has a triangle for each bin, whose corners are equally far apart
// in mel = 2595·log10(1+f/700). As in ONNX's reference the last corner is a step below
// the upper bound.
func evaluateMel(c *context, _ *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	rows, bins := int(out.Shape[0]), int(out.Shape[1])
	length, rate := in[1].number(0), in[2].number(0)
	mel := func(f float64) float64 { return 2595 * math.Log10(1+f/700) }
	lo, hi := mel(in[3].Float[0]), mel(in[4].Float[0])
	if d := hi - lo; math.IsNaN(d) || math.IsInf(d, 0) {
		return nil, fmt.Errorf("frequencies from %g to %g", in[3].Float[0], in[4].Float[0])
	}
	corner := make([]int, bins+2)
	for i := range corner {
		f := 700 * (math.Pow(10, (lo+float64(i)*(hi-lo)/float64(len(corner)))/2595) - 1)
		corner[i] = int(clip(math.Floor((length+1)*f/rate), 0, float64(rows)))
	}
	for k := range bins {
		left, center, right := corner[k], corner[k+1], corner[k+2]
		for i := left; i <= center && i < rows; i++ {
			if center == left {
				out.Float[i*bins+k] = 1
				continue
			}
			out.Float[i*bins+k] = float64(i-left) / float64(center-left)
		}
		for i := center; i < right && i < rows; i++ {
			out.Float[i*bins+k] = float64(right-i) / float64(right-center)
		}
	}
	return []*Value{out}, nil
}

// A transform is what DFT does: the last axis of its input has length 1 (real) or 2
// (complex), and another axis is transformed.
type transform struct {
	axis              int
	length            int64 // of the transform: the axis is cut, or filled with zeros
	inverse, onesided bool
}

func transformOf(n *Node, in []*Operand) (*transform, error) {
	r := read(n)
	t := &transform{inverse: r.flag("inverse", false), onesided: r.flag("onesided", false)}
	if r.err != nil {
		return nil, r.err
	}
	s := in[0].Type.Shape
	if kindOf(in[0].Type.DType) != kindFloat || len(s) < 2 || s[len(s)-1] != 1 && s[len(s)-1] != 2 {
		return nil, fmt.Errorf("its input is %v, want real or complex numbers along the last axis", in[0].Type)
	}
	at := int64(-2)
	if in[2] != nil {
		var err error
		if at, err = needInt(in[2], "the axis"); err != nil {
			return nil, err
		}
	}
	var err error
	if t.axis, err = axisOf(at, len(s)); err != nil {
		return nil, err
	}
	if t.axis == len(s)-1 {
		return nil, fmt.Errorf("axis %d is that of real and imaginary parts", t.axis)
	}
	t.length = s[t.axis]
	if in[1] != nil {
		if t.length, err = needInt(in[1], "the length"); err != nil {
			return nil, err
		}
	}
	if t.length < 1 || t.length > 1<<30 || t.onesided && t.inverse {
		return nil, fmt.Errorf("a transform of length %d, inverse %t, onesided %t", t.length, t.inverse, t.onesided)
	}
	return t, nil
}

func inferDFT(_ *context, n *Node, in []*Operand) ([]Type, error) {
	t, err := transformOf(n, in)
	if err != nil {
		return nil, err
	}
	to := slices.Clone(in[0].Type.Shape)
	to[t.axis], to[len(to)-1] = t.length, 2
	if t.onesided {
		to[t.axis] = t.length/2 + 1
	}
	return []Type{{in[0].Type.DType, to}}, nil
}

func evaluateDFT(c *context, n *Node, in []*Value) ([]*Value, error) {
	t, err := transformOf(n, operandsOf(in))
	if err != nil {
		return nil, err
	}
	x, out := in[0], newValue(c.types[0])
	if err := c.spendProduct(int64(out.elems()), t.length, 8); err != nil {
		return nil, err
	}
	if out.elems() == 0 {
		return []*Value{out}, nil
	}
	parts := int(x.Shape[len(x.Shape)-1])
	inner := product(x.Shape[t.axis+1:len(x.Shape)-1]) * 1
	from, to := int(x.Shape[t.axis]), int(out.Shape[t.axis])
	line := make([]complex128, t.length)
	for outer := range product(out.Shape[:t.axis]) {
		for k := range inner {
			clear(line)
			for i := range min(from, len(line)) {
				at := ((outer*from+i)*inner + k) * parts
				line[i] = complex(x.Float[at], 0)
				if parts == 2 {
					line[i] = complex(x.Float[at], x.Float[at+1])
				}
			}
			for f := range to {
				y := fourier(line, f, t.inverse)
				at := ((outer*to+f)*inner + k) * 2
				out.Float[at], out.Float[at+1] = real(y), imag(y)
			}
		}
	}
	return []*Value{out}, nil
}

// fourier returns frequency f of a line, by the definition.
func fourier(line []complex128, f int, inverse bool) complex128 {
	n := len(line)
	sum := complex(0, 0)
	for i, x := range line {
		angle := -2 * math.Pi * float64(i*f%n) / float64(n)
		if inverse {
			angle = -angle
		}
		sum += x * complex(math.Cos(angle), math.Sin(angle))
	}
	if inverse {
		sum /= complex(float64(n), 0)
	}
	return sum
}

// STFT: a signal of batch × length × parts, the step, the window and the length of a
// frame. It gives batch × frames × frequencies × 2.
func inferSTFT(_ *context, n *Node, in []*Operand) ([]Type, error) {
	_, _, to, err := framesOf(n, in)
	return []Type{{in[0].Type.DType, to}}, err
}

func framesOf(n *Node, in []*Operand) (step, length int64, to tensor.Shape, err error) {
	r := read(n)
	onesided := r.flag("onesided", true)
	if r.err != nil {
		return 0, 0, nil, r.err
	}
	s := in[0].Type.Shape
	if len(s) == 2 {
		s = append(slices.Clone(s), 1)
	}
	if kindOf(in[0].Type.DType) != kindFloat || len(s) != 3 || s[2] != 1 && s[2] != 2 {
		return 0, 0, nil, fmt.Errorf("its input is %v, want a batch of signals", in[0].Type)
	}
	if step, err = needInt(in[1], "the step"); err != nil {
		return 0, 0, nil, err
	}
	if in[3] != nil {
		if length, err = needInt(in[3], "the length of a frame"); err != nil {
			return 0, 0, nil, err
		}
	}
	if in[2] != nil {
		w := in[2].Type
		if kindOf(w.DType) != kindFloat || len(w.Shape) != 1 || in[3] != nil && w.Shape[0] != length {
			return 0, 0, nil, fmt.Errorf("the window is %v, want one number for each of %d", w, length)
		}
		length = w.Shape[0]
	}
	if step < 1 || length < 1 || length > s[1] || length > 1<<30 {
		return 0, 0, nil, fmt.Errorf("frames of %d every %d in a signal of %d", length, step, s[1])
	}
	frequencies := length
	if onesided {
		frequencies = length/2 + 1
	}
	return step, length, tensor.Shape{s[0], (s[1]-length)/step + 1, frequencies, 2}, nil
}

func evaluateSTFT(c *context, n *Node, in []*Value) ([]*Value, error) {
	step, length, _, err := framesOf(n, operandsOf(in))
	if err != nil {
		return nil, err
	}
	x, out := in[0], newValue(c.types[0])
	if err := c.spendProduct(int64(out.elems()), length, 8); err != nil {
		return nil, err
	}
	if out.elems() == 0 {
		return []*Value{out}, nil
	}
	parts := 1
	if len(x.Shape) == 3 {
		parts = int(x.Shape[2])
	}
	line := make([]complex128, length)
	o := 0
	for b := range int(out.Shape[0]) {
		for frame := range int(out.Shape[1]) {
			for i := range line {
				at := (b*int(x.Shape[1]) + frame*int(step) + i) * parts
				line[i] = complex(x.Float[at], 0)
				if parts == 2 {
					line[i] = complex(x.Float[at], x.Float[at+1])
				}
				if in[2] != nil {
					line[i] *= complex(in[2].Float[i], 0)
				}
			}
			for f := range int(out.Shape[2]) {
				y := fourier(line, f, false)
				out.Float[o], out.Float[o+1] = real(y), imag(y)
				o += 2
			}
		}
	}
	return []*Value{out}, nil
}
