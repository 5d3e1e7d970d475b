package align

import (
	"math/rand/v2"
	"slices"
	"testing"

	"ropewalk/graph/nets"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// keyedNetwork returns a network with batch norms whose numbers are all different, as training
// leaves them.
func keyedNetwork(t *testing.T, seed uint64) (*symmetry.Spec, *tensor.Set) {
	t.Helper()
	g, err := nets.Build("resnet20", &nets.Options{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := symmetry.Derive(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 1))
	return spec, changed(t, g.Weights, func(x *tensor.Tensor, v []float32) {
		if len(x.Shape) == 1 {
			for i := range v {
				v[i] = float32(0.5 + r.ExpFloat64())
			}
		}
	})
}

// changed returns a set with the values of tensors changed.
func changed(t *testing.T, set *tensor.Set, f func(x *tensor.Tensor, v []float32)) *tensor.Set {
	t.Helper()
	var list []*tensor.Tensor
	for _, x := range set.All() {
		if x.DType == tensor.F32 {
			v, err := x.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			f(x, v)
			x = &tensor.Tensor{Name: x.Name, DType: x.DType, Shape: x.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, v))}
		}
		list = append(list, x)
	}
	return must(tensor.NewSet(list...))
}

// shuffled returns a set with its neurons moved and multiplied at random, and how.
func shuffled(t *testing.T, spec *symmetry.Spec, set *tensor.Set, o *symmetry.RandomOptions) (symmetry.Element, *tensor.Set) {
	t.Helper()
	e, err := spec.Fit(set, spec.Random(o))
	if err != nil {
		t.Fatal(err)
	}
	out, err := symmetry.Apply(spec, set, e)
	if err != nil {
		t.Fatal(err)
	}
	return e, out
}

// unknown returns a match in which nothing is known.
func unknown(spec *symmetry.Spec) *NetworkResult {
	r := &NetworkResult{}
	for i := range spec.Groups {
		g := &spec.Groups[i]
		n := make([]int, g.Size)
		for k := range n {
			n[k] = k
		}
		m, err := NewMatching(n, g.Size)
		if err != nil {
			panic(err)
		}
		c := ClassResult{Name: g.Name, Result: Result{Matching: *m, Certainty: make([]float64, g.Size)}}
		for range g.Factors {
			c.Scale = append(c.Scale, slices.Repeat([]float64{1}, g.Size))
		}
		r.Classes = append(r.Classes, c)
	}
	return r
}

// Norms and statistics tell all neurons of a network that was shuffled and rescaled, with all
// other weights replaced by noise; and none of a stranger's.
func TestKeysTellNeuronsWhateverBecameOfTheirWeights(t *testing.T) {
	spec, ref := keyedNetwork(t, 1)
	r := rand.New(rand.NewPCG(2, 2))
	ruined := changed(t, ref, func(x *tensor.Tensor, v []float32) {
		if len(x.Shape) > 1 {
			for i := range v {
				v[i] = float32(r.NormFloat64())
			}
		}
	})
	e, sus := shuffled(t, spec, ruined, &symmetry.RandomOptions{Seed: 3, Scale: 0.7, Signs: true})
	found := unknown(spec)
	told, all, err := found.ByKeys(spec, ref, sus)
	if err != nil || told != all || all == 0 {
		t.Fatalf("%d of %d neurons are in groups that are told, %v; want all", told, all, err)
	}
	for _, c := range found.Classes {
		for at, i := range e[c.Name].Order {
			if c.Sus[i] != at || c.Ref[at] != i || c.Certainty[i] != 1 {
				t.Fatalf("%s: neuron %d is said to be %d with certainty %v, want %d", c.Name, i, c.Sus[i], c.Certainty[i], at)
			}
		}
	}

	_, other := keyedNetwork(t, 4)
	if told, _, err := unknown(spec).ByKeys(spec, ref, other); err != nil || told != 0 {
		t.Errorf("%d neurons of a stranger are told, %v", told, err)
	}
}

// Numbers that many neurons share, as those of norms that were never trained, tell nobody, and
// do not change what is known.
func TestKeysThatAreNotUniqueTellNothing(t *testing.T) {
	spec, ref := keyedNetwork(t, 1)
	flat := changed(t, ref, func(x *tensor.Tensor, v []float32) {
		if len(x.Shape) == 1 {
			for i := range v {
				v[i] = 1
			}
		}
	})
	if told, _, err := unknown(spec).ByKeys(spec, flat, flat); err != nil || told != 0 {
		t.Errorf("%d neurons are told, %v", told, err)
	}
}

// What a known partner takes from others is given to those who are left without one.
func TestPlaceKeepsAMatching(t *testing.T) {
	m, err := NewMatching([]int{1, 0, 2, 3}, 4)
	if err != nil {
		t.Fatal(err)
	}
	c := &ClassResult{Result: Result{Matching: *m, Certainty: []float64{1, 1, 1, 1}, Scale: [][]float64{{2, 3, 4, 5}}}}
	c.place([]int{2, -1, -1, 3})
	if want := []int{2, 0, 1, 3}; !slices.Equal(c.Sus, want) {
		t.Errorf("the partners are %v, want %v", c.Sus, want)
	}
	if want := []int{1, 2, 0, 3}; !slices.Equal(c.Ref, want) {
		t.Errorf("the inverse is %v, want %v", c.Ref, want)
	}
	if want := []float64{1, 1, 0, 1}; !slices.Equal(c.Certainty, want) {
		t.Errorf("certainties are %v, want %v", c.Certainty, want)
	}
	if c.Scale[0][0] != 1 || c.Scale[0][3] != 5 {
		t.Errorf("factors are %v: that of a new partner is not known, and others stay", c.Scale[0])
	}
}

// A combination of powers that cancels leaves nothing of any factor.
func TestCancelling(t *testing.T) {
	rows := [][]float64{{0, 1}, {0, 1}, {1, 0}, {2, 0}} // a batch norm: weight, bias, mean, variance
	list := cancelling(rows)
	if len(list) != 2 {
		t.Fatalf("%d combinations, want 2", len(list))
	}
	for _, c := range list {
		for f := range rows[0] {
			sum := 0.0
			for p, v := range c {
				sum += v * rows[p][f]
			}
			if sum != 0 || !slices.ContainsFunc(c, func(v float64) bool { return v != 0 }) {
				t.Errorf("%v leaves %v of factor %d", c, sum, f)
			}
		}
	}
}
