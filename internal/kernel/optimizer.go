package kernel

import "math"

// An Update is a step of an optimizer with its constants.
type Update struct {
	op op
	k  [12]float32
}

// Do updates the weights w from the gradient g. first and second are what the
// optimizer remembers: the velocity, or both moments; nil what it does not. The length
// of w counts.
func (u Update) Do(p *Pool, w, g, first, second []float32) {
	if u.op == opCombine {
		p.elements(u.op, w, w, operand(g), nil, u.k[:]...)
		return
	}
	p.elements(u.op, w, g, first, second, u.k[:]...)
}

// Update is [Update.Do] on the goroutine that calls it.
func (s *Strip) Update(u *Update, w, g, first, second []float32) {
	need("the gradient", g, len(w))
	a, b, c := g, first, second
	if u.op == opCombine {
		a, b, c = w, g, nil
	}
	if b != nil {
		need("what is remembered", b, len(w))
	}
	if c != nil {
		need("the second moment", c, len(w))
	}
	f := current.ops[u.op]
	s.v.k = u.k
	for lo := 0; lo < len(w); lo += chunk {
		s.v.n = min(chunk, len(w)-lo)
		s.v.dst, s.v.a, s.v.b, s.v.c = w[lo:], a[lo:], from(b, lo), from(c, lo)
		f(&s.v)
	}
	s.v = vecArgs{}
}

// Descent is plain stochastic gradient descent: w = (1 − rate·decay)·w − rate·g.
func Descent(rate, decay float64) Update {
	return Update{op: opCombine, k: [12]float32{float32(1 - rate*decay), float32(-rate)}}
}

// SGD are the constants of a step of stochastic gradient descent with momentum, in
// the form of Sutskever et al. 2013 that PyTorch has:
//
//	v = Momentum·v + g + Decay·w
//	w −= Rate·v, or with Nesterov: w −= Rate·(g + Decay·w + Momentum·v)
type SGD struct {
	Rate, Momentum, Decay float32
	Nesterov              bool
}

// At returns the step.
func (s SGD) At() Update {
	u := Update{op: opSGD, k: [12]float32{s.Momentum, s.Decay, s.Rate}}
	if s.Nesterov {
		u.op = opNesterov
	}
	return u
}

// Step updates the weights w and the velocity v, from the gradient g. The length
// of w counts.
func (s SGD) Step(p *Pool, w, g, v []float32) { s.At().Do(p, w, g, operand(v), nil) }

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

// At returns step t, the first of which is 1.
func (a Adam) At(t int) Update {
	decay, keep := a.Decay, 1.0
	if a.Decoupled {
		decay, keep = 0, 1-a.Rate*a.Decay
	}
	rate := a.Rate / (1 - math.Pow(a.Beta1, float64(t)))
	scale := 1 / math.Sqrt(1-math.Pow(a.Beta2, float64(t)))
	return Update{op: opAdam, k: [12]float32{
		float32(a.Beta1), float32(1 - a.Beta1), float32(a.Beta2), float32(1 - a.Beta2),
		float32(decay), float32(rate), float32(scale), float32(a.Epsilon), float32(keep),
	}}
}

// Step updates the weights w and the moments m and v, from the gradient g. t is
// the number of the step, and begins at 1.
func (a Adam) Step(p *Pool, t int, w, g, m, v []float32) {
	a.At(t).Do(p, w, g, operand(m), operand(v))
}
