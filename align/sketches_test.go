package align

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ropewalk/internal/kernel"
)

// sketchesOf makes what a passport keeps of a network, with sums rounded to 8 bits.
func sketchesOf(n Network, numbers int) *Sketches {
	s := must(load(n, "reference"))
	k := &Sketches{Spec: n.Spec, Shapes: map[string][]int{}, Seed: 9}
	pool := kernel.NewPool(1)
	defer pool.Close()
	for name, a := range s.arrays {
		k.Shapes[name] = a.dims
	}
	p := &pair{pool: pool, sketches: k, signs: map[int][]float32{}}
	for c := range n.Spec.Classes {
		class := &n.Spec.Classes[c]
		var places []PlaceSketch
		for i := range class.Places {
			place := &class.Places[i]
			rows, dim := sketchedRows(s.arrays[place.Tensor], place, class.Size)
			q := PlaceSketch{Dim: dim, Numbers: min(dim, numbers), Lengths: lengths(rows, dim)}
			if dim == 1 {
				q.Values = slices.Clone(rows)
				for j := range q.Values {
					q.Values[j] -= float32(place.Epsilon)
				}
			} else {
				sums := p.sketch(rows, dim, q.Numbers)
				for j := range class.Size {
					row := sums[j*q.Numbers:][:q.Numbers]
					most := 0.0
					for _, x := range row {
						most = max(most, math.Abs(float64(x)))
					}
					q.Steps = append(q.Steps, float32(most/127))
					for _, x := range row {
						q.Sums = append(q.Sums, int8(math.Round(127*float64(x)/max(most, 1e-30))))
					}
				}
			}
			places = append(places, q)
		}
		k.Places = append(k.Places, places)
	}
	return k
}

// What is found by sketches is as good as what is found by weights, up to the damage
// that passports promise.
func TestMatchSketches(t *testing.T) {
	all := []string{"none", "noise 1", "prune .9", "quant 4", "rescaled, then noise 1", "rescaled, then prune .9", "rescaled, then quant 4"}
	nets := []struct {
		name       string
		make       func(t *testing.T, r *rand.Rand) *testNet
		sigma      float64
		conditions []string
	}{
		{"LeNet-300", func(_ *testing.T, r *rand.Rand) *testNet { return lenet300(r, Positive) }, 0.7, all[:2]},
		{"LeNet-300, any factor", func(_ *testing.T, r *rand.Rand) *testNet { return lenet300(r, Nonzero) }, 0.7, []string{"none", "quant 4"}},
		{"LeNet-5", func(_ *testing.T, r *rand.Rand) *testNet { return lenet5(r, Positive) }, 0.7, []string{"quant 4"}},
		{"ResNet-20", func(t *testing.T, _ *rand.Rand) *testNet {
			return readNet(t, "resnet20_cifar10.safetensors", resnetCIFAR(3))
		}, 0.5, []string{"none", "rescaled, then noise 1", "rescaled, then quant 4"}},
		{"ResNet-32", func(t *testing.T, _ *rand.Rand) *testNet {
			return readNet(t, "resnet32_cifar10.safetensors", resnetCIFAR(5))
		}, 0.5, []string{"prune .9"}},
	}
	if tables, err := strconv.Atoi(os.Getenv("ROPEWALK_TABLES")); err == nil && tables > 0 {
		for k := range nets {
			if strings.HasPrefix(nets[k].name, "ResNet") {
				nets[k].conditions = all
			}
		}
	}
	const slack = 0.5 // percent
	for _, x := range nets {
		t.Run(x.name, func(t *testing.T) {
			n := x.make(t, rand.New(rand.NewPCG(1, 2)))
			ref := sketchesOf(n.network(), 128)
			for k, c := range netConditions() {
				if !slices.Contains(x.conditions, c.name) {
					continue
				}
				m, truth := n.attacked(rand.New(rand.NewPCG(3, uint64(k))), c, x.sigma)
				want := must(MatchNetworks(n.network(), m.network(), nil))
				got := must(MatchSketches(ref, m.network(), nil))
				a, b := psi(want, truth), psi(got, truth)
				t.Logf("%-28s weights %6.2f sketches %6.2f certainty %.3f %.3f evidence %.0f %.0f sweeps %d %d soft %v", c.name, a, b, certaintyOf(want), certaintyOf(got), want.LogEvidence, got.LogEvidence, want.Sweeps, got.Sweeps, got.Soft)
				if b < a-slack {
					t.Errorf("%s: sketches find %.2f %%, weights %.2f %%", c.name, b, a)
				}
				if !got.Related {
					t.Errorf("%s: not related by log evidence %.0f", c.name, got.LogEvidence)
				}
				if c.name == "none" {
					for i := range got.Classes {
						for f, s := range got.Classes[i].Scale {
							if d := off(s, want.Classes[i].Scale[f]); d > 1e-4 {
								t.Errorf("class %s: factors are off by %.6f", got.Classes[i].Name, d)
							}
						}
					}
				}
			}
		})
	}
}

