package rope

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"sync"
	"sync/atomic"

	"ropewalk/tensor"
)

// Restore writes original file i, of those in Layout, to w, and checks every
// checksum and digest on the way. What was written before an error is not to
// be trusted. progress may be nil.
func (f *File) Restore(ctx context.Context, i int, w io.Writer, progress func(done, total int64)) error {
	if err := f.checkSkeleton(ctx); err != nil {
		return err
	}
	var order []int
	for _, p := range f.pieces[i] {
		order = f.appendBlocks(order, p)
	}
	r := f.startReader(ctx, order)
	defer r.stop()
	done, total := int64(0), f.header.fileSizes[i]
	for _, p := range f.pieces[i] {
		err := f.copyPiece(ctx, r, w, p, func(n int64) {
			done += n
			if progress != nil {
				progress(done, total)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Test decodes everything and checks every checksum and digest. Nothing is
// written. progress may be nil.
func (f *File) Test(ctx context.Context, progress func(done, total int64)) error {
	if err := f.checkSkeleton(ctx); err != nil {
		return err
	}
	total := int64(0)
	var todo []piece
	var order []int
	for m := range f.header.arrays {
		if s := f.header.arrays[m].source; s == sourceTwin || s == sourceSame || f.home[m].group < 0 {
			continue // checked with what it refers to
		}
		p := piece{size: f.header.layout.Arrays[m].Size, array: m}
		todo = append(todo, p)
		order = f.appendBlocks(order, p)
		total += p.size
	}
	r := f.startReader(ctx, order)
	defer r.stop()
	done := int64(0)
	for _, p := range todo {
		err := f.copyPiece(ctx, r, io.Discard, p, func(n int64) {
			done += n
			if progress != nil {
				progress(done, total)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkSkeleton compares the skeleton with its digest, once. One that is
// inline is part of the header.
func (f *File) checkSkeleton(ctx context.Context) error {
	g := f.home[len(f.header.arrays)].group
	if g < 0 || f.skelOK.Load() {
		return nil
	}
	h := sha256.New()
	for b := range f.header.groups[g].blocks(f.header.blockValues) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		block, err := f.block(f.groups[g].firstBlock + b)
		if err != nil {
			return err
		}
		h.Write(block)
	}
	if d := [32]byte(h.Sum(nil)); d != f.groups[g].digest {
		return f.corrupt(f.blocks[f.groups[g].firstBlock].off, f.digestError(g, d))
	}
	f.skelOK.Store(true)
	return nil
}

// resolve returns the member that holds the values of a piece, the offset of
// the piece in it, or ok false if no block does.
func (f *File) resolve(p piece) (m int, off int64, ok bool) {
	if p.array < 0 {
		return len(f.header.arrays), p.skel, f.header.skeleton == nil
	}
	m = p.array
	if f.header.arrays[m].source == sourceTwin {
		m = f.header.arrays[m].ref
	}
	return m, 0, f.header.arrays[m].source != sourceSame
}

// appendBlocks appends the blocks of which a piece is made, in order.
func (f *File) appendBlocks(order []int, p piece) []int {
	m, off, ok := f.resolve(p)
	if !ok {
		return order
	}
	h := f.home[m]
	size := int64(f.header.blockValues) * int64(f.header.groups[h.group].unit.width())
	first, last := (h.off+off)/size, (h.off+off+p.size-1)/size
	for b := first; b <= last; b++ {
		order = append(order, f.groups[h.group].firstBlock+int(b))
	}
	return order
}

// copyPiece writes one piece, taking its blocks from r in the order in which
// appendBlocks named them.
func (f *File) copyPiece(ctx context.Context, r *reader, w io.Writer, p piece, wrote func(n int64)) error {
	m, off, ok := f.resolve(p)
	if !ok {
		return f.copyStored(ctx, w, p, wrote)
	}
	h := f.home[m]
	g := &f.header.groups[h.group]
	var sum hash.Hash // of an array of several blocks; the others are checked when decoded
	if g.blocks(f.header.blockValues) > 1 && m < len(f.header.arrays) {
		sum = sha256.New()
	}
	size := int64(f.header.blockValues) * int64(g.unit.width())
	for at, end := h.off+off, h.off+off+p.size; at < end; {
		block, err := r.next()
		if err != nil {
			return err
		}
		part := block[at%size : min(int64(len(block)), at%size+end-at)]
		if sum != nil {
			sum.Write(part)
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
		at += int64(len(part))
		wrote(int64(len(part)))
	}
	if sum != nil {
		if d := [32]byte(sum.Sum(nil)); d != f.groups[h.group].digest {
			return f.corrupt(f.blocks[f.groups[h.group].firstBlock].off, f.digestError(h.group, d))
		}
	}
	return nil
}

// copyStored writes a piece that is not in blocks: of an inline skeleton, or
// of the base, whose values [Open] has checked.
func (f *File) copyStored(ctx context.Context, w io.Writer, p piece, wrote func(n int64)) error {
	for in := int64(0); in < p.size; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := min(scanBytes, p.size-in)
		var b []byte
		if p.array < 0 {
			b = f.header.skeleton[p.skel+in:][:n]
		} else {
			m, _, _ := f.resolve(p)
			var err error
			ref := f.header.arrays[m].ref
			if b, err = tensor.ReadRange(f.base.ArrayData(ref), in, n, nil); err != nil {
				return fmt.Errorf("reading the base: %w", err)
			}
			releaseArray(f.base, ref, in, n)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		in += n
		wrote(n)
	}
	return nil
}

// A reader decodes a known sequence of blocks ahead of its consumer, into a
// ring of buffers that are used again: a block of a long array is read once.
type reader struct {
	f      *File
	ctx    context.Context
	cancel context.CancelFunc
	shared *cache // blocks of several small arrays, which lie scattered over the files
	order  []int
	at     int           // of the consumer
	window chan struct{} // an entry for each block in work, or not yet given back by the consumer
	ring   []slot        // block i of the order is decoded in slot i modulo its length
	wg     sync.WaitGroup
}

// A slot holds one block on its way to the consumer.
type slot struct {
	buf   []byte // to decode into
	block []byte
	err   error
	ready chan struct{}
}

// sharedBlocks is how many blocks of small arrays are kept.
const sharedBlocks = 16

// startReader starts the decoders. stop must be called.
func (f *File) startReader(ctx context.Context, order []int) *reader {
	ahead := min(2*f.threads, f.keep)
	if f.threads == 1 {
		ahead = 1 // the consumer decodes
	}
	r := &reader{f: f, order: order, window: make(chan struct{}, ahead), ring: make([]slot, ahead), shared: newCache(sharedBlocks)}
	r.ctx, r.cancel = context.WithCancel(ctx)
	if f.threads == 1 {
		return r
	}
	for i := range r.ring {
		r.ring[i].ready = make(chan struct{}, 1)
	}
	var next atomic.Int64
	for range f.threads {
		r.wg.Go(func() {
			for {
				select {
				case r.window <- struct{}{}:
				case <-r.ctx.Done():
					return
				}
				// There are never more entries in the window than slots, so the
				// consumer is done with the block before in this slot.
				i := int(next.Add(1)) - 1
				if i >= len(order) {
					return
				}
				s := &r.ring[i%len(r.ring)]
				r.fill(s, order[i])
				s.ready <- struct{}{}
			}
		})
	}
	return r
}

// fill decodes a block into a slot, or takes it from those that are shared.
func (r *reader) fill(s *slot, id int) {
	if g := &r.f.header.groups[r.f.blocks[id].group]; len(g.members) > 1 {
		s.block, s.err = r.shared.get(id, func() ([]byte, error) { return r.f.decode(id, nil) })
		return
	}
	s.block, s.err = r.f.decode(id, s.buf)
	s.buf = s.block
}

// next returns the next block of the sequence. It must not be written to, and
// is valid until the call after.
func (r *reader) next() ([]byte, error) {
	if r.ctx.Err() != nil {
		return nil, context.Cause(r.ctx)
	}
	i := r.at
	r.at++
	s := &r.ring[i%len(r.ring)]
	if s.ready == nil {
		r.fill(s, r.order[i])
		return s.block, s.err
	}
	if i > 0 {
		<-r.window // give back the block before
	}
	select {
	case <-s.ready:
		return s.block, s.err
	case <-r.ctx.Done():
		return nil, context.Cause(r.ctx)
	}
}

func (r *reader) stop() {
	r.cancel()
	r.wg.Wait()
}
