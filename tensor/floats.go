package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Numeric reports whether [DType.AppendFloat32s] and [DType.AppendFloats] know
// d: F16, BF16, F32 and F64.
func (d DType) Numeric() bool { return d == F16 || d == BF16 || d == F32 || d == F64 }

// AppendFloat32s appends the values of raw, little-endian numbers of type d, to
// dst. F64 is rounded to nearest even. It panics if d is not [DType.Numeric].
func (d DType) AppendFloat32s(dst []float32, raw []byte) []float32 {
	le := binary.LittleEndian
	switch d {
	case F32:
		for ; len(raw) >= 4; raw = raw[4:] {
			dst = append(dst, math.Float32frombits(le.Uint32(raw)))
		}
	case BF16:
		for ; len(raw) >= 2; raw = raw[2:] {
			dst = append(dst, math.Float32frombits(uint32(le.Uint16(raw))<<16))
		}
	case F16:
		for ; len(raw) >= 2; raw = raw[2:] {
			dst = append(dst, fromHalf(le.Uint16(raw)))
		}
	case F64:
		for ; len(raw) >= 8; raw = raw[8:] {
			dst = append(dst, float32(math.Float64frombits(le.Uint64(raw))))
		}
	default:
		panic(fmt.Sprintf("tensor: %s holds no numbers that are known", d))
	}
	return dst
}

// AppendFloats appends values as little-endian numbers of type d, rounded to
// nearest even; what is too large becomes infinite. It panics if d is not
// [DType.Numeric].
func (d DType) AppendFloats(dst []byte, values []float32) []byte {
	le := binary.LittleEndian
	for _, v := range values {
		switch d {
		case F32:
			dst = le.AppendUint32(dst, math.Float32bits(v))
		case BF16:
			dst = le.AppendUint16(dst, toBFloat(v))
		case F16:
			dst = le.AppendUint16(dst, toHalf(v))
		case F64:
			dst = le.AppendUint64(dst, math.Float64bits(float64(v)))
		default:
			panic(fmt.Sprintf("tensor: %s holds no numbers that are known", d))
		}
	}
	return dst
}

func fromHalf(h uint16) float32 {
	sign, e, m := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch e {
	case 0: // zero or subnormal: m · 2^-24 is exact
		return math.Float32frombits(sign | math.Float32bits(float32(m)*(1.0/(1<<24))))
	case 31:
		return math.Float32frombits(sign | 0xff<<23 | m<<13)
	}
	return math.Float32frombits(sign | (e+127-15)<<23 | m<<13)
}

func toHalf(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b >> 16 & 0x8000)
	b &= 1<<31 - 1
	switch {
	case b > 0xff<<23: // NaN stays one
		return sign | 0x7e00 | uint16(b>>13&1023)
	case b < 113<<23: // below 2^-14: a multiple of 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(b))*(1<<24)))
	}
	b += 0xfff + b>>13&1 // to nearest even
	return sign | uint16(min((b-112<<23)>>13, 0x7c00))
}

func toBFloat(f float32) uint16 {
	b := math.Float32bits(f)
	if b&(1<<31-1) > 0xff<<23 {
		return uint16(b>>16) | 64 // NaN stays one
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
