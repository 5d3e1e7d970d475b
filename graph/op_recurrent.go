package graph

import (
	"fmt"
	"math"
	"strings"

	"ropewalk/tensor"
)

// recurrentOps go along sequences: X is time × batch × features (or, with attribute
// layout, batch × time × features).
var recurrentOps = map[string]operator{
	"RNN":  {infer: inferRecurrent, evaluate: evaluateRecurrent, min: 3, max: 6},
	"GRU":  {infer: inferRecurrent, evaluate: evaluateRecurrent, min: 3, max: 6},
	"LSTM": {infer: inferRecurrent, evaluate: evaluateRecurrent, min: 3, max: 8},
}

// A recurrence is the geometry and the settings of a recurrent node.
type recurrence struct {
	op                       string
	gates                    int // 1, 3 or 4
	time, batch, width, size int // lengths of the axes; size is that of a state
	reverse                  []bool
	functions                [][]func(x float64) float64 // by direction
	clip                     float64
	batchFirst, inputForget  bool
	linearBeforeReset        bool
}

func recurrenceOf(n *Node, in []*Operand) (*recurrence, error) {
	r := read(n)
	v := &recurrence{
		op: n.Op, gates: map[string]int{"RNN": 1, "GRU": 3, "LSTM": 4}[n.Op],
		clip: r.float("clip", math.Inf(1)), batchFirst: r.flag("layout", false),
		inputForget: r.flag("input_forget", false), linearBeforeReset: r.flag("linear_before_reset", false),
	}
	switch d := r.string("direction", "forward"); d {
	case "forward":
		v.reverse = []bool{false}
	case "reverse":
		v.reverse = []bool{true}
	case "bidirectional":
		v.reverse = []bool{false, true}
	default:
		r.fail("attribute direction is %q, want forward, reverse or bidirectional", d)
	}
	if r.err == nil && !(v.clip > 0) {
		r.fail("attribute clip is %g, want a positive number", v.clip)
	}
	if r.err == nil {
		v.functions, r.err = gateFunctions(r, n.Op, len(v.reverse))
	}
	if r.err != nil {
		return nil, r.err
	}
	x, w := in[0].Type.Shape, in[1].Type.Shape
	dirs := int64(len(v.reverse))
	if len(x) != 3 || len(w) != 3 || w[1]%int64(v.gates) != 0 {
		return nil, fmt.Errorf("its inputs are %v with weights %v, want three axes, and %d gates", x, w, v.gates)
	}
	time, batch, size := x[0], x[1], w[1]/int64(v.gates)
	if v.batchFirst {
		time, batch = batch, time
	}
	if hidden := r.int("hidden_size", size); r.err != nil || hidden != size {
		return nil, fmt.Errorf("attribute hidden_size is %d, the weights are %v", hidden, w)
	}
	v.time, v.batch, v.width, v.size = int(time), int(batch), int(x[2]), int(size)
	gates := int64(v.gates)
	state := tensor.Shape{dirs, batch, size}
	if v.batchFirst {
		state = tensor.Shape{batch, dirs, size}
	}
	want := []tensor.Shape{x, {dirs, gates * size, x[2]}, {dirs, gates * size, size}, {dirs, 2 * gates * size}, {batch}, state, state, {dirs, 3 * size}}
	for i, o := range in {
		if o == nil {
			continue
		}
		k := kindFloat
		if i == 4 {
			k = kindInt
		}
		if !o.Type.Shape.Equal(want[i]) || kindOf(o.Type.DType) != k {
			return nil, fmt.Errorf("input %d is %v, want %v", i, o.Type, want[i])
		}
	}
	return v, nil
}

// gateFunctions returns the activations of each direction.
func gateFunctions(r *attributesReader, op string, dirs int) ([][]func(x float64) float64, error) {
	each := map[string][]string{"RNN": {"Tanh"}, "GRU": {"Sigmoid", "Tanh"}, "LSTM": {"Sigmoid", "Tanh", "Tanh"}}[op]
	names := r.strings("activations")
	if names == nil {
		for range dirs {
			names = append(names, each...)
		}
	}
	if len(names) != dirs*len(each) {
		return nil, fmt.Errorf("attribute activations has %d names, want %d", len(names), dirs*len(each))
	}
	alphas, betas := r.floats("activation_alpha"), r.floats("activation_beta")
	// The lists have numbers for those functions only that want one.
	next := func(list *[]float64, absent float64) float64 {
		if len(*list) == 0 {
			return absent
		}
		x := (*list)[0]
		*list = (*list)[1:]
		return x
	}
	functions := make([][]func(x float64) float64, dirs)
	for i, name := range names {
		var f func(x float64) float64
		switch strings.ToLower(name) {
		case "relu":
			f = relu
		case "tanh":
			f = math.Tanh
		case "sigmoid":
			f = sigmoid
		case "softsign":
			f = func(x float64) float64 { return x / (1 + math.Abs(x)) }
		case "softplus":
			f = softplus
		case "affine":
			a, b := next(&alphas, 1), next(&betas, 0)
			f = func(x float64) float64 { return a*x + b }
		case "leakyrelu":
			a := next(&alphas, 0.01)
			f = func(x float64) float64 { return math.Max(x, 0) + a*math.Min(x, 0) }
		case "thresholdedrelu":
			a := next(&alphas, 1)
			f = func(x float64) float64 {
				if x >= a {
					return x
				}
				return 0
			}
		case "scaledtanh":
			a, b := next(&alphas, 1), next(&betas, 1)
			f = func(x float64) float64 { return a * math.Tanh(b*x) }
		case "hardsigmoid":
			a, b := next(&alphas, 0.2), next(&betas, 0.5)
			f = func(x float64) float64 { return clip(a*x+b, 0, 1) }
		case "elu":
			a := next(&alphas, 1)
			f = func(x float64) float64 {
				if x < 0 {
					return a * math.Expm1(x)
				}
				return x
			}
		default:
			return nil, fmt.Errorf("activation %q is not known", name)
		}
		functions[i/len(each)] = append(functions[i/len(each)], f)
	}
	return functions, nil
}

