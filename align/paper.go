package align

import (
	"fmt"
	"slices"

	"ropewalk/internal/kernel"
)

// paper is the method of Find the Lady (papers 2.2): each reference neuron gets
// the suspect's neuron whose incoming weights have the largest cosine with its
// own. Weights only, one tensor only; ties go to the lower number.
func paper(g *Group, pool *kernel.Pool) (*Result, error) {
	v := g.incoming()
	if v == nil {
		return nil, fmt.Errorf("%w: group %s has no view of incoming weights, which the method needs", ErrInput, g.Name)
	}
	c := products(unit(v.Ref, v.Dim), unit(v.Sus, v.Dim), v.Dim, pool)
	sus := make([]int, g.Ref)
	r := &Result{Margin: make([]float64, g.Ref)}
	for i := range sus {
		row := c[i*g.Sus:][:g.Sus]
		best, second := 0, -1
		for j := 1; j < len(row); j++ {
			if row[j] > row[best] {
				best, second = j, best
			} else if second < 0 || row[j] > row[second] {
				second = j
			}
		}
		sus[i] = best
		if second >= 0 {
			r.Margin[i] = float64(row[best] - row[second])
		}
	}
	m, err := NewMatching(sus, g.Sus)
	if err != nil {
		return nil, err
	}
	r.Matching = *m
	return r, nil
}

// ranking is the rival that the paper sets aside (papers 2.3): both sides are
// sorted by the sum of their incoming weights, and equal ranks are matched.
func ranking(g *Group) (*Result, error) {
	v := g.incoming()
	if v == nil {
		return nil, fmt.Errorf("%w: group %s has no view of incoming weights, which the method needs", ErrInput, g.Name)
	}
	ref, sus := rankBySum(v.Ref, v.Dim), rankBySum(v.Sus, v.Dim)
	of := make([]int, g.Ref)
	for k, i := range ref {
		of[i] = -1
		if k < len(sus) {
			of[i] = sus[k]
		}
	}
	m, err := NewMatching(of, g.Sus)
	if err != nil {
		return nil, err
	}
	return &Result{Matching: *m}, nil
}

// incoming returns the first view of incoming weights.
func (g *Group) incoming() *View {
	i := slices.IndexFunc(g.Views, func(v View) bool { return v.Role == Incoming })
	if i < 0 {
		return nil
	}
	return &g.Views[i]
}

// rankBySum returns the numbers of rows in the order of their sums.
func rankBySum(x []float32, dim int) []int {
	n := len(x) / dim
	sums := make([]float64, n)
	order := make([]int, n)
	for i := range n {
		order[i] = i
		for _, v := range x[i*dim:][:dim] {
			sums[i] += float64(v)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case sums[a] < sums[b]:
			return -1
		case sums[a] > sums[b]:
			return 1
		}
		return 0
	})
	return order
}
