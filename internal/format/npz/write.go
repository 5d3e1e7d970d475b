package npz

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"ropewalk/tensor"
)

// ErrType reports a tensor whose element type NumPy has no name for.
var ErrType = errors.New("npz has no such element type")

// descrs are the NumPy types of ours. NumPy knows neither bfloat16 nor the
// types of eight bits; it is given what it makes of them itself when package
// ml_dtypes saves them, void of that size: load, then view as the right type.
var descrs = func() map[tensor.DType]string {
	m := map[tensor.DType]string{
		tensor.BF16:   "<V2",
		tensor.F8E4M3: "|V1", tensor.F8E5M2: "|V1", tensor.F8E4M3Z: "|V1", tensor.F8E5M2Z: "|V1", tensor.F8E8M0: "|V1",
	}
	for descr, d := range names {
		m[d] = descr
	}
	return m
}()

// epoch is the first time that a ZIP archive can hold: every one that we
// write has it, so equal tensors make equal files.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Write writes an archive of the tensors of set, in its order, stored without
// compression. The values are read once and at most 64 MiB of them are held
// in memory; sizes and checksums follow them, and numpy.load takes them from
// the directory. NumPy has no names for bfloat16 and the types of eight bits:
// they come back as void of two bytes and of one. Packed types of less than a
// byte are refused with [ErrType], wrapped, before anything is written.
func Write(w io.Writer, set *tensor.Set) error {
	heads := make([][]byte, set.Len())
	for i, t := range set.All() {
		if err := checkName(t.Name); err != nil {
			return err
		}
		descr, err := descrOf(t)
		if err != nil {
			return err
		}
		heads[i] = newNPY(descr, t.Shape)
	}
	z := zip.NewWriter(w)
	for i, t := range set.All() {
		f, err := z.CreateHeader(&zip.FileHeader{Name: t.Name + suffix, Method: zip.Store, Modified: epoch})
		if err != nil {
			return err
		}
		if _, err := f.Write(heads[i]); err != nil {
			return err
		}
		if _, err := t.WriteTo(f); err != nil {
			return err
		}
	}
	return z.Close()
}

// WriteNPY writes a single array, as NumPy does. Types are those of [Write].
func WriteNPY(w io.Writer, t *tensor.Tensor) error {
	descr, err := descrOf(t)
	if err != nil {
		return err
	}
	if _, err := w.Write(newNPY(descr, t.Shape)); err != nil {
		return err
	}
	_, err = t.WriteTo(w)
	return err
}

// checkName refuses names that do not survive a ZIP archive.
func checkName(name string) error {
	switch {
	case !utf8.ValidString(name):
		return fmt.Errorf("tensor %q: the name is not UTF-8", name)
	case strings.ContainsRune(name, 0):
		return fmt.Errorf("tensor %q: the name has a zero byte, where Python ends it", name)
	case len(name) > math.MaxUint16-len(suffix):
		return fmt.Errorf("tensor %.80q: the name takes %d bytes, the limit is %d", name, len(name), math.MaxUint16-len(suffix))
	}
	return nil
}

// descrOf returns the NumPy type of t. One that NumPy gave us goes back.
func descrOf(t *tensor.Tensor) (string, error) {
	if descr, ok := descrs[t.DType]; ok {
		return descr, nil
	}
	_, item, err := parseDescr(string(t.DType))
	if err != nil {
		return "", fmt.Errorf("tensor %q has type %s: %w", t.Name, t.DType, ErrType)
	}
	h := npyHeader{item: item, shape: t.Shape}
	if err := h.setSize(&literal{}); err != nil || h.values != t.Size() {
		return "", fmt.Errorf("tensor %q: %s %v does not take %d bytes", t.Name, t.DType, t.Shape, t.Size())
	}
	return string(t.DType), nil
}

// NumPy pads the header so that the values are aligned, and leaves room for
// the first axis to grow when an array is appended to in place.
const (
	alignment  = 64
	growDigits = 21
)

// newNPY returns the header of an array, byte for byte as NumPy has it.
func newNPY(descr string, shape tensor.Shape) []byte {
	b := slices.Clone(magic)
	b = append(b, 1, 0, 0, 0) // version 1.0, the length follows below
	b = append(b, "{'descr': '"...)
	b = append(append(b, descr...), "', 'fortran_order': False, 'shape': ("...)
	for i, d := range shape {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendInt(b, d, 10)
	}
	if len(shape) == 1 {
		b = append(b, ',')
	}
	b = append(b, "), }"...)
	if len(shape) > 0 {
		b = append(b, strings.Repeat(" ", growDigits-len(strconv.FormatInt(shape[0], 10)))...)
	}
	// At least one byte, and a whole line where none is missing: so does NumPy.
	pad := alignment - (len(b)+1)%alignment
	b = append(append(b, strings.Repeat(" ", pad)...), '\n')
	// 64 axes of 19 digits fit a version 1 header many times over.
	le.PutUint16(b[8:], uint16(len(b)-10))
	return b
}
