package lineage

import (
	"encoding/binary"
	"math"
	"slices"

	"ropewalk/quant"
	"ropewalk/tensor"
)

const (
	// minors is how many pairs of rows and columns a grid under factors is tested on, and
	// minorTries how many are looked at to find them.
	minors     = 64
	minorTries = 1 << 20
	// minorError is how far, relative to itself, a ratio of four values may be off by
	// rounding; other levels are off by much more.
	minorError = 1e-4
	// largeShare is the share of weights, the largest, that are looked at: pruning before the
	// quantizer left them alone.
	largeShare = 0.1
)

// A minor is two rows and two places in them.
type minor struct{ a, b, c, d int } // (r, i), (r, k), (s, i), (s, k)

// regauged returns the suspect with its factors taken back exactly, if it was quantized
// before it was multiplied; nil if not. Factors that were fitted to weights which a
// quantizer has changed are off by more than levels are apart. But levels of the
// reference, if they are the right ones, differ from the suspect by one factor for each
// row and one for each column, to all digits, and no others do.
func (e *examination) regauged() *numbers {
	row := e.x.row()
	if len(e.x.shape) < 2 || e.x.len() < 2*row || e.type_.epsilon() > minorError/8 {
		return nil
	}
	x, y := e.x.all(), e.z.all()
	large := magnitude(x, largeShare)
	m := findMinors(x, y, row, large, e.silent)
	if len(m) < 16 {
		return nil
	}
	for _, round := range e.rounders(x, row) {
		if fits(m, y, round) {
			return e.divided(x, y, round, row, large)
		}
	}
	return nil
}

// all returns all values.
func (v *numbers) all() []float64 {
	x := make([]float64, v.len())
	v.read(x, 0)
	return x
}

// magnitude returns that which a share of x exceeds.
func magnitude(x []float64, share float64) float64 {
	step := (len(x) + maxPoints - 1) / maxPoints
	var m []float64
	for i := 0; i < len(x); i += step {
		m = append(m, math.Abs(x[i]))
	}
	slices.Sort(m)
	return m[int(float64(len(m)-1)*(1-share))]
}

// findMinors draws pairs of rows and columns in which all four weights are large, and none silent.
func findMinors(x, y []float64, row int, large float64, silent []bool) []minor {
	h := uint64(1)
	draw := func(n int) int {
		h = h*6364136223846793005 + 1442695040888963407
		return int(h >> 33 % uint64(n))
	}
	ok := func(i int) bool {
		return (silent == nil || !silent[i]) && math.Abs(x[i]) >= large && x[i] != 0 && finite(x[i]) && y[i] != 0 && finite(y[i])
	}
	var list []minor
	rows := len(x) / row
	for range minorTries {
		r, i := draw(rows), draw(row)
		if !ok(r*row + i) {
			continue
		}
		s := draw(rows)
		if s == r || !ok(s*row+i) {
			continue
		}
		k := draw(row)
		if k == i || !ok(r*row+k) || !ok(s*row+k) {
			continue
		}
		if list = append(list, minor{r*row + i, r*row + k, s*row + i, s*row + k}); len(list) == minors {
			break
		}
	}
	return list
}

