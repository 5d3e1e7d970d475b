package attack

import (
	"fmt"
	"math"

	"ropewalk/quant"
	"ropewalk/tensor"
)

// quantize leaves at most 2^B values of a tensor. By default these are evenly spaced
// from its least to its largest, as in the paper:
//
//	scale = (2^B - 1) / (max - min);  w ← min + round((w - min)·scale) / scale
//
// With the option channel, each index of axis 0 has its own; lloyd-max has the values of
// least squared error, and gaussian those of least squared error for a Gaussian.
func (r *run) quantize(s *Step, rep *Report) error {
	list, err := r.weights()
	if err != nil {
		return err
	}
	rep.counted(list)
	bits := int(s.Strength)
	method := quant.Method("")
	switch {
	case s.has("lloyd-max"):
		method = quant.Lloyd
	case s.has("gaussian"):
		method = quant.LloydGaussian
	}
	if method != "" && 1<<bits > quant.MaxLevels {
		return invalid("%s: want at most %d bits", s, int(math.Log2(quant.MaxLevels)))
	}
	var changed []*tensor.Tensor
	for _, t := range list {
		row := int(t.Elems())
		if s.has("channel") {
			row /= int(t.Shape[0])
		}
		e := edit{
			func(x []float32) error { evenly(x, bits, row); return nil },
			func(x []float64) error { evenly(x, bits, row); return nil },
		}
		if method != "" {
			e.single = func(x []float32) error { return lloyd(t.Name, x, t.Shape, bits, method) }
			e.double = func(x []float64) error { return lloyd64(t.Name, x, t.Shape, bits, method) }
		}
		changed = append(changed, r.changed(t, e))
	}
	return r.change(changed...)
}

// evenly rounds each row of x to 2^bits values from its minimum to its maximum.
func evenly[F floating](x []F, bits, row int) {
	for ; len(x) > 0; x = x[row:] {
		low, high := x[0], x[0]
		for _, v := range x[:row] {
			low, high = min(low, v), max(high, v)
		}
		if low == high {
			continue
		}
		width := float64(high) - float64(low)
		steps := float64(int(1)<<bits - 1)
		for i, v := range x[:row] {
			k := math.RoundToEven((float64(v) - float64(low)) / width * steps)
			x[i] = F(float64(low) + float64(k/steps*width))
		}
	}
}

// lloyd replaces x by the nearest of the levels that package quant finds.
func lloyd(name string, x []float32, shape tensor.Shape, bits int, method quant.Method) error {
	q, err := quant.Quantize(name, shape, x, nil, &quant.Options{Method: method, Levels: 1 << bits})
	if err != nil {
		return err
	}
	q.Values(x)
	return nil
}

// lloyd64 finds the levels in float32.
func lloyd64(name string, x []float64, shape tensor.Shape, bits int, method quant.Method) error {
	y := make([]float32, len(x))
	for i, v := range x {
		if y[i] = float32(v); math.IsInf(float64(y[i]), 0) {
			return fmt.Errorf("%g is too large for Lloyd–Max levels, which are float32", v)
		}
	}
	if err := lloyd(name, y, shape, bits, method); err != nil {
		return err
	}
	for i, v := range y {
		x[i] = float64(v)
	}
	return nil
}
