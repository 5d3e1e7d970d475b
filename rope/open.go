package rope

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"sync/atomic"

	"ropewalk/internal/codec"
	"ropewalk/internal/codec/mix"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// OpenOptions say how to open a file. The zero value is the default.
type OpenOptions struct {
	// Base is the checkpoint that the file was packed against, if it was.
	// Open reads all of it, to be sure that it is the right one.
	Base *layout.Layout
	// Decoders read values that the original format keeps in another form
	// than verbatim, see [layout.Layout.Decoders].
	Decoders map[string]layout.Decoder
	// Threads decode at once; default GOMAXPROCS.
	Threads int
	// Memory bounds the decoded blocks that are kept for random access, in
	// bytes; default 64 MiB or two blocks per thread, whichever is more.
	Memory int64
}

// A File is an opened .rope. It is safe for concurrent use. The data that it
// was opened on must stay readable as long as the File, or anything got from
// it, is in use.
type File struct {
	name    string
	data    tensor.Data
	header  *header
	groups  []groupIndex
	blocks  []blockRef // all blocks of all groups, in order
	home    []home     // where each array, and the skeleton, is
	pieces  [][]piece
	skelOK  atomic.Bool // the digest of the skeleton was checked
	base    *layout.Layout
	threads int
	keep    int // decoded blocks to have in memory
	cache   *cache
	root    [32]byte
	headLen int64 // bytes of the frame of the header
	footLen int64 // bytes of the frame of the index
	layout  *layout.Layout
	short   *shortForm // that the file was expanded from, or nil
}

// groupIndex is what the index says of one group.
type groupIndex struct {
	codebook    int64 // offset of the frame of codebooks, or 0
	codebookLen int64
	firstBlock  int // in File.blocks
	digest      [32]byte
	books       []*codebook // read on Open, for they are needed by every block
}

// A blockRef is where one block is stored.
type blockRef struct {
	group, block int
	off          int64
	parts        [numOfParts]int64 // lengths of the frames, 0 where there is none
}

// size returns the bytes of all frames.
func (b *blockRef) size() int64 { return b.parts[partIndexed] + b.parts[partPlain] }

// home is the group of a member, and where in its values it begins.
type home struct {
	group int // -1 if it is in none
	off   int64
}

// maxFrame bounds header and index, decoded; maxRatio how much longer they may
// get by decoding, if that is more than freeFrame: names repeat, but not that
// much, and what is parsed takes more memory than its bytes.
const (
	maxFrame  = 1 << 30
	maxRatio  = 64
	freeFrame = 1 << 18
)

// plausible reports whether a header or index of size bytes may come from a
// payload of packed bytes.
func plausible(size, packed int) bool {
	return size <= maxFrame && (size <= freeFrame || size/maxRatio <= packed)
}

// Open reads the header and the index of a .rope and checks them. name is for
// messages. Errors are *layout.CorruptError, *layout.UnsupportedError, or wrap
// [ErrBase].
func Open(name string, data tensor.Data, o *OpenOptions) (*File, error) {
	var opt OpenOptions
	if o != nil {
		opt = *o
	}
	f := &File{name: name, data: data, base: opt.Base, threads: threadsOf(opt.Threads)}
	if err := f.readEnds(); err != nil {
		return nil, err
	}
	f.header.layout.Decoders = opt.Decoders
	if err := f.checkBase(); err != nil {
		return nil, err
	}
	block := int64(f.header.blockValues) * 8
	keep := opt.Memory
	if keep == 0 {
		keep = max(64<<20, 2*int64(f.threads)*block)
	}
	f.keep = int(min(max(keep/block, 1), 1<<20))
	f.cache = newCache(f.keep)
	f.pieces = f.header.pieces()
	if f.short != nil {
		if err := f.settle(); err != nil {
			return nil, err
		}
	}
	f.layout = f.buildLayout()
	if err := f.layout.Validate(); err != nil {
		return nil, f.corrupt(int64(len(Magic)), err)
	}
	return f, nil
}

// Sniff reports whether a file that begins with head is a .rope of any version.
func Sniff(head []byte) bool {
	return len(head) >= len(Magic) && string(head[:len(Magic)-1]) == Magic[:len(Magic)-1]
}

