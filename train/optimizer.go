package train

import (
	"fmt"
	"math"

	"ropewalk/engine"
	"ropewalk/internal/kernel"
)

// The optimizers.
const (
	SGD   = "sgd"
	Adam  = "adam"
	AdamW = "adamw"
)

// An Optimizer says how gradients become updates, with the formulas of PyTorch.
// The zero value is SGD with a rate of 0.1.
type Optimizer struct {
	// Kind is SGD (also ""), Adam or AdamW.
	Kind string `json:"kind"`
	// Rate is the learning rate that the schedule starts from; 0 is 0.1 for SGD
	// and 0.001 for the others.
	Rate float64 `json:"rate"`
	// Momentum is that of SGD, 0 (none) to less than 1.
	Momentum float64 `json:"momentum,omitempty"`
	// Nesterov looks ahead by the momentum (SGD).
	Nesterov bool `json:"nesterov,omitempty"`
	// Beta1 and Beta2 are the decays of Adam's averages; 0 is 0.9 and 0.999.
	Beta1 float64 `json:"beta1,omitempty"`
	Beta2 float64 `json:"beta2,omitempty"`
	// Epsilon keeps Adam from dividing by zero; 0 is 1e-8.
	Epsilon float64 `json:"epsilon,omitempty"`
	// Decay is the weight decay: added to the gradient as Decay·w by SGD and
	// Adam; AdamW takes Rate·Decay·w off the weight itself.
	Decay float64 `json:"decay,omitempty"`
	// DecayKernels keeps weights of fewer than two axes (biases, norms) from
	// decaying.
	DecayKernels bool `json:"decay_kernels,omitempty"`
}

// settle fills in defaults and checks.
func (o Optimizer) settle() (Optimizer, error) {
	if o.Kind == "" {
		o.Kind = SGD
	}
	adam := o.Kind == Adam || o.Kind == AdamW
	set := func(p *float64, v float64) {
		if *p == 0 {
			*p = v
		}
	}
	if adam {
		set(&o.Rate, 0.001)
		set(&o.Beta1, 0.9)
		set(&o.Beta2, 0.999)
		set(&o.Epsilon, 1e-8)
	}
	set(&o.Rate, 0.1)
	part := func(v float64) bool { return v >= 0 && v < 1 }
	switch {
	case o.Kind != SGD && !adam:
		return o, fmt.Errorf("optimizer %q is not known; want sgd, adam or adamw", o.Kind)
	case !(o.Rate > 0 && o.Rate <= math.MaxFloat32):
		return o, fmt.Errorf("the learning rate is %g; want more than 0", o.Rate)
	case !part(o.Momentum) || !part(o.Beta1) || !part(o.Beta2):
		return o, fmt.Errorf("momentum is %g, beta1 %g, beta2 %g; want 0 to less than 1", o.Momentum, o.Beta1, o.Beta2)
	case adam && (o.Momentum != 0 || o.Nesterov):
		return o, fmt.Errorf("momentum and Nesterov belong to sgd; %s has beta1", o.Kind)
	case !adam && (o.Beta1 != 0 || o.Beta2 != 0 || o.Epsilon != 0):
		return o, fmt.Errorf("beta1, beta2 and epsilon belong to adam and adamw; sgd has a momentum")
	case o.Nesterov && o.Momentum == 0:
		return o, fmt.Errorf("a Nesterov step needs a momentum above 0")
	case !(o.Epsilon >= 0 && o.Epsilon <= 1):
		return o, fmt.Errorf("epsilon is %g; want 0 to 1", o.Epsilon)
	case !(o.Decay >= 0 && o.Decay <= math.MaxFloat32):
		return o, fmt.Errorf("the weight decay is %g; want 0 or more", o.Decay)
	}
	return o, nil
}

