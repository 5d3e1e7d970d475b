package rope

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"ropewalk/internal/codec/mix"
)

// A distinct collects the different values of an array, as long as there are
// at most [mix.MaxLevels] of them.
type distinct struct {
	width int
	seen  []bool   // width 1 and 2: by bit pattern
	table []uint64 // wider: open addressing; zero is kept apart
	zero  bool
	n     int
	full  bool // more than MaxLevels
}

const distinctTable = 4 * mix.MaxLevels

func newDistinct(width int) *distinct {
	d := &distinct{width: width}
	if width <= 2 {
		d.seen = make([]bool, 1<<(8*width))
	} else {
		d.table = make([]uint64, distinctTable)
	}
	return d
}

func hash64(v uint64) uint64 { return v * 0x9e3779b97f4a7c15 >> (64 - 14) } // 14 bits = distinctTable

// add looks at more values. It stops looking once there are too many.
func (d *distinct) add(b []byte) {
	if d.full {
		return
	}
	last, seen := uint64(0), false
	for i := 0; i+d.width <= len(b); i += d.width {
		v := mix.Load(b[i:], d.width)
		if seen && v == last {
			continue
		}
		last, seen = v, true
		if d.insert(v); d.full {
			return
		}
	}
}

func (d *distinct) insert(v uint64) {
	switch {
	case d.width <= 2:
		if d.seen[v] {
			return
		}
		d.seen[v] = true
	case v == 0:
		if d.zero {
			return
		}
		d.zero = true
	default:
		h := hash64(v)
		for d.table[h] != 0 {
			if d.table[h] == v {
				return
			}
			h = (h + 1) % distinctTable
		}
		if d.n < mix.MaxLevels {
			d.table[h] = v
		}
	}
	if d.n++; d.n > mix.MaxLevels {
		d.full, d.table, d.seen = true, nil, nil
	}
}

// values returns what was seen, or nil if it was too much.
func (d *distinct) values() []uint64 {
	if d.full {
		return nil
	}
	var vs []uint64
	for v, ok := range d.seen {
		if ok {
			vs = append(vs, uint64(v))
		}
	}
	for _, v := range d.table {
		if v != 0 {
			vs = append(vs, v)
		}
	}
	if d.zero {
		vs = append(vs, 0)
	}
	return vs
}

// A codebook is the sorted list of the values of a group, so that near
// indices are near values.
type codebook struct {
	unit   unit
	values []uint64 // bit patterns, in the order of what they stand for
	direct []uint16 // width 1 and 2: pattern → index
	keys   []uint64 // wider: open addressing, as in distinct
	index  []uint16
}

func newCodebook(u unit, values []uint64) *codebook {
	slices.SortFunc(values, func(a, b uint64) int {
		if u.ordered(a) < u.ordered(b) {
			return -1
		}
		return 1
	})
	cb := &codebook{unit: u, values: values}
	if u.width() <= 2 {
		cb.direct = make([]uint16, 1<<(8*u.width()))
		for i, v := range values {
			cb.direct[v] = uint16(i)
		}
		return cb
	}
	cb.keys = make([]uint64, distinctTable)
	cb.index = make([]uint16, distinctTable)
	for i, v := range values {
		h := hash64(v)
		for cb.keys[h] != 0 && v != 0 {
			h = (h + 1) % distinctTable
		}
		if v == 0 {
			continue // looked up apart: zero marks an empty place
		}
		cb.keys[h], cb.index[h] = v, uint16(i)
	}
	return cb
}

// symbols returns the index of each value of src, all of which are in cb.
func (cb *codebook) symbols(src []byte) []uint16 {
	w := cb.unit.width()
	syms := make([]uint16, len(src)/w)
	if cb.direct != nil {
		for i := range syms {
			syms[i] = cb.direct[mix.Load(src[i*w:], w)]
		}
		return syms
	}
	zero := uint16(max(slices.Index(cb.values, 0), 0))
	for i := range syms {
		v := mix.Load(src[i*w:], w)
		if v == 0 {
			syms[i] = zero
			continue
		}
		h := hash64(v)
		for cb.keys[h] != v {
			h = (h + 1) % distinctTable
		}
		syms[i] = cb.index[h]
	}
	return syms
}

// expand writes the values of the symbols to dst.
func (cb *codebook) expand(dst []byte, syms []uint16) error {
	w := cb.unit.width()
	for i, s := range syms {
		if int(s) >= len(cb.values) {
			return fmt.Errorf("index %d into a codebook of %d values: %w", s, len(cb.values), mix.ErrCorrupt)
		}
		mix.Store(dst[i*w:], w, cb.values[s])
	}
	return nil
}

// Forms in which a codebook is stored; the smallest is taken.
const (
	codebookRaw  = iota // the values
	codebookGaps        // distances between the values as ordered integers
	codebookGrid        // F32 only: multiples of one scale, as dequantized integers are
)

