package passport

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ropewalk/align"
	"ropewalk/checkpoint"
	"ropewalk/lineage"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// fashion is the network of the repository's test data.
func fashion(t *testing.T) lineage.Network {
	t.Helper()
	c, err := checkpoint.Open("../../testdata/fashion-cnn.onnx", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	spec, err := symmetry.Parse(fashionSpec)
	if err != nil {
		t.Fatal(err)
	}
	return lineage.Network{Set: c.Tensors, Spec: spec}
}

// fashionSpec is what symmetry.Derive says of it.
const fashionSpec = `group conv1.out: 16 × permutation × nonzero a × scale b —
    in conv1.weight[0]*a, param bn1.weight[0]*sign(a)*b, bn1.bias[0]*b, stat bn1.running_mean[0]*a,
    bn1.running_var[0]*a^2+1e-05, out conv2.weight[1]/b
group conv2.out: 32 × permutation × nonzero a × scale b —
    in conv2.weight[0]*a, param bn2.weight[0]*sign(a)*b, bn2.bias[0]*b, stat bn2.running_mean[0]*a,
    bn2.running_var[0]*a^2+1e-05, out conv3.weight[1]/b
group conv3.out: 64 × permutation × nonzero a × scale b —
    in conv3.weight[0]*a, param bn3.weight[0]*sign(a)*b, bn3.bias[0]*b, stat bn3.running_mean[0]*a,
    bn3.running_var[0]*a^2+1e-05, out fc1.weight[1:x9]/b
group fc1.out: 48 × permutation × scale a —
    in fc1.weight[0]*a, fc1.bias[0]*a, out fc2.weight[1]/a
`

// changedSet returns set with the numbers of matrices changed.
func changedSet(t *testing.T, set *tensor.Set, least int, change func(x []float32)) *tensor.Set {
	t.Helper()
	var list []*tensor.Tensor
	for _, x := range set.All() {
		if len(x.Shape) < least || !x.DType.Numeric() {
			continue
		}
		v := x.DType.AppendFloat32s(nil, must(x.Bytes()))
		change(v)
		list = append(list, &tensor.Tensor{Name: x.Name, DType: x.DType, Shape: x.Shape, Data: tensor.Bytes(x.DType.AppendFloats(nil, v))})
	}
	return must(tensor.Overlay(set, list...))
}

// one returns set with one number changed.
func one(set *tensor.Set, name string, at int, change func(x float32) float32) *tensor.Set {
	x := set.Lookup(name)
	v := x.DType.AppendFloat32s(nil, must(x.Bytes()))
	v[at] = change(v[at])
	return must(tensor.Overlay(set, &tensor.Tensor{Name: name, DType: x.DType, Shape: x.Shape, Data: tensor.Bytes(x.DType.AppendFloats(nil, v))}))
}

func deviation(x []float32) float64 {
	var s, q float64
	for _, v := range x {
		s += float64(v)
		q += float64(v) * float64(v)
	}
	n := float64(len(x))
	return math.Sqrt(q/n - s*s/n/n)
}

func noisy(seed uint64, omega float64) func(x []float32) {
	r := rand.New(rand.NewPCG(seed, 1))
	return func(x []float32) {
		s := omega * deviation(x)
		for i := range x {
			x[i] += float32(s * r.NormFloat64())
		}
	}
}

func pruned(share float64) func(x []float32) {
	return func(x []float32) {
		m := slices.Clone(x)
		for i, v := range m {
			m[i] = max(v, -v)
		}
		slices.Sort(m)
		k := m[int(share*float64(len(m)))]
		for i, v := range x {
			if max(v, -v) < k {
				x[i] = 0
			}
		}
	}
}

func gridded(bits int) func(x []float32) {
	return func(x []float32) {
		s := (math.Exp2(float64(bits)) - 1) / (float64(slices.Max(x)) - float64(slices.Min(x)))
		for i, v := range x {
			x[i] = float32(math.Round(float64(v)*s) / s)
		}
	}
}

// Each rung of the ladder, by what was done.
func TestCompare(t *testing.T) {
	n := fashion(t)
	p := made(n, nil)
	moved := func(set *tensor.Set, sigma float64) *tensor.Set {
		e := n.Spec.Random(&symmetry.RandomOptions{Seed: 8, Scale: sigma, Signs: sigma > 0})
		return must(symmetry.Apply(n.Spec, set, e))
	}
	keep := func(x float32) float32 { return x }
	cases := []struct {
		name    string
		set     func() *tensor.Set
		verdict lineage.Verdict
		kinds   []lineage.Kind
	}{
		{"nothing", func() *tensor.Set { return one(n.Set, "fc1.weight", 0, keep) }, lineage.SameWeights, nil},
		{"moved", func() *tensor.Set { return moved(n.Set, 0) }, lineage.Reordered, []lineage.Kind{lineage.Reorder}},
		{"rescaled", func() *tensor.Set { return moved(n.Set, 0.5) }, lineage.Rescaled, []lineage.Kind{lineage.Reorder, lineage.Rescale, lineage.SignFlip}},
		{"pruned", func() *tensor.Set { return moved(changedSet(t, n.Set, 2, pruned(0.9)), 0) }, lineage.Pruned, []lineage.Kind{lineage.Reorder, lineage.Prune}},
		{"quantized", func() *tensor.Set { return moved(changedSet(t, n.Set, 2, gridded(4)), 0) }, lineage.Reencoded, []lineage.Kind{lineage.Reorder, lineage.Quantize}},
		{"quantized in place", func() *tensor.Set { return changedSet(t, n.Set, 2, gridded(4)) }, lineage.Reencoded, []lineage.Kind{lineage.Quantize}},
		{"pruned and quantized", func() *tensor.Set {
			return moved(changedSet(t, changedSet(t, n.Set, 2, pruned(0.5)), 2, gridded(6)), 0)
		}, lineage.Pruned, []lineage.Kind{lineage.Reorder, lineage.Prune, lineage.Quantize}},
		{"noise", func() *tensor.Set { return moved(changedSet(t, n.Set, 2, noisy(1, 0.2)), 0) }, lineage.Modified, []lineage.Kind{lineage.Reorder, lineage.Noise}},
		{"faint noise", func() *tensor.Set { return moved(changedSet(t, n.Set, 2, noisy(1, 0.001)), 0) }, lineage.Modified, []lineage.Kind{lineage.Reorder, lineage.Noise}},
		{"one weight", func() *tensor.Set {
			return moved(one(n.Set, "conv3.weight", 777, func(x float32) float32 { return x + 0.01 }), 0)
		}, lineage.Modified, []lineage.Kind{lineage.Reorder, lineage.Edited}},
		{"one bias", func() *tensor.Set {
			return one(n.Set, "fc2.bias", 3, func(x float32) float32 { return math.Nextafter32(x, 9) })
		}, lineage.Modified, []lineage.Kind{lineage.Edited}},
		{"cast", func() *tensor.Set {
			var list []*tensor.Tensor
			for _, x := range n.Set.All() {
				if x.DType.Numeric() {
					list = append(list, tensor.Cast(x, tensor.BF16))
				}
			}
			return must(tensor.Overlay(n.Set, list...))
		}, lineage.Reencoded, []lineage.Kind{lineage.Cast}},
		{"another", func() *tensor.Set {
			return changedSet(t, n.Set, 1, func(x []float32) {
				r := rand.New(rand.NewPCG(5, uint64(len(x))))
				for i := range x {
					x[i] = float32(0.1 + math.Abs(0.1*r.NormFloat64()))
				}
			})
		}, lineage.Unrelated, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := Compare(context.Background(), p, lineage.Network{Set: c.set()}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var kinds []lineage.Kind
			var words []string
			for _, x := range got.Changes {
				kinds = append(kinds, x.Kind)
				words = append(words, x.Text)
			}
			for _, d := range got.Tensors {
				if !d.Equal {
					t.Logf("%s rounding %v relative %.2g slope %.3f changed %d zeros %.2f levels %d", d.Name, d.Rounding, d.Relative, d.Slope, d.Changed, d.Zeros, d.Levels)
				}
			}
			if got.Verdict != c.verdict || !slices.Equal(kinds, c.kinds) {
				t.Errorf("%s (%s), want %s %v", got.Verdict, strings.Join(words, ", "), c.verdict, c.kinds)
			}
			if same := got.Function.Same == "yes"; same != (c.verdict == lineage.SameWeights || c.verdict == lineage.Reordered) {
				t.Errorf("the same function: %+v", got.Function)
			}
			if strings.Contains(c.name, "noise") {
				want := 0.2
				if c.name == "faint noise" {
					want = 0.001
				}
				if s := got.Changes[len(got.Changes)-1].Strength; math.Abs(s/want-1) > 0.25 {
					t.Errorf("noise of %v looks like %v", want, s)
				}
			}
			if c.name == "pruned" {
				if s := got.Changes[1].Share; math.Abs(s-0.9) > 0.01 {
					t.Errorf("pruned by 90 %%, it looks like %v", s)
				}
			}
			if c.name == "one weight" {
				for _, e := range got.Edits {
					if e.Tensor != "conv3.weight" || e.Group == "conv3.out" && e.Neuron != 777/288 || e.Group == "conv2.out" && e.Neuron != 777%288/9 {
						t.Errorf("edited: %+v", e)
					}
				}
				if len(got.Edits) != 2 {
					t.Errorf("%d edits, want its row and its column", len(got.Edits))
				}
			}
		})
	}
}

// Suspects that cannot be compared are no relatives, unless tensors are equal.
func TestCompareMisfits(t *testing.T) {
	n := small(1)
	p := made(n, nil)
	var half []*tensor.Tensor
	for _, x := range n.Set.All() {
		if !strings.HasPrefix(x.Name, "conv") {
			half = append(half, x)
		}
	}
	c := must(Compare(context.Background(), p, lineage.Network{Set: must(tensor.NewSet(half...))}, nil))
	if c.Verdict != lineage.PartlyDerived || c.Changes[0].Kind != lineage.MissingTensor {
		t.Errorf("%s, %+v", c.Verdict, c.Changes)
	}
	if _, err := Compare(context.Background(), p, lineage.Network{Set: must(tensor.NewSet())}, nil); !errors.Is(err, ErrMisfit) {
		t.Errorf("nothing: %v", err)
	}
	bad := one(n.Set, "fc1.bias", 2, func(float32) float32 { return float32(math.Inf(1)) })
	if _, err := Compare(context.Background(), p, lineage.Network{Set: bad}, nil); !errors.Is(err, ErrNumbers) {
		t.Errorf("infinite: %v", err)
	}
	files := n
	files.Files = map[string]string{"a": "b"}
	q := made(files, nil)
	if c := must(Compare(context.Background(), q, files, nil)); c.Verdict != lineage.Identical {
		t.Errorf("the same files: %s", c.Verdict)
	}
	other := lineage.Network{Set: n.Set, Files: map[string]string{"c": "d"}}
	if c := must(Compare(context.Background(), q, other, nil)); c.Verdict != lineage.SameWeights || c.Changes[0].Kind != lineage.Container {
		t.Errorf("other files: %s %+v", c.Verdict, c.Changes)
	}
}

// The closest passport comes first.
func TestHold(t *testing.T) {
	var all []*Passport
	for seed := range uint64(6) {
		all = append(all, made(small(seed), nil))
	}
	n := small(3)
	e := n.Spec.Random(&symmetry.RandomOptions{Seed: 1})
	for _, m := range e {
		m.Factors = nil
	}
	moved := must(symmetry.Apply(n.Spec, n.Set, e))
	for name, c := range map[string]struct {
		set  *tensor.Set
		want Relation
	}{
		"same":  {n.Set, SameWeights},
		"moved": {moved, SameNumbers},
		"noise": {changedSet(t, moved, 2, noisy(1, 0.1)), Related},
	} {
		s := must(NewSuspect(context.Background(), c.set, 0, 0))
		best := 0
		var kin []*Kinship
		for i, p := range all {
			k := must(s.Hold(context.Background(), p))
			kin = append(kin, k)
			if k.Before(kin[best]) {
				best = i
			}
			if i != 3 && k.Relation != Unrelated {
				t.Errorf("%s: %d is %+v", name, i, k)
			}
		}
		if best != 3 || kin[3].Relation != c.want {
			t.Errorf("%s: the closest is %d, %+v, want %s", name, best, kin[best], c.want)
		}
	}
	if _, err := NewSuspect(context.Background(), n.Set, 0, 10); !errors.Is(err, align.ErrMemory) {
		t.Errorf("no memory: %v", err)
	}
}
