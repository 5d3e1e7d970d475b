package compact

import (
	"fmt"
	"math"

	"ropewalk/entropy"
)

// How lambda is steered towards a target.
const (
	gain      = 50   // of lambda's logarithm by that of the error, in all of the way to Freeze
	mostError = 0.7  // of that logarithm that counts
	mostGain  = 0.5  // at one look
	lag       = 150  // steps ahead that the trend is followed
	mostLag   = 0.12 // of the way to Freeze, at most
	looks     = 400  // on the way to Freeze, if there are so many steps
	pathEnd   = 0.92 // of the way to Freeze the estimate is to be at the target
	pathBegin = 0.15 // of it, before which lambda is left alone
	mostTimes = 1000 // times what lambda began with, up or down
)

// estimate returns the bytes of the file, about: the row x column code of each
// tensor, times what real files have been of that.
func (r *Recipe) estimate() float64 {
	bits := 0.0
	for i, l := range r.levels {
		if l == nil {
			continue
		}
		model := entropy.RowColumn
		if r.roles[i] == bias {
			model = entropy.PerTensor
		}
		b, err := entropy.Estimate(r.tensors[i], l.Values(), r.q.Symbols(i), &entropy.RateOptions{Model: model})
		if err != nil {
			panic("compact: internal error: " + err.Error()) // symbols are those of these levels
		}
		bits += b
	}
	return r.calibrated * bits / 8
}

// steer moves lambda, so that the estimate goes down to the target in a straight
// line of logarithms.
func (r *Recipe) steer() {
	steps := float64(r.at.Steps) * (r.o.Freeze - r.o.Start)
	pause := min(max(int(steps/looks), 1), every)
	if r.calls%pause != 0 {
		return
	}
	way := (r.at.Progress() - r.o.Start) / (r.o.Freeze - r.o.Start)
	if way < pathBegin {
		return
	}
	e := math.Log(r.estimate() / float64(r.o.Target))
	if r.last == nil {
		r.last = []float64{way, e, e}
	}
	// Weights take steps to follow the price, so what counts is where they will be.
	trend := (e - r.last[2]) / float64(pause)
	r.last[2] = e
	e += trend * min(lag, steps*mostLag)
	want := 0.0
	if way < pathEnd && r.last[0] < pathEnd {
		want = r.last[1] * (pathEnd - way) / (pathEnd - r.last[0])
	}
	lambda := r.lambda * math.Exp(min(gain*float64(pause)/steps, mostGain)*min(max(e-want, -mostError), mostError))
	// Weights that do not follow the price do not do so at a higher one: all others would
	// be zero first. The way that is left is for fit.
	r.lambda = min(max(lambda, r.o.Lambda/mostTimes), mostTimes*r.o.Lambda)
}

// fit chooses which weights are zero so that the file has the size of the target:
// those below a part of their first level, the same for all tensors. It holds them.
func (r *Recipe) fit(values [][]float32) error {
	support := make([][]bool, len(values))
	try := func(zone float64) (int64, error) {
		for i, l := range r.levels {
			if l == nil || r.roles[i] != weight {
				continue
			}
			v := l.Values()
			least := float32(zone * v[l.Zero()+1])
			if support[i] == nil {
				support[i] = make([]bool, len(values[i]))
			}
			for j, x := range values[i] {
				support[i][j] = max(x, -x) > least
			}
		}
		r.drop(support)
		for i := range support {
			if support[i] != nil {
				r.q.Hold(i, support[i])
			}
		}
		r.q.Forward(r.shown, values)
		return r.tools.Size(r.network(values).ordered().Values())
	}
	least, err := try(far)
	if err != nil {
		return err
	}
	if least > r.o.Target {
		return &BudgetError{Target: r.o.Target, Smallest: least}
	}
	size, err := bisect(try, r.o.Target)
	if err != nil {
		return err
	}
	// The file at the end has its units in a better order.
	_, sorted, err := r.network(values).Sorted()
	if err != nil {
		return err
	}
	_, err = bisect(try, r.o.Target*size/sorted)
	return err
}

// bisect finds the smallest zone whose size is at most the target, about, tries it
// last, and returns the size.
func bisect(try func(zone float64) (int64, error), target int64) (int64, error) {
	lo, hi := 0.02, far
	for range 12 {
		mid := (lo + hi) / 2
		size, err := try(mid)
		if err != nil {
			return 0, err
		}
		if size > target {
			lo = mid
			continue
		}
		hi = mid
		if float64(size) > near*float64(target) {
			return size, nil
		}
	}
	return try(hi)
}

// near is how much of a target is good enough.
const near = 0.997

// A BudgetError reports that a file cannot be so small, whatever its weights.
type BudgetError struct{ Target, Smallest int64 }

// Error implements error.
func (e *BudgetError) Error() string {
	return fmt.Sprintf("a file of %d bytes is out of reach: without any weight it has %d", e.Target, e.Smallest)
}
