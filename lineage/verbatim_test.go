package lineage

import (
	"context"
	"testing"

	"ropewalk/attack"
	"ropewalk/graph/nets"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// A twentieth of the owner's neurons in a large network of another, shuffled, drowns in what all weights
// say together; that these neurons are the owner's to the last digit does not. It does not matter how many
// neurons the other network has, and none of these is padding.
func TestFewNeuronsOfTheOwner(t *testing.T) {
	ctx := context.Background()
	network := func(seed uint64, widths ...int64) Network {
		g := must(nets.Build("lenet-300-100", &nets.Options{Seed: seed, Input: tensor.Shape{1, 12, 12}, Widths: widths}))
		return Network{Set: g.Weights, Spec: must(symmetry.Derive(g, nil))}
	}
	shuffled := func(n Network) Network {
		chain := must(attack.Parse("permute"))
		return Network{Set: must(chain.Apply(ctx, attack.Network{Set: n.Set, Spec: n.Spec}, &attack.Options{Seed: 1, Unproved: true})).Set, Spec: n.Spec}
	}
	const taken = 16
	owner := network(1, 320, 60)
	for _, widths := range [][]int64{{320, 60}, {360, 80}, {280, 60}} {
		other := network(2, widths...)
		if c := must(Compare(ctx, owner, shuffled(other), nil)); c.Verdict != Unrelated {
			t.Fatalf("%v: a stranger is called %s", widths, c.Verdict)
		}
		name := owner.Spec.Groups[0].Places[0].Tensor
		w, own := must(other.Set.Lookup(name).Float32s()), must(owner.Set.Lookup(name).Float32s())
		copy(w, own[:taken*12*12])
		other.Set = must(tensor.Overlay(other.Set, &tensor.Tensor{Name: name, DType: tensor.F32, Shape: other.Set.Lookup(name).Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, w))}))
		suspect := shuffled(other)
		c := must(Compare(ctx, owner, suspect, nil))
		e := must(Weigh(ctx, owner, suspect, c.Match, &EvidenceOptions{Random: -1}))
		if c.Verdict != PartlyDerived || !e.Derived || e.Verbatim.Neurons != taken || e.Verbatim.Log10P > -9 {
			t.Errorf("%v: %s (%s), derived %v (%s), %d neurons verbatim with 10^%g; want partly derived, with %d", widths, c.Verdict, c.Summary(), e.Derived, e.Reason, e.Verbatim.Neurons, e.Verbatim.Log10P, taken)
		}
		for _, x := range c.Changes {
			if x.Kind == Partial && x.Share < 0.95 {
				t.Errorf("%v: %.0f %% of the neurons are said to be others, want 96 %%", widths, 100*x.Share)
			}
			if x.Kind == Padding || x.Kind == Removal {
				t.Errorf("%v: %s", widths, x.Text)
			}
		}
	}
}

// Numbers of a neuron of the opposite sign are edits where no sign is free. Where one is, the neuron may have
// turned, and its weights not with it: that takes fewer edits.
func TestSignsThatAreEdits(t *testing.T) {
	n := bundled(t)
	for _, test := range []struct {
		names []string
		edits int
	}{{[]string{"bn2.weight", "bn2.bias"}, 4}, {[]string{"bn2.weight", "bn2.running_mean"}, 2}} {
		var list []*tensor.Tensor
		for _, name := range test.names {
			v := must(n.Set.Lookup(name).Float32s())
			v[5], v[6] = -v[5], -v[6]
			list = append(list, &tensor.Tensor{Name: name, DType: tensor.F32, Shape: n.Set.Lookup(name).Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, v))})
		}
		c, err := Compare(t.Context(), n, Network{Set: must(tensor.Overlay(n.Set, list...))}, &Options{Threads: 1})
		if err != nil || c.Verdict != Modified || c.Edited != test.edits {
			t.Errorf("%v: %v, %v with %d edits; want %d", test.names, err, c.Summary(), c.Edited, test.edits)
		}
	}
}
