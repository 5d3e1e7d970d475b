package native

import (
	"ropewalk/internal/kernel"
	"ropewalk/tensor"
)

// A selection is an operator whose result is a part of its operand, read in some
// order: Transpose, Slice, one result of Split.
type selection struct {
	x *operand
	y []*site
	p []*part
}

func makeTranspose(n *node) (operator, error) {
	x, y := n.in[0], n.out[0]
	perm := n.integers("perm")
	strides, rank := dense(dims(x.shape)), len(x.shape)
	from := make([]int, rank)
	for i := range from {
		from[i] = strides[rank-1-i]
		if perm != nil {
			from[i] = strides[perm[i]]
		}
	}
	return newSelection(n, x, []*site{y}, [][]int{from}, []int{0}), nil
}

func newSelection(n *node, x *operand, y []*site, strides [][]int, offsets []int) *selection {
	o := &selection{x: x, y: y}
	for k, s := range y {
		var p *part
		if s != nil {
			p = newPart(n.pool, dims(s.shape), strides[k], offsets[k])
		}
		o.p = append(o.p, p)
	}
	return o
}

func (o *selection) forward() {
	for k, y := range o.y {
		if y != nil {
			o.p[k].read(y, o.x.site)
		}
	}
}

func (o *selection) backward() {
	for k, y := range o.y {
		if y != nil && y.grad != nil && y.size > 0 {
			o.p[k].back.move(o.x.into, y.grad, true)
		}
	}
}

func makeSlice(n *node) (operator, error) {
	x, y := n.in[0], n.out[0]
	rank := len(x.shape)
	starts, ok1 := n.constants(1)
	axes, ok2 := n.constants(3)
	steps, ok3 := n.constants(4)
	if !ok1 || !ok2 || !ok3 {
		return nil, n.lacks("bounds that are known only when it runs")
	}
	strides := dense(dims(x.shape))
	offset := 0
	from := append([]int(nil), strides...)
	for i, start := range starts {
		a := i
		if axes != nil {
			a = axis(axes[i], rank)
		}
		step := int64(1)
		if steps != nil {
			step = steps[i]
		}
		size := x.shape[a]
		if start < 0 {
			start += size
		}
		if step > 0 {
			start = min(max(start, 0), size)
		} else {
			start = min(max(start, 0), size-1)
		}
		if y.shape[a] > 0 {
			offset += int(start) * strides[a]
			if y.shape[a] > 1 {
				from[a] = int(step) * strides[a]
			}
		}
	}
	return newSelection(n, x, []*site{y}, [][]int{from}, []int{offset}), nil
}

func makeSplit(n *node) (operator, error) {
	x := n.in[0]
	a := axis(n.integer("axis", 0), len(x.shape))
	strides := dense(dims(x.shape))
	var all [][]int
	var offsets []int
	at := 0
	for k := range n.out {
		all, offsets = append(all, strides), append(offsets, at*strides[a])
		if n.out[k] == nil {
			return nil, n.lacks("results that nobody names")
		}
		at += int(n.out[k].shape[a])
	}
	return newSelection(n, x, n.out, all, offsets), nil
}

// A concat is Concat.
type concat struct {
	x []*operand
	y *site
	p []*part
}

func makeConcat(n *node) (operator, error) {
	o := &concat{x: n.in, y: n.out[0]}
	a := axis(n.integer("axis", 0), len(o.y.shape))
	strides := dense(dims(o.y.shape))
	at := 0
	for _, x := range o.x {
		o.p = append(o.p, newPart(n.pool, dims(x.shape), strides, at*strides[a]))
		at += int(x.shape[a])
	}
	n.chooses()
	return o, nil
}

func (o *concat) forward() {
	for i, x := range o.x {
		o.p[i].write(o.y, x.site)
	}
}

func (o *concat) backward() {
	for i, x := range o.x {
		if x.wanted() && x.size > 0 {
			o.p[i].m.move(x.into, o.y.grad, x.add)
		}
	}
}

// An expand is Expand: the operand, broadcast.
type expand struct {
	pool *kernel.Pool
	x    *operand
	y    *site
	m    *mover
	back *grid
	do   func(worker, piece int)
}

func makeExpand(n *node) (operator, error) {
	o := &expand{pool: n.pool, x: n.in[0], y: n.out[0]}
	shape := dims(o.y.shape)
	to, from := dense(shape), broadcast(dims(o.x.shape), shape)
	o.m = newMover(n.pool, shape, to, from)
	o.back = newGrid(shape, 1, to, from)
	o.do = o.back.body(o.sum)
	return o, nil
}

