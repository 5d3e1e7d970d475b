package lineage

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"ropewalk/quant"
)

const (
	// maxPoints is how many weights of a tensor models are fitted to.
	maxPoints = 1 << 16
	// maxLikely is how many of them likelihoods are summed over: the strength of noise is
	// known to a hundredth then.
	maxLikely = 4096
	// modelGain is by how many nats a model with damage that noise came after has to be
	// likelier than noise alone.
	modelGain = 15
)

// A point is one weight: of the reference, and of the suspect.
type point struct {
	x, y float64
	row  int32 // index of axis 0
}

// A drift is a difference that is no damage of values one by one: y = slope·x + noise.
type drift struct {
	slope, slopeError float64
	// strength is the deviation of the noise over that of what it was added to.
	strength, strengthError float64
	kurtosis                float64 // of the noise; 3 for a Gaussian, 0 if it is not seen
	points                  int
}

// A cut is a pruning, as it shows in one tensor.
type cut struct {
	share float64 // of all weights
	// The same of all in the suspect's file, with neurons that were added; and, by the threshold, of
	// all in the reference's, with neurons that are gone or are not looked at. 0 is not known.
	filed, whole float64
	exact        bool // it was counted, not fitted
	// The threshold, as a magnitude of the reference's weights, lies between low and high;
	// with noise in between, only high is known, of the suspect's weights. 0 is not known.
	low, high float64
	// Of levels that were pruned, the threshold as a magnitude of levels lies between these; 0 is not
	// known.
	under, over float64
	fuzzy       bool // what is zero is not just what is smallest
	fitted      bool // it is seen through noise
	rows        bool // what is zero are whole neurons
}

// An order says which of two damages came first, as far as it shows.
type order int8

const (
	anyOrder order = iota
	before
	after
)

// A trace is what is seen of damage in one tensor.
type trace struct {
	grid  *grid
	cut   *cut
	drift *drift
	moved bool // most weights that are left are not as they were
	// The order of pruning and quantization, noise and quantization, noise and pruning.
	pruneQuantize, noiseQuantize, noisePrune order
	// Gains are, in nats, how much likelier pruning (with hidden as the cut), or rounding to
	// a grid, before the noise makes what is seen.
	hidden     *cut
	hiddenGain float64
	gridGains  [gridKinds][maxHiddenBits + 1]float64 // by kind and bits
	// After these, the drift would be.
	hiddenDrift *drift
	gridDrifts  [gridKinds][maxHiddenBits + 1]*drift
}

// maxHiddenBits is the finest grid that is looked for under noise, and maxHiddenLloyd the
// finest whose levels are not even.
const (
	maxHiddenBits  = 8
	maxHiddenLloyd = 6
)

// The kinds of grids that are looked for under noise.
const (
	tensorGrid   = iota // even, from the least to the largest value of the tensor
	channelGrid         // the same for each channel
	lloydGrid           // of least squared error
	gaussianGrid        // of least squared error for a Gaussian
	gridKinds
)

// moments of a difference, for slopes and strengths.
type moments struct{ n, x, xx, y, yy, xy float64 }

func (m *moments) add(x, y float64) {
	m.n++
	m.x += x
	m.y += y
	m.xx += float64(x * x)
	m.yy += float64(y * y)
	m.xy += float64(x * y)
}

// deviation is that of x, divided by n; or the root of its mean square if all x are equal.
func (m *moments) deviation() float64 {
	if m.n == 0 {
		return 0
	}
	mean := m.x / m.n
	v := m.xx/m.n - float64(mean*mean)
	if v <= 1e-12*m.xx/m.n {
		v = m.xx / m.n
	}
	return math.Sqrt(max(0, v))
}

// slope is that of the best fit of y by multiples of x.
func (m *moments) slope() float64 {
	if m.xx == 0 {
		return 1
	}
	return m.xy / m.xx
}

// rest is the sum of squares of what the best fit leaves.
func (m *moments) rest() float64 {
	if m.xx == 0 {
		return m.yy
	}
	return max(0, m.yy-float64(m.xy*m.xy)/m.xx)
}

