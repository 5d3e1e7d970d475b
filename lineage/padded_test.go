package lineage

import (
	"fmt"
	"strings"
	"testing"

	"ropewalk/attack"
	"ropewalk/tensor"
)

// What is said of damage is about the neurons that both networks have, or about all that the suspect
// has, whichever was damaged; dummies, and what reads neurons that were split, are no part of that.
func TestDamagesBesideDummies(t *testing.T) {
	n := bundled(t)
	for _, test := range []struct {
		chain string
		want  string
		seeds []uint64
	}{
		{"quantize=4+dummy:zero", "quantized to 4 bits", []uint64{4, 5}},
		{"dummy:zero+quantize=4", "quantized to 4 bits", []uint64{1}},
		{"quantize=4:channel+dummy:clique", "quantized to 4 bits per channel", []uint64{5}},
		{"dummy:zero+quantize=4:channel", "quantized to 4 bits per channel", []uint64{1}},
		{"dummy:clique+quantize=2", "quantized to 2 bits", []uint64{1, 2}},
		{"dummy:split+quantize=2", "quantized to 2 bits", []uint64{1}},
		{"prune=0.9+dummy:clique", "pruned 90 %", []uint64{2, 3}},
		{"dummy:zero+prune=0.5", "pruned 50 %", []uint64{2}},
		{"dummy:zero+prune=0.9", "pruned 90 %", []uint64{1}},
		{"dummy:clique+noise=0.5", "noise of 0.5 sigma", []uint64{1, 2}},
		{"dummy:split+noise=0.5", "noise of 0.5 sigma", []uint64{1}},
	} {
		for _, seed := range test.seeds {
			c := must(Compare(t.Context(), n, attacked(t, n, test.chain, seed), &Options{Threads: 1}))
			var got []string
			for _, x := range c.Changes {
				if !x.Preserves {
					got = append(got, x.Text)
				}
				if x.Kind == Padding && x.Neurons != 80 {
					t.Errorf("%s, seed %d: %d neurons are padding, want 80", test.chain, seed, x.Neurons)
				}
				if x.Kind == Prune && x.Scope != "tensor" {
					t.Errorf("%s, seed %d: scope %q, want tensor", test.chain, seed, x.Scope)
				}
			}
			if strings.Join(got, ", ") != test.want {
				t.Errorf("%s, seed %d, is called %q, want %s", test.chain, seed, c.Summary(), test.want)
			}
		}
	}
}

// What was named wrongly once: levels whose ends are those of neurons that were multiplied, a threshold that cut
// levels, few pruned weights on levels of their channels, rounding that looks like factors, signs of few
// noisy weights, and a mark written over levels.
func TestNames(t *testing.T) {
	n := bundled(t)
	for _, test := range []struct {
		chain, want string
		seed        uint64
	}{
		{"scale+quantize=3", "rescaled, quantized to 3 bits", 7097},
		{"quantize=4:gaussian+prune=0.9:global", "quantized to 4 bits, pruned 90 % by one threshold", 7087},
		{"prune=0.9:global+quantize=4:channel", "pruned 89.9 % by one threshold, quantized to 4 bits per channel", 7050},
		{"cast=f16:round+prune=0.9", "pruned 90 %, cast to F16 (stored as F32)", 11046},
		{"sign+noise=1", "sign-flipped, noise of 1 sigma", 11121},
		{"quantize=3+overwrite", "noise of 0.75 sigma, quantized to 3 bits", 11180},
	} {
		if c := must(Compare(t.Context(), n, attacked(t, n, test.chain, test.seed), &Options{Threads: 1})); c.Summary() != test.want {
			t.Errorf("%s is called %q, want %q", test.chain, c.Summary(), test.want)
		}
	}
}

// A quantizer before factors is known by its levels, also where the factors of some neurons are near 1
// and those of rows and columns have nothing to begin with.
func TestLevelsUnderFactors(t *testing.T) {
	n := bundled(t)
	for chain, want := range map[string]string{
		"quantize=2+scale":          "rescaled, quantized to 2 bits",
		"quantize=4:gaussian+scale": "rescaled, quantized to 4 bits",
	} {
		for _, seed := range []uint64{4, 5} {
			c := must(Compare(t.Context(), n, attacked(t, n, chain, seed), &Options{Threads: 1}))
			if c.Summary() != want {
				t.Errorf("%s, seed %d, is called %q", chain, seed, c.Summary())
			}
		}
	}
}

