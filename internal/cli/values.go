package cli

import (
	"encoding/binary"
	"math"
	"sync"

	"ropewalk/tensor"
)

// partOf returns the type of the numbers that the values of d consist of: a
// complex number is two of them, and of an unknown type there are bytes.
func partOf(d tensor.DType) tensor.DType {
	switch d {
	case tensor.C64:
		return tensor.F32
	case tensor.C128:
		return tensor.F64
	}
	if !d.Known() {
		return tensor.U8
	}
	return d
}

// appendBits appends the bit pattern of each number in raw, n at most, to dst.
// d is a part (see partOf).
func appendBits(dst []uint64, d tensor.DType, raw []byte, n int64) []uint64 {
	switch d.Bits() {
	case 4:
		for _, b := range raw {
			dst = append(dst, uint64(b&15), uint64(b>>4))
		}
	case 6: // four values in three bytes, the first in the low bits
		acc, have := uint64(0), 0
		for _, b := range raw {
			acc |= uint64(b) << have
			for have += 8; have >= 6; have -= 6 {
				dst = append(dst, acc&63)
				acc >>= 6
			}
		}
	case 8:
		for _, b := range raw {
			dst = append(dst, uint64(b))
		}
	case 16:
		for ; len(raw) >= 2; raw = raw[2:] {
			dst = append(dst, uint64(binary.LittleEndian.Uint16(raw)))
		}
	case 32:
		for ; len(raw) >= 4; raw = raw[4:] {
			dst = append(dst, uint64(binary.LittleEndian.Uint32(raw)))
		}
	case 64:
		for ; len(raw) >= 8; raw = raw[8:] {
			dst = append(dst, binary.LittleEndian.Uint64(raw))
		}
	}
	if int64(len(dst)) > n { // the last byte of a packed type may be half full
		dst = dst[:n]
	}
	return dst
}

// numbersIn returns how many numbers of part type d the chunk k of t holds.
func numbersIn(t *tensor.Tensor, d tensor.DType, k chunk) int64 {
	n := k.n * 8 / int64(d.Bits())
	if d.Bits() < 8 { // t.DType is d: not complex
		n = min(n, t.Elems()-k.off*8/int64(d.Bits()))
	}
	return n
}

// A floatFormat says what the bits of a floating-point number mean.
type floatFormat struct {
	exponent, mantissa int
	bias               int
	signed             bool
	specials           specials
}

// specials are the bit patterns that are no finite number.
type specials int

const (
	none     specials = iota // the OCP microscaling types
	ieee                     // the highest exponent: infinities and NaNs
	allOnes                  // a NaN of either sign has all other bits set
	minusNil                 // the one NaN is where -0 would be
)

var floatFormats = map[tensor.DType]floatFormat{
	tensor.F4:      {2, 1, 1, true, none},
	tensor.F6E2M3:  {2, 3, 1, true, none},
	tensor.F6E3M2:  {3, 2, 3, true, none},
	tensor.F8E4M3:  {4, 3, 7, true, allOnes},
	tensor.F8E5M2:  {5, 2, 15, true, ieee},
	tensor.F8E4M3Z: {4, 3, 8, true, minusNil},
	tensor.F8E5M2Z: {5, 2, 16, true, minusNil},
	tensor.F8E8M0:  {8, 0, 127, false, allOnes},
	tensor.F16:     {5, 10, 15, true, ieee},
	tensor.BF16:    {8, 7, 127, true, ieee},
}

// float returns the number that bits stand for.
func (f floatFormat) float(bits uint64) float64 {
	man := int(bits & (1<<f.mantissa - 1))
	exp := int(bits >> f.mantissa & (1<<f.exponent - 1))
	top := 1<<f.exponent - 1
	neg := f.signed && bits>>(f.exponent+f.mantissa)&1 == 1
	sign := 1.0
	if neg {
		sign = -1
	}
	switch {
	case f.specials == ieee && exp == top && man == 0:
		return math.Inf(int(sign))
	case f.specials == ieee && exp == top,
		f.specials == allOnes && exp == top && man == 1<<f.mantissa-1,
		f.specials == minusNil && neg && exp == 0 && man == 0:
		return math.NaN()
	case !f.signed: // E8M0, a power of two: 0 is the least one
		return math.Ldexp(1, exp-f.bias)
	case exp == 0: // subnormal
		return sign * math.Ldexp(float64(man), 1-f.bias-f.mantissa)
	}
	return sign * math.Ldexp(float64(man|1<<f.mantissa), exp-f.bias-f.mantissa)
}

// floatTables holds, by type, all numbers of the floats of up to 16 bits.
var floatTables sync.Map // tensor.DType → []float64

func floatTable(d tensor.DType) []float64 {
	if t, ok := floatTables.Load(d); ok {
		return t.([]float64)
	}
	t := make([]float64, 1<<d.Bits())
	for i := range t {
		t[i] = floatFormats[d].float(uint64(i))
	}
	floatTables.Store(d, t)
	return t
}

// floatOf returns the function from bits to numbers for part type d. The
// numbers of integers of 64 bits are rounded.
func floatOf(d tensor.DType) func(bits uint64) float64 {
	switch d {
	case tensor.F32:
		return func(b uint64) float64 { return float64(math.Float32frombits(uint32(b))) }
	case tensor.F64:
		return math.Float64frombits
	}
	if d.IsFloat() {
		t := floatTable(d)
		return func(b uint64) float64 { return t[b] }
	}
	if !isSigned(d) {
		return func(b uint64) float64 { return float64(b) }
	}
	return func(b uint64) float64 { return float64(signExtend(d, b)) }
}

func isSigned(d tensor.DType) bool {
	switch d {
	case tensor.I4, tensor.I8, tensor.I16, tensor.I32, tensor.I64:
		return true
	}
	return false
}

// signExtend returns the integer that the bits of signed type d stand for.
func signExtend(d tensor.DType, bits uint64) int64 {
	shift := 64 - d.Bits()
	return int64(bits<<shift) >> shift
}

// gapOf returns the function that gives the distance between two numbers of
// part type d. That of integers is exact up to its own rounding.
func gapOf(d tensor.DType) func(a, b uint64) float64 {
	if d.IsFloat() {
		f := floatOf(d)
		return func(a, b uint64) float64 { return math.Abs(f(a) - f(b)) }
	}
	if !isSigned(d) {
		return func(a, b uint64) float64 { return float64(max(a, b) - min(a, b)) }
	}
	return func(a, b uint64) float64 {
		x, y := signExtend(d, a), signExtend(d, b)
		return float64(uint64(max(x, y)) - uint64(min(x, y)))
	}
}
