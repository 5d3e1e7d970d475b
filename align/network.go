package align

import (
	"context"
	"fmt"
	"math"
	"slices"

	"ropewalk/internal/kernel"
	"ropewalk/tensor"
)

// NetworkOptions changes what [MatchNetworks] does. The nil NetworkOptions are the
// defaults.
type NetworkOptions struct {
	Options
	// Known holds the matchings of classes, by name, that are not asked for: "outer
	// axes known". They are used as they are, with positive signs.
	Known map[string]*Matching
	// Sweeps bounds how often all classes are gone through, hard and soft each.
	// 0 means 20.
	Sweeps int
	// Memory is how many bytes the search may take, about; 0 is no limit. Networks that
	// need more by [Memory] are not held: their files are read a few times instead, and
	// each class is decided once. See the package comment.
	Memory int64
	// Context, if it is not nil, ends the search: its error is returned.
	Context context.Context
	// Hard leaves out the annealed sweeps, which cost several times more and
	// are made only where hard ones do not end in certainty.
	Hard bool
}

// A ClassResult is the result for one class of neurons.
type ClassResult struct {
	Name string
	Result
	// Added are the suspect's neurons without a partner, and why they are there.
	Added []Dummy
	// Merged are splits that Restore puts together again.
	Merged []Merge
}

// Certain is what the certainty of a match has to be for it to count as one.
const Certain = 0.99

// Doubtful says whether a neuron of the reference may be another than its partner, in a class
// of which others are certain.
func (r *ClassResult) Doubtful(neuron int) bool {
	if r.Certainty == nil || r.Certainty[neuron] >= 0.5 {
		return false
	}
	return slices.ContainsFunc(r.Certainty, func(p float64) bool { return p >= Certain })
}

// A NetworkResult is what is known of all classes of two networks.
type NetworkResult struct {
	Classes []ClassResult
	// Exchanged are those of whole tensors, as the experts of a mixture. Classes are
	// what they are when these have been put in their places.
	Exchanged []ClassResult
	Sweeps    int  // over all classes, until nothing changed
	Soft      bool // whether annealed sweeps were needed
	// Streamed says that the networks were not held in memory; Reads is how many bytes
	// of both were read then.
	Streamed bool
	Reads    int64
	// Z is the correlation of all weights after the match, in standard deviations of
	// that of strangers before any matching; LogChoices is the logarithm of how
	// many matchings there were to choose from. LogEvidence = Z²/2 - LogChoices: for
	// independent weights, e^-LogEvidence bounds the probability that the best of
	// all matchings of strangers correlates so well (a union bound over Gaussian
	// tails). It is evidence under that assumption, not an exact p-value.
	Z, LogChoices, LogEvidence float64
	// Related says whether LogEvidence exceeds 10 and there is a neuron whose certainty
	// is 0.9 or more: weights that were learned from the same data are not independent, so
	// that strangers can resemble each other as a whole; but then each neuron resembles
	// several others nearly as much. It is also true if more than half of at least 32 neurons are
	// that certain, whatever LogEvidence is: where 5 % of the weights are left, the
	// correlation of all of them says less than which neuron is which. If it is
	// false, all certainties are 0: a search that goes on until the parts agree finds
	// agreement in anything.
	Related bool
	// Whole says that nearly all pairs have just the weights that they had, up to factors and rounding, where
	// sides are of unequal numbers. Who has no partner then has none: nothing has made it hard to know again.
	Whole bool
}

// When two networks count as related: see [NetworkResult]. The most certain neuron of
// thousands of pairs of networks that learned from the same data had 0.15.
const (
	minLogEvidence = 10
	minCertainty   = 0.9
	minNeurons     = 32 // of which more than a half are that certain
)

// relate decides whether the networks are related.
func (r *NetworkResult) relate(results []*Result) {
	certain, all := 0, 0
	for _, x := range results {
		for _, p := range x.Certainty {
			if p >= minCertainty {
				certain++
			}
		}
		all += len(x.Certainty)
	}
	r.Related = certain > 0 && (r.LogEvidence > minLogEvidence || all >= minNeurons && 2*certain > all)
}

// annealing of the soft sweeps: what share of the evidence counts in which sweep.
func annealed(sweep int) float64 { return min(1, 0.15+0.12*float64(sweep)) }

