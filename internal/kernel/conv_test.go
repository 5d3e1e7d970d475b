package kernel

import "testing"

// A convolution is linear in x and in w, so that ⟨y, dy⟩ = ⟨x, dx⟩ = ⟨w, dw⟩.
func TestConvAdjoint(t *testing.T) {
	r := generator(1)
	p := newPool(t, 2)
	for i := range 200 {
		s := ConvShape{
			Batch: 1 + r.IntN(3), InH: 1 + r.IntN(12), InW: 1 + r.IntN(20), KH: 1 + r.IntN(5), KW: 1 + r.IntN(5),
			StrideH: 1 + r.IntN(3), StrideW: 1 + r.IntN(3), DilationH: 1 + r.IntN(2), DilationW: 1 + r.IntN(2),
			PadTop: r.IntN(4), PadLeft: r.IntN(4), PadBottom: r.IntN(4), PadRight: r.IntN(4), Groups: 1 + r.IntN(3),
		}
		s.InC, s.OutC = s.Groups*(1+r.IntN(4)), s.Groups*(1+r.IntN(9))
		if s.InH+s.PadTop+s.PadBottom <= s.DilationH*(s.KH-1) || s.InW+s.PadLeft+s.PadRight <= s.DilationW*(s.KW-1) {
			continue
		}
		d := s.filled()
		x, w, dy := random(r, d.sizeX()), random(r, d.sizeW()), random(r, d.sizeY())
		y, dx, dw := make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(w))
		ConvForward(p, &s, y, x, w, nil)
		ConvBackwardData(p, &s, dx, dy, w, false)
		ConvBackwardWeights(p, &s, dw, x, dy, false)
		want := dot64(y, dy)
		if got := dot64(x, dx); relative(got, want) > 1e-4 {
			t.Errorf("case %d, %+v: ⟨x, dx⟩ is %v, and ⟨y, dy⟩ %v", i, s, got, want)
		}
		if got := dot64(w, dw); relative(got, want) > 1e-4 {
			t.Errorf("case %d, %+v: ⟨w, dw⟩ is %v, and ⟨y, dy⟩ %v", i, s, got, want)
		}
	}
}
