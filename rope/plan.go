package rope

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"ropewalk/internal/codec"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// ErrBase reports that a base is missing, or is not the one that a file was
// packed against.
var ErrBase = errors.New("rope: wrong base")

// Arrays of fewer values than smallValues share a group with others of their
// unit, up to groupValues: a checksum and a model of its own would cost each
// of them more than its values. An array that is quantized has levels of its
// own, which a group would mix with those of others, so it shares only below
// smallLevels.
const (
	smallValues = 4096
	smallLevels = 256
	groupValues = 1 << 16
)

// isSmall reports whether an array should share a group.
func isSmall(values int64, f *facts) bool {
	quantized := f.values != nil && int64(len(f.values)) <= values/4
	return values < smallLevels || values < smallValues && !quantized
}

// A facts is what one pass over an array finds out.
type facts struct {
	digest [32]byte
	values []uint64 // the distinct ones; nil if there are more than MaxLevels
}

// scanBytes is how much is read at a time to hash.
const scanBytes = 1 << 20

// scan reads all of d once.
func scan(ctx context.Context, d tensor.Data, u unit, onRead func(off, n int64)) (facts, error) {
	h := sha256.New()
	dist := newDistinct(u.width())
	if u == unitBytes {
		dist.full = true // no codebook for opaque bytes
	}
	buf := make([]byte, min(scanBytes, d.Size()))
	for off := int64(0); off < d.Size(); {
		if err := ctx.Err(); err != nil {
			return facts{}, err
		}
		n := min(scanBytes, d.Size()-off)
		b, err := tensor.ReadRange(d, off, n, buf)
		if err != nil {
			return facts{}, err
		}
		h.Write(b)
		dist.add(b)
		onRead(off, n)
		off += n
	}
	return facts{[32]byte(h.Sum(nil)), dist.values()}, nil
}

