package lineage

import (
	"math"
)

// A rencontres distribution is that of how many of n things are in their own places
// after a random shuffle: P(k) = 1/k! · Σ (-1)^j/j! over j from 0 to n-k. For large n it is
// that of Poisson with mean 1; P(at least k) is at most 1/k! for any n, as there are n
// over k sets of k things, each in place with the probability (n-k)!/n!.

// logRencontres returns the natural logarithms of P(0) to P(most) for n things, -Inf for
// what cannot be. n >= 1, most >= 0.
func logRencontres(n, most int) []float64 {
	out := make([]float64, most+1)
	series := []float64{1} // by d: Σ (-1)^j/j!, j to d
	term := 1.0
	for d := 1; d <= 20; d++ { // beyond, terms are below 2^-64
		term /= -float64(d)
		series = append(series, series[d-1]+term)
	}
	series[1] = 0
	for k := range out {
		if k > n {
			out[k] = math.Inf(-1)
			continue
		}
		out[k] = math.Log(series[min(n-k, 20)]) - logFactorial(k)
	}
	return out
}

func logFactorial(n int) float64 {
	l, _ := math.Lgamma(float64(n) + 1)
	return l
}

// maxConvolution bounds the steps of a convolution: a second or so.
const maxConvolution = 1 << 26

// A tail is the probability that independent shuffles leave so many things in place.
type tail struct {
	atLeast float64 // natural logarithm of P(at least k)
	exactly float64 // that of P(k)
	bound   bool    // atLeast is an upper bound, and exactly was not computed
}

// rencontresTail returns the probability that shuffles of groups of these sizes leave k
// things or more in place, all groups together: by convolution; where that would take
// too long, by the bound G^k/k! for G groups (the k-th factorial moment of the number, over
// k!, is at most that). k >= 0, sizes >= 1.
func rencontresTail(sizes []int, k int) tail {
	all := 0
	for _, n := range sizes {
		all += n
	}
	if k > all {
		return tail{math.Inf(-1), math.Inf(-1), false}
	}
	groups := len(sizes)
	// From here on each probability is less than half the one before, and what lies 200
	// further is lost in rounding.
	most := min(all, max(k, 2*groups+40)+200)
	if float64(groups)*float64(most)*float64(most) > maxConvolution {
		return tail{min(0, float64(k)*math.Log(float64(groups))-logFactorial(k)), 0, true}
	}
	sum := []float64{0}
	for _, n := range sizes {
		sum = convolve(sum, logRencontres(n, min(n, most)), most)
	}
	return tail{min(0, logSum(sum[k:])), sum[k], false}
}

// randomized returns a p-value that is uniform under the hypothesis if u is, from 0 to 1:
// P(more than k) + u·P(k).
func (t tail) randomized(u float64) float64 {
	return max(0, math.Exp(t.atLeast)-(1-u)*math.Exp(t.exactly))
}

// convolve returns the logarithms of the distribution of the sum of two numbers, up to most.
func convolve(a, b []float64, most int) []float64 {
	out := make([]float64, min(len(a)+len(b)-2, most)+1)
	terms := make([]float64, 0, min(len(a), len(b)))
	for k := range out {
		terms = terms[:0]
		for i := max(0, k-len(b)+1); i <= k && i < len(a); i++ {
			terms = append(terms, a[i]+b[k-i])
		}
		out[k] = logSum(terms)
	}
	return out
}

// logSum returns the logarithm of the sum of numbers of which x are the logarithms; -Inf for none.
func logSum(x []float64) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, v)
	}
	if math.IsInf(top, -1) {
		return top
	}
	sum := 0.0
	for _, v := range x {
		if v > top-45 {
			sum += math.Exp(v - top)
		}
	}
	return top + math.Log(sum)
}
