package rope

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"ropewalk/internal/codec/mix"
	"ropewalk/internal/interrupt"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// An Effort is how hard Encode tries to make a file small.
type Effort string

// The efforts. Fast codes and decodes hundreds of megabytes a second; Max
// some millions of values a second, in 1 to 5 % fewer bytes for floats and a
// fifth fewer for quantized networks.
const (
	Auto Effort = "auto" // Max for up to 64 MiB of tensors, else Fast
	Fast Effort = "fast"
	Max  Effort = "max"
)

const autoLimit = 64 << 20

// DefaultBlockValues is the size of a block unless told otherwise. Smaller
// blocks give finer access; 64 Ki costs about 1.5 % more bytes.
const DefaultBlockValues = 1 << 18

// blockMemory is about what one block in work takes, with its models.
const blockMemory = 24 << 20

// Options say how to encode. The zero value is the default, as is nil.
type Options struct {
	Effort      Effort         // default Auto
	Threads     int            // default GOMAXPROCS; does not change the bytes
	Memory      int64          // bytes for blocks in work; default 2 blocks per thread; does not change the bytes
	BlockValues int            // 1 … 4 Mi; default DefaultBlockValues, or twice that if all values fit
	Base        *layout.Layout // code against this checkpoint
	// Progress is called now and then, from several goroutines.
	Progress func(done, total int64)

	rawEnds  bool // header and index as they are: an example that can be read
	long     bool // never the short form
	unproven bool // do not decode what was coded: nobody will
}

// EffortFor returns the effort that Auto stands for.
func EffortFor(l *layout.Layout) Effort {
	if arrayBytes(l) > autoLimit {
		return Fast
	}
	return Max
}

// arrayBytes returns the size of all arrays.
func arrayBytes(l *layout.Layout) (n int64) {
	for i := range l.Arrays {
		n += l.Arrays[i].Size
	}
	return n
}

// withDefaults returns the options for a layout.
func (o *Options) withDefaults(l *layout.Layout) (Options, error) {
	var opt Options
	if o != nil {
		opt = *o
	}
	switch opt.Effort {
	case "", Auto:
		opt.Effort = EffortFor(l)
	case Fast, Max:
	default:
		return opt, fmt.Errorf("rope: effort is %q, want %q, %q or %q", opt.Effort, Auto, Fast, Max)
	}
	if opt.BlockValues == 0 {
		values := int64(0)
		for i := range l.Arrays {
			values += l.Arrays[i].Size / int64(unitOf(l.Arrays[i].DType).width())
		}
		opt.BlockValues = DefaultBlockValues
		if values > DefaultBlockValues && values <= smallNet {
			opt.BlockValues = smallNet
		}
	}
	if opt.BlockValues < 1 || opt.BlockValues > maxBlockValues {
		return opt, fmt.Errorf("rope: %d values in a block, want 1 to %d", opt.BlockValues, maxBlockValues)
	}
	opt.Threads = threadsOf(opt.Threads)
	if opt.Progress == nil {
		opt.Progress = func(int64, int64) {}
	}
	return opt, nil
}

// inFlight returns how many blocks may be in work at once.
func (o *Options) inFlight() int {
	n := 2 * o.Threads
	if o.Memory > 0 {
		scale := max(int64(o.BlockValues)/DefaultBlockValues, 1)
		n = int(min(int64(n), o.Memory/(blockMemory*scale)))
	}
	return max(n, 1)
}

// A Summary is what Encode reports.
type Summary struct {
	Original int64    // bytes of the files
	Packed   int64    // bytes written
	Effort   Effort   // the one that was used
	Tensors  int      // named ones
	Twins    int      // arrays stored as a reference to an equal one
	Same     int      // arrays stored as a reference to the base
	Root     [32]byte // digest over header and index, see [File.Root]
}

// Encode packs the files of l and writes them to w, front to back. Each block
// is decoded again and compared before it is written. When it fails, what was
// written so far is not a .rope.
func Encode(ctx context.Context, w io.Writer, l *layout.Layout, o *Options) (*Summary, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	opt, err := o.withDefaults(l)
	if err != nil {
		return nil, err
	}
	e := &encoder{opt: opt, layout: l, out: w}
	e.ctx, e.cancel = context.WithCancelCause(ctx)
	defer e.cancel(nil)
	e.progress.total = arrayBytes(l)
	if err := e.plan(); err != nil {
		return nil, err
	}
	if err := e.writeShortest(); err != nil {
		return nil, err
	}
	s := &Summary{Packed: e.written, Effort: opt.Effort, Tensors: len(l.Views), Root: e.root, Original: e.header.filesSize()}
	for _, a := range e.header.arrays {
		switch a.source {
		case sourceTwin:
			s.Twins++
		case sourceSame:
			s.Same++
		}
	}
	return s, nil
}

// Size returns how many bytes Encode would write. It takes a third of the time, for nothing
// is decoded again: it is for choosing between files of which one is then written.
func Size(ctx context.Context, l *layout.Layout, o *Options) (int64, error) {
	var opt Options
	if o != nil {
		opt = *o
	}
	opt.unproven = true
	s, err := Encode(ctx, io.Discard, l, &opt)
	if err != nil {
		return 0, err
	}
	return s.Packed, nil
}

type encoder struct {
	ctx       context.Context
	cancel    context.CancelCauseFunc
	opt       Options
	layout    *layout.Layout
	header    *header
	facts     []facts
	base      *baseSet
	skelFacts facts
	groups    []*groupPlan
	skeleton  tensor.Data
	out       io.Writer
	written   int64
	root      [32]byte
	progress  meter
}

// A meter counts bytes of two passes: reading counts one eighth of coding,
// which is about what it takes.
type meter struct {
	done  atomic.Int64
	total int64
}

func (e *encoder) advance(n int64) {
	e.opt.Progress(e.progress.done.Add(n), 9*e.progress.total)
}

// plan reads everything once and decides what goes where.
func (e *encoder) plan() error {
	l := e.layout
	var err error
	if e.opt.Base != nil {
		if e.base, err = openBase(e.ctx, e.opt.Base, e.opt.Threads, func(int64, int64) {}); err != nil {
			return err
		}
	}
	e.facts, err = scanAll(e.ctx, l, e.opt.Threads, func(_, n int64) { e.advance(n) })
	if err != nil {
		return err
	}
	h := &header{blockValues: e.opt.BlockValues, layout: l}
	for _, f := range l.Files {
		h.fileSizes = append(h.fileSizes, f.Data.Size())
	}
	e.header = h
	planSources(h, e.facts, e.base)
	for _, a := range h.arrays {
		if a.source == sourceSame || a.source == sourceDelta {
			h.base = &e.base.digest
		}
	}
	h.measure()
	e.skeleton = newGather(h)
	if h.skelSize <= maxDescribed {
		h.skeleton, err = tensor.ReadRange(e.skeleton, 0, h.skelSize, []byte{})
		if h.skelSize > maxInline && h.appendDescribed(nil) == nil {
			h.skeleton = nil
		}
	}
	if h.skeleton == nil && err == nil {
		e.skelFacts, err = scan(e.ctx, e.skeleton, unitBytes, func(int64, int64) {})
	}
	if err != nil {
		return err
	}
	choices, err := chooseCodebooks(e.ctx, l, e.facts, h.arrays, e.opt.Threads, e.opt.Effort)
	if err != nil {
		return err
	}
	for i := range e.facts {
		e.facts[i].hist = histogram{} // no longer needed; there may be thousands
	}
	planGroups(h, choices)
	for i := range h.groups {
		e.groups = append(e.groups, e.planGroup(&h.groups[i], choices))
	}
	return nil
}

