package lineage

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/graph/nets"
	"ropewalk/internal/randomnet"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// A forgery is an edit that was made.
type forgery struct {
	what, tensor, group string
	neuron              int
}

// forge edits a neuron, or says no where that shows nothing.
func (l *lab) forge(set *tensor.Set, r *rand.Rand) (*tensor.Set, *forgery) {
	g := &l.spec.Groups[r.IntN(len(l.spec.Groups))]
	p := &g.Places[r.IntN(len(g.Places))]
	i, j := r.IntN(g.Size), r.IntN(g.Size)
	if p.Tensors != nil || i == j {
		return nil, nil
	}
	dims := dimsOf(set.Lookup(p.Tensor))
	old, x := values(set, p.Tensor), values(set, p.Tensor)
	var own, other []int
	slab(dims, p, i, func(k int) { own = append(own, k) })
	slab(dims, p, j, func(k int) { other = append(other, k) })
	f := &forgery{tensor: p.Tensor, group: g.Name, neuron: i}
	switch f.what = []string{EditNorm, EditSign, EditSwapped, EditCopied, EditRow, EditWeight}[r.IntN(6)]; f.what {
	case EditNorm:
		factor := float32([]float64{0.5, 1.5, 3}[r.IntN(3)])
		for _, k := range own {
			x[k] *= factor
		}
	case EditSign:
		for _, k := range own {
			x[k] = -x[k]
		}
	case EditSwapped:
		for n, k := range own {
			x[k], x[other[n]] = x[other[n]], x[k]
		}
	case EditCopied:
		for n, k := range own {
			x[k] = x[other[n]]
		}
	case EditRow:
		for _, k := range own {
			x[k] = float32(0.3 + r.Float64())
		}
	case EditWeight:
		x[own[r.IntN(len(own))]] += 0.25
	}
	if slices.Equal(old, x) || slices.Min(x) <= 0 && p.Epsilon > 0 {
		return nil, nil
	}
	return with(set, p.Tensor, x), f
}

// explains reports whether an edit is one that was made, or, where a neuron has so few places that
// another is as good an explanation, one of the same neuron.
func (f *forgery) explains(e *Edit) bool {
	return e.Tensor == f.tensor || e.Group == f.group && (e.Neuron == f.neuron || e.Other == f.neuron)
}

// named checks that each edit that was made is named, and nothing else.
func named(forged []*forgery, got *editReport) error {
	for _, f := range forged {
		if !slices.ContainsFunc(got.Edits, func(e Edit) bool { return f.explains(&e) }) {
			return fmt.Errorf("%+v is not named", f)
		}
	}
	for _, e := range got.Edits {
		if !slices.ContainsFunc(forged, func(f *forgery) bool { return f.explains(&e) }) {
			return fmt.Errorf("%s is named, which nobody did", e.Text)
		}
	}
	return nil
}

// One edit, or two, of a network that is shuffled, rescaled and has signs turned are named,
// and nothing else is.
func TestEditKinds(t *testing.T) {
	trials := 4
	if os.Getenv("ROPEWALK_TABLES") != "" {
		trials = 40
	}
	g := trained(must(nets.Build("resnet20", &nets.Options{Seed: 3})), 3)
	l := newLab(g)
	r := rand.New(rand.NewPCG(5, 5))
	kinds := map[string]int{}
	for trial := 0; trial < trials; {
		set := l.set
		var forged []*forgery
		for range 1 + trial%2 {
			if s, f := l.forge(set, r); f != nil {
				set, forged = s, append(forged, f)
			}
		}
		if len(forged) == 0 {
			continue
		}
		o := &symmetry.RandomOptions{Seed: r.Uint64()}
		if trial%4 > 1 {
			o.Scale, o.Signs = 0.5, true
		}
		sus := must(symmetry.Apply(l.spec, set, must(l.spec.Fit(set, l.spec.Random(o)))))
		got, _ := l.find(t, sus)
		if err := named(forged, got); err != nil {
			for _, f := range forged {
				t.Logf("made: %+v", *f)
			}
			t.Errorf("trial %d, %+v: %v%s", trial, *o, err, texts(got.Edits))
		}
		for _, f := range forged {
			kinds[f.what]++
		}
		trial++
	}
	t.Log(kinds)
}

// The same of small random networks, whose neurons stay where they are.
func TestEditRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLab(randomnet.Draw(t))
		if !told(l) {
			t.Skip("so small that it cannot be told even from itself")
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "edit"), 1))
		sus, f := l.forge(l.set, r)
		if f == nil || f.what == EditSwapped {
			t.Skip("nothing was changed")
		}
		got, m := l.find(t, sus)
		if got.Damaged || len(got.Unsettled) > 0 {
			t.Skip("one edit is most of so small a network")
		}
		if err := named([]*forgery{f}, got); err != nil {
			// The running network is the judge: what reads zeros may be anything.
			edited := *l.g
			edited.Weights = sus
			if _, changed := symmetry.Compare(l.g, &edited, &symmetry.VerifyOptions{Tolerance: 1e-12}); len(got.Edits) == 0 && changed == nil {
				t.Skip("the function is the same")
			}
			t.Fatalf("%+v: %v%s\n%v\n%s", *f, err, texts(got.Edits), l.spec, orders(l, m, symmetry.Element{}))
		}
	})
}
