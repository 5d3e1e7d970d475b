// Package gauge hands the symmetries of a network to the matching of neurons.
//
// Package align knows neither graphs nor names, and package symmetry no matching; this
// is what stands between them.
package gauge

import (
	"ropewalk/align"
	"ropewalk/symmetry"
)

// Spec returns the groups of s for package align, in the same order, and the names of
// those left out: a position can be matched once only, so that of groups that cross,
// such as heads and what is in them, only the first counts.
//
// Matching sees at most two factors that flip signs for a neuron. Where a group has
// more, as a residual stream whose writers have a batch norm each, the first two keep
// their signs and the others are taken for positive.
func Spec(s *symmetry.Spec) (spec *align.Spec, left []string) {
	type axis struct {
		tensor string
		axis   int
	}
	taken := map[axis]map[int]bool{}
	spec = &align.Spec{}
	for i := range s.Groups {
		g := &s.Groups[i]
		crosses := false
		each(g, func(p *symmetry.Place, at int) {
			crosses = crosses || taken[axis{p.Tensor, p.Axis}][at]
		})
		if crosses {
			left = append(left, g.Name)
			continue
		}
		each(g, func(p *symmetry.Place, at int) {
			k := axis{p.Tensor, p.Axis}
			if taken[k] == nil {
				taken[k] = map[int]bool{}
			}
			taken[k][at] = true
		})
		spec.Classes = append(spec.Classes, class(g))
	}
	return spec, left
}

func each(g *symmetry.Group, f func(p *symmetry.Place, at int)) {
	for k := range g.Places {
		p := &g.Places[k]
		for n := range g.Size {
			for r := range p.Run {
				f(p, p.Position(n, r))
			}
		}
	}
}

var gauges = map[symmetry.Gauge]align.Gauge{
	symmetry.Positive: align.Positive, symmetry.Nonzero: align.Nonzero, symmetry.Sign: align.Sign,
}

var roles = map[symmetry.Role]align.Role{
	symmetry.Incoming: align.Incoming, symmetry.Outgoing: align.Outgoing,
	symmetry.Parameter: align.Parameter, symmetry.Statistic: align.Statistic,
}

func class(g *symmetry.Group) align.Class {
	c := align.Class{Name: g.Name, Size: g.Size}
	flips := 0
	for _, f := range g.Factors {
		gauge := gauges[f]
		if f.Flips() {
			if flips++; flips > 2 {
				gauge = align.Positive
			}
		}
		c.Factors = append(c.Factors, gauge)
	}
	for i := range g.Places {
		p := &g.Places[i]
		out := align.Place{Tensor: p.Tensor, Axis: p.Axis, At: p.At, Run: p.Run, Stride: p.Stride, Role: roles[p.Role]}
		for _, a := range p.Acts {
			out.Acts = append(out.Acts, align.Act{Factor: a.Factor, Power: a.Power, Odd: a.Odd})
		}
		c.Places = append(c.Places, out)
	}
	return c
}
