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
	if err := f.skelOK(); err != nil {
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
	if err := f.skelOK(); err != nil {
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

// checkSkeleton compares the skeleton with its digest. One that is inline is
// part of the header; one that is a single block is checked when decoded.
func (f *File) checkSkeleton() error {
	g := f.home[len(f.header.arrays)].group
	if g < 0 || f.header.groups[g].blocks(f.header.blockValues) == 1 {
		return nil
	}
	h := sha256.New()
	for b := range f.header.groups[g].blocks(f.header.blockValues) {
		block, err := f.block(f.groups[g].firstBlock + b)
		if err != nil {
			return err
		}
		h.Write(block)
	}
	if d := [32]byte(h.Sum(nil)); d != f.groups[g].digest {
		return f.corrupt(f.blocks[f.groups[g].firstBlock].off, f.digestError(g, d))
	}
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
			if b, err = tensor.ReadRange(f.base.ArrayData(f.header.arrays[m].ref), in, n, nil); err != nil {
				return fmt.Errorf("reading the base: %w", err)
			}
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		in += n
		wrote(n)
	}
	return nil
}

// A reader decodes a known sequence of blocks ahead of its consumer.
type reader struct {
	f      *File
	ctx    context.Context
	cancel context.CancelFunc
	cache  *cache
	order  []int
	at     int           // of the consumer
	window chan struct{} // one entry for each block ahead of the consumer
	wg     sync.WaitGroup
}

// startReader starts the decoders. stop must be called.
func (f *File) startReader(ctx context.Context, order []int) *reader {
	ahead := 2 * f.threads
	r := &reader{f: f, order: order, window: make(chan struct{}, ahead)}
	// Besides the window, keep the blocks of a few groups of small arrays:
	// their members lie scattered over the files.
	r.cache = newCache(ahead + 16)
	r.ctx, r.cancel = context.WithCancel(ctx)
	if f.threads == 1 {
		return r // the consumer decodes
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
				i := int(next.Add(1)) - 1
				if i >= len(order) {
					return
				}
				_, _ = r.get(order[i]) // the consumer sees the error when it comes here
			}
		})
	}
	return r
}

func (r *reader) get(id int) ([]byte, error) {
	return r.cache.get(id, func() ([]byte, error) { return r.f.decode(id) })
}

// next returns the next block of the sequence, which must not be written to.
func (r *reader) next() ([]byte, error) {
	if r.ctx.Err() != nil {
		return nil, context.Cause(r.ctx)
	}
	b, err := r.get(r.order[r.at])
	r.at++
	select {
	case <-r.window:
	default:
	}
	return b, err
}

func (r *reader) stop() {
	r.cancel()
	r.wg.Wait()
}
