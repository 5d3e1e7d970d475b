package align

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/internal/randomnet"
	"ropewalk/symmetry"
)

// A random network whose neurons were moved comes back byte for byte.
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
		back, err := Restore(s, suspect, r)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range g.Weights.All() {
			if !bytes.Equal(must(w.Bytes()), must(back.At(i).Bytes())) {
				t.Fatalf("%s is another\n%v\n%v\n%+v", w.Name, s, e, r)
			}
		}
	})
}
