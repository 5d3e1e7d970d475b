package entropy

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"ropewalk/internal/kernel"
	"ropewalk/quant"
)

// A Penalty is a term of a loss that is a plain function of the weights.
// weights[i] and gradients[i] have a number for each weight of tensor i; a
// penalty returns its value, all factors included, and adds its derivative.
// What is in gradients before is the derivative of the loss so far, which some
// penalties look at. [Paper] and [Rate] are penalties.
type Penalty interface {
	Name() string
	AddGrad(weights, gradients [][]float32) (value float64)
}

var (
	_ Penalty = (*Paper)(nil)
	_ Penalty = (*Rate)(nil)
)

// A Chooser chooses n levels for a tensor; start has those that it had before,
// or is nil.
type Chooser func(l Layer, w []float32, n int, start []float64) ([]float64, error)

// ChooseGaussian is Lloyd–Max for a Gaussian, as in the paper: [GaussianLevels].
func ChooseGaussian(_ Layer, w []float32, n int, start []float64) ([]float64, error) {
	return GaussianLevels(w, n, start)
}

// ChooseUniform has n levels from the least to the largest weight, both
// included, at equal distances: the paper's uniform mid-tread quantizer.
func ChooseUniform(_ Layer, w []float32, n int, _ []float64) ([]float64, error) {
	if len(w) == 0 {
		return nil, errors.New("entropy: no weights to choose levels for")
	}
	least, largest := float64(slices.Min(w)), float64(slices.Max(w))
	if n == 1 || least == largest {
		return []float64{(least + largest) / 2}, nil
	}
	levels := make([]float64, n)
	for i := range levels {
		levels[i] = least + (largest-least)*float64(i)/float64(n-1)
	}
	return levels, checkLevels(levels)
}

// ChooseWith has the levels that package quant finds with these options: those
// of least distortion on the data (quant.Lloyd, which is k-means in one
// dimension), with a uniform step and a dead zone, or the user's codebook. n is
// set as the number of levels, but for a codebook or if the options have one.
func ChooseWith(o quant.Options) Chooser {
	return func(l Layer, w []float32, n int, _ []float64) ([]float64, error) {
		if o.Method != quant.Codebook && o.Levels == 0 {
			o.Levels = n
		}
		q, err := quant.Quantize(l.Name, l.Shape, w, nil, &o)
		if err != nil {
			return nil, err
		}
		levels := make([]float64, len(q.Levels))
		for i, x := range q.Levels {
			levels[i] = float64(x)
		}
		if q.Scales != nil {
			return nil, fmt.Errorf("tensor %q: a scale for each channel has no levels of the tensor", l.Name)
		}
		return levels, nil
	}
}

// PaperOptions are the settings of [Paper]; zero values are the defaults of the
// paper's program.
type PaperOptions struct {
	Levels  int     `json:"levels,omitempty"`  // N, default 4
	Order   int     `json:"order,omitempty"`   // n, default 3
	LambdaH float64 `json:"lambdaH,omitempty"` // default 1; negative is none
	LambdaE float64 `json:"lambdaE,omitempty"` // default 0.1; negative is none
	// Every is after how many steps the gradient of the entropy, the quantized
	// weights and their distance are computed again; default 10.
	Every int `json:"every,omitempty"`
	// Choose makes the levels; default [ChooseGaussian].
	Choose Chooser `json:"-"`
	// ClosedForm, for Order 2: see [ProxyOptions].
	ClosedForm bool `json:"closedForm,omitempty"`
	// Blind leaves out the insensitivity: every weight is pushed alike.
	Blind bool `json:"blind,omitempty"`
	// Relative divides the pull towards the levels by the squared width of the
	// cell.
	Relative bool `json:"relative,omitempty"`
	Threads  int  `json:"-"`
}