// MatchNetworks finds the partners of all neurons of the reference in the suspect,
// where each class of neurons may be in any order (a cold start).
//
// Joint goes through the classes again and again, each matched by all its
// tensors with the other axes as they are known so far: first by what does not
// depend on their order at all. If that does not end in certainty, beliefs replace
// decisions: each class keeps a doubly stochastic matrix that is annealed, and
// decisions come at the end. Paper goes through the classes once, in the order
// of the specification, and looks at the first incoming tensor of each, whose
// other axes are those of classes before.
//
// Both networks are held in memory, several times over, unless that is more than
// o.Memory. Errors are [ErrInput],
// wrapped with what does not fit.
func MatchNetworks(ref, sus Network, o *NetworkOptions) (*NetworkResult, error) {
	if o == nil {
		o = &NetworkOptions{}
	}
	if ref.Spec != nil && len(ref.Spec.Exchanges) > 0 {
		return matchExchanged(ref, sus, o)
	}
	if o.Memory > 0 && o.Method == Joint && ref.Spec != nil && Memory(ref.Spec, ref.Set, sus.Set) > o.Memory {
		return matchStreamed(ref, sus, o)
	}
	r, err := load(ref, "reference")
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
	pool := kernel.NewPool(o.Threads)
	defer pool.Close()
	d := &driver{o: o, pool: pool, classes: ref.Spec.Classes, fixed: make([]*Matching, len(ref.Spec.Classes))}
	if err := d.known(sus.Spec); err != nil {
		return nil, err
	}
	if o.Method != Joint {
		d.start(newPair(ref.Spec, sus.Spec, r, s, d.pool, false))
		return d.once()
	}
	added, merged := d.twins(ref.Spec, sus.Spec, r, s)
	out, err := d.solveWithout(ref.Spec, sus.Spec, r, s, added, merged)
	if err != nil || !out.Related {
		return out, err
	}
	return d.explain(ref.Spec, sus.Spec, r, s, out)
}

// known enters the matchings that are not asked for.
func (d *driver) known(sus *Spec) error {
	for c := range d.classes {
		class := &d.classes[c]
		m := d.o.Known[class.Name]
		if m == nil {
			continue
		}
		if len(m.Sus) != class.Size || len(m.Ref) != sus.Classes[c].Size {
			return fmt.Errorf("%w: the known matching of class %s is of %d and %d neurons, want %d and %d",
				ErrInput, class.Name, len(m.Sus), len(m.Ref), class.Size, sus.Classes[c].Size)
		}
		d.fixed[c] = m
	}
	return nil
}

// solveWithout finds matching and factors with some neurons of the suspect left out.
func (d *driver) solveWithout(ref, sus *Spec, r, s *side, added [][]Dummy, merged [][]Merge) (*NetworkResult, error) {
	if !slices.ContainsFunc(added, func(list []Dummy) bool { return explained(list) > 0 }) {
		return d.solve(ref, sus, r, s)
	}
	small, spec, keep, err := s.without(sus, added, merged)
	if err != nil {
		return nil, err
	}
	fixed := d.fixed // of copies of the driver as well
	d.fixed = slices.Clone(fixed)
	for c := range d.fixed {
		if d.fixed[c] != nil && len(keep[c]) < sus.Classes[c].Size {
			d.fixed[c] = nil // its dummies are gone; evidence finds the rest again
		}
	}
	out, err := d.solve(ref, spec, r, small)
	d.fixed = fixed
	if err != nil {
		return nil, err
	}
	for c := range out.Classes {
		out.Classes[c].restored(keep[c], sus.Classes[c].Size)
		if d.likes[c] != nil {
			like := slices.Repeat([]int{-1}, sus.Classes[c].Size)
			for j, i := range d.likes[c] {
				like[keep[c][j]] = i
			}
			d.likes[c] = like
		}
	}
	return out, nil
}

// explain says why neurons were added, and, if they can be left out, matches what is
// left: nothing then stands in the way of those that they were taken from.
func (d *driver) explain(ref, sus *Spec, r, s *side, out *NetworkResult) (*NetworkResult, error) {
	x := d.suspect(ref, sus, r, s, out)
	if x.any() && x.usual <= plausibleRest {
		// Neurons may be gone, and dummies in their places. If so, and if nothing was damaged, the rest is
		// just what it was as soon as these are alone.
		without := out.disown(x.impostors)
		before := *d // what it knows of the match that is tried goes with it
		alone, added, merged, err := d.apartOf(ref, sus, r, s, without)
		if err != nil {
			return nil, err
		}
		y := d.suspect(ref, sus, r, s, alone)
		switch {
		case alone.Related && y.exact >= max(wholePairs, x.exact):
			return alone.disown(y.impostors).whole(added, merged), nil
		case without.Related && x.exact >= wholePairs:
			return without.whole(added, merged), nil
		}
		*d = before
	}
	out, added, merged, err := d.apartOf(ref, sus, r, s, out)
	if err != nil {
		return nil, err
	}
	if y := d.suspect(ref, sus, r, s, out); out.Related && y.exact >= wholePairs {
		return out.disown(y.impostors).whole(added, merged), nil
	}
	return out.name(added, merged), nil
}

