package lineage

import (
	"cmp"
	"iter"
	"math"
	"slices"

	"ropewalk/symmetry"
)

// A unit is what may be edited at once: the numbers of a neuron at a place, or, where no
// neuron is, one position of an axis.
type unit struct {
	axis      int
	seat      seat // class is -1 where there is none
	positions []int
	differing int // of its numbers
	done      bool
}

// A survey looks for the edits of one tensor: rows and columns first, what they don't explain
// number by number.
type survey struct {
	p     *pairing
	n     *pairedTensor
	diff  []bool
	left  int     // how many differ
	units []*unit // of all axes
	at    [][][]*unit
	edits []Edit
	rows  int // numbers of rows that are others, which nothing but their being so many explains
}

// maxSearch is in how many units others are looked for that may have been put there.
const maxSearch = 64

// survey returns the edits of a tensor, and those numbers that are left.
func (p *pairing) survey(n *pairedTensor) *survey {
	s := &survey{p: p, n: n}
	n.each(func(k int, index []int) {
		if n.differs(k, index) {
			if s.diff == nil {
				s.diff = make([]bool, len(n.x))
			}
			s.diff[k] = true
			s.left++
		}
	})
	if s.left == 0 {
		return s
	}
	s.whole()
	s.group()
	for _, others := range [...]bool{false, true} {
		for u := s.next(); u != nil && p.ctx.Err() == nil; u = s.next() {
			if !s.explain(u, others) {
				u.done = true
			}
		}
		for _, u := range s.units {
			u.done = false
		}
	}
	s.swappedNumbers()
	return s
}

// visible returns how many numbers could show a change by a factor.
func (s *survey) visible(numbers []int) int {
	c := 0
	for _, k := range numbers {
		if s.n.x[k] != 0 || s.n.y[k] != 0 {
			c++
		}
	}
	return c
}

// whole looks for what was done to the tensor as one.
func (s *survey) whole() {
	n := s.n
	all := make([]int, len(n.x))
	for k := range all {
		all[k] = k
	}
	seen := s.visible(all)
	if seen < 4 || 4*s.left < 3*seen {
		return
	}
	zero := true
	for _, y := range n.y {
		zero = zero && y == 0
	}
	if zero {
		s.add(Edit{What: EditTensor, Factor: 0, Size: s.largest(all)}, nil, "is zero everywhere")
		s.clear(all)
		return
	}
	if r, count := s.ratio(all); 4*count >= 3*seen && math.Abs(r-1) > 2*rounds(n.dtype) {
		s.add(Edit{What: EditTensor, Factor: r, Size: s.largest(all)}, nil, "is multiplied by "+short(r)+", which nothing undoes")
		s.divide(all, r)
		return
	}
	if d, count := s.shift(all); len(n.dims) == 1 && 4*count >= 3*len(all) {
		s.add(Edit{What: EditTensor, Size: math.Abs(d)}, nil, "is shifted by "+short(d)+" everywhere")
		for _, k := range all {
			n.y[k] -= d
		}
		s.refresh(all, true)
	}
}

// group finds the units.
func (s *survey) group() {
	n := s.n
	s.at = make([][][]*unit, len(n.dims))
	for a, d := range n.dims {
		s.at[a] = make([][]*unit, d)
		if d < 2 {
			continue
		}
		of := map[seat]*unit{}
		for i := range d {
			var seats []seat
			if n.axes != nil && n.axes[a].seats != nil {
				seats = n.axes[a].seats[i]
			}
			if len(seats) == 0 {
				seats = []seat{{-1, a, i}}
			}
			for _, x := range seats {
				u := of[x]
				if u == nil {
					u = &unit{axis: a, seat: x}
					of[x] = u
					s.units = append(s.units, u)
				}
				u.positions = append(u.positions, i)
				s.at[a][i] = append(s.at[a][i], u)
			}
		}
	}
	for k, d := range s.diff {
		if d {
			s.count(k, 1)
		}
	}
}

