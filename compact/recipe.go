package compact

import (
	"context"
	"fmt"
	"math"
	"slices"

	"ropewalk/engine"
	"ropewalk/entropy"
	"ropewalk/internal/kernel"
	"ropewalk/train"
)

// Tools are what a recipe asks the caller for.
type Tools struct {
	// Size returns the bytes of the file that holds the network with these values
	// of its trained weights. It does not keep them.
	Size func(values [][]float32) (int64, error)
	// Judge evaluates the network as it is now; nil leaves the accuracy of the
	// floats out of the history.
	Judge func(ctx context.Context) (*train.Summary, error)
	// Finished returns the bytes of the file that is made of a network as training leaves
	// it, if more is done to it then than that its units are put in order; nil is none. The
	// estimate in the history follows it: it is asked some times after zeros are frozen.
	Finished func(ctx context.Context, n *Network) (int64, error)
	// Mark chooses the weights that go to a neighbouring level because they carry a mark;
	// nil is none. It is asked once, half way between Freeze and the end, and its moves
	// are held from then on, with the support and the order of units in the file, while all
	// else learns on. What it returns beside them is kept, see [Recipe.Kept]. Not for Paper.
	Mark func(p *Proposal) (moves []Move, keep []byte, err error)
	// Batch is how many examples a gradient is the mean of, for the prices of moves.
	Batch int
	// Narrow says that files leave out units that do nothing: they are then gone from
	// where the mark is chosen on.
	Narrow bool
}

// A Recipe makes a network small while it is trained. It is a hook of package
// train, and Penalty returns the penalty that goes with it.
type Recipe struct {
	o       Options
	tools   Tools
	layers  []Layer
	names   []string
	tensors []entropy.Layer
	roles   []role
	index   map[string]int // of tensors

	levels []*entropy.Levels // nil before Start, and of tensors that stay floats
	q      *entropy.Quantizer
	rate   *entropy.Rate
	prices []*price
	paper  *entropy.Paper
	shown  [][]float32 // scratch: values of the quantized network

	at         train.Moment
	epoch      int            // in which levels were chosen, for Requantize
	stepping   bool           // between Follow and Adjust
	begun      bool           // between AdjustPieces and Adjust
	strips     []kernel.Strip // of workers
	due        []duePrice     // of tensors, for AddGradLater
	phase      phase
	calls      int
	lambda     float64
	bits       float64     // soft, of the last step at which prices were found
	fisher     [][]float32 // squared gradients of batches, averaged
	mask       [][]bool    // pruned weights
	calibrated float64     // real bytes over estimated ones
	finishing  finishing   // what is done to the file in the end
	order      []int       // keys of units, see Network.arrange
	last       []float64   // controller: log of the estimate when it began
	rest       []*settler  // after Freeze
	mark       *marked     // nil before there is one
}

// A finishing is what is known of [Tools.Finished].
type finishing struct {
	Ratio float64 // bytes of the finished file over those before; 0 is unknown
	At    float64 // progress of training
}

type role int

const (
	alone  role = iota // stays as it is
	weight             // learned levels
	bias               // fixed grid
)

type phase int

const (
	floats phase = iota
	free
	frozen
)

