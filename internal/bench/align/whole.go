package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"ropewalk/align"
	"ropewalk/attack"
	"ropewalk/graph"
	"ropewalk/internal/bench/rival"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// coldAttacks damage all weights of a network.
var coldAttacks = []string{
	"noise=1", "quantize=3", "prune=0.9", "noise=2", "quantize=2", "prune=0.95", "noise=3", "prune=0.99",
	"scale=0.5+noise=1", "scale=0.5+prune=0.9", "prune=0.9+quantize=4+noise=1",
}

var quickColdAttacks = []string{"noise=1", "quantize=2", "prune=0.95"}

// coldTable shuffles all groups at once.
func coldTable(ctx context.Context, c *config, s *subject, b *strings.Builder) error {
	n := s.Network
	flags, err := dead(n)
	if err != nil {
		return err
	}
	total, still := 0, 0
	for _, f := range flags {
		total += len(f)
		for _, x := range f {
			if x {
				still++
			}
		}
	}
	fmt.Fprintf(b, "### %s (%s): %d groups, %d neurons, of which %d are dead\n\n", s.name, s.from, len(n.Spec.Groups), total, still)
	attacks := coldAttacks
	if c.quick {
		attacks = quickColdAttacks
	}
	var rows [][]string
	for _, a := range attacks {
		if !c.attacks.MatchString(a) {
			continue
		}
		start := time.Now()
		var cold, live, outer, paper, certain spread
		for seed := range uint64(c.seeds) {
			damaged, err := attacked(ctx, n, a, seed, nil)
			if err != nil {
				return err
			}
			if damaged.Set, err = jittered(damaged.Network, c.norms, seed); err != nil {
				return err
			}
			sus, err := attacked(ctx, damaged.Network, "permute+scale=0.5", seed, nil)
			if err != nil {
				return err
			}
			r, err := match(ctx, c, n, sus.Network, align.Joint)
			if err != nil {
				return err
			}
			x := judge(r, sus.Truth, flags)
			cold, live = append(cold, x.psi()), append(live, x.live())
			certain = append(certain, certainty(r))
			if r, err = match(ctx, c, n, sus.Network, align.Paper); err != nil {
				return err
			}
			paper = append(paper, judge(r, sus.Truth, flags).psi())
			if int(seed) >= c.outer {
				continue
			}
			v, err := outerKnown(ctx, c, n, a, seed, flags)
			if err != nil {
				return err
			}
			outer = append(outer, v)
		}
		row := []string{a, cold.String(), live.String(), outer.String(), paper.String(), certain.String()}
		fmt.Fprintf(os.Stderr, "%s, %v: %s\n", s.name, time.Since(start).Round(time.Second), strings.Join(row, " | "))
		rows = append(rows, row)
	}
	rival.Table(b, []string{"attack, then permute+scale=0.5", "cold start", "without dead neurons", "outer axes known", "paper, cold", "certain of, %"}, rows)
	if c.norms > 0 {
		fmt.Fprintf(b, "\nBiases, and scale, shift, mean and variance of norms, times 1 + N(0, %g²), but for the outer axes known.\n", c.norms)
	}
	fmt.Fprintf(b, "\n%d seeds, outer axes known for %d of them.\n", c.seeds, min(c.seeds, c.outer))
	return nil
}

