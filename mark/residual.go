package mark

import (
	"math"
	"slices"
)

// residual returns what is left of a suspect when the reference is taken out, made such
// that a mark stands out of it as well as it can: y[i], one for each number. It knows
// nothing of the key, as [Bound] asks for. Suspect and ref are (rows, len/rows),
// row-major; ref nil is none. amplitude is that of the mark, public.
//
// For y = r·a/v, r with Gaussian noise of variance v, the sum Σ K·y is the best
// detector there is. What is known of v:
//
//   - Numbers that are 0 now and were not are pruned, and say nothing.
//   - Rows (neurons) and columns are noisy differently: v is the product of the mean
//     squares of row and column over that of all.
//   - Rows may have been shrunk, by weight decay or what is left of a rescaling: what
//     is proportional to the reference is taken out of each.
//   - Noise has outliers, as those of training: y is cut at 2.5 medians of |r|/√v.
//   - There is no less noise than half the mark: an untouched copy counts as that.
func residual(suspect, ref []float32, rows int, amplitude float64, y []float32) []float32 {
	n := len(suspect)
	y = slices.Grow(y[:0], n)[:n]
	if n == 0 || rows == 0 {
		return y
	}
	cols := n / rows
	row := make([]float64, rows)
	col := make([]float64, cols)
	live := make([]float64, cols)
	alive := make([]float64, rows)
	total, count := 0.0, 0.0
	for i := range rows {
		s, out := suspect[i*cols:][:cols], y[i*cols:][:cols]
		if ref == nil {
			copy(out, s)
		} else {
			difference(s, ref[i*cols:][:cols], out)
		}
		var energy float64
		var k int
		for j, v := range out {
			if v != 0 {
				q := float64(v) * float64(v)
				energy += q
				col[j] += q
				live[j]++
				k++
			}
		}
		row[i], alive[i] = energy, float64(k)
		total += energy
		count += float64(k)
	}
	if count == 0 {
		return y
	}
	// A row or column of few numbers knows its own noise badly, and is pulled towards that
	// of all.
	mean := total / count
	const few = 8
	floor := amplitude / 2
	for i := range row {
		row[i] = math.Sqrt((row[i] + few*mean) / (alive[i] + few))
	}
	inverse := make([]float32, cols)
	for j := range col {
		c := math.Sqrt((col[j] + few*mean) / (live[j] + few))
		inverse[j] = float32(math.Sqrt(mean) / c)
	}
	limit := cut * medianOf(y, inverse, row, cols)
	if !(limit > 0) {
		limit = math.MaxFloat32
	}
	for i := range rows {
		out := y[i*cols:][:cols]
		scale := float32(1 / row[i])
		lim := float32(limit)
		a := float32(amplitude)
		least := float32(row[i] / math.Max(floor, math.SmallestNonzeroFloat32))
		for j, v := range out {
			f := inverse[j]
			u := min(max(v*scale*f, -lim), lim)
			// a/√v, at most 2: √v is row/f, and at least floor.
			w := a * scale * min(f, least)
			out[j] = u * w
		}
	}
	return y
}

// cut is where numbers are cut, in medians of their magnitude: 1.7 standard deviations
// of Gaussian ones, of which that loses 3 % of z².
const cut = 2.5

// difference sets out to s - β·ref with the β that leaves least, and to 0 where s was
// pruned. Rows of few numbers have β = 1: they would lose too much of the mark.
func difference(s, ref, out []float32) {
	beta := float32(1)
	if len(s) >= 16 {
		var xy, xx float64
		for j, r := range ref {
			if v := s[j]; v != 0 {
				xy += float64(v) * float64(r)
				xx += float64(r) * float64(r)
			}
		}
		if xx > 0 {
			beta = float32(xy / xx)
		}
	}
	for j, r := range ref {
		v := s[j]
		if v == 0 {
			out[j] = 0
			continue
		}
		out[j] = v - float32(beta*r)
	}
}

// medianOf returns the median of |y|/√v over numbers that are not 0, of a sample that
// does not depend on chance.
func medianOf(y, inverse []float32, row []float64, cols int) float64 {
	step := max(1, len(y)/4096)
	if step > 1 {
		step |= 1 // not the same columns in each row
		for cols%step == 0 {
			step += 2
		}
	}
	sample := make([]float32, 0, len(y)/step+1)
	for k := 0; k < len(y); k += step {
		if v := y[k]; v != 0 {
			sample = append(sample, float32(math.Abs(float64(v*inverse[k%cols])/row[k/cols])))
		}
	}
	if len(sample) == 0 {
		return 0
	}
	slices.Sort(sample)
	return float64(sample[len(sample)/2])
}
