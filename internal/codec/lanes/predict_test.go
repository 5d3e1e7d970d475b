package lanes

import (
	"math"
	"testing"

	"ropewalk/internal/codec"
)

// The equations that are put together from moments are those of each value and
// the ones before it.
func TestMoments(t *testing.T) {
	for _, taps := range []int{1, 2, 9, 25, 30} {
		seg := codec.Segment{Cols: 6, Taps: taps, Width: 1, Start: 4 * taps, Len: 14*taps + 6*taps*3, Levels: levels(16)}
		syms := kernels(int64(taps), seg)
		g := shapeOf(seg, 1)
		var s scaler
		s.load(syms, seg.Levels, count(nil, syms, 16), &g)
		for i := range s.rows {
			s.rows[i] = float32(1+i) / 16
		}
		for i := range s.cols {
			s.cols[i] = float32(3+i) / 1024
		}
		if n := s.measure(syms); n != len(syms) {
			t.Fatalf("%d taps: measured %d values, want %d", taps, n, len(syms))
		}
		for tap := range taps {
			var got, want system
			got.add(s.moments, tap)
			n := min(tap, maxBack)
			for i, v := range syms {
				at := g.start + i
				if at%taps != tap {
					continue
				}
				row, col := at/g.row, at%g.row/taps
				inv := s.rows[row] * s.cols[col]
				value := func(v uint16) float64 { return float64(s.values[v] * inv) }
				var x [maxBack + 1]float64
				for k := range n {
					x[k] = value(syms[i-1-k])
				}
				if col > 0 && i >= taps {
					x[n] = value(syms[i-taps])
				}
				for j := range n + 1 {
					for k := range j + 1 {
						want.a[j][k] += float64(x[j] * x[k])
					}
					want.b[j] += float64(value(v) * x[j])
				}
				want.y += float64(value(v) * value(v))
				want.n++
			}
			near := func(what string, got, want float64) {
				if math.Abs(got-want) > 1e-9*(1+math.Abs(want)) {
					t.Errorf("tap %d of %d: %s is %v, want %v", tap, taps, what, got, want)
				}
			}
			near("n", got.n, want.n)
			near("y", got.y, want.y)
			for j := range n + 1 {
				near("b", got.b[j], want.b[j])
				for k := range j + 1 {
					near("a", got.a[j][k], want.a[j][k])
				}
			}
		}
	}
}
