package graph

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ropewalk/tensor"
)

// An operator is what this package knows of an operator of ONNX. Call it by
// [context.infer] and [context.apply], which look after the number of its
// operands and the limits.
type operator struct {
	// infer returns the types of the outputs, or says what is wrong with the node
	// or its operands; an operand that is left out is nil. It fails with a
	// *neededError if the types follow from values that are not constant. It looks at
	// attributes, types and values of shapes, and never at the numbers themselves.
	infer func(c *context, n *Node, in []*Operand) ([]Type, error)
	// evaluate computes the outputs. It sees only operands that infer took, and
	// finds what infer said in c.types.
	evaluate func(c *context, n *Node, in []*Value) ([]*Value, error)
	// min and max bound the number of inputs; -1 is any number.
	min, max int
	// byType means that the values follow from the types of the operands alone: then
	// evaluate does not look at their elements, and may be called without.
	byType bool
	// volatile means that the values depend on chance, or on whether the graph is
	// trained: they must not be folded.
	volatile bool
	// late means that the types may follow from values that come up inside only: apply
	// then calls evaluate without infer, and evaluate itself looks at the operands.
	late bool
}

// operators are all operators, by name, those of other domains after the domain
// and a dot.
var operators = gather(
	arithmeticOps, logicOps, activationOps, softmaxOps, shapeOps, moveOps, castOps, reduceOps,
	matmulOps, einsumOps, convOps, poolOps, normOps,
	gatherOps, sortOps, constantOps, randomOps,
	resizeOps, recurrentOps, controlOps,
	quantizeOps, lossOps, detectOps, signalOps, textOps,
)

func gather(families ...map[string]operator) map[string]operator {
	all := map[string]operator{}
	for _, f := range families {
		for name, op := range f {
			if _, dup := all[name]; dup {
				panic("graph: internal error: two operators are named " + name)
			}
			all[name] = op
		}
	}
	return all
}

// lookup returns the operator of a node.
func lookup(n *Node) (operator, bool) {
	op, ok := operators[operatorName(n)]
	return op, ok
}

func operatorName(n *Node) string {
	if n.Domain == "" || n.Domain == "ai.onnx" {
		return n.Op
	}
	return n.Domain + "." + n.Op
}

