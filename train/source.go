package train

import (
	"context"
	"fmt"
	"iter"

	"ropewalk/engine"
)

// A Source gives examples in batches. Which examples a batch holds, in which
// order, and how they were changed at random, is a function of the [Pass] and
// the number of the batch alone: that is what makes an exact resume possible.
type Source interface {
	// Len is the number of examples of a pass.
	Len() int
	// Batches yields the batches of a pass, from number p.First on. The last one
	// may be smaller. A batch is valid until the next one is asked for. After an
	// error there is none.
	Batches(ctx context.Context, p Pass) iter.Seq2[*Batch, error]
}

// A Pass is one way through all examples.
type Pass struct {
	// Number counts from 0. Different numbers give different orders, if Train
	// is set.
	Number int
	// Seed drives order and augmentation.
	Seed uint64
	// Size is the number of examples of a batch, 1 or more.
	Size int
	// First is the number of the first batch that is yielded.
	First int
	// Train asks for a random order, and for augmentation; else the examples
	// come in their own order, as they are.
	Train bool
}

// Batches returns the number of batches of a pass over n examples.
func (p Pass) Batches(n int) int { return (n + p.Size - 1) / p.Size }

// A Batch is some examples.
type Batch struct {
	// Inputs are those of the network, in its order. The first axis of each
	// counts the examples.
	Inputs []engine.Array
	// Targets is what the outputs should be.
	Targets Targets
}

// Targets say what the outputs for a batch should be. All that is set counts the
// same examples. An [Objective] says which of them it needs.
type Targets struct {
	// Labels are the numbers of classes, from 0; one for each example.
	Labels []int64
	// Shares, if not nil, are how much each example belongs to each class:
	// (examples, classes), row-major; rows sum to one. They take the place of
	// Labels in a loss. Labels stay the class that counts for accuracy.
	Shares []float32
	// Values are the values of regression: (examples, values of one output),
	// row-major.
	Values []float32
}

// size returns the number of examples, by the first input.
func (b *Batch) size() (int, error) {
	if len(b.Inputs) == 0 || len(b.Inputs[0].Shape) == 0 || b.Inputs[0].Shape[0] < 1 {
		return 0, fmt.Errorf("a batch has no input whose first axis counts examples")
	}
	return int(b.Inputs[0].Shape[0]), nil
}