// drift is what the moments say, without kurtosis.
func (m *moments) drift() *drift {
	s := math.Sqrt(m.rest() / m.n)
	d := &drift{slope: m.slope(), points: int(m.n)}
	if m.xx > 0 {
		d.slopeError = s / math.Sqrt(m.xx)
		d.strength = s / m.deviation()
		d.strengthError = d.strength / math.Sqrt(2*m.n)
	}
	return d
}

// plainDrift is the drift of points that nothing else was done to.
func plainDrift(p []point) *drift {
	var m moments
	for _, q := range p {
		m.add(q.x, q.y)
	}
	if m.n == 0 || m.xx == 0 {
		return nil
	}
	d := m.drift()
	sum2, sum4 := 0.0, 0.0
	for _, q := range p {
		r := q.y - float64(d.slope*q.x)
		sum2 += float64(r * r)
		sum4 += float64(float64(r*r) * float64(r*r))
	}
	if sum2 > 0 {
		d.kurtosis = sum4 / sum2 * m.n / sum2
	}
	return d
}

// gain is how much likelier, in nats, Gaussian noise with the sum of squares after is
// than with the sum before, of n numbers.
func gain(before, after, n float64) float64 {
	if !(before > 0) {
		return 0
	}
	return n / 2 * math.Log(before/max(after, before*1e-12))
}

// byMagnitude sorts points by that of x.
func byMagnitude(p []point) []point {
	q := slices.Clone(p)
	slices.SortStableFunc(q, func(a, b point) int { return cmp.Compare(math.Abs(a.x), math.Abs(b.x)) })
	return q
}

// hiddenCut looks for pruning that noise, or training, came after: below some magnitude
// of x, y does not depend on it.
func hiddenCut(sorted []point) (*cut, float64, *drift) {
	n := len(sorted)
	if n < 64 {
		return nil, 0, nil
	}
	var all, kept, best moments
	for _, q := range sorted {
		all.add(q.x, q.y)
	}
	rest, at := all.rest(), 0
	kept = all
	least := rest
	gone := 0.0
	for k, q := range sorted {
		kept.n--
		kept.x -= q.x
		kept.y -= q.y
		kept.xx -= float64(q.x * q.x)
		kept.yy -= float64(q.y * q.y)
		kept.xy -= float64(q.x * q.y)
		gone += float64(q.y * q.y)
		if k+1 < n && math.Abs(sorted[k+1].x) > math.Abs(q.x) && n-k > 8 {
			if r := gone + kept.rest(); r < least {
				least, at, best = r, k+1, kept
			}
		}
	}
	if at < 8 {
		return nil, 0, nil
	}
	var m moments // of what it was after pruning
	for k, q := range sorted {
		if k < at {
			q.x = 0
		}
		m.add(q.x, q.y)
	}
	d := m.drift()
	d.slope = best.slope()
	c := &cut{fitted: true, share: float64(at) / float64(n), low: math.Abs(sorted[at-1].x), high: math.Abs(sorted[at].x)}
	return c, gain(rest, least, float64(n)), d
}

// hiddenGrid looks for rounding that noise came after: the difference follows the
// rounding error.
func hiddenGrid(p []point, rest float64, round func(p point) float64) (float64, *drift) {
	var m moments
	for _, q := range p {
		m.add(round(q), q.y)
	}
	return gain(rest, m.rest(), m.n), m.drift()
}

// even rounds to 2^bits levels from the least to the largest value that span returns.
func even(bits int, span func(row int32) (float64, float64)) func(p point) float64 {
	steps := math.Ldexp(1, bits) - 1
	return func(p point) float64 {
		low, high := span(p.row)
		if !(high > low) {
			return p.x
		}
		return low + float64(math.RoundToEven(float64((p.x-low)/(high-low)*steps))/steps*(high-low))
	}
}

// uneven rounds to the levels of a method of package quant, which are fitted to points.
// It is nil if there are none.
func uneven(p []point, bits int, method quant.Method) func(p point) float64 {
	x := make([]float32, len(p))
	for i, q := range p {
		if x[i] = float32(q.x); !finite(float64(x[i])) {
			return nil
		}
	}
	q, err := quant.Quantize("", []int64{int64(len(x))}, x, nil, &quant.Options{Method: method, Levels: 1 << bits})
	if err != nil { // too few different values for that many levels
		return nil
	}
	levels := make([]float64, len(q.Levels))
	for i, l := range q.Levels {
		levels[i] = float64(l)
	}
	if q.Scales != nil || len(levels) == 0 {
		return nil
	}
	return func(p point) float64 { return levels[nearestLevel(levels, p.x)] }
}

