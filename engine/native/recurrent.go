package native

import (
	"math"
	"strings"

	"ropewalk/internal/kernel"
)

// A recurrent is RNN, GRU or LSTM. X is time × batch × width, or batch × time × width
// with layout 1. Its rows times W are one matrix product for the whole sequence; those
// of the state times R are one for each step.
//
// Gates are kept for backward as they are after their activations, and so derivatives
// are computed from results (see [gateFunction]).
type recurrent struct {
	pool                     *kernel.Pool
	op                       string
	x, w, r                  *operand
	bias, lengths, h0, c0    *operand // or nil
	peep                     *operand // or nil
	y, yh, yc                *site    // or nil
	time, batch, width, size int
	gates                    int
	batchFirst               bool
	clip                     float32
	inputForget, linear      bool
	directions               []*recurrentDirection
	hidden                   *memory // batch × gates·size: products with R, or their gradients
	reset                    *memory // batch × size: state times reset gate of GRU, or its gradient
	dGates                   *memory // rows × gates·size
	dh, dc, next             *memory // batch × size
	steps                    []int   // length of each sequence
}

// A recurrentDirection is one way through the sequence. Histories go by steps, not by
// time.
type recurrentDirection struct {
	number  int
	reverse bool
	f       []gateFunction
	gates   *memory // rows of x × gates·size
	hs, cs  *memory // (steps + 1) × batch × size; cs of LSTM only
	inner   *memory // steps × batch × size: of GRU, what the reset gate is multiplied with
}

func makeRecurrent(n *node) (operator, error) {
	o := &recurrent{
		pool: n.pool, op: n.Op, x: n.in[0], w: n.in[1], r: n.in[2], bias: n.operand(3), lengths: n.operand(4),
		h0: n.operand(5), c0: n.operand(6), peep: n.operand(7), batchFirst: n.integer("layout", 0) != 0,
		clip: float32(n.number("clip", math.Inf(1))), inputForget: n.integer("input_forget", 0) != 0,
		linear: n.integer("linear_before_reset", 0) != 0,
	}
	o.gates = map[string]int{"RNN": 1, "GRU": 3, "LSTM": 4}[n.Op]
	for k, p := range []**site{&o.y, &o.yh, &o.yc} {
		if k < len(n.out) {
			*p = n.out[k]
		}
	}
	o.time, o.batch, o.width, o.size = int(o.x.shape[0]), int(o.x.shape[1]), int(o.x.shape[2]), int(o.r.shape[2])
	if o.batchFirst {
		o.time, o.batch = o.batch, o.time
	}
	o.steps = make([]int, o.batch)
	trained := false
	for i := range n.in {
		trained = trained || n.mayWant(i)
	}
	if _, set := n.Attributes["clip"]; set && trained {
		return nil, n.lacks("the gradient with attribute clip")
	}
	reverse := map[string][]bool{"reverse": {true}, "bidirectional": {false, true}}[n.text("direction", "forward")]
	if reverse == nil {
		reverse = []bool{false}
	}
	names, alphas, betas := gateNames(n, len(reverse))
	rows, g := o.time*o.batch, o.gates*o.size
	each := len(names) / len(reverse)
	for d, rev := range reverse {
		w := &recurrentDirection{number: d, reverse: rev, gates: n.retain(rows * g), hs: n.retain((o.time + 1) * o.batch * o.size)}
		for _, name := range names[d*each : (d+1)*each] {
			f, ok := gateFunctionOf(name, &alphas, &betas)
			if !ok {
				return nil, n.lacks("activation %s", name)
			}
			w.f = append(w.f, f)
		}
		switch n.Op {
		case "LSTM":
			w.cs = n.retain((o.time + 1) * o.batch * o.size)
		case "GRU":
			w.inner = n.retain(rows * o.size)
		}
		o.directions = append(o.directions, w)
	}
	state := o.batch * o.size
	o.hidden, o.reset = n.scratch(o.batch*g), n.scratch(state)
	if trained {
		o.dGates, o.dh, o.dc, o.next = n.scratch(rows*g), n.scratch(state), n.scratch(state), n.scratch(state)
	}
	for _, i := range []int{0, 1, 2, 7} {
		if n.operand(i) != nil {
			n.keepIn(i)
		}
	}
	return o, nil
}

