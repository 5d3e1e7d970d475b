package kernel

import (
	"fmt"
	"math"
	"testing"
)

// normalize is Forward in float64.
func normalize(b *BatchNorm, x []float32) []float64 {
	y := make([]float64, len(x))
	for c := range b.Channels {
		var at []int
		for n := range b.Batch {
			for i := range b.Size {
				at = append(at, (n*b.Channels+c)*b.Size+i)
			}
		}
		var mean, variance float64
		for _, i := range at {
			mean += float64(x[i]) / float64(len(at))
		}
		for _, i := range at {
			variance += (float64(x[i]) - mean) * (float64(x[i]) - mean) / float64(len(at))
		}
		if b.Frozen {
			mean, variance = float64(b.Mean[c]), float64(b.Variance[c])
		}
		for _, i := range at {
			v := (float64(x[i])-mean)/math.Sqrt(variance+float64(b.Epsilon))*float64(b.Gamma[c]) + float64(b.Beta[c])
			if b.Clamp.On {
				v = min(max(v, float64(b.Clamp.Lo)), float64(b.Clamp.Hi))
			}
			y[i] = v
		}
	}
	return y
}

// The result is that of float64, and gradients are slopes.
func TestBatchNorm(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, d := range []Planes{{4, 3, 64}, {5, 2, 1}, {3, 3, 7}, {2, 2, 100}, {1, 2, 33}, {2, 3, 5000}} {
			for variant := range 4 {
				t.Run(fmt.Sprint(d, variant), func(t *testing.T) {
					r := generator(uint64(d.Size))
					x, dy := random(r, d.elements()), random(r, d.elements())
					b := &BatchNorm{
						Planes: d, Gamma: random(r, d.Channels), Beta: random(r, d.Channels), Epsilon: 1e-3,
						Mean: random(r, d.Channels), Variance: make([]float32, d.Channels), Frozen: variant&1 != 0,
					}
					for c := range b.Variance {
						b.Variance[c] = float32(c) + 0.5
					}
					if variant&2 != 0 {
						b.Clamp = ReLU()
					}
					p := newPool(t, 2)
					y := make([]float32, len(x))
					b.Forward(p, y, x)
					want := normalize(b, x)
					for i := range y {
						if relative(float64(y[i]), want[i]) > 1e-5 {
							t.Fatalf("y[%d] is %v, want %v", i, y[i], want[i])
						}
					}
					dx := make([]float32, len(x))
					gg, gb := make([]float32, d.Channels), make([]float32, d.Channels)
					b.Backward(p, dx, gg, gb, x, y, dy, false)
					loss := func() float64 {
						var sum float64
						for i, v := range normalize(b, x) {
							sum += v * float64(dy[i])
						}
						return sum
					}
					slope := func(v *float32) float64 {
						old := *v
						const h = 1.0 / 1024
						*v = old + h
						hi, up := loss(), *v
						*v = old - h
						lo, down := loss(), *v
						*v = old
						return (hi - lo) / (float64(up) - float64(down))
					}
					check := func(what string, got float32, v *float32) {
						t.Helper()
						// A ReLU has kinks; x is then moved across one now and then.
						if want := slope(v); relative(float64(got), want) > 3e-3 && !b.Clamp.On {
							t.Errorf("%s is %v, want %v", what, got, want)
						} else if relative(float64(got), want) > 0.1*math.Sqrt(float64(d.elements())) {
							t.Errorf("%s is %v, want %v", what, got, want)
						}
					}
					for i := 0; i < len(x); i += 1 + len(x)/16 {
						check(fmt.Sprintf("dx[%d]", i), dx[i], &x[i])
					}
					for c := range gg {
						check(fmt.Sprintf("dgamma[%d]", c), gg[c], &b.Gamma[c])
						check(fmt.Sprintf("dbeta[%d]", c), gb[c], &b.Beta[c])
					}
				})
			}
		}
	})
}
