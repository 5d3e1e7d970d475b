package native

import "ropewalk/internal/kernel"

// backward goes through time from the last step to the first (Werbos 1990).
func (o *recurrent) backward() {
	for _, w := range o.directions {
		o.backwardDirection(w)
	}
}

func (o *recurrent) backwardDirection(w *recurrentDirection) {
	g := o.gates * o.size
	ofX, ofH, _, _ := o.weights(w)
	clear(o.dGates.float)
	o.arrive(w, o.dh.float, o.yh)
	o.arrive(w, o.dc.float, o.yc)
	biasX, biasH := o.biasGradients(w)
	for step := o.time - 1; step >= 0; step-- {
		dHidden, next := o.hidden.float, o.next.float
		clear(dHidden)
		clear(next)
		for b, steps := range o.steps {
			dh := o.dh.float[b*o.size:][:o.size]
			if step >= steps {
				copy(next[b*o.size:], dh)
				continue
			}
			if o.y != nil && o.y.grad != nil {
				for k, v := range o.y.grad[o.output(w, step, b):][:o.size] {
					dh[k] += v
				}
			}
			row := o.row(w, step, b) * g
			o.gateGradients(w, step, b, w.gates.float[row:row+g], o.dGates.float[row:row+g], dHidden[b*g:(b+1)*g], next[b*o.size:(b+1)*o.size])
		}
		columns := g
		if o.op == "GRU" && !o.linear {
			o.resetGradients(w, step, ofH)
			columns = 2 * o.size
		}
		kernel.Gemm(o.pool, &kernel.GemmArgs{M: o.batch, N: o.size, K: columns, A: dHidden, LDA: g, B: ofH, C: next, Accumulate: true})
		if o.r.wanted() {
			dr := o.r.into[w.number*g*o.size:]
			kernel.Gemm(o.pool, &kernel.GemmArgs{
				M: columns, N: o.size, K: o.batch, A: dHidden, LDA: g, TransA: true, B: o.rows(w.hs, step), C: dr, Accumulate: true,
			})
		}
		for i := range biasH {
			for b := range o.batch {
				biasH[i] += dHidden[b*g+i]
			}
		}
		copy(o.dh.float, next)
	}
	rows := o.time * o.batch
	if o.x.wanted() && o.x.size > 0 {
		kernel.Gemm(o.pool, &kernel.GemmArgs{M: rows, N: o.width, K: g, A: o.dGates.float, B: ofX, C: o.x.into, Accumulate: true})
	}
	if o.w.wanted() && o.w.size > 0 {
		kernel.Gemm(o.pool, &kernel.GemmArgs{
			M: g, N: o.width, K: rows, A: o.dGates.float, TransA: true, B: o.x.float, C: o.w.into[w.number*g*o.width:], Accumulate: true,
		})
	}
	if biasX != nil {
		kernel.ChannelSums(o.pool, kernel.Planes{Batch: rows, Channels: g, Size: 1}, biasX, o.dGates.float, true)
	}
	o.leave(w, o.dh.float, o.h0)
	o.leave(w, o.dc.float, o.c0)
}

// biasGradients returns where the gradients of both biases go; nil if nowhere.
func (o *recurrent) biasGradients(w *recurrentDirection) (ofX, ofH []float32) {
	if o.bias == nil || !o.bias.wanted() {
		return nil, nil
	}
	g := o.gates * o.size
	return o.bias.into[w.number*2*g:][:g], o.bias.into[(w.number*2+1)*g:][:g]
}

// arrive sets the gradient of the last state to that of a result.
func (o *recurrent) arrive(w *recurrentDirection, d []float32, from *site) {
	clear(d)
	if from == nil || from.grad == nil {
		return
	}
	for b := range o.batch {
		copy(d[b*o.size:(b+1)*o.size], from.grad[o.state(w, b):])
	}
}

// leave adds the gradient of the first state to that of an operand.
func (o *recurrent) leave(w *recurrentDirection, d []float32, to *operand) {
	if to == nil || !to.wanted() {
		return
	}
	for b := range o.batch {
		into := to.into[o.state(w, b):]
		for k, v := range d[b*o.size:][:o.size] {
			into[k] += v
		}
	}
}

