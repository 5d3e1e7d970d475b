package native

import "ropewalk/internal/kernel"

// A recurrent is LSTM or GRU, forward only. X is time × batch × width.
//
// The products of W with all elements of the sequence are one matrix product; those
// of R with the state are one for each step.
type recurrent struct {
	pool                     *kernel.Pool
	gru, linear              bool
	x, w, r                  *operand
	bias, h0, c0, peep       *operand // or nil
	y, yh, yc                *site    // or nil
	time, batch, width, size int
	gates                    int
	reverse                  []bool
	pre                      *memory // time × batch × gates·size
	hidden                   *memory // batch × gates·size: products of R, where they stay apart
	h, c                     *memory // batch × size
	sum                      *memory // biases, gates·size
}

func makeRecurrent(n *node) (operator, error) {
	o := &recurrent{
		pool: n.pool, gru: n.Op == "GRU", x: n.in[0], w: n.in[1], r: n.in[2], bias: n.operand(3),
		h0: n.operand(5), c0: n.operand(6), peep: n.operand(7), gates: 4, linear: n.integer("linear_before_reset", 0) != 0,
	}
	if o.gru {
		o.gates = 3
	}
	for k, p := range []**site{&o.y, &o.yh, &o.yc} {
		if k < len(n.out) {
			*p = n.out[k]
		}
	}
	switch {
	case n.operand(4) != nil:
		return nil, n.lacks("sequences of different lengths")
	case o.peep != nil:
		return nil, n.lacks("peepholes")
	case n.integer("layout", 0) != 0:
		return nil, n.lacks("layout 1")
	case n.integer("input_forget", 0) != 0:
		return nil, n.lacks("input_forget")
	}
	for _, a := range []string{"activations", "clip"} {
		if n.Attributes[a] != nil {
			return nil, n.lacks("attribute %s", a)
		}
	}
	switch n.text("direction", "forward") {
	case "forward":
		o.reverse = []bool{false}
	case "reverse":
		o.reverse = []bool{true}
	default:
		o.reverse = []bool{false, true}
	}
	o.time, o.batch, o.width = int(o.x.shape[0]), int(o.x.shape[1]), int(o.x.shape[2])
	o.size = int(o.r.shape[2])
	g := o.gates * o.size
	o.pre, o.hidden, o.sum = n.scratch(o.time*o.batch*g), n.scratch(o.batch*g), n.scratch(g)
	o.h, o.c = n.scratch(o.batch*o.size), n.scratch(o.batch*o.size)
	return o, nil
}

func (o *recurrent) forward() {
	for d, reverse := range o.reverse {
		o.direction(d, reverse)
	}
}

func (o *recurrent) direction(d int, reverse bool) {
	g, state := o.gates*o.size, o.batch*o.size
	sum := o.sum.float
	clear(sum)
	if o.bias != nil {
		b := o.bias.float[d*2*g:]
		for i := range sum {
			sum[i] = b[i] + b[g+i]
			if o.gru && o.linear && i >= 2*o.size {
				sum[i] = b[i] // that of R is inside of the product with the gate
			}
		}
	}
	kernel.Gemm(o.pool, &kernel.GemmArgs{
		M: o.time * o.batch, N: g, K: o.width, A: o.x.float, B: o.w.float[d*g*o.width:], TransB: true, C: o.pre.float, ColBias: sum,
	})
	start := func(dst []float32, from *operand) {
		clear(dst)
		if from != nil {
			copy(dst, from.float[d*state:(d+1)*state])
		}
	}
	start(o.h.float, o.h0)
	start(o.c.float, o.c0)
	r := o.r.float[d*g*o.size:]
	for i := range o.time {
		t := i
		if reverse {
			t = o.time - 1 - i
		}
		pre := o.pre.float[t*o.batch*g:][:o.batch*g]
		product := kernel.GemmArgs{M: o.batch, N: g, K: o.size, A: o.h.float, B: r, TransB: true, C: pre, Accumulate: true}
		if o.gru {
			product.C, product.Accumulate = o.hidden.float, false
			if !o.linear {
				product.N, product.LDC = 2*o.size, g
			}
		}
		kernel.Gemm(o.pool, &product)
		if o.gru && !o.linear {
			o.resetState(pre, r)
		}
		for b := range o.batch {
			h, c := o.h.float[b*o.size:][:o.size], o.c.float[b*o.size:][:o.size]
			if o.gru {
				o.stepGRU(d, pre[b*g:][:g], o.hidden.float[b*g:][:g], h)
			} else {
				o.stepLSTM(pre[b*g:][:g], h, c)
			}
			if o.y != nil { // time × directions × batch × size
				copy(o.y.float[((t*len(o.reverse)+d)*o.batch+b)*o.size:], h)
			}
		}
	}
	if o.yh != nil {
		copy(o.yh.float[d*state:], o.h.float)
	}
	if o.yc != nil {
		copy(o.yc.float[d*state:], o.c.float)
	}
}

// stepLSTM makes the next h and c from the sums of the gates i, o, f and c.
func (o *recurrent) stepLSTM(gate, h, c []float32) {
	s := o.size
	kernel.Sigmoid(o.pool, gate[:3*s], gate[:3*s])
	kernel.Tanh(o.pool, gate[3*s:], gate[3*s:])
	in, out, forget, cell := gate[:s], gate[s:2*s], gate[2*s:3*s], gate[3*s:]
	for k := range c {
		c[k] = forget[k]*c[k] + in[k]*cell[k]
	}
	kernel.Tanh(o.pool, h, c)
	for k := range h {
		h[k] *= out[k]
	}
}

// resetState multiplies the state with the reset gate, which it computes, before the
// product with R for the last gate.
func (o *recurrent) resetState(pre, r []float32) {
	s, g := o.size, o.gates*o.size
	for b := range o.batch {
		gate := o.c.float[b*s:][:s] // GRU has no cell
		for k := range gate {
			gate[k] = pre[b*g+s+k] + o.hidden.float[b*g+s+k]
		}
		kernel.Sigmoid(o.pool, gate, gate)
		kernel.Mul(o.pool, gate, gate, o.h.float[b*s:][:s])
	}
	kernel.Gemm(o.pool, &kernel.GemmArgs{
		M: o.batch, N: s, K: s, A: o.c.float, B: r[2*s*s:], TransB: true, C: o.hidden.float[2*s:], LDC: g,
	})
}

// stepGRU makes the next h from the sums of W and of R for the gates z, r and h.
func (o *recurrent) stepGRU(d int, gate, hidden, h []float32) {
	s := o.size
	for k := range 2 * s {
		gate[k] += hidden[k]
	}
	kernel.Sigmoid(o.pool, gate[:2*s], gate[:2*s])
	z, r, n := gate[:s], gate[s:2*s], gate[2*s:]
	var bias []float32
	if o.bias != nil && o.linear {
		bias = o.bias.float[(d*2+1)*3*s+2*s:][:s]
	}
	for k := range n {
		v := hidden[2*s+k]
		if bias != nil {
			v += bias[k]
		}
		if o.linear {
			v *= r[k]
		}
		n[k] += v
	}
	kernel.Tanh(o.pool, n, n)
	for k := range h {
		h[k] = (1-z[k])*n[k] + z[k]*h[k]
	}
}
