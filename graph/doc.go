// Package graph is a network as operators over named tensors.
//
// A [Graph] is what an ONNX file says, with the accidents of its opset taken
// away: each operator has one form, whichever version of ONNX wrote it. It is made
// by [FromONNX], or by the builders of package graph/nets, and goes back into an ONNX
// file with [Graph.WriteONNX], or into the very file it came from with
// [Graph.EditONNX].
//
//	      inputs          weights (tensor.Set)
//	        │               │
//	        ▼               ▼
//	x ──► Conv ──► Relu ──► Gemm ──► logits
//	      node     node     node     output
//
// Values are named by strings, and a name has one meaning in a whole graph, its
// subgraphs included. Nodes are in topological order.
//
// [Specialize] fixes the shapes of the inputs, folds all that follows from
// them (shape arithmetic, constants), and says the shape and type of every value:
// that is what an engine compiles. [Evaluate] computes a graph in float64, slowly
// and plainly: it is the oracle of every engine.
//
// # The canonical form
//
// FromONNX reads opsets 1 to 25. An operator is in the form that it has in opset 22,
// with what the file leaves out left to ONNX's defaults:
//
//	Constant                       a weight; a node only if it is text
//	Squeeze, Unsqueeze, Reduce…    axes are input 1
//	Slice                          starts, ends, axes, steps are inputs 1 to 4
//	Pad                            pads and the value are inputs 1 and 2
//	Split                          lengths are input 1, or there is num_outputs
//	TopK, Reshape, DFT             k, the shape, the axis are inputs
//	Clip                           min and max are inputs 1 and 2
//	Dropout                        the ratio is input 1
//	Upsample                       Resize; its scales are input 2
//	Resize of opset 10             asymmetric; nearest rounds down, up when it shrinks
//	Scatter                        ScatterElements
//	Softmax, LogSoftmax, Hardmax   along one axis; where older ones went along several:
//	                               Flatten, Softmax, Reshape
//	BatchNormalization             three outputs at most; training_mode
//	GroupNormalization             scale and bias for each channel
//	Gemm, Add, Mul, …              operands broadcast without being told; an operand that
//	                               began at an axis gets a Reshape before
//	Cast                           the type is TensorProto's number
//	sparse tensors                 ConstantOfShape, ScatterND
//	functions of the model         their nodes, with Identity at the outputs
//
// Attributes that become inputs are weights named after the node and the attribute
// ("Squeeze_3.axes"). Identity is kept; it is an alias, as exporters make of weights
// that are used twice. Dropout is kept, for who trains. Quantized networks keep their
// QuantizeLinear and DequantizeLinear.
//
// The body of an If, Loop or Scan is a *Graph among the attributes. Names in it begin
// with the path to it ("If_0.then_branch/"), as the names of its weights do in package
// checkpoint.
//
// What has no canonical form is kept as the file has it, with a reason in
// Node.Problem: such a graph can be looked at, and [Graph.Missing] says all that
// keeps it from being computed.
package graph
