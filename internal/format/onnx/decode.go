package onnx

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// The encodings of values that a model does not hold verbatim.
const (
	// TensorEncoding is a TensorProto with typed fields.
	TensorEncoding = "onnx-tensor"
	// AttributeEncoding is an AttributeProto with a list of floats or ints.
	AttributeEncoding = "onnx-attribute"
)

// Decoders returns the decoders of both encodings. The file name is used in
// errors.
func Decoders(file string) map[string]layout.Decoder {
	return map[string]layout.Decoder{
		TensorEncoding: func(b []byte, v *layout.View) ([]byte, error) {
			return decodeTensor(newReader(file, place(v), tensor.Bytes(b)), v)
		},
		AttributeEncoding: func(b []byte, v *layout.View) ([]byte, error) {
			return decodeAttribute(newReader(file, place(v), tensor.Bytes(b)), v)
		},
	}
}

// place returns where the encoded bytes of a view are in their file.
func place(v *layout.View) int64 {
	if v.Encoded == nil {
		return 0
	}
	return v.Encoded.Offset
}

// decodeTensor returns the values of a TensorProto.
func decodeTensor(r *reader, v *layout.View) ([]byte, error) {
	m, err := scanMessage(r, r.all())
	if err != nil {
		return nil, err
	}
	if m.dtype() != v.DType || !m.shape.Equal(v.Shape) {
		return nil, r.corrupt(0, "a tensor is %s %v, want %s %v", m.dtype(), m.shape, v.DType, v.Shape)
	}
	form, err := m.form(r)
	if err != nil {
		return nil, err
	}
	switch form {
	case verbatim:
		return tensor.ReadRange(r.data, m.body.start, m.body.size(), nil)
	case absent, outside:
		return nil, r.corrupt(0, "a tensor has no values of its own")
	}
	elems, err := v.Shape.Elems()
	if err != nil {
		return nil, err
	}
	size, err := v.Shape.Size(v.DType)
	if err != nil {
		return nil, err
	}
	d := decoder{r: r, dtype: v.DType, left: entries(v.DType, elems), out: make([]byte, 0, size)}
	err = r.fields(r.all(), func(f field) error {
		if f.num != m.store {
			return nil
		}
		return d.field(f)
	})
	if err == nil && d.left != 0 {
		err = r.truncated(r.all().end, "%s of %s %v lacks %d entries", storeNames[m.store], v.DType, v.Shape, d.left)
	}
	return d.out, err
}

// A decoder collects the entries of a typed field.
type decoder struct {
	r     *reader
	dtype tensor.DType
	left  int64 // entries that are to come
	out   []byte
	bits  uint // of six-bit values that do not fill a byte yet
	nbits int
}

// field appends the entries of one field, packed or single.
func (d *decoder) field(f field) error {
	switch f.num {
	case tensorFloat, tensorDouble: // fixed-width: values as they are
		width := int64(4)
		if f.num == tensorDouble {
			width = 8
		}
		n := f.body.size() / width
		if n > d.left {
			return d.excess(f.start)
		}
		b, err := tensor.ReadRange(d.r.data, f.body.start, f.body.size(), nil)
		d.out, d.left = append(d.out, b...), d.left-n
		return err
	}
	entry := d.int32
	switch f.num {
	case tensorInt64:
		entry = d.uint64
	case tensorUint64:
		entry = d.uint64
		if d.dtype == tensor.U32 {
			entry = d.uint32
		}
	}
	if f.typ == protowire.BytesType {
		return d.r.varints(f.body, entry)
	}
	return entry(f.body.start, f.value)
}

func (d *decoder) excess(at int64) error {
	return d.r.corrupt(at, "the tensor has more entries than its shape asks for")
}

// next counts an entry.
func (d *decoder) next(at int64) error {
	if d.left == 0 {
		return d.excess(at)
	}
	d.left--
	return nil
}

func (d *decoder) uint64(at int64, v uint64) error {
	d.out = binary.LittleEndian.AppendUint64(d.out, v)
	return d.next(at)
}

func (d *decoder) uint32(at int64, v uint64) error {
	if v>>32 != 0 {
		return d.r.corrupt(at, "%d is out of the range of %s", v, d.dtype)
	}
	d.out = binary.LittleEndian.AppendUint32(d.out, uint32(v))
	return d.next(at)
}

// int32 appends an entry of int32_data. Protobuf writes a negative int32 with
// ten bytes; five, which some writers make, mean the same.
func (d *decoder) int32(at int64, v uint64) error {
	x := int64(int32(v))
	if v>>32 != 0 && x != int64(v) {
		return d.r.corrupt(at, "%d is out of the range of int32_data", int64(v))
	}
	if lo, hi := limits(d.dtype); x < lo || x > hi {
		return d.r.corrupt(at, "%d is out of the range of %s", x, d.dtype)
	}
	switch d.dtype.Bits() {
	case 32:
		d.out = binary.LittleEndian.AppendUint32(d.out, uint32(x))
	case 16:
		d.out = binary.LittleEndian.AppendUint16(d.out, uint16(x))
	case 6:
		d.six(uint(x))
	default:
		d.out = append(d.out, byte(x))
	}
	return d.next(at)
}

// six appends a value of six bits, the first in the low bits.
func (d *decoder) six(x uint) {
	d.bits |= x << d.nbits
	d.nbits += 6
	last := d.left == 1
	for d.nbits >= 8 || last && d.nbits > 0 {
		d.out = append(d.out, byte(d.bits))
		d.bits >>= 8
		d.nbits -= 8
	}
}

// intsOf calls visit for each entry of an attribute's ints.
func intsOf(r *reader, msg span, visit func(uint64)) error {
	return r.fields(msg, func(f field) error {
		if f.num != attributeInts {
			return nil
		}
		if f.typ == protowire.BytesType {
			return r.varints(f.body, func(_ int64, v uint64) error { visit(v); return nil })
		}
		visit(f.value)
		return r.want(f, protowire.VarintType, "ints")
	})
}

// decodeAttribute returns the floats or the ints of an AttributeProto.
func decodeAttribute(r *reader, v *layout.View) ([]byte, error) {
	size, err := v.Shape.Size(v.DType)
	if err != nil {
		return nil, err
	}
	// An entry takes a byte or more, so no more than eight come of one.
	if size > 8*r.all().size() {
		return nil, r.truncated(r.all().end, "an attribute has fewer than %v entries", v.Shape)
	}
	out := make([]byte, 0, size)
	switch v.DType {
	case tensor.I64:
		err = intsOf(r, r.all(), func(x uint64) { out = binary.LittleEndian.AppendUint64(out, x) })
	case tensor.F32:
		err = r.fields(r.all(), func(f field) error {
			if f.num != attributeFloats {
				return nil
			}
			b, err := tensor.ReadRange(r.data, f.body.start, f.body.size(), nil)
			out = append(out, b...)
			return err
		})
	default:
		return nil, fmt.Errorf("%w: an attribute holds no values of type %s", layout.ErrLayout, v.DType)
	}
	if err == nil && int64(len(out)) != size {
		err = r.corrupt(0, "an attribute has %d bytes of values, want %d", len(out), size)
	}
	return out, err
}
