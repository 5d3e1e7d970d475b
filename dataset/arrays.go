package dataset

import (
	"encoding/binary"
	"fmt"
	"math"
	"regexp"
	"strings"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// A role is what an array is by its name.
type role struct {
	labels bool
	split  int
}

var arrayWords = map[string]bool{ // true for labels
	"x": false, "image": false, "images": false, "data": false, "input": false, "inputs": false, "features": false, "examples": false,
	"y": true, "label": true, "labels": true, "target": true, "targets": true, "classes": true,
}

var wordBreak = regexp.MustCompile(`[._/ -]+`)

// roleOf understands x_train, train_images, test.labels, images, y, and arr_0 and
// arr_1, as numpy.savez(file, images, labels) calls them.
func roleOf(name string) (role, bool) {
	switch name {
	case "arr_0":
		return role{}, true
	case "arr_1":
		return role{labels: true}, true
	}
	r, named := role{split: train}, false
	for i, word := range wordBreak.Split(strings.ToLower(name), -1) {
		labels, isWord := arrayWords[word]
		split, isSplit := splitFolders[word]
		switch {
		case i > 1:
			return role{}, false
		case isWord && !named:
			r.labels, named = labels, true
		case isSplit:
			r.split = split
		default:
			return role{}, false
		}
	}
	return r, named
}

// fromArrays pairs arrays of examples with those of labels.
func fromArrays(path, format string, set *tensor.Set, o *Options) (*loaded, error) {
	l := &loaded{format: format}
	var examples, labels [splits]*tensor.Tensor
	var names []string
	for _, t := range set.All() {
		if len(names) < 20 {
			names = append(names, fmt.Sprintf("%s (%s, %v)", t.Name, t.DType, t.Shape))
		}
		r, ok := roleOf(t.Name)
		if !ok {
			continue
		}
		to := &examples
		if r.labels {
			to = &labels
		}
		if other := to[r.split]; other != nil {
			return nil, fmt.Errorf("%s: %q and %q could both be the %s split; rename one", path, other.Name, t.Name, splitNames[r.split])
		}
		to[r.split] = t
	}
	for k := range splits {
		if (examples[k] == nil) != (labels[k] == nil) {
			return nil, fmt.Errorf("%s: the %s split has examples or labels only; want pairs such as x_train and y_train; there are %s", path, splitNames[k], strings.Join(names, ", "))
		}
		if examples[k] == nil {
			continue
		}
		var err error
		if l.splits[k], err = readPair(path, examples[k], labels[k], o); err != nil {
			return nil, err
		}
	}
	if l.splits == [splits]*Memory{} {
		return nil, &layout.UnsupportedError{File: path, Offset: -1, Reason: "no arrays named such as x_train and y_train, or images and labels; there are " + strings.Join(names, ", ")}
	}
	return l, nil
}

func readPair(path string, x, y *tensor.Tensor, o *Options) (*Memory, error) {
	labels, err := readLabels(path, y)
	if err != nil {
		return nil, err
	}
	if len(x.Shape) < 2 || x.Elems() == 0 {
		return nil, fmt.Errorf("%s: %q is %v; want examples along the first axis, and at least one more", path, x.Name, x.Shape)
	}
	if x.Shape[0] != int64(len(labels)) {
		return nil, fmt.Errorf("%s: %q has %d examples, and %q %d labels", path, x.Name, x.Shape[0], y.Name, len(labels))
	}
	shape := x.Shape[1:]
	last := false
	switch len(shape) {
	case 2:
		shape = tensor.Shape{1, shape[0], shape[1]}
	case 3:
		if o.Layout == "" && isChannels(shape[0]) && isChannels(shape[2]) && shape[0] != shape[2] {
			return nil, fmt.Errorf("%s: %q is %v, where both the second axis and the last could be channels; give the layout, nchw or nhwc", path, x.Name, x.Shape)
		}
		last = o.Layout == "nhwc" || o.Layout == "" && isChannels(shape[2]) && !isChannels(shape[0])
	}
	need := x.Elems()
	if x.DType != tensor.U8 {
		need *= 4
	}
	if need > o.Memory || x.Size() > o.Memory {
		return nil, fmt.Errorf("%s: %q: %w", path, x.Name, tooLarge(len(labels), shape, max(need, x.Size()), o.Memory))
	}
	raw, err := x.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%s: %q: %w", path, x.Name, err)
	}
	var m *Memory
	switch {
	case x.DType == tensor.U8:
		m, err = NewPixels(shape, channelsFirst(append([]uint8(nil), raw...), shape, last), labels)
	case x.DType.Numeric():
		values := x.DType.AppendFloat32s(make([]float32, 0, x.Elems()), raw)
		for i, v := range values {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return nil, fmt.Errorf("%s: %q holds %v in example %d; all values have to be finite", path, x.Name, v, int64(i)/(x.Elems()/x.Shape[0]))
			}
		}
		m, err = NewFloats(shape, channelsFirst(values, shape, last), labels)
	default:
		return nil, &layout.UnsupportedError{File: path, Offset: -1, Reason: fmt.Sprintf("%q holds %s; examples have to be uint8 or floats", x.Name, x.DType)}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %q: %w", path, x.Name, err)
	}
	if last {
		m.shape = tensor.Shape{shape[2], shape[0], shape[1]}
	}
	return m, nil
}

