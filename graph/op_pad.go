package graph

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// padding returns how many elements Pad adds before and behind each axis; negative
// takes away.
func padding(in []*Operand) (before, behind []int64, err error) {
	rank := len(in[0].Type.Shape)
	before, behind = make([]int64, rank), make([]int64, rank)
	pads, err := needInts(in[1], "the pads")
	if err != nil {
		return nil, nil, err
	}
	axes := make([]int64, rank)
	for i := range axes {
		axes[i] = int64(i)
	}
	if in[3] != nil {
		if axes, err = needInts(in[3], "the axes"); err != nil {
			return nil, nil, err
		}
	}
	if len(pads) != 2*len(axes) {
		return nil, nil, fmt.Errorf("it has %d pads for %d axes: %w", len(pads), len(axes), errNumbers)
	}
	if _, err := axesOf(axes, rank); err != nil {
		return nil, nil, err
	}
	for i, a := range axes {
		axis, _ := axisOf(a, rank)
		before[axis], behind[axis] = pads[i], pads[len(axes)+i]
	}
	return before, behind, nil
}

func inferPad(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	mode := r.string("mode", "constant")
	if r.err != nil {
		return nil, r.err
	}
	if !slices.Contains([]string{"constant", "reflect", "edge", "wrap"}, mode) {
		return nil, fmt.Errorf("attribute mode is %q, want constant, reflect, edge or wrap", mode)
	}
	if err := sameType(in[0], in[2]); err != nil {
		return nil, err
	}
	if in[2] != nil {
		if k, err := in[2].Type.Shape.Elems(); err != nil || k != 1 {
			return nil, fmt.Errorf("the constant is %v, want a scalar", in[2].Type)
		}
	}
	before, behind, err := padding(in)
	if err != nil {
		return nil, err
	}
	to := slices.Clone(in[0].Type.Shape)
	for i, d := range to {
		const most = 1 << 40
		if max(before[i], behind[i], -before[i], -behind[i]) > most || before[i] == math.MinInt64 || behind[i] == math.MinInt64 {
			return nil, fmt.Errorf("pads %d and %d of axis %d are too large", before[i], behind[i], i)
		}
		if to[i] = d + before[i] + behind[i]; to[i] < 0 {
			return nil, fmt.Errorf("pads %d and %d leave nothing of axis %d of %v", before[i], behind[i], i, in[0].Type.Shape)
		}
		if d == 0 && to[i] > 0 && mode != "constant" {
			return nil, fmt.Errorf("axis %d of %v has nothing to repeat", i, in[0].Type.Shape)
		}
	}
	return []Type{{in[0].Type.DType, to}}, nil
}

func evaluatePad(c *context, n *Node, in []*Value) ([]*Value, error) {
	before, _, err := padding(operandsOf(in))
	if err != nil {
		return nil, err
	}
	mode := read(n).string("mode", "constant")
	out := newValue(c.types[0])
	from := in[0].Shape
	strides := stridesOf(from)
	w := newWalker(out.Shape)
	for i := range out.elems() {
		at, ok := 0, true
		for k, p := range w.at {
			q := p - before[k]
			if q < 0 || q >= from[k] {
				if mode == "constant" {
					ok = false
					break
				}
				q = outside(mode, q, from[k])
			}
			at += int(q) * strides[k]
		}
		switch {
		case ok:
			out.set(i, in[0], at)
		case in[2] != nil:
			out.set(i, in[2], 0)
		}
		w.next()
	}
	return []*Value{out}, nil
}

// outside returns the place in an axis of n that stands for q, which lies outside.
func outside(mode string, q, n int64) int64 {
	switch mode {
	case "reflect":
		if n == 1 {
			return 0
		}
		period := 2 * (n - 1)
		q = ((q % period) + period) % period
		return min(q, period-q)
	case "wrap":
		return ((q % n) + n) % n
	}
	return min(max(q, 0), n-1)
}

// centers returns the axes that CenterCropPad changes and their new lengths.
func centers(n *Node, in []*Operand) (tensor.Shape, error) {
	r := read(n)
	axes := r.ints("axes")
	if r.err != nil {
		return nil, r.err
	}
	to := slices.Clone(in[0].Type.Shape)
	if axes == nil {
		for i := range to {
			axes = append(axes, int64(i))
		}
	}
	want, err := needInts(in[1], "the shape")
	if err != nil {
		return nil, err
	}
	if len(want) != len(axes) {
		return nil, fmt.Errorf("it has %d lengths for %d axes: %w", len(want), len(axes), errNumbers)
	}
	if _, err := axesOf(axes, len(to)); err != nil {
		return nil, err
	}
	for i, a := range axes {
		axis, _ := axisOf(a, len(to))
		to[axis] = want[i]
	}
	return to, nil
}

func inferCenterCropPad(_ *context, n *Node, in []*Operand) ([]Type, error) {
	to, err := centers(n, in)
	return []Type{{in[0].Type.DType, to}}, err
}

func evaluateCenterCropPad(c *context, _ *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	from := in[0].Shape
	strides := stridesOf(from)
	w := newWalker(out.Shape)
	for i := range out.elems() {
		at, ok := 0, true
		for k, p := range w.at {
			q := p
			if d := from[k] - out.Shape[k]; d >= 0 {
				q += d / 2
			} else {
				q -= -d / 2
			}
			ok = ok && q >= 0 && q < from[k]
			at += int(q) * strides[k]
		}
		if ok {
			out.set(i, in[0], at)
		}
		w.next()
	}
	return []*Value{out}, nil
}
