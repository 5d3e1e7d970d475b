package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Sums of the columns of a matrix are those of float64, for any number of threads to
// the bit.
func TestColumnSums(t *testing.T) {
	one, many := NewPool(1), NewPool(3)
	defer one.Close()
	defer many.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, d := range []Planes{{1, 1, 1}, {3, 17, 1}, {64, 512, 1}, {65, 513, 1}, {200, 1300, 1}, {5000, 33, 1}, {0, 5, 1}} {
		for _, accumulate := range []bool{false, true} {
			x := make([]float32, d.elements())
			for i := range x {
				x[i] = float32(rng.NormFloat64())
			}
			a, b := make([]float32, d.Channels), make([]float32, d.Channels)
			want := make([]float64, d.Channels)
			for c := range want {
				a[c], b[c] = 7, 7
				if accumulate {
					want[c] = 7
				}
			}
			for i, v := range x {
				want[i%d.Channels] += float64(v)
			}
			ChannelSums(one, d, a, x, accumulate)
			ChannelSums(many, d, b, x, accumulate)
			for c := range want {
				// A walk of random roundings: eps √n of partial sums of size √n.
				if limit := 1e-6 * (8 + float64(d.Batch)/8); math.Abs(float64(a[c])-want[c]) > limit {
					t.Fatalf("%+v, accumulate %t: column %d is %g, want %g", d, accumulate, c, a[c], want[c])
				}
				if a[c] != b[c] {
					t.Fatalf("%+v: column %d is %g on one thread, %g on three", d, c, a[c], b[c])
				}
			}
		}
	}
}
