package align

import "math"

// Law returns the share Ψ, in percent, of neurons that [Paper] finds in a layer of
// n neurons with d independent, equally distributed incoming weights each, after
// Gaussian noise of omega standard deviations of the weights:
//
//	Ψ = 100 · E[ Φ( (√d + Ω e) / √(1+Ω²) )^(n-1) ],  e ~ N(0, 1)
//
// The inner product of a neuron with its noisy self is √d + Ωe in units of those
// with others. Real layers fall short where rows differ in length. n, d >= 1;
// omega >= 0.
func Law(n, d int, omega float64) float64 {
	if omega == 0 {
		return 100
	}
	// Simpson's rule over ±9 standard deviations; the integrand is smooth.
	const steps = 2000
	const from, to = -9.0, 9.0
	const h = (to - from) / steps
	mu, s := math.Sqrt(float64(d)), math.Sqrt(1+omega*omega)
	sum := 0.0
	for k := range steps + 1 {
		e := from + h*float64(k)
		w := 2.0
		switch {
		case k == 0 || k == steps:
			w = 1
		case k%2 == 1:
			w = 4
		}
		logPhi := math.Log(gaussCDF((mu + omega*e) / s))
		sum += w * gaussPDF(e) * math.Exp(float64(n-1)*logPhi)
	}
	return 100 * sum * h / 3
}

func gaussCDF(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }

func gaussPDF(x float64) float64 { return math.Exp(-x*x/2) / math.Sqrt(2*math.Pi) }

// gaussQuantile is the inverse of gaussCDF, 0 < p < 1.
func gaussQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }
