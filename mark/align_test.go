package mark

import (
	"errors"
	"math"
	"testing"

	"ropewalk/align"
	"ropewalk/graph/nets"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// lenet is a network with its symmetries. Networks of different seeds are strangers.
func lenet(t testing.TB, seed uint64) (*tensor.Set, *symmetry.Spec) {
	t.Helper()
	g, err := nets.Build("lenet-300-100", &nets.Options{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := symmetry.Derive(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g.Weights, spec
}

func shuffled(t testing.TB, set *tensor.Set, spec *symmetry.Spec, seed uint64) *tensor.Set {
	t.Helper()
	s, err := symmetry.Apply(spec, set, spec.Random(&symmetry.RandomOptions{Seed: seed, Scale: 0.7}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A marked copy that was shuffled, rescaled and damaged is read after alignment to the
// unmarked network, and not before.
func TestAlignThenRead(t *testing.T) {
	set, spec := lenet(t, 1)
	k := newKey(t, 1)
	e := embed(t, "keyed", set, k, nil)
	suspect := shuffled(t, noise(t, e.Set, 0.1, 1), spec, 2)
	if r := extract(t, suspect, set, k, e.Parameters); math.Abs(r.Z) > 4.5 {
		t.Errorf("without alignment: z = %.1f", r.Z)
	}
	a, err := Align(set, spec, suspect, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !a.Related || a.Matched != a.Neurons {
		t.Errorf("%d of %d neurons, related %v", a.Matched, a.Neurons, a.Related)
	}
	if r := extract(t, a.Set, set, k, e.Parameters); r.Z < 0.9*e.Parameters.Epsilon/0.1*math.Sqrt(float64(e.Cost.Weights)) {
		t.Errorf("aligned: z = %.1f", r.Z)
	}
}

// The trap: aligned to the marked weights, a network that has nothing to do with the key
// "carries" its mark, because of all orders the one was chosen in which it does. Align
// refuses to look at marked weights; aligned to the unmarked network, the stranger reads
// as absent.
func TestTrap(t *testing.T) {
	set, spec := lenet(t, 1)
	stranger, _ := lenet(t, 2)
	k := newKey(t, 1)
	e := embed(t, "keyed", set, k, &Options{Epsilon: 0.3, MaxChange: 1})
	own, err := align.FromSymmetry(spec)
	if err != nil {
		t.Fatal(err)
	}
	// What the program does not do. The order is kept also where the search itself says
	// that the two are unrelated.
	found, err := align.MatchNetworks(align.Network{Set: e.Set, Spec: own}, align.Network{Set: stranger, Spec: own}, &align.NetworkOptions{Hard: true})
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := align.Restore(spec, stranger, found)
	if err != nil {
		t.Fatal(err)
	}
	if r := extract(t, wrong, nil, k, e.Parameters); r.Z < 10 {
		t.Errorf("aligned to marked weights, the stranger reads z = %.1f: where is the trap?", r.Z)
	}
	if _, err := Align(e.Set, spec, stranger, &AlignOptions{Marked: e.Parameters.Tensors}); !errors.Is(err, ErrMarked) {
		t.Errorf("aligning to marked weights alone: %v", err)
	}
	a, err := Align(set, spec, stranger, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []*tensor.Set{nil, set} {
		r := extract(t, a.Set, ref, k, e.Parameters)
		if v := Judge(r, &Circumstances{Committed: true}); v.Present || math.Abs(r.Z) > 4.5 {
			t.Errorf("the stranger reads z = %.1f, log10 p %.1f", r.Z, v.Log10P)
		}
	}
}

// The pair of Find the Lady: the mark is in the layer that reads the neurons which were
// shuffled. BER about one half before, and 0 after alignment on the layer before, which
// carries no mark.
func TestUchidaAfterShuffle(t *testing.T) {
	set, spec := lenet(t, 1)
	k := newKey(t, 1)
	e := embed(t, "uchida", set, k, &Options{Only: []string{"fc2.weight"}, MaxChange: 0.3})
	suspect := shuffled(t, e.Set, spec, 3)
	before := extract(t, suspect, nil, k, e.Parameters)
	if *before.BER < 0.3 || *before.BER > 0.7 {
		t.Errorf("before: BER %.2f", *before.BER)
	}
	a, err := Align(e.Set, spec, suspect, &AlignOptions{Marked: e.Parameters.Tensors})
	if err != nil {
		t.Fatal(err)
	}
	if after := extract(t, a.Set, nil, k, e.Parameters); *after.Wrong != 0 {
		t.Errorf("after: BER %.2f", *after.BER)
	}
}
