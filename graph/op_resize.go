package graph

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// resizeOps sample arrays at places between their elements.
var resizeOps = map[string]operator{
	"Resize":     {infer: inferResize, evaluate: evaluateResize, min: 1, max: 4},
	"GridSample": {infer: inferGridSample, evaluate: evaluateGridSample, min: 2, max: 2},
}

// A resizing is what Resize does along each axis.
type resizing struct {
	out    tensor.Shape
	scale  []float64
	roi    [][2]float64
	resize []bool
}

func resizingOf(n *Node, in []*Operand) (*resizing, error) {
	r := read(n)
	axes := r.ints("axes")
	policy := r.string("keep_aspect_ratio_policy", "stretch")
	oneOf := func(name, absent string, allowed ...string) {
		if s := r.string(name, absent); r.err == nil && !slices.Contains(allowed, s) {
			r.fail("attribute %s is %q, want one of %v", name, s, allowed)
		}
	}
	oneOf("mode", "nearest", "nearest", "linear", "cubic")
	oneOf("coordinate_transformation_mode", "half_pixel", "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize")
	oneOf("nearest_mode", "round_prefer_floor", "round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
	oneOf("keep_aspect_ratio_policy", "stretch", "stretch", "not_larger", "not_smaller")
	r.flag("antialias", false)
	r.flag("exclude_outside", false)
	r.float("cubic_coeff_a", -0.75)
	r.float("extrapolation_value", 0)
	if r.err != nil {
		return nil, r.err
	}
	t := in[0].Type
	if !isNumber(t.DType) {
		return nil, fmt.Errorf("it is not defined for %s", t.DType)
	}
	rank := len(t.Shape)
	if axes == nil {
		for i := range rank {
			axes = append(axes, int64(i))
		}
	}
	set, err := axesOf(axes, rank)
	if err != nil {
		return nil, err
	}
	z := &resizing{slices.Clone(t.Shape), make([]float64, rank), make([][2]float64, rank), set}
	for i := range rank {
		z.scale[i], z.roi[i] = 1, [2]float64{0, 1}
	}
	given := func(o *Operand, what string) (*Value, error) {
		if o == nil || o.Type.Shape.Equal(tensor.Shape{0}) {
			return nil, nil
		}
		v, err := need(o, what)
		if err == nil && (len(v.Shape) != 1 || v.Type == Text) {
			err = fmt.Errorf("%s are %v, want a list of numbers", what, v.typ())
		}
		return v, err
	}
	var roi *Value
	if r.string("coordinate_transformation_mode", "") == "tf_crop_and_resize" { // else it has no effect
		roi, err = given(in[1], "the region")
	}
	if err != nil {
		return nil, err
	}
	scales, err := given(in[2], "the scales")
	if err != nil {
		return nil, err
	}
	sizes, err := given(in[3], "the sizes")
	if err != nil {
		return nil, err
	}
	if (scales == nil) == (sizes == nil) {
		return nil, fmt.Errorf("it needs either scales or sizes: %w", errNumbers)
	}
	for _, v := range []*Value{scales, sizes} {
		if v != nil && v.elems() != len(axes) {
			return nil, fmt.Errorf("it has %d scales or sizes for %d axes: %w", v.elems(), len(axes), errNumbers)
		}
	}
	if roi != nil {
		if roi.elems() != 2*len(axes) {
			return nil, fmt.Errorf("the region has %d numbers for %d axes: %w", roi.elems(), len(axes), errNumbers)
		}
		for i, a := range axes {
			axis, _ := axisOf(a, rank)
			z.roi[axis] = [2]float64{roi.number(i), roi.number(len(axes) + i)}
		}
	}
	common := math.NaN() // the scale of all axes, if the ratio of lengths is kept
	for i, a := range axes {
		axis, _ := axisOf(a, rank)
		d := float64(t.Shape[axis])
		if scales != nil {
			z.scale[axis] = scales.number(i)
		} else {
			z.scale[axis] = sizes.number(i) / d
		}
		s := z.scale[axis]
		if !(s > 0) || !(s*d < 1<<40) {
			return nil, fmt.Errorf("axis %d of %v cannot be scaled by %g", axis, t.Shape, s)
		}
		if common != common || policy == "not_larger" && s < common || policy == "not_smaller" && s > common {
			common = s
		}
		// A scale is a float32 in the file: what is a whole number in that
		// precision must not be cut to the one below.
		z.out[axis] = int64(math.Floor(s * d))
		if near := math.Round(s * d); math.Abs(s*d-near) < 1e-6*near {
			z.out[axis] = int64(near)
		}
		if sizes != nil {
			z.out[axis] = int64(sizes.number(i))
		}
	}
	if sizes != nil && policy != "stretch" {
		for _, a := range axes {
			axis, _ := axisOf(a, rank)
			z.scale[axis] = common
			z.out[axis] = int64(math.Floor(common*float64(t.Shape[axis]) + 0.5))
		}
	}
	return z, nil
}

func inferResize(_ *context, n *Node, in []*Operand) ([]Type, error) {
	z, err := resizingOf(n, in)
	if err != nil {
		return nil, err
	}
	return []Type{{in[0].Type.DType, z.out}}, nil
}

// A tap is an element that goes into a sample, and its weight.
type tap struct {
	at     int
	weight float64
}

// evaluateResize goes along one axis after the other.
func evaluateResize(c *context, n *Node, in []*Value) ([]*Value, error) {
	z, err := resizingOf(n, operandsOf(in))
	if err != nil {
		return nil, err
	}
	x := in[0]
	if x.Float == nil {
		if x, err = convert(x, tensor.F64); err != nil {
			return nil, err
		}
	}
	r := read(n)
	out := c.types[0]
	outside := make([][]bool, len(out.Shape))
	if product(out.Shape) == 0 || x.elems() == 0 {
		return []*Value{newValue(out)}, nil
	}
	for axis, d := range x.Shape {
		if !z.resize[axis] || z.scale[axis] == 1 && z.out[axis] == d && z.roi[axis] == [2]float64{0, 1} {
			continue
		}
		outside[axis] = make([]bool, z.out[axis])
		taps := make([][]tap, z.out[axis])
		for i := range taps {
			at := resizedPlace(r.string("coordinate_transformation_mode", "half_pixel"), float64(i), z.scale[axis], float64(d), float64(z.out[axis]), z.roi[axis])
			if math.IsNaN(at) || math.IsInf(at, 0) {
				return nil, fmt.Errorf("the place of element %d along axis %d is %g", i, axis, at)
			}
			outside[axis][i] = at < 0 || at > float64(d-1)
			if taps[i], err = resizeTaps(c, r, at, z.scale[axis], int(d)); err != nil {
				return nil, err
			}
		}
		to := slices.Clone(x.Shape)
		to[axis] = z.out[axis]
		elems, err := to.Elems()
		if err != nil {
			return nil, err
		}
		if err := c.spendProduct(elems, int64(len(taps[0]))); err != nil {
			return nil, err
		}
		if elems > c.budget.elems {
			return nil, errMemory
		}
		y := newValue(Type{x.Type, to})
		inner := product(to[axis+1:])
		for o := range y.Float {
			i := o / inner % int(to[axis])
			first := o/(inner*int(to[axis]))*int(d)*inner + o%inner
			for _, t := range taps[i] {
				y.Float[o] += t.weight * x.Float[first+t.at*inner]
			}
		}
		x = y
	}
	y := newValue(out)
	w := newWalker(out.Shape)
	crop := r.string("coordinate_transformation_mode", "") == "tf_crop_and_resize"
	for i, v := range x.Float {
		if crop {
			for axis, p := range w.at {
				if outside[axis] != nil && outside[axis][p] {
					v = r.float("extrapolation_value", 0)
				}
			}
			w.next()
		}
		if y.Float != nil {
			y.Float[i] = v
			continue
		}
		if !isUnsigned(y.Type) && !isSigned(y.Type) {
			return nil, fmt.Errorf("internal error: resize of %s", y.Type)
		}
		y.Int[i] = toInt(y.Type, v)
	}
	return []*Value{y}, nil
}

// resizedPlace returns where element x of an axis that is resized lies in the old one of
// length from.
func resizedPlace(mode string, x, scale, from, to float64, roi [2]float64) float64 {
	length := scale * from // what it would be without rounding
	switch mode {
	case "align_corners":
		if length == 1 {
			return 0
		}
		return x * (from - 1) / (length - 1)
	case "asymmetric":
		return x / scale
	case "tf_crop_and_resize":
		if length == 1 {
			return (roi[0] + roi[1]) / 2 * (from - 1)
		}
		return x*(roi[1]-roi[0])*(from-1)/(length-1) + roi[0]*(from-1)
	case "pytorch_half_pixel":
		if length == 1 {
			return -0.5
		}
	case "half_pixel_symmetric":
		return from/2*(1-to/length) + (x+0.5)/scale - 0.5
	}
	return (x+0.5)/scale - 0.5
}

// resizeTaps returns what goes into the sample at a place of an axis of n.
func resizeTaps(c *context, r *attributesReader, at, scale float64, n int) ([]tap, error) {
	within := func(i float64) int { return int(math.Min(math.Max(i, 0), float64(n-1))) }
	mode := r.string("mode", "nearest")
	if mode == "nearest" {
		switch r.string("nearest_mode", "round_prefer_floor") {
		case "round_prefer_floor":
			at = math.Ceil(at - 0.5)
		case "round_prefer_ceil":
			at = math.Floor(at + 0.5)
		case "floor":
			at = math.Floor(at)
		case "ceil":
			at = math.Ceil(at)
		}
		return []tap{{within(at), 1}}, nil
	}
	// The kernel is wider if it shall not alias when it shrinks.
	narrow := 1.0
	if r.flag("antialias", false) {
		narrow = math.Min(scale, 1)
	}
	radius, a := 1.0, r.float("cubic_coeff_a", -0.75)
	if mode == "cubic" {
		radius = 2
	}
	left := math.Ceil(at) - 1 // an element itself counts as the one on the right
	ratio := at - left
	start := math.Floor(-radius/narrow) + 1
	if start < -maxExtent {
		return nil, fmt.Errorf("a scale of %g is too small", scale)
	}
	if err := c.spend(int64(-2*start) + 4); err != nil {
		return nil, err
	}
	var taps []tap
	sum := 0.0
	for i := start; i < 2-start; i++ {
		d := math.Abs(i-ratio) * narrow
		weight := math.Max(0, 1-d)
		if mode == "cubic" {
			weight = cubic(d, a)
		}
		if p := left + i; r.flag("exclude_outside", false) && (p < 0 || p >= float64(n)) {
			weight = 0
		}
		sum += weight
		taps = append(taps, tap{within(left + i), weight})
	}
	for i := range taps {
		taps[i].weight /= sum
	}
	return taps, nil
}

// cubic is the kernel of Keys, 1981, with free parameter a.
func cubic(d, a float64) float64 {
	switch {
	case d <= 1:
		return ((a+2)*d-(a+3))*d*d + 1
	case d < 2:
		return ((a*d-5*a)*d+8*a)*d - 4*a
	}
	return 0
}
