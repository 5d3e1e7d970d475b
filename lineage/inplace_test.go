package lineage

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"ropewalk/tensor"
)

// planted returns tensors of some layers, with what networks have in common: norms around
// one, kernels that are strong in the middle, rows of different lengths, low rank.
func planted(t *testing.T, seed uint64, change func(x float64, r *rand.Rand) float64) *tensor.Set {
	t.Helper()
	r, other := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
	var list []*tensor.Tensor
	add := func(name string, shape tensor.Shape, at func(i int) float64) {
		n, _ := shape.Elems()
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(at(i))
			if change != nil {
				x[i] = float32(change(float64(x[i]), other))
			}
		}
		list = append(list, &tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
	}
	add("kernel", tensor.Shape{16, 3, 3, 3}, func(i int) float64 { return 0.2*r.NormFloat64() + map[bool]float64{true: 0.3}[i%9 == 4] })
	u, v := make([]float64, 24), make([]float64, 32)
	for i := range u {
		u[i] = r.NormFloat64()
	}
	for i := range v {
		v[i] = r.NormFloat64()
	}
	add("rank", tensor.Shape{24, 32}, func(i int) float64 { return u[i/32]*v[i%32] + 0.1*r.NormFloat64() })
	add("full", tensor.Shape{32, 40}, func(i int) float64 { return r.NormFloat64() * (0.1 + float64(i/40)/32) })
	add("norm", tensor.Shape{32}, func(int) float64 { return 1 + 0.1*r.NormFloat64() })
	set, err := tensor.NewSet(list...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Strangers are not related where nothing can move, and copies that were damaged are.
func TestInPlace(t *testing.T) {
	ref := planted(t, 1, nil)
	most := 0.0
	for seed := range uint64(300) {
		related, evidence, err := inPlace(ref, planted(t, 2+seed, nil))
		if err != nil {
			t.Fatal(err)
		}
		if related {
			t.Errorf("seed %d: strangers count as related, with an evidence of e^%.1f", seed, evidence)
		}
		most = max(most, evidence)
	}
	t.Logf("at most e^%.1f of 300 strangers", most)
	for name, change := range map[string]func(x float64, r *rand.Rand) float64{
		"the same":   nil,
		"noise":      func(x float64, r *rand.Rand) float64 { return x + 0.5*r.NormFloat64() },
		"pruned":     func(x float64, r *rand.Rand) float64 { return x * float64(r.IntN(10)/9) },
		"one edited": func(x float64, r *rand.Rand) float64 { return x + float64(r.IntN(3000)/2999) },
		"rescaled":   func(x float64, _ *rand.Rand) float64 { return 100 * x },
	} {
		related, evidence, err := inPlace(ref, planted(t, 1, change))
		if err != nil || !related {
			t.Errorf("%s: not related, with an evidence of e^%.1f (%v)", name, evidence, err)
		}
	}
}

// Small networks and odd shapes are no reason to divide by zero.
func TestInPlaceSmall(t *testing.T) {
	for _, shape := range []tensor.Shape{{}, {1}, {0, 3}, {1, 1}, {1, 7}, {7, 1}, {2, 2}} {
		n, _ := shape.Elems()
		for _, fill := range []float32{0, 1} {
			x := make([]float32, n)
			for i := range x {
				x[i] = fill
			}
			set, err := tensor.NewSet(&tensor.Tensor{Name: "w", DType: tensor.F32, Shape: shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
			if err != nil {
				t.Fatal(err)
			}
			if related, evidence, err := inPlace(set, set); related || evidence != 0 || err != nil {
				t.Error(fmt.Sprint(shape, fill), related, evidence, err)
			}
		}
	}
}