// count adds to what the units know of number k.
func (s *survey) count(k, by int) {
	if s.at == nil {
		return
	}
	for a, d := range slices.Backward(s.n.dims) {
		for _, u := range s.at[a][k%d] {
			u.differing += by
		}
		k /= d
	}
}

// runs yields the numbers of a unit, as [from, to), in the order in which those of others
// like it are.
func (s *survey) runs(u *unit) iter.Seq2[int, int] {
	return func(yield func(from, to int) bool) {
		outer, inner := around(s.n.dims, u.axis)
		for o := range outer {
			for _, at := range u.positions {
				base := (o*s.n.dims[u.axis] + at) * inner
				if !yield(base, base+inner) {
					return
				}
			}
		}
	}
}

// numbers returns what runs yields, one by one, in place of what is in list.
func (s *survey) numbers(list []int, u *unit) []int {
	list = slices.Grow(list[:0], len(u.positions)*len(s.n.x)/s.n.dims[u.axis])
	for from, to := range s.runs(u) {
		for k := from; k < to; k++ {
			list = append(list, k)
		}
	}
	return list
}

// shows returns how many numbers of a unit could show a change by a factor.
func (s *survey) shows(u *unit) (count int) {
	for from, to := range s.runs(u) {
		y := s.n.y[from:to]
		for i, x := range s.n.x[from:to] {
			if x != 0 || y[i] != 0 {
				count++
			}
		}
	}
	return count
}

// next returns the unit that most numbers speak for: at least two, and half of those that can.
func (s *survey) next() *unit {
	var best *unit
	most := 0.0
	for _, u := range s.units {
		if u.done || u.differing < 2 || float64(u.differing) < most {
			continue
		}
		seen := s.shows(u)
		if 2*u.differing < seen {
			continue
		}
		score := float64(u.differing) * float64(u.differing) / float64(seen)
		if u.seat.class < 0 {
			score *= 0.999 // of two that are equal the one with a name
		}
		if score > most {
			best, most = u, score
		}
	}
	return best
}

// explain says what was done to a unit; others: also that it is another.
func (s *survey) explain(u *unit, others bool) bool {
	n := s.n
	list := s.numbers(nil, u)
	seen := s.shows(u)
	// A place of the kernel, or of what has no neurons, is no row of anything.
	if u.seat.class < 0 && u.differing < seen {
		return false
	}
	zero, same := true, false
	for _, k := range list {
		zero = zero && n.y[k] == 0
	}
	if zero {
		s.add(Edit{What: EditRow, Size: s.largest(list)}, u, "are zero")
		s.clear(list)
		return true
	}
	if r, count := s.ratio(list); count >= 2 && 2*count >= seen && count > seen-u.differing && math.Abs(r-1) > 2*rounds(n.dtype) {
		s.scaled(u, list, r)
		return true
	}
	if other, back := s.copied(u, list); other != nil {
		e := Edit{What: EditCopied, Other: other.seat.neuron, Size: s.largest(list)}
		if !back {
			s.add(e, u, "are those of "+s.who(other))
			s.clear(list)
			return true
		}
		e.What = EditSwapped
		s.add(e, u, "have changed places with those of "+s.who(other)+", but nothing else has")
		s.clear(list)
		s.clear(s.numbers(nil, other))
		return true
	}
	if others && len(list) >= 4 && 4*u.differing >= 3*seen {
		same = u.differing == len(list)
		text := "are others"
		if !same {
			text = "are mostly others"
		}
		text += ", with a cosine of " + short(s.cosine(list)) + " to what they were"
		s.add(Edit{What: EditRow, Size: s.largest(list)}, u, text)
		s.rows += u.differing
		s.clear(list)
		return true
	}
	return false
}

