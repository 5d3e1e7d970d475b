package engine

import (
	"fmt"

	"ropewalk/graph"
	"ropewalk/tensor"
)

// A Backend makes programs.
type Backend interface {
	// Name is a word for reports: "native".
	Name() string
	// Compile makes a program of g. It copies the weights. Operators that the
	// backend lacks are one *graph.UnsupportedError, which names all of them.
	Compile(g *graph.Graph, o *Options) (Program, error)
}

// Options say how to compile. Nil and the zero value are the default.
type Options struct {
	// Threads bounds the goroutines that compute at a time; 0 is all cores.
	Threads int
	// Trainable names the weights whose gradients Step computes; none means that
	// the program is for Forward only.
	Trainable []string
	// Fixed promises that nobody writes to what Weights returns, so that weights are
	// made ready once and not at each call. It is for Forward, and takes the memory
	// of the weights of convolutions once more.
	Fixed bool
	// Frozen makes Step treat BatchNormalization as at inference: running
	// statistics are used and not changed.
	Frozen bool
	// Seed drives what is random in training (Dropout), together with the
	// number of the step: a step can be computed again.
	Seed uint64
}

// A Program is a compiled network with its weights. It adapts itself to the
// shapes of the inputs, so that the last, smaller batch of an epoch costs nothing
// extra; it allocates only when it sees shapes for the first time. It is not safe
// for concurrent use. For the same thread count, the same calls give the same
// bits.
type Program interface {
	// Forward computes the outputs of the graph as at inference. The inputs are
	// in the order of the graph and are only read; the outputs are valid until
	// the next call.
	Forward(inputs []Array) ([]Array, error)
	// Step computes the outputs as in training, has loss judge them, and fills
	// the gradients of the trainable weights. It updates running statistics, and
	// no other weight: what to do with the gradients is the caller's business.
	// step is the number of the step.
	//
	// A loss that is not finite is a *NonFiniteError; the running statistics are
	// then what they were before the step.
	Step(step uint64, loss Loss, inputs []Array) (float64, error)
	// Weights returns all float weights, in the order of the graph's set. The
	// slices are those that the program computes with: writing to Values takes
	// effect at the next call. That holds for the graph's Parameters and Buffers
	// and for what is trainable; other constants (a bound of Clip) may have been
	// taken in when the graph was compiled.
	Weights() []Weight
	// Close gives memory and goroutines back.
	Close() error
}

// A Loss returns the loss of a batch, and writes its derivative by each element
// of the outputs into gradients, which have the shapes of the outputs and hold
// zeros when it is called.
type Loss func(outputs, gradients []Array) float64

// A Weight is a tensor of float weights in a program.
type Weight struct {
	Name   string
	Shape  tensor.Shape
	Values []float32 // row-major
	// Gradient is the derivative of the last Step's loss; nil if the weight is
	// not trainable.
	Gradient []float32
}

// An Array is a tensor that goes into or comes out of a program. One of Float
// and Int holds its values, row-major; truth values are 0 and 1 in Int.
type Array struct {
	Shape tensor.Shape
	Float []float32
	Int   []int64
}

// A NonFiniteError reports that a step left the numbers: Value is the name of
// the first value of the graph, in the order of computation, that holds a NaN or
// an infinity, and Node the operator that made it, empty if that is the caller (an
// input) or training (a weight). Both are empty if all values are finite and only the
// loss is not.
type NonFiniteError struct {
	Step  uint64
	Node  string
	Value string
}

// Error implements error.
func (e *NonFiniteError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("step %d: the loss is not finite, though all values of the network are", e.Step)
	}
	if e.Node == "" {
		return fmt.Sprintf("step %d: input or weight %q is not finite", e.Step, e.Value)
	}
	return fmt.Sprintf("step %d: %q, made by node %q, is the first value that is not finite", e.Step, e.Value, e.Node)
}
