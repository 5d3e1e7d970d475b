package safetensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// ErrType reports a tensor whose element type the format has no name for.
var ErrType = errors.New("safetensors has no such element type")

// types are the element types in the order of the reference implementation,
// which puts the tensors with the last type first. So wide elements come
// before narrow ones and each is aligned.
var types = []tensor.DType{
	tensor.Bool, tensor.F4, tensor.F6E2M3, tensor.F6E3M2,
	tensor.U8, tensor.I8, tensor.F8E5M2, tensor.F8E4M3, tensor.F8E8M0, tensor.F8E4M3Z, tensor.F8E5M2Z,
	tensor.I16, tensor.U16, tensor.F16, tensor.BF16,
	tensor.I32, tensor.U32, tensor.F32,
	tensor.C64, tensor.F64, tensor.I64, tensor.U64,
}

// Write writes a file with the tensors of set, in the order of the format: by
// type, then by name. The bytes are those of the reference implementation
// (which puts the keys of its metadata in a random order; here they keep
// theirs). Metadata that is nil is left out; an empty one is written as {}.
//
// Write holds at most 64 MiB of values in memory and fails before it writes
// anything if the set or the metadata do not fit the format; it returns
// [ErrType], wrapped, for element types which that does not know.
func Write(w io.Writer, set *tensor.Set, metadata []layout.Pair) error {
	order, err := fileOrder(set)
	if err != nil {
		return err
	}
	head, err := appendHeader(nil, order, metadata)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	for _, t := range order {
		if _, err := t.WriteTo(w); err != nil {
			return err
		}
	}
	return nil
}

// fileOrder returns the tensors in the order of their values in the file.
func fileOrder(set *tensor.Set) ([]*tensor.Tensor, error) {
	order := make([]*tensor.Tensor, 0, set.Len())
	for _, t := range set.All() {
		switch {
		case !slices.Contains(types, t.DType):
			return nil, fmt.Errorf("tensor %q has type %s: %w", t.Name, t.DType, ErrType)
		case t.Elems()*int64(t.DType.Bits())%8 != 0:
			return nil, fmt.Errorf("tensor %q: %s %v does not take whole bytes, which safetensors asks for", t.Name, t.DType, t.Shape)
		case t.Name == metadataKey:
			return nil, fmt.Errorf("tensor %q: safetensors keeps this name for the metadata", t.Name)
		case !utf8.ValidString(t.Name):
			return nil, fmt.Errorf("tensor %q: the name is not UTF-8", t.Name)
		}
		order = append(order, t)
	}
	slices.SortFunc(order, func(a, b *tensor.Tensor) int {
		if a.DType != b.DType {
			return slices.Index(types, b.DType) - slices.Index(types, a.DType)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return order, nil
}

// appendHeader appends all that comes before the values.
func appendHeader(b []byte, order []*tensor.Tensor, metadata []layout.Pair) ([]byte, error) {
	b = append(b, make([]byte, lengthSize)...)
	b = append(b, '{')
	if metadata != nil {
		b = append(appendString(b, metadataKey), ":{"...)
		seen := make(map[string]struct{}, len(metadata))
		for i, p := range metadata {
			if _, dup := seen[p.Key]; dup {
				return nil, fmt.Errorf("safetensors: metadata has the key %q twice", p.Key)
			}
			if !utf8.ValidString(p.Key) || !utf8.ValidString(p.Value) {
				return nil, fmt.Errorf("safetensors: metadata %q is not UTF-8", p.Key)
			}
			seen[p.Key] = struct{}{}
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, p.Key), ':')
			b = appendString(b, p.Value)
		}
		b = append(b, '}')
	}
	at := int64(0)
	for i, t := range order {
		if i > 0 || metadata != nil {
			b = append(b, ',')
		}
		size := t.Size()
		if size > math.MaxInt64-at {
			return nil, fmt.Errorf("tensor %q: the values end above 2^63", t.Name)
		}
		b = appendEntry(b, t, at, at+size)
		at += size
	}
	b = append(b, '}')
	for len(b)%8 != 0 { // so that the values are aligned
		b = append(b, ' ')
	}
	n := len(b) - lengthSize
	if n > MaxHeader {
		return nil, fmt.Errorf("safetensors: the header takes %d bytes, the limit is %d", n, MaxHeader)
	}
	binary.LittleEndian.PutUint64(b, uint64(n))
	return b, nil
}

func appendEntry(b []byte, t *tensor.Tensor, begin, end int64) []byte {
	b = append(appendString(b, t.Name), `:{"dtype":"`...)
	b = append(append(b, t.DType...), `","shape":[`...)
	for i, d := range t.Shape {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, d, 10)
	}
	b = append(b, `],"data_offsets":[`...)
	b = append(strconv.AppendInt(b, begin, 10), ',')
	b = strconv.AppendInt(b, end, 10)
	return append(b, "]}"...)
}

// appendString appends s as JSON, with escapes only where JSON asks for them.
// That is what the reference does; encoding/json escapes <, > and & as well.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			if c < ' ' {
				b = append(b, `\u00`...)
				b = append(b, hex[c>>4], hex[c&15])
				continue
			}
			b = append(b, c)
		}
	}
	return append(b, '"')
}
