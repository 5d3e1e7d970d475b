package align

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"ropewalk/internal/kernel"
)

// Sketches are what a passport keeps of a reference: of each neuron, at some of its
// places, a few sums of its numbers. They take the place of its weights in
// [MatchSketches].
type Sketches struct {
	Spec   *Spec
	Shapes map[string][]int // of the tensors that Spec names
	Places [][]PlaceSketch  // by class and place of Spec
	Seed   uint64           // of the signs, see SketchSigns
}

// A PlaceSketch is what is kept of the neurons of a class at one place: the signed
// count-sketch (Charikar and others 2002) of each row of Dim numbers. Number c of a row
// (counted over the axes before the neurons', the neuron's run, and the axes after, the
// last one densest) is added to sum c mod Numbers with sign c of [SketchSigns]. Single
// numbers (Dim is 1) are kept as they are.
type PlaceSketch struct {
	Dim     int       // numbers of a neuron
	Numbers int       // sums of a neuron, at most Dim; 0: nothing is kept
	Values  []float32 // (neurons), if Dim and Numbers are 1; else what follows
	Sums    []int8    // (neurons, Numbers), in units of the neuron's step
	Steps   []float32 // (neurons)
	Lengths []float32 // (neurons): Euclidean, of the rows of Dim numbers
}

// rows returns the sums as numbers (neurons, Numbers).
func (p *PlaceSketch) rows() []float32 {
	if p.Dim == 1 {
		return p.Values
	}
	out := make([]float32, len(p.Sums))
	for i, step := range p.Steps {
		row := out[i*p.Numbers:][:p.Numbers]
		for b, x := range p.Sums[i*p.Numbers:][:p.Numbers] {
			row[b] = float32(x) * step
		}
	}
	return out
}

// fits reports whether there is as much as n neurons need.
func (p *PlaceSketch) fits(n int) bool {
	switch {
	case p.Numbers == 0:
		return true
	case p.Dim == 1:
		return p.Numbers == 1 && len(p.Values) == n
	}
	return p.Numbers > 0 && p.Numbers <= p.Dim && len(p.Sums) == n*p.Numbers && len(p.Steps) == n && len(p.Lengths) == n
}

// SketchSigns returns the signs, 1 or -1, of the first n numbers of a row: sign c is
// -1 where bit c mod 64 of SplitMix64(seed + c/64) is set.
func SketchSigns(seed uint64, n int) []float32 {
	s := make([]float32, n)
	var bits uint64
	for c := range s {
		if c%64 == 0 {
			bits = splitMix(seed + uint64(c/64))
		}
		s[c] = 1 - 2*float32(bits>>(c%64)&1)
	}
	return s
}

// splitMix is the output of SplitMix64 (Steele and others 2014) for a state.
func splitMix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Fold adds up a row in the sums of its sketch: number c in sum c mod len(dst). Signs
// are in x already. It takes x for scratch, which has to have room for the next power of
// two times len(dst) above its length; serial is a pool of one goroutine. Sums are taken
// in halves: the same on every machine.
func Fold(serial *kernel.Pool, dst, x []float32) {
	m := len(dst)
	padded := FoldedLength(len(x), m)
	n := len(x)
	x = x[:padded]
	clear(x[n:])
	for half := padded / 2; half >= m; half /= 2 {
		kernel.Add(serial, x[:half], x[:half], x[half:2*half])
	}
	copy(dst, x[:m])
}

// FoldedLength returns the room that Fold takes for n numbers and m sums.
func FoldedLength(n, m int) int {
	padded := m
	for padded < n {
		padded *= 2
	}
	return padded
}

// check refuses sketches that do not fit their specification.
func (k *Sketches) check() error {
	if k.Spec == nil || len(k.Spec.Classes) == 0 {
		return fmt.Errorf("%w: the sketches have no classes of neurons to match", ErrInput)
	}
	if len(k.Places) != len(k.Spec.Classes) {
		return fmt.Errorf("%w: sketches of %d classes for %d", ErrInput, len(k.Places), len(k.Spec.Classes))
	}
	for c := range k.Spec.Classes {
		class := &k.Spec.Classes[c]
		if len(k.Places[c]) != len(class.Places) {
			return fmt.Errorf("%w: class %s has sketches at %d places of %d", ErrInput, class.Name, len(k.Places[c]), len(class.Places))
		}
		for i := range k.Places[c] {
			p := &k.Places[c][i]
			if !p.fits(class.Size) {
				return fmt.Errorf("%w: class %s, %s: the sketches are not of %d neurons", ErrInput, class.Name, viewName(&class.Places[i]), class.Size)
			}
		}
	}
	return nil
}

