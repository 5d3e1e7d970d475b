package align

import (
	"math/bits"
	"slices"
)

// maxFlips bounds the factors of a class that flip signs: a set of them is a number.
const maxFlips = 64

// A signedPart is evidence of views whose numbers change their sign with the same factors:
// those in parity, which is not empty. Its sum is of the cosines as they are.
type signedPart struct {
	parity uint64
	sum    []float32
}

// A signPlan says how signs of factors make signs of parts. Some parts, the basis, can
// have any signs; those of the others follow. (Parities are vectors over GF(2).)
type signPlan struct {
	basis  []int    // numbers of parts
	of     []uint64 // of each part: which of the basis its sign is the product of
	pivots []int    // of each of the basis: a factor
	solves []uint64 // and the members of the basis whose signs say whether it flips
}

func newSignPlan(parts []signedPart) *signPlan {
	p := &signPlan{}
	type row struct {
		bits, in uint64 // what is left of a parity, and of which of the basis it is made
		pivot    int
	}
	var rows []row
	for k := range parts {
		r := row{bits: parts[k].parity}
		for _, q := range rows {
			if r.bits>>q.pivot&1 == 1 {
				r.bits, r.in = r.bits^q.bits, r.in^q.in
			}
		}
		if r.bits == 0 {
			p.of = append(p.of, r.in)
			continue
		}
		own := uint64(1) << len(p.basis)
		p.basis, p.of = append(p.basis, k), append(p.of, own)
		r.in ^= own
		r.pivot = bits.TrailingZeros64(r.bits)
		for i := range rows {
			if rows[i].bits>>r.pivot&1 == 1 {
				rows[i].bits, rows[i].in = rows[i].bits^r.bits, rows[i].in^r.in
			}
		}
		rows = append(rows, r)
	}
	for _, r := range rows {
		p.pivots, p.solves = append(p.pivots, r.pivot), append(p.solves, r.in)
	}
	return p
}

// flips returns which factors flip, so that the members of the basis in negative do.
func (p *signPlan) flips(negative uint64) uint64 {
	f := uint64(0)
	for t, pivot := range p.pivots {
		f |= uint64(bits.OnesCount64(p.solves[t]&negative)&1) << pivot
	}
	return f
}

// fewSigns are so few that all choices are tried where parts are not independent.
const fewSigns = 4

// best returns the largest sum of signed parts at place k over all choices of signs, and
// which members of the basis are negative then. It is exact if the parts are independent,
// as those of streams are, or have no more than a few signs; else no single sign can be
// turned for a larger sum.
func (p *signPlan) best(parts []signedPart, k int) (sum float32, negative uint64) {
	if len(p.basis) == len(parts) {
		for t, i := range p.basis {
			x := parts[i].sum[k]
			if x < 0 {
				x, negative = -x, negative|1<<t
			}
			sum += x
		}
		return sum, negative
	}
	of := func(negative uint64) float32 {
		s := float32(0)
		for i := range parts {
			x := parts[i].sum[k]
			if bits.OnesCount64(p.of[i]&negative)&1 == 1 {
				x = -x
			}
			s += x
		}
		return s
	}
	if len(p.basis) <= fewSigns {
		sum = of(0)
		for n := uint64(1); n < 1<<len(p.basis); n++ {
			if s := of(n); s > sum {
				sum, negative = s, n
			}
		}
		return sum, negative
	}
	for t, i := range p.basis {
		if parts[i].sum[k] < 0 {
			negative |= 1 << t
		}
	}
	sum = of(negative)
	for better := true; better; {
		better = false
		for t := range p.basis {
			if s := of(negative ^ 1<<t); s > sum {
				sum, negative, better = s, negative^1<<t, true
			}
		}
	}
	return sum, negative
}

// part returns the sums of a parity, made if they are not there.
func (e *evidence) part(parity uint64, size int) []float32 {
	k := slices.IndexFunc(e.signed, func(p signedPart) bool { return p.parity == parity })
	if k < 0 {
		k = len(e.signed)
		e.signed, e.plan = append(e.signed, signedPart{parity, make([]float32, size)}), nil
	}
	return e.signed[k].sum
}

// best returns the evidence of each pair with the signs that suit it best.
func (e *evidence) best() []float32 {
	total := slices.Clone(e.plain)
	if len(e.signed) == 0 {
		return total
	}
	for k := range total {
		x, _ := e.signPlan().best(e.signed, k)
		total[k] += x
	}
	return total
}

func (e *evidence) signPlan() *signPlan {
	if e.plan == nil {
		e.plan = newSignPlan(e.signed)
	}
	return e.plan
}

// signs returns the choice of signs that suits place k best: bit b for a flip of the
// b-th factor that can.
func (e *evidence) signs(k int) uint64 {
	if len(e.signed) == 0 {
		return 0
	}
	p := e.signPlan()
	_, negative := p.best(e.signed, k)
	return p.flips(negative)
}

// parity returns which of a class's sign flips change the sign of what has these acts,
// as a set of bits: bit k for the k-th factor that flips.
func parity(factors []Gauge, acts []Act) uint64 {
	set, k := uint64(0), 0
	for f, g := range factors {
		if !g.flips() {
			continue
		}
		for _, a := range acts {
			if a.Factor == f && a.Odd {
				set ^= 1 << k
			}
		}
		k++
	}
	return set
}

// odd reports whether the given flips change the sign of what is at a place.
func odd(factors []Gauge, acts []Act, flips uint64) bool {
	return bits.OnesCount64(flips&parity(factors, acts))&1 == 1
}
