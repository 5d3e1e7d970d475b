package rope

import (
	"encoding/binary"
	"math"
	"slices"

	"ropewalk/internal/codec/mix"
	"ropewalk/internal/codec/planes"
	"ropewalk/tensor"
)

// Forms in which a codebook is stored; the smallest is taken
// (docs/FORMAT.md, section 5.2).
const (
	formRaw      = iota // the values
	formGaps            // distances between the values as ordered integers
	formRuns            // ordered integers that follow each other
	formGrid            // F32: a scale and integers, by their distances
	formGridRuns        // the same, by their runs
	formHalf            // F32: the values as binary16
	formHalfGaps        // the same, by their distances
	formRows            // F32: a scale for each row, and integers
	numOfForms

	formSymmetric = 8 // flag: only what is above zero
)

// Forms of the scales of rows, in the low bits of a byte; the flag says that
// the integers are stored by their runs.
const (
	scalesRaw = iota
	scalesHalf
	scalesPlanes

	scalesRuns = 4 // flag
)

// Limits of the integers of a grid and of rows.
const (
	maxGrid = 1 << 22
	maxRow  = 1 << 15
)

// maxExpansion bounds the levels, and rows, for each byte of a codebook: runs
// would make thousands of four bytes otherwise.
const maxExpansion = 64

// Sizes in the place of the number of levels, less one.
const (
	bookNone = 0 // the array has no codebook
	bookSame = 1 // that of the member before
)

func floatBits(f float32) uint64 { return uint64(math.Float32bits(f)) }
func floatOf(v uint64) float32   { return math.Float32frombits(uint32(v)) }

// appendCodebooks stores the codebooks of a group, nil where a member has none.
func appendCodebooks(dst []byte, books []*codebook) []byte {
	var last *codebook
	for _, cb := range books {
		switch {
		case cb == nil:
			dst = append(dst, bookNone)
			continue
		case last != nil && last.rows == nil && cb.rows == nil && slices.Equal(cb.values, last.values):
			dst = append(dst, bookSame)
		default:
			dst = cb.append(dst)
		}
		last = cb
	}
	return dst
}

// append stores one codebook.
func (cb *codebook) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(cb.values)+1))
	if cb.rows != nil {
		return cb.appendRows(append(dst, formRows))
	}
	best := cb.smallestForm(cb.values, 0)
	if half := cb.upperHalf(); half != nil {
		if b := cb.smallestForm(half, formSymmetric); len(b) < len(best) {
			best = b
		}
	}
	return append(dst, best...)
}

// smallestForm stores values in the smallest of the forms that are possible.
func (cb *codebook) smallestForm(values []uint64, flag byte) []byte {
	raw, ordered := []byte{formRaw | flag}, make([]uint64, len(values))
	for i, v := range values {
		raw = append(raw, make([]byte, cb.unit.width())...)
		mix.Store(raw[len(raw)-cb.unit.width():], cb.unit.width(), v)
		ordered[i] = cb.unit.ordered(v)
	}
	best := raw
	try := func(b []byte) {
		if len(b) < len(best) && len(cb.values) <= maxExpansion*len(b) {
			best = b
		}
	}
	try(appendGaps([]byte{formGaps | flag}, ordered, 0))
	try(appendRuns([]byte{formRuns | flag}, ordered, 0))
	if cb.unit != unitF32 {
		return best
	}
	if hs := halves(values); hs != nil {
		b := []byte{formHalf | flag}
		for i, h := range hs {
			b = binary.LittleEndian.AppendUint16(b, h)
			ordered[i] = unitF16.ordered(uint64(h))
		}
		try(b)
		try(appendGaps([]byte{formHalfGaps | flag}, ordered, 0))
	}
	if scale, ks := gridOf(values); ks != nil {
		s := binary.LittleEndian.AppendUint32(nil, math.Float32bits(scale))
		us := biased(ks, maxGrid)
		try(appendGaps(append([]byte{formGrid | flag}, s...), us, maxGrid))
		try(appendRuns(append([]byte{formGridRuns | flag}, s...), us, maxGrid))
	}
	return best
}

