package kernel

import "testing"

// Any shape that makes sense is convolved right, in all directions, and nothing
// outside is touched.
func FuzzConv(f *testing.F) {
	f.Add(uint64(1), []byte{2, 3, 9, 17, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1})
	f.Add(uint64(2), []byte{1, 1, 12, 12, 20, 5, 5, 1, 1, 1, 1, 0, 0, 0, 0, 1})
	f.Add(uint64(3), []byte{2, 4, 8, 8, 8, 1, 1, 2, 2, 1, 1, 0, 0, 0, 0, 2})
	f.Fuzz(func(t *testing.T, seed uint64, b []byte) {
		if len(b) < 16 {
			return
		}
		dim := func(i, most int) int { return 1 + int(b[i])%most }
		s := ConvShape{
			Batch: dim(0, 3), InH: dim(2, 20), InW: dim(3, 70), KH: dim(5, 6), KW: dim(6, 6),
			StrideH: dim(7, 4), StrideW: dim(8, 4), DilationH: dim(9, 3), DilationW: dim(10, 3),
			PadTop: dim(11, 8) - 1, PadLeft: dim(12, 40) - 1, PadBottom: dim(13, 8) - 1, PadRight: dim(14, 40) - 1,
			Groups: dim(15, 4),
		}
		s.InC, s.OutC = s.Groups*dim(1, 6), s.Groups*dim(4, 30)
		if s.InH+s.PadTop+s.PadBottom <= s.DilationH*(s.KH-1) || s.InW+s.PadLeft+s.PadRight <= s.DilationW*(s.KW-1) {
			return
		}
		pools := []*Pool{newPool(t, 1), newPool(t, 3)}
		eachPath(t, func(t *testing.T) { checkConv(t, generator(seed), pools, "", s) })
	})
}
