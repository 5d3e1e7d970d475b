package cli

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"ropewalk/checkpoint"
	"ropewalk/tensor"
)

// parallel calls do for 0 <= i < n on all processors and returns the first
// error. After an error, or when ctx ends, it begins no more calls.
func parallel(ctx context.Context, n int, do func(i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// chunkValues is how many values are read at a time: one block of a .rope. It
// is a multiple of 8, so that a chunk of packed 4- or 6-bit values ends with a
// byte.
const chunkValues = 1 << 18

// A chunk is a run of bytes of one tensor.
type chunk struct {
	tensor int // in the Set of the checkpoint
	off, n int64
}

// chunks cuts tensor i of c into pieces of about chunkValues values. A tensor
// that has to be gathered or decoded as a whole is one piece.
func chunks(c *checkpoint.Checkpoint, i int) []chunk {
	t := c.Tensors.At(i)
	v := &c.Layout.Views[i]
	size := t.Size()
	if v.Encoded != nil || v.Strides != nil && !v.IsWhole(&c.Layout.Arrays[v.Array]) {
		return []chunk{{i, 0, size}}
	}
	bits := t.DType.Bits()
	if bits == 0 {
		bits = 8 // bytes of an unknown type
	}
	step := int64(chunkValues) * int64(bits) / 8
	var all []chunk
	for off := int64(0); off < size; off += step {
		all = append(all, chunk{i, off, min(step, size-off)})
	}
	return all
}

// read returns the bytes of a chunk, which must not be written to.
func (k chunk) read(c *checkpoint.Checkpoint) ([]byte, error) {
	t := c.Tensors.At(k.tensor)
	b, err := tensor.ReadRange(t.Data, k.off, k.n, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: tensor %q: %w", c.Path, t.Name, err)
	}
	return b, nil
}

// release tells a mapped file that the bytes of a chunk are not needed again,
// so that a long file that is read once does not fill the memory.
func (k chunk) release(c *checkpoint.Checkpoint) {
	v := &c.Layout.Views[k.tensor]
	if v.Encoded != nil || !v.IsWhole(&c.Layout.Arrays[v.Array]) {
		return
	}
	a := &c.Layout.Arrays[v.Array]
	if r, ok := c.Layout.Files[a.File].Data.(interface{ Release(off, n int64) }); ok {
		r.Release(a.Offset+k.off, k.n)
	}
}
