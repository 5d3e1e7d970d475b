package align

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync/atomic"

	"ropewalk/internal/kernel"
	"ropewalk/tensor"
)

// ErrMemory reports networks that can be matched only if they are held in memory, which
// is more than was allowed.
var ErrMemory = errors.New("align: not enough memory")

// A streamer matches networks that stay in their files. It decides a class as soon as
// there is a tensor with it whose other axes are known, from the network's ends inwards:
//
//  1. Sketches of the neurons are made of the widest view, and of all if that leaves a
//     doubt, and compared: each neuron has a few candidates.
//  2. All views are read again and say how similar the candidates are at full width.
//  3. The best one-to-one matching among the candidates is found, and the factors.
//
// When all classes are known, those are visited once more that had views which nothing
// was known of at first, if they are in doubt or have factors that only those tell.
// So each file is read about twice, and at most four times.
type streamer struct {
	o        *NetworkOptions
	pool     *kernel.Pool
	scratch  []scratch
	pair     *pair
	ref, sus *tensor.Set
	scales   [][][]float64 // by class, factor and neuron
	results  []*Result
	fixed    []bool
	rescaled []bool       // by class: its factors are not all one, it seems
	seen     [][]bool     // by class and place: whether a visit looked at it
	lists    []*shortlist // by class: matches and the candidates next to them
	tallies  map[string]tally
	read     atomic.Int64
}

// A tally is how a tensor agrees, all factors taken back.
type tally struct{ n, aa, bb, ab, quad float64 }

// StreamMemory returns about how many bytes MatchNetworks takes for two networks that it
// does not hold: for sketches and candidates of the largest class, and for the largest
// tensor of each side, which stays in memory while it is read where its file cannot be
// mapped.
func StreamMemory(spec *Spec, ref, sus *tensor.Set) int64 {
	var n, names, largest int64
	for c := range spec.Classes {
		class := &spec.Classes[c]
		n = max(n, int64(class.Size))
		names += int64(class.Size)
		for k := range class.Places {
			for _, set := range []*tensor.Set{ref, sus} {
				if t := set.Lookup(class.Places[k].Tensor); t != nil {
					largest = max(largest, t.Size())
				}
			}
		}
	}
	sketches := 8 * n * lazySketch * 4 // of two sides, one view and all, as sums and of length one
	columns := lazyParts * n * lazySketch * 4
	evidence := n * (lazyCandidates + 1) * 8 * 16
	return 2*largest + sketches + columns + evidence + 256*n*4 + 200*names + 16<<20
}

func matchStreamed(ref, sus Network, o *NetworkOptions) (*NetworkResult, error) {
	r, err := outline(ref, "reference")
	if err != nil {
		return nil, err
	}
	s, err := outline(sus, "suspect")
	if err != nil {
		return nil, err
	}
	if err := fitTogether(ref.Spec, sus.Spec, r, s); err != nil {
		return nil, err
	}
	for c := range ref.Spec.Classes {
		a, b := &ref.Spec.Classes[c], &sus.Spec.Classes[c]
		if a.Size != b.Size || o.Partial {
			return nil, fmt.Errorf("%w: class %s has %d and %d neurons; who was removed or added is found only in memory, with about %d bytes",
				ErrMemory, a.Name, a.Size, b.Size, Memory(ref.Spec, ref.Set, sus.Set))
		}
	}
	pool := kernel.NewPool(o.Threads)
	defer pool.Close()
	classes := ref.Spec.Classes
	d := &streamer{
		o: o, pool: pool, scratch: newScratch(pool.Threads()), ref: ref.Set, sus: sus.Set,
		pair:   &pair{classes: classes, suspects: sus.Spec.Classes, ref: r, sus: s, imitated: map[string]*array{}, state: make([]state, len(classes)), pool: pool},
		scales: ones(classes), results: make([]*Result, len(classes)), fixed: make([]bool, len(classes)),
		rescaled: make([]bool, len(classes)),
		seen:     make([][]bool, len(classes)), lists: make([]*shortlist, len(classes)), tallies: map[string]tally{},
	}
	defer func() {
		for _, w := range d.scratch {
			w.serial.Close()
		}
	}()
	if err := d.known(); err != nil {
		return nil, err
	}
	sweeps, err := d.sweep()
	if err != nil {
		return nil, err
	}
	return d.result(sweeps), nil
}

