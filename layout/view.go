package layout

import (
	"fmt"
	"io"
	"slices"
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
	last := new(lastDecoded)
	for i := range l.Views {
		v := &l.Views[i]
		t := &tensor.Tensor{Name: v.Name, DType: v.DType, Shape: v.Shape}
		switch {
		case v.Encoded != nil:
			d, err := l.encoded(v, last)
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

// lazyDecoded decodes when it is read.
type lazyDecoded struct {
	size int64
	load func() ([]byte, error)
}

// A lastDecoded keeps the values of the view that was decoded last: a tensor is
// mostly read in pieces, one after the other, and then not again.
type lastDecoded struct {
	mu     sync.Mutex
	view   *View
	values []byte
}

func (d *lastDecoded) get(v *View, decode func() ([]byte, error)) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.view == v {
		return d.values, nil
	}
	b, err := decode()
	if err == nil {
		d.view, d.values = v, b
	}
	return b, err
}

func (l *Layout) encoded(v *View, last *lastDecoded) (tensor.Data, error) {
	size, err := v.Shape.Size(v.DType)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", v.Name, err)
	}
	dec := l.Decoders[v.Encoded.Encoding]
	if dec == nil {
		return nil, fmt.Errorf("%w: tensor %q: no decoder for %q", ErrLayout, v.Name, v.Encoded.Encoding)
	}
	src := l.Files[v.Encoded.File].Data
	decode := func() ([]byte, error) {
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
	}
	return lazyDecoded{size, func() ([]byte, error) { return last.get(v, decode) }}, nil
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

// gatherElems is how many elements are gathered from one read of the array,
// and gatherBytes how much that read may be; elements that lie further apart
// are read one by one.
const (
	gatherElems = 4096
	gatherBytes = 1 << 20
)

// ReadAt gathers element by element, and holds little of the array at a time.
func (s *strided) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= s.size {
		return 0, io.EOF
	}
	var err error
	if int64(len(p)) > s.size-off {
		p, err = p[:s.size-off], io.EOF
	}
	idx := make([]int64, len(s.shape))
	rest := off / s.width
	for i, d := range slices.Backward(s.shape) {
		idx[i] = rest % d
		rest /= d
	}
	n := 0
	skip := off % s.width // a read may begin inside of an element
	places := make([]int64, 0, gatherElems)
	var raw, scratch []byte
	for n < len(p) {
		want := min((int64(len(p)-n)+skip+s.width-1)/s.width, gatherElems)
		places = places[:0]
		for range want {
			places = append(places, s.place(idx))
			s.step(idx)
		}
		lo, hi := slices.Min(places), slices.Max(places)+1
		whole := (hi-lo)*s.width <= gatherBytes
		if whole {
			scratch = slices.Grow(scratch[:0], int((hi-lo)*s.width)) // what was lent before must not be read into
			var rerr error
			if raw, rerr = tensor.ReadRange(s.base, lo*s.width, (hi-lo)*s.width, scratch); rerr != nil {
				return n, rerr
			}
		}
		for _, at := range places {
			var e []byte
			if whole {
				e = raw[(at-lo)*s.width:][:s.width]
			} else {
				var rerr error
				if e, rerr = tensor.ReadRange(s.base, at*s.width, s.width, nil); rerr != nil {
					return n, rerr
				}
			}
			n += copy(p[n:], e[skip:])
			skip = 0
		}
	}
	return n, err
}

// place returns where in the array the element with that index is.
func (s *strided) place(idx []int64) int64 {
	at := s.off
	for i, st := range s.strides {
		at += idx[i] * st
	}
	return at
}

// step advances an index by one element.
func (s *strided) step(idx []int64) {
	for i := range slices.Backward(idx) {
		if idx[i]++; idx[i] < s.shape[i] {
			return
		}
		idx[i] = 0
	}
}
