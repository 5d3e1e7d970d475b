package symmetry_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/internal/randomnet"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// bytesOf returns all bytes of a set's tensors, read in pieces of odd sizes.
func bytesOf(t testing.TB, s *tensor.Set) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, w := range s.All() {
		raw := make([]byte, w.Size())
		for at := 0; at < len(raw); {
			n := min(len(raw)-at, 1+at%977+at)
			if _, err := w.Data.ReadAt(raw[at:at+n], int64(at)); err != nil {
				t.Fatalf("%s: %v", w.Name, err)
			}
			at += n
		}
		whole, err := w.Bytes()
		if err != nil || !bytes.Equal(whole, raw) {
			t.Fatalf("%s reads otherwise in pieces: %v", w.Name, err)
		}
		out[w.Name] = raw
	}
	return out
}

// What was only moved comes back bit for bit, and so does what was multiplied by
// powers of 2 (but for variances, which take an epsilon).
func TestInverse(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := randomnet.Draw(rt)
		s := must(symmetry.Derive(g, nil))
		for _, o := range []symmetry.RandomOptions{{}, {Scale: 1, Signs: true, Powers: true}} {
			o.Seed = rapid.Uint64().Draw(rt, "element")
			e := must(s.Fit(g.Weights, s.Random(&o)))
			there := must(symmetry.Apply(s, g.Weights, e))
			back := bytesOf(t, must(symmetry.Apply(s, there, must(s.Inverse(e)))))
			for name, want := range bytesOf(t, g.Weights) {
				if o.Scale != 0 && strings.HasSuffix(name, "running_var") {
					for i, x := range tensor.F32.AppendFloat32s(nil, want) {
						if y := tensor.F32.AppendFloat32s(nil, back[name])[i]; math.Abs(float64(y-x)) > 1e-4 {
							rt.Fatalf("%s: variance %d is %g, was %g", name, i, y, x)
						}
					}
					continue
				}
				if !bytes.Equal(want, back[name]) {
					rt.Fatalf("%s did not come back with %+v", name, o)
				}
			}
		}
	})
}

// To do two elements one after the other is to do their product.
func TestThen(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := randomnet.Draw(rt)
		s := must(symmetry.Derive(g, nil))
		draw := func(name string) symmetry.Element {
			o := symmetry.RandomOptions{Seed: rapid.Uint64().Draw(rt, name)}
			switch rapid.IntRange(0, 3).Draw(rt, "kind") {
			case 0:
				o.Stay, o.Signs = true, true
			case 1:
				o.Scale, o.Powers, o.Signs = 0.5, true, true
			}
			e := s.Random(&o)
			for i := range s.Groups {
				if rapid.Bool().Draw(rt, "without") {
					delete(e, s.Groups[i].Name)
				}
			}
			return must(s.Fit(g.Weights, e))
		}
		a, b := draw("a"), draw("b")
		one, err := symmetry.Apply(s, must(symmetry.Apply(s, g.Weights, a)), b)
		if err != nil {
			rt.Fatal(err)
		}
		two := must(symmetry.Apply(s, g.Weights, must(s.Then(a, b))))
		for _, w := range one.All() {
			if strings.HasSuffix(w.Name, "running_var") {
				continue // rounded once and twice
			}
			if !bytes.Equal(must(w.Bytes()), must(two.Lookup(w.Name).Bytes())) {
				rt.Fatalf("%s differs", w.Name)
			}
		}
	})
}

// set returns tensors of bytes that count up.
func counting(dtype tensor.DType, shape ...int64) *tensor.Tensor {
	raw := make([]byte, must(tensor.Shape(shape).Size(dtype)))
	for i := range raw {
		raw[i] = byte(i*37 + 11)
	}
	return &tensor.Tensor{Name: "w", DType: dtype, Shape: shape, Data: tensor.Bytes(raw)}
}

