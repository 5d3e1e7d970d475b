package attack

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sync"

	"ropewalk/tensor"
)

// A FiniteError reports a weight that is not a finite number.
type FiniteError struct {
	Tensor string
	Index  int // row-major
	Value  float64
}

// Error implements error.
func (e *FiniteError) Error() string {
	return fmt.Sprintf("tensor %s has %v at %d, and nothing can be computed with that", e.Tensor, e.Value, e.Index)
}

// An edit changes the values of a tensor in place: in one of the two precisions, that
// of the tensor or, for 16 bits, float32.
type edit struct {
	single func(x []float32) error
	double func(x []float64) error
}

// changed returns a tensor like t, in which e was done to the values. It is computed
// when it is read, and then kept until another of the same attack is read. The input
// has to be finite ([*FiniteError]), and so has the result, in the type of t
// ([*tensor.RangeError]).
func (r *run) changed(t *tensor.Tensor, e edit) *tensor.Tensor {
	d := &computed{t.Size(), func() ([]byte, error) { return edited(t, e) }, r.last}
	return &tensor.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Data: d}
}

func edited(t *tensor.Tensor, e edit) ([]byte, error) {
	raw, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	var out []byte
	if t.DType == tensor.F64 {
		x := doubles(raw)
		if err := finiteValues(t.Name, x); err != nil {
			return nil, err
		}
		if err := e.double(x); err != nil {
			return nil, err
		}
		out = appendDoubles(make([]byte, 0, len(raw)), x)
	} else {
		x := t.DType.AppendFloat32s(make([]float32, 0, t.Elems()), raw)
		if err := finiteValues(t.Name, x); err != nil {
			return nil, err
		}
		if err := e.single(x); err != nil {
			return nil, err
		}
		out = t.DType.AppendFloats(make([]byte, 0, len(raw)), x)
	}
	return out, inRange(t, out)
}

// inRange refuses a result with numbers that are too large for its type.
func inRange(t *tensor.Tensor, out []byte) error {
	width := t.DType.Bits() / 8
	for i := 0; i < len(out); i += width {
		if x := valueAt(t.DType, out[i:i+width]); x-x != 0 {
			return &tensor.RangeError{Index: int64(i / width), Value: x, To: t.DType}
		}
	}
	return nil
}

func valueAt(d tensor.DType, b []byte) float64 {
	switch d {
	case tensor.F64:
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	case tensor.F32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case tensor.BF16:
		return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16))
	}
	return float64(tensor.Float16Value(binary.LittleEndian.Uint16(b)))
}

func doubles(raw []byte) []float64 {
	x := make([]float64, len(raw)/8)
	for i := range x {
		x[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return x
}

func appendDoubles(dst []byte, x []float64) []byte {
	for _, v := range x {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
	}
	return dst
}

// floating are the numbers that values are computed in.
type floating interface{ float32 | float64 }

func finiteValues[F floating](name string, x []F) error {
	for i, v := range x {
		if v-v != 0 {
			return &FiniteError{name, i, float64(v)}
		}
	}
	return nil
}

// finite looks that a tensor of floats has finite values only.
func finite(t *tensor.Tensor) error {
	raw, err := t.Bytes()
	if err != nil {
		return err
	}
	width := t.DType.Bits() / 8
	for i := 0; i < len(raw); i += width {
		if x := valueAt(t.DType, raw[i:i+width]); x-x != 0 {
			return &FiniteError{t.Name, i / width, x}
		}
	}
	return nil
}

// computed is data that is made when it is read. Files are written a piece at a time,
// so what was made is kept; but only of one tensor of an attack, so that a network need
// not fit into memory.
type computed struct {
	size int64
	make func() ([]byte, error)
	last *cache
}

// A cache holds the data that was made last.
type cache struct {
	sync.Mutex
	of   *computed
	data []byte
}

// Size returns the number of bytes.
func (c *computed) Size() int64 { return c.size }

// bytes returns the data, which must not be written to.
func (c *computed) bytes() ([]byte, error) {
	c.last.Lock()
	if c.last.of == c {
		defer c.last.Unlock()
		return c.last.data, nil
	}
	c.last.Unlock() // what it is made of may be made, too
	data, err := c.make()
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != c.size {
		panic(fmt.Sprintf("attack: internal error: %d bytes were made of %d", len(data), c.size))
	}
	c.last.Lock()
	defer c.last.Unlock()
	c.last.of, c.last.data = c, data
	return data, nil
}

// ReadAt implements [io.ReaderAt].
func (c *computed) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= c.size {
		return 0, io.EOF
	}
	data, err := c.bytes()
	if err != nil {
		return 0, err
	}
	n := copy(p, data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Slice implements [tensor.Slicer]. What cannot be made is an error of ReadAt.
func (c *computed) Slice(off, n int64) ([]byte, bool) {
	data, err := c.bytes()
	if err != nil || off < 0 || n < 0 || off > int64(len(data))-n {
		return nil, false
	}
	return data[off : off+n : off+n], true
}
