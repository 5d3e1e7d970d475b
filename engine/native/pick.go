package native

import (
	"slices"

	"ropewalk/internal/kernel"
	"ropewalk/tensor"
)

// A pick is an operator whose result is made of blocks of its operand, from places
// that are known when it runs: Gather and its kin. A place of -1 stands for zeros.
type pick struct {
	pool   *kernel.Pool
	x      *operand
	y      *site
	block  int    // elements
	places []int  // in x, of the first elements of the blocks
	find   func() // fills places; nil if they are known
	pieces int
	do     func(worker, i int)
	undo   func(worker, i int)
	cuts   int // into which blocks are cut for backward
}

// newPick returns a pick of count blocks.
func newPick(n *node, x *operand, count, block int) *pick {
	o := &pick{pool: n.pool, x: x, y: n.out[0], block: block, places: make([]int, count)}
	o.do, o.undo = o.piece, o.pieceBack
	o.pieces = max(1, min(count, o.y.size/grainOf))
	o.cuts = max(1, min(block/64, 64))
	return o
}

func (o *pick) forward() {
	if o.find != nil {
		o.find()
	}
	o.pool.Run(o.pieces, o.do)
}

func (o *pick) piece(_, p int) {
	for i := p * len(o.places) / o.pieces; i < (p+1)*len(o.places)/o.pieces; i++ {
		from, to := o.places[i], i*o.block
		switch {
		case o.y.ints && from < 0:
			clear(o.y.int[to : to+o.block])
		case o.y.ints:
			copy(o.y.int[to:to+o.block], o.x.int[from:from+o.block])
		case from < 0:
			clear(o.y.float[to : to+o.block])
		case o.block == 1:
			o.y.float[to] = o.x.float[from]
		default:
			copy(o.y.float[to:to+o.block], o.x.float[from:from+o.block])
		}
	}
}

// backward adds blocks where they came from, in their order. Several may come from one
// place, so that only what is within blocks is done at a time.
func (o *pick) backward() { o.pool.Run(o.cuts, o.undo) }

func (o *pick) pieceBack(_, s int) {
	lo, hi := s*o.block/o.cuts, (s+1)*o.block/o.cuts
	for i, at := range o.places {
		if at < 0 {
			continue
		}
		dx, dy := o.x.into[at+lo:at+hi], o.y.grad[i*o.block+lo:i*o.block+hi]
		for k, d := range dy {
			dx[k] += d
		}
	}
}

// indexed returns an index as one from the start, or ends the call.
func indexed(i int64, length int) int {
	if i < -int64(length) || i >= int64(length) {
		fail("index %d is outside of an axis of %d", i, length)
	}
	if i < 0 {
		i += int64(length)
	}
	return int(i)
}

func makeGather(n *node) (operator, error) {
	x, at := n.in[0], n.in[1]
	a := axis(n.integer("axis", 0), len(x.shape))
	outer, length, block := product(x.shape[:a]), int(x.shape[a]), product(x.shape[a+1:])
	o := newPick(n, x, outer*at.size, block)
	o.find = func() {
		for i, k := range at.int {
			p := indexed(k, length)
			for r := range outer {
				o.places[r*at.size+i] = (r*length + p) * block
			}
		}
	}
	return o, nil
}

// elementPlaces returns a function that calls f for each index in at, with the place
// that it names along an axis of an array of shape s.
func elementPlaces(at *operand, s []int, a int) func(f func(i, place int)) {
	strides := dense(s)
	length, step := s[a], strides[a]
	strides[a] = 0
	shape := dims(at.shape)
	base := make([]int, at.size)
	g := newGrid(shape, 0, dense(shape), strides)
	g.pieces, g.split = 1, -1
	di, db, _ := g.last()
	if at.size > 0 {
		g.walk(0, func(i, b, _, n int) {
			for k := range n {
				base[i+k*di] = b + k*db
			}
		})
	}
	return func(f func(i, place int)) {
		for i, k := range at.int {
			f(i, base[i]+indexed(k, length)*step)
		}
	}
}

func makeGatherElements(n *node) (operator, error) {
	x, at := n.in[0], n.in[1]
	each := elementPlaces(at, dims(x.shape), axis(n.integer("axis", 0), len(x.shape)))
	o := newPick(n, x, at.size, 1)
	set := func(i, place int) { o.places[i] = place }
	o.find = func() { each(set) }
	return o, nil
}

