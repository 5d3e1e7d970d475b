package symmetry_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ropewalk/graph"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// A sketch is a small network that is written down node by node.
type sketch struct {
	nodes   []*graph.Node
	weights []*tensor.Tensor
	r       *rand.Rand
}

// w makes a weight with normal numbers, or, if its name ends in ".var", positive ones.
func (s *sketch) w(name string, shape ...int64) string {
	x := make([]float32, must(tensor.Shape(shape).Elems()))
	for i := range x {
		x[i] = float32(0.2 + 0.5*s.r.NormFloat64())
		if strings.HasSuffix(name, ".var") {
			x[i] = 0.3 + s.r.Float32()
		}
	}
	s.weights = append(s.weights, &tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
	return name
}

func (s *sketch) ints(x ...int64) string {
	var b []byte
	for _, v := range x {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	name := fmt.Sprintf("ints%d", len(s.weights))
	s.weights = append(s.weights, &tensor.Tensor{Name: name, DType: tensor.I64, Shape: tensor.Shape{int64(len(x))}, Data: tensor.Bytes(b)})
	return name
}

// op adds a node, and returns its first output; the others are name.1, name.2, ….
func (s *sketch) op(op string, outputs int, a graph.Attributes, inputs ...string) string {
	name := fmt.Sprintf("v%d", len(s.nodes))
	n := &graph.Node{Name: name, Op: op, Inputs: inputs, Outputs: []string{name}, Attributes: a}
	if a == nil {
		n.Attributes = graph.Attributes{}
	}
	for k := 1; k < outputs; k++ {
		n.Outputs = append(n.Outputs, fmt.Sprintf("%s.%d", name, k))
	}
	s.nodes = append(s.nodes, n)
	return name
}

// point is a convolution that looks at one place at a time.
func (s *sketch) point(x, name string, in, out int64) string {
	return s.op("Conv", 1, graph.Attributes{"kernel_shape": []int64{1, 1}, "group": int64(1)}, x, s.w(name, out, in, 1, 1))
}

func (s *sketch) matMul(x, name string, in, out int64) string {
	return s.op("MatMul", 1, nil, x, s.w(name, in, out))
}

// What is known of each operator: groups of neurons, as size and gauges, that are found
// around it, or the reason for which something stays. All of it leaves the output as it is.
func TestOperators(t *testing.T) {
	image, list, steps := tensor.Shape{1, 3, 4, 4}, tensor.Shape{2, 3}, tensor.Shape{5, 2, 3}
	for _, tt := range []struct {
		name   string
		input  tensor.Shape
		make   func(s *sketch) string
		groups string // in the order of the tensors
		fixed  string // a reason, or ""
	}{
		{"grouped convolution", image, func(s *sketch) string {
			x := s.op("Relu", 1, nil, s.point("x", "a", 3, 6))
			x = s.op("Conv", 1, graph.Attributes{"kernel_shape": []int64{3, 3}, "group": int64(2)}, x, s.w("b", 8, 3, 3, 3), s.w("b.bias", 8))
			return s.point(s.op("Relu", 1, nil, x), "c", 8, 2)
		}, "2 scale scale, 3 scale, 4 scale", ""},
		{"depthwise convolution", image, func(s *sketch) string {
			x := s.point("x", "a", 3, 6)
			x = s.op("Conv", 1, graph.Attributes{"kernel_shape": []int64{3, 3}, "group": int64(6)}, x, s.w("b", 6, 1, 3, 3))
			return s.point(s.op("Relu", 1, nil, x), "c", 6, 2)
		}, "6 scale scale", ""},
		{"transposed convolution", image, func(s *sketch) string {
			x := s.op("Tanh", 1, nil, s.point("x", "a", 3, 5))
			x = s.op("ConvTranspose", 1, graph.Attributes{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}, "group": int64(1)}, x, s.w("b", 5, 6, 2, 2), s.w("b.bias", 6))
			return s.point(s.op("Relu", 1, nil, x), "c", 6, 2)
		}, "5 sign, 6 scale", ""},
		{"transposed convolution in groups", image, func(s *sketch) string {
			x := s.op("Sigmoid", 1, nil, s.point("x", "a", 3, 6))
			x = s.op("ConvTranspose", 1, graph.Attributes{"kernel_shape": []int64{2, 2}, "group": int64(2)}, x, s.w("b", 6, 4, 2, 2))
			return s.point(s.op("Sigmoid", 1, nil, x), "c", 8, 2)
		}, "2, 3, 4", ""},
		{"split", image, func(s *sketch) string {
			x := s.op("Split", 2, graph.Attributes{"axis": int64(1)}, s.point("x", "a", 3, 7), s.ints(3, 4))
			y := s.op("Relu", 1, nil, x+".1")
			return s.op("Add", 1, nil, s.point(s.op("Sigmoid", 1, nil, x), "b", 3, 2), s.point(y, "c", 4, 2))
		}, "3, 4 scale", ""},
		{"slice", image, func(s *sketch) string {
			x := s.op("Relu", 1, nil, s.point("x", "a", 3, 7))
			return s.point(s.op("Slice", 1, nil, x, s.ints(2), s.ints(6), s.ints(1)), "b", 4, 2)
		}, "3 scale, 4 scale", ""},
		{"concat", image, func(s *sketch) string {
			x := s.op("Concat", 1, graph.Attributes{"axis": int64(1)}, s.op("Relu", 1, nil, s.point("x", "a", 3, 4)), s.op("Tanh", 1, nil, s.point("x", "b", 3, 5)))
			return s.point(x, "c", 9, 2)
		}, "4 scale, 5 sign", ""},
		{"group norm", image, func(s *sketch) string {
			x := s.op("GroupNormalization", 1, graph.Attributes{"num_groups": int64(2)}, s.point("x", "a", 3, 6), s.w("g", 6), s.w("h", 6))
			return s.point(s.op("Relu", 1, nil, x), "b", 6, 2)
		}, "2, 3", ""},
		{"instance norm", image, func(s *sketch) string {
			x := s.op("InstanceNormalization", 1, nil, s.point("x", "a", 3, 6), s.w("g", 6), s.w("h", 6))
			return s.point(s.op("Relu", 1, nil, x), "b", 6, 2)
		}, "6 scale", ""},
		{"batch norm", image, func(s *sketch) string {
			x := s.op("BatchNormalization", 1, graph.Attributes{"epsilon": 1e-3}, s.point("x", "a", 3, 6), s.w("g", 6), s.w("h", 6), s.w("m", 6), s.w("s.var", 6))
			return s.point(s.op("Sigmoid", 1, nil, x), "b", 6, 2)
		}, "6 nonzero", ""},
		{"prelu", image, func(s *sketch) string {
			return s.point(s.op("PRelu", 1, nil, s.point("x", "a", 3, 6), s.w("slope", 6, 1, 1)), "b", 6, 2)
		}, "6 scale", ""},
		{"prelu with one slope", image, func(s *sketch) string {
			return s.point(s.op("PRelu", 1, nil, s.point("x", "a", 3, 6), s.w("slope", 1)), "b", 6, 2)
		}, "6 scale", ""},
		{"depth to space", image, func(s *sketch) string {
			x := s.op("DepthToSpace", 1, graph.Attributes{"blocksize": int64(2), "mode": "CRD"}, s.point("x", "a", 3, 12))
			return s.point(s.op("Relu", 1, nil, x), "b", 3, 2)
		}, "3 scale", ""},
		{"space to depth", image, func(s *sketch) string {
			x := s.op("SpaceToDepth", 1, graph.Attributes{"blocksize": int64(2)}, s.op("Relu", 1, nil, s.point("x", "a", 3, 5)))
			return s.point(x, "b", 20, 2)
		}, "5 scale", ""},
		{"flatten", image, func(s *sketch) string {
			return s.matMul(s.op("Flatten", 1, nil, s.op("Relu", 1, nil, s.point("x", "a", 3, 5))), "b", 80, 2)
		}, "5 scale", ""},
		{"lstm", steps, func(s *sketch) string {
			x := s.op("LSTM", 1, graph.Attributes{"hidden_size": int64(4)}, s.matMul("x", "e", 3, 6), s.w("w", 1, 16, 6), s.w("r", 1, 16, 4), s.w("b", 1, 32), "", "", "", s.w("p", 1, 12))
			return s.matMul(x, "o", 4, 2)
		}, "6 nonzero, 4", ""},
		{"lstm with a first state that is no parameter", steps, func(s *sketch) string {
			x := s.op("LSTM", 1, graph.Attributes{"hidden_size": int64(4)}, "x", s.w("w", 1, 16, 3), s.w("r", 1, 16, 4), "", "", s.w("h0", 1, 2, 4))
			return s.matMul(x, "o", 4, 2)
		}, "", `constant "h0" of the graph`},
		{"attention", steps, func(s *sketch) string { // 2 heads of 4, unfused: (5, 2, 3)
			heads := func(name string, perm ...int64) string {
				x := s.op("Reshape", 1, nil, s.matMul("x", name, 3, 8), s.ints(5, 2, 2, 4))
				return s.op("Transpose", 1, graph.Attributes{"perm": perm}, x)
			}
			a := s.op("MatMul", 1, nil, heads("q", 1, 2, 0, 3), heads("k", 1, 2, 3, 0))
			y := s.op("MatMul", 1, nil, s.op("Softmax", 1, graph.Attributes{"axis": int64(-1)}, a), heads("v", 1, 2, 0, 3))
			y = s.op("Transpose", 1, graph.Attributes{"perm": []int64{2, 0, 1, 3}}, y)
			return s.matMul(s.op("Reshape", 1, nil, y, s.ints(5, 2, 8)), "o", 8, 2)
		}, "2 nonzero, 4 nonzero, 4 nonzero", ""},
		{"attention of one matrix", steps, func(s *sketch) string {
			all := s.op("Reshape", 1, nil, s.matMul("x", "qkv", 3, 24), s.ints(5, 2, 3, 2, 4))
			all = s.op("Split", 3, graph.Attributes{"axis": int64(2)}, all, s.ints(1, 1, 1))
			heads := func(x string, perm ...int64) string {
				return s.op("Transpose", 1, graph.Attributes{"perm": perm}, s.op("Squeeze", 1, nil, x, s.ints(2)))
			}
			a := s.op("MatMul", 1, nil, heads(all, 1, 2, 0, 3), heads(all+".1", 1, 2, 3, 0))
			y := s.op("MatMul", 1, nil, s.op("Softmax", 1, graph.Attributes{"axis": int64(-1)}, a), heads(all+".2", 1, 2, 0, 3))
			y = s.op("Transpose", 1, graph.Attributes{"perm": []int64{2, 0, 1, 3}}, y)
			return s.matMul(s.op("Reshape", 1, nil, y, s.ints(5, 2, 8)), "o", 8, 2)
		}, "2 sign, 4 sign", ""},
		{"gru", steps, func(s *sketch) string {
			x := s.op("GRU", 1, graph.Attributes{"hidden_size": int64(4), "linear_before_reset": int64(1)}, "x", s.w("w", 1, 12, 3), s.w("r", 1, 12, 4), s.w("b", 1, 24))
			return s.matMul(x, "o", 4, 2)
		}, "4", ""},
		{"rnn in two directions", steps, func(s *sketch) string {
			x := s.op("RNN", 1, graph.Attributes{"hidden_size": int64(4), "direction": "bidirectional"}, "x", s.w("w", 2, 4, 3), s.w("r", 2, 4, 4))
			return s.matMul(x, "o", 4, 2)
		}, "4", ""},
		{"softmax", list, func(s *sketch) string {
			return s.matMul(s.op("Softmax", 1, graph.Attributes{"axis": int64(-1)}, s.matMul("x", "a", 3, 5)), "b", 5, 2)
		}, "5", ""},
		{"gated", list, func(s *sketch) string {
			x := s.op("Mul", 1, nil, s.op("Sigmoid", 1, nil, s.matMul("x", "a", 3, 5)), s.matMul("x", "b", 3, 5))
			return s.matMul(x, "c", 5, 2)
		}, "5 nonzero", ""},
		{"layer norm", list, func(s *sketch) string {
			x := s.op("LayerNormalization", 1, graph.Attributes{"axis": int64(-1)}, s.matMul("x", "a", 3, 5), s.w("g", 5), s.w("h", 5))
			return s.matMul(x, "b", 5, 2)
		}, "5 nonzero", ""},
		{"einsum", list, func(s *sketch) string {
			x := s.op("Einsum", 1, graph.Attributes{"equation": "ni,oi->no"}, "x", s.w("a", 5, 3))
			return s.matMul(s.op("Relu", 1, nil, x), "b", 5, 2)
		}, "5 scale", ""},
		{"sum over tokens' neurons", list, func(s *sketch) string {
			x := s.op("CumSum", 1, nil, s.matMul("x", "a", 3, 5), s.ints(1))
			return s.matMul(x, "b", 5, 2)
		}, "", "operator CumSum is not known"},
		{"lookup", list, func(s *sketch) string {
			x := s.op("Gather", 1, graph.Attributes{"axis": int64(1)}, s.op("Relu", 1, nil, s.matMul("x", "a", 3, 5)), s.ints(4, 0, 2, 1, 3))
			return s.matMul(x, "b", 5, 2)
		}, "5 scale", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &sketch{r: rand.New(rand.NewPCG(1, 2))}
			out := tt.make(s)
			in := graph.Input{Name: "x", Type: tensor.F32}
			for _, n := range tt.input {
				in.Shape = append(in.Shape, graph.Dim{Size: n})
			}
			g := &graph.Graph{Name: "sketch", Nodes: s.nodes, Inputs: []graph.Input{in}, Outputs: []string{out}, Weights: must(tensor.NewSet(s.weights...))}
			spec, err := symmetry.Derive(g, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i := range spec.Groups {
				text := fmt.Sprint(spec.Groups[i].Size)
				for _, f := range spec.Groups[i].Factors {
					text += " " + f.String()
				}
				got = append(got, text)
			}
			if strings.Join(got, ", ") != tt.groups {
				t.Errorf("groups of %s, want %s\n%v", strings.Join(got, ", "), tt.groups, spec)
			}
			if tt.fixed != "" && !slices.ContainsFunc(spec.Fixed, func(f symmetry.Fixed) bool { return f.Reason == tt.fixed }) {
				t.Errorf("nothing stays because %s\n%v", tt.fixed, spec)
			}
			verify(t, spec, g)
		})
	}
}