// MatchSketches is [MatchNetworks] for a reference of which there are sketches alone.
// The suspect is held in memory, in the gauge of the reference as far as that is known:
// each class that is decided has its factors taken back there, so that its neighbours
// can be compared. A class of which no place has other axes that are known stays
// without certainty. Whole tensors, as experts, are taken to be in their places; damage
// is not imitated.
func MatchSketches(ref *Sketches, sus Network, o *NetworkOptions) (*NetworkResult, error) {
	if o == nil {
		o = &NetworkOptions{}
	}
	if o.Method != Joint {
		return nil, fmt.Errorf("%w: method %v looks at weights, of which sketches have none", ErrInput, o.Method)
	}
	if err := ref.check(); err != nil {
		return nil, err
	}
	r := &side{arrays: map[string]*array{}, owners: map[string][]layers{}}
	err := r.claims(func(name string) (*array, error) {
		dims := ref.Shapes[name]
		if dims == nil {
			return nil, fmt.Errorf("%w: the sketches do not say what shape tensor %s has", ErrInput, name)
		}
		return &array{dims: dims}, nil
	}, ref.Spec, "reference")
	if err != nil {
		return nil, err
	}
	s, err := load(sus, "suspect")
	if err != nil {
		return nil, err
	}
	if err := fitTogether(ref.Spec, sus.Spec, r, s); err != nil {
		return nil, err
	}
	for c := range ref.Places {
		for k := range ref.Places[c] {
			place := &ref.Spec.Classes[c].Places[k]
			outer, inner := r.arrays[place.Tensor].split(place.Axis)
			if dim := outer * inner * max(1, place.Run); dim != ref.Places[c][k].Dim {
				return nil, fmt.Errorf("%w: sketches of %s are of %d numbers, and its rows have %d", ErrInput, viewName(place), ref.Places[c][k].Dim, dim)
			}
		}
	}
	pool := kernel.NewPool(o.Threads)
	defer pool.Close()
	d := &driver{o: o, pool: pool, classes: ref.Spec.Classes, fixed: make([]*Matching, len(ref.Spec.Classes)), sketches: ref}
	if err := d.known(sus.Spec); err != nil {
		return nil, err
	}
	out, err := d.solve(ref.Spec, sus.Spec, r, s)
	if err != nil || !out.Related {
		return out, err
	}
	return d.explain(ref.Spec, sus.Spec, r, s, out)
}

// solveSketches is solve where the reference is sketches.
func (d *driver) solveSketches(ref, sus *Spec, r, s *side) (*NetworkResult, error) {
	d.start(newSketchPair(ref, sus, r, s, d.sketches, d.pool))
	if err := d.search(); err != nil {
		return nil, err
	}
	errs := d.pair.polish(d.results)
	d.pair.opposites(d.results)
	return d.result(d.pair.gauges(d.results, errs)), nil
}

// newSketchPair begins with the suspect in its own gauge.
func newSketchPair(ref, sus *Spec, r, s *side, k *Sketches, pool *kernel.Pool) *pair {
	return &pair{
		classes: ref.Classes, suspects: sus.Classes, imitated: map[string]*array{}, state: make([]state, len(ref.Classes)), pool: pool,
		ref: r, sus: s, refScale: ones(ref.Classes), susScale: ones(sus.Classes), sketches: k, own: s, signs: map[int][]float32{}, sparse: map[string]bool{},
	}
}