// Paper is the regulariser of the paper as published (sections 1.4 and 1.5 of
// the notes): levels for each tensor, found once and frozen; one pmf for the
// network; and in each step, after the optimizer's,
//
//	w ← w - S̄ ⊙ λ_H ∇H_n - S̄ ⊙ λ_E (w - ŵ)        S̄ = 1 - |∂L/∂w| / max |∂L/∂w|
//	w clamped to [t_0 + δ_1/2.01, t_N - δ_N/2.01]
//
// with no learning rate in it. ∇H_n, ŵ and w-ŵ are those of the last refresh.
// H_n is in bits per block for any n (the paper's program has it per weight for
// n = 2, and squares λ_H for others).
//
// A step is: [Paper.Prepare], forward and backward, the optimizer,
// [Paper.Update]. As a [Penalty] the same terms are added to the gradient
// instead, and then the optimizer's rate and momentum act on them.
//
// A tensor of at most 10·N weights is left alone. It is not safe for concurrent
// use.
type Paper struct {
	o       PaperOptions
	layers  []Layer
	tensors []*paperTensor
	active  []*paperTensor
	proxy   *Proxy[float32]
	fused   *fused // nil if it does not do these
	crew    *crew
	strips  []kernel.Strip // of each worker
	pieces  []paperPiece

	w, pull [][]float32 // of the active tensors
	state   paperState

	// Arguments of the call in work, for all tensors.
	weights, gradients         [][]float32
	pullJob, rangeJob, mostJob func(worker, job int)
	updateJob, addJob          func(worker, job int)
	countJob, fusedJob         func(worker, job int)
}

type paperTensor struct {
	Layer
	index  int // in layers
	outer  Centers
	cells  Centers // of thresholds
	bins   []kernel.Bin
	pull   []float32 // λ_H·∇H_n + λ_E·(w-ŵ)
	pieces [2]int
	inv    float32 // one over the largest |∂L/∂w|, 0 if that is 0
}

// A paperPiece is a run of weights of one tensor, and what was found there.
type paperPiece struct {
	t              *paperTensor
	from, to       int
	least, largest float32 // weights
	finite         bool
	squares        float64 // Σ(w-ŵ)²
	most           float32 // |∂L/∂w|
}

// paperState is what a resumed run needs.
type paperState struct {
	Step    int // calls of Prepare
	Entropy float64
	Squares float64 // Σ(w-ŵ)²
	Tensors []paperLevels
	Pull    [][]float32
}

// paperLevels are the frozen levels of a tensor; none if it is left alone.
type paperLevels struct {
	Levels   []float64
	Low, Top float64 // where weights are clamped
}

// paperPieceWeights is how many weights a piece has: whole blocks.
const paperPieceWeights = 4 * fusedChunk

// smallTensor is how many weights per level a tensor has at least, to be quantized.
const smallTensor = 10

