package mix

import "math/bits"

// Logarithms to base 2 in units of 1/256, and powers of two: products and
// quotients of scales become sums. Both tables come from integer recurrences,
// because they steer the decoder.
var (
	log2Table [256]int32  // i → 256·log2(1 + i/256), rounded down
	exp2Table [256]uint32 // i → 2^(30 + i/256)
)

// exp2Root is 2^(1/256) in units of 2^-62, rounded down.
const exp2Root = 4624189567668517720

func init() {
	x := uint64(1) << 62
	for i := range exp2Table {
		exp2Table[i] = uint32(x >> 32)
		hi, lo := bits.Mul64(x, exp2Root)
		x = hi<<2 | lo>>62
	}
	for i := range log2Table {
		for j := range exp2Table {
			if uint64(exp2Table[j]) <= uint64(256+i)<<22 {
				log2Table[i] = int32(j)
			}
		}
	}
}

// log2 returns 256·log2(x) for x >= 1, of the nine leading bits of x.
func log2(x uint64) int32 {
	e := bits.Len64(x) - 1
	return int32(e)<<8 + log2Table[x<<(uint(63-e)&63)>>55&255]
}

// exp2 returns 2^(l/256), at most 2^50.
func exp2(l int32) int64 {
	k, e := l>>8, int64(exp2Table[l&255])
	if k >= 30 {
		return e << min(k-30, 20)
	}
	return e >> min(30-k, 40)
}

// The distribution function of the logistic distribution, 2^24 times, at
// (i-2048)/256.
var logisticTable [4096]uint32

// expStep is exp(-1/256) in units of 2^-62, rounded down.
const expStep = 4593706758521714574

func init() {
	q := uint64(1) << 62 // exp(-i/256)
	for i := range 2048 {
		t := uint64(1) << 54 / (1<<30 + q>>32) // 2^24/(1+q)
		logisticTable[2048+i] = uint32(t)
		if i > 0 {
			logisticTable[2048-i] = 1<<24 - uint32(t)
		}
		hi, lo := bits.Mul64(q, expStep)
		q = hi<<2 | lo>>62
	}
	logisticTable[0] = logisticTable[1]
}
