package quant

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// A Plan quantizes a set of tensors with one lambda. It holds a summary of each
// tensor, of at most a few megabytes, not the weights. After the last Add its
// methods are safe for concurrent use, and their results do not depend on it.
type Plan struct {
	o    Options
	list []*summary

	// Sums over the tensors with sensitivities: weights, and sensitivity × weight².
	count, energy float64
}

// A summary is what a Plan knows of a tensor.
type summary struct {
	name     string
	shape    tensor.Shape
	n, row   int       // weights, and of one channel (n if there is one scale)
	scales   []float64 // root mean square of each channel; 1 if all are zero
	sm       *sample   // of weights / scale; sensitivities × scale² / weight; nil if constant
	has      bool      // sensitivities
	weight   float64   // what sensitivities of the sample are in units of
	constant bool
}

// NewPlan returns a plan without tensors. A nil o means the defaults. The error
// wraps ErrOptions.
func NewPlan(o *Options) (*Plan, error) {
	f, err := o.fill()
	if err != nil {
		return nil, err
	}
	f.Codebook = slices.Clone(f.Codebook)
	return &Plan{o: f}, nil
}

// Options returns the options, with defaults filled in.
func (p *Plan) Options() Options { return p.o }

// Len returns the number of tensors.
func (p *Plan) Len() int { return len(p.list) }

// Add adds a tensor with optional sensitivities, one for each weight. It keeps
// neither slice. If it fails, the error names the tensor and the plan is unchanged.
func (p *Plan) Add(name string, shape []int64, w, sens []float32) error {
	if err := checkTensor(name, shape, w, sens); err != nil {
		return err
	}
	t := &summary{name: name, shape: slices.Clone(shape), n: len(w), row: len(w)}
	if p.o.PerChannel && len(shape) >= 2 && len(w) > 0 {
		t.row = len(w) / int(shape[0])
	}
	t.constant = constant(w)
	if t.constant {
		p.list = append(p.list, t)
		return nil
	}
	if p.o.Levels == 1 {
		return impossible("tensor %q is not constant, it needs 2 levels at least", name)
	}
	x, xs, scale := t.normalize(w, sens)
	t.sm = newSample(x, xs, scale)
	if err := p.checkStep(t); err != nil {
		return err
	}
	if sens != nil {
		energy := float64(t.sm.total().sq * t.weight)
		if t.has = energy > 0; t.has {
			p.count += float64(t.n)
			p.energy += energy
		} else { // sensitive to nothing: all levels are as good
			t.sm = newSample(x, nil, scale)
		}
	}
	p.list = append(p.list, t)
	return nil
}

// checkStep refuses a step with which the levels would end long before the
// weights do, unless the user limited the levels.
func (p *Plan) checkStep(t *summary) error {
	rounding := cmp.Or(p.o.Rounding, 0.5)
	if p.o.Step == 0 || p.o.Levels < MaxLevels || inUse(t.sm, p.o.Step, rounding) <= MaxLevels {
		return nil
	}
	lo, hi := p.o.Step, max(t.sm.max(), -t.sm.min())
	for range 40 {
		mid := math.Sqrt(lo * hi)
		if inUse(t.sm, mid, rounding) <= MaxLevels {
			hi = mid
		} else {
			lo = mid
		}
	}
	return impossible("tensor %q: a step of %g asks for more than %d levels; %.3g does not", t.name, p.o.Step, MaxLevels, hi*1.005) // rounded up
}

// normalize sets the scales and returns what to make a sample of: with one
// scale the weights and what they are to be divided by, else the quotients.
// Sensitivities become those of quotients, in units of the largest.
func (t *summary) normalize(w, sens []float32) (x, s []float32, scale float64) {
	rows := t.n / t.row
	t.scales = make([]float64, rows)
	for r := range rows {
		sum := 0.0
		for _, v := range w[r*t.row : (r+1)*t.row] {
			sum += float64(float64(v) * float64(v))
		}
		t.scales[r] = math.Sqrt(sum / float64(t.row))
		if sum == 0 {
			t.scales[r] = 1
		}
	}
	x, scale = w, t.scales[0]
	if rows > 1 {
		x, scale = make([]float32, t.n), 1
		for i := range x {
			x[i] = float32(float64(w[i]) / t.scales[i/t.row])
		}
	}
	if sens == nil {
		return x, nil, scale
	}
	of := func(i int) float64 {
		c := t.scales[i/t.row]
		return float64(float64(sens[i])*c) * c
	}
	for i := range sens {
		t.weight = max(t.weight, of(i))
	}
	s = make([]float32, t.n)
	if t.weight > 0 {
		for i := range s {
			s[i] = float32(of(i) / t.weight)
		}
	}
	return x, s, scale
}

// lambda returns lambda in the units of a tensor's sample.
func (p *Plan) lambda(t *summary, lambda float64) float64 {
	if !t.has {
		return lambda
	}
	return float64(lambda*p.energy) / float64(p.count*t.weight)
}

// An Estimate is what a plan would cost, without its codebooks.
type Estimate struct {
	Weights    int64
	Bits       float64 // by the ideal order-0 code of each tensor
	Distortion float64 // in the unit of the package comment, summed
}

// Estimate returns what quantizing with lambda would cost. For Lloyd and
// Codebook lambda makes no difference.
func (p *Plan) Estimate(lambda float64) Estimate {
	var e Estimate
	var scratch []cell
	for _, t := range p.list {
		e.Weights += int64(t.n)
		if t.constant {
			continue
		}
		at := evaluate(t.sm, p.choose(t, p.lambda(t, lambda)), &scratch)
		e.Bits += at.bits
		if t.has {
			at.d = float64(float64(at.d*t.weight)*p.count) / p.energy
		}
		e.Distortion += at.d
	}
	return e
}

