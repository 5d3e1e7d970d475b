package tensor

import "math"

// BFloat16Bits returns the bits of the bfloat16 nearest to x; a tie goes to the
// even neighbour. A NaN stays a quiet NaN.
func BFloat16Bits(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16) | 1<<6
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// Float16Bits returns the bits of the IEEE half nearest to x; a tie goes to the even
// neighbour, what is too large to infinity. A NaN stays a quiet NaN.
func Float16Bits(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	mag := b &^ (1 << 31)
	const (
		nan      = 0x7f800001
		overflow = (127+16)<<23 - 1<<12 // halfway from 65504 to 65536
		normal   = (127 - 14) << 23     // 2^-14
	)
	switch {
	case mag >= nan:
		return sign | 0x7e00 | uint16(mag>>13&0x3ff)
	case mag >= overflow:
		return sign | 0x7c00
	case mag >= normal:
		// The exponent is rebased, and a carry out of the mantissa moves it up.
		mag -= (127 - 15) << 23
		return sign | uint16((mag+0xfff+mag>>13&1)>>13)
	}
	// Adding 0.5 puts the unit of the subnormal halves, 2^-24, at the last bit of
	// the sum, so that the addition itself does the rounding.
	sum := math.Float32frombits(mag) + 0.5
	return sign | uint16(math.Float32bits(sum)-math.Float32bits(0.5))
}

// Float16Value returns the value of an IEEE half, exactly.
func Float16Value(b uint16) float32 {
	sign, e, m := uint32(b>>15)<<31, uint32(b>>10&31), uint32(b&1023)
	switch e {
	case 0: // zero or subnormal: m · 2^-24 is exact
		return math.Float32frombits(sign | math.Float32bits(float32(m)*(1.0/(1<<24))))
	case 31:
		return math.Float32frombits(sign | 0xff<<23 | m<<13)
	}
	return math.Float32frombits(sign | (e+127-15)<<23 | m<<13)
}
