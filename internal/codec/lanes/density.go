package lanes

import (
	"math/bits"
	"sync"
)

// The tables of a segment follow from a density of the generalized normal
// family, exp(-|x/s|^a): a is the shape, 1 for Laplace and 2 for Gauss. Its
// distribution function is tabulated here, with integers only.
const (
	zFrac  = 10           // fraction bits of a distance in units of the scale
	zGrid  = 6            // of these, below the grid of the table
	zMax   = 24           // distances behind this have no mass
	massOf = 1 << 24      // of the whole density
	shapes = 1 + 11       // 0 is flat: all levels are alike
	zSteps = zMax << 4    // steps of the grid
	zLimit = zMax<<10 - 1 // the largest distance that is looked up
)

// exponents are the shapes a, in sixteenths; the first stands for flat.
var exponents = [shapes]int{0, 8, 10, 12, 14, 16, 19, 22, 27, 32, 40, 52}

// unit is the distance that is the mean magnitude of a density with s = 1:
// gamma(2/a)/gamma(1/a), in units of 2^-12.
var unit = [shapes]uint64{0, 24576, 11112, 6901, 5065, 4096, 3312, 2886, 2508, 2311, 2150, 2046}

// log2e is the logarithm of e to the base 2, in units of 2^-16.
const log2e = 94548

// log2of returns the logarithm of n >= 1 to the base 2, in units of 2^-16,
// rounded down.
func log2of(n uint64) int {
	l := bits.Len64(n) - 1
	x := n << (63 - l) >> 32 // in [2^31, 2^32)
	for range 16 {
		x = x * x >> 31
		l <<= 1
		if x >= 1<<32 {
			x >>= 1
			l |= 1
		}
	}
	return l
}

// roots[i] is 2 to the power 2^-(i+1), in units of 2^-30.
var roots = func() (r [16]uint64) {
	x := uint64(2 << 30)
	for i := range r {
		x = isqrt(x << 30)
		r[i] = x
	}
	return r
}()

// isqrt returns the square root of n < 2^62, rounded down.
func isqrt(n uint64) uint64 {
	r := uint64(0)
	for b := uint64(1 << 30); b > 0; b >>= 1 {
		if t := r | b; t*t <= n {
			r = t
		}
	}
	return r
}

// exp2of returns 2 to the power e/2^16 for 0 <= e < 2^16, in units of 2^-30.
func exp2of(e int) uint64 {
	x := uint64(1 << 30)
	for i, r := range roots {
		if e>>(15-i)&1 != 0 {
			x = x * r >> 30
		}
	}
	return x
}

// distributions[s][i] is the mass between 0 and i/16 of the density of shape s
// whose mean magnitude is 1.
var distributions = sync.OnceValue(func() *[shapes][zSteps + 1]uint32 {
	d := new([shapes][zSteps + 1]uint32)
	for s := 1; s < shapes; s++ {
		var sums [zSteps + 1]uint64
		for i := range zSteps {
			// The middle of the step is (2i+1)/32 of the unit, which has 12 bits.
			l := (log2of(uint64(2*i+1)*unit[s]) - 17<<16) * exponents[s] >> 4
			f := uint64(0)
			if l < 5<<16 { // else the density is below 2^-46
				n := l >> 16
				e := exp2of(l & (1<<16 - 1)) // 2^-30
				x := int(shift(e, n-14) * log2e >> 16)
				f = exp2of(-x&(1<<16-1)) >> min((x+1<<16-1)>>16, 63)
			}
			sums[i+1] = sums[i] + f
		}
		for i := range sums {
			d[s][i] = uint32(sums[i] * (massOf / 2) / sums[zSteps])
		}
	}
	return d
})

func shift(x uint64, n int) uint64 {
	if n < 0 {
		return x >> min(-n, 63)
	}
	return x << n
}

// below returns the mass below the distance z, which has zFrac fraction bits.
func below(d *[zSteps + 1]uint32, z int) uint32 {
	a := min(max(z, -z), zLimit)
	i, f := a>>zGrid, uint32(a&(1<<zGrid-1))
	m := d[i] + (d[i+1]-d[i])*f>>zGrid
	if z < 0 {
		return massOf/2 - m
	}
	return massOf/2 + m
}

// A scale is a magnitude, in eighths of an octave: 2^(e/8).
const maxScale = 8 * 21

// eighths[k] is 2^(k/8), in units of 2^-30.
var eighths = func() (t [8]uint64) {
	for k := range t {
		t[k] = exp2of(k << 13)
	}
	return t
}()

// inverse returns 2^40 divided by the scale e.
func inverse(e int) int64 {
	k := -e & 7
	return int64(eighths[k] << 10 >> ((e + k) >> 3))
}
