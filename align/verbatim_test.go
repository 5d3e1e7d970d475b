package align

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"ropewalk/graph/nets"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// perceptron returns a network of random weights, and its symmetries.
func perceptron(t *testing.T, seed uint64) (*symmetry.Spec, *tensor.Set) {
	t.Helper()
	g, err := nets.Build("lenet-300-100", &nets.Options{Seed: seed, Input: tensor.Shape{1, 8, 8}, Widths: []int64{80, 40}})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := symmetry.Derive(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	return spec, g.Weights
}

// stolen returns a stranger some of whose neurons read with the weights of ref: of each tensor of
// two axes, the first rows.
func stolen(t *testing.T, ref, other *tensor.Set, rows int) *tensor.Set {
	t.Helper()
	return changed(t, other, func(x *tensor.Tensor, v []float32) {
		if len(x.Shape) == 2 && x.Shape[0] > 10 {
			copy(v, must(ref.Lookup(x.Name).Float32s())[:rows*int(x.Shape[1])])
		}
	})
}

// Neurons that a stranger has taken are found, whatever their order, their signs and the factors of
// those that read what was not moved; all others are not.
func TestVerbatimFindsWhatWasTaken(t *testing.T) {
	const rows = 4
	spec, ref := perceptron(t, 1)
	_, other := perceptron(t, 2)
	suspect := stolen(t, ref, other, rows)
	for _, c := range []struct {
		name  string
		o     symmetry.RandomOptions
		layer []int // how many are found in each
	}{
		{"shuffled", symmetry.RandomOptions{Seed: 3}, []int{rows, rows}},
		{"rescaled", symmetry.RandomOptions{Seed: 4, Scale: 0.7}, []int{rows, 0}}, // columns of the second layer have factors of their own
	} {
		e, sus := shuffled(t, spec, suspect, &c.o)
		found := unknown(spec)
		v, err := found.FindVerbatim(spec, ref, sus)
		if err != nil {
			t.Fatal(err)
		}
		if want := c.layer[0] + c.layer[1]; v.Neurons != want || v.Tested != 120 || v.Log10P > -100*float64(want) {
			t.Errorf("%s: %d of %d neurons, log10 p %g; want %d of 120, and less than 10^-%d", c.name, v.Neurons, v.Tested, v.Log10P, want, 100*want)
		}
		found.PutVerbatim(v)
		for k := range found.Classes {
			x := &found.Classes[k]
			for i := range c.layer[k] {
				if at := slices.Index(e[x.Name].Order, i); x.Sus[i] != at || x.Certainty[i] != 1 {
					t.Errorf("%s: neuron %d of %s is said to be %d with certainty %g, want %d", c.name, i, x.Name, x.Sus[i], x.Certainty[i], at)
				}
			}
		}
	}
}

// Nothing is found in strangers, nor where levels are few, nor of neurons that others read like.
func TestVerbatimIsNoChance(t *testing.T) {
	spec, ref := perceptron(t, 1)
	_, other := perceptron(t, 2)
	r := rand.New(rand.NewPCG(5, 5))
	few := func(set *tensor.Set) *tensor.Set {
		return changed(t, set, func(_ *tensor.Tensor, v []float32) {
			for i := range v {
				v[i] = float32(r.IntN(4)) - 1.5
			}
		})
	}
	twins := changed(t, ref, func(x *tensor.Tensor, v []float32) {
		if len(x.Shape) == 2 {
			n := int(x.Shape[1])
			for at := n; at < len(v); at += n {
				copy(v[at:], v[:n])
			}
		}
	})
	noisy := changed(t, ref, func(_ *tensor.Tensor, v []float32) {
		for i := range v {
			v[i] *= 1 + 1e-3*float32(r.NormFloat64())
		}
	})
	empty := changed(t, ref, func(_ *tensor.Tensor, v []float32) { clear(v) })
	levels := few(ref)
	for _, c := range []struct {
		name     string
		ref, sus *tensor.Set
		tested   int
	}{
		{"a stranger", ref, other, 120},
		{"few levels", levels, levels, 0},
		{"all neurons alike", twins, twins, 120},
		{"noise", ref, noisy, 120},
		{"zeros", empty, empty, 0},
	} {
		v, err := unknown(spec).FindVerbatim(spec, c.ref, c.sus)
		if err != nil || v.Neurons != 0 || v.Log10P != 0 || v.Tested != c.tested {
			t.Errorf("%s: %d of %d neurons, log10 p %g, %v; want none of %d", c.name, v.Neurons, v.Tested, v.Log10P, err, c.tested)
		}
	}
}

// The bound of a pair grows with the pairs there are, and never says more than nothing.
func TestVerbatimBound(t *testing.T) {
	if p, q := chance(64, 10, 10), chance(64, 1000, 1000); math.Abs(q-p-4) > 1e-9 || q > -200 {
		t.Errorf("10^%g for a hundred pairs, 10^%g for a million", p, q)
	}
	if p := chance(1<<20, 1, 1); p > 0 {
		t.Errorf("a probability of 10^%g", p)
	}
}
