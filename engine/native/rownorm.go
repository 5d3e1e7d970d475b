package native

import (
	"math"

	"ropewalk/internal/kernel"
)

// A rowNorm is LayerNormalization, InstanceNormalization or GroupNormalization: rows
// of x have mean 0 and variance 1, before they are scaled and shifted. Element col of
// a row has the scale number row%groups·per + col/inner.
type rowNorm struct {
	pool               *kernel.Pool
	x, scale           *operand
	bias               *operand // or nil
	y                  *site
	rows, cols         int
	groups, per, inner int
	epsilon            float64
	mean, inverse      []float64 // by row
	forth, back        func(worker, row int)
}

func newRowNorm(n *node, rows, cols int) *rowNorm {
	o := &rowNorm{
		pool: n.pool, x: n.in[0], scale: n.in[1], bias: n.operand(2), y: n.out[0],
		rows: rows, cols: cols, groups: 1, inner: 1, epsilon: n.number("epsilon", 1e-5),
		mean: make([]float64, rows), inverse: make([]float64, rows),
	}
	o.forth, o.back = o.row, o.rowBack
	n.keepIn(0)
	n.keepIn(1)
	return o
}

func makeLayerNorm(n *node) (operator, error) {
	for k := 1; k < len(n.out); k++ {
		if n.out[k] != nil {
			return nil, n.lacks("its statistics as outputs")
		}
	}
	x := n.in[0]
	a := axis(n.integer("axis", -1), len(x.shape))
	cols := product(x.shape[a:])
	for i := 1; i < len(n.in); i++ {
		if o := n.operand(i); o != nil && o.size != cols {
			return nil, n.lacks("a scale or bias of shape %v that broadcasts", o.shape)
		}
	}
	return newRowNorm(n, product(x.shape[:a]), cols), nil
}

func makeInstanceNorm(n *node) (operator, error) {
	x := n.in[0]
	channels := int(x.shape[1])
	groups := int(n.integer("num_groups", int64(channels)))
	o := newRowNorm(n, int(x.shape[0])*groups, product(x.shape[1:])/max(1, groups))
	o.groups, o.per, o.inner = groups, channels/max(1, groups), product(x.shape[2:])
	return o, nil
}

func (o *rowNorm) forward()     { o.pool.Run(o.rows, o.forth) }
func (o *rowNorm) at(r int) int { return r % o.groups * o.per }

func (o *rowNorm) row(_, r int) {
	x, y := o.x.float[r*o.cols:][:o.cols], o.y.float[r*o.cols:][:o.cols]
	sum, squares := 0.0, 0.0
	for _, v := range x {
		sum += float64(v)
	}
	mean := sum / float64(o.cols)
	for _, v := range x {
		d := float64(v) - mean
		squares += d * d
	}
	inverse := 1 / math.Sqrt(squares/float64(o.cols)+o.epsilon)
	o.mean[r], o.inverse[r] = mean, inverse
	for c0, k := 0, o.at(r); c0 < o.cols; c0, k = c0+o.inner, k+1 {
		s := float64(o.scale.float[k]) * inverse
		t := -mean * s
		if o.bias != nil {
			t += float64(o.bias.float[k])
		}
		for c := c0; c < c0+o.inner; c++ {
			y[c] = float32(float64(x[c])*s + t)
		}
	}
}

func (o *rowNorm) rowBack(_, r int) {
	x, dy, dx := o.x.float[r*o.cols:][:o.cols], o.y.grad[r*o.cols:][:o.cols], o.x.into[r*o.cols:][:o.cols]
	mean, inverse := o.mean[r], o.inverse[r]
	sum, dot := 0.0, 0.0
	for c0, k := 0, o.at(r); c0 < o.cols; c0, k = c0+o.inner, k+1 {
		s := float64(o.scale.float[k])
		for c := c0; c < c0+o.inner; c++ {
			g := float64(dy[c]) * s
			sum += g
			dot += g * (float64(x[c]) - mean) * inverse
		}
	}
	sum, dot = sum/float64(o.cols), dot/float64(o.cols)
	for c0, k := 0, o.at(r); c0 < o.cols; c0, k = c0+o.inner, k+1 {
		s := float64(o.scale.float[k])
		for c := c0; c < c0+o.inner; c++ {
			h := (float64(x[c]) - mean) * inverse
			dx[c] += float32(inverse * (float64(dy[c])*s - sum - h*dot))
		}
	}
}

func (o *rowNorm) backward() {
	if o.x.wanted() {
		o.pool.Run(o.rows, o.back)
	}
	bias := o.bias != nil && o.bias.wanted()
	if !bias && !o.scale.wanted() {
		return
	}
	for r := range o.rows {
		x, dy := o.x.float[r*o.cols:][:o.cols], o.y.grad[r*o.cols:][:o.cols]
		for c0, k := 0, o.at(r); c0 < o.cols; c0, k = c0+o.inner, k+1 {
			sum, dot := 0.0, 0.0
			for c := c0; c < c0+o.inner; c++ {
				sum += float64(dy[c])
				dot += float64(dy[c]) * (float64(x[c]) - o.mean[r]) * o.inverse[r]
			}
			if bias {
				o.bias.into[k] += float32(sum)
			}
			if o.scale.wanted() {
				o.scale.into[k] += float32(dot)
			}
		}
	}
}