func (f *File) corrupt(off int64, err error) error {
	if f.short != nil {
		off = f.short.place(off)
	}
	if u, ok := errors.AsType[*layout.UnsupportedError](err); ok {
		return &layout.UnsupportedError{File: f.name, Offset: off, Reason: u.Reason}
	}
	return &layout.CorruptError{File: f.name, Offset: off, Reason: err.Error(), Err: err}
}

// readEnds reads magic, header, trailer and index.
func (f *File) readEnds() error {
	size := f.data.Size()
	least := int64(len(Magic) + trailerSize)
	if size < least {
		return f.corrupt(size, fmt.Errorf("the file has %d bytes, the least is %d: %w", size, least, io.ErrUnexpectedEOF))
	}
	magic, err := tensor.ReadRange(f.data, 0, int64(len(Magic)), nil)
	if err != nil {
		return err
	}
	if !Sniff(magic) {
		return f.corrupt(0, errors.New("not a .rope file"))
	}
	switch string(magic) {
	case Magic:
	case MagicShort:
		return f.expand()
	default:
		return &layout.UnsupportedError{File: f.name, Offset: int64(len(Magic)) - 1, Reason: fmt.Sprintf("version %d of the format; this program reads versions 1 and 2", magic[len(Magic)-1])}
	}
	trailer, err := tensor.ReadRange(f.data, size-int64(trailerSize), int64(trailerSize), nil)
	if err != nil {
		return err
	}
	if string(trailer[4:]) != endMagic {
		return f.corrupt(size-int64(len(endMagic)), fmt.Errorf("the end mark is missing, so the file is cut off or longer than it was: %w", io.ErrUnexpectedEOF))
	}
	head, err := f.readHeader()
	if err != nil {
		return err
	}
	f.headLen = int64(len(head))
	f.footLen = int64(binary.LittleEndian.Uint32(trailer))
	footAt := size - int64(trailerSize) - f.footLen
	if footAt < int64(len(Magic))+f.headLen {
		return f.corrupt(size-int64(trailerSize), fmt.Errorf("the index takes %d bytes, more than there are", f.footLen))
	}
	foot, err := tensor.ReadRange(f.data, footAt, f.footLen, nil)
	if err != nil {
		return err
	}
	index, err := unpackFrame(foot)
	if err != nil {
		return f.corrupt(footAt, fmt.Errorf("index: %w", err))
	}
	if err := f.parseIndex(index, footAt); err != nil {
		return f.corrupt(footAt, fmt.Errorf("index: %w", err))
	}
	f.root = rootDigest(head, foot)
	return f.readCodebooks()
}

// readHeader reads the frame of the header and returns its bytes.
func (f *File) readHeader() ([]byte, error) {
	at := int64(len(Magic))
	room := f.data.Size() - at - int64(trailerSize)
	start, err := tensor.ReadRange(f.data, at, min(room, 1+binary.MaxVarintLen64), nil)
	if err != nil {
		return nil, err
	}
	if len(start) < 2 {
		return nil, f.corrupt(at, fmt.Errorf("header: %w", io.ErrUnexpectedEOF))
	}
	n, k := codec.Uvarint(start[1:])
	if k <= 0 || n > uint64(room) || int64(n)+int64(1+k+4) > room {
		return nil, f.corrupt(at, fmt.Errorf("the header takes %d bytes, there are %d: %w", n, room, io.ErrUnexpectedEOF))
	}
	frame, err := tensor.ReadRange(f.data, at, int64(1+k)+int64(n)+4, nil)
	if err != nil {
		return nil, err
	}
	b, err := unpackFrame(frame)
	if err == nil {
		f.header, err = parseHeader(b)
	}
	if err != nil {
		return nil, f.corrupt(at, fmt.Errorf("header: %w", err))
	}
	return frame, nil
}

