package lineage

import (
	"math"
	"slices"
)

const (
	// maxLevels bounds the values of a tensor that are counted.
	maxLevels = 1 << 16
	// maxGridBits is the finest grid that is looked for; beyond, float32 has no room for one.
	maxGridBits = 16
	// maxGridRows is how many rows are looked at to find the grids of channels.
	maxGridRows = 256
	// gridEvidence is how improbable, in bits, levels have to be by chance before a grid
	// is named without any equal values.
	gridEvidence = 40
	// uniformEvidence is the same for calling levels uniform that are few beyond doubt.
	uniformEvidence = 20
)

// A grid is what a quantizer left of a tensor: few values, for all of it or for each
// output channel (axis 0).
type grid struct {
	scope   string    // tensor or channel
	levels  int       // most of any channel, or of the tensor; zeros beside the grid not counted
	bits    int       // of the uniform grid, or log2 of levels rounded up
	uniform string    // uniform, not uniform, or "" if there are too few levels to tell
	zero    bool      // 0 is a level
	beside  bool      // there are zeros that are none of the grid's levels
	values  []float64 // the levels of the tensor, ascending; nil for channels
	// even is how improbable it is by chance, in bits, that levels are even which are too few, or too
	// coarse, to show it alone; 0 if they are not, or if uniform says so.
	even float64
}

// apart returns the levels of u, ascending, each once: those of an even grid that differ by
// rounding, as where factors were taken back, are one.
func (g *grid) apart(u []float64) []float64 {
	if g.uniform != "uniform" || len(u) <= 1<<g.bits {
		return u
	}
	low, high := ends(u)
	least := (high - low) / math.Ldexp(1, g.bits) / 4
	out := u[:0:0]
	for _, v := range u {
		if len(out) == 0 || v-out[len(out)-1] > least {
			out = append(out, v)
		}
	}
	return out
}

// A raster is a hypothesis of evenly spaced levels: steps of them between low and high.
type raster struct{ low, high, steps float64 }

// coarseType is the relative error from which on a type is so coarse that its values are not
// known to the step of a fine grid. The ends of a grid are: they are values of the type.
const coarseType = 1.0 / (1 << 14)

// tolerance is how far, in steps, a level with a relative error may be off; 1 if that is
// more than could be told from chance.
func (r raster) tolerance(v, epsilon float64) float64 {
	size, roundings := max(math.Abs(r.low), math.Abs(r.high)), 3.0
	if epsilon > coarseType {
		size, roundings = math.Abs(v), 1.05
	}
	t := roundings*epsilon*size*r.steps/(r.high-r.low) + 1e-9
	if epsilon > coarseType {
		t += 1e-5
	}
	if !(t < 0.2) {
		return 1
	}
	return t
}

// fit returns how improbable it is, in bits, that all of u are on the raster by chance,
// or false if they are not. The ends of the raster are no evidence.
func (r raster) fit(u []float64, epsilon float64) (float64, bool) {
	if !(r.high > r.low) {
		return 0, len(u) <= 1
	}
	sum := 0.0
	for _, v := range u {
		p := (v - r.low) / (r.high - r.low) * r.steps
		t := r.tolerance(v, epsilon)
		if t == 1 { // too fine to say anything
			continue
		}
		if math.Abs(p-math.Round(p)) > t || p < -0.5 || p > r.steps+0.5 {
			return 0, false
		}
		// Zero is in the middle of any symmetric grid.
		if p > 0.5 && p < r.steps-0.5 && !(v == 0 && r.low == -r.high) {
			sum -= math.Log2(2 * t)
		}
	}
	return sum, true
}

// rasters yields the grids of so many bits that quantizers use: from the least to the
// largest value, or symmetric about zero.
func rasters(low, high float64, bits int) [3]raster {
	n := math.Ldexp(1, bits)
	m := max(math.Abs(low), math.Abs(high))
	return [3]raster{{low, high, n - 1}, {-m, m, max(1, n-2)}, {-m, m, n}}
}

// A levelled is a tensor or a channel, of which a grid is looked for.
type levelled struct {
	values    []float64 // distinct, ascending
	low, high float64   // of the reference there
	expected  int       // how many values there would be without a quantizer
}

// ends returns the values at both ends of u.
func ends(u []float64) (float64, float64) { return u[0], u[len(u)-1] }

// withoutZero returns u without 0.
func withoutZero(u []float64) []float64 {
	i, ok := slices.BinarySearch(u, 0)
	if !ok {
		return u
	}
	return slices.Delete(slices.Clone(u), i, i+1)
}

// uniformBits finds the coarsest uniform grid that all parts fit, each from its own least
// to its largest value or those of the reference. drop leaves zeros out. It returns the
// evidence for it in bits, and 0 bits if there is none.
func uniformBits(parts []levelled, epsilon float64, drop bool) (bits int, evidence float64) {
	for bits := 1; bits <= maxGridBits; bits++ {
		for kind := range 4 {
			sum, all := 0.0, true
			for i := range parts {
				u := parts[i].values
				if drop {
					u = withoutZero(u)
				}
				if len(u) == 0 {
					continue
				}
				low, high := ends(u)
				var r raster
				if kind < 3 {
					r = rasters(low, high, bits)[kind]
				} else { // the ends may have been pruned away since
					r = raster{parts[i].low, parts[i].high, math.Ldexp(1, bits) - 1}
				}
				if len(u) == 1 && kind < 3 {
					continue
				}
				e, ok := r.fit(u, epsilon)
				if !ok {
					all = false
					break
				}
				sum += e
			}
			if all && sum >= uniformEvidence {
				return bits, sum
			}
		}
	}
	return 0, 0
}

