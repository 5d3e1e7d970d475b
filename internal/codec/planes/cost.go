package planes

import "math/bits"

// A cost counts bits, with costShift bits of fraction. Costs are integers, so
// that all machines decide alike and write the same bytes.
const costShift = 12

// logFraction[i] is the fraction of log2(256+i): a bit for each time that
// squaring a number between 1 and 2 makes it 2 or more.
var logFraction = func() (t [256]uint16) {
	for i := range t {
		x := uint64(256+i) << 22 // times 2^30
		for range costShift {
			x = x * x >> 30
			t[i] <<= 1
			if x >= 2<<30 {
				x >>= 1
				t[i] |= 1
			}
		}
	}
	return t
}()

// nlogn returns n times its logarithm to the base 2, as a cost. Of counts c
// that come to n, nlogn(n) less nlogn(c) of each is what an ideal code takes.
func nlogn(n uint32) uint64 {
	if n == 0 {
		return 0
	}
	l := bits.Len32(n) - 1
	return uint64(n) * (uint64(l)<<costShift | uint64(logFraction[n<<(31-l)>>23&255]))
}
