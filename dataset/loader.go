package dataset

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"

	"ropewalk/tensor"
)

// LoaderOptions say how batches are made. Nil and the zero value are the default.
type LoaderOptions struct {
	// Batch is the number of examples of a batch; 0 is 128. The last one of an epoch
	// has what is left.
	Batch int
	// Shuffle gives each epoch an order of its own; else it is that of the source.
	Shuffle bool
	// DropLast leaves out the last batch of an epoch if it is smaller.
	DropLast bool
	// Seed drives the order and the augmentation.
	Seed uint64
	// Augment varies the examples; nil leaves them as they are.
	Augment *Augmentation
	// Classes is the number of classes: the width of soft targets. 0 makes none,
	// which Mixup and CutMix do not allow. Labels have to be below it.
	Classes int
	// Workers bounds the batches that are made at a time; 0 is all cores.
	Workers int
	// Prefetch is the batches that may be ready before they are asked for; 0 is 2.
	// An epoch holds Prefetch+1 batches in memory, and never more.
	Prefetch int
}

// A Batch is some examples. It is valid until the next one is asked for.
type Batch struct {
	// Number counts the batches of an epoch from 0.
	Number int
	// Shape is (examples, channels, height, width) for images.
	Shape tensor.Shape
	// Inputs are the examples, row-major.
	Inputs []float32
	// Labels are their classes; where examples are mixed, those of the larger or
	// smaller part that the example gave itself.
	Labels []int
	// Soft are the targets of the examples, (examples, classes), each row with the sum
	// 1; nil if LoaderOptions.Classes is 0.
	Soft []float32
	// Indices are the examples' in the source.
	Indices []int
}

// A Loader makes the batches of epochs. It is safe for concurrent use, as its
// source is.
type Loader struct {
	s       Source
	o       LoaderOptions
	size    int
	batches int
}

// NewLoader returns a loader of s, which must not be empty.
func NewLoader(s Source, o *LoaderOptions) (*Loader, error) {
	if s == nil {
		return nil, errors.New("there is no such split in the data")
	}
	l := &Loader{s: s, size: elemsOf(s)}
	if o != nil {
		l.o = *o
	}
	if l.o.Batch == 0 {
		l.o.Batch = 128
	}
	if l.o.Prefetch == 0 {
		l.o.Prefetch = 2
	}
	if l.o.Workers == 0 {
		l.o.Workers = runtime.GOMAXPROCS(0)
	}
	switch {
	case l.o.Batch < 0 || l.o.Prefetch < 0 || l.o.Workers < 0 || l.o.Classes < 0:
		return nil, fmt.Errorf("batch (%d), prefetch (%d), workers (%d) and classes (%d) cannot be negative", l.o.Batch, l.o.Prefetch, l.o.Workers, l.o.Classes)
	case s.Len() == 0:
		return nil, errors.New("there are no examples")
	case l.o.DropLast && s.Len() < l.o.Batch:
		return nil, fmt.Errorf("%d examples do not fill one batch of %d, and incomplete batches are to be left out", s.Len(), l.o.Batch)
	case l.o.Augment.Soft() && l.o.Classes == 0:
		return nil, errors.New("mixed examples have soft targets; say how many classes there are")
	}
	if err := l.o.Augment.Check(s); err != nil {
		return nil, err
	}
	if l.o.Classes > 0 {
		for i := range s.Len() {
			if c := s.Label(i); c < 0 || c >= l.o.Classes {
				return nil, fmt.Errorf("example %d has the label %d; want 0 to %d", i, c, l.o.Classes-1)
			}
		}
	}
	l.batches = s.Len() / l.o.Batch
	if s.Len()%l.o.Batch != 0 && !l.o.DropLast {
		l.batches++
	}
	return l, nil
}

// Batches is the number of batches of an epoch.
func (l *Loader) Batches() int { return l.batches }

// Order is the order of the examples in an epoch.
func (l *Loader) Order(epoch uint64) []int {
	if !l.o.Shuffle {
		return count(l.s.Len())
	}
	return order(l.s.Len(), l.o.Seed, epoch)
}

// made is a batch, or why there is none.
type made struct {
	batch *Batch
	err   error
}