// apartOf is apart, twice where it turns out that nothing was damaged: then a neuron that is only like another
// is no part of it.
func (d *driver) apartOf(ref, sus *Spec, r, s *side, from *NetworkResult) (*NetworkResult, [][]Dummy, [][]Merge, error) {
	before := *d
	out, added, merged, err := d.apart(ref, sus, r, s, from, false)
	if err != nil || !out.Related || !slices.ContainsFunc(merged, func(list []Merge) bool { return len(list) > 0 }) {
		return out, added, merged, err
	}
	if y := d.suspect(ref, sus, r, s, out); y.exact < wholePairs {
		return out, added, merged, nil
	}
	first := *d
	*d = before
	again, addedAgain, mergedAgain, err := d.apart(ref, sus, r, s, from, true)
	if err != nil {
		return nil, nil, nil, err
	}
	if y := d.suspect(ref, sus, r, s, again); !again.Related || y.exact < wholePairs {
		*d = first
		return out, added, merged, nil
	}
	return again, addedAgain, mergedAgain, nil
}

// apart says what neurons without a partner are, and matches the others without those that are known.
// exact says that nearly all pairs are just what they were.
func (d *driver) apart(ref, sus *Spec, r, s *side, out *NetworkResult, exact bool) (*NetworkResult, [][]Dummy, [][]Merge, error) {
	left := d.residues(ref, sus, r, s, out)
	for c := range left {
		left[c].exact = exact
	}
	added, merged := s.allDummies(sus.Classes, out, left, d.likes)
	known := 0
	for _, list := range added {
		known += explained(list)
	}
	if known > 0 {
		var err error
		if out, err = d.solveWithout(ref, sus, r, s, added, merged); err != nil {
			return nil, nil, nil, err
		}
	}
	return out, added, merged, nil
}

// whole is name for networks of which nothing but the number of neurons was changed.
func (r *NetworkResult) whole(added [][]Dummy, merged [][]Merge) *NetworkResult {
	r.Whole = true
	return r.name(added, merged)
}

// name enters what neurons without a partner are.
func (r *NetworkResult) name(added [][]Dummy, merged [][]Merge) *NetworkResult {
	for c := range r.Classes {
		x := &r.Classes[c]
		x.Merged = merged[c]
		explained := map[int]Dummy{}
		for _, a := range added[c] {
			if a.Kind != Stranger {
				explained[a.Sus] = a
			}
		}
		for j, i := range x.Ref {
			if a, ok := explained[j]; ok {
				x.Added = append(x.Added, a)
			} else if i < 0 {
				x.Added = append(x.Added, Dummy{j, Stranger, -1})
			}
		}
	}
	return r
}

// solve finds matching and factors.
func (d *driver) solve(ref, sus *Spec, r, s *side) (*NetworkResult, error) {
	if d.sketches != nil {
		return d.solveSketches(ref, sus, r, s)
	}
	scales, err := d.attempt(ref, sus, r, s, true)
	if err != nil {
		return nil, err
	}
	if scales != nil && d.meanCertainty() < sure {
		// Balancing rests on sums of squares. Where most of a network is pruned away
		// after it was rescaled, they are worth less than leaving factors alone.
		other := *d
		again, err := other.attempt(ref, sus, r, s, false)
		if err != nil {
			return nil, err
		}
		if other.pair.evidence().z > d.pair.evidence().z {
			*d, scales = other, again
		}
	}
	return d.result(scales), nil
}

// sure is the mean certainty at which no further attempt is made.
const sure = 0.85

