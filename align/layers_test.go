package align

import (
	"math/rand/v2"
	"testing"
)

// attention is a block with heads: queries, keys and values in one matrix of 3 × heads
// × width rows, whose heads can be exchanged, and whose places within heads can, in all
// heads alike (for values; queries and keys are tied by their product, too). Two
// classes cross on one axis.
func attention(r *rand.Rand, heads, width, model int) *testNet {
	n := newTestNet()
	size := heads * width
	n.he(r, "embed.weight", model, 24)
	n.he(r, "qkv.weight", 3*size, model)
	n.bias(r, "qkv.bias", 3*size, 0.1)
	n.he(r, "proj.weight", 16, size)
	blocks := Class{Name: "heads", Size: heads}
	inner := Class{Name: "within", Size: width}
	starts := func(first, n, step int) (at []int) {
		for i := range n {
			at = append(at, first+i*step)
		}
		return at
	}
	for part := range 3 {
		for _, name := range []string{"qkv.weight", "qkv.bias"} {
			role := Incoming
			if name == "qkv.bias" {
				role = Parameter
			}
			blocks.Places = append(blocks.Places, Place{Tensor: name, Axis: 0, At: starts(part*size, heads, width), Run: width, Role: role})
			if part == 2 {
				inner.Places = append(inner.Places, Place{Tensor: name, Axis: 0, At: starts(part*size, width, 1), Run: heads, Stride: width, Role: role})
			}
		}
	}
	blocks.Places = append(blocks.Places, Place{Tensor: "proj.weight", Axis: 1, At: starts(0, heads, width), Run: width, Role: Outgoing})
	inner.Places = append(inner.Places, Place{Tensor: "proj.weight", Axis: 1, At: starts(0, width, 1), Run: heads, Stride: width, Role: Outgoing})
	n.spec.Classes = []Class{
		{Name: "stream", Size: model, Places: []Place{
			{Tensor: "embed.weight", Axis: 0, Role: Incoming}, {Tensor: "qkv.weight", Axis: 1, Role: Outgoing},
		}},
		blocks, inner,
	}
	return n
}

// Heads, and what is in them, are both put in order, from a cold start, also where
// noise and pruning came in between.
func TestHeads(t *testing.T) {
	for name, damage := range map[string]func(r *rand.Rand, x []float32){
		"none":     func(*rand.Rand, []float32) {},
		"noise 1":  func(r *rand.Rand, x []float32) { noise(r, x, 1) },
		"prune .9": func(_ *rand.Rand, x []float32) { prune(x, .9) },
	} {
		for seed := range uint64(3) {
			r := rand.New(rand.NewPCG(seed, 77))
			n := attention(r, 12, 16, 96)
			m := n.clone()
			m.damage(func(x []float32) { damage(r, x) })
			truth := m.shuffled(r)
			res := must(MatchNetworks(n.network(), m.network(), nil))
			if got := psi(res, truth); got != 100 || !res.Related {
				t.Errorf("%s, seed %d: found %.2f %%, log evidence %.0f", name, seed, got, res.LogEvidence)
				for _, c := range res.Classes {
					t.Logf("%s: %.1f %% %+v", c.Name, Psi(&c.Matching, truth[c.Name]), c.Views)
				}
			}
		}
	}
}