// sketchView is view where the reference is sketches.
func (p *pair) sketchView(c, k int) (View, bool) {
	place, other := &p.classes[c].Places[k], &p.suspects[c].Places[k]
	kept := &p.sketches.Places[c][k]
	if kept.Numbers == 0 {
		return View{}, false
	}
	x := p.sus.arrays[place.Tensor]
	own := p.ref.owners[place.Tensor][place.Axis]
	layer := own.of(c, k, place.position(0, 0))
	for axis := range x.dims {
		skip := -1
		if axis == place.Axis {
			skip = layer
		}
		if !p.anyKnown(place.Tensor, axis, skip) {
			return View{}, false
		}
	}
	for axis := range x.dims {
		if axis != place.Axis {
			x, _ = p.toReference(x, place.Tensor, axis, -1)
		} else if len(own) > 1 {
			x, _ = p.toReference(x, place.Tensor, axis, layer)
		}
	}
	rows, dim := sketchedRows(x, other, p.suspects[c].Size)
	if dim != kept.Dim {
		return View{}, false
	}
	v := View{Name: viewName(place), Role: place.Role, Dim: kept.Numbers, Acts: place.Acts, Ref: kept.rows()}
	if dim == 1 {
		v.Sus = rows
		if place.Epsilon > 0 { // the suspect's have it already
			v.Ref = slices.Clone(v.Ref)
			for i := range v.Ref {
				v.Ref[i] += float32(place.Epsilon)
			}
		}
		return v, true
	}
	v.refLength, v.susLength, v.pruned = kept.Lengths, lengths(rows, dim), p.pruned(place.Tensor)
	v.Ref = stretched(v.Ref, kept.Numbers, v.refLength)
	v.Sus = stretched(p.sketch(rows, dim, kept.Numbers), kept.Numbers, v.susLength)
	return v, true
}

// pruned reports whether much of a tensor of the suspect is zeros.
func (p *pair) pruned(name string) bool {
	const much = 0.3
	was, ok := p.sparse[name]
	if !ok {
		zeros := 0
		x := p.own.arrays[name].data
		for _, v := range x {
			if v == 0 {
				zeros++
			}
		}
		was = float64(zeros) > much*float64(len(x))
		p.sparse[name] = was
	}
	return was
}

// sketchedRows is neurons with the numbers of a row in the order of sketches: the run is
// inside of the axes before.
func sketchedRows(a *array, place *Place, size int) (rows []float32, dim int) {
	outer, inner := a.split(place.Axis)
	run := max(1, place.Run)
	if outer == 1 || run == 1 {
		return neurons(a, place, size)
	}
	n := a.dims[place.Axis]
	rows = make([]float32, 0, size*outer*run*inner)
	for i := range size {
		for o := range outer {
			for k := range run {
				rows = append(rows, a.data[(o*n+place.position(i, k))*inner:][:inner]...)
			}
		}
	}
	return rows, outer * run * inner
}

// sketch returns the sketches of rows of dim numbers.
func (p *pair) sketch(rows []float32, dim, numbers int) []float32 {
	signs := p.signs[dim]
	if signs == nil {
		signs = SketchSigns(p.sketches.Seed, dim)
		p.signs[dim] = signs
	}
	n := len(rows) / dim
	out := make([]float32, n*numbers)
	p.pool.Ranges(n, 1+n/64, func(_, lo, hi int) {
		serial := kernel.NewPool(1)
		defer serial.Close()
		x := make([]float32, FoldedLength(dim, numbers))
		for i := lo; i < hi; i++ {
			kernel.Mul(serial, x[:dim], rows[i*dim:][:dim], signs)
			Fold(serial, out[i*numbers:][:numbers], x[:dim])
		}
	})
	return out
}

// stretched gives sketches the lengths of what they are of, which they have but for an
// error of √(2/numbers): balancing and factors rest on lengths.
func stretched(x []float32, dim int, to []float32) []float32 {
	for i, l := range lengths(x, dim) {
		if l == 0 {
			continue
		}
		a := to[i] / l
		for b := range x[i*dim:][:dim] {
			x[i*dim+b] *= a
		}
	}
	return x
}

// exactLogRatio is how much likelier a pair is by a number that both have to the bit and
// nobody else has, where numbers have 24 bits: less than what strangers' would say.
const exactLogRatio = 8

// addExact adds what equal single numbers say, and ratios of them that no factor changes,
// as that of the shift of a norm to its scale. Damage to weights leaves biases and norms as
// they were.
func (e *evidence) addExact(g *Group) {
	for k := range g.Views {
		v := &g.Views[k]
		if v.Dim != 1 {
			continue
		}
		if e.addEqual(v.Ref, v.Sus, 0) > 0 {
			continue
		}
		for l := range k {
			w := &g.Views[l]
			if w.Dim != 1 {
				continue
			}
			if a, b, ok := cancel(g.Factors, v.Acts, w.Acts); ok {
				e.addEqual(ratios(v.Ref, w.Ref, a, b, false), ratios(v.Sus, w.Sus, a, b, false), ratioRounding)
				break
			}
		}
	}
}

// ratioRounding bounds what rounding makes of a ratio of numbers with factors.
const ratioRounding = 2e-6

