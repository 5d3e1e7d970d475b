package rope

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"ropewalk/internal/codec"
)

// errWire reports a header or index that ends early or breaks a limit.
var errWire = errors.New("malformed")

// A wireReader takes numbers and strings from the front of a header. The first
// fault sticks, and everything read after it is zero.
type wireReader struct {
	b   []byte
	err error
}

func (r *wireReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// uint reads a number that may not exceed limit.
func (r *wireReader) uint(what string, limit uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := codec.Uvarint(r.b)
	switch {
	case n == 0:
		r.fail("%s: %w", what, io.ErrUnexpectedEOF)
		return 0
	case n < 0:
		r.fail("%s: %w number", what, errWire)
		return 0
	case v > limit:
		r.fail("%s is %d, the limit is %d: %w", what, v, limit, errWire)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads the length of a list of which each entry takes at least one byte.
func (r *wireReader) count(what string) int {
	return int(r.uint(what, uint64(len(r.b))))
}

func (r *wireReader) bytes(what string, n uint64) []byte {
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.b)) {
		r.fail("%s: %w", what, io.ErrUnexpectedEOF)
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *wireReader) byte(what string) byte {
	if b := r.bytes(what, 1); b != nil {
		return b[0]
	}
	return 0
}

func (r *wireReader) string(what string) string {
	return string(r.bytes(what, r.uint(what, uint64(len(r.b)))))
}

// appendString stores a length and the bytes.
func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}
