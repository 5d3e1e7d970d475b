package attack

import (
	"context"
	"fmt"
	"math"
	"slices"

	"ropewalk/engine"
	"ropewalk/tensor"
	"ropewalk/train"
)

// A Trainer is what finetune trains with.
type Trainer struct {
	Backend engine.Backend
	// Data are the examples.
	Data train.Source
	// Objective is the loss; nil is that of [train.Options].
	Objective train.Objective
	// Compile says how to compile; Trainable and Seed are finetune's.
	Compile engine.Options
	// FixedBatch is that of [train.Options]: no batch is smaller.
	FixedBatch bool
	// Progress is that of [train.Options].
	Progress func(train.Progress)
}

// What the paper's sibling testbed trains with.
const (
	tuneRate     = 0.01
	tuneMomentum = 0.9
	tuneDecay    = 5e-4
	tuneBatch    = 128
)

// finetune trains all parameters Θ epochs more, by SGD with a rate of 0.01 (or that of
// the option rate), a momentum of 0.9 and a decay of 5e-4, in batches of 128 (batch).
func (r *run) finetune(s *Step, rep *Report) error {
	tr := r.o.Trainer
	switch {
	case r.Graph == nil:
		return fmt.Errorf("%w: it can't be trained, because how it is computed is not known", ErrNetwork)
	case tr == nil || tr.Backend == nil || tr.Data == nil:
		return fmt.Errorf("%w: there are no examples to train it on", ErrNetwork)
	}
	rate, err := s.number("rate", tuneRate, 1e3)
	if err != nil {
		return err
	}
	batch, err := s.number("batch", tuneBatch, 1<<20)
	if err != nil {
		return err
	}
	if batch != math.Trunc(batch) {
		return invalid("%s: batch=%g: want a whole number", s.Kind, batch)
	}
	for _, name := range r.Graph.Parameters() {
		if err := finite(r.Graph.Weights.Lookup(name)); err != nil {
			return err
		}
	}
	o := tr.Compile
	o.Trainable, o.Seed = r.Graph.Parameters(), r.seed()
	p, err := tr.Backend.Compile(r.Graph, &o)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }() // gives memory back
	report, err := fit(r.ctx, p, tr, train.Options{
		Epochs: int(s.Strength), Batch: int(batch), Seed: r.seed(), Threads: o.Threads,
		Optimizer: train.Optimizer{Kind: train.SGD, Rate: rate, Momentum: tuneMomentum, Decay: tuneDecay},
	})
	if err != nil {
		return err
	}
	rep.Loss = &report.Loss
	var changed []*tensor.Tensor
	buffers := r.Graph.Buffers() // running means and variances change, too
	for _, w := range p.Weights() {
		t := r.Set.Lookup(w.Name)
		if t == nil || !t.DType.Numeric() || w.Gradient == nil && !slices.Contains(buffers, w.Name) {
			continue
		}
		is := &tensor.Tensor{Name: w.Name, DType: tensor.F32, Shape: w.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, w.Values))}
		if t.Elems() != is.Elems() {
			return fmt.Errorf("tensor %s is %v, and in the network %v", w.Name, t.Shape, w.Shape)
		}
		is.Shape = t.Shape
		changed = append(changed, tensor.Cast(is, t.DType))
	}
	rep.counted(changed)
	return r.change(changed...)
}

func fit(ctx context.Context, p engine.Program, tr *Trainer, o train.Options) (*train.Report, error) {
	o.Objective, o.FixedBatch, o.Progress = tr.Objective, tr.FixedBatch, tr.Progress
	return train.Fit(ctx, p, tr.Data, &o)
}
