package lineage

import (
	"context"
	"errors"
	"fmt"

	"ropewalk/align"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// Evidence is how probable it is that strangers look as these two networks do. Every
// number says what it assumes. None of them shows that networks are independent.
type Evidence struct {
	FixedPoints *FixedPoints  `json:"fixed_points,omitempty" about:"an exact test for suspects whose neurons were not moved"`
	Verbatim    *Verbatim     `json:"verbatim,omitempty" about:"a count of neurons whose weights are in the suspect whole, whatever became of the others"`
	Score       *Score        `json:"score,omitempty" about:"a score for suspects whose neurons may have been moved, beside those of controls"`
	Resemblance *Resemblance  `json:"resemblance,omitempty" about:"of what kind the similarity is: that of a derived network, or of one that learned the same"`
	Derived     bool          `json:"derived" about:"whether the similarity is more than that of networks that learned the same"`
	Reason      string        `json:"reason" about:"why derived is what it is, in words"`
	Neurons     *NeuronClaims `json:"neurons,omitempty" about:"how many matches can be claimed together"`
	Caution     string        `json:"caution" about:"what does not follow, in words"`
}

// Verbatim is how many of the reference's neurons are in the suspect with all weights that
// they read with.
type Verbatim struct {
	Neurons    int     `json:"neurons" about:"of the reference that one neuron of the suspect, and no other, reads like: with the same weights in some order, up to a factor and rounding"`
	Tested     int     `json:"tested" about:"neurons that could have been found: those that read with two dozen different weights"`
	Log10P     float64 `json:"log10_p" about:"decimal logarithm of a bound on the probability of so many, under the assumption; 0 is no evidence"`
	Assumption string  `json:"assumption" about:"in words"`
}

const verbatimAssumption = "log10_p is a bound for weights of the two networks that are independent and Gaussian, in any order. Trained weights are neither, but those of networks that learned the same agree in no more than two or three digits. " +
	"Weights that no training made, as filters that were computed, are the same in networks that have nothing else to do with each other."

// Score is how well the weights of matched neurons agree.
type Score struct {
	LogEvidence float64    `json:"log_evidence" about:"natural logarithm: weights' agreement against all matchings there were to choose from"`
	Value       float64    `json:"value" about:"what is held against controls: log_evidence"`
	Random      *Conformal `json:"random,omitempty" about:"beside networks of the suspect's own numbers in other orders"`
	Given       *Conformal `json:"given,omitempty" about:"beside networks that were given as controls"`
	Assumption  string     `json:"assumption" about:"in words"`
}

const scoreAssumption = "log_evidence bounds the probability that the best of all matchings of two networks of independent Gaussian weights correlates so well, by a union bound. " +
	"Trained weights are not independent: networks that learned the same from different beginnings have high scores as well. It is a score, and no p-value."

const caution = "Large probabilities and low scores are no evidence of anything: that a network is not derived is never shown by them. " +
	"Networks that were trained anew from the outputs of the reference have other weights, and are not seen at all."

// EvidenceOptions say how to weigh. Nil and the zero value are the default.
type EvidenceOptions struct {
	Threads int
	Memory  int64 // as in [align.NetworkOptions]
	// Seed is that of shuffles and random controls. Whoever made the suspect must not have known it.
	Seed uint64
	// Random is how many random controls are matched, each of which takes as long as
	// the suspect: 0 is 19, less than 0 none.
	Random int
	// Controls are networks that are known to have nothing to do with the reference, and Names
	// what they are called.
	Controls []*tensor.Set
	Names    []string
	// Progress is called when a part of the work begins, with its name; nil is not.
	Progress func(part string)
}

const defaultControls = 19

// exactLevel is where an exact probability is believed though weights resemble each other little, as
// decimal logarithm.
const exactLevel = -9

// A weigher weighs the evidence of one pair.
type weigher struct {
	ref, sus *tensor.Set
	spec     *symmetry.Spec
	o        *EvidenceOptions
}

func (w *weigher) progress(part string) {
	if w.o.Progress != nil {
		w.o.Progress(part)
	}
}

// Weigh says how probable it is that strangers look as these two networks do. match is
// what [align.MatchNetworks] found; nil looks for it. The suspect's tensors have the reference's names.
// Errors are [ErrInput], and those of reading.
func Weigh(ctx context.Context, ref, sus Network, match *align.NetworkResult, o *EvidenceOptions) (*Evidence, error) {
	if o == nil {
		o = &EvidenceOptions{}
	}
	out, err := weigh(ctx, ref, sus, match, o)
	if errors.Is(err, align.ErrInput) {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	return out, err
}

func weigh(ctx context.Context, ref, sus Network, match *align.NetworkResult, o *EvidenceOptions) (*Evidence, error) {
	out := &Evidence{Caution: caution}
	if ref.Spec == nil || len(ref.Spec.Groups) == 0 {
		out.Reason = "nothing is known of which neurons can move, so there is nothing to be matched"
		out.FixedPoints = &FixedPoints{Why: out.Reason, Assumption: fixedAssumption}
		return out, nil
	}
	w := &weigher{ref.Set, sus.Set, ref.Spec, o}
	own, err := align.FromSymmetry(ref.Spec)
	if err != nil {
		return nil, err
	}
	others, err := own.Resize(sus.Set)
	if err != nil {
		return nil, err
	}
	w.progress("neurons in place")
	if out.FixedPoints, err = fixedPoints(ctx, ref.Set, sus.Set, own, others, o.Seed, o.Threads); err != nil {
		return nil, err
	}
	if match == nil {
		w.progress("matching")
		if match, err = matchWith(ctx, ref.Set, sus.Set, ref.Spec, o); err != nil {
			return nil, err
		}
	}
	if out.Resemblance, err = resembleMatched(ctx, w.ref, w.sus, w.spec, match, o.Seed); err != nil {
		return nil, err
	}
	out.Derived, out.Reason = derived(match, out.Resemblance)
	if f := out.FixedPoints; !out.Derived && f.Log10P < exactLevel {
		out.Derived, out.Reason = true, fmt.Sprintf("%d of %d neurons are in their own places, which has a probability of 10^%.1f for strangers", f.Fixed, f.Neurons, f.Log10P)
	}
	if !match.Streamed { // it reads whole tensors
		few, err := match.FindVerbatim(w.spec, w.ref, w.sus)
		if err != nil {
			return nil, err
		}
		out.Verbatim = &Verbatim{Neurons: few.Neurons, Tested: few.Tested, Log10P: few.Log10P, Assumption: verbatimAssumption}
		if !out.Derived && taken(few) {
			out.Derived, out.Reason = true, fmt.Sprintf("%d of %d neurons read with the weights of the reference's, all of them", few.Neurons, few.Tested)
		}
	}
	why := ""
	if !out.Derived {
		why = "no neuron is claimed: " + out.Reason
	}
	out.Neurons = claimNeurons(match, why)
	out.Score, err = w.weighScore(ctx, match)
	return out, err
}

// score is what is held against controls.
func (w *weigher) score(match *align.NetworkResult) float64 { return match.LogEvidence }

// weighScore holds the score of the suspect against those of controls.
func (w *weigher) weighScore(ctx context.Context, match *align.NetworkResult) (*Score, error) {
	out := &Score{LogEvidence: match.LogEvidence, Value: w.score(match), Assumption: scoreAssumption}
	random := w.o.Random
	if random == 0 {
		random = defaultControls
	}
	var err error
	if random > 0 {
		if out.Random, err = w.randomControls(ctx, random); err != nil {
			return nil, err
		}
		out.Random.place(out.Value)
	}
	if len(w.o.Controls) > 0 {
		if out.Given, err = w.givenControls(ctx); err != nil {
			return nil, err
		}
		out.Given.place(out.Value)
	}
	return out, nil
}
