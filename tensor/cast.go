package tensor

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// A RangeError reports a finite value that would become infinite in a type.
type RangeError struct {
	Index int64 // of the value in its tensor, row-major
	Value float64
	To    DType
}

// Error implements error.
func (e *RangeError) Error() string {
	return fmt.Sprintf("value %d is %g, which is too large for %s", e.Index, e.Value, e.To)
}

// Cast returns t with its values rounded to type to, nearest even, each once:
// F64 to F16 does not go through F32. NaN and infinity stay what they are. If to
// is the type of t, or t is not [DType.Numeric], it is t itself. It panics if to is
// not Numeric.
//
// Values are converted when they are read. Reading gives a [*RangeError] if a
// finite value is too large for the type.
func Cast(t *Tensor, to DType) *Tensor {
	if !to.Numeric() {
		panic(fmt.Sprintf("tensor: cast to %s", to))
	}
	if t.DType == to || !t.DType.Numeric() {
		return t
	}
	return &Tensor{t.Name, to, t.Shape, &castData{t.Data, t.DType, to}}
}

// castData is data whose values are converted when they are read.
type castData struct {
	src      Data
	from, to DType
}

// castElems is how many values are converted at a time.
const castElems = 1 << 16

// Size returns the number of bytes after the conversion.
func (c *castData) Size() int64 {
	return c.src.Size() / int64(c.from.Bits()/8) * int64(c.to.Bits()/8)
}

// ReadAt implements [io.ReaderAt].
func (c *castData) ReadAt(p []byte, off int64) (int, error) {
	size, width := c.Size(), int64(c.to.Bits()/8)
	if off < 0 || off >= size {
		return 0, io.EOF
	}
	var end error
	if int64(len(p)) > size-off {
		p, end = p[:size-off], io.EOF
	}
	var raw, out []byte
	for n := 0; n < len(p); {
		first := (off + int64(n)) / width
		skip := (off + int64(n)) % width // a read may begin inside of a value
		want := min((skip+int64(len(p)-n)+width-1)/width, castElems)
		wide := int64(c.from.Bits() / 8)
		b, err := ReadRange(c.src, first*wide, want*wide, raw)
		if err != nil {
			return n, err
		}
		if raw == nil {
			raw = make([]byte, 0, want*wide) // what was lent must not be read into
		}
		out = appendCast(out[:0], c.to, b, c.from)
		if i := firstOverflow(out, c.to, b, c.from); i >= 0 {
			return n, &RangeError{first + int64(i), valueAt(b, c.from, i), c.to}
		}
		n += copy(p[n:], out[skip:])
	}
	return len(p), end
}

// appendCast appends the values of raw, of type from, as values of type to.
func appendCast(dst []byte, to DType, raw []byte, from DType) []byte {
	if from != F64 {
		return to.AppendFloats(dst, from.AppendFloat32s(make([]float32, 0, len(raw)*8/from.Bits()), raw))
	}
	v := make([]float32, len(raw)/8)
	for i := range v {
		x := math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
		if to == F32 {
			v[i] = float32(x)
		} else {
			v[i] = oddFloat32(x)
		}
	}
	return to.AppendFloats(dst, v)
}

// oddFloat32 returns x if that is a float32, else the one of its two neighbours
// whose last bit is set. Rounding that to 16 bits gives what rounding x would:
// the set bit remembers on which side of a tie x was.
func oddFloat32(x float64) float32 {
	f := float32(x)
	if float64(f) == x || x != x {
		return f
	}
	b := math.Float32bits(f)
	if math.Abs(float64(f)) > math.Abs(x) {
		b-- // toward zero
	}
	return math.Float32frombits(b | 1)
}

// firstOverflow returns the first value that is infinite in out but not in raw,
// or -1.
func firstOverflow(out []byte, to DType, raw []byte, from DType) int {
	le := binary.LittleEndian
	bad := func(i int) bool { return !math.IsInf(valueAt(raw, from, i), 0) }
	switch to {
	case F16, BF16:
		inf := uint16(0x7c00)
		if to == BF16 {
			inf = 0x7f80
		}
		for i := range len(out) / 2 {
			if le.Uint16(out[2*i:])&0x7fff == inf && bad(i) {
				return i
			}
		}
	case F32:
		for i := range len(out) / 4 {
			if le.Uint32(out[4*i:])&0x7fffffff == 0x7f800000 && bad(i) {
				return i
			}
		}
	}
	return -1 // F64 holds them all
}

// valueAt returns value i of raw.
func valueAt(raw []byte, d DType, i int) float64 {
	if d == F64 {
		return math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	w := d.Bits() / 8
	return float64(d.AppendFloat32s(nil, raw[w*i:w*i+w])[0])
}
