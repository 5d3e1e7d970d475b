package native

import (
	"math"

	"ropewalk/internal/kernel"
	"ropewalk/tensor"
)

// A quantize is QuantizeLinear or DequantizeLinear. It goes over the data with the
// number of the scale of each element.
type quantize struct {
	x, scale *operand
	zero     *operand // or nil
	y        *site
	lookup   lookup
}

func makeQuantize(n *node) (operator, error) {
	o := &quantize{x: n.in[0], scale: n.in[1], zero: n.operand(2), y: n.out[0], lookup: lookup{area: 1, count: 1}}
	if n.mayWant(0) || n.mayWant(1) {
		return nil, n.lacks("its gradient")
	}
	if o.zero != nil && !o.zero.ints {
		return nil, n.lacks("type %s", o.zero.dtype)
	}
	block := int(n.integer("block_size", 0))
	if o.scale.size == 1 && len(o.scale.shape) <= 1 && block == 0 {
		return o, nil
	}
	a := axis(n.integer("axis", 1), len(o.x.shape))
	shape := dims(o.x.shape)
	if block == 0 {
		o.lookup = lookup{area: product(shape[a+1:]), count: shape[a]}
		return o, nil
	}
	strides, own := dense(shape), dense(dims(o.scale.shape))
	o.lookup.table = make([]int32, o.x.size)
	for i := range o.lookup.table {
		k := 0
		for j := range shape {
			at := i / strides[j] % shape[j]
			if j == a {
				at /= block
			}
			k += at * own[j]
		}
		o.lookup.table[i] = int32(k)
	}
	return o, nil
}

// zeroPoint returns zero point k of those that may be left out, or be one for all.
func zeroPoint(zero *operand, k int) int64 {
	switch {
	case zero == nil:
		return 0
	case zero.size == 1:
		return zero.int[0]
	}
	return zero.int[k]
}

func (o *quantize) forward() {
	for i := range o.x.size {
		k := o.lookup.at(i)
		if !o.y.ints {
			v := float64(o.x.int[i]-zeroPoint(o.zero, k)) * float64(o.scale.float[k])
			o.y.float[i] = roundTo(o.y.dtype, v)
			continue
		}
		q := roundTo(o.scale.dtype, o.x.number(i)/float64(o.scale.float[k]))
		o.y.int[i] = saturate(o.y.dtype, math.RoundToEven(float64(q))+float64(zeroPoint(o.zero, k)))
	}
}

// A dynamicQuantize is DynamicQuantizeLinear: to 8 bits, with the scale and the zero
// point by which the data, and 0, fill them.
type dynamicQuantize struct {
	x              *operand
	y, scale, zero *site // each may be nil
}

func makeDynamicQuantize(n *node) (operator, error) {
	o := &dynamicQuantize{x: n.in[0]}
	for k, to := range []**site{&o.y, &o.scale, &o.zero} {
		if k < len(n.out) {
			*to = n.out[k]
		}
	}
	if n.mayWant(0) {
		return nil, n.lacks("its gradient")
	}
	return o, nil
}

func (o *dynamicQuantize) forward() {
	lo, hi := float32(0), float32(0)
	for _, v := range o.x.float {
		lo, hi = min(lo, v), max(hi, v)
	}
	scale := float32((float64(hi) - float64(lo)) / 255)
	zero := int64(0)
	if scale > 0 {
		zero = saturate(tensor.U8, math.RoundToEven(float64(-lo/scale)))
	}
	if o.scale != nil {
		o.scale.float[0] = scale
	}
	if o.zero != nil {
		o.zero.int[0] = zero
	}
	if o.y == nil {
		return
	}
	for i, v := range o.x.float {
		q := 0.0
		if scale > 0 {
			q = math.RoundToEven(float64(v / scale))
		}
		o.y.int[i] = saturate(tensor.U8, q+float64(zero))
	}
}

// A wholeMatMul is MatMulInteger or QLinearMatMul: a product of integers less their
// zero points. The latter scales it back to 8 bits.
type wholeMatMul struct {
	*matmul
	zeroA, zeroB  *operand // or nil
	ofA, ofB      lookup   // numbers of zero points
	a64, b64, c64 []int64
	scales        [3]*operand // of a, b and the result; nil for MatMulInteger
	zeroOut       *operand
}

func makeWholeMatMul(n *node) (operator, error) {
	o := &wholeMatMul{}
	ia, ib := 0, 1
	za, zb := 2, 3
	if n.Op == "QLinearMatMul" {
		ib, za, zb = 3, 2, 5
		o.scales, o.zeroOut = [3]*operand{n.in[1], n.in[4], n.in[6]}, n.in[7]
		if n.mayWant(1) || n.mayWant(4) || n.mayWant(6) {
			return nil, n.lacks("scales that are trained")
		}
	}
	o.zeroA, o.zeroB = n.operand(za), n.operand(zb)
	inner := *n
	inner.in = []*operand{n.in[ia], n.in[ib]}
	m, err := makeMatMul(&inner)
	if err != nil {
		return nil, err
	}
	o.matmul = m.(*wholeProduct).matmul
	o.ofA, o.ofB = zeroLookup(o.zeroA, n.in[ia], false), zeroLookup(o.zeroB, n.in[ib], true)
	o.a64, o.b64, o.c64 = make([]int64, o.a.size), make([]int64, o.b.size), make([]int64, o.y.size)
	return o, nil
}