func (cb *codebook) append(dst []byte) []byte {
	w := cb.unit.width()
	dst = binary.AppendUvarint(dst, uint64(len(cb.values)-1))
	raw := []byte{codebookRaw}
	gaps := []byte{codebookGaps}
	last := uint64(0)
	for i, v := range cb.values {
		raw = append(raw, make([]byte, w)...)
		mix.Store(raw[len(raw)-w:], w, v)
		o := cb.unit.ordered(v)
		if i > 0 {
			gaps = binary.AppendUvarint(gaps, o-last-1)
		} else {
			gaps = binary.AppendUvarint(gaps, o)
		}
		last = o
	}
	best := raw
	if len(gaps) < len(best) {
		best = gaps
	}
	if grid := cb.appendGrid([]byte{codebookGrid}); grid != nil && len(grid) < len(best) {
		best = grid
	}
	return append(dst, best...)
}

// appendGrid stores an F32 codebook as one scale and integers k, such that
// each value is the float32 product scale·k; nil if there are none below 2^20.
func (cb *codebook) appendGrid(dst []byte) []byte {
	if cb.unit != unitF32 || len(cb.values) < 4 {
		return nil
	}
	fs := make([]float32, len(cb.values))
	step, top := math.Inf(1), 0.0
	for i, v := range cb.values {
		f := math.Float32frombits(uint32(v))
		if f != f || math.IsInf(float64(f), 0) || v == 1<<31 {
			return nil
		}
		fs[i] = f
		top = max(top, math.Abs(float64(f)))
		if i > 0 {
			step = min(step, float64(f)-float64(fs[i-1]))
		}
	}
	// The smallest step is the scale, but rounded; the largest value knows it
	// best. Try the neighbours of that estimate.
	n := math.Round(top / step)
	if n > 1<<20 {
		return nil
	}
	near := math.Float32bits(float32(top / n))
	ks := make([]int64, len(fs))
	for _, d := range []int32{0, 1, -1, 2, -2} {
		scale := math.Float32frombits(near + uint32(d))
		if gridIndices(ks, fs, scale) {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(scale))
			last := int64(0)
			for i, k := range ks {
				if i == 0 {
					dst = binary.AppendVarint(dst, k)
				} else {
					dst = binary.AppendUvarint(dst, uint64(k-last-1))
				}
				last = k
			}
			return dst
		}
	}
	return nil
}

func gridIndices(ks []int64, fs []float32, scale float32) bool {
	last := int64(math.MinInt64)
	for i, f := range fs {
		k := int64(math.Round(float64(f) / float64(scale)))
		if math.Float32bits(gridValue(scale, k)) != math.Float32bits(f) || k <= last {
			return false
		}
		ks[i], last = k, k
	}
	return true
}

// gridValue returns the k-th multiple of scale, rounded once.
func gridValue(scale float32, k int64) float32 {
	if k == 0 {
		return 0
	}
	return float32(scale * float32(k))
}

// parseCodebook reads what append wrote.
func parseCodebook(u unit, b []byte) (*codebook, error) {
	r := &wireReader{b: b}
	n := int(r.uint("levels", mix.MaxLevels-1)) + 1
	mode := r.bytes("form of the codebook", 1)
	if r.err != nil {
		return nil, r.err
	}
	w := u.width()
	most := uint64(1)<<(8*w-1)<<1 - 1
	cb := &codebook{unit: u, values: make([]uint64, 0, n)}
	last := uint64(0)
	add := func(v uint64) {
		o := u.ordered(v)
		if len(cb.values) > 0 && o <= last {
			r.fail("value %d of the codebook is not above the one before: %w", len(cb.values), errWire)
		}
		cb.values, last = append(cb.values, v), o
	}
	switch mode[0] {
	case codebookRaw:
		for range n {
			if b := r.bytes("value", uint64(w)); b != nil {
				add(mix.Load(b, w))
			}
		}
	case codebookGaps:
		for i := range n {
			o := r.uint("value", most)
			if i > 0 {
				if o > most-last-1 || last == most {
					r.fail("gap of the codebook leads past its type: %w", errWire)
					break
				}
				o += last + 1
			}
			add(u.unordered(o))
		}
	case codebookGrid:
		s := r.bytes("scale", 4)
		if u != unitF32 || s == nil {
			r.fail("grid of something else than F32: %w", errWire)
			break
		}
		scale := math.Float32frombits(binary.LittleEndian.Uint32(s))
		if !(scale > 0) || math.IsInf(float64(scale), 0) {
			r.fail("scale of the grid is %g: %w", scale, errWire)
		}
		k := int64(0)
		for i := range n {
			if i == 0 {
				z := r.uint("index", 1<<23)
				k = int64(z>>1) ^ -int64(z&1)
			} else {
				k += int64(r.uint("index", 1<<22)) + 1
			}
			if k < -1<<22 || k > 1<<22 {
				r.fail("index into the grid is %d: %w", k, errWire)
			}
			if r.err != nil {
				break
			}
			add(uint64(math.Float32bits(gridValue(scale, k))))
		}
	default:
		r.fail("codebook has form %d: %w", mode[0], errWire)
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes behind the codebook: %w", len(r.b), errWire)
	}
	return cb, r.err
}
