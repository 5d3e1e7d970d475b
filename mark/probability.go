package mark

import "math"

// Probabilities are given as base-10 logarithms: they get far below what a float64
// holds.

// Bound returns log10 of a bound on the probability that the reading z, or a larger one,
// is chance:
//
//	P(Z >= z) <= exp(-z²/2)   for z >= 0, and 1 below
//
// where Z = Σ K[i]·y[i] / ‖y‖, and K are the key's signs. The assumption is that the
// signs are fair coins, independent of each other and of y, which holds if neither the
// suspect, nor the reference, nor the alignment was made with knowledge of the key. Of
// y nothing is assumed: it may be any function of suspect and reference.
//
// Proof (Hoeffding). Fix y, with ‖y‖ = 1. For λ >= 0 Markov's inequality gives
// P(Z >= z) <= exp(-λz)·E exp(λZ), and by independence E exp(λZ) = Π cosh(λy[i]). Term by
// term of the series, cosh(x) = Σ x^2k/(2k)! <= Σ x^2k/(2^k·k!) = exp(x²/2), so that
// the product is at most exp(λ²/2). λ = z gives exp(-z²/2). It holds for every y, so also
// for y that is drawn.
//
// It is the tail of a Gaussian times z·√2π at the most, so little is lost.
func Bound(z float64) float64 {
	if !(z > 0) {
		return 0
	}
	return -z * z / 2 * math.Log10E
}

// Binomial returns log10 of the probability that at least right of n bits are read
// right by chance. It is exact if each bit is read as a fair coin, independent of the
// others: with rows X[i] of independent normal numbers the projections X[i]·w̄ are
// independent given w̄ and symmetric about 0, whatever w̄ is, provided that it was made
// without knowledge of X. 0 <= right <= n.
func Binomial(right, n int) float64 {
	if right <= 0 {
		return 0
	}
	top, _ := math.Lgamma(float64(n + 1))
	log := func(k int) float64 { // of the probability of k
		a, _ := math.Lgamma(float64(k + 1))
		b, _ := math.Lgamma(float64(n - k + 1))
		return top - a - b - float64(n)*math.Ln2
	}
	// Relative to the largest term, which is the first or the middle one.
	peak := log(max(right, n/2))
	sum := 0.0
	for k := right; k <= n; k++ {
		sum += math.Exp(log(k) - peak)
	}
	return math.Min(0, (peak+math.Log(sum))*math.Log10E)
}

// Circumstances are what a verdict rests on beside the reading.
type Circumstances struct {
	// Committed says that a commitment to the key, the parameters and the reference
	// was published before the suspect was: then the threshold is 1e-9. Else the
	// owner could have tried keys until one fits, which 2^-128 rules out.
	Committed bool
	// Keys is how many keys (customers) were tried, 0 is 1; Alignments the same of
	// alignments.
	Keys, Alignments int
}

// The thresholds, as base-10 logarithms.
const (
	ThresholdCommitted = -9
	ThresholdAlone     = -128 * 0.30102999566398119521 // 2^-128
)

// A Verdict is what follows from a reading.
type Verdict struct {
	Present bool `json:"present"`
	// Tests is how many readings there were to choose the best from: keys ×
	// alignments × (layers + all of them together, if there are several layers).
	Tests int `json:"tests" about:"readings to choose from: keys × alignments × (layers + all together)"`
	// Log10P is that of the best of them, times Tests (Bonferroni: the probability
	// that any of them is so good by chance is at most the sum).
	Log10P float64 `json:"log10_p" about:"of the best of them times their number, base 10"`
	// Layer is the tensor that the best reading is of; empty: all of them together.
	Layer string `json:"layer,omitempty" about:"tensor of the best reading; all together if empty"`
	// Threshold is what Log10P had to reach.
	Threshold float64 `json:"threshold" about:"that the probability had to reach, base 10"`
}

// Judge gives the verdict on a reading.
func Judge(r *Reading, c *Circumstances) *Verdict {
	v := &Verdict{Threshold: ThresholdAlone, Log10P: r.Log10P, Tests: max(1, c.Keys) * max(1, c.Alignments)}
	if c.Committed {
		v.Threshold = ThresholdCommitted
	}
	if len(r.Layers) > 1 {
		v.Tests *= len(r.Layers) + 1
		for i := range r.Layers {
			if l := &r.Layers[i]; l.Log10P < v.Log10P {
				v.Log10P, v.Layer = l.Log10P, l.Tensor
			}
		}
	}
	v.Log10P = math.Min(0, v.Log10P+math.Log10(float64(v.Tests)))
	v.Present = v.Log10P <= v.Threshold
	return v
}