// upperHalf returns the values above zero if those below are the same with the
// other sign; nil if not. A zero in between is +0.
func (cb *codebook) upperHalf() []uint64 {
	n := len(cb.values)
	half := cb.values[n-n/2:]
	if n < 2 || n%2 == 1 && cb.values[n/2] != 0 {
		return nil
	}
	zero := cb.unit.ordered(0)
	for i, v := range half {
		minus, ok := cb.unit.negative(v)
		if !ok || cb.unit.ordered(v) <= zero || cb.values[n/2-1-i] != minus {
			return nil
		}
	}
	return half
}

// A list of increasing integers is stored by gaps or by runs. Integers of grids
// and rows have a bias, so that they are not negative here, but the first of
// them is stored as a signed number without it.

func appendFirst(dst []byte, v, bias uint64) []byte {
	if bias == 0 {
		return binary.AppendUvarint(dst, v)
	}
	return binary.AppendVarint(dst, int64(v-bias))
}

// appendGaps stores the first, and each distance less one.
func appendGaps(dst []byte, vs []uint64, bias uint64) []byte {
	for i, v := range vs {
		if i == 0 {
			dst = appendFirst(dst, v, bias)
			continue
		}
		dst = binary.AppendUvarint(dst, v-vs[i-1]-1)
	}
	return dst
}

// appendRuns stores runs of integers that follow each other: where each
// begins, by the distance to the one before, less two, and its length, less one.
func appendRuns(dst []byte, vs []uint64, bias uint64) []byte {
	for i := 0; i < len(vs); {
		n := 1
		for i+n < len(vs) && vs[i+n] == vs[i]+uint64(n) {
			n++
		}
		if i == 0 {
			dst = appendFirst(dst, vs[0], bias)
		} else {
			dst = binary.AppendUvarint(dst, vs[i]-vs[i-1]-2)
		}
		dst = binary.AppendUvarint(dst, uint64(n-1))
		i += n
	}
	return dst
}

// list reads increasing integers, the last at most most.
func (r *wireReader) list(vs []uint64, runs bool, most, bias uint64) {
	least, step := uint64(0), uint64(1) // where the next one may be, at least
	if runs {
		step = 2
	}
	for i := 0; i < len(vs); {
		var v uint64
		if i == 0 && bias > 0 {
			z := r.uint("level", 2*most)
			v = bias + (z>>1 ^ -(z & 1))
		} else {
			v = r.uint("level", most)
		}
		n := uint64(1)
		if runs {
			n += r.uint("length of a run", uint64(len(vs)-i-1))
		}
		if r.err == nil && (v > most-least || n-1 > most-least-v) {
			r.fail("level %d is above %d: %w", i, most, errWire)
		}
		if r.err != nil {
			return
		}
		v += least
		for k := range n {
			vs[i] = v + k
			i++
		}
		if v += n - 1; i < len(vs) && most-v < step {
			r.fail("level %d is above %d: %w", i, most, errWire)
			return
		}
		least = v + step
	}
}

func biased(ks []int64, bias int64) []uint64 {
	us := make([]uint64, len(ks))
	for i, k := range ks {
		us[i] = uint64(k + bias)
	}
	return us
}

// parseCodebooks reads what appendCodebooks wrote. values are the numbers of
// values of the members.
func parseCodebooks(u unit, members []bookOwner, b []byte) ([]*codebook, error) {
	r := &wireReader{b: b}
	books := make([]*codebook, len(members))
	var last *codebook
	for i, m := range members {
		before := len(r.b)
		switch n := r.uint("levels", mix.MaxLevels+1); n {
		case bookNone:
			continue
		case bookSame:
			if last == nil || last.rows != nil {
				r.fail("codebook of member %d is that of none: %w", i, errWire)
				return nil, r.err
			}
			books[i] = &codebook{unit: u, values: last.values}
		default:
			books[i] = parseCodebook(r, u, int(n-1), m)
		}
		if r.err != nil {
			return nil, r.err
		}
		cb := books[i]
		if int64(len(cb.values)) > m.values {
			r.fail("%d levels for %d values: %w", len(cb.values), m.values, errWire)
			return nil, r.err
		}
		cb.stored = int64(before - len(r.b))
		cb.fix(m.dtype)
		last = cb
	}
	if len(r.b) > 0 {
		r.fail("%d bytes behind the codebooks: %w", len(r.b), errWire)
	}
	return books, r.err
}

