package graph

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// A cut says which elements Slice takes along each axis.
type cut struct {
	start, step []int64
	shape       tensor.Shape
}

func sliceOf(from tensor.Shape, in []*Operand) (*cut, error) {
	var lists [4][]int64
	for i, what := range []string{"the starts", "the ends", "the axes", "the steps"} {
		if i+1 >= len(in) || in[i+1] == nil {
			continue
		}
		v, err := needInts(in[i+1], what)
		if err != nil {
			return nil, err
		}
		lists[i] = v
	}
	starts, ends, axes, steps := lists[0], lists[1], lists[2], lists[3]
	if axes == nil {
		for i := range starts {
			axes = append(axes, int64(i))
		}
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || steps != nil && len(steps) != len(starts) {
		return nil, fmt.Errorf("it has %d starts, %d ends, %d axes and %d steps: %w", len(starts), len(ends), len(axes), len(steps), errNumbers)
	}
	if _, err := axesOf(axes, len(from)); err != nil {
		return nil, err
	}
	c := &cut{make([]int64, len(from)), make([]int64, len(from)), slices.Clone(from)}
	for i := range c.step {
		c.step[i] = 1
	}
	for i, a := range axes {
		axis, _ := axisOf(a, len(from))
		d, step := from[axis], int64(1)
		if steps != nil {
			step = steps[i]
		}
		if step == 0 || step == math.MinInt64 {
			return nil, fmt.Errorf("step %d along axis %d", step, axis)
		}
		within := func(x, lo, hi int64) int64 {
			if x < 0 {
				x += d
			}
			return min(max(x, lo), hi)
		}
		var length int64
		if step > 0 {
			lo, hi := within(starts[i], 0, d), within(ends[i], 0, d)
			c.start[axis] = lo
			if hi > lo {
				length = (hi-lo-1)/step + 1
			}
		} else {
			hi, lo := within(starts[i], 0, max(d-1, 0)), within(ends[i], -1, max(d-1, 0))
			c.start[axis] = hi
			if d > 0 && hi > lo {
				length = (hi-lo-1)/-step + 1
			}
		}
		c.step[axis], c.shape[axis] = step, length
	}
	return c, nil
}

func inferSlice(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	c, err := sliceOf(in[0].Type.Shape, in)
	if err != nil {
		return nil, err
	}
	return []Type{{in[0].Type.DType, c.shape}}, nil
}

func evaluateSlice(_ *context, _ *Node, in []*Value) ([]*Value, error) {
	s, err := sliceOf(in[0].Shape, operandsOf(in))
	if err != nil {
		return nil, err
	}
	strides := stridesOf(in[0].Shape)
	first := 0
	for i := range strides {
		first += strides[i] * int(s.start[i])
		if s.shape[i] > 1 { // else the step may be too large to multiply
			strides[i] *= int(s.step[i])
		}
	}
	return []*Value{gatherWith(in[0], s.shape, first, strides)}, nil
}

// operandsOf returns what is known of values: everything.
func operandsOf(in []*Value) []*Operand {
	out := make([]*Operand, len(in))
	for i, v := range in {
		if v != nil {
			out[i] = &Operand{v.typ(), v}
		}
	}
	return out
}
