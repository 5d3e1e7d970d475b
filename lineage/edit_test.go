package lineage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/align"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/internal/randomnet"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// A lab is a network to be edited, by tensors of float32 in memory.
type lab struct {
	spec *symmetry.Spec
	g    *graph.Graph
	set  *tensor.Set
}

func newLab(g *graph.Graph) *lab {
	return &lab{must(symmetry.Derive(g, nil)), g, g.Weights}
}

// values returns a copy of a tensor's numbers.
func values(s *tensor.Set, name string) []float32 {
	return tensor.F32.AppendFloat32s(nil, must(s.Lookup(name).Bytes()))
}

// with returns the set with other numbers in a tensor.
func with(s *tensor.Set, name string, x []float32) *tensor.Set {
	t := *s.Lookup(name)
	t.Data = tensor.Bytes(t.DType.AppendFloats(nil, x))
	return must(tensor.Overlay(s, &t))
}

// find matches and looks for edits.
func (l *lab) find(t interface{ Fatal(...any) }, sus *tensor.Set) (*editReport, *align.NetworkResult) {
	own := must(align.FromSymmetry(l.spec))
	m, err := align.MatchNetworks(align.Network{Set: l.set, Spec: own}, align.Network{Set: sus, Spec: own}, &align.NetworkOptions{Options: align.Options{Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	back, err := align.Restore(l.spec, sus, m)
	if err != nil {
		t.Fatal(err)
	}
	r, err := findEdits(context.Background(), l.spec, l.set, back, sus, m, &editOptions{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return r, m
}

func texts(edits []Edit) (s string) {
	for _, e := range edits[:min(12, len(edits))] {
		s += fmt.Sprintf("\n%s: %s (size %g, own %v, same %s)", e.What, e.Text, e.Size, e.Own, e.Same)
	}
	return s
}

// floatNames lists the tensors that hold numbers.
func floatNames(s *tensor.Set) (names []string) {
	for _, t := range s.All() {
		if t.DType == tensor.F32 && t.Elems() > 0 && len(t.Shape) > 0 {
			names = append(names, t.Name)
		}
	}
	return names
}

// trained returns a network with numbers in its statistics and biases, as after training.
func trained(g *graph.Graph, seed uint64) *graph.Graph {
	r := rand.New(rand.NewPCG(seed, 9))
	set := g.Weights
	for _, name := range floatNames(set) {
		x := values(set, name)
		if len(set.Lookup(name).Shape) != 1 {
			continue
		}
		for k := range x {
			switch {
			case x[k] == 1: // scale or variance
				x[k] = float32(math.Exp(0.3 * r.NormFloat64()))
			case x[k] == 0:
				x[k] = float32(0.2 * r.NormFloat64())
			}
		}
		set = with(set, name, x)
	}
	h := *g
	h.Weights = set
	return &h
}

// A single number that is changed by one unit in the last place, in a network whose neurons
// are in another order, is named, and nothing else is.
func TestOneULP(t *testing.T) {
	trials := func(t *testing.T, l *lab, trials int, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		names := floatNames(l.set)
		for trial := range trials {
			name := names[r.IntN(len(names))]
			if trial < 4 { // first and last
				name = names[[]int{0, 1, len(names) - 2, len(names) - 1}[trial]]
			}
			x := values(l.set, name)
			k := r.IntN(len(x))
			x[k] = math.Nextafter32(x[k], float32(math.Inf(1-2*r.IntN(2))))
			e := l.spec.Random(&symmetry.RandomOptions{Seed: r.Uint64()})
			sus := must(symmetry.Apply(l.spec, with(l.set, name, x), e))
			got, _ := l.find(t, sus)
			index := (&pairedTensor{dims: dimsOf(l.set.Lookup(name)), x: nil}).index(k)
			if len(got.Edits) != 1 || got.Total != 1 || got.Edits[0].Tensor != name || !slices.Equal(got.Edits[0].Index, index) || got.Edits[0].ULPs != 1 {
				t.Fatalf("trial %d: %s%v changed, found: %s\n%v", trial, name, index, texts(got.Edits), l.spec)
			}
			// The place in the suspect's file holds the changed number.
			at := 0
			for a, i := range got.Edits[0].Own {
				at = at*dimsOf(l.set.Lookup(name))[a] + i
			}
			if v := values(sus, name)[at]; v != x[k] {
				t.Fatalf("%s%v is said to be at %v of the suspect, where %g is, not %g", name, index, got.Edits[0].Own, v, x[k])
			}
		}
	}
	t.Run("small", func(t *testing.T) {
		trials(t, newLab(trained(must(nets.Build("lenet5", &nets.Options{Seed: 1})), 1)), 6, 1)
	})
	t.Run("resnet32", func(t *testing.T) {
		trials(t, newLab(trained(must(nets.Build("resnet32", &nets.Options{Seed: 2})), 2)), 4, 2)
	})
	t.Run("random", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			l := newLab(randomnet.Draw(t))
			if !told(l) {
				t.Skip("so small that it cannot be told even from itself")
			}
			seed := rapid.Uint64().Draw(t, "edit")
			r := rand.New(rand.NewPCG(seed, 1))
			names := floatNames(l.set)
			name := names[r.IntN(len(names))]
			x := values(l.set, name)
			k := r.IntN(len(x))
			x[k] = math.Nextafter32(x[k], float32(math.Inf(1-2*r.IntN(2))))
			sus := must(symmetry.Apply(l.spec, with(l.set, name, x), l.spec.Random(&symmetry.RandomOptions{Seed: seed})))
			got, _ := l.find(t, sus)
			index := (&pairedTensor{dims: dimsOf(l.set.Lookup(name))}).index(k)
			if len(got.Edits) != 1 || got.Edits[0].Tensor != name || !slices.Equal(got.Edits[0].Index, index) || got.Edits[0].ULPs != 1 {
				t.Fatalf("%s%v changed, found: %s\n%v", name, index, texts(got.Edits), l.spec)
			}
		})
	})
}

func dimsOf(t *tensor.Tensor) (dims []int) {
	for _, d := range t.Shape {
		dims = append(dims, int(d))
	}
	return dims
}

// told reports whether align can tell a network from strangers.
func told(l *lab) bool {
	own := must(align.FromSymmetry(l.spec))
	n := align.Network{Set: l.set, Spec: own}
	m, err := align.MatchNetworks(n, n, nil)
	return err == nil && m.Related
}

// Whatever element of its group is done to a network, no edit is named.
func TestNoEdits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLab(randomnet.Draw(t))
		if !told(l) {
			t.Skip("so small that it cannot be told even from itself")
		}
		o := &symmetry.RandomOptions{Seed: rapid.Uint64().Draw(t, "element")}
		if rapid.Bool().Draw(t, "factors") {
			o.Scale, o.Signs, o.Powers = 0.7, true, rapid.Bool().Draw(t, "powers")
		}
		e := must(l.spec.Fit(l.set, l.spec.Random(o)))
		sus := must(symmetry.Apply(l.spec, l.set, e))
		if got, m := l.find(t, sus); got.Total != 0 {
			t.Fatalf("%+v: found: %s\n%v\n%s", o, texts(got.Edits), l.spec, orders(l, m, e))
		}
	})
}

