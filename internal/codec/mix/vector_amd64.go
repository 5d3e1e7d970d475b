//go:build !purego

package mix

// fast: the machine and the system have AVX2.
var fast = hasAVX2()

func cpuid(leaf, sub uint32) (a, b, c, d uint32)
func xgetbv() uint32

func hasAVX2() bool {
	const osxsave, avx, avx2 = 1 << 27, 1 << 28, 1 << 5
	if n, _, _, _ := cpuid(0, 0); n < 7 {
		return false
	}
	if _, _, c, _ := cpuid(1, 0); c&osxsave == 0 || c&avx == 0 || xgetbv()&6 != 6 {
		return false
	}
	_, b, _, _ := cpuid(7, 0)
	return b&avx2 != 0
}

//go:noescape
func predictLanesAVX2(l *lanes, counters *uint32, a, b *[numInputs]int32) (da, db int32)

//go:noescape
func learnLanesAVX2(l *lanes, counters *uint32, a, b *[numInputs]int32, ea, eb, target int32)

//go:noescape
func predictLinearAVX2(l *linearLanes, coefs *[numFixed]int32, w *[numFeatures]int32, d *divisor) (fixed, adapted, power int32)

//go:noescape
func learnLinearAVX2(l *linearLanes, w *[numFeatures]int32, e int32)
