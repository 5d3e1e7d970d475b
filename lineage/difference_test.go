package lineage

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/internal/randomnet"
	"ropewalk/tensor"
)

// tensorOf makes a tensor of type F32.
func tensorOf(name string, x []float64, shape ...int64) *tensor.Tensor {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return &tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, y))}
}

// normals draws n numbers.
func normals(seed uint64, n int, sigma float64) []float64 {
	r := rand.New(rand.NewPCG(seed, 9))
	x := make([]float64, n)
	for i := range x {
		x[i] = float64(float32(sigma * r.NormFloat64()))
	}
	return x
}

func mustExamine(t testing.TB, ref, back, own *tensor.Tensor, o examineOptions) (*TensorDifference, *residual) {
	t.Helper()
	d, r, err := examine(ref, back, own, o)
	if err != nil {
		t.Fatal(err)
	}
	return d, r
}

func TestExamineEqual(t *testing.T) {
	x := tensorOf("w", normals(1, 600, 1), 20, 30)
	d, r := mustExamine(t, x, x, x, examineOptions{})
	if !d.Equal || d.Rounding || d.Changed != 0 || d.Levels != 600 || d.ReferenceLevels != 600 || d.RowLevels != 30 {
		t.Errorf("an equal tensor is %+v", d)
	}
	if c := damages([]examined{{d, r}}); len(c) > 0 {
		t.Errorf("an equal tensor has the damage %v", c)
	}
}

// A single weight that is off by one unit in the last place is a change; where factors
// were taken back, it is rounding.
func TestExamineLargest(t *testing.T) {
	a := normals(1, 600, 1)
	b := slices.Clone(a)
	b[7*30+4] = float64(math.Nextafter32(float32(b[7*30+4]), 10))
	x, y := tensorOf("w", a, 20, 30), tensorOf("w", b, 20, 30)
	d, r := mustExamine(t, x, y, y, examineOptions{ownAt: func(i []int) []int { return []int{19 - i[0], i[1]} }})
	if d.Equal || d.Rounding || d.Changed != 1 || !slices.Equal(d.At, []int{7, 4}) || !slices.Equal(d.OwnAt, []int{12, 4}) {
		t.Errorf("a weight that is one unit off: %+v", d)
	}
	if want := b[7*30+4] - a[7*30+4]; d.Largest != want {
		t.Errorf("the largest difference is %g, want %g", d.Largest, want)
	}
	if c := damages([]examined{{d, r}}); len(c) > 0 {
		t.Errorf("a weight that is one unit off has the damage %v", c)
	}
	d, _ = mustExamine(t, x, y, y, examineOptions{scaled: true})
	if d.Equal || !d.Rounding || d.Changed != 0 || d.At != nil {
		t.Errorf("a weight that is one unit off after factors: %+v", d)
	}
}

func TestExamineAbsent(t *testing.T) {
	a := normals(1, 600, 1)
	b := slices.Clone(a)
	absent := make([]bool, len(a))
	for i := 60; i < 120; i++ {
		b[i], absent[i] = 0, true
	}
	x, y := tensorOf("w", a, 20, 30), tensorOf("w", b, 20, 30)
	if d, _ := mustExamine(t, x, y, y, examineOptions{absent: absent}); d.Changed != 0 || !d.Equal {
		t.Errorf("what the suspect has not is a change: %+v", d)
	}
	d, r := mustExamine(t, x, y, y, examineOptions{})
	if c := damages([]examined{{d, r}}); len(c) != 1 || c[0].Kind != Prune || c[0].Scope != "neurons" || math.Abs(c[0].Share-0.1) > 1e-9 {
		t.Errorf("two rows of zeros are %+v", c)
	}
}

// Values that are no numbers are changes, and nothing breaks.
func TestExamineNotFinite(t *testing.T) {
	a := normals(1, 600, 1)
	b := slices.Clone(a)
	b[5], b[6], b[7] = math.NaN(), math.Inf(1), math.Inf(-1)
	x, y := tensorOf("w", a, 20, 30), tensorOf("w", b, 20, 30)
	d, r := mustExamine(t, x, y, y, examineOptions{})
	if d.Changed != 3 || d.Equal || !slices.Equal(d.At, []int{0, 5}) {
		t.Errorf("three values that are no numbers: %+v", d)
	}
	damages([]examined{{d, r}})
	for _, v := range []float64{d.Largest, d.Relative, d.Slope, d.Zeros} {
		if !finite(v) {
			t.Errorf("%+v has a number that JSON does not know", d)
		}
	}
	if d, _ := mustExamine(t, y, y, y, examineOptions{}); !d.Equal {
		t.Errorf("the same values that are no numbers: %+v", d)
	}
	if _, _, err := examine(x, tensorOf("w", b, 30, 20), y, examineOptions{}); err == nil {
		t.Error("other shapes are compared")
	}
	if _, _, err := examine(x, y, y, examineOptions{absent: make([]bool, 3)}); err == nil {
		t.Error("three marks are taken for 600 values")
	}
}

