package assignment

import (
	"fmt"
	"math"
	"slices"
)

// Candidates lists for each row the columns that it may be matched with.
// The zero value has no rows.
type Candidates struct {
	Cols  int       // number of columns
	Start []int     // row i has entries Start[i] to Start[i+1]; one more than rows, or empty
	Col   []int32   // column of each entry, distinct within a row
	Cost  []float64 // finite or +Inf
}

// Rows returns the number of rows.
func (c *Candidates) Rows() int { return max(0, len(c.Start)-1) }

// check refuses lists that would lead out of bounds.
func (c *Candidates) check() error {
	if c.Cols < 0 || c.Cols > math.MaxInt32 || len(c.Start) > math.MaxInt32 || len(c.Col) != len(c.Cost) {
		return fmt.Errorf("%w: %d columns, %d entries with %d costs", ErrCost, c.Cols, len(c.Col), len(c.Cost))
	}
	at := 0
	last := filled(c.Cols)
	for i := range c.Rows() {
		end := c.Start[i+1]
		if c.Start[i] != at || end < at || end > len(c.Col) {
			return fmt.Errorf("%w: row %d has entries %d to %d of %d, after %d", ErrCost, i, c.Start[i], end, len(c.Col), at)
		}
		for k := at; k < end; k++ {
			j := c.Col[k]
			if j < 0 || int(j) >= c.Cols || last[j] == int32(i) {
				return fmt.Errorf("%w: row %d names column %d of %d twice or out of range", ErrCost, i, j, c.Cols)
			}
			last[j] = int32(i)
			if bad(c.Cost[k]) {
				return fmt.Errorf("%w: %v in row %d, column %d", ErrCost, c.Cost[k], i, j)
			}
		}
		at = end
	}
	if at != len(c.Col) {
		return fmt.Errorf("%w: %d entries belong to no row", ErrCost, len(c.Col)-at)
	}
	return nil
}

// transposed returns the lists of the columns.
func (c *Candidates) transposed() *Candidates {
	t := &Candidates{Cols: c.Rows(), Start: make([]int, c.Cols+1), Col: make([]int32, len(c.Col)), Cost: make([]float64, len(c.Col))}
	for _, j := range c.Col {
		t.Start[j+1]++
	}
	for j := range c.Cols {
		t.Start[j+1] += t.Start[j]
	}
	at := slices.Clone(t.Start)
	for i := range c.Rows() {
		for k := c.Start[i]; k < c.Start[i+1]; k++ {
			j := c.Col[k]
			t.Col[at[j]], t.Cost[at[j]] = int32(i), c.Cost[k]
			at[j]++
		}
	}
	return t
}

// Minimize returns the matching of least cost among the candidates. With k
// candidates for each of n rows it takes O(n · (nk + n log n)) steps at worst and
// about O(nk) where most rows get a favourite. Errors are those of [Minimize].
//
// A matching that is optimal among the candidates need not be so among all
// pairs: [MinimizeRows] makes sure.
func (c *Candidates) Minimize(o *Options) (*Solution, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := o.check(c.Rows()); err != nil {
		return nil, err
	}
	if o.alone() == nil && c.Rows() > c.Cols {
		s, err := newSparse(c.transposed(), nil).solve(nil)
		if err != nil {
			return nil, err
		}
		return s.transposed(), nil
	}
	return newSparse(c, o.alone()).solve(o)
}

// Gap is the function [Gap] for lists, of whose rows each has a price for staying alone:
// by how much at most the matching misses the optimum among the candidates. It is +Inf
// if a row has a column that is no candidate of it, or a column two rows.
func (c *Candidates) Gap(s *Solution, o *Options) float64 {
	if o.alone() == nil || len(s.Col) != c.Rows() || len(s.V) != c.Cols {
		return math.Inf(1)
	}
	seen := make([]bool, c.Cols)
	primal, dual := 0.0, 0.0
	for i, j := range s.Col {
		u, own := o.Alone[i], math.Inf(1)
		for k := c.Start[i]; k < c.Start[i+1]; k++ {
			u = min(u, c.Cost[k]-min(s.V[c.Col[k]], 0))
			if int(c.Col[k]) == j {
				own = c.Cost[k]
			}
		}
		dual += u
		switch {
		case j < 0:
			own = o.Alone[i]
		case j >= c.Cols || seen[j]:
			return math.Inf(1)
		default:
			seen[j] = true
		}
		primal += own
	}
	for _, v := range s.V {
		dual += min(v, 0)
	}
	if math.IsInf(primal, 1) {
		return primal
	}
	return primal - dual
}

// sparseSolver is denseSolver for lists. Free columns have v = 0 always.
type sparseSolver struct {
	*Candidates
	alone []float64
	v     []float64
	colOf []int32
	rowOf []int32
	entry []int // of the list, for the column of each row

	dist  []float64
	pred  []int32
	via   []int // the entry that leads from pred to the column
	stamp []int32
	round int32
	done  []int32
	queue columnHeap
}

func newSparse(c *Candidates, alone []float64) *sparseSolver {
	return &sparseSolver{
		Candidates: c, alone: alone,
		v: make([]float64, c.Cols), colOf: filled(c.Rows()), rowOf: filled(c.Cols), entry: make([]int, c.Rows()),
		dist: make([]float64, c.Cols), pred: make([]int32, c.Cols), via: make([]int, c.Cols), stamp: make([]int32, c.Cols),
	}
}