// unpackFrame is the inverse of appendPackedFrame.
func unpackFrame(frame []byte) ([]byte, error) {
	coder, payload, err := parseFrame(frame)
	if err != nil {
		return nil, err
	}
	if coder == coderRaw {
		if len(payload) > maxFrame {
			return nil, fmt.Errorf("%d bytes: %w", len(payload), errWire)
		}
		return payload, nil
	}
	size, n := codec.Uvarint(payload)
	if n <= 0 {
		return nil, io.ErrUnexpectedEOF
	}
	payload = payload[n:]
	if size > maxFrame || !plausible(int(size), len(payload)) {
		return nil, fmt.Errorf("%d bytes want to become %d: %w", len(payload), size, errWire)
	}
	switch coder {
	case coderZstd:
		b := make([]byte, size)
		return b, decompress(b, payload)
	case coderText:
		if size > mix.MaxText {
			return nil, fmt.Errorf("a text of %d bytes: %w", size, errWire)
		}
		b := make([]byte, size)
		return b, mix.DecodeText(b, payload, nil)
	}
	return nil, unsupported(fmt.Sprintf("is coded by %q", coder))
}

// parseIndex reads the lengths of all frames; they must fill the file up to
// the index.
func (f *File) parseIndex(b []byte, end int64) error {
	r := &wireReader{b: b}
	at := int64(len(Magic)) + f.headLen
	frame := func(optional bool) int64 {
		n := int64(r.uint("length of a frame", uint64(max(end-at, 0))))
		if r.err == nil && n < minFrame && !(optional && n == 0) {
			r.fail("a frame of %d bytes: %w", n, errWire)
		}
		at += n
		return n
	}
	f.home = make([]home, len(f.header.arrays)+1)
	for i := range f.home {
		f.home[i].group = -1
	}
	for i := range f.header.groups {
		g := &f.header.groups[i]
		off := int64(0)
		for _, m := range g.members {
			_, size, _ := f.header.member(m)
			f.home[m] = home{i, off}
			off += size
		}
		gi := groupIndex{firstBlock: len(f.blocks)}
		begin := at
		if gi.codebookLen = frame(true); gi.codebookLen > 0 {
			gi.codebook = begin
		}
		blocks := g.blocks(f.header.blockValues)
		if blocks > len(r.b) || int64(blocks) > (end-at)/minFrame {
			return fmt.Errorf("%d blocks in group %d: %w", blocks, i, io.ErrUnexpectedEOF)
		}
		for b := range blocks {
			ref := blockRef{group: i, block: b, off: at}
			switch {
			case gi.codebook == 0:
				ref.parts[partPlain] = frame(false)
			case len(g.members) == 1:
				ref.parts[partIndexed] = frame(false)
			default: // which parts there are is seen when the codebooks are read
				ref.parts[partIndexed] = frame(true)
				ref.parts[partPlain] = frame(true)
			}
			f.blocks = append(f.blocks, ref)
		}
		copy(gi.digest[:], r.bytes("digest", 32))
		if r.err != nil {
			return r.err
		}
		f.groups = append(f.groups, gi)
	}
	if len(r.b) > 0 {
		return fmt.Errorf("%d bytes too many: %w", len(r.b), errWire)
	}
	if at != end {
		return fmt.Errorf("the frames end at byte %d, the index begins at %d: %w", at, end, errWire)
	}
	return nil
}

func (f *File) readCodebooks() error {
	for i := range f.groups {
		g := &f.groups[i]
		if g.codebook == 0 {
			continue
		}
		b, err := tensor.ReadRange(f.data, g.codebook, g.codebookLen, nil)
		if err != nil {
			return err
		}
		coder, payload, err := parseFrame(b)
		if err == nil && coder != coderCodebooks {
			err = fmt.Errorf("%q in the place of codebooks", coder)
		}
		if err == nil {
			g.books, err = parseCodebooks(f.header.groups[i].unit, f.bookOwners(i), payload)
		}
		if err == nil {
			err = f.checkParts(i)
		}
		if err != nil {
			return f.corrupt(g.codebook, fmt.Errorf("codebooks of group %d: %w", i, err))
		}
	}
	return nil
}

// bookOwners returns what the codebooks of a group depend on.
func (f *File) bookOwners(group int) []bookOwner {
	g := &f.header.groups[group]
	owners := make([]bookOwner, len(g.members))
	for i, m := range g.members {
		if m < len(f.header.arrays) {
			a := &f.header.layout.Arrays[m]
			owners[i] = bookOwner{a.DType, a.Shape, a.Size / int64(g.unit.width())}
		}
	}
	return owners
}

