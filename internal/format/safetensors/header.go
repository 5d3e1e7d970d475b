package safetensors

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// MaxHeader bounds the JSON text of a header in bytes, as the reference
// implementation does, so that a hostile file cannot ask for work without end.
const MaxHeader = 100_000_000

// lengthSize is the number of bytes of the length before the header.
const lengthSize = 8

// metadataKey is the one key of the header that does not name a tensor.
const metadataKey = "__metadata__"

// A header is what stands before the values of a file.
type header struct {
	file     string
	end      int64         // of the header: where the values begin
	entries  []entry       // in the order of the JSON text
	metadata []layout.Pair // nil if there is none, empty if it is {}
}

// An entry describes one tensor.
type entry struct {
	name       string
	dtype      tensor.DType
	shape      tensor.Shape
	begin, end int64 // from the end of the header
	at         positions
}

// positions are where the tokens of an entry stand in the JSON text.
type positions struct{ name, shape, begin, end int32 }

// readHeader reads and checks the header of d.
func readHeader(file string, d tensor.Data) (*header, error) {
	size := d.Size()
	if size < lengthSize {
		return nil, &layout.CorruptError{
			File: file, Offset: size, Err: io.ErrUnexpectedEOF,
			Reason: fmt.Sprintf("file has %d bytes, the length of the header alone takes %d", size, lengthSize),
		}
	}
	b, err := read(file, d, 0, lengthSize)
	if err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(b)
	if n > MaxHeader {
		return nil, &layout.CorruptError{File: file, Reason: fmt.Sprintf("header of %d bytes, the limit is %d", n, MaxHeader)}
	}
	if int64(n) > size-lengthSize {
		return nil, &layout.CorruptError{
			File: file, Err: io.ErrUnexpectedEOF,
			Reason: fmt.Sprintf("header of %d bytes, only %d follow: the file is truncated", n, size-lengthSize),
		}
	}
	text, err := read(file, d, lengthSize, int64(n))
	if err != nil {
		return nil, err
	}
	h, err := parseHeader(file, text)
	if err != nil {
		return nil, err
	}
	return h, h.check(size - h.end)
}

// read returns n bytes of d at off. A file that shrinks below its own size
// is corrupt; any other failure is none of the file's making.
func read(file string, d tensor.Data, off, n int64) ([]byte, error) {
	b, err := tensor.ReadRange(d, off, n, nil)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &layout.CorruptError{File: file, Offset: off, Reason: fmt.Sprintf("file ends within %d bytes", n), Err: err}
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return b, nil
}

// A headerParser holds what is needed only while the text is read.
type headerParser struct {
	*scanner
	types map[string]tensor.DType // one string per type, not per tensor
}

