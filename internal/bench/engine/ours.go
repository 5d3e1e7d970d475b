package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"ropewalk/checkpoint"
	"ropewalk/engine"
	"ropewalk/engine/native"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/internal/bench/processor"
	"ropewalk/tensor"
	"ropewalk/train"
)

// A job runs steps.
type job struct {
	step  func() error
	close func()
}

// spent is what some steps took: the seconds of each, and those of the processors
// for all of them, which other load on the machine changes less.
type spent struct {
	Seconds []float64
	CPU     float64
}

func (j *job) steps(n int) (*spent, error) {
	s := &spent{}
	cpu, _ := processor.Seconds() // 0 where it is not known
	for range n {
		start := time.Now()
		if err := j.step(); err != nil {
			return nil, err
		}
		s.Seconds = append(s.Seconds, time.Since(start).Seconds())
	}
	now, _ := processor.Seconds()
	s.CPU = now - cpu
	return s, nil
}

// gate is a [train.Source] of one batch, which it gives each time that it is told to.
type gate struct {
	batch *train.Batch
	next  chan bool
}

func (g *gate) Len() int { return len(g.batch.Targets.Labels) }

func (g *gate) Batches(ctx context.Context, _ train.Pass) iter.Seq2[*train.Batch, error] {
	return func(yield func(*train.Batch, error) bool) {
		select {
		case <-g.next:
			yield(g.batch, nil)
		case <-ctx.Done():
			yield(nil, context.Cause(ctx))
		}
	}
}

// inputShape is that of the examples of a network.
func inputShape(net string) tensor.Shape {
	if strings.HasPrefix(net, "lenet") {
		return tensor.Shape{1, 28, 28}
	}
	return tensor.Shape{3, 32, 32}
}

// errDone ends a Fit whose steps are not wanted any more.
var errDone = errors.New("done")

// training starts to train a network, and waits to be told to make steps.
func training(net string, batch, threads int) (*job, error) {
	g, err := nets.Build(net, &nets.Options{Seed: 1, Classes: 10, Input: inputShape(net)})
	if err != nil {
		return nil, err
	}
	p, err := native.Backend{}.Compile(g, &engine.Options{Threads: threads, Trainable: g.Parameters()})
	if err != nil {
		return nil, err
	}
	x := normal(append(tensor.Shape{int64(batch)}, inputShape(net)...))
	labels := make([]int64, batch)
	for i := range labels {
		labels[i] = int64(i % 10)
	}
	s := &gate{&train.Batch{Inputs: []engine.Array{x}, Targets: train.Targets{Labels: labels}}, make(chan bool)}
	done := make(chan error)
	ctx, cancel := context.WithCancelCause(context.Background())
	o := &train.Options{
		Epochs: 1_000_000, Batch: batch, Optimizer: train.Optimizer{Rate: 0.01, Momentum: 0.9},
		Progress: func(train.Progress) { done <- nil },
	}
	ended := make(chan bool)
	go func() {
		defer close(ended)
		_, err := train.Fit(ctx, p, s, o)
		if !errors.Is(err, errDone) {
			done <- err
		}
	}()
	j := &job{}
	j.step = func() error {
		s.next <- true
		return <-done
	}
	j.close = func() {
		cancel(errDone)
		s.next <- true // it stands before its next step, where it looks at ctx
		<-ended
		_ = p.Close() // gives memory back
	}
	return j, nil
}

// normal returns numbers from a normal distribution.
func normal(shape tensor.Shape) engine.Array {
	n, err := shape.Elems()
	if err != nil {
		panic("bench: internal error: " + err.Error())
	}
	rng := rand.New(rand.NewPCG(1, 1))
	a := engine.Array{Shape: shape, Float: make([]float32, n)}
	for i := range a.Float {
		a.Float[i] = float32(rng.NormFloat64())
	}
	return a
}

// An input is one of a model that is run.
type input struct {
	Name  string       `json:"name"`
	Shape tensor.Shape `json:"shape"`
	Value *int64       `json:"value,omitempty"`
}

func (in input) array() engine.Array {
	if in.Value != nil {
		return engine.Array{Shape: in.Shape, Int: []int64{*in.Value}}
	}
	return normal(in.Shape)
}

// running returns a job that runs an ONNX model.
func running(model string, inputs []input, threads int) (*job, error) {
	c, err := checkpoint.Open(model, nil)
	if err != nil {
		return nil, err
	}
	g, err := graph.FromLayout(c.Layout)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	p, err := native.Backend{}.Compile(g, &engine.Options{Threads: threads, Fixed: true})
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	var arrays []engine.Array
	for _, want := range g.Inputs {
		for _, in := range inputs {
			if in.Name == want.Name {
				arrays = append(arrays, in.array())
			}
		}
	}
	if len(arrays) != len(g.Inputs) {
		return nil, fmt.Errorf("%s has %d inputs, want %d", model, len(g.Inputs), len(inputs))
	}
	return &job{
		step: func() error {
			if _, err := p.Forward(arrays); err != nil {
				return fmt.Errorf("%s: %w", model, err)
			}
			return nil
		},
		close: func() {
			_ = p.Close() // gives memory back
			_ = c.Close() // was only read
		},
	}, nil
}

// exported writes a network of package nets as an ONNX file.
func exported(net, path string) error {
	g, err := nets.Build(net, &nets.Options{Seed: 1})
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(g.WriteONNX(f), f.Close())
}