// checkParts makes sure that the blocks of a group have the parts that its
// codebooks ask for.
func (f *File) checkParts(group int) error {
	g := &f.header.groups[group]
	books := f.groups[group].books
	if len(g.members) == 1 {
		if books[0] == nil {
			return fmt.Errorf("the only array has none: %w", errWire)
		}
		return nil
	}
	ref := &f.blocks[f.groups[group].firstBlock] // there is just one
	for i, part := range partsOf(f.header.extents(g, 0), books) {
		if (len(part) > 0) != (ref.parts[i] > 0) {
			return fmt.Errorf("part %d has %d arrays and a frame of %d bytes: %w", i, len(part), ref.parts[i], errWire)
		}
	}
	return nil
}

// checkBase makes sure that the base is there, and is the right one.
func (f *File) checkBase() error {
	h := f.header
	if h.base == nil {
		f.base = nil
		return nil
	}
	if f.base == nil {
		return fmt.Errorf("%w: %s was packed against a base, and needs it (content digest %x)", ErrBase, f.name, h.base[:])
	}
	b, err := openBase(context.Background(), f.base, f.threads, func(int64, int64) {})
	if err != nil {
		return err
	}
	if b.digest != *h.base {
		return fmt.Errorf("%w: %s was packed against a checkpoint with content digest %x, this one has %x", ErrBase, f.name, h.base[:], b.digest[:])
	}
	for i, a := range h.arrays {
		if a.source != sourceSame && a.source != sourceDelta {
			continue
		}
		if a.ref >= len(f.base.Arrays) || f.base.Arrays[a.ref].Size != h.layout.Arrays[i].Size {
			return f.corrupt(int64(len(Magic)), fmt.Errorf("array %q refers to array %d of the base, which does not fit", h.layout.Arrays[i].Name, a.ref))
		}
	}
	return nil
}

// buildLayout returns the layout with files that are put together on demand.
func (f *File) buildLayout() *layout.Layout {
	l := *f.header.layout
	l.Files = make([]layout.File, len(l.Files))
	for i := range l.Files {
		l.Files[i] = layout.File{Name: f.header.layout.Files[i].Name, Data: &restored{f, i}}
	}
	return &l
}

// Layout returns the layout of the original files. Their data is decoded on
// demand and checked by the checksums of the blocks that are touched; only
// [File.Restore] and [File.Test] check the digests, too.
func (f *File) Layout() *layout.Layout { return f.layout }

// Size returns the bytes of the .rope.
func (f *File) Size() int64 {
	if f.short != nil {
		return f.short.size
	}
	return f.data.Size()
}

// Root returns the SHA-256 digest over the frames of header and index. It
// covers every name, shape, and the digests of all values, so a signature over
// it covers all that the file decodes to.
func (f *File) Root() [32]byte { return f.root }

// restored is an original file, put together from skeleton and arrays.
type restored struct {
	f    *File
	file int
}

// Size returns the bytes of the original file.
func (r *restored) Size() int64 { return r.f.header.fileSizes[r.file] }

