package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"ropewalk/engine"
)

// What is watched to find the best weights.
const (
	ByLoss     = "loss"
	ByAccuracy = "accuracy"
)

// Options say how to train. Only Epochs has no default.
type Options struct {
	// Epochs is the number of passes over the data, 1 or more.
	Epochs int `json:"epochs"`
	// Batch is the examples of a batch; 0 is 128.
	Batch int `json:"batch"`
	// Batches changes the size from some epochs on, in ascending order.
	Batches []BatchFrom `json:"batches,omitempty"`
	// FixedBatch says that the network takes batches of Batch examples only. An
	// epoch then leaves out the examples at its end that fill no batch, which are
	// others in each epoch; evaluations fill their last batch up, see
	// [EvaluateOptions]. Batches has to be empty.
	FixedBatch bool `json:"fixed_batch,omitempty"`
	// Accumulate makes one update from so many batches (the last one of an epoch
	// from what is left): the gradient is the mean over their examples. 0 is 1.
	Accumulate int `json:"accumulate"`
	// Optimizer turns gradients into updates.
	Optimizer Optimizer `json:"optimizer"`
	// Schedule changes the learning rate.
	Schedule Schedule `json:"schedule"`
	// Clip bounds gradients.
	Clip Clip `json:"clip"`
	// Objective is the loss; nil is a [CrossEntropy] of logits.
	Objective Objective `json:"-"`
	// Penalties are added to the loss, in this order.
	Penalties []Penalty `json:"-"`
	// Hooks change weights around steps, in this order.
	Hooks []Hook `json:"-"`
	// Average, above 0 and below 1, keeps an exponential average of the weights,
	// w̄ ← Average·w̄ + (1-Average)·w after each update, which is what is evaluated
	// and kept in the end. 0 is none.
	Average float64 `json:"average,omitempty"`
	// Seed drives the order of the examples, and their augmentation. The seed of
	// the program drives dropout.
	Seed uint64 `json:"seed"`

	// Threads bounds the goroutines that update weights; 0 is all cores. It
	// changes nothing but speed.
	Threads int `json:"-"`

	// Validation is evaluated after every Every epochs, and the last one; nil is
	// never.
	Validation Source `json:"-"`
	// Every is in epochs; 0 is 1.
	Every int `json:"every"`
	// Monitor is ByLoss (also "") or ByAccuracy.
	Monitor string `json:"monitor"`
	// Patience stops training after so many evaluations without a new best one; 0
	// is never.
	Patience int `json:"patience,omitempty"`
	// Best ends with the weights of the best evaluation, not with the last ones.
	// Patience implies it.
	Best bool `json:"best,omitempty"`

	// Snapshot is the file that a run can be resumed from; "" is none. It is
	// written at the start, every SnapshotEvery, every SnapshotSteps updates, and
	// when the context ends.
	Snapshot string `json:"-"`
	// SnapshotEvery is a time; 0 is a minute.
	SnapshotEvery time.Duration `json:"-"`
	// SnapshotSteps is in updates; 0 is never.
	SnapshotSteps uint64 `json:"-"`
	// Resume goes on from Snapshot, which has to be there.
	Resume bool `json:"-"`
	// Identity is what else has to be the same when a run is resumed: the network,
	// the data, the number of threads.
	Identity map[string]string `json:"identity,omitempty"`

	// History is the file that an [Event] is appended to after each epoch, as a
	// line of JSON; "" is none. A run that is not resumed empties it.
	History string `json:"-"`
	// Progress is called after each update, and Epoch after each epoch, with what
	// goes into History; nil are not.
	Progress func(Progress) `json:"-"`
	Epoch    func(*Event)   `json:"-"`
}

// BatchFrom is a size of batches.
type BatchFrom struct {
	Epoch int `json:"epoch"` // from that one on, counted from 0
	Size  int `json:"size"`
}

