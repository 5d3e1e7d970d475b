package native

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"ropewalk/internal/kernel"
)

// A conv is Conv, with what was fused to it: a normalization that is folded into
// weights and bias at each call, an addend, and a clamp.
type conv struct {
	fused
	pool     *kernel.Pool
	shape    kernel.ConvShape
	out      kernel.Planes // of the result
	x, w     *operand
	bias     *operand // or nil
	stats    []*operand
	steps    []*operand // of fused.affine
	addend   *operand   // or nil
	y        *site
	folded   *memory // weights times the scale of the normalization
	scale    []float32
	shift    []float32
	epilogue kernel.ConvEpilogue
	few      *patches // or nil
	ready    *ready   // of weights that stay the same; else nil
}

// A ready is the weights of a convolution as the kernel wants them: folded and packed.
type ready struct {
	packed *kernel.PackedConv
	bias   []float32
}

func makeConv(n *node) (operator, error) {
	o := &conv{fused: n.fused, pool: n.pool, x: n.in[0], w: n.in[1], bias: n.operand(2), y: n.out[0]}
	h, w, err := n.windows(o.x.shape, o.y.shape, o.w.shape[2:])
	if err != nil {
		return nil, err
	}
	s := &o.shape
	s.Batch, s.InC, s.InH, s.InW = image(o.x.shape)
	s.OutC, s.KH, s.KW = int(o.w.shape[0]), h.size, w.size
	s.StrideH, s.StrideW, s.DilationH, s.DilationW = h.stride, w.stride, h.dilation, w.dilation
	s.PadTop, s.PadBottom, s.PadLeft, s.PadRight = h.before, h.after, w.before, w.after
	s.Groups = int(n.integer("group", 1))
	_, _, outH, outW := image(o.y.shape)
	o.out = kernel.Planes{Batch: s.Batch, Channels: s.OutC, Size: outH * outW}
	o.epilogue.Clamp = n.clamp
	if n.norm > 0 {
		o.stats = n.in[n.norm : n.norm+4]
	}
	for _, a := range n.affine {
		o.steps = append(o.steps, n.in[a.operand])
	}
	folds := n.norm > 0 || len(n.affine) > 0
	if folds {
		o.scale, o.shift = make([]float32, s.OutC), make([]float32, s.OutC)
	}
	if n.residual > 0 {
		o.addend = n.in[n.residual]
		n.inPlace(n.residual)
	}
	if n.mayWant(0) {
		n.keepIn(1)
	}
	if n.mayWant(1) {
		n.keepIn(0)
	}
	if n.clamp.On {
		n.keepOut()
	}
	n.chooses()
	o.few = newPatches(n, s, outH, outW)
	switch {
	case o.few == nil && o.y.size > 0 && n.fixed(n.in[1:]):
		o.ready = o.prepare(n)
	case folds:
		o.folded = n.scratch(o.w.size)
	}
	return o, nil
}

// fixed reports whether all operands, but for those that are not there and the addend,
// are weights that stay the same for all plans.
func (n *node) fixed(operands []*operand) bool {
	if n.training || !n.inside.program.fixed {
		return false
	}
	for i, o := range operands {
		if o != nil && i+1 != n.residual && o.kind != held {
			return false
		}
	}
	return true
}

// prepare folds and packs once for all plans.
func (o *conv) prepare(n *node) *ready {
	names := []string{fmt.Sprint(n.epsilon, n.affine, o.shape.Groups)}
	for i, w := range n.in[1:] {
		if w != nil && i+1 != n.residual {
			names = append(names, w.name)
		}
	}
	key := strings.Join(names, "\x00")
	all := n.inside.program.ready
	if r := all[key]; r != nil {
		return r
	}
	r := &ready{}
	weights := o.w.float
	if o.bias != nil {
		r.bias = o.bias.float
	}
	if o.scale != nil {
		weights = make([]float32, o.w.size)
		o.fold(weights, r.bias)
		r.bias = slices.Clone(o.shift)
	}
	r.packed = kernel.PackConv(o.pool, &o.shape, weights)
	all[key] = r
	return r
}

func (o *conv) forward() {
	if o.y.size == 0 {
		return
	}
	e := &o.epilogue
	e.Bias, e.Residual = nil, nil
	if o.addend != nil {
		e.Residual = o.addend.float
	}
	if o.ready != nil {
		e.Bias = o.ready.bias
		kernel.ConvForwardPacked(o.pool, &o.shape, o.y.float, o.x.float, o.ready.packed, e)
		return
	}
	weights := o.w.float
	if o.bias != nil {
		e.Bias = o.bias.float
	}
	if o.folded != nil {
		o.fold(o.folded.float, e.Bias)
		weights, e.Bias = o.folded.float, o.shift
	}
	if o.few != nil {
		o.few.forward(o.pool, o.y.float, o.x.float, weights, e.Bias)
		return
	}
	kernel.ConvForward(o.pool, &o.shape, o.y.float, o.x.float, weights, e)
}

// fold makes weights, and in shift the bias, that do what the convolution and the
// normalization and products after it do.
func (o *conv) fold(weights, bias []float32) {
	for c := range o.scale {
		s, t := 1.0, 0.0
		if bias != nil {
			t = float64(bias[c])
		}
		if o.stats != nil {
			gamma, beta, mean, variance := o.stats[0].float, o.stats[1].float, o.stats[2].float, o.stats[3].float
			s = float64(gamma[c]) / math.Sqrt(float64(variance[c])+o.epsilon)
			t = float64(beta[c]) + s*(t-float64(mean[c]))
		}
		for i, step := range o.steps {
			v := step.float[0]
			if step.size > 1 {
				v = step.float[c]
			}
			if o.affine[i].times {
				s, t = s*float64(v), t*float64(v)
			} else {
				t += float64(v)
			}
		}
		o.scale[c], o.shift[c] = float32(s), float32(t)
	}
	d := kernel.Planes{Batch: 1, Channels: o.shape.OutC, Size: o.w.size / o.shape.OutC}
	kernel.ChannelAffine(o.pool, d, weights, o.w.float, o.scale, nil, kernel.Clamp{})
}

func (o *conv) backward() {
	dy := o.y.grad
	if o.y.size == 0 {
		for _, in := range []*operand{o.x, o.w, o.bias} {
			if in != nil && in.wanted() && !in.add {
				clear(in.into)
			}
		}
		return
	}
	if o.clamp.On {
		o.clamp.Grad(o.pool, dy, o.y.float, dy)
	}
	if o.x.wanted() {
		kernel.ConvBackwardData(o.pool, &o.shape, o.x.into, dy, o.w.float, o.x.add)
	}
	if o.w.wanted() {
		kernel.ConvBackwardWeights(o.pool, &o.shape, o.w.into, o.x.float, dy, o.w.add)
	}
	if o.bias != nil && o.bias.wanted() {
		kernel.ChannelSums(o.pool, o.out, o.bias.into, dy, o.bias.add)
	}
}
