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

// A Pieces does something with elements from to to of weight i. It is called by several
// goroutines at a time, for different elements, each with a number of its own.
type Pieces func(worker, i, from, to int)

// A PiecewisePenalty is a Penalty whose derivative by a weight needs nothing but that
// weight: then it can be added while the optimizer has the weight at hand, which saves
// a way through memory.
type PiecewisePenalty interface {
	Penalty
	// AddGradLater is AddGrad, but for what the Pieces that it returns add; nil is
	// nothing. There are at most so many workers. It is called in the place of AddGrad
	// if no other penalty follows, and gradients are not clipped.
	AddGradLater(w []engine.Weight, workers int) (value float64, rest Pieces)
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

// An Idler is a [Substituter] that is not always at work.
type Idler interface {
	Substituter
	// Idle reports that Substitute would change nothing now. It is asked before each
	// step and evaluation.
	Idle() bool
}

// A Shower is a [Substituter] that need not have the floats in its place.
type Shower interface {
	Substituter
	// Show is Substitute, with the floats in the Values of floats. It overwrites all
	// Values of shown, those that it would leave alone with a copy.
	Show(shown, floats []engine.Weight) error
}

// An Adjuster changes weights after an update: projection, clamping, masks.
type Adjuster interface {
	Hook
	// Adjust may change Values, which have been updated. Gradient is what the
	// optimizer was given: the derivative of loss and penalties, clipped.
	Adjust(w []engine.Weight) error
}

// A PiecewiseAdjuster is an [Adjuster] that changes each weight on its own, so that it
// can do so while the optimizer has the weight at hand.
type PiecewiseAdjuster interface {
	Adjuster
	// AdjustPieces is called before the update, with the Gradient that the optimizer is
	// given but for what a [PiecewisePenalty] adds later. The Pieces that it returns,
	// or nil, are called after the optimizer has changed these elements, and Adjust for
	// what is left when all is done. There are at most so many workers.
	AdjustPieces(w []engine.Weight, workers int) Pieces
}

// An Observer is a [Penalty] or [Hook] with something to say of each epoch.
type Observer interface {
	// Observe is called after each epoch and its evaluation; the numbers go into
	// the [Event] by name. Values are the floats that the optimizer updates. It may
	// compute with the program, and leaves the Values as they were.
	Observe(ctx context.Context, w []engine.Weight, m Moment) (map[string]float64, error)
}
