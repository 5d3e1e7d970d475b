package main

import "math"

// fit returns the coefficients, constant first, of the polynomial that agrees with
// f at the Chebyshev nodes of [lo, hi]: for smooth functions it is nearly the best
// there is.
func fit(degree int, lo, hi float64, f func(x float64) float64) []float32 {
	n := degree + 1
	x, d := make([]float64, n), make([]float64, n)
	for i := range n {
		x[i] = (lo+hi)/2 + (hi-lo)/2*math.Cos((2*float64(i)+1)*math.Pi/float64(2*n))
		d[i] = f(x[i])
	}
	// Newton's divided differences, then his form multiplied out.
	for k := 1; k < n; k++ {
		for i := n - 1; i >= k; i-- {
			d[i] = (d[i] - d[i-1]) / (x[i] - x[i-k])
		}
	}
	c := make([]float64, n)
	for i := n - 1; i >= 0; i-- {
		for k := n - 1; k >= 1; k-- {
			c[k] = c[k-1] - x[i]*c[k]
		}
		c[0] = d[i] - x[i]*c[0]
	}
	out := make([]float32, n)
	for i := range c {
		out[i] = float32(c[i])
	}
	return out
}

var (
	// exp(r) = 1 + r + r²·P(r) for |r| ≤ ln 2/2
	expPoly = fit(5, -math.Ln2/2, math.Ln2/2, func(r float64) float64 {
		if math.Abs(r) < 1e-4 {
			return 0.5 + r/6 + r*r/24
		}
		return (math.Expm1(r) - r) / (r * r)
	})
	// tanh(x) = x + x³·P(x²) for |x| ≤ tanhSmall
	tanhPoly = fit(5, 0, tanhSmall*tanhSmall, func(z float64) float64 {
		x := math.Sqrt(z)
		if x < 1e-2 {
			return -1.0/3 + z*2/15 - z*z*17/315
		}
		return (math.Tanh(x) - x) / (x * z)
	})
	// erf(x) = x·P(x²) for |x| ≤ 1
	erfPoly = fit(7, 0, 1, func(z float64) float64 {
		x := math.Sqrt(z)
		if x < 1e-4 {
			return 2 / math.Sqrt(math.Pi) * (1 - z/3)
		}
		return math.Erf(x) / x
	})
	// erfc(t) = exp(−t²)·u·P(u), u = 1/(1 + t/2), for t in [0.49, 10.5]
	erfcPoly = fit(10, 1/(1+10.5/2), 1/(1+0.49/2), func(u float64) float64 {
		t := 2 * (1/u - 1)
		return erfcx(t) / u
	})
)

const tanhSmall = 0.625

// erfcx is exp(t²)·erfc(t), for large t by its continued fraction.
func erfcx(t float64) float64 {
	if t < 2 {
		return math.Exp(t*t) * math.Erfc(t)
	}
	f := t
	for k := 200; k >= 1; k-- {
		f = t + float64(k)/2/f
	}
	return 1 / (f * math.Sqrt(math.Pi))
}
