package npz

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// Names of the formats in a [layout.Layout].
const (
	Format    = "npz"
	FormatNPY = "npy"
)

// suffix of the members that are arrays; their tensors are named without.
const suffix = ".npy"

// Sniff reports whether a file that begins with head is a ZIP archive: it may
// be an .npz file; see [IsNPZ].
func Sniff(head []byte) bool {
	return bytes.HasPrefix(head, localSig) || bytes.HasPrefix(head, endSig)
}

// IsNPZ reports whether d is an archive of arrays: its directory can be read
// and lists at least one array, or nothing at all, and no data.pkl, which the
// archives of PyTorch have.
func IsNPZ(d tensor.Data) bool {
	ms, _, err := archive{data: d}.members()
	if err != nil {
		return false
	}
	arrays := 0
	for _, m := range ms {
		if m.name == "data.pkl" || strings.HasSuffix(m.name, "/data.pkl") {
			return false
		}
		if strings.HasSuffix(m.name, suffix) {
			arrays++
		}
	}
	return arrays > 0 || len(ms) == 0
}

// Parse reads the directory of an archive and the headers of its arrays. The
// views are in the order of the directory. The checksums of stored members
// are not looked at, those of deflated ones when their values are read. The
// name is used in errors: a [*layout.CorruptError] for a file that breaks a
// rule, a [*layout.UnsupportedError] for objects, structured types, encryption
// and other compression than deflate.
func Parse(name string, d tensor.Data) (*layout.Layout, error) {
	a := archive{name, d}
	ms, dir, err := a.members()
	if err != nil {
		return nil, err
	}
	if err := a.locate(ms, dir); err != nil {
		return nil, err
	}
	b := builder{
		archive: a,
		l:       &layout.Layout{Format: Format, Files: []layout.File{{Name: filepath.Base(name), Data: d}}},
		crcs:    make(map[int64]uint32),
	}
	for i := range ms {
		if err := b.add(&ms[i]); err != nil {
			return nil, err
		}
	}
	b.sort()
	if len(b.crcs) > 0 {
		b.l.Decoders = map[string]layout.Decoder{Encoding: b.decode}
	}
	return b.l, nil
}

// A builder makes the layout of an archive.
type builder struct {
	archive
	l      *layout.Layout
	crcs   map[int64]uint32 // of deflated arrays, by the offset of their bytes
	inflat inflater
}

// keep mentions a member that is no tensor to us.
func (b *builder) keep(m *member, why string) {
	b.l.Metadata = append(b.l.Metadata, layout.Pair{Key: m.name, Value: why})
}

func (b *builder) add(m *member) error {
	if !strings.HasSuffix(m.name, suffix) {
		b.keep(m, "not an array")
		return nil
	}
	var r io.Reader
	switch m.method {
	case methodStored:
		r = io.NewSectionReader(b.data, m.data, m.size)
	case methodDeflate:
		r = b.inflat.reset(io.NewSectionReader(b.data, m.data, m.packed))
	default:
		return b.unsupported(m.entry+10, "member %.80q is compressed by method %d, not by deflate", m.name, m.method)
	}
	h, err := readNPY(r, m.size)
	if err == nil && h.values != m.size-h.length {
		err = npyErrorf(h.length, "%s %v takes %d bytes, has %d", h.dtype, h.shape, h.values, m.size-h.length)
	}
	if err != nil {
		return b.memberError(m, err)
	}
	name := strings.TrimSuffix(m.name, suffix)
	if m.method == methodDeflate {
		b.addDeflated(name, m, h)
	} else {
		b.addStored(name, m.data+h.length, h)
	}
	return nil
}

func (b *builder) addDeflated(name string, m *member, h *npyHeader) {
	if !h.dtype.Known() { // the size of a view follows from its type
		b.keep(m, fmt.Sprintf("%s %v, deflated", h.dtype, h.shape))
		return
	}
	b.crcs[m.data] = m.crc
	b.l.Views = append(b.l.Views, layout.View{
		Name: name, DType: h.dtype, Shape: h.shape,
		Encoded: &layout.Encoded{Encoding: Encoding, Offset: m.data, Size: m.packed},
	})
}

