package train_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ropewalk/dataset"
	"ropewalk/engine"
	"ropewalk/train"
)

const (
	width   = 6
	classes = 4
)

// a run on blobs: 50 examples in batches of 8, the last of which has 2.
func examples() *train.Examples {
	return &train.Examples{Data: newBlobs(50, width, classes, 1), Classes: classes}
}

func held() *train.Examples { return &train.Examples{Data: newBlobs(40, width, classes, 9)} }

func fit(t *testing.T, p engine.Program, o *train.Options) *train.Report {
	t.Helper()
	r, err := train.Fit(t.Context(), p, examples(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// It learns, whatever the optimizer.
func TestFit(t *testing.T) {
	for name, o := range map[string]train.Options{
		"sgd":        {Optimizer: train.Optimizer{Rate: 0.05}},
		"nesterov":   {Optimizer: train.Optimizer{Rate: 0.02, Momentum: 0.9, Nesterov: true, Decay: 1e-4}, Schedule: train.Schedule{Kind: train.Cosine}},
		"adam":       {Optimizer: train.Optimizer{Kind: train.Adam, Rate: 0.01}, Schedule: train.Schedule{WarmUp: 1.5}},
		"adamw":      {Optimizer: train.Optimizer{Kind: train.AdamW, Rate: 0.01, Decay: 0.01}},
		"smoothed":   {Objective: &train.CrossEntropy{Smoothing: 0.1}},
		"mse":        {Objective: train.MSE{}},
		"clipped":    {Clip: train.Clip{Norm: 1, Value: 0.5}},
		"accumulate": {Accumulate: 3},
		"average":    {Average: 0.9},
		"batches":    {Batches: []train.BatchFrom{{Epoch: 2, Size: 16}, {Epoch: 5, Size: 50}}},
	} {
		t.Run(name, func(t *testing.T) {
			o.Epochs, o.Batch, o.Validation = 60, 8, held()
			p := newPerceptron(width, 10, classes, 3)
			before, err := train.Evaluate(t.Context(), p, held(), nil)
			if err != nil {
				t.Fatal(err)
			}
			r := fit(t, p, &o)
			if *before.Top1 > 0.7 || *r.Validation.Top1 < 0.9 {
				t.Errorf("accuracy went from %.2f to %.2f", *before.Top1, *r.Validation.Top1)
			}
			if r.Epochs != 60 || r.Stopped || r.BestEpoch != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// Mixed examples, whose targets are shares.
func TestFitMixed(t *testing.T) {
	data := examples()
	data.Augment = &dataset.Augmentation{Mixup: 0.4}
	p := newPerceptron(width, 10, classes, 3)
	r, err := train.Fit(t.Context(), p, data, &train.Options{Epochs: 15, Batch: 8, Validation: held()})
	if err != nil {
		t.Fatal(err)
	}
	if *r.Validation.Top1 < 0.9 {
		t.Errorf("accuracy %.2f", *r.Validation.Top1)
	}
}

// An update from five batches of ten is that from one of fifty, for a program that
// treats examples one by one.
func TestAccumulate(t *testing.T) {
	run := func(batch, accumulate int) [][]float32 {
		p := &still{newPerceptron(width, 10, classes, 3)}
		p.dropout = 0
		r := fit(t, p, &train.Options{Epochs: 4, Batch: batch, Accumulate: accumulate})
		if r.Steps != 4 {
			t.Errorf("%d updates, want 4", r.Steps)
		}
		return p.values()
	}
	// The last batch of 12 has 2 examples only, and must count as 2.
	if d := cmp.Diff(run(50, 1), run(12, 5), cmpopts.EquateApprox(0, 1e-5)); d != "" {
		t.Errorf("(-one +many):\n%s", d)
	}
}

// still is a perceptron without a mean.
type still struct{ *perceptron }

func (s *still) Step(step uint64, loss engine.Loss, inputs []engine.Array) (float64, error) {
	return s.step(step, loss, inputs, make([]float32, s.in))
}

// Every batch of a run has a number of its own, which drives dropout.
func TestStepNumbers(t *testing.T) {
	p := newPerceptron(width, 10, classes, 3)
	fit(t, p, &train.Options{Epochs: 2, Batch: 8, Accumulate: 2})
	for i, s := range p.steps {
		if s != uint64(i) {
			t.Fatalf("step %d has the number %d", i, s)
		}
	}
	if len(p.steps) != 14 {
		t.Errorf("%d steps, want 14", len(p.steps))
	}
}

// shrink is half the square of all weights, times its factor.
type shrink struct {
	Factor float64
	steps  []uint64
}

func (s *shrink) Name() string          { return "shrink" }
func (s *shrink) Follow(m train.Moment) { s.steps = append(s.steps, m.Step) }

func (s *shrink) AddGrad(w []engine.Weight) float64 {
	sum := 0.0
	for _, x := range w {
		for k, v := range x.Values {
			sum += float64(v) * float64(v)
			x.Gradient[k] += float32(s.Factor) * v
		}
	}
	return s.Factor * sum / 2
}

// A penalty of half a square is weight decay.
func TestPenalty(t *testing.T) {
	a, b := newPerceptron(width, 10, classes, 3), newPerceptron(width, 10, classes, 3)
	fit(t, a, &train.Options{Epochs: 3, Batch: 8, Optimizer: train.Optimizer{Decay: 0.05}})
	term := &shrink{Factor: 0.05}
	history := filepath.Join(t.TempDir(), "h.jsonl")
	fit(t, b, &train.Options{Epochs: 3, Batch: 8, Penalties: []train.Penalty{term}, History: history})
	if d := cmp.Diff(a.values(), b.values(), cmpopts.EquateApprox(0, 1e-5)); d != "" {
		t.Errorf("(-decay +penalty):\n%s", d)
	}
	for i, s := range term.steps {
		if s != uint64(i) {
			t.Fatalf("update %d was called %d", i, s)
		}
	}
	if len(term.steps) != 21 {
		t.Errorf("%d updates, want 21", len(term.steps))
	}
	for _, e := range events(t, history) {
		if v := e.Penalties["shrink"]; !(v > 0.1 && v < 10) {
			t.Errorf("epoch %d: the penalty is %g", e.Epoch, v)
		}
	}
}

// square is half the square of the weights that it is given.
type square struct{ calls int }

func (s *square) Name() string            { return "square" }
func (s *square) State() ([]byte, error)  { return json.Marshal(s.calls) }
func (s *square) SetState(b []byte) error { return json.Unmarshal(b, &s.calls) }

func (s *square) AddGrad(weights, gradients [][]float32) float64 {
	s.calls++
	sum := 0.0
	for i, w := range weights {
		for k, v := range w {
			sum += float64(v) * float64(v) / 2
			gradients[i][k] += v
		}
	}
	return sum
}

// A term acts on the weights that it was made for, in the order that was asked for,
// and on no other.
func TestTerm(t *testing.T) {
	a, b := newPerceptron(width, 10, classes, 3), newPerceptron(width, 10, classes, 3)
	fit(t, a, &train.Options{Epochs: 1, Batch: 50, Optimizer: train.Optimizer{Rate: 0.5}})
	fit(t, b, &train.Options{Epochs: 1, Batch: 50, Optimizer: train.Optimizer{Rate: 0.5}, Penalties: []train.Penalty{train.On([]string{"fc2.bias", "fc1.weight"}, &square{})}})
	start := newPerceptron(width, 10, classes, 3).values()
	for i, w := range b.weights {
		for k, v := range w.Values {
			want := a.weights[i].Values[k]
			if w.Name == "fc2.bias" || w.Name == "fc1.weight" {
				want -= 0.5 * start[i][k]
			}
			if math.Abs(float64(v-want)) > 1e-6 {
				t.Fatalf("%s[%d] is %g, want %g", w.Name, k, v, want)
			}
		}
	}
	_, err := train.Fit(t.Context(), a, examples(), &train.Options{Epochs: 1, Penalties: []train.Penalty{train.On([]string{"fc9.weight"}, &square{})}})
	if err == nil || err.Error() != `square: "fc9.weight" is no weight that is trained` {
		t.Error(err)
	}
}

func events(t *testing.T, path string) []train.Event {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []train.Event
	s := bufio.NewScanner(bytes.NewReader(b))
	for s.Scan() {
		var e train.Event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		e.Seconds = 0
		list = append(list, e)
	}
	return list
}

// signs has the network compute with two levels for each kernel, counts, and keeps
// the floats within the levels.
type signs struct {
	Level float32
	calls uint64
	wrong string
}

func (s *signs) Name() string { return "signs" }

func (s *signs) Substitute(w []engine.Weight) error {
	for _, x := range w {
		if x.Gradient != nil {
			s.wrong = "a gradient before the step"
		}
		if len(x.Shape) < 2 {
			continue
		}
		for k, v := range x.Values {
			x.Values[k] = float32(math.Copysign(float64(s.Level), float64(v)))
		}
	}
	s.calls++
	return nil
}

func (s *signs) Adjust(w []engine.Weight) error {
	for _, x := range w {
		if x.Gradient == nil {
			s.wrong = "no gradient after the step"
		}
		for k, v := range x.Values {
			if len(x.Shape) > 1 && (v == s.Level || v == -s.Level) {
				s.wrong = "the floats are what stood in for them"
			}
			x.Values[k] = min(max(v, -1), 1)
		}
	}
	return nil
}

func (s *signs) State() ([]byte, error)  { return json.Marshal(s.calls) }
func (s *signs) SetState(b []byte) error { return json.Unmarshal(b, &s.calls) }

// Straight-through training: floats are updated by the gradients of the network
// with quantized weights, evaluations see the quantized ones, and what is left in
// the program are the floats.
func TestSubstitute(t *testing.T) {
	p := newPerceptron(width, 10, classes, 3)
	hook := &signs{Level: 0.3}
	r := fit(t, p, &train.Options{Epochs: 15, Batch: 8, Hooks: []train.Hook{hook}, Validation: held()})
	if hook.wrong != "" {
		t.Error(hook.wrong)
	}
	if *r.Validation.Top1 < 0.9 {
		t.Errorf("accuracy of the quantized network is %.2f", *r.Validation.Top1)
	}
	levels := map[float32]bool{}
	for _, v := range p.weights[weight1].Values {
		levels[v] = true
		if v < -1 || v > 1 {
			t.Errorf("weight %g was not clamped", v)
		}
	}
	if len(levels) < 10 {
		t.Error("the floats are gone")
	}
	own, err := train.Evaluate(t.Context(), p, held(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if own.Loss == r.Validation.Loss {
		t.Error("the evaluation was of the floats")
	}
	if err := hook.Substitute(withoutGradients(p)); err != nil {
		t.Fatal(err)
	}
	own, err = train.Evaluate(t.Context(), p, held(), &train.EvaluateOptions{Batch: 8})
	if err != nil {
		t.Fatal(err)
	}
	if own.Loss != r.Validation.Loss {
		t.Errorf("the evaluation said %g, and the quantized network has %g", r.Validation.Loss, own.Loss)
	}
}

func withoutGradients(p *perceptron) []engine.Weight {
	w := append([]engine.Weight(nil), p.weights[weight1:]...)
	for i := range w {
		w[i].Gradient = nil
	}
	return w
}

// Early stopping keeps the best weights: evaluating them again gives the best loss
// of the history.
func TestBest(t *testing.T) {
	for _, average := range []float64{0, 0.8} {
		history := filepath.Join(t.TempDir(), "h.jsonl")
		p := newPerceptron(width, 10, classes, 3)
		r := fit(t, p, &train.Options{
			Epochs: 60, Batch: 8, Patience: 2, Validation: held(), History: history, Average: average,
			Optimizer: train.Optimizer{Rate: 0.5}, // so large that it does not settle
		})
		list := events(t, history)
		best := list[0]
		for _, e := range list {
			if e.Best != (e.Validation.Loss < best.Validation.Loss || e.Epoch == 1) {
				t.Errorf("epoch %d: best is %t", e.Epoch, e.Best)
			}
			if e.Best {
				best = e
			}
		}
		if !r.Stopped || r.Epochs != len(list) || r.BestEpoch != best.Epoch || r.BestEpoch != r.Epochs-2 {
			t.Errorf("%+v after %d epochs, the best of which was %d", r, len(list), best.Epoch)
		}
		own, err := train.Evaluate(t.Context(), p, held(), &train.EvaluateOptions{Batch: 8})
		if err != nil {
			t.Fatal(err)
		}
		if own.Loss != best.Validation.Loss || r.Validation.Loss != own.Loss {
			t.Errorf("the loss of what was kept is %g, was %g at its best", own.Loss, best.Validation.Loss)
		}
	}
}

// What is wrong is said, and where.
func TestFitErrors(t *testing.T) {
	other := newBlobs(50, width, classes, 1)
	other.labels[7] = 9
	tests := []struct {
		name string
		p    engine.Program
		data train.Source
		o    train.Options
		want string
	}{
		{"no epochs", nil, nil, train.Options{Epochs: -1}, "-1 epochs"},
		{"best without validation", nil, nil, train.Options{Patience: 1}, "keeping the best weights, and stopping early needs validation data"},
		{"resume from nothing", nil, nil, train.Options{Resume: true}, "there is no snapshot to resume from"},
		{"resume what is not there", nil, nil, train.Options{Resume: true, Snapshot: filepath.Join(t.TempDir(), "s")}, "there is nothing to resume"},
		{"folder", nil, nil, train.Options{Snapshot: t.TempDir()}, "is a directory"},
		{"label", nil, &train.Examples{Data: other}, train.Options{}, "epoch 1: example 0 of the batch has the label 9; the network has 4 classes, 0 to 3"},
		{"shape", nil, &train.Examples{Data: newBlobs(9, 3, 2, 1)}, train.Options{}, "want one input of (examples, 6)"},
		{"data breaks", nil, &broken{examples(), 2, errBroken}, train.Options{}, errBroken.Error()},
		{"data ends", nil, &broken{examples(), 2, nil}, train.Options{}, "the data ended after batch 2 of 50"},
		{"nothing trained", constant{}, nil, train.Options{}, "no weight of the program is trainable"},
		{"twins", nil, nil, train.Options{Penalties: []train.Penalty{&shrink{}, &shrink{}}}, `two penalties or hooks have the name "shrink"`},
		{"useless hook", nil, nil, train.Options{Hooks: []train.Hook{&shrink{}}}, `hook "shrink" neither substitutes nor adjusts`},
		{"infinite penalty", nil, nil, train.Options{Penalties: []train.Penalty{&shrink{Factor: math.Inf(1)}}}, `the penalty "shrink" is +Inf`},
		{"no teacher", nil, nil, train.Options{Objective: &train.Distill{}}, "distillation needs a teacher"},
		{"smoothing", nil, nil, train.Options{Objective: &train.CrossEntropy{Smoothing: 1}}, "label smoothing is 1"},
		{"batches", nil, nil, train.Options{Batches: []train.BatchFrom{{Epoch: 3, Size: 1}, {Epoch: 3, Size: 2}}}, "batches of 2 examples from epoch 3 on"},
	}
	for _, tt := range tests {
		p, data := tt.p, tt.data
		if p == nil {
			p = newPerceptron(width, 10, classes, 3)
		}
		if data == nil {
			data = examples()
		}
		if tt.o.Epochs == 0 {
			tt.o.Epochs = 1
		}
		tt.o.Batch = 1
		_, err := train.Fit(t.Context(), p, data, &tt.o)
		if tt.name == "label" && err != nil {
			if l, ok := errors.AsType[*train.LabelError](err); !ok || l.Label != 9 {
				t.Errorf("%v is no LabelError", err)
			}
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

// A loss that is no number stops the run, and leaves the last good snapshot.
func TestDiverged(t *testing.T) {
	dir := t.TempDir()
	o := &train.Options{Epochs: 50, Batch: 8, Optimizer: train.Optimizer{Rate: 1e20}, Objective: train.MSE{}, Snapshot: filepath.Join(dir, "s"), SnapshotSteps: 1}
	_, err := train.Fit(t.Context(), newPerceptron(width, 10, classes, 3), examples(), o)
	d, ok := errors.AsType[*train.DivergedError](err)
	if !ok {
		t.Fatalf("%v is no DivergedError", err)
	}
	if d.Tensor == "" && d.Err == nil || !strings.Contains(err.Error(), fmt.Sprint("step ", d.Step)) {
		t.Errorf("%v does not say where", err)
	}
	// The snapshot is whole, and goes on to the same end.
	o.Resume = true
	_, again := train.Fit(t.Context(), newPerceptron(width, 10, classes, 3), examples(), o)
	if again == nil || again.Error() != err.Error() {
		t.Errorf("resumed: %v, want %v", again, err)
	}
	// Without snapshots, the next step finds it.
	o.Resume, o.Snapshot = false, ""
	_, err = train.Fit(t.Context(), newPerceptron(width, 10, classes, 3), examples(), o)
	var odd *engine.NonFiniteError
	if !errors.As(err, &odd) || odd.Value != "hidden" {
		t.Errorf("%v does not name the value", err)
	}
}

// Progress counts up to the end.
func TestProgress(t *testing.T) {
	var last train.Progress
	n := 0
	fit(t, newPerceptron(width, 10, classes, 3), &train.Options{Epochs: 3, Batch: 8, Progress: func(p train.Progress) {
		if n++; p.Step != uint64(n) || p.Steps != 21 || p.OfBatches != 7 || p.Batches != (n-1)%7+1 {
			t.Errorf("update %d: %+v", n, p)
		}
		last = p
	}})
	if n != 21 || last.Left != 0 || last.Moment.Progress() != 1 || last.Elapsed <= 0 {
		t.Errorf("after %d: %+v", n, last)
	}
}

// A student learns from a teacher without labels.
func TestDistill(t *testing.T) {
	teacher := newPerceptron(width, 10, classes, 3)
	fit(t, teacher, &train.Options{Epochs: 15, Batch: 8})
	student := newPerceptron(width, 5, classes, 4)
	r := fit(t, student, &train.Options{
		Epochs: 30, Batch: 8, Objective: &train.Distill{Teacher: teacher, Temperature: 2, Weight: 1}, Validation: held(), Monitor: train.ByAccuracy, Best: true,
	})
	if r.Validation.Objective != "distillation" || *r.Validation.Top1 < 0.9 {
		t.Errorf("%s, accuracy %.2f", r.Validation.Objective, *r.Validation.Top1)
	}
}

// An interruption in an evaluation, or between the batches of an update, leaves a
// snapshot to go on from.
func TestInterruptAnywhere(t *testing.T) {
	want := newPerceptron(width, 10, classes, 3)
	options := func(dir string) *train.Options {
		return &train.Options{
			Epochs: 3, Batch: 8, Accumulate: 3, Validation: held(), Patience: 5, Average: 0.7,
			Optimizer: train.Optimizer{Kind: train.AdamW, Rate: 0.01}, Schedule: train.Schedule{Kind: train.Plateau},
			Hooks: []train.Hook{&signs{Level: 0.3}}, Snapshot: filepath.Join(dir, "s"), History: filepath.Join(dir, "h"),
		}
	}
	dir := t.TempDir()
	fit(t, want, options(dir))
	history := events(t, filepath.Join(dir, "h"))
	for at := 1; ; at++ {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		p := &counted{newPerceptron(width, 10, classes, 3), at, cancel}
		_, err := train.Fit(ctx, p, examples(), options(dir))
		cancel()
		if p.left > 0 {
			if at < 30 {
				t.Errorf("only %d steps and forward passes", at)
			}
			break
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		o := options(dir)
		o.Resume = true
		got := newPerceptron(width, 10, classes, 5) // other weights: all come from the snapshot
		got.seed = 3
		fit(t, got, o)
		if d := cmp.Diff(want.values(), got.values()); d != "" {
			t.Fatalf("interrupted at %d (-want +got):\n%s", at, d)
		}
		if d := cmp.Diff(history, events(t, filepath.Join(dir, "h"))); d != "" {
			t.Fatalf("interrupted at %d, history (-want +got):\n%s", at, d)
		}
	}
}

// counted cancels after so many steps and forward passes.
type counted struct {
	*perceptron
	left   int
	cancel func()
}

func (c *counted) count() {
	if c.left--; c.left == 0 {
		c.cancel()
	}
}

func (c *counted) Forward(inputs []engine.Array) ([]engine.Array, error) {
	c.count()
	return c.perceptron.Forward(inputs)
}

func (c *counted) Step(step uint64, loss engine.Loss, inputs []engine.Array) (float64, error) {
	c.count()
	return c.perceptron.Step(step, loss, inputs)
}