// NewPaper chooses the levels for weights as they are before training.
func NewPaper(layers []Layer, weights [][]float32, o *PaperOptions) (*Paper, error) {
	p := &Paper{layers: slices.Clone(layers)}
	if o != nil {
		p.o = *o
	}
	set := func(x *float64, to float64) {
		if *x == 0 {
			*x = to
		}
		*x = max(*x, 0)
	}
	set(&p.o.LambdaH, 1)
	set(&p.o.LambdaE, 0.1)
	if p.o.Levels == 0 {
		p.o.Levels = 4
	}
	if p.o.Order == 0 {
		p.o.Order = 3
	}
	if p.o.Every == 0 {
		p.o.Every = 10
	}
	if p.o.Choose == nil {
		p.o.Choose = ChooseGaussian
	}
	if p.o.Levels < 1 || p.o.Every < 1 || math.IsNaN(p.o.LambdaH) || math.IsNaN(p.o.LambdaE) {
		return nil, fmt.Errorf("entropy: %d levels, lambdas %g and %g, every %d steps: want positive numbers", p.o.Levels, p.o.LambdaH, p.o.LambdaE, p.o.Every)
	}
	if len(weights) != len(layers) {
		return nil, fmt.Errorf("entropy: weights of %d tensors, want %d", len(weights), len(layers))
	}
	p.state.Tensors = make([]paperLevels, len(layers))
	var quantized []Layer
	for i, l := range layers {
		if n, err := l.Shape.Elems(); err != nil || n != int64(len(weights[i])) {
			return nil, fmt.Errorf("tensor %q: shape %v has %d weights, there are %d", l.Name, l.Shape, n, len(weights[i]))
		}
		t := &paperTensor{Layer: l, index: i}
		p.tensors = append(p.tensors, t)
		if len(weights[i]) <= smallTensor*p.o.Levels {
			continue
		}
		t.pull = make([]float32, len(weights[i]))
		t.pieces[0] = len(p.pieces)
		for from := 0; from < len(t.pull); from += paperPieceWeights {
			p.pieces = append(p.pieces, paperPiece{t: t, from: from, to: min(from+paperPieceWeights, len(t.pull))})
		}
		t.pieces[1] = len(p.pieces)
		p.active = append(p.active, t)
		quantized = append(quantized, l)
		p.pull = append(p.pull, t.pull)
	}
	p.w = make([][]float32, len(p.active))
	proxy, err := NewProxy[float32](quantized, &ProxyOptions{Order: p.o.Order, ClosedForm: p.o.ClosedForm, Threads: p.o.Threads})
	if err != nil {
		return nil, err
	}
	p.proxy, p.crew = proxy, newCrew(p.o.Threads)
	p.strips = make([]kernel.Strip, p.crew.workers)
	p.pullJob, p.rangeJob, p.mostJob, p.updateJob, p.addJob = p.pullPiece, p.rangePiece, p.mostPiece, p.updatePiece, p.addPiece
	return p, p.Requantize(weights)
}

// Requantize chooses the levels again, from those that there are. The paper
// never does it; its program has an option to do it after each epoch.
func (p *Paper) Requantize(weights [][]float32) error {
	for _, t := range p.active {
		own := &p.state.Tensors[t.index]
		w := weights[t.index]
		levels, err := p.o.Choose(t.Layer, w, p.o.Levels, own.Levels)
		if err == nil {
			err = checkLevels(levels)
		}
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		own.Levels = levels
		thresholds := midpoints(levels)
		t0 := min(float64(slices.Min(w)), levels[0]) - margin
		tn := max(float64(slices.Max(w)), levels[len(levels)-1]) + margin
		first, last := tn, t0
		if len(thresholds) > 0 {
			first, last = thresholds[0], thresholds[len(thresholds)-1]
		}
		const half = 2.01
		own.Low, own.Top = t0+(first-t0)/half, tn-(tn-last)/half
	}
	p.state.Step = 0 // what is cached belongs to the old levels
	return p.place()
}

// place sets the cells that belong to the levels.
func (p *Paper) place() error {
	for i, t := range p.active {
		own := &p.state.Tensors[t.index]
		t.cells = Centers{at: midpoints(own.Levels)}
		if len(t.cells.at) > 0 {
			t.cells.build()
		}
		if err := t.outer.resetOuter(own.Levels, own.Levels[0], own.Levels[len(own.Levels)-1]); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if err := p.proxy.SetCenters(i, &t.outer); err != nil {
			return err
		}
	}
	if kernel.FastHats() {
		p.fuse()
	}
	return nil
}

// fuse has the gradient and the pull be found in one go, if that can be.
func (p *Paper) fuse() {
	if p.fused = newFused(p); p.fused != nil {
		p.countJob, p.fusedJob = p.fused.count, p.fused.gather
	}
}

// Name implements [Penalty].
func (p *Paper) Name() string { return "hemp" }

// Levels returns the levels of tensor i, nil if it is left alone. The caller
// must not change them.
func (p *Paper) Levels(i int) []float64 { return p.state.Tensors[i].Levels }

