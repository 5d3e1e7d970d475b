package rope

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"ropewalk/internal/codec/mix"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// A network of some kilobytes would be a good part checksums, lengths, and names
// that everybody knows. The short form of a file (docs/FORMAT.md, section 11) leaves
// out what follows from the rest: its reader makes the long form of it, in memory,
// by decoding it once, and has that as its file from then on.

// MagicShort begins a file in the short form: version 2.
const MagicShort = "\x89ROPE\r\n\x02"

const (
	maxShort     = 1 << 20 // bytes of a file in the short form
	maxShortData = 1 << 23 // bytes that it decodes to
	checkSize    = 8       // at the end, see shortCheck
	leastShort   = len(MagicShort) + 3 + checkSize
)

// A shortForm is what is remembered of a file that was expanded.
type shortForm struct {
	size    int64   // of the file
	header  int64   // bytes up to the payloads: magic, lengths, text
	file    []byte  // all of it, until digests are known
	begins  []int64 // of the payloads, in the file …
	long    []int64 // … and of their frames, in the long form
	settled bool    // digests are known
}

// place returns where in the file the byte at off of the long form comes from.
func (s *shortForm) place(off int64) int64 {
	at := int64(len(MagicShort))
	for i, b := range s.long {
		if b > off {
			break
		}
		at = s.begins[i]
	}
	return at
}

// A shortPart is a frame of the long form: of a part of a block.
type shortPart struct {
	absent  bool // of a block of which the parts can be absent
	coder   coderID
	payload []byte
}

// shorten returns the short form of a file in the long form, and its root digest; or
// nil if it has none. Prove says to decode it again.
func shorten(long []byte, prove bool) (short []byte, root [32]byte, err error) {
	f := &File{name: "long form", data: tensor.Bytes(long), threads: 1}
	if err := f.readEnds(); err != nil {
		return nil, root, err
	}
	h := f.header
	if h.base != nil || h.filesSize() > maxShortData {
		return nil, root, nil
	}
	content := h.append()
	text := append(binary.AppendUvarint(nil, uint64(len(content))), content...)
	var payloads []byte
	for i := range h.groups {
		books, parts, err := f.shortParts(i)
		if err != nil {
			return nil, root, err
		}
		text = appendString(text, string(books))
		for k, part := range parts {
			n := uint64(len(part.payload)) + 1
			if part.absent {
				n = 0
			} else if i == len(h.groups)-1 && !slices.ContainsFunc(parts[k+1:], func(p shortPart) bool { return !p.absent }) {
				n = 1 // the last one is what is left
			}
			if text = binary.AppendUvarint(text, n); n > 0 {
				text = append(text, byte(part.coder))
			}
			payloads = append(payloads, part.payload...)
		}
	}
	if len(text) > mix.MaxText {
		return nil, root, nil
	}
	var best []byte
	for k := range knownNets {
		widths, ok := widthsOf(k, h.layout)
		if !ok || !h.mayBe(k, widths) {
			continue
		}
		coded := mix.AppendText(nil, text, knownText(k, widths))
		b := append([]byte(MagicShort), byte(k))
		for _, w := range widths {
			b = binary.AppendUvarint(b, uint64(w))
		}
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = binary.AppendUvarint(b, uint64(len(coded)))
		if b = append(b, coded...); best == nil || len(b) < len(best) {
			best = b
		}
	}
	best = append(best, payloads...)
	if len(best)+checkSize > maxShort {
		return nil, root, nil
	}
	root = f.longRoot(appendFrame(nil, coderRaw, content))
	if best = append(best, shortCheck(root, best)...); !prove {
		return best, root, nil
	}
	back, err := Open("short form", tensor.Bytes(best), nil)
	if err == nil && back.root != root {
		err = fmt.Errorf("the root digest is %x, want %x", back.root, root)
	}
	if err != nil {
		return nil, root, fmt.Errorf("rope: internal error: the short form does not decode: %w", err)
	}
	return best, root, nil
}

