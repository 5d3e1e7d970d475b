package align

import (
	"maps"
	"math"
	"slices"

	"ropewalk/internal/kernel"
)

// ViewEvidence tells what one view contributed.
type ViewEvidence struct {
	Name        string  `json:"name"`
	Role        string  `json:"role"`
	Dim         int     `json:"dim"`         // numbers per neuron
	Effective   float64 `json:"effective"`   // independent numbers that strangers' cosines show
	Correlation float64 `json:"correlation"` // of pairs; 0: the view said nothing and was left out
	Share       float64 `json:"share"`       // of neurons that seem to have a partner
	LogRatio    float64 `json:"log_ratio"`   // how much likelier a relation is than none, natural log
	Imitated    bool    `json:"imitated"`    // compared with the reference pruned or quantized alike
}

// evidence is the log-likelihood ratio of "reference neuron i is suspect neuron j"
// against "strangers", for all i and j, as a sum over views. Views whose sign can
// flip are kept apart by their parity, until the best signs are taken.
type evidence struct {
	n, m    int
	plain   []float32    // of views whose sign cannot flip, and all that has none
	signed  []signedPart // of the others, by parity
	plan    *signPlan    // of signed, once it is wanted
	hint    []float32    // for matching only, see together; or nil
	views   []ViewEvidence
	scalars []scalar // evidence of single numbers, weighed once there is a matching
	points  bool     // whether all single numbers of a neuron together show who it is
	pool    *kernel.Pool
	errs    [][]float64 // if it is wanted: standard errors of factors, by factor and neuron
	made    []float32   // of incoming views alone, if the suspect has more neurons
	uneven  bool        // the sides are of unequal numbers
	lenient bool        // other classes make it likely that all neurons of the smaller side have partners
	void    []voids     // by view, of sides of unequal numbers
	empty   []bool      // suspects that are void in all views; of sides of unequal numbers
}

// maxRho bounds the correlation that weights are made of. The weight ρ/(1-ρ²) of
// a view would grow without bound, and one damaged tensor beat all others.
const maxRho = 0.95

// A weak view is one that shows nothing alone.
type weak struct {
	cosines []float32
	fit     fit
	report  int // its place in evidence.views
}

// gather computes the evidence of all views with more than one number.
func gather(g *Group, pool *kernel.Pool) *evidence {
	ref, sus := g.balanced()
	e := &evidence{n: g.Ref, m: g.Sus, pool: pool, uneven: g.Ref != g.Sus}
	e.plain = make([]float32, g.Ref*g.Sus)
	if g.Sus > g.Ref {
		e.made = make([]float32, g.Ref*g.Sus)
	}
	e.scalars = newScalars(g, ref, sus)
	norms := 0
	weaks := map[uint64][]weak{}
	for k := range g.Views {
		v := &g.Views[k]
		p := parity(g.Factors, v.Acts)
		if v.Dim == 1 {
			continue // see newScalars
		}
		c, f, imitated := e.compare(v, p != 0, pool)
		e.views = append(e.views, ViewEvidence{
			Name: v.Name, Role: v.Role.String(), Dim: v.Dim, Effective: 1 / (f.sd * f.sd),
			Share: f.share, LogRatio: f.logLR, Imitated: imitated,
		})
		if e.uneven {
			e.note(v)
		}
		if f.mu == 0 {
			weaks[p] = append(weaks[p], weak{c, f, len(e.views) - 1})
		} else {
			e.add(c, f, p, len(e.views)-1)
		}
		// Lengths are evidence as well, but as many of them as there are free scales
		// say nothing.
		if norms++; norms > len(g.Factors) {
			e.scalars = append(e.scalars, newScalar(v.Name+" length", v.Role, lengths(ref[k], v.Dim), lengths(sus[k], v.Dim), false))
		}
	}
	for _, p := range slices.Sorted(maps.Keys(weaks)) {
		e.together(weaks[p], p)
	}
	e.addKeys(g)
	return e
}

// add adds the cosines of one view. Rows y of a pair are ρx + √(1-ρ²)·noise, those
// of strangers noise: the log ratio of their densities is linear in the cosine.
func (e *evidence) add(c []float32, f fit, par uint64, report int) {
	rho, d := min(unspread(f.mu*f.sd), maxRho), 1/(f.sd*f.sd)
	e.views[report].Correlation = rho
	weight := d * rho / (1 - rho*rho)
	// If all pairs had the same correlation, the ratio would be 1 at a cosine
	// between ρ/2 (for small ρ) and ρ. Rows differ; quiet ones must not be denied.
	offset := -0.6 * rho * weight
	if e.uneven {
		e.addUneven(c, e.void[report], rho, d, par, e.made != nil && e.views[report].Role == Incoming.String())
		return
	}
	if par == 0 {
		sum := e.plain
		for k, x := range c {
			l := weight*float64(x) + offset
			if l > 0 { // no model makes a cosine more than that likelier
				l = min(l, -d/2*math.Log1p(-min(float64(x*x), 1-1e-6)))
			}
			sum[k] += float32(leak(l))
		}
		return
	}
	sum := e.part(par, len(c))
	for k, x := range c {
		sum[k] += float32(weight * float64(x))
		e.plain[k] += float32(offset)
	}
}

