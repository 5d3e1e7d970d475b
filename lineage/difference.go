package lineage

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// examineOptions say what is known of a tensor beside its values.
type examineOptions struct {
	// scaled says that factors were taken back, so that values are rounded.
	scaled bool
	// absent marks the places, in the reference's order, of neurons that the suspect has
	// not; nil is none.
	absent []bool
	// doubtful marks places that say nothing of damage, though they are there: those that are
	// the sum of several of the suspect's, or of neurons that may be others; nil is none.
	doubtful []bool
	// file is the tensor as the suspect has it, with neurons that were added, and without those that
	// are gone: what a quantizer or a cast that came after them has seen. Nil is own. rows says where in it each row of the
	// reference is, -1 for none; nil is the same place.
	file *tensor.Tensor
	rows []int
	// forth is the reference with the suspect's factors: what own is to be compared with
	// where factors hide what was done after them. Nil is not known.
	forth *tensor.Tensor
	// ownAt returns where an index of the reference is in the suspect's file; nil is the
	// same place.
	ownAt func(index []int) []int
}

// A residual is what one tensor tells about damage, without its values.
type residual struct {
	trace
	floats   bool // its values could be computed with
	axes     int
	elements int64
	// fits marks the precisions, by index, that all the suspect's values have, and refFits
	// those that all the reference's have; distinct is how many values there are to tell
	// by, up to 64.
	fits, refFits [6]bool
	distinct      int
	// rounds marks the precisions to which rounding the reference gives the suspect.
	rounds [6]bool
	// own is the same as trace, with the suspect's factors on both sides; nil if there are none.
	own    *trace
	scaled bool
	// within counts the values that are off by no more than a few roundings to each precision,
	// of changed ones that are.
	within [6]int64
	off    int64
}

const (
	// factorError is how far, relative to itself, a value may be off after a factor was
	// multiplied and taken back, and factorFloor the same relative to the root mean square
	// of its tensor.
	factorError = 1.0 / (1 << 18)
	factorFloor = 1.0 / (1 << 22)
	chunk       = 4096
	// maxRowLevels bounds the values of a channel that are counted.
	maxRowLevels = 4096
)

// examine says what became of one tensor. All are in the reference's order: back is the
// suspect with factors taken back, and own with its own factors, as its file has them; the
// same tensor if there are none.
// All bytes of the three are held, as far as their data does not lend them. Errors are
// those of reading, or shapes that do not fit.
func examine(ref, back, own *tensor.Tensor, o examineOptions) (*TensorDifference, *residual, error) {
	n := ref.Elems()
	if !ref.Shape.Equal(back.Shape) {
		return nil, nil, fmt.Errorf("tensor %s is %v in the reference, and %v in the suspect", ref.Name, ref.Shape, back.Shape)
	}
	for _, marks := range [][]bool{o.absent, o.doubtful} {
		if marks != nil && int64(len(marks)) != n {
			return nil, nil, fmt.Errorf("tensor %s has %d values, of which %d are marked as there or not", ref.Name, n, len(marks))
		}
	}
	d := &TensorDifference{Name: ref.Name, Elements: n, DType: string(own.DType), ReferenceDType: string(ref.DType)}
	r := &residual{axes: len(ref.Shape), elements: n}
	if !decodes(ref.DType) || !decodes(back.DType) || !decodes(own.DType) {
		return d, r, opaque(d, ref, back, o)
	}
	r.floats = true
	x, err := numbersOf(ref)
	if err != nil {
		return nil, nil, err
	}
	y, err := numbersOf(back)
	if err != nil {
		return nil, nil, err
	}
	z, err := numbersOf(own)
	if err != nil {
		return nil, nil, err
	}
	if x.len() != y.len() || int64(x.len()) != n {
		return nil, nil, fmt.Errorf("tensor %s has %d values in the reference and %d in the suspect, want %d", ref.Name, x.len(), y.len(), n)
	}
	e := &examination{d: d, r: r, o: o, x: x, y: y, z: z, file: z}
	if o.file != nil && decodes(o.file.DType) {
		if e.file, err = numbersOf(o.file); err != nil {
			return nil, nil, err
		}
	}
	e.silent = o.silent()
	e.compare()
	if d.Equal || n == 0 {
		d.Levels, d.RowLevels, d.ReferenceLevels = e.levels()
		e.fitsOf()
		return d, r, nil
	}
	e.fitsOf()
	d.Levels, d.RowLevels, d.ReferenceLevels = e.levels()
	if d.Changed == 0 {
		return d, r, nil
	}
	r.scaled = o.scaled
	if r.trace = *e.trace(x, y, !o.scaled); !o.scaled {
		return d, r, nil
	}
	if r.own, err = e.ownTrace(); err != nil {
		return nil, nil, err
	}
	if g := r.own.grid; g != nil && g.uniform == "uniform" {
		return d, r, nil
	}
	if exact := e.regauged(); exact != nil {
		if t := e.trace(x, exact, false); t.grid != nil {
			r.trace, r.own = *t, nil
		}
	}
	return d, r, nil
}

