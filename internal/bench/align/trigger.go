package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"ropewalk/align"
	"ropewalk/attack"
)

// triggerSteps is how often the input is improved.
const triggerSteps = 300

// triggers trains an input on the original for each seed.
func triggers(ref attack.Network, layer string, seeds int) ([][]float64, error) {
	g := &ref.Spec.Groups[0]
	if p := &g.Places[0]; p.Axis != 0 || p.At != nil || p.Run != 1 {
		return nil, fmt.Errorf("tensor %s does not have a row for each neuron", layer)
	}
	w, err := ref.Set.Lookup(layer).Float32s()
	if err != nil {
		return nil, err
	}
	var out [][]float64
	for seed := range uint64(seeds) {
		out = append(out, trigger(w, g.Size, rand.New(rand.NewPCG(seed, 0x7219))))
	}
	return out, nil
}

// triggered is the rival with a learned trigger input, which the paper sets aside: an
// input is trained on the original, by ascent of Σ_{i<j} |s_i - s_j|, to make the
// responses s of all neurons as different as it can; then neurons are told by the rank
// of their response. Here it is the input x of the layer itself, on the unit sphere, as a
// linear response has the same order at any length of it: the rival does not have
// to find the image that makes it. It returns Ψ.
func triggered(ref attack.Network, sus *attack.Result, layer string, x []float64) (float64, error) {
	g := &ref.Spec.Groups[0]
	w, err := ref.Set.Lookup(layer).Float32s()
	if err != nil {
		return 0, err
	}
	v, err := sus.Set.Lookup(layer).Float32s()
	if err != nil {
		return 0, err
	}
	was, is := byResponse(w, g.Size, x), byResponse(v, g.Size, x)
	of := make([]int, g.Size)
	for k, i := range was {
		of[i] = is[k]
	}
	found, err := align.NewMatching(of, g.Size)
	if err != nil {
		return 0, err
	}
	truth, err := align.NewMatching(slices.Clone(sus.Truth.Element[g.Name].Order), g.Size)
	if err != nil {
		return 0, err
	}
	return align.Psi(found, truth.Inverse()), nil
}

// trigger trains the input for n rows of w.
func trigger(w []float32, n int, r *rand.Rand) []float64 {
	d := len(w) / n
	x := make([]float64, d)
	for k := range x {
		x[k] = r.NormFloat64()
	}
	normalise(x)
	g := make([]float64, d)
	for step := range triggerSteps {
		clear(g)
		// The derivative by s_i is the number of smaller responses less that of larger ones.
		for rank, i := range byResponse(w, n, x) {
			a := float64(2*rank - n + 1)
			for k, y := range w[i*d:][:d] {
				g[k] += a * float64(y)
			}
		}
		normalise(g)
		rate := 0.5
		if step >= triggerSteps*2/3 {
			rate = 0.05
		}
		for k := range x {
			x[k] += rate * g[k]
		}
		normalise(x)
	}
	return x
}

func normalise(x []float64) {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	if sum == 0 {
		return
	}
	inv := 1 / math.Sqrt(sum)
	for k := range x {
		x[k] *= inv
	}
}

// byResponse returns the rows of w in the order of their products with x.
func byResponse(w []float32, n int, x []float64) []int {
	s := make([]float64, n)
	order := make([]int, n)
	for i := range n {
		order[i] = i
		for k, y := range w[i*len(x):][:len(x)] {
			s[i] += float64(y) * x[k]
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case s[a] < s[b]:
			return -1
		case s[a] > s[b]:
			return 1
		}
		return 0
	})
	return order
}
