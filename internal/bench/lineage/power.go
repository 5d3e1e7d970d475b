package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"ropewalk/attack"
	"ropewalk/dataset"
	"ropewalk/internal/bench/rival"
	"ropewalk/lineage"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// A theft is what is said of a network of which few neurons are the owner's.
type theft struct {
	Widths   string  `json:"widths"`
	Share    float64 `json:"share"`
	Seed     int     `json:"seed"`
	Shuffled bool    `json:"shuffled"`
	Neurons  int     `json:"neurons"` // in all
	Taken    int     `json:"taken"`
	Fixed    int     `json:"fixed"`
	Log10P   float64 `json:"log10_p"`
	Verbatim int     `json:"verbatim"`
	Bound    float64 `json:"bound"` // log10
	Derived  bool    `json:"derived"`
	Reason   string  `json:"reason"`
	Verdict  string  `json:"verdict"`
	Seconds  float64 `json:"seconds"`
}

// powerWidths are the hidden layers of networks for images of 14x14.
var powerWidths = [][]int64{{64, 32}, {128, 64}, {300, 100}, {512, 256}, {1024, 512}}

var powerShares = []float64{0, 0.05, 0.1}

// powerTable takes neurons from an owner, the rest being independent, and looks whether it shows.
func powerTable(ctx context.Context, c *config, b *strings.Builder) error {
	s, err := openStore(c.store, "power", func(x *theft) string { return fmt.Sprint(x.Widths, "#", x.Share, "#", x.Seed, "#", x.Shuffled) })
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }() // each line was written
	d, err := dataset.Open(fashion, &dataset.Options{Normalise: "measured", Size: [2]int{14, 14}})
	if err != nil {
		return err
	}
	for _, widths := range powerWidths {
		if c.page || c.quick && widths[0] > 128 || !c.match.MatchString(fmt.Sprint(widths)) {
			continue
		}
		m := &maker{p: &population{net: "lenet-300-100", side: 14, widths: widths, epochs: 2}, c: c, data: d}
		for seed := range min(c.seeds, 5) {
			for _, share := range powerShares {
				for _, shuffled := range []bool{false, true} {
					x := &theft{Widths: fmt.Sprint(widths), Share: share, Seed: seed, Shuffled: shuffled}
					if s.all[s.key(x)] != nil {
						continue
					}
					if err := m.steal(ctx, x); err != nil {
						return err
					}
					if err := s.add(x); err != nil {
						return err
					}
					fmt.Fprintf(os.Stderr, "%v, %g, shuffled %v: %d of %d taken, %d in place, log10 p %.1f, derived %v (%s), %s\n", widths, share, shuffled, x.Taken, x.Neurons, x.Fixed, x.Log10P, x.Derived, x.Reason, x.Verdict)
				}
			}
		}
	}
	powerPage(b, s)
	return nil
}

