package align

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ropewalk/tensor"
)

// llama has the names, shapes and symmetries of a small Llama: a residual stream, heads
// and what is inside them, and gated layers.
func llama(r *rand.Rand, layers, model, heads, size, inner, words int) *testNet {
	n := newTestNet()
	wide := heads * size
	n.he(r, "embed", words, model)
	stream := Class{Name: "stream", Size: model, Places: []Place{{Tensor: "embed", Axis: 1}}}
	up, down := []Act{{0, 1, true}}, []Act{{0, -1, true}}
	for l := range layers {
		at := fmt.Sprintf("%d.", l)
		for _, w := range []string{"q", "k", "v"} {
			n.he(r, at+w, wide, model)
			stream.Places = append(stream.Places, Place{Tensor: at + w, Axis: 1, Role: Outgoing})
		}
		n.he(r, at+"o", model, wide)
		n.he(r, at+"gate", inner, model)
		n.he(r, at+"up", inner, model)
		n.he(r, at+"down", model, inner)
		n.bias(r, at+"norm", model, 0.1)
		stream.Places = append(stream.Places,
			Place{Tensor: at + "o", Axis: 0}, Place{Tensor: at + "gate", Axis: 1, Role: Outgoing}, Place{Tensor: at + "up", Axis: 1, Role: Outgoing},
			Place{Tensor: at + "down", Axis: 0}, Place{Tensor: at + "norm", Axis: 0, Role: Parameter})
		within := make([]int, size)
		for i := range within {
			within[i] = i
		}
		n.spec.Classes = append(n.spec.Classes,
			Class{Name: at + "heads", Size: heads, Factors: []Gauge{Nonzero}, Places: []Place{
				{Tensor: at + "q", Run: size},
				{Tensor: at + "k", Run: size},
				{Tensor: at + "v", Run: size, Acts: up},
				{Tensor: at + "o", Axis: 1, Run: size, Role: Outgoing, Acts: down},
			}},
			Class{Name: at + "inside", Size: size, Factors: []Gauge{Nonzero}, Places: []Place{
				{Tensor: at + "v", At: within, Run: heads, Stride: size, Acts: up},
				{Tensor: at + "o", Axis: 1, At: within, Run: heads, Stride: size, Role: Outgoing, Acts: down},
			}},
			Class{Name: at + "mlp", Size: inner, Factors: []Gauge{Nonzero}, Places: []Place{
				{Tensor: at + "gate"}, {Tensor: at + "up", Acts: up}, {Tensor: at + "down", Axis: 1, Role: Outgoing, Acts: down},
			}},
		)
	}
	n.spec.Classes = append([]Class{stream}, n.spec.Classes...)
	return n
}

// Networks that are not held in memory are matched as those that are, whatever their
// tensors look like, and read a few times.
func TestStreamed(t *testing.T) {
	nets := map[string]func(r *rand.Rand) *testNet{
		"llama":     func(r *rand.Rand) *testNet { return llama(r, 2, 96, 4, 16, 200, 300) },
		"lenet-300": func(r *rand.Rand) *testNet { return lenet300(r, Positive) },
		"lenet-5":   func(r *rand.Rand) *testNet { return lenet5(r, Positive) },
		"linear":    func(r *rand.Rand) *testNet { return lenet300(r, Nonzero) },
		"odd":       func(r *rand.Rand) *testNet { return lenet300(r, Sign) },
		"resnet-50": func(r *rand.Rand) *testNet { return resnet50(r, 4) },
	}
	for name, net := range nets {
		for _, omega := range []float64{0, 0.3} {
			t.Run(fmt.Sprintf("%s/%v", name, omega), func(t *testing.T) {
				r := rand.New(rand.NewPCG(3, 33))
				n := net(r)
				m := n.clone()
				m.damage(func(x []float32) { noise(r, x, omega) })
				// The signs of heads and of what is in them hang on each other, and are
				// found by sweeps only.
				heads := m.spec
				if name == "llama" {
					m.spec = &Spec{Classes: slices.Clone(heads.Classes)}
					for c := range m.spec.Classes {
						if k := &m.spec.Classes[c]; !strings.HasSuffix(k.Name, "mlp") {
							k.Factors, k.Places = nil, nil
						}
					}
				}
				factors := m.rescaled(r, 0.4)
				m.spec = heads
				truth := m.shuffled(r)
				x, y := n.network(), m.network()
				want := must(MatchNetworks(x, y, nil))
				got := must(MatchNetworks(x, y, &NetworkOptions{Memory: 1}))
				if want.Streamed || !got.Streamed {
					t.Fatalf("streamed: %v without a limit, %v with one", want.Streamed, got.Streamed)
				}
				if !got.Related {
					t.Errorf("unrelated: log evidence %.0f, in memory %.0f", got.LogEvidence, want.LogEvidence)
				}
				for c := range got.Classes {
					a, b := &want.Classes[c], &got.Classes[c]
					if !slices.Equal(a.Sus, b.Sus) {
						t.Errorf("class %s: Ψ %.1f, in memory %.1f", b.Name, Psi(&b.Matching, truth[b.Name]), Psi(&a.Matching, truth[b.Name]))
						continue
					}
					for f := range factors[c] {
						if name == "resnet-50" && omega > 0 {
							break // a layer may be larger and the next one smaller as a whole
						}
						if own, other := off(b.Scale[f], factors[c][f]), off(a.Scale[f], factors[c][f]); own > 1e-3+1.2*other+0.2*omega {
							t.Errorf("class %s: factors are off by %.4f, in memory by %.4f", b.Name, own, other)
						}
					}
					if c := mean(b.Certainty); c < 0.95 {
						t.Errorf("class %s: mean certainty %.3f, in memory %.3f", b.Name, c, mean(a.Certainty))
					}
				}
				if files := 8 * Memory(n.spec, x.Set, y.Set) / 16; got.Reads > 6*files {
					t.Errorf("read %d bytes of files of about %d", got.Reads, files)
				}
				again := must(MatchNetworks(x, y, &NetworkOptions{Memory: 1, Options: Options{Threads: 3}}))
				for c := range got.Classes {
					if !slices.Equal(got.Classes[c].Certainty, again.Classes[c].Certainty) {
						t.Errorf("class %s depends on the number of threads", got.Classes[c].Name)
					}
				}
			})
		}
	}
}

