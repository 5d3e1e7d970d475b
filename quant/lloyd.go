package quant

import (
	"cmp"
	"math"
	"slices"
)

const (
	lloydRounds = 300
	lloydGain   = 1e-6 // a round that lowers the distortion by less is the last
)

// lloyd returns k levels (fewer if there are fewer distinct values) of locally
// least distortion on the data. A heavy tail has many poor optima; so it starts
// twice, from levels as dense as the cube root of the density, which is optimal
// for many levels (Panter and Dite), and from uniform ones, and keeps the
// better result.
func lloyd(sm *sample, k int) *scalar {
	if k >= len(sm.v) {
		return nearest(increasing(slices.Clone(sm.v)))
	}
	a, da := lloydFrom(sm, cubeRootStart(sm, k), lloydRounds)
	b, db := lloydFrom(sm, uniformStart(sm, k), lloydRounds)
	if db < da {
		return b
	}
	return a
}

// lloydFrom alternates between cells and centroids, this many rounds or until
// they bring no more. It returns the distortion in the last cells, too, and
// overwrites levels.
func lloydFrom(sm *sample, levels []float64, rounds int) (*scalar, float64) {
	var thresholds []float64
	var cells []cell
	last := math.Inf(1)
	for round := 0; ; round++ {
		thresholds = midpoints(thresholds, levels)
		cells = sm.cells(cells, thresholds)
		d := 0.0
		for i, c := range cells {
			levels[i] = c.centroid(levels[i])
			d += c.distortion(levels[i])
		}
		better, changed := refill(sm, levels, thresholds, cells)
		if round >= rounds || !changed && d >= last-float64(last*lloydGain) {
			return nearest(levels), d
		}
		levels, last = better, d
	}
}

// refill removes the levels of empty cells and instead splits as many others,
// those of most distortion, at their centroids, which can only lower it. It
// reports whether there were empty cells.
func refill(sm *sample, levels, thresholds []float64, cells []cell) ([]float64, bool) {
	empty := 0
	worst := make([]int, len(cells))
	d := make([]float64, len(cells))
	for i, c := range cells {
		worst[i], d[i] = i, c.distortion(levels[i])
		if c.n == 0 {
			empty++
		}
	}
	if empty == 0 {
		return levels, false
	}
	slices.SortStableFunc(worst, func(a, b int) int { return cmp.Compare(d[b], d[a]) })
	split := make([]bool, len(cells))
	for _, i := range worst[:empty] {
		split[i] = d[i] > 0
	}
	out := make([]float64, 0, len(levels))
	lo := 0
	for i, l := range levels {
		hi := len(sm.v)
		if i < len(thresholds) {
			hi = sm.upTo(lo, thresholds[i])
		}
		mid := sm.upTo(lo, l)
		if split[i] && lo < mid && mid < hi {
			out = append(out, sm.between(lo, mid).centroid(l), sm.between(mid, hi).centroid(l))
		} else if cells[i].n > 0 {
			out = append(out, l)
		}
		lo = hi
	}
	return increasing(out), true
}

// increasing removes levels that are not above the one before.
func increasing(levels []float64) []float64 {
	out := levels[:0]
	for _, l := range levels {
		if len(out) == 0 || l > out[len(out)-1] {
			out = append(out, l)
		}
	}
	return out
}

// uniformStart returns the middles of k equal cells of the range, clipped to
// 3.5 times the scale.
func uniformStart(sm *sample, k int) []float64 {
	lo, hi := max(sm.min(), -3.5), min(sm.max(), 3.5)
	return middles(lo, hi, k)
}

func middles(lo, hi float64, k int) []float64 {
	levels := make([]float64, k)
	step := (hi - lo) / float64(k)
	for i := range levels {
		levels[i] = lo + float64((float64(i)+0.5)*step)
	}
	return increasing(levels)
}

// cubeRootStart returns k levels such that between any two there is the same
// part of the integral of density^(1/3). The density is known from the
// quantiles: a range of width h with the part p of all weights adds
// p^(1/3)·h^(2/3).
func cubeRootStart(sm *sample, k int) []float64 {
	const ranges = 1024
	entries := len(sm.v)
	m := min(ranges, entries-1)
	if m < 1 {
		return []float64{sm.v[0]}
	}
	at := func(i int) int { return i * (entries - 1) / m }
	sums := make([]float64, m+1)
	for i := range m {
		h := sm.v[at(i+1)] - sm.v[at(i)]
		p := sm.s[at(i+1)+1] - sm.s[at(i)+1]
		sums[i+1] = sums[i]
		if h > 0 && p > 0 {
			const third = math.Ln2 / 3
			sums[i+1] += exp(float64((log2(p) + float64(2*log2(h))) * third))
		}
	}
	levels := make([]float64, 0, k)
	i := 0
	for j := range k {
		want := float64(sums[m]*(float64(j)+0.5)) / float64(k)
		for i < m-1 && sums[i+1] < want {
			i++
		}
		f := 0.5
		if d := sums[i+1] - sums[i]; d > 0 {
			f = (want - sums[i]) / d
		}
		lo, hi := sm.v[at(i)], sm.v[at(i+1)]
		levels = append(levels, lo+float64((hi-lo)*f))
	}
	return increasing(levels)
}

// lloydGaussian returns the levels that HEMP uses: those of least distortion
// for a Gaussian with the mean and the variance of the data, started from the
// middles of k equal cells of the range, at most 100 rounds, stopped when the
// distortion of the data no longer falls. The centroid of the density in (a,b]
// is mean + σ·(φ(a)-φ(b))/(Φ(b)-Φ(a)), with a and b in units of σ.
func lloydGaussian(sm *sample, k int) *scalar {
	all := sm.total()
	mean := all.sx / all.s
	variance := all.sq/all.s - float64(mean*mean)
	if !(variance > 0) {
		return nearest([]float64{mean})
	}
	sigma := math.Sqrt(variance)
	levels := middles(sm.min(), sm.max(), k)
	var thresholds []float64
	var cells []cell
	var best []float64
	least := math.Inf(1)
	for range 100 {
		thresholds = midpoints(thresholds, levels)
		cells = sm.cells(cells, thresholds)
		d := 0.0
		for i, c := range cells {
			d += c.distortion(levels[i])
		}
		if d >= least {
			break
		}
		best, least = append(best[:0], levels...), d
		a, fa := math.Inf(-1), 0.0
		for i := range levels {
			b, fb := math.Inf(1), 0.0
			if i < len(thresholds) {
				b = (thresholds[i] - mean) / sigma
				fb = density(b)
			}
			if p := mass(a, b); p > 1e-300 {
				levels[i] = mean + float64(sigma*((fa-fb)/p))
			}
			a, fa = b, fb
		}
		if levels = increasing(levels); len(levels) < k {
			break // so far out that the density has no mass
		}
	}
	return nearest(best)
}
