package lossy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"

	"ropewalk/quant"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// A BudgetError reports that a size cannot be reached.
type BudgetError = quant.BudgetError

// The lambdas between which a budget is searched: from a step far below any
// use to one that leaves almost only zeros.
const (
	lambdaMin = 1e-7
	lambdaMax = 30
)

// Within quantizes so that the packed file has at most target bytes, and as
// few less as it can: 0.5 % at most where lambda reaches that. It packs with opt
// to see how large the file becomes, about ten times. If even the coarsest
// is too large, the error wraps a [BudgetError]. The progress of opt is not called:
// [Options.Progress] tells how far it is.
func (q *Quantizer) Within(ctx context.Context, target int64, opt *rope.Options) (*Result, error) {
	return q.search(ctx, target, func(r *Result, progress func(done, total int64)) (int64, error) {
		var n counter
		_, err := rope.Encode(ctx, &n, r.Layout, withProgress(opt, progress))
		return int64(n), err
	})
}

func withProgress(opt *rope.Options, progress func(done, total int64)) *rope.Options {
	var o rope.Options
	if opt != nil {
		o = *opt
	}
	o.Progress = progress
	return &o
}

// WithBits quantizes so that the weights take at most that many bits on
// average in the packed file, as [Result.Stored] counts.
func (q *Quantizer) WithBits(ctx context.Context, bits float64, opt *rope.Options) (*Result, error) {
	total := q.total()
	r, err := q.search(ctx, int64(bits*float64(total)/8), func(r *Result, progress func(done, total int64)) (int64, error) {
		var b bytes.Buffer
		if _, err := rope.Encode(ctx, &b, r.Layout, withProgress(opt, progress)); err != nil {
			return 0, err
		}
		var o rope.OpenOptions
		if opt != nil && opt.Base != nil {
			o.Base = opt.Base
		}
		f, err := rope.Open("packed", tensor.Bytes(b.Bytes()), &o)
		if err != nil {
			return 0, err
		}
		stored, _ := r.Stored(f.Arrays())
		return stored, nil
	})
	if b, ok := errors.AsType[*BudgetError](err); ok {
		return nil, fmt.Errorf("%g bits per weight cannot be reached, %.3g can: %w", bits, 8*float64(b.Smallest)/float64(total), err)
	}
	return r, err
}

// Stored returns the bytes that the quantized weights take in a packed file,
// codebooks included, and how many weights that are. infos are [rope.File.Arrays]. Arrays that are the same
// as another count once.
func (r *Result) Stored(infos []rope.ArrayInfo) (bytes, weights int64) {
	for _, t := range r.Tensors {
		if t.Kept == "" {
			bytes += infos[t.Array].Stored
			weights += t.Weights
		}
	}
	return bytes, weights
}

// search finds the lambda for a size. It looks without RDO first, since that
// is much faster; what RDO then saves is searched again near by.
func (q *Quantizer) search(ctx context.Context, target int64, size func(r *Result, progress func(done, total int64)) (int64, error)) (*Result, error) {
	switch q.plan.Options().Method {
	case quant.Uniform, quant.ECSQ:
	default:
		return nil, fmt.Errorf("%w: the levels of quantizer %s do not depend on a budget; uniform and ecsq do", ErrOptions, q.plan.Options().Method)
	}
	var best *Result
	bestSize := int64(-1)
	quantizing, coding := float64(costPlain), float64(costFast)
	expected := triesPlain * (quantizing + coding)
	if q.o.RDO {
		coding = costMax
		expected = triesPlain*(quantizing+coding) + triesRDO*(costRDO+coding)
	}
	m := newMeter(q.o.Progress, q.readShare(), expected)
	try := func(rdo bool) func(lambda float64) (int64, error) {
		return func(lambda float64) (int64, error) {
			cost := quantizing
			if rdo {
				cost = costRDO
			}
			m.step(cost + coding)
			part := cost / (cost + coding)
			r, err := q.quantize(ctx, lambda, rdo, m.part(0, part))
			if err != nil {
				return 0, err
			}
			n, err := size(r, m.part(part, 1))
			if err == nil && rdo == q.o.RDO && n <= target && n > bestSize {
				best, bestSize = r, n
			}
			return n, err
		}
	}
	lo, hi := lambdaMin, float64(lambdaMax)
	if q.o.RDO {
		plain, _, err := quant.Search(lo, hi, try(false), target)
		if err == nil {
			// RDO saves a tenth or so: what fits is at a smaller lambda.
			lo, hi = plain/4, plain*1.05
		} else if _, ok := errors.AsType[*BudgetError](err); !ok {
			return nil, err
		}
	}
	_, _, err := quant.Search(lo, hi, try(q.o.RDO), target)
	if _, ok := errors.AsType[*BudgetError](err); ok && hi < lambdaMax {
		_, _, err = quant.Search(hi, lambdaMax, try(q.o.RDO), target)
	}
	if err != nil {
		return nil, err
	}
	if best == nil {
		return nil, fmt.Errorf("lossy: internal error: no result for %d bytes", target)
	}
	m.show(1)
	return best, nil
}

// A counter counts what is written to it.
type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// SNR returns the signal-to-noise ratio in decibels.
func SNR(nmse float64) float64 { return -10 * math.Log10(nmse) }
