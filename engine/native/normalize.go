package native

import (
	"math"

	"ropewalk/internal/kernel"
)

// A normalize is LayerNormalization (Ba, Kiros and Hinton 2016),
// InstanceNormalization, GroupNormalization (Wu and He 2018) or RMSNormalization
// (Zhang and Sennrich 2019). It sees x as rows, each of which gets mean 0 and
// variance 1 (RMSNormalization: a mean square of 1), and then a scale and a bias:
//
//	h = (x − mean)·inverse, inverse = 1/√(variance + ε)
//	y = scale·h + bias
//	dx = inverse·(g − mean(g) − h·mean(g·h)), g = scale·dy
type normalize struct {
	pool          *kernel.Pool
	x             *operand
	scale, bias   *operand // bias may be nil
	y             *site
	means, invs   *site // results of LayerNormalization, or nil
	rows, cols    int
	centered      bool
	epsilon       float64
	ofScale       lookup
	ofBias        lookup
	moments       *memory // mean and inverse by row
	partial       *memory // sums for the gradients of scale and bias, by piece
	pieces        int
	do, undo, sum func(worker, i int)
}

// A lookup says which element of a small array belongs to an element of x: number
// (i / area) % count, or table[i] if it is not nil.
type lookup struct {
	area, count int
	table       []int32
}

func (l *lookup) at(i int) int {
	if l.table != nil {
		return int(l.table[i])
	}
	return i / l.area % l.count
}

// lookupOf returns the lookup of an array that broadcasts to shape to.
func lookupOf(shape, to []int) lookup {
	strides := broadcast(shape, to)
	// The array has all of some neighbouring axes and none of the others: it repeats.
	lo, hi := -1, -1
	for i, s := range strides {
		if s != 0 {
			if lo < 0 {
				lo = i
			}
			hi = i
		}
	}
	if lo < 0 {
		return lookup{area: 1, count: 1}
	}
	l := lookup{area: product(to[hi+1:]), count: product(to[lo : hi+1])}
	if l.count == product(shape) {
		return l
	}
	l.table = make([]int32, product(to))
	g := newGrid(to, 0, dense(to), strides)
	g.pieces, g.split = 1, -1
	dt, ds, _ := g.last()
	g.walk(0, func(t, s, _, n int) {
		for i := range n {
			l.table[t+i*dt] = int32(s + i*ds)
		}
	})
	return l
}

func newNormalize(n *node, rows, cols int) *normalize {
	o := &normalize{
		pool: n.pool, x: n.in[0], scale: n.operand(1), bias: n.operand(2), y: n.out[0], rows: rows, cols: cols,
		centered: true, epsilon: n.number("epsilon", 1e-5), moments: n.retain(2 * rows),
		ofScale: lookup{area: 1, count: 1}, ofBias: lookup{area: 1, count: 1},
	}
	o.do, o.undo = o.row, o.rowBack
	n.keepIn(0)
	n.keepIn(1)
	n.writes(0)
	n.gradInPlace(0)
	n.inPlace(0)
	if n.mayWant(1) || n.mayWant(2) {
		size := o.scale.size
		if o.bias != nil {
			size += o.bias.size
		}
		o.pieces = max(1, min(16, rows, o.x.size/grainOf))
		o.partial = n.scratch(o.pieces * size)
		o.sum = o.sumPiece
	}
	return o
}

func makeLayerNorm(n *node) (operator, error) {
	x := n.in[0]
	a := axis(n.integer("axis", -1), len(x.shape))
	rows := product(x.shape[:a])
	o := newNormalize(n, rows, product(x.shape[a:]))
	o.centered = n.Op != "RMSNormalization"
	o.ofScale = lookupOf(dims(o.scale.shape), dims(x.shape))
	if o.bias != nil {
		o.ofBias = lookupOf(dims(o.bias.shape), dims(x.shape))
	}
	for k, to := range []**site{nil, &o.means, &o.invs} {
		if k > 0 && k < len(n.out) && n.out[k] != nil {
			if n.mayWant(0) {
				return nil, n.lacks("the gradient of its mean and deviation")
			}
			*to = n.out[k]
		}
	}
	return o, nil
}

func makeGroupNorm(n *node) (operator, error) {
	x := n.in[0]
	channels := int(x.shape[1])
	groups := int(n.integer("num_groups", int64(channels)))
	rows := int(x.shape[0]) * groups
	o := newNormalize(n, rows, x.size/max(1, rows))
	o.ofScale = lookup{area: product(x.shape[2:]), count: channels}
	o.ofBias = o.ofScale
	return o, nil
}

func (o *normalize) forward() {
	if o.x.size == 0 {
		for _, s := range []*site{o.means, o.invs} {
			if s != nil {
				clear(s.float)
			}
		}
		return
	}
	o.pool.Run(o.rows, o.do)
	for k, s := range []*site{o.means, o.invs} {
		if s != nil {
			for r := range s.float {
				s.float[r] = o.moments.float[2*r+k]
			}
		}
	}
}

