package rope

import (
	"math/bits"

	"ropewalk/tensor"
)

// Coders of indices see the levels of a codebook as integers of fixedBits
// bits: what they predict with must be the same on every machine, so no float
// is computed with (docs/FORMAT.md, section 5.3).
const fixedBits = 21

// A magnitude is an exact number: (-1)^neg · m · 2^e.
type magnitude struct {
	neg bool
	m   uint64
	e   int
}

// floatFields are the bits of the exponent and the mantissa of the float types.
var floatFields = map[tensor.DType][2]int{
	tensor.F8E4M3: {4, 3}, tensor.F8E4M3Z: {4, 3}, tensor.F8E5M2: {5, 2}, tensor.F8E5M2Z: {5, 2},
	tensor.F16: {5, 10}, tensor.BF16: {8, 7}, tensor.F32: {8, 23}, tensor.C64: {8, 23}, tensor.F64: {11, 52}, tensor.C128: {11, 52},
}

// magnitudeOf takes a value apart. It reports false for what is not a number.
// The bias of exponents is left out: it is the same for all values of a type.
func magnitudeOf(t tensor.DType, v uint64) (magnitude, bool) {
	u := unitOf(t)
	width := 8 * u.width()
	sign := v>>(width-1)&1 != 0
	f, isFloat := floatFields[t]
	if !isFloat {
		switch u {
		case unitI8, unitI16, unitI32, unitI64:
			if sign {
				return magnitude{neg: true, m: -v & (1<<(width-1)<<1 - 1)}, true
			}
		}
		return magnitude{m: v}, true
	}
	rest := v & (1<<(width-1) - 1)
	exponent, m := int(rest>>f[1]), rest&(1<<f[1]-1)
	switch {
	case t == tensor.F8E4M3 && rest == 0x7f, // its only NaN
		(t == tensor.F8E4M3Z || t == tensor.F8E5M2Z) && v == 0x80, // likewise
		t != tensor.F8E4M3 && t != tensor.F8E4M3Z && t != tensor.F8E5M2Z && exponent == 1<<f[0]-1:
		return magnitude{}, false
	case exponent == 0:
		exponent = 1 // subnormal
	default:
		m |= 1 << f[1]
	}
	return magnitude{sign, m, exponent}, true
}

// fixedLevels returns the values times a power of two, truncated towards
// zero, such that the largest magnitude is at least 2^20 and below 2^21. If
// there is none, they are their indices times 256.
func fixedLevels(t tensor.DType, values []uint64) []int32 {
	levels := make([]int32, len(values))
	ms := make([]magnitude, len(values))
	top, found := 0, false
	for i, v := range values {
		var ok bool
		if ms[i], ok = magnitudeOf(t, v); !ok {
			found = false
			break
		}
		if ms[i].m != 0 {
			if n := bits.Len64(ms[i].m) + ms[i].e; !found || n > top {
				top, found = n, true
			}
		}
	}
	for i, x := range ms {
		if !found {
			levels[i] = int32(i) << 8
			continue
		}
		s := x.e + fixedBits - top
		m := x.m
		if s < 0 {
			m >>= min(-s, 64)
		} else if m != 0 {
			m <<= s // below 2^21, as its bits and s are at most 21
		}
		levels[i] = int32(m)
		if x.neg {
			levels[i] = -int32(m)
		}
	}
	return levels
}
