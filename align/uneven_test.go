package align

import (
	"math/rand/v2"
	"testing"
)

// Damage after dummies were added: all real neurons are found, nobody is said to be gone, and
// nearly all dummies are named, if not all as what they were.
func TestDummiesDamaged(t *testing.T) {
	for _, x := range []struct {
		name   string
		damage func(x []float32)
	}{
		{"8 bits", func(x []float32) { quantize(x, 8) }},
		{"noise", func(x []float32) { noise(rand.New(rand.NewPCG(7, uint64(len(x)))), x, 0.1) }},
		{"pruned", func(x []float32) { prune(x, 0.5) }},
	} {
		r := rand.New(rand.NewPCG(4, 4))
		n := narrow(r, Positive)
		m, truth, _ := obfuscated(r, n, 0.5)
		m.damage(x.damage)
		res := must(MatchNetworks(n.network(), m.network(), nil))
		for _, c := range res.Classes {
			splits := map[int]bool{}
			for _, s := range c.Merged {
				splits[s.Neuron], splits[s.Into] = true, true
			}
			wrong, gone := 0, 0
			for i, j := range c.Sus {
				if j < 0 {
					gone++
				}
				if j != truth[c.Name].Sus[i] && (j < 0 || !splits[j]) {
					wrong++
				}
			}
			dummies, known := len(c.Ref)-len(c.Sus), 0
			for _, d := range c.Added {
				if d.Kind != Stranger {
					known++
				}
			}
			t.Logf("%s, class %s: %d of %d neurons wrong, %d gone; %d of %d dummies known", x.name, c.Name, wrong, len(c.Sus), gone, known, dummies)
			if gone > 0 || 50*wrong > len(c.Sus) || 20*known < 19*dummies {
				t.Errorf("%s, class %s: %d of %d neurons wrong, %d gone; %d of %d dummies known", x.name, c.Name, wrong, len(c.Sus), gone, known, dummies)
			}
		}
	}
}

// An axis of which no order is known has fewer numbers in the suspect than profiles have
// quantiles: both sides are described by as many.
func TestProfilesOfUnequalAxes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	net := func(inner int) *testNet {
		n := newTestNet()
		n.he(r, "w1", inner, 20)
		n.he(r, "w2", 12, inner)
		n.he(r, "w3", 12, 12)
		n.he(r, "w4", 5, 12)
		place := func(tensor string, axis int, role Role) Place { return Place{Tensor: tensor, Axis: axis, Role: role} }
		n.spec.Classes = []Class{ // the one in the middle is looked at first, when neither side is known
			{Name: "middle", Size: 12, Places: []Place{place("w2", 0, Incoming), place("w3", 1, Outgoing)}},
			{Name: "first", Size: inner, Places: []Place{place("w1", 0, Incoming), place("w2", 1, Outgoing)}},
			{Name: "last", Size: 12, Places: []Place{place("w3", 0, Incoming), place("w4", 1, Outgoing)}},
		}
		return n
	}
	for _, sizes := range [][2]int{{12, 4}, {4, 12}, {9, 8}} {
		ref, sus := net(sizes[0]), net(sizes[1])
		res, err := MatchNetworks(ref.network(), sus.network(), nil)
		if err != nil {
			t.Fatalf("%v: %v", sizes, err)
		}
		if res.Related {
			t.Errorf("%v: strangers are related, log evidence %.1f", sizes, res.LogEvidence)
		}
	}
}