// addEqual adds the evidence of numbers that are equal, but for their signs and rounding,
// and far from all others. It returns of how many.
func (e *evidence) addEqual(ref, sus []float32, rounding float64) (found int) {
	type number struct {
		x   float64
		who int
		sus bool
	}
	var all []number
	add := func(x []float32, sus bool) {
		for i, v := range x {
			const narrow = 0x1fff // bits that types of 16 bits do not have
			if bits := math.Float32bits(v); v != 0 && v-v == 0 && (rounding > 0 || bits&narrow != 0) {
				all = append(all, number{math.Abs(float64(v)), i, sus})
			}
		}
	}
	add(ref, false)
	add(sus, true)
	slices.SortFunc(all, func(a, b number) int {
		return cmp.Or(cmp.Compare(a.x, b.x), cmp.Compare(a.who, b.who))
	})
	near := func(a, b int) bool {
		return a >= 0 && b < len(all) && all[b].x-all[a].x <= rounding*all[b].x
	}
	for k := range len(all) - 1 {
		i, j := all[k], all[k+1]
		if i.sus == j.sus || !near(k, k+1) || near(k-1, k) || near(k+1, k+2) {
			continue
		}
		if i.sus {
			i, j = j, i
		}
		e.plain[i.who*e.m+j.who] += exactLogRatio
		found++
	}
	return found
}

// take takes back, in the suspect, what the neurons of a class were multiplied by, and
// returns the largest change of a logarithm. Signs stay in the state.
func (p *pair) take(c int, r *Result) float64 {
	class := &p.suspects[c]
	if !slices.ContainsFunc(class.Factors, Gauge.scales) {
		return 0
	}
	step := ones(p.suspects[c : c+1])[0]
	largest := 0.0
	for f, gauge := range class.Factors {
		if !gauge.scales() {
			continue
		}
		shift := math.Exp(p.common(c, f, r))
		for i, j := range r.Sus {
			if j < 0 || r.Certainty[i] < believed {
				continue
			}
			was := p.susScale[c][f][j]
			now := min(max(was/math.Abs(r.Scale[f][i]*shift), 1e-6), 1e6)
			step[f][j] = now / was
			p.susScale[c][f][j] = now
			largest = max(largest, math.Abs(math.Log(step[f][j])))
		}
	}
	if largest == 0 {
		return 0
	}
	if p.sus == p.own {
		p.sus = &side{arrays: map[string]*array{}, owners: p.own.owners}
		maps.Copy(p.sus.arrays, p.own.arrays)
	}
	for k := range class.Places {
		name := class.Places[k].Tensor
		if len(class.Places[k].Acts) > 0 && p.sus.arrays[name] == p.own.arrays[name] {
			p.sus.arrays[name] = p.own.arrays[name].clone()
		}
	}
	p.sus.rescale(class, step)
	return largest
}

// believed is the certainty below which neurons keep their size.
const believed = 0.5

// common returns by how much the logarithms of a factor of all neurons of a class are off:
// rows of neighbouring layers with norms between them tell factors up to one that all
// have in common, and single numbers, as those of norms, tell that one.
func (p *pair) common(c, f int, r *Result) float64 {
	const least = 4 // for a median
	class := &p.classes[c]
	var off []float64
	for k := range class.Places {
		acts := class.Places[k].Acts
		power := powerOf(acts, f)
		if power == 0 || p.sketches.Places[c][k].Dim != 1 {
			continue
		}
		v, ok := p.sketchView(c, k)
		if !ok {
			continue
		}
		for i, j := range r.Sus {
			if j < 0 || r.Certainty[i] < believed || v.Ref[i] == 0 || v.Sus[j] == 0 {
				continue
			}
			x := ratio{acts: acts, log: math.Log(math.Abs(float64(v.Sus[j]) / float64(v.Ref[i])))}
			logs := make([]float64, len(class.Factors))
			for g := range logs {
				logs[g] = math.Log(math.Abs(r.Scale[g][i]))
			}
			off = append(off, x.rest(logs)/float64(power))
		}
	}
	if len(off) < least {
		return 0
	}
	return median(off)
}

