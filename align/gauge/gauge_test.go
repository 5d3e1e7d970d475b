package gauge

import (
	"math"
	"testing"

	"ropewalk/align"
	"ropewalk/attack"
	"ropewalk/checkpoint"
	"ropewalk/symmetry"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// settled attacks the trained network that the repository carries, finds its neurons again and
// what they were multiplied by, and returns that beside the truth.
func settled(t *testing.T, chain string) (found *align.NetworkResult, truth symmetry.Element, rescaled bool) {
	t.Helper()
	c := must(checkpoint.Open("../../testdata/fashion-cnn.safetensors", nil))
	t.Cleanup(func() { _ = c.Close() })
	spec := must(symmetry.DeriveNames(c.Tensors, nil))
	done := must(must(attack.Parse(chain)).Apply(t.Context(), attack.Network{Set: c.Tensors, Spec: spec}, &attack.Options{Seed: 3, Unproved: true}))
	own := must(align.FromSymmetry(spec))
	others := must(own.Resize(done.Set))
	found = must(align.MatchNetworks(align.Network{Set: c.Tensors, Spec: own}, align.Network{Set: done.Set, Spec: others}, nil))
	moved := must(align.Restore(spec, done.Set, found.WithoutFactors()))
	rescaled, _, err := Settle(spec, c.Tensors, moved, found)
	if err != nil {
		t.Fatal(err)
	}
	return found, done.Truth.Element, rescaled
}

// What damage makes of weights is no factor.
func TestNothingMultiplied(t *testing.T) {
	for _, chain := range []string{"permute", "permute+quantize=8", "permute+quantize=4", "permute+prune=0.5", "permute+prune=0.9+quantize=4", "permute+noise=0.3", "permute+cast=bf16"} {
		found, _, rescaled := settled(t, chain)
		if rescaled {
			t.Errorf("%s: neurons were multiplied", chain)
		}
		for i := range found.Classes {
			for k, scale := range found.Classes[i].Scale {
				for n, x := range scale {
					if x != 1 {
						t.Errorf("%s: %s: factor %d of neuron %d is %g", chain, found.Classes[i].Name, k, n, x)
					}
				}
			}
		}
	}
}

// What neurons were multiplied by is found again, whatever was damaged then.
func TestFactors(t *testing.T) {
	for chain, tolerance := range map[string]float64{
		"permute+scale+sign":             1e-6,
		"permute+scale+cast=bf16":        0.01,
		"permute+scale+prune=0.5":        1e-6,
		"permute+scale+quantize=5":       0.02,
		"permute+scale+prune=0.8+sign":   0.02,
		"permute+scale=0.5+quantize=6":   0.05,
		"remove=0.2+permute+scale":       1e-6,
		"dummy=0.3:zero+permute+scale=1": 1e-6,
	} {
		found, truth, rescaled := settled(t, chain)
		if !rescaled {
			t.Errorf("%s: nothing was multiplied", chain)
			continue
		}
		wrong, all := 0, 0
		for i := range found.Classes {
			c := &found.Classes[i]
			m := truth[c.Name]
			for k, scale := range c.Scale {
				for n, x := range scale {
					if c.Sus[n] < 0 || c.Certainty[n] < align.Certain || m.Order[c.Sus[n]] != n {
						continue
					}
					all++
					if want := m.Factors[k][n]; !(math.Abs(x/want-1) <= tolerance) {
						wrong++
					}
				}
			}
		}
		if all < 100 || wrong > all/20 {
			t.Errorf("%s: %d of %d factors are off by more than %g", chain, wrong, all, tolerance)
		}
	}
}