// Epoch yields the batches of an epoch, from the one numbered from on, which are
// the same that an epoch from 0 yields there. It ends after an error, or with the
// cause of ctx when that ends. Its goroutines have ended when the loop over it has.
func (l *Loader) Epoch(ctx context.Context, epoch uint64, from int) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		if from < 0 || from > l.batches {
			yield(nil, fmt.Errorf("an epoch of %d batches cannot begin at batch %d", l.batches, from))
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		// A worker takes a free batch first and a number then. So those that are made
		// or wait to be asked for have consecutive numbers, and each finds its place
		// in ready empty.
		order := l.Order(epoch)
		slots := min(l.o.Prefetch+1, max(l.batches-from, 1))
		free, ready := make(chan *Batch, slots), make([]chan made, slots)
		for i := range slots {
			free <- &Batch{}
			ready[i] = make(chan made, 1)
		}
		var mu sync.Mutex
		next := from
		for range min(l.o.Workers, slots) {
			wg.Go(func() {
				w := l.worker(epoch)
				for {
					var b *Batch
					select {
					case <-ctx.Done():
						return
					case b = <-free:
					}
					mu.Lock()
					k := next
					next++
					mu.Unlock()
					if k >= l.batches || ctx.Err() != nil {
						return
					}
					err := w.fill(ctx, b, k, order)
					ready[k%slots] <- made{b, err}
				}
			})
		}
		for k := from; k < l.batches; k++ {
			var m made
			select {
			case <-ctx.Done():
				m.err = context.Cause(ctx)
			case m = <-ready[k%slots]:
			}
			if m.err != nil {
				yield(nil, m.err)
				return
			}
			if !yield(m.batch, nil) {
				return
			}
			free <- m.batch
		}
	}
}

// A worker fills batches, one at a time.
type worker struct {
	*Loader
	epoch uint64
	c     *canvas
	other []float32
}

func (l *Loader) worker(epoch uint64) *worker {
	w := &worker{Loader: l, epoch: epoch, c: &canvas{black: blackOf(l.s)}}
	if shape := l.s.Shape(); len(shape) == 3 {
		w.c.channels, w.c.height, w.c.width = int(shape[0]), int(shape[1]), int(shape[2])
	}
	return w
}

// fill makes batch k.
func (w *worker) fill(ctx context.Context, b *Batch, k int, order []int) error {
	b.Number = k
	b.Indices = order[k*w.o.Batch : min((k+1)*w.o.Batch, len(order))]
	n := len(b.Indices)
	b.Shape = append(append(b.Shape[:0], int64(n)), w.s.Shape()...)
	b.Inputs = room(b.Inputs, n*w.size)
	b.Labels = room(b.Labels, n)
	if w.o.Classes > 0 {
		b.Soft = room(b.Soft, n*w.o.Classes)
		clear(b.Soft)
	}
	for at, i := range b.Indices {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		x := b.Inputs[at*w.size : (at+1)*w.size]
		if err := w.example(i, x); err != nil {
			return err
		}
		b.Labels[at] = w.s.Label(i)
		if w.o.Classes == 0 {
			continue
		}
		soft := b.Soft[at*w.o.Classes : (at+1)*w.o.Classes]
		share := 1.0
		if w.o.Augment.Soft() {
			rng := random(w.o.Seed^mixStream, w.epoch, uint64(i))
			partner := rng.IntN(w.s.Len())
			w.other = room(w.other, w.size)
			if err := w.example(partner, w.other); err != nil {
				return err
			}
			share = w.o.Augment.mix(x, w.other, w.c, rng)
			soft[w.s.Label(partner)] += float32(1 - share)
		}
		soft[w.s.Label(i)] += float32(share)
	}
	return nil
}

// mixStream tells the random numbers of mixing from those of the other steps, which
// an example goes through before it is mixed, and also as the partner of another.
const mixStream = 0x6d697865642d7570

// example writes example i, varied, into x.
func (w *worker) example(i int, x []float32) error {
	if err := w.s.Example(i, x); err != nil {
		return fmt.Errorf("example %d: %w", i, err)
	}
	if a := w.o.Augment; a != nil && w.c.channels > 0 {
		a.vary(x, w.c, random(w.o.Seed, w.epoch, uint64(i)))
	}
	return nil
}

// room returns a slice of n elements, which is s if that is long enough.
func room[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