// leastTold is how many weights of a tensor have to be told by, beside those that say nothing.
const leastTold = 32

// silent marks the places that are not looked at for damage, nil for none: those that are not
// there, and those that say nothing of it as long as enough are left.
func (o *examineOptions) silent() []bool {
	if o.doubtful == nil {
		return o.absent
	}
	both := slices.Clone(o.doubtful)
	left := 0
	for i := range both {
		both[i] = both[i] || o.absent != nil && o.absent[i]
		if !both[i] {
			left++
		}
	}
	if left < leastTold {
		return o.absent
	}
	return both
}

// opaque compares tensors whose values are just bytes.
func opaque(d *TensorDifference, ref, back *tensor.Tensor, o examineOptions) error {
	x, err := ref.Bytes()
	if err != nil {
		return err
	}
	y, err := back.Bytes()
	if err != nil {
		return err
	}
	if ref.DType != back.DType || len(x) != len(y) {
		d.Changed = d.Elements
		return nil
	}
	if d.Equal = bytes.Equal(x, y); d.Equal {
		return nil
	}
	width := ref.DType.Bits() / 8
	if width == 0 { // packed, or of a type that has no name here
		for i := range x {
			if x[i] != y[i] {
				d.Changed++
			}
		}
		return nil
	}
	for i := 0; i+width <= len(x); i += width {
		if at := i / width; !bytes.Equal(x[i:i+width], y[i:i+width]) && (o.absent == nil || !o.absent[at]) {
			if d.Changed++; d.At == nil {
				d.place(ref.Shape, at, o.ownAt)
			}
		}
	}
	return nil
}

// place sets where the largest difference is.
func (d *TensorDifference) place(shape tensor.Shape, at int, ownAt func([]int) []int) {
	d.At = make([]int, len(shape))
	for k := len(shape) - 1; k >= 0; k-- {
		d.At[k] = at % int(shape[k])
		at /= int(shape[k])
	}
	if d.OwnAt = slices.Clone(d.At); ownAt != nil {
		d.OwnAt = ownAt(d.At)
	}
}

// An examination is one tensor being looked at.
type examination struct {
	d       *TensorDifference
	r       *residual
	o       examineOptions
	x, y, z *numbers
	file    *numbers // all that the suspect has, z if that is all
	silent  []bool   // places that are not looked at for damage; nil is none
	rms     float64  // of x
	lossy   float64  // as in observed
	type_   *precision
}

// each calls f with the values of a and b, some at a time.
func each(a, b *numbers, f func(at int, x, y []float64)) {
	var p, q [chunk]float64
	for i, n := 0, a.len(); i < n; i += chunk {
		k := min(chunk, n-i)
		a.read(p[:k], i)
		b.read(q[:k], i)
		f(i, p[:k], q[:k])
	}
}

// eachOf calls f with the values of a.
func eachOf(a *numbers, f func(at int, x []float64)) {
	var p [chunk]float64
	for i, n := 0, a.len(); i < n; i += chunk {
		k := min(chunk, n-i)
		a.read(p[:k], i)
		f(i, p[:k])
	}
}

// finite reports whether x is neither infinite nor NaN.
func finite(x float64) bool { return x-x == 0 }

// tolerance is how far rounding of factors may put a value that is x.
func (e *examination) tolerance(x float64) float64 {
	if !e.o.scaled {
		return 0
	}
	return max(factorError, 4*max(precisionOf(e.y.dtype).epsilon(), precisionOf(e.z.dtype).epsilon()))*math.Abs(x) + factorFloor*e.rms
}

