package main

import (
	"cmp"
	"math"
	"slices"
)

// The quantizers here belong to the benchmark and stay as they are: an index
// stream of today is one of next year. They are no good quantizers. That of the
// product is measured beside them, in the second part of the page.

// A quantizer turns the matrices of a network into indices.
type quantizer struct {
	name  string
	apply func(ms []matrix) []coded
}

var quantizers = []quantizer{
	{"LM4", each(func(w []float32) []float32 { return lloydMax(w, 4) })},
	{"LM8", each(func(w []float32) []float32 { return lloydMax(w, 8) })},
	{"LM16", each(func(w []float32) []float32 { return lloydMax(w, 16) })},
	{"LM32", each(func(w []float32) []float32 { return lloydMax(w, 32) })},
	{"U1.0", each(func(w []float32) []float32 { return uniform(w, 1) })},
	{"U0.5", each(func(w []float32) []float32 { return uniform(w, 0.5) })},
	{"U0.25", each(func(w []float32) []float32 { return uniform(w, 0.25) })},
	{"P90LM16", pruned},
	{"int8", each(int8Grid)},
}

// each returns a quantizer that treats every matrix alone. The function returns
// a level for each value.
func each(levels func([]float32) []float32) func([]matrix) []coded {
	return func(ms []matrix) []coded {
		list := make([]coded, len(ms))
		for i, m := range ms {
			list[i] = index(m, levels(m.values))
		}
		return list
	}
}

// lloydRounds is fixed, and few: with heavy tails the levels are still far from
// settled then. That is part of the recipe.
const lloydRounds = 60

// lloydMax returns the nearest of k levels for each value: Lloyd's iteration from
// levels evenly spaced between the extremes, but no further out than 3.5
// deviations. Sums are taken in one order on all machines.
func lloydMax(w []float32, k int) []float32 {
	if len(w) == 0 {
		return nil
	}
	sorted := slices.Clone(w)
	slices.Sort(sorted)
	sums := make([]float64, len(sorted)+1) // sums[i] is that of the first i values
	for i, x := range sorted {
		sums[i+1] = sums[i] + float64(x)
	}
	reach := 3.5 * deviation(w)
	lo := max(float64(sorted[0]), -reach)
	hi := min(float64(sorted[len(sorted)-1]), reach)
	levels := make([]float64, k)
	for i := range levels {
		levels[i] = lo
		if k > 1 {
			levels[i] += (hi - lo) * float64(i) / float64(k-1)
		}
	}
	for range lloydRounds {
		from := 0
		for i := range levels {
			to := len(sorted)
			if i+1 < k {
				to = firstAbove(sorted, (levels[i]+levels[i+1])/2)
			}
			if to > from { // an empty cell keeps its level
				levels[i] = (sums[to] - sums[from]) / float64(to-from)
				from = to
			}
		}
		slices.Sort(levels)
	}
	out := make([]float32, len(w))
	for i, x := range w {
		out[i] = float32(nearest(levels, float64(x)))
	}
	return out
}

// firstAbove returns how many of the sorted values are not above border.
func firstAbove(sorted []float32, border float64) int {
	i, _ := slices.BinarySearchFunc(sorted, border, func(x float32, b float64) int {
		if float64(x) <= b {
			return -1
		}
		return 1
	})
	return i
}

// nearest returns the level nearest to x, the lower one of two.
func nearest(levels []float64, x float64) float64 {
	i, _ := slices.BinarySearch(levels, x)
	if i == len(levels) || i > 0 && x <= (levels[i-1]+levels[i])/2 {
		return levels[i-1]
	}
	return levels[i]
}

// uniform rounds to multiples of a number of deviations, at most 120 of them
// each way.
func uniform(w []float32, deviations float64) []float32 {
	const most = 120
	step := deviations * deviation(w)
	out := make([]float32, len(w))
	if step == 0 {
		return out
	}
	for i, x := range w {
		q := math.RoundToEven(float64(x) / step)
		out[i] = float32(min(max(q, -most), most)*step) + 0 // no negative zero
	}
	return out
}

// int8Grid rounds to the 255 multiples of the largest magnitude / 127.
func int8Grid(w []float32) []float32 {
	step := 0.0
	for _, x := range w {
		step = max(step, math.Abs(float64(x))/127)
	}
	out := make([]float32, len(w))
	if step == 0 {
		return out
	}
	for i, x := range w {
		out[i] = float32(math.RoundToEven(float64(x)/step)*step) + 0
	}
	return out
}

// pruned keeps a tenth of all weights of a network, those that are largest when
// measured in deviations of their matrix; the others become 0. The survivors of
// each matrix get 15 levels, or fewer if they are few.
func pruned(ms []matrix) []coded {
	const (
		kept   = 0.1
		levels = 15
		each   = 8 // survivors that pay for a level
	)
	var magnitudes []float64
	deviations := make([]float64, len(ms))
	for i, m := range ms {
		deviations[i] = deviation(m.values)
		for _, x := range m.values {
			magnitudes = append(magnitudes, relative(x, deviations[i]))
		}
	}
	slices.SortFunc(magnitudes, func(a, b float64) int { return cmp.Compare(b, a) })
	least := math.Inf(1)
	if n := int(kept * float64(len(magnitudes))); n > 0 {
		least = magnitudes[n-1]
	}
	list := make([]coded, len(ms))
	for i, m := range ms {
		var at []int
		var survivors []float32
		for j, x := range m.values {
			if relative(x, deviations[i]) >= least {
				at, survivors = append(at, j), append(survivors, x)
			}
		}
		out := make([]float32, len(m.values))
		for j, level := range lloydMax(survivors, max(1, min(levels, len(survivors)/each))) {
			out[at[j]] = level
		}
		list[i] = index(m, out)
	}
	return list
}

func relative(x float32, deviation float64) float64 {
	if deviation == 0 {
		return 0
	}
	return math.Abs(float64(x)) / deviation
}

// deviation returns the standard deviation, which for weights is about the root
// of the mean square.
func deviation(w []float32) float64 {
	if len(w) == 0 {
		return 0
	}
	mean := 0.0
	for _, x := range w {
		mean += float64(x)
	}
	mean /= float64(len(w))
	sum := 0.0
	for _, x := range w {
		d := float64(x) - mean
		sum += d * d
	}
	return math.Sqrt(sum / float64(len(w)))
}
