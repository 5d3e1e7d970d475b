package tensor

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// Data produces the bytes of a tensor. ReadAt must be safe for concurrent use.
type Data interface {
	io.ReaderAt
	// Size returns the number of bytes.
	Size() int64
}

// A Slicer is a Data that has its bytes in memory (or mapped) and can lend
// them without a copy. The slice must not be written to and is valid until the
// owner of the data is closed. ok is false if that range cannot be lent.
type Slicer interface {
	Slice(off, n int64) (b []byte, ok bool)
}

// A Tensor is a named array. It is immutable and safe for concurrent use.
type Tensor struct {
	Name  string
	DType DType
	Shape Shape
	Data  Data
}

// Elems returns the number of elements. It is 0 for a shape that
// [Shape.Elems] refuses; a Set never holds one.
func (t *Tensor) Elems() int64 {
	n, _ := t.Shape.Elems()
	return n
}

// Size returns the number of bytes of the values.
func (t *Tensor) Size() int64 { return t.Data.Size() }

// Bytes returns all bytes of the tensor: lent by the data where that is
// possible (see [Slicer]), else read into a new slice. The caller must not
// write to it.
func (t *Tensor) Bytes() ([]byte, error) {
	b, err := ReadRange(t.Data, 0, t.Data.Size(), nil)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return b, nil
}

// Float32s returns all values of a tensor of numbers, row-major, as float32: rounded, if its
// type has more digits.
func (t *Tensor) Float32s() ([]float32, error) {
	raw, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	return t.DType.AppendFloat32s(make([]float32, 0, t.Elems()), raw), nil
}

// maxRead bounds what is read into memory at once: a small file can declare a
// tensor of any size.
const maxRead = min(1<<36, math.MaxInt)

// writeChunk is how much of a tensor WriteTo holds in memory.
const writeChunk = 1 << 20

// WriteTo writes all bytes of the tensor to w, some at a time; so it needs no
// more memory for a large one. It implements [io.WriterTo].
func (t *Tensor) WriteTo(w io.Writer) (int64, error) {
	size := t.Data.Size()
	scratch := make([]byte, min(writeChunk, size))
	for off := int64(0); off < size; off += writeChunk {
		b, err := ReadRange(t.Data, off, min(writeChunk, size-off), scratch)
		if err != nil {
			return off, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if n, err := w.Write(b); err != nil {
			return off + int64(n), err
		}
	}
	return size, nil
}

// ReadRange returns the n bytes of d from offset off: lent where d is a
// [Slicer], else read into buf, which grows as needed.
func ReadRange(d Data, off, n int64, buf []byte) ([]byte, error) {
	if off < 0 || n < 0 || off > d.Size()-n {
		return nil, fmt.Errorf("range of %d bytes at %d lies outside of %d bytes: %w", n, off, d.Size(), io.ErrUnexpectedEOF)
	}
	if s, ok := d.(Slicer); ok {
		if b, ok := s.Slice(off, n); ok {
			return b, nil
		}
	}
	if int64(cap(buf)) < n {
		if n > maxRead {
			return nil, fmt.Errorf("%d bytes are too many to read at once, the limit is %d", n, int64(maxRead))
		}
		buf = make([]byte, n)
	}
	buf = buf[:n]
	got, err := d.ReadAt(buf, off)
	if int64(got) == n {
		return buf, nil // io.ReaderAt may return io.EOF with a full read
	}
	if e, ok := errors.AsType[*RangeError](err); ok {
		return nil, e // of a value: how much was read does not matter
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return nil, fmt.Errorf("got %d of %d bytes at %d: %w", got, n, off, err)
}

// Bytes is a Data in memory.
type Bytes []byte

// Size returns the number of bytes.
func (b Bytes) Size() int64 { return int64(len(b)) }

// ReadAt implements [io.ReaderAt].
func (b Bytes) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("tensor: negative offset")
	}
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Slice implements [Slicer].
func (b Bytes) Slice(off, n int64) ([]byte, bool) {
	if off < 0 || n < 0 || off > int64(len(b))-n {
		return nil, false
	}
	return b[off : off+n : off+n], true
}

// A Section is the part of a Data from Off of length Len. The caller makes
// sure that it lies inside of Base.
type Section struct {
	Base     Data
	Off, Len int64
}

// Size returns the number of bytes of the section.
func (s Section) Size() int64 { return s.Len }

// ReadAt implements [io.ReaderAt].
func (s Section) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > s.Len {
		return 0, io.EOF
	}
	short := int64(len(p)) > s.Len-off
	if short {
		p = p[:s.Len-off]
	}
	n, err := s.Base.ReadAt(p, s.Off+off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// Slice implements [Slicer] if the base does.
func (s Section) Slice(off, n int64) ([]byte, bool) {
	sl, ok := s.Base.(Slicer)
	if !ok || off < 0 || n < 0 || off > s.Len-n {
		return nil, false
	}
	return sl.Slice(s.Off+off, n)
}