// known enters the matchings that are not asked for.
func (d *streamer) known() error {
	for c := range d.pair.classes {
		class := &d.pair.classes[c]
		d.seen[c] = make([]bool, len(class.Places))
		m := d.o.Known[class.Name]
		if m == nil {
			continue
		}
		if len(m.Sus) != class.Size || len(m.Ref) != class.Size || slices.Contains(m.Sus, -1) || m.Duplicates() > 0 {
			return fmt.Errorf("%w: the known matching of class %s is not one to one", ErrInput, class.Name)
		}
		r := &Result{Matching: *m, Margin: make([]float64, class.Size), Certainty: slices.Repeat([]float64{1}, class.Size), Scale: d.scales[c]}
		d.results[c], d.fixed[c] = r, true
		d.pair.state[c] = state{of: m.Sus, flips: make([]uint64, class.Size)}
	}
	return nil
}

// sweep visits all classes, in the order in which they can be known.
func (d *streamer) sweep() (sweeps int, err error) {
	for left := true; left; sweeps++ {
		left = false
		progress := false
		stuck := ""
		for c := range d.pair.classes {
			if d.pair.state[c].known() {
				continue
			}
			places := d.available(c)
			if !slices.ContainsFunc(places, func(k int) bool { return d.wide(c, k) }) {
				left, stuck = true, d.pair.classes[c].Name
				continue
			}
			if err := d.visit(c, places); err != nil {
				return 0, err
			}
			progress = true
		}
		if left && !progress {
			return 0, fmt.Errorf("%w: no tensor with class %s has other axes that are known, so that it is found only by all tensors together", ErrMemory, stuck)
		}
	}
	var again []int
	for c := range d.pair.classes {
		if !d.fixed[c] && d.worthAgain(c) {
			again = append(again, c)
		}
	}
	for range 2 { // factors of neighbours hang on each other
		if len(again) == 0 {
			break
		}
		for _, c := range again {
			if err := d.visit(c, d.available(c)); err != nil {
				return 0, err
			}
		}
		sweeps++
	}
	return sweeps, nil
}

// available returns the places of a class whose other axes are known.
func (d *streamer) available(c int) []int {
	var out []int
	for k := range d.pair.classes[c].Places {
		if d.pair.available(c, k) {
			out = append(out, k)
		}
	}
	return out
}

// wide reports whether a neuron has more than one number at a place.
func (d *streamer) wide(c, k int) bool {
	place := &d.pair.classes[c].Places[k]
	a := d.pair.ref.arrays[place.Tensor]
	outer, inner := a.split(place.Axis)
	return outer*inner*max(1, place.Run) > 1
}

// worthAgain reports whether places that nothing was known of at the first visit can say
// more of a class.
func (d *streamer) worthAgain(c int) bool {
	class := &d.pair.classes[c]
	unseen := func(f int) bool {
		for k := range class.Places {
			if !d.seen[c][k] && d.wide(c, k) && (f < 0 || powerOf(class.Places[k].Acts, f) != 0) {
				return true
			}
		}
		return false
	}
	if unseen(-1) && mean(d.results[c].Certainty) < certainEnough {
		return true
	}
	for f, gauge := range class.Factors {
		told := false
		for k := range class.Places {
			told = told || d.seen[c][k] && d.wide(c, k) && powerOf(class.Places[k].Acts, f) != 0
		}
		if gauge.scales() && !told && unseen(f) && d.rescaled[c] {
			return true
		}
	}
	return false
}

// touched is how far from one factors have to be, in logarithms, to count: what 16 bits
// round is less.
const touched = 0.01

// certainEnough is the mean certainty of a class that is not visited again.
const certainEnough = 0.99

// visit matches a class by some of its places.
func (d *streamer) visit(c int, places []int) error {
	if d.o.Context != nil && d.o.Context.Err() != nil {
		return context.Cause(d.o.Context)
	}
	var views []*lazyView
	for _, k := range places {
		d.seen[c][k] = true
		v := d.pair.lazyView(c, k, d.ref, d.sus, d.scales, &d.read)
		views = append(views, v)
	}
	list := d.lists[c]
	if list == nil || mean(d.results[c].Certainty) < certainEnough {
		var err error
		if list, err = d.shortlist(views); err != nil {
			return err
		}
	}
	doubt, err := d.decide(c, views, list)
	if err == nil && doubt && list.full != nil {
		_, err = d.decide(c, views, list.full)
	}
	return err
}

