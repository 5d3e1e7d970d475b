package native

import (
	"math"

	"ropewalk/internal/kernel"
	"ropewalk/tensor"
)

// lessInt compares integers of a type.
func lessInt(d tensor.DType, a, b int64) bool {
	if d == tensor.U64 {
		return uint64(a) < uint64(b)
	}
	return a < b
}

func maxInt(d tensor.DType, a, b int64) int64 {
	if lessInt(d, a, b) {
		return b
	}
	return a
}

func minInt(d tensor.DType, a, b int64) int64 {
	if lessInt(d, b, a) {
		return b
	}
	return a
}

// divideInt divides toward zero; by zero it gives 0, as graph.Evaluate: ONNX has no
// rule.
func divideInt(d tensor.DType, a, b int64) int64 {
	switch {
	case b == 0:
		return 0
	case d == tensor.U64:
		return int64(uint64(a) / uint64(b))
	case b == -1: // the least integer has no negative
		return -a
	}
	return a / b
}

// remainderInt is what divideInt leaves; its sign is that of a.
func remainderInt(d tensor.DType, a, b int64) int64 {
	switch {
	case b == 0 || b == -1 && d != tensor.U64:
		return 0
	case d == tensor.U64:
		return int64(uint64(a) % uint64(b))
	}
	return a % b
}

// moduloInt is the remainder with the sign of b.
func moduloInt(d tensor.DType, a, b int64) int64 {
	r := remainderInt(d, a, b)
	if r != 0 && d != tensor.U64 && (r < 0) != (b < 0) {
		r += b
	}
	return r
}

// powerInt is a to the b, which is of type d, with overflow. A negative power of another
// integer than 1 and -1 is 0.
func powerInt(d tensor.DType, a, b int64) int64 {
	if lessInt(d, b, 0) {
		switch {
		case a == 1 || a == -1 && b%2 == 0:
			return 1
		case a == -1:
			return -1
		}
		return 0
	}
	p := int64(1)
	for e := uint64(b); e > 0; e >>= 1 {
		if e&1 == 1 {
			p *= a
		}
		a *= a
	}
	return p
}

// makePow makes Pow. Base and exponent may be of different types; the result has
// that of the base.
func makePow(n *node) (operator, error) {
	a, b := n.in[0], n.in[1]
	if a.ints && b.ints {
		o, err := makePair(n)
		if err == nil {
			o.(*pair).rule = &pairRule{ints: func(_ tensor.DType, x, y int64) int64 { return powerInt(b.dtype, x, y) }}
		}
		return o, err
	}
	if !a.ints && !b.ints {
		return makePair(n)
	}
	if n.mayWant(0) || n.mayWant(1) {
		return nil, n.lacks("the gradient of a power of integers and floats")
	}
	o := &mixedPower{pool: n.pool, a: a, b: b, y: n.out[0]}
	shape := dims(o.y.shape)
	o.g = newGrid(shape, 0, dense(shape), broadcast(dims(a.shape), shape), broadcast(dims(b.shape), shape))
	o.do = o.g.body(o.run)
	return o, nil
}

// A mixedPower is Pow of an integer and a float, in either order.
type mixedPower struct {
	pool *kernel.Pool
	a, b *operand
	y    *site
	g    *grid
	do   func(worker, piece int)
}

func (o *mixedPower) forward() { o.g.run(o.pool, o.do) }

func (o *mixedPower) run(y, a, b, n int) {
	_, da, db := o.g.last()
	for i := range n {
		p := math.Pow(o.a.number(a+i*da), o.b.number(b+i*db))
		if o.y.ints {
			o.y.int[y+i] = toInt(o.y.dtype, p)
		} else {
			o.y.float[y+i] = float32(p)
		}
	}
}

// number returns element i as a float.
func (s *site) number(i int) float64 {
	if s.ints {
		return asFloat(s.dtype, s.int[i])
	}
	return float64(s.float[i])
}

// A wholeUnary is a function of one integer.
type wholeUnary struct {
	f func(d tensor.DType, x int64) int64
	x *operand
	y *site
}

// wholeRules are the operators of one number that take integers, too.
var wholeRules = map[string]func(d tensor.DType, x int64) int64{
	"Abs": func(d tensor.DType, x int64) int64 {
		if !isUnsigned(d) && x < 0 {
			return -x
		}
		return x
	},
	"Neg":        func(_ tensor.DType, x int64) int64 { return -x },
	"Sign":       func(d tensor.DType, x int64) int64 { return truth(lessInt(d, 0, x)) - truth(lessInt(d, x, 0)) },
	"Relu":       func(d tensor.DType, x int64) int64 { return maxInt(d, x, 0) },
	"BitwiseNot": func(_ tensor.DType, x int64) int64 { return ^x },
	"Not":        func(_ tensor.DType, x int64) int64 { return truth(x == 0) },
}