// A bookOwner is what a codebook depends on.
type bookOwner struct {
	dtype  tensor.DType
	shape  tensor.Shape
	values int64
}

// parseCodebook reads a codebook of n levels behind their number.
func parseCodebook(r *wireReader, u unit, n int, m bookOwner) *codebook {
	cb := &codebook{unit: u}
	if n > maxExpansion*len(r.b) {
		r.fail("%d levels in %d bytes: %w", n, len(r.b), errWire)
	}
	form := r.byte("form of the codebook")
	if r.err != nil {
		return nil
	}
	before := len(r.b) + 1
	if form == formRows {
		parseRows(r, cb, n, m)
	} else {
		cb.parseForm(r, form, n)
	}
	if used := before - len(r.b); r.err == nil && n > maxExpansion*used {
		r.fail("%d levels in %d bytes: %w", n, used, errWire)
	}
	return cb
}

// parseForm reads the values in any form but that of rows.
func (cb *codebook) parseForm(r *wireReader, form byte, n int) {
	u := cb.unit
	stored := n
	if form&formSymmetric != 0 {
		stored = n / 2
	}
	vs := make([]uint64, stored)
	kind := form &^ formSymmetric
	if kind >= formGrid && u != unitF32 || kind >= formRows {
		r.fail("codebook has form %d: %w", form, errWire)
		return
	}
	if _, ok := u.negative(0); !ok && form&formSymmetric != 0 {
		r.fail("symmetric codebook of unsigned values: %w", errWire)
		return
	}
	most := uint64(1)<<(8*u.width()-1)<<1 - 1
	switch kind {
	case formRaw:
		b := r.bytes("values", uint64(stored*u.width()))
		for i := range vs {
			if r.err == nil {
				vs[i] = mix.Load(b[i*u.width():], u.width())
			}
		}
	case formGaps, formRuns:
		r.list(vs, kind == formRuns, most, 0)
		for i, o := range vs {
			vs[i] = u.unordered(o)
		}
	case formGrid, formGridRuns:
		scale := r.scale()
		r.list(vs, kind == formGridRuns, 2*maxGrid, maxGrid)
		for i, k := range vs {
			vs[i] = r.product(scale, int64(k)-maxGrid)
		}
	case formHalf, formHalfGaps:
		if kind == formHalfGaps {
			r.list(vs, false, 1<<16-1, 0)
		}
		for i := range vs {
			h := uint16(unitF16.unordered(vs[i]))
			if kind == formHalf {
				if b := r.bytes("value", 2); b != nil {
					h = binary.LittleEndian.Uint16(b)
				}
			}
			vs[i] = r.half(h)
		}
	}
	if r.err != nil {
		return
	}
	if form&formSymmetric != 0 {
		vs = mirrored(u, vs, n)
	}
	for i := 1; i < n; i++ {
		if u.ordered(vs[i]) <= u.ordered(vs[i-1]) {
			r.fail("value %d of the codebook is not above the one before: %w", i, errWire)
			return
		}
	}
	cb.values = vs
}

// mirrored returns n values of which the upper half is given.
func mirrored(u unit, upper []uint64, n int) []uint64 {
	vs := make([]uint64, 0, n)
	for _, v := range slices.Backward(upper) {
		minus, _ := u.negative(v)
		vs = append(vs, minus)
	}
	if n%2 == 1 {
		vs = append(vs, 0)
	}
	return append(vs, upper...)
}

func (r *wireReader) scale() float32 {
	b := r.bytes("scale", 4)
	if b == nil {
		return 1
	}
	return r.checkScale(math.Float32frombits(binary.LittleEndian.Uint32(b)))
}

func (r *wireReader) checkScale(scale float32) float32 {
	if !(scale > 0) || math.IsInf(float64(scale), 0) {
		r.fail("scale is %g: %w", scale, errWire)
	}
	return scale
}

// product returns scale·k, which must be finite.
func (r *wireReader) product(scale float32, k int64) uint64 {
	v := scaled(scale, k)
	if math.IsInf(float64(v), 0) {
		r.fail("%g times %d is too large: %w", scale, k, errWire)
	}
	return floatBits(v)
}

