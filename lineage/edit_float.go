package lineage

import (
	"encoding/binary"
	"math"

	"ropewalk/tensor"
)

// appendFloat64s appends the numbers of raw, which are of a type that is Numeric.
func appendFloat64s(dst []float64, d tensor.DType, raw []byte) []float64 {
	if d == tensor.F64 {
		for ; len(raw) >= 8; raw = raw[8:] {
			dst = append(dst, math.Float64frombits(binary.LittleEndian.Uint64(raw)))
		}
		return dst
	}
	for _, v := range d.AppendFloat32s(nil, raw) {
		dst = append(dst, float64(v))
	}
	return dst
}

// ulps returns how many numbers of type d lie between x and y, which are such numbers: 1 if
// they are neighbours. 0 and -0 are one number.
func ulps(d tensor.DType, x, y float64) int64 {
	a, b := ordinal(d, x), ordinal(d, y)
	if a > b {
		a, b = b, a
	}
	if b-a < 0 { // of float64 of both signs
		return math.MaxInt64
	}
	return b - a
}

// ordinal counts the numbers of a type from 0.
func ordinal(d tensor.DType, x float64) int64 {
	var n int64
	switch m := math.Abs(x); d {
	case tensor.F64:
		n = int64(math.Float64bits(m))
	case tensor.F16:
		n = int64(tensor.Float16Bits(float32(m)))
	case tensor.BF16:
		n = int64(tensor.BFloat16Bits(float32(m)))
	default:
		n = int64(math.Float32bits(float32(m)))
	}
	if math.Signbit(x) {
		return -n
	}
	return n
}
