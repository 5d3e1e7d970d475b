package attack

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/internal/randomnet"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// Chains of what preserves the function do: each step was proved, and so is the whole.
func TestPreserves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := small(rapid.Uint64().Draw(t, "net"))
		var c Chain
		for range rapid.IntRange(1, 3).Draw(t, "steps") {
			s := rapid.SampledFrom([]string{"permute", "scale", "scale=0.3:powers", "sign"}).Draw(t, "step")
			c = append(c, must(Parse(s))[0])
		}
		r, err := c.Apply(context.Background(), n, &Options{Seed: rapid.Uint64().Draw(t, "seed")})
		if err != nil {
			t.Fatal(err)
		}
		for _, rep := range r.Reports {
			if len(rep.Proof) != 1 || rep.Proof[0].Output != "y" || rep.Unproved != "" {
				t.Fatalf("%s is not proved: %+v", rep.Step, rep)
			}
		}
		if _, err := symmetry.Compare(n.Graph, r.Graph, &symmetry.VerifyOptions{Seed: 9, Tolerance: 1e-4}); err != nil {
			t.Fatal(err)
		}
	})
}

// So they do in networks of all kinds of operators, or they say why not. Dummies are
// added wherever that can be.
func TestPreservesRandom(t *testing.T) {
	dummies, left := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		g := randomnet.Draw(t)
		n := Network{Set: g.Weights, Spec: must(symmetry.Derive(g, nil)), Graph: g}
		seed := rapid.Uint64().Draw(t, "seed")
		for _, text := range []string{"permute", "scale=0.5:powers", "scale=0.5", "sign", "dummy=0.4", "dummy=0.4+permute"} {
			r, err := must(Parse(text)).Apply(context.Background(), n, &Options{Seed: seed})
			if errors.Is(err, ErrNetwork) {
				continue // nothing lets a sign through, say
			}
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if text == "dummy=0.4" {
				dummies += r.Reports[0].Groups
				left += len(r.Reports[0].Left)
			}
			if _, err := symmetry.Compare(g, r.Graph, &symmetry.VerifyOptions{Seed: seed + 1, Tolerance: 1e-3}); err != nil {
				t.Fatalf("%s: on other inputs: %v", text, err)
			}
		}
	})
	t.Logf("dummies in %d groups, none in %d", dummies, left)
	if 3*dummies < left {
		t.Errorf("dummies in %d groups, none in %d", dummies, left)
	}
}

// The truth is the element by which the original is turned into the result.
func TestTruth(t *testing.T) {
	n := small(1)
	r := apply(t, "permute+scale:powers+sign+permute", n, &Options{Seed: 5})
	set := must(symmetry.Apply(n.Spec, n.Set, r.Truth.Element))
	for i, x := range r.Set.All() {
		if !bytes.Equal(must(x.Bytes()), must(set.At(i).Bytes())) {
			t.Errorf("%s is not what the truth says", x.Name)
		}
		if bytes.Equal(must(x.Bytes()), must(n.Set.At(i).Bytes())) && x.Elems() > 1 {
			t.Errorf("%s did not change", x.Name)
		}
	}
}

// A step on some groups leaves others alone.
func TestOnly(t *testing.T) {
	n := small(1)
	var names []string
	for i := range n.Spec.Groups {
		names = append(names, n.Spec.Groups[i].Name)
	}
	if len(names) != 3 {
		t.Fatalf("groups %v, want 3", names)
	}
	r := apply(t, "permute+noise=1", n, &Options{Only: []string{names[1]}})
	if len(r.Truth.Element) != 1 || r.Truth.Element[names[1]] == nil || r.Reports[0].Groups != 1 || r.Reports[0].Neurons != n.Spec.Groups[1].Size {
		t.Errorf("touched %v: %+v", r.Truth.Element, r.Reports[0])
	}
	if r.Reports[1].Tensors != 1 {
		t.Errorf("noise on %d tensors, want that which makes the neurons of %s", r.Reports[1].Tensors, names[1])
	}
	if r = apply(t, "permute", n, &Options{Only: []string{"*"}}); r.Reports[0].Groups != 3 {
		t.Errorf("a pattern chose %d groups", r.Reports[0].Groups)
	}
}

// What is no symmetry is found out: a group that lacks a place.
func TestNotPreserved(t *testing.T) {
	n := small(1)
	s := &symmetry.Spec{Groups: slices.Clone(n.Spec.Groups)}
	g := &s.Groups[0]
	g.Places = g.Places[1:]
	n.Spec = s
	_, err := must(Parse("permute")).Apply(context.Background(), n, nil)
	if !errors.Is(err, symmetry.ErrChanged) {
		t.Errorf("a place is missing: %v", err)
	}
}

// Outputs that are zero prove nothing, and that is said; groups that need a proof are
// then left alone.
func TestProvesNothing(t *testing.T) {
	n := small(1)
	x := n.Set.Lookup("h.weight")
	zero := &tensor.Tensor{Name: x.Name, DType: x.DType, Shape: x.Shape, Data: make(tensor.Bytes, x.Size())}
	n.Set = must(tensor.Overlay(n.Set, zero))
	g := *n.Graph
	g.Weights = n.Set
	n.Graph = &g
	r := apply(t, "permute+dummy", n, nil)
	for _, rep := range r.Reports {
		if rep.Proof != nil || rep.Unproved == "" {
			t.Errorf("%s: proved by %v, unproved because %q", rep.Step, rep.Proof, rep.Unproved)
		}
	}
	if left := r.Reports[1].Left; len(left) != 1 || n.Spec.Group(left[0].Group).Size != 20 {
		t.Errorf("left alone: %v, want the group around tanh", left)
	}
}

// 16 bits are rounded, and moves are exact whatever the type.
func TestHalf(t *testing.T) {
	for _, to := range []string{"f16", "bf16"} {
		n := apply(t, "cast="+to, small(2), nil).Network
		r := apply(t, "scale+permute", n, nil)
		if d := r.Reports[0].Proof[0].Largest; d == 0 || d > 0.25 {
			t.Errorf("%s: scaling is off by %g", to, d)
		}
		if d := r.Reports[1].Proof[0].Largest; !(d <= 1e-6) {
			t.Errorf("%s: moving is off by %g", to, d)
		}
	}
}

// A NaN that is only moved is no obstacle.
func TestMoveNaN(t *testing.T) {
	n := small(3)
	x := floats(t, n.Set, "a.weight")
	x[0] = float32(math.NaN())
	bad := &tensor.Tensor{Name: "a.weight", DType: tensor.F32, Shape: n.Set.Lookup("a.weight").Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))}
	n.Set = must(tensor.Overlay(n.Set, bad))
	n.Graph = nil
	r := apply(t, "permute", n, nil)
	if r.Reports[0].Unproved == "" {
		t.Error("without a graph nothing says that nothing was proved")
	}
}
