package align

import "math"

// scales returns for each factor of the group, and each matched pair, what the
// suspect's neuron was multiplied by: the signs that the evidence prefers, and
// the magnitudes that fit all views in the least-squares sense.
//
// In each view a pair has the ratio r = <x,y>/<x,x>, whose logarithm is the sum of
// the factors' logarithms times their powers, with a variance of about
// (1-c²)/(d·c²) for d numbers with cosine c. Reference rows are pruned or
// quantized as the suspect's are, so that what is missing does not look like a
// smaller factor.
func (e *evidence) scales(g *Group, of []int) [][]float64 {
	out := make([][]float64, len(g.Factors))
	for f := range out {
		out[f] = make([]float64, e.n)
		for i := range out[f] {
			out[f][i] = 1
		}
	}
	if len(out) == 0 {
		return out
	}
	imitated := map[string]bool{}
	rho := map[string]float64{}
	for _, v := range e.views {
		imitated[v.Name] = v.Imitated
		rho[v.Name] = v.Correlation
	}
	for i, j := range of {
		if j < 0 {
			continue
		}
		e.magnitudes(g, i, j, imitated, rho, out)
		flips := e.signs(i*e.m + j)
		bit := 0
		for f, gauge := range g.Factors {
			if !gauge.flips() {
				continue
			}
			if flips>>bit&1 == 1 {
				out[f][i] = -out[f][i]
			}
			bit++
		}
	}
	return out
}

// intactSketch is the cosine of sketches from which on rows are taken to be the same
// but for a factor: what 8 bits round is less.
const intactSketch = 0.9995

// hiddenNoise is what may be in such rows, as a share of their squares: types of 16 bits
// and 8-bit grids leave less.
const hiddenNoise = 2.5e-5

// magnitudes finds the factors of one pair.
func (e *evidence) magnitudes(g *Group, i, j int, imitated map[string]bool, rho map[string]float64, out [][]float64) {
	var ratios []ratio
	for k := range g.Views {
		v := &g.Views[k]
		ref := v.Ref
		if imitated[v.Name] {
			ref = v.imitated
		}
		var xx, yy, xy float64
		for c, x := range ref[i*v.Dim:][:v.Dim] {
			y := float64(v.Sus[j*v.Dim+c])
			xx += float64(x) * float64(x)
			yy += y * y
			xy += float64(x) * y
		}
		if v.Dim > 1 && rho[v.Name] == 0 {
			continue // said nothing about who is who
		}
		intact := v.refLength != nil && math.Abs(xy) > intactSketch*math.Sqrt(xx*yy)
		if intact { // lengths are exact, sketches rounded
			a, b := float64(v.refLength[i]), float64(v.susLength[j])
			xx, yy, xy = a*a, b*b, a*b*math.Sqrt(1-hiddenNoise)
		}
		if r, ok := newRatio(v.Acts, v.Dim, xx, xy, yy); ok {
			if intact {
				r.log = math.Log(float64(v.susLength[j]) / float64(v.refLength[i]))
			} else if v.pruned { // what is left is as it was, what is gone is no smaller factor
				r.log -= math.Log(min(1, xy*xy/(xx*yy)))
			}
			ratios = append(ratios, r)
		}
	}
	logs, errs := solve(g.Factors, ratios)
	for f := range logs {
		if !g.Factors[f].scales() {
			continue
		}
		out[f][i] = math.Exp(logs[f])
		if e.errs != nil { // who asks for errors settles
			e.errs[f][i] = errs[f]
		} else {
			out[f][i] = settled(out[f][i], errs[f])
		}
	}
}

// A ratio is what the rows of a pair at one place say about its factors.
type ratio struct {
	acts      []Act
	log, prec float64
}

// newRatio makes it of the sums of squares and products of dim numbers; false if
// they say nothing.
func newRatio(acts []Act, dim int, xx, xy, yy float64) (ratio, bool) {
	if xx == 0 || yy == 0 || xy == 0 {
		return ratio{}, false
	}
	c2 := min(xy*xy/(xx*yy), 1-1e-12)
	prec := float64(dim) * c2 / (1 - c2)
	if dim == 1 {
		prec = 0.1 // a single number is its own fit: it decides only where nothing else does
	}
	return ratio{acts, math.Log(math.Abs(xy) / xx), prec}, true
}

// solve returns the logarithms of the factors that fit the ratios, by going round
// the factors, and their standard errors; 0 for those that don't scale.
func solve(factors []Gauge, ratios []ratio) (logs, errs []float64) {
	logs, errs = make([]float64, len(factors)), make([]float64, len(factors))
	scaling := 0
	for range 8 {
		scaling = 0
		change := 0.0
		for f, gauge := range factors {
			if !gauge.scales() {
				continue
			}
			var num, den float64
			for _, r := range ratios {
				p := float64(powerOf(r.acts, f))
				if p == 0 {
					continue
				}
				num += r.prec * p * (r.rest(logs) + p*logs[f])
				den += r.prec * p * p
			}
			if den > 0 {
				change = max(change, math.Abs(num/den-logs[f]))
				logs[f] = num / den
				errs[f] = 1 / math.Sqrt(den)
				scaling++
			}
		}
		if scaling == 1 || change < 1e-12 {
			break // one factor has nothing to wait for
		}
	}
	// Places that contradict each other more than their errors allow, as after
	// training with weight decay, make all errors larger.
	misfit, count := 0.0, 0
	for _, r := range ratios {
		if len(r.acts) == 0 {
			continue
		}
		x := r.rest(logs)
		misfit += r.prec * x * x
		count++
	}
	if count > scaling {
		if q := misfit / float64(count-scaling); q > 1 {
			for f := range errs {
				errs[f] *= math.Sqrt(q)
			}
		}
	}
	return logs, errs
}

// rest is what the factors leave of the ratio.
func (r *ratio) rest(logs []float64) float64 {
	x := r.log
	for _, a := range r.acts {
		x -= float64(a.Power) * logs[a.Factor]
	}
	return x
}

// Rounding bounds the logarithm of what float32 makes of a factor that is known exactly.
const Rounding = 2e-6

// settled returns 1 for a factor that cannot be told from it, and a power of two for
// one that is it but for rounding, so that what was not rescaled, or exactly, comes
// back bit for bit. err is the standard error of its logarithm.
func settled(x, err float64) float64 {
	l := math.Log(math.Abs(x))
	if math.Abs(l) < max(Rounding, 4.5*err) {
		return math.Copysign(1, x)
	}
	if e := math.Round(l / math.Ln2); math.Abs(l-e*math.Ln2) < Rounding {
		return math.Copysign(math.Ldexp(1, int(e)), x)
	}
	return x
}
