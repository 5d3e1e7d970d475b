package train

import (
	"context"

	"ropewalk/engine"
)

// A Penalty is a term of the loss that depends on the weights alone. It sees the
// weights that are trained, in the order of the program: Values are the floats
// that the optimizer updates (not what a [Substituter] put in their place), and
// Gradient is the derivative of the loss so far.
//
// A Penalty may also be a [Follower] and a [Keeper].
type Penalty interface {
	// Name is a word for history and reports, unique in a run: "entropy".
	Name() string
	// AddGrad returns the value of the term, all factors included, and adds its
	// derivative by each value to Gradient. It must not change Values, nor keep
	// the slices.
	AddGrad(w []engine.Weight) (value float64)
}

// A Moment is where training is.
type Moment struct {
	// Epoch counts from 0. Epochs is how many there will be, if training is not
	// stopped early.
	Epoch, Epochs int
	// Step counts updates from 0. Steps is how many there will be.
	Step, Steps uint64
	// Rate is the learning rate of the update.
	Rate float64
}

// Progress returns the part of training that is done, 0 to 1.
func (m Moment) Progress() float64 {
	if m.Steps == 0 {
		return 0
	}
	return float64(m.Step) / float64(m.Steps)
}

// A Follower is a [Penalty] or [Hook] that changes with time. Follow is called
// before each step, before all else.
type Follower interface {
	Follow(m Moment)
}

// A Keeper is a [Penalty] or [Hook] with a memory that a resumed run needs to go
// on exactly. Others are functions of weights and moment alone.
type Keeper interface {
	// State returns the memory, as it is between two steps.
	State() ([]byte, error)
	// SetState puts it back. State from another version, or that does not fit,
	// is an error.
	SetState([]byte) error
}

// A Hook changes weights around a step: it is a [Substituter], an [Adjuster], or
// both. It may also be a [Follower] and a [Keeper].
type Hook interface {
	// Name is a word for reports, unique in a run.
	Name() string
}

// A Substituter has the network compute with other weights than those that are
// updated: straight-through quantization.
type Substituter interface {
	Hook
	// Substitute overwrites Values with what the network shall compute with. The
	// floats are put back before penalties and update. It is called before the
	// first forward pass of each step, and before evaluations. Gradient is nil.
	Substitute(w []engine.Weight) error
}

// An Adjuster changes weights after an update: projection, clamping, masks.
type Adjuster interface {
	Hook
	// Adjust may change Values, which have been updated. Gradient is what the
	// optimizer was given: the derivative of loss and penalties, clipped.
	Adjust(w []engine.Weight) error
}

// An Observer is a [Penalty] or [Hook] with something to say of each epoch.
type Observer interface {
	// Observe is called after each epoch and its evaluation; the numbers go into
	// the [Event] by name. Values are the floats that the optimizer updates. It may
	// compute with the program, and leaves the Values as they were.
	Observe(ctx context.Context, w []engine.Weight, m Moment) (map[string]float64, error)
}
