// Package assignment solves linear assignment problems: which row goes with
// which column, each at most once, so that the sum of the costs is least.
//
// [Minimize] takes a dense matrix, [Candidates.Minimize] a few candidates for
// each row, and [MinimizeRows] a matrix too large to hold, row by row. All three
// are exact for what they are given, and say so in a way that can be checked: a
// [Solution] carries dual prices, and [Solution.Gap] turns them into a bound on
// how far from the optimum the solution can be, whoever made it.
//
// The method is that of Jonker and Volgenant (Computing 38, 1987): cheap
// reductions match most rows, then a shortest augmenting path matches each of
// the rest. The worst case is O(n³) steps for n rows; where most rows have a
// clear favourite, as two related networks have, it is near O(n²).
//
// Forbidden pairs have the cost +Inf. Rows can be given a price for staying
// alone ([Options.Alone]); without it every row is matched if there are at least
// as many columns, else every column.
//
// Results are deterministic: they depend on the arguments only. Among several
// optima the choice is fixed, but not specified. Nothing is retained.
package assignment

import (
	"errors"
	"fmt"
	"math"
)

// MaxCost bounds the magnitude of finite costs: sums of a few of them must stay
// far from the end of float64.
const MaxCost = 1e100

// ErrInfeasible reports that forbidden pairs leave no complete matching.
var ErrInfeasible = errors.New("assignment: no complete matching exists")

// ErrCost reports costs that mean nothing: NaN, -Inf, or above [MaxCost].
var ErrCost = errors.New("assignment: invalid cost")

// Float is what costs are made of. Sums and prices are float64 in any case.
type Float interface{ ~float32 | ~float64 }

// Options changes what is asked for. The nil Options ask for a complete matching.
type Options struct {
	// Alone holds the cost of leaving each row without a column, finite or
	// +Inf for "must be matched". nil means that all rows must be matched, or
	// all columns where there are fewer of them.
	Alone []float64
}

// A Solution is a matching with the prices that prove it.
//
// The prices obey U[i]+V[j] <= cost(i,j) for every allowed pair, with equality
// for matched pairs, up to rounding. The side that need not be matched
// completely has prices <= 0, and 0 where it stays alone; U[i] <= Alone[i], with
// equality for a row left alone.
type Solution struct {
	Col  []int     // column of each row, or -1
	Row  []int     // row of each column, or -1
	U    []float64 // price of each row
	V    []float64 // price of each column
	Cost float64   // sum over matched pairs, and Alone of rows left alone
}

// Gap returns by how much at most the matching misses the optimum of the problem
// whose rows the function row returns (length len(s.Col) calls, each a slice of
// len(s.Row) costs, valid until the next call). It trusts nothing but the
// matching: prices that break a rule are lowered first. A small multiple of the
// rounding error means optimal. It is +Inf if the matching uses a forbidden pair,
// matches a column twice, or leaves a row alone that must not be.
func Gap[F Float](s *Solution, o *Options, row func(i int) []F) float64 {
	seen := make([]bool, len(s.Row))
	v := make([]float64, len(s.Row))
	// Where all columns must be matched, their prices are free and those of the
	// rows are not.
	rowsFree := o.alone() == nil && len(s.Col) <= len(s.Row)
	colsFree := o.alone() == nil && len(s.Col) >= len(s.Row)
	for j, x := range s.V {
		v[j] = x
		if !colsFree {
			v[j] = min(x, 0)
		}
	}
	var primal, dual float64
	matched := 0
	for i, j := range s.Col {
		r := row(i)
		u := math.Inf(1)
		for k, c := range r {
			u = min(u, float64(c)-v[k])
		}
		switch {
		case o.alone() != nil:
			u = min(u, o.Alone[i])
		case !rowsFree:
			u = min(u, 0)
		}
		dual += u
		switch {
		case j >= 0:
			if j >= len(seen) || seen[j] {
				return math.Inf(1)
			}
			seen[j] = true
			matched++
			primal += float64(r[j])
		case o.alone() != nil:
			primal += o.Alone[i]
		}
	}
	if o.alone() == nil && matched != min(len(s.Col), len(s.Row)) {
		return math.Inf(1)
	}
	for _, x := range v {
		dual += x
	}
	if math.IsInf(primal, 1) {
		return primal
	}
	return primal - dual
}

func (o *Options) alone() []float64 {
	if o == nil {
		return nil
	}
	return o.Alone
}

// check refuses prices for staying alone that mean nothing.
func (o *Options) check(rows int) error {
	if o.alone() == nil {
		return nil
	}
	if len(o.Alone) != rows {
		return fmt.Errorf("%w: %d prices for staying alone, want one for each of %d rows", ErrCost, len(o.Alone), rows)
	}
	for i, c := range o.Alone {
		if bad(c) {
			return fmt.Errorf("%w: staying alone costs %v in row %d", ErrCost, c, i)
		}
	}
	return nil
}

// bad reports whether c is neither a cost nor the mark of a forbidden pair.
func bad(c float64) bool {
	return !(c >= -MaxCost && (c <= MaxCost || math.IsInf(c, 1))) // true for NaN
}

// finish makes a solution of the columns of rows and the prices of columns.
// cost returns the cost of a pair that is matched.
func finish(colOf, rowOf []int32, v []float64, o *Options, cost func(i, j int) float64) *Solution {
	s := &Solution{Col: make([]int, len(colOf)), Row: make([]int, len(rowOf)), U: make([]float64, len(colOf)), V: v}
	for j, i := range rowOf {
		s.Row[j] = int(i)
	}
	for i, j := range colOf {
		s.Col[i] = int(j)
		if j < 0 {
			s.U[i] = o.Alone[i]
			s.Cost += o.Alone[i]
			continue
		}
		c := cost(i, int(j))
		s.U[i] = c - v[j]
		s.Cost += c
	}
	return s
}

// transposed exchanges rows and columns of s.
func (s *Solution) transposed() *Solution {
	return &Solution{Col: s.Row, Row: s.Col, U: s.V, V: s.U, Cost: s.Cost}
}
