package lineage

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ropewalk/tensor"
)

func weighed(t *testing.T, ref, sus *tensor.Set, o *EvidenceOptions) *Evidence {
	t.Helper()
	spec := perceptronSpec(ref)
	e, err := Weigh(context.Background(), Network{Set: ref, Spec: spec}, Network{Set: sus}, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// reordered moves the neurons of each layer but the last.
func reordered(r *rand.Rand, set *tensor.Set) *tensor.Set {
	for k := range set.Len()/2 - 1 {
		in, out, bias := fmt.Sprintf("l%d.weight", k), fmt.Sprintf("l%d.weight", k+1), fmt.Sprintf("l%d.bias", k)
		n := int(set.Lookup(in).Shape[0])
		order := r.Perm(n)
		for _, name := range []string{in, bias} {
			x := weightsOf(set, name)
			y, d := slices.Clone(x), len(x)/n
			for i, j := range order {
				copy(y[i*d:][:d], x[j*d:])
			}
			set = withWeights(set, name, y)
		}
		x := weightsOf(set, out)
		y := slices.Clone(x)
		for at := 0; at < len(x); at += n {
			for i, j := range order {
				y[at+i] = x[at+j]
			}
		}
		set = withWeights(set, out, y)
	}
	return set
}

// damaged changes the weights of each layer by f, which knows their standard deviation.
func damaged(set *tensor.Set, f func(x []float32, sigma float64)) *tensor.Set {
	for k := range set.Len() / 2 {
		name := fmt.Sprintf("l%d.weight", k)
		x := weightsOf(set, name)
		sum := 0.0
		for _, v := range x {
			sum += float64(v) * float64(v)
		}
		f(x, math.Sqrt(sum/float64(len(x))))
		set = withWeights(set, name, x)
	}
	return set
}

func noisy(r *rand.Rand, sigmas float64) func([]float32, float64) {
	return func(x []float32, sigma float64) {
		for i := range x {
			x[i] += float32(sigmas * sigma * r.NormFloat64())
		}
	}
}

func thinned(share float64) func([]float32, float64) {
	return func(x []float32, _ float64) {
		order := make([]float64, len(x))
		for i, v := range x {
			order[i] = math.Abs(float64(v))
		}
		slices.Sort(order)
		cut := order[int(share*float64(len(x)))]
		for i, v := range x {
			if math.Abs(float64(v)) < cut {
				x[i] = 0
			}
		}
	}
}

func coarse(bits int) func([]float32, float64) {
	return func(x []float32, _ float64) {
		lo, hi := float64(slices.Min(x)), float64(slices.Max(x))
		step := (hi - lo) / float64(int(1)<<bits-1)
		for i, v := range x {
			x[i] = float32(lo + step*math.Round((float64(v)-lo)/step))
		}
	}
}

// Derivatives are known as such in any order, strangers are not, and controls say the same.
func TestWeigh(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	owner := perceptron(r, 64, 32, 24, 10)
	o := &EvidenceOptions{Seed: 9, Threads: 1, Random: 3, Controls: []*tensor.Set{perceptron(r, 64, 32, 24, 10), perceptron(r, 7, 5, 4)}, Names: []string{"a", "b"}}
	for _, c := range []struct {
		name string
		set  *tensor.Set
		want bool
	}{
		{"noise", reordered(r, damaged(owner, noisy(r, 1))), true},
		{"pruned", reordered(r, damaged(owner, thinned(0.9))), true},
		{"three bits", reordered(r, damaged(owner, coarse(3))), true},
		{"stranger", perceptron(r, 64, 32, 24, 10), false},
		{"pruned stranger", damaged(perceptron(r, 64, 32, 24, 10), thinned(0.9)), false},
	} {
		e := weighed(t, owner, c.set, o)
		t.Logf("%s: %v, %s", c.name, e.Derived, e.Reason)
		if e.Derived != c.want {
			t.Errorf("%s: derived is %v: %s", c.name, e.Derived, e.Reason)
		}
		if f := e.FixedPoints; !f.Applies || f.Log10P < -4 {
			t.Errorf("%s: neurons of a reordered network, or a stranger, in place: %+v", c.name, f)
		}
		s := e.Score
		if s.Random.Counted != 3 || s.Given.Counted != 1 || s.Given.Controls[1].Why == "" || s.Random.P < 0.25 {
			t.Errorf("%s: controls %+v and %+v", c.name, s.Random, s.Given)
		}
		if c.want != (s.Random.Above == 0 && s.Random.Distance > 5) {
			t.Errorf("%s: %d random controls above, distance %.1f", c.name, s.Random.Above, s.Random.Distance)
		}
		if n := e.Neurons; c.want != (n.FamilyWise.Claimed > 28) || n.FamilyWise.Claimed > n.Discovery.Claimed || n.Neurons != 56 || !c.want && n.Why == "" {
			t.Errorf("%s: claims %+v", c.name, n)
		}
	}
	if e := weighed(t, owner, transplant(r, perceptron(r, 64, 32, 24, 10), owner, 0.5, 0), &EvidenceOptions{Random: -1}); !e.Derived || e.FixedPoints.Log10P > -9 || e.Score.Random != nil {
		t.Errorf("half of the neurons are the owner's: %v, %s", e.Derived, e.Reason)
	}
}

// All numbers say what they assume, and none says that a network is not derived.
func TestEvidenceSaysWhatItAssumes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	e := weighed(t, perceptron(r, 9, 8, 8, 4), perceptron(r, 9, 8, 8, 4), &EvidenceOptions{Random: 3, Threads: 1})
	for name, text := range map[string]string{
		"fixed points": e.FixedPoints.Assumption, "score": e.Score.Assumption, "controls": e.Score.Random.Assumption, "neurons": e.Neurons.Assumption, "caution": e.Caution,
	} {
		if len(text) < 80 || strings.Contains(text, "independent of the reference.") {
			t.Errorf("%s says %q", name, text)
		}
	}
	none, err := Weigh(context.Background(), Network{Set: perceptron(r, 4, 3, 2)}, Network{Set: perceptron(r, 4, 3, 2)}, nil, nil)
	if err != nil || none.Derived || none.FixedPoints.Applies || none.Reason == "" {
		t.Errorf("nothing is known of neurons: %+v, %v", none, err)
	}
	if _, err := Weigh(context.Background(), Network{Set: perceptron(r, 4, 3, 2), Spec: perceptronSpec(perceptron(r, 4, 3, 2))}, Network{Set: perceptron(r, 5, 3, 2)}, nil, nil); err == nil {
		t.Error("networks of other inputs were weighed")
	}
}

func TestHolmAndBenjaminiHochberg(t *testing.T) {
	p := []float64{0.0001, 0.0002, 0.0003, 0.004, 0.02, 0.03, 0.5, 0.7, 0.8, 1}
	// By hand, with 10 of them: Holm's limits at 1e-3 are 1e-4, 1.11e-4, …
	if n := holm(p, 1e-3); n != 1 {
		t.Errorf("Holm: %d", n)
	}
	if n := holm(p, 0.05); n != 4 { // 0.004 <= 0.05/7, 0.02 > 0.05/6
		t.Errorf("Holm: %d", n)
	}
	// Benjamini and Hochberg's are 0.001·i at 1 %, and 0.005·i at 5 %.
	if n := benjaminiHochberg(p, 0.01); n != 4 {
		t.Errorf("Benjamini–Hochberg: %d", n)
	}
	if n := benjaminiHochberg(p, 0.05); n != 6 { // 0.02 is within 0.025, 0.03 within 0.03
		t.Errorf("Benjamini–Hochberg: %d", n)
	}
}

func TestSymmetricEigen(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for _, n := range []int{1, 2, 7, 40} {
		m := make([]float64, n*n)
		for i := range n {
			for j := range i + 1 {
				m[i*n+j] = r.NormFloat64()
				m[j*n+i] = m[i*n+j]
			}
		}
		values, vectors := symmetricEigen(slices.Clone(m), n)
		for k, l := range values {
			if k > 0 && l > values[k-1] {
				t.Errorf("n = %d: eigenvalues are not descending: %v", n, values)
			}
			for i := range n {
				if got := dot(m[i*n:][:n], vectors[k]); math.Abs(got-l*vectors[k][i]) > 1e-9*float64(n) {
					t.Fatalf("n = %d: row %d times vector %d is %v, want %v", n, i, k, got, l*vectors[k][i])
				}
			}
			if x := dot(vectors[k], vectors[k]); math.Abs(x-1) > 1e-9 {
				t.Errorf("n = %d: vector %d has the length %v", n, k, math.Sqrt(x))
			}
		}
	}
}