func isChannels(n int64) bool { return n == 1 || n == 3 || n == 4 }

// channelsFirst turns examples of shape (height, width, channels) into (channels,
// height, width), in place, if last is set.
func channelsFirst[T uint8 | float32](values []T, shape tensor.Shape, last bool) []T {
	if !last || shape[2] == 1 {
		return values
	}
	pixels, channels := int(shape[0]*shape[1]), int(shape[2])
	one := make([]T, pixels*channels)
	for at := 0; at < len(values); at += len(one) {
		copy(one, values[at:])
		for i := range pixels {
			for c := range channels {
				values[at+c*pixels+i] = one[i*channels+c]
			}
		}
	}
	return values
}

// maxLabels bounds the labels of an array.
const maxLabels = 1 << 28

// readLabels reads whole numbers of any type, of shape (n) or (n, 1).
func readLabels(path string, t *tensor.Tensor) ([]int, error) {
	n := t.Elems()
	if len(t.Shape) == 0 || n != t.Shape[0] || n == 0 || n > maxLabels {
		return nil, fmt.Errorf("%s: %q is %v; want one label for each example, as whole numbers", path, t.Name, t.Shape)
	}
	whole := map[tensor.DType]func([]byte) int64{
		tensor.U8:  func(b []byte) int64 { return int64(b[0]) },
		tensor.I8:  func(b []byte) int64 { return int64(int8(b[0])) },
		tensor.U16: func(b []byte) int64 { return int64(binary.LittleEndian.Uint16(b)) },
		tensor.I16: func(b []byte) int64 { return int64(int16(binary.LittleEndian.Uint16(b))) },
		tensor.U32: func(b []byte) int64 { return int64(binary.LittleEndian.Uint32(b)) },
		tensor.I32: func(b []byte) int64 { return int64(int32(binary.LittleEndian.Uint32(b))) },
		tensor.U64: func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) },
		tensor.I64: func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) },
	}[t.DType]
	if whole == nil {
		return nil, &layout.UnsupportedError{File: path, Offset: -1, Reason: fmt.Sprintf("%q holds %s; labels have to be whole numbers, one for each example", t.Name, t.DType)}
	}
	raw, err := t.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%s: %q: %w", path, t.Name, err)
	}
	width := t.DType.Bits() / 8
	labels := make([]int, n)
	for i := range labels {
		c := whole(raw[i*width : (i+1)*width])
		if c < 0 || c >= MaxClasses {
			return nil, fmt.Errorf("%s: label %d of %q is %d; want 0 to %d", path, i, t.Name, c, MaxClasses-1)
		}
		labels[i] = int(c)
	}
	return labels, nil
}
