package train_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"ropewalk/engine"
	"ropewalk/train"
)

// strict takes batches of one size.
type strict struct {
	engine.Program
	size int64
}

func (s strict) check(inputs []engine.Array) error {
	if n := inputs[0].Shape[0]; n != s.size || int64(len(inputs[0].Float)) != n*width {
		return fmt.Errorf("a batch of %d examples and %d values", n, len(inputs[0].Float))
	}
	return nil
}

func (s strict) Forward(inputs []engine.Array) ([]engine.Array, error) {
	if err := s.check(inputs); err != nil {
		return nil, err
	}
	return s.Program.Forward(inputs)
}

func (s strict) Step(step uint64, loss engine.Loss, inputs []engine.Array) (float64, error) {
	if err := s.check(inputs); err != nil {
		return 0, err
	}
	return s.Program.Step(step, loss, inputs)
}

// Evaluations of any number of examples in batches of any size are those of a
// network that takes all sizes.
func TestFixedBatchEvaluate(t *testing.T) {
	near := cmpopts.EquateApprox(1e-9, 1e-12)
	rapid.Check(t, func(t *rapid.T) {
		n, size := rapid.IntRange(1, 20).Draw(t, "examples"), rapid.IntRange(1, 25).Draw(t, "size")
		p, q := newPerceptron(width, 5, classes, 1), newPerceptron(width, 5, classes, 2)
		data := &train.Examples{Data: newBlobs(n, width, classes, 4)}
		want, err := train.Evaluate(t.Context(), p, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := train.Evaluate(t.Context(), strict{p, int64(size)}, data, &train.EvaluateOptions{Batch: size, FixedBatch: true})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, near); d != "" {
			t.Fatalf("%d examples in batches of %d (-want +got):\n%s", n, size, d)
		}
		compared, err := train.Compare(t.Context(), p, q, data, &train.CompareOptions{Logits: true})
		if err != nil {
			t.Fatal(err)
		}
		fixed, err := train.Compare(t.Context(), strict{p, int64(size)}, q, data, &train.CompareOptions{Batch: size, FixedBatch: true, Logits: true})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(compared, fixed, near); d != "" {
			t.Fatalf("comparison of %d examples in batches of %d (-want +got):\n%s", n, size, d)
		}
		student := &train.Distill{Teacher: strict{q, int64(size)}, Temperature: 2, Weight: 0.5, Task: &train.CrossEntropy{}}
		open := &train.Distill{Teacher: q, Temperature: 2, Weight: 0.5, Task: &train.CrossEntropy{}}
		want, err = train.Evaluate(t.Context(), p, data, &train.EvaluateOptions{Objective: open})
		if err != nil {
			t.Fatal(err)
		}
		got, err = train.Evaluate(t.Context(), p, data, &train.EvaluateOptions{Batch: size, FixedBatch: true, Objective: student})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(want.Loss-got.Loss) > 1e-9 {
			t.Fatalf("distillation: %g, want %g", got.Loss, want.Loss)
		}
	})
}

// An epoch of 50 examples is 6 batches of 8; a resume in the middle of one gives the
// same weights.
func TestFixedBatchFit(t *testing.T) {
	options := func() *train.Options {
		return &train.Options{Epochs: 4, Batch: 8, FixedBatch: true, Accumulate: 4, Validation: &train.Examples{Data: newBlobs(13, width, classes, 9)}}
	}
	p := newPerceptron(width, 10, classes, 3)
	events := 0
	o := options()
	o.Epoch = func(e *train.Event) {
		events++
		if e.Step != uint64(2*events) { // of 4 batches, and of 2
			t.Errorf("epoch %d ends at step %d", e.Epoch, e.Step)
		}
	}
	r := fit(t, strict{p, 8}, o)
	if r.Steps != 8 || events != 4 || r.Validation.Examples != 13 {
		t.Errorf("%d steps, %d epochs, judged by %d examples", r.Steps, events, r.Validation.Examples)
	}
	o = options()
	o.Snapshot, o.SnapshotSteps = t.TempDir()+"/s", 3
	q := newPerceptron(width, 10, classes, 3)
	stopped := &stopper{Program: strict{q, 8}, after: 15} // the first batch of the last update of an epoch
	if _, err := train.Fit(t.Context(), stopped, examples(), o); err == nil {
		t.Fatal("it was not stopped")
	}
	o.Resume = true
	q = newPerceptron(width, 10, classes, 3)
	fit(t, strict{q, 8}, o)
	if d := cmp.Diff(p.values(), q.values()); d != "" {
		t.Errorf("resumed (-whole +part):\n%s", d)
	}
	few := &train.Examples{Data: newBlobs(7, width, classes, 1)}
	if _, err := train.Fit(t.Context(), strict{p, 8}, few, options()); err == nil {
		t.Error("7 examples fill a batch of 8")
	}
	o = options()
	o.Batches = []train.BatchFrom{{Epoch: 1, Size: 16}}
	if _, err := train.Fit(t.Context(), strict{p, 8}, examples(), o); err == nil {
		t.Error("a batch of 16 where 8 are fixed")
	}
}

// stopper fails after some calls of Step, as a program that is killed.
type stopper struct {
	engine.Program
	after int
}

func (s *stopper) Step(step uint64, loss engine.Loss, inputs []engine.Array) (float64, error) {
	if s.after--; s.after < 0 {
		return 0, fmt.Errorf("stopped")
	}
	return s.Program.Step(step, loss, inputs)
}
