package layout

import (
	"fmt"
	"io"
	"sync"

	"ropewalk/tensor"
)

// ArrayData returns the bytes of array i.
func (l *Layout) ArrayData(i int) tensor.Data {
	a := &l.Arrays[i]
	return tensor.Section{Base: l.Files[a.File].Data, Off: a.Offset, Len: a.Size}
}

// Set returns the views as a lazy Set whose bytes come from the files.
func (l *Layout) Set() (*tensor.Set, error) {
	return l.SetFrom(l.ArrayData)
}

// SetFrom is like [Layout.Set], but takes the bytes of each array from data.
func (l *Layout) SetFrom(data func(array int) tensor.Data) (*tensor.Set, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	list := make([]*tensor.Tensor, len(l.Views))
	for i := range l.Views {
		v := &l.Views[i]
		t := &tensor.Tensor{Name: v.Name, DType: v.DType, Shape: v.Shape}
		switch {
		case v.Encoded != nil:
			d, err := l.encoded(v)
			if err != nil {
				return nil, err
			}
			t.Data = d
		case v.IsWhole(&l.Arrays[v.Array]):
			t.Data = data(v.Array)
		default:
			t.Data = newStrided(v, data(v.Array))
		}
		list[i] = t
	}
	return tensor.NewSet(list...)
}

// lazyDecoded decodes on first use and keeps the result.
type lazyDecoded struct {
	size int64
	load func() ([]byte, error)
}

func (l *Layout) encoded(v *View) (tensor.Data, error) {
	size, err := v.Shape.Size(v.DType)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", v.Name, err)
	}
	dec := l.Decoders[v.Encoded.Encoding]
	if dec == nil {
		return nil, fmt.Errorf("%w: tensor %q: no decoder for %q", ErrLayout, v.Name, v.Encoded.Encoding)
	}
	src := l.Files[v.Encoded.File].Data
	load := sync.OnceValues(func() ([]byte, error) {
		raw, err := tensor.ReadRange(src, v.Encoded.Offset, v.Encoded.Size, nil)
		if err != nil {
			return nil, err
		}
		b, err := dec(raw, v)
		if err != nil {
			return nil, err
		}
		if int64(len(b)) != size {
			return nil, fmt.Errorf("decoded to %d bytes, want %d: %w", len(b), size, io.ErrUnexpectedEOF)
		}
		return b, nil
	})
	return lazyDecoded{size, load}, nil
}

func (d lazyDecoded) Size() int64 { return d.size }

func (d lazyDecoded) ReadAt(p []byte, off int64) (int, error) {
	b, err := d.load()
	if err != nil {
		return 0, err
	}
	return tensor.Bytes(b).ReadAt(p, off)
}

// strided gathers the elements of a view that is not a whole array.
type strided struct {
	base    tensor.Data
	shape   tensor.Shape
	strides []int64 // elements
	off     int64   // elements
	width   int64   // bytes of an element
	size    int64
}

func newStrided(v *View, base tensor.Data) tensor.Data {
	width := int64(v.DType.Bits() / 8)
	size, _ := v.Shape.Size(v.DType) // checked by Validate
	dense := rowMajor(v.Shape)
	strides := v.Strides
	if strides == nil {
		strides = dense
	}
	isDense := true
	for i := range strides {
		if v.Shape[i] > 1 && strides[i] != dense[i] {
			isDense = false
		}
	}
	if isDense || size == 0 {
		return tensor.Section{Base: base, Off: v.Offset * width, Len: size}
	}
	return &strided{base, v.Shape, strides, v.Offset, width, size}
}

func (s *strided) Size() int64 { return s.size }

// ReadAt gathers element by element. It reads the stretch of the array that
// the view spans once, so it asks for as much memory as that stretch.
func (s *strided) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= s.size {
		return 0, io.EOF
	}
	var err error
	if int64(len(p)) > s.size-off {
		p, err = p[:s.size-off], io.EOF
	}
	first, last := off/s.width, (off+int64(len(p))-1)/s.width
	span := int64(1)
	for i, st := range s.strides {
		span += (s.shape[i] - 1) * st
	}
	raw, rerr := tensor.ReadRange(s.base, s.off*s.width, span*s.width, nil)
	if rerr != nil {
		return 0, rerr
	}
	idx := make([]int64, len(s.shape))
	rest := first
	for i := len(s.shape) - 1; i >= 0; i-- {
		idx[i] = rest % s.shape[i]
		rest /= s.shape[i]
	}
	n := 0
	skip := off - first*s.width // a read may begin inside of an element
	for e := first; e <= last; e++ {
		at := int64(0)
		for i, st := range s.strides {
			at += idx[i] * st
		}
		n += copy(p[n:], raw[at*s.width+skip:(at+1)*s.width])
		skip = 0
		for i := len(idx) - 1; i >= 0; i-- {
			if idx[i]++; idx[i] < s.shape[i] {
				break
			}
			idx[i] = 0
		}
	}
	return n, err
}
