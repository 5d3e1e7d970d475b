package mark

import (
	"encoding/binary"
	"io"
	"math"

	"ropewalk/tensor"
)

// An added is the data of a tensor to which something is added, computed when it is
// read. It is safe for concurrent use.
type added struct {
	t *tensor.Tensor
	// delta fills d with what is added to the numbers from start on. Where it is 0,
	// the bits stay.
	delta func(d []float32, start int64)
}

// Size implements [tensor.Data].
func (a *added) Size() int64 { return a.t.Size() }

// chunk is how many numbers are computed at a time: they stay in the cache.
const chunk = 1 << 13

// ReadAt implements [io.ReaderAt].
func (a *added) ReadAt(p []byte, off int64) (int, error) {
	size := int64(a.t.DType.Bits() / 8)
	total := a.t.Size()
	if off >= total {
		return 0, io.EOF
	}
	want := int64(len(p))
	short := off+want > total
	if short {
		want = total - off
	}
	var raw []byte
	d := make([]float32, 0, chunk)
	done := int64(0)
	for done < want {
		first := (off + done) / size
		n := min(chunk, (off+want+size-1)/size-first)
		b, err := tensor.ReadRange(a.t.Data, first*size, n*size, raw[:0])
		if err != nil {
			return int(done), err
		}
		raw = append(raw[:0], b...)
		d = d[:n]
		a.delta(d, first)
		add(a.t.DType, raw, d)
		done += int64(copy(p[done:want], raw[off+done-first*size:]))
	}
	if short {
		return int(done), io.EOF
	}
	return int(done), nil
}

// add adds d to the numbers in raw, each rounded once. It returns nothing about those
// that do not change.
func add(dt tensor.DType, raw []byte, d []float32) {
	switch dt {
	case tensor.F32:
		for i, v := range d {
			if v != 0 {
				b := raw[4*i:]
				binary.LittleEndian.PutUint32(b, math.Float32bits(math.Float32frombits(binary.LittleEndian.Uint32(b))+v))
			}
		}
	case tensor.F64:
		for i, v := range d {
			if v != 0 {
				b := raw[8*i:]
				binary.LittleEndian.PutUint64(b, math.Float64bits(math.Float64frombits(binary.LittleEndian.Uint64(b))+float64(v)))
			}
		}
	default: // 16 bits
		x := dt.AppendFloat32s(make([]float32, 0, len(d)), raw)
		var b []byte
		for i, v := range d {
			if v != 0 {
				b = dt.AppendFloats(b[:0], []float32{x[i] + v})
				copy(raw[2*i:], b)
			}
		}
	}
}
