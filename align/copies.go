package align

import (
	"math"
	"slices"
)

// A making is what makes each neuron of a class of the suspect, seen so that a copy of a neuron
// has the same numbers up to a factor. Where a neuron has several factors that are free of
// each other, as with a depthwise convolution between two norms, there are as many parts; and
// where its factor leaves alone a part of what makes it, as the gate of a squeeze, that is one.
type making struct {
	class *Class
	parts [][][]float32 // by part and neuron
	fixed []bool        // parts, if not nil, that no sign of a neuron turns
	// places are the numbers at all places that are not read, by place and neuron, if there
	// are several parts: they say together what the factors of a copy are.
	places [][][]float32
	acts   [][]Act
	flips  bool
}

// made returns the makings of a class.
func (s *side) made(class *Class) *making {
	x := &making{class: class, flips: slices.ContainsFunc(class.Factors, Gauge.flips)}
	free := 0
	for _, g := range class.Factors {
		if g.scales() {
			free++
		}
	}
	_, folded := s.normed(class)
	mixed := class.unequal()
	if folded || free < 2 && !mixed {
		x.parts = [][][]float32{s.makers(class)}
		return x
	}
	for k := range class.Places {
		p := &class.Places[k]
		if p.Role == Outgoing {
			continue
		}
		rows := s.rowsOf(class, func(q *Place) bool { return q == p })
		x.places, x.acts = append(x.places, rows), append(x.acts, p.Acts)
		if p.Role == Incoming && len(rows[0]) > 1 {
			x.parts = append(x.parts, rows)
			if free < 2 {
				x.fixed = append(x.fixed, !slices.ContainsFunc(p.Acts, func(a Act) bool { return a.Odd }))
			}
		}
	}
	if x.parts == nil {
		x.parts, x.places, x.fixed = [][][]float32{s.makers(class)}, nil, nil
	}
	return x
}

// unequal reports whether a factor of the class does not do the same to all weights and
// parameters that make a neuron.
func (c *Class) unequal() bool {
	var first *Place
	for k := range c.Places {
		p := &c.Places[k]
		if p.Role != Incoming && p.Role != Parameter {
			continue
		}
		if first == nil {
			first = p
		} else if !slices.Equal(p.Acts, first.Acts) {
			return true
		}
	}
	return false
}

// cosine returns how alike two neurons are made: the cosine of the part in which they are least
// alike, 0 where nothing makes one of them. It is negative for the opposite, of all parts that a
// sign turns.
func (x *making) cosine(j, k int) float64 {
	least := 1.0
	sign := 0.0
	for p, rows := range x.parts {
		jj, kk, jk := inner(rows[j], rows[j]), inner(rows[k], rows[k]), inner(rows[j], rows[k])
		if jj == 0 || kk == 0 {
			return 0
		}
		c := jk / math.Sqrt(jj*kk)
		switch {
		case x.fixed == nil && len(x.parts) > 1:
			c = math.Abs(c) // a norm behind takes the sign away
		case x.fixed != nil && x.fixed[p] && c < 0:
			return 0
		case x.fixed != nil && !x.fixed[p]:
			if sign*c < 0 {
				return 0
			}
			sign = math.Copysign(1, c)
			c = math.Abs(c)
		}
		if math.Abs(c) < math.Abs(least) {
			least = c
		}
	}
	if sign < 0 {
		return -least
	}
	return least
}

// ratio returns by what neuron k has to be multiplied where it is read to be neuron j, if they
// are copies.
func (x *making) ratio(j, k int) float64 {
	if x.places == nil {
		a, b := x.parts[0][j], x.parts[0][k]
		r := math.Sqrt(inner(a, a) / math.Max(inner(b, b), 1e-300))
		if x.flips && inner(a, b) < 0 {
			r = -r
		}
		return r
	}
	var ratios []ratio
	for p, rows := range x.places {
		a, b := rows[j], rows[k]
		if r, ok := newRatio(x.acts[p], len(a), inner(b, b), inner(a, b), inner(a, a)); ok {
			ratios = append(ratios, r)
		}
	}
	logs, _ := solve(x.class.Factors, ratios)
	sum, odd := 0.0, false
	for k := range x.class.Places {
		if p := &x.class.Places[k]; p.Role == Outgoing {
			for _, a := range p.Acts {
				sum -= float64(a.Power) * logs[a.Factor]
				odd = odd != a.Odd
			}
			break
		}
	}
	if odd && x.fixed != nil && x.cosine(j, k) < 0 {
		return -math.Exp(sum)
	}
	return math.Exp(sum)
}
