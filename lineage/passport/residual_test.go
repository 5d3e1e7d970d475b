package passport

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"ropewalk/lineage"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// wide is a network of two layers whose rows are longer than sketches.
func wide(seed uint64) lineage.Network {
	r := rand.New(rand.NewPCG(seed, 3))
	set := must(tensor.NewSet(
		gaussian(r, "a.weight", tensor.F32, 300, 1024), gaussian(r, "a.bias", tensor.F32, 300),
		gaussian(r, "b.weight", tensor.F32, 700, 300)))
	spec := must(symmetry.Parse("group a.out: 300 × permutation × scale a — in a.weight[0]*a, a.bias[0]*a, out b.weight[1]/a\n"))
	return lineage.Network{Set: set, Spec: spec}
}

// coins are ±1 for each number of a tensor.
func coins(r *rand.Rand, n int) []float32 {
	k := make([]float32, n)
	for i := range k {
		k[i] = 1 - 2*float32(r.IntN(2))
	}
	return k
}

// reading is z of signs.
func reading(signs, y []float32) float64 {
	dot, energy := 0.0, 0.0
	for i, v := range y {
		dot += float64(signs[i]) * float64(v)
		energy += float64(v) * float64(v)
	}
	return dot / math.Sqrt(energy)
}

// Signs that were added to the weights stand out of the residual by √(B/d) of what they do
// out of the weights themselves, also after a shuffle and a rescaling; all other signs are
// chance.
func TestResidual(t *testing.T) {
	const epsilon, noise = 0.05, 0.2
	n := wide(1)
	p := made(n, nil)
	r := rand.New(rand.NewPCG(5, 5))
	marks := map[string][]float32{}
	var list []*tensor.Tensor
	for _, name := range []string{"a.weight", "b.weight"} {
		x := n.Set.Lookup(name)
		v := x.DType.AppendFloat32s(nil, must(x.Bytes()))
		sd := deviation(v)
		marks[name] = coins(r, len(v))
		for i := range v {
			v[i] += float32(sd) * (epsilon*marks[name][i] + noise*float32(r.NormFloat64()))
		}
		list = append(list, &tensor.Tensor{Name: name, DType: x.DType, Shape: x.Shape, Data: tensor.Bytes(x.DType.AppendFloats(nil, v))})
	}
	marked := must(tensor.Overlay(n.Set, list...))
	suspect := must(symmetry.Apply(n.Spec, marked, n.Spec.Random(&symmetry.RandomOptions{Seed: 4, Scale: 0.7})))
	set, found, err := Restore(t.Context(), p, suspect, nil)
	if err != nil || !found.Related {
		t.Fatalf("%v, related %v", err, found != nil && found.Related)
	}
	for name, k := range marks {
		x := set.Lookup(name)
		y := must(p.Residual(x, epsilon*deviation(x.DType.AppendFloat32s(nil, must(x.Bytes())))))
		want := epsilon / math.Hypot(epsilon, noise) * math.Sqrt(float64(len(k))*p.Share(name))
		if z := reading(k, y); z < 0.8*want || z > 1.3*want {
			t.Errorf("%s: z is %.1f, want about %.1f, of a share of %.3f", name, z, want, p.Share(name))
		}
		sum, squares := 0.0, 0.0
		const keys = 300
		for range keys {
			z := reading(coins(r, len(k)), y)
			sum += z
			squares += z * z
			if math.Abs(z) > 5 {
				t.Errorf("%s: other signs read z = %.1f", name, z)
			}
		}
		if mean, sd := sum/keys, math.Sqrt(squares/keys); math.Abs(mean) > 0.25 || sd < 0.85 || sd > 1.15 {
			t.Errorf("%s: z of other signs has mean %.2f and deviation %.2f", name, mean, sd)
		}
	}
}

// A stranger is read as it is, and what does not fit is told.
func TestResidualRefusals(t *testing.T) {
	n := wide(1)
	p := made(n, nil)
	set, found, err := Restore(t.Context(), p, wide(2).Set, nil)
	if err != nil || found.Related || set == nil {
		t.Errorf("a stranger: %v, %+v", err, found)
	}
	x := n.Set.Lookup("a.weight")
	for _, c := range []struct {
		name string
		t    *tensor.Tensor
		want error
	}{
		{"none", nil, ErrNothingKept},
		{"a vector", n.Set.Lookup("a.bias"), ErrNothingKept},
		{"another name", &tensor.Tensor{Name: "c", DType: x.DType, Shape: x.Shape, Data: x.Data}, ErrNothingKept},
		{"another shape", &tensor.Tensor{Name: x.Name, DType: x.DType, Shape: tensor.Shape{1024, 300}, Data: x.Data}, ErrMisfit},
		{"no number", one(n.Set, "a.weight", 7, func(float32) float32 { return float32(math.NaN()) }).Lookup("a.weight"), ErrMisfit},
	} {
		if _, err := p.Residual(c.t, 1); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if s := p.Share("a.bias"); s != 1 { // single numbers are kept
		t.Errorf("the share of a vector is %v", s)
	}
	if s := p.Share("nothing"); s != 0 {
		t.Errorf("the share of nothing is %v", s)
	}
}