// scaled notes a unit that was multiplied, and divides by that.
func (s *survey) scaled(u *unit, list []int, r float64) {
	e := Edit{What: EditNorm, Factor: r, Size: s.largest(list)}
	text := "are multiplied by " + short(r) + ", with their direction kept, which nothing undoes"
	if u.seat.class >= 0 && s.p.classes[u.seat.class].Places[u.seat.place].Role == symmetry.Outgoing {
		e.What = EditColumn
		text = "are multiplied by " + short(r) + ", which nothing undoes"
	}
	if r == -1 {
		e.What, text = EditSign, "have the other sign, which nothing undoes"
	}
	s.add(e, u, text)
	s.divide(list, r)
}

// divide takes a factor out of numbers.
func (s *survey) divide(list []int, r float64) {
	for _, k := range list {
		s.n.y[k] /= r
	}
	s.refresh(list, !powerOfTwo(r))
}

// refresh looks again which of the numbers differ, to rounding or exactly.
func (s *survey) refresh(list []int, rounding bool) {
	for _, k := range list {
		if !s.diff[k] {
			// It was as in the reference, so it is not what was done to the others.
			if s.n.x[k] != s.n.y[k] && !s.n.close(s.n.x[k], s.n.y[k]) {
				s.set(k, true)
			}
			continue
		}
		if rounding && s.n.close(s.n.x[k], s.n.y[k]) || !rounding && !s.n.differs(k, s.n.index(k)) {
			s.set(k, false)
		}
	}
}

func (s *survey) set(k int, to bool) {
	if s.diff[k] == to {
		return
	}
	s.diff[k] = to
	by := 1
	if !to {
		by = -1
	}
	s.left += by
	s.count(k, by)
}

// clear takes numbers for explained.
func (s *survey) clear(list []int) {
	for _, k := range list {
		s.set(k, false)
	}
}

// largest returns the largest difference.
func (s *survey) largest(list []int) float64 {
	most := 0.0
	for _, k := range list {
		if s.diff[k] {
			most = max(most, math.Abs(s.n.y[k]-s.n.x[k]))
		}
	}
	return most
}

// ratio returns what most numbers were multiplied by, and how many of them were.
func (s *survey) ratio(list []int) (r float64, count int) {
	var all []float64
	for _, k := range list {
		if x, y := s.n.x[k], s.n.y[k]; x != 0 && y != 0 {
			all = append(all, y/x)
		}
	}
	r, count = mode(all, func(r float64) float64 { return rounds(s.n.dtype) / 4 * math.Abs(r) })
	if e := math.Round(r); e != 0 && math.Abs(r-e) < rounds(s.n.dtype)*math.Abs(e) {
		r = e // rounding hides a number that somebody chose
	}
	return r, count
}

// shift returns what was added to most numbers, and to how many.
func (s *survey) shift(list []int) (d float64, count int) {
	var all []float64
	for _, k := range list {
		all = append(all, s.n.y[k]-s.n.x[k])
	}
	return mode(all, func(float64) float64 { return rounds(s.n.dtype) / 4 * s.n.size })
}

// mode returns the middle of the largest number of values that lie within a width.
func mode(all []float64, width func(float64) float64) (at float64, count int) {
	slices.Sort(all)
	lo, from := 0, 0
	for hi := range all {
		for all[hi]-all[lo] > width(all[hi]) {
			lo++
		}
		if hi-lo+1 > count {
			from, count = lo, hi-lo+1
		}
	}
	if count == 0 {
		return 0, 0
	}
	return all[from+count/2], count
}

// cosine returns that of the numbers on both sides.
func (s *survey) cosine(list []int) float64 {
	var xx, yy, xy float64
	for _, k := range list {
		x, y := s.n.x[k], s.n.y[k]
		xx, yy, xy = xx+x*x, yy+y*y, xy+x*y
	}
	if xx == 0 || yy == 0 {
		return 0
	}
	return xy / math.Sqrt(xx*yy)
}