func parseHeader(file string, text []byte) (*header, error) {
	s, err := newScanner(file, lengthSize, text)
	if err != nil {
		return nil, err
	}
	if len(text) == 0 || text[0] != '{' { // not even white space may precede it
		return nil, s.unexpected("'{'")
	}
	h := &header{file: file, end: lengthSize + int64(len(text))}
	p := headerParser{s, make(map[string]tensor.DType)}
	seen := make(map[string]struct{})
	err = s.object(func(at int, key []byte) error {
		if _, dup := seen[string(key)]; dup {
			return s.errorf(at, "key %.80q stands there twice", key)
		}
		name := string(key)
		seen[name] = struct{}{}
		if name == metadataKey {
			h.metadata, err = p.metadata()
			return err
		}
		e, err := p.entry(name, at)
		h.entries = append(h.entries, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := s.pos; i < len(text); i++ {
		if text[i] != ' ' {
			return nil, s.errorf(i, "byte 0x%02x after the header, which only spaces may pad", text[i])
		}
	}
	return h, nil
}

func (p headerParser) metadata() ([]layout.Pair, error) {
	pairs := []layout.Pair{}
	seen := make(map[string]struct{})
	err := p.object(func(at int, key []byte) error {
		k := string(key)
		if _, dup := seen[k]; dup {
			return p.errorf(at, "key %.80q stands twice in %s", k, metadataKey)
		}
		seen[k] = struct{}{}
		v, err := p.str()
		pairs = append(pairs, layout.Pair{Key: k, Value: string(v)})
		return err
	})
	return pairs, err
}

// The keys of an entry, as bits.
const (
	hasDType = 1 << iota
	hasShape
	hasOffsets
	hasAll = hasDType | hasShape | hasOffsets
)

func (p headerParser) entry(name string, at int) (entry, error) {
	e := entry{name: name, at: positions{name: int32(at)}}
	has := 0
	err := p.object(func(at int, key []byte) error {
		bit, read := 0, (func(*entry) error)(nil)
		switch string(key) {
		case "dtype":
			bit, read = hasDType, p.dtype
		case "shape":
			bit, read = hasShape, p.shape
		case "data_offsets":
			bit, read = hasOffsets, p.offsets
		default:
			return p.errorf(at, "tensor %.80q: unknown key %.80q", name, key)
		}
		if has&bit != 0 {
			return p.errorf(at, "tensor %.80q: key %q stands there twice", name, key)
		}
		has |= bit
		return read(&e)
	})
	if err == nil && has != hasAll {
		err = p.errorf(at, "tensor %.80q: dtype, shape or data_offsets is missing", name)
	}
	return e, err
}

func (p headerParser) dtype(e *entry) error {
	b, err := p.str()
	if err != nil {
		return err
	}
	d, ok := p.types[string(b)]
	if !ok {
		d = tensor.DType(b)
		p.types[string(b)] = d
	}
	e.dtype = d
	return nil
}

func (p headerParser) shape(e *entry) error {
	p.peek()
	e.at.shape = int32(p.pos)
	var axes [tensor.MaxRank]int64
	rank := 0
	err := p.array(func() error {
		if rank == tensor.MaxRank {
			return p.errorf(p.pos, "tensor %.80q: more than %d axes", e.name, tensor.MaxRank)
		}
		n, err := p.integer()
		axes[rank] = n
		rank++
		return err
	})
	e.shape = slices.Clone(axes[:rank])
	return err
}

func (p headerParser) offsets(e *entry) error {
	if err := p.byte('['); err != nil {
		return err
	}
	var err error
	p.peek()
	e.at.begin = int32(p.pos)
	if e.begin, err = p.integer(); err != nil {
		return err
	}
	if err := p.byte(','); err != nil {
		return err
	}
	p.peek()
	e.at.end = int32(p.pos)
	if e.end, err = p.integer(); err != nil {
		return err
	}
	return p.byte(']')
}

// check verifies that the tensors fill the n bytes after the header, each
// with as many bytes as its type and shape take.
func (h *header) check(n int64) error {
	for i := range h.entries {
		if err := h.checkSize(&h.entries[i], n); err != nil {
			return err
		}
	}
	at := int64(0)
	for _, i := range h.order() {
		e := &h.entries[i]
		switch {
		case e.begin < at:
			return h.errorf(e.at.begin, "tensor %.80q begins at %d, before the end of another at %d", e.name, e.begin, at)
		case e.begin > at:
			return h.errorf(e.at.begin, "tensor %.80q begins at %d, bytes %d to %d belong to none", e.name, e.begin, at, e.begin)
		}
		at = e.end
	}
	if at != n {
		return &layout.CorruptError{File: h.file, Offset: h.end + at, Reason: fmt.Sprintf("%d bytes after the last tensor", n-at)}
	}
	return nil
}

func (h *header) checkSize(e *entry, n int64) error {
	if e.end < e.begin {
		return h.errorf(e.at.end, "tensor %.80q ends at %d, before it begins at %d", e.name, e.end, e.begin)
	}
	if e.end > n {
		err := h.errorf(e.at.end, "tensor %.80q ends at %d, only %d bytes follow the header", e.name, e.end, n)
		err.Err = io.ErrUnexpectedEOF
		return err
	}
	elems, err := e.shape.Elems()
	if err == nil && e.dtype.Known() {
		var want int64
		want, err = e.shape.Size(e.dtype)
		switch {
		case err != nil:
		case elems*int64(e.dtype.Bits())%8 != 0: // cannot overflow: Size did not
			// Neither we nor the reference know how to fill up the last byte.
			return h.errorf(e.at.shape, "tensor %.80q: %s %v does not take whole bytes", e.name, e.dtype, e.shape)
		case want != e.end-e.begin:
			return h.errorf(e.at.begin, "tensor %.80q: %s %v takes %d bytes, has %d", e.name, e.dtype, e.shape, want, e.end-e.begin)
		}
	}
	if err != nil {
		ce := h.errorf(e.at.shape, "tensor %.80q: %v", e.name, err)
		ce.Err = err
		return ce
	}
	return nil
}

func (h *header) errorf(at int32, format string, args ...any) *layout.CorruptError {
	return &layout.CorruptError{File: h.file, Offset: lengthSize + int64(at), Reason: fmt.Sprintf(format, args...)}
}

// order returns the entries in the order of their values in the file. An
// empty tensor comes before the one that begins at the same byte.
func (h *header) order() []int {
	order := make([]int, len(h.entries))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &h.entries[i], &h.entries[j]
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), cmp.Compare(i, j))
	})
	return order
}

// appendTo adds the tensors of file number f to l.
func (h *header) appendTo(l *layout.Layout, f int) {
	views := make([]layout.View, len(h.entries))
	for _, i := range h.order() {
		e := &h.entries[i]
		views[i] = layout.View{Name: e.name, DType: e.dtype, Shape: e.shape, Array: len(l.Arrays)}
		l.Arrays = append(l.Arrays, layout.Array{
			Name: e.name, DType: e.dtype, Shape: e.shape,
			File: f, Offset: h.end + e.begin, Size: e.end - e.begin,
		})
	}
	l.Views = append(l.Views, views...)
}
