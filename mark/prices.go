package mark

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// Prices are what it costs to move each weight of a tensor to the next level, up or down,
// in any unit that is the same for all tensors. Infinite ones are moves that cannot be.
type Prices struct {
	Tensor   string
	Up, Down []float32 // of each weight, row-major
}

// A Move is a weight that goes to the next level.
type Move struct {
	Tensor int // of the list of prices
	Index  int // row-major
	Up     bool
}

// PlanMoves returns the parameters of a mark of scheme grid for who knows better than
// [Scheme.Embed] what moves cost, as training for a small file does: see [ChooseMoves].
// Set is the unmarked network, on its levels. What the moves do to it is not bounded:
// MaxChange and Original of o say nothing. The errors are [ErrNetwork], [ErrCapacity] and
// [ErrOptions].
func PlanMoves(set *tensor.Set, key *Key, o *Options) (*Parameters, error) {
	p, _, err := planMoves(set, key, or(o))
	return p, err
}

// ChooseMoves returns the moves that write the mark of p: the cheapest ones in the
// directions that the key says, moves of equal price evenly. Prices are those of the
// tensors of p, in their order. Too few possible moves are an [ErrCapacity].
func ChooseMoves(key *Key, p *Parameters, prices []Prices) ([]Move, error) {
	if p.Scheme != (grid{}).Name() || len(prices) != len(p.Tensors) {
		return nil, fmt.Errorf("%w: moves are of scheme grid, and prices of each of its tensors; they are of %s, and %d of %d", ErrOptions, p.Scheme, len(prices), len(p.Tensors))
	}
	var code []int8
	if p.Bits > 0 {
		var err error
		if code, err = p.chips(key); err != nil {
			return nil, err
		}
	}
	all := make([][]move, len(prices))
	err := inParallel(len(prices), func(i int) error {
		q := prices[i]
		if q.Tensor != p.Tensors[i] || len(q.Up) != len(q.Down) {
			return fmt.Errorf("%w: prices %d are of %d and %d weights of %q, want those of %q", ErrOptions, i, len(q.Up), len(q.Down), q.Tensor, p.Tensors[i])
		}
		l, err := key.Layer(p.Scheme, q.Tensor)
		if err != nil {
			return err
		}
		d := make([]float32, len(q.Up))
		newCarrier(&l, len(code)).fill(d, 0, 1, code)
		for j, sign := range d {
			price := q.Up[j]
			if sign < 0 {
				price = q.Down[j]
			}
			if math.IsInf(float64(price), 0) || price != price {
				continue
			}
			m := move{tensor: i, index: j, cost: float64(price), tie: scatter(i, j)}
			if sign > 0 {
				m.to = 1
			}
			all[i] = append(all[i], m)
		}
		slices.SortStableFunc(all[i], byCost)
		all[i] = all[i][:min(len(all[i]), p.Moves)]
		return nil
	})
	if err != nil {
		return nil, err
	}
	list := slices.Concat(all...)
	slices.SortStableFunc(list, byCost)
	if len(list) < p.Moves {
		return nil, fmt.Errorf("%w: %d weights can be moved, and %d should be", ErrCapacity, len(list), p.Moves)
	}
	moves := make([]Move, p.Moves)
	for i, m := range list[:p.Moves] {
		moves[i] = Move{Tensor: m.tensor, Index: m.index, Up: m.to == 1}
	}
	return moves, nil
}
