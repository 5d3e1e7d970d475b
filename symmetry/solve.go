package symmetry

import "slices"

// A label says which neurons a position of an axis belongs to. It is a slot if it
// is not negative, else the pair, triple, … of slots number ^label in solver.tuples:
// position (i, j) of two axes that were made one belongs to neuron i of the first and
// to neuron j of the second.
type label int32

// A solver keeps which slots are one neuron, and which factors are one number.
//
// Both are solved by unification. All that it takes for granted is sufficient for a
// symmetry, not necessary: it may find too few, never too many.
type solver struct {
	parent []int32 // of slots
	bound  []label // of roots: the tuple that a slot turned out to be, or 0
	why    []int32 // of roots: 0 if they move, else the number of a reason
	tuples [][]label

	reasons   []string
	reasonIDs map[string]int32

	scales scales
}

func newSolver() *solver {
	return &solver{reasons: []string{""}, reasonIDs: map[string]int32{}, tuples: [][]label{nil}}
}

// slot makes a slot that nothing is known of.
func (s *solver) slot() label {
	n := len(s.parent)
	s.parent = append(s.parent, int32(n))
	s.bound = append(s.bound, 0)
	s.why = append(s.why, 0)
	return label(n)
}

func (s *solver) find(x int32) int32 {
	for s.parent[x] != x {
		s.parent[x] = s.parent[s.parent[x]]
		x = s.parent[x]
	}
	return x
}

// resolve returns the root of a slot, or the tuple that it is.
func (s *solver) resolve(l label) label {
	for l >= 0 {
		r := s.find(int32(l))
		if s.bound[r] == 0 {
			return label(r)
		}
		l = s.bound[r]
	}
	return l
}

// compose returns the label of a position in the places of all given labels.
func (s *solver) compose(ls ...label) label {
	if len(ls) == 1 {
		return ls[0]
	}
	s.tuples = append(s.tuples, slices.Clone(ls))
	return label(^(len(s.tuples) - 1))
}

// parts appends the slots of a label, roots all; those that do not move are left out
// unless all is set.
func (s *solver) parts(dst []int32, l label, all bool) []int32 {
	l = s.resolve(l)
	if l >= 0 {
		if all || s.why[l] == 0 {
			dst = append(dst, int32(l))
		}
		return dst
	}
	for _, part := range s.tuples[^l] {
		dst = s.parts(dst, part, all)
	}
	return dst
}

// slots appends the slots of a label that move, as they were before they were made
// one with others.
func (s *solver) slots(dst []label, l label) []label {
	if l >= 0 {
		r := s.find(int32(l))
		if s.bound[r] == 0 {
			if s.why[r] == 0 {
				dst = append(dst, l)
			}
			return dst
		}
		l = s.bound[r]
	}
	for _, part := range s.tuples[^l] {
		dst = s.slots(dst, part)
	}
	return dst
}

// reason returns the number of a reason.
func (s *solver) reason(text string) int32 {
	id, ok := s.reasonIDs[text]
	if !ok {
		id = int32(len(s.reasons))
		s.reasons = append(s.reasons, text)
		s.reasonIDs[text] = id
	}
	return id
}

// fix has all neurons of a label stay.
func (s *solver) fix(l label, reason int32) {
	for _, r := range s.parts(nil, l, true) {
		if s.why[r] == 0 {
			s.why[r] = reason
		}
	}
}

// same makes two labels one.
func (s *solver) same(a, b label) {
	a, b = s.resolve(a), s.resolve(b)
	switch {
	case a == b:
	case a >= 0 && b >= 0:
		if s.why[b] == 0 {
			s.why[b] = s.why[a]
		}
		s.parent[a] = int32(b)
	case a >= 0:
		s.bind(a, b)
	case b >= 0:
		s.bind(b, a)
	default:
		x, y := s.parts(nil, a, true), s.parts(nil, b, true)
		if len(x) != len(y) {
			x, y = s.parts(nil, a, false), s.parts(nil, b, false)
		}
		if len(x) != len(y) {
			r := s.reason("blocks that do not fit each other")
			s.fix(a, r)
			s.fix(b, r)
			return
		}
		for i := range x {
			s.same(label(x[i]), label(y[i]))
		}
	}
}

// bind has slot a be the tuple b.
func (s *solver) bind(a, b label) {
	in := s.parts(nil, b, true)
	if slices.Contains(in, int32(a)) {
		s.fix(b, s.reason("an axis that is made of itself"))
		return
	}
	if s.why[a] != 0 {
		s.fix(b, s.why[a])
	}
	s.bound[a] = b
}

// A mono is a product of factors: what the numbers at a position are multiplied by.
// Nil is 1.
type mono []term

// A term is |v|^p, times the sign of v if odd.
type term struct {
	v   int32
	p   int8
	odd bool
}

// scales are the factors.
type scales struct {
	bound  []mono // what a factor turned out to be
	is     []bool // whether it did
	mag    []bool // whether the magnitude of an unbound factor is free
	sign   []bool // and its sign
	frozen int    // how many were restricted: to see progress
}

func (s *scales) fresh() mono {
	s.bound = append(s.bound, nil)
	s.is = append(s.is, false)
	s.mag = append(s.mag, true)
	s.sign = append(s.sign, true)
	return mono{{int32(len(s.is) - 1), 1, true}}
}

// maxPower bounds powers on the way, and maxTerms products; what is larger has its
// factors be 1.
const (
	maxPower = 16
	maxTerms = 16
)