// decide matches a class among the candidates, and reports whether it is in doubt about
// any neuron.
func (d *streamer) decide(c int, views []*lazyView, list *shortlist) (doubt bool, err error) {
	class := &d.pair.classes[c]
	n, slots, sus := class.Size, list.slots, list.sus
	e := &evidence{n: n, m: slots}
	if slots == 1 && n > 1 {
		e.m = 2 // see weigh
	}
	e.plain = make([]float32, n*e.m)
	var all []*sums
	others := newStrangers(sus, n, slots)
	for k, v := range views {
		s, err := d.rescore(v, sus, slots, others)
		if err != nil {
			return false, err
		}
		all = append(all, s)
		if v.dim == 1 {
			continue
		}
		if k == list.view {
			s.weigh(e, list.likest)
		} else {
			s.weigh(e, nil)
		}
	}
	total := e.best()
	slot, of, rest, err := choose(total, e.m, sus, n, n, slots)
	if err != nil {
		return false, err
	}
	m, err := NewMatching(of, n)
	if err != nil {
		return false, err
	}
	r := &Result{Matching: *m, Views: e.views, Margin: make([]float64, n)}
	r.Certainty = certainAmong(total, e.m, sus, slot, n, slots)
	d.judge(r, all, total, e.m, sus, slot, rest, slots)
	d.factors(c, r, e, all, slot)
	d.results[c] = r
	d.pair.state[c] = state{of: of, flips: make([]uint64, n)}
	d.lists[c] = list.single(of)
	d.tally(c, all, slot)
	return slices.Min(r.Certainty) < 0.5, nil
}

// shortlist makes sketches, first of the widest view without signs.
func (d *streamer) shortlist(views []*lazyView) (*shortlist, error) {
	groups, width := map[uint64][]int{}, map[uint64]int{}
	for k, v := range views {
		if v.dim == 1 {
			continue
		}
		groups[v.parity] = append(groups[v.parity], k)
		width[v.parity] += v.dim
	}
	parities := slices.Sorted(maps.Keys(groups))
	best := parities[0]
	for _, p := range parities[1:] {
		if best != 0 && width[p] > width[best] {
			best = p
		}
	}
	own := groups[best]
	widest := slices.MaxFunc(own, func(a, b int) int { return views[a].dim - views[b].dim })
	attempts := [][]int{{widest}}
	if len(own) > 1 && best == 0 { // what flips cannot be added up
		attempts = append(attempts, own)
	}
	var list *shortlist
	n := views[0].ref.n
	for _, attempt := range attempts {
		ref, sus := make([]float32, n*lazySketch), make([]float32, n*lazySketch)
		for _, k := range attempt {
			for _, side := range []struct {
				s   *lazySide
				dst []float32
				of  string
			}{{&views[k].ref, ref, "reference"}, {&views[k].sus, sus, "suspect"}} {
				if err := side.s.open(); err != nil {
					return nil, err
				}
				err := views[k].sketch(side.s, k, side.dst, d.pool, d.scratch)
				if errors.Is(err, errNotFinite) {
					err = views[k].notFinite(side.of, side.s)
				}
				side.s.close()
				if err != nil {
					return nil, err
				}
			}
		}
		list = shortlisted(ref, sus, best != 0, d.pool)
		list.view = -1
		if len(attempt) == 1 {
			list.view = attempt[0]
		}
		if list.decided() {
			return list.cut(), nil
		}
	}
	return list, nil
}

// rescore reads a view of both sides.
func (d *streamer) rescore(v *lazyView, sus []int32, slots int, others strangers) (*sums, error) {
	for _, s := range []*lazySide{&v.ref, &v.sus} {
		if err := s.open(); err != nil {
			return nil, err
		}
		defer s.close()
	}
	return v.rescore(sus, slots, others, d.pool, d.scratch)
}

// certainAmong is the posterior of each match among the candidates. Whoever is no
// candidate counts as similar as the last one of them.
func certainAmong(total []float32, stride int, sus []int32, slot []int, n, slots int) []float64 {
	none := absent(n)
	rows, cols := make([]logSum, n), make([]logSum, n)
	for i := range n {
		rows[i].add(none)
		least := math.Inf(1)
		for t := range stride {
			x := float64(total[i*stride+t])
			least = min(least, x)
			if t < slots {
				rows[i].add(x)
				cols[sus[i*slots+t]].add(x)
			}
		}
		if n > slots {
			rows[i].add(least + math.Log(float64(n-slots)))
		}
	}
	out := make([]float64, n)
	for i, t := range slot {
		if t < 0 {
			continue
		}
		x := float64(total[i*stride+t])
		col := cols[sus[i*slots+t]]
		col.add(none)
		out[i] = math.Exp(min(x-rows[i].log(), x-col.log(), 0))
	}
	return out
}

