package align

import (
	"fmt"
	"slices"

	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// An Exchange is a class of neurons each of which is several whole tensors, as experts
// are. What is inside of these tensors are classes of their own, which cannot be looked at
// before it is known which tensor is which. So exchanges are matched first, together with
// all classes that are elsewhere, by the places that they have on axes: the rows of
// routers. Then the suspect's tensors are put in their places, and all else is matched.
type Exchange struct {
	Class              // its places are those on axes; without factors
	Tensors [][]string // for each kind of tensor one for each neuron
}

// exchangeOf returns what matching needs of a group with whole tensors.
func exchangeOf(g *symmetry.Group, c Class) (Exchange, error) {
	x := Exchange{Class: c}
	for k := range g.Places {
		if t := g.Places[k].Tensors; t != nil {
			x.Tensors = append(x.Tensors, t)
		}
	}
	if len(c.Places) == 0 || len(c.Factors) > 0 {
		return x, fmt.Errorf("%w: group %s exchanges whole tensors, such as %s; it needs a place on an axis that tells which is which, and can have no factors",
			ErrInput, g.Name, x.Tensors[0][0])
	}
	return x, nil
}

// symmetric returns x as a group.
func (x *Exchange) symmetric() symmetry.Group {
	g := symmetry.Group{Name: x.Name, Size: x.Size}
	for k := range x.Places {
		p := &x.Places[k]
		g.Places = append(g.Places, symmetry.Place{Tensor: p.Tensor, Axis: p.Axis, At: p.At, Run: max(1, p.Run), Stride: max(1, p.Stride)})
	}
	for _, names := range x.Tensors {
		g.Places = append(g.Places, symmetry.Place{Tensors: names, Run: 1, Stride: 1})
	}
	return g
}

// outside returns s without what is in tensors that are exchanged, and with those that
// exchange them as classes.
func (s *Spec) outside() *Spec {
	inside := map[string]bool{}
	for i := range s.Exchanges {
		for _, names := range s.Exchanges[i].Tensors {
			for _, name := range names {
				inside[name] = true
			}
		}
	}
	out := &Spec{}
	for _, c := range s.Classes {
		c.Places = slices.DeleteFunc(slices.Clone(c.Places), func(p Place) bool { return inside[p.Tensor] })
		if len(c.Places) > 0 {
			out.Classes = append(out.Classes, c)
		}
	}
	for i := range s.Exchanges {
		out.Classes = append(out.Classes, s.Exchanges[i].Class)
	}
	return out
}

// matchExchanged is [MatchNetworks] where whole tensors may have exchanged places.
func matchExchanged(ref, sus Network, o *NetworkOptions) (*NetworkResult, error) {
	if sus.Spec == nil || len(sus.Spec.Exchanges) != len(ref.Spec.Exchanges) {
		return nil, fmt.Errorf("%w: the networks do not fit each other: other tensors are exchanged in them", ErrInput)
	}
	first, err := MatchNetworks(Network{ref.Set, ref.Spec.outside()}, Network{sus.Set, sus.Spec.outside()}, o)
	if err != nil {
		return nil, err
	}
	own := &Spec{Classes: ref.Spec.Classes}
	found := slices.Clone(first.Classes[len(first.Classes)-len(ref.Spec.Exchanges):])
	set, err := exchanged(sus.Spec.Exchanges, found, sus.Set)
	if err != nil {
		return nil, err
	}
	others, err := own.Resize(set)
	if err != nil {
		return nil, err
	}
	r, err := MatchNetworks(Network{ref.Set, own}, Network{set, others}, o)
	if err != nil {
		return nil, err
	}
	r.Exchanged, r.Sweeps, r.Reads = found, r.Sweeps+first.Sweeps, r.Reads+first.Reads
	if !r.Related { // and so nothing is certain
		for k := range r.Exchanged {
			clear(r.Exchanged[k].Certainty)
		}
	}
	return r, nil
}

// exchanged returns set with whole tensors in the order that was found. Where not each
// has a partner, they stay.
func exchanged(xs []Exchange, found []ClassResult, set *tensor.Set) (*tensor.Set, error) {
	spec, e := &symmetry.Spec{}, symmetry.Element{}
	for k := range xs {
		g := xs[k].symmetric()
		spec.Groups = append(spec.Groups, g)
		if found[k].complete() {
			e[g.Name] = &symmetry.Move{Order: found[k].Sus}
		}
	}
	out, err := symmetry.Apply(spec, set, e)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	return out, nil
}

// All returns what is known of all classes, exchanges among them.
func (r *NetworkResult) All() []ClassResult { return slices.Concat(r.Classes, r.Exchanged) }

// Matched returns how many neurons of the reference have a partner that no other has, and of
// how many.
func (r *NetworkResult) Matched() (matched, neurons int) {
	classes := r.All()
	for i := range classes {
		c := &classes[i]
		neurons += len(c.Sus)
		matched += c.matched()
	}
	return matched, neurons
}

// WithoutFactors returns a match like r, of which all factors of the classes are 1.
func (r *NetworkResult) WithoutFactors() *NetworkResult {
	plain := *r
	plain.Classes = slices.Clone(r.Classes)
	for i := range plain.Classes {
		c := &plain.Classes[i]
		c.Scale = slices.Clone(c.Scale)
		for f := range c.Scale {
			c.Scale[f] = slices.Repeat([]float64{1}, len(c.Scale[f]))
		}
	}
	return &plain
}
