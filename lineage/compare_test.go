package lineage

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/attack"
	"ropewalk/checkpoint"
	"ropewalk/internal/randomnet"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// bundled returns the trained network that the repository carries.
func bundled(t *testing.T) Network {
	t.Helper()
	c := must(checkpoint.Open("../testdata/fashion-cnn.safetensors", nil))
	t.Cleanup(func() { _ = c.Close() })
	return Network{Set: c.Tensors, Spec: must(symmetry.DeriveNames(c.Tensors, nil))}
}

func attacked(t *testing.T, n Network, chain string, seed uint64) Network {
	t.Helper()
	r := must(must(attack.Parse(chain)).Apply(t.Context(), attack.Network{Set: n.Set, Spec: n.Spec}, &attack.Options{Seed: seed, Unproved: true}))
	return Network{Set: r.Set}
}

// What preserves the function is named as such, and nothing else is seen.
func TestPreserving(t *testing.T) {
	n := bundled(t)
	for _, test := range []struct {
		chain   string
		verdict Verdict
		want    string // the beginning of the summary
	}{
		{"permute", Reordered, "reordered"},
		{"scale", Rescaled, "rescaled"},
		{"scale=0.1", Rescaled, "rescaled"},
		{"scale:powers", Rescaled, "rescaled"},
		{"sign", Rescaled, "sign-flipped"},
		{"permute+scale+sign", Rescaled, "reordered, rescaled, sign-flipped"},
		{"dummy=0.3:zero", Rescaled, "reordered, padded with 48 neurons, rescaled"},
		{"dummy=0.3:split", Rescaled, "reordered, padded with 48 neurons, rescaled"},
		{"permute+dummy:clique", Rescaled, "reordered, padded with 80 neurons"},
	} {
		c, err := Compare(t.Context(), n, attacked(t, n, test.chain, 3), nil)
		if err != nil {
			t.Fatalf("%s: %v", test.chain, err)
		}
		if c.Verdict != test.verdict || !strings.HasPrefix(c.Summary(), test.want) || c.Function.Same != Yes {
			t.Errorf("%s: %s, %q, function same: %s; want %s, %q…, yes", test.chain, c.Verdict, c.Summary(), c.Function.Same, test.verdict, test.want)
		}
	}
}

// What was pruned or quantized was not rescaled, and has not moved.
func TestDamageIsNoSymmetry(t *testing.T) {
	n := bundled(t)
	for _, chain := range []string{"noise=0.5", "noise=1", "prune=0.5", "prune=0.9", "quantize=4", "quantize=2"} {
		c, err := Compare(t.Context(), n, attacked(t, n, chain, 3), nil)
		if err != nil {
			t.Fatalf("%s: %v", chain, err)
		}
		for _, x := range c.Changes {
			switch x.Kind {
			case Reorder, Rescale, SignFlip, Padding, Removal, Partial:
				t.Errorf("%s: named %q", chain, x.Text)
			}
		}
		if c.Function.Same == Yes {
			t.Errorf("%s: the function is said to be the same", chain)
		}
	}
}

// The canonical digest does not depend on the order of neurons, and the orders that
// come with it say which neuron is which; it depends on any bit of any weight.
func TestCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := randomnet.Draw(t)
		spec, err := symmetry.Derive(g, nil)
		if err != nil {
			t.Skip(err)
		}
		a, of, err := Canonical(spec, g.Weights)
		if err != nil {
			t.Fatal(err)
		}
		moved := must(symmetry.Apply(spec, g.Weights, spec.Random(&symmetry.RandomOptions{Seed: rapid.Uint64().Draw(t, "seed")})))
		b, by, err := Canonical(spec, moved)
		if err != nil {
			t.Fatal(err)
		}
		if a != b {
			t.Fatalf("digests %x and %x of one network in two orders", a, b)
		}
		back := must(symmetry.Apply(spec, moved, elementOf(spec, of, by)))
		for _, x := range g.Weights.All() {
			if !must(sameBytes(x, back.Lookup(x.Name))) {
				t.Fatalf("tensor %s does not come back", x.Name)
			}
		}
		i := rapid.IntRange(0, g.Weights.Len()-1).Draw(t, "tensor")
		changed, ok := flipped(g.Weights.At(i), rapid.Int64Range(0, max(0, g.Weights.At(i).Elems()-1)).Draw(t, "index"))
		if !ok {
			return
		}
		d, _, err := Canonical(spec, must(tensor.Overlay(g.Weights, changed)))
		if err != nil {
			t.Fatal(err)
		}
		if d == a {
			t.Fatalf("tensor %s was changed, and the digest is the same", changed.Name)
		}
	})
}

// elementOf returns what puts a network of canonical order by into that of order of.
func elementOf(spec *symmetry.Spec, of, by symmetry.Element) symmetry.Element {
	e := symmetry.Element{}
	for _, c := range proven(spec, of, by).Classes {
		e[c.Name] = &symmetry.Move{Order: c.Sus}
	}
	return e
}

// flipped returns t with the lowest bit of a float changed.
func flipped(t *tensor.Tensor, index int64) (*tensor.Tensor, bool) {
	if t.DType != tensor.F32 || t.Elems() == 0 {
		return nil, false
	}
	b := append([]byte(nil), must(t.Bytes())...)
	x := math.Float32frombits(binary.LittleEndian.Uint32(b[index*4:]))
	binary.LittleEndian.PutUint32(b[index*4:], math.Float32bits(x)^1)
	return &tensor.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Data: tensor.Bytes(b)}, true
}