// addStored adds an array whose values lie at off in file 0.
func (b *builder) addStored(name string, off int64, h *npyHeader) {
	a := layout.Array{Name: name, DType: h.dtype, Shape: h.shape, Offset: off, Size: h.values}
	v := layout.View{Name: name, DType: h.dtype, Shape: h.shape, Array: len(b.l.Arrays)}
	if h.fortran {
		a.Shape = slices.Clone(h.shape)
		slices.Reverse(a.Shape)
		v.Strides = h.strides()
	}
	b.l.Arrays = append(b.l.Arrays, a)
	if h.fortran && !h.dtype.Known() { // nobody can transpose it
		b.l.Metadata = append(b.l.Metadata, layout.Pair{Key: name + suffix, Value: fmt.Sprintf("%s %v in Fortran order", h.dtype, h.shape)})
		return
	}
	b.l.Views = append(b.l.Views, v)
}

// sort puts the arrays in the order of the file; they are in that of the
// directory, which may differ.
func (b *builder) sort() {
	order := make([]int, len(b.l.Arrays)) // new to old
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(b.l.Arrays[i].Offset, b.l.Arrays[j].Offset) })
	sorted := make([]layout.Array, len(order))
	moved := make([]int, len(order)) // old to new
	for to, from := range order {
		sorted[to], moved[from] = b.l.Arrays[from], to
	}
	b.l.Arrays = sorted
	for i := range b.l.Views {
		if v := &b.l.Views[i]; v.Encoded == nil {
			v.Array = moved[v.Array]
		}
	}
}

// memberError says in which file and member err is.
func (b *builder) memberError(m *member, err error) error {
	at, where := m.data, ""
	if ne, ok := errors.AsType[*npyError](err); ok {
		if m.method == methodDeflate {
			where = fmt.Sprintf(" (at byte %d when inflated)", ne.at)
		} else {
			at += ne.at
		}
	}
	return fileError(b.file, at, fmt.Sprintf("member %.80q: ", m.name), where, err)
}

// fileError gives an error in an array its place in a file.
func fileError(file string, at int64, before, after string, err error) error {
	var ne *npyError
	switch {
	case errors.As(err, &ne) && ne.unsupported:
		return &layout.UnsupportedError{File: file, Offset: at, Reason: before + ne.reason + after}
	case errors.As(err, &ne):
		return &layout.CorruptError{File: file, Offset: at, Reason: before + ne.reason + after, Err: ne.err}
	case isDeflateError(err):
		return &layout.CorruptError{File: file, Offset: at, Reason: before + "inflating it: " + err.Error(), Err: err}
	}
	return fmt.Errorf("%s: %s%w", file, before, err)
}

// SniffNPY reports whether a file that begins with head is a single array.
func SniffNPY(head []byte) bool { return bytes.HasPrefix(head, magic) }

// ParseNPY reads the header of a single array. Its tensor has the name of the
// file, without .npy. Errors are as those of [Parse].
func ParseNPY(name string, d tensor.Data) (*layout.Layout, error) {
	size := d.Size()
	h, err := readNPY(io.NewSectionReader(d, 0, size), size)
	if err == nil && h.values != size-h.length {
		ne := &npyError{at: h.length, reason: fmt.Sprintf("%s %v takes %d bytes, has %d", h.dtype, h.shape, h.values, size-h.length)}
		if h.values > size-h.length {
			ne.err = io.ErrUnexpectedEOF
		}
		err = ne
	}
	if err != nil {
		at := int64(0)
		if ne, ok := errors.AsType[*npyError](err); ok {
			at = ne.at
		}
		return nil, fileError(name, at, "", "", err)
	}
	base := filepath.Base(name)
	b := builder{l: &layout.Layout{Format: FormatNPY, Files: []layout.File{{Name: base, Data: d}}}}
	b.addStored(strings.TrimSuffix(base, suffix), h.length, h)
	return b.l, nil
}