// A gateFunction is an activation; slope is its derivative by way of its result.
type gateFunction struct {
	apply func(p *kernel.Pool, dst, x []float32) // dst may be x
	slope func(y float32) float32
}

func gateNames(n *node, directions int) (names []string, alphas, betas []float64) {
	names, _ = n.Attributes["activations"].([]string)
	alphas, _ = n.Attributes["activation_alpha"].([]float64)
	betas, _ = n.Attributes["activation_beta"].([]float64)
	if names != nil {
		return names, alphas, betas
	}
	for range directions {
		names = append(names, map[string][]string{"RNN": {"Tanh"}, "GRU": {"Sigmoid", "Tanh"}, "LSTM": {"Sigmoid", "Tanh", "Tanh"}}[n.Op]...)
	}
	return names, alphas, betas
}

// gateFunctionOf returns the activation of a name. Those that have constants take them
// from the lists.
func gateFunctionOf(name string, alphas, betas *[]float64) (gateFunction, bool) {
	next := func(list *[]float64, absent float64) float32 {
		if len(*list) == 0 {
			return float32(absent)
		}
		v := (*list)[0]
		*list = (*list)[1:]
		return float32(v)
	}
	each := func(f, slope func(v float32) float32) gateFunction {
		return gateFunction{func(_ *kernel.Pool, dst, x []float32) {
			for i, v := range x {
				dst[i] = f(v)
			}
		}, slope}
	}
	switch strings.ToLower(name) {
	case "sigmoid":
		return gateFunction{kernel.Sigmoid, func(y float32) float32 { return y * (1 - y) }}, true
	case "tanh":
		return gateFunction{kernel.Tanh, func(y float32) float32 { return 1 - y*y }}, true
	case "relu":
		return each(func(v float32) float32 { return max(v, 0) }, func(y float32) float32 { return float32(truth(y > 0)) }), true
	case "softsign":
		return each(func(v float32) float32 { return v / (1 + abs(v)) }, func(y float32) float32 { return (1 - abs(y)) * (1 - abs(y)) }), true
	case "softplus":
		return each(func(v float32) float32 { return float32(softplus(float64(v))) }, func(y float32) float32 { return float32(-math.Expm1(-float64(y))) }), true
	case "affine":
		a, b := next(alphas, 1), next(betas, 0)
		return each(func(v float32) float32 { return a*v + b }, func(float32) float32 { return a }), true
	case "leakyrelu":
		a := next(alphas, 0.01)
		return each(func(v float32) float32 { return max(v, 0) + a*min(v, 0) }, func(y float32) float32 {
			if y == 0 || (y < 0) == (a > 0) { // a negative v
				return a
			}
			return 1
		}), a >= 0
	case "thresholdedrelu":
		a := next(alphas, 1)
		return each(func(v float32) float32 {
			if v >= a {
				return v
			}
			return 0
		}, func(y float32) float32 { return float32(truth(y != 0)) }), true
	case "scaledtanh":
		a, b := next(alphas, 1), next(betas, 1)
		return each(func(v float32) float32 { return a * float32(math.Tanh(float64(b*v))) }, func(y float32) float32 { return b * (a - y*y/a) }), a != 0
	case "hardsigmoid":
		a, b := next(alphas, 0.2), next(betas, 0.5)
		return each(func(v float32) float32 { return min(max(a*v+b, 0), 1) }, func(y float32) float32 { return a * float32(truth(y > 0 && y < 1)) }), true
	case "elu":
		a := next(alphas, 1)
		return each(func(v float32) float32 {
			if v < 0 {
				return a * float32(math.Expm1(float64(v)))
			}
			return v
		}, func(y float32) float32 {
			if y < 0 {
				return y + a
			}
			return 1
		}), a >= 0
	}
	return gateFunction{}, false
}

func abs(v float32) float32 { return max(v, -v) }

// row returns the number of the row of x at a step of a sequence.
func (o *recurrent) row(w *recurrentDirection, step, b int) int {
	t := step
	if w.reverse {
		t = o.steps[b] - 1 - step
	}
	if o.batchFirst {
		return b*o.time + t
	}
	return t*o.batch + b
}

