package quant

import "math"

// The functions of this file are those of package math whose results differ
// between machines: there, some are in assembly on one machine, and fused
// multiply-add changes the others. Here every product is rounded before it is
// added, by an explicit conversion, so the bits are the same everywhere.

const (
	ln2Hi = 6.93147180369123816490e-01 // ln 2 without its low bits: n·ln2Hi is exact for small n
	ln2Lo = 1.90821492927058770002e-10 // the rest
)

// log2 returns the binary logarithm of x > 0, to about 1e-15.
func log2(x float64) float64 {
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m *= 2
		e--
	}
	// ln m = 2·(s + s³/3 + s⁵/5 + …) with |s| <= 0.172
	s := (m - 1) / (m + 1)
	z := float64(s * s)
	sum := 0.0
	for k := 21; k >= 1; k -= 2 {
		sum = 1/float64(k) + float64(sum*z)
	}
	return float64(e) + float64(float64(s*sum)*(2/math.Ln2))
}

// exp returns e to the power of x, to about 1e-15, and 0 below -700.
func exp(x float64) float64 {
	if x < -700 {
		return 0
	}
	n := math.Floor(float64(x*(1/math.Ln2)) + 0.5)
	r := x - float64(n*ln2Hi)
	r -= float64(n * ln2Lo)
	sum := 1.0
	for k := 17; k >= 1; k-- {
		sum = 1 + float64(sum*(r/float64(k)))
	}
	return math.Ldexp(sum, int(n))
}

// density returns the standard normal density at x.
func density(x float64) float64 {
	const invSqrt2Pi = 0.39894228040143267794
	return invSqrt2Pi * exp(float64(x*x)*-0.5)
}

// above returns the probability that a standard normal number exceeds x >= 0.
func above(x float64) float64 {
	if x > 37 {
		return 0
	}
	z := float64(x * x)
	if x < 3 {
		// 1/2 - density · (x + x³/3 + x⁵/(3·5) + …)
		term, sum := x, x
		for k := 3.0; term > float64(sum*1e-17); k += 2 {
			term = float64(term*z) / k
			sum += term
		}
		return 0.5 - float64(density(x)*sum)
	}
	// density / (x + 1/(x + 2/(x + 3/(x + …))))
	f := x
	for k := 60.0; k >= 1; k-- {
		f = x + k/f
	}
	return density(x) / f
}

// mass returns the probability that a standard normal number is between a and
// b, a <= b, without the cancellation of a difference near 1.
func mass(a, b float64) float64 {
	switch {
	case a >= 0:
		return above(a) - above(b)
	case b <= 0:
		return above(-b) - above(-a)
	}
	return 1 - above(-a) - above(b)
}
