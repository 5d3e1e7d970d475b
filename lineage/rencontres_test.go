package lineage

import (
	"math"
	"testing"
)

// Counted: all permutations of groups of up to seven things.
func TestRencontresAgainstCounting(t *testing.T) {
	counts := func(n int) []float64 { // P(k), by going through all permutations
		out, all := make([]float64, n+1), 0.0
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		var visit func(int)
		visit = func(at int) {
			if at == n {
				k := 0
				for i, j := range order {
					if i == j {
						k++
					}
				}
				out[k]++
				all++
				return
			}
			for i := at; i < n; i++ {
				order[at], order[i] = order[i], order[at]
				visit(at + 1)
				order[at], order[i] = order[i], order[at]
			}
		}
		visit(0)
		for k := range out {
			out[k] /= all
		}
		return out
	}
	for n := 1; n <= 7; n++ {
		want := counts(n)
		for k, l := range logRencontres(n, n) {
			if math.Abs(math.Exp(l)-want[k]) > 1e-12 {
				t.Errorf("%d things: P(%d) = %.15f, counted %.15f", n, k, math.Exp(l), want[k])
			}
		}
	}
	a, b := counts(4), counts(6)
	for k := range 11 {
		want := 0.0
		for i, x := range a {
			for j, y := range b {
				if i+j >= k {
					want += x * y
				}
			}
		}
		got := rencontresTail([]int{4, 6}, k)
		if math.Abs(math.Exp(got.atLeast)-want) > 1e-12*max(1, want) || got.bound {
			t.Errorf("groups of 4 and 6: P(>= %d) = %g, counted %g", k, math.Exp(got.atLeast), want)
		}
	}
}

// Far out, where probabilities are less than any float, and for many large groups.
func TestRencontresTail(t *testing.T) {
	const n = 300
	if got, want := rencontresTail([]int{n}, n).atLeast, -logFactorial(n); math.Abs(got-want) > 1e-9*math.Abs(want) {
		t.Errorf("all %d in place: %v, want -log %d! = %v", n, got, n, want)
	}
	if got := rencontresTail([]int{n}, n+1).atLeast; !math.IsInf(got, -1) {
		t.Errorf("more in place than there are: %v", got)
	}
	for _, k := range []int{0, 1, 5, 20, 60, 150} {
		sizes := make([]int, 30)
		for i := range sizes {
			sizes[i] = 500
		}
		got := rencontresTail(sizes, k)
		// The sum of 30 such numbers has the first 500 factorial moments of Poisson with mean 30.
		want := math.Inf(-1)
		for j := k; j < 400; j++ {
			want = logSum([]float64{want, float64(j)*math.Log(30) - 30 - logFactorial(j)})
		}
		if math.Abs(got.atLeast-want) > 1e-9*max(1, math.Abs(want)) {
			t.Errorf("P(>= %d) of 30 groups: %v, Poisson %v", k, got.atLeast, want)
		}
		bound := float64(k)*math.Log(30) - logFactorial(k)
		if got.atLeast > min(0, bound)+1e-12 {
			t.Errorf("P(>= %d) of 30 groups: %v, above the bound %v", k, got.atLeast, bound)
		}
	}
	big := rencontresTail([]int{60000, 60000, 60000}, 100000)
	if want := 100000*math.Log(3) - logFactorial(100000); !big.bound || big.atLeast != want {
		t.Errorf("100000 in place of three groups: %+v, want the bound %v", big, want)
	}
}