// gateGradients computes, for a step of one sequence, the gradients by the sums that
// go into the gates (dGate), by what comes of them from the state (dHidden), and what
// goes to the state before without R (next). The gradient of the cell is moved back in
// time.
func (o *recurrent) gateGradients(w *recurrentDirection, step, b int, gate, dGate, dHidden, next []float32) {
	s := o.size
	dh := o.dh.float[b*s:][:s]
	switch o.op {
	case "RNN":
		for k, y := range gate {
			dGate[k] = dh[k] * w.f[0].slope(y)
		}
		copy(dHidden, dGate)
	case "GRU":
		z, r, n := gate[:s], gate[s:2*s], gate[2*s:]
		h, inner := o.rows(w.hs, step)[b*s:][:s], o.rows(w.inner, step)[b*s:][:s]
		for k, d := range dh {
			dGate[k] = d * (h[k] - n[k]) * w.f[0].slope(z[k])
			dGate[2*s+k] = d * (1 - z[k]) * w.f[1].slope(n[k])
			next[k] = d * z[k]
			if o.linear {
				dGate[s+k] = dGate[2*s+k] * inner[k] * w.f[0].slope(r[k])
			}
		}
		copy(dHidden, dGate)
		if o.linear {
			for k := range r {
				dHidden[2*s+k] *= r[k]
			}
		}
	case "LSTM":
		o.gateGradientsLSTM(w, step, b, gate, dGate)
		copy(dHidden, dGate)
	}
}

func (o *recurrent) gateGradientsLSTM(w *recurrentDirection, step, b int, gate, dGate []float32) {
	s := o.size
	dh, dc := o.dh.float[b*s:][:s], o.dc.float[b*s:][:s]
	before, after := o.rows(w.cs, step)[b*s:][:s], o.rows(w.cs, step+1)[b*s:][:s]
	in, out, forget, fresh := gate[:s], gate[s:2*s], gate[2*s:3*s], gate[3*s:]
	seen := o.reset.float[:s] // the cell as the output gate sees it
	w.f[2].apply(o.pool, seen, after)
	var peep, dPeep []float32
	if o.peep != nil {
		peep = o.peep.float[w.number*3*s:][:3*s]
		if o.peep.wanted() {
			dPeep = o.peep.into[w.number*3*s:][:3*s]
		}
	}
	for k, d := range dh {
		dOut := d * seen[k] * w.f[0].slope(out[k])
		c := dc[k] + d*out[k]*w.f[2].slope(seen[k])
		if peep != nil {
			c += dOut * peep[s+k]
		}
		ofIn, ofForget := c*fresh[k], c*before[k]
		if o.inputForget {
			ofIn, ofForget = ofIn-ofForget, 0
		}
		dIn, dForget := ofIn*w.f[0].slope(in[k]), ofForget*w.f[0].slope(forget[k])
		dGate[k], dGate[s+k], dGate[2*s+k] = dIn, dOut, dForget
		dGate[3*s+k] = c * in[k] * w.f[1].slope(fresh[k])
		dc[k] = c * forget[k]
		if peep != nil {
			dc[k] += dIn*peep[k] + dForget*peep[2*s+k]
		}
		if dPeep != nil {
			dPeep[k] += dIn * before[k]
			dPeep[s+k] += dOut * after[k]
			dPeep[2*s+k] += dForget * before[k]
		}
	}
}

// resetGradients does, for a step of GRU without linear_before_reset, what goes by way
// of the state times the reset gate.
func (o *recurrent) resetGradients(w *recurrentDirection, step int, ofH []float32) {
	g, s := o.gates*o.size, o.size
	h := o.rows(w.hs, step)
	kernel.Gemm(o.pool, &kernel.GemmArgs{M: o.batch, N: s, K: s, A: o.hidden.float[2*s:], LDA: g, B: ofH[2*s*s:], C: o.reset.float})
	for b, steps := range o.steps {
		if step >= steps {
			continue
		}
		row := o.row(w, step, b) * g
		r, dGate := w.gates.float[row+s:row+2*s], o.dGates.float[row:row+g]
		for k, d := range o.reset.float[b*s:][:s] {
			dGate[s+k] = d * h[b*s+k] * w.f[0].slope(r[k])
			o.hidden.float[b*g+s+k] = dGate[s+k]
			o.next.float[b*s+k] += d * r[k]
		}
	}
	if !o.r.wanted() {
		return
	}
	for b, steps := range o.steps {
		reset := o.reset.float[b*s:][:s]
		clear(reset)
		if step < steps {
			row := o.row(w, step, b) * g
			for k := range reset {
				reset[k] = w.gates.float[row+s+k] * h[b*s+k]
			}
		}
	}
	kernel.Gemm(o.pool, &kernel.GemmArgs{
		M: s, N: s, K: o.batch, A: o.hidden.float[2*s:], LDA: g, TransA: true, B: o.reset.float,
		C: o.r.into[(w.number*g+2*s)*s:], Accumulate: true,
	})
}