// rounders returns what quantizers make of the weights of the reference, coarsest first.
func (e *examination) rounders(x []float64, row int) []func(i int) float64 {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range x {
		if finite(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	channels := spansOf(e.x, row)
	step := (len(x) + maxPoints - 1) / maxPoints
	var sampled []point
	for i := 0; i < len(x); i += step {
		if finite(x[i]) {
			sampled = append(sampled, point{x: x[i]})
		}
	}
	var list []func(i int) float64
	add := func(f func(p point) float64) {
		if f != nil {
			list = append(list, func(i int) float64 { return f(point{x: x[i], row: int32(i / row)}) })
		}
	}
	for bits := 1; bits <= maxHiddenBits; bits++ {
		add(even(bits, func(int32) (float64, float64) { return low, high }))
		add(even(bits, channels))
		if len(sampled) == len(x) && bits <= maxHiddenLloyd { // else levels are not the same to all digits
			add(uneven(sampled, bits, quant.Lloyd))
			add(uneven(sampled, bits, quant.LloydGaussian))
		}
	}
	return list
}

// fits reports whether the suspect is what round makes of the reference, times factors of
// rows and columns.
func fits(m []minor, y []float64, round func(i int) float64) bool {
	good := 0
	for k, q := range m {
		a := y[q.a] * y[q.d] * round(q.b) * round(q.c)
		b := y[q.b] * y[q.c] * round(q.a) * round(q.d)
		if math.Abs(a-b) <= minorError*math.Abs(a) && a != 0 {
			good++
		}
		if k == 7 && good < 4 {
			return false
		}
	}
	return 10*good >= 9*len(m)
}

// divided takes the factors of rows and columns back.
func (e *examination) divided(x, y []float64, round func(i int) float64, row int, large float64) *numbers {
	rows, inner := len(x)/row, 1
	for _, k := range e.x.shape[2:] {
		inner *= int(k)
	}
	columns := row / inner
	a, b := make([]float64, rows), make([]float64, columns)
	type ratio struct {
		r, c   int
		log    float64
		strong bool // no pruning has changed it
	}
	var list []ratio
	tops := [2][]float64{make([]float64, rows), make([]float64, columns)}
	looked := func(i int) bool { return e.silent == nil || !e.silent[i] }
	for i, v := range x {
		if finite(v) && looked(i) {
			tops[0][i/row] = max(tops[0][i/row], math.Abs(v))
			tops[1][i%row/inner] = max(tops[1][i%row/inner], math.Abs(v))
		}
	}
	for i, v := range x {
		enough := min(large, tops[0][i/row]/2, tops[1][i%row/inner]/2) // all have some
		if q := round(i); looked(i) && math.Abs(v) >= enough && q != 0 && y[i] != 0 && finite(y[i]) && finite(v) {
			list = append(list, ratio{i / row, i % row / inner, math.Log(math.Abs(y[i] / q)), math.Abs(v) >= large})
		}
	}
	group := make([][]float64, max(rows, columns))
	// settle finds what rows, or columns, are multiplied by, from ratios in which the other is known.
	settle := func(into []float64, found []bool, of func(ratio) (k int, v float64, known bool)) (more bool) {
		for i := range group {
			group[i] = group[i][:0]
		}
		strong := make([]bool, len(into))
		for _, q := range list {
			if k, _, known := of(q); q.strong && known {
				strong[k] = true
			}
		}
		for _, q := range list {
			if k, v, known := of(q); known && (q.strong || !strong[k]) {
				group[k] = append(group[k], v)
			}
		}
		for k := range into {
			if n := len(group[k]); n > 0 {
				slices.Sort(group[k])
				into[k] = group[k][n/2]
				more = more || !found[k]
				found[k] = true
			}
		}
		return more
	}
	// Medians alone, of all at once, may end where rows and columns are off together. So one row is
	// the first, and what is told by those that are known follows.
	doneA, doneB := make([]bool, rows), make([]bool, columns)
	byRow := func(q ratio) (int, float64, bool) { return q.r, q.log - b[q.c], doneB[q.c] }
	byColumn := func(q ratio) (int, float64, bool) { return q.c, q.log - a[q.r], doneA[q.r] }
	counts := make([]int, rows)
	for _, q := range list {
		if counts[q.r]++; q.strong {
			counts[q.r] += columns
		}
	}
	for {
		first := -1
		for r, n := range counts {
			if n > 0 && !doneA[r] && (first < 0 || n > counts[first]) {
				first = r
			}
		}
		if first < 0 {
			break
		}
		doneA[first] = true
		for settle(b, doneB, byColumn) || settle(a, doneA, byRow) {
		}
	}
	for range 10 { // single ratios may be wrong, where rounding was decided otherwise
		settle(b, doneB, byColumn)
		settle(a, doneA, byRow)
	}
	levels := levelsOf(x, round, row)
	out := make([]byte, 0, 8*len(y))
	off := 0
	for i, v := range y {
		// A sign is that of the reference: levels do not change it where they are large.
		v = math.Abs(v) / math.Exp(a[i/row]+b[i%row/inner])
		v = math.Copysign(v, e.signs(i))
		if u := levels(i); v != 0 && len(u) > 0 {
			if l := u[nearestLevel(u, v)]; math.Abs(v-l) <= minorError*math.Abs(l) {
				v = l
			} else if looked(i) {
				off++
			}
		}
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
	}
	if 50*off > len(y) { // of some rows or columns, factors are not known
		return nil
	}
	return &numbers{tensor.F64, out, e.x.shape}
}

// levelsOf returns a function that returns the levels on which a weight can be: those of
// the tensor, or, if these are many, of its row.
func levelsOf(x []float64, round func(i int) float64, row int) func(i int) []float64 {
	const most = 1 << maxHiddenBits
	s := newValueSet(min(most, len(x)))
	for i := range x {
		s.add(round(i))
	}
	if !s.full {
		u := distinct(s.values())
		return func(int) []float64 { return u }
	}
	var u []float64
	last := -1
	return func(i int) []float64 {
		if r := i / row; r != last {
			last = r
			s.clear()
			for k := r * row; k < (r+1)*row; k++ {
				s.add(round(k))
			}
			u = distinct(s.values())
		}
		return u
	}
}

// signs returns value i of the suspect with factors taken back, of which the sign is right.
func (e *examination) signs(i int) float64 {
	var v [1]float64
	e.y.read(v[:], i)
	return v[0]
}
