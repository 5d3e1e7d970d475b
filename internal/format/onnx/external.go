package onnx

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/layout"
)

// maxFiles bounds the external files of a model. Exporters write one for all
// tensors, or one for each of some thousands.
const maxFiles = 1 << 14

// external is the external_data of a TensorProto: a list of keys and values,
// all of them text.
type external struct {
	used                     bool // data_location is EXTERNAL
	location, offset, length field
	checksum                 bool // there is one; see Edit
}

// add reads one entry of external_data. Keys that the specification does not
// name are allowed and ignored.
func (e *external) add(r *reader, f field) error {
	if err := r.want(f, protowire.BytesType, "external_data"); err != nil {
		return err
	}
	key, value, err := entry(r, f)
	if err != nil {
		return err
	}
	var to *field
	switch key {
	case "location":
		to = &e.location
	case "offset":
		to = &e.offset
	case "length":
		to = &e.length
	case "checksum":
		e.checksum = true
		return nil
	default:
		return nil
	}
	if to.start != 0 || to.body.end != 0 {
		return r.unsupported(f.start, "external_data has two entries %q", key)
	}
	*to = value
	return nil
}

// entry reads the key and finds the value of a StringStringEntryProto.
func entry(r *reader, f field) (key string, value field, err error) {
	var k field
	err = r.fields(f.body, func(f field) error {
		switch f.num {
		case entryKey:
			k = f
			return r.want(f, protowire.BytesType, "key")
		case entryValue:
			value = f
			return r.want(f, protowire.BytesType, "value")
		}
		return nil
	})
	if err != nil {
		return "", field{}, err
	}
	key, err = r.text(k)
	return key, value, err
}

// number parses a decimal of external_data; an absent one is 0.
func (r *reader) number(f field, key string) (int64, error) {
	s, err := r.text(f)
	if err != nil || s == "" {
		return 0, err
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, &layout.CorruptError{File: r.file, Offset: r.base + f.body.start, Reason: fmt.Sprintf("%s of external data is %q", key, s), Err: err}
	}
	return int64(n), nil
}

// external finds the values of a tensor in an external file, which it opens
// where that has not been done yet.
func (w *walker) external(m *message) (file int, s span, err error) {
	r, e := w.r, &m.external
	fail := func(err error) (int, span, error) { return 0, span{}, err }
	location, err := r.text(e.location)
	if err != nil {
		return fail(err)
	}
	at := e.location.body.start
	if location == "" {
		return fail(r.corrupt(m.span.start, "external data has no location"))
	}
	offset, err := r.number(e.offset, "offset")
	if err != nil {
		return fail(err)
	}
	length, err := r.number(e.length, "length")
	if err != nil {
		return fail(err)
	}
	if m.dtype().Known() {
		want, err := m.shape.Size(m.dtype())
		if err != nil {
			return fail(&layout.CorruptError{File: r.file, Offset: m.span.start, Reason: err.Error(), Err: err})
		}
		// An absent length means all of the rest; runtimes take what the shape
		// needs. The reference reader sees no length in a length of zero.
		if length == 0 {
			length = want
		}
		if length != want {
			return fail(r.corrupt(e.length.body.start, "external data of %s %v has %d bytes, want %d", m.dtype(), m.shape, length, want))
		}
	}
	file, err = w.openExternal(at, location)
	if err != nil {
		return fail(err)
	}
	size := w.files[file].Data.Size()
	if !m.dtype().Known() && length == 0 {
		length = max(size-offset, 0)
	}
	if offset > size || length > size-offset {
		return fail(r.truncated(at, "external data is %d bytes at %d of %s, which has %d", length, offset, w.files[file].Name, size))
	}
	return file, span{offset, offset + length}, nil
}

// openExternal returns the index of an external file.
func (w *walker) openExternal(at int64, location string) (int, error) {
	r := w.r
	name, err := layout.LocalName(location)
	if err != nil {
		return 0, &layout.CorruptError{File: r.file, Offset: at, Reason: "the location of external data is not allowed: " + err.Error(), Err: err}
	}
	if i, ok := w.fileIndex[name]; ok {
		return i, nil
	}
	if name == w.files[0].Name {
		return 0, r.unsupported(at, "external data lies in the model itself")
	}
	if len(w.files) > maxFiles {
		return 0, r.unsupported(at, "more than %d external files", maxFiles)
	}
	if w.open == nil {
		return 0, r.unsupported(at, "external data in %s, which cannot be opened from here", name)
	}
	d, err := w.open(name)
	if err != nil {
		return 0, fmt.Errorf("%s: external data in %s: %w", r.file, name, err)
	}
	if d == nil {
		return 0, errors.New("onnx: opener returned no data")
	}
	i := len(w.files)
	w.files = append(w.files, layout.File{Name: name, Data: d})
	w.fileIndex[name] = i
	return i, nil
}

// baseName is the name of the main file in a layout.
func baseName(name string) string { return path.Base(filepath.ToSlash(name)) }
