package lanes

import "math"

// moments are sums of products over all kernels, in units of their scales, of
// the values x at one tap and y at the same tap of the column before.
type moments struct {
	n     float64              // kernels that have x
	back  [maxBack + 1]float64 // of x and the value so many taps before it
	cross [maxBack + 1]float64 // of y and those
	y     float64              // squares of y
}

// A system is that of the normal equations of one set of coefficients.
type system struct {
	a    [maxBack + 1][maxBack + 1]float64 // its lower half
	b    [maxBack + 1]float64
	y, n float64
}

// sampleLen is about how many values the coefficients are found from.
const sampleLen = 1 << 13

// measure fills in the moments of all taps, and returns from how many values.
func (s *scaler) measure(syms []uint16) (seen int) {
	g := s.g
	s.moments = resize(s.moments, g.taps)
	// Two kernels as they are, then in their order. A product of two values of
	// 24 bits is exact, so that no machine rounds a sum of them in another way.
	var x, y [maxTaps]float64
	for r := 0; r < g.rows; r += max(g.n/sampleLen, 1) {
		from, to, pos := g.span(r)
		seen += to - from
		col, tap := pos/g.taps, pos%g.taps
		clear(x[:tap])
		for i := from; i < to; col, tap = col+1, 0 {
			end := min(g.taps, tap+to-i)
			inv := s.rows[r] * s.cols[col]
			for t := tap; t < end; t++ {
				x[t] = float64(s.values[syms[i]] * inv)
				y[t] = 0
				if col > 0 && i-g.taps >= from {
					y[t] = float64(s.values[syms[i-g.taps]] * inv)
				}
				i++
			}
			for t := tap; t < end; t++ {
				m := &s.moments[t]
				xt, yt := x[t], y[t]
				m.n++
				m.y += yt * yt
				for k := range min(t, maxBack) + 1 {
					m.back[k] += xt * x[t-k]
					m.cross[k] += yt * x[t-k]
				}
			}
		}
	}
	return seen
}

// add adds the equations of tap t.
func (sy *system) add(all []moments, t int) {
	m := &all[t]
	n := min(t, maxBack)
	for j := range n {
		for k := range j + 1 {
			sy.a[j][k] += all[t-1-k].back[j-k]
		}
		sy.a[n][j] += m.cross[j+1]
		sy.b[j] += m.back[j+1]
	}
	sy.a[n][n] += m.y
	sy.b[n] += m.cross[0]
	sy.y += m.back[0]
	sy.n += m.n
}

// predict finds the coefficients: least squares, every value counted in units
// of its scale. It reports whether they pay.
func (s *scaler) predict(p *params, syms []uint16) bool {
	g := s.g
	seen := s.measure(syms)
	if seen == 0 {
		return false
	}
	bits, side, y, rest := 0.0, 0.0, 0.0, 0.0
	for t := range sets(g.taps) {
		n := features(t)
		var sy system
		sy.add(s.moments, t)
		if t == maxSets-1 {
			for later := maxSets; later < g.taps; later++ {
				sy.add(s.moments, later)
			}
		}
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
		bits += float64(sy.n * float64(octaves(sy.y/left)) / 131072)
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
