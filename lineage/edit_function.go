package lineage

import (
	"math"
	"slices"

	"ropewalk/symmetry"
)

// consequences says of each edit whether the function stays the same, as far as weights tell.
func (p *pairing) consequences(edits []Edit) error {
	loaded := map[string]*pairedTensor{}
	load := func(name string) (*pairedTensor, error) {
		if n, ok := loaded[name]; ok {
			return n, nil
		}
		n, err := p.read(name)
		loaded[name] = n
		return n, err
	}
	dead := map[seat]bool{}
	index := map[string]int{}
	for c := range p.classes {
		index[p.classes[c].Name] = c
	}
	for k := range edits {
		e := &edits[k]
		e.Size, e.Factor = bounded(e.Size), bounded(e.Factor)
		if e.Same != "" {
			continue
		}
		e.Same = No
		c, ok := index[e.Group]
		if !ok || e.Neuron < 0 || k >= maxEdits || e.What == EditSwapped {
			continue
		}
		at := seat{class: c, neuron: e.Neuron}
		if _, ok := dead[at]; !ok {
			unread, err := p.unread(c, e.Neuron, load)
			if err != nil {
				return err
			}
			dead[at] = unread
		}
		if dead[at] && p.inside(c, e) {
			e.Same = Yes
			e.Text += "; nobody reads the neuron"
		}
	}
	return p.shifted(edits, index)
}

// unread reports whether all weights that read a neuron are zero on both sides.
func (p *pairing) unread(c, i int, load func(string) (*pairedTensor, error)) (bool, error) {
	x := &p.classes[c]
	read := false
	some := false
	for k := range x.Places {
		place := &x.Places[k]
		if place.Role != symmetry.Outgoing {
			continue
		}
		if place.Tensors != nil {
			return false, nil
		}
		n, err := load(place.Tensor)
		if err != nil || n == nil {
			return false, err
		}
		some = true
		slab(n.dims, place, i, func(k int) { read = read || n.x[k] != 0 || n.y[k] != 0 })
	}
	return some && !read, nil
}

// inside reports whether an edit is of what makes the neuron, and nothing else: in a tensor that
// it has a place in, but does not read it.
func (p *pairing) inside(c int, e *Edit) bool {
	in := false
	for k := range p.classes[c].Places {
		place := &p.classes[c].Places[k]
		if place.Tensor == e.Tensor {
			if place.Role == symmetry.Outgoing {
				return false
			}
			in = true
		}
	}
	return in
}

// shifted finds biases in front of a batch norm that were shifted together with the running
// mean, which takes that back.
func (p *pairing) shifted(edits []Edit, index map[string]int) error {
	before := func(e *Edit) (factor int, ok bool) { // what goes into a norm: multiplied by one factor, with its sign
		c, known := index[e.Group]
		if !known || len(e.Index) != 1 || e.Same != No {
			return 0, false
		}
		x := &p.classes[c]
		for k := range x.Places {
			place := &x.Places[k]
			if place.Tensor == e.Tensor && len(place.Acts) == 1 && place.Acts[0].Power == 1 && place.Acts[0].Odd {
				return place.Acts[0].Factor, true
			}
		}
		return 0, false
	}
	shift := func(e *Edit) (d, rounding float64, err error) {
		n, err := p.read(e.Tensor)
		if err != nil || n == nil {
			return 0, 0, err
		}
		k := e.Index[0]
		return n.y[k] - n.x[k], rounds(n.dtype) * (math.Abs(n.x[k]) + math.Abs(n.y[k])), nil
	}
	for i := range edits {
		a := &edits[i]
		f, ok := before(a)
		if !ok || a.What != EditStatistic {
			continue
		}
		k := slices.IndexFunc(edits, func(b Edit) bool {
			h, ok := before(&b)
			return ok && h == f && b.Group == a.Group && b.Neuron == a.Neuron && b.What == EditBias
		})
		if k < 0 {
			continue
		}
		u, r, err := shift(a)
		if err != nil {
			return err
		}
		v, q, err := shift(&edits[k])
		if err != nil {
			return err
		}
		if math.Abs(u-v) <= r+q {
			a.Same, edits[k].Same = Yes, Yes
			a.Text += "; " + edits[k].Tensor + " was shifted alike, which takes that back"
			edits[k].Text += "; " + a.Tensor + " was shifted alike, which takes that back"
		}
	}
	return nil
}