func TestExamineOpaque(t *testing.T) {
	of := func(b ...byte) *tensor.Tensor {
		return &tensor.Tensor{Name: "n", DType: tensor.I32, Shape: tensor.Shape{2}, Data: tensor.Bytes(b)}
	}
	x, y := of(1, 0, 0, 0, 2, 0, 0, 0), of(1, 0, 0, 0, 2, 0, 1, 0)
	if d, _ := mustExamine(t, x, y, y, examineOptions{}); d.Changed != 1 || d.Equal || !slices.Equal(d.At, []int{1}) {
		t.Errorf("one of two integers: %+v", d)
	}
	if d, _ := mustExamine(t, x, x, x, examineOptions{}); !d.Equal {
		t.Errorf("equal integers: %+v", d)
	}
	z := tensorOf("n", []float64{1, 2}, 2)
	if d, _ := mustExamine(t, x, z, z, examineOptions{}); d.Changed != 2 || d.Equal {
		t.Errorf("integers and floats: %+v", d)
	}
}

func TestPrecisions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float32().Filter(func(x float32) bool { return finite(float64(x)) }).Draw(t, "x")
		for i := range precisions {
			p := &precisions[i]
			if !p.dtype.Numeric() {
				continue
			}
			want := math.Float64frombits(math.Float64bits(float64(x)))
			if p.dtype != tensor.F64 {
				want = float64(p.dtype.AppendFloat32s(nil, p.dtype.AppendFloats(nil, []float32{x}))[0])
			}
			if got := p.round(float64(x)); got != want {
				t.Fatalf("%g as %s is %g, want %g", x, p.dtype, got, want)
			}
		}
	})
	for d, table := range float8s {
		p := precisionOf(d)
		for b, v := range table {
			if finite(v) && !p.holds(v) {
				t.Errorf("byte %#x of %s, %g, is none of its values", b, d, v)
			}
		}
	}
}

// What is done by hand to some weights is no damage of all.
func TestEditsAreNoDamage(t *testing.T) {
	set := open(t, "../testdata/fashion-cnn.safetensors")
	for _, name := range []string{"conv2.weight", "fc1.weight", "fc1.bias", "bn2.weight"} {
		for _, edit := range []struct {
			what string
			do   func(x []float32)
		}{
			{"a weight", func(x []float32) { x[len(x)/2] += 0.25 }},
			{"a sign", func(x []float32) { x[3] = -x[3] }},
			{"two zeros", func(x []float32) { x[0], x[len(x)-1] = 0, 0 }},
			{"the norm of a neuron", func(x []float32) {
				for i := range x[:len(x)/32] {
					x[i] *= 1.1
				}
			}},
		} {
			old := set.Lookup(name)
			raw := must(old.Bytes())
			x := old.DType.AppendFloat32s(nil, raw)
			edit.do(x)
			sus := must(tensor.Overlay(set, &tensor.Tensor{Name: name, DType: old.DType, Shape: old.Shape, Data: tensor.Bytes(old.DType.AppendFloats(nil, x))}))
			if c := damages(examineAll(t, set, sus)); len(c) > 0 {
				t.Errorf("%s of %s: %s", edit.what, name, describe(c))
			}
		}
	}
}

// Random networks, small ones too: what is named is right, and what did not happen is
// not named.
func TestDamagesOfRandomNetworks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := randomnet.Draw(t).Weights
		text := rapid.SampledFrom(slices.Concat(singles, pairs)).Draw(t, "attack")
		got := damages(examineAll(t, set, afterAttack(t, set, text, rapid.Uint64().Draw(t, "seed"))))
		want := expected(t, text)
		for _, g := range got {
			if g.Kind == Shifted { // says that it does not know
				continue
			}
			if !slices.ContainsFunc(want, func(w Change) bool { return w.Kind == g.Kind }) {
				t.Fatalf("%s is called %q", text, describe(got))
			}
			if g.Preserves && text != "cast=f64" {
				t.Fatalf("%s preserves the function: %q", text, describe(got))
			}
		}
	})
}
