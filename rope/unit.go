package rope

import (
	"ropewalk/internal/codec/mix"
	"ropewalk/tensor"
)

// A unit is the kind of number that an array is coded as. Types that share a
// representation share a unit; packed and unknown types are coded as bytes.
type unit uint8

const (
	unitBytes unit = iota // opaque
	unitU8
	unitI8
	unitF8 // any 8-bit float: sign and magnitude
	unitU16
	unitI16
	unitF16
	unitBF16
	unitU32
	unitI32
	unitF32
	unitU64
	unitI64
	unitF64
)

var unitOfType = map[tensor.DType]unit{
	tensor.Bool: unitU8, tensor.U8: unitU8, tensor.I8: unitI8,
	tensor.F8E4M3: unitF8, tensor.F8E5M2: unitF8, tensor.F8E4M3Z: unitF8, tensor.F8E5M2Z: unitF8, tensor.F8E8M0: unitU8,
	tensor.U16: unitU16, tensor.I16: unitI16, tensor.F16: unitF16, tensor.BF16: unitBF16,
	tensor.U32: unitU32, tensor.I32: unitI32, tensor.F32: unitF32, tensor.C64: unitF32,
	tensor.U64: unitU64, tensor.I64: unitI64, tensor.F64: unitF64, tensor.C128: unitF64,
}

func unitOf(d tensor.DType) unit { return unitOfType[d] }

// width returns the bytes of one value.
func (u unit) width() int {
	switch u {
	case unitU16, unitI16, unitF16, unitBF16:
		return 2
	case unitU32, unitI32, unitF32:
		return 4
	case unitU64, unitI64, unitF64:
		return 8
	}
	return 1
}

// kind returns the unit as the coders see it. Integers have no exponent.
func (u unit) kind() mix.Kind {
	switch u {
	case unitF16:
		return mix.Float16
	case unitBF16:
		return mix.BFloat16
	case unitF32:
		return mix.Float32
	case unitF64:
		return mix.Float64
	}
	return mix.Kind{Width: u.width()}
}

// isFloat reports whether the unit is a float that has an exponent to split
// off; 8-bit floats are coded whole.
func (u unit) isFloat() bool { return u.kind().Exponent > 0 }

// ordered maps a bit pattern to an integer in the order of the values.
func (u unit) ordered(v uint64) uint64 {
	sign := uint64(1) << (8*u.width() - 1)
	switch u {
	case unitBytes, unitU8, unitU16, unitU32, unitU64:
		return v
	case unitI8, unitI16, unitI32, unitI64:
		return v ^ sign
	}
	if v&sign != 0 {
		return ^v & (sign<<1 - 1)
	}
	return v | sign
}

// unordered is the inverse of ordered.
func (u unit) unordered(o uint64) uint64 {
	sign := uint64(1) << (8*u.width() - 1)
	switch u {
	case unitBytes, unitU8, unitU16, unitU32, unitU64:
		return o
	case unitI8, unitI16, unitI32, unitI64:
		return o ^ sign
	}
	if o&sign != 0 {
		return o &^ sign
	}
	return ^o & (sign<<1 - 1)
}

// negative returns the bit pattern of -v; ok is false if there is none.
func (u unit) negative(v uint64) (minus uint64, ok bool) {
	sign := uint64(1) << (8*u.width() - 1)
	switch u {
	case unitBytes, unitU8, unitU16, unitU32, unitU64:
		return v, false
	case unitI8, unitI16, unitI32, unitI64:
		return -v & (sign<<1 - 1), v != sign
	}
	return v ^ sign, true
}