func (s *sparseSolver) solve(o *Options) (*Solution, error) {
	free := make([]int32, s.Rows())
	for i := range free {
		free[i] = int32(i)
	}
	settled := make([]bool, s.Rows())
	free = s.reduceRows(free, settled)
	free = s.reduceRows(free, settled)
	for _, i := range free {
		if !settled[i] && !s.augment(i) {
			return nil, fmt.Errorf("%w: row %d of %d cannot be matched together with the others", ErrInfeasible, i, s.Rows())
		}
	}
	return finish(s.colOf, s.rowOf, s.v, o, func(i, _ int) float64 { return s.Cost[s.entry[i]] }), nil
}

func (s *sparseSolver) price(i int32) float64 {
	if s.alone == nil {
		return math.Inf(1)
	}
	return s.alone[i]
}

// reduceRows is that of denseSolver.
func (s *sparseSolver) reduceRows(free []int32, settled []bool) []int32 {
	var rest []int32
	bids := 8*len(free) + 16
	for k := 0; k < len(free); {
		i := free[k]
		if bids--; bids < 0 {
			return append(rest, free[k:]...)
		}
		u1, u2 := math.Inf(1), math.Inf(1)
		k1, k2 := -1, -1
		for e := s.Start[i]; e < s.Start[i+1]; e++ {
			if h := s.Cost[e] - s.v[s.Col[e]]; h < u1 {
				u1, u2, k1, k2 = h, u1, e, k1
			} else if h < u2 {
				u2, k2 = h, e
			}
		}
		price := s.price(i)
		if price <= u1 {
			k++
			if math.IsInf(price, 1) {
				rest = append(rest, i)
			} else {
				settled[i] = true
			}
			continue
		}
		if price < u2 {
			u2, k2 = price, -1
		}
		if math.IsInf(u2, 1) {
			k++
			rest = append(rest, i)
			continue
		}
		j := s.Col[k1]
		lower := s.v[j] - (u2 - u1)
		strict := lower < s.v[j]
		if strict {
			s.v[j] = lower
		} else if s.rowOf[j] >= 0 && k2 >= 0 {
			k1 = k2
			j = s.Col[k1]
		}
		loser := s.rowOf[j]
		s.colOf[i], s.rowOf[j], s.entry[i] = j, i, k1
		switch {
		case loser < 0:
			k++
		case strict:
			s.colOf[loser] = -1
			free[k] = loser
		default:
			s.colOf[loser] = -1
			rest = append(rest, loser)
			k++
		}
	}
	return rest
}

// augment is that of denseSolver, with a heap in place of a scan.
func (s *sparseSolver) augment(f int32) bool {
	s.round++
	s.done = s.done[:0]
	s.queue = s.queue[:0]
	exit, exitRow := s.price(f), f
	last := int32(-1)
	mu := 0.0
	reach := func(i int32, h float64) {
		for e := s.Start[i]; e < s.Start[i+1]; e++ {
			j := s.Col[e]
			c := s.Cost[e] - s.v[j] - h
			if c < mu { // by rounding
				c = mu
			}
			if math.IsInf(c, 1) || s.stamp[j] == s.round && c >= s.dist[j] {
				continue
			}
			s.stamp[j], s.dist[j], s.pred[j], s.via[j] = s.round, c, i, e
			s.queue.push(queued{c, j})
		}
	}
	mu = math.Inf(-1)
	reach(f, 0)
	for {
		mu = math.Inf(1)
		j := int32(-1)
		for len(s.queue) > 0 {
			q := s.queue.pop()
			if q.dist == s.dist[q.col] { // else it was reached again, cheaper
				mu, j = q.dist, q.col
				break
			}
		}
		if exit <= mu {
			if math.IsInf(exit, 1) {
				return false
			}
			mu = exit
			break
		}
		if s.rowOf[j] < 0 {
			last = j
			break
		}
		s.done = append(s.done, j)
		i := s.rowOf[j]
		h := s.Cost[s.entry[i]] - s.v[j] - mu
		if e := s.price(i) - h; e < exit {
			exit, exitRow = e, i
		}
		reach(i, h)
	}
	for _, j := range s.done {
		s.v[j] += min(0, s.dist[j]-mu)
	}
	end := last
	if end < 0 {
		end = s.colOf[exitRow]
	}
	for j := end; j >= 0; { // the entries, before flip changes the columns
		i := s.pred[j]
		s.entry[i] = s.via[j]
		if i == f {
			break
		}
		j = s.colOf[i]
	}
	flip(f, last, exitRow, s.pred, s.colOf, s.rowOf)
	return true
}

type queued struct {
	dist float64
	col  int32
}

// columnHeap orders columns by distance, then by number, so that ties are always
// decided the same way. (container/heap would allocate for each column.)
type columnHeap []queued

func (h columnHeap) less(a, b int) bool {
	return h[a].dist < h[b].dist || h[a].dist == h[b].dist && h[a].col < h[b].col
}

func (h *columnHeap) push(q queued) {
	*h = append(*h, q)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if !s.less(i, up) {
			break
		}
		s[i], s[up] = s[up], s[i]
		i = up
	}
}

func (h *columnHeap) pop() queued {
	s := *h
	top := s[0]
	n := len(s) - 1
	s[0] = s[n]
	s = s[:n]
	*h = s
	for i := 0; ; {
		least := 2*i + 1
		if least >= n {
			return top
		}
		if least+1 < n && s.less(least+1, least) {
			least++
		}
		if !s.less(least, i) {
			return top
		}
		s[i], s[least] = s[least], s[i]
		i = least
	}
}