// A logSum is a sum of which logarithms are known; the zero value is 0.
type logSum struct{ top, sum float64 }

func (s *logSum) add(l float64) {
	switch {
	case s.sum == 0:
		s.top, s.sum = l, 1
	case l > s.top:
		s.sum = s.sum*math.Exp(s.top-l) + 1
		s.top = l
	default:
		s.sum += math.Exp(l - s.top)
	}
}

func (s *logSum) log() float64 { return s.top + math.Log(s.sum) }

// judge fills in margins, and names the matches that could as well be others.
func (d *streamer) judge(r *Result, all []*sums, total []float32, stride int, sus []int32, slot, rest []int, slots int) {
	for i, t := range slot {
		silentRef, silentSus := true, true
		for _, s := range all {
			if s.view.dim > 1 {
				silentRef = silentRef && s.xx[i] == 0
				silentSus = silentSus && t >= 0 && s.yy[i*slots+t] == 0
			}
		}
		other := -1
		for u := range stride {
			if u != t && (other < 0 || total[i*stride+u] > total[i*stride+other]) {
				other = u
			}
		}
		if t >= 0 {
			r.Margin[i] = float64(total[i*stride+t]) - absent(1)
			if other >= 0 {
				r.Margin[i] = float64(total[i*stride+t] - total[i*stride+other])
			}
		}
		reason := ""
		switch {
		case silentRef:
			reason = "the reference neuron has no weights: nothing describes it"
		case slices.Contains(rest, i):
			reason = "all that are like it have other partners: it got what remained"
		case silentSus:
			reason = "the matched neuron has no weights left: it is what remained"
		case r.Certainty[i] < 0.5:
			reason = "the evidence does not tell it from others"
		case other >= 0 && r.Margin[i] < 3:
			reason = "another neuron is nearly as similar"
		default:
			continue
		}
		a := Ambiguity{Ref: i, Sus: r.Sus[i], Other: -1, Reason: reason}
		if other >= 0 && other < slots {
			a.Other = int(sus[i*slots+other])
		}
		r.Ambiguous = append(r.Ambiguous, a)
	}
}

// factors finds what each match was multiplied by.
func (d *streamer) factors(c int, r *Result, e *evidence, all []*sums, slot []int) {
	class := &d.pair.classes[c]
	silent := map[string]bool{}
	correlations := map[string]*ViewEvidence{}
	for k := range r.Views {
		silent[r.Views[k].Name] = r.Views[k].Correlation == 0
		correlations[r.Views[k].Name] = &r.Views[k]
	}
	for _, s := range all {
		v := correlations[s.view.name]
		for i, t := range slot {
			if v != nil && t >= 0 {
				x := s.cosine(i*s.slots + t)
				v.LogRatio += math.Copysign(-float64(s.view.dim)/2*math.Log1p(-min(x*x, 1-1e-6)), x)
			}
		}
		if v != nil {
			v.LogRatio = max(0, v.LogRatio)
		}
	}
	out, near := ones(d.pair.classes[c : c+1])[0], ones(d.pair.classes[c : c+1])[0]
	clean := intact(all, slot)
	d.rescaled[c] = scattered(all, slot)
	for i, t := range slot {
		if t < 0 || len(class.Factors) == 0 {
			continue
		}
		var ratios []ratio
		for _, s := range all {
			at := i*s.slots + t
			if s.view.dim > 1 && silent[s.view.name] {
				continue
			}
			if x, ok := newRatio(s.view.acts, s.view.dim, s.xx[i], s.xy[at], s.yy[at]); ok {
				ratios = append(ratios, x)
			}
		}
		logs, errs := solve(class.Factors, ratios)
		flips := e.signs(i*e.m + t)
		for f, gauge := range class.Factors {
			if gauge.scales() {
				out[f][i] = settled(math.Exp(logs[f]), errs[f])
			}
			near[f][i] = out[f][i]
			if gauge.scales() && clean {
				near[f][i] = math.Exp(logs[f])
			}
			if gauge.flips() && flips>>flipBit(class.Factors, f)&1 == 1 {
				out[f][i], near[f][i] = -out[f][i], -near[f][i]
			}
		}
		for _, s := range all { // see Result.contradicted
			at := i*s.slots + t
			x := s.cosine(at) * math.Copysign(1, gainOf(s.view.acts, out, i))
			if s.view.dim > 1 && (x*math.Sqrt(float64(s.view.dim)) < -6 || x < -0.9 && s.view.dim > 8) && r.Certainty[i] > 0 {
				r.Certainty[i] = 0
				r.Ambiguous = append(r.Ambiguous, Ambiguity{Ref: i, Sus: r.Sus[i], Other: -1, Reason: "its weights in " + s.view.name + " have the opposite sign, which is not taken back"})
			}
		}
	}
	d.scales[c] = near
	r.Scale = out
}

