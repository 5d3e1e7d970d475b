package graph_test

import (
	"bytes"
	"fmt"
	"log"

	"ropewalk/graph"
	"ropewalk/tensor"
)

// A network of one layer is written as an ONNX file, read, and specialized to a
// batch of 8.
func Example() {
	weights, err := tensor.NewSet(&tensor.Tensor{
		Name: "fc.weight", DType: tensor.F32, Shape: tensor.Shape{3, 2}, Data: tensor.Bytes(make([]byte, 4*3*2)),
	})
	if err != nil {
		log.Fatal(err)
	}
	g := &graph.Graph{
		Name:    "tiny",
		Inputs:  []graph.Input{{Name: "x", Type: tensor.F32, Shape: []graph.Dim{{Size: -1, Name: "batch"}, {Size: 2}}}},
		Outputs: []string{"y"},
		Nodes: []*graph.Node{
			{Name: "fc", Op: "Gemm", Inputs: []string{"x", "fc.weight"}, Outputs: []string{"logits"}, Attributes: graph.Attributes{"transB": int64(1)}},
			{Name: "softmax", Op: "Softmax", Inputs: []string{"logits"}, Outputs: []string{"y"}},
		},
		Weights: weights,
	}
	var file bytes.Buffer
	if err := g.WriteONNX(&file); err != nil {
		log.Fatal(err)
	}
	h, err := graph.FromONNX("tiny.onnx", tensor.Bytes(file.Bytes()), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("parameters:", h.Parameters())
	s, err := graph.Specialize(h, map[string]tensor.Shape{"x": {8, 2}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range s.Graph.Nodes {
		fmt.Println(n.Op, s.Types[n.Outputs[0]])
	}
	// Output:
	// parameters: [fc.weight]
	// Gemm F32 8x3
	// Softmax F32 8x3
}
