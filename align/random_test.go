package align

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/internal/randomnet"
	"ropewalk/symmetry"
)

// A random network whose neurons were moved comes back byte for byte,
// but for neurons of single numbers that nothing is certain of.
func TestRandomNetworks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := randomnet.Draw(t)
		s := must(symmetry.Derive(g, nil))
		e := s.Random(&symmetry.RandomOptions{Seed: rapid.Uint64().Draw(t, "element")})
		suspect := must(symmetry.Apply(s, g.Weights, e))
		spec, err := FromSymmetry(s)
		if err != nil {
			t.Fatal(err)
		}
		r, err := MatchNetworks(Network{g.Weights, spec}, Network{suspect, spec}, nil)
		if err != nil {
			t.Fatalf("%v\n%v", err, s)
		}
		exact := true
		inv := must(s.Inverse(e))
		for k := range r.Classes {
			c := &r.Classes[k]
			if slices.Equal(c.Sus, inv[c.Name].Order) {
				continue
			}
			// Nothing but single numbers: few pairs are no sample to measure them by. And pairs
			// of neurons in several groups that cross may hold each other in the wrong order;
			// then they have to be said to be uncertain.
			exact = false
			for i, j := range c.Sus {
				if j != inv[c.Name].Order[i] && c.Certainty[i] >= 0.99 || len(c.Sus) > 2 && slices.ContainsFunc(c.Views, func(v ViewEvidence) bool { return v.Dim > 1 }) {
					t.Fatalf("%s: neuron %d is taken for %d, with a certainty of %g\n%v\n%+v", c.Name, i, j, c.Certainty[i], s, c)
				}
			}
		}
		back, err := Restore(s, suspect, r)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range g.Weights.All() {
			if exact && !bytes.Equal(must(w.Bytes()), must(back.At(i).Bytes())) {
				t.Fatalf("%s is another\n%v\n%+v", w.Name, s, r)
			}
		}
	})
}
