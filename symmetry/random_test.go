package symmetry_test

import (
	"testing"

	"pgregory.net/rapid"

	"ropewalk/internal/randomnet"
	"ropewalk/symmetry"
)

// A random element of the groups of a random network leaves its output as it is.
func TestRandomNetworks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := randomnet.Draw(t)
		s, err := symmetry.Derive(g, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Groups) == 0 {
			t.Fatal("no groups: the last hidden layer is one at least")
		}
		if _, err := symmetry.Verify(s, g, &symmetry.VerifyOptions{Seed: 3}); err != nil {
			t.Fatalf("%v\n%v", err, s)
		}
	})
}