// faint are the shares of the correlation of others that a pair may have whose weights are
// damaged more than those: as small ones are by what noise, a grid or a threshold does to a
// whole tensor.
var faint = [...]float64{1, 0.5, 0.25}

// addUneven is add for sides of unequal numbers. Where everybody gets a partner it is enough
// that a faint pair is likelier than others; here it has to be likelier than none.
// making says that it is evidence of what makes the neurons.
func (e *evidence) addUneven(c []float32, skip voids, rho, d float64, par uint64, making bool) {
	often := e.faintness(c, rho, d)
	var weight, offset [len(faint)]float64
	for k, share := range faint {
		r := share * rho
		weight[k] = d * r / (1 - r*r)
		offset[k] = -0.6*r*weight[k] + math.Log(often[k])
	}
	ratio := func(x float64) float64 {
		hi := math.Inf(-1)
		for k := range weight {
			hi = max(hi, weight[k]*x+offset[k])
		}
		sum := 0.0
		for k := range weight {
			sum += math.Exp(weight[k]*x + offset[k] - hi)
		}
		l := hi + math.Log(sum)
		if l > 0 {
			l = min(l, -d/2*math.Log1p(-min(x*x, 1-1e-6)))
		}
		return leak(l)
	}
	zero := ratio(0)
	var sum []float32
	if par != 0 {
		sum = e.part(par, len(c))
	}
	for i := range e.n {
		for j, x := range c[i*e.m:][:e.m] {
			if skip.ref[i] || skip.sus[j] {
				continue // nothing is there, which does not speak against a pair
			}
			k := i*e.m + j
			l := float32(ratio(float64(x)))
			if par != 0 { // the sign is taken that all views prefer, so what one says has to be odd
				l = float32(ratio(math.Abs(float64(x))))
				sum[k] += float32(math.Copysign(float64(l)-zero, float64(x)))
				e.plain[k] += float32(zero)
			} else {
				e.plain[k] += l
			}
			if making {
				e.made[k] += l
			}
		}
	}
}

// voids are the neurons of which a view has only zeros.
type voids struct{ ref, sus []bool }

// note keeps which neurons of a view are void.
func (e *evidence) note(v *View) {
	of := func(x []float32) []bool {
		out := make([]bool, len(x)/v.Dim)
		for i, l := range lengths(x, v.Dim) {
			out[i] = l == 0
		}
		return out
	}
	x := voids{of(v.Ref), of(v.Sus)}
	e.void = append(e.void, x)
	if e.empty == nil {
		e.empty = slices.Clone(x.sus)
		return
	}
	for j, y := range x.sus {
		e.empty[j] = e.empty[j] && y
	}
}

// faintness estimates how often pairs are that faint: from the best candidates that are none
// by chance.
func (e *evidence) faintness(c []float32, rho, d float64) (often [len(faint)]float64) {
	chance := (1 + math.Sqrt(2*math.Log(float64(len(c))))) / math.Sqrt(d)
	pairs, weak := 1.0, 0.02
	for i := range e.n {
		top := 0.0
		for _, x := range c[i*e.m:][:e.m] {
			top = max(top, math.Abs(float64(x)))
		}
		if top > chance {
			pairs++
			if top < 0.75*rho {
				weak++
			}
		}
	}
	q := weak / pairs
	often[1], often[2] = 0.75*q, 0.25*q
	often[0] = 1 - q
	return often
}

// likes returns for each neuron of the suspect the one of the reference that it is made like,
// as the parts of a split are all like the whole.
func (e *evidence) likes() []int {
	if e.made == nil {
		return nil
	}
	out := slices.Repeat([]int{-1}, e.m)
	for j := range out {
		best := math.Log(float64(e.n)) // as many strangers as there are, at even odds
		for i := range e.n {
			if l := float64(e.made[i*e.m+j]); l > best {
				best, out[j] = l, i
			}
		}
	}
	return out
}

