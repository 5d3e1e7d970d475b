package kernel

import (
	"math"
	"testing"
)

// Loops of a strip, over more than a chunk, do what they say.
func TestStrip(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		const n = 2*chunk + 77
		r := generator(7)
		x, y, z := random(r, n), random(r, n), random(r, n)
		x[5], x[n-1] = 0, -3
		var s Strip
		most, left, right := 0.0, 0.0, 0.0
		for i, v := range x {
			most = max(most, math.Abs(float64(v)))
			if y[i] < 0 {
				left += float64(v)
			} else if y[i] > 0 {
				right += float64(v)
			}
		}
		if got := s.MaxAbs(x); float64(got) != most {
			t.Errorf("largest %v, want %v", got, most)
		}
		if got := s.MaxAbs(nil); got != 0 {
			t.Errorf("largest of nothing %v", got)
		}
		near := func(what string, i int, got, want float64) {
			t.Helper()
			if math.Abs(got-want) > 2e-6*max(1, math.Abs(want)) {
				t.Fatalf("%s: element %d is %v, want %v", what, i, got, want)
			}
		}
		a, b := s.Sides(x, y)
		if math.Abs(a-left) > 1e-3 || math.Abs(b-right) > 1e-3 {
			t.Errorf("sides %v and %v, want %v and %v", a, b, left, right)
		}
		dst := make([]float32, n)
		s.Ternary(dst, x, -0.25, 0.5, -2, 3)
		for i, v := range x {
			want := 0.0
			if v < -0.25 {
				want = -2
			} else if v > 0.5 {
				want = 3
			}
			near("ternary", i, float64(dst[i]), want)
		}
		copy(dst, z)
		s.Hat(dst, x, y, 0.5, 2, 0.25)
		for i, v := range x {
			slope := 2 * math.Abs(float64(y[i]))
			if math.Abs(float64(v)) > 0.5 {
				slope /= 8
			}
			switch {
			case v == 0:
				slope = 0
			case v < 0:
				slope = -slope
			}
			near("hat", i, float64(dst[i]), float64(z[i])+slope)
		}
		copy(dst, z)
		s.Clamp(dst, -0.5, 0.25)
		for i, v := range z {
			near("clamp", i, float64(dst[i]), min(max(float64(v), -0.5), 0.25))
		}
		copy(dst, z)
		s.Pull(dst, x, y, 1, 0.5, -0.75, 0.5)
		for i, g := range x {
			want := float64(z[i]) - (1-0.5*math.Abs(float64(g)))*float64(y[i])
			near("pull", i, float64(dst[i]), min(max(want, -0.75), 0.5))
		}
	})
}

func TestStripAllocatesNothing(t *testing.T) {
	x, y := make([]float32, 3*chunk), make([]float32, 3*chunk)
	var s Strip
	if n := testing.AllocsPerRun(10, func() {
		s.MaxAbs(x)
		s.Sides(x, y)
		s.Pull(x, y, y, 1, 1, 0, 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