// shortParts returns the payload of the codebooks of a group, and its blocks.
func (f *File) shortParts(group int) (books []byte, parts []shortPart, err error) {
	frame := func(off, n int64) (coderID, []byte, error) {
		b, err := tensor.ReadRange(f.data, off, n, nil)
		if err != nil {
			return 0, nil, err
		}
		return parseFrame(b)
	}
	g := &f.groups[group]
	if g.codebook > 0 {
		if _, books, err = frame(g.codebook, g.codebookLen); err != nil {
			return nil, nil, err
		}
	}
	for _, b := range f.groupBlocks(group) {
		off := b.off
		for _, n := range b.parts {
			switch {
			case n > 0:
				p := shortPart{}
				if p.coder, p.payload, err = frame(off, n); err != nil {
					return nil, nil, err
				}
				parts, off = append(parts, p), off+n
			case f.split(group):
				parts = append(parts, shortPart{absent: true})
			}
		}
	}
	return books, parts, nil
}

func (f *File) groupBlocks(group int) []blockRef {
	first := f.groups[group].firstBlock
	return f.blocks[first : first+f.header.groups[group].blocks(f.header.blockValues)]
}

// split reports whether the index has a length for each part of the blocks of a group.
func (f *File) split(group int) bool {
	return f.groups[group].codebook > 0 && len(f.header.groups[group].members) > 1
}

// longRoot is the root digest of the long form that has this header and its index raw.
func (f *File) longRoot(head []byte) [32]byte {
	var b []byte
	for i := range f.groups {
		g := &f.groups[i]
		b = binary.AppendUvarint(b, uint64(g.codebookLen))
		for _, ref := range f.groupBlocks(i) {
			for _, n := range ref.parts {
				if n > 0 || f.split(i) {
					b = binary.AppendUvarint(b, uint64(n))
				}
			}
		}
		b = append(b, g.digest[:]...)
	}
	return rootDigest(head, appendFrame(nil, coderRaw, b))
}

// shortCheck is the end of a file in the short form: a digest of what it decodes
// to, and of all bytes before, since some bits of a coder may not matter.
func shortCheck(root [32]byte, file []byte) []byte {
	h := sha256.New()
	h.Write(root[:])
	h.Write(file)
	return h.Sum(nil)[:checkSize]
}

// expand reads a file in the short form, and makes f one in the long form, but for
// the digests, see settle.
func (f *File) expand() error {
	size := f.data.Size()
	if size < int64(leastShort) || size > maxShort {
		return f.corrupt(size, fmt.Errorf("a file of version 2 has %d to %d bytes, this one %d: %w", leastShort, maxShort, size, io.ErrUnexpectedEOF))
	}
	b, err := tensor.ReadRange(f.data, 0, size, nil)
	if err != nil {
		return err
	}
	s := &shortForm{size: size, file: b}
	r := &wireReader{b: b[len(MagicShort) : size-checkSize]}
	k := int(r.uint("number of a known network", uint64(len(knownNets)-1)))
	widths := make([]int64, len(knownWidths[k]))
	for i := range widths {
		if widths[i] = int64(r.uint("units of a layer", maxWidth)); widths[i] == 0 {
			r.fail("a layer without units: %w", errWire)
		}
	}
	text := make([]byte, r.uint("length of the text", mix.MaxText))
	coded := r.bytes("text", r.uint("length of the coded text", uint64(len(r.b))))
	if r.err == nil {
		r.err = mix.DecodeText(text, coded, knownText(k, widths))
	}
	if r.err != nil {
		return f.corrupt(size-checkSize-int64(len(r.b)), r.err)
	}
	s.header = size - checkSize - int64(len(r.b))
	end, index, err := f.parseText(s, text, r.b)
	if err == nil {
		err = f.parseIndex(index, end)
	}
	if err != nil {
		return f.corrupt(int64(len(MagicShort)), fmt.Errorf("text: %w", err))
	}
	f.short = s
	return f.readCodebooks()
}

