// Package layout says where the tensors of a checkpoint lie in its files.
//
// Each file is seen as a run of bytes of which some, the arrays, are tensor
// values stored verbatim, and the others, the skeleton, are all the rest:
// headers, graphs, padding, archive directories.
//
//	file 0   |skeleton| array 0 | array 1 |skel| array 2 |skeleton|
//	                     ▲          ▲ ▲
//	views            "conv.weight"  │ └ "head.weight" (same bytes: tied)
//	                                └ "embed.weight"
//
// Whoever has the skeleton and the arrays has the files byte for byte, whatever
// their format. That is what makes packing lossless for every format with one
// piece of code. The named tensors are views: mostly one whole array, but also
// a strided part of one (PyTorch storages), or values that the format stores in
// some other form than verbatim (see [Encoded]).
package layout

import (
	"errors"
	"fmt"
	"slices"

	"ropewalk/tensor"
)

// ErrLayout reports arrays or views that do not fit their files.
var ErrLayout = errors.New("layout: invalid")

const (
	maxExtent = 1 << 60 // of offsets and strides
	maxGrowth = 64      // how much larger than its array a view may be
)

// A Layout describes the files of one checkpoint. Readers of formats make it;
// it is immutable afterwards.
type Layout struct {
	// Format is the name of the format, as [ropewalk/checkpoint] prints it.
	Format string
	// Files are the files of the checkpoint. The first is the one that the
	// user names; the others (shards, external data) lie beside or below it.
	Files []File
	// Arrays are sorted by file, then by offset, and do not overlap.
	// An array of size zero is allowed.
	Arrays []Array
	// Views are the named tensors in the order of the checkpoint.
	Views []View
	// Metadata is free text of the format (safetensors' __metadata__, ONNX
	// producer and so on), for people to look at.
	Metadata []Pair
	// Decoders turn [Encoded] values into row-major little-endian bytes.
	Decoders map[string]Decoder
}

// A Pair is one entry of metadata.
type Pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// A File is one file of a checkpoint.
type File struct {
	// Name is slash-separated and relative to the folder of the first file.
	// It never is absolute nor leaves that folder.
	Name string
	Data tensor.Data
}

// An Array is a part of a file that holds values verbatim, little-endian.
type Array struct {
	Name   string // for messages: mostly that of the first view of it
	DType  tensor.DType
	Shape  tensor.Shape
	File   int
	Offset int64 // in bytes from the beginning of the file
	Size   int64 // in bytes; that of the shape where the type is known
}

// A View is a named tensor.
type View struct {
	Name  string
	DType tensor.DType
	Shape tensor.Shape
	// Array holds the values, unless Encoded is set.
	Array int
	// Offset is the first element, counted in elements of DType from the
	// start of the array.
	Offset int64
	// Strides are in elements, one per axis; nil means row-major.
	Strides []int64
	// Encoded is set where the file does not hold the values verbatim.
	Encoded *Encoded
}

// Encoded values lie in the skeleton of a file in a form that only their
// format can read: deflated members of an .npz file, varints in ONNX.
type Encoded struct {
	Encoding string // key of Layout.Decoders
	File     int
	Offset   int64
	Size     int64
}

// A Decoder returns the row-major little-endian values of a view, given the
// encoded bytes. It must return exactly the size that type and shape ask for.
type Decoder func(encoded []byte, v *View) ([]byte, error)

