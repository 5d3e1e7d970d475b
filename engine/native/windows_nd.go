package native

import (
	"math"

	"ropewalk/internal/kernel"
)

// A taps table says for windows over images of any number of axes which element of the
// image lies under each element of the window, at each place; -1 for none.
type taps struct {
	places, count int
	image         int // elements of one channel
	at            []int32
}

// maxTable bounds a taps table.
const maxTable = 1 << 28

// tapsOf returns the table for windows over images of shape in, at places of shape
// out.
func (n *node) tapsOf(in, out, size []int) (*taps, error) {
	axes := len(in)
	at := func(list []int64, i, standard int) int {
		if i < len(list) {
			return int(list[i])
		}
		return standard
	}
	strides, dilations, pads := n.integers("strides"), n.integers("dilations"), n.integers("pads")
	auto := n.text("auto_pad", "NOTSET")
	t := &taps{places: product(out), count: product(size), image: product(in)}
	if t.places*t.count > maxTable || t.image > math.MaxInt32 {
		return nil, n.lacks("windows of %d elements at %d places", t.count, t.places)
	}
	before := make([]int, axes)
	for i := range axes {
		switch auto {
		case "SAME_UPPER", "SAME_LOWER":
			total := max(0, (out[i]-1)*at(strides, i, 1)+at(dilations, i, 1)*(size[i]-1)+1-in[i])
			before[i] = total / 2
			if auto == "SAME_LOWER" {
				before[i] = total - total/2
			}
		case "VALID":
		default:
			before[i] = at(pads, i, 0)
		}
	}
	t.at = make([]int32, t.places*t.count)
	ofOut, ofSize, ofIn := dense(out), dense(size), dense(in)
	for i := range t.at {
		place, tap, k := i/t.count, i%t.count, 0
		for a := range axes {
			p := place/ofOut[a]%out[a]*at(strides, a, 1) - before[a] + tap/ofSize[a]%size[a]*at(dilations, a, 1)
			if p < 0 || p >= in[a] {
				k = -1
				break
			}
			k += p * ofIn[a]
		}
		t.at[i] = int32(k)
	}
	return t, nil
}

// byAxes returns a maker for images of one or two axes, and of more.
func byAxes(few, many maker) maker {
	return func(n *node) (operator, error) {
		if len(n.in[0].shape) <= 4 {
			return few(n)
		}
		return many(n)
	}
}

// makeMaxPool makes MaxPool: pools of integers, and with indices in another order, are
// rare and go the long way.
func makeMaxPool(n *node) (operator, error) {
	if len(n.in[0].shape) > 4 || n.in[0].ints || n.integer("storage_order", 0) != 0 {
		return makePoolND(n)
	}
	return makePool(false, false)(n)
}

// A convND is Conv over images of three axes or more: a matrix product for each group
// of each image, with the elements under the windows as columns.
type convND struct {
	pool          *kernel.Pool
	x, w, bias    *operand // bias may be nil
	y             *site
	taps          *taps
	batch, groups int
	in, out       int     // channels of a group
	columns       *memory // (in·taps) × places
}

func makeConvND(n *node) (operator, error) {
	o := &convND{pool: n.pool, x: n.in[0], w: n.in[1], bias: n.operand(2), y: n.out[0], groups: int(n.integer("group", 1))}
	var err error
	if o.taps, err = n.tapsOf(dims(o.x.shape[2:]), dims(o.y.shape[2:]), dims(o.w.shape[2:])); err != nil {
		return nil, err
	}
	o.batch, o.in, o.out = int(o.x.shape[0]), int(o.w.shape[1]), int(o.w.shape[0])/o.groups
	o.columns = n.scratch(o.in * o.taps.count * o.taps.places)
	if n.mayWant(0) {
		n.keepIn(1)
	}
	if n.mayWant(1) {
		n.keepIn(0)
	}
	return o, nil
}

// gather fills the columns from the channels of a group.
func (o *convND) gather(x []float32) {
	t := o.taps
	for c := range o.in {
		for k := range t.count {
			row := o.columns.float[(c*t.count+k)*t.places:][:t.places]
			for p := range row {
				row[p] = 0
				if at := t.at[p*t.count+k]; at >= 0 {
					row[p] = x[c*t.image+int(at)]
				}
			}
		}
	}
}

// spread adds the columns to the channels from which they come.
func (o *convND) spread(dx []float32) {
	t := o.taps
	for c := range o.in {
		for k := range t.count {
			row := o.columns.float[(c*t.count+k)*t.places:][:t.places]
			for p, v := range row {
				if at := t.at[p*t.count+k]; at >= 0 {
					dx[c*t.image+int(at)] += v
				}
			}
		}
	}
}

func (o *convND) planes() kernel.Planes {
	return kernel.Planes{Batch: o.batch, Channels: o.groups * o.out, Size: o.taps.places}
}

