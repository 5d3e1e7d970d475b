package safetensors

import (
	"encoding/binary"
	"path/filepath"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// Format is the name of the format in a [layout.Layout].
const Format = "safetensors"

// Sniff reports whether a file of the given size that begins with head (64
// bytes, or all of a smaller file) looks like a safetensors file: a length
// that fits, then a brace.
func Sniff(head []byte, size int64) bool {
	if len(head) <= lengthSize || head[lengthSize] != '{' {
		return false
	}
	n := binary.LittleEndian.Uint64(head)
	return n >= 2 && n <= MaxHeader && int64(n) <= size-lengthSize
}

// SniffCut reports whether a file of the given size that begins with head (64 bytes, or all
// of a smaller file) looks like a safetensors file that ends within its header: a length
// of a header that does not fit, then a brace if there is anything. No other format begins
// so: the upper bytes of the length are zero.
func SniffCut(head []byte, size int64) bool {
	if len(head) < lengthSize || len(head) > lengthSize && head[lengthSize] != '{' {
		return false
	}
	n := binary.LittleEndian.Uint64(head)
	return n >= 2 && n <= MaxHeader && int64(n) > size-lengthSize
}

// Parse reads the header of one file. The arrays are in the order of the
// values, the views in that of the header, which may differ. A type that
// [tensor.DType.Known] does not know is carried as it is, its size taken from
// the offsets. The name is used in errors. Parse returns a
// [*layout.CorruptError] if the file breaks a rule of the format.
func Parse(name string, d tensor.Data) (*layout.Layout, error) {
	h, err := readHeader(name, d)
	if err != nil {
		return nil, err
	}
	l := &layout.Layout{
		Format:   Format,
		Files:    []layout.File{{Name: filepath.Base(name), Data: d}},
		Arrays:   make([]layout.Array, 0, len(h.entries)),
		Metadata: h.metadata,
	}
	h.appendTo(l, 0)
	return l, nil
}