// writeShortest writes the file in the long form or, if that is smaller, in the short
// one.
func (e *encoder) writeShortest() error {
	if e.opt.long || e.opt.rawEnds || e.header.base != nil || e.header.filesSize() > maxShortData {
		return e.write()
	}
	out, long := e.out, &bytes.Buffer{}
	e.out = long
	if err := e.write(); err != nil {
		return err
	}
	e.out, e.written = out, 0
	if long.Len() <= shortLimit {
		short, root, err := shorten(long.Bytes(), !e.opt.unproven)
		if err != nil {
			return err
		}
		if short != nil && len(short) < long.Len() {
			e.root = root
			return e.emit(short)
		}
	}
	return e.emit(long.Bytes())
}

// shortLimit is up to which size the short form is tried: beyond, its hundred bytes
// do not make up for a file that must be decoded to be opened.
const shortLimit = 1 << 17

// write writes the whole file, coding the blocks on all threads.
func (e *encoder) write() error {
	content := e.header.append()
	if _, err := parseHeader(content); err != nil {
		return fmt.Errorf("rope: cannot be packed: %w", err)
	}
	head := e.appendEnd(nil, content)
	if err := e.emit(append([]byte(Magic), head...)); err != nil {
		return err
	}
	index, err := e.writeBlocks()
	if err != nil {
		return err
	}
	foot := e.appendEnd(nil, index)
	e.root = rootDigest(head, foot)
	foot = binary.LittleEndian.AppendUint32(foot, uint32(len(foot)))
	return e.emit(append(foot, endMagic...))
}

// endMagic ends every .rope file; what comes before it is the length of the
// frame of the index.
const endMagic = "EPOR"

const trailerSize = 4 + len(endMagic)

func rootDigest(head, foot []byte) [32]byte {
	h := sha256.New()
	h.Write(head)
	h.Write(foot)
	return [32]byte(h.Sum(nil))
}

// appendEnd frames the header or index.
func (e *encoder) appendEnd(dst, b []byte) []byte {
	if e.opt.rawEnds {
		return appendFrame(dst, coderRaw, b)
	}
	return appendPackedFrame(dst, b)
}

// appendPackedFrame frames the header or index: as it is, or its length and a
// compressed form that is shorter, and not so much that a reader would refuse it.
func appendPackedFrame(dst, b []byte) []byte {
	size := slices.Clip(binary.AppendUvarint(nil, uint64(len(b))))
	best := frameBody{coderRaw, b}
	if z := compress(b); plausible(len(b), len(z)) {
		best = smaller(best, frameBody{coderZstd, append(size, z...)})
	}
	if len(b) <= mix.MaxText {
		best = smaller(best, frameBody{coderText, mix.AppendText(size, b, nil)})
	}
	return appendFrame(dst, best.coder, best.payload)
}

func (e *encoder) emit(b []byte) error {
	n, err := e.out.Write(b)
	e.written += int64(n)
	return err
}

// A codedBlock is the frames of one block, ready to be written.
type codedBlock struct {
	codebooks []byte             // with the first block of a group that has some
	parts     [numOfParts][]byte // nil if the block has no such part
	err       error
}

// writeBlocks codes all blocks and returns the index.
func (e *encoder) writeBlocks() (index []byte, err error) {
	type job struct {
		plan  *groupPlan
		block int
		done  chan codedBlock
	}
	inFlight := e.opt.inFlight()
	jobs := make(chan job, inFlight)
	order := make(chan job, inFlight) // the same jobs, in the order of the file
	var wg sync.WaitGroup
	for range min(e.opt.Threads, inFlight) {
		wg.Go(func() {
			for j := range jobs {
				j.done <- j.plan.encode(j.block)
			}
		})
	}
	wg.Go(func() {
		defer close(order)
		defer close(jobs)
		for _, p := range e.groups {
			for b := range p.g.blocks(e.opt.BlockValues) {
				j := job{p, b, make(chan codedBlock, 1)}
				select {
				case order <- j:
				case <-e.ctx.Done():
					return
				}
				jobs <- j
			}
		}
	})
	defer wg.Wait()
	defer func() {
		if err != nil {
			e.cancel(err)
			for range order { // let the workers end
			}
		}
	}()
	for j := range order {
		c := <-j.done
		if c.err != nil {
			return nil, c.err
		}
		if j.block == 0 {
			index = binary.AppendUvarint(index, uint64(len(c.codebooks)))
			if err := e.emit(c.codebooks); err != nil {
				return nil, err
			}
		}
		for _, frame := range c.parts {
			if frame == nil && !j.plan.split() {
				continue
			}
			index = binary.AppendUvarint(index, uint64(len(frame)))
			if err := e.emit(frame); err != nil {
				return nil, err
			}
			giveBack(frame)
		}
		if j.block == j.plan.g.blocks(e.opt.BlockValues)-1 {
			d := j.plan.digest()
			index = append(index, d[:]...)
			j.plan.books, j.plan.packed = nil, nil // no longer needed; there may be thousands
		}
	}
	return index, context.Cause(e.ctx)
}

