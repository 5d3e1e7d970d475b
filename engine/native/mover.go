package native

import "ropewalk/internal/kernel"

// A mover copies elements from one array to another, each going through the same
// shape with distances of its own.
type mover struct {
	*grid
	pool             *kernel.Pool
	dst, src         []float32
	dstInts, srcInts []int64
	to, from         int // the places of the first elements
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
	d, s = d+m.to, s+m.from
	switch {
	case m.dst == nil:
		for i := range n {
			m.dstInts[d+i*dd] = m.srcInts[s+i*ds]
		}
	case m.add:
		for i := range n {
			m.dst[d+i*dd] += m.src[s+i*ds]
		}
	case dd == 1 && ds == 1:
		copy(m.dst[d:d+n], m.src[s:s+n])
	default:
		for i := range n {
			m.dst[d+i*dd] = m.src[s+i*ds]
		}
	}
}

// A part is a mover between all of an array, y, and some of another, x, from an
// offset on; as forward and backward of an operator need it.
type part struct{ m, back *mover }

// newPart returns a part; y is dense and of that shape, and offset is where in x it
// begins.
func newPart(p *kernel.Pool, shape, xStrides []int, offset int) *part {
	y := dense(shape)
	part := &part{newMover(p, shape, y, xStrides), newMover(p, shape, xStrides, y)}
	part.m.from, part.back.to = offset, offset
	return part
}

// read copies the part of x to y.
func (p *part) read(y, x *site) {
	if y.size == 0 {
		return
	}
	if y.ints {
		p.m.moveInts(y.int, x.int)
	} else {
		p.m.move(y.float, x.float, false)
	}
}

// write copies y to the part of x.
func (p *part) write(x, y *site) {
	if y.size == 0 {
		return
	}
	if y.ints {
		p.back.moveInts(x.int, y.int)
	} else {
		p.back.move(x.float, y.float, false)
	}
}
