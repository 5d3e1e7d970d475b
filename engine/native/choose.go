package native

import (
	"cmp"
	"math"
	"slices"

	"ropewalk/internal/kernel"
	"ropewalk/tensor"
)

// A gather is Gather: slices of x along an axis, by numbers that are known when it
// runs.
type gather struct {
	x, at               *operand
	y                   *site
	outer, length, size int // x is outer × length × size
	count               int
}

func makeGather(n *node) (operator, error) {
	o := &gather{x: n.in[0], at: n.in[1], y: n.out[0]}
	a := axis(n.integer("axis", 0), len(o.x.shape))
	o.outer, o.length, o.size = product(o.x.shape[:a]), int(o.x.shape[a]), product(o.x.shape[a+1:])
	o.count = o.at.size
	n.keepIn(1)
	return o, nil
}

// place returns the number of slice i; one outside of x counts as the nearest, since
// a step cannot fail half-way.
func (o *gather) place(i int) int {
	k := int(o.at.int[i])
	if k < 0 {
		k += o.length
	}
	return min(max(k, 0), o.length-1)
}

func (o *gather) forward() {
	for r := range o.outer {
		for i := range o.count {
			to, from := (r*o.count+i)*o.size, (r*o.length+o.place(i))*o.size
			if o.y.ints {
				copy(o.y.int[to:to+o.size], o.x.int[from:])
			} else {
				copy(o.y.float[to:to+o.size], o.x.float[from:])
			}
		}
	}
}

func (o *gather) backward() {
	for r := range o.outer {
		for i := range o.count {
			to, from := (r*o.count+i)*o.size, (r*o.length+o.place(i))*o.size
			for k, d := range o.y.grad[to : to+o.size] {
				o.x.into[from+k] += d
			}
		}
	}
}

// A where is Where. The condition, a and b broadcast.
type where struct {
	pool    *kernel.Pool
	c, a, b *operand
	y       *site
	forth   *grid
}

func makeWhere(n *node) (operator, error) {
	o := &where{pool: n.pool, c: n.in[0], a: n.in[1], b: n.in[2], y: n.out[0]}
	shape := dims(o.y.shape)
	// A grid has three arrays; the result lies dense, and its place is counted.
	o.forth = newGrid(shape, 0, broadcast(dims(o.c.shape), shape), broadcast(dims(o.a.shape), shape), broadcast(dims(o.b.shape), shape))
	o.forth.pieces, o.forth.split = 1, -1
	n.keepIn(0)
	return o, nil
}

func (o *where) each(f func(y, a, b int, yes bool)) {
	if o.y.size == 0 {
		return
	}
	dc, da, db := o.forth.last()
	y := 0
	o.forth.walk(0, func(c, a, b, n int) {
		for i := range n {
			f(y, a+i*da, b+i*db, o.c.int[c+i*dc] != 0)
			y++
		}
	})
}

func (o *where) forward() {
	o.each(func(y, a, b int, yes bool) {
		switch {
		case o.y.ints && yes:
			o.y.int[y] = o.a.int[a]
		case o.y.ints:
			o.y.int[y] = o.b.int[b]
		case yes:
			o.y.float[y] = o.a.float[a]
		default:
			o.y.float[y] = o.b.float[b]
		}
	})
}

func (o *where) backward() {
	o.each(func(y, a, b int, yes bool) {
		switch {
		case yes && o.a.wanted():
			o.a.into[a] += o.y.grad[y]
		case !yes && o.b.wanted():
			o.b.into[b] += o.y.grad[y]
		}
	})
}

// A cast is Cast between floats and integers; of floats to floats it is a copy, since
// all are float32 here.
type cast struct {
	x  *operand
	y  *site
	to tensor.DType
}

func makeCast(n *node) (operator, error) {
	o := &cast{x: n.in[0], y: n.out[0], to: n.out[0].dtype}
	switch o.to {
	case tensor.F16, tensor.BF16, tensor.U64:
		return nil, n.lacks("%s, to which it would have to round", o.to)
	}
	return o, nil
}