func certaintyOf(r *NetworkResult) float64 {
	var all []float64
	for _, c := range r.Classes {
		all = append(all, c.Certainty...)
	}
	return mean(all)
}

// Strangers stay strangers.
func TestSketchesOfStrangers(t *testing.T) {
	for seed := range uint64(3) {
		for name, net := range map[string]func(*rand.Rand) *testNet{
			"lenet-300": func(r *rand.Rand) *testNet { return lenet300(r, Positive) },
			"lenet-5":   func(r *rand.Rand) *testNet { return lenet5(r, Positive) },
		} {
			a, b := net(rand.New(rand.NewPCG(seed, 1))), net(rand.New(rand.NewPCG(seed, 2)))
			got := must(MatchSketches(sketchesOf(a.network(), 64), b.network(), &NetworkOptions{Hard: seed > 0}))
			if got.Related || certaintyOf(got) > 0 {
				t.Errorf("%s %d: related, log evidence %.1f, certainty %.3f", name, seed, got.LogEvidence, certaintyOf(got))
			}
		}
	}
}

// Neurons that were removed and added are found by sketches, too.
func TestSketchesRectangular(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	n := lenet300(r, Positive)
	ref := sketchesOf(n.network(), 128)
	m := n.clone()
	// Ten neurons of the first layer go.
	w := m.arrays["fc1.weight"]
	m.put("fc1.weight", slices.Clone(w.data[10*784:]), 290, 784)
	m.put("fc1.bias", slices.Clone(m.arrays["fc1.bias"].data[10:]), 290)
	old := m.arrays["fc2.weight"].data
	var out []float32
	for o := range 100 {
		out = append(out, old[o*300+10:][:290]...)
	}
	m.put("fc2.weight", out, 100, 290)
	m.names = slices.Compact(slices.Sorted(slices.Values(m.names)))
	m.spec = must(n.spec.Resize(Network{Set: m.network().Set}.Set))
	got := must(MatchSketches(ref, m.network(), nil))
	for i, j := range got.Classes[0].Sus {
		want := i - 10
		if want < 0 {
			want = -1
		}
		if j != want {
			t.Fatalf("neuron %d is matched with %d, want %d", i, j, want)
		}
	}
}

// Sketches that do not fit are refused in words.
func TestSketchesRefused(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	n := lenet300(r, Positive)
	for name, spoil := range map[string]func(k *Sketches){
		"classes": func(k *Sketches) { k.Places = k.Places[1:] },
		"places":  func(k *Sketches) { k.Places[0] = k.Places[0][1:] },
		"rows":    func(k *Sketches) { k.Places[0][0].Sums = k.Places[0][0].Sums[1:] },
		"shape":   func(k *Sketches) { delete(k.Shapes, "fc1.weight") },
		"dim":     func(k *Sketches) { k.Places[0][0].Dim++ },
	} {
		k := sketchesOf(n.network(), 32)
		spoil(k)
		if _, err := MatchSketches(k, n.network(), nil); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A sketch is what its definition says.
func TestFold(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	serial := kernel.NewPool(1)
	defer serial.Close()
	for _, n := range []int{1, 5, 31, 32, 33, 100, 4032} {
		const m = 32
		x := gaussian(r, n)
		want := make([]float64, min(m, n))
		signs := SketchSigns(5, n)
		scratch := make([]float32, FoldedLength(n, len(want)))
		for c, v := range x {
			scratch[c] = v * signs[c]
			want[c%len(want)] += float64(v * signs[c])
		}
		got := make([]float32, len(want))
		Fold(serial, got, scratch[:n])
		for b := range want {
			if math.Abs(want[b]-float64(got[b])) > 1e-4 {
				t.Fatal(fmt.Sprint(n, b, want[b], got[b]))
			}
		}
	}
	if s := SketchSigns(0, 4); !slices.Equal(s, []float32{-1, -1, -1, -1}) { // SplitMix64(0) = e220a8397b1dcdaf
		t.Errorf("signs %v", s)
	}
}