// polish goes round the factors of all classes until they stay as they are, so that what
// was only rescaled comes back to rounding. It returns the standard errors of their
// logarithms.
func (p *pair) polish(results []*Result) (errs [][][]float64) {
	const rounds, still = 100, 1e-7
	errs = ones(p.classes)
	for range rounds {
		last := 0.0
		for c := range p.classes {
			r := results[c]
			if !slices.ContainsFunc(p.classes[c].Factors, Gauge.scales) || mean(r.Certainty) < believed {
				continue
			}
			g, _ := p.group(c, false)
			rho := map[string]float64{}
			for _, v := range r.Views {
				rho[v.Name] = v.Correlation
			}
			step := ones(p.classes[c : c+1])[0]
			e := &evidence{n: g.Ref, m: g.Sus, errs: errs[c]}
			for i, j := range r.Sus {
				if j >= 0 {
					e.magnitudes(g, i, j, nil, rho, step)
				}
			}
			own := *r
			own.Scale = step
			last = max(last, p.take(c, &own))
		}
		if last < still {
			break
		}
	}
	return errs
}

// gauges returns what each neuron of the suspect was multiplied by, nil if no class has
// factors. errs are the standard errors of logarithms.
func (p *pair) gauges(results []*Result, errs [][][]float64) [][][]float64 {
	if !slices.ContainsFunc(p.classes, func(c Class) bool { return len(c.Factors) > 0 }) {
		return nil
	}
	out := ones(p.classes)
	for c := range p.classes {
		for f, gauge := range p.classes[c].Factors {
			sus := results[c].Sus
			exact := make([]bool, len(sus))
			plain, all := 0, 0
			for i, j := range sus {
				if j < 0 || !gauge.scales() {
					continue
				}
				x := 1 / p.susScale[c][f][j]
				if own, ok := p.single(c, f, i, j); ok && (own == 1 || math.Abs(math.Log(own/x)) < max(1e-3, 4.5*errs[c][f][i])) {
					x, exact[i] = own, true
				}
				out[c][f][i] = x
				all++
				if exact[i] && x == 1 || settled(x, errs[c][f][i]) == 1 {
					plain++
				}
			}
			bit := flipBit(p.classes[c].Factors, f)
			for i, j := range sus {
				if j < 0 {
					continue
				}
				if gauge.scales() {
					e := errs[c][f][i]
					if exact[i] || 2*plain < all { // where most were rescaled, others were that it was little
						e = 0
					}
					out[c][f][i] = settled(out[c][f][i], e)
				}
				if st := &p.state[c]; gauge.flips() && len(st.flips) > 0 && st.flips[i]>>bit&1 == 1 {
					out[c][f][i] = -out[c][f][i]
				}
			}
		}
	}
	return out
}

// single returns a factor as a single number of a pair tells it, on which no other
// factor acts that scales: to the last bits, unless somebody changed that number.
func (p *pair) single(c, f, i, j int) (float64, bool) {
	found, ok := 0.0, false
	for k := range p.classes[c].Places {
		place, kept := &p.classes[c].Places[k], &p.sketches.Places[c][k]
		power := powerOf(place.Acts, f)
		if kept.Dim != 1 || kept.Numbers == 0 || power == 0 {
			continue
		}
		alone := true
		for g := range p.classes[c].Factors {
			alone = alone && (g == f || powerOf(place.Acts, g) == 0)
		}
		x := math.Abs(float64(kept.Values[i]))
		y := math.Abs(float64(p.own.arrays[place.Tensor].data[p.suspects[c].Places[k].position(j, 0)]))
		if place.Epsilon > 0 {
			x = math.Abs(float64(kept.Values[i] + float32(place.Epsilon))) // as the suspect's are
		}
		if !alone || x == 0 || y == 0 {
			continue
		}
		if x == y {
			return 1, true
		}
		const narrow = 0x1fff // bits that types of 16 bits do not have
		if !ok && place.Epsilon == 0 && math.Float32bits(float32(y))&narrow != 0 {
			found, ok = math.Pow(y/x, 1/float64(power)), true
		}
	}
	return found, ok
}

// opposites takes the certainty of pairs whose weights at a place are opposite.
func (p *pair) opposites(results []*Result) {
	for c := range p.classes {
		class := &p.classes[c]
		for k := range class.Places {
			v, ok := p.sketchView(c, k)
			if !ok || v.Dim == 1 {
				continue
			}
			n := class.Size
			xx, xy, yy := make([]float64, n), make([]float64, n), make([]float64, n)
			for i, j := range results[c].Sus {
				if j < 0 {
					continue
				}
				for b, x := range v.Ref[i*v.Dim:][:v.Dim] {
					y := float64(v.Sus[j*v.Dim+b])
					xx[i], xy[i], yy[i] = xx[i]+float64(x)*float64(x), xy[i]+float64(x)*y, yy[i]+y*y
				}
				if st := &p.state[c]; len(st.flips) > 0 && odd(class.Factors, class.Places[k].Acts, st.flips[i]) {
					xy[i] = -xy[i]
				}
			}
			results[c].contradicted(v.Name, v.Dim, xx, xy, yy)
		}
	}
}

