package passport

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ropewalk/align"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// ErrMisfit reports a suspect whose tensors cannot be compared with those of the passport:
// others are in it, or they have other shapes.
var ErrMisfit = errors.New("passport: the suspect does not fit it")

// Match finds which neuron of a suspect is which of the passport's network. Errors wrap
// [ErrMisfit] where there is nothing to compare, and [align.ErrMemory] where o.Memory does
// not suffice to hold the suspect.
func Match(ctx context.Context, p *Passport, sus *tensor.Set, o *align.NetworkOptions) (*align.NetworkResult, error) {
	own := align.NetworkOptions{}
	if o != nil {
		own = *o
	}
	own.Context = ctx
	k, err := p.Sketches()
	if err != nil {
		return nil, err
	}
	if len(k.Spec.Classes) == 0 {
		return nil, fmt.Errorf("%w: it knows no neurons that could have moved", ErrMisfit)
	}
	spec, err := k.Spec.Resize(sus)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMisfit, err)
	}
	if need := SuspectMemory(k.Spec, sus); own.Memory > 0 && need > own.Memory {
		return nil, fmt.Errorf("%w: to hold the suspect takes about %d bytes", align.ErrMemory, need)
	}
	r, err := align.MatchSketches(k, align.Network{Set: sus, Spec: spec}, &own)
	if errors.Is(err, align.ErrInput) {
		return nil, fmt.Errorf("%w: %w", ErrMisfit, err)
	}
	return r, err
}

// SuspectMemory returns about how many bytes Match takes for a suspect.
func SuspectMemory(spec *align.Spec, sus *tensor.Set) int64 {
	return align.Memory(spec, sus, nil)
}

// survey reads a network once and returns what a passport keeps of its tensors.
func survey(ctx context.Context, set *tensor.Set, threads int) ([]Tensor, error) {
	p := &Passport{Spec: &symmetry.Spec{}}
	if err := p.survey(ctx, set, &MakeOptions{Threads: threads}); err != nil {
		return nil, err
	}
	return p.Tensors, nil
}

// A Kinship is what a suspect is to one passport, at a glance.
type Kinship struct {
	Relation Relation `json:"relation" about:"same weights, same numbers (in another order, by digests that prove nothing), related, unrelated, or does not fit"`
	// Equal is the share of the passport's numbers that are in tensors with the same digest.
	Equal float64 `json:"equal" about:"share of the numbers that are in tensors with the same SHA-256"`
	// Certain is the share of neurons whose match is certain.
	Certain     float64 `json:"certain" about:"share of the neurons whose match has a certainty of 0.99 or more"`
	LogEvidence float64 `json:"log_evidence" about:"natural logarithm; networks count as related above 10"`
	Reason      string  `json:"reason,omitempty" about:"why they do not fit"`
}

// A Relation is a rung of a short ladder.
type Relation string

// The relations, from strongest to weakest.
const (
	SameWeights Relation = "same weights"
	SameNumbers Relation = "same numbers"
	Related     Relation = "related"
	Unrelated   Relation = "unrelated"
	Misfit      Relation = "does not fit"
)

var relations = []Relation{SameWeights, SameNumbers, Related, Unrelated, Misfit}

// Before reports whether k is the closer kinship.
func (k *Kinship) Before(o *Kinship) bool {
	if a, b := slices.Index(relations, k.Relation), slices.Index(relations, o.Relation); a != b {
		return a < b
	}
	if k.Equal != o.Equal {
		return k.Equal > o.Equal
	}
	return k.LogEvidence > o.LogEvidence
}

// A Suspect is a network that is held against several passports: it is read once, and kept
// in memory.
type Suspect struct {
	set     *tensor.Set
	tensors map[string]*Tensor
	threads int
}

