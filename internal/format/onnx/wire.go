package onnx

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/layout"
	"ropewalk/tensor"
)

const (
	// window is how much is read at a time. Models are mostly payload that is
	// stepped over, so a larger window would mostly read what nobody looks at.
	window = 16 << 10

	// maxName bounds a name in the file. Exporters concatenate module paths;
	// a few hundred bytes are common, thousands have not been seen.
	maxName = 4 << 10

	// maxHead is the longest tag with the longest length or value after it.
	maxHead = 2 * 10
)

// A span is a range of bytes of the file.
type span struct{ start, end int64 }

func (s span) size() int64 { return s.end - s.start }

// A field is one field of a message, without its payload.
type field struct {
	num   protowire.Number
	typ   protowire.Type
	start int64  // of the tag
	lenAt int64  // of the length, for BytesType
	body  span   // the payload; ends where the next field begins
	value uint64 // of VarintType
}

// A reader walks over protobuf messages in a file. It is not safe for
// concurrent use.
type reader struct {
	file string // for messages
	base int64  // position of data in the file, for messages
	data tensor.Data
	win  []byte // what was read last: lent, or a part of buf
	at   int64  // where win begins
	buf  []byte
}

func newReader(file string, base int64, d tensor.Data) *reader {
	return &reader{file: file, base: base, data: d}
}

func (r *reader) corrupt(at int64, format string, args ...any) error {
	return &layout.CorruptError{File: r.file, Offset: r.base + at, Reason: fmt.Sprintf(format, args...)}
}

func (r *reader) truncated(at int64, format string, args ...any) error {
	return &layout.CorruptError{File: r.file, Offset: r.base + at, Reason: fmt.Sprintf(format, args...), Err: io.ErrUnexpectedEOF}
}

func (r *reader) unsupported(at int64, format string, args ...any) error {
	return &layout.UnsupportedError{File: r.file, Offset: r.base + at, Reason: fmt.Sprintf(format, args...)}
}

// all is the span of the whole file.
func (r *reader) all() span { return span{0, r.data.Size()} }

// peek returns n bytes from at; the caller makes sure that they are in the
// file and at most a window. They are valid until the next call.
func (r *reader) peek(at, n int64) ([]byte, error) {
	if at < r.at || at+n > r.at+int64(len(r.win)) {
		size := min(window, r.data.Size()-at)
		if int64(cap(r.buf)) < size {
			r.buf = make([]byte, size)
		}
		win, err := tensor.ReadRange(r.data, at, size, r.buf)
		if err != nil {
			r.win = nil
			return nil, fmt.Errorf("%s: %w", r.file, err)
		}
		r.win, r.at = win, at
	}
	return r.win[at-r.at : at-r.at+n], nil
}

// field reads the field at a position inside of a message that ends at end.
func (r *reader) field(at, end int64) (field, error) {
	b, err := r.peek(at, min(maxHead, end-at))
	if err != nil {
		return field{}, err
	}
	f := field{start: at}
	var n int
	if f.num, f.typ, n = protowire.ConsumeTag(b); n < 0 {
		return field{}, r.malformed(at, n, "tag")
	}
	b, at = b[n:], at+int64(n)
	f.body = span{at, at}
	switch f.typ {
	case protowire.VarintType:
		if f.value, n = protowire.ConsumeVarint(b); n < 0 {
			return field{}, r.malformed(at, n, "number")
		}
		f.body.end = at + int64(n)
	case protowire.Fixed32Type:
		f.body.end = at + 4
	case protowire.Fixed64Type:
		f.body.end = at + 8
	case protowire.BytesType:
		size, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return field{}, r.malformed(at, n, "length")
		}
		f.lenAt = at
		at += int64(n)
		if size > uint64(end-at) {
			return field{}, r.truncated(f.lenAt, "field %d has %d bytes, of which %d are there", f.num, size, end-at)
		}
		f.body = span{at, at + int64(size)}
	case protowire.StartGroupType, protowire.EndGroupType:
		return field{}, r.unsupported(f.start, "field %d is a group", f.num)
	default:
		return field{}, r.corrupt(f.start, "field %d has wire type %d", f.num, f.typ)
	}
	if f.body.end > end {
		return field{}, r.truncated(at, "field %d has %d bytes, of which %d are there", f.num, f.body.size(), end-at)
	}
	return f, nil
}

// malformed turns a negative length of protowire into an error.
func (r *reader) malformed(at int64, n int, what string) error {
	err := protowire.ParseError(n)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return r.truncated(at, "a message ends inside of a %s", what)
	}
	return &layout.CorruptError{File: r.file, Offset: r.base + at, Reason: "invalid " + what, Err: err}
}

// fields calls visit for each field of a message, in order.
func (r *reader) fields(msg span, visit func(field) error) error {
	for at := msg.start; at < msg.end; {
		f, err := r.field(at, msg.end)
		if err != nil {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
		at = f.body.end
	}
	return nil
}

// want checks the wire type of a field that means something to us. Protobuf
// would take such a field for an unknown one and lose it; no writer of ONNX
// makes one.
func (r *reader) want(f field, typ protowire.Type, name string) error {
	if f.typ != typ {
		return r.corrupt(f.start, "%s has wire type %d, want %d", name, f.typ, typ)
	}
	return nil
}

// once refuses the second occurrence of a field that can occur once. Protobuf
// would take the last, or merge the two: a writer that means that is not known,
// and a reader that guesses otherwise shows other weights than a runtime uses.
func (r *reader) once(f field, seen *bool, name string) error {
	if *seen {
		return r.unsupported(f.start, "%s occurs twice", name)
	}
	*seen = true
	return nil
}

// text returns the payload of a string field, or "" for the zero field. Bytes
// that are not UTF-8 are replaced: names are for people and for look-ups, the
// bytes themselves stay in the skeleton.
func (r *reader) text(f field) (string, error) {
	if f.body.size() == 0 {
		return "", nil
	}
	if f.body.size() > maxName {
		return "", r.unsupported(f.start, "a name has %d bytes, want at most %d", f.body.size(), maxName)
	}
	b, err := r.peek(f.body.start, f.body.size())
	if err != nil {
		return "", err
	}
	return strings.ToValidUTF8(string(b), "\uFFFD"), nil
}

// is reports whether the payload of a string field is s.
func (r *reader) is(f field, s string) (bool, error) {
	if f.body.size() != int64(len(s)) {
		return false, nil
	}
	b, err := r.peek(f.body.start, f.body.size())
	return string(b) == s, err
}

// varints calls visit for each varint of a packed field.
func (r *reader) varints(s span, visit func(at int64, v uint64) error) error {
	for at := s.start; at < s.end; {
		b, err := r.peek(at, min(maxHead, s.end-at))
		if err != nil {
			return err
		}
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return r.malformed(at, n, "number")
		}
		if err := visit(at, v); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}
