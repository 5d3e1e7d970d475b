package tensor

// Wrap returns x cut to the bits of the integer type d, which is how integers
// overflow: 300 is 44 as U8, and 200 is -56 as I8. A truth value is 0 or 1. Integers
// of 64 bits, of which those without sign are the int64 of the same bits, and what is
// no integer stay as they are.
func (d DType) Wrap(x int64) int64 {
	switch d {
	case Bool:
		if x != 0 {
			return 1
		}
		return 0
	case I8:
		return int64(int8(x))
	case U8:
		return int64(uint8(x))
	case I16:
		return int64(int16(x))
	case U16:
		return int64(uint16(x))
	case I32:
		return int64(int32(x))
	case U32:
		return int64(uint32(x))
	case I4:
		return x << 60 >> 60
	case U4:
		return x & 15
	}
	return x
}
