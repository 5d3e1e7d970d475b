package assignment

import (
	"fmt"
	"math"
)

// Minimize returns the matching of least cost. cost is a row-major matrix of
// rows × cols. It takes O(rows² · cols) steps at worst, and memory of
// O(rows + cols); a matrix with more rows than columns, all of which must be
// matched, is transposed first, into a copy.
//
// Errors are [ErrCost] and [ErrInfeasible], wrapped with the place.
func Minimize[F Float](rows, cols int, cost []F, o *Options) (*Solution, error) {
	if rows < 0 || cols < 0 || max(rows, cols) > math.MaxInt32 || rows*cols != len(cost) {
		return nil, fmt.Errorf("%w: %d numbers for %d rows and %d columns", ErrCost, len(cost), rows, cols)
	}
	for k, c := range cost {
		if bad(float64(c)) {
			return nil, fmt.Errorf("%w: %v in row %d, column %d", ErrCost, c, k/cols, k%cols)
		}
	}
	if err := o.check(rows); err != nil {
		return nil, err
	}
	if o.alone() == nil && rows > cols {
		t := make([]F, len(cost))
		for i := range rows {
			for j := range cols {
				t[j*rows+i] = cost[i*cols+j]
			}
		}
		s, err := solve(cols, rows, t, nil)
		if err != nil {
			return nil, err
		}
		return s.transposed(), nil
	}
	return solve(rows, cols, cost, o)
}

// Maximize returns the matching of greatest value: [Minimize] of the negated
// values. Pairs of value -Inf are forbidden. The prices of the solution obey
// U[i]+V[j] >= value(i,j), and Alone holds values, too.
func Maximize[F Float](rows, cols int, value []F, o *Options) (*Solution, error) {
	neg := make([]F, len(value))
	for k, x := range value {
		neg[k] = -x
	}
	if o.alone() != nil {
		alone := make([]float64, len(o.Alone))
		for i, x := range o.Alone {
			alone[i] = -x
		}
		o = &Options{Alone: alone}
	}
	s, err := Minimize(rows, cols, neg, o)
	if err != nil {
		return nil, err
	}
	for _, p := range [][]float64{s.U, s.V} {
		for i := range p {
			p[i] = -p[i]
		}
	}
	s.Cost = -s.Cost
	return s, nil
}

// denseSolver is the state of one dense problem with rows <= cols, or with a price
// for staying alone. Only the prices v of columns are kept: that of a matched
// row follows from its column. Free columns have v = 0 unless the problem is
// square and complete.
type denseSolver[F Float] struct {
	rows, cols int
	cost       []F
	alone      []float64 // nil if all rows must be matched
	v          []float64
	colOf      []int32 // -1: free or alone
	rowOf      []int32

	// For augment:
	dist []float64
	pred []int32
	todo []int32 // permutation of columns: ready, then to scan, then the others
}

func solve[F Float](rows, cols int, cost []F, o *Options) (*Solution, error) {
	d := &denseSolver[F]{
		rows: rows, cols: cols, cost: cost, alone: o.alone(),
		v: make([]float64, cols), colOf: filled(rows), rowOf: filled(cols),
		dist: make([]float64, cols), pred: make([]int32, cols), todo: make([]int32, cols),
	}
	if rows == cols && d.alone == nil {
		d.reduceColumns()
	}
	free := make([]int32, 0, rows)
	for i, j := range d.colOf {
		if j < 0 {
			free = append(free, int32(i))
		}
	}
	settled := make([]bool, rows) // alone for good
	free = d.reduceRows(free, settled)
	free = d.reduceRows(free, settled)
	for j := range d.todo {
		d.todo[j] = int32(j)
	}
	for _, i := range free {
		if settled[i] {
			continue
		}
		if !d.augment(i) {
			return nil, fmt.Errorf("%w: row %d of %d cannot be matched together with the others", ErrInfeasible, i, rows)
		}
	}
	return finish(d.colOf, d.rowOf, d.v, o, func(i, j int) float64 { return float64(cost[i*cols+j]) }), nil
}

func filled(n int) []int32 {
	s := make([]int32, n)
	for i := range s {
		s[i] = -1
	}
	return s
}

func (d *denseSolver[F]) row(i int32) []F {
	return d.cost[int(i)*d.cols:][:d.cols]
}

func (d *denseSolver[F]) price(i int32) float64 {
	if d.alone == nil {
		return math.Inf(1)
	}
	return d.alone[i]
}

// reduceColumns gives each column the price of its cheapest row, and matches
// the pair if the row is free. It is for square, complete problems only: there
// the price of a free column may differ from 0.
func (d *denseSolver[F]) reduceColumns() {
	best := filled(d.cols)
	for j := range d.v {
		d.v[j] = math.Inf(1)
	}
	for i := range d.rows {
		for j, c := range d.row(int32(i)) {
			if float64(c) < d.v[j] {
				d.v[j], best[j] = float64(c), int32(i)
			}
		}
	}
	matches := make([]int32, d.rows)
	for j := d.cols - 1; j >= 0; j-- {
		i := best[j]
		if i < 0 { // all forbidden: augment will say so
			d.v[j] = 0
			continue
		}
		matches[i]++
		if d.colOf[i] < 0 {
			d.colOf[i], d.rowOf[j] = int32(j), i
		}
	}
	// Reduction transfer: a row that is the cheapest of one column only can lower
	// its price until the second-best column becomes as good.
	for i, n := range matches {
		if n != 1 {
			continue
		}
		j1 := d.colOf[i]
		slack := math.Inf(1)
		for j, c := range d.row(int32(i)) {
			if int32(j) != j1 {
				slack = min(slack, float64(c)-d.v[j])
			}
		}
		if !math.IsInf(slack, 1) {
			d.v[j1] -= max(0, slack-(float64(d.row(int32(i))[j1])-d.v[j1]))
		}
	}
}