// Validate checks that arrays lie inside of their files, are sorted and do not
// overlap, and that each view lies inside of its array. Readers of formats
// give better errors for what they can find; this is the last line of defence.
func (l *Layout) Validate() error {
	for _, f := range l.Files {
		if _, err := LocalName(f.Name); err != nil {
			return err
		}
	}
	file, end := 0, int64(0)
	for i, a := range l.Arrays {
		if a.File < file || a.File >= len(l.Files) {
			return fmt.Errorf("%w: array %d (%s) is in file %d of %d, after one in file %d", ErrLayout, i, a.Name, a.File, len(l.Files), file)
		}
		if a.File > file {
			file, end = a.File, 0
		}
		if a.Offset < end {
			return fmt.Errorf("%w: array %d (%s) begins at %d, before the end of the array before it at %d", ErrLayout, i, a.Name, a.Offset, end)
		}
		if a.Size < 0 || a.Offset > l.Files[a.File].Data.Size()-a.Size {
			return fmt.Errorf("%w: array %d (%s), %d bytes at %d, ends after the file's %d bytes", ErrLayout, i, a.Name, a.Size, a.Offset, l.Files[a.File].Data.Size())
		}
		if a.DType.Known() {
			want, err := a.Shape.Size(a.DType)
			if err != nil {
				return fmt.Errorf("array %d (%s): %w", i, a.Name, err)
			}
			if want != a.Size {
				return fmt.Errorf("%w: array %d (%s): %s %v takes %d bytes, has %d", ErrLayout, i, a.Name, a.DType, a.Shape, want, a.Size)
			}
		}
		end = a.Offset + a.Size
	}
	for i := range l.Views {
		if err := l.validateView(&l.Views[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *Layout) validateView(v *View) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: tensor %q: %s", ErrLayout, v.Name, fmt.Sprintf(format, args...))
	}
	n, err := v.Shape.Elems()
	if err != nil {
		return fmt.Errorf("tensor %q: %w", v.Name, err)
	}
	if e := v.Encoded; e != nil {
		if e.File < 0 || e.File >= len(l.Files) || e.Offset < 0 || e.Size < 0 || e.Offset > l.Files[e.File].Data.Size()-e.Size {
			return bad("encoded bytes lie outside of their file")
		}
		return nil
	}
	if v.Array < 0 || v.Array >= len(l.Arrays) {
		return bad("is in array %d of %d", v.Array, len(l.Arrays))
	}
	a := &l.Arrays[v.Array]
	if v.Strides != nil && len(v.Strides) != len(v.Shape) {
		return bad("has %d strides and %d axes", len(v.Strides), len(v.Shape))
	}
	if v.IsWhole(a) {
		return nil
	}
	bits := int64(v.DType.Bits())
	if bits == 0 || bits%8 != 0 {
		return bad("type %s cannot be part of a larger array", v.DType)
	}
	if v.Offset < 0 || n < 0 {
		return bad("begins at element %d", v.Offset)
	}
	for i, s := range v.Strides {
		if s < 0 || s > maxExtent {
			return bad("axis %d has stride %d", i, s)
		}
	}
	if v.Offset > maxExtent {
		return bad("begins at element %d", v.Offset)
	}
	if n == 0 {
		return nil
	}
	// A stride of zero repeats values; a small file must not become anything.
	size, err := v.Shape.Size(v.DType)
	if err != nil {
		return bad("%v", err)
	}
	if size/maxGrowth > a.Size+1<<14 {
		return bad("has %d bytes, more than %d times those of its array", size, maxGrowth)
	}
	have := a.Size / (bits / 8)
	last := v.Offset // the last element that is touched
	strides := v.Strides
	if strides == nil {
		strides = rowMajor(v.Shape)
	}
	for i, s := range strides {
		d := v.Shape[i] - 1
		if d > 0 && s > (have-last)/d {
			return bad("ends after the %d elements of its array", have)
		}
		last += d * s
	}
	if last >= have {
		return bad("ends after the %d elements of its array", have)
	}
	return nil
}

// IsWhole reports whether v is all of a, in its order.
func (v *View) IsWhole(a *Array) bool {
	if v.Encoded != nil || v.Offset != 0 || v.DType != a.DType {
		return false
	}
	if v.Strides != nil && !slices.Equal(v.Strides, rowMajor(v.Shape)) {
		return false
	}
	if !v.DType.Known() {
		return v.Shape.Equal(a.Shape)
	}
	n, err := v.Shape.Size(v.DType)
	return err == nil && n == a.Size
}

// rowMajor returns the strides, in elements, of a dense row-major array.
func rowMajor(s tensor.Shape) []int64 {
	strides := make([]int64, len(s))
	n := int64(1)
	for i := len(s) - 1; i >= 0; i-- {
		strides[i] = n
		n *= max(s[i], 1)
	}
	return strides
}
