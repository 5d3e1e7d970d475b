package onnx

import (
	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// A kind says which message of the main file describes a tensor.
type kind int

const (
	inTensor kind = iota // TensorProto
	inFloats             // AttributeProto, field floats
	inInts               // AttributeProto, field ints
)

// A slot is a tensor that the walk has found.
type slot struct {
	enclosure int // index of the message that describes it
	kind      kind
	external  bool // values are in an external file
	checksum  bool // and have an entry of their checksum

	view layout.View // without Array
	file int         // where the values are, unless view.Encoded
	body span
	at   int64 // the place in the main file that errors name
}

// A naming returns the name of a tensor in its graph, given that in the
// TensorProto.
type naming func(own string) (string, error)

func nameInitializer(own string) (string, error) {
	if own == "" {
		own = "initializer"
	}
	return own, nil
}

// sparse walks over a SparseTensorProto. The values have its name, the indices
// their own, or that of the values and ".indices".
func (w *walker) sparse(in int, s *scope, named naming) error {
	var values field
	var hasValues, hasIndices bool
	msg := w.enclosures[in].body
	err := w.r.fields(msg, func(f field) error {
		switch f.num {
		case sparseValues:
			values = f
			return w.r.once(f, &hasValues, "values")
		case sparseIndices:
			return w.r.once(f, &hasIndices, "indices")
		}
		return nil
	})
	if err != nil {
		return err
	}
	indices := func(own string) (string, error) {
		if own != "" || !hasValues {
			return own, nil
		}
		m, err := scanMessage(w.r, values.body)
		if err != nil {
			return "", err
		}
		of, err := w.r.text(m.name)
		if err != nil {
			return "", err
		}
		of, err = named(of)
		return of + ".indices", err
	}
	return w.r.fields(msg, func(f field) error {
		switch f.num {
		case sparseValues:
			return w.inside(f, in, "values", func(in int) error { return w.tensor(in, s, named) })
		case sparseIndices:
			return w.inside(f, in, "indices", func(in int) error { return w.tensor(in, s, indices) })
		}
		return nil
	})
}

// tensor notes the TensorProto that the enclosure in is.
func (w *walker) tensor(in int, s *scope, named naming) error {
	r := w.r
	m, err := scanMessage(r, w.enclosures[in].body)
	if err != nil {
		return err
	}
	form, err := m.form(r)
	if err != nil || form == absent {
		return err
	}
	t := slot{enclosure: in, kind: inTensor, body: m.body, at: m.span.start}
	t.view = layout.View{DType: m.dtype(), Shape: m.shape}
	switch form {
	case encoded:
		t.view.Encoded = &layout.Encoded{Encoding: TensorEncoding, Offset: m.span.start, Size: m.span.size()}
	case outside:
		t.external, t.checksum = true, m.external.checksum
		if t.file, t.body, err = w.external(m); err != nil {
			return err
		}
		if t.body.size() == 0 {
			// Nothing may point between the bytes of another array.
			t.file, t.body = 0, span{m.span.start, m.span.start}
		}
	}
	own, err := r.text(m.name)
	if err != nil {
		return err
	}
	return w.add(t, s, named, own)
}

// list notes the list of numbers that an attribute of a Constant is.
func (w *walker) list(in int, n *node, attribute field, named naming) error {
	if is, err := w.r.is(attribute, "value_floats"); is || err != nil {
		if err != nil {
			return err
		}
		return w.floats(in, n.scope, named)
	}
	if is, err := w.r.is(attribute, "value_ints"); !is || err != nil {
		return err
	}
	return w.ints(in, n.scope, named)
}

// floats notes the list of floats that the attribute of a Constant has.
func (w *walker) floats(in int, s *scope, named naming) error {
	list := message{}
	err := w.r.fields(w.enclosures[in].body, func(f field) error {
		if f.num != attributeFloats {
			return nil
		}
		return list.addFixed(w.r, f, protowire.Fixed32Type, 4)
	})
	if err != nil || list.chunks == 0 {
		return err
	}
	t := slot{enclosure: in, kind: inFloats, body: list.body, at: w.enclosures[in].body.start}
	t.view = layout.View{DType: tensor.F32, Shape: tensor.Shape{list.least}}
	if list.chunks > 1 || !list.packed {
		t.view.Encoded = w.attributeEncoding(in)
	}
	return w.add(t, s, named, "")
}

// ints notes the list of integers that the attribute of a Constant has.
func (w *walker) ints(in int, s *scope, named naming) error {
	n := int64(0)
	err := intsOf(w.r, w.enclosures[in].body, func(uint64) { n++ })
	if err != nil || n == 0 {
		return err
	}
	t := slot{enclosure: in, kind: inInts, at: w.enclosures[in].body.start}
	t.view = layout.View{DType: tensor.I64, Shape: tensor.Shape{n}, Encoded: w.attributeEncoding(in)}
	return w.add(t, s, named, "")
}

func (w *walker) attributeEncoding(in int) *layout.Encoded {
	msg := w.enclosures[in].body
	return &layout.Encoded{Encoding: AttributeEncoding, Offset: msg.start, Size: msg.size()}
}

// add appends a tensor to what was found.
func (w *walker) add(t slot, s *scope, named naming, own string) error {
	if len(w.slots) == maxTensors {
		return w.r.unsupported(t.at, "the model has more than %d tensors", maxTensors)
	}
	name, err := named(own)
	if err != nil {
		return err
	}
	prefix, err := s.prefix()
	if err != nil {
		return err
	}
	unique, ok := w.names.unique(prefix + name)
	if !ok {
		return w.r.unsupported(t.at, "the names of the tensors have more than %d bytes", maxNames)
	}
	t.view.Name = unique
	w.slots = append(w.slots, t)
	return nil
}
