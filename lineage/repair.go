package lineage

import (
	"slices"

	"ropewalk/align"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// unsure is the certainty below which a neuron is not moved.
const unsure = 0.5

// Repaired is a network of which what preserves the function was undone.
type Repaired struct {
	// Set is the suspect in the order of the reference, with factors taken back and dummies
	// removed. Nothing in it comes from the reference: what was edited, pruned or trained
	// stays as the suspect has it. Tensors are computed when they are read.
	Set *tensor.Set
	// Moved counts neurons that came to another place, Rescaled those of which a factor was
	// taken back, Removed those that were left out, and Missing those that are zeros now
	// because the suspect lacks them.
	Moved, Rescaled, Removed, Missing int
	// Uncertain are neurons of which it is not known which of the reference's they are, by
	// group. They stay where they are, if no neuron that is known has to come there.
	Uncertain map[string][]int
	// Unscaled are neurons whose factors could not be taken back, by group: a running
	// variance would become negative.
	Unscaled map[string][]int
}

// Repair undoes what was done to a suspect as far as it preserves the function. match is
// that of a [Comparison], spec of its reference; sus is the suspect as it came, and has to
// stay open as long as the result is used. It never looks at the reference's weights.
func Repair(spec *symmetry.Spec, sus *tensor.Set, match *align.NetworkResult) (*Repaired, error) {
	out := &Repaired{Uncertain: map[string][]int{}, Unscaled: map[string][]int{}}
	m := *match
	m.Classes = slices.Clone(match.Classes)
	m.Exchanged = slices.Clone(match.Exchanged)
	for k := range m.Classes {
		out.settle(&m.Classes[k])
	}
	for k := range m.Exchanged {
		out.settle(&m.Exchanged[k])
	}
	if err := out.fit(spec, sus, &m); err != nil {
		return nil, err
	}
	for _, list := range [][]align.ClassResult{m.Classes, m.Exchanged} {
		for k := range list {
			out.count(&list[k])
		}
	}
	var err error
	out.Set, err = align.Restore(spec, sus, &m)
	return out, err
}

// settle lets neurons that are not known stay, if they have a place.
func (out *Repaired) settle(r *align.ClassResult) {
	if len(r.Certainty) != len(r.Sus) {
		return
	}
	var places, neurons []int
	for i, j := range r.Sus {
		if j >= 0 && r.Certainty[i] < unsure {
			places, neurons = append(places, i), append(neurons, j)
		}
	}
	if len(places) == 0 {
		return
	}
	out.Uncertain[r.Name] = places
	slices.Sort(neurons)
	if !slices.Equal(places, neurons) {
		return
	}
	r.Sus, r.Ref = slices.Clone(r.Sus), slices.Clone(r.Ref)
	scale := r.Scale
	r.Scale = nil
	for f := range scale {
		r.Scale = append(r.Scale, slices.Clone(scale[f]))
	}
	for _, i := range places {
		r.Sus[i], r.Ref[i] = i, i
		for f := range r.Scale {
			r.Scale[f][i] = 1
		}
	}
}

// fit notes which factors [align.Restore] will leave alone.
func (out *Repaired) fit(spec *symmetry.Spec, sus *tensor.Set, m *align.NetworkResult) error {
	if len(m.Exchanged) > 0 {
		return nil // Restore fits behind the exchange; it says what it cannot do
	}
	e, err := m.Element()
	if err != nil {
		return nil //nolint:nilerr // of other sizes: factors are not fitted there
	}
	fit, err := spec.Fit(sus, e)
	if err != nil {
		return err
	}
	for k := range m.Classes {
		r := &m.Classes[k]
		for f := range r.Scale {
			for i, j := range r.Sus {
				if e[r.Name].Factors[f][j] != fit[r.Name].Factors[f][j] && !slices.Contains(out.Unscaled[r.Name], i) {
					out.Unscaled[r.Name] = append(out.Unscaled[r.Name], i)
				}
			}
		}
	}
	for _, list := range out.Unscaled {
		slices.Sort(list)
	}
	return nil
}

// count adds what is done to a class.
func (out *Repaired) count(r *align.ClassResult) {
	taken := 0
	for i, j := range r.Sus {
		switch {
		case j < 0:
			out.Missing++
			continue
		case j != i:
			out.Moved++
		}
		taken++
		for f := range r.Scale {
			if r.Scale[f][i] != 1 && !slices.Contains(out.Unscaled[r.Name], i) {
				out.Rescaled++
				break
			}
		}
	}
	out.Removed += max(0, len(r.Ref)-taken)
}