// Clip bounds gradients, with penalties, before each update, as PyTorch does.
type Clip struct {
	// Norm bounds the Euclidean norm of all gradients together, 0 is none.
	Norm float64 `json:"norm,omitempty"`
	// Value bounds each element to ±Value, before Norm does; 0 is none.
	Value float64 `json:"value,omitempty"`
}

// Progress is how far a run is.
type Progress struct {
	Moment
	// Loss is the mean of the objective over the epoch so far.
	Loss float64
	// Batches of the epoch are done, of OfBatches.
	Batches, OfBatches int
	// Elapsed is the time of training, that before a resume included, and Left
	// what remains at the speed since the start or resume; 0 is unknown.
	Elapsed, Left time.Duration
}

const (
	defaultBatch = 128
	maxBatch     = 1 << 24
	maxEpochs    = 1_000_000
)

// Settled returns a copy with defaults filled in, or says what is wrong.
func (o *Options) Settled() (*Options, error) { return o.settle() }

// settle returns a copy with defaults filled in, or says what is wrong.
func (o *Options) settle() (*Options, error) {
	s := *o
	set := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	set(&s.Batch, defaultBatch)
	set(&s.Accumulate, 1)
	set(&s.Every, 1)
	if s.Objective == nil {
		s.Objective = &CrossEntropy{}
	}
	if s.Monitor == "" {
		s.Monitor = ByLoss
	}
	if s.SnapshotEvery == 0 {
		s.SnapshotEvery = time.Minute
	}
	s.Best = s.Best || s.Patience > 0
	var err error
	if s.Optimizer, err = s.Optimizer.settle(); err != nil {
		return nil, err
	}
	if s.Schedule, err = s.Schedule.settle(); err != nil {
		return nil, err
	}
	bound := func(v float64) bool { return v >= 0 && v <= math.MaxFloat32 }
	needs := ""
	switch {
	case s.Best:
		needs = "keeping the best weights, and stopping early"
	case s.Schedule.Kind == Plateau:
		needs = "schedule plateau"
	}
	switch {
	case s.Epochs < 1 || s.Epochs > maxEpochs:
		return nil, fmt.Errorf("%d epochs; want 1 to %d", s.Epochs, maxEpochs)
	case s.Batch < 1 || s.Batch > maxBatch:
		return nil, fmt.Errorf("a batch of %d examples; want 1 to %d", s.Batch, maxBatch)
	case s.Accumulate < 1 || s.Accumulate > maxBatch:
		return nil, fmt.Errorf("an update from %d batches; want 1 or more", s.Accumulate)
	case s.Every < 1:
		return nil, fmt.Errorf("an evaluation every %d epochs; want 1 or more", s.Every)
	case s.Patience < 0:
		return nil, fmt.Errorf("a patience of %d evaluations; want 0 (never stop early) or more", s.Patience)
	case s.Monitor != ByLoss && s.Monitor != ByAccuracy:
		return nil, fmt.Errorf("monitor %q is not known; want loss or accuracy", s.Monitor)
	case !bound(s.Clip.Norm) || !bound(s.Clip.Value):
		return nil, fmt.Errorf("gradients are clipped to a norm of %g and values of %g; want 0 (not at all) or more", s.Clip.Norm, s.Clip.Value)
	case !(s.Average >= 0 && s.Average < 1):
		return nil, fmt.Errorf("the average of weights decays by %g; want 0 (none) to less than 1", s.Average)
	case needs != "" && s.Validation == nil:
		return nil, fmt.Errorf("%s needs validation data", needs)
	case s.Resume && s.Snapshot == "":
		return nil, errors.New("there is no snapshot to resume from")
	}
	if err := s.checkObjective(); err != nil {
		return nil, err
	}
	if err := s.checkBatches(); err != nil {
		return nil, err
	}
	return &s, s.checkNames()
}

