package align

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// Of more than a thousand pairs of networks that have nothing to do with each other,
// of several shapes and gauges, some damaged alike, none counts as related, and no
// neuron of any has a certainty. (Log evidence above 10 has a chance below e^-10 in
// each, if the bound holds.)
func TestStrangers(t *testing.T) {
	const pairs = 1024
	sweeps := 2 // 27 s of processor time with 8, and the same outcome
	if os.Getenv("ROPEWALK_TABLES") != "" {
		sweeps = 8
	}
	worst := math.Inf(-1)
	for seed := range uint64(pairs) {
		r := rand.New(rand.NewPCG(seed, 2024))
		g := [][]Gauge{nil, {Positive}, {Nonzero}, {Sign}}[seed%4]
		shape := r.Uint64()
		n, m := tinyNet(rand.New(rand.NewPCG(shape, 1)), r, g), tinyNet(rand.New(rand.NewPCG(shape, 1)), r, g)
		switch seed % 5 {
		case 1:
			n.damage(func(x []float32) { prune(x, 0.7) })
			m.damage(func(x []float32) { prune(x, 0.7) })
		case 2:
			m.damage(func(x []float32) { quantize(x, 2) })
		}
		res := must(MatchNetworks(n.network(), m.network(), &NetworkOptions{Options: Options{Threads: 1}, Sweeps: sweeps}))
		worst = max(worst, res.LogEvidence)
		if res.Related {
			t.Errorf("pair %d %v: log evidence %.1f (z %.1f)", seed, g, res.LogEvidence, res.Z)
		}
		for _, c := range res.Classes {
			if x := slices.Max(c.Certainty); x > 0 {
				t.Errorf("pair %d %v: class %s has certainties up to %v", seed, g, c.Name, x)
			}
		}
	}
	t.Logf("largest log evidence of %d pairs of strangers: %.1f", pairs, worst)
}

// tinyNet has three layers of 6 to 14 neurons, as shape says, and weights drawn from r.
func tinyNet(shape, r *rand.Rand, g []Gauge) *testNet {
	n := newTestNet()
	size := func() int { return 6 + shape.IntN(9) }
	w := [...]int{size(), size(), size(), size()}
	n.he(r, "a.weight", w[1], w[0])
	n.bias(r, "a.bias", w[1], 0.05)
	n.he(r, "b.weight", w[2], w[1])
	n.bias(r, "b.bias", w[2], 0.05)
	n.he(r, "c.weight", w[3], w[2])
	n.spec.Classes = []Class{dense("a", "b", w[1], 1, g), dense("b", "c", w[2], 1, g)}
	return n
}
