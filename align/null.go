package align

import (
	"math"
	"slices"
	"sync"
)

// spread maps a cosine c to sign(c)·√(-log(1-c²)). The cosines of strangers with d
// independent weights have the density (1-c²)^((d-3)/2): after the map they are
// nearly Gaussian with variance 1/d, out to the tail, where plain cosines are not
// (they end at 1).
func spread(c float64) float64 {
	y := math.Sqrt(-math.Log1p(-min(c*c, 1-1e-6)))
	return math.Copysign(y, c)
}

// sumSpread returns the sum of the squares of what spread makes of the row, with
// one logarithm for many numbers: that of their product.
func sumSpread(row []float32) float64 {
	sum := 0.0
	for len(row) > 0 {
		k := min(len(row), 16) // each factor is at least 1e-6
		product := 1.0
		for _, x := range row[:k] {
			c := float64(x)
			product *= 1 - min(c*c, 1-1e-6)
		}
		sum -= math.Log(product)
		row = row[k:]
	}
	return sum
}

// unspread is the inverse of spread, for y >= 0.
func unspread(y float64) float64 { return math.Sqrt(-math.Expm1(-y * y)) }

// tops is how many of the best candidates of each row are looked at.
const tops = 6

// extremes are the best candidates of each row of a matrix of similarities.
type extremes struct {
	m    int             // candidates of each row
	two  bool            // similarities count by their magnitude
	top  [][tops]float64 // descending; -Inf where there are fewer
	rest float64         // mean square of all but the best
}

// observe looks at similarities s (n, m), two-sided if two. Cosines are mapped by
// spread, which is what it makes of them that it looks at.
func observe(s []float32, n, m int, two, cosines bool) extremes {
	e := extremes{m: m, two: two, top: make([][tops]float64, n)}
	step := 1 + n*m/(1<<21) // rows that are squared: enough for one number
	var sum float64
	count := 0
	for i := range n {
		t := &e.top[i]
		for k := range t {
			t[k] = math.Inf(-1)
		}
		row := s[i*m:][:m]
		for _, x := range row {
			y := float64(x)
			if two {
				y = math.Abs(y)
			}
			if y <= t[tops-1] {
				continue
			}
			k := tops - 1
			for ; k > 0 && t[k-1] < y; k-- {
				t[k] = t[k-1]
			}
			t[k] = y
		}
		for k := range t {
			if cosines && !math.IsInf(t[k], -1) {
				t[k] = spread(t[k])
			}
		}
		if i%step == 0 && m > 1 {
			if cosines {
				sum += sumSpread(row)
			} else {
				for _, x := range row {
					sum += float64(x) * float64(x)
				}
			}
			sum -= t[0] * t[0]
			count += m - 1
		}
	}
	if count > 0 {
		e.rest = max(0, sum) / float64(count)
	}
	return e
}

// A fit is what the best similarities of all rows tell about one view: how wide
// those of strangers scatter, and how far above them those of pairs are.
type fit struct {
	sd    float64 // standard deviation for strangers
	mu    float64 // mean for pairs, in units of sd; 0 if none were seen
	share float64 // of the rows that seem to have a partner at all
	logLR float64 // log-likelihood ratio against no pairs, >= 0: the smaller of two tests
	gap   float64 // by how many sd the best beats the second best, summed over rows
}

// minLogLR is how much likelier than "no relation" a relation must be before a
// view counts. Groups of few neurons show little of their null, and need more.
func minLogLR(m int) float64 { return 6 + 48/float64(m) }

// fitNull fits the model. least bounds the deviation of strangers from below.
//
// The deviation is taken from the second best: it is the far tail that decides
// about matches, and a pair spoils only the first place. A second test does
// without the Gaussian: whatever the tail, the gap between the two best of many
// strangers is distributed as the gaps behind it, up to known factors (Rényi's
// representation); pairs make it longer.
func fitNull(e extremes, least float64) fit {
	m := e.m
	chances := m
	if e.two {
		chances *= 2
	}
	second := make([]float64, len(e.top))
	for i, t := range e.top {
		second[i] = t[1]
	}
	f := fit{sd: least}
	if m < 2 {
		return f
	}
	f.sd = max(f.sd, math.Sqrt(e.rest*float64(m-1)/max(0.3, float64(m)-maxSquare(chances))))
	if m >= 16 {
		f.sd = max(f.sd, median(second)/secondMedian(chances))
	}
	z := make([]maximum, 0, 1024)
	top := 0.0
	step := 1 + len(e.top)/512 // rows enough for two parameters
	for i, t := range e.top {
		f.gap += (t[0] - t[1]) / f.sd
		if i%step == 0 {
			x := t[0] / f.sd
			z = append(z, maximum{x, x*x/2 + math.Log(max(gaussCDF(x), 1e-300))})
			top = max(top, x)
		}
	}
	shares := [...]float64{0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97}
	ratio := make([]float64, len(z))
	for mu := 0.7; mu <= top*1.05; mu *= 1.08 {
		s := math.Sqrt(1 + 0.04*mu*mu) // rows differ in how loud they are
		beyond := 0.0                  // what goes over the end of exp, where any share is as good
		for i, x := range z {
			l := x.logPairRatio(mu, s, chances)
			const end = 50
			beyond += max(0, l-end)
			ratio[i] = math.Exp(min(l, end))
		}
		for _, q := range shares {
			if sum := beyond + sumLogMix(q, ratio); sum > f.logLR {
				f.logLR, f.mu, f.share = sum, mu, q
			}
		}
	}
	if m >= 8 {
		f.logLR = min(f.logLR, gapLogLR(e))
	}
	if f.logLR < minLogLR(m) {
		f.mu, f.share = 0, 0
	}
	return f
}

