package align

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// The best signs are those of trying all: where parts are independent, and where there
// are few. Else none alone can be turned for more.
func TestSignPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		factors := rapid.IntRange(1, 6).Draw(t, "factors")
		parities := rapid.SliceOfNDistinct(rapid.Uint64Range(1, 1<<factors-1), 1, min(8, 1<<factors-1), rapid.ID[uint64]).Draw(t, "parities")
		var parts []signedPart
		for _, p := range parities {
			parts = append(parts, signedPart{p, []float32{float32(rapid.IntRange(-9, 9).Draw(t, "part"))}})
		}
		of := func(flips uint64) float32 {
			sum := float32(0)
			for _, p := range parts {
				x := p.sum[0]
				if bits.OnesCount64(p.parity&flips)%2 == 1 {
					x = -x
				}
				sum += x
			}
			return sum
		}
		best := float32(math.Inf(-1))
		for f := range uint64(1) << factors {
			best = max(best, of(f))
		}
		p := newSignPlan(parts)
		sum, negative := p.best(parts, 0)
		if got := of(p.flips(negative)); got != sum {
			t.Fatalf("%v: flips %b make %g, not %g", parts, p.flips(negative), got, sum)
		}
		if exact := len(p.basis) == len(parts) || len(p.basis) <= fewSigns; exact && sum != best {
			t.Fatalf("%v: %g, want %g", parts, sum, best)
		}
		for b := range p.basis {
			if s := of(p.flips(negative ^ 1<<b)); s > sum {
				t.Fatalf("%v: %g, but one sign more makes %g", parts, sum, s)
			}
		}
	})
}

// Streams that several batch norms write have a sign for each, and these are found.
func TestSignsOfStreams(t *testing.T) {
	for _, name := range []string{"resnet20", "resnet18"} {
		if name != "resnet20" && testing.Short() {
			continue
		}
		g := lively(must(nets.Build(name, nil)))
		s := must(symmetry.Derive(g, nil))
		most := 0
		for i := range s.Groups {
			flips := 0
			for _, f := range s.Groups[i].Factors {
				if f.Flips() {
					flips++
				}
			}
			most = max(most, flips)
		}
		if most < 3 {
			t.Fatalf("%s: at most %d signs of a neuron", name, most)
		}
		e := must(s.Fit(g.Weights, s.Random(&symmetry.RandomOptions{Seed: 1, Scale: 0.5, Signs: true})))
		suspect := must(symmetry.Apply(s, g.Weights, e))
		spec := must(FromSymmetry(s))
		r := must(MatchNetworks(Network{g.Weights, spec}, Network{suspect, spec}, nil))
		back := must(r.Element())
		for i := range s.Groups {
			name := s.Groups[i].Name
			inv := must(s.Inverse(e))[name]
			if diff := cmp.Diff(inv.Order, back[name].Order); diff != "" {
				t.Fatalf("%s: %s", name, diff)
			}
			if len(inv.Factors) < 4 {
				continue // no stream
			}
			for f, want := range inv.Factors {
				for j, x := range back[name].Factors[f] {
					if x*want[j] <= 0 {
						t.Fatalf("%s: factor %d of neuron %d is %g, want %g", name, f, j, x, want[j])
					}
				}
			}
		}
	}
}

// lively returns g with weights that all matter: builders start with norms that do
// nothing, and a last layer of 0.
func lively(g *graph.Graph) *graph.Graph {
	r := rand.New(rand.NewPCG(1, 1))
	var ts []*tensor.Tensor
	for _, t := range g.Weights.All() {
		if !nets.IsState(t) {
			continue
		}
		x := make([]float32, t.Elems())
		for i := range x {
			switch {
			case strings.HasSuffix(t.Name, "running_var"):
				x[i] = 0.3 + r.Float32()
			case len(t.Shape) == 1:
				x[i] = 0.7 + 0.3*float32(r.NormFloat64())
			default:
				x[i] = 0.1 * float32(r.NormFloat64())
			}
		}
		ts = append(ts, &tensor.Tensor{Name: t.Name, DType: tensor.F32, Shape: t.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
	}
	return must(g.WithWeights(must(tensor.NewSet(ts...))))
}