// Elements of any width move, along any axis, and to the right place.
func TestApplyAnyType(t *testing.T) {
	for _, d := range []tensor.DType{tensor.Bool, tensor.U4, tensor.F6E2M3, tensor.I8, tensor.F8E4M3, tensor.BF16, tensor.F32, tensor.F64, tensor.C128} {
		for axis := range 3 {
			shape := []int64{2, 3, 4}
			shape[axis] = 8
			w := counting(d, shape...)
			set := must(tensor.NewSet(w))
			s := &symmetry.Spec{Groups: []symmetry.Group{{Name: "g", Size: 4, Places: []symmetry.Place{
				{Tensor: "w", Axis: axis, Run: 2, Stride: 4, At: []int{0, 1, 2, 3}},
			}}}}
			order := []int{2, 0, 3, 1}
			got := must(symmetry.Apply(s, set, symmetry.Element{"g": {Order: order}}))
			index := [3]int64{}
			for index[0] = 0; index[0] < shape[0]; index[0]++ {
				for index[1] = 0; index[1] < shape[1]; index[1]++ {
					for index[2] = 0; index[2] < shape[2]; index[2]++ {
						from := index
						from[axis] = int64(order[index[axis]%4]) + index[axis]/4*4
						if element(must(got.At(0).Bytes()), d, shape, index) != element(must(w.Bytes()), d, shape, from) {
							t.Fatalf("%s, axis %d: %v is not what was at %v", d, axis, index, from)
						}
					}
				}
			}
		}
	}
}

// element returns the bits of an element as text.
func element(raw []byte, d tensor.DType, shape []int64, index [3]int64) string {
	at := ((index[0]*shape[1]+index[1])*shape[2] + index[2]) * int64(d.Bits())
	var b strings.Builder
	for k := range int64(d.Bits()) {
		b.WriteByte('0' + raw[(at+k)/8]>>((at+k)%8)&1)
	}
	return b.String()
}

// A running variance is changed so that its channel's output stays the same, in every
// type of floats; a constant channel is not made smaller.
func TestVariance(t *testing.T) {
	s := must(symmetry.Parse("group g: 3 × permutation × nonzero a — stat w[0]*a^2+0.001"))
	values := []float32{0.5, 0, 2}
	for _, d := range []tensor.DType{tensor.F16, tensor.BF16, tensor.F32, tensor.F64} {
		set := must(tensor.NewSet(&tensor.Tensor{Name: "w", DType: d, Shape: tensor.Shape{3}, Data: tensor.Bytes(d.AppendFloats(nil, values))}))
		e := symmetry.Element{"g": {Factors: [][]float64{{-3, 0.5, 0.5}}}}
		if _, err := must(symmetry.Apply(s, set, e)).At(0).Bytes(); !errors.Is(err, symmetry.ErrSpec) {
			t.Errorf("%s: a negative variance: %v", d, err)
		}
		fit := must(s.Fit(set, e))
		if diff := cmp.Diff([][]float64{{-3, 1, 0.5}}, fit["g"].Factors); diff != "" {
			t.Error(diff)
		}
		got := d.AppendFloat32s(nil, must(must(symmetry.Apply(s, set, fit)).At(0).Bytes()))
		for i, f := range []float64{9, 1, 0.25} {
			want := f*(float64(values[i])+0.001) - 0.001
			if math.Abs(float64(got[i])-want) > 0.005*want+1e-9 {
				t.Errorf("%s: variance %d is %g, want %g", d, i, got[i], want)
			}
		}
	}
}

// Where groups cross, it is the product of their factors that has to leave a variance
// positive.
func TestFitCrossing(t *testing.T) {
	s := must(symmetry.Parse(`group blocks: 2 × permutation × scale a — stat w[0:x2]*a^2+0.001
group inside: 2 × permutation × scale a — stat w[0:0..1x2/2]*a^2+0.001`))
	set := must(tensor.NewSet(&tensor.Tensor{
		Name: "w", DType: tensor.F32, Shape: tensor.Shape{4}, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, []float32{0.3, 0.3, 0.3, 0.3})),
	}))
	e := symmetry.Element{"blocks": {Factors: [][]float64{{0.1, 2}}}, "inside": {Factors: [][]float64{{0.1, 3}}}}
	if _, err := must(symmetry.Apply(s, set, e)).At(0).Bytes(); !errors.Is(err, symmetry.ErrSpec) {
		t.Fatalf("a negative variance: %v", err)
	}
	fit := must(s.Fit(set, e))
	if diff := cmp.Diff([][]float64{{0.1, 2}}, e["blocks"].Factors); diff != "" {
		t.Errorf("what was given has changed: %s", diff)
	}
	got := tensor.F32.AppendFloat32s(nil, must(must(symmetry.Apply(s, set, fit)).At(0).Bytes()))
	for i, v := range got {
		if !(v > 0) {
			t.Errorf("variance %d is %g", i, v)
		}
	}
	if fit["inside"].Factors[0][1] != 3 || fit["blocks"].Factors[0][1] != 2 {
		t.Errorf("factors that do no harm have changed: %v, %v", fit["blocks"].Factors, fit["inside"].Factors)
	}
}

