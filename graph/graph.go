package graph

import "ropewalk/tensor"

// A Graph is a network. It is immutable once made, and safe for concurrent use.
type Graph struct {
	// Name is that of the ONNX graph, or of the builder.
	Name string
	// Inputs are the values that a caller feeds, in order. Weights are none.
	Inputs []Input
	// Outputs are the names of the values that a caller gets, in order.
	Outputs []string
	// Nodes are the operators, in topological order.
	Nodes []*Node
	// Weights are all tensors that the file or builder holds, under the names
	// that package checkpoint gives them too; a value of that name is that
	// tensor. They include what is no weight to a statistician: running means,
	// shapes, scalars. See Parameters and Buffers. Graphs nested in a node have
	// none of their own: theirs are here. After the tensors of the file come those
	// that it holds in another form: attributes that are inputs in the canonical
	// form ("Squeeze_3.axes"), and single numbers of Constant nodes.
	Weights *tensor.Set
	// Declared are the types that the file states for values that are not inputs,
	// by name. They may be wrong, and nothing here trusts them; [Graph.WriteONNX]
	// repeats them for outputs whose type it cannot find out.
	Declared map[string]Input

	source *source // where it came from
}

// An Input is a value that is fed.
type Input struct {
	Name  string
	Type  tensor.DType // "" if not known, or no tensor
	Shape []Dim        // nil if the rank is not known
}

// A Dim is the length of an axis: a number, or, if Size is negative, unknown.
// Axes that are unknown under the same (non-empty) name have the same length.
type Dim struct {
	Size int64
	Name string
}

// A Node is an operator with its operands.
type Node struct {
	// Name is unique in the graph: that of the file, made unique where needed.
	Name string
	// Op is the operator of ONNX ("Conv"), in the canonical form of this package.
	Op string
	// Domain is "" for ai.onnx.
	Domain string
	// Inputs are names of values; "" is an optional input that is left out.
	Inputs []string
	// Outputs are names of values; "" is an output that nobody wants.
	Outputs []string
	// Attributes are those that the file sets; the rest has ONNX's defaults.
	Attributes Attributes
	// Opset is the version of the domain in the file that the node comes from; 0
	// if it comes from none. It is for messages: the form is the canonical one.
	Opset int64
	// Problem says why the node could not be brought into the canonical form.
	// Nobody can compute it then; see [Graph.Missing].
	Problem string
}

// Attributes are the settings of a node by name: int64, float64, string, []int64,
// []float64, []string, *tensor.Tensor, or *Graph.
type Attributes map[string]any
