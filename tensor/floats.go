package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
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
		at := len(dst)
		dst = slices.Grow(dst, len(raw)/4)[:at+len(raw)/4]
		out := dst[at:]
		for ; len(out) >= 8 && len(raw) >= 32; out, raw = out[8:], raw[32:] {
			o, r := (*[8]float32)(out), (*[32]byte)(raw)
			for k := range o {
				o[k] = math.Float32frombits(le.Uint32(r[4*k:]))
			}
		}
		for ; len(out) > 0 && len(raw) >= 4; out, raw = out[1:], raw[4:] {
			out[0] = math.Float32frombits(le.Uint32(raw))
		}
	case BF16: // several at a time: networks of billions of weights are read so
		at := len(dst)
		dst = slices.Grow(dst, len(raw)/2)[:at+len(raw)/2]
		out := dst[at:]
		for ; len(out) >= 16 && len(raw) >= 32; out, raw = out[16:], raw[32:] {
			o, r := (*[16]float32)(out), (*[32]byte)(raw)
			for k := 0; k < 16; k += 4 {
				u := le.Uint64(r[2*k:])
				o[k] = math.Float32frombits(uint32(u) << 16)
				o[k+1] = math.Float32frombits(uint32(u) & 0xffff0000)
				o[k+2] = math.Float32frombits(uint32(u>>32) << 16)
				o[k+3] = math.Float32frombits(uint32(u>>32) & 0xffff0000)
			}
		}
		for ; len(out) > 0 && len(raw) >= 2; out, raw = out[1:], raw[2:] {
			out[0] = math.Float32frombits(uint32(le.Uint16(raw)) << 16)
		}
	case F16:
		for ; len(raw) >= 2; raw = raw[2:] {
			dst = append(dst, Float16Value(le.Uint16(raw)))
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
			dst = le.AppendUint16(dst, BFloat16Bits(v))
		case F16:
			dst = le.AppendUint16(dst, Float16Bits(v))
		case F64:
			dst = le.AppendUint64(dst, math.Float64bits(float64(v)))
		default:
			panic(fmt.Sprintf("tensor: %s holds no numbers that are known", d))
		}
	}
	return dst
}
