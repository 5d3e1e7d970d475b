package lineage

import (
	"bytes"
	"testing"

	"ropewalk/graph/nets"
	"ropewalk/symmetry"
)

// What preserves the function is undone, bit for bit; what was edited stays as the suspect has it,
// also where it made the factors of the match a compromise.
func TestRepair(t *testing.T) {
	l := newLab(trained(must(nets.Build("lenet5", &nets.Options{Seed: 4})), 4))
	g := &l.spec.Groups[0]
	name := g.Places[0].Tensor
	x := values(l.set, name)
	slab(dimsOf(l.set.Lookup(name)), &g.Places[0], 2, func(k int) { x[k] *= 3 })
	edited := with(l.set, name, x)
	e := l.spec.Random(&symmetry.RandomOptions{Seed: 8, Scale: 0.7, Signs: true, Powers: true})
	sus := must(symmetry.Apply(l.spec, edited, e))
	got, _ := l.find(t, sus)
	fixed, err := Repair(l.spec, sus, got.Match)
	if err != nil {
		t.Fatal(err)
	}
	if len(fixed.Uncertain)+len(fixed.Unscaled) > 0 || fixed.Moved == 0 {
		t.Errorf("%+v", fixed)
	}
	for i, w := range edited.All() {
		if !bytes.Equal(must(w.Bytes()), must(fixed.Set.At(i).Bytes())) {
			t.Errorf("%s is not as it was before it was shuffled and rescaled", w.Name)
		}
	}
}
