package native

import (
	"ropewalk/engine"
	"ropewalk/tensor"
)

// A site is where a value of the graph lives while a plan runs. Its slices are
// set when the plan is bound to memory, and are valid in forward and backward
// only: an operator keeps the site, never a slice of it.
type site struct {
	name  string
	dtype tensor.DType // in the graph; all floats are float32 here
	shape tensor.Shape
	size  int // number of elements

	// One of them holds the values, row-major. Everything but floating point
	// (integers, truth values) is in int.
	float []float32
	int   []int64
	ints  bool

	// grad is the derivative of the loss by the values; nil if nobody wants it.
	grad []float32

	kind   kind
	of     *site // the site whose values this one shows under another shape; nil for its own
	weight *weight

	// What the plan finds out. Times are those of plan.
	producer int  // the node that makes it; -1 for none
	last     int  // when the values are read for the last time
	requires bool // depends on a trainable weight
	reached  bool // the loss depends on it
	output   bool
	first    int // when the gradient is written first
	values   *block
	slope    *block // of the gradient
}

// A kind says who owns the memory of a site.
type kind uint8

const (
	made     kind = iota // by a node, in the arena
	fed                  // by the caller
	held                 // a weight
	constant             // known when the plan is made
)

// root returns the site that owns the memory.
func (s *site) root() *site {
	for s.of != nil {
		s = s.of
	}
	return s
}

// wanted reports whether the gradient is computed.
func (s *site) wanted() bool { r := s.root(); return r.requires && r.reached }

func (s *site) array() engine.Array { return engine.Array{Shape: s.shape, Float: s.float, Int: s.int} }

// A weight is a tensor of floats that all plans of a program share.
type weight struct {
	name      string
	shape     tensor.Shape
	values    []float32
	gradient  []float32 // nil if not trainable
	trainable bool
}

// dims returns the shape as ints.
func dims(s tensor.Shape) []int {
	d := make([]int, len(s))
	for i, n := range s {
		d[i] = int(n)
	}
	return d
}

// product returns the number of elements of axes; 1 for none.
func product[T int | int64](axes []T) int {
	n := 1
	for _, a := range axes {
		n *= int(a)
	}
	return n
}

func float32s(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}
