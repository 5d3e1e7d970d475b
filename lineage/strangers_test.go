package lineage

import (
	"context"
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

// Networks that were trained on the same data from different weights are strangers,
// however much their neurons resemble each other; a copy with as much noise as weights
// is none.
func TestSameDataIsNoRelation(t *testing.T) {
	const side = 14
	d := must(dataset.Open("builtin:fashion-mnist", &dataset.Options{Normalise: "measured", Size: [2]int{side, side}}))
	ctx := context.Background()
	learned := func(seed uint64) Network {
		g := must(nets.Build("lenet-300-100", &nets.Options{Seed: seed, Input: tensor.Shape{1, side, side}, Widths: []int64{24, 16}}))
		p := must(native.Backend{}.Compile(g, &engine.Options{Trainable: g.Parameters(), Threads: 1}))
		defer p.Close()
		must(train.Fit(ctx, p, &train.Examples{Data: d.Train, Classes: 10}, &train.Options{
			Epochs: 2, Batch: 64, Threads: 1, Seed: seed, Optimizer: train.Optimizer{Kind: train.SGD, Rate: 0.02, Momentum: 0.9},
		}))
		var list []*tensor.Tensor
		for _, w := range p.Weights() {
			if g.Weights.Lookup(w.Name) != nil {
				list = append(list, &tensor.Tensor{Name: w.Name, DType: tensor.F32, Shape: w.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, w.Values))})
			}
		}
		return Network{Set: must(tensor.NewSet(list...)), Spec: must(symmetry.Derive(g, nil))}
	}
	a, b := learned(1), learned(2)
	c := must(Compare(ctx, a, b, nil))
	if c.Match.LogEvidence < 50 {
		t.Errorf("LogEvidence is %g: these networks do not resemble each other, and test nothing", c.Match.LogEvidence)
	}
	if c.Verdict != Unrelated {
		t.Errorf("strangers are called %s: %s", c.Verdict, c.Summary())
	}
	chain := must(attack.Parse("noise=1+permute"))
	r := must(chain.Apply(ctx, attack.Network{Set: a.Set, Spec: a.Spec}, &attack.Options{Seed: 1, Unproved: true}))
	c = must(Compare(ctx, a, Network{Set: r.Set}, nil))
	if c.Verdict == Unrelated {
		t.Errorf("a copy with noise is called unrelated; %v", certainties(c.Match))
	}
}

func certainties(r *align.NetworkResult) (all []float64) {
	for i := range r.Classes {
		all = append(all, r.Classes[i].Certainty...)
	}
	return all
}