// Operators returns the names of all operators that [Evaluate] knows, sorted; those of
// other domains than ai.onnx stand after the domain and a dot.
func Operators() []string {
	names := make([]string, 0, len(operators))
	for name := range operators {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return names
}

// A neededError reports that types, or what an operator does, follow from a value that is
// known only when the graph runs.
type neededError struct {
	what string // which operand
}

func (e *neededError) Error() string {
	return fmt.Sprintf("its result has a shape that follows from %s, which is not constant", e.what)
}

// A context is what an operator knows beside its node and operands.
type context struct {
	lookup func(n *Node) (operator, bool)
	budget *budget
	// outer returns what is known of a value of the graphs around; nil if nothing
	// is. The operators with subgraphs use it.
	outer func(name string) (*Operand, error)
	// training has BatchNormalization and Dropout do as in training.
	training bool
	// chance is the source of random numbers.
	chance *chance
	// mask chooses what Dropout keeps; nil is by chance.
	mask func(node string, elems int) []bool
	// updated, if not nil, gets new running statistics by the name of the old.
	updated map[string]*Value
	// depth is how many graphs are around.
	depth int
	// types are those that infer said of the node that is evaluated.
	types []Type
}

// newContext returns a context for the graph whose values outer knows.
func newContext(outer func(name string) (*Operand, error), b *budget) *context {
	return &context{lookup: lookup, budget: b, outer: outer, chance: newChance(0)}
}

// infer returns the types of the outputs of a node, one for each name in
// n.Outputs. An operator that is not known is a *Missing.
func (c *context) infer(n *Node, in []*Operand) ([]Type, error) {
	op, in, err := c.prepare(n, in)
	if err != nil {
		return nil, err
	}
	types, err := op.infer(c, n, in)
	if err != nil {
		return nil, err
	}
	return checkOutputs(n, types)
}

// prepare looks at the number of operands and their types, and returns them with nil
// for those at the end that are left out.
func (c *context) prepare(n *Node, in []*Operand) (operator, []*Operand, error) {
	fail := func(format string, args ...any) (operator, []*Operand, error) {
		return operator{}, nil, fmt.Errorf(format, args...)
	}
	op, ok := c.lookup(n)
	if !ok {
		return operator{}, nil, &unknownError{n}
	}
	given := len(in)
	for given > 0 && in[given-1] == nil {
		given--
	}
	if op.max >= 0 && given > op.max {
		return fail("it has %d inputs, want at most %d", given, op.max)
	}
	for i := range op.min {
		if i >= given || in[i] == nil {
			return fail("input %d is missing, it needs %d", i, op.min)
		}
	}
	if op.max > len(in) { // so that optional inputs can be looked at by number
		in = append(slices.Clone(in), make([]*Operand, op.max-len(in))...)
	}
	for i, o := range in {
		if o != nil && kindOf(o.Type.DType) == kindNone {
			return fail("input %d is of type %s, which cannot be computed with", i, o.Type.DType)
		}
	}
	return op, in, nil
}

// checkOutputs returns the types of those outputs that the node has.
func checkOutputs(n *Node, types []Type) ([]Type, error) {
	if len(n.Outputs) > len(types) {
		return nil, fmt.Errorf("it has %d outputs, want at most %d", len(n.Outputs), len(types))
	}
	types = types[:len(n.Outputs)]
	for i, t := range types {
		if _, err := t.Shape.Elems(); err != nil {
			return nil, fmt.Errorf("output %d: %w", i, err)
		}
		if kindOf(t.DType) == kindNone {
			return nil, fmt.Errorf("output %d would be of type %s, which cannot be computed with", i, t.DType)
		}
	}
	return types, nil
}

// apply computes the outputs of a node, one for each name in n.Outputs; that of an
// empty name may be nil.
func (c *context) apply(n *Node, in []*Value) ([]*Value, error) {
	operands := make([]*Operand, len(in))
	work := int64(0)
	for i, v := range in {
		if v != nil {
			operands[i] = &Operand{v.typ(), v}
			work += int64(v.elems())
		}
	}
	op, padded, err := c.prepare(n, operands)
	if err != nil {
		return nil, err
	}
	inner := *c
	size := int64(0)
	if !op.late {
		if inner.types, err = op.infer(c, n, padded); err != nil {
			return nil, err
		}
		if _, err := checkOutputs(n, inner.types); err != nil {
			return nil, err
		}
		for _, t := range inner.types { // all of them: evaluate may make more than are wanted
			elems, err := t.Shape.Elems()
			if size += elems; err != nil || size < 0 || size > c.budget.elems {
				return nil, fmt.Errorf("its output %v: %w", t, errMemory)
			}
		}
	}
	if err := c.spend(work + size + nodeSteps); err != nil {
		return nil, err
	}
	in = append(slices.Clone(in), make([]*Value, len(padded)-len(in))...)
	out, err := op.evaluate(&inner, n, in)
	if err != nil {
		return nil, err
	}
	for i, name := range n.Outputs {
		switch {
		case i >= len(out) || out[i] == nil:
			if name != "" {
				return nil, fmt.Errorf("its output %d is not computed", i)
			}
		case !op.late && !out[i].typ().equal(inner.types[i]):
			panic(fmt.Sprintf("graph: internal error: output %d of %s is %v, not %v as inferred", i, n.Op, out[i].typ(), inner.types[i]))
		}
	}
	return out[:min(len(out), len(n.Outputs))], nil
}

// know returns what is known of the outputs of a node before the graph runs: their
// types, and their values where these follow from constants and have at most limit
// elements altogether.
func (c *context) know(n *Node, in []*Operand, limit int64) ([]*Operand, error) {
	op, ok := c.lookup(n)
	if !ok {
		return nil, &unknownError{n}
	}
	values := make([]*Value, len(in))
	constant := !c.volatile(n)
	for i, o := range in {
		switch {
		case o == nil:
		case o.Value != nil:
			values[i] = o.Value
		case op.byType:
			values[i] = &Value{Type: o.Type.DType, Shape: o.Type.Shape}
		default:
			constant = false
		}
	}
	if op.late && constant {
		results, err := c.apply(n, values)
		if err == nil {
			out := make([]*Operand, len(n.Outputs))
			for i := range out {
				if i < len(results) && results[i] != nil {
					out[i] = &Operand{results[i].typ(), results[i]}
				}
			}
			return out, nil
		}
		if _, needed := errors.AsType[*neededError](err); !needed {
			return nil, err
		}
		constant = false // the subgraph uses a value that is known only later
	}
	types, err := c.infer(n, in)
	if err != nil {
		return nil, err
	}
	out := make([]*Operand, len(types))
	size := int64(0)
	for i, t := range types {
		out[i] = &Operand{Type: t}
		elems, _ := t.Shape.Elems()
		size = min(size+elems, limit+1)
	}
	if !constant || size > limit {
		return out, nil
	}
	results, err := c.apply(n, values)
	if err != nil {
		return nil, err
	}
	for i, v := range results {
		if v != nil {
			out[i].Value = v
		}
	}
	return out, nil
}

// volatile reports whether the node, or one of its subgraphs, must not be folded.
func (c *context) volatile(n *Node) bool {
	if op, ok := c.lookup(n); ok && op.volatile {
		return true
	}
	for _, a := range n.Attributes {
		if g, ok := a.(*Graph); ok && slices.ContainsFunc(g.Nodes, c.volatile) {
			return true
		}
	}
	return false
}

// An unknownError reports an operator that this package does not have.
type unknownError struct{ node *Node }

func (e *unknownError) Error() string {
	return fmt.Sprintf("operator %s is not known", operatorName(e.node))
}

// need returns the value of an operand, or a *neededError that calls it what.
func need(o *Operand, what string) (*Value, error) {
	if o.Value == nil {
		return nil, &neededError{what}
	}
	return o.Value, nil
}

// needInts returns the integers of an operand of one axis (or none).
func needInts(o *Operand, what string) ([]int64, error) {
	v, err := need(o, what)
	if err != nil {
		return nil, err
	}
	if kindOf(v.Type) != kindInt || len(v.Shape) > 1 {
		return nil, fmt.Errorf("%s is %v, want a list of integers", what, v.typ())
	}
	return v.Int, nil
}

// needInt returns the one integer of an operand.
func needInt(o *Operand, what string) (int64, error) {
	v, err := needInts(o, what)
	if err != nil {
		return 0, err
	}
	if len(v) != 1 {
		return 0, fmt.Errorf("%s has %d elements, want 1", what, len(v))
	}
	return v[0], nil
}

// axisOf returns axis as a number in [0, rank), counted from the end if negative.
func axisOf(axis int64, rank int) (int, error) {
	r := int64(rank)
	if axis < -r || axis >= r {
		return 0, fmt.Errorf("axis %d is outside of the %d axes", axis, rank)
	}
	if axis < 0 {
		axis += r
	}
	return int(axis), nil
}

// axesOf returns the axes as a set of flags, one for each axis. A doubled axis is
// an error.
func axesOf(axes []int64, rank int) ([]bool, error) {
	set := make([]bool, rank)
	for _, a := range axes {
		i, err := axisOf(a, rank)
		if err != nil {
			return nil, err
		}
		if set[i] {
			return nil, fmt.Errorf("axis %d is named twice", a)
		}
		set[i] = true
	}
	return set, nil
}

// product returns the number of elements of a shape that is valid.
func product(s tensor.Shape) int {
	n := int64(1)
	for _, d := range s {
		n *= d
	}
	return int(n)
}
