package graph

import (
	"fmt"
	"slices"
	"strings"

	"ropewalk/tensor"
)

// einsumOps is Einstein's sum: letters name axes, those that are not in the result are
// summed over.
var einsumOps = map[string]operator{
	"Einsum": {infer: inferEinsum, evaluate: evaluateEinsum, min: 1, max: -1},
}

// An einsum is an equation with the axes of its operands. The axes of an ellipsis
// are named by digits, counted from the last.
type einsum struct {
	terms  [][]byte // a name for each axis of each operand
	result []byte
	summed []byte
	length map[byte]int64
}

func einsumOf(n *Node, shapes []tensor.Shape) (*einsum, error) {
	r := read(n)
	equation := strings.ReplaceAll(r.string("equation", ""), " ", "")
	if r.err != nil {
		return nil, r.err
	}
	bad := func(why string, args ...any) (*einsum, error) {
		return nil, fmt.Errorf("equation %q: "+why, append([]any{equation}, args...)...)
	}
	left, right, explicit := strings.Cut(equation, "->")
	parts := strings.Split(left, ",")
	if len(parts) != len(shapes) {
		return bad("it has %d operands, the node %d", len(parts), len(shapes))
	}
	e := &einsum{length: map[byte]int64{}}
	dots := 0
	count := map[byte]int{}
	for i, part := range parts {
		term, ellipsis, ok := einsumTerm(part, len(shapes[i]))
		if !ok {
			return bad("%q does not fit the %d axes of operand %d", part, len(shapes[i]), i)
		}
		dots = max(dots, ellipsis)
		for k, name := range term {
			count[name]++
			switch d, known := e.length[name]; {
			case !known || d == 1:
				e.length[name] = shapes[i][k]
			case shapes[i][k] != 1 && shapes[i][k] != d:
				return bad("axis %c is %d and %d", name, d, shapes[i][k])
			}
		}
		e.terms = append(e.terms, term)
	}
	if explicit {
		term, ellipsis, ok := einsumTerm(right, len(strings.ReplaceAll(right, "...", ""))+dots)
		if !ok || ellipsis != dots && strings.Contains(right, "...") {
			return bad("its result cannot be read")
		}
		if !strings.Contains(right, "...") {
			term = []byte(right)
		}
		e.result = term
	} else {
		for d := dots; d > 0; d-- {
			e.result = append(e.result, byte('0'+d-1))
		}
		var names []byte
		for name, k := range count {
			if k == 1 && name > '9' {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		e.result = append(e.result, names...)
	}
	seen := map[byte]bool{}
	for _, name := range e.result {
		if _, known := e.length[name]; !known || seen[name] {
			return bad("axis %c of the result is in no operand, or twice", name)
		}
		seen[name] = true
	}
	for name := range e.length {
		if !seen[name] {
			e.summed = append(e.summed, name)
		}
	}
	slices.Sort(e.summed)
	return e, nil
}

// einsumTerm returns a name for each of rank axes, and how many an ellipsis stands for.
func einsumTerm(part string, rank int) (term []byte, ellipsis int, ok bool) {
	before, behind, dots := strings.Cut(part, "...")
	letters := before + behind
	for _, l := range []byte(letters) {
		if !(l >= 'a' && l <= 'z' || l >= 'A' && l <= 'Z') {
			return nil, 0, false
		}
	}
	ellipsis = rank - len(letters)
	if ellipsis < 0 || ellipsis > 10 || !dots && ellipsis > 0 {
		return nil, 0, false
	}
	term = []byte(before)
	for d := ellipsis; d > 0; d-- {
		term = append(term, byte('0'+d-1))
	}
	return append(term, behind...), ellipsis, true
}

func shapesOf(in []*Operand) ([]tensor.Shape, error) {
	shapes := make([]tensor.Shape, len(in))
	for i, o := range in {
		if o == nil {
			return nil, fmt.Errorf("input %d is missing", i)
		}
		shapes[i] = o.Type.Shape
	}
	return shapes, nil
}

func inferEinsum(_ *context, n *Node, in []*Operand) ([]Type, error) {
	shapes, err := shapesOf(in)
	if err != nil {
		return nil, err
	}
	if err := sameType(in...); err != nil {
		return nil, err
	}
	if d := in[0].Type.DType; !isNumber(d) {
		return nil, fmt.Errorf("it is not defined for %s", d)
	}
	e, err := einsumOf(n, shapes)
	if err != nil {
		return nil, err
	}
	return []Type{{in[0].Type.DType, e.shape(e.result)}}, nil
}

func (e *einsum) shape(names []byte) tensor.Shape {
	s := make(tensor.Shape, len(names))
	for i, name := range names {
		s[i] = e.length[name]
	}
	return s
}

func evaluateEinsum(c *context, n *Node, in []*Value) ([]*Value, error) {
	shapes := make([]tensor.Shape, len(in))
	for i, v := range in {
		shapes[i] = v.Shape
	}
	e, err := einsumOf(n, shapes)
	if err != nil {
		return nil, err
	}
	names := slices.Concat(e.result, e.summed)
	space := e.shape(names)
	if err := c.spendProduct(append([]int64{int64(len(in) + len(names))}, space...)...); err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	if out.elems() == 0 {
		return []*Value{out}, nil
	}
	strides := make([][]int, 0, len(in))
	for i, term := range e.terms {
		own := stridesOf(shapes[i])
		s := make([]int, len(names))
		for k, name := range term { // a name that is there twice is a diagonal
			if shapes[i][k] != 1 {
				s[slices.Index(names, name)] += own[k]
			}
		}
		strides = append(strides, s)
	}
	each := product(space) / out.elems()
	w := newWalker(space, strides...)
	for i := range product(space) {
		if out.Float != nil {
			x := 1.0
			for k, v := range in {
				x *= v.Float[w.off[k]]
			}
			out.Float[i/each] += x
		} else {
			x := int64(1)
			for k, v := range in {
				x *= v.Int[w.off[k]]
			}
			out.Int[i/each] = out.Type.Wrap(out.Int[i/each] + x)
		}
		w.next()
	}
	return []*Value{out}, nil
}