// reduceRows lets each free row take its best column, at a price that leaves it
// no worse than its second best; whoever had the column is free again. It
// returns the rows still free.
//
// The rows bid, as in an auction with step 0. Bids can become arbitrarily small,
// so their number is bounded; who is left over gets an augmenting path.
func (d *denseSolver[F]) reduceRows(free []int32, settled []bool) []int32 {
	var rest []int32
	bids := 4*len(free) + 16
	for k := 0; k < len(free); {
		i := free[k]
		if settled[i] {
			k++
			continue
		}
		if bids--; bids < 0 {
			return append(rest, free[k:]...)
		}
		u1, u2, j1, j2 := bestTwo(d.row(i), d.v)
		price := d.price(i)
		if price <= u1 {
			k++
			if math.IsInf(price, 1) {
				rest = append(rest, i) // nothing is allowed: augment will say so
			} else {
				settled[i] = true
			}
			continue
		}
		if price < u2 {
			u2, j2 = price, -1
		}
		if math.IsInf(u2, 1) {
			k++
			rest = append(rest, i)
			continue
		}
		lower := d.v[j1] - (u2 - u1)
		strict := lower < d.v[j1]
		if strict {
			d.v[j1] = lower
		} else if d.rowOf[j1] >= 0 && j2 >= 0 {
			j1 = j2
		}
		loser := d.rowOf[j1]
		d.colOf[i], d.rowOf[j1] = j1, i
		switch {
		case loser < 0:
			k++
		case strict: // the loser bids next
			d.colOf[loser] = -1
			free[k] = loser
		default:
			d.colOf[loser] = -1
			rest = append(rest, loser)
			k++
		}
	}
	return rest
}

// bestTwo returns the two least of row - v and their columns.
func bestTwo[F Float](row []F, v []float64) (u1, u2 float64, j1, j2 int32) {
	u1, u2, j1, j2 = math.Inf(1), math.Inf(1), -1, -1
	v = v[:len(row)]
	for j, c := range row {
		h := float64(c) - v[j]
		if h < u2 {
			if h < u1 {
				u1, u2, j1, j2 = h, u1, int32(j), j1
			} else {
				u2, j2 = h, int32(j)
			}
		}
	}
	return u1, u2, j1, j2
}

// augment matches row f by the shortest alternating path to a free column, or to
// a row that had better stay alone. It reports whether there is one.
func (d *denseSolver[F]) augment(f int32) bool {
	exit, exitRow := d.price(f), f
	for j, c := range d.row(f) {
		d.dist[j] = float64(c) - d.v[j]
		d.pred[j] = f
	}
	todo := d.todo
	ready, scan := 0, 0 // todo[:ready] are done, todo[ready:scan] have distance mu
	mu := 0.0
	last := int32(-1)
search:
	for {
		if ready == scan {
			mu = math.Inf(1)
			for k := scan; k < d.cols; k++ {
				j := todo[k]
				switch h := d.dist[j]; {
				case h < mu:
					mu = h
					scan = ready
					fallthrough
				case h == mu && !math.IsInf(mu, 1):
					todo[k], todo[scan] = todo[scan], j
					scan++
				}
			}
			if exit <= mu {
				if math.IsInf(exit, 1) {
					return false
				}
				mu = exit
				break
			}
			for _, j := range todo[ready:scan] {
				if d.rowOf[j] < 0 {
					last = j
					break search
				}
			}
		}
		j1 := todo[ready]
		ready++
		i := d.rowOf[j1]
		row := d.row(i)
		h := float64(row[j1]) - d.v[j1] - mu
		if e := d.price(i) - h; e < exit {
			exit, exitRow = e, i
			if exit <= mu {
				break
			}
		}
		for k := scan; k < d.cols; k++ {
			j := todo[k]
			c := float64(row[j]) - d.v[j] - h
			if c >= d.dist[j] {
				continue
			}
			d.dist[j], d.pred[j] = c, i
			if c <= mu { // below it only by rounding
				if d.rowOf[j] < 0 {
					last = j
					break search
				}
				todo[k], todo[scan] = todo[scan], j
				scan++
			}
		}
	}
	for _, j := range todo[:ready] {
		d.v[j] += min(0, d.dist[j]-mu)
	}
	flip(f, last, exitRow, d.pred, d.colOf, d.rowOf)
	return true
}

// flip exchanges matched and unmatched pairs on the path that begins at row f and
// ends at the free column last or, if that is -1, at row exit, which stays alone.
func flip(f, last, exit int32, pred, colOf, rowOf []int32) {
	if last < 0 {
		last = colOf[exit]
		colOf[exit] = -1
		if exit == f {
			return
		}
	}
	for {
		i := pred[last]
		rowOf[last] = i
		last, colOf[i] = colOf[i], last
		if i == f {
			return
		}
	}
}
