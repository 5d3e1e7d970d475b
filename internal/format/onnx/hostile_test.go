package onnx

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// check parses bytes that may be anything. Errors must be of the two kinds;
// a layout must be valid, readable, and written back as it was.
func check(t *testing.T, b []byte) {
	t.Helper()
	var c *layout.CorruptError
	var u *layout.UnsupportedError
	ours := func(err error) bool { return errors.As(err, &c) || errors.As(err, &u) || errors.Is(err, errNoFile) }
	open := files(map[string][]byte{"w.bin": floats(1, 2, 3, 4)})
	m, err := Open("m.onnx", tensor.Bytes(b), open)
	if err != nil {
		if !ours(err) {
			t.Fatalf("%x: %v", b, err)
		}
		return
	}
	if err := m.Layout.Validate(); err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	set, err := m.Layout.Set()
	if err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	same := slices.Collect(func(yield func(*tensor.Tensor) bool) {
		for _, x := range set.All() {
			yield(&tensor.Tensor{Name: x.Name, DType: x.DType, Shape: x.Shape, Data: x.Data})
		}
	})
	readable := true
	for _, x := range set.All() {
		if _, err := x.Bytes(); err != nil {
			readable = false
			if !ours(err) {
				t.Fatalf("%x: %v", b, err)
			}
		}
	}
	if got := write(t, m, set, set, 0); !bytes.Equal(got, b) {
		t.Fatalf("%x: written back as %x", b, got)
	}
	if !readable {
		return
	}
	copies, err := tensor.NewSet(same...)
	if err != nil {
		t.Fatal(err)
	}
	again, set2 := mustOpen(t, write(t, m, set, copies, 0), open)
	if len(again.Layout.Views) != len(m.Layout.Views) {
		t.Fatalf("%x: %d tensors, then %d", b, len(m.Layout.Views), len(again.Layout.Views))
	}
	sameTensors(t, set2, set)
}

// small has a tensor of each kind in few bytes.
func small() []byte {
	return msg(num(1, 10), sub(modelGraph,
		makeNode("If", "", "", attr("b", sub(attributeGraph, makeNode("Constant", "", "c", attr("value", sub(attributeTensor, rawTensor("", 1, floats(1), 1))))))),
		makeNode("Constant", "", "l", attr("value_ints", packed(attributeInts, 1, 300))),
		makeNode("Constant", "", "f", attr("value_floats", f32(attributeFloats, 1), sub(attributeFloats, floats(1)))),
		initializer(dims(3), num(tensorType, 22), packed(tensorInt32, 0x21, 3), str(tensorName, "i")),
		initializer(dims(2), num(tensorType, 1), externalData("location", "w.bin", "offset", "4")),
		sub(graphSparse, sub(sparseValues, rawTensor("s", 2, []byte{1}, 1)), sub(sparseIndices, rawTensor("", 7, int64s(2), 1))),
	), sub(30, []byte("?")))
}

func TestTruncation(t *testing.T) {
	b := small()
	check(t, b)
	for n := range b {
		check(t, b[:n])
	}
}

func TestBitFlips(t *testing.T) {
	b := small()
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			check(t, b)
			b[i] ^= 1 << bit
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(small())
	f.Add(everywhere())
	f.Add(nested(3))
	f.Add([]byte{})
	f.Fuzz(check)
}