// A groupPlan knows how the blocks of one group are coded.
type groupPlan struct {
	e      *encoder
	g      *group
	once   sync.Once
	books  []*codebook // of the members; nil if there are none
	packed []byte      // their frame
	first  frameBody   // the indices of one block, once they are coded
	err    error

	settled int // that block
}

func (e *encoder) planGroup(g *group, cs []choice) *groupPlan {
	p := &groupPlan{e: e, g: g}
	books := make([]*codebook, len(g.members))
	for i, m := range g.members {
		if m < len(cs) && cs[m].book != nil {
			books[i], p.books = cs[m].book, books
		}
	}
	return p
}

// split reports whether the index has a length for each part of a block.
func (p *groupPlan) split() bool { return p.packed != nil && len(p.g.members) > 1 }

// memberData returns the bytes of an array, or of the skeleton.
func (e *encoder) memberData(m int) tensor.Data {
	if m == len(e.header.arrays) {
		return e.skeleton
	}
	return e.layout.ArrayData(m)
}

// read gathers the values of a part of a block with those extents, and of the base below it.
func (p *groupPlan) read(es []extent) (src []byte, info *blockInfo, err error) {
	h := p.e.header
	info = &blockInfo{unit: p.g.unit, books: booksOf(es, p.books)}
	info.segments = h.segments(p.g, es, info.books)
	src, err = readExtents(es, p.e.memberData)
	if err == nil && p.g.delta {
		info.base, err = readExtents(es, func(m int) tensor.Data {
			return p.e.base.layout.ArrayData(h.arrays[m].ref)
		})
	}
	if p.e.opt.Effort == Max { // see code: a map may be closed when a block is given up
		src, info.base = bytes.Clone(src), bytes.Clone(info.base)
	}
	return src, info, err
}

