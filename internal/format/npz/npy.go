package npz

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"ropewalk/tensor"
)

// MaxHeader bounds the header of an array in bytes. It is the most that
// version 1 of the format can say; NumPy itself stops at 10,000.
const MaxHeader = math.MaxUint16

var magic = []byte("\x93NUMPY")

// A npyHeader is what stands before the values of an array.
type npyHeader struct {
	length  int64 // of the header in bytes: where the values begin
	dtype   tensor.DType
	item    int64 // bytes of an element
	shape   tensor.Shape
	fortran bool  // the first axis is the fastest
	values  int64 // bytes of all elements
}

// A npyError is one that does not know yet in which file it is.
type npyError struct {
	at          int64 // from the start of the .npy file
	reason      string
	err         error
	unsupported bool
}

func (e *npyError) Error() string { return e.reason }
func (e *npyError) Unwrap() error { return e.err }

func npyErrorf(at int64, format string, args ...any) error {
	return &npyError{at: at, reason: fmt.Sprintf(format, args...)}
}

// readNPY reads the header of an array from r, which has size bytes. Errors
// that are not an npyError are those of r.
func readNPY(r io.Reader, size int64) (*npyHeader, error) {
	var b [12]byte
	if err := readFull(r, b[:8], 0); err != nil {
		return nil, err
	}
	if string(b[:6]) != string(magic) {
		return nil, npyErrorf(0, "begins with % x, which is not a NumPy array", b[:6])
	}
	width, version := int64(4), b[6]
	switch {
	case b[7] != 0 || version < 1 || version > 3:
		return nil, &npyError{at: 6, reason: fmt.Sprintf("version %d.%d of the array format", b[6], b[7]), unsupported: true}
	case version == 1:
		width = 2
	}
	if err := readFull(r, b[8:8+width], 8); err != nil {
		return nil, err
	}
	n := int64(le.Uint32(b[8:])) // of version 1, the upper half is still 0
	h := &npyHeader{length: 8 + width + n}
	if n > MaxHeader {
		return nil, npyErrorf(8, "array header of %d bytes, the limit is %d", n, MaxHeader)
	}
	if h.length > size {
		return nil, &npyError{at: 8, reason: fmt.Sprintf("array header of %d bytes in %d", h.length, size), err: io.ErrUnexpectedEOF}
	}
	text := make([]byte, n)
	if err := readFull(r, text, 8+width); err != nil {
		return nil, err
	}
	p := &literal{text: text, base: 8 + width, longs: version < 3}
	if err := p.header(h); err != nil {
		return nil, err
	}
	return h, h.setSize(p)
}

func readFull(r io.Reader, b []byte, at int64) error {
	n, err := io.ReadFull(r, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return &npyError{at: at + int64(n), reason: "array ends inside of its header", err: io.ErrUnexpectedEOF}
	}
	return err
}

// setSize computes the size of the values and checks that it can be.
func (h *npyHeader) setSize(p *literal) error {
	n, err := h.shape.Elems()
	if err != nil {
		return &npyError{at: p.shapeAt, reason: err.Error(), err: err}
	}
	hi, lo := bits.Mul64(uint64(n), uint64(h.item))
	if hi != 0 || lo > 1<<62 {
		return npyErrorf(p.shapeAt, "%v elements of %d bytes are more than 2^62", h.shape, h.item)
	}
	h.values = int64(lo)
	return nil
}

// strides returns those of a Fortran array: the first axis is the fastest.
func (h *npyHeader) strides() []int64 {
	st := make([]int64, len(h.shape))
	n := int64(1)
	for i, d := range h.shape {
		st[i] = n
		n *= max(d, 1)
	}
	return st
}

// names are the NumPy types that package tensor has a name for.
var names = map[string]tensor.DType{
	"|b1": tensor.Bool, "|u1": tensor.U8, "|i1": tensor.I8,
	"<u2": tensor.U16, "<i2": tensor.I16, "<f2": tensor.F16,
	"<u4": tensor.U32, "<i4": tensor.I32, "<f4": tensor.F32,
	"<u8": tensor.U64, "<i8": tensor.I64, "<f8": tensor.F64,
	"<c8": tensor.C64, "<c16": tensor.C128,
}

var (
	errObjects = errors.New("holds Python objects, which are pickles and may run code")
	errDescr   = errors.New("unknown type")
)

// parseDescr returns the type of a NumPy type string, and the bytes of one
// element. A type without a name of ours keeps the one it has. It begins with
// the byte order, so it cannot be mistaken for one of ours.
func parseDescr(s string) (tensor.DType, int64, error) {
	if len(s) < 2 || !strings.ContainsRune("<>|=", rune(s[0])) {
		return "", 0, errDescr
	}
	kind, rest := s[1], s[2:]
	if kind == 'O' {
		return "", 0, errObjects
	}
	if unit := strings.IndexByte(rest, '['); unit >= 0 && (kind == 'M' || kind == 'm') && strings.HasSuffix(rest, "]") {
		rest = rest[:unit]
	}
	n, err := strconv.ParseUint(rest, 10, 31)
	if err != nil || strconv.FormatUint(n, 10) != rest {
		return "", 0, errDescr
	}
	switch kind {
	case 'b', 'i', 'u', 'f', 'c', 'm', 'M', 'V', 'S', 'a':
	case 'U': // in UTF-32
		n *= 4
	default:
		return "", 0, errDescr
	}
	key := s
	if n == 1 {
		key = "|" + s[1:] // a single byte has no order, whatever is written
	}
	if d, ok := names[key]; ok {
		return d, int64(n), nil
	}
	return tensor.DType(s), int64(n), nil
}