func inferRecurrent(_ *context, n *Node, in []*Operand) ([]Type, error) {
	v, err := recurrenceOf(n, in)
	if err != nil {
		return nil, err
	}
	d := in[0].Type.DType
	time, batch, size, dirs := int64(v.time), int64(v.batch), int64(v.size), int64(len(v.reverse))
	all, last := tensor.Shape{time, dirs, batch, size}, tensor.Shape{dirs, batch, size}
	if v.batchFirst {
		all, last = tensor.Shape{batch, time, dirs, size}, tensor.Shape{batch, dirs, size}
	}
	types := []Type{{d, all}, {d, last}}
	if n.Op == "LSTM" {
		types = append(types, Type{d, last})
	}
	return types, nil
}

func evaluateRecurrent(c *context, n *Node, in []*Value) ([]*Value, error) {
	v, err := recurrenceOf(n, operandsOf(in))
	if err != nil {
		return nil, err
	}
	types, err := inferRecurrent(c, n, operandsOf(in))
	if err != nil {
		return nil, err
	}
	dirs := len(v.reverse)
	if err := c.spendProduct(int64(v.time), int64(v.batch), int64(dirs), int64(v.gates*v.size), int64(v.width+v.size+1)); err != nil {
		return nil, err
	}
	lengths := make([]int, v.batch)
	for b := range lengths {
		lengths[b] = v.time
		if in[4] != nil {
			l := in[4].Int[b]
			if l < 0 || l > int64(v.time) {
				return nil, fmt.Errorf("length %d of sequence %d is outside of 0 to %d", l, b, v.time)
			}
			lengths[b] = int(l)
		}
	}
	out := make([]*Value, len(types))
	for i, t := range types {
		out[i] = newValue(t)
	}
	for d := range dirs {
		for b := range lengths {
			state := (d*v.batch + b) * v.size
			if v.batchFirst {
				state = (b*dirs + d) * v.size
			}
			h, cell := make([]float64, v.size), make([]float64, v.size)
			if in[5] != nil {
				copy(h, in[5].Float[state:])
			}
			if len(in) > 6 && in[6] != nil {
				copy(cell, in[6].Float[state:])
			}
			for step := range lengths[b] {
				t := step
				if v.reverse[d] {
					t = lengths[b] - 1 - step
				}
				from, to := (t*v.batch+b)*v.width, ((t*dirs+d)*v.batch+b)*v.size
				if v.batchFirst {
					from, to = (b*v.time+t)*v.width, ((b*v.time+t)*dirs+d)*v.size
				}
				h = v.step(in, d, in[0].Float[from:from+v.width], h, cell)
				copy(out[0].Float[to:], h)
			}
			copy(out[1].Float[state:], h)
			if len(out) > 2 {
				copy(out[2].Float[state:], cell)
			}
		}
	}
	return out, nil
}

// step returns the next state; cell is changed in place.
func (v *recurrence) step(in []*Value, d int, x, h, cell []float64) []float64 {
	rows := v.gates * v.size
	w, r := in[1].Float[d*rows*v.width:], in[2].Float[d*rows*v.size:]
	bias := func(i int) float64 { // of the input's part, and behind it the state's
		if in[3] == nil {
			return 0
		}
		return in[3].Float[d*2*rows+i]
	}
	ofInput, ofState := make([]float64, rows), make([]float64, rows)
	for i := range rows {
		ofInput[i], ofState[i] = bias(i), bias(rows+i)
		for k, y := range x {
			ofInput[i] += w[i*v.width+k] * y
		}
		for k, y := range h {
			ofState[i] += r[i*v.size+k] * y
		}
	}
	f := v.functions[d]
	cut := func(y float64) float64 { return math.Min(math.Max(y, -v.clip), v.clip) }
	next := make([]float64, v.size)
	switch v.op {
	case "RNN":
		for i := range next {
			next[i] = f[0](cut(ofInput[i] + ofState[i]))
		}
	case "GRU":
		n := v.size
		reset := make([]float64, n)
		for i := range reset {
			reset[i] = f[0](cut(ofInput[n+i] + ofState[n+i]))
		}
		for i := range next {
			update := f[0](cut(ofInput[i] + ofState[i]))
			sum := ofInput[2*n+i]
			if v.linearBeforeReset {
				sum += reset[i] * ofState[2*n+i]
			} else {
				sum += bias(rows + 2*n + i)
				for k, y := range h {
					sum += r[(2*n+i)*n+k] * reset[k] * y
				}
			}
			next[i] = (1-update)*f[1](cut(sum)) + update*h[i]
		}
	case "LSTM":
		n := v.size
		peep := func(gate, i int) float64 {
			if in[7] == nil {
				return 0
			}
			return in[7].Float[(d*3+gate)*n+i]
		}
		for i := range next {
			sum := func(gate int) float64 { return ofInput[gate*n+i] + ofState[gate*n+i] }
			input := f[0](cut(sum(0) + peep(0, i)*cell[i]))
			forget := f[0](cut(sum(2) + peep(2, i)*cell[i]))
			if v.inputForget {
				forget = 1 - input
			}
			cell[i] = forget*cell[i] + input*f[1](cut(sum(3)))
			output := f[0](cut(sum(1) + peep(1, i)*cell[i]))
			next[i] = output * f[2](cell[i])
		}
	}
	return next
}
