package mark

import (
	"fmt"
	"math"

	"ropewalk/tensor"
)

// A Penalty is the regulariser of scheme uchida, to be added to the loss of a training:
// it is a term for train.On, with the name of the one marked tensor. With y = σ(X·w̄) and
// bits b it is
//
//	λ · -(1/T) Σ b[j]·log₂ y[j] + (1-b[j])·log₂(1-y[j])
//
// the mean in bits, as Find the Lady has it; or with PenaltyOptions.Sum the sum in nats,
// as Uchida and others' own program. It keeps scratch memory, so it is for one training
// at a time.
type Penalty struct {
	x                     []float32 // (bits, outer·inner)
	bits                  []bool
	outer, filters, inner int
	factor                float64 // of the sum in nats
	push                  []float64
}

// PenaltyOptions say how strong a [Penalty] is. Nil is the default.
type PenaltyOptions struct {
	Lambda float64 // 0 is 0.1 for the mean in bits, 0.01 for the sum in nats
	Sum    bool
}

// NewPenalty returns the penalty that writes the mark of p into a tensor of that shape.
func NewPenalty(shape tensor.Shape, key *Key, p *Parameters, o *PenaltyOptions) (*Penalty, error) {
	if o == nil {
		o = &PenaltyOptions{}
	}
	if p.Scheme != (uchida{}).Name() || len(p.Tensors) != 1 {
		return nil, fmt.Errorf("%w: a penalty is of scheme uchida in one tensor, and not of %s in %d", ErrOptions, p.Scheme, len(p.Tensors))
	}
	lambda := o.Lambda
	switch {
	case lambda == 0 && o.Sum:
		lambda = 0.01
	case lambda == 0:
		lambda = 0.1
	}
	if !(lambda > 0 && lambda <= math.MaxFloat32) {
		return nil, fmt.Errorf("%w: lambda is %g, want more than 0", ErrOptions, o.Lambda)
	}
	axis := p.Axes[p.Tensors[0]]
	if axis < 0 || axis >= len(shape) {
		return nil, fmt.Errorf("%w: %s of %s has no axis %d", ErrNetwork, p.Tensors[0], shape, axis)
	}
	if n, err := shape.Elems(); err != nil || n == 0 {
		return nil, fmt.Errorf("%w: %s is %s", ErrNetwork, p.Tensors[0], shape)
	}
	u := &Penalty{}
	u.outer, u.filters, u.inner = split(shape, axis)
	if most := u.outer * u.inner / 2; p.Bits > most {
		return nil, fmt.Errorf("%w: %d bits, and %d fit into %s", ErrCapacity, p.Bits, most, p.Tensors[0])
	}
	var err error
	if u.x, err = secretMatrix(key, p, u.outer*u.inner); err != nil {
		return nil, err
	}
	if u.bits, err = p.bitsOf(key); err != nil {
		return nil, err
	}
	u.factor = lambda
	if !o.Sum {
		u.factor /= float64(p.Bits) * math.Ln2
	}
	u.push = make([]float64, u.outer*u.inner)
	return u, nil
}

// Name is the word for history and reports.
func (u *Penalty) Name() string { return "uchida" }

// AddGrad returns the value and adds its derivatives: weights[0] and gradients[0] are the
// tensor's.
func (u *Penalty) AddGrad(weights, gradients [][]float32) float64 {
	w, g := weights[0], gradients[0]
	mean := meanKernel(w, u.outer, u.filters, u.inner)
	value := 0.0
	clear(u.push)
	m := len(mean)
	for j, y := range project(u.x, mean) {
		want := 0.0
		if u.bits[j] {
			want = 1
		}
		// -log σ(y) = softplus(-y), without overflow; its derivative is σ(y) - 1.
		value += math.Max(y, 0) - y*want + math.Log1p(math.Exp(-math.Abs(y)))
		d := 1/(1+math.Exp(-y)) - want
		for k, v := range u.x[j*m:][:m] {
			u.push[k] += d * float64(v)
		}
	}
	scale := u.factor / float64(u.filters)
	for o := range u.outer {
		push := u.push[o*u.inner:][:u.inner]
		for f := range u.filters {
			for k := range push {
				g[(o*u.filters+f)*u.inner+k] += float32(scale * push[k])
			}
		}
	}
	return u.factor * value
}
