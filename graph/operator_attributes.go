package graph

import (
	"fmt"

	"ropewalk/tensor"
)

// An attributes reader returns the attributes of a node with ONNX's defaults, and
// keeps the first thing that is wrong with one.
type attributesReader struct {
	node *Node
	err  error
}

func read(n *Node) *attributesReader { return &attributesReader{node: n} }

// get returns attribute name, or absent if the node has none. One of another type
// is an error.
func get[T any](r *attributesReader, name string, absent T) T {
	a, ok := r.node.Attributes[name]
	if !ok {
		return absent
	}
	v, ok := a.(T)
	if !ok {
		r.fail("attribute %s is of type %T, want %T", name, a, absent)
		return absent
	}
	return v
}

func (r *attributesReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *attributesReader) int(name string, absent int64) int64 { return get(r, name, absent) }

func (r *attributesReader) float(name string, absent float64) float64 { return get(r, name, absent) }

func (r *attributesReader) string(name, absent string) string { return get(r, name, absent) }

func (r *attributesReader) ints(name string) []int64 { return get(r, name, []int64(nil)) }

func (r *attributesReader) floats(name string) []float64 { return get(r, name, []float64(nil)) }

func (r *attributesReader) strings(name string) []string { return get(r, name, []string(nil)) }

func (r *attributesReader) graph(name string) *Graph {
	g := get(r, name, (*Graph)(nil))
	if g == nil {
		r.fail("attribute %s is missing", name)
	}
	return g
}

// flag returns an attribute that is 0 or 1.
func (r *attributesReader) flag(name string, absent bool) bool {
	d := int64(0)
	if absent {
		d = 1
	}
	v := r.int(name, d)
	if v != 0 && v != 1 {
		r.fail("attribute %s is %d, want 0 or 1", name, v)
	}
	return v == 1
}

// has reports whether the node has the attribute.
func (r *attributesReader) has(name string) bool {
	_, ok := r.node.Attributes[name]
	return ok
}

// perAxis returns an attribute with a positive number for each of rank axes, ones
// if it is absent.
func (r *attributesReader) perAxis(name string, rank int) []int64 {
	v := r.ints(name)
	if v == nil {
		v = make([]int64, rank)
		for i := range v {
			v[i] = 1
		}
		return v
	}
	if len(v) != rank {
		r.fail("attribute %s has %d numbers, want one for each of %d axes", name, len(v), rank)
		return r.ones(rank)
	}
	for _, x := range v {
		if x < 1 || x > maxExtent {
			r.fail("attribute %s has %d, want 1 to %d", name, x, int64(maxExtent))
			return r.ones(rank)
		}
	}
	return v
}

func (r *attributesReader) ones(rank int) []int64 {
	v := make([]int64, rank)
	for i := range v {
		v[i] = 1
	}
	return v
}

// maxExtent bounds kernels, strides, dilations and pads, so that sums of their
// products stay far from overflow.
const maxExtent = 1 << 24

// dataType returns the type that ONNX gives a number (TensorProto.DataType).
func dataType(number int64) (tensor.DType, error) {
	types := [...]tensor.DType{
		1: tensor.F32, 2: tensor.U8, 3: tensor.I8, 4: tensor.U16, 5: tensor.I16, 6: tensor.I32, 7: tensor.I64,
		8: Text, 9: tensor.Bool, 10: tensor.F16, 11: tensor.F64, 12: tensor.U32, 13: tensor.U64, 16: tensor.BF16,
		21: tensor.U4, 22: tensor.I4,
	}
	if number < 0 || number >= int64(len(types)) || types[number] == "" {
		return "", fmt.Errorf("data type %d cannot be computed with", number)
	}
	return types[number], nil
}