// steal puts the first share of the owner's neurons into another network, each with all that
// it reads, and weighs.
func (m *maker) steal(ctx context.Context, x *theft) error {
	var two [2]stranger
	for k := range two {
		var err error
		if two[k], err = m.network(ctx, uint64(2*x.Seed+k)); err != nil {
			return err
		}
	}
	owner, other := two[0], two[1]
	var changed []*tensor.Tensor
	for i := range owner.Spec.Groups {
		g := &owner.Spec.Groups[i]
		n := int(math.Round(x.Share * float64(g.Size)))
		x.Neurons, x.Taken = x.Neurons+g.Size, x.Taken+n
		for k := range g.Places {
			p := &g.Places[k]
			if p.Role == symmetry.Outgoing {
				continue
			}
			t := other.Set.Lookup(p.Tensor)
			to, err := t.Float32s()
			if err != nil {
				return err
			}
			from, err := owner.Set.Lookup(p.Tensor).Float32s()
			if err != nil {
				return err
			}
			to = slices.Clone(to)
			for j := range n {
				for _, at := range positions(p, t.Shape, j*g.Size/max(1, n)) {
					to[at] = from[at]
				}
			}
			changed = append(changed, &tensor.Tensor{Name: t.Name, DType: tensor.F32, Shape: t.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, to))})
		}
	}
	set, err := tensor.Overlay(other.Set, changed...)
	if err != nil {
		return err
	}
	if x.Shuffled {
		r, err := attacked(ctx, attack.Network{Set: set, Spec: owner.Spec}, "permute", uint64(x.Seed), nil)
		if err != nil {
			return err
		}
		set = r.Set
	}
	suspect := lineage.Network{Set: set, Spec: owner.Spec}
	start := time.Now()
	c, err := lineage.Compare(ctx, owner.Network, suspect, &lineage.Options{Threads: m.c.threads})
	if err != nil {
		return err
	}
	e, err := lineage.Weigh(ctx, owner.Network, suspect, c.Match, &lineage.EvidenceOptions{Threads: m.c.threads, Seed: uint64(x.Seed), Random: -1})
	if err != nil {
		return err
	}
	x.Seconds = time.Since(start).Seconds()
	x.Verbatim, x.Bound = e.Verbatim.Neurons, e.Verbatim.Log10P
	x.Fixed, x.Log10P, x.Derived, x.Reason, x.Verdict = e.FixedPoints.Fixed, e.FixedPoints.Log10P, e.Derived, e.Reason, string(c.Verdict)
	return nil
}

func powerPage(b *strings.Builder, s *store[theft]) {
	if len(s.keys) == 0 {
		return
	}
	fmt.Fprintf(b, "### Few neurons of the owner\n\nMLPs for images of 14x14, two hidden layers, trained on `%s` from different seeds; in the suspect a share of the neurons of each layer reads with the owner's weights. "+
		"*in place* and p: the largest p of the seeds, of the exact test of `Weigh` (which is about neurons that were not moved). *verbatim* and bound: the fewest neurons that were found with all their weights, wherever they are, and the largest bound of its probability. *derived*: how often `Weigh` says so, without controls.\n\n", fashion)
	var rows [][]string
	for _, widths := range powerWidths {
		for _, share := range powerShares {
			for _, shuffled := range []bool{false, true} {
				n, derived, fixed, taken, worst := 0, 0, math.MaxInt, 0, math.Inf(-1)
				verbatim, bound := math.MaxInt, math.Inf(-1)
				verdicts := map[string]int{}
				for _, k := range s.keys {
					x := s.all[k]
					if x.Widths != fmt.Sprint(widths) || x.Share != share || x.Shuffled != shuffled {
						continue
					}
					n++
					if x.Derived {
						derived++
					}
					fixed, taken, worst = min(fixed, x.Fixed), x.Taken, max(worst, x.Log10P)
					verbatim, bound = min(verbatim, x.Verbatim), max(bound, x.Bound)
					verdicts[x.Verdict]++
				}
				if n == 0 {
					continue
				}
				how := "in place"
				if shuffled {
					how = "shuffled"
				}
				var said []string
				for _, v := range lineage.Verdicts() {
					if verdicts[string(v)] > 0 {
						said = append(said, fmt.Sprintf("%s %d", v, verdicts[string(v)]))
					}
				}
				rows = append(rows, []string{
					strings.Trim(fmt.Sprint(widths), "[]"), fmt.Sprintf("%g %% (%d)", 100*share, taken), how, fmt.Sprint(n), fmt.Sprint(fixed), fmt.Sprintf("%.1f", worst), fmt.Sprint(verbatim), fmt.Sprintf("%.0f", bound),
					fmt.Sprintf("%d of %d", derived, n), strings.Join(said, ", "),
				})
			}
		}
	}
	rival.Table(b, []string{"hidden neurons", "taken", "neurons", "suspects", "in place, least", "log10 p, largest", "verbatim, least", "log10 bound, largest", "derived", "verdicts"}, rows)
	b.WriteString("\n")
}