// orWhole returns a maker that makes the operator on integers where there are some.
func orWhole(m maker) maker {
	return func(n *node) (operator, error) {
		f := wholeRules[n.Op]
		if !n.in[0].ints || f == nil {
			return m(n)
		}
		return &wholeUnary{f: f, x: n.in[0], y: n.out[0]}, nil
	}
}

func (o *wholeUnary) forward() {
	for i, x := range o.x.int {
		o.y.int[i] = o.y.dtype.Wrap(o.f(o.y.dtype, x))
	}
}

func onlyWhole(n *node) (operator, error) { return nil, n.lacks("type %s", n.in[0].dtype) }

// A wholeClip is Clip of integers.
type wholeClip struct {
	x, lo, hi *operand // lo and hi may be nil
	y         *site
}

func (o *wholeClip) forward() {
	d := o.y.dtype
	for i, x := range o.x.int {
		if o.lo != nil {
			x = maxInt(d, x, o.lo.int[0])
		}
		if o.hi != nil {
			x = minInt(d, x, o.hi.int[0])
		}
		o.y.int[i] = x
	}
}

// A wholeReduce is one of the reductions, of integers.
type wholeReduce struct {
	x     *operand
	y     *site
	first int64
	fold  func(d tensor.DType, a, x int64) int64
	last  func(x float64) float64 // or nil
	count int
	g     *grid
	do    func(worker, piece int)
	pool  *kernel.Pool
}

func makeWholeReduce(n *node) (operator, error) {
	o := &wholeReduce{x: n.in[0], y: n.out[0], pool: n.pool}
	d := o.y.dtype
	add := func(_ tensor.DType, a, x int64) int64 { return a + x }
	squares := func(_ tensor.DType, a, x int64) int64 { return a + x*x }
	switch n.Op {
	case "ReduceSum":
		o.fold = add
	case "ReduceMean":
		o.fold, o.last = add, func(x float64) float64 { return x / float64(o.count) }
	case "ReduceProd":
		o.first, o.fold = 1, func(_ tensor.DType, a, x int64) int64 { return a * x }
	case "ReduceMax":
		o.first, _ = rangeOf(d)
		if d == tensor.U64 {
			o.first = 0
		}
		o.fold = maxInt
	case "ReduceMin":
		_, o.first = rangeOf(d)
		if d == tensor.U64 {
			o.first = -1
		}
		o.fold = minInt
	case "ReduceL1":
		o.fold = func(d tensor.DType, a, x int64) int64 { return a + wholeRules["Abs"](d, x) }
	case "ReduceSumSquare":
		o.fold = squares
	case "ReduceL2":
		o.fold, o.last = squares, math.Sqrt
	default:
		return nil, n.lacks("type %s", d)
	}
	along, err := axesOf(n)
	if err != nil {
		return nil, err
	}
	o.count = 1
	shape, kept := dims(o.x.shape), dims(o.x.shape)
	for i, a := range along {
		if a {
			o.count *= shape[i]
			kept[i] = 1
		}
	}
	o.g = newGrid(shape, 1, dense(shape), broadcast(kept, shape))
	o.do = o.g.body(o.add)
	return o, nil
}

func (o *wholeReduce) forward() {
	for i := range o.y.int {
		o.y.int[i] = o.first
	}
	if o.x.size > 0 {
		o.g.run(o.pool, o.do)
	}
	if o.last != nil {
		for i, x := range o.y.int {
			o.y.int[i] = toInt(o.y.dtype, o.last(asFloat(o.y.dtype, x)))
		}
	}
}

func (o *wholeReduce) add(x, y, _, n int) {
	dx, dy, _ := o.g.last()
	d := o.y.dtype
	for i := range n {
		to := &o.y.int[y+i*dy]
		*to = d.Wrap(o.fold(d, *to, o.x.int[x+i*dx]))
	}
}

// A wholeProduct is MatMul of integers.
type wholeProduct struct{ *matmul }

func (o *wholeProduct) forward() {
	for _, at := range o.offsets {
		multiplyInts(o.m, o.n, o.k, o.a.int[at[0]:], o.b.int[at[1]:], o.y.int[at[2]:])
	}
	for i, x := range o.y.int {
		o.y.int[i] = o.y.dtype.Wrap(x)
	}
}

// multiplyInts computes c = a·b.
func multiplyInts(m, n, k int, a, b, c []int64) {
	for i := range m {
		row := c[i*n : (i+1)*n]
		clear(row)
		for l := range k {
			f := a[i*k+l]
			if f == 0 {
				continue
			}
			for j, x := range b[l*n : (l+1)*n] {
				row[j] += f * x
			}
		}
	}
}
