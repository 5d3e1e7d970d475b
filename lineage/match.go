package lineage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ropewalk/align"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// common returns the groups of spec as far as both networks have them: places of
// tensors that one lacks, or that have other shapes for no reason that neurons give, are left
// out, and groups without places.
func common(spec *symmetry.Spec, ref, sus *tensor.Set) *symmetry.Spec {
	out := &symmetry.Spec{}
	if spec == nil {
		return out
	}
	owned := map[string]map[int]bool{} // the axes of tensors that groups have
	for i := range spec.Groups {
		for k := range spec.Groups[i].Places {
			p := &spec.Groups[i].Places[k]
			for _, name := range p.Names() {
				if owned[name] == nil {
					owned[name] = map[int]bool{}
				}
				if p.Tensors == nil {
					owned[name][p.Axis] = true
				}
			}
		}
	}
	fits := func(name string) bool {
		a, b := ref.Lookup(name), sus.Lookup(name)
		if a == nil || b == nil || len(a.Shape) != len(b.Shape) {
			return false
		}
		for axis := range a.Shape {
			if a.Shape[axis] != b.Shape[axis] && !owned[name][axis] {
				return false
			}
		}
		return true
	}
	for i := range spec.Groups {
		g := spec.Groups[i]
		g.Places = slices.Clone(g.Places)
		g.Places = slices.DeleteFunc(g.Places, func(p symmetry.Place) bool {
			return slices.ContainsFunc(p.Names(), func(name string) bool { return !fits(name) })
		})
		if len(g.Places) > 0 {
			out.Groups = append(out.Groups, g)
		}
	}
	return sized(out, sus)
}

// sized leaves out the groups of which it can't be told how many neurons the suspect has.
func sized(spec *symmetry.Spec, sus *tensor.Set) *symmetry.Spec {
	groups := slices.Clone(spec.Groups)
	groups = slices.DeleteFunc(groups, func(g symmetry.Group) bool {
		_, err := align.FromSymmetry(&symmetry.Spec{Groups: []symmetry.Group{g}})
		return err != nil
	})
	out := &symmetry.Spec{Groups: groups}
	a, err := align.FromSymmetry(out)
	if err != nil {
		return out // match says why
	}
	// Groups that share an axis are measured together: how much of it is whose is known
	// from all of them.
	unfit := a.Unfit(sus)
	out.Groups = slices.DeleteFunc(groups, func(g symmetry.Group) bool { return slices.Contains(unfit, g.Name) })
	return out
}

// match finds which neuron is which. few is not nil if the networks count as related for some neurons
// only, which the suspect has verbatim.
func match(ctx context.Context, spec *symmetry.Spec, ref, sus *tensor.Set, o *Options) (r *align.NetworkResult, few *align.Verbatim, err error) {
	a, err := align.FromSymmetry(spec)
	if err != nil {
		return nil, nil, err
	}
	b, err := a.Resize(sus)
	if err != nil {
		return nil, nil, err
	}
	r, err = align.MatchNetworks(align.Network{Set: ref, Spec: a}, align.Network{Set: sus, Spec: b},
		&align.NetworkOptions{Options: align.Options{Threads: o.Threads}, Memory: o.Memory, Context: ctx})
	if err != nil {
		if errors.Is(err, align.ErrInput) {
			return nil, nil, fmt.Errorf("%w: %w", ErrInput, err)
		}
		return nil, nil, err
	}
	told, all, err := r.ByKeys(spec, ref, sus)
	if err != nil {
		return nil, nil, err
	}
	proven := 2*told >= all && told > 0
	// Networks that learned the same have neurons that are alike.
	if r.Related && !proven {
		like, err := resembleMatched(ctx, ref, sus, spec, r, o.Seed)
		if err != nil {
			return nil, nil, err
		}
		if r.Related, _ = derived(r, like); !r.Related {
			moved, err := align.Restore(spec, sus, r.WithoutFactors())
			if err != nil {
				return nil, nil, err
			}
			same, pairs, err := survivors(spec, ref, moved)
			if err != nil {
				return nil, nil, err
			}
			r.Related = survived(same, pairs)
		}
	}
	r.Related = r.Related || proven
	if !r.Related && !r.Streamed { // it reads whole tensors
		if few, err = r.FindVerbatim(spec, ref, sus); err != nil {
			return nil, nil, err
		}
		if r.Related = taken(few); r.Related {
			r.PutVerbatim(few)
		} else {
			few = nil
		}
	}
	if r.Related {
		for i := range r.Classes {
			stay(&r.Classes[i].Result)
		}
		for i := range r.Exchanged {
			stay(&r.Exchanged[i].Result)
		}
	}
	return r, few, nil
}