// Prepare computes what [Paper.Update] needs, if it is due, and returns the
// value of the penalty as it was then: λ_H·H_n + λ_E·Σ(w-ŵ)²/2. It is called
// before each step.
func (p *Paper) Prepare(weights [][]float32) float64 {
	if p.state.Step%p.o.Every == 0 {
		p.refresh(weights)
	}
	p.state.Step++
	return p.o.LambdaH*p.state.Entropy + p.o.LambdaE*p.state.Squares/2
}

func (p *Paper) refresh(weights [][]float32) {
	p.state.Squares = 0
	p.weights = weights
	p.crew.run(len(p.pieces), p.rangeJob)
	for i, t := range p.active {
		p.w[i] = weights[t.index]
		first := &p.pieces[t.pieces[0]]
		least, largest, finite := first.least, first.largest, true
		for _, pc := range p.pieces[t.pieces[0]:t.pieces[1]] {
			least, largest, finite = min(least, pc.least), max(largest, pc.largest), finite && pc.finite
		}
		own := &p.state.Tensors[t.index]
		if !finite || t.outer.resetOuter(own.Levels, float64(least), float64(largest)) != nil {
			for _, t := range p.active {
				clear(t.pull)
			}
			p.state.Entropy = math.NaN() // the caller sees it
			return
		}
		t.reset(own.Levels)
	}
	if p.fused != nil {
		p.state.Entropy = p.fused.refresh(weights)
	} else {
		for _, t := range p.active {
			clear(t.pull)
		}
		p.state.Entropy = p.proxy.AddGradient(p.pull, p.w, p.o.LambdaH)
		p.crew.run(len(p.pieces), p.pullJob)
	}
	for i := range p.pieces {
		p.state.Squares += p.pieces[i].squares
	}
	clear(p.w)
	p.weights = nil
}

// rangePiece finds the least and the largest weight.
func (p *Paper) rangePiece(worker, job int) {
	pc := &p.pieces[job]
	pc.least, pc.largest, pc.finite = p.strips[worker].Range(p.weights[pc.t.index][pc.from:pc.to])
}

// pullPiece adds the pull towards the levels.
func (p *Paper) pullPiece(_, job int) {
	pc := &p.pieces[job]
	t := pc.t
	own := &p.state.Tensors[t.index]
	w, pull := p.weights[t.index][pc.from:pc.to], t.pull[pc.from:pc.to]
	pc.squares = 0
	if len(own.Levels) <= fewThresholds && !p.o.Relative {
		pc.squares = t.pullFew(pull, w, own.Levels, float32(p.o.LambdaE))
		return
	}
	for j, x := range w {
		k := below(&t.cells, float64(x))
		d := float64(x) - own.Levels[k]
		pc.squares += d * d
		if p.o.Relative {
			width := t.width(own, k)
			d /= width * width
		}
		pull[j] += float32(p.o.LambdaE * d)
	}
}

// pullFew adds lambda·(w-ŵ) to pull and returns Σ(w-ŵ)². It adds the steps between
// levels up to each weight, without looking one up.
func (t *paperTensor) pullFew(pull, w []float32, levels []float64, lambda float32) float64 {
	var at, step [fewThresholds]float32
	n := len(t.cells.at)
	for k, x := range t.cells.at {
		at[k], step[k] = notAbove(x), float32(levels[k+1]-levels[k])
	}
	first := float32(levels[0])
	squares := 0.0
	pull = pull[:len(w)]
	for j, x := range w {
		level := first
		for k := range n {
			if x > at[k&(fewThresholds-1)] {
				level += step[k&(fewThresholds-1)]
			}
		}
		d := x - level
		squares += float64(d) * float64(d)
		pull[j] += lambda * d
	}
	return squares
}

