package nets_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/tensor"
)

// Every network can be specialized, to a batch of any size, and then has the outputs
// that it should; nothing in it is unknown to package graph, and what that calls
// parameters and buffers is the state.
func TestSpecialize(t *testing.T) {
	for _, name := range nets.Names() {
		g := build(t, name, &nets.Options{Classes: 7})
		if m := g.Missing(); m != nil {
			t.Errorf("%s: %v", name, m)
			continue
		}
		for _, batch := range []int64{1, 3} {
			shape := tensor.Shape{batch}
			for _, d := range g.Inputs[0].Shape[1:] {
				shape = append(shape, d.Size)
			}
			s, err := graph.Specialize(g, map[string]tensor.Shape{nets.Input: shape}, nil)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got := s.Types[nets.Output]; !got.Shape.Equal(tensor.Shape{batch, 7}) || got.DType != tensor.F32 {
				t.Errorf("%s: outputs are %v, want F32 %dx7", name, got, batch)
			}
		}
		var parameters, buffers []string
		for _, w := range g.Weights.All() {
			switch {
			case !nets.IsState(w):
			case strings.HasSuffix(w.Name, ".running_mean") || strings.HasSuffix(w.Name, ".running_var"):
				buffers = append(buffers, w.Name)
			default:
				parameters = append(parameters, w.Name)
			}
		}
		if diff := cmp.Diff(parameters, g.Parameters()); diff != "" {
			t.Errorf("%s: parameters: %s", name, diff)
		}
		if diff := cmp.Diff(buffers, g.Buffers()); diff != "" {
			t.Errorf("%s: buffers: %s", name, diff)
		}
	}
}

// A network goes into an ONNX file and comes back as it was.
func TestONNX(t *testing.T) {
	for _, c := range []struct {
		name  string
		input tensor.Shape
	}{{"lenet5", nil}, {"resnet20", nil}, {"mobilenet_v2_cifar", nil}, {"mobilenet_v3_large", tensor.Shape{3, 32, 32}}} {
		g := build(t, c.name, &nets.Options{Input: c.input, Seed: 1})
		var b bytes.Buffer
		if err := g.WriteONNX(&b); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		back, err := graph.FromONNX("net.onnx", tensor.Bytes(b.Bytes()), nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		names := func(g *graph.Graph) []string {
			var names []string
			for _, n := range g.Nodes {
				names = append(names, n.Op+" "+n.Name)
			}
			return names
		}
		if diff := cmp.Diff(names(g), names(back)); diff != "" {
			t.Errorf("%s: nodes: %s", c.name, diff)
		}
		x := input(t, g, 2)
		want, got := evaluate(t, g, x), evaluate(t, back, x)
		worst, largest := 0.0, 0.0
		for i, v := range want.Float {
			worst, largest = max(worst, math.Abs(v-got.Float[i])), max(largest, math.Abs(v))
		}
		// Attributes, such as epsilon, are float32 in a file.
		if !(worst <= 1e-7*largest) || largest == 0 {
			t.Errorf("%s: outputs up to %v differ by %v", c.name, largest, worst)
		}
	}
}

// input returns a batch of numbers that are all different.
func input(t *testing.T, g *graph.Graph, batch int64) *graph.Value {
	t.Helper()
	shape := tensor.Shape{batch}
	for _, d := range g.Inputs[0].Shape[1:] {
		shape = append(shape, d.Size)
	}
	n, err := shape.Elems()
	if err != nil {
		t.Fatal(err)
	}
	x := &graph.Value{Type: tensor.F32, Shape: shape, Float: make([]float64, n)}
	for i := range x.Float {
		x.Float[i] = float64(float32(i*7919%1000)/500 - 1)
	}
	return x
}

func evaluate(t *testing.T, g *graph.Graph, x *graph.Value) *graph.Value {
	t.Helper()
	out, err := graph.Evaluate(g, map[string]*graph.Value{nets.Input: x}, nil)
	if err != nil {
		t.Fatalf("%s: %v", g.Name, err)
	}
	return out[nets.Output]
}