// choose returns the quantizer of a tensor in units of its sample.
func (p *Plan) choose(t *summary, lambda float64) *scalar {
	sm, o := t.sm, &p.o
	switch o.Method {
	case Lloyd:
		return p.lloydOf(t, func(k int) *scalar { return lloyd(sm, k) })
	case LloydGaussian:
		return p.lloydOf(t, func(k int) *scalar { return lloydGaussian(sm, k) })
	case ECSQ:
		return chooseECSQ(sm, o, lambda)
	case Codebook:
		levels := make([]float64, len(o.Codebook))
		for i, l := range o.Codebook {
			levels[i] = float64(l) / t.scales[0]
		}
		return nearest(levels)
	}
	return chooseUniform(sm, o, lambda)
}

// lloydOf returns the quantizer of the wanted number of levels or, if that is
// given by bits, with the most levels whose order-0 code takes at most as many.
func (p *Plan) lloydOf(t *summary, of func(k int) *scalar) *scalar {
	if p.o.Bits == 0 {
		return of(p.o.Levels)
	}
	best := of(2)
	var scratch []cell
	lo, hi := 2, p.o.Levels+1
	if lo >= hi {
		return best
	}
	for hi-lo > 1 {
		k := (lo + hi) / 2
		if lo*4 < hi {
			k = lo * 2 // large codebooks are slow to make
		}
		q := of(k)
		scratch = t.sm.cells(scratch, q.thresholds)
		if order0(scratch) <= float64(p.o.Bits*float64(t.n)) {
			lo, best = k, q
		} else {
			hi = k
		}
	}
	return best
}

// Lambda returns the lambda that the options ask for: itself, the one that
// belongs to the step, or the one that meets the bits within 0.1 % (never
// above them, by the estimate). It is 0, only distortion counts, if the options
// name no such thing.
func (p *Plan) Lambda() (float64, error) {
	o := &p.o
	switch {
	case o.Lambda > 0:
		return o.Lambda, nil
	case o.Step > 0:
		return float64(stepLambda*o.Step) * o.Step, nil
	case o.Bits == 0 || o.Method == Lloyd || o.Method == LloydGaussian:
		return 0, nil
	}
	total := 0.0
	for _, t := range p.list {
		total += float64(t.n)
	}
	// One byte in the units of Search is 2^-10 bits, so that it can be exact.
	target := float64(o.Bits * total)
	lambda, _, err := search(lambdaMin, lambdaMax, func(l float64) (int64, error) {
		return int64(math.Ceil(p.Estimate(l).Bits * 1024)), nil
	}, int64(min(target*1024, 1<<62)), 0.001)
	if budget, ok := errors.AsType[*BudgetError](err); ok {
		return 0, impossible("%g bits per weight cannot be reached, %.4g can", o.Bits, float64(budget.Smallest)/1024/total)
	}
	return lambda, err
}

// Quantize quantizes tensor i, whose weights and sensitivities are those that
// it was added with. For Lambda 0 only distortion counts.
func (p *Plan) Quantize(i int, w, sens []float32, lambda float64) (*Quantized, error) {
	t := p.list[i]
	if len(w) != t.n || sens != nil && len(sens) != t.n {
		panic(fmt.Sprintf("quant: tensor %q was added with %d weights, now has %d and %d sensitivities", t.name, t.n, len(w), len(sens)))
	}
	if !(lambda >= 0) || math.IsInf(lambda, 1) {
		return nil, impossible("tensor %q: lambda is %g", t.name, lambda)
	}
	if t.constant {
		return t.quantizeConstant(w), nil
	}
	if !t.has {
		sens = nil
	}
	return p.quantize(t, w, sens, lambda), nil
}

// Quantize quantizes one tensor by itself. sens may be nil; o may be nil.
// Errors name the tensor; those about options wrap ErrOptions.
func Quantize(name string, shape []int64, w, sens []float32, o *Options) (*Quantized, error) {
	p, err := NewPlan(o)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", name, err)
	}
	if err := p.Add(name, shape, w, sens); err != nil {
		return nil, err
	}
	lambda, err := p.Lambda()
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", name, err)
	}
	return p.Quantize(0, w, sens, lambda)
}

func checkTensor(name string, shape tensor.Shape, w, sens []float32) error {
	n, err := shape.Elems()
	if err != nil {
		return fmt.Errorf("tensor %q: %w", name, err)
	}
	if n != int64(len(w)) {
		return fmt.Errorf("tensor %q: shape %s has %d weights, there are %d", name, shape, n, len(w))
	}
	for i, v := range w {
		if !finite(v) {
			return fmt.Errorf("tensor %q: weight %d is %g; only finite numbers can be quantized", name, i, v)
		}
	}
	if sens == nil {
		return nil
	}
	if len(sens) != len(w) {
		return fmt.Errorf("tensor %q: has %d weights, but %d sensitivities", name, len(w), len(sens))
	}
	for i, s := range sens {
		if !finite(s) || s < 0 {
			return fmt.Errorf("tensor %q: sensitivity %d is %g, want a finite number that is not negative", name, i, s)
		}
	}
	return nil
}

func constant(w []float32) bool {
	for _, v := range w {
		if v != w[0] {
			return false
		}
	}
	return true
}