// copied returns the unit whose numbers are in the place of those of u, and whether it has
// those of u. Factors of either don't matter: who puts a row elsewhere does it in
// another gauge.
func (s *survey) copied(u *unit, list []int) (other *unit, back bool) {
	searched := 0
	var theirs []int
	for _, v := range s.units {
		if v == u || v.axis != u.axis || v.seat.class != u.seat.class || v.seat.place != u.seat.place && u.seat.class >= 0 || len(v.positions) != len(u.positions) {
			continue
		}
		if searched++; searched > 1<<12 {
			break
		}
		theirs = s.numbers(theirs, v)
		if !s.proportional(theirs, list) {
			continue
		}
		if s.proportional(list, theirs) {
			return v, true
		}
		if other == nil {
			other = v
		}
	}
	return other, false
}

// proportional reports whether what the suspect has in to are the numbers that the reference
// has in from, times anything.
func (s *survey) proportional(from, to []int) bool {
	r, n := 0.0, 0
	bad := 0
	for i, k := range from {
		x, y := s.n.x[k], s.n.y[to[i]]
		if x == 0 && y == 0 {
			continue
		}
		n++
		if r == 0 && x != 0 && y != 0 {
			r = y / x
			continue
		}
		if math.Abs(y-r*x) > 4*rounds(s.n.dtype)*math.Abs(r*x) {
			if bad++; bad > 2 && 4*bad > len(from) {
				return false
			}
		}
	}
	return n >= 2 && r != 0 && 4*bad <= n && (n > 2 || bad == 0)
}

// swappedNumbers finds pairs of neurons whose single numbers in a vector were exchanged.
func (s *survey) swappedNumbers() {
	n := s.n
	if s.left < 2 || s.left > 4*maxSearch || len(n.dims) != 1 {
		return
	}
	raw := func(v float64, k int) float64 { // as the suspect has it
		g, _ := n.taken([]int{k})
		if n.eps > 0 && g != 1 {
			return g*(v+n.eps) - n.eps
		}
		return g * v
	}
	for i := range n.x {
		for j := i + 1; j < len(n.x) && s.diff[i]; j++ {
			if !s.diff[j] || n.x[i] == 0 && n.x[j] == 0 {
				continue
			}
			near := func(a, b float64) bool { return math.Abs(a-b) <= rounds(n.dtype)*math.Abs(b) }
			if !near(raw(n.y[i], i), raw(n.x[j], j)) || !near(raw(n.y[j], j), raw(n.x[i], i)) {
				continue
			}
			u, v := s.unitOf(i), s.unitOf(j)
			e := Edit{What: EditSwapped, Other: v.seat.neuron, Size: max(math.Abs(n.y[i]-n.x[i]), math.Abs(n.y[j]-n.x[j]))}
			s.add(e, u, "has changed places with that of "+s.who(v)+", but nothing else has")
			s.clear([]int{i, j})
		}
	}
}

// unitOf returns the unit of a number of a vector.
func (s *survey) unitOf(k int) *unit { return s.at[0][k][0] }

// singles adds the numbers that are left, one by one.
func (s *survey) singles() {
	n := s.n
	for k, d := range s.diff {
		if !d {
			continue
		}
		index := n.index(k)
		e := Edit{What: EditWeight, Size: math.Abs(n.y[k] - n.x[k]), Neuron: -1}
		g, fuzzy := n.taken(index)
		exact := !fuzzy && powerOfTwo(g) && (n.eps == 0 || g == 1)
		if exact {
			e.ULPs = ulps(n.dtype, n.x[k], n.y[k])
		}
		u := s.owner(index)
		if u != nil {
			p := &s.p.classes[u.seat.class].Places[u.seat.place]
			e.Group, e.Neuron = s.p.classes[u.seat.class].Name, u.seat.neuron
			switch {
			case p.Role == symmetry.Statistic:
				e.What = EditStatistic
			case len(n.dims) == 1 && p.Role == symmetry.Parameter:
				e.What = vectorKind(n.name)
			}
		} else if len(n.dims) == 1 {
			e.What = vectorKind(n.name)
		}
		text := "is " + short(n.y[k]) + " and was " + short(n.x[k])
		switch {
		case n.y[k] == -n.x[k] && n.x[k] != 0 && exact:
			e.Factor, text = -1, "has the other sign"
			e.What = EditSign
		case n.x[k] == n.y[k]:
			text = "has the other sign, and is 0"
			e.Same = Yes
		case n.eps > 0 && g != 1 && n.close(n.x[k]+n.eps*(1/g-1), n.y[k]):
			text = "was multiplied by " + short(g) + " without its epsilon of " + short(n.eps)
			e.Same = Nearly
		case e.ULPs > 0 && e.ULPs < 1<<10:
			text += ", " + plural(e.ULPs, "unit") + " in the last place apart"
		}
		s.addAt(e, index, text)
	}
	s.left = 0
}

