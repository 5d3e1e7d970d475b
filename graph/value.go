package graph

import (
	"encoding/binary"
	"fmt"
	"math"

	"ropewalk/tensor"
)

// Text is the type of strings, which only ONNX has among the formats.
const Text tensor.DType = "STRING"

// A Type says what a value will be: its elements and its axes, all known.
type Type struct {
	DType tensor.DType
	Shape tensor.Shape
}

// String returns the type as "F32 1x3x224x224".
func (t Type) String() string { return string(t.DType) + " " + t.Shape.String() }

// equal reports whether t and u are the same type.
func (t Type) equal(u Type) bool { return t.DType == u.DType && t.Shape.Equal(u.Shape) }

// A Value is an array that is computed with. One of Float, Int and Text holds
// the elements, row-major, by its type: real floating-point types are in Float, all
// integers in Int, truth values too, as 0 and 1. An element of U64 is the int64 of the
// same bits. A Value is immutable once it is handed to [Evaluate] or comes
// from there; values may share their slices.
type Value struct {
	Type  tensor.DType
	Shape tensor.Shape
	Float []float64
	Int   []int64
	Text  []string
}

// An Operand is what is known of a value before the graph runs.
type Operand struct {
	Type  Type
	Value *Value // nil if not constant
}

// newValue returns a value of zeros. The shape must be valid.
func newValue(t Type) *Value {
	n, err := t.Shape.Elems()
	if err != nil {
		panic("graph: internal error: " + err.Error())
	}
	v := &Value{Type: t.DType, Shape: t.Shape}
	switch kindOf(t.DType) {
	case kindFloat:
		v.Float = make([]float64, n)
	case kindInt:
		v.Int = make([]int64, n)
	case kindText:
		v.Text = make([]string, n)
	default:
		panic(fmt.Sprintf("graph: internal error: a value of %s", t.DType))
	}
	return v
}

// A kind is which slice of a Value holds its elements.
type kind int

const (
	kindNone kind = iota // not computed with: complex numbers, types not known
	kindFloat
	kindInt
	kindText
)

// kindOf returns the kind of the elements of type d.
func kindOf(d tensor.DType) kind {
	switch {
	case d.Numeric():
		return kindFloat
	case d == tensor.Bool || isSigned(d) || isUnsigned(d):
		return kindInt
	case d == Text:
		return kindText
	}
	return kindNone
}

func isSigned(d tensor.DType) bool {
	return d == tensor.I64 || d == tensor.I32 || d == tensor.I16 || d == tensor.I8 || d == tensor.I4
}

func isUnsigned(d tensor.DType) bool {
	return d == tensor.U64 || d == tensor.U32 || d == tensor.U16 || d == tensor.U8 || d == tensor.U4
}

// typ returns the type of v with its shape.
func (v *Value) typ() Type { return Type{v.Type, v.Shape} }

// check says what is wrong with a value that comes from outside.
func (v *Value) check() error {
	n, err := v.Shape.Elems()
	if err != nil {
		return err
	}
	var got int
	switch kindOf(v.Type) {
	case kindFloat:
		got = len(v.Float)
	case kindInt:
		got = len(v.Int)
	case kindText:
		got = len(v.Text)
	default:
		return fmt.Errorf("elements of type %s cannot be computed with", v.Type)
	}
	if int64(got) != n {
		return fmt.Errorf("%v has %d elements, want %d", v.typ(), got, n)
	}
	if v.Type == tensor.Bool {
		for i, x := range v.Int {
			if x != 0 && x != 1 {
				return fmt.Errorf("element %d of truth values is %d, want 0 or 1", i, x)
			}
		}
	}
	return nil
}

// elems returns the number of elements.
func (v *Value) elems() int { return len(v.Float) + len(v.Int) + len(v.Text) }

// scalarFloat returns a float scalar.
func scalarFloat(d tensor.DType, x float64) *Value {
	return &Value{Type: d, Shape: tensor.Shape{}, Float: []float64{x}}
}