// output returns where in y the state after a step goes.
func (o *recurrent) output(w *recurrentDirection, step, b int) int {
	t := step
	if w.reverse {
		t = o.steps[b] - 1 - step
	}
	dirs := len(o.directions)
	if o.batchFirst {
		return ((b*o.time+t)*dirs + w.number) * o.size
	}
	return ((t*dirs+w.number)*o.batch + b) * o.size
}

// state returns where in an array of states that of a sequence is.
func (o *recurrent) state(w *recurrentDirection, b int) int {
	if o.batchFirst {
		return (b*len(o.directions) + w.number) * o.size
	}
	return (w.number*o.batch + b) * o.size
}

// rows returns the part of a history that a step has.
func (o *recurrent) rows(m *memory, step int) []float32 {
	k := o.batch * o.size
	return m.float[step*k : (step+1)*k]
}

// weights returns the parts of W, R and both biases (nil for none) of a direction.
func (o *recurrent) weights(w *recurrentDirection) (ofX, ofH, biasX, biasH []float32) {
	g := o.gates * o.size
	ofX, ofH = o.w.float[w.number*g*o.width:][:g*o.width], o.r.float[w.number*g*o.size:][:g*o.size]
	if o.bias != nil {
		biasX, biasH = o.bias.float[w.number*2*g:][:g], o.bias.float[(w.number*2+1)*g:][:g]
	}
	return ofX, ofH, biasX, biasH
}

func (o *recurrent) forward() {
	for b := range o.steps {
		o.steps[b] = o.time
		if o.lengths == nil {
			continue
		}
		l := o.lengths.int[b]
		if l < 0 || l > int64(o.time) {
			fail("length %d of sequence %d is outside of 0 to %d", l, b, o.time)
		}
		o.steps[b] = int(l)
	}
	if o.y != nil && o.lengths != nil {
		clear(o.y.float)
	}
	for _, w := range o.directions {
		o.forwardDirection(w)
	}
}

func (o *recurrent) forwardDirection(w *recurrentDirection) {
	g := o.gates * o.size
	ofX, ofH, biasX, biasH := o.weights(w)
	if o.x.size > 0 {
		kernel.Gemm(o.pool, &kernel.GemmArgs{
			M: o.time * o.batch, N: g, K: o.width, A: o.x.float, B: ofX, TransB: true, C: w.gates.float, ColBias: biasX,
		})
	} else {
		clear(w.gates.float)
	}
	o.start(w, w.hs, o.h0)
	if w.cs != nil {
		o.start(w, w.cs, o.c0)
	}
	for step := range o.time {
		h, next := o.rows(w.hs, step), o.rows(w.hs, step+1)
		columns := g
		if o.op == "GRU" && !o.linear { // the last gate comes later
			columns = 2 * o.size
		}
		product := kernel.GemmArgs{M: o.batch, N: columns, K: o.size, A: h, B: ofH, TransB: true, C: o.hidden.float, LDC: g}
		if biasH != nil {
			product.ColBias = biasH[:columns]
		}
		kernel.Gemm(o.pool, &product)
		if o.op == "GRU" {
			o.resetGRU(w, step, ofH, biasH)
		}
		for b, steps := range o.steps {
			at := b * o.size
			to := next[at : at+o.size]
			if step >= steps {
				copy(to, h[at:])
				if w.cs != nil {
					copy(o.rows(w.cs, step+1)[at:at+o.size], o.rows(w.cs, step)[at:])
				}
				continue
			}
			gate, sum := w.gates.float[o.row(w, step, b)*g:][:g], o.hidden.float[b*g:][:g]
			switch o.op {
			case "RNN":
				o.join(gate, sum)
				w.f[0].apply(o.pool, gate, gate)
				copy(to, gate)
			case "GRU":
				n := gate[2*o.size:]
				z := gate[:o.size]
				for k := range to {
					to[k] = (1-z[k])*n[k] + z[k]*h[at+k]
				}
			case "LSTM":
				o.stepLSTM(w, gate, sum, o.rows(w.cs, step)[at:at+o.size], o.rows(w.cs, step+1)[at:at+o.size], to)
			}
			if o.y != nil {
				copy(o.y.float[o.output(w, step, b):], to)
			}
		}
	}
	o.finish(w, w.hs, o.yh)
	if w.cs != nil {
		o.finish(w, w.cs, o.yc)
	}
}