// readExtents returns the bytes of all extents, lent if it is just one.
func readExtents(es []extent, data func(member int) tensor.Data) ([]byte, error) {
	if len(es) == 1 {
		return tensor.ReadRange(data(es[0].member), es[0].off, es[0].n, nil)
	}
	var all []byte
	for _, e := range es {
		b, err := tensor.ReadRange(data(e.member), e.off, e.n, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
	return all, nil
}

// encode codes one block and proves that it decodes.
func (p *groupPlan) encode(block int) (c codedBlock) {
	defer recoverTo(&c.err)
	if err := p.e.ctx.Err(); err != nil {
		return codedBlock{err: context.Cause(p.e.ctx)}
	}
	p.once.Do(func() { p.err = p.settleCodebooks() })
	if p.err != nil {
		return codedBlock{err: p.err}
	}
	es := p.e.header.extents(p.g, block)
	for i, part := range partsOf(es, p.books) {
		if len(part) == 0 {
			continue
		}
		if c.parts[i], c.err = p.encodePart(block, part); c.err != nil {
			return c
		}
	}
	if block == 0 {
		c.codebooks = p.packed
	}
	for _, e := range es {
		if e.member < len(p.e.header.arrays) {
			releaseArray(p.e.layout, e.member, e.off, e.n)
		}
		if p.g.delta {
			releaseArray(p.e.base.layout, p.e.header.arrays[e.member].ref, e.off, e.n)
		}
		p.e.advance(8 * e.n)
	}
	return c
}

// encodePart returns the frame of a part of a block.
func (p *groupPlan) encodePart(block int, part []extent) ([]byte, error) {
	src, info, err := p.read(part)
	if err != nil {
		return nil, err
	}
	var body frameBody
	if block == p.settled && info.books != nil {
		body, p.first = p.first, frameBody{}
	} else if body, err = p.code(src, info); err != nil {
		return nil, err
	}
	if body.coder != coderRaw && !p.e.opt.unproven {
		same, err := p.decodes(body, src, info)
		if p.e.ctx.Err() != nil {
			return nil, context.Cause(p.e.ctx)
		}
		if err != nil || !same {
			return nil, fmt.Errorf("rope: internal error: block %d of group %v, coded by %q, does not decode (%w)", block, p.g.members, body.coder, err)
		}
	}
	frame := appendFrame(borrow(), body.coder, body.payload)
	if body.coder == coderPlanes || body.coder == coderRotated {
		giveBack(body.payload)
	}
	return frame, nil
}

// code codes a block. With effort max that takes seconds, which nobody has to
// wait for.
func (p *groupPlan) code(src []byte, info *blockInfo) (frameBody, error) {
	if p.e.opt.Effort != Max {
		return encodeBlock(src, info, p.e.opt.Effort), nil
	}
	return interrupt.Run(p.e.ctx, func() (frameBody, error) { return encodeBlock(src, info, Max), nil })
}

// decodes reports whether a coded block decodes to src.
func (p *groupPlan) decodes(body frameBody, src []byte, info *blockInfo) (bool, error) {
	if p.e.opt.Effort != Max {
		back := slices.Grow(borrow(), len(src))[:len(src)]
		defer giveBack(back)
		err := decodeBlock(back, body, info)
		return bytes.Equal(back, src), err
	}
	return interrupt.Run(p.e.ctx, func() (bool, error) {
		back := make([]byte, len(src))
		err := decodeBlock(back, body, info)
		return bytes.Equal(back, src), err
	})
}

// buffers are used again from block to block: clearing fresh memory takes as
// long as coding into it.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// borrow returns an empty buffer that has some room.
func borrow() []byte { return (*buffers.Get().(*[]byte))[:0] }

// giveBack takes a buffer to which nobody refers any more.
func giveBack(b []byte) { buffers.Put(&b) }

// recoverTo turns a panic into an error: in a goroutine of its own it would
// end the program before temporary files are removed.
func recoverTo(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("rope: internal error: %v\n%s", r, debug.Stack())
	}
}

// settleCodebooks codes the indices of the first block that is not one value,
// and gives up the codebooks if it is smaller without: what repeats has few
// values, and a better coder.
func (p *groupPlan) settleCodebooks() error {
	if p.books == nil {
		return nil
	}
	blocks := p.g.blocks(p.e.opt.BlockValues)
	for b := range blocks {
		src, info, err := p.read(partsOf(p.e.header.extents(p.g, b), p.books)[partIndexed])
		if err != nil {
			return err
		}
		if b < blocks-1 && isFill(src, p.g.unit.width()) {
			continue
		}
		p.packed = appendFrame(nil, coderCodebooks, appendCodebooks(nil, p.books))
		first, err := p.code(src, info)
		if err != nil {
			return err
		}
		p.settled, p.first = b, first
		plain := encodeQuick(src, p.g.unit)
		indexed := p.first.coder == coderLevels || p.first.coder == coderLanes || p.first.coder == coderIndexPlanes
		if !indexed || len(plain.payload) <= len(p.first.payload)+len(p.packed)/blocks {
			p.books, p.packed, p.first = nil, nil, frameBody{}
		}
		break
	}
	return nil
}

func (p *groupPlan) digest() [32]byte {
	var ds [][32]byte
	for _, m := range p.g.members {
		if m < len(p.e.header.arrays) {
			ds = append(ds, p.e.facts[m].digest)
			continue
		}
		ds = append(ds, p.e.skelFacts.digest)
	}
	return groupDigest(ds)
}
