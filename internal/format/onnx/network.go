package onnx

import (
	"ropewalk/tensor"
)

// A Network is what a model computes: its graph and its functions, as the file
// says it. [Model.Network] reads one, [Network.Write] writes one.
type Network struct {
	IRVersion int64
	Producer  string
	Opsets    []Opset
	Graph     *Graph // nil if the model has none
	Functions []*Function
}

// An Opset is a version of the operators of a domain. That of ONNX is "".
type Opset struct {
	Domain  string
	Version int64
}

// A Function is a node that is made of others.
type Function struct {
	Name, Domain, Overload string
	// Path is what the names of the tensors in it begin with.
	Path            string
	Inputs, Outputs []string
	// Attributes are the names of those that a call has to set, and Defaults the
	// others.
	Attributes []string
	Defaults   []Attribute
	Nodes      []*Node
	Opsets     []Opset
	At         int64 // the place in the file that errors name
}

// A Graph is a list of nodes, with what goes in and comes out.
type Graph struct {
	Name string
	// Path is what the names of the tensors in it begin with: "" for the graph of
	// the model, "If_0.then_branch/" in it.
	Path         string
	Inputs       []Value
	Outputs      []Value
	Values       []Value // declared types of others
	Initializers []Initializer
	Nodes        []*Node
	At           int64
}

// A Value is a ValueInfoProto: a name with a type.
type Value struct {
	Name string
	// Type is that of the elements; "" if the value is no dense tensor, or if
	// nothing is said.
	Type tensor.DType
	// Text says that the elements are strings, which have no DType.
	Text bool
	// Ranked says that there is a shape.
	Ranked bool
	Shape  []Dim
}

// A Dim is the length of an axis: Size, or, where that is negative, one that is
// not known, under a name that may be empty.
type Dim struct {
	Size int64
	Name string
}

// An Initializer is a constant under a name.
type Initializer struct {
	Name string // as nodes call it
	Constant
	At int64
}

// A Constant is a TensorProto or a SparseTensorProto. One of Dense, Text (which
// may be empty, but is then not nil) and Values is set; none if the message is
// empty.
type Constant struct {
	Dense *tensor.Tensor
	Text  []string
	// Values and Indices are a sparse tensor. Indices are (NNZ), row-major
	// places, or (NNZ, rank).
	Values, Indices *tensor.Tensor
	// Shape is that of the tensor; of the dense one, for a sparse tensor.
	Shape tensor.Shape
}

// A Node is a NodeProto.
type Node struct {
	Name, Op, Domain, Overload string
	// Index is the place among the nodes of the graph.
	Index           int
	Inputs, Outputs []string
	Attributes      []Attribute
	At              int64
}

// An Attribute is an AttributeProto.
type Attribute struct {
	Name string
	// Ref is the attribute of the function around it whose value it has.
	Ref string
	// Value is an int64, float64, string, []int64, []float64, []string, Constant,
	// []Constant, *Graph or []*Graph; nil if it is of no kind that is known here.
	Value any
	// Tensor is the tensor of the layout that the list of a Constant's
	// value_floats or value_ints is.
	Tensor *tensor.Tensor
}
