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
//	estimated       bytes of the file, from the symbols alone
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
		for i := range values {
			if l := r.paper.Levels(i); l != nil {
				s := r.paper.Symbols(nil, i, values[i])
				symbols = append(symbols, s)
			}
		}
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
	size, err := r.tools.Size(r.network(values).ordered().Values())
	if err != nil {
		return nil, err
	}
	notes["bytes"] = float64(size)
	if r.paper == nil {
		e := r.estimate()
		notes["estimated"] = math.Round(e)
		r.calibrated *= float64(size) / e
	}
	return notes, nil
}
