package onnx

import (
	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// A message is what a TensorProto says of itself, without its values.
type message struct {
	span  span
	name  field
	typ   int32
	shape tensor.Shape

	store  protowire.Number // the field that has the values; 0: none
	chunks int              // how many fields have them
	body   span             // payload of the last of them
	packed bool             // the last is length-delimited
	// Bounds of the number of entries of a typed field. They differ only for
	// packed varints, which nobody has counted yet.
	least, most int64

	external external
}

// dtype returns the element type.
func (m *message) dtype() tensor.DType { return dtypeOf(m.typ) }

// scanMessage reads a TensorProto, stepping over its values.
func scanMessage(r *reader, s span) (*message, error) {
	m := &message{span: s}
	var typed, raw, located bool
	err := r.fields(s, func(f field) error {
		switch f.num {
		case tensorDims:
			return m.addDims(r, f)
		case tensorType:
			if err := r.want(f, protowire.VarintType, "data_type"); err != nil {
				return err
			}
			if err := r.once(f, &typed, "data_type"); err != nil {
				return err
			}
			m.typ = int32(f.value)
			if m.typ < 0 || int64(f.value) != int64(m.typ) {
				return r.corrupt(f.start, "data_type is %d", int64(f.value))
			}
		case tensorSegment:
			return r.unsupported(f.start, "a tensor is stored in segments")
		case tensorName:
			m.name = f
			return r.want(f, protowire.BytesType, "name")
		case tensorRaw:
			if err := r.want(f, protowire.BytesType, "raw_data"); err != nil {
				return err
			}
			if err := r.once(f, &raw, "raw_data"); err != nil {
				return err
			}
			return m.addValues(r, f, 0)
		case tensorFloat:
			return m.addFixed(r, f, protowire.Fixed32Type, 4)
		case tensorDouble:
			return m.addFixed(r, f, protowire.Fixed64Type, 8)
		case tensorInt32, tensorInt64, tensorUint64:
			return m.addVarints(r, f)
		case tensorString:
			if err := r.want(f, protowire.BytesType, "string_data"); err != nil {
				return err
			}
			return m.addValues(r, f, 1)
		case tensorExternal:
			return m.external.add(r, f)
		case tensorLocation:
			if err := r.want(f, protowire.VarintType, "data_location"); err != nil {
				return err
			}
			if err := r.once(f, &located, "data_location"); err != nil {
				return err
			}
			if f.value > 1 {
				return r.unsupported(f.start, "data_location is %d", f.value)
			}
			m.external.used = f.value == 1
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if _, err := m.shape.Elems(); err != nil {
		return nil, &layout.CorruptError{File: r.file, Offset: r.base + s.start, Reason: err.Error(), Err: err}
	}
	return m, nil
}

// addDims appends to the shape: repeated int64, packed or not.
func (m *message) addDims(r *reader, f field) error {
	add := func(at int64, v uint64) error {
		if len(m.shape) == tensor.MaxRank {
			return r.unsupported(at, "a tensor has more than %d dimensions", tensor.MaxRank)
		}
		if int64(v) < 0 {
			return r.corrupt(at, "dimension %d is %d", len(m.shape), int64(v))
		}
		m.shape = append(m.shape, int64(v))
		return nil
	}
	if f.typ == protowire.BytesType {
		return r.varints(f.body, add)
	}
	if err := r.want(f, protowire.VarintType, "dims"); err != nil {
		return err
	}
	return add(f.body.start, f.value)
}

// addValues notes a field with n entries.
func (m *message) addValues(r *reader, f field, n int64) error {
	if m.store != 0 && m.store != f.num {
		return r.corrupt(f.start, "a tensor has values in both %s and %s", storeNames[m.store], storeNames[f.num])
	}
	m.store, m.body, m.packed = f.num, f.body, f.typ == protowire.BytesType
	m.chunks++
	m.least += n
	m.most += n
	return nil
}

// addFixed notes float_data or double_data. An empty packed field says
// nothing: writers leave it where they replaced it by raw_data.
func (m *message) addFixed(r *reader, f field, typ protowire.Type, width int64) error {
	if f.typ != protowire.BytesType {
		if err := r.want(f, typ, storeNames[f.num]); err != nil {
			return err
		}
	}
	if f.body.size()%width != 0 {
		return r.corrupt(f.start, "%s has %d bytes, want a multiple of %d", storeNames[f.num], f.body.size(), width)
	}
	if f.body.size() == 0 {
		return nil
	}
	return m.addValues(r, f, f.body.size()/width)
}

// addVarints notes one of the typed fields of integers.
func (m *message) addVarints(r *reader, f field) error {
	if f.typ != protowire.BytesType {
		if err := r.want(f, protowire.VarintType, storeNames[f.num]); err != nil {
			return err
		}
		return m.addValues(r, f, 1)
	}
	n := f.body.size()
	if n == 0 {
		return nil
	}
	if err := m.addValues(r, f, 0); err != nil {
		return err
	}
	const longest = 10 // bytes of a varint
	m.least += (n + longest - 1) / longest
	m.most += n
	return nil
}

// A form is how a tensor's values can be had.
type form int

const (
	absent   form = iota // not at all: strings, or a type we cannot decode
	verbatim             // as they are, in message.body
	encoded              // by a Decoder
	outside              // in an external file
)

// form says how the values can be had, after checking that their size is that
// of type and shape as far as that is known without reading them.
func (m *message) form(r *reader) (form, error) {
	at, dtype := m.span.start, m.dtype()
	elems, err := m.shape.Elems()
	if err != nil {
		return absent, err // cannot be: scanMessage has checked
	}
	if m.external.used {
		switch {
		case m.typ == typeUndefined || m.typ == typeString:
			return absent, r.unsupported(at, "a tensor of data_type %d has external data", m.typ)
		case m.store != 0 && m.body.size() > 0:
			return absent, r.corrupt(at, "a tensor has values in both %s and external_data", storeNames[m.store])
		}
		return outside, nil
	}
	if m.typ == typeString && (m.store == tensorString || m.store == 0) {
		return absent, nil
	}
	if m.typ == typeUndefined && m.store == 0 {
		return absent, nil // an empty message, as optional attributes leave behind
	}
	if m.typ == typeUndefined || m.typ == typeString {
		return absent, r.corrupt(at, "a tensor of data_type %d has values in %s", m.typ, storeNames[m.store])
	}
	if m.store != 0 && m.store != tensorRaw {
		want := storeOf(m.typ)
		if want == 0 && m.store == tensorInt32 {
			return absent, nil
		}
		if m.store != want {
			return absent, r.corrupt(at, "a tensor of type %s has values in %s", dtype, storeNames[m.store])
		}
	}
	if m.store == 0 {
		if elems != 0 {
			return absent, r.corrupt(at, "a tensor %s %v has no values", dtype, m.shape)
		}
		m.body = span{at, at}
		return verbatim, nil
	}
	if !dtype.Known() {
		return verbatim, nil
	}
	size, err := m.shape.Size(dtype)
	if err != nil {
		return absent, &layout.CorruptError{File: r.file, Offset: r.base + at, Reason: err.Error(), Err: err}
	}
	if m.store == tensorRaw {
		if m.body.size() != size {
			return absent, r.corrupt(m.body.start, "raw_data of %s %v has %d bytes, want %d", dtype, m.shape, m.body.size(), size)
		}
		return verbatim, nil
	}
	if n := entries(dtype, elems); n < m.least || n > m.most {
		return absent, r.corrupt(at, "%s of %s %v has %d to %d entries, want %d", storeNames[m.store], dtype, m.shape, m.least, m.most, n)
	}
	if m.chunks == 1 && m.packed && (m.store == tensorFloat || m.store == tensorDouble) {
		return verbatim, nil
	}
	return encoded, nil
}