// attempt searches, balanced or not, and returns the factors found, nil where
// there are none.
func (d *driver) attempt(ref, sus *Spec, r, s *side, balanced bool) ([][][]float64, error) {
	d.start(newPair(ref, sus, r, s, d.pool, balanced))
	if err := d.search(); err != nil {
		return nil, err
	}
	scales := d.pair.scales(r, s, d.results)
	if scales == nil || len(d.pair.imitated) == 0 && balanced {
		return scales, nil
	}
	// What was done to a rescaled network can be imitated only in its own gauge.
	if err := d.again(ref, sus, r, s, scales); err != nil {
		return nil, err
	}
	return d.pair.scales(r, s, d.results), nil
}

// Memory returns about how many bytes MatchNetworks takes for two networks.
func Memory(spec *Spec, ref, sus *tensor.Set) int64 {
	const copies = 4 // as read, balanced, of sums, and in the making
	seen := map[string]bool{}
	sum, square := int64(0), int64(0)
	for c := range spec.Classes {
		class := &spec.Classes[c]
		parities := map[uint64]bool{}
		for k := range class.Places {
			parities[parity(class.Factors, class.Places[k].Acts)] = true
		}
		square = max(square, int64(class.Size)*int64(class.Size)*int64(6+max(0, len(parities)-3)))
		for k := range class.Places {
			name := class.Places[k].Tensor
			if seen[name] {
				continue
			}
			seen[name] = true
			for _, set := range []*tensor.Set{ref, sus} {
				if t := set.Lookup(name); t != nil {
					sum += 4 * t.Elems()
				}
			}
		}
	}
	return copies*sum + 4*square
}

// A driver goes through the classes of a pair.
type driver struct {
	o       *NetworkOptions
	pool    *kernel.Pool
	classes []Class
	fixed   []*Matching
	pair    *pair
	results []*Result
	sweeps  int
	soft    bool

	// likes holds, by class, where the suspect has more neurons, the reference neuron that
	// each is made like, whoever else is: of the parts of a split all. -1 for none; nil
	// classes are not known.
	likes [][]int

	sketches *Sketches // of the reference, if there is nothing else of it
}

// start begins with what is known from outside.
func (d *driver) start(p *pair) {
	d.pair = p
	d.results = make([]*Result, len(d.classes))
	d.likes = make([][]int, len(d.classes))
	for c, m := range d.fixed {
		if m == nil {
			continue
		}
		p.state[c] = state{of: m.Sus, flips: make([]uint64, len(m.Sus))}
		r := &Result{Matching: *m, Margin: make([]float64, len(m.Sus)), Certainty: make([]float64, len(m.Sus))}
		for i, j := range m.Sus {
			if j >= 0 {
				r.Certainty[i] = 1
			}
		}
		d.results[c] = r
	}
}

// once goes through the classes a single time, for the methods without evidence.
func (d *driver) once() (*NetworkResult, error) {
	out := &NetworkResult{Sweeps: 1}
	for c := range d.classes {
		if d.fixed[c] == nil {
			g, _ := d.pair.group(c, true)
			r, err := Match(g, &d.o.Options)
			if err != nil {
				return nil, err
			}
			d.results[c] = r
			d.pair.state[c] = state{of: r.Sus, flips: make([]uint64, len(r.Sus))}
		}
		out.Classes = append(out.Classes, ClassResult{Name: d.classes[c].Name, Result: *d.results[c]})
	}
	return out, nil
}

func (d *driver) limit() int {
	if d.o.Sweeps > 0 {
		return d.o.Sweeps
	}
	return 20
}

// search makes hard sweeps and, where they do not end in certainty, soft ones.
func (d *driver) search() error {
	if err := d.hardSweeps(); err != nil {
		return err
	}
	if d.o.Hard || d.meanCertainty() > sure {
		return nil
	}
	pair, hard, results, likes, before := d.pair, slices.Clone(d.pair.state), slices.Clone(d.results), d.likes, d.pair.evidence()
	d.soft = true
	d.start(d.pair.restart())
	if err := d.softSweeps(); err != nil {
		return err
	}
	if err := d.hardSweeps(); err != nil {
		return err
	}
	if d.pair.evidence().z < before.z {
		d.pair, d.results, d.likes = pair, results, likes
		d.pair.state = hard
	}
	return nil
}

