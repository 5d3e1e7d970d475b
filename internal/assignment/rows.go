package assignment

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// MinimizeRows solves a dense problem without holding its matrix: row(i, buf)
// returns the costs of row i, in buf (of length cols) or elsewhere, valid until
// the next call. It must return the same costs each time. Without prices for
// staying alone, rows <= cols.
//
// The k cheapest columns of each row are its candidates. When they are matched,
// all rows are computed once more, and pairs that the prices do not rule out
// become candidates, until there are none: then the matching is optimal among
// all pairs. rounds is how often the rows were computed; two, where k was enough.
// 1 <= k; 16 does for related networks.
func MinimizeRows[F Float](rows, cols, k int, row func(i int, buf []F) []F, o *Options) (s *Solution, rounds int, err error) {
	if rows < 0 || cols < 0 || max(rows, cols) > math.MaxInt32 || k < 1 || o.alone() == nil && rows > cols {
		return nil, 0, fmt.Errorf("%w: %d rows, %d columns, %d candidates", ErrCost, rows, cols, k)
	}
	if err := o.check(rows); err != nil {
		return nil, 0, err
	}
	k = min(k, cols)
	lists := make([][]candidate, rows)
	buf := make([]F, cols)
	least, most := math.Inf(1), math.Inf(-1)
	for i := range rows {
		r := row(i, buf)
		if len(r) != cols {
			return nil, 1, fmt.Errorf("%w: row %d has %d costs, want %d", ErrCost, i, len(r), cols)
		}
		for j, c := range r {
			x := float64(c)
			if bad(x) {
				return nil, 1, fmt.Errorf("%w: %v in row %d, column %d", ErrCost, c, i, j)
			}
			if x <= MaxCost {
				least, most = min(least, x), max(most, x)
			}
		}
		lists[i] = cheapest(lists[i], r, k, func(_ int, c F) float64 { return float64(c) })
	}
	// Candidates need not have a complete matching where the whole matrix has one.
	// So a row that must be matched may stay alone at a price above that of any
	// augmenting path.
	for _, x := range o.alone() {
		if x <= MaxCost {
			least, most = min(least, x), max(most, x)
		}
	}
	if rows > 0 && least > most {
		return nil, 1, fmt.Errorf("%w: all pairs of %d rows and %d columns are forbidden", ErrInfeasible, rows, cols)
	}
	opt := &Options{Alone: make([]float64, rows)}
	must := func(i int) bool { return o.alone() == nil || math.IsInf(o.Alone[i], 1) }
	for i := range opt.Alone {
		if must(i) {
			opt.Alone[i] = max(0, most) + 1 + (most-least)*float64(rows+1)
		} else {
			opt.Alone[i] = o.Alone[i]
		}
	}
	for rounds = 1; ; {
		among := gather(lists, cols)
		s, err := among.Minimize(opt)
		if err != nil {
			return nil, rounds, err
		}
		among.cheapen(s)
		rounds++
		added := false
		for i := range rows {
			r := row(i, buf)
			u := s.U[i]
			before := len(lists[i])
			known := lists[i]
			lists[i] = cheapest(known, r, k, func(j int, c F) float64 {
				slack := float64(c) - u - s.V[j]
				if slack >= -1e-12*max(math.Abs(u), math.Abs(s.V[j]), math.Abs(float64(c))) {
					return math.Inf(1)
				}
				return slack
			})
			added = added || len(lists[i]) > before
		}
		if added {
			continue
		}
		for i, j := range s.Col {
			if j < 0 && must(i) {
				return nil, rounds, fmt.Errorf("%w: row %d of %d cannot be matched together with the others", ErrInfeasible, i, rows)
			}
		}
		return s, rounds, nil
	}
}

// cheapen moves, within each matched pair, as much of the price from the row to
// the column as other candidates allow. The prices prove the same, and rule out
// more of the pairs that are not candidates: a row that paid for its favourite as
// much as for its second best would pay as much for any.
func (c *Candidates) cheapen(s *Solution) {
	room := make([]float64, c.Cols)
	for j, v := range s.V {
		room[j] = -v // a price of a column is at most 0
	}
	for i := range c.Rows() {
		for k := c.Start[i]; k < c.Start[i+1]; k++ {
			if j := c.Col[k]; s.Row[j] != i {
				room[j] = min(room[j], c.Cost[k]-s.U[i]-s.V[j])
			}
		}
	}
	for j, i := range s.Row {
		if i >= 0 && room[j] > 0 {
			s.V[j] += room[j]
			s.U[i] -= room[j]
		}
	}
}

type candidate struct {
	cost float64
	col  int32
}

// cheapest appends to list the k columns of r with the least key that it does
// not have. Ties go to the column on the left; a key of +Inf never enters.
func cheapest[F Float](list []candidate, r []F, k int, key func(j int, c F) float64) []candidate {
	type keyed struct {
		key float64
		candidate
	}
	var best []keyed // a sorted list of at most k
	var have map[int32]bool
	if len(list) > 0 {
		have = make(map[int32]bool, len(list))
		for _, c := range list {
			have[c.col] = true
		}
	}
	for j, c := range r {
		x := key(j, c)
		if math.IsInf(x, 1) || len(best) == k && x >= best[k-1].key || have[int32(j)] {
			continue
		}
		if len(best) == k {
			best = best[:k-1]
		}
		at, _ := slices.BinarySearchFunc(best, x, func(b keyed, x float64) int {
			if b.key == x {
				return -1
			}
			return cmp.Compare(b.key, x)
		})
		best = slices.Insert(best, at, keyed{x, candidate{float64(c), int32(j)}})
	}
	for _, b := range best {
		list = append(list, b.candidate)
	}
	return list
}

// gather makes one problem of the lists of rows.
func gather(lists [][]candidate, cols int) *Candidates {
	c := &Candidates{Cols: cols, Start: make([]int, 1, len(lists)+1)}
	for _, l := range lists {
		for _, x := range l {
			c.Col = append(c.Col, x.col)
			c.Cost = append(c.Cost, x.cost)
		}
		c.Start = append(c.Start, len(c.Col))
	}
	return c
}
