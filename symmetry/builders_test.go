package symmetry_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// must unwraps a result of which failure is a bug of the test.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// lively returns g with weights that all matter: builders start with norms that do
// nothing, biases of 0 and a last layer of 0.
func lively(g *graph.Graph, seed uint64) *graph.Graph {
	r := rand.New(rand.NewPCG(seed, 1))
	var ts []*tensor.Tensor
	for _, t := range g.Weights.All() {
		if !nets.IsState(t) {
			continue
		}
		x := make([]float32, t.Elems())
		fan := 1.0
		for _, n := range t.Shape[1:] {
			fan *= float64(n)
		}
		for i := range x {
			switch {
			case strings.HasSuffix(t.Name, "running_var"):
				x[i] = 0.3 + r.Float32()
			case len(t.Shape) == 1:
				x[i] = 0.7 + 0.3*float32(r.NormFloat64())
			default:
				x[i] = float32(r.NormFloat64() * math.Sqrt(2/fan))
			}
		}
		ts = append(ts, &tensor.Tensor{Name: t.Name, DType: tensor.F32, Shape: t.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
	}
	return must(g.WithWeights(must(tensor.NewSet(ts...))))
}

// builders are all networks that package nets builds, at sizes that can be computed
// plainly.
var builders = []struct {
	name   string
	side   int64
	groups int
	heavy  bool // left out with -short
}{
	{"lenet-300-100", 0, 2, false},
	{"lenet5", 0, 3, false},
	{"resnet20", 0, 12, false},
	{"resnet32", 0, 18, false},
	{"vgg11_cifar", 0, 8, false},
	{"mobilenet_v2_cifar", 0, 25, true},
	{"resnet18", 32, 12, false},
	{"resnet50", 32, 37, true},
	{"mobilenet_v2", 32, 25, false},
	{"mobilenet_v3_large", 32, 30, false},
	{"vit_b_32", 32, 37, true},
}

// A random element of the groups of each network leaves its outputs as they are, and
// changes most of its tensors.
func TestBuilders(t *testing.T) {
	for _, b := range builders {
		t.Run(b.name, func(t *testing.T) {
			if b.heavy && testing.Short() {
				t.Skip("takes seconds")
			}
			t.Parallel()
			o := &nets.Options{}
			if b.side > 0 {
				o.Input = tensor.Shape{3, b.side, b.side}
			}
			g := must(nets.Build(b.name, o))
			if b.name != "vit_b_32" {
				g = lively(g, 1)
			}
			s, err := symmetry.Derive(g, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Groups) != b.groups {
				t.Errorf("%d groups, want %d", len(s.Groups), b.groups)
			}
			if b.name != "vit_b_32" { // ten seconds; see TestExternalViT
				verify(t, s, g)
			}
		})
	}
}

// verify holds a specification against the running network, and sees to it that all
// parts of its groups matter.
func verify(t *testing.T, s *symmetry.Spec, g *graph.Graph) {
	t.Helper()
	diffs, err := symmetry.Verify(s, g, &symmetry.VerifyOptions{Seed: 7})
	t.Log(diffs)
	if err != nil {
		t.Error(err)
	}
}