// together looks at views together that show nothing alone: if pairs have the same
// correlation in all of them, the sum shows more than each. If that shows nothing
// either, it is no evidence, but still the best guess: a hint for the matching,
// which has to choose somebody, and nothing that anyone is certain of.
func (e *evidence) together(weaks []weak, par uint64) {
	if len(weaks) == 0 {
		return
	}
	var norm float64
	for _, w := range weaks {
		norm += 1 / (w.fit.sd * w.fit.sd)
	}
	sum := make([]float32, e.n*e.m)
	for _, w := range weaks {
		// √d·z/‖√d‖, where z = c·√d
		a := float32(1 / (w.fit.sd * w.fit.sd) / math.Sqrt(norm))
		for k, x := range w.cosines {
			sum[k] += a * x
		}
	}
	f := e.fitNull(sum, par != 0, false, 0.5)
	if f.mu > 0 && len(weaks) > 1 {
		for _, w := range weaks {
			one := w.fit
			one.mu = f.mu * f.sd / (math.Sqrt(norm) * one.sd)
			e.views[w.report].Share, e.views[w.report].LogRatio = f.share, f.logLR
			e.add(w.cosines, one, par, w.report)
		}
		return
	}
	if e.hint == nil {
		e.hint = make([]float32, e.n*e.m)
	}
	for k, x := range sum {
		if par != 0 {
			x = float32(math.Abs(float64(x)))
		}
		e.hint[k] += 0.3 * x
	}
}

// leak flattens what a single view can say against a pair: a neuron may have been
// overwritten in one tensor and still be itself in the others.
func leak(l float64) float64 {
	const floor, slope = -15, 0.1
	if l < floor {
		return floor + slope*(l-floor)
	}
	return l
}

// compare returns the cosines of all rows, centred, the fit to them, and whether
// they are those of the reference that imitates the suspect.
func (e *evidence) compare(v *View, folded bool, pool *kernel.Pool) (c []float32, f fit, imitated bool) {
	sus := unit(v.Sus, v.Dim)
	with := func(ref []float32) ([]float32, fit) {
		c := products(unit(ref, v.Dim), sus, v.Dim, pool)
		centre(c, e.n, e.m)
		return c, e.fitNull(c, folded, true, 0.5/math.Sqrt(float64(v.Dim)))
	}
	c, f = with(v.Ref)
	if v.imitated != nil {
		if c2, f2 := with(v.imitated); f2.gap > f.gap {
			return c2, f2, true
		}
	}
	return c, f, false
}

// fitNull fits the model to similarities (n, m), from the side that has more neurons: parts of a
// split neuron are each as similar to it, so that its second best partner is no stranger,
// while of each part it still is one.
func (e *evidence) fitNull(c []float32, two, cosines bool, least float64) fit {
	if e.m <= e.n {
		return fitNull(observe(c, e.n, e.m, two, cosines), least)
	}
	t := make([]float32, len(c))
	for i := range e.n {
		for j, x := range c[i*e.m:][:e.m] {
			t[j*e.n+i] = x
		}
	}
	return fitNull(observe(t, e.m, e.n, two, cosines), least)
}

// centre takes the means of rows and columns away from c (n, m): what all neurons
// have in common is no evidence. Small groups keep theirs: the pair itself
// would weigh too much in the mean. Where some neurons have no partner, the largest number is
// left out of the means, or those that have one would be less like all others.
func centre(c []float32, n, m int) {
	if n < 24 || m < 24 {
		return
	}
	cols := make([]float64, m)
	rows := make([]float64, n)
	rowTop, colTop := make([]float64, n), make([]float64, m)
	total := 0.0
	for i := range n {
		for j, x := range c[i*m:][:m] {
			y := float64(x)
			rows[i] += y
			cols[j] += y
			if n != m {
				if math.Abs(y) > math.Abs(rowTop[i]) {
					rowTop[i] = y
				}
				if math.Abs(y) > math.Abs(colTop[j]) {
					colTop[j] = y
				}
			}
		}
		total += rows[i]
	}
	wide, high := float64(m), float64(n)
	if n != m {
		total = 0
		for i := range rows {
			rows[i] -= rowTop[i]
			total += rows[i]
		}
		for j := range cols {
			cols[j] -= colTop[j]
		}
		wide--
		high--
	}
	total /= float64(n) * wide
	for i := range n {
		r := rows[i]/wide - total
		row := c[i*m:][:m]
		for j := range row {
			row[j] -= float32(r + cols[j]/high)
		}
	}
}

// lengths returns the length of each row of x.
func lengths(x []float32, dim int) []float32 {
	out := make([]float32, len(x)/dim)
	for i := range out {
		var sum float64
		for _, v := range x[i*dim:][:dim] {
			sum += float64(v) * float64(v)
		}
		out[i] = float32(math.Sqrt(sum))
	}
	return out
}
