package native

import "ropewalk/internal/kernel"

// A pooling is MaxPool, AveragePool, or one of them over the whole image.
type pooling struct {
	pool    *kernel.Pool
	shape   kernel.PoolShape
	average bool
	global  bool // average over whole images
	x       *operand
	y       *site
	indices *site   // or nil
	arg     []int32 // of each maximum
}

func makePool(average, global bool) maker {
	return func(n *node) (operator, error) {
		o := &pooling{pool: n.pool, average: average, global: global && average, x: n.in[0], y: n.out[0]}
		if o.x.ints {
			return nil, n.lacks("integers")
		}
		s := &o.shape
		if global {
			s.Batch, s.Channels = int(o.x.shape[0]), int(o.x.shape[1])
			s.InH, s.InW = 1, product(o.x.shape[2:])
			s.KH, s.KW = s.InH, s.InW
		} else {
			h, w, err := n.windows(o.x.shape, o.y.shape, n.integers("kernel_shape"))
			if err != nil {
				return nil, err
			}
			s.Batch, s.Channels, s.InH, s.InW = image(o.x.shape)
			s.KH, s.KW, s.StrideH, s.StrideW, s.DilationH, s.DilationW = h.size, w.size, h.stride, w.stride, h.dilation, w.dilation
			s.PadTop, s.PadBottom, s.PadLeft, s.PadRight = h.before, h.after, w.before, w.after
			s.Ceil = n.integer("ceil_mode", 0) != 0
			s.CountPadding = n.integer("count_include_pad", 0) != 0
			outH, outW := s.OutSize()
			if _, _, yh, yw := image(o.y.shape); outH != yh || outW != yw {
				return nil, n.lacks("windows that come out as %d×%d where %d×%d is wanted", outH, outW, yh, yw)
			}
		}
		if len(n.out) > 1 && n.out[1] != nil {
			if n.integer("storage_order", 0) != 0 {
				return nil, n.lacks("indices in the order of columns")
			}
			o.indices = n.out[1]
		}
		if !average && (n.mayWant(0) || o.indices != nil) {
			o.arg = make([]int32, o.y.size)
		}
		n.chooses()
		return o, nil
	}
}

func (o *pooling) planes() kernel.Planes {
	return kernel.Planes{Batch: o.shape.Batch, Channels: o.shape.Channels, Size: o.shape.InH * o.shape.InW}
}

func (o *pooling) forward() {
	switch {
	case o.y.size == 0:
	case o.global:
		kernel.PlaneMeans(o.pool, o.planes(), o.y.float, o.x.float)
	case o.average:
		kernel.AveragePool(o.pool, &o.shape, o.y.float, o.x.float)
	default:
		kernel.MaxPool(o.pool, &o.shape, o.y.float, o.arg, o.x.float)
	}
	if o.indices == nil {
		return
	}
	plane := o.shape.InH * o.shape.InW
	of := o.y.size / max(1, o.shape.Batch*o.shape.Channels)
	for i, a := range o.arg {
		o.indices.int[i] = int64(i/of*plane) + int64(a)
	}
}

func (o *pooling) backward() {
	switch {
	case o.y.size == 0:
		if !o.x.add {
			clear(o.x.into)
		}
	case o.global:
		kernel.PlaneMeansBackward(o.pool, o.planes(), o.x.into, o.y.grad, o.x.add)
	case o.average:
		kernel.AveragePoolBackward(o.pool, &o.shape, o.x.into, o.y.grad, o.x.add)
	default:
		kernel.MaxPoolBackward(o.pool, &o.shape, o.x.into, o.y.grad, o.arg, o.x.add)
	}
}
