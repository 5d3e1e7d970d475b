package native

import "ropewalk/internal/kernel"

// maxPatches is up to how many pixels the product in patches is for: so many rows are
// dot products with the weights as they lie.
const maxPatches = 8

// A patches computes a convolution that has few pixels and many channels, as those of
// a voice detector: it lays the patches out, one for each pixel of the result, and
// multiplies them with the weights, which are read once and not packed.
type patches struct {
	shape      *kernel.ConvShape
	outH, outW int
	args       kernel.GemmArgs
	patch      *memory // pixels × (channels · KH · KW)
	result     *memory // pixels × channels
}

// newPatches returns nil if the convolution is not of that kind.
func newPatches(n *node, s *kernel.ConvShape, outH, outW int) *patches {
	pixels, k := s.Batch*outH*outW, s.InC*s.KH*s.KW
	if n.training || pixels > maxPatches || pixels == 0 || s.Groups != 1 || k < 64 || n.residual > 0 {
		return nil
	}
	return &patches{
		shape: s, outH: outH, outW: outW, patch: n.scratch(pixels * k), result: n.scratch(pixels * s.OutC),
		args: kernel.GemmArgs{M: pixels, N: s.OutC, K: k, TransB: true, Clamp: n.clamp},
	}
}

func (o *patches) forward(p *kernel.Pool, y, x, w, bias []float32) {
	o.layOut(x)
	g := &o.args
	g.A, g.B, g.C, g.ColBias = o.patch.float, w, o.result.float, bias
	kernel.Gemm(p, g)
	size := o.outH * o.outW
	for i := range g.M {
		image, pixel := i/size*g.N*size, i%size
		for c, v := range o.result.float[i*g.N:][:g.N] {
			y[image+c*size+pixel] = v
		}
	}
}

func (o *patches) layOut(x []float32) {
	s := o.shape
	dst := o.patch.float
	clear(dst)
	for n := range s.Batch {
		for i := range o.outH {
			for j := range o.outW {
				left := j*s.StrideW - s.PadLeft
				first := max(0, -left+s.DilationW-1) / s.DilationW // the first column inside
				last := min(s.KW, (s.InW-left+s.DilationW-1)/s.DilationW)
				for c := range s.InC {
					plane := x[(n*s.InC+c)*s.InH*s.InW:][:s.InH*s.InW]
					for u := range s.KH {
						h := i*s.StrideH - s.PadTop + u*s.DilationH
						if h < 0 || h >= s.InH {
							dst = dst[s.KW:]
							continue
						}
						row := plane[h*s.InW:][:s.InW]
						if s.DilationW == 1 && first < last {
							copy(dst[first:last], row[left+first:])
						} else {
							for v := first; v < last; v++ {
								dst[v] = row[left+v*s.DilationW]
							}
						}
						dst = dst[s.KW:]
					}
				}
			}
		}
	}
}