// ValueOf returns the elements of t. It fails if t cannot be read, or is of a type that
// is not computed with (complex numbers, floats of fewer than 16 bits).
func ValueOf(t *tensor.Tensor) (*Value, error) {
	if kindOf(t.DType) == kindNone || t.DType == Text {
		return nil, fmt.Errorf("tensor %q: elements of type %s cannot be computed with", t.Name, t.DType)
	}
	size, err := t.Shape.Size(t.DType)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if got := t.Size(); got != size {
		return nil, fmt.Errorf("tensor %q: %s %v takes %d bytes, has %d", t.Name, t.DType, t.Shape, size, got)
	}
	raw, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	v := newValue(Type{t.DType, t.Shape})
	le := binary.LittleEndian
	for i := range v.Float {
		switch t.DType {
		case tensor.F64:
			v.Float[i] = math.Float64frombits(le.Uint64(raw[8*i:]))
		case tensor.F32:
			v.Float[i] = float64(math.Float32frombits(le.Uint32(raw[4*i:])))
		case tensor.F16:
			v.Float[i] = float64(tensor.Float16Value(le.Uint16(raw[2*i:])))
		case tensor.BF16:
			v.Float[i] = float64(math.Float32frombits(uint32(le.Uint16(raw[2*i:])) << 16))
		}
	}
	for i := range v.Int {
		var x int64
		switch t.DType.Bits() {
		case 4:
			x = int64(raw[i/2] >> (4 * (i % 2)) & 15)
		case 8:
			x = int64(raw[i])
		case 16:
			x = int64(le.Uint16(raw[2*i:]))
		case 32:
			x = int64(le.Uint32(raw[4*i:]))
		case 64:
			x = int64(le.Uint64(raw[8*i:]))
		}
		if t.DType == tensor.Bool && x > 1 {
			x = 1
		}
		v.Int[i] = t.DType.Wrap(x)
	}
	return v, nil
}

// Tensor returns the value as a tensor of that name. Floats are rounded to
// nearest even; what is too large becomes infinite. Text has no such form.
func (v *Value) Tensor(name string) (*tensor.Tensor, error) {
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("value %q: %w", name, err)
	}
	if v.Type == Text {
		return nil, fmt.Errorf("value %q: text cannot be a tensor", name)
	}
	size, err := v.Shape.Size(v.Type)
	if err != nil {
		return nil, fmt.Errorf("value %q: %w", name, err)
	}
	raw := make([]byte, size)
	le := binary.LittleEndian
	for i, x := range v.Float {
		x = roundTo(v.Type, x)
		switch v.Type {
		case tensor.F64:
			le.PutUint64(raw[8*i:], math.Float64bits(x))
		case tensor.F32:
			le.PutUint32(raw[4*i:], math.Float32bits(float32(x)))
		case tensor.F16:
			le.PutUint16(raw[2*i:], tensor.Float16Bits(float32(x)))
		case tensor.BF16:
			le.PutUint16(raw[2*i:], tensor.BFloat16Bits(float32(x)))
		}
	}
	for i, x := range v.Int {
		switch v.Type.Bits() {
		case 4:
			raw[i/2] |= byte(x&15) << (4 * (i % 2))
		case 8:
			raw[i] = byte(x)
		case 16:
			le.PutUint16(raw[2*i:], uint16(x))
		case 32:
			le.PutUint32(raw[4*i:], uint32(x))
		case 64:
			le.PutUint64(raw[8*i:], uint64(x))
		}
	}
	return &tensor.Tensor{Name: name, DType: v.Type, Shape: v.Shape, Data: tensor.Bytes(raw)}, nil
}

// intRange returns the least and the greatest value of the integer type d, which
// is not U64.
func intRange(d tensor.DType) (lo, hi int64) {
	bits := d.Bits()
	if isUnsigned(d) {
		return 0, 1<<bits - 1
	}
	return -1 << (bits - 1), 1<<(bits-1) - 1
}

// roundTo returns x rounded to the float type d, to nearest even.
func roundTo(d tensor.DType, x float64) float64 {
	switch d {
	case tensor.F32:
		return float64(float32(x))
	case tensor.F16:
		return float64(tensor.Float16Value(tensor.Float16Bits(oddFloat32(x))))
	case tensor.BF16:
		return float64(math.Float32frombits(uint32(tensor.BFloat16Bits(oddFloat32(x))) << 16))
	}
	return x
}

// oddFloat32 returns x if that is a float32, else the neighbour whose last bit
// is set: rounding that to 16 bits is rounding x once (see tensor.Cast).
func oddFloat32(x float64) float32 {
	f := float32(x)
	if float64(f) == x || x != x || math.IsInf(float64(f), 0) {
		return f
	}
	b := math.Float32bits(f)
	if math.Abs(float64(f)) > math.Abs(x) {
		b--
	}
	return math.Float32frombits(b | 1)
}