// New returns a recipe for the weights of a program that are trained, in their
// order.
func New(weights []engine.Weight, layers []Layer, o Options, tools Tools) (*Recipe, error) {
	chain := true
	for i, l := range layers {
		chain = chain && l.From == i-1
	}
	o, err := o.settled(chain)
	if err != nil {
		return nil, fmt.Errorf("compact: %w", err)
	}
	r := &Recipe{o: o, tools: tools, layers: layers, index: map[string]int{}, lambda: o.Lambda, calibrated: 1}
	biases := map[string]bool{}
	for _, l := range layers {
		biases[l.Bias] = true
	}
	some := false
	for i, w := range weights {
		role := alone
		switch {
		case len(w.Shape) >= 2 && len(w.Values) >= leastWeights:
			role, some = weight, true
		case len(w.Shape) == 1 && biases[w.Name] && !o.FloatBiases:
			role = bias
		}
		r.index[w.Name] = i
		r.names = append(r.names, w.Name)
		r.roles = append(r.roles, role)
		r.tensors = append(r.tensors, entropy.Layer{Name: w.Name, Shape: w.Shape})
		r.shown = append(r.shown, make([]float32, len(w.Values)))
		r.fisher = append(r.fisher, nil)
		if role == weight && o.Method == Default {
			r.fisher[i] = make([]float32, len(w.Values))
		}
	}
	if !some {
		return nil, fmt.Errorf("compact: no tensor has two axes and %d weights, so there is nothing to make small", leastWeights)
	}
	if o.Method == Paper {
		if tools.Mark != nil {
			return nil, fmt.Errorf("compact: the method %s has no time at which zeros are frozen, and a mark is chosen then", Paper)
		}
		po, err := o.paperOptions()
		if err == nil && o.Scan != "" {
			err = r.scan(o.Scan)
		}
		if err != nil {
			return nil, fmt.Errorf("compact: %w", err)
		}
		if r.paper, err = entropy.NewPaper(r.tensors, valuesOf(weights), po); err != nil {
			return nil, err
		}
		for i := range r.tensors {
			if r.paper.Levels(i) != nil {
				return r, nil
			}
		}
		return nil, fmt.Errorf("compact: no tensor has enough weights for %d levels, so that none would be quantized", po.Levels)
	}
	if err := r.reachable(weights); err != nil {
		return nil, err
	}
	r.prices, r.rest = make([]*price, len(weights)), make([]*settler, len(weights))
	if o.Start == 0 {
		return r, r.begin(valuesOf(weights))
	}
	return r, nil
}

// scan has the blocks of all tensors be made in an order.
func (r *Recipe) scan(name string) error {
	scan, err := entropy.ParseScan(name)
	for i := range r.tensors {
		r.tensors[i].Scan = scan
	}
	return err
}

// reachable refuses a target that a network without weights would not meet.
func (r *Recipe) reachable(weights []engine.Weight) error {
	if r.o.Target == 0 {
		return nil
	}
	if r.tools.Size == nil {
		return fmt.Errorf("compact: a target needs the size of the file")
	}
	for i, w := range weights {
		clear(r.shown[i])
		if r.roles[i] == alone {
			copy(r.shown[i], w.Values)
		}
	}
	least, err := r.tools.Size(r.shown)
	if err == nil && least > r.o.Target {
		err = &BudgetError{Target: r.o.Target, Smallest: least}
	}
	return err
}

// leastWeights is from which size a tensor is quantized.
const leastWeights = 64

func valuesOf(w []engine.Weight) [][]float32 {
	v := make([][]float32, len(w))
	for i := range w {
		v[i] = w[i].Values
	}
	return v
}

func gradientsOf(w []engine.Weight) [][]float32 {
	v := make([][]float32, len(w))
	for i := range w {
		v[i] = w[i].Gradient
	}
	return v
}

// Options returns the options with defaults filled in.
func (r *Recipe) Options() Options { return r.o }

// Lambda returns what a bit cost when zeros were frozen, in nats.
func (r *Recipe) Lambda() float64 { return r.lambda }

// Name implements [train.Hook].
func (r *Recipe) Name() string { return "hemp" }

// begin chooses levels for the weights as they are, and starts to quantize.
func (r *Recipe) begin(values [][]float32) error {
	levels := make([]*entropy.Levels, len(values))
	for i, w := range values {
		var err error
		switch r.roles[i] {
		case weight:
			if bad := slices.IndexFunc(w, func(x float32) bool { return x-x != 0 }); bad >= 0 {
				return &ValueError{Tensor: r.names[i], Index: bad, Value: w[bad]}
			}
			levels[i], err = entropy.Symmetric(firstStep(w, r.o.Levels/2), r.o.Levels/2)
		case bias:
			levels[i], err = entropy.Symmetric(r.o.BiasStep, biasLevels)
		}
		if err != nil {
			return fmt.Errorf("tensor %q: %w", r.names[i], err)
		}
	}
	if err := r.install(levels); err != nil {
		return err
	}
	if r.o.Prune > 0 {
		r.mask = make([][]bool, len(values))
		for i, w := range values {
			if r.roles[i] == weight {
				r.mask[i] = smallest(w, r.o.Prune)
			}
		}
		r.clear(values)
	}
	r.phase = free
	return nil
}