// forEach calls f for 0 … n-1 on several goroutines and returns the error of
// the lowest index, so that the outcome does not depend on timing.
func forEach(ctx context.Context, threads, n int, f func(i int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(threads, n) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				errs[i] = f(i)
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// contentDigest identifies the arrays of a base, whatever file they lie in.
func contentDigest(l *layout.Layout, fs []facts) [32]byte {
	var b []byte
	for i := range l.Arrays {
		a := &l.Arrays[i]
		b = appendString(b, string(a.DType))
		b = appendShape(b, a.Shape)
		b = binary.AppendUvarint(b, uint64(a.Size))
		b = append(b, fs[i].digest[:]...)
	}
	return sha256.Sum256(b)
}

// A baseSet is the base that a file is coded against.
type baseSet struct {
	layout *layout.Layout
	facts  []facts
	digest [32]byte
}

func openBase(ctx context.Context, l *layout.Layout, threads int, onRead func(off, n int64)) (*baseSet, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	fs, err := scanAll(ctx, l, threads, onRead)
	if err != nil {
		return nil, fmt.Errorf("reading the base: %w", err)
	}
	return &baseSet{l, fs, contentDigest(l, fs)}, nil
}

func scanAll(ctx context.Context, l *layout.Layout, threads int, onRead func(off, n int64)) ([]facts, error) {
	fs := make([]facts, len(l.Arrays))
	err := forEach(ctx, threads, len(fs), func(i int) error {
		a := &l.Arrays[i]
		f, err := scan(ctx, l.ArrayData(i), unitOf(a.DType), func(off, n int64) {
			releaseArray(l, i, off, n)
			onRead(off, n)
		})
		if err != nil {
			return fmt.Errorf("array %q: %w", a.Name, err)
		}
		fs[i] = f
		return nil
	})
	return fs, err
}

// A releaser is a Data that can give memory back after a range was read:
// otherwise a mapped file stays resident as far as it was read.
type releaser interface{ Release(off, n int64) }

// releaseArray releases a range of an array.
func releaseArray(l *layout.Layout, i int, off, n int64) {
	a := &l.Arrays[i]
	release(l.Files[a.File].Data, a.Offset+off, n)
}

func release(d tensor.Data, off, n int64) {
	if r, ok := d.(releaser); ok {
		r.Release(off, n)
	}
}

// planSources decides for each array whether it needs coding at all.
func planSources(h *header, fs []facts, base *baseSet) {
	first := make(map[[32]byte]int)
	byName := make(map[string]int)
	bySum := make(map[[32]byte]int)
	if base != nil {
		for i, a := range slices.Backward(base.layout.Arrays) { // the first of equal ones wins
			byName[a.Name] = i
			bySum[base.facts[i].digest] = i
		}
	}
	h.arrays = make([]array, len(fs))
	for i := range h.arrays {
		a := &h.layout.Arrays[i]
		if a.Size == 0 {
			continue
		}
		// A reference may only stand for an array of the same size; equal
		// digests make that sure.
		if j, ok := first[fs[i].digest]; ok {
			h.arrays[i] = array{sourceTwin, j}
			continue
		}
		first[fs[i].digest] = i
		if base == nil {
			continue
		}
		if j, ok := bySum[fs[i].digest]; ok {
			h.arrays[i] = array{sourceSame, j}
			continue
		}
		if j, ok := byName[a.Name]; ok && unitOf(a.DType) != unitBytes {
			if b := &base.layout.Arrays[j]; b.DType == a.DType && b.Shape.Equal(a.Shape) {
				h.arrays[i] = array{sourceDelta, j}
			}
		}
	}
}

// planGroups puts each array that needs coding into a group: the skeleton
// first, then small arrays together, then the large ones in file order.
func planGroups(h *header, fs []facts) {
	if h.skelSize > 0 && h.skeleton == nil {
		h.groups = append(h.groups, h.newGroup(len(h.arrays)))
	}
	type kind struct {
		unit  unit
		delta bool
	}
	open := make(map[kind]int) // the group that still takes small arrays
	var large []group
	for i, a := range h.arrays {
		if a.source == sourceTwin || a.source == sourceSame || h.layout.Arrays[i].Size == 0 {
			continue
		}
		g := h.newGroup(i)
		if !isSmall(g.values, &fs[i]) {
			large = append(large, g)
			continue
		}
		k := kind{g.unit, g.delta}
		if at, ok := open[k]; ok && h.groups[at].values+g.values <= int64(min(groupValues, h.blockValues)) {
			h.groups[at].members = append(h.groups[at].members, i)
			h.groups[at].values += g.values
			continue
		}
		open[k] = len(h.groups)
		h.groups = append(h.groups, g)
	}
	h.groups = append(h.groups, large...)
}

func (h *header) newGroup(m int) group {
	u, size, delta := h.member(m)
	return group{members: []int{m}, unit: u, values: size / int64(u.width()), delta: delta}
}

// groupDigest returns the digest of a group: that of its array, or that of
// the digests of its arrays.
func groupDigest(members [][32]byte) [32]byte {
	if len(members) == 1 {
		return members[0]
	}
	h := sha256.New()
	for _, m := range members {
		h.Write(m[:])
	}
	return [32]byte(h.Sum(nil))
}

// extent is a run of values of one member inside of a block.
type extent struct {
	member int   // array, or the skeleton
	off, n int64 // bytes
}

// extents returns the parts of members that block b of group g consists of.
func (h *header) extents(g *group, b int) []extent {
	w := int64(g.unit.width())
	from := int64(b) * int64(h.blockValues) * w
	to := min(from+int64(h.blockValues)*w, g.values*w)
	var es []extent
	at := int64(0)
	for _, m := range g.members {
		_, size, _ := h.member(m)
		lo, hi := max(from, at), min(to, at+size)
		if lo < hi {
			es = append(es, extent{m, lo - at, hi - lo})
		}
		if at += size; at >= to {
			break
		}
	}
	return es
}

// segments describes the same parts to the coders.
func (h *header) segments(g *group, es []extent) []codec.Segment {
	w := int64(g.unit.width())
	segs := make([]codec.Segment, len(es))
	for i, e := range es {
		cols, taps, width := 1, 1, 1
		if e.member < len(h.arrays) {
			a := &h.layout.Arrays[e.member]
			switch bits := a.DType.Bits(); {
			case bits == int(w)*8:
				cols, taps, width = codec.Shape(a.Shape)
			case bits == int(w)*16: // complex: real and imaginary part are taps
				cols, taps, width = codec.Shape(a.Shape)
				taps, width = taps*2, width*2
			}
		}
		segs[i] = codec.Segment{Cols: cols, Taps: taps, Width: width, Start: int(e.off / w), Len: int(e.n / w)}
	}
	return segs
}

func threadsOf(n int) int {
	if n > 0 {
		return n
	}
	return runtime.GOMAXPROCS(0)
}
