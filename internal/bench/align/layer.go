package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"ropewalk/align"
	"ropewalk/attack"
	"ropewalk/internal/bench/rival"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// layerAttacks are the rows of the paper's table.
var layerAttacks = []string{
	"noise=1", "noise=2", "noise=3", "noise=5", "noise=7", "noise=10",
	"finetune=2", "finetune=6", "finetune=10",
	"quantize=8", "quantize=6", "quantize=4", "quantize=3", "quantize=2",
	"prune=0.91", "prune=0.95", "prune=0.98", "prune=0.99",
}

// initialLayerAttacks are fewer: these layers are wide, and all alike.
var initialLayerAttacks = []string{"noise=1", "noise=2", "noise=7", "noise=10", "quantize=4", "quantize=2", "prune=0.91", "prune=0.95", "prune=0.99"}

var quickLayerAttacks = []string{"noise=1", "noise=2", "noise=7", "finetune=2", "quantize=4", "quantize=2", "prune=0.95", "prune=0.99"}

// one returns a network of nothing but the group that a tensor makes, with that tensor
// as the first of those that make it: the axes of all other groups are known.
func one(n attack.Network, layer string) (attack.Network, error) {
	for i := range n.Spec.Groups {
		g := n.Spec.Groups[i]
		first := slices.IndexFunc(g.Places, func(p symmetry.Place) bool { return p.Tensor == layer && p.Role == symmetry.Incoming })
		if first < 0 {
			continue
		}
		g.Places = slices.Clone(g.Places)
		p := g.Places[first]
		g.Places = slices.Insert(slices.Delete(g.Places, first, first+1), 0, p)
		spec := &symmetry.Spec{Groups: []symmetry.Group{g}}
		set, err := touched(n.Set, spec)
		return attack.Network{Set: set, Spec: spec}, err
	}
	return attack.Network{}, fmt.Errorf("no group is made by %s", layer)
}

// touched returns the tensors that a specification speaks of.
func touched(set *tensor.Set, s *symmetry.Spec) (*tensor.Set, error) {
	var list []*tensor.Tensor
	seen := map[string]bool{}
	for i := range s.Groups {
		for k := range s.Groups[i].Places {
			name := s.Groups[i].Places[k].Tensor
			if !seen[name] {
				seen[name] = true
				list = append(list, set.Lookup(name))
			}
		}
	}
	return tensor.NewSet(list...)
}

// layerTable is the paper's protocol: one layer is attacked, or, by quantization and
// training, all that touches it, and shuffled; the order of all other layers is known.
func layerTable(ctx context.Context, c *config, s *subject, b *strings.Builder) error {
	n, err := one(s.Network, s.layer)
	if err != nil {
		return err
	}
	g := &n.Spec.Groups[0]
	d := int(n.Set.Lookup(s.layer).Elems()) / g.Size
	fmt.Fprintf(b, "### %s, %s: %d neurons of %d weights (%s", s.name, s.layer, g.Size, d, s.from)
	if s.from == "trained" {
		fmt.Fprintf(b, " on %s for %d epochs, %.1f %% of the test images right", fashion, c.epochs, s.accuracy)
	}
	b.WriteString(")\n\n")
	attacks := layerAttacks
	if s.from == "initial" {
		attacks = initialLayerAttacks
	}
	if c.quick {
		attacks = quickLayerAttacks
	}
	triggers, err := triggers(n, s.layer, c.seeds)
	if err != nil {
		return err
	}
	var rows [][]string
	worse := 0
	for _, a := range attacks {
		if !c.attacks.MatchString(a) {
			continue
		}
		tuning := strings.HasPrefix(a, "finetune")
		if tuning && s.trainer == nil {
			continue
		}
		var paper, joint, both, ranking, trigger spread
		for seed := range uint64(c.seeds) {
			score := func(m align.Method, sus *attack.Result) (float64, error) {
				r, err := match(ctx, c, n, sus.Network, m)
				if err != nil {
					return 0, err
				}
				return judge(r, sus.Truth, map[string][]bool{g.Name: make([]bool, g.Size)}).psi(), nil
			}
			damaged := n
			if tuning {
				r, err := attacked(ctx, s.Network, a, seed, s.trainer)
				if err != nil {
					return err
				}
				if damaged.Set, err = touched(r.Set, n.Spec); err != nil {
					return err
				}
			} else {
				var only []string
				if !strings.HasPrefix(a, "quantize") {
					only = []string{g.Name}
				}
				r, err := attacked(ctx, n, a, seed, nil, only...)
				if err != nil {
					return err
				}
				damaged = r.Network
			}
			sus, err := attacked(ctx, damaged, "permute", seed, nil)
			if err != nil {
				return err
			}
			for _, x := range []struct {
				to *spread
				m  align.Method
			}{{&paper, align.Paper}, {&joint, align.Joint}, {&ranking, align.Ranking}} {
				v, err := score(x.m, sus)
				if err != nil {
					return err
				}
				*x.to = append(*x.to, v)
			}
			v, err := triggered(n, sus, s.layer, triggers[seed])
			if err != nil {
				return err
			}
			trigger = append(trigger, v)
			if joint[seed] < paper[seed] {
				worse++
			}
			if strings.HasPrefix(a, "noise") || strings.HasPrefix(a, "prune") {
				all, err := attacked(ctx, n, a+"+permute", seed, nil)
				if err != nil {
					return err
				}
				if v, err = score(align.Joint, all); err != nil {
					return err
				}
				both = append(both, v)
			}
		}
		var omega float64
		predicted := "-"
		if _, err := fmt.Sscanf(a, "noise=%g", &omega); err == nil {
			predicted = fmt.Sprintf("%.2f", align.Law(g.Size, d, omega))
		}
		rows = append(rows, []string{a, joint.String(), both.String(), paper.String(), predicted, ranking.String(), trigger.String()})
	}
	rival.Table(b, []string{"attack", "default", "default, readers damaged too", "paper", "law", "ranking", "trigger"}, rows)
	fmt.Fprintf(b, "\n%d seeds; the default was worse than paper in %d runs.\n", c.seeds, worse)
	return nil
}