// owner returns the neuron that a number is of: of those whose row it is in, or column.
func (s *survey) owner(index []int) *unit {
	var best *unit
	for a := range index {
		for _, u := range s.at[a][index[a]] {
			if u.seat.class < 0 {
				continue
			}
			p := &s.p.classes[u.seat.class].Places[u.seat.place]
			if best == nil || p.Role != symmetry.Outgoing && s.p.classes[best.seat.class].Places[best.seat.place].Role == symmetry.Outgoing {
				best = u
			}
		}
	}
	return best
}

// together takes the numbers that are left, and rows that are others, for one edit of the tensor
// if that is most of it.
func (s *survey) together() {
	n := s.n
	seen := 0
	for k := range n.x {
		if n.x[k] != 0 || n.y[k] != 0 {
			seen++
		}
	}
	if c := s.left + s.rows; c < 8 || 2*c <= seen {
		return
	}
	all := make([]int, len(n.x))
	size := 0.0
	for k := range all {
		all[k] = k
		size = max(size, math.Abs(n.y[k]-n.x[k]))
	}
	s.edits = nil
	s.add(Edit{What: EditTensor, Size: size}, nil, "is another, with a cosine of "+short(s.cosine(all))+" to what it was")
	s.clear(all)
}

// add notes an edit of a unit, or, without one, of the tensor.
func (s *survey) add(e Edit, u *unit, text string) {
	if u == nil {
		e.Neuron, e.Tensor, e.OwnTensor = -1, s.n.name, s.ownName()
		e.Text = "tensor " + s.n.name + " " + text
		s.edits = append(s.edits, e)
		return
	}
	index := slices.Repeat([]int{-1}, len(s.n.dims))
	index[u.axis] = u.positions[0]
	e.Neuron = -1
	if u.seat.class >= 0 {
		e.Group, e.Neuron = s.p.classes[u.seat.class].Name, u.seat.neuron
	}
	what := "the weights"
	if len(s.n.dims) == 1 && len(u.positions) == 1 {
		what = "the number"
	}
	e.Tensor, e.OwnTensor, e.Index, e.Own = s.n.name, s.ownName(), index, s.n.own(index)
	e.Text = what + " of " + s.who(u) + " in " + s.n.name + " " + text
	s.edits = append(s.edits, e)
}

// addAt notes an edit of a single number.
func (s *survey) addAt(e Edit, index []int, text string) {
	e.Tensor, e.OwnTensor, e.Index, e.Own = s.n.name, s.ownName(), index, s.n.own(index)
	e.Text = s.n.name + bracketed(index) + " " + text
	s.edits = append(s.edits, e)
}

// ownName is the suspect's name of the tensor, if it is another.
func (s *survey) ownName() string {
	if name := s.p.sourceOf(s.n.name); name != s.n.name {
		return name
	}
	return ""
}

// who names a unit.
func (s *survey) who(u *unit) string {
	if u.seat.class < 0 {
		return "position " + short(float64(u.seat.neuron)) + " of axis " + short(float64(u.axis))
	}
	return "neuron " + short(float64(u.seat.neuron)) + " of " + s.p.classes[u.seat.class].Name
}

// bySize sorts edits, the largest first, and those of equal size by where they are.
func bySize(a, b Edit) int {
	return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Tensor, b.Tensor), slices.Compare(a.Index, b.Index), cmp.Compare(a.What, b.What))
}
