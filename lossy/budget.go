package lossy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"ropewalk/quant"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// A BudgetError reports that a size cannot be reached.
type BudgetError = quant.BudgetError

// The lambdas between which a budget is searched: from a step far below any
// use to one that leaves almost only zeros.
const (
	lambdaMin = 1e-9
	lambdaMax = 30
)

// A BitsError reports that so few bits per weight cannot be reached. It wraps a
// [BudgetError].
type BitsError struct {
	Bits, Least float64
	err         error
}

// Error implements error.
func (e *BitsError) Error() string {
	return fmt.Sprintf("%g bits per weight cannot be reached; the least is %.4g", e.Bits, e.Least+0.00005) // rounded up
}

func (e *BitsError) Unwrap() error { return e.err }

// fits is why tensors are kept where a budget asks for no loss.
const fits = "fits as it is"

// Within quantizes so that the packed file has at most target bytes, and as
// few less as it can: 0.5 % at most where lambda reaches that. It packs with opt
// to see how large the file becomes, about ten times. If it fits without any
// loss, nothing is quantized. If even the coarsest is too large, the error wraps
// a [BudgetError]. The progress of opt is not called:
// [Options.Progress] tells how far it is.
func (q *Quantizer) Within(ctx context.Context, target int64, opt *rope.Options) (*Result, error) {
	return q.reach(ctx, target, opt, func(r *Result, opt *rope.Options) (int64, error) {
		var n counter
		_, err := rope.Encode(ctx, &n, r.Layout, opt)
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
// average in the packed file, as [Result.Stored] counts. If they do without any
// loss, nothing is quantized.
func (q *Quantizer) WithBits(ctx context.Context, bits float64, opt *rope.Options) (*Result, error) {
	total := q.total()
	r, err := q.reach(ctx, int64(bits*float64(total)/8), opt, func(r *Result, opt *rope.Options) (int64, error) {
		var b bytes.Buffer
		if _, err := rope.Encode(ctx, &b, r.Layout, opt); err != nil {
			return 0, err
		}
		f, err := rope.Open("packed", tensor.Bytes(b.Bytes()), &rope.OpenOptions{Base: opt.Base})
		if err != nil {
			return 0, err
		}
		stored, _ := r.Stored(f.Arrays())
		return stored, nil
	})
	if b, ok := errors.AsType[*BudgetError](err); ok {
		return nil, &BitsError{Bits: bits, Least: 8 * float64(b.Smallest) / float64(total), err: err}
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

// A measure packs a result, and returns the size that is to be met.
type measure func(r *Result, opt *rope.Options) (int64, error)

// reach finds a result for a size: without loss, or by the method at hand.
func (q *Quantizer) reach(ctx context.Context, target int64, opt *rope.Options, size measure) (*Result, error) {
	method := q.plan.Options().Method
	lloyd := method == quant.Lloyd || method == quant.LloydGaussian
	if method == quant.Codebook {
		return nil, badOptions("the levels of a codebook do not depend on a budget; those of uniform and ecsq do")
	}
	r, err := q.asItIs(target, opt, size)
	switch {
	case err != nil || r != nil:
	case lloyd:
		r, err = q.searchLevels(ctx, target, opt, size)
	default:
		r, err = q.search(ctx, target, opt, size)
	}
	if err == nil {
		q.o.Progress(units, units)
	}
	return r, err
}

// asItIs returns the checkpoint without any loss if that fits, else nil. A quick
// look comes first: mostly it is much too large.
func (q *Quantizer) asItIs(target int64, opt *rope.Options, size measure) (*Result, error) {
	r := q.untouched()
	quick := withProgress(opt, func(int64, int64) {})
	full := *quick
	quick.Effort = rope.Fast
	n, err := size(r, quick)
	if err != nil || n-n/4 > target {
		return nil, err
	}
	if n, err = size(r, &full); err != nil || n > target {
		return nil, err
	}
	for _, i := range q.todo {
		r.Tensors[i].Kept = fits
	}
	return r, nil
}

// untouched returns the checkpoint as it is.
func (q *Quantizer) untouched() *Result {
	return &Result{Layout: q.layout, Tensors: slices.Clone(q.tensors), patches: make([]*patch, len(q.todo))}
}

// searchLevels finds the number of levels for a size. The bits of the ideal
// order-0 code, which decide it, are corrected by what the file took.
func (q *Quantizer) searchLevels(ctx context.Context, target int64, opt *rope.Options, size measure) (*Result, error) {
	const tries, near = 10, 0.97
	m := newMeter(q.o.Progress, q.readShare(), tries)
	o := q.o
	o.Progress = nil
	o.Quant.Bits = 8 * float64(target) / float64(q.total())
	var best *Result
	smallest, bestSize, last := int64(math.MaxInt64), int64(-1), int64(-1)
	for try := range tries {
		m.step(1)
		if try == tries-1 && best == nil {
			o.Quant.Bits = 1e-9 // two levels for each tensor: the least there is
		}
		part := m.part(0, 1)
		again, err := New(ctx, q.layout, &o)
		if err != nil {
			return nil, err
		}
		part(1, 3)
		r, err := again.Quantize(ctx, 0)
		if err != nil {
			return nil, err
		}
		part(2, 3)
		n, err := size(r, withProgress(opt, func(int64, int64) {}))
		if err != nil {
			return nil, err
		}
		smallest = min(smallest, n)
		if n <= target && n > bestSize {
			best, bestSize = r, n
		}
		if n <= target && (n == last || float64(n) > near*float64(target)) {
			break
		}
		change := 0.99 * float64(target) / float64(n)
		if n == last {
			change = min(change, 0.85) // the numbers of levels jump
		}
		last = n
		o.Quant.Bits *= change
	}
	if best == nil {
		return nil, &BudgetError{Target: target, Smallest: smallest}
	}
	return best, nil
}

// search finds the lambda for a size. It looks without RDO first, since that
// is much faster; what RDO then saves is searched again near by.
func (q *Quantizer) search(ctx context.Context, target int64, opt *rope.Options, size measure) (*Result, error) {
	var best *Result
	bestSize := int64(-1)
	above, aboveSize := q.untouched(), int64(math.MaxInt64)
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
			n, err := size(r, withProgress(opt, m.part(part, 1)))
			switch {
			case err != nil || rdo != q.o.RDO:
			case n <= target && n > bestSize:
				best, bestSize = r, n
			case n > target && n < aboveSize:
				above, aboveSize = r, n
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
	return q.fill(best, bestSize, above, target, func(r *Result) (int64, error) {
		m.step(coding)
		return size(r, withProgress(opt, m.part(0, 1)))
	})
}

// slack is how far below a target is near enough.
const slack = 0.005

// fill makes good for sizes that jump, as codebooks change their form, and for
// those beyond what 4096 levels need: it takes as many tensors from a result that
// is too large as fit. The largest come first, so that the rest is small.
func (q *Quantizer) fill(best *Result, bestSize int64, above *Result, target int64, size func(r *Result) (int64, error)) (*Result, error) {
	enough := target - int64(slack*float64(target))
	order := make([]int, len(q.todo)) // places in todo
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(q.tensors[q.todo[b]].Weights, q.tensors[q.todo[a]].Weights)
	})
	if bestSize >= enough {
		return best, nil
	}
	aboveSize, err := size(above)
	if err != nil {
		return nil, err
	}
	each := float64(aboveSize-bestSize) / float64(q.total()) // what a weight costs more
	const rounds = 6
	for round := 0; round < rounds && bestSize < enough; round++ {
		order = slices.DeleteFunc(order, func(k int) bool {
			return each*float64(q.tensors[q.todo[k]].Weights) > 1.2*float64(target-bestSize)
		})
		from := best
		lo, hi := 0, len(order)+1 // so many fit, and so many do not, or there are not
		for hi-lo > 1 && bestSize < enough {
			mid := (lo + hi) / 2
			r := q.mixed(from, above, order[:mid])
			n, err := size(r)
			if err != nil {
				return nil, err
			}
			if n > target {
				hi = mid
				continue
			}
			lo = mid
			if n > bestSize {
				best, bestSize = r, n
			}
		}
		order = order[min(lo+1, len(order)):] // without the one that does not fit
	}
	return best, nil
}

// mixed returns a result with some tensors of another, by their places in todo.
func (q *Quantizer) mixed(r, other *Result, places []int) *Result {
	m := &Result{Lambda: r.Lambda, Tensors: slices.Clone(r.Tensors), patches: slices.Clone(r.patches)}
	for _, k := range places {
		i := q.todo[k]
		m.patches[k], m.Tensors[i] = other.patches[k], other.Tensors[i]
	}
	m.Layout = patched(q.layout, q.todo, m.patches)
	return m
}

// A counter counts what is written to it.
type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// SNR returns the signal-to-noise ratio in decibels: +Inf if there is no noise.
func SNR(nmse float64) float64 { return -10*math.Log10(nmse) + 0 } // 0, not -0
