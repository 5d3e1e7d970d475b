package native

import "ropewalk/internal/kernel"

// A convTranspose is ConvTranspose: the gradient of a convolution by its images,
// from x to y.
type convTranspose struct {
	pool  *kernel.Pool
	shape kernel.ConvShape // of the convolution from y to x
	out   kernel.Planes
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
	_, c, xh, xw := image(o.x.shape)
	s.OutC, s.KH, s.KW, s.Groups = c, h.size, w.size, int(n.integer("group", 1))
	s.StrideH, s.StrideW, s.DilationH, s.DilationW = h.stride, w.stride, h.dilation, w.dilation
	auto, extra := n.text("auto_pad", "NOTSET"), n.integers("output_padding")
	pads := func(v window, in, out, axis int) (before, after int) {
		more := 0
		if k := axis - (4 - len(o.x.shape)); extra != nil && k >= 0 {
			more = int(extra[k])
		}
		total := v.stride*(in-1) + more + v.dilation*(v.size-1) + 1 - out
		if auto == "SAME_UPPER" || auto == "SAME_LOWER" || n.integers("output_shape") != nil {
			before = total / 2
			if auto != "SAME_UPPER" {
				before = total - total/2
			}
		} else {
			before = v.before
		}
		return before, max(0, v.stride*(in-1)+v.dilation*(v.size-1)+1-out-before)
	}
	s.PadTop, s.PadBottom = pads(h, xh, s.InH, 0)
	s.PadLeft, s.PadRight = pads(w, xw, s.InW, 1)
	if oh, ow := s.OutSize(); o.y.size > 0 && (s.PadTop < 0 || s.PadLeft < 0 || oh != xh || ow != xw) {
		return nil, n.lacks("pads from which %v comes out", o.y.shape)
	}
	o.out = kernel.Planes{Batch: s.Batch, Channels: s.InC, Size: s.InH * s.InW}
	if n.mayWant(0) {
		n.keepIn(1)
	}
	if n.mayWant(1) {
		n.keepIn(0)
	}
	n.chooses()
	return o, nil
}

func (o *convTranspose) forward() {
	if o.y.size == 0 {
		return
	}
	kernel.ConvBackwardData(o.pool, &o.shape, o.y.float, o.x.float, o.w.float, false)
	if o.bias != nil {
		kernel.ChannelAffine(o.pool, o.out, o.y.float, o.y.float, nil, o.bias.float, kernel.Clamp{})
	}
}

func (o *convTranspose) backward() {
	if o.x.wanted() {
		// The convolution cannot add; what is there goes in as its residual.
		var e kernel.ConvEpilogue
		if o.x.add {
			e.Residual = o.x.into
		}
		kernel.ConvForward(o.pool, &o.shape, o.x.into, o.y.grad, o.w.float, &e)
	}
	if o.w.wanted() {
		kernel.ConvBackwardWeights(o.pool, &o.shape, o.w.into, o.y.grad, o.x.float, o.w.add)
	}
	if o.bias != nil && o.bias.wanted() {
		kernel.ChannelSums(o.pool, o.out, o.bias.into, o.y.grad, o.bias.add)
	}
}
