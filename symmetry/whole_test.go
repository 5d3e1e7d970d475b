package symmetry_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// mixture is a layer of experts, whose units can be in any order, with a router.
func mixture(t *rapid.T) (*symmetry.Spec, *tensor.Set) {
	experts := rapid.IntRange(2, 4).Draw(t, "experts")
	units, width := rapid.Int64Range(2, 4).Draw(t, "units"), int64(3)
	var ts []*tensor.Tensor
	put := func(name string, shape ...int64) {
		x := make([]float32, must(tensor.Shape(shape).Elems()))
		for i := range x {
			x[i] = float32(rapid.IntRange(-50, 50).Draw(t, "weight"))
		}
		ts = append(ts, &tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
	}
	var text strings.Builder
	put("gate", int64(experts), width)
	for e := range experts {
		put(fmt.Sprintf("e.%d.up", e), units, width)
		put(fmt.Sprintf("e.%d.down", e), width, units)
		fmt.Fprintf(&text, "group u%d: %d × permutation × nonzero a — in e.%d.up[0]*a, out e.%d.down[1]/a\n", e, units, e, e)
	}
	fmt.Fprintf(&text, "group e: %d × permutation — in gate[0], param e.{0..%d}.up, e.{0..%d}.down\n", experts, experts-1, experts-1)
	return must(symmetry.Parse(text.String())), must(tensor.NewSet(ts...))
}

// made is what the mixture makes of an input: for each expert, in any order, the score and
// the output, without an activation.
func made(set *tensor.Set) map[string]int {
	numbers := func(name string) []float32 {
		t := set.Lookup(name)
		return t.DType.AppendFloat32s(nil, must(t.Bytes()))
	}
	gate := numbers("gate")
	out := map[string]int{}
	for e := 0; set.Lookup(fmt.Sprintf("e.%d.up", e)) != nil; e++ {
		up, down := numbers(fmt.Sprintf("e.%d.up", e)), numbers(fmt.Sprintf("e.%d.down", e))
		units := len(up) / 3
		y := [3]float32{}
		for u := range units {
			h := up[3*u] + 2*up[3*u+1] - up[3*u+2]
			for k := range y {
				y[k] += down[k*units+u] * h
			}
		}
		out[fmt.Sprint(gate[3*e:3*e+3], y)]++
	}
	return out
}

// Experts exchange places whole, after what happens inside of them; inverses and products
// know that.
func TestWholeTensors(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s, set := mixture(rt)
		if diff := cmp.Diff(s, must(symmetry.Parse(s.String()))); diff != "" {
			rt.Fatal(diff)
		}
		draw := func(name string) symmetry.Element {
			e := s.Random(&symmetry.RandomOptions{Seed: rapid.Uint64().Draw(rt, name), Scale: 1, Signs: true, Powers: true})
			for i := range s.Groups {
				if rapid.IntRange(0, 3).Draw(rt, "without") == 0 {
					delete(e, s.Groups[i].Name)
				}
			}
			return e
		}
		a, b := draw("a"), draw("b")
		there := must(symmetry.Apply(s, set, a))
		if diff := cmp.Diff(made(set), made(there)); diff != "" {
			rt.Fatalf("%v\n%s", a, diff)
		}
		same := func(what string, x, y *tensor.Set) {
			for i, w := range x.All() {
				if y.At(i).Name != w.Name || !bytes.Equal(must(w.Bytes()), must(y.At(i).Bytes())) {
					rt.Fatalf("%s: %s differs", what, w.Name)
				}
			}
		}
		same("inverse", set, must(symmetry.Apply(s, there, must(s.Inverse(a)))))
		same("product", must(symmetry.Apply(s, there, b)), must(symmetry.Apply(s, set, must(s.Then(a, b)))))
	})
}

// What cannot be exchanged is an error that says why.
func TestWholeTensorsRefuses(t *testing.T) {
	set := must(tensor.NewSet(named("a", tensor.F32, 2, 2), named("b", tensor.F32, 2, 2), named("c", tensor.F32, 4), named("d", tensor.BF16, 2, 2)))
	for text, want := range map[string]string{
		"group g: 2 × permutation — param {a x}":                                         "no such tensor",
		"group g: 2 × permutation — param {a c}":                                         "exchanges a, F32 2x2, and c, F32 4",
		"group g: 2 × permutation — param {a d}":                                         "exchanges a, F32 2x2, and d, BF16 2x2",
		"group g: 2 × permutation — param {a a}":                                         "taken already",
		"group g: 2 × permutation — param {a b}\ngroup h: 2 × permutation — param {b a}": "taken already",
	} {
		if _, err := symmetry.Apply(must(symmetry.Parse(text)), set, nil); !errors.Is(err, symmetry.ErrSpec) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{
		"group g: 2 × permutation — param {a}", "group g: 2 × permutation — param {a b c}", "group g: 2 × permutation — param {a b",
		"group g: 2 × permutation — param a.{0..2}", "group g: 2 × permutation — param a.{3..1}", "group g: 2 × permutation — param a.{0,1}",
		"group g: 16777216 × permutation — param a.{0..16777215}", "group g: 2 × permutation — param {a b}*a", "group g: 2 × permutation — param {a b}[0]",
	} {
		if _, err := symmetry.Parse(text); !errors.Is(err, symmetry.ErrSpec) {
			t.Errorf("%s: %v", text, err)
		}
	}
	// Names that do not count up are listed.
	s := must(symmetry.Parse(`group g: 2 × permutation — in a[0], param {b "a b"}, x.{9..10}, {1 2}, x.{9..10}.y, {y.01 y.02}, {y.2 y.1}`))
	if again := must(symmetry.Parse(s.String())); !cmp.Equal(s, again) || again.Groups[0].Places[2].Tensors[1] != "x.10" {
		t.Errorf("%v", s)
	}
	// A group that is inside of tensors that are exchanged needs one like it in the others.
	s = must(symmetry.Parse("group u: 2 × permutation — in a[0]\ngroup g: 2 × permutation — param {a b}"))
	if _, err := s.Inverse(symmetry.Element{"u": {Order: []int{1, 0}}, "g": {Order: []int{1, 0}}}); !errors.Is(err, symmetry.ErrSpec) {
		t.Error(err)
	}
}

func named(name string, d tensor.DType, shape ...int64) *tensor.Tensor {
	t := counting(d, shape...)
	t.Name = name
	return t
}