// averages are what an optimizer remembers of gradients: for each weight, one
// or two tensors of its shape.
type averages struct {
	Optimizer
	first  [][]float32 // momentum, or Adam's mean of gradients
	second [][]float32 // Adam's mean of squares
	count  uint64      // updates so far

	kernels []kernel.Update // scratch
	pieces  []updatePiece
	strips  []kernel.Strip // of workers
}

// newAverages returns the memory for the weights, all zero.
func newAverages(o Optimizer, w []engine.Weight) *averages {
	a := &averages{Optimizer: o}
	like := func() [][]float32 {
		list := make([][]float32, len(w))
		for i := range w {
			list[i] = make([]float32, len(w[i].Values))
		}
		return list
	}
	if o.Kind != SGD || o.Momentum > 0 {
		a.first = like()
	}
	if o.Kind != SGD {
		a.second = like()
	}
	return a
}

// update changes all weights by their gradients, which stay as they are but for what
// before does: it is called before elements are updated, and after afterwards; nil is
// nothing.
func (a *averages) update(p *kernel.Pool, w []engine.Weight, rate float64, before, after Pieces) {
	a.count++
	if before == nil && after == nil {
		for i := range w {
			first, second := a.memory(i, 0, len(w[i].Values))
			a.kernel(&w[i], rate).Do(p, w[i].Values, w[i].Gradient, first, second)
		}
		return
	}
	a.plan(w, rate)
	if a.strips == nil {
		a.strips = make([]kernel.Strip, p.Threads())
	}
	p.Run(len(a.pieces), func(worker, job int) {
		pc := &a.pieces[job]
		x, g := w[pc.weight].Values, w[pc.weight].Gradient
		for lo := pc.from; lo < pc.to; lo += nearby {
			hi := min(lo+nearby, pc.to)
			if before != nil {
				before(worker, pc.weight, lo, hi)
			}
			first, second := a.memory(pc.weight, lo, hi)
			a.strips[worker].Update(&a.kernels[pc.weight], x[lo:hi], g[lo:hi], first, second)
			if after != nil {
				after(worker, pc.weight, lo, hi)
			}
		}
	})
}

// nearby is how many weights are worked on at a time: with gradient, memory and what
// penalties have, they stay in the nearest cache.
const nearby = 1 << 11

// An updatePiece is a run of elements of a weight for one goroutine.
type updatePiece struct{ weight, from, to int }

// plan sets kernels, and the pieces if there are none.
func (a *averages) plan(w []engine.Weight, rate float64) {
	a.kernels = a.kernels[:0]
	for i := range w {
		a.kernels = append(a.kernels, a.kernel(&w[i], rate))
	}
	if a.pieces != nil {
		return
	}
	const grain = 1 << 14
	for i := range w {
		n := len(w[i].Values)
		for lo := 0; lo < n; lo += grain {
			a.pieces = append(a.pieces, updatePiece{weight: i, from: lo, to: min(lo+grain, n)})
		}
	}
}

// memory returns what is remembered of some elements, nil for nothing.
func (a *averages) memory(i, from, to int) (first, second []float32) {
	if a.first != nil {
		first = a.first[i][from:to]
	}
	if a.second != nil {
		second = a.second[i][from:to]
	}
	return first, second
}

// kernel returns the step for a weight.
func (a *averages) kernel(w *engine.Weight, rate float64) kernel.Update {
	decay := a.Decay
	if a.DecayKernels && len(w.Shape) < 2 {
		decay = 0
	}
	switch {
	case a.Kind != SGD:
		k := kernel.Adam{Rate: rate, Beta1: a.Beta1, Beta2: a.Beta2, Epsilon: a.Epsilon, Decay: decay, Decoupled: a.Kind == AdamW}
		return k.At(int(a.count))
	case a.Momentum > 0:
		// Without dampening the first velocity is the gradient itself: it begins at
		// zero.
		return kernel.SGD{Rate: float32(rate), Momentum: float32(a.Momentum), Decay: float32(decay), Nesterov: a.Nesterov}.At()
	}
	return kernel.Descent(rate, decay)
}
