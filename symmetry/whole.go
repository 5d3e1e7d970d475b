package symmetry

import (
	"fmt"
	"slices"
	"strings"

	"ropewalk/tensor"
)

// Whole tensors exchange places where neurons are what several tensors make, as the
// experts of a mixture. Groups that are inside of such tensors do not commute with that:
// in an [Element] they come first, and then go where their tensor goes.

// whole reports whether a place is of whole tensors.
func (p *Place) whole() bool { return p.Tensors != nil }

// Names returns the tensors of a place: one, or one for each neuron.
func (p *Place) Names() []string {
	if p.whole() {
		return p.Tensors
	}
	return []string{p.Tensor}
}

// checkWhole is check for a place of whole tensors.
func (p *Place) checkWhole(g *Group) error {
	switch {
	case p.Tensor != "" || p.Axis != 0 || p.At != nil || p.Run != 1 || p.Stride != 1 || p.Epsilon != 0 || len(p.Acts) > 0:
		return fmt.Errorf("%w: a place of whole tensors %s … has an axis, positions or acts, too", ErrSpec, p.Tensors[0])
	case len(p.Tensors) != g.Size:
		return fmt.Errorf("%w: %d whole tensors for %d neurons", ErrSpec, len(p.Tensors), g.Size)
	case p.Role > Statistic:
		return fmt.Errorf("%w: whole tensors %s …: %v", ErrSpec, p.Tensors[0], p.Role)
	}
	return nil
}

// fitsWhole says what keeps whole tensors from exchanging places. taken are those that
// did in other places.
func (p *Place) fitsWhole(g *Group, set *tensor.Set, taken map[string]bool) error {
	var first *tensor.Tensor
	for _, name := range p.Tensors {
		t := set.Lookup(name)
		switch {
		case t == nil:
			return fmt.Errorf("%w: group %s is in %s, but there is no such tensor", ErrSpec, g.Name, name)
		case taken[name]:
			return fmt.Errorf("%w: group %s has all of tensor %s, which is taken already", ErrSpec, g.Name, name)
		}
		if first == nil {
			first = t
		}
		if t.DType != first.DType || !t.Shape.Equal(first.Shape) {
			return fmt.Errorf("%w: group %s exchanges %s, %s %v, and %s, %s %v", ErrSpec, g.Name, first.Name, first.DType, first.Shape, name, t.DType, t.Shape)
		}
		taken[name] = true
	}
	return nil
}

// exchange returns the tensors that e puts in other places: those of changed, or of set.
func exchange(s *Spec, set *tensor.Set, e Element, changed []*tensor.Tensor) []*tensor.Tensor {
	now := map[string]*tensor.Tensor{}
	var order []string
	for _, t := range changed {
		now[t.Name] = t
		order = append(order, t.Name)
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		m := e[g.Name]
		if m == nil || m.Order == nil {
			continue
		}
		for k := range g.Places {
			names := g.Places[k].Tensors
			from := make([]*tensor.Tensor, len(names))
			for n := range names {
				if from[n] = now[names[n]]; from[n] == nil {
					from[n] = set.Lookup(names[n])
				}
			}
			for n := range names {
				if m.Order[n] == n {
					continue
				}
				if now[names[n]] == nil {
					order = append(order, names[n])
				}
				t := *from[m.Order[n]]
				t.Name = names[n]
				now[t.Name] = &t
			}
		}
	}
	out := make([]*tensor.Tensor, 0, len(order))
	for _, name := range order {
		out = append(out, now[name])
	}
	return out
}

// insides are the groups that are inside of whole tensors which exchange places.
type insides struct {
	of    map[string]inside            // by group
	named map[string]map[inside]string // by the group that exchanges them
}

// An inside says where a group is: in the tensors of which neuron of which group, and
// what it is there, apart from names.
type inside struct {
	group  string
	neuron int
	what   string
}

func (s *Spec) insides() insides {
	type seat struct {
		group        string
		neuron, list int
	}
	seats := map[string]seat{}
	for i := range s.Groups {
		g := &s.Groups[i]
		for k := range g.Places {
			for n, name := range g.Places[k].Tensors {
				seats[name] = seat{g.Name, n, k}
			}
		}
	}
	in := insides{map[string]inside{}, map[string]map[inside]string{}}
	if len(seats) == 0 {
		return in
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		var what []string
		first, ok := seats[g.Places[0].Tensor]
		for k := range g.Places {
			at, here := seats[g.Places[k].Tensor]
			ok = ok && here && at.group == first.group && at.neuron == first.neuron
			p := g.Places[k]
			p.Tensor = fmt.Sprint(at.list)
			what = append(what, p.Role.String()+" "+p.String())
		}
		if !ok {
			continue
		}
		slices.Sort(what) // tensors may be in any order in the file
		x := inside{first.group, first.neuron, fmt.Sprint(g.Size, g.Factors, strings.Join(what, ","))}
		in.of[g.Name] = x
		if in.named[x.group] == nil {
			in.named[x.group] = map[inside]string{}
		}
		in.named[x.group][x] = g.Name
	}
	return in
}

// carried returns e with the names of groups inside of whole tensors changed: what is in
// those of neuron n goes by the name that it has in those of neuron to(group, n).
func (s *Spec) carried(e Element, to func(group string, n int) int) (Element, error) {
	in := s.insides()
	out := make(Element, len(e))
	for name, m := range e {
		x, ok := in.of[name]
		if !ok {
			out[name] = m
			continue
		}
		n := to(x.group, x.neuron)
		if n == x.neuron {
			out[name] = m
			continue
		}
		other, ok := in.named[x.group][inside{x.group, n, x.what}]
		if !ok {
			return nil, fmt.Errorf("%w: group %s is in tensors that group %s exchanges, but there is none like it in those of neuron %d", ErrSpec, name, x.group, n)
		}
		out[other] = m
	}
	return out, nil
}

// Before returns e, which is of the network after done was done to it, by the names that
// groups had before: those that are inside of whole tensors which done exchanged were in
// others. It is an error if the groups inside of such tensors are not alike.
func (s *Spec) Before(e, done Element) (Element, error) {
	return s.carried(e, func(group string, n int) int {
		if m := done[group]; m != nil {
			return m.from(n)
		}
		return n
	})
}
