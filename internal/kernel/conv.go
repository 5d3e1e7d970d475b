package kernel

import "fmt"

// A ConvShape is the shape of a 2-D convolution, or rather correlation, as all
// networks have it:
//
//	y[n][o][i][j] = Σ x[n][c][i·StrideH + u·DilationH − PadTop][j·StrideW + v·DilationW − PadLeft] · w[o][c'][u][v]
//
// over the channels c of o's group, and taps u, v; x outside of the image is 0. x
// is (Batch, InC, InH, InW), w is (OutC, InC/Groups, KH, KW), y is (Batch, OutC,
// OutH, OutW). A 1-D convolution has InH = KH = 1. Strides, dilations and Groups of 0 stand for 1.
type ConvShape struct {
	Batch, InC, InH, InW                 int
	OutC, KH, KW                         int
	StrideH, StrideW                     int
	DilationH, DilationW                 int
	PadTop, PadLeft, PadBottom, PadRight int
	Groups                               int
}

// OutSize returns the height and width of the output.
func (s *ConvShape) OutSize() (h, w int) {
	one := func(n int) int { return max(n, 1) }
	h = (s.InH+s.PadTop+s.PadBottom-one(s.DilationH)*(s.KH-1)-1)/one(s.StrideH) + 1
	w = (s.InW+s.PadLeft+s.PadRight-one(s.DilationW)*(s.KW-1)-1)/one(s.StrideW) + 1
	return h, w
}

// filled returns s with defaults in place, and panics if it makes no sense.
func (s *ConvShape) filled() convDims {
	d := convDims{ConvShape: *s}
	for _, n := range []*int{&d.StrideH, &d.StrideW, &d.DilationH, &d.DilationW, &d.Groups} {
		if *n == 0 {
			*n = 1
		}
	}
	if d.Batch < 0 || min(d.InC, d.InH, d.InW, d.OutC, d.KH, d.KW) < 1 ||
		min(d.StrideH, d.StrideW, d.DilationH, d.DilationW, d.Groups) < 1 ||
		min(d.PadTop, d.PadLeft, d.PadBottom, d.PadRight) < 0 ||
		d.InC%d.Groups != 0 || d.OutC%d.Groups != 0 ||
		d.InH+d.PadTop+d.PadBottom <= d.DilationH*(d.KH-1) || d.InW+d.PadLeft+d.PadRight <= d.DilationW*(d.KW-1) {
		panic(fmt.Sprintf("kernel: no convolution has the shape %+v", *s))
	}
	d.OutH, d.OutW = d.OutSize()
	d.ic, d.oc = d.InC/d.Groups, d.OutC/d.Groups
	return d
}

// convDims are a ConvShape with what follows from it.
type convDims struct {
	ConvShape
	OutH, OutW int
	ic, oc     int // channels of a group
}

func (d *convDims) sizeX() int { return d.Batch * d.InC * d.InH * d.InW }
func (d *convDims) sizeY() int { return d.Batch * d.OutC * d.OutH * d.OutW }
func (d *convDims) sizeW() int { return d.OutC * d.ic * d.KH * d.KW }

// A ConvEpilogue is what ConvForward does with each sum s before it stores it:
//
//	y = clamp(s + Bias[channel] + Residual)
type ConvEpilogue struct {
	Bias     []float32 // one for each output channel; nil for none
	Residual []float32 // as y; nil for none; may be y itself
	Clamp    Clamp
}

// ConvForward computes y from the images x and the weights w. A nil epilogue does
// nothing.
func ConvForward(p *Pool, s *ConvShape, y, x, w []float32, e *ConvEpilogue) {
	d := s.filled()
	need("w", w, d.sizeW())
	p.convolve(&d, y, x, w, nil, e)
}

// A PackedConv is the weights of a convolution in the order in which ConvForward
// reads them, for those that stay the same from call to call. The size of images and
// strides, dilations and pads have no influence on it.
type PackedConv struct {
	data []float32
	path Path
	oc, ic, kh, kw,
	groups int
}

// PackConv packs w, (OutC, InC/Groups, KH, KW).
func PackConv(p *Pool, s *ConvShape, w []float32) *PackedConv {
	d := s.filled()
	need("w", w, d.sizeW())
	c := &PackedConv{data: make([]float32, d.sizeW()), path: current.path, oc: d.oc, ic: d.ic, kh: d.KH, kw: d.KW, groups: d.Groups}
	p.packConv(&d, w, c.data)
	return c
}

// ConvForwardPacked is [ConvForward] with weights that were packed on the same path.
func ConvForwardPacked(p *Pool, s *ConvShape, y, x []float32, w *PackedConv, e *ConvEpilogue) {
	d := s.filled()
	if w.path != current.path || w.oc != d.oc || w.ic != d.ic || w.kh != d.KH || w.kw != d.KW || w.groups != d.Groups {
		panic(fmt.Sprintf("kernel: weights were packed for another convolution than %+v, or on the path %v", *s, w.path))
	}
	p.convolve(&d, y, x, nil, w.data, e)
}

func (p *Pool) convolve(d *convDims, y, x, w, packed []float32, e *ConvEpilogue) {
	need("x", x, d.sizeX())
	need("y", y, d.sizeY())
	var epilogue ConvEpilogue
	if e != nil {
		epilogue = *e
	}
	if epilogue.Bias != nil {
		need("Bias", epilogue.Bias, d.OutC)
	}
	if epilogue.Residual != nil {
		need("Residual", epilogue.Residual, d.sizeY())
	}
	p.convForward(d, x, w, packed, y, epilogue)
}

// ConvBackwardData computes the gradient dx by the images from the gradient dy by
// the output; with accumulate it is added to what dx holds.
func ConvBackwardData(p *Pool, s *ConvShape, dx, dy, w []float32, accumulate bool) {
	d := s.filled()
	need("dy", dy, d.sizeY())
	need("w", w, d.sizeW())
	need("dx", dx, d.sizeX())
	p.convBackwardData(&d, dy, w, dx, accumulate)
}

// ConvBackwardWeights computes the gradient dw by the weights; with accumulate it
// is added to what dw holds. That by the bias is [ChannelSums] of dy.
func ConvBackwardWeights(p *Pool, s *ConvShape, dw, x, dy []float32, accumulate bool) {
	d := s.filled()
	need("x", x, d.sizeX())
	need("dy", dy, d.sizeY())
	need("dw", dw, d.sizeW())
	p.convBackwardWeights(&d, x, dy, dw, accumulate)
}