// NewSuspect reads a suspect. It takes as much memory as the tensors do; where that is more
// than memory, which is not 0, the error wraps [align.ErrMemory].
func NewSuspect(ctx context.Context, set *tensor.Set, threads int, memory int64) (*Suspect, error) {
	var size int64
	for _, t := range set.All() {
		size += t.Data.Size()
	}
	if set.Len() == 0 {
		return nil, fmt.Errorf("%w: it has no tensors", ErrMisfit)
	}
	if memory > 0 && size > memory {
		return nil, fmt.Errorf("%w: to hold the suspect takes %d bytes", align.ErrMemory, size)
	}
	s := &Suspect{tensors: map[string]*Tensor{}, threads: threads}
	var held []*tensor.Tensor
	for _, t := range set.All() {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		b, err := t.Bytes()
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		held = append(held, &tensor.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Data: tensor.Bytes(b)})
	}
	var err error
	if s.set, err = tensor.NewSet(held...); err != nil {
		return nil, err
	}
	list, err := survey(ctx, s.set, threads)
	if err != nil {
		return nil, err
	}
	for i := range list {
		s.tensors[list[i].Name] = &list[i]
	}
	return s, nil
}

// Hold compares the suspect with a passport: digests, then sketches, by hard decisions
// alone. [Compare] looks closer.
func (s *Suspect) Hold(ctx context.Context, p *Passport) (*Kinship, error) {
	k := &Kinship{}
	var equal, unordered, all int64
	for i := range p.Tensors {
		t := &p.Tensors[i]
		n, _ := t.Shape.Elems() // checked
		all += n
		u := s.tensors[t.Name]
		if u == nil || u.DType != t.DType || !slices.Equal(u.Shape, t.Shape) {
			continue
		}
		if u.SHA256 == t.SHA256 {
			equal += n
		}
		if u.Unordered == t.Unordered {
			unordered += n
		}
	}
	k.Equal = float64(equal) / float64(max(1, all))
	if equal == all && len(p.Tensors) == len(s.tensors) {
		k.Relation, k.Certain = SameWeights, 1
		return k, nil
	}
	r, err := Match(ctx, p, s.set, &align.NetworkOptions{Options: align.Options{Threads: s.threads}, Hard: true})
	switch {
	case errors.Is(err, ErrMisfit):
		k.Relation, k.Reason = Misfit, err.Error()
		if 2*equal > all { // other tensors, or none that move
			k.Relation = Related
		}
		return k, nil
	case err != nil:
		return nil, err
	}
	k.LogEvidence = r.LogEvidence
	k.Certain = certainShare(r)
	switch {
	case unordered == all && len(p.Tensors) == len(s.tensors):
		k.Relation = SameNumbers
	case r.Related:
		k.Relation = Related
	default:
		k.Relation = Unrelated
	}
	return k, nil
}

// certainEnough is where a match counts as certain.
const certainEnough = 0.99

func certainShare(r *align.NetworkResult) float64 {
	n, sure := 0, 0
	for _, c := range r.Classes {
		for _, x := range c.Certainty {
			n++
			if x >= certainEnough {
				sure++
			}
		}
	}
	return float64(sure) / float64(max(1, n))
}

// settled returns a result in which the uncertain neurons of a group stay where they are,
// if all that are certain do: what is damaged has not moved.
func settled(r *align.NetworkResult) *align.NetworkResult {
	out := *r
	out.Classes = slices.Clone(r.Classes)
	for k := range out.Classes {
		c := &out.Classes[k]
		if len(c.Sus) != len(c.Ref) || len(c.Added) > 0 {
			continue
		}
		still, moved := true, false
		for i, j := range c.Sus {
			still = still && (j == i || j >= 0 && c.Certainty[i] < certainEnough)
			moved = moved || j != i
		}
		if !still || !moved {
			continue
		}
		c.Sus, c.Ref = slices.Clone(c.Sus), slices.Clone(c.Ref)
		for f := range c.Scale {
			c.Scale[f] = slices.Clone(c.Scale[f])
		}
		for i, j := range c.Sus {
			if j != i {
				for f := range c.Scale {
					c.Scale[f][i] = 1
				}
			}
			c.Sus[i], c.Ref[i] = i, i
		}
	}
	return &out
}
