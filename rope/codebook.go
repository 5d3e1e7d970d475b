package rope

import (
	"fmt"

	"ropewalk/internal/codec"
	"ropewalk/internal/codec/mix"
	"ropewalk/tensor"
)

// A codebook says what the indices of one array stand for: values in their
// order, so that near indices are near values, or with rows, integers that are
// multiplied by the scale of the row.
type codebook struct {
	unit   unit
	values []uint64 // bit patterns; of rows: the integers, two's complement
	rows   *rowScales
	fixed  []int32 // for the coders, see fixedLevels
	stored int64   // bytes in the frame of the codebooks
}

// A rowScales is a scale for each row of an array of F32: its index along the
// first axis.
type rowScales struct {
	scales []float32
	length int // values in a row
}

// fix sets what the coders predict with.
func (cb *codebook) fix(t tensor.DType) {
	if cb.rows != nil {
		t = tensor.I64
	}
	cb.fixed = fixedLevels(t, cb.values)
}

// scaled returns the k-th multiple of scale, rounded once.
func scaled(scale float32, k int64) float32 {
	if k == 0 {
		return 0
	}
	return float32(scale * float32(k))
}

// expand writes the values of indices to dst; start is the place in the array
// of the first.
func (cb *codebook) expand(dst []byte, syms []uint16, start int) error {
	w := cb.unit.width()
	for i, s := range syms {
		if int(s) >= len(cb.values) {
			return fmt.Errorf("index %d into a codebook of %d values: %w", s, len(cb.values), mix.ErrCorrupt)
		}
		v := cb.values[s]
		if cb.rows != nil {
			v = floatBits(scaled(cb.rows.scales[(start+i)/cb.rows.length], int64(v)))
		}
		mix.Store(dst[i*w:], w, v)
	}
	return nil
}

// expandAll writes the values of the indices of all segments.
func expandAll(dst []byte, syms []uint16, books []*codebook, segs []codec.Segment) error {
	for i, cb := range books {
		n := segs[i].Len
		if err := cb.expand(dst, syms[:n], segs[i].Start); err != nil {
			return err
		}
		syms, dst = syms[n:], dst[n*cb.unit.width():]
	}
	return nil
}

// An indexer finds the indices of values.
type indexer struct {
	cb     *codebook
	direct []uint16 // width 1 and 2: pattern → index
	keys   []uint64 // wider: open addressing
	index  []uint16 // plus one; 0 where the table is empty
	first  int64    // rows: the integer that direct[0] is the index of
}

func (cb *codebook) indexer() *indexer {
	x := &indexer{cb: cb}
	switch n := len(cb.values); {
	case cb.rows != nil:
		x.first = int64(cb.values[0])
		x.direct = make([]uint16, int64(cb.values[n-1])-x.first+1)
		for i, k := range cb.values {
			x.direct[int64(k)-x.first] = uint16(i)
		}
	case cb.unit.width() <= 2:
		x.direct = make([]uint16, 1<<(8*cb.unit.width()))
		for i, v := range cb.values {
			x.direct[v] = uint16(i)
		}
	default:
		size := 4
		for size < 4*n {
			size *= 2
		}
		x.keys, x.index = make([]uint64, size), make([]uint16, size)
		for i, v := range cb.values {
			at := place64(v, size)
			for x.index[at] != 0 {
				at = (at + 1) % size
			}
			x.keys[at], x.index[at] = v, uint16(i+1)
		}
	}
	return x
}

// appendIndices appends the index of each value of src, all of which are in
// the codebook; start is the place in the array of the first.
func (x *indexer) appendIndices(syms []uint16, src []byte, start int) []uint16 {
	w := x.cb.unit.width()
	for i := 0; i*w < len(src); i++ {
		v := mix.Load(src[i*w:], w)
		switch {
		case x.cb.rows != nil:
			k := multiple(floatOf(v), x.cb.rows.scales[(start+i)/x.cb.rows.length])
			syms = append(syms, x.direct[k-x.first])
		case x.direct != nil:
			syms = append(syms, x.direct[v])
		default:
			at := place64(v, len(x.keys))
			for x.keys[at] != v || x.index[at] == 0 {
				at = (at + 1) % len(x.keys)
			}
			syms = append(syms, x.index[at]-1)
		}
	}
	return syms
}

// indicesOf returns the indices of a block that consists of such segments.
func indicesOf(src []byte, books []*codebook, segs []codec.Segment) []uint16 {
	var syms []uint16
	for i, cb := range books {
		n := segs[i].Len * cb.unit.width()
		syms = cb.indexer().appendIndices(syms, src[:n], segs[i].Start)
		src = src[n:]
	}
	return syms
}

// mostLevels returns the size of the largest of the codebooks.
func mostLevels(books []*codebook) int {
	k := 0
	for _, cb := range books {
		k = max(k, len(cb.values))
	}
	return k
}
