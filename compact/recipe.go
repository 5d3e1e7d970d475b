package compact

import (
	"bytes"
	"context"
	"encoding/gob"
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
		return r, nil
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
			spread, bad := spreadOf(w)
			if bad >= 0 {
				return &ValueError{Tensor: r.names[i], Index: bad, Value: w[bad]}
			}
			levels[i], err = entropy.Symmetric(startStep*spread/(float64(r.o.Levels/2)+0.5), r.o.Levels/2)
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

// spreadOf returns what the levels of a tensor begin with: the deviation of its weights,
// or, where they are all alike, their size, or that of initial weights. bad is a weight
// that is no number, or -1.
func spreadOf(w []float32) (spread float64, bad int) {
	bad = slices.IndexFunc(w, func(x float32) bool { return x-x != 0 })
	if spread = deviation(w); spread > 0 || bad >= 0 {
		return spread, bad
	}
	if v := math.Abs(float64(w[0])); v > 0 {
		return v, -1
	}
	return 1 / math.Sqrt(float64(len(w))), -1
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

// startStep gives three levels a distance of 1.8 deviations, as training.md has it.
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

func deviation(w []float32) float64 {
	sum, square := 0.0, 0.0
	for _, x := range w {
		sum += float64(x)
		square += float64(x) * float64(x)
	}
	n := float64(max(len(w), 1))
	return math.Sqrt(max(square/n-sum/n*sum/n, 0))
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

// Follow implements [train.Follower].
func (r *Recipe) Follow(m train.Moment) { r.at, r.stepping = m, true }

// Substitute implements [train.Substituter]: the network computes with levels. With
// the method of the paper it is trained in floats, and evaluated with levels.
func (r *Recipe) Substitute(w []engine.Weight) error {
	values := valuesOf(w)
	switch {
	case r.Idle():
	case r.paper != nil:
		for i := range values {
			if r.paper.Levels(i) != nil {
				r.expand(values[i], r.paper.Symbols(nil, i, values[i]), r.paper.Levels(i))
			}
		}
	default:
		r.q.Forward(values, values)
	}
	return nil
}

// Idle implements [train.Idler].
func (r *Recipe) Idle() bool {
	return r.paper != nil && r.stepping || r.paper == nil && r.phase == floats
}

// Show implements [train.Shower].
func (r *Recipe) Show(shown, floats []engine.Weight) error {
	quantizes := r.paper == nil && !r.Idle()
	for i, w := range floats {
		if !quantizes || r.levels[i] == nil {
			copy(shown[i].Values, w.Values)
		}
	}
	if !quantizes {
		return r.Substitute(shown)
	}
	r.q.Forward(valuesOf(shown), valuesOf(floats))
	return nil
}

func (r *Recipe) expand(dst []float32, symbols []uint16, levels []float64) {
	for j, s := range symbols {
		dst[j] = float32(levels[s])
	}
}

// Penalty returns the term for bits. It belongs to no other recipe.
func (r *Recipe) Penalty() train.Penalty { return bitsTerm{r} }

type bitsTerm struct{ r *Recipe }

// Name implements [train.Penalty].
func (t bitsTerm) Name() string { return "bits" }

// AddGrad implements [train.Penalty]. The value is that of the last step at which
// prices were found.
func (t bitsTerm) AddGrad(w []engine.Weight) float64 {
	v, rest := t.AddGradLater(w, 1)
	if rest != nil {
		for i := range w {
			rest(0, i, 0, len(w[i].Values))
		}
	}
	return v
}

// A duePrice is what of a tensor AddGradLater leaves for later.
type duePrice struct {
	values, gradient []float32
	step, factor     float64
}

// AddGradLater implements [train.PiecewisePenalty]. The method of the paper adds
// nothing: it changes weights after the optimizer has.
func (t bitsTerm) AddGradLater(w []engine.Weight, workers int) (float64, train.Pieces) {
	r := t.r
	values, gradients := valuesOf(w), gradientsOf(w)
	if r.paper != nil {
		return r.paper.Prepare(values), nil
	}
	if r.phase == floats {
		return 0, nil
	}
	r.q.Backward(gradients)
	r.tie()
	r.watch(gradients)
	lambda := r.price()
	if lambda == 0 {
		r.calls++
		return 0, nil
	}
	if r.rate != nil {
		r.rate.SetLambda(lambda)
		v := r.rate.AddGrad(values, gradients)
		r.tie()
		r.bits = r.rate.Bits()
		r.calls++
		return v, nil
	}
	look := r.calls%r.pause() == 0
	if look {
		r.bits = 0
	}
	r.employ(workers)
	r.due = append(r.due[:0], make([]duePrice, len(w))...)
	for i, p := range r.prices {
		if p == nil {
			continue
		}
		v, factor := r.levels[i].Values(), lambda
		if r.roles[i] == bias {
			factor *= max(r.o.BiasRate, 0)
		}
		step := v[len(v)-1] / float64(len(v)/2)
		if look {
			p.refresh(r.q.Symbols(i))
			r.bits += p.cost(values[i], step)
		}
		// The levels may move before it is looked at.
		r.due[i] = duePrice{values: values[i], gradient: gradients[i], step: step, factor: factor}
	}
	r.calls++
	return lambda * r.bits, r.addDue
}

// pause is the number of steps between two looks at the densities: less than usual in
// trainings so short that there would be few.
func (r *Recipe) pause() int {
	steps := float64(r.at.Steps) * (r.o.Freeze - r.o.Start)
	return min(max(int(steps/leastLooks), 1), every)
}

// addDue adds the slope of the bits to some gradients.
func (r *Recipe) addDue(worker, i, from, to int) {
	if d := &r.due[i]; d.values != nil {
		r.prices[i].addGrad(&r.strips[worker], d.gradient[from:to], d.values[from:to], from, d.step, d.factor)
	}
}

// employ has a strip for each worker.
func (r *Recipe) employ(workers int) {
	for len(r.strips) < workers {
		r.strips = append(r.strips, kernel.Strip{})
	}
}

// tie makes levels move alike on both sides of zero, so that one side is stored,
// and biases not at all.
func (r *Recipe) tie() {
	for i, l := range r.levels {
		if l == nil {
			continue
		}
		g := l.Gradient
		for a, b := 0, len(g)-1; a < b; a, b = a+1, b-1 {
			half := (g[b] - g[a]) / 2
			if r.roles[i] == bias {
				half = 0
			}
			g[a], g[b] = -half, half
		}
	}
}

// watch averages squared gradients, from the last tenth before Freeze on.
func (r *Recipe) watch(gradients [][]float32) {
	if r.at.Progress() < r.o.Freeze-0.1 || r.calls%watchEvery != 0 {
		return
	}
	const keep = 0.99
	for i, f := range r.fisher {
		if len(f) == 0 {
			continue
		}
		g := gradients[i]
		if live, some := r.q.Live(i); some { // that of zeros is asked by nobody
			for _, j := range live {
				f[j] = float32(keep*f[j]) + float32((1-keep)*(g[j]*g[j]))
			}
			continue
		}
		for j := range f {
			f[j] = float32(keep*f[j]) + float32((1-keep)*(g[j]*g[j]))
		}
	}
}

const watchEvery = 4

// price returns what a bit costs now.
func (r *Recipe) price() float64 {
	p := r.at.Progress()
	if r.phase == frozen {
		return 0
	}
	ramp := r.o.Ramp - r.o.Start
	if r.o.Target > 0 { // then it is steered
		ramp = pathBegin * (r.o.Freeze - r.o.Start)
	}
	return r.lambda * min((p-r.o.Start)/ramp, 1)
}

// AdjustPieces implements [train.PiecewiseAdjuster]. What has to do with levels is
// done here, as it needs no weights.
func (r *Recipe) AdjustPieces(w []engine.Weight, workers int) train.Pieces {
	if r.paper == nil && r.phase == floats {
		return nil
	}
	r.begun = true
	r.employ(workers)
	values, gradients := valuesOf(w), gradientsOf(w)
	if r.paper != nil {
		r.paper.Weigh(gradients, workers)
		return func(worker, i, from, to int) {
			r.paper.UpdateRange(worker, i, from, values[i][from:to], gradients[i][from:to])
		}
	}
	r.moveLevels()
	if r.phase != free {
		return nil
	}
	return func(worker, i, from, to int) {
		r.q.ClampRange(&r.strips[worker], i, values[i][from:to], r.o.reach())
	}
}

// moveLevels takes a step with the levels of weights.
func (r *Recipe) moveLevels() {
	for i, l := range r.levels {
		if l == nil || r.roles[i] != weight {
			continue
		}
		if r.o.FixedLevels {
			clear(l.Gradient)
			continue
		}
		v := l.Values()
		l.Step(levelRate * r.at.Rate * min(v[len(v)-1], largestStep))
	}
}

// Adjust implements [train.Adjuster].
func (r *Recipe) Adjust(w []engine.Weight) error {
	r.stepping = false
	values := valuesOf(w)
	next := float64(r.at.Step+1) / float64(r.at.Steps)
	begun := r.begun
	r.begun = false
	switch {
	case r.paper != nil:
		if !begun {
			r.paper.Update(values, gradientsOf(w))
		}
		if r.o.Requantize && r.at.Epoch != r.epoch {
			r.epoch = r.at.Epoch
			return r.paper.Requantize(values)
		}
		return nil
	case r.phase == floats:
		r.shrink(values, gradientsOf(w))
		if next < r.o.Start {
			return nil
		}
		return r.begin(values)
	}
	if !begun {
		r.moveLevels()
	}
	if begun && r.phase == free {
		r.q.ClampLive(values, r.o.reach())
	} else {
		r.q.Clamp(values, r.o.reach())
	}
	r.clear(values)
	r.settle(values)
	if r.mark != nil {
		r.holdMark(values)
	}
	if r.o.Target > 0 && r.phase == free {
		r.steer()
	}
	if r.phase == free && next >= r.o.Freeze {
		if err := r.freeze(values); err != nil {
			return err
		}
	}
	if r.tools.Mark != nil && r.mark == nil && r.phase == frozen && next >= r.o.Freeze+markAt*(1-r.o.Freeze) {
		return r.markNow(values)
	}
	return nil
}

// shrink takes weights that the loss is insensitive to nearer to zero (Tartaglione
// et al., LOss-Based SensiTivity rEgulaRization, 2021, with the gradient by the
// weight for its sensitivity, as in HEMP).
func (r *Recipe) shrink(values, gradients [][]float32) {
	if r.o.Shrink == 0 {
		return
	}
	for i, w := range values {
		if r.roles[i] != weight {
			continue
		}
		most := float32(0)
		for _, g := range gradients[i] {
			most = max(most, g, -g)
		}
		if !(most > 0) {
			continue
		}
		part := float32(r.o.Shrink)
		for j, g := range gradients[i] {
			w[j] -= part * (1 - max(g, -g)/most) * w[j]
		}
	}
}

// largestStep bounds how fast large levels move.
const largestStep = 0.3

// freeze has zeros stay zeros from now on, without neurons that do nothing, and,
// with a target, as many of them as it needs.
func (r *Recipe) freeze(values [][]float32) error {
	r.q.Forward(r.shown, values)
	if r.o.Target > 0 {
		if err := r.fit(values); err != nil {
			return err
		}
		r.phase = frozen
		return r.network(values).arrange()
	}
	support := r.support()
	r.drop(support)
	for i, keep := range support {
		zero := 0
		if keep != nil {
			zero = r.levels[i].Zero()
		}
		for j, k := range keep {
			if !k && int(r.q.Symbols(i)[j]) != zero {
				values[i][j] = 0
			}
		}
	}
	r.q.Forward(r.shown, values)
	r.q.Freeze()
	r.phase = frozen
	return r.network(values).arrange()
}

// support returns which weights are not zero, nil for tensors without levels of
// their own.
func (r *Recipe) support() [][]bool {
	all := make([][]bool, len(r.names))
	for i, l := range r.levels {
		if r.roles[i] != weight {
			continue
		}
		all[i] = make([]bool, len(r.shown[i]))
		for j, s := range r.q.Symbols(i) {
			all[i][j] = int(s) != l.Zero()
		}
	}
	return all
}

// recipeState is what a resumed run needs beside the weights.
type recipeState struct {
	Phase           phase
	Epoch           int
	Calls           int
	Cost            float64
	Lambda          float64
	Calibrated      float64
	Finishing       finishing
	Last            []float64
	Order           []int
	Quantizer, Rate []byte
	Paper           []byte
	Fisher          [][]float32
	Mask            [][]bool
	Bits            []([]float32) // prices are found every some steps
	Higher          [][]float64
	Rest            []*settler // an empty one where there is none
	Mark            *marked    // nil if there is none
}

// State implements [train.Keeper].
func (r *Recipe) State() ([]byte, error) {
	s := recipeState{Phase: r.phase, Epoch: r.epoch, Calls: r.calls, Cost: r.bits, Lambda: r.lambda, Calibrated: r.calibrated, Finishing: r.finishing, Last: r.last, Order: r.order, Fisher: r.fisher, Mask: r.mask, Mark: r.mark}
	var err error
	if r.paper != nil {
		if s.Paper, err = r.paper.State(); err != nil {
			return nil, err
		}
	}
	if r.q != nil {
		if s.Quantizer, err = r.q.State(); err != nil {
			return nil, err
		}
	}
	if r.rate != nil {
		if s.Rate, err = r.rate.State(); err != nil {
			return nil, err
		}
	}
	for _, x := range r.rest {
		if x == nil {
			x = &settler{}
		}
		s.Rest = append(s.Rest, x)
	}
	for _, p := range r.prices {
		if p == nil {
			s.Bits, s.Higher = append(s.Bits, nil), append(s.Higher, nil)
			continue
		}
		s.Bits, s.Higher = append(s.Bits, p.bits), append(s.Higher, p.higher)
	}
	var b bytes.Buffer
	err = gob.NewEncoder(&b).Encode(&s)
	return b.Bytes(), err
}

// SetState implements [train.Keeper].
func (r *Recipe) SetState(b []byte) error {
	var s recipeState
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&s); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	if (s.Paper == nil) != (r.paper == nil) || s.Phase < floats || s.Phase > frozen || len(s.Bits) != len(r.prices) || len(s.Higher) != len(r.prices) || len(s.Fisher) != len(r.fisher) || len(s.Rest) != len(r.rest) {
		return fmt.Errorf("compact: the state is of another recipe")
	}
	r.epoch = s.Epoch
	if r.paper != nil {
		return r.paper.SetState(s.Paper)
	}
	if s.Phase != floats && r.q == nil {
		levels := make([]*entropy.Levels, len(r.names))
		for i, role := range r.roles {
			var err error
			switch role {
			case weight: // the values come with the state
				levels[i], err = entropy.Symmetric(1, r.o.Levels/2)
			case bias:
				levels[i], err = entropy.Symmetric(r.o.BiasStep, biasLevels)
			}
			if err != nil {
				return err
			}
		}
		if err := r.install(levels); err != nil {
			return err
		}
	}
	if r.q != nil {
		if err := r.q.SetState(s.Quantizer); err != nil {
			return err
		}
	}
	if r.rate != nil {
		if err := r.rate.SetState(s.Rate); err != nil {
			return err
		}
	}
	for i, p := range r.prices {
		if p == nil {
			continue
		}
		if len(s.Bits[i]) != len(p.bits) || len(s.Higher[i]) != len(p.higher) {
			return fmt.Errorf("compact: the prices of %q are those of another tensor", r.names[i])
		}
		copy(p.bits, s.Bits[i])
		copy(p.higher, s.Higher[i])
	}
	for i, f := range s.Fisher {
		if len(f) != len(r.fisher[i]) {
			return fmt.Errorf("compact: the sensitivities of %q are those of another tensor", r.names[i])
		}
		copy(r.fisher[i], f)
	}
	for i, x := range s.Rest {
		r.rest[i] = nil
		if x.Seen == nil || r.levels[i] == nil {
			continue
		}
		if err := x.fits(len(r.shown[i]), r.levels[i]); err != nil {
			return err
		}
		r.rest[i] = x
	}
	if s.Order != nil {
		if len(s.Order) != len(r.links()) || slices.ContainsFunc(s.Order, func(k int) bool { return k < 0 || k >= len(keys) }) {
			return fmt.Errorf("compact: the order of units is that of another network")
		}
	}
	if s.Mark != nil {
		if r.tools.Mark == nil {
			return fmt.Errorf("compact: the state has a mark, and none is wanted")
		}
		if err := s.Mark.fits(r); err != nil {
			return err
		}
	}
	r.mark = s.Mark
	r.phase, r.calls, r.bits, r.lambda, r.calibrated, r.finishing, r.last, r.order, r.mask = s.Phase, s.Calls, s.Cost, s.Lambda, s.Calibrated, s.Finishing, s.Last, s.Order, s.Mask
	return nil
}