// compare counts what differs.
func (e *examination) compare() {
	d := e.d
	same := e.x.dtype == e.y.dtype && e.x.dtype == e.z.dtype
	if same && bytes.Equal(e.x.raw, e.y.raw) {
		d.Equal = true
		return
	}
	sum, count := 0.0, 0
	eachOf(e.x, func(_ int, x []float64) {
		for _, v := range x {
			if finite(v) {
				sum += float64(v * v)
				count++
			}
		}
	})
	e.rms = math.Sqrt(sum / float64(max(1, count)))
	var m, rest moments
	worst, differs := -1, false
	lost, nonzero := 0, 0
	each(e.x, e.y, func(at int, x, y []float64) {
		for k, a := range x {
			b := y[k]
			if e.o.absent != nil && e.o.absent[at+k] {
				continue
			}
			if !finite(a) || !finite(b) {
				if a != b && (a == a || b == b) || same && e.x.bits(at+k) != e.y.bits(at+k) {
					d.Changed++
					differs = true
					if worst < 0 {
						worst = at + k
					}
				}
				continue
			}
			m.add(a, b)
			rest.add(a, b-a)
			if a != 0 {
				nonzero++
				if b == 0 {
					lost++
				}
			}
			if a == b && math.Signbit(a) == math.Signbit(b) {
				continue
			}
			differs = true
			size := math.Abs(b - a)
			if size <= e.tolerance(a) && e.o.scaled {
				continue
			}
			d.Changed++
			if worst < 0 || size > d.Largest {
				worst, d.Largest = at+k, min(size, math.MaxFloat64)
			}
		}
	})
	d.Zeros = float64(lost) / float64(max(1, nonzero))
	d.Rounding = differs && d.Changed == 0
	d.Equal = same && !differs
	if worst >= 0 {
		d.place(e.x.shape, worst, e.o.ownAt)
	}
	if d.Changed > 0 && m.n > 0 && m.xx > 0 {
		d.Slope = m.slope()
		v := rest.yy/rest.n - float64(rest.y/rest.n*(rest.y/rest.n))
		d.Relative = math.Sqrt(max(0, v)) / m.deviation()
		if !finite(d.Slope) || !finite(d.Relative) {
			d.Slope, d.Relative = 0, 0
		}
	}
}

// coarseFactors is how many roundings of a type a value may be off by that was rounded to it
// before factors came upon it: its own, and those of the values that the factors are known from.
const coarseFactors = 5

// subnormal is what rounding of numbers to float16 leaves that are too small for its exponent.
const subnormal = 1.0 / (1 << 24)

// fitsOf finds the narrowest types that hold the values, and to which rounding the
// reference gives the suspect.
func (e *examination) fitsOf() {
	r := e.r
	for i := range precisions {
		r.fits[i], r.refFits[i], r.rounds[i] = true, true, true
	}
	set := newValueSet(64)
	narrow := func(flags *[6]bool, v float64) {
		for i := range precisions {
			if flags[i] && !precisions[i].holds(v) {
				flags[i] = false
			}
		}
	}
	eachOf(e.file, func(_ int, z []float64) {
		for _, v := range z {
			if finite(v) && v != 0 {
				set.add(v)
				narrow(&r.fits, v)
			}
		}
	})
	each(e.x, e.y, func(at int, x, y []float64) {
		for k, v := range x {
			if !finite(v) || !finite(y[k]) || e.o.absent != nil && e.o.absent[at+k] {
				continue
			}
			if off := math.Abs(y[k] - v); e.o.scaled && off > e.tolerance(v) { // nobody asks of others
				r.off++
				for i := range precisions {
					if off <= coarseFactors*precisions[i].epsilon()*math.Abs(v)+subnormal {
						r.within[i]++
					}
				}
			}
			narrow(&r.refFits, v)
			for i := range precisions {
				if !r.rounds[i] {
					continue
				}
				if b := precisions[i].round(v); b != y[k] && !(e.o.scaled && math.Abs(b-y[k]) <= e.tolerance(v)) {
					r.rounds[i] = false
				}
			}
		}
	})
	r.distinct = set.count
	e.type_ = precisionOf(e.z.dtype)
	if set.count >= 4 {
		for i := range precisions {
			if r.fits[i] {
				e.type_ = &precisions[i]
				break
			}
		}
	}
	e.lossy = max(e.type_.epsilon(), precisionOf(e.y.dtype).epsilon())
	if e.o.scaled {
		e.lossy = max(e.lossy, factorError/16)
	}
}

