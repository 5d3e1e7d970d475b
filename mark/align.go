package mark

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ropewalk/align"
	"ropewalk/align/gauge"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// ErrMarked reports an alignment that would have to look at tensors that carry the mark.
var ErrMarked = errors.New("mark: no alignment on marked tensors")

// AlignOptions say how to align. Nil and the zero value are the default.
type AlignOptions struct {
	// Marked are the tensors of the owner's network that carry a mark: that network is a
	// marked copy, and these tensors take no part in the search. None says that it is
	// the unmarked reference, of which all may be looked at.
	Marked []string
	// Threads bounds the goroutines; 0 is all processors.
	Threads int
	// Context, if it is not nil, ends the search.
	Context context.Context
}

// Aligned is a suspect in the owner's order.
type Aligned struct {
	// Set is the suspect with its neurons in the order of the owner's network and what
	// they were multiplied by taken back; or the suspect as it is, if nothing in it
	// is related to that network.
	Set *tensor.Set
	// Related says whether a relation was found; see [align.NetworkResult].
	Related     bool
	LogEvidence float64
	// Neurons of the owner's network, and those of them that have a partner.
	Neurons, Matched int
}

// Align finds the order of a suspect's neurons, without any knowledge of a key: own is
// the unmarked reference or, with [AlignOptions.Marked], a marked copy of which only the
// other tensors are looked at. spec says what can move in it. If a group of neurons has
// no tensor left to look at, the error is [ErrMarked]: with the unmarked reference it
// can be done.
//
// The reason: a search for the order in which marked weights fit best is a search for
// the mark, and finds it in networks that never saw it. Tests keep an example.
func Align(own *tensor.Set, spec *symmetry.Spec, suspect *tensor.Set, o *AlignOptions) (*Aligned, error) {
	if o == nil {
		o = &AlignOptions{}
	}
	seen, err := withoutMarked(spec, o.Marked)
	if err != nil {
		return nil, err
	}
	a, err := align.FromSymmetry(seen)
	if err != nil {
		return nil, err
	}
	others, err := a.Resize(suspect)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNetwork, err)
	}
	found, err := align.MatchNetworks(align.Network{Set: own, Spec: a}, align.Network{Set: suspect, Spec: others},
		&align.NetworkOptions{Options: align.Options{Threads: o.Threads}, Context: o.Context})
	if errors.Is(err, align.ErrInput) {
		return nil, fmt.Errorf("%w: %w", ErrNetwork, err)
	}
	if err != nil {
		return nil, err
	}
	// Weights that were pruned to a few may be any neuron's; its bias or norm says whose they are.
	if _, _, err := found.ByKeys(seen, own, suspect); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNetwork, err)
	}
	r := &Aligned{Set: suspect, Related: found.Related, LogEvidence: found.LogEvidence}
	r.Matched, r.Neurons = found.Matched()
	if found.Related {
		r.Set, err = restore(own, spec, seen, suspect, found, o.Marked)
	}
	return r, err
}

// restore undoes the order, and factors if that fits better: those of pruned neurons are
// estimated from what is left of them, and may be worse than none. How well it fits is
// seen on tensors without a mark, those of the symmetries seen.
func restore(own *tensor.Set, spec, seen *symmetry.Spec, suspect *tensor.Set, found *align.NetworkResult, marked []string) (*tensor.Set, error) {
	moved, err := align.Restore(spec, suspect, found.WithoutFactors())
	if err != nil {
		return nil, err
	}
	if _, _, err := gauge.Settle(seen, own, moved, found); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNetwork, err)
	}
	both, err := align.Restore(spec, suspect, found)
	if err != nil {
		return nil, err
	}
	a, err := misfit(own, both, marked)
	if err != nil {
		return nil, err
	}
	b, err := misfit(own, moved, marked)
	if err != nil {
		return nil, err
	}
	if b <= a {
		return moved, nil
	}
	return both, nil
}

// misfit is the squared distance of weights that were not pruned, as a share of the
// reference's, each tensor counting by these weights.
func misfit(own, set *tensor.Set, marked []string) (float64, error) {
	sum := 0.0
	for _, t := range own.All() {
		u := set.Lookup(t.Name)
		if u == nil || len(t.Shape) < 2 || !t.DType.Numeric() || !u.DType.Numeric() || !t.Shape.Equal(u.Shape) || slices.Contains(marked, t.Name) {
			continue
		}
		x, err := floats(t)
		if err != nil {
			return 0, err
		}
		y, err := floats(u)
		if err != nil {
			return 0, err
		}
		n, distance, norm := 0.0, 0.0, 0.0
		for i, v := range y {
			if v != 0 {
				d := float64(v) - float64(x[i])
				distance += d * d
				norm += float64(x[i]) * float64(x[i])
				n++
			}
		}
		if norm > 0 {
			sum += n * distance / norm
		}
	}
	return sum, nil
}

// withoutMarked leaves out places on marked tensors.
func withoutMarked(spec *symmetry.Spec, marked []string) (*symmetry.Spec, error) {
	if len(marked) == 0 {
		return spec, nil
	}
	seen := &symmetry.Spec{Fixed: spec.Fixed}
	var blind []string
	for _, g := range spec.Groups {
		g.Places = slices.DeleteFunc(slices.Clone(g.Places), func(p symmetry.Place) bool { return slices.Contains(marked, p.Tensor) })
		weighty := slices.ContainsFunc(g.Places, func(p symmetry.Place) bool {
			return p.Role == symmetry.Incoming || p.Role == symmetry.Outgoing
		})
		if !weighty {
			blind = append(blind, g.Name)
		}
		seen.Groups = append(seen.Groups, g)
	}
	if len(blind) > 0 {
		return nil, fmt.Errorf("%w: of group %s nothing but marked weights is there to look at, and who searches for the order in which marked weights fit finds the mark in any network; the unmarked reference is needed",
			ErrMarked, strings.Join(blind[:min(len(blind), 3)], ", "))
	}
	return seen, nil
}
