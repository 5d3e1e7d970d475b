package attack

import (
	"context"
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

// small returns a convolutional network for images of 1x8x8: batch norms, a residual
// block, a flattened layer.
func small(seed uint64) Network {
	r := rand.New(rand.NewPCG(seed, 1))
	var list []*tensor.Tensor
	w := func(name string, mean, sigma float64, shape ...int64) {
		x := make([]float32, must(tensor.Shape(shape).Elems()))
		for i := range x {
			x[i] = float32(mean + sigma*r.NormFloat64())
		}
		list = append(list, &tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
	}
	g := &graph.Graph{
		Name: "small", Outputs: []string{"y"},
		Inputs: []graph.Input{{Name: "x", Type: tensor.F32, Shape: []graph.Dim{{Size: 1}, {Size: 1}, {Size: 6}, {Size: 6}}}},
	}
	op := func(op, out string, a graph.Attributes, in ...string) {
		g.Nodes = append(g.Nodes, &graph.Node{Name: out, Op: op, Inputs: in, Outputs: []string{out}, Attributes: a})
	}
	pads := graph.Attributes{"kernel_shape": []int64{3, 3}, "pads": []int64{1, 1, 1, 1}}
	w("a.weight", 0, 0.4, 8, 1, 3, 3)
	w("a.bias", 0.1, 0.2, 8)
	op("Conv", "a", pads, "x", "a.weight", "a.bias")
	op("Relu", "ar", nil, "a")
	w("b.weight", 0, 0.2, 12, 8, 3, 3)
	op("Conv", "b", pads, "ar", "b.weight")
	w("bn.weight", 1, 0.3, 12)
	w("bn.bias", 0, 0.3, 12)
	w("bn.mean", 0, 0.3, 12)
	w("bn.var", 1, 0.1, 12)
	op("BatchNormalization", "bn", graph.Attributes{"epsilon": 1e-5}, "b", "bn.weight", "bn.bias", "bn.mean", "bn.var")
	op("Relu", "br", nil, "bn")
	w("c.weight", 0, 0.2, 8, 12, 3, 3)
	op("Conv", "c", pads, "br", "c.weight")
	op("Add", "d", nil, "c", "ar")
	op("Flatten", "f", nil, "d")
	w("e.weight", 0, 0.1, 20, 288)
	w("e.bias", 0, 0.1, 20)
	op("Gemm", "e", graph.Attributes{"transB": int64(1)}, "f", "e.weight", "e.bias")
	op("Tanh", "et", nil, "e")
	w("h.weight", 0, 0.3, 4, 20)
	op("Gemm", "y", graph.Attributes{"transB": int64(1)}, "et", "h.weight")
	g.Weights = must(tensor.NewSet(list...))
	return Network{Set: g.Weights, Spec: must(symmetry.Derive(g, nil)), Graph: g}
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
