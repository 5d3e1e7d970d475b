package train

import (
	"context"
	"iter"

	"ropewalk/dataset"
	"ropewalk/engine"
	"ropewalk/tensor"
)

// Examples is a [Source] for networks of one input: a split of a data set.
type Examples struct {
	// Data are the examples.
	Data dataset.Source
	// Classes is the number of classes, which mixed examples need; 0 is none.
	Classes int
	// Augment varies the examples of training passes; nil leaves them as they are.
	Augment *dataset.Augmentation
	// Reshape, if not nil, is the shape of one example that the network wants; it
	// has as many elements as the data's.
	Reshape tensor.Shape
	// ChannelsLast turns images (channels, height, width) into (height, width,
	// channels), as networks from Keras want them; then comes Reshape.
	ChannelsLast bool
	// Workers bounds the batches that are made at a time; 0 is all cores.
	Workers int
}

// Len implements [Source].
func (e *Examples) Len() int { return e.Data.Len() }

// Batches implements [Source].
func (e *Examples) Batches(ctx context.Context, p Pass) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		o := &dataset.LoaderOptions{Batch: p.Size, Seed: p.Seed, Workers: e.Workers}
		if p.Train {
			o.Shuffle, o.Augment = true, e.Augment
		}
		mixed := o.Augment.Soft()
		if mixed {
			o.Classes = e.Classes
		}
		l, err := dataset.NewLoader(e.Data, o)
		if err != nil {
			yield(nil, err)
			return
		}
		var last []float32 // with channels last
		out := &Batch{Inputs: make([]engine.Array, 1)}
		for b, err := range l.Epoch(ctx, uint64(p.Number), p.First) {
			if err != nil {
				yield(nil, err)
				return
			}
			shape, x := b.Shape, b.Inputs
			if e.ChannelsLast && len(shape) == 4 {
				shape, x = channelsLast(last, shape, x)
				last = x
			}
			if e.Reshape != nil {
				shape = append(tensor.Shape{b.Shape[0]}, e.Reshape...)
			}
			out.Inputs[0] = engine.Array{Shape: shape, Float: x}
			out.Targets = Targets{Labels: out.Targets.Labels[:0]}
			for _, c := range b.Labels {
				out.Targets.Labels = append(out.Targets.Labels, int64(c))
			}
			if mixed {
				out.Targets.Shares = b.Soft
			}
			if !yield(out, nil) {
				return
			}
		}
	}
}

// channelsLast writes x, (examples, channels, height, width), in the other order.
func channelsLast(dst []float32, shape tensor.Shape, x []float32) (tensor.Shape, []float32) {
	c, size := int(shape[1]), int(shape[2]*shape[3])
	if cap(dst) < len(x) {
		dst = make([]float32, len(x))
	}
	dst = dst[:len(x)]
	for i := 0; i < len(x); i += c * size {
		for k := range c {
			for p, v := range x[i+k*size:][:size] {
				dst[i+p*c+k] = v
			}
		}
	}
	return tensor.Shape{shape[0], shape[2], shape[3], shape[1]}, dst
}
