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
// say together; that these neurons are the owner's to the last digit does not.
func TestFewNeuronsOfTheOwner(t *testing.T) {
	ctx := context.Background()
	network := func(seed uint64) Network {
		g := must(nets.Build("lenet-300-100", &nets.Options{Seed: seed, Input: tensor.Shape{1, 12, 12}, Widths: []int64{320, 60}}))
		return Network{Set: g.Weights, Spec: must(symmetry.Derive(g, nil))}
	}
	owner, other := network(1), network(2)
	shuffled := func(n Network) Network {
		chain := must(attack.Parse("permute"))
		return Network{Set: must(chain.Apply(ctx, attack.Network{Set: n.Set, Spec: owner.Spec}, &attack.Options{Seed: 1, Unproved: true})).Set, Spec: owner.Spec}
	}
	if c := must(Compare(ctx, owner, shuffled(other), nil)); c.Verdict != Unrelated {
		t.Fatalf("a stranger is called %s", c.Verdict)
	}
	const taken = 16
	name := owner.Spec.Groups[0].Places[0].Tensor
	w, own := must(other.Set.Lookup(name).Float32s()), must(owner.Set.Lookup(name).Float32s())
	copy(w, own[:taken*12*12])
	mixed := Network{Set: must(tensor.Overlay(other.Set, &tensor.Tensor{Name: name, DType: tensor.F32, Shape: other.Set.Lookup(name).Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, w))}))}
	suspect := shuffled(mixed)
	c := must(Compare(ctx, owner, suspect, nil))
	e := must(Weigh(ctx, owner, suspect, c.Match, &EvidenceOptions{Random: -1}))
	if c.Verdict != PartlyDerived || !e.Derived || e.Verbatim.Neurons != taken || e.Verbatim.Log10P > -9 {
		t.Errorf("%s (%s), derived %v (%s), %d neurons verbatim with 10^%g; want partly derived, with %d", c.Verdict, c.Summary(), e.Derived, e.Reason, e.Verbatim.Neurons, e.Verbatim.Log10P, taken)
	}
	for _, x := range c.Changes {
		if x.Kind == Partial && x.Share < 0.95 {
			t.Errorf("%.0f %% of the neurons are said to be others, want 96 %%", 100*x.Share)
		}
	}
}