func (o *expand) forward() {
	switch {
	case o.y.size == 0:
	case o.y.ints:
		o.m.moveInts(o.y.int, o.x.int)
	default:
		o.m.move(o.y.float, o.x.float, false)
	}
}

func (o *expand) sum(y, x, _, n int) {
	dy, dx, _ := o.back.last()
	for i := range n {
		o.x.into[x+i*dx] += o.y.grad[y+i*dy]
	}
}

func (o *expand) backward() {
	if o.y.size > 0 {
		o.back.run(o.pool, o.do)
	}
}

// A padding is Pad. Elements of the result are read from the operand at a place that
// is looked up axis by axis; -1 stands for the constant.
type padding struct {
	x     *operand
	y     *site
	value *operand // the constant, or nil
	from  [][]int  // by axis and place
	inner *part    // where the mode is constant
}

func makePad(n *node) (operator, error) {
	o := &padding{x: n.in[0], y: n.out[0], value: n.operand(2)}
	pads, ok := n.constants(1)
	axes, ok2 := n.constants(3)
	if !ok || !ok2 {
		return nil, n.lacks("pads that are known only when it runs")
	}
	rank := len(o.x.shape)
	before, after := make([]int64, rank), make([]int64, rank)
	for i := range len(pads) / 2 {
		a := i
		if axes != nil {
			a = axis(axes[i], rank)
		}
		before[a], after[a] = pads[i], pads[len(pads)/2+i]
	}
	mode := n.text("mode", "constant")
	negative := false
	for a := range rank {
		size := o.x.shape[a]
		places := make([]int, o.y.shape[a])
		negative = negative || before[a] < 0 || after[a] < 0
		for i := range places {
			places[i] = padPlace(mode, int64(i)-before[a], size)
		}
		o.from = append(o.from, places)
	}
	if mode == "constant" && !negative && !o.y.ints && o.x.size > 0 {
		strides := dense(dims(o.y.shape))
		offset := 0
		for a := range rank {
			offset += int(before[a]) * strides[a]
		}
		o.inner = newPart(n.pool, dims(o.x.shape), strides, offset)
		n.chooses(0)
	}
	return o, nil
}

// padPlace returns where element i, which may lie outside, comes from; -1 for the
// constant.
func padPlace(mode string, i, size int64) int {
	inside := i >= 0 && i < size
	switch {
	case inside:
		return int(i)
	case size == 0:
		return -1
	case mode == "edge":
		return int(min(max(i, 0), size-1))
	case mode == "wrap":
		return int(((i % size) + size) % size)
	case mode == "reflect":
		if size == 1 {
			return 0
		}
		period := 2 * (size - 1)
		i = ((i % period) + period) % period
		return int(min(i, period-i))
	}
	return -1
}

func (o *padding) forward() {
	var value float32
	var whole int64
	if o.value != nil && o.value.size > 0 {
		if o.value.ints {
			whole = o.value.int[0]
		} else {
			value = o.value.float[0]
		}
	}
	if o.inner != nil {
		for i := range o.y.float {
			o.y.float[i] = value
		}
		o.inner.write(o.y, o.x.site)
		return
	}
	o.each(func(y, x int) {
		switch {
		case o.y.ints && x < 0:
			o.y.int[y] = whole
		case o.y.ints:
			o.y.int[y] = o.x.int[x]
		case x < 0:
			o.y.float[y] = value
		default:
			o.y.float[y] = o.x.float[x]
		}
	})
}

// each calls f with the place of each element of y, and that in x from which it
// comes.
func (o *padding) each(f func(y, x int)) {
	var at [tensor.MaxRank]int
	strides := [tensor.MaxRank]int{}
	n := 1
	for a := len(o.from) - 1; a >= 0; a-- {
		strides[a] = n
		n *= int(o.x.shape[a])
	}
	for y := range o.y.size {
		x := 0
		for a, places := range o.from {
			p := places[at[a]]
			if p < 0 {
				x = -1
				break
			}
			x += p * strides[a]
		}
		f(y, x)
		for a := len(o.from) - 1; a >= 0; a-- {
			if at[a]++; at[a] < len(o.from[a]) {
				break
			}
			at[a] = 0
		}
	}
}

func (o *padding) backward() {
	if !o.x.wanted() {
		return
	}
	if o.inner != nil {
		o.inner.m.move(o.x.into, o.y.grad, o.x.add)
		return
	}
	o.each(func(y, x int) {
		if x >= 0 {
			o.x.into[x] += o.y.grad[y]
		}
	})
}
