package train

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"

	"ropewalk/engine"
	"ropewalk/tensor"
)

// Noise is a [Source] of inputs made at random, without targets: enough to tell two
// networks apart. Each batch is one run of the network, whatever the size that a
// [Pass] asks for.
type Noise struct {
	Inputs []NoiseInput
	// Runs is the number of batches.
	Runs int
	// Seed drives the numbers.
	Seed uint64
}

// A NoiseInput is one input of a network.
type NoiseInput struct {
	Name  string // for messages
	Type  tensor.DType
	Shape tensor.Shape
	// Value fills the input with one number; nil draws from a standard normal
	// distribution for floats, and from 0 and 1 for integers and truth values.
	Value *float64
}

// maxNoise bounds the elements of an input.
const maxNoise = 1 << 28

// Len implements [Source].
func (n *Noise) Len() int { return n.Runs }

// Batches implements [Source].
func (n *Noise) Batches(ctx context.Context, p Pass) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		for k := p.First; k < n.Runs; k++ {
			if ctx.Err() != nil {
				yield(nil, context.Cause(ctx))
				return
			}
			b := &Batch{}
			for i, in := range n.Inputs {
				a, err := in.draw(rand.New(rand.NewPCG(n.Seed, uint64(k)<<32+uint64(i))))
				if err != nil {
					yield(nil, err)
					return
				}
				b.Inputs = append(b.Inputs, a)
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

func (in *NoiseInput) draw(rng *rand.Rand) (engine.Array, error) {
	n, err := in.Shape.Elems()
	if err != nil {
		return engine.Array{}, fmt.Errorf("input %q: %w", in.Name, err)
	}
	if n > maxNoise {
		return engine.Array{}, fmt.Errorf("input %q has the shape %v: more than %d values", in.Name, in.Shape, maxNoise)
	}
	a := engine.Array{Shape: in.Shape}
	if in.Type.IsFloat() {
		a.Float = make([]float32, n)
		for i := range a.Float {
			a.Float[i] = float32(rng.NormFloat64())
			if in.Value != nil {
				a.Float[i] = float32(*in.Value)
			}
		}
		return a, nil
	}
	a.Int = make([]int64, n)
	for i := range a.Int {
		a.Int[i] = rng.Int64N(2)
		if in.Value != nil {
			a.Int[i] = int64(*in.Value)
		}
	}
	return a, nil
}
