package native

import "ropewalk/internal/kernel"

// A softmax is Softmax or LogSoftmax over one axis. Rows along another axis than
// the last are gathered first.
type softmax struct {
	pool       *kernel.Pool
	log        bool
	x          *operand
	y          *site
	rows, cols int
	turn       *part // nil if the axis is the last
	a, b       *memory
}

func makeSoftmax(log bool) maker {
	return func(n *node) (operator, error) {
		o := &softmax{pool: n.pool, log: log, x: n.in[0], y: n.out[0]}
		if len(o.x.shape) == 0 {
			o.rows, o.cols = 1, 1
		} else {
			a := axis(n.integer("axis", -1), len(o.x.shape))
			o.cols = int(o.x.shape[a])
			o.rows = o.x.size / max(1, o.cols)
			if inner := product(o.x.shape[a+1:]); inner > 1 {
				outer := product(o.x.shape[:a])
				o.turn = newPart(n.pool, []int{outer, inner, o.cols}, []int{o.cols * inner, 1, inner}, 0)
				o.a, o.b = n.scratch(o.x.size), n.scratch(o.x.size)
			}
		}
		n.keepOut()
		n.writes()
		if o.turn == nil {
			n.inPlace(0)
			if !log {
				n.gradInPlace(0)
			}
		}
		return o, nil
	}
}

func (o *softmax) forward() {
	if o.x.size == 0 {
		return
	}
	y, x := o.y.float, o.x.float
	if o.turn != nil {
		o.turn.m.move(o.a.float, x, false)
		y, x = o.a.float, o.a.float
	}
	if o.log {
		kernel.LogSoftmaxRows(o.pool, o.rows, o.cols, y, x)
	} else {
		kernel.SoftmaxRows(o.pool, o.rows, o.cols, y, x)
	}
	if o.turn != nil {
		o.turn.back.move(o.y.float, y, false)
	}
}

func (o *softmax) backward() {
	if o.x.size == 0 {
		return
	}
	dx, y, dy := o.x.into, o.y.float, o.y.grad
	if o.turn != nil {
		o.turn.m.move(o.a.float, y, false)
		o.turn.m.move(o.b.float, dy, false)
		dx, y, dy = dy, o.a.float, o.b.float // dy is in b, so that its place is free
	}
	if o.log {
		kernel.LogSoftmaxGradRows(o.pool, o.rows, o.cols, dx, y, dy)
	} else {
		kernel.SoftmaxGradRows(o.pool, o.rows, o.cols, dx, y, dy)
	}
	if o.turn != nil {
		o.turn.back.move(o.x.into, dx, false)
	}
}