// width returns δ of a cell.
func (t *paperTensor) width(own *paperLevels, k int) float64 {
	lo, hi := t.outer.at[0], t.outer.at[len(t.outer.at)-1]
	if k > 0 {
		lo = t.cells.at[k-1]
	}
	if k < len(own.Levels)-1 {
		hi = t.cells.at[k]
	}
	return hi - lo
}

// below returns the number of thresholds that are less than x.
func below(thresholds *Centers, x float64) int {
	if len(thresholds.at) == 0 {
		return 0
	}
	k := thresholds.find(x)
	for k > 0 && thresholds.at[k-1] == x {
		k--
	}
	return k
}

// Symbols appends the indices of the nearest levels of tensor i to dst[:0]: what
// the paper stores. Tensor i must have levels.
func (p *Paper) Symbols(dst []uint16, i int, w []float32) []uint16 {
	t := p.tensors[i]
	if t.pull == nil {
		panic(fmt.Sprintf("entropy: tensor %q is not quantized", t.Name))
	}
	dst = dst[:0]
	for _, x := range w {
		dst = append(dst, uint16(below(&t.cells, float64(x))))
	}
	return dst
}

// Update changes the weights, after the optimizer's step: the formulas of
// [Paper]. gradients are those of the task in this step.
func (p *Paper) Update(weights, gradients [][]float32) {
	p.Weigh(gradients, p.crew.workers)
	p.weights, p.gradients = weights, gradients
	p.crew.run(len(p.pieces), p.updateJob)
	p.weights, p.gradients = nil, nil
}

// Weigh makes ready for [Paper.UpdateRange]: it finds how insensitive weights are to
// the task.
func (p *Paper) Weigh(gradients [][]float32, workers int) {
	p.weigh(gradients)
	p.gradients = nil
	for len(p.strips) < workers {
		p.strips = append(p.strips, kernel.Strip{})
	}
}

// UpdateRange is Update for some weights of tensor i, from number from on, which are
// all of w and g. Calls with different workers, of those that Weigh was told, may be
// made at a time.
func (p *Paper) UpdateRange(worker, i, from int, w, g []float32) {
	t := p.tensors[i]
	if t.pull == nil {
		return
	}
	own := &p.state.Tensors[i]
	a, b := p.insensitivity(t)
	p.strips[worker].Pull(w, g, t.pull[from:from+len(w)], a, b, float32(own.Low), float32(own.Top))
}

// AddGrad implements [Penalty]: it prepares, and adds what Update subtracts from
// the weights to the gradients. It does not clamp.
func (p *Paper) AddGrad(weights, gradients [][]float32) float64 {
	v := p.Prepare(weights)
	p.weigh(gradients)
	p.crew.run(len(p.pieces), p.addJob)
	p.gradients = nil
	return v
}

// weigh finds the largest derivative of each tensor.
func (p *Paper) weigh(gradients [][]float32) {
	p.gradients = gradients
	p.crew.run(len(p.pieces), p.mostJob)
	for _, t := range p.active {
		most := float32(0)
		for _, pc := range p.pieces[t.pieces[0]:t.pieces[1]] {
			most = max(most, pc.most)
		}
		t.inv = 0
		if most > 0 {
			t.inv = 1 / most
		}
	}
}

func (p *Paper) mostPiece(worker, job int) {
	pc := &p.pieces[job]
	pc.most = p.strips[worker].MaxAbs(p.gradients[pc.t.index][pc.from:pc.to])
}

// insensitivity returns S̄ = a - b·|g|. A tensor whose gradient is all zero is
// left alone.
func (p *Paper) insensitivity(t *paperTensor) (a, b float32) {
	switch {
	case p.o.Blind:
		return 1, 0
	case t.inv == 0:
		return 0, 0
	}
	return 1, t.inv
}

func (p *Paper) updatePiece(worker, job int) {
	pc := &p.pieces[job]
	i := pc.t.index
	p.UpdateRange(worker, i, pc.from, p.weights[i][pc.from:pc.to], p.gradients[i][pc.from:pc.to])
}

