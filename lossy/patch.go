package lossy

import (
	"errors"
	"io"
	"slices"

	"ropewalk/layout"
	"ropewalk/quant"
	"ropewalk/tensor"
)

// A patch is the values of one array, kept as symbols until they are read.
type patch struct {
	off, size int64 // in its file
	width     int64
	row       int64  // weights in a channel, if there are scales
	table     []byte // the levels, in the type of the array
	dtype     tensor.DType
	q         *quant.Quantized
}

func newPatch(q *quant.Quantized, t *Tensor) *patch {
	p := &patch{width: int64(t.DType.Bits() / 8), dtype: t.DType, q: q, row: t.Weights}
	if q.Scales != nil {
		p.row = max(t.Weights/int64(len(q.Scales)), 1)
	} else {
		p.table = t.DType.AppendFloats(nil, within(t.DType, q.Levels))
	}
	return p
}

// within returns levels that the type can hold: the outermost may be a little
// further out than all weights, which would make them infinite.
func within(d tensor.DType, levels []float32) []float32 {
	most := map[tensor.DType]float32{tensor.F16: 65504, tensor.BF16: 0x1.fep127}[d]
	if most == 0 {
		return levels
	}
	c := slices.Clone(levels)
	for i, l := range c {
		c[i] = max(min(l, most), -most)
	}
	return c
}

// read fills b, which begins at byte off of the array, with values.
func (p *patch) read(b []byte, off int64) {
	var one [8]byte
	for i := off / p.width; len(b) > 0; i++ {
		s := int64(p.q.Symbols[i])
		var v []byte
		if p.table != nil {
			v = p.table[s*p.width : (s+1)*p.width]
		} else {
			v = p.dtype.AppendFloats(one[:0], []float32{float32(p.q.Scales[i/p.row] * p.q.Levels[s])})
		}
		b = b[copy(b, v[off%p.width:]):]
		off += p.width - off%p.width
	}
}

// patchedFile is a file some of whose bytes are those of patches, sorted.
type patchedFile struct {
	base    tensor.Data
	patches []*patch
}

func (f *patchedFile) Size() int64 { return f.base.Size() }

// ReadAt implements io.ReaderAt.
func (f *patchedFile) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off >= f.Size() {
		return 0, io.EOF
	}
	i, _ := slices.BinarySearchFunc(f.patches, off, func(p *patch, off int64) int {
		if p.off+p.size <= off {
			return -1
		}
		return 1
	})
	n := 0
	for ; n < len(b); i++ {
		// What lies before the next patch, then the patch.
		at, end := off+int64(n), f.Size()
		if i < len(f.patches) {
			end = f.patches[i].off
		}
		if at < end {
			m, err := f.base.ReadAt(b[n:min(int64(n)+end-at, int64(len(b)))], at)
			n += m
			if err != nil && (!errors.Is(err, io.EOF) || n < len(b)) {
				return n, err
			}
			at = off + int64(n)
		}
		if i == len(f.patches) {
			break
		}
		p := f.patches[i]
		if n < len(b) {
			m := min(p.off+p.size-at, int64(len(b)-n))
			p.read(b[n:n+int(m)], at-p.off)
			n += int(m)
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// patched returns the layout with other values in those arrays that have a patch.
func patched(l *layout.Layout, arrays []int, patches []*patch) *layout.Layout {
	c := *l
	c.Files = slices.Clone(l.Files)
	byFile := make([][]*patch, len(l.Files))
	for k, i := range arrays {
		if patches[k] == nil {
			continue
		}
		a := &l.Arrays[i]
		patches[k].off, patches[k].size = a.Offset, a.Size
		byFile[a.File] = append(byFile[a.File], patches[k])
	}
	for i, ps := range byFile {
		if len(ps) > 0 {
			c.Files[i].Data = &patchedFile{l.Files[i].Data, ps}
		}
	}
	return &c
}
