package attack

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

// A maker makes networks.
type maker struct {
	r    *rand.Rand
	list []*tensor.Tensor
	g    *graph.Graph
}

func newMaker(seed uint64) *maker {
	return &maker{r: rand.New(rand.NewPCG(seed, 1)), g: &graph.Graph{
		Name: "test", Outputs: []string{"y"},
		Inputs: []graph.Input{{Name: "x", Type: tensor.F32, Shape: []graph.Dim{{Size: -1, Name: "n"}, {Size: 1}, {Size: 6}, {Size: 6}}}},
	}}
}

func (m *maker) weight(name string, mean, sigma float64, shape ...int64) {
	x := make([]float32, must(tensor.Shape(shape).Elems()))
	for i := range x {
		x[i] = float32(mean + sigma*m.r.NormFloat64())
	}
	m.list = append(m.list, &tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
}

func (m *maker) ints(name string, x ...int64) {
	var b []byte
	for _, v := range x {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	m.list = append(m.list, &tensor.Tensor{Name: name, DType: tensor.I64, Shape: tensor.Shape{int64(len(x))}, Data: tensor.Bytes(b)})
}

func (m *maker) op(op, out string, a graph.Attributes, in ...string) {
	m.g.Nodes = append(m.g.Nodes, &graph.Node{Name: out, Op: op, Inputs: in, Outputs: []string{out}, Attributes: a})
}

func (m *maker) network() Network {
	m.g.Weights = must(tensor.NewSet(m.list...))
	return Network{Set: m.g.Weights, Spec: must(symmetry.Derive(m.g, nil)), Graph: m.g}
}

var (
	padded     = graph.Attributes{"kernel_shape": []int64{3, 3}, "pads": []int64{1, 1, 1, 1}}
	transposed = graph.Attributes{"transB": int64(1)}
)

// small returns a convolutional network: a batch norm, a residual block, a flattened
// layer; groups of 8, 12 and 20.
func small(seed uint64) Network {
	m := newMaker(seed)
	m.weight("a.weight", 0, 0.4, 8, 1, 3, 3)
	m.weight("a.bias", 0.1, 0.2, 8)
	m.op("Conv", "a", padded, "x", "a.weight", "a.bias")
	m.op("Relu", "ar", nil, "a")
	m.weight("b.weight", 0, 0.2, 12, 8, 3, 3)
	m.op("Conv", "b", padded, "ar", "b.weight")
	m.weight("bn.weight", 1, 0.3, 12)
	m.weight("bn.bias", 0, 0.3, 12)
	m.weight("bn.mean", 0, 0.3, 12)
	m.weight("bn.var", 1, 0.1, 12)
	m.op("BatchNormalization", "bn", graph.Attributes{"epsilon": 1e-5}, "b", "bn.weight", "bn.bias", "bn.mean", "bn.var")
	m.op("Relu", "br", nil, "bn")
	m.weight("c.weight", 0, 0.2, 8, 12, 3, 3)
	m.op("Conv", "c", padded, "br", "c.weight")
	m.op("Add", "d", nil, "c", "ar")
	m.op("Flatten", "f", nil, "d")
	m.weight("e.weight", 0, 0.1, 20, 288)
	m.weight("e.bias", 0, 0.1, 20)
	m.op("Gemm", "e", transposed, "f", "e.weight", "e.bias")
	m.op("Tanh", "et", nil, "e")
	m.weight("h.weight", 0, 0.3, 4, 20)
	m.op("Gemm", "y", transposed, "et", "h.weight")
	return m.network()
}

// depthwise returns a network with a convolution of each channel by itself, and a
// Reshape whose numbers say how many channels there are.
func depthwise(seed uint64) Network {
	m := newMaker(seed)
	m.weight("a.weight", 0, 0.4, 8, 1, 3, 3)
	m.op("Conv", "a", padded, "x", "a.weight")
	m.op("Relu", "ar", nil, "a")
	m.weight("b.weight", 0, 0.4, 8, 1, 3, 3)
	m.op("Conv", "b", graph.Attributes{"kernel_shape": []int64{3, 3}, "pads": []int64{1, 1, 1, 1}, "group": int64(8)}, "ar", "b.weight")
	m.op("Relu", "br", nil, "b")
	m.ints("shape", 1, 288)
	m.op("Reshape", "f", nil, "br", "shape")
	m.weight("e.weight", 0, 0.1, 20, 288)
	m.op("Gemm", "e", transposed, "f", "e.weight")
	m.op("Relu", "et", nil, "e")
	m.weight("h.weight", 0, 0.3, 4, 20)
	m.op("Gemm", "y", transposed, "et", "h.weight")
	return m.network()
}

// layerNorm returns a network whose only group is normalised over its neurons.
func layerNorm(seed uint64) Network {
	m := newMaker(seed)
	m.op("Flatten", "f", nil, "x")
	m.weight("a.weight", 0, 0.3, 16, 36)
	m.op("Gemm", "a", transposed, "f", "a.weight")
	m.weight("n.weight", 1, 0.3, 16)
	m.op("LayerNormalization", "n", graph.Attributes{"axis": int64(-1)}, "a", "n.weight")
	m.weight("h.weight", 0, 0.3, 4, 16)
	m.op("Gemm", "y", transposed, "n", "h.weight")
	return m.network()
}

// built returns a network of package nets.
func built(name string, seed uint64) Network {
	g := must(nets.Build(name, &nets.Options{Seed: seed}))
	return Network{Set: g.Weights, Spec: must(symmetry.Derive(g, nil)), Graph: g}
}

func apply(t testing.TB, text string, n Network, o *Options) *Result {
	t.Helper()
	r, err := must(Parse(text)).Apply(context.Background(), n, o)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r
}

func floats(t testing.TB, s *tensor.Set, name string) []float32 {
	t.Helper()
	x := s.Lookup(name)
	b, err := x.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return x.DType.AppendFloat32s(nil, b)
}
