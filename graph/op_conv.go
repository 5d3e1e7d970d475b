package graph

import (
	"fmt"

	"ropewalk/tensor"
)

// convOps are convolutions of floats, in any number of dimensions: X is
// batch × channels × space, W is filters × channels of the group × kernel.
var convOps = map[string]operator{
	"Conv":          {infer: inferConv, evaluate: evaluateConv, min: 2, max: 3},
	"ConvTranspose": {infer: inferConvTranspose, evaluate: evaluateConvTranspose, min: 2, max: 3},
}

// A convolution is the geometry of Conv and its kin.
type convolution struct {
	*window
	batch, groups     int64
	inGroup, outGroup int64 // channels and filters of a group
}

func convolutionOf(n *Node, x, w tensor.Shape) (*convolution, error) {
	r := read(n)
	groups := r.int("group", 1)
	kernel := r.ints("kernel_shape")
	if r.err != nil {
		return nil, r.err
	}
	batch, channels, space, err := images(x)
	if err != nil {
		return nil, err
	}
	if len(w) != len(x) {
		return nil, fmt.Errorf("the filters are %v, want as many axes as %v has", w, x)
	}
	if kernel != nil && !tensor.Shape(kernel).Equal(w[2:]) {
		return nil, fmt.Errorf("attribute kernel_shape is %v, the filters are %v", tensor.Shape(kernel), w)
	}
	if groups < 1 || groups > channels || channels%groups != 0 || w[1] != channels/groups || w[0]%groups != 0 {
		return nil, fmt.Errorf("filters %v in %d groups do not fit %d channels", w, groups, channels)
	}
	win, err := windowOf(r, space, w[2:], false)
	if err != nil {
		return nil, err
	}
	return &convolution{win, batch, groups, w[1], w[0] / groups}, nil
}

func (v *convolution) shape() tensor.Shape {
	return append(tensor.Shape{v.batch, v.groups * v.outGroup}, v.out...)
}

// each calls sum for each output o, with the filter it belongs to and a function
// that yields all pairs of elements of X and W that meet there.
func (v *convolution) each(c *context, sum func(o, filter int, pairs func(yield func(x, w int)))) error {
	shape := v.shape()
	if product(shape) == 0 {
		return nil
	}
	if err := c.spendProduct(append(append(append([]int64{}, shape...), v.kernel...), v.inGroup)...); err != nil {
		return err
	}
	places, taps, table, err := v.table(c)
	if err != nil {
		return err
	}
	area := product(v.in)
	o := 0
	for b := range int(v.batch) {
		for f := range int(v.groups * v.outGroup) {
			first := (b*int(v.groups) + f/int(v.outGroup)) * int(v.inGroup)
			for p := range places {
				row := table[p*taps : (p+1)*taps]
				sum(o, f, func(yield func(x, w int)) {
					for ch := range int(v.inGroup) {
						for k, at := range row {
							if at >= 0 {
								yield((first+ch)*area+at, (f*int(v.inGroup)+ch)*taps+k)
							}
						}
					}
				})
				o++
			}
		}
	}
	return nil
}

func inferConv(_ *context, n *Node, in []*Operand) ([]Type, error) {
	if err := floatsOnly(in...); err != nil {
		return nil, err
	}
	v, err := convolutionOf(n, in[0].Type.Shape, in[1].Type.Shape)
	if err != nil {
		return nil, err
	}
	if err := perChannel(in[2], v.groups*v.outGroup, "the bias"); err != nil {
		return nil, err
	}
	return []Type{{in[0].Type.DType, v.shape()}}, nil
}

// floatsOnly says whether operands, those that are there, are floats of one type.
func floatsOnly(in ...*Operand) error {
	if d := in[0].Type.DType; kindOf(d) != kindFloat {
		return fmt.Errorf("it is not defined for %s", d)
	}
	return sameType(in...)
}

// perChannel says whether an operand, if it is there, has one element for each
// channel.
func perChannel(o *Operand, channels int64, what string) error {
	if o != nil && !o.Type.Shape.Equal(tensor.Shape{channels}) {
		return fmt.Errorf("%s is %v, want one number for each of %d channels", what, o.Type.Shape, channels)
	}
	return nil
}

