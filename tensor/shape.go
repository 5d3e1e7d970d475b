package tensor

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// MaxRank bounds the number of axes. ONNX and PyTorch models stay below 10;
// the bound keeps hostile headers from asking for work without end.
const MaxRank = 64

// ErrShape reports axes from which no shape can be made.
var ErrShape = errors.New("tensor: invalid shape")

// A Shape is the number of elements along each axis, outermost first.
// The empty Shape is a scalar; a zero among the axes makes an empty tensor.
type Shape []int64

// Elems returns the number of elements, or an error if an axis is negative,
// there are more than [MaxRank] of them, or the product overflows an int64.
func (s Shape) Elems() (int64, error) {
	if len(s) > MaxRank {
		return 0, fmt.Errorf("%w: %d axes, want at most %d", ErrShape, len(s), MaxRank)
	}
	n, empty := uint64(1), false
	for i, d := range s {
		if d < 0 {
			return 0, fmt.Errorf("%w: axis %d is %d", ErrShape, i, d)
		}
		if d == 0 {
			empty = true
			continue
		}
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > 1<<62 {
			return 0, fmt.Errorf("%w: %v has more than 2^62 elements", ErrShape, s)
		}
		n = lo
	}
	if empty {
		return 0, nil
	}
	return int64(n), nil
}

// Size returns the number of bytes that a tensor of this shape and of type d
// takes, rounded up to a whole byte. It fails as [Shape.Elems] does, and for
// an unknown type.
func (s Shape) Size(d DType) (int64, error) {
	n, err := s.Elems()
	if err != nil {
		return 0, err
	}
	b := int64(d.Bits())
	if b == 0 {
		return 0, fmt.Errorf("%w: the element size of type %q is not known", ErrShape, d)
	}
	if n > (1<<62)/b {
		return 0, fmt.Errorf("%w: %v of %s has more than 2^59 bytes", ErrShape, s, d)
	}
	return (n*b + 7) / 8, nil
}

// Equal reports whether s and t have the same axes.
func (s Shape) Equal(t Shape) bool { return slices.Equal(s, t) }

// String returns the shape as "64x3x3x3", or "scalar".
func (s Shape) String() string {
	if len(s) == 0 {
		return "scalar"
	}
	var b strings.Builder
	for i, d := range s {
		if i > 0 {
			b.WriteByte('x')
		}
		b.WriteString(strconv.FormatInt(d, 10))
	}
	return b.String()
}
