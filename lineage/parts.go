package lineage

import (
	"math"
	"slices"

	"ropewalk/align"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// partErrors is how many standard errors a share has to be from all and from nothing, to be one.
const partErrors = 5

// parts returns the reference's tensor as it is with the suspect's factors, where neurons that are
// read may be parts of what they were: damage can hide whose the other part is, and then weights are
// a share of the reference's. That share is fitted to those of each neuron. The tensor is nil if no neuron
// seems to be a part. doubtful marks the values that say nothing.
func (c *comparer) parts(name string, doubtful []bool) (*tensor.Tensor, error) {
	if c.out.Match == nil || c.out.Match.Whole {
		return nil, nil
	}
	var x, y []float32
	var whole *tensor.Tensor
	changed := false
	for g := range c.spec.Groups {
		group := &c.spec.Groups[g]
		m := c.class(group.Name)
		if m == nil || !slices.ContainsFunc(m.Added, func(d align.Dummy) bool { return d.Kind != align.CliqueDummy }) {
			continue
		}
		for k := range group.Places {
			p := &group.Places[k]
			if p.Tensors != nil || p.Tensor != name || p.Role != symmetry.Outgoing {
				continue
			}
			if whole == nil {
				var err error
				if whole = c.scaled.Lookup(name); whole == nil {
					return nil, nil
				}
				if x, y, err = both(whole, c.moved.Lookup(name)); err != nil || x == nil {
					return nil, err
				}
				x = slices.Clone(x)
			}
			inner := 1
			for _, n := range whole.Shape[p.Axis+1:] {
				inner *= int(n)
			}
			axis := int(whole.Shape[p.Axis])
			for i := range group.Size {
				if m.Sus[i] >= 0 && share(x, y, p, i, axis, inner, doubtful) {
					changed = true
				}
			}
		}
	}
	if !changed {
		return nil, nil
	}
	return &tensor.Tensor{Name: name, DType: tensor.F32, Shape: whole.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))}, nil
}

// share fits which share of x the weights y that read neuron i are, and multiplies x by it, if that
// is neither all nor nothing.
func share(x, y []float32, p *symmetry.Place, i, axis, inner int, doubtful []bool) bool {
	each := func(f func(k int)) {
		for r := range p.Run {
			for from := p.Position(i, r) * inner; from < len(x); from += axis * inner {
				for k := from; k < from+inner; k++ {
					f(k)
				}
			}
		}
	}
	var s moments
	each(func(k int) {
		if y[k] != 0 && (doubtful == nil || !doubtful[k]) { // what was pruned is no share
			s.add(float64(x[k]), float64(y[k]))
		}
	})
	if s.n < 2 || s.xx == 0 {
		return false
	}
	part := s.slope()
	off := partErrors * math.Sqrt(s.rest()/(s.n-1)/s.xx)
	if !(part > off && part < 1-off) {
		return false
	}
	each(func(k int) { x[k] *= float32(part) })
	return true
}