// levels counts distinct values: of the suspect's tensor, of each of its channels the
// most, and of the reference's tensor.
func (e *examination) levels() (all, row, ref int) {
	count := func(v *numbers) int {
		s := newValueSet(min(maxLevels, max(1, v.len())))
		eachOf(v, func(_ int, x []float64) {
			for _, a := range x {
				s.add(a)
			}
		})
		if s.full {
			return 0
		}
		return s.count
	}
	all, ref = count(e.file), count(e.x)
	n := e.file.row()
	s := newValueSet(min(maxRowLevels, n))
	buf := make([]float64, min(n, chunk))
	for at := 0; at+n <= e.file.len() && !s.full; at += n {
		s.clear()
		for i := 0; i < n && !s.full; i += len(buf) {
			k := min(len(buf), n-i)
			e.file.read(buf[:k], at+i)
			for _, v := range buf[:k] {
				s.add(v)
			}
		}
		row = max(row, s.count)
	}
	if s.full {
		row = 0
	}
	return all, row, ref
}

// near reports whether y is x but for the type that it was cast to, and factors.
func (e *examination) near(x, y float64) bool {
	t := e.type_
	return math.Abs(y-x) <= e.tolerance(x)+1.001*t.epsilon()*math.Abs(x)+math.Ldexp(1, t.least-t.mantissa-1)
}

// trace looks for damage that makes y of x. asFiled says that y has the values of the
// suspect's file, so that levels, zeros and deviations may be those of all of that.
func (e *examination) trace(x, y *numbers, asFiled bool) *trace {
	s, whole, ref := e.sample(x, y)
	t := &trace{moved: s.drifted()}
	if !asFiled || !e.o.scaled {
		s.below = func(magnitude float64) float64 { return below(x, magnitude) }
	}
	if !asFiled && e.o.doubtful != nil {
		s.refDeviation = deviation(x)
	}
	if asFiled {
		e.filed(s)
	}
	if asFiled && e.o.file != nil {
		t.grid = findGrid(e.wholeFile(whole), ref, e.channels(x, y, true), s.lossy)
	}
	if asFiled && e.o.file == nil && e.silent != nil { // of what is looked at, few levels may be left
		t.grid = findGrid(e.wholeFile(whole), ref, nil, s.lossy)
	}
	from, rows := e.file, e.o.rows
	if t.grid == nil {
		from, rows = y, nil
		t.grid = findGrid(whole, ref, e.channels(x, y, false), s.lossy)
	}
	defer func() {
		s.relate(t)
		s.extend(t)
		if t.cut != nil && t.grid != nil {
			t.cut.between(s.points)
		}
	}()
	if t.grid == nil {
		s.plain(t)
		return t
	}
	if t.grid.values != nil {
		u := t.grid.values
		if t.grid.beside {
			u = withoutZero(u)
		}
		u = t.grid.apart(u)
		s.levelled(t, func(int32) []float64 { return u })
		return t
	}
	cache := map[int32][]float64{}
	s.levelled(t, func(row int32) []float64 {
		u, ok := cache[row]
		if !ok {
			u = distinct(e.row(from, int(row), rows))
			if t.grid.beside {
				u = withoutZero(u)
			}
			u = t.grid.apart(u)
			cache[row] = u
		}
		return u
	})
	return t
}

// row returns the values of a row of the reference's, those that are looked at: in the suspect's file,
// where rows says where they are, all of them.
func (e *examination) row(v *numbers, row int, rows []int) []float64 {
	n := v.row()
	if rows != nil {
		if row = rows[row]; row < 0 {
			return nil
		}
	}
	buf := make([]float64, n)
	v.read(buf, row*n)
	if v == e.file && e.o.file != nil || e.silent == nil {
		return buf
	}
	kept := buf[:0]
	for k, a := range buf {
		if !e.silent[row*n+k] {
			kept = append(kept, a)
		}
	}
	return kept
}

