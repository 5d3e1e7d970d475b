package lineage

import (
	"testing"

	"ropewalk/align"
)

// What is left of a pruned network is known by its bits; noise and quantizers leave none.
func TestSurvivors(t *testing.T) {
	n := bundled(t)
	for chain, want := range map[string]bool{"permute+prune=0.9": true, "permute+scale+prune=0.9": true, "noise=0.01": false, "quantize=4": false} {
		sus := attacked(t, n, chain, 3)
		own := must(align.FromSymmetry(n.Spec))
		m := must(align.MatchNetworks(align.Network{Set: n.Set, Spec: own}, align.Network{Set: sus.Set, Spec: own}, nil))
		same, pairs, err := survivors(n.Spec, n.Set, must(align.Restore(n.Spec, sus.Set, m.WithoutFactors())))
		if err != nil {
			t.Fatal(err)
		}
		if survived(same, pairs) != want {
			t.Errorf("%s: %d of %d pairs are in the ratio of the reference", chain, same, pairs)
		}
	}
}

// A copy that was rescaled, and rescaled back, is off by rounding, and not modified.
func TestRescaledAndBack(t *testing.T) {
	n := bundled(t)
	sus := attacked(t, n, "permute+scale", 3)
	c, err := Compare(t.Context(), n, sus, nil)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Compare(t.Context(), n, Network{Set: c.Restored}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if back.Verdict != Rescaled || back.Function.Same != Yes || len(back.Edits) > 0 {
		t.Errorf("%s, %s, function same: %s, %d edits", back.Verdict, back.Summary(), back.Function.Same, len(back.Edits))
	}
}
