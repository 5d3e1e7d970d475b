package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"time"

	"ropewalk/engine"
	"ropewalk/internal/kernel"
)

// A Report is what became of a run.
type Report struct {
	// Epochs and Steps are what was done, that before a resume included.
	Epochs int
	Steps  uint64
	// Loss is the mean of the objective in the last epoch.
	Loss float64
	// Validation is an evaluation of the weights that were kept; nil without
	// validation data.
	Validation *Result
	// BestEpoch is the epoch (from 1) of the weights that were kept; 0 if these are
	// the last ones.
	BestEpoch int
	// Stopped says that training ended early, because evaluations did not get
	// better.
	Stopped bool
	// Seconds is the time of training.
	Seconds float64
}

// A DivergedError reports that training left the numbers. The last snapshot is from
// before that.
type DivergedError struct {
	Step uint64 // updates that were done before
	// Tensor is a weight that is not finite, and Index where; What is "weights", or
	// what of the optimizer's memory it is. Tensor is empty if Err says more.
	Tensor string
	What   string
	Index  int
	Err    error // of a step (an *engine.NonFiniteError), a penalty or an evaluation; or nil
}

// Error implements error.
func (e *DivergedError) Error() string {
	switch {
	case e.Err != nil:
		return fmt.Sprintf("training diverged: %v", e.Err)
	case e.What == "weights":
		return fmt.Sprintf("training diverged: after step %d, element %d of %q is not finite", e.Step, e.Index, e.Tensor)
	}
	return fmt.Sprintf("training diverged: after step %d, element %d of %s of %q is not finite", e.Step, e.Index, e.What, e.Tensor)
}

// Unwrap returns Err.
func (e *DivergedError) Unwrap() error { return e.Err }

// A run is a Fit in progress.
type run struct {
	o       *Options
	p       engine.Program
	data    Source
	recipe  map[string]string
	mem     memory
	at      state
	journal *journal
	pool    *kernel.Pool // of what is done with weights

	latent   []engine.Weight // the trained weights, while others stand in their place
	shown    []engine.Weight // the places, without gradients
	stood    bool            // others do
	torn     bool            // an update failed in the middle
	atWork   []Substituter   // scratch
	steps    uint64          // of all epochs
	perEpoch uint64          // of the first

	began   time.Time // of this process
	before  float64   // seconds of those before
	first   uint64    // updates before this process
	snapped time.Time
	snapAt  uint64
}

// Fit trains the weights of p that have gradients on data, and leaves the result
// in p. If ctx ends, Fit writes the snapshot and returns the cause of ctx.
//
// A loss that is not finite is a [*DivergedError], labels that are no class are a
// [*LabelError], and a snapshot of another recipe is a [*MismatchError]; they may be
// wrapped. After an error, the weights are those of the last update.
func Fit(ctx context.Context, p engine.Program, data Source, o *Options) (*Report, error) {
	if o == nil {
		o = &Options{}
	}
	o, err := o.settle()
	if err != nil {
		return nil, err
	}
	r, err := newRun(p, data, o)
	if err != nil {
		return nil, err
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	r.pool = kernel.NewPool(o.Threads)
	defer r.pool.Close()
	report, err := r.fit(ctx)
	return report, errors.Join(err, r.journal.close())
}

func newRun(p engine.Program, data Source, o *Options) (*run, error) {
	r := &run{o: o, p: p, data: data}
	n := data.Len()
	if n < 1 {
		return nil, errors.New("there are no examples to train on")
	}
	if o.FixedBatch && n < o.Batch {
		return nil, fmt.Errorf("%d examples to train on do not fill one batch of %d, and the network takes no smaller one", n, o.Batch)
	}
	r.mem.weights = p.Weights()
	for _, w := range r.mem.weights {
		if w.Gradient == nil {
			continue
		}
		if o.Accumulate > 1 {
			w.Gradient = make([]float32, len(w.Values))
		}
		r.mem.trained = append(r.mem.trained, w)
	}
	if r.mem.trained == nil {
		return nil, errors.New("no weight of the program is trainable")
	}
	for _, p := range o.Penalties {
		if t, ok := p.(*onWeights); ok {
			if err := t.bind(r.mem.trained); err != nil {
				return nil, err
			}
		}
	}
	for e := range o.Epochs {
		r.steps += o.updates(e, n)
	}
	r.perEpoch = o.updates(0, n)
	r.mem.grads = newAverages(o.Optimizer, r.mem.trained)
	if o.Average > 0 {
		r.mem.average = clones(r.mem.trained)
	}
	for _, h := range o.Hooks {
		if _, ok := h.(Substituter); ok && r.latent == nil {
			r.latent = slices.Clone(r.mem.trained)
			r.shown = slices.Clone(r.mem.trained)
			for i, values := range clones(r.mem.trained) {
				r.latent[i].Values = values
				r.shown[i].Gradient = nil
			}
		}
	}
	r.recipe = o.recipe(r.mem.weights, n)
	return r, nil
}

// open takes a snapshot up, or begins anew and writes the first one: a disk that
// is full or not there is found out before any work is done.
func (r *run) open() (err error) {
	if r.o.Resume {
		s, err := load(r.o.Snapshot, &r.mem, r.recipe)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is nothing to resume: %w", err)
		}
		if err != nil {
			return err
		}
		r.at = *s
		if err := r.o.setTerms(s.Terms); err != nil {
			return fmt.Errorf("%s: %w", r.o.Snapshot, err)
		}
		r.mem.grads.count = s.Step
	}
	r.before, r.first, r.snapAt = r.at.Seconds, r.at.Step, r.at.Step
	r.began, r.snapped = time.Now(), time.Now()
	if r.journal, err = openJournal(r.o.History, r.at.Events); err != nil {
		return err
	}
	if !r.o.Resume {
		err = r.save()
	}
	if err != nil {
		err = errors.Join(err, r.journal.close())
	}
	return err
}