func (o *cast) forward() {
	switch {
	case o.x.ints && o.y.ints:
		for i, v := range o.x.int {
			o.y.int[i] = wrap(o.to, v)
		}
	case o.x.ints:
		for i, v := range o.x.int {
			o.y.float[i] = float32(v)
		}
	case o.y.ints:
		for i, v := range o.x.float {
			if o.to == tensor.Bool {
				o.y.int[i] = truth(v != 0)
				continue
			}
			o.y.int[i] = wrap(o.to, int64(v))
		}
	default:
		copy(o.y.float, o.x.float)
	}
}

func (o *cast) backward() {
	for i, d := range o.y.grad {
		o.x.into[i] += d
	}
}

// wrap cuts x to the bits of an integer type.
func wrap(d tensor.DType, x int64) int64 {
	switch d {
	case tensor.Bool:
		return truth(x != 0)
	case tensor.I8:
		return int64(int8(x))
	case tensor.U8:
		return int64(uint8(x))
	case tensor.I16:
		return int64(int16(x))
	case tensor.U16:
		return int64(uint16(x))
	case tensor.I32:
		return int64(int32(x))
	case tensor.U32:
		return int64(uint32(x))
	}
	return x
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// A compare2 is an operator of two arrays whose result is truth values.
type compare2 struct {
	pool   *kernel.Pool
	a, b   *operand
	y      *site
	floats func(a, b float32) bool
	ints   func(a, b int64) bool
	g      *grid
	do     func(worker, piece int)
}

func makeCompare(floats func(a, b float32) bool, ints func(a, b int64) bool) maker {
	return func(n *node) (operator, error) {
		o := &compare2{pool: n.pool, a: n.in[0], b: n.in[1], y: n.out[0], floats: floats, ints: ints}
		shape := dims(o.y.shape)
		o.g = newGrid(shape, 0, dense(shape), broadcast(dims(o.a.shape), shape), broadcast(dims(o.b.shape), shape))
		o.do = o.g.body(o.run)
		return o, nil
	}
}

func (o *compare2) forward() { o.g.run(o.pool, o.do) }

func (o *compare2) run(y, a, b, n int) {
	_, da, db := o.g.last()
	for i := range n {
		if o.a.ints {
			o.y.int[y+i] = truth(o.ints(o.a.int[a+i*da], o.b.int[b+i*db]))
		} else {
			o.y.int[y+i] = truth(o.floats(o.a.float[a+i*da], o.b.float[b+i*db]))
		}
	}
}

// A not is Not.
type not struct {
	x *operand
	y *site
}

func makeNot(n *node) (operator, error) { return &not{n.in[0], n.out[0]}, nil }

func (o *not) forward() {
	for i, v := range o.x.int {
		o.y.int[i] = 1 - v
	}
}

// An argExtreme is ArgMax or ArgMin.
type argExtreme struct {
	x                    *operand
	y                    *site
	least, last          bool
	outer, length, inner int
}

func makeArg(least bool) maker {
	return func(n *node) (operator, error) {
		o := &argExtreme{x: n.in[0], y: n.out[0], least: least, last: n.integer("select_last_index", 0) != 0}
		if o.x.ints {
			return nil, n.lacks("integers that are known only when it runs")
		}
		a := axis(n.integer("axis", 0), len(o.x.shape))
		o.outer, o.length, o.inner = product(o.x.shape[:a]), int(o.x.shape[a]), product(o.x.shape[a+1:])
		return o, nil
	}
}

func (o *argExtreme) forward() {
	for r := range o.outer {
		for c := range o.inner {
			best, at := float32(math.Inf(-1)), 0
			for i := range o.length {
				v := o.x.float[(r*o.length+i)*o.inner+c]
				if o.least {
					v = -v
				}
				if i == 0 || v > best || o.last && v == best {
					best, at = v, i
				}
			}
			o.y.int[r*o.inner+c] = int64(at)
		}
	}
}

// A topK is TopK: the k largest or smallest along an axis, in order; of equals the
// first.
type topK struct {
	x                       *operand
	y                       *site // or nil
	at                      *site // or nil
	smallest                bool
	outer, length, inner, k int
	order                   []int32
	row                     []float32
}

func makeTopK(n *node) (operator, error) {
	o := &topK{x: n.in[0], y: n.out[0], smallest: n.integer("largest", 1) == 0}
	if len(n.out) > 1 {
		o.at = n.out[1]
	}
	if o.x.ints {
		return nil, n.lacks("integers that are known only when it runs")
	}
	result := o.y
	if result == nil {
		result = o.at
	}
	a := axis(n.integer("axis", -1), len(o.x.shape))
	o.outer, o.length, o.inner, o.k = product(o.x.shape[:a]), int(o.x.shape[a]), product(o.x.shape[a+1:]), int(result.shape[a])
	o.order, o.row = make([]int32, o.length), make([]float32, o.length)
	return o, nil
}

func (o *topK) forward() {
	for r := range o.outer {
		for c := range o.inner {
			for i := range o.length {
				v := o.x.float[(r*o.length+i)*o.inner+c]
				if !o.smallest {
					v = -v
				}
				o.order[i], o.row[i] = int32(i), v
			}
			slices.SortStableFunc(o.order, func(i, j int32) int { return cmp.Compare(o.row[i], o.row[j]) })
			for i := range o.k {
				to := (r*o.k+i)*o.inner + c
				if o.y != nil {
					o.y.float[to] = o.x.float[(r*o.length+int(o.order[i]))*o.inner+c]
				}
				if o.at != nil {
					o.at.int[to] = int64(o.order[i])
				}
			}
		}
	}
}

// makeDepthToSpace makes DepthToSpace and SpaceToDepth, which are transpositions of
// six axes.
func makeDepthToSpace(n *node) (operator, error) {
	x, y := n.in[0], n.out[0]
	b := int(n.integer("blocksize", 1))
	batch, _, h, w := image(y.shape)
	if n.Op == "SpaceToDepth" {
		// y is batch × (b·b·c) × h × w, from batch × c × (h·b) × (w·b).
		c := int(x.shape[1])
		s := dense([]int{batch, c, h, b, w, b})
		p := newPart(n.pool, []int{batch, b, b, c, h, w}, []int{s[0], s[3], s[5], s[1], s[2], s[4]}, 0)
		return &selection{x, []*site{y}, []*part{p}}, nil
	}
	c := int(y.shape[1])
	h, w = h/b, w/b
	var from []int // of batch, c, h, b, w, b
	if n.text("mode", "DCR") == "CRD" {
		s := dense([]int{batch, c, b, b, h, w})
		from = []int{s[0], s[1], s[4], s[2], s[5], s[3]}
	} else {
		s := dense([]int{batch, b, b, c, h, w})
		from = []int{s[0], s[3], s[4], s[1], s[5], s[2]}
	}
	return &selection{x, []*site{y}, []*part{newPart(n.pool, []int{batch, c, h, b, w, b}, from, 0)}}, nil
}

// makeTile makes Tile: along each axis, elements are read again and again.
func makeTile(n *node) (operator, error) {
	o := &expand{pool: n.pool, x: n.in[0], y: n.out[0]}
	var shape, from []int
	s := dense(dims(o.x.shape))
	for i, length := range dims(o.x.shape) {
		times := 1
		if length > 0 {
			times = int(o.y.shape[i]) / length
		}
		shape, from = append(shape, times, length), append(from, 0, s[i])
	}
	to := dense(shape)
	o.m = newMover(n.pool, shape, to, from)
	o.back = newGrid(shape, 1, to, from)
	o.do = o.back.body(o.sum)
	return o, nil
}