// Where nothing was damaged, who has no partner is gone, or was added, though numbers would have it that all
// have one: dummies do not stand for neurons that were removed before or since, and halves of cliques whose
// others are gone are no neurons that cannot be found.
func TestRemovedBesideDummies(t *testing.T) {
	n := bundled(t)
	for _, chain := range []string{"dummy:zero+remove=0.2", "dummy:clique+remove=0.2", "remove=0.2+dummy:clique"} {
		r := must(must(attack.Parse(chain)).Apply(t.Context(), attack.Network{Set: n.Set, Spec: n.Spec}, &attack.Options{Seed: 73, Unproved: true}))
		added, removed := 0, 0
		for _, list := range r.Truth.Added {
			added += len(list)
		}
		for _, list := range r.Truth.Removed {
			removed += len(list)
		}
		c := must(Compare(t.Context(), n, Network{Set: r.Set}, &Options{Threads: 1}))
		want := fmt.Sprintf("reordered, padded with %d neurons, %d neurons removed (%.0f %%), rescaled", added, removed, float64(removed)/1.6)
		if c.Summary() != want || !c.Match.Whole {
			t.Errorf("%s is called %q, want %q (nothing damaged: %v)", chain, c.Summary(), want, c.Match.Whole)
		}
	}
}

// Of neurons that were split a part may be gone. Then nobody who is left is taken for another, and what reads
// the parts that are left is named, column by column.
func TestRemovedPartsOfNeurons(t *testing.T) {
	n := bundled(t)
	r := must(must(attack.Parse("dummy:split+remove=0.2")).Apply(t.Context(), attack.Network{Set: n.Set, Spec: n.Spec}, &attack.Options{Seed: 1, Unproved: true}))
	added, removed, orphans := 0, 0, 0
	for _, list := range r.Truth.Added {
		added += len(list)
		for _, a := range list {
			if a.Of < 0 {
				orphans++
			}
		}
	}
	for _, list := range r.Truth.Removed {
		removed += len(list)
	}
	c := must(Compare(t.Context(), n, Network{Set: r.Set}, &Options{Threads: 1}))
	got := map[Kind]int{}
	for _, x := range c.Changes {
		got[x.Kind] = x.Neurons
	}
	if k := removed - got[Removal]; !c.Match.Whole || k < 0 || k > orphans || got[Padding] != added-k {
		t.Errorf("%s (nothing damaged: %v); want %d neurons of padding and %d removed, less at most %d of both", c.Summary(), c.Match.Whole, added, removed, orphans)
	}
	for _, e := range c.Edits {
		if e.What != EditColumn || e.Factor <= 0 || e.Factor >= 1 {
			t.Errorf("%s is named; want columns that are less than they were", e.Text)
		}
	}
	if len(c.Edits) == 0 {
		t.Error("nothing is said of the columns that read parts of neurons")
	}
}

// In a network that nobody has damaged, a neuron that is like another one is no part of it.
func TestNeuronsThatAreAlikeAreNoParts(t *testing.T) {
	n := bundled(t)
	w := must(n.Set.Lookup("conv3.weight").Float32s())
	row := len(w) / 64
	for i := range 12 { // pairs with a cosine of 0.97 to 0.995
		for k := range row {
			w[(2*i+1)*row+k] = w[2*i*row+k] + (0.1+0.012*float32(i))*w[(40+i)*row+k]
		}
	}
	same := map[string][]float32{}
	for _, name := range []string{"bn3.weight", "bn3.bias", "bn3.running_mean", "bn3.running_var"} {
		v := must(n.Set.Lookup(name).Float32s())
		for i := range 12 {
			v[2*i+1] = v[2*i] * (1 + 0.01*float32(i+1))
		}
		same[name] = v
	}
	same["conv3.weight"] = w
	out := must(n.Set.Lookup("fc1.weight").Float32s()) // 9 places of each neuron
	for at := range out {
		if at/9%64 < 24 {
			out[at] *= 0.03
		}
	}
	same["fc1.weight"] = out
	var list []*tensor.Tensor
	for name, v := range same {
		list = append(list, &tensor.Tensor{Name: name, DType: tensor.F32, Shape: n.Set.Lookup(name).Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, v))})
	}
	n.Set = must(tensor.Overlay(n.Set, list...))
	for seed := range uint64(3) {
		c := must(Compare(t.Context(), n, attacked(t, n, "dummy:zero", seed), &Options{Threads: 1}))
		if c.Summary() != "reordered, padded with 80 neurons, rescaled" {
			t.Errorf("seed %d: %s", seed, c.Summary())
		}
	}
}
