package native

import "ropewalk/internal/kernel"

// A batchNorm is BatchNormalization, with what was fused to it: an addend and a
// clamp.
type batchNorm struct {
	fused
	pool     *kernel.Pool
	norm     kernel.BatchNorm
	momentum float32
	live     bool // statistics are those of the batch
	learns   bool // and move the running ones
	x        *operand
	gamma    *operand
	beta     *operand
	mean     *operand
	variance *operand
	addend   *operand // or nil
	out      *site
}

func makeBatchNorm(n *node) (operator, error) {
	// Outside of training the file has the word. What the caller of Compile freezes
	// are steps; a file that was exported in training mode gives the same outputs
	// here as elsewhere.
	live := n.integer("training_mode", 0) != 0
	if n.training {
		live = !n.frozen
	}
	o := &batchNorm{
		fused: n.fused, pool: n.pool, live: live, learns: live && n.training, out: n.out[0],
		x: n.in[0], gamma: n.in[1], beta: n.in[2], mean: n.in[3], variance: n.in[4],
		momentum: float32(n.number("momentum", 0.9)),
	}
	for k, s := range n.out {
		if k > 0 && s != nil {
			return nil, n.lacks("output %d; running statistics are weights, which Step updates", k)
		}
	}
	if n.mayWant(3) || n.mayWant(4) {
		return nil, n.lacks("the running mean and variance as trainable weights; they are statistics")
	}
	channels := int(o.x.shape[1])
	o.norm = kernel.BatchNorm{
		Planes:  kernel.Planes{Batch: int(o.x.shape[0]), Channels: channels, Size: product(o.x.shape[2:])},
		Epsilon: float32(n.number("epsilon", 1e-5)), Frozen: !o.live,
	}
	if o.live {
		o.norm.Mean, o.norm.Variance = make([]float32, channels), make([]float32, channels)
	}
	for _, i := range []int{0, 1, 3, 4} {
		n.keepIn(i)
	}
	n.chooses()
	n.writes(0)
	if n.residual > 0 {
		o.addend = n.in[n.residual]
		if n.clamp.On {
			n.keepOut()
		}
		if n.mayWant(n.residual) {
			n.gradInPlace(n.residual)
			return o, nil
		}
	} else {
		o.norm.Clamp = n.clamp
		if n.clamp.On {
			n.keepOut()
		}
		n.inPlace(0)
	}
	n.gradInPlace(0)
	return o, nil
}

func (o *batchNorm) forward() {
	if o.out.size == 0 {
		return
	}
	o.norm.Gamma, o.norm.Beta = o.gamma.float, o.beta.float
	if !o.live {
		o.norm.Mean, o.norm.Variance = o.mean.float, o.variance.float
	}
	o.norm.Forward(o.pool, o.out.float, o.x.float)
	if o.addend != nil {
		kernel.AddClamp(o.pool, o.out.float, o.out.float, o.addend.float, o.clamp)
	}
}

func (o *batchNorm) backward() {
	dy := o.out.grad
	var dGamma, dBeta, dx []float32
	accumulate := false
	if o.x.wanted() {
		dx = o.x.into
	}
	if o.gamma.wanted() {
		dGamma, accumulate = o.gamma.into, o.gamma.add
	}
	if o.beta.wanted() {
		dBeta = o.beta.into
		if dGamma != nil && o.beta.add != accumulate { // one is shared with another layer, and one is not
			if !accumulate {
				clear(dGamma)
			} else {
				clear(dBeta)
			}
			accumulate = true
		} else {
			accumulate = o.beta.add
		}
	}
	if o.out.size == 0 {
		if !accumulate {
			clear(dGamma)
			clear(dBeta)
		}
		return
	}
	if o.addend != nil {
		if o.clamp.On {
			o.clamp.Grad(o.pool, dy, o.out.float, dy)
		}
		if a := o.addend; a.wanted() && &a.into[0] != &dy[0] {
			if a.add {
				kernel.Add(o.pool, a.into, a.into, dy)
			} else {
				copy(a.into, dy)
			}
		}
	}
	o.norm.Backward(o.pool, dx, dGamma, dBeta, o.x.float, o.out.float, dy, accumulate)
}

// commit moves the running statistics towards those of the batch. The variance is
// the unbiased one, as in PyTorch and graph.Evaluate. Statistics that are no weights
// (the caller's, or computed) stay.
func (o *batchNorm) commit() {
	if !o.learns || o.out.size == 0 {
		return
	}
	n := float32(o.norm.Batch * o.norm.Size)
	unbiased := n / max(n-1, 1)
	m := o.momentum
	if o.mean.kind != held || o.variance.kind != held {
		return
	}
	for c := range o.norm.Mean {
		o.mean.float[c] = m*o.mean.float[c] + (1-m)*o.norm.Mean[c]
		o.variance.float[c] = m*o.variance.float[c] + (1-m)*o.norm.Variance[c]*unbiased
	}
}