// tuplePlaces returns a function that calls f for each tuple of indices in at with the
// place of the block that it names in an array of shape s, behind batch axes that they
// have in common. It returns the size of the blocks, too, and how many tuples there are.
func tuplePlaces(at *operand, s tensor.Shape, batch int) (each func(f func(i, place int)), block, count int) {
	depth := int(at.shape[len(at.shape)-1])
	count = product(at.shape[:len(at.shape)-1])
	block = product(s[batch+depth:])
	perBatch := max(1, product(at.shape[batch:len(at.shape)-1]))
	lengths := dims(s[batch : batch+depth])
	return func(f func(i, place int)) {
		for i := range count {
			place := i / perBatch
			if batch == 0 {
				place = 0
			}
			for k, length := range lengths {
				place = place*length + indexed(at.int[i*depth+k], length)
			}
			f(i, place*block)
		}
	}, block, count
}

func makeGatherND(n *node) (operator, error) {
	x, at := n.in[0], n.in[1]
	each, block, count := tuplePlaces(at, x.shape, int(n.integer("batch_dims", 0)))
	o := newPick(n, x, count, block)
	set := func(i, place int) { o.places[i] = place }
	o.find = func() {
		if o.y.size > 0 {
			each(set)
		}
	}
	return o, nil
}

// makeCompress makes Compress, whose condition must be known: the shape follows from it.
func makeCompress(n *node) (operator, error) {
	x := n.in[0]
	mask, ok := n.constants(1)
	if !ok {
		return nil, n.lacks("a condition that is known only when it runs")
	}
	outer, length, block := 1, x.size, 1
	if _, set := n.Attributes["axis"]; set {
		a := axis(n.integer("axis", 0), len(x.shape))
		outer, length, block = product(x.shape[:a]), int(x.shape[a]), product(x.shape[a+1:])
	}
	var kept []int
	for i, m := range mask {
		if m != 0 {
			kept = append(kept, i)
		}
	}
	o := newPick(n, x, outer*len(kept), block)
	for r := range outer {
		for i, k := range kept {
			o.places[r*len(kept)+i] = (r*length + k) * block
		}
	}
	return o, nil
}

// makeReverseSequence makes ReverseSequence: the first elements along the axis of time
// in reverse order, as many as each sequence of the batch has.
func makeReverseSequence(n *node) (operator, error) {
	x, lengths := n.in[0], n.in[1]
	time, batch := int(n.integer("time_axis", 0)), int(n.integer("batch_axis", 1))
	if time > 1 || batch > 1 || time == batch {
		return nil, n.lacks("time_axis %d and batch_axis %d", time, batch)
	}
	s := dims(x.shape)
	o := newPick(n, x, s[0]*s[1], product(s[2:]))
	o.find = func() {
		for i := range o.places {
			at := [2]int{i / s[1], i % s[1]}
			l := lengths.int[at[batch]]
			if l < 0 || l > int64(s[time]) {
				fail("length %d of sequence %d is outside of 0 to %d", l, at[batch], s[time])
			}
			if t := at[time]; t < int(l) {
				at[time] = int(l) - 1 - t
			}
			o.places[i] = (at[0]*s[1] + at[1]) * o.block
		}
	}
	return o, nil
}

// makeTrilu makes Trilu: the upper or lower triangle of matrices, zeros elsewhere.
func makeTrilu(n *node) (operator, error) {
	x, shift := n.in[0], n.operand(1)
	upper := n.integer("upper", 1) != 0
	rank := len(x.shape)
	rows, cols := int(x.shape[rank-2]), int(x.shape[rank-1])
	o := newPick(n, x, x.size, 1)
	o.find = func() {
		k := 0
		if shift != nil {
			k = int(min(max(shift.int[0], -int64(rows)-1), int64(cols)+1))
		}
		for i := range o.places {
			r, c := i/cols%rows, i%cols
			o.places[i] = -1
			if upper && c-r >= k || !upper && c-r <= k {
				o.places[i] = i
			}
		}
	}
	return o, nil
}