// save writes a snapshot, if one is wanted.
func (r *run) save() error {
	if r.o.Snapshot == "" {
		return nil
	}
	var err error
	if r.at.Terms, err = r.o.terms(); err != nil {
		return err
	}
	if err := r.journal.sync(); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	r.at.Seconds = r.elapsed()
	if err := save(r.o.Snapshot, &r.mem, &r.at, r.recipe); err != nil {
		return err
	}
	r.snapped, r.snapAt = time.Now(), r.at.Step
	return nil
}

func (r *run) elapsed() float64 { return r.before + time.Since(r.began).Seconds() }

func (r *run) fit(ctx context.Context) (*Report, error) {
	for r.at.Epoch < r.o.Epochs && !r.at.Stopped {
		err := r.pass(ctx)
		if err == nil {
			err = r.judge(ctx)
		}
		if r.torn { // no state that could be gone on from
			return nil, err
		}
		if ctx.Err() != nil {
			if err := r.save(); err != nil {
				return nil, errors.Join(context.Cause(ctx), fmt.Errorf("the snapshot could not be written: %w", err))
			}
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := r.save(); err != nil {
		return nil, err
	}
	return r.finish(ctx)
}

// moment is that of the next update.
func (r *run) moment() Moment {
	m := Moment{Epoch: r.at.Epoch, Epochs: r.o.Epochs, Step: r.at.Step, Steps: r.steps}
	m.Rate = r.o.Optimizer.Rate * r.o.Schedule.factor(m, r.at.Watch.Down, r.perEpoch)
	return m
}

// pass goes through the examples of the epoch that are left. An error leaves the
// state at an update.
func (r *run) pass(ctx context.Context) error {
	p := Pass{Number: r.at.Epoch, Seed: r.o.Seed, Size: r.o.BatchSize(r.at.Epoch), First: r.at.Batch, Train: true}
	of := r.o.batches(r.at.Epoch, r.data.Len())
	if r.at.Batch >= of {
		return nil
	}
	defer r.restore() // after an error between two batches
	t := tally{}
	// An interruption waits for the update: between batches that make up one,
	// running statistics are ahead of the state.
	for b, err := range r.data.Batches(context.WithoutCancel(ctx), p) {
		if t.batches == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		if err := r.step(b, &t); err != nil {
			return fmt.Errorf("epoch %d: %w", r.at.Epoch+1, err)
		}
		if t.batches < r.o.Accumulate && r.at.Batch+t.batches < of {
			continue
		}
		if err := r.update(&t); err != nil {
			r.torn = true
			return err
		}
		t = tally{}
		if r.o.Progress != nil {
			r.o.Progress(r.progress(of))
		}
		due := r.o.SnapshotSteps > 0 && r.at.Step-r.snapAt >= r.o.SnapshotSteps || time.Since(r.snapped) >= r.o.SnapshotEvery
		if due {
			r.restore()
			if err := r.save(); err != nil {
				return err
			}
		}
		if r.o.FixedBatch && r.at.Batch == of {
			break // what is left fills no batch
		}
	}
	if r.at.Batch != of {
		return fmt.Errorf("the data ended after batch %d of %d", r.at.Batch, of)
	}
	return nil
}

// A tally is what came of the batches of an update.
type tally struct {
	batches  int
	examples int64
	loss     float64 // times examples
}

// step adds the gradient of a batch.
func (r *run) step(b *Batch, t *tally) error {
	n, err := b.size()
	if err != nil {
		return err
	}
	if t.batches == 0 {
		m := r.moment()
		r.at.Rate = m.Rate
		r.follow(m)
		if err := r.substitute(); err != nil {
			return err
		}
	}
	loss, err := r.gradient(b, r.at.Batches+uint64(t.batches))
	if err != nil {
		return err
	}
	if r.o.Accumulate > 1 {
		r.accumulate(float32(n), t.batches == 0)
	}
	t.batches++
	t.examples += int64(n)
	t.loss += loss * float64(n)
	return nil
}

// gradient has the program compute the gradients of a batch.
func (r *run) gradient(b *Batch, step uint64) (float64, error) {
	if p, ok := r.o.Objective.(Preparer); ok {
		if err := p.Prepare(b.Inputs); err != nil {
			return 0, err
		}
	}
	var refused error
	loss, err := r.p.Step(step, func(outputs, gradients []engine.Array) float64 {
		v, err := r.o.Objective.Judge(&b.Targets, outputs, gradients)
		if err != nil {
			refused = err
			return 0
		}
		return v
	}, b.Inputs)
	var odd *engine.NonFiniteError
	switch {
	case refused != nil:
		return 0, refused
	case errors.As(err, &odd):
		return 0, &DivergedError{Step: r.at.Step, Err: err}
	case err != nil:
		return 0, err
	case math.IsNaN(loss) || math.IsInf(loss, 0):
		return 0, &DivergedError{Step: r.at.Step, Err: &engine.NonFiniteError{Step: step}}
	}
	return loss, nil
}

// accumulate adds the gradients of the program, times the examples.
func (r *run) accumulate(n float32, first bool) {
	i := 0
	for _, w := range r.mem.weights {
		if w.Gradient == nil {
			continue
		}
		sum := r.mem.trained[i].Gradient
		i++
		if first {
			clear(sum)
		}
		kernel.Axpy(r.pool, sum, n, w.Gradient)
	}
}

func (r *run) follow(m Moment) {
	for _, p := range r.o.Penalties {
		if f, ok := p.(Follower); ok {
			f.Follow(m)
		}
	}
	for _, h := range r.o.Hooks {
		if f, ok := h.(Follower); ok {
			f.Follow(m)
		}
	}
}

// substitute keeps the floats, if nothing stands in their place yet, and has hooks
// write there.
func (r *run) substitute() error {
	if r.latent == nil {
		return nil
	}
	r.atWork = r.atWork[:0]
	for _, h := range r.o.Hooks {
		if s, ok := h.(Substituter); ok {
			if idler, ok := h.(Idler); !ok || !idler.Idle() {
				r.atWork = append(r.atWork, s)
			}
		}
	}
	if len(r.atWork) == 0 {
		r.restore()
		return nil
	}
	shower, can := r.atWork[0].(Shower)
	switch {
	case !r.stood:
		for i, w := range r.mem.trained {
			copy(r.latent[i].Values, w.Values)
		}
	case !can:
		r.uncover()
	}
	r.stood = true
	for i, s := range r.atWork {
		var err error
		if i == 0 && can {
			err = shower.Show(r.shown, r.latent)
		} else {
			err = s.Substitute(r.shown)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name(), err)
		}
	}
	return nil
}

// uncover copies the floats to where others stand.
func (r *run) uncover() {
	for i, w := range r.latent {
		copy(r.mem.trained[i].Values, w.Values)
	}
}

// restore puts the floats back that others stood in for.
func (r *run) restore() {
	if r.stood {
		r.uncover()
		r.stood = false
	}
}

// floats returns the trained weights, wherever they are.
func (r *run) floats() []engine.Weight {
	if r.stood {
		return r.latent
	}
	return r.mem.trained
}

// update turns the gradients of some batches into new weights. What stands in the
// place of the floats may stay there.
func (r *run) update(t *tally) error {
	w := r.floats()
	if r.o.Accumulate > 1 {
		for i := range w {
			kernel.Scale(r.pool, w[i].Gradient, w[i].Gradient, 1/float32(t.examples))
		}
	}
	before, err := r.penalise(w)
	if err != nil {
		return err
	}
	r.o.Clip.apply(r.pool, w)
	var after Pieces
	first := true
	for _, h := range r.o.Hooks {
		if a, ok := h.(Adjuster); ok && first {
			first = false
			if a, ok := a.(PiecewiseAdjuster); ok {
				after = a.AdjustPieces(w, r.pool.Threads())
			}
		}
	}
	r.mem.grads.update(r.pool, w, r.at.Rate, before, after)
	for _, h := range r.o.Hooks {
		if a, ok := h.(Adjuster); ok {
			if err := a.Adjust(w); err != nil {
				return fmt.Errorf("%s: %w", h.Name(), err)
			}
		}
	}
	for i, avg := range r.mem.average {
		kernel.Combine(r.pool, avg, float32(r.o.Average), avg, float32(1-r.o.Average), w[i].Values)
	}
	r.at.Step++
	r.at.Batch += t.batches
	r.at.Batches += uint64(t.batches)
	r.at.Loss += t.loss
	r.at.Examples += t.examples
	return nil
}

// penalise has penalties add their derivatives, but for what is returned.
func (r *run) penalise(w []engine.Weight) (later Pieces, err error) {
	for i, p := range r.o.Penalties {
		var v float64
		if q, ok := p.(PiecewisePenalty); ok && i == len(r.o.Penalties)-1 && r.o.Clip == (Clip{}) {
			v, later = q.AddGradLater(w, r.pool.Threads())
		} else {
			v = p.AddGrad(w)
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, &DivergedError{Step: r.at.Step, Err: fmt.Errorf("step %d: the penalty %q is %g", r.at.Step, p.Name(), v)}
		}
		if r.at.Penalties == nil {
			r.at.Penalties = map[string]float64{}
		}
		r.at.Penalties[p.Name()] += v
	}
	return later, nil
}

// apply bounds the gradients.
func (c Clip) apply(p *kernel.Pool, w []engine.Weight) {
	if c.Value > 0 {
		limit := float32(c.Value)
		for i := range w {
			for k, g := range w[i].Gradient {
				w[i].Gradient[k] = min(max(g, -limit), limit)
			}
		}
	}
	if c.Norm <= 0 {
		return
	}
	sum := 0.0
	for i := range w {
		sum += kernel.SumSquares(p, w[i].Gradient)
	}
	const guard = 1e-6 // as torch.nn.utils.clip_grad_norm_
	if f := c.Norm / (math.Sqrt(sum) + guard); f < 1 {
		for i := range w {
			kernel.Scale(p, w[i].Gradient, w[i].Gradient, float32(f))
		}
	}
}

func (r *run) progress(of int) Progress {
	p := Progress{Moment: r.moment(), Loss: r.at.Loss / float64(r.at.Examples), Batches: r.at.Batch, OfBatches: of}
	p.Rate = r.at.Rate
	here := time.Since(r.began)
	p.Elapsed = time.Duration(r.elapsed() * float64(time.Second))
	if done := r.at.Step - r.first; done > 0 && here > 0 {
		p.Left = time.Duration(float64(here) / float64(done) * float64(r.steps-r.at.Step))
	}
	return p
}

// judge ends an epoch: evaluation, history, schedule, early stopping.
func (r *run) judge(ctx context.Context) error {
	e := &Event{Type: "epoch", Epoch: r.at.Epoch + 1, Step: r.at.Step, Batch: r.o.BatchSize(r.at.Epoch), Rate: r.at.Rate, Loss: r.at.Loss / float64(r.at.Examples)}
	if r.at.Penalties != nil {
		e.Penalties = map[string]float64{}
		updates := float64(r.o.updates(r.at.Epoch, r.data.Len()))
		for name, v := range r.at.Penalties {
			e.Penalties[name] = v / updates
		}
	}
	if r.o.Validation != nil && ((r.at.Epoch+1)%r.o.Every == 0 || r.at.Epoch+1 == r.o.Epochs) {
		res, err := r.evaluate(ctx)
		if err != nil {
			return err
		}
		e.Validation = res.Summary()
		if e.Best, err = r.weigh(res); err != nil {
			return err
		}
	}
	var err error
	if e.Notes, err = r.observe(ctx); err != nil {
		return err
	}
	e.Seconds = r.elapsed()
	if err := r.journal.write(e); err != nil {
		return err
	}
	if r.o.Epoch != nil {
		r.o.Epoch(e)
	}
	r.at.Events++
	r.at.Epoch++
	r.at.Batch = 0
	r.at.LastLoss = e.Loss
	r.at.Loss, r.at.Examples, r.at.Penalties = 0, 0, nil
	return nil
}

// observe asks penalties and hooks for their notes.
func (r *run) observe(ctx context.Context) (map[string]map[string]float64, error) {
	var notes map[string]map[string]float64
	see := func(name string, x any) error {
		o, ok := x.(Observer)
		if !ok {
			return nil
		}
		n, err := o.Observe(ctx, r.mem.trained, r.moment())
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if notes == nil {
			notes = map[string]map[string]float64{}
		}
		notes[name] = n
		return nil
	}
	for _, p := range r.o.Penalties {
		if err := see(p.Name(), p); err != nil {
			return nil, err
		}
	}
	for _, h := range r.o.Hooks {
		if err := see(h.Name(), h); err != nil {
			return nil, err
		}
	}
	return notes, nil
}

// evaluate measures the weights that would be kept now.
func (r *run) evaluate(ctx context.Context) (*Result, error) {
	if r.mem.average != nil {
		own := clones(r.mem.trained)
		copyFrom(r.mem.trained, r.mem.average)
		defer copyFrom(r.mem.trained, own)
	}
	defer r.restore()
	if err := r.substitute(); err != nil {
		return nil, err
	}
	res, err := Evaluate(ctx, r.p, r.o.Validation, &EvaluateOptions{Batch: r.o.BatchSize(min(r.at.Epoch, r.o.Epochs-1)), FixedBatch: r.o.FixedBatch, Objective: r.o.Objective})
	if err == nil {
		return res, nil
	}
	err = fmt.Errorf("evaluation in epoch %d: %w", min(r.at.Epoch+1, r.o.Epochs), err)
	if errors.Is(err, errOutputs) {
		if d := r.broken(); d != nil {
			return nil, d
		}
		return nil, &DivergedError{Step: r.at.Step, Err: err}
	}
	return nil, err
}

// broken reports the first weight that is not finite, or nil.
func (r *run) broken() *DivergedError {
	for _, w := range r.mem.weights {
		if i := notFinite(w.Values); i >= 0 {
			return &DivergedError{Step: r.at.Step, Tensor: w.Name, What: "weights", Index: i}
		}
	}
	return nil
}

// weigh takes an evaluation into account, and reports whether it is the best one.
func (r *run) weigh(res *Result) (bool, error) {
	r.at.Watch.see(&r.o.Schedule, res.Loss)
	value := res.Loss
	if r.o.Monitor == ByAccuracy {
		if res.Top1 == nil {
			return false, errors.New("the data has no labels, so there is no accuracy to watch")
		}
		value = -*res.Top1
	}
	b := &r.at.Best
	if b.Seen && value >= b.Value {
		b.Bad++
		r.at.Stopped = r.o.Patience > 0 && b.Bad >= r.o.Patience
		return false, nil
	}
	b.Seen, b.Value, b.Epoch, b.Bad = true, value, r.at.Epoch, 0
	if !r.o.Best {
		return true, nil
	}
	var err error
	if b.Terms, err = r.o.terms(); err != nil {
		return false, err
	}
	if r.mem.best == nil {
		r.mem.best = clones(r.mem.weights)
	} else {
		copyTo(r.mem.best, r.mem.weights)
	}
	b.Kept = true
	if r.mem.average != nil { // it is what was measured
		i := 0
		for k, w := range r.mem.weights {
			if w.Gradient != nil {
				copy(r.mem.best[k], r.mem.average[i])
				i++
			}
		}
	}
	return true, nil
}

// finish leaves the weights that are kept in the program.
func (r *run) finish(ctx context.Context) (*Report, error) {
	r.at.Seconds = r.elapsed()
	p := &Report{Epochs: r.at.Epoch, Steps: r.at.Step, Loss: r.at.LastLoss, Stopped: r.at.Stopped, Seconds: r.at.Seconds}
	switch {
	case r.mem.best != nil:
		copyFrom(r.mem.weights, r.mem.best)
		if err := r.o.setTerms(r.at.Best.Terms); err != nil {
			return nil, err
		}
		p.BestEpoch = r.at.Best.Epoch + 1
	case r.mem.average != nil:
		copyFrom(r.mem.trained, r.mem.average)
	}
	r.mem.average = nil // evaluate what there is now
	if d := r.broken(); d != nil {
		return nil, d
	}
	if r.o.Validation == nil {
		return p, nil
	}
	var err error
	p.Validation, err = r.evaluate(ctx)
	return p, err
}
