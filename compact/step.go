package compact

import (
	"ropewalk/engine"
	"ropewalk/internal/kernel"
	"ropewalk/train"
)

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
