package codec

import "encoding/binary"

// Uvarint reads a number from the front of b, as [binary.Uvarint] does: n is
// how many bytes it has, 0 if b ends before the number does, and negative if
// there is none. But numbers that are longer than needed are refused, like
// those of more than 64 bits: no two files shall mean the same.
func Uvarint(b []byte) (v uint64, n int) {
	v, n = binary.Uvarint(b)
	if n > 1 && b[n-1] == 0 {
		return 0, -n
	}
	return v, n
}
