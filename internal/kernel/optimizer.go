package kernel

import "math"

// SGD are the constants of a step of stochastic gradient descent with momentum, in
// the form of Sutskever et al. 2013 that PyTorch has:
//
//	v = Momentum·v + g + Decay·w
//	w −= Rate·v, or with Nesterov: w −= Rate·(g + Decay·w + Momentum·v)
type SGD struct {
	Rate, Momentum, Decay float32
	Nesterov              bool
}

// Step updates the weights w and the velocity v, from the gradient g. The length
// of w counts.
func (s SGD) Step(p *Pool, w, g, v []float32) {
	o := opSGD
	if s.Nesterov {
		o = opNesterov
	}
	p.elements(o, w, g, operand(v), nil, s.Momentum, s.Decay, s.Rate)
}

// Adam are the constants of a step of Adam (Kingma and Ba 2015, algorithm 1) or, with
// Decoupled, of AdamW (Loshchilov and Hutter 2019, algorithm 2):
//
//	g += Decay·w (unless Decoupled)
//	m = Beta1·m + (1 − Beta1)·g
//	v = Beta2·v + (1 − Beta2)·g²
//	w = (1 − Rate·Decay)·w (if Decoupled)
//	w −= Rate·m̂/(√v̂ + Epsilon), m̂ = m/(1 − Beta1ᵗ), v̂ = v/(1 − Beta2ᵗ)
type Adam struct {
	Rate, Beta1, Beta2, Epsilon, Decay float64
	Decoupled                          bool
}

// Step updates the weights w and the moments m and v, from the gradient g. t is
// the number of the step, and begins at 1.
func (a Adam) Step(p *Pool, t int, w, g, m, v []float32) {
	decay, keep := a.Decay, 1.0
	if a.Decoupled {
		decay, keep = 0, 1-a.Rate*a.Decay
	}
	rate := a.Rate / (1 - math.Pow(a.Beta1, float64(t)))
	scale := 1 / math.Sqrt(1-math.Pow(a.Beta2, float64(t)))
	p.elements(opAdam, w, g, operand(m), operand(v),
		float32(a.Beta1), float32(1-a.Beta1), float32(a.Beta2), float32(1-a.Beta2),
		float32(decay), float32(rate), float32(scale), float32(a.Epsilon), float32(keep))
}