// minTaken is how many neurons have to be in the suspect verbatim for it to be partly derived.
const minTaken = 3

// taken says whether neurons that are in the suspect verbatim are no chance.
func taken(v *align.Verbatim) bool { return v.Neurons >= minTaken && v.Log10P <= exactLevel }

// stay has the neurons of a group in their own places if all that are certain are: those
// that damage has made hard to tell apart have not moved alone.
func stay(r *align.Result) {
	if len(r.Sus) != len(r.Ref) {
		return
	}
	ambiguous := map[int]bool{}
	for _, a := range r.Ambiguous {
		ambiguous[a.Ref] = true
	}
	for i, j := range r.Sus {
		if j != i && (r.Certainty == nil || r.Certainty[i] >= align.Certain && !ambiguous[i]) {
			return
		}
	}
	for i, j := range r.Sus {
		if j == i {
			continue
		}
		r.Sus[i], r.Ref[i] = i, i
		for f := range r.Scale {
			r.Scale[f][i] = 1
		}
	}
}

// proven returns the match of two networks that have the same canonical digest.
func proven(spec *symmetry.Spec, ref, sus symmetry.Element) *align.NetworkResult {
	r := &align.NetworkResult{Related: true}
	for i := range spec.Groups {
		g := &spec.Groups[i]
		of := make([]int, g.Size)
		for at, k := range ref[g.Name].Order {
			of[k] = sus[g.Name].Order[at]
		}
		m, err := align.NewMatching(of, g.Size)
		if err != nil {
			panic("internal error: " + err.Error())
		}
		c := align.ClassResult{Name: g.Name, Result: align.Result{Matching: *m, Certainty: slices.Repeat([]float64{1}, g.Size)}}
		for range g.Factors {
			c.Scale = append(c.Scale, slices.Repeat([]float64{1}, g.Size))
		}
		r.Classes = append(r.Classes, c)
	}
	return r
}

// moved counts the neurons of a class that are not in their own place, and have a
// partner.
func moved(c *align.ClassResult) int {
	n := 0
	for i, j := range c.Sus {
		if j >= 0 && j != i {
			n++
		}
	}
	return n
}

// A route says where the positions of a tensor's axes, in the reference's order, are in
// the suspect's file: -1 for those of neurons that it has not, nil for an axis that stays.
type route [][]int

// routes returns that of all tensors in which neurons may have moved.
func routes(spec *symmetry.Spec, ref *tensor.Set, found *align.NetworkResult) map[string]route {
	out := map[string]route{}
	for g := range spec.Groups {
		group := &spec.Groups[g]
		i := slices.IndexFunc(found.Classes, func(c align.ClassResult) bool { return c.Name == group.Name })
		if i < 0 {
			continue
		}
		m := &found.Classes[i].Matching
		for k := range group.Places {
			p := &group.Places[k]
			if p.Tensors != nil {
				continue
			}
			shape := ref.Lookup(p.Tensor).Shape
			if out[p.Tensor] == nil {
				out[p.Tensor] = make(route, len(shape))
			}
			from := out[p.Tensor][p.Axis]
			if from == nil {
				from = make([]int, shape[p.Axis])
				for at := range from {
					from[at] = at
				}
			}
			old := slices.Clone(from) // groups may cross: each moves what those before have moved
			for i, j := range m.Sus {
				for r := range p.Run {
					at := p.Position(i, r)
					switch {
					case j < 0:
						from[at] = -1
					case len(m.Ref) == len(m.Sus):
						from[at] = old[p.Position(j, r)]
					default:
						from[at] = p.Position(j, r)
					}
				}
			}
			out[p.Tensor][p.Axis] = from
		}
	}
	return out
}

// own returns where an index is in the suspect's file.
func (r route) own(index []int) []int {
	out := slices.Clone(index)
	for a, from := range r {
		if from != nil {
			out[a] = from[index[a]]
		}
	}
	return out
}

// absent marks the values, row-major, of neurons that the suspect has not; nil is none.
func (r route) absent(shape tensor.Shape) []bool {
	if !slices.ContainsFunc(r, func(from []int) bool { return slices.Contains(from, -1) }) {
		return nil
	}
	out := []bool{false}
	for a, n := range shape {
		next := make([]bool, 0, len(out)*int(n))
		for _, gone := range out {
			for at := range int(n) {
				next = append(next, gone || r[a] != nil && r[a][at] < 0)
			}
		}
		out = next
	}
	return out
}
