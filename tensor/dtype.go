package tensor

// A DType names how one element is stored. The names are those of the
// safetensors format; I4 and U4 are added for ONNX. A DType may hold any other
// name: such a tensor is carried as opaque bytes (see [DType.Known]).
type DType string

// The known element types.
const (
	Bool    DType = "BOOL"
	U4      DType = "U4"
	I4      DType = "I4"
	F4      DType = "F4" // E2M1
	F6E2M3  DType = "F6_E2M3"
	F6E3M2  DType = "F6_E3M2"
	U8      DType = "U8"
	I8      DType = "I8"
	F8E4M3  DType = "F8_E4M3"
	F8E5M2  DType = "F8_E5M2"
	F8E4M3Z DType = "F8_E4M3FNUZ"
	F8E5M2Z DType = "F8_E5M2FNUZ"
	F8E8M0  DType = "F8_E8M0"
	U16     DType = "U16"
	I16     DType = "I16"
	F16     DType = "F16"
	BF16    DType = "BF16"
	U32     DType = "U32"
	I32     DType = "I32"
	F32     DType = "F32"
	U64     DType = "U64"
	I64     DType = "I64"
	F64     DType = "F64"
	C64     DType = "C64"  // two F32: real, imaginary
	C128    DType = "C128" // two F64: real, imaginary
)

var bitsOf = map[DType]int{
	Bool: 8, U4: 4, I4: 4, F4: 4, F6E2M3: 6, F6E3M2: 6,
	U8: 8, I8: 8, F8E4M3: 8, F8E5M2: 8, F8E4M3Z: 8, F8E5M2Z: 8, F8E8M0: 8,
	U16: 16, I16: 16, F16: 16, BF16: 16,
	U32: 32, I32: 32, F32: 32,
	U64: 64, I64: 64, F64: 64, C64: 64, C128: 128,
}

// Bits returns the number of bits of one element, or 0 if d is not known.
// Elements of fewer than eight bits are packed, the first in the low bits.
func (d DType) Bits() int { return bitsOf[d] }

// Known reports whether d is one of the types above. The size of a tensor of
// an unknown type does not follow from its shape.
func (d DType) Known() bool { return bitsOf[d] != 0 }

// IsFloat reports whether d is a real floating-point type.
func (d DType) IsFloat() bool {
	switch d {
	case F4, F6E2M3, F6E3M2, F8E4M3, F8E5M2, F8E4M3Z, F8E5M2Z, F8E8M0, F16, BF16, F32, F64:
		return true
	}
	return false
}