// again repeats the last sweeps with the reference rescaled to the suspect's gauge.
func (d *driver) again(ref, sus *Spec, r, s *side, scales [][][]float64) error {
	own := r.rescaled(d.classes, scales)
	old, results, before := d.pair, slices.Clone(d.results), d.pair.evidence()
	d.pair = newPair(ref, sus, own, s, d.pool, false)
	for c, st := range old.state { // signs are in the scales now
		d.pair.state[c] = state{of: st.of, flips: make([]uint64, len(st.flips))}
	}
	if err := d.hardSweeps(); err != nil {
		return err
	}
	if after := d.pair.evidence(); after.z <= before.z {
		d.pair, d.results = old, results
		return nil
	}
	// Factors found from here on are beside those that were put in.
	d.pair.refScale = scales
	return nil
}

func (d *driver) meanCertainty() float64 {
	var sum, n float64
	for _, r := range d.results {
		if r == nil {
			return 0
		}
		for _, c := range r.Certainty {
			sum += c
		}
		n += float64(len(r.Certainty))
	}
	return sum / n
}

// order returns the classes to match in a sweep: there and back again.
func (d *driver) order(sweep int) []int {
	var out []int
	for c := range d.classes {
		if d.fixed[c] == nil {
			out = append(out, c)
		}
	}
	if sweep%2 == 1 {
		slices.Reverse(out)
	}
	return out
}

// match matches one class with what is known of the others. Profiles cost a sort of
// all weights, and are looked at only if the rest does not end in certainty.
func (d *driver) match(c int) (e *evidence, r *Result, err error) {
	if err := d.cancelled(); err != nil {
		return nil, nil, err
	}
	for _, profiled := range [...]bool{false, true} {
		g, more := d.pair.group(c, profiled)
		if d.sketches != nil {
			if !slices.ContainsFunc(g.Views, func(v View) bool { return v.Dim > 1 }) {
				return nil, nil, nil // later, when more is known
			}
			e = gather(g, d.pool)
			e.addExact(g)
			r, err = e.result(g, &d.o.Options)
			return e, r, err
		}
		if len(g.Views) == 0 {
			if more {
				continue
			}
			return nil, nil, fmt.Errorf("%w: class %s has no place that describes its neurons", ErrInput, g.Name)
		}
		if more && !slices.ContainsFunc(g.Views, func(v View) bool { return v.Dim > 1 }) {
			continue
		}
		if e, r = sketched(g, d.pool); r != nil {
			return e, r, nil
		}
		e = gather(g, d.pool)
		e.lenient = d.accounted(c)
		if r, err = e.result(g, &d.o.Options); err != nil {
			return nil, nil, err
		}
		if !more || mean(r.Certainty) > 0.99 {
			break
		}
	}
	return e, r, nil
}

// accounted reports whether in most of the other classes whose sides are of unequal numbers
// all neurons of the smaller one have a partner: who removes neurons removes them in all
// layers.
func (d *driver) accounted(c int) bool {
	whole, uneven := 0, 0
	for k, r := range d.results {
		if k == c || r == nil || d.fixed[k] != nil || len(r.Sus) == len(r.Ref) {
			continue
		}
		uneven++
		if r.matched() == min(len(r.Sus), len(r.Ref)) {
			whole++
		}
	}
	return uneven >= 2 && 3*whole >= 2*uneven
}

