package rope

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
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
// of them more than its values. Arrays with codebooks share one, whatever
// their size, as long as it is one block: a model that has seen one of them
// knows the next. An indexed group must save more than groupCost.
const (
	smallValues = 4096
	groupValues = 1 << 16
	groupCost   = 64
)

// maxShared is how many values the arrays of a group may have together, if
// there are several: to get one, the whole block is decoded.
const maxShared = 1 << 19

// smallNet is how many values a checkpoint may have to be packed for size
// alone: its groups are merged, as digests and lengths would be a good part of
// the file.
const smallNet = maxShared

// A facts is what one pass over an array finds out.
type facts struct {
	digest [32]byte
	plain  int64     // bits that the values take without a codebook, about
	hist   histogram // empty if a codebook of the values does not pay
}

// scanBytes is how much is read at a time to hash.
const scanBytes = 1 << 20

// scan reads all of d once.
func scan(ctx context.Context, d tensor.Data, u unit, onRead func(off, n int64)) (facts, error) {
	h := sha256.New()
	dist := newDistinct(u.width(), d.Size()/int64(u.width()))
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
	f := facts{digest: [32]byte(h.Sum(nil))}
	n := d.Size() / int64(u.width())
	if !dist.full && (int64(dist.n) <= n/2 || u.width() == 1) {
		f.hist = dist.histogram(u)
	}
	f.plain = plainBits(u, f.hist, n)
	if !f.pays(entropy(f.hist.counts)) {
		f.hist = histogram{} // there may be thousands
	}
	return f, nil
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
// first, then arrays that share a group, then the others in file order. It
// takes codebooks away where they would not pay for their group.
func planGroups(h *header, cs []choice) {
	if h.skelSize > 0 && h.skeleton == nil {
		h.groups = append(h.groups, h.newGroup(len(h.arrays)))
	}
	p := &planner{h: h, cs: cs, shared: int64(min(maxShared, h.blockValues))}
	var plain []int
	var small []int // with a codebook
	total := int64(0)
	for i, a := range h.arrays {
		if a.source == sourceTwin || a.source == sourceSame || h.layout.Arrays[i].Size == 0 {
			continue
		}
		g := h.newGroup(i)
		total += g.values
		switch {
		case cs[i].book == nil || g.delta && g.values < smallValues:
			cs[i] = choice{}
			plain = append(plain, i)
		case g.delta || g.values > p.shared:
			p.large = append(p.large, g)
		case g.values < smallValues:
			small = append(small, i)
		default:
			p.share(p.kind(i), i, p.shared)
		}
	}
	for _, i := range small {
		k := p.kind(i)
		if near, ok := p.nearest(k, h.newGroup(i).values); ok {
			k = near
		}
		p.share(k, i, p.shared)
	}
	plain = append(plain, p.dropPoor(total <= smallNet)...)
	slices.Sort(plain)
	for _, i := range plain {
		if g := h.newGroup(i); g.values >= smallValues {
			p.large = append(p.large, g)
			continue
		}
		p.share(p.kind(i), i, min(p.shared, groupValues))
	}
	if total <= smallNet {
		p.merge()
	}
	for _, g := range p.groups {
		slices.Sort(g.members)
		h.groups = append(h.groups, *g)
	}
	slices.SortFunc(p.large, func(a, b group) int { return a.members[0] - b.members[0] })
	h.groups = append(h.groups, p.large...)
}

// A planner forms the groups of several arrays.
type planner struct {
	h      *header
	cs     []choice
	shared int64 // most values of a group
	groups []*group
	kinds  []groupKind // of the groups
	large  []group     // of one array each
}

// A groupKind is what arrays of one group have in common. The levels of
// quantized arrays are of one power of two; other arrays have 0.
type groupKind struct {
	unit   unit
	delta  bool
	levels int
}

func (p *planner) kind(i int) groupKind {
	u, _, delta := p.h.member(i)
	k := groupKind{unit: u, delta: delta}
	if cb := p.cs[i].book; cb != nil {
		k.levels = bits.Len(uint(len(cb.values)-1)) + 1
	}
	return k
}

// share puts an array into the last group of its kind, or a new one.
func (p *planner) share(k groupKind, i int, most int64) {
	g := p.h.newGroup(i)
	for at, other := range slices.Backward(p.groups) {
		if p.kinds[at] == k && other.values+g.values <= most {
			other.members = append(other.members, i)
			other.values += g.values
			return
		}
	}
	p.groups = append(p.groups, &g)
	p.kinds = append(p.kinds, k)
}

// nearest returns the kind of group for indices with room that is most like k.
func (p *planner) nearest(k groupKind, values int64) (near groupKind, ok bool) {
	for at, other := range p.kinds {
		if other.unit != k.unit || other.delta != k.delta || other.levels == 0 || p.groups[at].values+values > p.shared {
			continue
		}
		if d := abs(other.levels - k.levels); !ok || d < abs(near.levels-k.levels) {
			near, ok = other, true
		}
	}
	return near, ok
}

func abs(v int) int { return max(v, -v) }

// dropPoor removes groups that do not save what a group costs, and returns
// their members. In a small net they will be merged with others.
func (p *planner) dropPoor(small bool) []int {
	least := int64(groupCost)
	if small {
		least = 0
	}
	var dropped []int
	groups, kinds := p.groups, p.kinds
	p.groups, p.kinds = nil, nil
	for at, g := range groups {
		saves := int64(0)
		for _, i := range g.members {
			saves += p.cs[i].saves
		}
		if saves > least {
			p.groups, p.kinds = append(p.groups, g), append(p.kinds, kinds[at])
			continue
		}
		for _, i := range g.members {
			p.cs[i] = choice{}
			dropped = append(dropped, i)
		}
	}
	return dropped
}

// mergeValues is up to how many values groups of indices are merged with
// others of which the levels are of another number.
const mergeValues = 1 << 14

// merge joins groups of one unit.
func (p *planner) merge() {
	for at := len(p.groups) - 1; at > 0; at-- {
		for to := range at {
			a, b := p.groups[to], p.groups[at]
			if a.unit != b.unit || a.delta != b.delta || a.delta || a.values+b.values > p.shared {
				continue
			}
			if p.kinds[to].levels > 0 && p.kinds[at].levels > 0 && min(a.values, b.values) > mergeValues {
				continue
			}
			a.members = append(a.members, b.members...)
			a.values += b.values
			p.groups = slices.Delete(p.groups, at, at+1)
			p.kinds = slices.Delete(p.kinds, at, at+1)
			break
		}
	}
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
	nth    int   // of the members of the group
	off, n int64 // bytes
}

// extents returns the parts of members that block b of group g consists of.
func (h *header) extents(g *group, b int) []extent {
	w := int64(g.unit.width())
	from := int64(b) * int64(h.blockValues) * w
	to := min(from+int64(h.blockValues)*w, g.values*w)
	var es []extent
	at := int64(0)
	for nth, m := range g.members {
		_, size, _ := h.member(m)
		lo, hi := max(from, at), min(to, at+size)
		if lo < hi {
			es = append(es, extent{m, nth, lo - at, hi - lo})
		}
		if at += size; at >= to {
			break
		}
	}
	return es
}

// Parts of a block: what has codebooks is coded as indices, in a frame of its
// own, and the other members as they are.
const (
	partIndexed = iota
	partPlain
	numOfParts
)

// partsOf splits the extents of a block.
func partsOf(es []extent, books []*codebook) (parts [numOfParts][]extent) {
	for _, e := range es {
		if books != nil && books[e.nth] != nil {
			parts[partIndexed] = append(parts[partIndexed], e)
		} else {
			parts[partPlain] = append(parts[partPlain], e)
		}
	}
	return parts
}

// booksOf returns the codebooks of extents, or nil if they have none.
func booksOf(es []extent, books []*codebook) []*codebook {
	if books == nil || books[es[0].nth] == nil {
		return nil
	}
	bs := make([]*codebook, len(es))
	for i, e := range es {
		bs[i] = books[e.nth]
	}
	return bs
}

// segments describes extents to the coders.
func (h *header) segments(g *group, es []extent, books []*codebook) []codec.Segment {
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
		if books != nil {
			segs[i].Levels = books[i].fixed
		}
	}
	return segs
}

func threadsOf(n int) int {
	if n > 0 {
		return n
	}
	return runtime.GOMAXPROCS(0)
}
