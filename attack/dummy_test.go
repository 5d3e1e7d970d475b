package attack

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/graph"
	"ropewalk/symmetry"
)

// Dummies of each kind leave the function as it is, and the truth says where they are.
func TestDummies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := small(rapid.Uint64().Draw(t, "net"))
		ratio := rapid.SampledFrom([]float64{0.05, 0.5, 1}).Draw(t, "ratio")
		kind := rapid.SampledFrom([]string{"", ":zero", ":clique", ":split"}).Draw(t, "kind")
		plain := rapid.SampledFrom([]string{"", ":plain"}).Draw(t, "plain")
		after := rapid.SampledFrom([]string{"", "+permute", "+scale=0.3", "+dummy=0.2"}).Draw(t, "after")
		text := fmt.Sprintf("dummy=%g%s%s%s", ratio, kind, plain, after)
		r, err := must(Parse(text)).Apply(context.Background(), n, &Options{Seed: rapid.Uint64().Draw(t, "seed")})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !r.Reshaped || len(r.Reports[0].Proof) == 0 || len(r.Reports[0].Left) > 0 {
			t.Fatalf("%s: %+v", text, r.Reports[0])
		}
		for i := range n.Spec.Groups {
			g, h := &n.Spec.Groups[i], &r.Spec.Groups[i]
			order, added := r.Truth.Element[g.Name].Order, r.Truth.Added[g.Name]
			count := max(1, int(math.Round(ratio*float64(g.Size))))
			if after == "+dummy=0.2" {
				count += max(1, int(math.Round(0.2*float64(g.Size+count))))
			}
			if h.Size != g.Size+count || len(order) != h.Size || len(added) != count {
				t.Fatalf("%s: group %s has %d neurons, %d in the truth, %d added; had %d, want %d more", text, g.Name, h.Size, len(order), len(added), g.Size, count)
			}
			seen := make([]int, g.Size)
			for _, j := range order {
				if j >= 0 {
					seen[j]++
				}
			}
			if slices.Max(seen) != 1 || slices.Min(seen) != 1 {
				t.Fatalf("%s: neurons are in the order %v", text, order)
			}
			for _, a := range added {
				switch {
				case order[a.Neuron] != -1:
					t.Fatalf("%s: dummy %+v is neuron %d", text, a, order[a.Neuron])
				case kind != "" && after != "+dummy=0.2" && string(a.Kind) != kind[1:] && a.Kind != ZeroDummy:
					t.Fatalf("%s: a dummy is %s", text, a.Kind)
				case a.Kind == SplitDummy && (a.Of < 0 || a.Of == a.Neuron):
					t.Fatalf("%s: a split is of %d", text, a.Of)
				}
			}
		}
		if _, err := symmetry.Compare(n.Graph, r.Graph, &symmetry.VerifyOptions{Seed: 1, Tolerance: 1e-4}); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	})
}

// Without the dummies, and with splits put together again, the tensors are what they
// were: plain dummies stand behind the others.
func TestPlainDummies(t *testing.T) {
	n := small(3)
	r := apply(t, "dummy=0.5:zero:plain", n, nil)
	for _, name := range []string{"a.weight", "a.bias", "bn.var", "e.bias"} { // made, not read
		was, is := floats(t, n.Set, name), floats(t, r.Set, name)
		if !slices.Equal(was, is[:len(was)]) {
			t.Errorf("%s changed", name)
		}
	}
	is, cols := floats(t, r.Set, "h.weight"), 30
	for i := range is {
		if i%cols >= 20 && is[i] != 0 {
			t.Fatalf("a zero dummy is read: %g", is[i])
		}
	}
}

// Networks with depthwise convolutions, flattened layers and residual streams.
func TestDummiesBuilt(t *testing.T) {
	if testing.Short() {
		t.Skip("builds networks")
	}
	for _, name := range []string{"lenet5", "lenet-300-100", "resnet20"} {
		n := built(name, 1)
		r := apply(t, "dummy=0.3", n, nil)
		t.Logf("%s: %d groups, %d dummies; left: %v; off by %v", name, r.Reports[0].Groups, r.Reports[0].Neurons, r.Reports[0].Left, r.Reports[0].Proof)
		r = apply(t, "remove=0.3", n, nil)
		t.Logf("%s: %d groups, %d removed; left: %v", name, r.Reports[0].Groups, r.Reports[0].Neurons, r.Reports[0].Left)
	}
}

// A depthwise convolution gets as many groups as it has channels, and a Reshape of
// numbers other numbers.
func TestRepair(t *testing.T) {
	n := depthwise(1)
	r := apply(t, "dummy=0.5", n, nil)
	if len(r.Reports[0].Left) > 0 || r.Reports[0].Groups != 2 || !r.Regraphed {
		t.Fatalf("%+v", r.Reports[0])
	}
	r = apply(t, "remove=0.25", n, nil)
	if r.Spec.Groups[0].Size != 6 || r.Reports[0].Groups != 2 {
		t.Errorf("%+v", r.Reports[0])
	}
	if _, err := symmetry.Evaluate(r.Graph, map[string]*graph.Value{"x": {Type: "F32", Shape: []int64{1, 1, 6, 6}, Float: make([]float64, 36)}}); err != nil {
		t.Errorf("removed: %v", err)
	}
	// A norm over the neurons sees their number.
	_, err := must(Parse("dummy")).Apply(context.Background(), layerNorm(1), nil)
	if !errors.Is(err, ErrNetwork) || !strings.Contains(err.Error(), "the function would change") {
		t.Errorf("dummies before a layer norm: %v", err)
	}
}

// The neurons with the smallest weights go.
func TestRemove(t *testing.T) {
	n := small(2)
	r := apply(t, "remove=0.25", n, nil)
	for i := range n.Spec.Groups {
		g := &n.Spec.Groups[i]
		gone := int(math.Round(0.25 * float64(g.Size)))
		if got := r.Truth.Removed[g.Name]; len(got) != gone || r.Spec.Groups[i].Size != g.Size-gone {
			t.Errorf("group %s: %d of %d are gone, %d left", g.Name, len(got), g.Size, r.Spec.Groups[i].Size)
		}
	}
	// b.weight alone makes the neurons of its group.
	w := floats(t, n.Set, "b.weight")
	sums := make([]float64, 12)
	for i, v := range w {
		sums[i/72] += math.Abs(float64(v))
	}
	var name string
	for i := range n.Spec.Groups {
		if n.Spec.Groups[i].Size == 12 {
			name = n.Spec.Groups[i].Name
		}
	}
	gone := r.Truth.Removed[name]
	for _, j := range gone {
		for k, s := range sums {
			if s < sums[j] && !slices.Contains(gone, k) {
				t.Errorf("neuron %d is gone, and %d, which is smaller, is not", j, k)
			}
		}
	}
	// What stays is what it was.
	is, at := floats(t, r.Set, "b.weight"), 0
	in := r.Truth.Element[n.Spec.Groups[0].Name].Order
	for j := range 12 {
		if slices.Contains(gone, j) {
			continue
		}
		for _, c := range in {
			for k := range 9 {
				if is[at] != w[j*72+c*9+k] {
					t.Fatalf("neuron %d, input %d: %g, want %g", j, c, is[at], w[j*72+c*9+k])
				}
				at++
			}
		}
	}
	if at != len(is) {
		t.Errorf("%d numbers, want %d", len(is), at)
	}
}
