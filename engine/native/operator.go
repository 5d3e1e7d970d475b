package native

import (
	"fmt"
	"slices"

	"ropewalk/graph"
	"ropewalk/internal/kernel"
)

// An operator is a node of the graph made ready for fixed shapes.
//
// # How to add one
//
// Write a maker in the file of its family, and give it a row in the table of
// operators (table.go). A maker gets the [node], in which operands and results
// are sites whose shapes and types are known (graph.Specialize has worked them
// out, and refused what has no meaning). It
//
//  1. reads attributes (n.integer, n.number, …) and operands that must be known
//     now (n.constants: axes, starts, …), and returns n.lacks("why") for a form
//     that it cannot do;
//  2. prepares everything that follows from shapes, since forward and backward
//     must not allocate: strides, tables, and the functions that are given to
//     pool.Run (a method value made in forward is an allocation);
//  3. says what memory it needs, and what it can do without:
//     n.keepIn(i), n.keepOut(): backward reads the values of that operand, or of
//     result 0. What is not kept is overwritten before backward runs.
//     n.inPlace(i): result 0 may lie in the memory of operand i. It will if
//     nobody reads that operand later; forward must work either way.
//     n.gradInPlace(i): the same for the gradients in backward.
//     n.scratch(size): floats for the length of one call of forward or backward,
//     n.retain(size): floats that survive from forward to backward;
//  4. returns a struct with a method forward, and backward if there is one.
//
// forward fills the values of all results (result k is nil if nobody wants it).
// backward runs after the loss, in the opposite order of nodes. out[k].grad is
// the derivative of the loss by result k, or nil if the loss does not depend on
// it. backward computes the derivative by each operand that is wanted(), into its
// slice into (never into its grad), in one of three manners:
//
//	by default    it adds to into, which holds zeros or what others have added;
//	n.writes(i)   it sets all of into, which holds garbage; the plan adds where
//	              there is something to add to;
//	n.chooses(i)  it adds to into if add is set, and else sets all of it. Operands
//	              that are the same value share one slice: treat them in order.
//
// backward may use out[k].grad as it likes: it is the last to read it.
//
// Data with which an operator cannot go on (an index outside of a table) ends the call:
// see fail. Forward and Step then return an error that names the node.
//
// Work is cut by shape alone, never by the number of threads, and sums are taken
// in a fixed order, so that any number of threads gives the same bits.
//
//	func makeNeg(n *node) (operator, error) {
//		n.inPlace(0)
//		return &neg{n.pool, n.in[0], n.out[0]}, nil
//	}
//
//	func (o *neg) forward() {
//		for i, x := range o.x.float {
//			o.y.float[i] = -x
//		}
//	}
//
//	func (o *neg) backward() {
//		for i, dy := range o.y.grad {
//			o.x.into[i] -= dy
//		}
//	}
//
// The test is a row in the table of operators_test.go: it holds forward against
// graph.Evaluate, and backward against its differences.
type operator interface {
	forward()
}

// A differentiable is an operator with a derivative.
type differentiable interface {
	operator
	backward()
}

// A committer changes weights (running statistics) once the loss of a step is
// known to be finite.
type committer interface {
	commit()
}

// A maker makes the operator of a node.
type maker func(n *node) (operator, error)

// An operand is a site as a node reads it.
type operand struct {
	*site
	into []float32 // what backward writes; see [operator]
	add  bool

	manner    manner
	temporary *memory // in which into lies, if it is not in grad
}

// A node is what a maker knows, and where it says what it needs.
type node struct {
	*graph.Node
	in  []*operand // nil where it is left out
	out []*site    // nil where nobody wants it

	pool     *kernel.Pool
	training bool // as in training: batch statistics, Dropout
	frozen   bool // BatchNormalization as at inference all the same
	index    int  // in the plan
	random   *random
	fused

	inside     *builder // that makes it, for graphs in attributes
	op         operator
	active     bool // backward runs
	keepsIn    []bool
	keepsOut   []bool
	places     []int
	gradPlaces []int
	fresh      []*operand // to be set to zero before backward
	extra      []*operand // to be added to their gradients after backward
	scratches  []*memory
	retained   []*memory
}

