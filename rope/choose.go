package rope

import (
	"context"
	"math"
	"math/bits"
	"slices"

	"ropewalk/internal/codec/mix"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// A choice is the codebook of an array, if it shall have one, and about how
// many bytes that saves.
type choice struct {
	book  *codebook
	saves int64
}

// chooseCodebooks gives a codebook to each array that becomes smaller for it,
// by an estimate, so that groups can be planned before anything is coded.
func chooseCodebooks(ctx context.Context, l *layout.Layout, fs []facts, arrays []array, threads int, effort Effort) ([]choice, error) {
	cs := make([]choice, len(fs))
	err := forEach(ctx, threads, len(fs), func(i int) error {
		if s := arrays[i].source; s != sourceOwn && s != sourceDelta {
			return nil
		}
		var err error
		cs[i], err = chooseCodebook(l, i, &fs[i], effort)
		return err
	})
	return cs, err
}

func chooseCodebook(l *layout.Layout, i int, f *facts, effort Effort) (choice, error) {
	a := &l.Arrays[i]
	u := unitOf(a.DType)
	if u == unitBytes {
		return choice{}, nil
	}
	var best choice
	consider := func(cb *codebook, counts []uint64) {
		bits := entropy(counts) + 8*int64(len(cb.append(nil)))
		if saves := (f.plain - bits) / 8; f.pays(bits) && saves > best.saves {
			best = choice{cb, saves}
		}
	}
	if k := len(f.hist.values); k > 0 {
		// Most 16-bit floats have few distinct values, and are no less noise for it.
		if k <= 256 || effort == Max || u.width() != 2 {
			consider(&codebook{unit: u, values: f.hist.values}, f.hist.counts)
		}
	}
	if rows, counts, err := findRows(l, i); err != nil {
		return choice{}, err
	} else if rows != nil {
		consider(rows, counts)
	}
	if best.book != nil {
		best.book.fix(a.DType)
	}
	return best, nil
}

// pays reports whether so many bits are clearly less than without a codebook: a
// model learns, so that it may lose what an estimate gains by a little.
func (f *facts) pays(bits int64) bool { return bits < f.plain-f.plain/32 }

// plainBits estimates what values cost without a codebook. An array of too many
// different values has no histogram; so its values are taken for noise.
func plainBits(u unit, h histogram, n int64) int64 {
	w := 8 * u.width()
	all := n * int64(w)
	if len(h.values) == 0 {
		if u.isFloat() {
			all = all * 7 / 8 // exponents
		}
		return all
	}
	if !u.isFloat() {
		if u.width() == 1 {
			return all // what is gained by coding can be gained with a codebook
		}
		sum := int64(0)
		for at := 0; at < w; at += 8 {
			var plane [256]uint64
			for i, v := range h.values {
				plane[v>>at&255] += h.counts[i]
			}
			sum += entropy(plane[:])
		}
		return sum
	}
	kind := u.kind()
	classes := make([]uint64, 1<<kind.Exponent+1)
	sum := int64(0)
	for i, v := range h.values {
		if v == 0 {
			classes[0] += h.counts[i]
			continue
		}
		classes[1+v>>kind.Mantissa&(1<<kind.Exponent-1)] += h.counts[i]
		sum += int64(h.counts[i]) * int64(1+kind.Mantissa)
	}
	return sum + entropy(classes)
}

// entropy returns the bits that symbols of such counts need. It is computed
// with integers: a file must not depend on the machine that wrote it.
func entropy(counts []uint64) int64 {
	n := uint64(0)
	for _, c := range counts {
		n += c
	}
	sum := uint64(0)
	for _, c := range counts {
		if c > 0 {
			sum += c * (log2(n) - log2(c)) >> logBits
		}
	}
	return int64(sum)
}

const logBits = 12

// log2 returns the logarithm of v > 0 in units of 2^-logBits, rounded down.
func log2(v uint64) uint64 {
	n := uint64(bits.Len64(v) - 1)
	m := v << (63 - n) >> 32 // 1 … 2 with 31 bits behind the point
	for range logBits {
		m = m * m >> 31
		n = n<<1 | m>>32
		m >>= m >> 32
	}
	return n
}

// findRows returns a codebook with scales of rows for an array that has them:
// in every row, all values are products of one float32 and small integers. It
// is nil otherwise, which the first rows tell, mostly.
func findRows(l *layout.Layout, i int) (*codebook, []uint64, error) {
	a := &l.Arrays[i]
	n := a.Size / 4
	if a.DType != tensor.F32 || len(a.Shape) < 2 || n == 0 || n/a.Shape[0] < minRow || n/a.Shape[0] > maxRowValues {
		return nil, nil, nil
	}
	length := int(n / a.Shape[0])
	cb := &codebook{unit: unitF32, rows: &rowScales{length: length}}
	seen := make([]uint64, 2*maxRow+1)
	var row []float32
	top := int64(0)
	scale := float32(1)
	for at := int64(0); at < a.Size; {
		size := min(a.Size-at, int64(max(scanBytes/(4*length), 1))*int64(4*length))
		if at == 0 {
			size = int64(4 * length)
		}
		b, err := tensor.ReadRange(l.ArrayData(i), at, size, nil)
		if err != nil {
			return nil, nil, err
		}
		for ; len(b) > 0; b = b[4*length:] {
			row = tensor.F32.AppendFloat32s(row[:0], b[:4*length])
			var ok bool
			if scale, top, ok = rowScale(row, scale, top); !ok {
				return nil, nil, nil
			}
			cb.rows.scales = append(cb.rows.scales, scale)
			for _, f := range row {
				seen[multiple(f, scale)+maxRow]++
			}
		}
		releaseArray(l, i, at, size)
		at += size
	}
	var counts []uint64
	for k, c := range seen {
		if c > 0 {
			cb.values = append(cb.values, uint64(k-maxRow))
			counts = append(counts, c)
		}
	}
	if len(cb.values) > mix.MaxLevels || int64(len(cb.values)) > n/2 {
		return nil, nil, nil
	}
	return cb, counts, nil
}

// Rows of other lengths are not looked for: below minRow, a scale costs what it
// saves.
const (
	minRow       = 8
	maxRowValues = 1 << 20
	rowSample    = 128 // values of a row of which the scale is guessed
)

// rowTops are the largest integers that quantizers use.
var rowTops = []int64{1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 511, 512, 1023, 1024, 2047, 2048, 32767, 32768}

// rowScale finds the scale of one row, given the scale of the row before and
// its largest integer, which this one may have, too.
func rowScale(row []float32, lastScale float32, lastTop int64) (scale float32, top int64, ok bool) {
	largest := float32(0)
	for _, f := range row {
		if f != f || math.IsInf(float64(f), 0) || f == 0 && math.Signbit(float64(f)) {
			return 0, 0, false
		}
		largest = max(largest, f, -f)
	}
	if largest == 0 {
		return lastScale, lastTop, true
	}
	sample := row[:min(len(row), rowSample)]
	try := func(n int64) bool {
		if n < 1 || n > maxRow {
			return false
		}
		for _, scale = range scalesNear(float64(largest) / float64(n)) {
			if scale > 0 && allMultiples(sample, scale) && allMultiples(row, scale) {
				top = n
				return true
			}
		}
		return false
	}
	if lastTop > 0 && try(lastTop) || slices.ContainsFunc(rowTops, try) {
		return scale, top, true
	}
	// Few values have none of these: the least distance of two of them is a
	// small multiple of the scale.
	sorted := []float32{0}
	for _, f := range sample {
		sorted = append(sorted, max(f, -f))
	}
	slices.Sort(sorted)
	step := math.Inf(1)
	for i, f := range sorted[1:] {
		if d := float64(f) - float64(sorted[i]); d > 0 {
			step = min(step, d)
		}
	}
	for m := range 8 {
		if try(int64(math.Round(float64(largest) / step * float64(m+1)))) {
			return scale, top, true
		}
	}
	return 0, 0, false
}

// scalesNear returns what a scale may be that was computed as x from a rounded
// product: the float32 next to x and its neighbours, the likeliest first.
func scalesNear(x float64) (scales [5]float32) {
	near := math.Float32bits(float32(x))
	for i, d := range [...]int32{0, 1, -1, 2, -2} {
		scales[i] = math.Float32frombits(near + uint32(d))
	}
	return scales
}

func allMultiples(fs []float32, scale float32) bool {
	for _, f := range fs {
		k := multiple(f, scale)
		if k < -maxRow || k > maxRow || scaled(scale, k) != f {
			return false
		}
	}
	return true
}

// multiple returns the integer that f is, in units of scale.
func multiple(f, scale float32) int64 { return int64(math.Round(float64(f) / float64(scale))) }

// gridOf returns a scale and integers below 2^20 such that each of the values,
// which increase, is a product of both; nil if there are none.
func gridOf(values []uint64) (float32, []int64) {
	if len(values) < 2 {
		return 0, nil
	}
	fs := make([]float32, len(values))
	step, top := math.Inf(1), 0.0
	for i, v := range values {
		f := floatOf(v)
		if f != f || math.IsInf(float64(f), 0) || v == 1<<31 {
			return 0, nil
		}
		fs[i] = f
		top = max(top, math.Abs(float64(f)))
		switch {
		case i > 0:
			step = min(step, float64(f)-float64(fs[i-1]))
		case f > 0: // the upper half of a symmetric codebook
			step = float64(f)
		}
	}
	// The smallest step is the scale, but rounded; the largest value knows it
	// best. Try the neighbours of that estimate.
	ks := make([]int64, len(fs))
	for _, m := range []float64{1, 2} { // all odd, or all even but for one
		n := math.Round(top / step * m)
		if n < 1 || n > 1<<20 {
			return 0, nil
		}
		for _, scale := range scalesNear(top / n) {
			if scale > 0 && gridIndices(ks, fs, scale) {
				return scale, ks
			}
		}
	}
	return 0, nil
}

func gridIndices(ks []int64, fs []float32, scale float32) bool {
	last := int64(math.MinInt64)
	for i, f := range fs {
		k := multiple(f, scale)
		if math.Float32bits(scaled(scale, k)) != math.Float32bits(f) || k <= last {
			return false
		}
		ks[i], last = k, k
	}
	return true
}