func evaluateConv(c *context, n *Node, in []*Value) ([]*Value, error) {
	v, err := convolutionOf(n, in[0].Shape, in[1].Shape)
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	x, w := in[0].Float, in[1].Float
	err = v.each(c, func(o, filter int, pairs func(yield func(i, j int))) {
		sum := 0.0
		pairs(func(i, j int) { sum += x[i] * w[j] })
		if in[2] != nil {
			sum += in[2].Float[filter]
		}
		out.Float[o] = sum
	})
	return []*Value{out}, err
}

// transposed returns the geometry of ConvTranspose: that of the convolution whose
// gradient it is, from its output to its input. W is channels × filters of the
// group × kernel.
func transposed(n *Node, x, w tensor.Shape) (*convolution, error) {
	r := read(n)
	groups := r.int("group", 1)
	kernel := r.ints("kernel_shape")
	_, _, space, err := images(x)
	if err != nil {
		return nil, err
	}
	rank := len(space)
	if len(w) != len(x) {
		return nil, fmt.Errorf("the filters are %v, want as many axes as %v has", w, x)
	}
	if kernel != nil && !tensor.Shape(kernel).Equal(w[2:]) {
		return nil, fmt.Errorf("attribute kernel_shape is %v, the filters are %v", tensor.Shape(kernel), w)
	}
	if groups < 1 || groups > x[1] || x[1]%groups != 0 || w[0] != x[1] {
		return nil, fmt.Errorf("filters %v in %d groups do not fit %d channels", w, groups, x[1])
	}
	win := &window{
		in: make([]int64, rank), kernel: w[2:], stride: r.perAxis("strides", rank), dilation: r.perAxis("dilations", rank),
		before: make([]int64, rank), behind: make([]int64, rank), out: space,
	}
	auto := r.autoPad()
	r.pads(win, auto)
	extra, want := r.ints("output_padding"), r.ints("output_shape")
	if extra == nil {
		extra = make([]int64, rank)
	}
	if len(want) == rank+2 {
		want = want[2:]
	}
	if len(extra) != rank || want != nil && len(want) != rank {
		r.fail("attributes output_padding and output_shape have %d and %d numbers, want %d", len(extra), len(want), rank)
	}
	if r.err != nil {
		return nil, r.err
	}
	for i, d := range space {
		if win.kernel[i] < 1 || win.kernel[i] > maxExtent || d > 1<<24 || extra[i] < 0 || extra[i] > maxExtent {
			return nil, fmt.Errorf("a kernel of %v does not fit over %v", tensor.Shape(win.kernel), x)
		}
		full := max(d-1, 0)*win.stride[i] + extra[i] + (win.kernel[i]-1)*win.dilation[i] + 1
		switch {
		case want != nil || auto == "SAME_UPPER" || auto == "SAME_LOWER":
			win.in[i] = d * win.stride[i]
			if want != nil {
				win.in[i] = want[i]
			}
			win.before[i], win.behind[i] = sharePads(max(full-win.in[i], 0), auto == "SAME_UPPER")
		default:
			win.in[i] = full - win.before[i] - win.behind[i]
		}
		if win.in[i] < 0 {
			return nil, fmt.Errorf("axis %d of its output would be %d", i, win.in[i])
		}
	}
	return &convolution{win, x[0], groups, w[1], x[1] / groups}, nil
}

func inferConvTranspose(_ *context, n *Node, in []*Operand) ([]Type, error) {
	if err := floatsOnly(in...); err != nil {
		return nil, err
	}
	v, err := transposed(n, in[0].Type.Shape, in[1].Type.Shape)
	if err != nil {
		return nil, err
	}
	if v.inGroup > 1<<62/v.groups {
		return nil, fmt.Errorf("filters %v are too many", in[1].Type.Shape)
	}
	channels := v.groups * v.inGroup
	if err := perChannel(in[2], channels, "the bias"); err != nil {
		return nil, err
	}
	return []Type{{in[0].Type.DType, append(tensor.Shape{v.batch, channels}, v.in...)}}, nil
}

// evaluateConvTranspose goes the way of the convolution and adds to what it would read.
func evaluateConvTranspose(c *context, n *Node, in []*Value) ([]*Value, error) {
	v, err := transposed(n, in[0].Shape, in[1].Shape)
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	area := product(v.in)
	if in[2] != nil && area > 0 {
		for i := range out.Float {
			out.Float[i] = in[2].Float[i/area%len(in[2].Float)]
		}
	}
	x, w := in[0].Float, in[1].Float
	err = v.each(c, func(o, _ int, pairs func(yield func(i, j int))) {
		pairs(func(i, j int) { out.Float[i] += x[o] * w[j] })
	})
	return []*Value{out}, err
}