// join adds what comes from the state to what comes from x, and clips.
func (o *recurrent) join(gate, sum []float32) {
	for i, v := range sum {
		gate[i] = min(max(gate[i]+v, -o.clip), o.clip)
	}
}

func (o *recurrent) start(w *recurrentDirection, history *memory, from *operand) {
	first := o.rows(history, 0)
	clear(first)
	if from == nil {
		return
	}
	for b := range o.batch {
		copy(first[b*o.size:(b+1)*o.size], from.float[o.state(w, b):])
	}
}

func (o *recurrent) finish(w *recurrentDirection, history *memory, to *site) {
	if to == nil {
		return
	}
	last := o.rows(history, o.time)
	for b := range o.batch {
		copy(to.float[o.state(w, b):][:o.size], last[b*o.size:])
	}
}

// resetGRU computes all gates of a step of GRU.
func (o *recurrent) resetGRU(w *recurrentDirection, step int, ofH, biasH []float32) {
	g, s := o.gates*o.size, o.size
	h, inner := o.rows(w.hs, step), o.rows(w.inner, step)
	for b, steps := range o.steps {
		reset := o.reset.float[b*s:][:s]
		clear(reset)
		if step >= steps {
			continue
		}
		gate, sum := w.gates.float[o.row(w, step, b)*g:][:g], o.hidden.float[b*g:][:g]
		o.join(gate[:2*s], sum[:2*s])
		w.f[0].apply(o.pool, gate[:2*s], gate[:2*s])
		if o.linear {
			copy(inner[b*s:(b+1)*s], sum[2*s:])
			for k, v := range sum[2*s:] {
				sum[2*s+k] = gate[s+k] * v
			}
			continue
		}
		for k := range reset {
			reset[k] = gate[s+k] * h[b*s+k]
		}
	}
	if !o.linear {
		product := kernel.GemmArgs{
			M: o.batch, N: s, K: s, A: o.reset.float, B: ofH[2*s*s:], TransB: true, C: o.hidden.float[2*s:], LDC: g,
		}
		if biasH != nil {
			product.ColBias = biasH[2*s:]
		}
		kernel.Gemm(o.pool, &product)
	}
	for b, steps := range o.steps {
		if step < steps {
			gate, sum := w.gates.float[o.row(w, step, b)*g:][:g], o.hidden.float[b*g:][:g]
			o.join(gate[2*s:], sum[2*s:])
			w.f[1].apply(o.pool, gate[2*s:], gate[2*s:])
		}
	}
}

// stepLSTM computes the gates i, o, f and c, the next cell and the next state.
func (o *recurrent) stepLSTM(w *recurrentDirection, gate, sum, cell, nextCell, next []float32) {
	s := o.size
	in, out, forget, fresh := gate[:s], gate[s:2*s], gate[2*s:3*s], gate[3*s:]
	var peep []float32
	if o.peep != nil {
		peep = o.peep.float[w.number*3*s:][:3*s]
		for k, c := range cell {
			in[k] += peep[k] * c
			forget[k] += peep[2*s+k] * c
		}
	}
	if peep == nil {
		o.join(gate, sum)
		w.f[0].apply(o.pool, gate[:3*s], gate[:3*s])
	} else {
		o.join(in, sum[:s])
		o.join(gate[2*s:], sum[2*s:])
		w.f[0].apply(o.pool, in, in)
		w.f[0].apply(o.pool, forget, forget)
	}
	w.f[1].apply(o.pool, fresh, fresh)
	if o.inputForget {
		for k, v := range in {
			forget[k] = 1 - v
		}
	}
	for k, c := range cell {
		nextCell[k] = forget[k]*c + in[k]*fresh[k]
	}
	if peep != nil {
		for k, c := range nextCell {
			out[k] += peep[s+k] * c
		}
		o.join(out, sum[s:2*s])
		w.f[0].apply(o.pool, out, out)
	}
	w.f[2].apply(o.pool, next, nextCell)
	for k, v := range out {
		next[k] *= v
	}
}
