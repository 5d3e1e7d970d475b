package lossy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"ropewalk/lossy"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// The progress goes up, to the end, whatever is done and however many tries a
// search takes.
func TestProgress(t *testing.T) {
	ctx := t.Context()
	opt := &rope.Options{Effort: rope.Max}
	for name, run := range map[string]func(q *lossy.Quantizer) error{
		"quantize": func(q *lossy.Quantizer) error { _, err := q.Quantize(ctx, 0.03); return err },
		"within":   func(q *lossy.Quantizer) error { _, err := q.Within(ctx, 1500, opt); return err },
		"bits":     func(q *lossy.Quantizer) error { _, err := q.WithBits(ctx, 2.5, opt); return err },
	} {
		for _, rdo := range []bool{false, true} {
			last, calls, whole := int64(0), 0, int64(0)
			o := &lossy.Options{RDO: rdo, Budget: name != "quantize", Progress: func(done, total int64) {
				if done < last || done > total || whole != 0 && total != whole {
					t.Errorf("%s: %d of %d after %d of %d", name, done, total, last, whole)
				}
				last, whole = done, total
				calls++
			}}
			q, err := lossy.New(ctx, network(tensor.F32), o)
			if err != nil {
				t.Fatal(err)
			}
			if last == 0 || last == whole {
				t.Errorf("%s: %d of %d after reading", name, last, whole)
			}
			if err := run(q); err != nil {
				t.Fatal(err)
			}
			if last != whole || calls < 2 {
				t.Errorf("%s, RDO %v: ends at %d of %d, after %d calls", name, rdo, last, whole, calls)
			}
		}
	}
}

// A context that ends is noticed at once, wherever the work is, and its cause
// comes back.
func TestInterrupted(t *testing.T) {
	stop := errors.New("stop")
	for _, after := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond} {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(after, func() { cancel(stop) })
		var err error
		for err == nil { // until it ends
			var q *lossy.Quantizer
			if q, err = lossy.New(ctx, network(tensor.F32), &lossy.Options{RDO: true}); err == nil {
				_, err = q.Within(ctx, 2000, &rope.Options{Effort: rope.Max})
			}
		}
		if !errors.Is(err, stop) {
			t.Errorf("after %v: %v", after, err)
		}
	}
}