// wholeFile is the values of the suspect's file, of which part is known of what is looked at;
// nil if they are too many.
func (e *examination) wholeFile(part *levelled) *levelled {
	s := newValueSet(min(maxLevels, max(1, e.file.len())))
	eachOf(e.file, func(_ int, z []float64) {
		for _, v := range z {
			if finite(v) {
				s.add(v)
			}
		}
	})
	if s.full || s.count == 0 || part == nil {
		return nil
	}
	u := distinct(s.values())
	return &levelled{u, part.low, part.high, part.expected}
}

// filed counts the zeros of the suspect's file, and measures it.
func (e *examination) filed(s *observed) {
	var m moments
	zeros := 0
	eachOf(e.file, func(_ int, z []float64) {
		for _, v := range z {
			if finite(v) {
				m.add(v, 0)
				if v == 0 {
					zeros++
				}
			}
		}
	})
	if m.n == 0 {
		return
	}
	s.fileZeros = float64(zeros) / m.n
	if e.o.file != nil || e.o.doubtful != nil {
		s.fileDeviation = m.deviation()
	}
}

// deviation returns that of all numbers.
func deviation(x *numbers) float64 {
	var m moments
	eachOf(x, func(_ int, x []float64) {
		for _, v := range x {
			if finite(v) {
				m.add(v, 0)
			}
		}
	})
	return m.deviation()
}

// below returns which share of numbers is not above a magnitude.
func below(x *numbers, magnitude float64) float64 {
	n, all := 0, 0
	eachOf(x, func(_ int, x []float64) {
		for _, v := range x {
			if all++; math.Abs(v) <= magnitude {
				n++
			}
		}
	})
	return float64(n) / float64(max(1, all))
}

// distinct returns the finite values of x, ascending, each once, 0 and -0 as 0.
func distinct(x []float64) []float64 {
	u := make([]float64, 0, len(x))
	for _, v := range x {
		if finite(v) {
			u = append(u, v+0)
		}
	}
	slices.Sort(u)
	return slices.Compact(u)
}

// sample goes through a pair of tensors, and takes points evenly from it.
func (e *examination) sample(x, y *numbers) (*observed, *levelled, *levelled) {
	n, row := x.len(), x.row()
	silent := e.silent
	s := &observed{lossy: e.lossy, scaled: e.o.scaled, points: make([]point, 0, min(n, maxPoints))}
	limit := min(maxLevels, n)
	values, cast, before := newValueSet(limit), newValueSet(limit), newValueSet(limit)
	var m moments
	low, high := math.Inf(1), math.Inf(-1)
	s.low = math.Inf(1)
	rows := x.rowsOf(n, row)
	colZero := make([]bool, 0)
	if len(x.shape) > 1 {
		colZero = slices.Repeat([]bool{true}, int(x.shape[1]))
	}
	rowZero := slices.Repeat([]bool{true}, rows)
	inner := 1
	for _, k := range x.shape[min(2, len(x.shape)):] {
		inner *= int(k)
	}
	column := func(i int) int { return i / inner % max(1, len(colZero)) }
	step := (n + maxPoints - 1) / maxPoints
	h := uint64(1)
	pick := 0
	each(x, y, func(at int, a, b []float64) {
		for k, v := range a {
			i, w := at+k, b[k]
			if i%step == 0 { // one at random of each step, so that no column is left out
				h = h*6364136223846793005 + 1442695040888963407
				pick = i + int(h>>33%uint64(step))
			}
			if finite(v) { // a quantizer may have seen what is not looked at, too
				low, high = min(low, v), max(high, v)
			}
			if !finite(v) || !finite(w) || silent != nil && silent[i] {
				continue
			}
			if i == pick {
				s.points = append(s.points, point{v, w, int32(i / row)})
			}
			s.n++
			m.add(v, w)
			values.add(w)
			before.add(v)
			if v == 0 {
				s.refZeros++
			}
			if w != 0 {
				s.low = min(s.low, math.Abs(w))
				cast.add(e.type_.round(v))
				if !e.near(v, w) {
					s.moved++
				}
				if rowZero[i/row] = false; len(colZero) > 0 {
					colZero[column(i)] = false
				}
				continue
			}
			s.zeros++ // what is pruned has one value; that is no grid
			if e.type_.round(v) != 0 {
				s.lost++
			}
		}
	})
	s.deviation = m.deviation()
	if s.lost > 0 {
		each(x, y, func(at int, a, b []float64) {
			for k, v := range a {
				if i := at + k; b[k] == 0 && v != 0 && (silent == nil || !silent[i]) && (rowZero[i/row] || len(colZero) > 0 && colZero[column(i)]) {
					s.rowsLost++
				}
			}
		})
	}
	s.spans[0] = func(int32) (float64, float64) { return low, high }
	if rows > 1 && row >= 4 && len(x.shape) > 1 {
		s.spans[1] = spansOf(x, row)
	}
	var whole, ref *levelled
	if !values.full {
		expected := cast.count
		if s.zeros > 0 {
			expected++
		}
		whole = &levelled{distinct(values.values()), low, high, expected}
		if !before.full {
			ref = &levelled{distinct(before.values()), low, high, before.count}
		}
	}
	return s, whole, ref
}