// A censored is a weight of which only an interval is known, before it was damaged.
type censored struct{ x, low, high float64 } // low = high is exact

// likelyDrift fits y = slope·x + noise to intervals, by maximum likelihood.
func likelyDrift(p []censored, sigma float64) *drift {
	if len(p) > maxLikely {
		q := make([]censored, maxLikely)
		for i := range q {
			q[i] = p[i*len(p)/maxLikely]
		}
		p = q
	}
	if len(p) == 0 || !(sigma > 0) {
		return nil
	}
	minus := func(slope, s float64) float64 {
		sum := 0.0
		for _, c := range p {
			if c.low == c.high {
				z := (c.low - float64(slope*c.x)) / s
				sum += float64(z*z)/2 + math.Log(s)
				continue
			}
			sum -= logBetween((c.low-float64(slope*c.x))/s, (c.high-float64(slope*c.x))/s)
		}
		return sum
	}
	slope, s := 1.0, 0.0
	for range 3 {
		s = sigma * math.Exp(lowest(math.Log(1e-4), math.Log(30), 1e-3, func(l float64) float64 { return minus(slope, sigma*math.Exp(l)) }))
		slope = lowest(0, 1.5, 1e-4, func(a float64) float64 { return minus(a, s) })
	}
	d := &drift{slope: slope, strength: s / sigma, points: len(p)}
	xx := 0.0
	for _, c := range p {
		xx += float64(c.x * c.x)
	}
	// Intervals tell less than values; how much less, the curvature says.
	curve := func(f func(h float64) float64, h float64) float64 {
		c := (f(h) + f(-h) - 2*f(0)) / (h * h)
		if !(c > 0) {
			return math.Inf(1)
		}
		return 1 / math.Sqrt(c)
	}
	d.strengthError = d.strength * min(1, curve(func(h float64) float64 { return minus(slope, s*math.Exp(h)) }, 0.05))
	d.slopeError = min(1, curve(func(h float64) float64 { return minus(slope+h, s) }, 0.02))
	return d
}

// logBetween returns the logarithm of the probability that a normal number is between a and b.
func logBetween(a, b float64) float64 {
	if a > 0 {
		a, b = -b, -a
	}
	// Now a <= 0, and the tail below b, or a, is where precision is.
	p := 0.5*math.Erfc(-b/math.Sqrt2) - 0.5*math.Erfc(-a/math.Sqrt2)
	if p > 1e-290 {
		return math.Log(p)
	}
	return -300 - max(0, float64(b*b)/2-600)
}

// lowest returns where f is least between a and b, by golden section to a tolerance.
func lowest(a, b, tolerance float64, f func(float64) float64) float64 {
	const g = 0.6180339887498949
	c, d := b-g*(b-a), a+g*(b-a)
	fc, fd := f(c), f(d)
	for b-a > tolerance {
		if fc <= fd {
			b, d, fd = d, c, fc
			c = b - g*(b-a)
			fc = f(c)
		} else {
			a, c, fc = c, d, fd
			d = a + g*(b-a)
			fd = f(d)
		}
	}
	return (a + b) / 2
}

// nearestLevel returns the index of the level nearest to x; levels ascend and are not none.
func nearestLevel(levels []float64, x float64) int {
	i := sort.SearchFloat64s(levels, x)
	if i == len(levels) || i > 0 && x-levels[i-1] <= levels[i]-x {
		i--
	}
	return i
}

// cell returns between which values the nearest of the levels is levels[i].
func cell(levels []float64, i int) (low, high float64) {
	low, high = math.Inf(-1), math.Inf(1)
	if i > 0 {
		low = (levels[i-1] + levels[i]) / 2
	}
	if i+1 < len(levels) {
		high = (levels[i] + levels[i+1]) / 2
	}
	return low, high
}
