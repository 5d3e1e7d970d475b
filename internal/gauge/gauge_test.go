package gauge_test

import (
	"testing"

	"ropewalk/align"
	"ropewalk/graph/nets"
	"ropewalk/internal/gauge"
	"ropewalk/symmetry"
)

// What was shuffled and rescaled by groups of a graph is found again, all of it.
func TestShuffledIsFound(t *testing.T) {
	for _, name := range []string{"lenet5", "resnet20"} {
		g, err := nets.Build(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := symmetry.Derive(g, nil)
		if err != nil {
			t.Fatal(err)
		}
		spec, left := gauge.Spec(s)
		if len(left) != 0 || len(spec.Classes) != len(s.Groups) {
			t.Fatalf("%s: %v left out of %d groups", name, left, len(s.Groups))
		}
		e := s.Random(&symmetry.RandomOptions{Seed: 5, Scale: 0.3})
		shuffled, err := symmetry.Apply(s, g.Weights, e)
		if err != nil {
			t.Fatal(err)
		}
		r, err := align.MatchNetworks(align.Network{Set: g.Weights, Spec: spec}, align.Network{Set: shuffled, Spec: spec}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range r.Classes {
			c := &r.Classes[i]
			for sus, ref := range e[c.Name].Order {
				if c.Sus[ref] != sus {
					t.Errorf("%s, %s: neuron %d is %d, want %d", name, c.Name, ref, c.Sus[ref], sus)
					break
				}
			}
		}
	}
}

// Groups that cross are matched once.
func TestCrossingGroups(t *testing.T) {
	g, err := nets.Build("vit_b_32", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := symmetry.Derive(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, left := gauge.Spec(s)
	if len(left) != 12 || len(spec.Classes)+12 != len(s.Groups) {
		t.Errorf("left out %v of %d groups; want what is inside of the heads of 12 layers", left, len(s.Groups))
	}
}
