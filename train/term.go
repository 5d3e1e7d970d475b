package train

import (
	"fmt"

	"ropewalk/engine"
)

// A Term is a term of the loss as a plain function of some weights, which knows
// nothing of engines: those of package entropy, and watermarks.
type Term interface {
	Name() string
	// AddGrad returns the value of the term, all factors included, and adds its
	// derivatives to gradients.
	AddGrad(weights, gradients [][]float32) float64
}

// On makes a [Penalty] of a term on the weights of these names, in this order. [Fit]
// refuses names that are no trained weights. If the term is a [Keeper] or a
// [Follower], so is the penalty.
func On(names []string, t Term) Penalty { return &onWeights{t: t, Weights: names} }

// onWeights is a Term that has found its weights.
type onWeights struct {
	t       Term
	Weights []string // a part of the recipe
	at      []int    // their indices among the trained weights
	w, g    [][]float32
}

func (o *onWeights) Name() string { return o.t.Name() }

// bind finds the weights.
func (o *onWeights) bind(trained []engine.Weight) error {
	o.at = nil
	for _, name := range o.Weights {
		found := false
		for i := range trained {
			if trained[i].Name == name {
				o.at, found = append(o.at, i), true
			}
		}
		if !found {
			return fmt.Errorf("%s: %q is no weight that is trained", o.Name(), name)
		}
	}
	return nil
}

func (o *onWeights) AddGrad(trained []engine.Weight) float64 {
	o.w, o.g = o.w[:0], o.g[:0]
	for _, i := range o.at {
		o.w, o.g = append(o.w, trained[i].Values), append(o.g, trained[i].Gradient)
	}
	return o.t.AddGrad(o.w, o.g)
}

func (o *onWeights) Follow(m Moment) {
	if f, ok := o.t.(Follower); ok {
		f.Follow(m)
	}
}

func (o *onWeights) State() ([]byte, error) {
	if k, ok := o.t.(Keeper); ok {
		return k.State()
	}
	return nil, nil
}

func (o *onWeights) SetState(b []byte) error {
	if k, ok := o.t.(Keeper); ok {
		return k.SetState(b)
	}
	return nil
}
