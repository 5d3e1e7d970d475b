package native

import "ropewalk/internal/kernel"

// A convTranspose is ConvTranspose: the gradient of a convolution by its images. That
// convolution goes from y to x; so forward and backward change places.
type convTranspose struct {
	pool  *kernel.Pool
	shape kernel.ConvShape // of the convolution from y to x
	out   kernel.Planes    // y
	x, w  *operand
	bias  *operand // or nil
	y     *site
}

func makeConvTranspose(n *node) (operator, error) {
	o := &convTranspose{pool: n.pool, x: n.in[0], w: n.in[1], bias: n.operand(2), y: n.out[0]}
	h, w, err := n.windows(o.x.shape, o.y.shape, o.w.shape[2:])
	if err != nil {
		return nil, err
	}
	s := &o.shape
	s.Batch, s.InC, s.InH, s.InW = image(o.y.shape)
	_, channels, xh, xw := image(o.x.shape)
	s.OutC, s.KH, s.KW, s.Groups = channels, h.size, w.size, int(n.integer("group", 1))
	s.StrideH, s.StrideW, s.DilationH, s.DilationW = h.stride, w.stride, h.dilation, w.dilation
	o.out = kernel.Planes{Batch: s.Batch, Channels: s.InC, Size: s.InH * s.InW}
	axes := len(o.x.shape) - 2
	var ok1, ok2 bool
	s.PadTop, s.PadBottom, ok1 = n.transposedPads(h, xh, s.InH, axes-2)
	s.PadLeft, s.PadRight, ok2 = n.transposedPads(w, xw, s.InW, axes-1)
	if !(ok1 && ok2) && o.y.size > 0 && o.x.size > 0 {
		return nil, n.lacks("an output of shape %v, larger than what its kernel and stride reach", o.y.shape)
	}
	if n.mayWant(0) {
		n.keepIn(1)
	}
	if n.mayWant(1) {
		n.keepIn(0)
	}
	n.chooses()
	return o, nil
}

// transposedPads returns the pads along one axis with which a convolution of an image of
// length out has from places. ok is false if there are none. axis is -1 for the axis
// that images of one axis lack.
func (n *node) transposedPads(v window, from, out, axis int) (before, after int, ok bool) {
	if axis < 0 {
		return 0, 0, true
	}
	extra := 0
	if e := n.integers("output_padding"); e != nil {
		extra = int(e[axis])
	}
	reach := (from-1)*v.stride + (v.size-1)*v.dilation + 1 // without pads
	auto := n.text("auto_pad", "NOTSET")
	before = v.before
	if want := n.integers("output_shape"); want != nil || auto == "SAME_UPPER" || auto == "SAME_LOWER" {
		total := max(0, reach+extra-out)
		before = total - total/2
		if auto == "SAME_UPPER" {
			before = total / 2
		}
	}
	after = reach - out - before
	if after < 0 { // the last elements of y are in no window, or stay in one that is not there
		rest := -after
		return before, 0, rest < v.stride
	}
	return before, after, true
}

func (o *convTranspose) forward() {
	if o.y.size == 0 {
		return
	}
	if o.x.size == 0 || o.w.size == 0 {
		clear(o.y.float)
	} else {
		kernel.ConvBackwardData(o.pool, &o.shape, o.y.float, o.x.float, o.w.float, false)
	}
	if o.bias != nil {
		kernel.ChannelAffine(o.pool, o.out, o.y.float, o.y.float, nil, o.bias.float, kernel.Clamp{})
	}
}

func (o *convTranspose) backward() {
	empty := o.y.size == 0 || o.x.size == 0 || o.w.size == 0
	if o.x.wanted() {
		switch {
		case empty && !o.x.add:
			clear(o.x.into)
		case !empty:
			var e kernel.ConvEpilogue
			if o.x.add {
				e.Residual = o.x.into
			}
			kernel.ConvForward(o.pool, &o.shape, o.x.into, o.y.grad, o.w.float, &e)
		}
	}
	if o.w.wanted() {
		switch {
		case empty && !o.w.add:
			clear(o.w.into)
		case !empty:
			kernel.ConvBackwardWeights(o.pool, &o.shape, o.w.into, o.y.grad, o.x.float, o.w.add)
		}
	}
	if o.bias != nil && o.bias.wanted() {
		kernel.ChannelSums(o.pool, o.out, o.bias.into, o.y.grad, o.bias.add)
	}
}