// jittered returns the tensors with each number of biases and norms times
// 1 + N(0, sigma²), at least a tenth: what the paper's attacks leave alone, and
// training does not.
func jittered(n attack.Network, sigma float64, seed uint64) (*tensor.Set, error) {
	if sigma == 0 {
		return n.Set, nil
	}
	var changed []*tensor.Tensor
	seen := map[string]bool{}
	r := rand.New(rand.NewPCG(seed, 0x6a17))
	for i := range n.Spec.Groups {
		for k := range n.Spec.Groups[i].Places {
			t := n.Set.Lookup(n.Spec.Groups[i].Places[k].Tensor)
			if len(t.Shape) != 1 || seen[t.Name] {
				continue
			}
			seen[t.Name] = true
			x, err := t.Float32s()
			if err != nil {
				return nil, err
			}
			for i := range x {
				x[i] *= float32(math.Max(0.1, 1+sigma*r.NormFloat64()))
			}
			changed = append(changed, &tensor.Tensor{Name: t.Name, DType: tensor.F32, Shape: t.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
		}
	}
	return tensor.Overlay(n.Set, changed...)
}

// certainty is the percentage of neurons that the result is certain of.
func certainty(r *align.NetworkResult) float64 {
	sure, all := 0, 0
	for i := range r.Classes {
		for _, x := range r.Classes[i].Certainty {
			all++
			if x > 0.5 {
				sure++
			}
		}
	}
	return percent(sure, all)
}

// outerKnown matches group after group, each with all others in their order.
func outerKnown(ctx context.Context, c *config, n attack.Network, a string, seed uint64, flags map[string][]bool) (float64, error) {
	damaged, err := attacked(ctx, n, a, seed, nil)
	if err != nil {
		return 0, err
	}
	var sum score
	for i := range n.Spec.Groups {
		spec := &symmetry.Spec{Groups: n.Spec.Groups[i : i+1]}
		ref := attack.Network{Spec: spec}
		if ref.Set, err = touched(n.Set, spec); err != nil {
			return 0, err
		}
		own := attack.Network{Spec: spec}
		if own.Set, err = touched(damaged.Set, spec); err != nil {
			return 0, err
		}
		sus, err := attacked(ctx, own, "permute+scale=0.5", seed, nil)
		if err != nil {
			return 0, err
		}
		r, err := match(ctx, c, ref, sus.Network, align.Joint)
		if err != nil {
			return 0, err
		}
		x := judge(r, sus.Truth, flags)
		sum.right, sum.neurons = sum.right+x.right, sum.neurons+x.neurons
	}
	return sum.psi(), nil
}

// gaugeAttacks leave the function as it is, but for the last ones.
var gaugeAttacks = []string{
	"permute+scale=0.7+sign", "dummy=0.5+permute+scale=0.7", "dummy=1+permute+scale=0.7",
	"dummy=1+permute+scale=0.7+quantize=8", "remove=0.2+permute", "remove=0.2:random+permute+scale=0.7",
}

// damagedDummies are no exact dummies any more.
var damagedDummies = []string{
	"dummy:zero+quantize=8", "dummy:zero+quantize=4", "dummy:zero+noise=1", "dummy:zero+prune=0.9",
	"dummy:clique+quantize=4", "dummy:clique+noise=1", "dummy:clique+prune=0.9",
	"dummy:split+quantize=8", "dummy:split+quantize=4", "dummy:split+noise=1", "dummy:split+prune=0.9",
	"remove=0.2+dummy:zero", "remove=0.2+dummy:zero+quantize=4",
}

// gaugeTable looks for neurons that were rescaled, among dummies, or beside gaps.
func gaugeTable(ctx context.Context, c *config, s *subject, b *strings.Builder) error {
	flags, err := dead(s.Network)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "### %s (%s), other attacks\n\n", s.name, s.from)
	var rows [][]string
	attacks := gaugeAttacks
	if !c.quick {
		attacks = slices.Concat(attacks, damagedDummies)
	}
	for _, a := range attacks {
		if !c.attacks.MatchString(a) {
			continue
		}
		var psi, live, known, named, apart spread
		for seed := range uint64(c.seeds) {
			sus, err := attacked(ctx, s.Network, a, seed, nil)
			if err != nil {
				return err
			}
			r, err := match(ctx, c, s.Network, sus.Network, align.Joint)
			if err != nil {
				return err
			}
			x := judge(r, sus.Truth, flags)
			psi, live = append(psi, x.psi()), append(live, x.live())
			known, named = append(known, percent(x.known, x.added)), append(named, percent(x.named, x.added))
			if strings.HasPrefix(a, "remove") {
				continue
			}
			back, err := align.Restore(s.Spec, sus.Set, r)
			if err != nil {
				return err
			}
			d, err := difference(s.Graph, back)
			if err != nil {
				return err
			}
			apart = append(apart, d)
		}
		worst := "-"
		if len(apart) > 0 {
			top := 0.0
			for _, d := range apart {
				top = math.Max(top, d)
			}
			worst = fmt.Sprintf("%.1e", top)
		}
		rows = append(rows, []string{a, psi.String(), live.String(), known.String(), named.String(), worst})
	}
	rival.Table(b, []string{"attack", "Ψ of the real neurons", "without dead ones", "dummies known, %", "kind right, %", "outputs apart, worst"}, rows)
	fmt.Fprintf(b, "\n%d seeds. Outputs of the restored network and of the original on the same noise, relative to the largest.\n", c.seeds)
	return nil
}

// difference is how far the outputs of a graph with other weights are from its own, on
// Gaussian noise, relative to the largest.
func difference(g *graph.Graph, set *tensor.Set) (float64, error) {
	other, err := g.WithWeights(set)
	if err != nil {
		return 0, err
	}
	r := rand.New(rand.NewPCG(1, 1))
	inputs := map[string]*graph.Value{}
	for _, in := range g.Inputs {
		v := &graph.Value{Type: in.Type}
		n := 1
		for k, d := range in.Shape {
			size := d.Size
			if k == 0 && size < 0 {
				size = 1
			}
			v.Shape = append(v.Shape, size)
			n *= int(size)
		}
		for range n {
			v.Float = append(v.Float, float64(float32(r.NormFloat64())))
		}
		inputs[in.Name] = v
	}
	a, err := symmetry.Evaluate(g, inputs)
	if err != nil {
		return 0, err
	}
	b, err := symmetry.Evaluate(other, inputs)
	if err != nil {
		return 0, err
	}
	worst := 0.0
	for name, x := range a {
		top, apart := 0.0, 0.0
		for i, v := range x.Float {
			top = math.Max(top, math.Abs(v))
			apart = math.Max(apart, math.Abs(v-b[name].Float[i]))
		}
		worst = math.Max(worst, apart/top)
	}
	return worst, nil
}