func (p *Paper) addPiece(_, job int) {
	pc := &p.pieces[job]
	a, b := p.insensitivity(pc.t)
	g, pull := p.gradients[pc.t.index][pc.from:pc.to], pc.t.pull[pc.from:pc.to]
	for j, x := range g {
		g[j] = x + (a-b*abs32(x))*pull[j]
	}
}

func abs32(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// A PaperReport says where the weights are.
type PaperReport struct {
	Soft Entropy // the proxy; Distinct is not set
	Hard Entropy // of the quantized weights, pooled, in the scan of each layer
	RMSE float64 // √(Σ(w-ŵ)²/P)
}

// Scans returns the symbols of each tensor that has levels, in the order of its scan.
func (p *Paper) Scans(weights [][]float32) [][]uint16 {
	var list [][]uint16
	for i, t := range p.active {
		list = append(list, p.scanned(i, p.Symbols(nil, t.index, weights[t.index])))
	}
	return list
}

// scanned returns the symbols of an active tensor in the order of its scan.
func (p *Paper) scanned(i int, symbols []uint16) []uint16 {
	order := p.proxy.layers[i].order
	if order == nil {
		return symbols
	}
	in := make([]uint16, len(symbols))
	for j, at := range order {
		in[j] = symbols[at]
	}
	return in
}

// Report measures weights.
func (p *Paper) Report(weights [][]float32) PaperReport {
	r := PaperReport{Soft: Entropy{Order: p.o.Order, Blocks: p.proxy.Blocks()}}
	var scans [][]uint16
	squares, n := 0.0, 0
	for i, t := range p.active {
		w := weights[t.index]
		p.w[i] = w
		s := p.Symbols(nil, t.index, w)
		for j, k := range s {
			d := float64(w[j]) - p.state.Tensors[t.index].Levels[k]
			squares += d * d
		}
		n += len(s)
		scans = append(scans, p.scanned(i, s))
		if err := t.outer.resetOuter(p.state.Tensors[t.index].Levels, float64(slices.Min(w)), float64(slices.Max(w))); err != nil {
			r.Soft.Bits, r.Hard.Bits, r.RMSE = math.NaN(), math.NaN(), math.NaN()
			return r
		}
	}
	r.Soft.Bits = p.proxy.Value(p.w)
	clear(p.w)
	r.Hard = Measure(p.o.Order, scans...)
	r.RMSE = math.Sqrt(squares / float64(max(n, 1)))
	return r
}

// State returns what a run that is resumed needs, to go on exactly.
func (p *Paper) State() ([]byte, error) {
	s := p.state
	for _, t := range p.active {
		s.Pull = append(s.Pull, t.pull)
	}
	return encodeState(&s)
}

// SetState goes on from a state of the same layers.
func (p *Paper) SetState(b []byte) error {
	var s paperState
	if err := decodeState(b, &s); err != nil {
		return err
	}
	if len(s.Tensors) != len(p.tensors) || len(s.Pull) != len(p.active) {
		return fmt.Errorf("entropy: a state of %d tensors, %d quantized, want %d and %d", len(s.Tensors), len(s.Pull), len(p.tensors), len(p.active))
	}
	for i, t := range p.active {
		if len(s.Pull[i]) != len(t.pull) || checkLevels(s.Tensors[t.index].Levels) != nil {
			return fmt.Errorf("tensor %q: the state is of another one", t.Name)
		}
	}
	for _, t := range p.tensors {
		if t.pull == nil && s.Tensors[t.index].Levels != nil {
			return fmt.Errorf("tensor %q: the state is of another one", t.Name)
		}
	}
	for i, t := range p.active {
		copy(t.pull, s.Pull[i])
	}
	s.Pull = nil
	p.state = s
	return p.place()
}
