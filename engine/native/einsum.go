package native

import (
	"slices"
	"strings"

	"ropewalk/internal/kernel"
)

// An einsum is Einsum of one or two operands. Letters name axes; those that the result
// has not are summed over. Two operands are brought into the order of a matrix product,
//
//	a (both, left, sum) · b (both, sum, right) = c (both, left, right)
//
// where the letters of both are in a, b and the result, those of left in a and the
// result only, and so on. What is summed in one operand alone is summed on the way.
type einsum struct {
	pool    *kernel.Pool
	in      []*operand
	y       *site
	ab      [2]einsumSide
	c       *memory
	toY     *part // between c and y
	batch   int
	m, n, k int
	slope   *memory // as a or b
}

// An einsumSide goes between an operand and the order of the product.
type einsumSide struct {
	to, back *mover // back adds to the gradient
	values   *memory
	size     int
}

func makeEinsum(n *node) (operator, error) {
	if len(n.in) > 2 {
		return nil, n.lacks("%d operands", len(n.in))
	}
	o := &einsum{pool: n.pool, in: n.in, y: n.out[0]}
	if o.y.ints {
		return nil, n.lacks("integers")
	}
	equation := strings.ReplaceAll(n.text("equation", ""), " ", "")
	left, right, explicit := strings.Cut(equation, "->")
	length := map[byte]int{}
	var terms [][]byte
	count := map[byte]int{}
	dots := 0
	for i, part := range strings.Split(left, ",") {
		term := einsumNames(part, len(n.in[i].shape))
		dots = max(dots, len(n.in[i].shape)-len(strings.ReplaceAll(part, "...", "")))
		for k, name := range term {
			length[name] = max(length[name], int(n.in[i].shape[k]))
			if n.in[i].shape[k] == 0 {
				length[name] = 0
			}
			count[name]++
		}
		terms = append(terms, term)
	}
	var result []byte
	switch {
	case explicit && strings.Contains(right, "..."):
		result = einsumNames(right, len(right)-3+dots)
	case explicit:
		result = []byte(right)
	default:
		result = einsumNames("...", dots)
		var once []byte
		for name, k := range count {
			if k == 1 && name > '9' {
				once = append(once, name)
			}
		}
		slices.Sort(once)
		result = append(result, once...)
	}
	if len(terms) == 1 {
		summed := without(unique(terms[0]), result)
		order := slices.Concat(result, summed)
		s := o.side(n, 0, terms[0], order, result, length)
		o.ab[0] = s
		return &einsumOne{o}, nil
	}
	a, b := unique(terms[0]), unique(terms[1])
	both := within(result, a, b)
	outA, outB := without(within(result, a), b), without(within(result, b), a)
	sum := without(within(a, b), result)
	aloneA, aloneB := without(without(a, result), b), without(without(b, result), a)
	ofA, ofB, ofC := slices.Concat(both, outA, sum), slices.Concat(both, sum, outB), slices.Concat(both, outA, outB)
	o.ab[0] = o.side(n, 0, terms[0], slices.Concat(ofA, aloneA), ofA, length)
	o.ab[1] = o.side(n, 1, terms[1], slices.Concat(ofB, aloneB), ofB, length)
	for i := range o.ab {
		o.ab[i].values = n.retain(o.ab[i].size)
	}
	o.batch, o.m, o.n, o.k = extent(both, length), extent(outA, length), extent(outB, length), extent(sum, length)
	o.c = n.scratch(o.y.size)
	if n.mayWant(0) || n.mayWant(1) {
		o.slope = n.scratch(max(o.ab[0].size, o.ab[1].size))
	}
	// y is read from c.
	ofY := dense(lengths(ofC, length))
	from := make([]int, len(result))
	for i, name := range result {
		from[i] = ofY[slices.Index(ofC, name)]
	}
	o.toY = newPart(n.pool, lengths(result, length), from, 0)
	return o, nil
}

