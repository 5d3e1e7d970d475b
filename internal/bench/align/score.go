package main

import (
	"context"
	"fmt"
	"math"
	"slices"

	"ropewalk/align"
	"ropewalk/attack"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// attacked does what the chain says to a network, on the groups of the given names (all
// if there are none), without a proof that what should preserve the function does: the
// tests of package attack have that.
func attacked(ctx context.Context, n attack.Network, chain string, seed uint64, tr *attack.Trainer, only ...string) (*attack.Result, error) {
	c, err := attack.Parse(chain)
	if err != nil {
		return nil, err
	}
	r, err := c.Apply(ctx, n, &attack.Options{Seed: seed, Only: only, Unproved: true, Trainer: tr})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", chain, err)
	}
	// Each method reads them, and each reading would do the attack again.
	if r.Set, err = inMemory(r.Set); err != nil {
		return nil, fmt.Errorf("%s: %w", chain, err)
	}
	return r, nil
}

// inMemory returns a set of the same tensors that is computed already.
func inMemory(set *tensor.Set) (*tensor.Set, error) {
	list := make([]*tensor.Tensor, 0, set.Len())
	for _, t := range set.All() {
		b, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		list = append(list, &tensor.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Data: tensor.Bytes(b)})
	}
	return tensor.NewSet(list...)
}

// match matches with a method.
func match(ctx context.Context, c *config, ref, sus attack.Network, m align.Method) (*align.NetworkResult, error) {
	own, err := align.FromSymmetry(ref.Spec)
	if err != nil {
		return nil, err
	}
	others, err := own.Resize(sus.Set)
	if err != nil {
		return nil, err
	}
	return align.MatchNetworks(align.Network{Set: ref.Set, Spec: own}, align.Network{Set: sus.Set, Spec: others},
		&align.NetworkOptions{Options: align.Options{Method: m, Threads: c.threads}, Context: ctx})
}

// A score counts neurons of the original network that are still there.
type score struct {
	neurons, right int
	living, found  int // of those that are not dead, see dead
	added, known   int // dummies; those explained as some kind of dummy
	named          int // as the kind that they are
}

func (s *score) psi() float64  { return percent(s.right, s.neurons) }
func (s *score) live() float64 { return percent(s.found, s.living) }

func percent(part, whole int) float64 {
	if whole == 0 {
		return math.NaN()
	}
	return 100 * float64(part) / float64(whole)
}

// judge holds what was found against what happened. Of a neuron that was split each
// part is right. Neurons that are gone do not count, unless they are said to be there.
func judge(found *align.NetworkResult, truth *attack.Truth, dead map[string][]bool) *score {
	s := &score{}
	for i := range found.Classes {
		c := &found.Classes[i]
		order := make([]int, len(c.Ref)) // what each of the suspect was
		for j := range order {
			order[j] = j
		}
		if m := truth.Element[c.Name]; m != nil && m.Order != nil {
			order = m.Order
		}
		parts := map[int]int{}
		kinds := map[int]attack.DummyKind{}
		for _, a := range truth.Added[c.Name] {
			kinds[a.Neuron] = a.Kind
			if a.Kind == attack.SplitDummy && a.Of >= 0 {
				parts[a.Neuron] = order[a.Of]
				kinds[a.Of] = attack.SplitDummy
			}
		}
		was := slices.Repeat([]int{-1}, len(c.Sus))
		for j, k := range order {
			if k >= 0 {
				was[k] = j
			}
		}
		for k, j := range c.Sus {
			if was[k] < 0 {
				continue
			}
			of, split := parts[j]
			ok := j == was[k] || j >= 0 && split && of == k
			s.neurons++
			if ok {
				s.right++
			}
			if !dead[c.Name][k] {
				s.living++
				if ok {
					s.found++
				}
			}
		}
		s.added += len(truth.Added[c.Name])
		for _, d := range c.Added {
			if string(d.Kind) == string(kinds[d.Sus]) {
				s.named++
			}
			if d.Kind != align.Stranger && kinds[d.Sus] != "" {
				s.known++
			}
		}
	}
	return s
}

// deadShare is how small the weights of a dead neuron are beside those of the group.
const deadShare = 1e-3

// dead names the neurons of a network that do nothing: the product of the mean squares
// of their incoming and of their outgoing weights, which scaling does not change, is less
// than deadShare² of the median of the group. Training has given up on them, and with them
// all that is known of them is what their norms happen to hold.
func dead(n attack.Network) (map[string][]bool, error) {
	out := map[string][]bool{}
	for i := range n.Spec.Groups {
		g := &n.Spec.Groups[i]
		var in, on []float64
		for k := range g.Places {
			p := &g.Places[k]
			t := n.Set.Lookup(p.Tensor)
			if len(t.Shape) < 2 || p.Role != symmetry.Incoming && p.Role != symmetry.Outgoing {
				continue
			}
			x, err := t.Float32s()
			if err != nil {
				return nil, err
			}
			sums := make([]float64, g.Size)
			inner := 1
			for _, d := range t.Shape[p.Axis+1:] {
				inner *= int(d)
			}
			length := int(t.Shape[p.Axis])
			for o := range len(x) / (length * inner) {
				for i := range g.Size {
					for r := range p.Run {
						for _, v := range x[(o*length+p.Position(i, r))*inner:][:inner] {
							sums[i] += float64(v) * float64(v)
						}
					}
				}
			}
			to := &in
			if p.Role == symmetry.Outgoing {
				to = &on
			}
			if *to == nil {
				*to = make([]float64, g.Size)
			}
			for i, s := range sums {
				(*to)[i] += s
			}
		}
		size := slices.Repeat([]float64{1}, g.Size)
		for _, sums := range [][]float64{in, on} {
			for i, s := range sums {
				size[i] *= s
			}
		}
		sorted := slices.Sorted(slices.Values(size))
		least := deadShare * deadShare * sorted[len(sorted)/2]
		flags := make([]bool, g.Size)
		for i, s := range size {
			flags[i] = s < least
		}
		out[g.Name] = flags
	}
	return out, nil
}

// A spread is the mean, the least and the deviation of several runs.
type spread []float64

func (s spread) mean() float64 {
	sum := 0.0
	for _, x := range s {
		sum += x
	}
	return sum / float64(len(s))
}

// String is "mean ±deviation", or the mean alone if all are equal.
func (s spread) String() string {
	if len(s) == 0 || math.IsNaN(s[0]) {
		return "-"
	}
	m, v := s.mean(), 0.0
	for _, x := range s {
		v += (x - m) * (x - m)
	}
	if v == 0 {
		return fmt.Sprintf("%.2f", m)
	}
	return fmt.Sprintf("%.2f ±%.2f", m, math.Sqrt(v/float64(len(s)-1)))
}
