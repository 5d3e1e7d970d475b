package main

import (
	"math"
	"slices"
)

// maxRounds bounds the iteration of [lloydMax]; it mostly ends on its own.
const maxRounds = 200

// lloydMax returns w with each value replaced by the nearest of at most k levels,
// which are placed to make the squared error small: k-means in one dimension,
// started at the quantiles. Equal inputs give equal outputs on every machine,
// as sums are taken in sorted order and each is a single rounded addition.
func lloydMax(w []float32, k int) []float32 {
	sorted := slices.Clone(w)
	slices.Sort(sorted)
	distinct := slices.Compact(slices.Clone(sorted))
	if len(distinct) <= k {
		return slices.Clone(w)
	}
	sums := make([]float64, len(sorted)+1) // sums[i] is that of the first i values
	for i, x := range sorted {
		sums[i+1] = sums[i] + float64(x)
	}
	levels := make([]float32, k)
	for i := range levels {
		levels[i] = sorted[(2*i+1)*len(sorted)/(2*k)]
	}
	for range maxRounds {
		moved := false
		from := 0
		for i := range levels {
			to := len(sorted)
			if i+1 < k {
				border := midpoint(levels[i], levels[i+1])
				to, _ = slices.BinarySearch(sorted, border)
			}
			if to > from { // an empty cell keeps its level
				mean := float32((sums[to] - sums[from]) / float64(to-from))
				moved = moved || mean != levels[i]
				levels[i] = mean
				from = to
			}
		}
		slices.Sort(levels)
		if !moved {
			break
		}
	}
	levels = slices.Compact(levels)
	out := make([]float32, len(w))
	for i, x := range w {
		out[i] = nearest(levels, x)
	}
	return out
}

// nearest returns the level nearest to x.
func nearest(levels []float32, x float32) float32 {
	i, _ := slices.BinarySearch(levels, x)
	switch {
	case i == len(levels):
		return levels[i-1]
	case i > 0 && x < midpoint(levels[i-1], levels[i]):
		return levels[i-1]
	}
	return levels[i]
}

func midpoint(a, b float32) float32 { return float32((float64(a) + float64(b)) / 2) }

// int8Grid returns w rounded to the 255 multiples of its largest magnitude / 127:
// what is left of a tensor that went through symmetric int8.
func int8Grid(w []float32) []float32 {
	var largest float32
	for _, x := range w {
		largest = max(largest, float32(math.Abs(float64(x))))
	}
	if largest == 0 {
		return slices.Clone(w)
	}
	scale := largest / 127
	out := make([]float32, len(w))
	for i, x := range w {
		q := float32(math.RoundToEven(float64(x / scale)))
		out[i] = q * scale
	}
	return out
}