// makeCenterCropPad makes CenterCropPad: what is in the middle, zeros around it.
func makeCenterCropPad(n *node) (operator, error) {
	x, y := n.in[0], n.out[0]
	from, to := dims(x.shape), dims(y.shape)
	o := newPick(n, x, y.size, 1)
	strides := dense(from)
	at := make([]int, len(to))
	for i := range o.places {
		place := 0
		for k, p := range at {
			q := p + (from[k]-to[k])/2 // toward zero: the odd one goes behind
			if q < 0 || q >= from[k] {
				place = -1
				break
			}
			place += q * strides[k]
		}
		o.places[i] = place
		for k := len(at) - 1; k >= 0; k-- {
			if at[k]++; at[k] < to[k] {
				break
			}
			at[k] = 0
		}
	}
	return o, nil
}

// A scatter is ScatterElements or ScatterND: a copy of x onto which updates are put.
type scatter struct {
	pool     *kernel.Pool
	x        *operand
	updates  *operand
	y        *site
	how      string
	block    int
	places   []int
	each     func(f func(i, place int))
	setPlace func(i, place int)
}

func makeScatter(n *node) (operator, error) {
	x, at := n.in[0], n.in[1]
	o := &scatter{pool: n.pool, x: x, updates: n.in[2], y: n.out[0], how: n.text("reduction", "none"), block: 1}
	count := at.size
	if n.Op == "ScatterND" {
		o.each, o.block, count = tuplePlaces(at, x.shape, 0)
	} else {
		o.each = elementPlaces(at, dims(x.shape), axis(n.integer("axis", 0), len(x.shape)))
	}
	if (n.mayWant(0) || n.mayWant(2)) && o.how != "none" && o.how != "add" {
		return nil, n.lacks("the gradient of reduction %s", o.how)
	}
	o.places = make([]int, count)
	o.setPlace = func(i, place int) { o.places[i] = place }
	n.inPlace(0)
	return o, nil
}

func (o *scatter) forward() {
	if o.y.ints {
		copy(o.y.int, o.x.int)
	} else {
		copy(o.y.float, o.x.float)
	}
	if o.updates.size == 0 {
		return
	}
	o.each(o.setPlace)
	for i, at := range o.places {
		for k := range o.block {
			if o.y.ints {
				o.putInt(&o.y.int[at+k], o.updates.int[i*o.block+k])
			} else {
				o.put(&o.y.float[at+k], o.updates.float[i*o.block+k])
			}
		}
	}
}

func (o *scatter) put(to *float32, v float32) {
	switch o.how {
	case "add":
		*to += v
	case "mul":
		*to *= v
	case "max":
		*to = max(*to, v)
	case "min":
		*to = min(*to, v)
	default:
		*to = v
	}
}

func (o *scatter) putInt(to *int64, v int64) {
	d := o.y.dtype
	switch o.how {
	case "add":
		*to = d.Wrap(*to + v)
	case "mul":
		*to = d.Wrap(*to * v)
	case "max":
		*to = maxInt(d, *to, v)
	case "min":
		*to = minInt(d, *to, v)
	default:
		*to = v
	}
}

// backward goes from the last update to the first: the one that stayed takes the
// gradient away from those before, and from x.
func (o *scatter) backward() {
	if o.updates.size > 0 {
		for i, at := range slices.Backward(o.places) {
			for k := range o.block {
				dy := &o.y.grad[at+k]
				if o.updates.wanted() {
					o.updates.into[i*o.block+k] += *dy
				}
				if o.how == "none" {
					*dy = 0
				}
			}
		}
	}
	if o.x.wanted() {
		kernel.Add(o.pool, o.x.into, o.x.into, o.y.grad)
	}
}

// An unpool is MaxUnpool: elements where MaxPool found them, zeros elsewhere.
type unpool struct {
	x, at *operand
	y     *site
}

func makeUnpool(n *node) (operator, error) {
	n.keepIn(1)
	return &unpool{n.in[0], n.in[1], n.out[0]}, nil
}

func (o *unpool) forward() {
	clear(o.y.float)
	clear(o.y.int)
	for i, at := range o.at.int {
		if at < 0 || at >= int64(o.y.size) {
			fail("place %d of element %d is outside of %v", at, i, o.y.shape)
		}
		if o.y.ints {
			o.y.int[at] = o.x.int[i]
		} else {
			o.y.float[at] = o.x.float[i]
		}
	}
}

func (o *unpool) backward() {
	for i, at := range slices.Backward(o.at.int) {
		o.x.into[i] += o.y.grad[at]
		o.y.grad[at] = 0 // as in scatter
	}
}
