package planes

import (
	"math"
	"testing"
)

// Rows of different scale get classes, which pay; equal ones do not.
func TestClasses(t *testing.T) {
	for _, c := range []struct {
		kind int
		want bool
	}{{0, false}, {1, true}} {
		plane := exponents(c.kind)
		var p plan
		p.make(plane, true)
		if got := p.kind == planeClasses; got != c.want {
			t.Errorf("%s: kind %d", textures[c.kind].name, p.kind)
		}
		var e Encoder
		size := len(e.appendPlane(nil, plane, &p))
		if math.Abs(float64(size-p.size)) > 0.02*float64(size) {
			t.Errorf("%s: %d bytes, estimate %d", textures[c.kind].name, size, p.size)
		}
		if !c.want {
			continue
		}
		p.make(plane, false)
		if plain := len(e.appendPlane(nil, plane, &p)); size > plain*97/100 {
			t.Errorf("%s: %d bytes with classes, %d without", textures[c.kind].name, size, plain)
		}
	}
}

func TestCost(t *testing.T) {
	for _, n := range []uint32{0, 1, 2, 3, 255, 256, 257, 1000, 65535, 1 << 18} {
		want := 0.0
		if n > 0 {
			want = float64(n) * math.Log2(float64(n))
		}
		// The table has eight bits of a number: the logarithm is up to 1/177 less.
		got := float64(nlogn(n)) / (1 << costShift)
		if got > want+1e-9 || got < want-float64(n)*(1.0/177+1.0/(1<<costShift)) {
			t.Errorf("n log n of %d is %.2f, got %.2f", n, want, got)
		}
	}
}