// scattered reports whether single numbers with factors, as those of norms, are less alike
// than rows are, so that there are factors.
func scattered(all []*sums, slot []int) bool {
	var alike []float64
	for _, s := range all {
		if s.view.dim > 1 {
			alike = append(alike, s.median(slot))
		}
	}
	for _, s := range all {
		if s.view.dim > 1 || len(s.view.acts) == 0 {
			continue
		}
		var n, x, y, xx, xy, yy, logs float64
		for i, t := range slot {
			if t < 0 || s.xx[i] == 0 || s.xy[i*s.slots+t] == 0 {
				continue
			}
			a := math.Sqrt(s.xx[i])
			b := s.xy[i*s.slots+t] / a
			n, x, y, xx, xy, yy = n+1, x+a, y+b, xx+a*a, xy+a*b, yy+b*b
			l := math.Log(math.Abs(b / a))
			logs += l * l
		}
		if n > 0 && math.Sqrt(logs/n) > touched && cosineOf(xx-x*x/n, xy-x*y/n, yy-y*y/n) < median(alike)-0.1 {
			return true
		}
	}
	return false
}

// median returns the median cosine of pairs, without sign.
func (s *sums) median(slot []int) float64 {
	c := make([]float64, len(slot))
	for i, t := range slot {
		if t >= 0 {
			c[i] = math.Abs(s.cosine(i*s.slots + t))
		}
	}
	return median(c)
}

// intact reports whether pairs are the same but for their factors. Then single numbers,
// as those of norms, tell factors as well as long rows do.
func intact(all []*sums, slot []int) bool {
	const same = 0.9995 // what 16 bits round is less
	for _, s := range all {
		if s.view.dim == 1 {
			continue
		}
		if s.median(slot) < same {
			return false
		}
	}
	return true
}

// tally enters how the tensors of a class agree.
func (d *streamer) tally(c int, all []*sums, slot []int) {
	for k, s := range all {
		place := s.view.ref.t
		if len(place.Shape) < 2 {
			continue
		}
		var t tally
		for i, u := range slot {
			t.n += float64(s.view.dim)
			t.aa += s.xx[i]
			if u < 0 {
				continue
			}
			at := i*s.slots + u
			g := gainOf(all[k].view.acts, d.scales[c], i)
			t.bb += s.yy[at] / (g * g)
			t.ab += s.xy[at] / g
			t.quad += s.quad[at] / (g * g)
		}
		if t.n >= d.tallies[place.Name].n {
			d.tallies[place.Name] = t
		}
	}
}

// result collects what was found. Weights count as in pair.evidence, but for their means,
// which are taken as 0.
func (d *streamer) result(sweeps int) *NetworkResult {
	names := make([]string, 0, len(d.tallies))
	for name := range d.tallies {
		names = append(names, name)
	}
	slices.Sort(names)
	var sum, weights float64
	for _, name := range names {
		t := d.tallies[name]
		if t.aa == 0 || t.bb == 0 {
			continue
		}
		n := t.aa * t.bb / max(t.quad, t.aa*t.bb/t.n)
		sum += n * t.ab / math.Sqrt(t.aa*t.bb)
		weights += n
	}
	out := &NetworkResult{Sweeps: sweeps, Streamed: true, Reads: d.read.Load(), LogChoices: d.pair.choices()}
	if weights > 0 {
		out.Z = sum / math.Sqrt(weights)
	}
	out.LogEvidence = out.Z*math.Abs(out.Z)/2 - out.LogChoices
	out.relate(d.results)
	for c, r := range d.results {
		if !out.Related && !d.fixed[c] {
			clear(r.Certainty)
		}
		out.Classes = append(out.Classes, ClassResult{Name: d.pair.classes[c].Name, Result: *r})
	}
	return out
}