// gapLogLR is the log-likelihood ratio of the gaps between the best and the
// second best being longer than the gaps behind them say, against equally long,
// for exponential gaps.
func gapLogLR(e extremes) float64 {
	var first, behind float64
	n := 0
	for _, t := range e.top {
		if last := t[tops-1]; t[1] > last && !math.IsInf(last, -1) {
			first += t[0] - t[1]
			behind += (t[1] - last) / (1./2 + 1./3 + 1./4 + 1./5)
			n++
		}
	}
	if n == 0 || first <= behind {
		return 0
	}
	g := first / behind
	return float64(n) * (g - 1 - math.Log(g))
}

// A maximum is the best x of some cosines, with log(Φ(x)/φ(x)) but for a constant.
type maximum struct{ x, tail float64 }

// logPairRatio is the log ratio of the densities at x of the best of m cosines
// with and without a pair among them that has mean mu and deviation s:
// [ φ((x-μ)/s)/s · Φ(x)/φ(x) + (m-1) Φ((x-μ)/s) ] / m.
func (x maximum) logPairRatio(mu, s float64, m int) float64 {
	u := (x.x - mu) / s
	a := x.tail - u*u/2 - math.Log(s)
	b := math.Log(float64(m-1)) + math.Log(max(gaussCDF(u), 1e-300))
	hi, lo := max(a, b), min(a, b)
	return hi + math.Log1p(math.Exp(lo-hi)) - math.Log(float64(m))
}

// sumLogMix is the sum of log(1 - q + q·r) over ratios r up to e^50, with one
// logarithm for eight of them. 0 < q < 1.
func sumLogMix(q float64, ratio []float64) float64 {
	sum := 0.0
	for len(ratio) > 0 {
		k := min(len(ratio), 8) // each factor is between 1 - q and e^50
		product := 1.0
		for _, r := range ratio[:k] {
			product *= 1 - q + q*r
		}
		sum += math.Log(product)
		ratio = ratio[k:]
	}
	return sum
}

// maxSquare is the mean square of the largest of m standard normal numbers.
func maxSquare(m int) float64 { return remembered(&maxSquares, m, integrateMaxSquare) }

// What maxSquare and secondMedian have found, by m: networks have few sizes of groups,
// each of which is looked at often.
var maxSquares, secondMedians sync.Map

func remembered(memo *sync.Map, m int, f func(m int) float64) float64 {
	if x, ok := memo.Load(m); ok {
		return x.(float64)
	}
	x := f(m)
	memo.Store(m, x)
	return x
}

func integrateMaxSquare(m int) float64 {
	const steps, from, to = 800, -8.0, 8.0
	const h = (to - from) / steps
	sum := 0.0
	for k := range steps { // midpoints: the integrand vanishes at both ends
		x := from + h*(float64(k)+0.5)
		sum += x * x * float64(m) * gaussPDF(x) * math.Exp(float64(m-1)*math.Log(gaussCDF(x)))
	}
	return sum * h
}

// secondMedian is the median of the second largest of m standard normal numbers:
// where Φ^m + m·Φ^(m-1)·(1-Φ) = 1/2. m >= 2.
func secondMedian(m int) float64 { return remembered(&secondMedians, m, bisectSecondMedian) }

func bisectSecondMedian(m int) float64 {
	lo, hi := -8.0, 8.0
	for range 60 {
		x := (lo + hi) / 2
		p := gaussCDF(x)
		if math.Exp(float64(m-1)*math.Log(p))*(p+float64(m)*(1-p)) < 0.5 {
			lo = x
		} else {
			hi = x
		}
	}
	return (lo + hi) / 2
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	s := slices.Clone(x)
	slices.Sort(s)
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
