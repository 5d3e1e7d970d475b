package native

import "ropewalk/internal/kernel"

// A dropout is Dropout in training: elements are dropped with a probability, and the
// others grow by as much. In other plans it is a view.
type dropout struct {
	pool  *kernel.Pool
	x     *operand
	ratio *operand // or nil
	y     *site
	mask  *site // the second result, or nil
	train bool

	random *random
	node   uint64
	from   float32 // attribute, or the default of ONNX

	dst, src []float32
	do       func(worker, i int)
	pieces   int
}

func makeDropout(n *node) (operator, error) {
	o := &dropout{
		pool: n.pool, x: n.in[0], ratio: n.operand(1), y: n.out[0], train: n.training && !n.frozen,
		random: n.random, node: nameHash(n.Name), from: float32(n.number("ratio", 0.5)),
	}
	if len(n.out) > 1 {
		o.mask = n.out[1]
	}
	o.pieces = (o.x.size + grainOf - 1) / grainOf
	o.do = o.piece
	n.inPlace(0)
	n.writes(0)
	n.gradInPlace(0)
	return o, nil
}

// keep returns the state of a source of random numbers for a piece.
func (o *dropout) state(piece int) uint64 {
	s := o.random.seed
	for _, v := range [...]uint64{o.random.step, o.node, uint64(piece)} {
		s = mix(s + 0x9e3779b97f4a7c15 + v)
	}
	return s
}

// mix is the output function of SplitMix64 (Steele, Lea and Flood 2014).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// nameHash is FNV-1a of 64 bits.
func nameHash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

func (o *dropout) probability() float64 {
	if o.ratio != nil && o.ratio.size > 0 && !o.ratio.ints {
		return float64(o.ratio.float[0])
	}
	return float64(o.from)
}

// piece multiplies a piece of src into dst.
func (o *dropout) piece(_, i int) {
	lo, hi := i*grainOf, min((i+1)*grainOf, o.x.size)
	p := o.probability()
	limit := uint64(p * (1 << 32)) // of 32 bits: dropped below
	scale := float32(0)
	if p < 1 {
		scale = float32(1 / (1 - p))
	}
	s := o.state(i)
	for k := lo; k < hi; k += 2 {
		s += 0x9e3779b97f4a7c15
		z := mix(s)
		for j := k; j < min(k+2, hi); j++ {
			keep := z&(1<<32-1) >= limit
			z >>= 32
			v := float32(0)
			if keep {
				v = o.src[j] * scale
			}
			o.dst[j] = v
			if o.mask != nil {
				o.mask.int[j] = 0
				if keep {
					o.mask.int[j] = 1
				}
			}
		}
	}
}

func (o *dropout) forward() {
	if !o.train {
		copy(o.y.float, o.x.float)
		for i := range o.mask.int {
			o.mask.int[i] = 1
		}
		return
	}
	o.dst, o.src = o.y.float, o.x.float
	o.pool.Run(o.pieces, o.do)
}

func (o *dropout) backward() {
	o.dst, o.src = o.x.into, o.y.grad
	if !o.train {
		copy(o.dst, o.src)
		return
	}
	o.pool.Run(o.pieces, o.do)
}