func (o *Options) checkObjective() error {
	task, _ := o.Objective.(*CrossEntropy)
	if d, ok := o.Objective.(*Distill); ok {
		task = d.Task
		switch {
		case d.Teacher == nil:
			return errors.New("distillation needs a teacher")
		case !(d.Temperature > 0 && d.Temperature <= 1e6):
			return fmt.Errorf("the temperature of distillation is %g; want more than 0", d.Temperature)
		case !(d.Weight >= 0 && d.Weight <= 1):
			return fmt.Errorf("the weight of the teacher is %g; want 0 to 1", d.Weight)
		case d.Weight < 1 && task == nil:
			return errors.New("distillation with labels needs a task")
		case task != nil && task.Probabilities:
			return errors.New("distillation needs logits, and the network ends in probabilities")
		}
	}
	if task != nil && !(task.Smoothing >= 0 && task.Smoothing < 1) {
		return fmt.Errorf("label smoothing is %g; want 0 to less than 1", task.Smoothing)
	}
	return nil
}

func (o *Options) checkBatches() error {
	if o.FixedBatch && len(o.Batches) > 0 {
		return fmt.Errorf("batches of other sizes from epoch %d on, and the network takes %d examples only", o.Batches[0].Epoch, o.Batch)
	}
	for i, b := range o.Batches {
		if b.Size < 1 || b.Size > maxBatch || b.Epoch < 0 || i > 0 && b.Epoch <= o.Batches[i-1].Epoch {
			return fmt.Errorf("batches of %d examples from epoch %d on; want 1 to %d, and epochs in ascending order", b.Size, b.Epoch, maxBatch)
		}
	}
	return nil
}

// checkNames looks that a state finds the hook or penalty that it belongs to.
func (o *Options) checkNames() error {
	var names []string
	for _, p := range o.Penalties {
		names = append(names, p.Name())
	}
	for _, h := range o.Hooks {
		_, sub := h.(Substituter)
		_, adj := h.(Adjuster)
		if !sub && !adj {
			return fmt.Errorf("hook %q neither substitutes nor adjusts weights", h.Name())
		}
		names = append(names, h.Name())
	}
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return fmt.Errorf("two penalties or hooks have the name %q", names[i])
		}
	}
	return nil
}

// BatchSize returns the examples of a batch in an epoch, counted from 0.
func (o *Options) BatchSize(epoch int) int {
	size := o.Batch
	for _, b := range o.Batches {
		if epoch >= b.Epoch {
			size = b.Size
		}
	}
	return size
}

// batches returns the batches of an epoch of n examples.
func (o *Options) batches(epoch, n int) int {
	if o.FixedBatch {
		return n / o.Batch
	}
	return Pass{Size: o.BatchSize(epoch)}.Batches(n)
}

// updates returns the updates of an epoch of n examples.
func (o *Options) updates(epoch, n int) uint64 {
	b := o.batches(epoch, n)
	return uint64((b + o.Accumulate - 1) / o.Accumulate)
}

// recipe returns all that decides what becomes of the weights, as text by name.
// Settings of objective, penalties and hooks count as far as they are JSON.
func (o *Options) recipe(w []engine.Weight, examples int) map[string]string {
	terms := map[string]any{}
	for _, p := range o.Penalties {
		terms["penalty "+p.Name()] = p
	}
	for _, h := range o.Hooks {
		terms["hook "+h.Name()] = h
	}
	whole := map[string]any{
		"options": o, "objective": map[string]any{"name": o.Objective.Name(), "settings": o.Objective},
		"terms": terms, "examples": examples, "weights": len(w), "validation": o.Validation != nil,
	}
	r := map[string]string{}
	for name, v := range whole {
		var plain any
		b, err := json.Marshal(v)
		if err == nil {
			err = json.Unmarshal(b, &plain)
		}
		if err != nil { // settings that are no JSON do not count
			plain = "present"
		}
		flatten(name, plain, r)
	}
	return r
}

// flatten writes the leaves of a JSON value to r, under names with dots.
func flatten(name string, v any, r map[string]string) {
	if m, ok := v.(map[string]any); ok {
		for k, x := range m {
			flatten(name+"."+k, x, r)
		}
		return
	}
	b, _ := json.Marshal(v) // came from JSON
	r[name] = string(b)
}