// norm returns m in terms of factors that are free, sorted.
func (s *scales) norm(m mono) mono {
	if len(m) == 0 {
		return nil
	}
	if t := m[0]; len(m) == 1 && !s.is[t.v] && s.mag[t.v] && s.sign[t.v] {
		return m
	}
	return s.tidy(s.expand(nil, m, 1, true))
}

func (s *scales) expand(dst, m mono, p int, odd bool) mono {
	for _, t := range m {
		q, o := int(t.p)*p, t.odd && odd
		switch {
		case s.is[t.v]:
			// (|b|^q)(sgn b)^o, where b is a product itself; what it comes to is kept, or
			// long chains would be followed again and again.
			s.bound[t.v] = s.norm(s.bound[t.v])
			dst = s.expand(dst, s.bound[t.v], q, o)
		default:
			if !s.mag[t.v] {
				q = 0
			}
			if q > maxPower || q < -maxPower {
				s.kill(t.v, true, true)
				continue
			}
			dst = append(dst, term{t.v, int8(q), o && s.sign[t.v]})
		}
	}
	return dst
}

// tidy sorts, and adds up the powers of the same factor.
func (s *scales) tidy(m mono) mono {
	slices.SortStableFunc(m, func(a, b term) int { return int(a.v - b.v) })
	out := m[:0]
	for _, t := range m {
		if n := len(out); n > 0 && out[n-1].v == t.v {
			out[n-1].p += t.p
			out[n-1].odd = out[n-1].odd != t.odd
		} else {
			out = append(out, t)
		}
		if t := out[len(out)-1]; t.p > maxPower || t.p < -maxPower {
			s.kill(t.v, true, true)
			out = out[:len(out)-1]
		}
	}
	out = slices.DeleteFunc(out, func(t term) bool { return t.p == 0 && !t.odd })
	if len(out) > maxTerms {
		for _, t := range out {
			s.kill(t.v, true, true)
		}
		out = nil
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func (s *scales) mul(a, b mono) mono {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	return s.tidy(slices.Concat(s.norm(a), s.norm(b)))
}

func (s *scales) inverse(m mono) mono {
	out := make(mono, len(m))
	for i, t := range m {
		out[i] = term{t.v, -t.p, t.odd}
	}
	return out
}

// square returns m².
func (s *scales) square(m mono) mono { return s.tidy(s.expand(nil, m, 2, false)) }

// signOf returns the sign of m.
func (s *scales) signOf(m mono) mono { return s.tidy(s.expand(nil, m, 0, true)) }

// abs returns |m|.
func (s *scales) abs(m mono) mono { return s.tidy(s.expand(nil, m, 1, false)) }

// positive has m be positive.
func (s *scales) positive(m mono) {
	for _, t := range s.norm(m) {
		if t.odd {
			s.kill(t.v, false, true)
		}
	}
}

// unit has |m| be 1.
func (s *scales) unit(m mono) {
	for _, t := range s.norm(m) {
		if t.p != 0 {
			s.kill(t.v, true, false)
		}
	}
}

// freeze has m be 1 by having all its factors be 1, or of size 1, or positive.
func (s *scales) freeze(m mono) {
	for _, t := range s.norm(m) {
		s.kill(t.v, t.p != 0, t.odd)
	}
}

// kill restricts a factor that is not bound.
func (s *scales) kill(v int32, mag, sign bool) {
	s.mag[v] = s.mag[v] && !mag
	s.sign[v] = s.sign[v] && !sign
	s.frozen++
}

// give has a factor that stands alone be m. What the factor may not be, m may not be
// either.
func (s *scales) give(alone, m mono) {
	alone, m = s.norm(alone), s.norm(m)
	if len(alone) != 1 {
		return
	}
	if alone[0].p == -1 {
		alone, m = s.inverse(alone), s.inverse(m)
	}
	t := alone[0]
	free := t.p == 1 && t.odd
	positive := t.p == 1 && !s.sign[t.v]
	unit := t.p == 0 && !s.mag[t.v]
	if !free && !positive && !unit || slices.ContainsFunc(m, func(u term) bool { return u.v == t.v }) {
		return
	}
	if !s.sign[t.v] {
		s.positive(m)
	}
	if !s.mag[t.v] {
		s.unit(m)
	}
	s.bound[t.v], s.is[t.v] = s.norm(m), true
}

// equal makes a and b one number. If one of them stands alone, it becomes the other, and
// not one of the factors of that: so all positions are alike.
func (s *scales) equal(a, b mono) {
	a, b = s.norm(a), s.norm(b)
	switch {
	case len(a) == 1 && len(b) > 1:
		s.give(a, b)
	case len(b) == 1 && len(a) > 1:
		s.give(b, a)
	}
	s.one(s.mul(a, s.inverse(b)))
}

// one has m be 1.
func (s *scales) one(m mono) {
	m = s.norm(m)
	if len(m) == 0 {
		return
	}
	// A factor that appears as itself can be what makes the rest 1: the newest, so that
	// what reads gets the factor of what it reads.
	at := -1
	for i, t := range m {
		if t.odd && (t.p == 1 || t.p == -1) && (at < 0 || t.v > m[at].v) {
			at = i
		}
	}
	if at < 0 || len(m) == 1 {
		s.freeze(m)
		return
	}
	v := m[at]
	rest := append(slices.Clone(m[:at]), m[at+1:]...)
	if !s.sign[v.v] {
		s.positive(rest)
	}
	if !s.mag[v.v] {
		s.unit(rest)
	}
	if v.p == 1 {
		rest = s.inverse(rest)
	}
	s.bound[v.v], s.is[v.v] = s.norm(rest), true
}
