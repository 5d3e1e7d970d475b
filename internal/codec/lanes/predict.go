package lanes

import "math"

// A system is that of the normal equations of one set of coefficients.
type system struct {
	a    [maxBack + 1][maxBack + 1]float64
	b    [maxBack + 1]float64
	y, n float64
}

// sampleLen is about how many values the coefficients are found from.
const sampleLen = 1 << 13

// predict finds the coefficients: least squares, every value counted in units
// of its scale. It reports whether they pay.
func (s *scaler) predict(p *params) bool {
	g := s.g
	every := max(g.n/sampleLen, 1)
	systems := make([]system, sets(g.taps))
	var x [maxBack + 1]float32
	seen := 0
	for r := 0; r < g.rows; r += every {
		values, pos := s.row(r)
		seen += len(values)
		col, tap := pos/g.taps, pos%g.taps
		for i, v := range values {
			inv := s.rows[r] * s.cols[col]
			n := min(tap, maxBack)
			for k := range n {
				x[k] = 0
				if i > k {
					x[k] = values[i-1-k] * inv
				}
			}
			x[n] = 0
			if col > 0 && i >= g.taps {
				x[n] = values[i-g.taps] * inv
			}
			y := v * inv
			sy := &systems[min(tap, maxSets-1)]
			sy.y += float64(y * y)
			sy.n++
			for j := range n + 1 {
				xj := x[j]
				a := &sy.a[j]
				for k := range j + 1 {
					a[k] += float64(xj * x[k])
				}
				sy.b[j] += float64(xj * y)
			}
			if tap++; tap == g.taps {
				tap = 0
				col++
			}
		}
	}
	if seen == 0 {
		return false
	}
	bits, side, y, rest := 0.0, 0.0, 0.0, 0.0
	for t := range systems {
		n := features(t)
		sy := &systems[t]
		if sy.y == 0 {
			continue
		}
		a, b := sy.a, sy.b
		w := solve(&a, &b, n)
		told := 0.0
		for k := range n {
			c := min(max(math.Floor(float64(w[k]*coefUnit)+0.5), -maxCoef), maxCoef)
			p.coefs[t][k] = int16(c)
			told += float64(w[k] * sy.b[k])
			side += 2 + float64(1.5*math.Sqrt(math.Abs(c)))
		}
		left := max(sy.y-told, sy.y/4096)
		bits += float64(sy.n * float64(log2of(uint64(sy.y/left*65536))-16<<16) / 131072)
		y += sy.y
		rest += left
	}
	bits = float64(bits * (float64(g.n) / float64(seen) * s.yield))
	// A prediction takes time: half a hundredth of a bit is not worth it.
	if bits < side+float64(g.n)/200 {
		return false
	}
	s.bits += bits - side
	s.mean *= math.Sqrt(rest / y)
	p.means = min(max(int(float64(math.Sqrt(y/rest-1)*5)+1), 2), maxMeans)
	return true
}

// solve solves the symmetric system of which a has the lower half.
func solve(a *[maxBack + 1][maxBack + 1]float64, b *[maxBack + 1]float64, n int) [maxBack + 1]float64 {
	for i := range n {
		a[i][i] = float64(a[i][i]*1.0001) + 1e-3
		for j := range i {
			a[j][i] = a[i][j]
		}
	}
	for i := range n {
		for j := i + 1; j < n; j++ {
			f := a[j][i] / a[i][i]
			for k := i; k < n; k++ {
				a[j][k] -= float64(f * a[i][k])
			}
			b[j] -= float64(f * b[i])
		}
	}
	var x [maxBack + 1]float64
	for i := n - 1; i >= 0; i-- {
		v := b[i]
		for k := i + 1; k < n; k++ {
			v -= float64(a[i][k] * x[k])
		}
		x[i] = v / a[i][i]
	}
	return x
}