// orders tells of each class who was taken for whom, and how sure that is.
func orders(l *lab, m *align.NetworkResult, e symmetry.Element) (s string) {
	inv := must(l.spec.Inverse(e))
	for k := range m.Classes {
		c := &m.Classes[k]
		s += fmt.Sprintf("%s: %v, in truth %v, certainty %.2f\n", c.Name, c.Sus, inv[c.Name], c.Certainty)
	}
	return s
}

// A search that is called off ends at once, wherever it is.
func TestFindEditsCalledOff(t *testing.T) {
	l := newLab(trained(must(nets.Build("lenet-300-100", &nets.Options{Seed: 1})), 1))
	sus := l.set
	for _, name := range floatNames(l.set) {
		x := values(l.set, name)
		for i := range x {
			if i%5 == 0 {
				x[i] *= 1.01 + float32(i%7)/1000
			}
		}
		sus = with(sus, name, x)
	}
	own := must(align.FromSymmetry(l.spec))
	m, err := align.MatchNetworks(align.Network{Set: l.set, Spec: own}, align.Network{Set: sus, Spec: own}, &align.NetworkOptions{Options: align.Options{Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	for after := range 24 {
		ctx := &countdown{Context: context.Background(), left: after}
		if _, err := findEdits(ctx, l.spec, l.set, nil, sus, m, &editOptions{Threads: 1}); !errors.Is(err, context.Canceled) {
			t.Fatalf("called off when it asked for the %d. time: %v", after, err)
		}
		if ctx.asked > after+3 {
			t.Errorf("called off when it asked for the %d. time, and it asked %d times", after, ctx.asked)
		}
	}
}

// A countdown is a context that ends when it has been asked some times whether it has.
type countdown struct {
	context.Context
	left, asked int
}

func (c *countdown) Err() error {
	if c.asked++; c.asked > c.left {
		return context.Canceled
	}
	return nil
}