func (d *driver) cancelled() error {
	if d.o.Context != nil && d.o.Context.Err() != nil {
		return context.Cause(d.o.Context)
	}
	return nil
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// neighbours returns for each class those whose order its evidence depends on.
func neighbours(classes []Class) [][]int {
	on := map[string][][2]int{} // by tensor: class and axis
	for c := range classes {
		for k := range classes[c].Places {
			p := &classes[c].Places[k]
			on[p.Tensor] = append(on[p.Tensor], [2]int{c, p.Axis})
		}
	}
	out := make([][]int, len(classes))
	for c := range classes {
		for k := range classes[c].Places {
			p := &classes[c].Places[k]
			for _, o := range on[p.Tensor] {
				if o != [2]int{c, p.Axis} && !slices.Contains(out[c], o[0]) {
					out[c] = append(out[c], o[0])
				}
			}
		}
	}
	return out
}

// hardSweeps decides class after class until nothing changes.
func (d *driver) hardSweeps() error {
	near := neighbours(d.classes)
	changes := make([]int, len(d.classes)) // how often the state of each class has changed
	seen := make([]int, len(d.classes))    // changes of the neighbours when it was matched
	plain := make([]bool, len(d.classes))  // sketches left no doubt, and more evidence would not change it
	for sweep := range d.limit() {
		changed := false
		for _, c := range d.order(sweep) {
			now := 1
			for _, k := range near[c] {
				now += changes[k]
			}
			if d.accounted(c) {
				now = -now // what is asked of it is less, so that it is to be looked at again
			}
			if seen[c] == now || plain[c] {
				continue
			}
			seen[c] = now
			e, r, err := d.match(c)
			if err != nil {
				return err
			}
			if r == nil {
				continue
			}
			st := &d.pair.state[c]
			d.results[c], d.likes[c] = r, e.likes()
			plain[c] = e.plain == nil
			if !st.known() && !e.informed() && !d.pair.grounded(c) {
				changed = true
				continue // a guess would hide what profiles can show to its neighbours
			}
			flips := make([]uint64, e.n)
			for i, j := range r.Sus {
				if j >= 0 {
					flips[i] = e.signs(i*e.m + j)
				}
			}
			if st.soft != nil || !slices.Equal(st.of, r.Sus) || !slices.Equal(st.flips, flips) {
				changed = true
				changes[c]++
			}
			*st = state{of: r.Sus, flips: flips}
			if d.sketches != nil && d.pair.take(c, r) > touched {
				changed = true
				changes[c]++
			}
		}
		d.sweeps++
		if !changed {
			break
		}
	}
	// Who is still unknown gets the best guess.
	for c := range d.classes {
		if st := &d.pair.state[c]; !st.known() {
			if d.results[c] == nil {
				d.results[c] = untold(d.classes[c].Size, d.pair.suspects[c].Size, len(d.classes[c].Factors))
			}
			*st = state{of: d.results[c].Sus, flips: make([]uint64, d.classes[c].Size)}
		}
	}
	return nil
}

// untold is the result of a class of which nothing was seen: neurons stay where they are.
func untold(n, m, factors int) *Result {
	r := &Result{Matching: Matching{Sus: slices.Repeat([]int{-1}, n), Ref: slices.Repeat([]int{-1}, m)}, Certainty: make([]float64, n), Margin: make([]float64, n)}
	for i := range min(n, m) {
		r.Sus[i], r.Ref[i] = i, i
		r.Ambiguous = append(r.Ambiguous, Ambiguity{Ref: i, Sus: i, Other: -1, Reason: "no tensor with it has other axes that are known"})
	}
	for range factors {
		r.Scale = append(r.Scale, slices.Repeat([]float64{1}, n))
	}
	return r
}

// informed reports whether any view said something.
func (e *evidence) informed() bool {
	return e.points || slices.ContainsFunc(e.views, func(v ViewEvidence) bool { return v.Correlation > 0 })
}

// softSweeps anneals beliefs until the decisions that they imply stay the same.
func (d *driver) softSweeps() error {
	last := make([][]int, len(d.classes))
	trust := make([][]float64, len(d.classes))
	for sweep := range d.limit() {
		changed := false
		for _, c := range d.order(sweep) {
			if err := d.cancelled(); err != nil {
				return err
			}
			g, _ := d.pair.group(c, true)
			if len(g.Views) == 0 {
				continue // of sketches, which are not compared by profiles
			}
			e := gather(g, d.pool)
			e.lenient = d.accounted(c)
			total := e.best()
			if last[c] == nil { // nothing to weigh single numbers by, but what they show together
				var err error
				if last[c], trust[c], err = e.begin(total, make([]int, e.n), make([]float64, e.n), &d.o.Options); err != nil {
					return err
				}
			}
			base := slices.Clone(total)
			e.addScalars(total, last[c], trust[c])
			of, err := e.assign(total, base, &d.o.Options)
			if err != nil {
				return err
			}
			changed = changed || !slices.Equal(of, last[c])
			last[c], trust[c] = of, e.certainty(total, of)
			if !d.pair.state[c].known() && !e.informed() && !d.pair.grounded(c) {
				continue
			}
			st := state{soft: total, softFlips: make([]uint64, len(total))}
			a := float32(annealed(sweep))
			for k := range total {
				st.softFlips[k] = e.signs(k)
				if e.hint != nil {
					total[k] += e.hint[k]
				}
				total[k] *= a
			}
			sinkhorn(total, e.n, e.m)
			d.pair.state[c] = st
		}
		d.sweeps++
		if !changed && annealed(sweep) == 1 {
			break
		}
	}
	return nil
}

// grounded reports whether a class has a place in a matrix whose other axes are
// known, so that even a guess about it rests on something.
func (p *pair) grounded(c int) bool {
	for k := range p.classes[c].Places {
		place := &p.classes[c].Places[k]
		dims := p.ref.arrays[place.Tensor].dims
		known := len(dims) > 1
		for axis := range dims {
			if axis == place.Axis {
				continue
			}
			for _, layer := range p.ref.owners[place.Tensor][axis] {
				if !slices.ContainsFunc(layer, func(o owner) bool { return o.class < 0 || p.state[o.class].known() }) {
					known = false
				}
			}
		}
		if known {
			return true
		}
	}
	return false
}

// restart returns the pair with nothing known.
func (p *pair) restart() *pair {
	q := *p
	q.state = make([]state, len(p.state))
	if p.sketches != nil {
		q.sus, q.susScale = p.own, ones(p.suspects)
	}
	return &q
}

// result collects what was found.
func (d *driver) result(scales [][][]float64) *NetworkResult {
	ev := d.pair.evidence()
	out := &NetworkResult{
		Sweeps: d.sweeps, Soft: d.soft, Z: ev.z, LogChoices: ev.choices,
		LogEvidence: ev.z*math.Abs(ev.z)/2 - ev.choices,
	}
	out.relate(d.results)
	for c, r := range d.results {
		if scales != nil {
			r.Scale = scales[c]
		}
		if !out.Related && d.fixed[c] == nil {
			clear(r.Certainty)
		}
		out.Classes = append(out.Classes, ClassResult{Name: d.classes[c].Name, Result: *r})
	}
	return out
}

// fitness is how well two networks agree.
type fitness struct{ z, choices float64 }

// choices is the logarithm of how many matchings there are.
func (p *pair) choices() float64 {
	sum := 0.0
	for c := range p.classes {
		n, m := p.classes[c].Size, p.suspects[c].Size
		l, _ := math.Lgamma(float64(max(n, m) + 1))
		rest, _ := math.Lgamma(float64(max(n, m) - min(n, m) + 1))
		sum += l - rest
		for _, g := range p.classes[c].Factors {
			if g.flips() {
				sum += float64(min(n, m)) * math.Ln2
			}
		}
	}
	return sum
}

// evidence measures the agreement of all weights after the match; see
// NetworkResult. Weights of structured tensors count less: by how much wider than
// those of independent ones the cosines of strangers scatter.
func (p *pair) evidence() fitness {
	if p.sketches != nil {
		return p.sketchEvidence()
	}
	f := fitness{choices: p.choices()}
	var sum, weights float64
	for _, name := range sortedNames(p.ref.arrays) {
		a := p.ref.arrays[name]
		if len(a.dims) < 2 {
			continue
		}
		x := p.sus.arrays[name]
		masks := make([][]bool, len(a.dims))
		for axis := range a.dims {
			x, masks[axis] = p.toReference(x, name, axis, -1)
		}
		r, n := correlate(masked(a, masks), x, masks)
		if like := p.imitated[name]; like != nil {
			f.choices += math.Ln2
			if q, _ := correlate(masked(like, masks), x, masks); q > r {
				r = q
			}
		}
		sum += n * r
		weights += n
	}
	if weights > 0 {
		f.z = sum / math.Sqrt(weights)
	}
	return f
}

// correlate returns the correlation of the numbers that no mask hides, and how
// many independent ones they are worth: as rows and columns of a matrix differ in
// size, a few large ones can carry all of it.
func correlate(a, b *array, masks [][]bool) (r, n float64) {
	count := 1.0
	for _, m := range masks {
		k := 0
		for _, ok := range m {
			if ok {
				k++
			}
		}
		count *= float64(k)
	}
	if count < 2 {
		return 0, 0
	}
	var sa, sb float64
	for k, x := range a.data {
		sa += float64(x)
		sb += float64(b.data[k])
	}
	ma, mb := sa/count, sb/count
	var aa, bb, ab, quad float64
	for k, x := range a.data {
		y := float64(b.data[k])
		if x == 0 && y == 0 {
			continue // hidden, or pruned on both sides
		}
		u, v := float64(x)-ma, y-mb
		aa += u * u
		bb += v * v
		ab += u * v
		quad += u * u * v * v
	}
	if aa == 0 || bb == 0 {
		return 0, 0
	}
	// For strangers ab has the variance Σu²v² (given sizes), which is aa·bb/count
	// where sizes do not go together.
	n = aa * bb / max(quad, aa*bb/count)
	return ab / math.Sqrt(aa*bb), n
}
