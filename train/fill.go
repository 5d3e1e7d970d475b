package train

import (
	"fmt"
	"slices"

	"ropewalk/engine"
)

// A filler makes small batches as large as a network wants them that takes one size
// only. Its zero value fills nothing.
type filler struct {
	size   int            // of a batch; 0 leaves batches as they are
	inputs []engine.Array // that were filled
}

// newFiller returns a filler for batches of size examples, if fixed is set.
func newFiller(fixed bool, size int) filler {
	if !fixed {
		return filler{}
	}
	return filler{size: size}
}

// fill returns the inputs of n examples with copies of these examples, in their
// order, behind them. The result is valid until the next call.
func (f *filler) fill(inputs []engine.Array, n int) ([]engine.Array, error) {
	if f.size == 0 || n == f.size {
		return inputs, nil
	}
	if n > f.size {
		return nil, fmt.Errorf("a batch has %d examples, and the network takes %d", n, f.size)
	}
	f.inputs = slices.Grow(f.inputs[:0], len(inputs))[:len(inputs)]
	for i, in := range inputs {
		if len(in.Shape) == 0 || in.Shape[0] != int64(n) {
			return nil, fmt.Errorf("input %d is %v; its first axis does not count the %d examples, so the batch cannot be filled up", i, in.Shape, n)
		}
		out := &f.inputs[i]
		out.Shape = append(out.Shape[:0], in.Shape...)
		out.Shape[0] = int64(f.size)
		out.Float, out.Int = repeat(out.Float, in.Float, n, f.size), repeat(out.Int, in.Int, n, f.size)
	}
	return f.inputs, nil
}

// repeat writes the n rows of src to dst, again and again until there are size.
func repeat[T any](dst, src []T, n, size int) []T {
	if src == nil {
		return nil
	}
	dst = dst[:0]
	for rows := size; rows > 0; rows -= n {
		dst = append(dst, src[:len(src)/n*min(rows, n)]...)
	}
	return dst
}

// cut returns the outputs for the first n examples. An output whose first axis is no
// multiple of the batch is not told apart by examples, and stays whole.
func (f *filler) cut(outputs []engine.Array, n int) []engine.Array {
	if f.size == 0 || n == f.size {
		return outputs
	}
	outputs = slices.Clone(outputs)
	for i := range outputs {
		a := &outputs[i]
		if len(a.Shape) == 0 || a.Shape[0]%int64(f.size) != 0 {
			continue
		}
		a.Shape = slices.Clone(a.Shape)
		a.Shape[0] = a.Shape[0] / int64(f.size) * int64(n)
		if a.Float != nil {
			a.Float = a.Float[:len(a.Float)/f.size*n]
		}
		if a.Int != nil {
			a.Int = a.Int[:len(a.Int)/f.size*n]
		}
	}
	return outputs
}