// parseText takes the text apart. It sets header and data, and returns where
// the frames end and an index without digests.
func (f *File) parseText(s *shortForm, text, payloads []byte) (end int64, index []byte, err error) {
	r := &wireReader{b: text}
	content := r.bytes("header", r.uint("length of the header", uint64(len(text))))
	if r.err != nil {
		return 0, nil, r.err
	}
	if f.header, err = parseHeader(content); err != nil {
		return 0, nil, fmt.Errorf("header: %w", err)
	}
	if f.header.base != nil {
		return 0, nil, fmt.Errorf("a short form with a base: %w", errWire)
	}
	if n := f.header.filesSize(); n > maxShortData {
		return 0, nil, fmt.Errorf("files of %d bytes in the short form, the limit is %d: %w", n, maxShortData, errWire)
	}
	long := appendFrame([]byte(Magic), coderRaw, content)
	f.headLen = int64(len(long) - len(Magic))
	begin := s.size - checkSize - int64(len(payloads))
	add := func(c coderID, payload []byte) (length uint64) {
		at := len(long)
		long = appendFrame(long, c, payload)
		return uint64(len(long) - at)
	}
	for i := range f.header.groups {
		g := &f.header.groups[i]
		books := r.bytes("codebooks", r.uint("length of codebooks", uint64(len(r.b))))
		length := uint64(0)
		if len(books) > 0 {
			length = add(coderCodebooks, books)
		}
		index = binary.AppendUvarint(index, length)
		n := g.blocks(f.header.blockValues)
		if len(books) > 0 && len(g.members) > 1 {
			n = int(numOfParts)
		}
		for range n {
			size := r.uint("length of a payload", maxShort)
			if r.err != nil {
				return 0, nil, r.err
			}
			if size > uint64(len(payloads))+1 {
				return 0, nil, fmt.Errorf("a payload has %d bytes, of which %d are there; the file is damaged, or not all of it: %w", size-1, len(payloads), io.ErrUnexpectedEOF)
			}
			if size == 0 {
				index = append(index, 0)
				continue
			}
			c := coderID(r.byte("coder"))
			payload := payloads[:size-1]
			if i == len(f.header.groups)-1 && allZero(r.b) { // the last one
				if size != 1 {
					return 0, nil, fmt.Errorf("the last payload has a length: %w", errWire)
				}
				payload = payloads
			}
			s.begins, s.long = append(s.begins, begin), append(s.long, int64(len(long)))
			index = binary.AppendUvarint(index, add(c, payload))
			payloads, begin = payloads[len(payload):], begin+int64(len(payload))
		}
		index = append(index, make([]byte, 32)...)
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes too many: %w", len(r.b), errWire)
	}
	if r.err == nil && len(payloads) > 0 {
		r.fail("%d bytes of payloads too many: %w", len(payloads), errWire)
	}
	f.data = tensor.Bytes(long)
	return int64(len(long)), index, r.err
}

// allZero reports whether nothing but absent parts is left.
func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// settle finds the digests of a file in the short form by decoding it, and checks
// them.
func (f *File) settle() error {
	for i := range f.header.groups {
		g := &f.header.groups[i]
		sum := sha256.New()
		for b := range g.blocks(f.header.blockValues) {
			block, err := f.block(f.groups[i].firstBlock + b)
			if c, ok := errors.AsType[*layout.CorruptError](err); ok {
				c.Reason += "; the file is damaged, or not all of it"
			}
			if err != nil {
				return err
			}
			if len(g.members) > 1 { // there is just one
				f.groups[i].digest = extentsDigest(f.header.extents(g, b), block)
				continue
			}
			sum.Write(block)
		}
		if len(g.members) == 1 {
			f.groups[i].digest = groupDigest([][32]byte{[32]byte(sum.Sum(nil))})
		}
	}
	head, err := tensor.ReadRange(f.data, int64(len(Magic)), f.headLen, nil) // as it is: another writer may say the same otherwise
	if err != nil {
		return err
	}
	f.root = f.longRoot(head)
	f.short.settled = true
	rest, want := f.short.file[:f.short.size-checkSize], f.short.file[f.short.size-checkSize:]
	if got := shortCheck(f.root, rest); !bytes.Equal(got, want) {
		return &layout.CorruptError{
			File: f.name, Offset: f.short.size - checkSize,
			Reason: fmt.Sprintf("the check is %x, want %x: the bytes are damaged", got, want),
		}
	}
	f.short.file = nil
	return nil
}
