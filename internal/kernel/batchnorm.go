package kernel

import "math"

// A BatchNorm normalizes each channel:
//
//	y = clamp(Gamma·(x − mean)/√(variance + Epsilon) + Beta)
//
// (Ioffe and Szegedy 2015, algorithm 1). The variance is that of the batch, divided
// by its size and not by one less. All slices have one element for each channel.
type BatchNorm struct {
	Planes
	Gamma, Beta []float32 // nil for 1 and 0
	Epsilon     float32
	// Mean and Variance are what Forward finds in x, and what Backward then
	// needs; if Frozen is set they are given, and constants for Backward.
	Mean, Variance []float32
	Frozen         bool
	Clamp          Clamp
}

// A normJob goes over channels.
type normJob struct {
	BatchNorm
	backward            bool
	y, x, dy, dx        []float32
	gradGamma, gradBeta []float32
	accumulate          bool
}

func (b *BatchNorm) check() {
	b.Planes.check()
	need("Mean", b.Mean, b.Channels)
	need("Variance", b.Variance, b.Channels)
	if b.Gamma != nil {
		need("Gamma", b.Gamma, b.Channels)
	}
	if b.Beta != nil {
		need("Beta", b.Beta, b.Channels)
	}
}

// Forward computes y from x. y may be x.
func (b *BatchNorm) Forward(p *Pool, y, x []float32) {
	b.check()
	need("x", x, b.elements())
	need("y", y, b.elements())
	p.norm(normJob{BatchNorm: *b, y: y, x: x})
}

// Backward computes the gradients dx, gradGamma and gradBeta (nil for those that
// are not needed) from dy. y is the result of Forward, and needed only with a
// Clamp. dx may be dy. With accumulate, gradGamma and gradBeta are added to.
func (b *BatchNorm) Backward(p *Pool, dx, gradGamma, gradBeta, x, y, dy []float32, accumulate bool) {
	b.check()
	need("x", x, b.elements())
	need("dy", dy, b.elements())
	if b.Clamp.On {
		need("y", y, b.elements())
	}
	if dx != nil {
		need("dx", dx, b.elements())
	}
	if gradGamma != nil {
		need("gradGamma", gradGamma, b.Channels)
	}
	if gradBeta != nil {
		need("gradBeta", gradBeta, b.Channels)
	}
	p.norm(normJob{
		BatchNorm: *b, backward: true, y: y, x: x, dy: dy, dx: dx,
		gradGamma: gradGamma, gradBeta: gradBeta, accumulate: accumulate,
	})
}

func (p *Pool) norm(j normJob) {
	if j.elements() == 0 {
		return
	}
	p.jobs.norm = j
	if j.elements() <= serial {
		for c := range j.Channels {
			p.jobs.norm.do(p, 0, c)
		}
	} else {
		p.run(j.Channels, &p.jobs.norm)
	}
	p.jobs.norm = normJob{}
}

// short is the size below which planes are gathered before an op sees them.
const short = 32

// A channel is the part of an array that belongs to one channel: equal pieces,
// step apart.
type channel struct {
	count, size, step int
}

// do does channel c.
func (j *normJob) do(p *Pool, worker, c int) {
	v := p.vecArgs(worker)
	ch := channel{j.Batch, j.Size, j.Channels * j.Size}
	x, y, dy, dx := from(j.x, c*j.Size), from(j.y, c*j.Size), from(j.dy, c*j.Size), from(j.dx, c*j.Size)
	gathered := j.Size < short && j.Batch > 1
	if gathered {
		n := j.Batch * j.Size
		tmp := p.local(worker, 3*n)
		x = ch.gather(tmp[:n], x)
		if j.backward {
			dy = ch.gather(tmp[n:2*n], dy)
			if j.Clamp.On {
				y = ch.gather(tmp[2*n:], y)
			}
		} else {
			y = x
		}
		// The result takes the place of an operand until it is scattered.
		if dx != nil {
			dx = dy
		}
		ch = channel{1, n, n}
	}
	if j.backward {
		j.backwardChannel(v, c, ch, dx, x, y, dy)
	} else {
		j.forwardChannel(v, c, ch, y, x)
	}
	if gathered {
		whole := channel{j.Batch, j.Size, j.Channels * j.Size}
		switch {
		case !j.backward:
			whole.scatter(j.y[c*j.Size:], y)
		case dx != nil:
			whole.scatter(j.dx[c*j.Size:], dx)
		}
	}
}

