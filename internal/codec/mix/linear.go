package mix

import "slices"

const (
	numFixed    = 16 // features of the transmitted predictor
	numFeatures = 32 // features of the adaptive one, 28 in use; the fixed ones come first
	smallKernel = 9  // kernels of at most that many taps: all taps before are features

	coefOne    = 1 << 7 // transmitted coefficients are in 1/128
	weightUnit = 1 << 16
	linearMax  = 1<<19 - 1 // adaptive weights: below 8
	unit       = 256       // a feature or value of the expected magnitude
	clipAt     = 6 * unit

	fitValues = 1 << 15 // predictors are fitted to that many values of a segment,
	fitSample = 1 << 14 // of which the encoder looks at about as many as that
)

// A linear predicts a value as a weighted sum of values around it, twice: with
// coefficients that the encoder chose and sent, and with weights that begin
// there and follow the data (normalised least mean squares). Values are
// relative to their expected magnitude, and clipped, so that a few large ones
// do not decide.
type linear struct {
	linearLanes // the features are set by the caller

	coefs [][numFixed]int32    // [class]
	w     [][numFeatures]int32 // [class]
	sums  []normal             // [class], while fitting
	class int
	power int32
	guess int32 // adaptive prediction, in units of the expected magnitude
	by    divisor

	fixed, adapted int64 // predictions, as values

	started bool
	price   int64 // of the coefficients, in bits/65536
	values  int   // of all segments
}

func newLinear(taps int) *linear {
	n := 1
	if taps <= tapClasses {
		n = taps
	}
	return &linear{coefs: make([][numFixed]int32, n), w: make([][numFeatures]int32, n)}
}

// start gives the adaptive weights the transmitted coefficients.
func (l *linear) start() {
	for c := range l.w {
		l.w[c] = [numFeatures]int32{}
		for i, v := range l.coefs[c] {
			l.w[c][i] = v * (weightUnit / coefOne)
		}
	}
	l.started = true
}

// predict sets fixed and adapted from the features. The expected magnitude is
// given with its logarithm.
func (l *linear) predict(class int, log int32, scale int64) {
	l.class = min(class, len(l.coefs)-1)
	l.by = newDivisor(log)
	var a, b int32
	if fast {
		a, b, l.power = predictLinearAVX2(&l.linearLanes, &l.coefs[l.class], &l.w[l.class], &l.by)
	} else {
		a, b, l.power = predictLinear(&l.linearLanes, &l.coefs[l.class], &l.w[l.class], &l.by)
	}
	l.guess = min(max(b>>12, -clipAt), clipAt)
	l.fixed = min(max(int64(a)*scale>>15, -valueMax), valueMax)
	l.adapted = min(max(int64(l.guess)*scale>>8, -valueMax), valueMax)
}

// learn moves the weights towards what would have predicted x.
func (l *linear) learn(x int32) {
	e := l.by.of(x) - l.guess
	g := e * (weightUnit * 2 / 100) / (unit + l.power/(10*unit))
	if g == 0 {
		return
	}
	if fast {
		learnLinearAVX2(&l.linearLanes, &l.w[l.class], g)
	} else {
		learnLinear(&l.linearLanes, &l.w[l.class], g)
	}
}

// gather adds a value to the normal equations, in the place of weight values.
func (l *linear) gather(x int32, weight uint64) {
	if l.sums == nil {
		l.sums = make([]normal, len(l.coefs))
	}
	l.sums[l.class].add(l.q[:numFixed], int64(l.by.of(x)), weight)
}

// choose solves the normal equations.
func (l *linear) choose() {
	for c := range l.sums {
		l.coefs[c] = l.sums[c].solve()
	}
	l.sums = nil
}

// A coefCoder codes the coefficients of predictors.
type coefCoder struct {
	coder  *coder
	zero   [numFixed]uint32
	length [8]uint32
	sign   uint32
}

