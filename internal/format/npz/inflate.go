package npz

import (
	"bufio"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"ropewalk/layout"
)

// Encoding is the key of the decoder of deflated arrays.
const Encoding = "npy-deflate"

// MaxInflated bounds the values of a deflated array that is decoded, in bytes:
// they have to be in memory as a whole, and a file a thousand times smaller
// can ask for them. Larger ones can be packed, but not looked at.
const MaxInflated = math.MaxInt32

// Decode is the decoder of [Encoding]: it inflates an array and puts its
// values in row-major order. Type and shape must be those of the view. It
// knows no checksum; the decoder in a layout made by [Parse] verifies that too.
func Decode(encoded []byte, v *layout.View) ([]byte, error) {
	b, err := inflate(encoded, v, io.Discard)
	if err != nil {
		return nil, fileError(v.Name+suffix, -1, "", "", err)
	}
	return b, nil
}

// decode is Decode for this archive.
func (b *builder) decode(encoded []byte, v *layout.View) ([]byte, error) {
	sum := crc32.NewIEEE()
	values, err := inflate(encoded, v, sum)
	if want, ok := b.crcs[v.Encoded.Offset]; err == nil && ok && sum.Sum32() != want {
		err = npyErrorf(0, "checksum is %08x, the directory says %08x", sum.Sum32(), want)
	}
	if err != nil {
		return nil, fileError(b.file, v.Encoded.Offset, fmt.Sprintf("member %.80q: ", v.Name+suffix), "", err)
	}
	return values, nil
}

// inflate returns the row-major values of v. All bytes pass through sum.
func inflate(encoded []byte, v *layout.View, sum io.Writer) ([]byte, error) {
	want, err := v.Shape.Size(v.DType)
	if err != nil {
		return nil, err
	}
	if want/maxRatio > int64(len(encoded)) {
		return nil, npyErrorf(0, "deflate cannot make %d bytes of %d", want, len(encoded))
	}
	if want > MaxInflated {
		return nil, &npyError{unsupported: true, reason: fmt.Sprintf("deflated array of %d bytes, the limit is %d", want, MaxInflated)}
	}
	src := bytes.NewReader(encoded)
	r := io.TeeReader(flate.NewReader(src), sum)
	h, err := readNPY(r, maxRatio*int64(len(encoded)))
	if err != nil {
		return nil, err
	}
	if h.dtype != v.DType || !h.shape.Equal(v.Shape) {
		return nil, npyErrorf(0, "holds %s %v, not %s %v", h.dtype, h.shape, v.DType, v.Shape)
	}
	values := make([]byte, want)
	if n, err := io.ReadFull(r, values); err != nil {
		if isDeflateError(err) || err == io.EOF {
			return nil, npyErrorf(0, "inflates to %d bytes of values and not to %d: %v", n, want, err)
		}
		return nil, err
	}
	var one [1]byte
	switch n, err := io.ReadFull(r, one[:]); {
	case n != 0:
		return nil, npyErrorf(0, "inflates to more than the %d bytes of its values", want)
	case err != io.EOF:
		return nil, err
	}
	if src.Len() != 0 {
		return nil, npyErrorf(0, "%d bytes after the end of the deflated data", src.Len())
	}
	if h.fortran {
		values = h.rowMajor(values)
	}
	return values, nil
}

// rowMajor returns the values of a Fortran array in row-major order.
func (h *npyHeader) rowMajor(values []byte) []byte {
	out := make([]byte, 0, len(values))
	st := h.strides()
	idx := make([]int64, len(h.shape))
	for at := int64(0); len(out) < len(values); {
		out = append(out, values[at*h.item:(at+1)*h.item]...)
		for i := len(idx) - 1; i >= 0; i-- {
			at += st[i]
			if idx[i]++; idx[i] < h.shape[i] {
				break
			}
			at -= st[i] * h.shape[i]
			idx[i] = 0
		}
	}
	return out
}

// isDeflateError reports whether err says that deflated data are broken.
func isDeflateError(err error) bool {
	var c flate.CorruptInputError
	return errors.As(err, &c) || errors.Is(err, io.ErrUnexpectedEOF)
}

// An inflater reads the beginnings of many members with one set of tables.
type inflater struct {
	buf *bufio.Reader
	r   io.ReadCloser
}

func (f *inflater) reset(src io.Reader) io.Reader {
	if f.r == nil {
		f.buf = bufio.NewReader(src)
		f.r = flate.NewReader(f.buf)
		return f.r
	}
	f.buf.Reset(src)
	// The reader of compress/flate implements Resetter and never fails at it.
	_ = f.r.(flate.Resetter).Reset(f.buf, nil)
	return f.r
}
