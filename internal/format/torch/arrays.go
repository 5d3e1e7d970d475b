package torch

import (
	"cmp"
	"slices"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// A tensor whose stride is 0 along an axis repeats its values. The limit keeps
// one of four bytes from claiming to be four terabytes.
const (
	maxGrowth = 64 // times the size of the file
	growthAdd = 1 << 20
)

// arrange makes an array of each storage that a tensor views, and a view of
// each tensor. Other storages stay in the skeleton.
func arrange(a *archive, tensors []named) ([]layout.Array, []layout.View, error) {
	first := map[*member]*named{} // the first tensor of each storage
	var used []*member
	for i := range tensors {
		t := &tensors[i]
		if err := check(a, t); err != nil {
			return nil, nil, err
		}
		if m := t.storage.member; first[m] == nil {
			first[m] = t
			used = append(used, m)
		}
	}
	slices.SortFunc(used, func(x, y *member) int {
		// A member without bytes may begin where another does.
		return cmp.Or(cmp.Compare(x.begin, y.begin), cmp.Compare(x.header, y.header))
	})
	arrays := make([]layout.Array, len(used))
	place := make(map[*member]int, len(used))
	hasShape := make([]bool, len(used))
	for i, m := range used {
		t := first[m]
		width := t.dtype.width()
		if m.size%width != 0 {
			return nil, nil, a.corrupt(m.begin, "member %q has %d bytes, not a multiple of the %d of %s", m.name, m.size, width, t.dtype)
		}
		arrays[i] = layout.Array{
			Name: t.name, DType: t.dtype.is, Shape: tensor.Shape{m.size / width * max(t.dtype.perByte, 1)},
			Offset: m.begin, Size: m.size,
		}
		place[m] = i
	}
	views := make([]layout.View, len(tensors))
	for i := range tensors {
		t := &tensors[i]
		at := place[t.storage.member]
		v, err := view(a, t, at, &arrays[at])
		if err != nil {
			return nil, nil, err
		}
		views[i] = v
		// The first tensor that is all of a storage tells how its rows lie,
		// which helps to predict values.
		if !hasShape[at] && v.DType == arrays[at].DType {
			if shape := t.storageShape(); shape != nil {
				hasShape[at] = true
				arrays[at].Name, arrays[at].Shape = t.name, shape
			}
		}
	}
	return arrays, views, nil
}

// check makes sure that the tensor can be read and lies inside of its storage.
func check(a *archive, t *named) error {
	if t.problem != "" {
		return a.unsupported(t.at, "tensor %q %s", t.name, t.problem)
	}
	if t.dtype.is == "" {
		return a.unsupported(t.at, "tensor %q is of type %s, which is not read", t.name, t.dtype)
	}
	m := t.storage.member
	if err := a.stored(m); err != nil {
		return err
	}
	n, err := t.shape.Elems()
	if err != nil {
		return a.corrupt(t.at, "tensor %q: %v", t.name, err)
	}
	if t.offset < 0 {
		return a.corrupt(t.at, "tensor %q begins at element %d of its storage", t.name, t.offset)
	}
	for i, s := range t.strides {
		if s < 0 {
			return a.corrupt(t.at, "tensor %q has stride %d along axis %d", t.name, s, i)
		}
	}
	if n == 0 {
		return nil
	}
	width := t.dtype.width()
	have := m.size / width
	outside := t.offset >= have
	last := t.offset
	for i, s := range t.strides {
		if outside {
			break
		}
		if d := t.shape[i] - 1; d > 0 {
			if s > (have-1-last)/d {
				outside = true
			} else {
				last += d * s
			}
		}
	}
	if outside {
		return a.corrupt(t.at, "tensor %q, %v with strides %v from element %d, ends after the %d elements of member %q", t.name, t.shape, t.strides, t.offset, have, m.name)
	}
	if limit := maxGrowth*min(a.data.Size(), 1<<56) + growthAdd; n > limit/width {
		return a.unsupported(t.at, "tensor %q repeats its values to %d elements, more than %d times the file", t.name, n, maxGrowth)
	}
	return nil
}

// view returns t as a view of its array.
func view(a *archive, t *named, at int, arr *layout.Array) (layout.View, error) {
	v := layout.View{Name: t.name, DType: t.dtype.is, Shape: t.shape, Array: at}
	if n, _ := t.shape.Elems(); n != 0 { // the place of an empty one means nothing
		v.Offset = t.offset
		if !t.rowMajor() {
			v.Strides = t.strides
		}
	}
	return packedShape(a, t, arr, v)
}

// packedShape turns the shape of a type with two values to the byte into one
// that counts values. Such tensors are read if they are all of a storage.
func packedShape(a *archive, t *named, arr *layout.Array, v layout.View) (layout.View, error) {
	if t.dtype.perByte == 0 {
		return v, nil
	}
	n, _ := t.shape.Elems()
	if len(t.shape) == 0 || v.Offset != 0 || v.Strides != nil || n != arr.Size || arr.DType != v.DType {
		return v, a.unsupported(t.at, "tensor %q of type %s is a part of its storage; save a copy of it (clone)", t.name, t.dtype)
	}
	v.Shape = slices.Clone(t.shape)
	v.Shape[len(v.Shape)-1] *= t.dtype.perByte
	return v, nil
}

// rowMajor reports whether the elements lie in order and without gaps. The
// stride of an axis of length 1 means nothing.
func (r *ref) rowMajor() bool {
	want := int64(1)
	for i, v := range slices.Backward(r.shape) {
		if v > 1 && r.strides[i] != want {
			return false
		}
		want *= max(v, 1)
	}
	return true
}

// storageShape returns the shape of the whole storage if the tensor is all of
// it, else nil. Where the axes are permuted (a transposed matrix, an image
// with its channels last), it is the shape in the order of the memory.
func (r *ref) storageShape() tensor.Shape {
	n, _ := r.shape.Elems()
	if r.offset != 0 || n == 0 || n*r.dtype.width() != r.storage.member.size {
		return nil
	}
	shape := slices.Clone(r.shape)
	if !r.rowMajor() {
		axes := make([]int, 0, len(r.shape))
		for i, d := range r.shape {
			if d > 1 {
				axes = append(axes, i)
			}
		}
		slices.SortStableFunc(axes, func(i, j int) int { return cmp.Compare(r.strides[j], r.strides[i]) })
		shape = shape[:0]
		strides := make([]int64, 0, len(axes))
		for _, i := range axes {
			shape, strides = append(shape, r.shape[i]), append(strides, r.strides[i])
		}
		if permuted := (&ref{shape: shape, strides: strides}); !permuted.rowMajor() {
			return nil
		}
	}
	if p := r.dtype.perByte; p != 0 {
		if len(shape) == 0 {
			return nil
		}
		shape[len(shape)-1] *= p
	}
	return shape
}
