package native

import "ropewalk/internal/kernel"

// A variadicRule puts any number of operands together.
type variadicRule struct {
	f       func(a, b float32) float32
	ints    func(a, b int64) int64
	mean    bool // divided by the number of operands
	extreme bool // the gradient goes to the operands that are the result
}

var variadicRules = map[string]*variadicRule{
	"Sum":  {f: func(a, b float32) float32 { return a + b }},
	"Mean": {f: func(a, b float32) float32 { return a + b }, mean: true},
	"Max":  {f: func(a, b float32) float32 { return max(a, b) }, ints: func(a, b int64) int64 { return max(a, b) }, extreme: true},
	"Min":  {f: func(a, b float32) float32 { return min(a, b) }, ints: func(a, b int64) int64 { return min(a, b) }, extreme: true},
}

// A variadic computes a variadicRule on operands that broadcast.
type variadic struct {
	rule  *variadicRule
	pool  *kernel.Pool
	y     *site
	terms []*term
}

// A term is one operand of a variadic.
type term struct {
	*variadic
	x           *operand
	first       bool
	forth, back *grid
	do, undo    func(worker, piece int)
}

func makeVariadic(n *node) (operator, error) {
	o := &variadic{rule: variadicRules[n.Op], pool: n.pool, y: n.out[0]}
	if o.y.ints && (o.rule.ints == nil || o.y.dtype == "U64") {
		return nil, n.lacks("%s", o.y.dtype)
	}
	shape := dims(o.y.shape)
	for i, x := range n.in {
		t := &term{variadic: o, x: x, first: i == 0}
		t.forth = newGrid(shape, 0, dense(shape), broadcast(dims(x.shape), shape))
		t.back = newGrid(shape, 1, dense(shape), broadcast(dims(x.shape), shape))
		t.do, t.undo = t.forth.body(t.run), t.back.body(t.runBack)
		o.terms = append(o.terms, t)
		if o.rule.extreme {
			n.keepIn(i)
		}
	}
	if o.rule.extreme {
		n.keepOut()
	}
	return o, nil
}

func (o *variadic) forward() {
	for _, t := range o.terms {
		t.forth.run(o.pool, t.do)
	}
	if o.rule.mean {
		kernel.Scale(o.pool, o.y.float, o.y.float, 1/float32(len(o.terms)))
	}
}

func (t *term) run(y, x, _, n int) {
	_, dx, _ := t.forth.last()
	for i := range n {
		switch {
		case t.y.ints && t.first:
			t.y.int[y+i] = t.x.int[x+i*dx]
		case t.y.ints:
			t.y.int[y+i] = t.rule.ints(t.y.int[y+i], t.x.int[x+i*dx])
		case t.first:
			t.y.float[y+i] = t.x.float[x+i*dx]
		default:
			t.y.float[y+i] = t.rule.f(t.y.float[y+i], t.x.float[x+i*dx])
		}
	}
}

func (o *variadic) backward() {
	if o.rule.mean {
		kernel.Scale(o.pool, o.y.grad, o.y.grad, 1/float32(len(o.terms)))
	}
	for _, t := range o.terms {
		if t.x.wanted() {
			t.back.run(o.pool, t.undo)
		}
	}
}

func (t *term) runBack(y, x, _, n int) {
	dy, dx, _ := t.back.last()
	for i := range n {
		if !t.rule.extreme || t.x.float[x+i*dx] == t.y.float[y+i*dy] {
			t.x.into[x+i*dx] += t.y.grad[y+i*dy]
		}
	}
}