// off is the median error of factors, in logarithms; those of the wrong sign are far off.
func off(got, want []float64) float64 {
	d := make([]float64, len(got))
	for i, x := range got {
		d[i] = 9
		if r := x / want[i]; r > 0 {
			d[i] = math.Abs(math.Log(r))
		}
	}
	return median(d)
}

// What cannot be matched without holding it is refused, and says what it would take;
// bad numbers are named; strangers are strangers.
func TestStreamedRefuses(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 44))
	n := lenet300(r, Positive)
	limited := &NetworkOptions{Memory: 1}
	other := lenet300(rand.New(rand.NewPCG(5, 55)), Positive)
	res := must(MatchNetworks(n.network(), other.network(), limited))
	if res.Related {
		t.Errorf("strangers are related: log evidence %.1f", res.LogEvidence)
	}
	for _, c := range res.Classes {
		if x := slices.Max(c.Certainty); x > 0 {
			t.Errorf("class %s of strangers has certainties up to %v", c.Name, x)
		}
	}
	bad := n.clone()
	bad.arrays["fc2.weight"].data[1234] = float32(math.NaN())
	if _, err := MatchNetworks(n.network(), bad.network(), limited); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "fc2.weight has NaN at 1234") {
		t.Errorf("a NaN: %v", err)
	}
	if _, err := MatchNetworks(bad.network(), n.network(), limited); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "reference's tensor fc2.weight has NaN at 1234") {
		t.Errorf("a NaN in the reference: %v", err)
	}
	small := lenet300(rand.New(rand.NewPCG(6, 66)), Positive)
	small.spec.Classes[0].Size = 299
	small.put("fc1.weight", gaussian(r, 299*784), 299, 784)
	small.put("fc1.bias", gaussian(r, 299), 299)
	small.put("fc2.weight", gaussian(r, 100*299), 100, 299)
	small.names = small.names[:6]
	if _, err := MatchNetworks(n.network(), small.network(), limited); !errors.Is(err, ErrMemory) || !strings.Contains(err.Error(), "300 and 299") {
		t.Errorf("other sizes: %v", err)
	}
	cut := n.network()
	var ts []*tensor.Tensor
	for _, x := range cut.Set.All() {
		y := *x
		if y.Name == "fc2.weight" {
			y.Data = short{x.Data.(tensor.Bytes)}
		}
		ts = append(ts, &y)
	}
	if _, err := MatchNetworks(n.network(), Network{must(tensor.NewSet(ts...)), n.spec}, limited); err == nil || !strings.Contains(err.Error(), "fc2.weight") {
		t.Errorf("a file that ends too early: %v", err)
	}
}

// short is data of which half can be read.
type short struct{ b tensor.Bytes }

func (s short) Size() int64 { return s.b.Size() }

func (s short) ReadAt(p []byte, off int64) (int, error) {
	return s.b[:len(s.b)/2].ReadAt(p, off)
}
