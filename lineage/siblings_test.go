package lineage

import (
	"context"
	"os"
	"testing"

	"ropewalk/align"
	"ropewalk/attack"
	"ropewalk/dataset"
	"ropewalk/engine"
	"ropewalk/engine/native"
	"ropewalk/graph/nets"
	"ropewalk/symmetry"
	"ropewalk/tensor"
	"ropewalk/train"
)

// Weight decay makes networks forget where they began: what is left is what the data
// taught, and neurons of strangers resemble each other as much as those of a copy with noise. Only
// the directions in which they do tell them apart.
func TestWhatLearnedTheSameIsNotDerived(t *testing.T) {
	const side = 14
	d := must(dataset.Open("builtin:fashion-mnist", &dataset.Options{Normalise: "measured", Size: [2]int{side, side}}))
	ctx := context.Background()
	learned := func(seed uint64, decay float64) Network {
		g := must(nets.Build("lenet-300-100", &nets.Options{Seed: seed, Input: tensor.Shape{1, side, side}, Widths: []int64{32, 24}}))
		p := must(native.Backend{}.Compile(g, &engine.Options{Trainable: g.Parameters(), Threads: 1}))
		defer p.Close()
		must(train.Fit(ctx, p, &train.Examples{Data: d.Train, Classes: 10}, &train.Options{
			Epochs: 12, Batch: 64, Threads: 1, Seed: seed, Optimizer: train.Optimizer{Kind: train.SGD, Rate: 0.05, Momentum: 0.9, Decay: decay},
		}))
		var list []*tensor.Tensor
		for _, w := range p.Weights() {
			if g.Weights.Lookup(w.Name) != nil {
				list = append(list, &tensor.Tensor{Name: w.Name, DType: tensor.F32, Shape: w.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, w.Values))})
			}
		}
		return Network{Set: must(tensor.NewSet(list...)), Spec: must(symmetry.Derive(g, nil))}
	}
	pairs, decays := uint64(1), []float64{5e-3}
	if os.Getenv("ROPEWALK_TABLES") != "" {
		pairs, decays = 20, []float64{0, 1e-3, 5e-3, 1e-2}
	}
	for _, decay := range decays {
		for k := range pairs {
			toldApart(ctx, t, decay, learned(2*k+1, decay), learned(2*k+2, decay))
		}
	}
}

// toldApart tests that a stranger is told from copies that were damaged.
func toldApart(ctx context.Context, t *testing.T, decay float64, a, b Network) {
	t.Helper()
	own := must(align.FromSymmetry(a.Spec))
	look := func(sus *tensor.Set) (*align.NetworkResult, *Resemblance) {
		m := must(align.MatchNetworks(align.Network{Set: a.Set, Spec: own}, align.Network{Set: sus, Spec: own}, nil))
		return m, must(resembleMatched(ctx, a.Set, sus, a.Spec, m, 1))
	}
	m, r := look(b.Set)
	yes, why := derived(m, r)
	t.Logf("strangers, decay %g: log evidence %.0f, correlation %.2f, spectrum %.2f, noise %.2f: %s", decay, m.LogEvidence, r.Correlation, r.Spectrum, r.Noise, why)
	if m.LogEvidence < 50 || r.Correlation < 0.3 {
		t.Errorf("log evidence is %.0f, correlation %.2f: these networks do not resemble each other, and test nothing", m.LogEvidence, r.Correlation)
	}
	if yes {
		t.Errorf("strangers count as derived: %s", why)
	}
	for _, chain := range []string{"noise=1+permute", "prune=0.9+permute", "quantize=3+permute"} {
		x := must(must(attack.Parse(chain)).Apply(ctx, attack.Network{Set: a.Set, Spec: a.Spec}, &attack.Options{Seed: 1, Unproved: true}))
		m, r := look(x.Set)
		if yes, why := derived(m, r); !yes {
			t.Errorf("%s is not derived: %s; spectrum %.2f, noise %.2f", chain, why, r.Spectrum, r.Noise)
		}
	}
}

// Neurons with partners that no other comes near are more than networks have that learned the same, if they
// are enough, also where damage has left hardly any correlation.
func TestCertainNeuronsAreDerived(t *testing.T) {
	few := &Resemblance{Tensors: []TensorResemblance{{}}, Correlation: 0.05, Spectrum: 0.1, Noise: 0.2}
	for _, test := range []struct {
		certain, all int
		want         bool
	}{{leastCertain, 100, true}, {leastCertain - 1, 100, false}, {leastCertain, 1000, false}, {125, 1000, true}} {
		m := &align.NetworkResult{LogEvidence: 1000, Classes: []align.ClassResult{{Result: align.Result{Certainty: make([]float64, test.all)}}}}
		for i := range test.certain {
			m.Classes[0].Certainty[i] = 1
		}
		if got, why := derived(m, few); got != test.want {
			t.Errorf("%d of %d neurons are certain: derived %v (%s), want %v", test.certain, test.all, got, why, test.want)
		}
	}
}
