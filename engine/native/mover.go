package native

import "ropewalk/internal/kernel"

// A mover copies elements from one array to another, each going through the same
// shape with distances of its own.
type mover struct {
	*grid
	pool             *kernel.Pool
	dst, src         []float32
	dstInts, srcInts []int64
	add              bool
	body             func(worker, piece int)
}

// newMover returns a mover over shape with the distances to and from. No element is
// written twice.
func newMover(p *kernel.Pool, shape, to, from []int) *mover {
	m := &mover{grid: newGrid(shape, 0, to, from), pool: p}
	m.body = m.grid.body(m.one)
	return m
}

// move copies, or adds if add is set.
func (m *mover) move(dst, src []float32, add bool) {
	m.dst, m.src, m.add = dst, src, add
	m.run(m.pool, m.body)
	m.dst, m.src = nil, nil
}

func (m *mover) moveInts(dst, src []int64) {
	m.dstInts, m.srcInts = dst, src
	m.run(m.pool, m.body)
	m.dstInts, m.srcInts = nil, nil
}

func (m *mover) one(d, s, _, n int) {
	dd, ds, _ := m.last()
	switch {
	case m.dst == nil:
		for i := range n {
			m.dstInts[d+i*dd] = m.srcInts[s+i*ds]
		}
	case m.add:
		dst, src := m.dst[d:], m.src[s:]
		for i := range n {
			dst[i*dd] += src[i*ds]
		}
	case dd == 1 && ds == 1:
		copy(m.dst[d:d+n], m.src[s:s+n])
	default:
		dst, src := m.dst[d:], m.src[s:]
		for i := range n {
			dst[i*dd] = src[i*ds]
		}
	}
}

// A part is a mover between all of an array, y, and some of another, x, from an
// offset on; as forward and backward of an operator need it.
type part struct {
	m, back *mover
	offset  int // in x
}

// newPart returns a part; y is dense and of that shape.
func newPart(p *kernel.Pool, shape, xStrides []int, offset int) *part {
	y := dense(shape)
	return &part{newMover(p, shape, y, xStrides), newMover(p, shape, xStrides, y), offset}
}

// read copies the part of x to y.
func (p *part) read(y, x *site) {
	if y.size == 0 {
		return
	}
	if y.ints {
		p.m.moveInts(y.int, x.int[p.offset:])
	} else {
		p.m.move(y.float, x.float[p.offset:], false)
	}
}

// write copies y to the part of x.
func (p *part) write(x, y *site) {
	if y.size == 0 {
		return
	}
	if y.ints {
		p.back.moveInts(x.int[p.offset:], y.int)
	} else {
		p.back.move(x.float[p.offset:], y.float, false)
	}
}
