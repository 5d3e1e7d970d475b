package native

import (
	"math"

	"ropewalk/internal/kernel"
	"ropewalk/tensor"
)

// A compareRule is an operator of two numbers that gives a truth value.
type compareRule struct {
	floats func(a, b float32) bool // nil if it takes none
	ints   func(d tensor.DType, a, b int64) bool
}

var compareRules = map[string]*compareRule{
	"Equal":          {func(a, b float32) bool { return a == b }, func(_ tensor.DType, a, b int64) bool { return a == b }},
	"Less":           {func(a, b float32) bool { return a < b }, lessInt},
	"LessOrEqual":    {func(a, b float32) bool { return a <= b }, func(d tensor.DType, a, b int64) bool { return !lessInt(d, b, a) }},
	"Greater":        {func(a, b float32) bool { return a > b }, func(d tensor.DType, a, b int64) bool { return lessInt(d, b, a) }},
	"GreaterOrEqual": {func(a, b float32) bool { return a >= b }, func(d tensor.DType, a, b int64) bool { return !lessInt(d, a, b) }},
	"And":            {nil, func(_ tensor.DType, a, b int64) bool { return a != 0 && b != 0 }},
	"Or":             {nil, func(_ tensor.DType, a, b int64) bool { return a != 0 || b != 0 }},
	"Xor":            {nil, func(_ tensor.DType, a, b int64) bool { return (a != 0) != (b != 0) }},
}

// A comparison computes a compareRule on arrays that broadcast.
type comparison struct {
	rule *compareRule
	pool *kernel.Pool
	a, b *operand
	y    *site
	g    *grid
	do   func(worker, piece int)
}

func makeCompare(n *node) (operator, error) {
	o := &comparison{rule: compareRules[n.Op], pool: n.pool, a: n.in[0], b: n.in[1], y: n.out[0]}
	shape := dims(o.y.shape)
	o.g = newGrid(shape, 0, dense(shape), broadcast(dims(o.a.shape), shape), broadcast(dims(o.b.shape), shape))
	o.do = o.g.body(o.run)
	return o, nil
}

func (o *comparison) forward() { o.g.run(o.pool, o.do) }

func (o *comparison) run(y, a, b, n int) {
	_, da, db := o.g.last()
	out := o.y.int[y : y+n]
	if o.a.ints {
		for i := range out {
			out[i] = truth(o.rule.ints(o.a.dtype, o.a.int[a+i*da], o.b.int[b+i*db]))
		}
		return
	}
	for i := range out {
		out[i] = truth(o.rule.floats(o.a.float[a+i*da], o.b.float[b+i*db]))
	}
}

// A floatTest is IsNaN or IsInf.
type floatTest struct {
	x          *operand
	y          *site
	nan        bool
	above, low bool // which infinities count
}

func makeTest(n *node) (operator, error) {
	return &floatTest{
		x: n.in[0], y: n.out[0], nan: n.Op == "IsNaN",
		above: n.integer("detect_positive", 1) != 0, low: n.integer("detect_negative", 1) != 0,
	}, nil
}

func (o *floatTest) forward() {
	for i, x := range o.x.float {
		if o.nan {
			o.y.int[i] = truth(x != x)
		} else {
			v := float64(x)
			o.y.int[i] = truth(o.above && math.IsInf(v, 1) || o.low && math.IsInf(v, -1))
		}
	}
}

// A where is Where: elements of one array where a condition holds, and of another
// elsewhere. It goes over the result once for each of them.
type where struct {
	pool      *kernel.Pool
	condition *operand
	y         *site
	sides     [2]whereSide
}

type whereSide struct {
	*where
	x           *operand
	yes         bool
	forth, back *grid
	do, undo    func(worker, piece int)
}

func makeWhere(n *node) (operator, error) {
	o := &where{pool: n.pool, condition: n.in[0], y: n.out[0]}
	shape := dims(o.y.shape)
	for k := range o.sides {
		s := &o.sides[k]
		s.where, s.x, s.yes = o, n.in[1+k], k == 0
		sy, sc, sx := dense(shape), broadcast(dims(o.condition.shape), shape), broadcast(dims(s.x.shape), shape)
		s.forth, s.back = newGrid(shape, 0, sy, sc, sx), newGrid(shape, 2, sy, sc, sx)
		s.do, s.undo = s.forth.body(s.run), s.back.body(s.runBack)
	}
	n.keepIn(0)
	return o, nil
}

func (o *where) forward() {
	for k := range o.sides {
		o.sides[k].forth.run(o.pool, o.sides[k].do)
	}
}

func (o *where) backward() {
	for k := range o.sides {
		if o.sides[k].x.wanted() {
			o.sides[k].back.run(o.pool, o.sides[k].undo)
		}
	}
}

func (s *whereSide) run(y, c, x, n int) {
	_, dc, dx := s.forth.last()
	for i := range n {
		switch {
		case (s.condition.int[c+i*dc] != 0) != s.yes:
		case s.y.ints:
			s.y.int[y+i] = s.x.int[x+i*dx]
		default:
			s.y.float[y+i] = s.x.float[x+i*dx]
		}
	}
}

func (s *whereSide) runBack(y, c, x, n int) {
	dy, dc, dx := s.back.last()
	for i := range n {
		if (s.condition.int[c+i*dc] != 0) == s.yes {
			s.x.into[x+i*dx] += s.y.grad[y+i*dy]
		}
	}
}