// An axisEvidence is what sketches of the neurons on one axis of a tensor say: the sum of
// n·r, whose variance is n for strangers, and how many sums that was made of.
type axisEvidence struct{ sum, n, count float64 }

// sketchEvidence is evidence where the reference is sketches. Those of all places count.
// What all neurons have in common is left out.
func (p *pair) sketchEvidence() fitness {
	f := fitness{choices: p.choices()}
	parts := map[string][]axisEvidence{}
	for c := range p.classes {
		for k := range p.classes[c].Places {
			place, kept := &p.classes[c].Places[k], &p.sketches.Places[c][k]
			name := place.Tensor
			dims := p.ref.arrays[name].dims
			if len(dims) < 2 || kept.Numbers == 0 {
				continue
			}
			x := p.sus.arrays[name]
			for axis := range x.dims {
				x, _ = p.toReference(x, name, axis, -1)
			}
			rows, dim := sketchedRows(x, place, p.classes[c].Size)
			own := rows
			if dim > 1 {
				own = p.sketch(rows, dim, kept.Numbers)
			}
			r, n := correlateSketches(kept.rows(), own, kept.Numbers)
			if parts[name] == nil {
				parts[name] = make([]axisEvidence, len(dims))
			}
			a := &parts[name][place.Axis]
			a.sum += n * r
			a.n += n
			a.count += float64(len(own))
		}
	}
	var sum, variance float64
	for _, name := range sortedNames(p.ref.arrays) {
		total := 1.0
		for _, d := range p.ref.arrays[name].dims {
			total *= float64(d)
		}
		s, v := combined(parts[name], total)
		sum += s
		variance += v
	}
	if variance > 0 {
		f.z = sum / math.Sqrt(variance)
	}
	return f
}

// combined returns the best sum of what the axes of a tensor of that many numbers say, and
// its variance for strangers. Sketches by rows and by columns are sums of products of the
// same numbers with different signs, which for strangers have the correlation of the root
// of the product of their shares of the numbers: if both are all numbers, they are the same.
func combined(axes []axisEvidence, total float64) (sum, variance float64) {
	best, second := axisEvidence{}, axisEvidence{}
	for _, a := range axes {
		switch {
		case a.n > best.n:
			best, second = a, best
		case a.n > second.n:
			second = a
		}
	}
	if second.n == 0 {
		return best.sum, best.n
	}
	rho := min(1, math.Sqrt(best.count*second.count)/total)
	// Weights of the sum that shows a correlation best.
	u, w := 1-rho*math.Sqrt(second.n/best.n), 1-rho*math.Sqrt(best.n/second.n)
	if w <= 0.01 || u <= 0.01 {
		return best.sum, best.n
	}
	// Scaled so that the variance is what tells of strangers, as that of one axis is.
	signal := u*best.n + w*second.n
	v := u*u*best.n + w*w*second.n + 2*u*w*rho*math.Sqrt(best.n*second.n)
	a := signal / v
	return a * (u*best.sum + w*second.sum), a * a * v
}

// correlateSketches is correlate for the sketches of as many neurons on either side. Each
// neuron counts alike, however long it is: a few long ones would else say all.
func correlateSketches(a, b []float32, numbers int) (r, n float64) {
	if numbers > 1 {
		a, b = unit(a, numbers), unit(b, numbers)
	}
	count := len(a) / numbers
	ma, mb := make([]float64, numbers), make([]float64, numbers)
	for k, x := range a {
		ma[k%numbers] += float64(x) / float64(count)
		mb[k%numbers] += float64(b[k]) / float64(count)
	}
	var aa, bb, ab, quad float64
	for k, x := range a {
		u, v := float64(x)-ma[k%numbers], float64(b[k])-mb[k%numbers]
		aa, bb, ab, quad = aa+u*u, bb+v*v, ab+u*v, quad+u*u*v*v
	}
	if aa == 0 || bb == 0 {
		return 0, 0
	}
	n = aa * bb / max(quad, aa*bb/float64(len(a)))
	return ab / math.Sqrt(aa*bb), n
}
