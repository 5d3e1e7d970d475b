package native

import (
	"ropewalk/internal/kernel"
)

// A several is Max, Min, Sum or Mean of any number of arrays, which broadcast. They
// are taken in one after the other.
type several struct {
	pool *kernel.Pool
	op   string
	y    *site
	in   []severalOperand
	best []int32 // of Max and Min: which operand each element comes from; nil if no gradient is wanted
}

type severalOperand struct {
	*several
	x           *operand
	number      int32
	forth, back *grid
	do, undo    func(worker, piece int)
}

func makeSeveral(n *node) (operator, error) {
	o := &several{pool: n.pool, op: n.Op, y: n.out[0], in: make([]severalOperand, len(n.in))}
	shape := dims(o.y.shape)
	chooses, wants := n.Op == "Max" || n.Op == "Min", false
	for k, x := range n.in {
		s := &o.in[k]
		s.several, s.x, s.number = o, x, int32(k)
		sy, sx := dense(shape), broadcast(dims(x.shape), shape)
		s.forth, s.back = newGrid(shape, 0, sy, sx), newGrid(shape, 1, sy, sx)
		s.do, s.undo = s.forth.body(s.run), s.back.body(s.runBack)
		wants = wants || n.mayWant(k)
	}
	if chooses && wants {
		o.best = make([]int32, o.y.size)
	}
	return o, nil
}

func (o *several) forward() {
	for k := range o.in {
		o.in[k].forth.run(o.pool, o.in[k].do)
	}
	if o.op == "Mean" {
		kernel.Scale(o.pool, o.y.float, o.y.float, 1/float32(len(o.in)))
	}
}

func (o *several) backward() {
	if o.op == "Mean" {
		kernel.Scale(o.pool, o.y.grad, o.y.grad, 1/float32(len(o.in)))
	}
	for k := range o.in {
		if o.in[k].x.wanted() {
			o.in[k].back.run(o.pool, o.in[k].undo)
		}
	}
}

func (s *severalOperand) run(y, x, _, n int) {
	_, dx, _ := s.forth.last()
	if s.y.ints {
		s.runInts(y, x, dx, n)
		return
	}
	from := s.x.float
	to := s.y.float[y : y+n]
	for i := range to {
		v := from[x+i*dx]
		switch {
		case s.number == 0:
		case s.op == "Max":
			if !(v > to[i] || v != v) { // the first of equals stays, NaN goes through
				continue
			}
		case s.op == "Min":
			if !(v < to[i] || v != v) {
				continue
			}
		default:
			v += to[i]
		}
		to[i] = v
		if s.best != nil {
			s.best[y+i] = s.number
		}
	}
}

func (s *severalOperand) runInts(y, x, dx, n int) {
	d := s.y.dtype
	for i := range n {
		v, to := s.x.int[x+i*dx], &s.y.int[y+i]
		switch {
		case s.number == 0:
			*to = v
		case s.op == "Max":
			*to = maxInt(d, *to, v)
		default:
			*to = minInt(d, *to, v)
		}
	}
}

func (s *severalOperand) runBack(y, x, _, n int) {
	dy, dx, _ := s.back.last()
	for i := range n {
		if at := y + i*dy; s.best == nil || s.best[at] == s.number {
			s.x.into[x+i*dx] += s.y.grad[at]
		}
	}
}
