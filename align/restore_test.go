package align

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// toSymmetry is FromSymmetry backwards.
func toSymmetry(s *Spec) *symmetry.Spec {
	out := &symmetry.Spec{}
	for _, c := range s.Classes {
		g := symmetry.Group{Name: c.Name, Size: c.Size}
		for _, f := range c.Factors {
			g.Factors = append(g.Factors, symmetry.Gauge(f))
		}
		for _, p := range c.Places {
			q := symmetry.Place{Tensor: p.Tensor, Axis: p.Axis, At: p.At, Run: max(1, p.Run), Stride: max(1, p.Stride), Role: symmetry.Role(p.Role)}
			for _, a := range p.Acts {
				q.Acts = append(q.Acts, symmetry.Act(a))
			}
			g.Places = append(g.Places, q)
		}
		out.Groups = append(out.Groups, g)
	}
	return out
}

// restoreAligned restores m, and loads what comes out.
func restoreAligned(n, m *testNet, res *NetworkResult) (*side, error) {
	set, err := Restore(toSymmetry(n.spec), m.network().Set, res)
	if err != nil {
		return nil, err
	}
	return load(Network{set, n.spec}, "restored")
}

// A network that a random element of its group was done to comes back: bit for bit
// if it was only moved, whatever its type, or multiplied by powers of two.
func TestRestore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		r := rand.New(rand.NewPCG(seed, 1))
		gauge := rapid.IntRange(-1, int(Sign)).Draw(t, "gauge")
		var g []Gauge
		if gauge >= 0 {
			g = []Gauge{Gauge(gauge)}
		}
		n := randomNet(r, g)
		to := rapid.SampledFrom([]tensor.DType{tensor.F32, tensor.F64, tensor.F16, tensor.BF16}).Draw(t, "type")
		var list []*tensor.Tensor
		for _, x := range n.network().Set.All() {
			list = append(list, tensor.Cast(x, to))
		}
		set := must(tensor.NewSet(list...))
		spec := toSymmetry(n.spec)
		o := &symmetry.RandomOptions{Seed: seed}
		// Small halves are subnormal: a power of two costs them bits that nothing brings back.
		if to != tensor.F16 && rapid.Bool().Draw(t, "factors") {
			o.Scale, o.Signs, o.Powers = 0.7, true, true
		}
		own := must(FromSymmetry(spec))
		if !must(MatchNetworks(Network{set, own}, Network{set, own}, nil)).Related {
			t.Skip("so small that the evidence does not tell even the network itself from strangers")
		}
		sus := must(symmetry.Apply(spec, set, spec.Random(o)))
		res, err := MatchNetworks(Network{set, own}, Network{sus, own}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !res.Related {
			t.Fatalf("log evidence %.1f", res.LogEvidence)
		}
		back := must(Restore(spec, sus, res))
		for i, x := range back.All() {
			a, b := must(set.At(i).Bytes()), must(x.Bytes())
			if !bytes.Equal(a, b) {
				t.Fatalf("%s of type %s, gauge %v: tensor %s came back with other bits", n.kind(), to, g, x.Name)
			}
		}
	})
}

// randomNet draws a network of one of several shapes.
func randomNet(r *rand.Rand, g []Gauge) *testNet {
	switch r.IntN(5) {
	case 0:
		return smallNet(r, g)
	case 1: // flatten
		n := newTestNet()
		c, u := 6+r.IntN(10), 20+r.IntN(30)
		n.he(r, "conv.weight", c, 3, 3, 3)
		n.bias(r, "conv.bias", c, 0.1)
		n.he(r, "fc.weight", u, c*4)
		n.bias(r, "fc.bias", u, 0.1)
		n.he(r, "out.weight", 10, u)
		n.spec.Classes = []Class{dense("conv", "fc", c, 4, g), dense("fc", "out", u, 1, g)}
		return n
	case 2: // heads, whose places have no factors here
		return attention(r, 4+r.IntN(6), 6+r.IntN(8), 40+r.IntN(40))
	case 3: // residual: a stream that three layers write, with a branch
		n := newTestNet()
		w, u := 16+r.IntN(16), 20+r.IntN(20)
		n.he(r, "in.weight", w, 12)
		n.he(r, "up.weight", u, w)
		n.bias(r, "up.bias", u, 0.1)
		n.he(r, "down.weight", w, u)
		n.he(r, "out.weight", 10, w)
		n.spec.Classes = []Class{
			{Name: "stream", Size: w, Places: []Place{
				{Tensor: "in.weight", Role: Incoming},
				{Tensor: "up.weight", Axis: 1, Role: Outgoing},
				{Tensor: "down.weight", Role: Incoming},
				{Tensor: "out.weight", Axis: 1, Role: Outgoing},
			}},
			dense("up", "down", u, 1, g),
		}
		return n
	default: // concat: two layers that one reads side by side, one of them depthwise
		n := newTestNet()
		a, b := 8+r.IntN(16), 8+r.IntN(16)
		n.he(r, "a.weight", a, 24)
		n.bias(r, "a.bias", a, 0.1)
		n.he(r, "b.weight", b, 24)
		n.he(r, "b.depth", b, 1, 3, 3)
		n.he(r, "c.weight", 20, a+b)
		ca, cb := dense("a", "c", a, 1, g), Class{Name: "b", Size: b, Factors: g, Places: []Place{
			{Tensor: "b.weight", Role: Incoming, Acts: in},
			{Tensor: "b.depth", Role: Parameter},
			{Tensor: "c.weight", Axis: 1, Role: Outgoing, Acts: out},
		}}
		if len(g) == 0 {
			for p := range cb.Places {
				cb.Places[p].Acts = nil
			}
		}
		at := make([]int, a)
		for i := range at {
			at[i] = i
		}
		ca.Places[2].At = at
		bt := make([]int, b)
		for i := range bt {
			bt[i] = a + i
		}
		cb.Places[2].At = bt
		n.spec.Classes = []Class{ca, cb}
		return n
	}
}

// kind names the network in messages.
func (n *testNet) kind() string { return n.names[0] }