func newCoefCoder(c *coder) coefCoder {
	k := coefCoder{coder: c, sign: counterHalf}
	for i := range k.zero {
		k.zero[i] = counterHalf
	}
	for i := range k.length {
		k.length[i] = counterHalf
	}
	return k
}

func (k *coefCoder) code(l *linear) {
	for class := range l.coefs {
		for i := range l.coefs[class] {
			l.coefs[class][i] = int32(k.number(&k.zero[i], int(l.coefs[class][i])))
		}
	}
}

// number codes a coefficient and returns it.
func (k *coefCoder) number(zero *uint32, v int) int {
	c := k.coder
	if c.single(zero, b2i(v != 0)) == 0 {
		return 0
	}
	neg := c.single(&k.sign, b2i(v < 0))
	n, m := 0, abs(v)
	for n < 7 && c.single(&k.length[n], b2i(m>>(n+1) != 0)) == 1 {
		n++
	}
	y := 1
	for b := n - 1; b >= 0; b-- {
		y = y<<1 | c.Bit(m>>b&1, 1<<15)
	}
	if neg == 1 {
		return -y
	}
	return y
}

// A normal is the normal equations of least squares. Only the encoder has
// them, so they may be floating point.
type normal struct {
	a  [numFixed][numFixed]float64 // lower half
	b  [numFixed]float64
	yy float64
	n  int
}

func (f *normal) add(q []int32, y int64, weight uint64) {
	var u [numFixed]float64
	for i := range u {
		u[i] = float64(q[i])
	}
	v, k := float64(y), float64(weight)
	for i, s := range u {
		if s == 0 {
			continue
		}
		s = float64(s * k)
		row := &f.a[i]
		for j := 0; j <= i; j++ {
			row[j] += float64(s * u[j])
		}
		f.b[i] += float64(s * v)
	}
	f.yy += float64(float64(v*v) * k)
	f.n += int(weight)
}

// worth is how many bits a coefficient must save to be sent.
const worth = 9

// solve returns the coefficients of the features that pay, in 1/128.
func (f *normal) solve() (out [numFixed]int32) {
	var use []int
	for i := range numFixed {
		if f.a[i][i] > 0 {
			use = append(use, i)
		}
	}
	for len(use) > 0 {
		w, inv, rest := f.least(use)
		v := max(rest/float64(f.n), 1)
		worst, least := -1, float64(worth)
		for i := range use {
			if bits := w[i] * w[i] / inv[i] / v * 0.72; bits < least {
				worst, least = i, bits
			}
		}
		if worst < 0 {
			for i, u := range use {
				out[u] = int32(min(max(w[i]*coefOne, -127), 127) + 1000.5)
				out[u] -= 1000
			}
			return out
		}
		use = slices.Delete(use, worst, worst+1)
	}
	return out
}

// least solves for the features in use by Gauss–Jordan elimination. inv is the
// diagonal of the inverse, rest what remains of the sum of squares.
func (f *normal) least(use []int) (w, inv []float64, rest float64) {
	n := len(use)
	a := make([][]float64, n) // matrix, identity, right side
	for i := range a {
		a[i] = make([]float64, 2*n+1)
		for j := range n {
			a[i][j] = f.a[max(use[i], use[j])][min(use[i], use[j])]
		}
		a[i][i] += unit * unit
		a[i][n+i] = 1
		a[i][2*n] = f.b[use[i]]
	}
	for i := range n {
		p := a[i][i]
		for j := range a[i] {
			a[i][j] /= p
		}
		for r := range n {
			if r == i {
				continue
			}
			q := a[r][i]
			for j := range a[r] {
				a[r][j] -= float64(q * a[i][j])
			}
		}
	}
	rest = f.yy
	for i := range n {
		w = append(w, a[i][2*n])
		inv = append(inv, a[i][n+i])
		rest -= float64(a[i][2*n] * f.b[use[i]])
	}
	return w, inv, rest
}