// zeroLookup returns which zero point belongs to an element of a matrix: one for all,
// one for each row or, of a right operand, column, or one for each line of an array.
func zeroLookup(zero, x *operand, columns bool) lookup {
	l := lookup{area: 1, count: 1}
	if zero == nil || zero.size == 1 {
		return l
	}
	shape := dims(x.shape)
	if len(zero.shape) == 1 {
		a := len(shape) - 2
		if columns {
			a++
		}
		return lookup{area: product(shape[a+1:]), count: shape[a]}
	}
	return lookupOf(dims(zero.shape), shape)
}

func (o *wholeMatMul) forward() {
	for i, v := range o.a.int {
		o.a64[i] = v - zeroPoint(o.zeroA, o.ofA.at(i))
	}
	for i, v := range o.b.int {
		o.b64[i] = v - zeroPoint(o.zeroB, o.ofB.at(i))
	}
	for _, at := range o.offsets {
		multiplyInts(o.m, o.n, o.k, o.a64[at[0]:], o.b64[at[1]:], o.c64[at[2]:])
	}
	for i, v := range o.c64[:o.y.size] {
		if o.zeroOut == nil {
			o.y.int[i] = o.y.dtype.Wrap(v)
			continue
		}
		o.y.int[i] = requantize(o.y.dtype, v, o.scales[0].float[0], o.scales[1].float[0], o.scales[2].float[0], o.zeroOut.int[0])
	}
}

// requantize scales a sum of products back to small integers, in float32 as other
// programs do, so that ties are theirs.
func requantize(d tensor.DType, sum int64, a, b, out float32, zero int64) int64 {
	return saturate(d, math.RoundToEven(float64(float32(float64(sum)*float64(a*b/out))))+float64(zero))
}

// A wholeConv is ConvInteger or QLinearConv: a convolution of integers less their zero
// points; what is outside of the image counts as one. It takes windows one by one.
type wholeConv struct {
	pool         *kernel.Pool
	x, w         *operand
	zeroX, zeroW *operand
	bias         *operand
	scales       [3]*operand // of x, w and the result
	zeroOut      *operand
	y            *site
	shape        kernel.ConvShape
	outH, outW   int
	do           func(worker, i int)
}

func makeWholeConv(n *node) (operator, error) {
	o := &wholeConv{pool: n.pool, x: n.in[0], y: n.out[0]}
	if n.Op == "QLinearConv" {
		o.w, o.zeroX, o.zeroW, o.bias = n.in[3], n.in[2], n.in[5], n.operand(8)
		o.scales, o.zeroOut = [3]*operand{n.in[1], n.in[4], n.in[6]}, n.in[7]
		if n.mayWant(1) || n.mayWant(4) || n.mayWant(6) {
			return nil, n.lacks("scales that are trained")
		}
	} else {
		o.w, o.zeroX, o.zeroW = n.in[1], n.operand(2), n.operand(3)
	}
	h, w, err := n.windows(o.x.shape, o.y.shape, o.w.shape[2:])
	if err != nil {
		return nil, err
	}
	s := &o.shape
	s.Batch, s.InC, s.InH, s.InW = image(o.x.shape)
	s.OutC, s.KH, s.KW = int(o.w.shape[0]), h.size, w.size
	s.StrideH, s.StrideW, s.DilationH, s.DilationW = h.stride, w.stride, h.dilation, w.dilation
	s.PadTop, s.PadLeft, s.Groups = h.before, w.before, int(n.integer("group", 1))
	_, _, o.outH, o.outW = image(o.y.shape)
	o.do = o.plane
	return o, nil
}

func (o *wholeConv) forward() {
	if o.y.size > 0 {
		o.pool.Run(o.shape.Batch*o.shape.OutC, o.do)
	}
}

// plane computes one channel of one image.
func (o *wholeConv) plane(_, i int) {
	s := &o.shape
	f := i % s.OutC
	group := s.InC / s.Groups
	first := i/s.OutC*s.InC + f/(s.OutC/s.Groups)*group
	zeroX, zeroW := zeroPoint(o.zeroX, 0), zeroPoint(o.zeroW, f)
	for p := range o.outH * o.outW {
		y, x := p/o.outW*s.StrideH-s.PadTop, p%o.outW*s.StrideW-s.PadLeft
		sum := int64(0)
		for c := range group {
			image := o.x.int[(first+c)*s.InH*s.InW:]
			taps := o.w.int[(f*group+c)*s.KH*s.KW:]
			for u := range s.KH {
				r := y + u*s.DilationH
				if r < 0 || r >= s.InH {
					continue
				}
				for v := range s.KW {
					if q := x + v*s.DilationW; q >= 0 && q < s.InW {
						sum += (image[r*s.InW+q] - zeroX) * (taps[u*s.KW+v] - zeroW)
					}
				}
			}
		}
		at := i*o.outH*o.outW + p
		if o.zeroOut == nil {
			o.y.int[at] = o.y.dtype.Wrap(sum)
			continue
		}
		if o.bias != nil {
			sum += o.bias.int[f]
		}
		scale := o.scales[1].float[0]
		if o.scales[1].size > 1 {
			scale = o.scales[1].float[f]
		}
		o.y.int[at] = requantize(o.y.dtype, sum, o.scales[0].float[0], scale, o.scales[2].float[0], o.zeroOut.int[0])
	}
}
