package compact

import (
	"context"
	"fmt"
	"math"

	"ropewalk/engine"
	"ropewalk/entropy"
	"ropewalk/train"
)

// A CollapsedError reports a network that says nothing any more.
type CollapsedError struct {
	Why  string
	Knob string // what to turn, as the option is called
}

// Error implements error.
func (e *CollapsedError) Error() string { return "training collapsed: " + e.Why }

// Observe implements [train.Observer]: it measures the quantized network.
//
//	loss, top1      of the floats behind it, on the validation data
//	h1, hn          entropy of order 1 and Order, pooled, in bits per weight
//	nonzero         weights
//	estimated       bytes of the file in the end, from the symbols alone
//	bytes           of the file, if training ended here
//	lambda          what a bit costs
func (r *Recipe) Observe(ctx context.Context, w []engine.Weight, m train.Moment) (map[string]float64, error) {
	notes := map[string]float64{}
	if r.tools.Judge != nil {
		s, err := r.tools.Judge(ctx)
		if err != nil {
			return nil, err
		}
		notes["loss"] = s.Loss
		if s.Top1 != nil {
			notes["top1"] = *s.Top1
		}
	}
	values := valuesOf(w)
	var symbols [][]uint16
	if r.paper != nil {
		symbols = r.paper.Scans(values)
	} else {
		if r.phase == floats {
			return notes, nil
		}
		r.q.Forward(r.shown, values)
		nonzero := 0
		for i, l := range r.levels {
			if r.roles[i] != weight {
				continue
			}
			s := r.q.Symbols(i)
			symbols = append(symbols, s)
			n := 0
			for _, x := range s {
				n += one(int(x) != l.Zero())
			}
			if n == 0 {
				return nil, &CollapsedError{Why: fmt.Sprintf("all weights of %q are zero after epoch %d, at %.3g nats per bit", r.names[i], m.Epoch+1, r.lambda), Knob: "lambda"}
			}
			nonzero += n
		}
		notes["nonzero"] = float64(nonzero)
		notes["lambda"] = r.price()
	}
	notes["h1"] = entropy.Measure(1, symbols...).PerWeight()
	notes["hn"] = entropy.Measure(r.o.Order, symbols...).PerWeight()
	if r.tools.Size == nil {
		return notes, nil
	}
	n := r.network(values)
	size, err := r.tools.Size(n.ordered().Values())
	if err != nil {
		return nil, err
	}
	notes["bytes"] = float64(size)
	if r.paper == nil {
		// Before anything changes: after an interruption all of this is done again.
		if err := r.foresee(ctx, n, size, m); err != nil {
			return nil, err
		}
		e := r.estimate()
		r.calibrated *= float64(size) / e
		notes["estimated"] = math.Round(r.finished(e))
	}
	return notes, nil
}

// looksAhead is how often it is found out what will be done to a network in the end, as a
// part of the time in which zeros are frozen: it takes as long as several evaluations.
const looksAhead = 0.25

// foresee finds out what will be done to a network when training has ended.
func (r *Recipe) foresee(ctx context.Context, n *Network, size int64, m train.Moment) error {
	f := &r.finishing
	soon := f.Ratio > 0 && m.Progress()-f.At < looksAhead*(1-r.o.Freeze) && m.Epoch+1 < m.Epochs
	if r.tools.Finished == nil || r.phase != frozen || soon {
		return nil
	}
	end, err := r.tools.Finished(ctx, n)
	if err != nil {
		return err
	}
	f.Ratio, f.At = float64(end)/float64(size), m.Progress()
	return nil
}

// finished returns the bytes of the file in the end, if it had these bytes now.
func (r *Recipe) finished(size float64) float64 {
	if r.phase != frozen {
		return size
	}
	if r.finishing.Ratio > 0 {
		size *= r.finishing.Ratio
	}
	if r.o.Target > 0 { // what is too much is taken out
		size = min(size, float64(r.o.Target))
	}
	return size
}