// side prepares operand i with axes term: a walk over the names in order, to an array
// with the axes kept, which come first in order.
func (o *einsum) side(n *node, i int, term, order, kept []byte, length map[byte]int) einsumSide {
	shape := lengths(order, length)
	to := make([]int, len(order))
	copy(to, dense(lengths(kept, length)))
	from := make([]int, len(order))
	own := dense(dims(o.in[i].shape))
	for k, name := range term { // a name that is there twice is a diagonal
		if o.in[i].shape[k] != 1 {
			from[slices.Index(order, name)] += own[k]
		}
	}
	return einsumSide{to: newMover(n.pool, shape, to, from), back: newMover(n.pool, shape, from, to), size: extent(kept, length)}
}

// einsumNames returns a name for each of rank axes; those of an ellipsis are digits,
// counted from the last.
func einsumNames(part string, rank int) []byte {
	before, behind, _ := strings.Cut(part, "...")
	names := []byte(before)
	for d := rank - len(before) - len(behind); d > 0; d-- {
		names = append(names, byte('0'+d-1))
	}
	return append(names, behind...)
}

func unique(names []byte) []byte {
	var u []byte
	for _, x := range names {
		if !slices.Contains(u, x) {
			u = append(u, x)
		}
	}
	return u
}

// within returns the names that are in all other lists, too.
func within(names []byte, lists ...[]byte) []byte {
	var w []byte
	for _, x := range names {
		if !slices.ContainsFunc(lists, func(l []byte) bool { return !slices.Contains(l, x) }) {
			w = append(w, x)
		}
	}
	return w
}

func without(names, others []byte) []byte {
	var w []byte
	for _, x := range names {
		if !slices.Contains(others, x) {
			w = append(w, x)
		}
	}
	return w
}

func lengths(names []byte, length map[byte]int) []int {
	s := make([]int, len(names))
	for i, x := range names {
		s[i] = length[x]
	}
	return s
}

func extent(names []byte, length map[byte]int) int { return product(lengths(names, length)) }

func (o *einsum) forward() {
	if o.y.size == 0 {
		return
	}
	for i := range o.ab {
		s := &o.ab[i]
		clear(s.values.float)
		s.to.move(s.values.float, o.in[i].float, true)
	}
	kernel.Gemm(o.pool, &kernel.GemmArgs{
		M: o.m, N: o.n, K: o.k, A: o.ab[0].values.float, B: o.ab[1].values.float, C: o.c.float,
		Batch: o.batch, StrideA: o.m * o.k, StrideB: o.k * o.n, StrideC: o.m * o.n,
	})
	o.toY.m.move(o.y.float, o.c.float, false)
}

func (o *einsum) backward() {
	if o.y.size == 0 || o.k == 0 {
		return
	}
	o.toY.back.move(o.c.float, o.y.grad, false)
	if o.in[0].wanted() {
		kernel.Gemm(o.pool, &kernel.GemmArgs{
			M: o.m, N: o.k, K: o.n, A: o.c.float, B: o.ab[1].values.float, TransB: true, C: o.slope.float,
			Batch: o.batch, StrideA: o.m * o.n, StrideB: o.k * o.n, StrideC: o.m * o.k,
		})
		o.ab[0].back.move(o.in[0].into, o.slope.float, true)
	}
	if o.in[1].wanted() {
		kernel.Gemm(o.pool, &kernel.GemmArgs{
			M: o.k, N: o.n, K: o.m, A: o.ab[0].values.float, TransA: true, B: o.c.float, C: o.slope.float,
			Batch: o.batch, StrideA: o.m * o.k, StrideB: o.m * o.n, StrideC: o.k * o.n,
		})
		o.ab[1].back.move(o.in[1].into, o.slope.float, true)
	}
}

// An einsumOne is Einsum of one operand: a transposition, a diagonal, a sum.
type einsumOne struct{ *einsum }

func (o *einsumOne) forward() {
	clear(o.y.float)
	if o.in[0].size > 0 {
		o.ab[0].to.move(o.y.float, o.in[0].float, true)
	}
}

func (o *einsumOne) backward() {
	if o.in[0].size > 0 && o.y.size > 0 {
		o.ab[0].back.move(o.in[0].into, o.y.grad, true)
	}
}