func (ch channel) gather(dst, src []float32) []float32 {
	for i := range ch.count {
		copy(dst[i*ch.size:][:ch.size], src[i*ch.step:])
	}
	return dst
}

func (ch channel) scatter(dst, src []float32) {
	for i := range ch.count {
		copy(dst[i*ch.step:][:ch.size], src[i*ch.size:])
	}
}

// sum runs an op with results over all pieces.
func (ch channel) sum(v *vecArgs, o op, a, b, c []float32) (r0, r1 float64) {
	f := current.ops[o]
	for i := range ch.count {
		for lo := 0; lo < ch.size; lo += chunk {
			at := i*ch.step + lo
			v.n, v.a, v.b, v.c = min(chunk, ch.size-lo), a[at:], from(b, at), from(c, at)
			v.r = [2]float32{}
			f(v)
			r0 += float64(v.r[0])
			r1 += float64(v.r[1])
		}
	}
	v.a, v.b, v.c = nil, nil, nil
	return r0, r1
}

func (ch channel) each(v *vecArgs, o op, dst, a, b, c []float32) {
	for i := range ch.count {
		at := i * ch.step
		plane(v, o, dst[at:], a[at:], from(b, at), from(c, at), ch.size)
	}
}

func (j *normJob) invStd(c int) float64 {
	return 1 / math.Sqrt(float64(j.Variance[c])+float64(j.Epsilon))
}

func (j *normJob) gamma(c int) float64 {
	if j.Gamma == nil {
		return 1
	}
	return float64(j.Gamma[c])
}

func (j *normJob) forwardChannel(v *vecArgs, c int, ch channel, y, x []float32) {
	if !j.Frozen {
		n := float64(ch.count * ch.size)
		sum, _ := ch.sum(v, opSum, x, nil, nil)
		j.Mean[c] = float32(sum / n)
		v.k[0] = j.Mean[c]
		squares, _ := ch.sum(v, opSumSquares, x, nil, nil)
		j.Variance[c] = float32(squares / n)
	}
	scale := j.gamma(c) * j.invStd(c)
	shift := -float64(j.Mean[c]) * scale
	if j.Beta != nil {
		shift += float64(j.Beta[c])
	}
	v.k[0], v.k[1] = float32(scale), float32(shift)
	v.k[2], v.k[3] = j.Clamp.bounds()
	ch.each(v, opAffine, y, x, nil, nil)
}

// backwardChannel: with h = (x − mean)·invStd and n elements,
//
//	dβ = Σ dy, dγ = Σ dy·h, dx = γ·invStd·(dy − dβ/n − h·dγ/n)
func (j *normJob) backwardChannel(v *vecArgs, c int, ch channel, dx, x, y, dy []float32) {
	sums, grad := opNormGradSums, opNormGrad
	if j.Clamp.On {
		sums, grad = opNormGradSumsClamp, opNormGradClamp
		v.k[3], v.k[4] = j.Clamp.bounds()
	} else {
		y = nil
	}
	mean, invStd := float64(j.Mean[c]), j.invStd(c)
	v.k[0] = j.Mean[c]
	beta, gamma := ch.sum(v, sums, x, dy, y)
	gamma *= invStd
	if dx != nil {
		n := float64(ch.count * ch.size)
		scale := j.gamma(c) * invStd
		slope, shift := -scale*gamma*invStd/n, -scale*beta/n
		if j.Frozen {
			slope, shift = 0, 0
		}
		v.k[0], v.k[1], v.k[2] = float32(scale), float32(slope), float32(shift-slope*mean)
		ch.each(v, grad, dx, x, dy, y)
	}
	store := func(dst []float32, value float64) {
		if dst == nil {
			return
		}
		if j.accumulate {
			value += float64(dst[c])
		}
		dst[c] = float32(value)
	}
	store(j.gradGamma, gamma)
	store(j.gradBeta, beta)
}
