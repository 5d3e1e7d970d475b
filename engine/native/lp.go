package native

import (
	"math"

	"ropewalk/internal/kernel"
)

// An lpNorm is LpNormalization: lines divided by their length, p being 1 or 2. A line of
// zeros stays one.
type lpNorm struct {
	lines
	x *operand
	y *site
	p int64
}

func makeLpNorm(n *node) (operator, error) {
	o := &lpNorm{x: n.in[0], y: n.out[0], p: n.integer("p", 2)}
	o.lines = linesOf(dims(o.x.shape), axis(n.integer("axis", -1), len(o.x.shape)))
	n.keepIn(0)
	return o, nil
}

func (o *lpNorm) size(first int) float64 {
	sum := 0.0
	for i := range o.length {
		v := float64(o.x.float[first+i*o.inner])
		if o.p == 1 {
			sum += math.Abs(v)
		} else {
			sum += v * v
		}
	}
	if o.p == 1 {
		return sum
	}
	return math.Sqrt(sum)
}

func (o *lpNorm) forward() {
	for line := range o.count() {
		first := o.first(line)
		size := o.size(first)
		for i := range o.length {
			at := first + i*o.inner
			o.y.float[at] = 0
			if size != 0 {
				o.y.float[at] = float32(float64(o.x.float[at]) / size)
			}
		}
	}
}

// backward: dx = dy/size − slope·Σ dy·x/size², slope being the derivative of size.
func (o *lpNorm) backward() {
	for line := range o.count() {
		first := o.first(line)
		size := o.size(first)
		if size == 0 {
			continue
		}
		dot := 0.0
		for i := range o.length {
			at := first + i*o.inner
			dot += float64(o.y.grad[at]) * float64(o.x.float[at])
		}
		for i := range o.length {
			at := first + i*o.inner
			slope := float64(o.x.float[at]) / size
			if o.p == 1 {
				slope = float64(sign(o.x.float[at]))
			}
			o.x.into[at] += float32(float64(o.y.grad[at])/size - slope*dot/(size*size))
		}
	}
}

// A responseNorm is LRN (Krizhevsky, Sutskever and Hinton 2012, section 3.3):
// y = x·s^−β, s = bias + α/size·Σ x² over the channels around.
type responseNorm struct {
	pool              *kernel.Pool
	x                 *operand
	y                 *site
	alpha, beta, bias float64
	before, after     int
	channels, area    int
	sums              *memory // s
	do, undo          func(worker, image int)
}

func makeResponseNorm(n *node) (operator, error) {
	o := &responseNorm{
		pool: n.pool, x: n.in[0], y: n.out[0], alpha: n.number("alpha", 0.0001), beta: n.number("beta", 0.75), bias: n.number("bias", 1),
		channels: int(n.in[0].shape[1]), area: product(n.in[0].shape[2:]), sums: n.retain(n.in[0].size),
	}
	size := n.integer("size", 1)
	limit := int64(o.channels)
	o.before, o.after = int(min((size-1)/2, limit)), int(min(size/2, limit))
	o.alpha /= float64(size)
	o.do, o.undo = o.image, o.imageBack
	n.keepIn(0)
	return o, nil
}

func (o *responseNorm) forward() {
	if o.x.size > 0 {
		o.pool.Run(int(o.x.shape[0]), o.do)
	}
}

func (o *responseNorm) backward() {
	if o.x.size > 0 {
		o.pool.Run(int(o.x.shape[0]), o.undo)
	}
}

func (o *responseNorm) image(_, b int) {
	for c := range o.channels {
		for p := range o.area {
			s := 0.0
			for k := max(0, c-o.before); k <= min(o.channels-1, c+o.after); k++ {
				v := float64(o.x.float[(b*o.channels+k)*o.area+p])
				s += v * v
			}
			at := (b*o.channels+c)*o.area + p
			s = o.bias + o.alpha*s
			o.sums.float[at] = float32(s)
			o.y.float[at] = float32(float64(o.x.float[at]) * math.Pow(s, -o.beta))
		}
	}
}

// imageBack: dx_k = dy_k·s_k^−β − 2αβ·x_k·Σ dy_c·x_c·s_c^(−β−1) over the c that k is
// around of.
func (o *responseNorm) imageBack(_, b int) {
	for k := range o.channels {
		for p := range o.area {
			at := (b*o.channels+k)*o.area + p
			sum := 0.0
			for c := max(0, k-o.after); c <= min(o.channels-1, k+o.before); c++ {
				i := (b*o.channels+c)*o.area + p
				sum += float64(o.y.grad[i]) * float64(o.x.float[i]) * math.Pow(float64(o.sums.float[i]), -o.beta-1)
			}
			d := float64(o.y.grad[at])*math.Pow(float64(o.sums.float[at]), -o.beta) - 2*o.alpha*o.beta*float64(o.x.float[at])*sum
			o.x.into[at] += float32(d)
		}
	}
}

// A logSumExp is ReduceLogSumExp. The greatest element is taken out first, so that
// nothing overflows.
type logSumExp struct {
	pool          *kernel.Pool
	x             *operand
	y             *site
	tops, sums    []float64
	forth, back   *grid
	most, do, und func(worker, piece int)
}

func makeLogSumExp(n *node) (operator, error) {
	o := &logSumExp{pool: n.pool, x: n.in[0], y: n.out[0]}
	along, err := axesOf(n)
	if err != nil {
		return nil, err
	}
	shape, kept := dims(o.x.shape), dims(o.x.shape)
	for i, a := range along {
		if a {
			kept[i] = 1
		}
	}
	o.tops, o.sums = make([]float64, o.y.size), make([]float64, o.y.size)
	o.forth, o.back = newGrid(shape, 1, dense(shape), broadcast(kept, shape)), newGrid(shape, 0, dense(shape), broadcast(kept, shape))
	o.most, o.do, o.und = o.forth.body(o.top), o.forth.body(o.add), o.back.body(o.spread)
	n.keepIn(0)
	n.keepOut()
	return o, nil
}

func (o *logSumExp) forward() {
	for i := range o.tops {
		o.tops[i], o.sums[i] = math.Inf(-1), 0
	}
	if o.x.size > 0 {
		o.forth.run(o.pool, o.most)
		o.forth.run(o.pool, o.do)
	}
	for i, t := range o.tops {
		if !math.IsInf(t, 0) {
			t += math.Log(o.sums[i])
		}
		o.y.float[i] = float32(t)
	}
}

func (o *logSumExp) top(x, y, _, n int) {
	dx, dy, _ := o.forth.last()
	for i := range n {
		o.tops[y+i*dy] = max(o.tops[y+i*dy], float64(o.x.float[x+i*dx]))
	}
}

func (o *logSumExp) add(x, y, _, n int) {
	dx, dy, _ := o.forth.last()
	for i := range n {
		o.sums[y+i*dy] += math.Exp(float64(o.x.float[x+i*dx]) - o.tops[y+i*dy])
	}
}

func (o *logSumExp) spread(x, y, _, n int) {
	dx, dy, _ := o.back.last()
	for i := range n {
		o.x.into[x+i*dx] += o.y.grad[y+i*dy] * float32(math.Exp(float64(o.x.float[x+i*dx])-float64(o.y.float[y+i*dy])))
	}
}

func (o *logSumExp) backward() {
	if o.x.size > 0 {
		o.back.run(o.pool, o.und)
	}
}
