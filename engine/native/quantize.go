package native

import (
	"math"

	"ropewalk/internal/kernel"
	"ropewalk/tensor"
)

// A quantize is QuantizeLinear or DequantizeLinear, forward only, with one scale, or one
// for each place along an axis.
type quantize struct {
	pool                 *kernel.Pool
	x, scale             *operand
	zero                 *operand // or nil
	y                    *site
	outer, length, inner int
	lo, hi               float64
}

func makeQuantize(n *node) (operator, error) {
	o := &quantize{pool: n.pool, x: n.in[0], scale: n.in[1], zero: n.operand(2), y: n.out[0], length: 1}
	o.outer, o.inner = o.x.size, 1
	if o.scale.size != 1 || len(o.scale.shape) > 0 && len(o.x.shape) > 0 && o.scale.size == 1 && len(o.scale.shape) > 1 {
		if len(o.scale.shape) != 1 || n.integer("block_size", 0) != 0 {
			return nil, n.lacks("scales of blocks")
		}
		a := axis(n.integer("axis", 1), len(o.x.shape))
		o.outer, o.length, o.inner = product(o.x.shape[:a]), int(o.x.shape[a]), product(o.x.shape[a+1:])
	}
	if n.Op == "QuantizeLinear" {
		switch o.y.dtype {
		case tensor.U8:
			o.hi = 255
		case tensor.I8:
			o.lo, o.hi = -128, 127
		case tensor.U16:
			o.hi = 65535
		case tensor.I16:
			o.lo, o.hi = -32768, 32767
		default:
			return nil, n.lacks("type %s", o.y.dtype)
		}
	}
	return o, nil
}

func (o *quantize) forward() {
	for r := range o.outer {
		for k := range o.length {
			s := o.scale.float[k]
			zero := int64(0)
			if o.zero != nil && o.zero.ints {
				zero = o.zero.int[k]
			}
			for i := (r*o.length + k) * o.inner; i < (r*o.length+k+1)*o.inner; i++ {
				if o.y.ints {
					v := math.RoundToEven(float64(o.x.float[i])/float64(s)) + float64(zero)
					o.y.int[i] = int64(min(max(v, o.lo), o.hi))
				} else {
					o.y.float[i] = float32(o.x.int[i]-zero) * s
				}
			}
		}
	}
}