// random is what drives Dropout: its numbers are a function of these, of the node
// and of the element, so that a step can be computed again.
type random struct{ seed, step uint64 }

// memory is floats that the plan lays out for an operator.
type memory struct {
	float []float32 // valid as that of a site
	block *block
}

// keepIn says that backward reads the values of operand i.
func (n *node) keepIn(i int) { n.keepsIn[i] = true }

// keepOut says that backward reads the values of result 0.
func (n *node) keepOut() { n.keepsOut[0] = true }

// inPlace says that result 0 may lie where operand i lies. If several can, the
// first that is free is taken.
func (n *node) inPlace(i int) { n.places = append(n.places, i) }

// gradInPlace says that the gradient of operand i may lie where that of result 0
// lies: backward reads an element of the latter before it writes the former's, and
// not later.
func (n *node) gradInPlace(i int) { n.gradPlaces = append(n.gradPlaces, i) }

// writes says that backward sets the gradients of operands, of all if none is
// named, and does not add to them.
func (n *node) writes(operands ...int) { n.behave(writing, operands) }

// chooses says that backward minds operand.add.
func (n *node) chooses(operands ...int) { n.behave(choosing, operands) }

func (n *node) behave(m manner, operands []int) {
	for i, o := range n.in {
		if o != nil && (len(operands) == 0 || slices.Contains(operands, i)) {
			o.manner = m
		}
	}
}

// A manner is how backward gives gradients; see [operator].
type manner uint8

const (
	adding manner = iota
	writing
	choosing
)

// scratch returns floats of any value for one call of forward, and one of backward.
func (n *node) scratch(size int) *memory {
	m := &memory{block: &block{size: size}}
	n.scratches = append(n.scratches, m)
	return m
}

// retain returns floats that hold in backward what forward has put there.
func (n *node) retain(size int) *memory {
	m := &memory{block: &block{size: size}}
	n.retained = append(n.retained, m)
	return m
}

// operand returns operand i, or nil if it is left out.
func (n *node) operand(i int) *operand {
	if i < len(n.in) {
		return n.in[i]
	}
	return nil
}

// mayWant reports whether the gradient of operand i may be wanted. Whether it is,
// operand.wanted says when the plan is complete.
func (n *node) mayWant(i int) bool { o := n.operand(i); return o != nil && o.root().requires }

// constants returns the integers of operand i, which are known when the plan is
// made. ok is false if they are not; an operand that is left out is nil and ok.
func (n *node) constants(i int) (values []int64, ok bool) {
	o := n.operand(i)
	if o == nil {
		return nil, true
	}
	return o.int, o.kind == constant && o.ints
}

// lacks returns the error of an operator that cannot be done in that form.
func (n *node) lacks(format string, args ...any) error {
	return &lackError{fmt.Sprintf(format, args...)}
}

// A lackError says why a node cannot be done.
type lackError struct{ why string }

func (e *lackError) Error() string { return e.why }

func (n *node) integer(name string, standard int64) int64 {
	if v, ok := n.Attributes[name].(int64); ok {
		return v
	}
	return standard
}

func (n *node) number(name string, standard float64) float64 {
	if v, ok := n.Attributes[name].(float64); ok {
		return v
	}
	return standard
}

func (n *node) text(name, standard string) string {
	if v, ok := n.Attributes[name].(string); ok {
		return v
	}
	return standard
}

// integers returns nil if the attribute is not set.
func (n *node) integers(name string) []int64 {
	v, _ := n.Attributes[name].([]int64)
	return v
}

// axis returns a number of an axis with negative ones counted from the end.
func axis(a int64, rank int) int {
	if a < 0 {
		a += int64(rank)
	}
	return int(a)
}
