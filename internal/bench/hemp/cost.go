package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"ropewalk/compact"
	"ropewalk/dataset"
	"ropewalk/engine"
	"ropewalk/engine/native"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/internal/bench/processor"
	"ropewalk/internal/bench/rival"
	"ropewalk/tensor"
	"ropewalk/train"
)

// costs are the penalties whose price in time is measured.
var costs = []struct {
	name string
	o    *compact.Options // nil is training without any
}{
	{"task", nil},
	{"as published, n = 1", &compact.Options{Method: compact.Paper, Order: 1, Lambda: 1e-9}},
	{"as published, n = 2", &compact.Options{Method: compact.Paper, Order: 2, Lambda: 1e-9}},
	{"as published, n = 3", &compact.Options{Method: compact.Paper, Order: 3, Lambda: 1e-9}},
	{"as published, n = 4", &compact.Options{Method: compact.Paper, Order: 4, Lambda: 1e-9}},
	{"default", &compact.Options{Levels: 3}},
}

const (
	costBatch = 100
	costSteps = 60 // of a turn
	costTurns = 7
)

// writeCosts measures what a step of training takes with and without penalties, in
// seconds of the processor, and writes a table. Turns go round, and the least of each
// counts: on a busy machine it is the one that was disturbed least.
func writeCosts(ctx context.Context, w io.Writer) error {
	var s strings.Builder
	fmt.Fprintf(&s, "# What it costs to be small\n\nMilliseconds of the processor for a step of %d examples, one thread, and the part of them that the penalty adds; the least of %d turns of %d steps. "+
		"As published, gradients of the entropy are found every 10 steps; the default has its whole course in each turn. What is measured for the history after each epoch is not in it.\n\n", costBatch, costTurns, costSteps)
	head := []string{"network"}
	for _, c := range costs {
		head = append(head, c.name)
	}
	var rows [][]string
	for _, net := range []string{lenet300, lenet5} {
		least := slices.Repeat([]float64{math.Inf(1)}, len(costs))
		for turn := range costTurns {
			for i := range costs {
				ms, err := costOf(ctx, net, costs[i].o)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", net, costs[i].name, err)
				}
				least[i] = min(least[i], ms)
			}
			fmt.Fprintf(os.Stderr, "%s: turn %d of %d\n", net, turn+1, costTurns)
		}
		row := []string{net, rival.Number(least[0], 2)}
		for _, ms := range least[1:] {
			row = append(row, fmt.Sprintf("%.2f (%+.0f %%)", ms, 100*(ms/least[0]-1)))
		}
		rows = append(rows, row)
	}
	rival.Table(&s, head, rows)
	_, err := io.WriteString(w, s.String())
	return err
}

// costOf returns the milliseconds of a step.
func costOf(ctx context.Context, net string, o *compact.Options) (float64, error) {
	input := tensor.Shape{1, 28, 28}
	g, err := nets.Build(net, &nets.Options{Seed: 1, Input: input})
	if err != nil {
		return 0, err
	}
	p, err := (native.Backend{}).Compile(g, &engine.Options{Threads: 1, Trainable: g.Parameters()})
	if err != nil {
		return 0, err
	}
	defer p.Close()
	d, err := dataset.Open("builtin:fashion-mnist", nil)
	if err != nil {
		return 0, err
	}
	x := &train.Examples{Data: dataset.First(d.Train, costBatch*20), Classes: 10, Workers: 1}
	if n := x.Len(); n != costBatch*20 {
		return 0, fmt.Errorf("there are %d examples, want %d", n, costBatch*20)
	}
	t := &train.Options{Epochs: costSteps / 20, Batch: costBatch, Threads: 1, Optimizer: train.Optimizer{Kind: train.Adam, Rate: 1e-3}}
	if o != nil {
		if err := penalise(t, p, g, *o); err != nil {
			return 0, err
		}
	}
	before, _ := processor.Seconds() // 0 where it is not known
	if _, err := train.Fit(ctx, p, x, t); err != nil {
		return 0, err
	}
	after, _ := processor.Seconds()
	return 1000 * (after - before) / costSteps, nil
}

// penalise adds a recipe to a training. It sees no files, so that packing costs
// nothing.
func penalise(t *train.Options, p engine.Program, g *graph.Graph, o compact.Options) error {
	layers, err := compact.Layers(g)
	if err != nil {
		return err
	}
	o.Threads = 1
	trained := slices.DeleteFunc(slices.Clone(p.Weights()), func(w engine.Weight) bool { return w.Gradient == nil })
	r, err := compact.New(trained, layers, o, compact.Tools{})
	if err != nil {
		return err
	}
	t.Penalties, t.Hooks = []train.Penalty{r.Penalty()}, []train.Hook{quiet{r}}
	return nil
}

// quiet is a recipe that says nothing at the end of epochs, which are short here.
type quiet struct{ r *compact.Recipe }

func (q quiet) Name() string                       { return q.r.Name() }
func (q quiet) Follow(m train.Moment)              { q.r.Follow(m) }
func (q quiet) Substitute(w []engine.Weight) error { return q.r.Substitute(w) }
func (q quiet) Idle() bool                         { return q.r.Idle() }
func (q quiet) Show(s, f []engine.Weight) error    { return q.r.Show(s, f) }
func (q quiet) Adjust(w []engine.Weight) error     { return q.r.Adjust(w) }
func (q quiet) AdjustPieces(w []engine.Weight, workers int) train.Pieces {
	return q.r.AdjustPieces(w, workers)
}