func (o *convND) forward() {
	if o.y.size == 0 {
		return
	}
	depth := o.in * o.taps.count
	for i := range o.batch * o.groups {
		g := i % o.groups
		o.gather(o.x.float[i*o.in*o.taps.image:])
		kernel.Gemm(o.pool, &kernel.GemmArgs{
			M: o.out, N: o.taps.places, K: depth, A: o.w.float[g*o.out*depth:], B: o.columns.float, C: o.y.float[i*o.out*o.taps.places:],
		})
	}
	if o.bias != nil {
		kernel.ChannelAffine(o.pool, o.planes(), o.y.float, o.y.float, nil, o.bias.float, kernel.Clamp{})
	}
}

func (o *convND) backward() {
	if o.y.size == 0 {
		return
	}
	depth, places := o.in*o.taps.count, o.taps.places
	for i := range o.batch * o.groups {
		g := i % o.groups
		dy := o.y.grad[i*o.out*places:]
		if o.w.wanted() {
			o.gather(o.x.float[i*o.in*o.taps.image:])
			kernel.Gemm(o.pool, &kernel.GemmArgs{
				M: o.out, N: depth, K: places, A: dy, B: o.columns.float, TransB: true, C: o.w.into[g*o.out*depth:], Accumulate: true,
			})
		}
		if o.x.wanted() {
			kernel.Gemm(o.pool, &kernel.GemmArgs{
				M: depth, N: places, K: o.out, A: o.w.float[g*o.out*depth:], TransA: true, B: dy, C: o.columns.float,
			})
			o.spread(o.x.into[i*o.in*o.taps.image:])
		}
	}
	if o.bias != nil && o.bias.wanted() {
		kernel.ChannelSums(o.pool, o.planes(), o.bias.into, o.y.grad, true)
	}
}

// A convTransposeND is ConvTranspose over images of three axes or more: what convND does
// backward.
type convTransposeND struct{ *convND }

func makeConvTransposeND(n *node) (operator, error) {
	x, w, y := n.in[0], n.in[1], n.out[0]
	if n.text("auto_pad", "NOTSET") != "NOTSET" || n.integers("output_shape") != nil {
		return nil, n.lacks("auto_pad or output_shape with images of %d axes", len(x.shape)-2)
	}
	o := &convND{pool: n.pool, x: x, w: w, bias: n.operand(2), y: y, groups: int(n.integer("group", 1))}
	var err error
	if o.taps, err = n.tapsOf(dims(y.shape[2:]), dims(x.shape[2:]), dims(w.shape[2:])); err != nil {
		return nil, err
	}
	o.batch, o.in, o.out = int(x.shape[0]), int(w.shape[1]), int(w.shape[0])/o.groups
	o.columns = n.scratch(o.in * o.taps.count * o.taps.places)
	if n.mayWant(0) {
		n.keepIn(1)
	}
	if n.mayWant(1) {
		n.keepIn(0)
	}
	return &convTransposeND{o}, nil
}

func (o *convTransposeND) planes() kernel.Planes {
	return kernel.Planes{Batch: o.batch, Channels: o.groups * o.in, Size: o.taps.image}
}

func (o *convTransposeND) forward() {
	clear(o.y.float)
	depth, places := o.in*o.taps.count, o.taps.places
	for i := range o.batch * o.groups {
		kernel.Gemm(o.pool, &kernel.GemmArgs{
			M: depth, N: places, K: o.out, A: o.w.float[i%o.groups*o.out*depth:], TransA: true, B: o.x.float[i*o.out*places:], C: o.columns.float,
		})
		o.spread(o.y.float[i*o.in*o.taps.image:])
	}
	if o.bias != nil {
		kernel.ChannelAffine(o.pool, o.planes(), o.y.float, o.y.float, nil, o.bias.float, kernel.Clamp{})
	}
}

func (o *convTransposeND) backward() {
	depth, places := o.in*o.taps.count, o.taps.places
	for i := range o.batch * o.groups {
		g := i % o.groups
		o.gather(o.y.grad[i*o.in*o.taps.image:])
		if o.x.wanted() {
			kernel.Gemm(o.pool, &kernel.GemmArgs{
				M: o.out, N: places, K: depth, A: o.w.float[g*o.out*depth:], B: o.columns.float, C: o.x.into[i*o.out*places:], Accumulate: true,
			})
		}
		if o.w.wanted() {
			kernel.Gemm(o.pool, &kernel.GemmArgs{
				M: o.out, N: depth, K: places, A: o.x.float[i*o.out*places:], B: o.columns.float, TransB: true, C: o.w.into[g*o.out*depth:], Accumulate: true,
			})
		}
	}
	if o.bias != nil && o.bias.wanted() {
		kernel.ChannelSums(o.pool, o.planes(), o.bias.into, o.y.grad, true)
	}
}