// rowsOf returns how many rows there are.
func (v *numbers) rowsOf(n, row int) int { return (n + row - 1) / row }

// spansOf returns the least and largest value of each row.
func spansOf(x *numbers, row int) func(int32) (float64, float64) {
	spans := make([][2]float64, x.rowsOf(x.len(), row))
	for i := range spans {
		spans[i] = [2]float64{math.Inf(1), math.Inf(-1)}
	}
	eachOf(x, func(at int, a []float64) {
		for k, v := range a {
			if finite(v) {
				s := &spans[(at+k)/row]
				s[0], s[1] = min(s[0], v), max(s[1], v)
			}
		}
	})
	return func(r int32) (float64, float64) { return spans[r][0], spans[r][1] }
}

// channels returns the values of some rows of y, none if it has no rows to speak of: all those of
// the suspect's file, if it has more and filed says so.
func (e *examination) channels(x, y *numbers, filed bool) []levelled {
	row := x.row()
	rows := x.len() / row
	if len(y.shape) < 2 || rows < 2 || row < 4 || row > maxLevels || filed && e.file.row() > maxLevels {
		return nil
	}
	var list []levelled
	a, b := make([]float64, row), make([]float64, row)
	step := (rows + maxGridRows - 1) / maxGridRows
	for r := 0; r < rows; r += step {
		x.read(a, r*row)
		y.read(b, r*row)
		l := levelled{low: math.Inf(1), high: math.Inf(-1)}
		left, expected := make([]float64, 0, row), make([]float64, 0, row)
		for k, v := range a {
			if finite(v) {
				l.low, l.high = min(l.low, v), max(l.high, v)
			}
			if e.silent != nil && e.silent[r*row+k] {
				continue
			}
			if left = append(left, b[k]); b[k] == 0 {
				v = 0
			}
			expected = append(expected, e.type_.round(v))
		}
		l.values, l.expected = distinct(left), len(distinct(expected))
		if filed && len(l.values) > 0 {
			l.values = distinct(e.row(e.file, r, e.o.rows))
		}
		if len(l.values) > 0 {
			list = append(list, l)
		}
	}
	return list
}

// ownTrace compares the suspect as it is with the reference as that would be with its
// factors: damage may have come before factors, or after.
func (e *examination) ownTrace() (*trace, error) {
	f := e.o.forth
	if f == nil {
		return &trace{grid: e.ownGrid()}, nil
	}
	if !decodes(f.DType) || !f.Shape.Equal(e.z.shape) || !f.Shape.Equal(e.x.shape) {
		return nil, fmt.Errorf("tensor %s is %s %v with the suspect's factors, which fits neither %v nor %v", e.d.Name, f.DType, f.Shape, e.x.shape, e.z.shape)
	}
	x, err := numbersOf(f)
	if err != nil {
		return nil, err
	}
	return e.trace(x, e.z, true), nil
}

// ownGrid looks for levels in the suspect's file alone.
func (e *examination) ownGrid() *grid {
	s := newValueSet(min(maxLevels, max(1, e.z.len())))
	eachOf(e.z, func(_ int, z []float64) {
		for _, v := range z {
			if finite(v) {
				s.add(v)
			}
		}
	})
	var whole *levelled
	n := e.z.len()
	if !s.full && s.count > 0 {
		u := distinct(s.values())
		whole = &levelled{u, u[0], u[len(u)-1], min(n, e.d.ReferenceLevels)}
		if e.d.ReferenceLevels == 0 {
			whole.expected = n
		}
	}
	return findGrid(whole, nil, e.channels(e.z, e.z, false), e.lossy)
}
