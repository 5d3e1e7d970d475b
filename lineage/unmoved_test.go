package lineage

import (
	"math"
	"math/rand/v2"
	"testing"

	"ropewalk/tensor"
)

// replaced returns n with all numbers of a share of the neurons of each group drawn anew,
// as those of another network.
func replaced(n Network, share float64, seed uint64) Network {
	r := rand.New(rand.NewPCG(seed, 77))
	values := map[string][]float32{}
	for g := range n.Spec.Groups {
		group := &n.Spec.Groups[g]
		gone := r.Perm(group.Size)[:int(math.Round(share*float64(group.Size)))]
		for k := range group.Places {
			p := &group.Places[k]
			t := n.Set.Lookup(p.Tensor)
			if values[p.Tensor] == nil {
				values[p.Tensor] = must(t.Float32s())
			}
			x := values[p.Tensor]
			sigma := math.Sqrt(square(x) / float64(len(x)))
			inner := 1
			for _, d := range t.Shape[p.Axis+1:] {
				inner *= int(d)
			}
			axis := int(t.Shape[p.Axis])
			drawn := map[int]bool{}
			for _, i := range gone {
				for k := range p.Run {
					drawn[p.Position(i, k)] = true
				}
			}
			for at := range x {
				if drawn[at/inner%axis] {
					x[at] = float32(math.Abs(sigma * r.NormFloat64()))
					if len(t.Shape) > 1 && r.IntN(2) == 0 {
						x[at] = -x[at]
					}
				}
			}
		}
	}
	var changed []*tensor.Tensor
	for name, x := range values {
		t := n.Set.Lookup(name)
		changed = append(changed, &tensor.Tensor{Name: name, DType: t.DType, Shape: t.Shape, Data: tensor.Bytes(t.DType.AppendFloats(nil, x))})
	}
	return Network{Set: must(tensor.Overlay(n.Set, changed...))}
}

// Of a network of which a part of the neurons are others it is said how many, where none
// is left there is no evidence, and damage is none of that.
func TestPartlyDerived(t *testing.T) {
	n := bundled(t)
	for _, share := range []float64{0.1, 0.5, 0.8, 1} {
		c, err := Compare(t.Context(), n, replaced(n, share, 5), nil)
		if err != nil {
			t.Fatal(err)
		}
		if share == 1 {
			if c.Verdict != Unrelated {
				t.Errorf("all neurons are others: %s, %s", c.Verdict, c.Summary())
			}
			continue
		}
		// Of the last fifth it is only seen that something is left.
		if c.Verdict != PartlyDerived && !(share == 0.8 && c.Verdict == Modified) {
			t.Errorf("%.0f %% of the neurons are others: %s, %s", 100*share, c.Verdict, c.Summary())
		}
		for _, x := range c.Changes {
			// Some are too small to tell. With few certain ones it is not counted.
			if x.Kind == Partial && math.Abs(x.Share-share) > 0.15 && share <= 0.5 {
				t.Errorf("%.0f %% of the neurons are others: %s", 100*share, x.Text)
			}
		}
	}
	for _, chain := range []string{"prune=0.99", "prune=0.99+noise=1", "noise=3", "scale+quantize=2"} {
		c, err := Compare(t.Context(), n, attacked(t, n, chain, 3), nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.Verdict == PartlyDerived || c.Verdict == Unrelated {
			t.Errorf("%s: %s", chain, c.Summary())
		}
	}
}