// A poolND is MaxPool, AveragePool or LpPool over images of any number of axes.
type poolND struct {
	pool     *kernel.Pool
	op       string
	x        *operand
	y        *site
	indices  *site // or nil
	taps     *taps
	channels int // of all images
	p        float64
	padding  bool    // count it in means
	arg      []int32 // of each maximum, in its channel
	space    []int
	columns  bool // indices count the first axis of space fastest
	do, undo func(worker, channel int)
}

func makePoolND(n *node) (operator, error) {
	o := &poolND{
		pool: n.pool, op: n.Op, x: n.in[0], y: n.out[0], p: float64(n.integer("p", 2)),
		padding: n.integer("count_include_pad", 0) != 0, columns: n.integer("storage_order", 0) != 0,
	}
	o.space = dims(o.x.shape[2:])
	size := make([]int, len(o.space))
	for i, k := range n.integers("kernel_shape") {
		size[i] = int(k)
	}
	out := dims(o.y.shape[2:])
	if n.Op == "GlobalLpPool" {
		o.op, size = "LpPool", o.space
	}
	var err error
	if o.taps, err = n.tapsOf(o.space, out, size); err != nil {
		return nil, err
	}
	o.channels = int(o.x.shape[0] * o.x.shape[1])
	if len(n.out) > 1 {
		o.indices = n.out[1]
	}
	if o.op == "MaxPool" {
		o.arg = make([]int32, o.y.size)
	}
	if o.op == "LpPool" {
		n.keepIn(0)
		n.keepOut()
	}
	o.do, o.undo = o.channel, o.channelBack
	return o, nil
}

func (o *poolND) forward() {
	if o.y.size == 0 {
		return
	}
	o.pool.Run(o.channels, o.do)
	if o.indices == nil {
		return
	}
	strides := dense(o.space)
	for i, a := range o.arg {
		first := i / o.taps.places * o.taps.image
		at := int(a)
		if o.columns && a >= 0 {
			at = 0
			step := 1
			for k, s := range strides {
				at += int(a) / s % o.space[k] * step
				step *= o.space[k]
			}
		}
		o.indices.int[i] = int64(first + at)
		if a < 0 {
			o.indices.int[i] = -1
		}
	}
}

func (o *poolND) channel(_, c int) {
	t := o.taps
	for p := range t.places {
		row := t.at[p*t.count : (p+1)*t.count]
		i, first := c*t.places+p, c*t.image
		switch {
		case o.op == "MaxPool":
			o.greatest(i, first, row)
		case o.op == "LpPool":
			sum := 0.0
			for _, at := range row {
				if at >= 0 {
					sum += math.Pow(math.Abs(float64(o.x.float[first+int(at)])), o.p)
				}
			}
			o.y.float[i] = float32(math.Pow(sum, 1/o.p))
		default:
			sum := 0.0
			for _, at := range row {
				if at >= 0 {
					sum += float64(o.x.float[first+int(at)])
				}
			}
			o.y.float[i] = float32(sum / float64(max(1, o.divisor(row))))
		}
	}
}

func (o *poolND) greatest(i, first int, row []int32) {
	top := int32(-1)
	for _, at := range row {
		if at >= 0 && (top < 0 || o.x.order(first+int(at), first+int(top)) > 0) {
			top = at
		}
	}
	o.arg[i] = top
	switch {
	case top < 0 && o.y.ints:
		o.y.int[i], _ = rangeOf(o.y.dtype)
	case top < 0:
		o.y.float[i] = float32(math.Inf(-1))
	case o.y.ints:
		o.y.int[i] = o.x.int[first+int(top)]
	default:
		o.y.float[i] = o.x.float[first+int(top)]
	}
}

// divisor returns by what the sum of a window is divided.
func (o *poolND) divisor(row []int32) int {
	if o.padding {
		return len(row)
	}
	count := 0
	for _, at := range row {
		if at >= 0 {
			count++
		}
	}
	return count
}

func (o *poolND) backward() {
	if o.y.size > 0 && o.y.grad != nil {
		o.pool.Run(o.channels, o.undo)
	}
}

func (o *poolND) channelBack(_, c int) {
	t := o.taps
	for p := range t.places {
		row := t.at[p*t.count : (p+1)*t.count]
		i, dx := c*t.places+p, o.x.into[c*t.image:(c+1)*t.image]
		dy := o.y.grad[i]
		switch o.op {
		case "MaxPool":
			if o.arg[i] >= 0 {
				dx[o.arg[i]] += dy
			}
		case "LpPool":
			y := float64(o.y.float[i])
			if y == 0 {
				continue
			}
			for _, at := range row {
				if at >= 0 {
					v := o.x.float[c*t.image+int(at)]
					dx[at] += dy * sign(v) * float32(math.Pow(math.Abs(float64(v))/y, o.p-1))
				}
			}
		default:
			part := dy / float32(max(1, o.divisor(row)))
			for _, at := range row {
				if at >= 0 {
					dx[at] += part
				}
			}
		}
	}
}
