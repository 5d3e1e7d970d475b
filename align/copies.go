package align

import (
	"math"
	"slices"
)

// A making is what makes each neuron of a class of the suspect, seen so that a copy of a neuron
// has the same numbers up to a factor. Where a neuron has several factors that are free of
// each other, as with a depthwise convolution between two norms, there are as many parts.
type making struct {
	class *Class
	parts [][][]float32 // by part and neuron
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
	if _, folded := s.normed(class); free < 2 || folded {
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
		}
	}
	if x.parts == nil {
		x.parts, x.places = [][][]float32{s.makers(class)}, nil
	}
	return x
}

// cosine returns how alike two neurons are made: the cosine of the part in which they are least
// alike, 0 where nothing makes one of them. It is negative for the opposite, of one part.
func (x *making) cosine(j, k int) float64 {
	least := 1.0
	for _, rows := range x.parts {
		jj, kk, jk := inner(rows[j], rows[j]), inner(rows[k], rows[k]), inner(rows[j], rows[k])
		if jj == 0 || kk == 0 {
			return 0
		}
		c := jk / math.Sqrt(jj*kk)
		if len(x.parts) > 1 {
			c = math.Abs(c) // a norm behind takes the sign away
		}
		if math.Abs(c) < math.Abs(least) {
			least = c
		}
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
	sum := 0.0
	for k := range x.class.Places {
		if p := &x.class.Places[k]; p.Role == Outgoing {
			for _, a := range p.Acts {
				sum -= float64(a.Power) * logs[a.Factor]
			}
			break
		}
	}
	return math.Exp(sum)
}