// ReadAt implements [io.ReaderAt].
func (r *restored) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("rope: negative offset")
	}
	ps := r.f.pieces[r.file]
	n := 0
	i := sort.Search(len(ps), func(i int) bool { return ps[i].off+ps[i].size > off })
	for ; i < len(ps) && n < len(b); i++ {
		p := ps[i]
		in := off + int64(n) - p.off
		k := min(p.size-in, int64(len(b)-n))
		if err := r.f.readMember(b[n:n+int(k)], p, in); err != nil {
			return n, err
		}
		n += int(k)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// readMember fills b from offset in of a piece.
func (f *File) readMember(b []byte, p piece, in int64) error {
	m := p.array
	if m < 0 {
		in += p.skel
		if f.header.skeleton != nil {
			copy(b, f.header.skeleton[in:])
			return nil
		}
		m = len(f.header.arrays)
	} else {
		if f.header.arrays[m].source == sourceTwin {
			m = f.header.arrays[m].ref
		}
		if a := f.header.arrays[m]; a.source == sourceSame {
			got, err := tensor.ReadRange(f.base.ArrayData(a.ref), in, int64(len(b)), nil)
			copy(b, got)
			return err
		}
	}
	hm := f.home[m]
	w := int64(f.header.groups[hm.group].unit.width())
	size := int64(f.header.blockValues) * w
	for at := hm.off + in; len(b) > 0; {
		block, err := f.block(f.groups[hm.group].firstBlock + int(at/size))
		if err != nil {
			return err
		}
		n := copy(b, block[at%size:])
		b, at = b[n:], at+int64(n)
	}
	return nil
}

// block returns a decoded block, which must not be written to.
func (f *File) block(i int) ([]byte, error) {
	return f.cache.get(i, func() ([]byte, error) { return f.decode(i, nil) })
}

// decode reads, checks and decodes block i, into buf if that is large enough.
func (f *File) decode(i int, buf []byte) (b []byte, err error) {
	defer recoverTo(&err)
	ref := f.blocks[i]
	g := &f.header.groups[ref.group]
	es := f.header.extents(g, ref.block)
	n := sizeOf(es)
	dst := slices.Grow(buf[:0], int(n))[:n]
	off := ref.off
	for i, part := range partsOf(es, f.groups[ref.group].books) {
		switch {
		case len(part) == 0:
			continue
		case len(part) == len(es):
			err = f.decodePart(dst, &ref, part, off, ref.parts[i])
		default: // its members do not follow each other
			b := make([]byte, sizeOf(part))
			if err = f.decodePart(b, &ref, part, off, ref.parts[i]); err == nil {
				spread(dst, es, b, part)
			}
		}
		if err != nil {
			return nil, err
		}
		off += ref.parts[i]
	}
	release(f.data, ref.off, ref.size())
	if g.delta {
		for _, e := range es {
			releaseArray(f.base, f.header.arrays[e.member].ref, e.off, e.n)
		}
	}
	if f.header.groups[ref.group].blocks(f.header.blockValues) == 1 && (f.short == nil || f.short.settled) {
		if d := extentsDigest(es, dst); d != f.groups[ref.group].digest {
			return nil, f.corrupt(ref.off, f.digestError(ref.group, d))
		}
	}
	return dst, nil
}

// decodePart fills dst from the frame of one part of a block.
func (f *File) decodePart(dst []byte, ref *blockRef, part []extent, off, size int64) error {
	g := &f.header.groups[ref.group]
	fail := func(err error) error {
		return f.corrupt(off, fmt.Errorf("block %d of %s: %w", ref.block, f.groupName(ref.group), err))
	}
	frame, err := tensor.ReadRange(f.data, off, size, nil)
	if err != nil {
		return f.corrupt(off, err)
	}
	coder, payload, err := parseFrame(frame)
	if err != nil {
		return fail(err)
	}
	info := &blockInfo{unit: g.unit, books: booksOf(part, f.groups[ref.group].books)}
	info.segments = f.header.segments(g, part, info.books)
	if g.delta {
		info.base, err = readExtents(part, func(m int) tensor.Data {
			return f.base.ArrayData(f.header.arrays[m].ref)
		})
		if err != nil {
			return fmt.Errorf("reading the base: %w", err)
		}
	}
	if err := decodeBlock(dst, frameBody{coder, payload}, info); err != nil {
		return fail(err)
	}
	return nil
}

// sizeOf returns the bytes of extents.
func sizeOf(es []extent) int64 {
	n := int64(0)
	for _, e := range es {
		n += e.n
	}
	return n
}

// spread copies the values of a part to their places in a block.
func spread(block []byte, es []extent, values []byte, part []extent) {
	for _, e := range es {
		if len(part) > 0 && part[0].nth == e.nth {
			copy(block, values[:e.n])
			values, part = values[e.n:], part[1:]
		}
		block = block[e.n:]
	}
}

// extentsDigest returns the group digest of a group that is one block.
func extentsDigest(es []extent, b []byte) [32]byte {
	ds := make([][32]byte, len(es))
	for i, e := range es {
		ds[i] = sha256.Sum256(b[:e.n])
		b = b[e.n:]
	}
	return groupDigest(ds)
}

func (f *File) digestError(group int, got [32]byte) error {
	return fmt.Errorf("%s decodes to values with digest %x, want %x", f.groupName(group), got[:], f.groups[group].digest[:])
}

// groupName says in a message what a group is.
func (f *File) groupName(i int) string {
	g := &f.header.groups[i]
	if g.members[0] == len(f.header.arrays) {
		return "the skeleton"
	}
	name := fmt.Sprintf("%q", f.header.layout.Arrays[g.members[0]].Name)
	if n := len(g.members); n > 1 {
		name += fmt.Sprintf(" and %d more", n-1)
	}
	return name
}
