package native

import (
	"slices"

	"ropewalk/internal/kernel"
)

// lines are the lines of an array along an axis.
type lines struct{ outer, length, inner int }

func linesOf(shape []int, a int) lines {
	return lines{product(shape[:a]), shape[a], product(shape[a+1:])}
}

// first returns the place of the first element of a line; the others are inner
// apart.
func (l lines) first(line int) int { return line/l.inner*l.length*l.inner + line%l.inner }

func (l lines) count() int { return l.outer * l.inner }

// order compares elements i and j; NaN is above all.
func (s *site) order(i, j int) int {
	if s.ints {
		switch a, b := s.int[i], s.int[j]; {
		case a == b:
			return 0
		case lessInt(s.dtype, a, b):
			return -1
		}
		return 1
	}
	switch a, b := s.float[i], s.float[j]; {
	case a < b:
		return -1
	case a > b:
		return 1
	case a == b:
		return 0
	default:
		return int(truth(a != a) - truth(b != b))
	}
}

// extreme returns the place of the greatest element of a line, or with sign -1 of the
// least: the first of equals, or the last.
func (l lines) extreme(x *site, line, sign int, last bool) int {
	first := l.first(line)
	top := 0
	for i := 1; i < l.length; i++ {
		if d := sign * x.order(first+i*l.inner, first+top*l.inner); d > 0 || last && d == 0 {
			top = i
		}
	}
	return top
}

// An argExtreme is ArgMax or ArgMin.
type argExtreme struct {
	lines
	x    *operand
	y    *site
	sign int
	last bool
}

func makeArgExtreme(n *node) (operator, error) {
	o := &argExtreme{x: n.in[0], y: n.out[0], sign: 1, last: n.integer("select_last_index", 0) != 0}
	o.lines = linesOf(dims(o.x.shape), axis(n.integer("axis", 0), len(o.x.shape)))
	if n.Op == "ArgMin" {
		o.sign = -1
	}
	return o, nil
}

func (o *argExtreme) forward() {
	for i := range o.y.int {
		o.y.int[i] = int64(o.extreme(o.x.site, i, o.sign, o.last))
	}
}

// A hardmax is Hardmax: 1 at the greatest element of each line, 0 elsewhere.
type hardmax struct {
	lines
	x *operand
	y *site
}

func makeHardmax(n *node) (operator, error) {
	o := &hardmax{x: n.in[0], y: n.out[0], lines: lines{1, 1, 1}}
	if rank := len(o.x.shape); rank > 0 {
		o.lines = linesOf(dims(o.x.shape), axis(n.integer("axis", -1), rank))
	}
	return o, nil
}

func (o *hardmax) forward() {
	clear(o.y.float)
	if o.y.size == 0 {
		return
	}
	for i := range o.count() {
		o.y.float[o.first(i)+o.extreme(o.x.site, i, 1, false)*o.inner] = 1
	}
}

// A topK is TopK: the greatest or the least elements of each line, in order; of equals
// the first comes first.
type topK struct {
	lines
	pool      *kernel.Pool
	x         *operand
	y         *site // or nil
	where     *site // or nil
	k         int
	sign      int
	order     []int   // of one line
	places    []int32 // in the line, of all results
	compare   func(i, j int) int
	lineFirst int
}

func makeTopK(n *node) (operator, error) {
	o := &topK{pool: n.pool, x: n.in[0], y: n.out[0], sign: 1}
	if len(n.out) > 1 {
		o.where = n.out[1]
	}
	result := o.y
	if result == nil {
		result = o.where
	}
	a := axis(n.integer("axis", -1), len(o.x.shape))
	o.lines, o.k = linesOf(dims(o.x.shape), a), int(result.shape[a])
	if n.integer("largest", 1) == 0 {
		o.sign = -1
	}
	o.order, o.places = make([]int, o.length), make([]int32, result.size)
	o.compare = func(i, j int) int {
		return -o.sign * o.x.order(o.lineFirst+i*o.inner, o.lineFirst+j*o.inner)
	}
	return o, nil
}

// result returns the place of the first element of a line of the result.
func (o *topK) result(line int) int { return line/o.inner*o.k*o.inner + line%o.inner }

func (o *topK) forward() {
	for line := range o.count() {
		for i := range o.order {
			o.order[i] = i
		}
		o.lineFirst = o.first(line)
		slices.SortStableFunc(o.order, o.compare)
		to := o.result(line)
		for i, from := range o.order[:o.k] {
			at := to + i*o.inner
			o.places[at] = int32(from)
			if o.where != nil {
				o.where.int[at] = int64(from)
			}
			switch {
			case o.y == nil:
			case o.y.ints:
				o.y.int[at] = o.x.int[o.lineFirst+from*o.inner]
			default:
				o.y.float[at] = o.x.float[o.lineFirst+from*o.inner]
			}
		}
	}
}

func (o *topK) backward() {
	if o.y == nil || o.y.grad == nil {
		return
	}
	for line := range o.count() {
		first, to := o.first(line), o.result(line)
		for i := range o.k {
			at := to + i*o.inner
			o.x.into[first+int(o.places[at])*o.inner] += o.y.grad[at]
		}
	}
}
