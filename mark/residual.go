package mark

import (
	"math"
	"slices"
)

// residual returns what is left of a suspect when the reference is taken out, made such
// that a mark stands out of it as well as it can: y[i], one for each number. It knows
// nothing of the key, as [Bound] asks for. Suspect and ref are (rows, channels, inner),
// row-major; ref nil is none. amplitude is that of the mark, public.
//
// For y = r·a/v, r with Gaussian noise of variance v, the sum Σ K·y is the best
// detector there is. What is known of v:
//
//   - Numbers that are 0 now and were not are pruned, and say nothing.
//   - Rows (neurons) and columns are noisy differently: v is the product of the mean
//     squares of row and column over that of all.
//   - Rows and channels may have been multiplied, by weight decay or what is left of a
//     rescaling that was estimated from damaged weights: the reference is multiplied
//     alike before it is taken out.
//   - Noise has outliers, as those of training: y is cut at 2.5 medians of |r|/√v.
//   - There is no less noise than half the mark: an untouched copy counts as that.
func residual(suspect, ref []float32, rows, inner int, amplitude float64, y []float32) []float32 {
	n := len(suspect)
	y = slices.Grow(y[:0], n)[:n]
	if n == 0 || rows == 0 {
		return y
	}
	cols := n / rows
	if ref == nil {
		copy(y, suspect)
	} else {
		differences(suspect, ref, rows, inner, y)
	}
	row := make([]float64, rows)
	col := make([]float64, cols)
	live := make([]float64, cols)
	alive := make([]float64, rows)
	total, count := 0.0, 0.0
	for i := range rows {
		out := y[i*cols:][:cols]
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

// differences sets out to s - β[row]·γ[channel]·ref, with the factors that leave least, and
// to 0 where s was pruned. Rows and channels of few numbers have the factor 1: they would
// lose too much of the mark.
func differences(s, ref []float32, rows, inner int, out []float32) {
	cols := len(s) / rows
	channels := cols / inner
	beta, gamma := slices.Repeat([]float32{1}, rows), slices.Repeat([]float32{1}, cols)
	xy, xx := make([]float64, channels), make([]float64, channels)
	alive := make([]int, channels)
	const sweeps = 2 // factors are near 1, and the second changes them by little
	for range sweeps {
		clear(xy)
		clear(xx)
		clear(alive)
		for i := range rows {
			u, r := s[i*cols:][:cols], ref[i*cols:][:cols]
			beta[i] = rowFactor(u, r, gamma)
			b := beta[i]
			for c := range channels {
				var p, q float32
				n := 0
				for j := c * inner; j < (c+1)*inner; j++ {
					if v := u[j]; v != 0 {
						w := b * r[j]
						p += v * w
						q += w * w
						n++
					}
				}
				xy[c] += float64(p)
				xx[c] += float64(q)
				alive[c] += n
			}
		}
		for c := range channels {
			g := float32(1)
			if alive[c] >= enough && xx[c] > 0 {
				g = float32(xy[c] / xx[c])
			}
			for j := c * inner; j < (c+1)*inner; j++ {
				gamma[j] = g
			}
		}
	}
	for i := range rows {
		u, r, o := s[i*cols:][:cols], ref[i*cols:][:cols], out[i*cols:][:cols]
		b := rowFactor(u, r, gamma)
		for j, v := range u {
			d := v - float32(b*gamma[j]*r[j])
			if v == 0 {
				d = 0
			}
			o[j] = d
		}
	}
}

// enough numbers are there for a factor of their own.
const enough = 12

// rowFactor returns the β that leaves least of u - β·γ·r, where u was not pruned.
func rowFactor(u, r, gamma []float32) float32 {
	var xy, xx float64
	n := 0
	for start := 0; start < len(u); start += 512 { // sums of float32 stay exact enough
		end := min(start+512, len(u))
		a, b, c := u[start:end], r[start:end], gamma[start:end]
		var p, q float32
		for j, v := range a {
			if v != 0 {
				w := c[j] * b[j]
				p += v * w
				q += w * w
				n++
			}
		}
		xy += float64(p)
		xx += float64(q)
	}
	if n < enough || xx == 0 {
		return 1
	}
	return float32(xy / xx)
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
