// Package graph is a network as operators over named tensors.
//
// A [Graph] is what an ONNX file says, with the accidents of its opset taken
// away: each operator has the one form that is described in its file here,
// whichever version of ONNX wrote it. It is made by [FromONNX], or by the
// builders of package graph/nets, and goes back into an ONNX file with
// [Graph.WriteONNX], or into the very file it came from with [EditONNX].
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
package graph