func (o *normalize) row(_, r int) {
	first := r * o.cols
	x, y := o.x.float[first:first+o.cols], o.y.float[first:first+o.cols]
	mean, variance := 0.0, 0.0
	if o.centered {
		for _, v := range x {
			mean += float64(v)
		}
		mean /= float64(o.cols)
	}
	for _, v := range x {
		d := float64(v) - mean
		variance += d * d
	}
	m, inverse := float32(mean), float32(1/math.Sqrt(variance/float64(o.cols)+o.epsilon))
	o.moments.float[2*r], o.moments.float[2*r+1] = m, inverse
	scale := o.scale.float
	for i, v := range x {
		h := (v - m) * inverse * scale[o.ofScale.at(first+i)]
		if o.bias != nil {
			h += o.bias.float[o.ofBias.at(first+i)]
		}
		y[i] = h
	}
}

func (o *normalize) backward() {
	bias := o.bias != nil && o.bias.wanted()
	if (o.scale.wanted() || bias) && o.x.size > 0 {
		clear(o.partial.float)
		o.pool.Run(o.pieces, o.sum)
		size := o.scale.size
		if o.bias != nil {
			size += o.bias.size
		}
		for p := range o.pieces {
			part := o.partial.float[p*size:]
			if o.scale.wanted() {
				for i := range o.scale.into {
					o.scale.into[i] += part[i]
				}
			}
			if bias {
				for i := range o.bias.into {
					o.bias.into[i] += part[o.scale.size+i]
				}
			}
		}
	}
	if o.x.wanted() && o.x.size > 0 {
		o.pool.Run(o.rows, o.undo)
	}
}

// sumPiece adds up the gradients of scale and bias over some of the rows.
func (o *normalize) sumPiece(_, p int) {
	size := o.scale.size
	if o.bias != nil {
		size += o.bias.size
	}
	scale := o.partial.float[p*size:]
	for r := p * o.rows / o.pieces; r < (p+1)*o.rows/o.pieces; r++ {
		first := r * o.cols
		m, inverse := o.moments.float[2*r], o.moments.float[2*r+1]
		for i, v := range o.x.float[first : first+o.cols] {
			dy := o.y.grad[first+i]
			scale[o.ofScale.at(first+i)] += dy * (v - m) * inverse
			if o.bias != nil {
				scale[o.scale.size+o.ofBias.at(first+i)] += dy
			}
		}
	}
}

func (o *normalize) rowBack(_, r int) {
	first := r * o.cols
	x, dx, dy := o.x.float[first:first+o.cols], o.x.into[first:first+o.cols], o.y.grad[first:first+o.cols]
	m, inverse := o.moments.float[2*r], o.moments.float[2*r+1]
	scale := o.scale.float
	sum, dot := 0.0, 0.0
	for i, d := range dy {
		g := d * scale[o.ofScale.at(first+i)]
		sum += float64(g)
		dot += float64(g * (x[i] - m) * inverse)
	}
	if !o.centered {
		sum = 0
	}
	a, b := float32(sum/float64(o.cols)), float32(dot/float64(o.cols))
	for i, d := range dy {
		h := (x[i] - m) * inverse
		dx[i] = inverse * (d*scale[o.ofScale.at(first+i)] - a - h*b)
	}
}

// A meanVariance is MeanVarianceNormalization: (x − mean)/(deviation + 1e-9) along
// some axes, forward only.
type meanVariance struct {
	pool  *kernel.Pool
	x     *operand
	y     *site
	g     *grid
	mean  []float64
	sq    []float64
	count int
}

func makeMeanVariance(n *node) (operator, error) {
	o := &meanVariance{pool: n.pool, x: n.in[0], y: n.out[0], count: 1}
	axes := n.integers("axes")
	if axes == nil {
		axes = []int64{0, 2, 3}
	}
	shape, kept := dims(o.x.shape), dims(o.x.shape)
	for _, a := range axes {
		k := axis(a, len(shape))
		o.count *= shape[k]
		kept[k] = 1
	}
	o.mean, o.sq = make([]float64, product(kept)), make([]float64, product(kept))
	o.g = newGrid(shape, 0, dense(shape), broadcast(kept, shape))
	o.g.pieces, o.g.split = 1, -1
	return o, nil
}

func (o *meanVariance) each(f func(x, k int)) {
	dx, dk, _ := o.g.last()
	o.g.walk(0, func(x, k, _, n int) {
		for i := range n {
			f(x+i*dx, k+i*dk)
		}
	})
}

func (o *meanVariance) forward() {
	if o.x.size == 0 {
		return
	}
	clear(o.mean)
	clear(o.sq)
	n := float64(o.count)
	o.each(func(x, k int) { o.mean[k] += float64(o.x.float[x]) / n })
	o.each(func(x, k int) {
		d := float64(o.x.float[x]) - o.mean[k]
		o.sq[k] += d * d / n
	})
	o.each(func(x, k int) {
		o.y.float[x] = float32((float64(o.x.float[x]) - o.mean[k]) / (math.Sqrt(o.sq[k]) + 1e-9))
	})
}