// firstStep returns the distance of the levels that a tensor begins with, half of them above
// zero: startStep deviations of its weights for all of them. Where the weights are further
// from zero than they are from each other, the outer level is at their size; where all are
// zero, it is as for weights that are drawn anew.
func firstStep(w []float32, half int) float64 {
	mean, spread := moments(w)
	switch {
	case math.Abs(mean) > spread:
		return math.Hypot(mean, spread) / float64(half)
	case spread == 0:
		spread = 1 / math.Sqrt(float64(len(w)))
	}
	return startStep * spread / (float64(half) + 0.5)
}

// A ValueError reports a weight that is infinite or not a number.
type ValueError struct {
	Tensor string
	Index  int
	Value  float32
}

// Error implements error.
func (e *ValueError) Error() string {
	return fmt.Sprintf("tensor %q: weight %d is %v, so that no levels can be chosen", e.Tensor, e.Index, e.Value)
}

// startStep gives three levels a distance of 1.8 deviations: near what they come to when they learn.
const startStep = 2.7

// install sets up what works with levels.
func (r *Recipe) install(levels []*entropy.Levels) (err error) {
	r.levels = levels
	if r.q, err = entropy.NewQuantizer(r.tensors, levels, &entropy.QuantizerOptions{DeadZone: r.o.DeadZone, Threads: r.o.Threads}); err != nil {
		return err
	}
	counted := slices.Clone(levels)
	for i := range counted {
		if r.roles[i] != weight && r.o.Model != Neighbours {
			counted[i] = nil
		}
	}
	if r.o.Model != Neighbours {
		r.rate, err = entropy.NewRate(r.tensors, counted, &entropy.RateOptions{
			Model: r.o.Model, Order: r.o.Order, Every: every, Beyond: beyondOf(r.o.Model), Threads: r.o.Threads,
		})
		return err
	}
	for i, l := range levels {
		if l == nil {
			continue
		}
		rows, cols := 1, len(r.shown[i])
		if r.roles[i] == weight {
			rows = int(r.tensors[i].Shape[0])
			cols /= max(rows, 1)
		}
		r.prices[i] = newPrice(rows, cols, len(l.Values())/2, r.planeOf(r.names[i]))
	}
	return nil
}

func beyondOf(m entropy.Model) float64 {
	if m == entropy.Blocks {
		return 0
	}
	return beyond
}

func (r *Recipe) planeOf(name string) [2]int {
	for _, l := range r.layers {
		if l.Weight == name && l.Outer {
			return l.Plane
		}
	}
	return [2]int{}
}

// moments returns the mean of numbers and their deviation.
func moments(w []float32) (mean, deviation float64) {
	sum, square := 0.0, 0.0
	for _, x := range w {
		sum += float64(x)
		square += float64(x) * float64(x)
	}
	n := float64(max(len(w), 1))
	return sum / n, math.Sqrt(max(square/n-sum/n*sum/n, 0))
}

// smallest marks the part of the weights nearest to zero.
func smallest(w []float32, part float64) []bool {
	order := make([]int, len(w))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := math.Abs(float64(w[a])), math.Abs(float64(w[b]))
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	m := make([]bool, len(w))
	for _, i := range order[:int(part*float64(len(w)))] {
		m[i] = true
	}
	return m
}

// clear has pruned weights be zero.
func (r *Recipe) clear(values [][]float32) {
	for i, m := range r.mask {
		for j, gone := range m {
			if gone {
				values[i][j] = 0
			}
		}
	}
}