// evenSteps returns how many levels a grid has that is uniform between any ends, found
// by its smallest step; 0 if u is not on one.
func evenSteps(u []float64, epsilon float64) int {
	if len(u) < 4 {
		return 0
	}
	low, high := ends(u)
	step := high - low
	for i := 1; i < len(u); i++ {
		step = min(step, u[i]-u[i-1])
	}
	steps := math.Round((high - low) / step)
	if !(steps >= 3 && steps < maxLevels) {
		return 0
	}
	if e, ok := (raster{low, high, steps}).fit(u, epsilon); !ok || e < uniformEvidence {
		return 0
	}
	return int(steps) + 1
}

// logLevels is the number of bits that count n levels.
func logLevels(n int) int {
	bits := 0
	for 1<<bits < n {
		bits++
	}
	return bits
}

// tied reports whether there are so many fewer values than expected that it is no chance.
func tied(values, expected int) bool { return expected-values >= max(4, expected/20) }

// findGrid looks for the levels of a quantizer: of the tensor, if its values are few
// enough to have been counted, and of its channels. epsilon is the relative error of
// values; ref are those of the reference, which is no change of the suspect's if it has
// the same grid.
func findGrid(whole, ref *levelled, channels []levelled, epsilon float64) *grid {
	if whole != nil && len(whole.values) > 0 {
		if g := uniformGrid([]levelled{*whole}, epsilon); g != nil {
			if ref != nil {
				if r := uniformGrid([]levelled{*ref}, epsilon); r != nil && r.bits <= g.bits {
					return nil
				}
			}
			g.scope, g.values = "tensor", whole.values
			return g
		}
	}
	values, expected, most := 0, 0, 0
	apart := apart(channels)
	if apart {
		if g := uniformGrid(channels, epsilon); g != nil {
			g.scope = "channel"
			return g
		}
	}
	for i := range channels {
		values += len(channels[i].values)
		expected += channels[i].expected
		most = max(most, len(channels[i].values))
	}
	own := apart && most > 1 && 3*values <= 2*expected // they have few values each
	if whole != nil {
		m := len(whole.values)
		if m > 1 && m <= 4096 && 4*m <= whole.expected && !own {
			g := &grid{scope: "tensor", levels: m, values: whole.values, uniform: "not uniform"}
			_, g.zero = slices.BinarySearch(whole.values, 0)
			g.bits = logLevels(m)
			if n := evenSteps(whole.values, epsilon); n > 0 {
				g.uniform, g.bits = "uniform", logLevels(n)
			} else {
				g.doubt([]levelled{*whole}, epsilon)
			}
			return g
		}
	}
	if own && (3*values <= expected || most <= 16 && tied(values, expected)) {
		g := &grid{scope: "channel", levels: most, bits: logLevels(most), uniform: "not uniform", zero: true}
		g.doubt(channels, epsilon)
		return g
	}
	return nil
}

// doubt has it open whether levels are even of which there are too few to tell, alone.
func (g *grid) doubt(parts []levelled, epsilon float64) {
	kinds := len(rasters(0, 1, g.bits))
	for kind := range kinds {
		sum, all := 0.0, true
		for i := range parts {
			u := parts[i].values
			if len(u) < 2 {
				continue
			}
			low, high := ends(u)
			e, ok := rasters(low, high, g.bits)[kind].fit(u, epsilon)
			all = all && ok
			sum += e
		}
		if all {
			g.even = max(g.even, sum-math.Log2(float64(kinds)))
		}
	}
	if g.levels <= 3 || g.even > 0 {
		g.uniform = ""
	}
}

// apart reports whether channels have levels of their own, few of which the next one has.
func apart(channels []levelled) bool {
	shared, all := 0, 0
	for i := 1; i < len(channels); i++ {
		a, b := withoutZero(channels[i-1].values), withoutZero(channels[i].values)
		all += min(len(a), len(b))
		for _, v := range a {
			if _, ok := slices.BinarySearch(b, v); ok {
				shared++
			}
		}
	}
	return all > 0 && 2*shared <= all
}

// uniformGrid returns the uniform grid that all parts are on, or nil.
func uniformGrid(parts []levelled, epsilon float64) *grid {
	values, expected, most, zeros := 0, 0, 0, false
	for i := range parts {
		values += len(parts[i].values)
		expected += parts[i].expected
		most = max(most, len(parts[i].values))
		_, z := slices.BinarySearch(parts[i].values, 0)
		zeros = zeros || z
	}
	ties := tied(values, expected)
	need := float64(gridEvidence)
	if ties {
		need = uniformEvidence
	}
	bits, evidence := uniformBits(parts, epsilon, false)
	g := &grid{levels: most, bits: bits, uniform: "uniform", zero: zeros}
	if zeros {
		if without, e := uniformBits(parts, epsilon, true); without > 0 && (bits == 0 || without < bits) {
			g.bits, evidence, g.zero, g.beside, g.levels = without, e, false, true, max(1, most-1)
		}
	}
	if g.bits == 0 || evidence < need {
		return nil
	}
	// Levels at the ends may be those of neurons that were not looked at: what is left has a grid of
	// its own, of which finer ones are multiples.
	if len(parts) == 1 {
		u := parts[0].values
		if g.beside {
			u = withoutZero(u)
		}
		if n := evenSteps(u, epsilon); n > 0 {
			g.bits = min(g.bits, logLevels(n))
		}
	}
	return g
}
