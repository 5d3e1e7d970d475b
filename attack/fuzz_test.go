package attack

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever the text, it is refused, or prints as what parses to the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"permute+prune=0.9+quantize=4", "cast=bf16:round", "finetune=2:rate=0.1", "noise=1e6", "overwrite:tensor=a", "+", "dummy=1:zero:plain"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(c.String())
		if err != nil {
			t.Fatalf("%q prints as %q: %v", text, c.String(), err)
		}
		if d := cmp.Diff(c, again); d != "" {
			t.Fatalf("%q prints as %q: %s", text, c.String(), d)
		}
	})
}

// Whatever becomes of a network, its truth can be read back.
func FuzzParseTruth(f *testing.F) {
	f.Add([]byte(`{"element": {"g": {"order": [1, 0, -1], "factors": [[1, 2]]}}, "added": {"g": [{"neuron": 2, "kind": "zero", "of": -1}]}}`))
	f.Add([]byte(`{"element": {"g": null}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		truth, err := ParseTruth(b)
		if err == nil && truth.Element == nil {
			t.Fatal("there is no element, and no error")
		}
	})
}

// Chains in any order do not stumble over each other.
func FuzzApply(f *testing.F) {
	for _, s := range []string{"remove=0.5+dummy=1+permute", "dummy=0.3+remove=0.6+scale+sign", "cast=f16+dummy+cast=f32", "quantize=1+prune=1+noise=1+overwrite=8"} {
		f.Add(s, uint64(1))
	}
	n := small(1)
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		c, err := Parse(text)
		if err != nil || len(c) > 4 || c.Trains() {
			return
		}
		r, err := c.Apply(context.Background(), n, &Options{Seed: seed})
		if err != nil {
			return
		}
		for i := range r.Spec.Groups {
			g := &r.Spec.Groups[i]
			if m := r.Truth.Element[g.Name]; m != nil && m.Order != nil && len(m.Order) != g.Size {
				t.Fatalf("%s: %d neurons of %s, %d in the truth", text, g.Size, g.Name, len(m.Order))
			}
		}
		if err := r.Spec.Fits(r.Set); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	})
}