// What does not fit is an error that says where.
func TestApplyRefuses(t *testing.T) {
	set := must(tensor.NewSet(counting(tensor.I8, 4, 4)))
	tests := []struct {
		text string
		e    symmetry.Element
		want string
	}{
		{"group g: 4 × permutation — in v[0]", nil, "no such tensor"},
		{"group g: 4 × permutation — in w[2]", nil, "is on axis 2 of w, which is 4x4"},
		{"group g: 4 × permutation — in w[0:1..4]", nil, "neuron 3 is at 4 of axis 0 of w, which has 4"},
		{"group g: 2 × permutation — in w[0:x2], w[0]", nil, "has position 0 of axis 0 of w twice"},
		{"group g: 4 × permutation — in w[0]", symmetry.Element{"h": {}}, "no group h"},
		{"group g: 4 × permutation — in w[0]", symmetry.Element{"g": {Order: []int{0, 1, 2}}}, "an order of 3 neurons for 4"},
		{"group g: 4 × permutation — in w[0]", symmetry.Element{"g": {Order: []int{0, 1, 2, 2}}}, "neuron 2 is in the order twice"},
		{"group g: 4 × permutation × scale a — in w[0]*a", symmetry.Element{"g": {Factors: [][]float64{{1, 1, 1, -1}}}}, "factor a is -1, which is no scale"},
		{"group g: 4 × permutation × sign a — in w[0]*a", symmetry.Element{"g": {Factors: [][]float64{{1, 1, 1, 2}}}}, "factor a is 2, which is no sign"},
		{"group g: 4 × permutation × scale a — in w[0]*a", symmetry.Element{"g": {Factors: [][]float64{{1, 1, 1, math.NaN()}}}}, "factor a is NaN"},
		{"group g: 4 × permutation × scale a — in w[0]*a", symmetry.Element{"g": {Factors: [][]float64{{1, 1, 1, 2}}}}, "w is to be multiplied, but holds I8"},
	}
	for _, tt := range tests {
		_, err := symmetry.Apply(must(symmetry.Parse(tt.text)), set, tt.e)
		if !errors.Is(err, symmetry.ErrSpec) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s with %v: %v, want %q", tt.text, tt.e, err, tt.want)
		}
	}
	s := must(symmetry.Parse("group g: 4 × permutation × scale a — in w[0]*a"))
	half := must(tensor.NewSet(&tensor.Tensor{Name: "w", DType: tensor.F16, Shape: tensor.Shape{4}, Data: tensor.Bytes(tensor.F16.AppendFloats(nil, []float32{6e4, 1, 1, 1}))}))
	_, err := must(symmetry.Apply(s, half, symmetry.Element{"g": {Factors: [][]float64{{2, 1, 1, 1}}}})).At(0).Bytes()
	if _, ok := errors.AsType[*tensor.RangeError](err); !ok {
		t.Errorf("120000 in F16: %v", err)
	}
}

// Verify notices a specification that is wrong.
func TestVerifyNotices(t *testing.T) {
	g := lively(must(nets.Build("lenet-300-100", nil)), 1)
	for _, text := range []string{
		"group g: 300 × permutation — in fc1.weight[0], param fc1.bias[0]",
		"group g: 300 × permutation × nonzero a — in fc1.weight[0]*a, param fc1.bias[0]*a, out fc2.weight[1]/a",
		"group g: 300 × permutation × scale a — in fc1.weight[0]*a, param fc1.bias[0], out fc2.weight[1]/a",
	} {
		if _, err := symmetry.Verify(must(symmetry.Parse(text)), g, nil); !errors.Is(err, symmetry.ErrChanged) {
			t.Errorf("%s: %v", text, err)
		}
	}
	right := "group g: 300 × permutation × scale a — in fc1.weight[0]*a, param fc1.bias[0]*a, out fc2.weight[1]/a"
	calls := 0
	_, err := symmetry.Verify(must(symmetry.Parse(right)), g, &symmetry.VerifyOptions{Run: func(g *graph.Graph, in map[string]*graph.Value) (map[string]*graph.Value, error) {
		calls++
		return symmetry.Evaluate(g, in)
	}})
	if err != nil || calls != 2 {
		t.Errorf("%d runs, %v", calls, err)
	}
}