// half returns a binary16 as F32; it must be finite.
func (r *wireReader) half(h uint16) uint64 {
	if h>>10&31 == 31 {
		r.fail("half %#x is not finite: %w", h, errWire)
	}
	return uint64(fromHalf(h))
}

// fromHalf returns the F32 of a finite binary16.
func fromHalf(h uint16) uint32 { return math.Float32bits(tensor.Float16Value(h)) }

// halves returns F32 values as binary16, or nil if they are not all finite and exact.
func halves(values []uint64) []uint16 {
	hs := make([]uint16, len(values))
	for i, v := range values {
		hs[i] = tensor.Float16Bits(floatOf(v))
		if hs[i]>>10&31 == 31 || fromHalf(hs[i]) != uint32(v) {
			return nil
		}
	}
	return hs
}

// appendRows stores scales and integers behind the form.
func (cb *codebook) appendRows(dst []byte) []byte {
	var raw []byte
	patterns := make([]uint64, len(cb.rows.scales))
	for i, s := range cb.rows.scales {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(s))
		patterns[i] = floatBits(s)
	}
	kind, best := byte(scalesRaw), raw
	if hs := halves(patterns); hs != nil {
		kind, best = scalesHalf, nil
		for _, h := range hs {
			best = binary.LittleEndian.AppendUint16(best, h)
		}
	}
	p := planes.Append(nil, raw, 4, planes.Rotate)
	p = append(binary.AppendUvarint(nil, uint64(len(p))), p...)
	if len(p) < len(best) && max(len(patterns), len(cb.values)) <= maxExpansion*len(p) {
		kind, best = scalesPlanes, p
	}
	ks := make([]int64, len(cb.values))
	for i, k := range cb.values {
		ks[i] = int64(k)
	}
	list := appendGaps(nil, biased(ks, maxRow), maxRow)
	if runs := appendRuns(nil, biased(ks, maxRow), maxRow); len(runs) < len(list) && len(ks) <= maxExpansion*(len(runs)+len(best)) {
		kind, list = kind|scalesRuns, runs
	}
	dst = append(dst, kind)
	return append(append(dst, best...), list...)
}

// parseRows reads what appendRows wrote.
func parseRows(r *wireReader, cb *codebook, n int, m bookOwner) {
	if m.dtype != tensor.F32 || len(m.shape) < 2 {
		r.fail("rows of an array of %s of rank %d: %w", m.dtype, len(m.shape), errWire)
		return
	}
	rows := m.shape[0]
	kind := r.byte("form of the scales")
	if rows < 1 || rows > int64(len(r.b))*maxExpansion {
		r.fail("%d scales in %d bytes: %w", rows, len(r.b), errWire)
	}
	if r.err != nil {
		return
	}
	scales := make([]float32, rows)
	switch kind &^ scalesRuns {
	case scalesRaw:
		for i := range scales {
			scales[i] = r.scale()
		}
	case scalesHalf:
		for i := range scales {
			if b := r.bytes("scale", 2); b != nil {
				scales[i] = r.checkScale(floatOf(r.half(binary.LittleEndian.Uint16(b))))
			}
		}
	case scalesPlanes:
		b := r.bytes("scales", r.uint("length of the scales", uint64(len(r.b))))
		raw := make([]byte, 4*rows)
		if r.err == nil {
			if rows > int64(len(b)*maxExpansion) {
				r.fail("%d scales in %d bytes: %w", rows, len(b), errWire)
			} else if err := planes.Decode(raw, b, 4, planes.Rotate); err != nil {
				r.fail("scales: %w", err)
			}
		}
		for i := range scales {
			scales[i] = r.checkScale(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
		}
	default:
		r.fail("scales have form %d: %w", kind, errWire)
	}
	ks := make([]uint64, n)
	r.list(ks, kind&scalesRuns != 0, 2*maxRow, maxRow)
	if r.err != nil {
		return
	}
	for i := range ks {
		ks[i] -= maxRow
	}
	for _, s := range scales {
		r.product(s, int64(ks[0]))
		r.product(s, int64(ks[n-1]))
	}
	cb.values = ks
	cb.rows = &rowScales{scales, int(m.values / rows)}
}
