package quant

import (
	"fmt"
	"math"
	"slices"
)

// A Choice picks a symbol for the weight at index i. cost tells the bits that
// a symbol would take there, in 1/65536 bit, and is valid during the call only.
type Choice func(i int, cost func(sym int) uint32) int

// A Coder runs an adaptive model over a tensor's weights in order: it asks
// choose for each symbol, learns it as if coded, and returns all of them. It
// may look at q for the number and the values of the levels, and must not keep it.
type Coder func(q *Quantized, choose Choice) []uint16

// Choose returns a Choice which minimizes s·(w - value)² + lambda·bits, for the
// lambda that q was made with. It tries the nearest level, its neighbour on the
// other side of the weight, the one nearer to zero, and zero (the most frequent
// level if there is no zero). w and sens are those of q; sens may be nil. The
// Choice may be used until the levels of q change.
//
// A coder whose blocks hold several tensors joins their Choices into one.
func (q *Quantized) Choose(w, sens []float32) Choice {
	q.match(w, &sens)
	levels := make([]float64, len(q.Levels))
	for i, l := range q.Levels {
		levels[i] = float64(l)
	}
	c := nearest(levels)
	rest := q.rest()
	return func(i int, cost func(sym int) uint32) int {
		channel := i / q.fit.row
		x, unit, s := float64(w[i]), 1.0, 1.0
		if q.Scales != nil {
			unit = float64(q.Scales[channel])
			x /= unit
		}
		if sens != nil {
			s = float64(sens[i])
		}
		s = float64(s*unit) * unit
		perBit := q.fit.lambda[channel] * (1.0 / 65536)

		near := c.symbol(x)
		best, least := near, math.Inf(1)
		try := func(k int) {
			d := x - levels[k]
			if v := float64(float64(s*d)*d) + float64(perBit*float64(cost(k))); v < least {
				best, least = k, v
			}
		}
		try(near)
		inner, other := near+1, near+1
		if near > rest {
			inner = near - 1
		}
		if x < levels[near] {
			other = near - 1
		}
		if near != rest {
			try(rest)
			if inner != rest {
				try(inner)
			}
		} else {
			inner = rest
		}
		if other >= 0 && other < len(levels) && other != rest && other != inner {
			try(other)
		}
		return best
	}
}

// Assign chooses the symbols again by what they really cost, and fits the levels
// to them: Choose, Refit, and once more with the levels that came of it. It does
// nothing to a tensor of one level. Each call of code starts with a new model.
func (q *Quantized) Assign(w, sens []float32, code Coder) {
	for range 2 {
		if len(q.Levels) < 2 {
			return
		}
		q.Refit(w, sens, code(q, q.Choose(w, sens)))
	}
}

// Refit takes over symbols (keeping the slice) that were chosen for the present
// levels, drops levels that are not used and fits the others as far as the
// method lets them move. A user's levels stay, and so do those of Lloyd.
func (q *Quantized) Refit(w, sens []float32, symbols []uint16) {
	q.match(w, &sens)
	if len(symbols) != len(q.Symbols) {
		panic(fmt.Sprintf("quant: %d symbols for %d weights", len(symbols), len(q.Symbols)))
	}
	q.Symbols = symbols
	if !q.fit.move {
		q.measure(w)
		return
	}
	levels := make([]float64, len(q.Levels))
	for i, l := range q.Levels {
		levels[i] = float64(l)
	}
	q.refit(w, sens, levels)
}

// match panics if the slices are not those of another call; it sets
// sensitivities that count for nothing to nil.
func (q *Quantized) match(w []float32, sens *[]float32) {
	if !q.fit.sens {
		*sens = nil
	}
	if len(w) != len(q.Symbols) || *sens != nil && len(*sens) != len(w) {
		panic(fmt.Sprintf("quant: %d weights and %d sensitivities for %d symbols", len(w), len(*sens), len(q.Symbols)))
	}
}

// rest returns the symbol of level zero or else the most frequent one.
func (q *Quantized) rest() int {
	if i, ok := slices.BinarySearch(q.Levels, 0); ok {
		return i
	}
	count := make([]int, len(q.Levels))
	best := 0
	for _, s := range q.Symbols {
		count[s]++
	}
	for i, n := range count {
		if n > count[best] {
			best = i
		}
	}
	return best
}
