package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"ropewalk/layout"
	"ropewalk/tensor"
)

func overlay(t *testing.T, base *tensor.Set, changed ...*tensor.Tensor) *tensor.Set {
	t.Helper()
	s, err := tensor.Overlay(base, changed...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A tensor with other values, type and shape: exactly these bytes change, and
// the lengths around them.
func TestEditGolden(t *testing.T) {
	build := func(fields []byte) []byte {
		return msg(num(1, 10), sub(50, []byte("before")),
			sub(modelGraph, initializer(sub(51, []byte("u")), fields, str(12, "doc")), str(2, "g")), sub(52, []byte("after")))
	}
	b := build(msg(dims(2), num(tensorType, 1), str(tensorName, "w"), sub(53, []byte("x")), sub(tensorRaw, floats(1, 2))))
	m, base := mustOpen(t, b, nil)
	edited := overlay(t, base, &tensor.Tensor{Name: "w", DType: tensor.I8, Shape: tensor.Shape{2, 100}, Data: tensor.Bytes(make([]byte, 200))})
	want := build(msg(dims(2, 100), num(tensorType, 3), str(tensorName, "w"), sub(53, []byte("x")), sub(tensorRaw, make([]byte, 200))))
	if got := write(t, m, base, edited, 0); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

// Typed fields, packed or scattered, become one raw_data.
func TestEditTyped(t *testing.T) {
	build := func(first, second, third []byte) []byte {
		return model(initializer(first, num(tensorType, 6), second, str(tensorName, "w"), third))
	}
	b := build(msg(dims(2, 2), num(tensorInt32, 1)), packed(tensorInt32, 2, 3), num(tensorInt32, 4))
	m, base := mustOpen(t, b, nil)
	same := overlay(t, base, &tensor.Tensor{Name: "w", DType: tensor.I32, Shape: tensor.Shape{2, 2}, Data: tensor.Bytes(make([]byte, 16))})
	want := build(msg(dims(2, 2), sub(tensorRaw, make([]byte, 16))), nil, nil)
	if got := write(t, m, base, same, 0); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

// Every tensor of a model that has them everywhere can change, alone and with
// all others, and nothing else does.
func TestEditEverywhere(t *testing.T) {
	b := everywhere()
	m, base := mustOpen(t, b, nil)
	if e, err := m.Edit(base, base); err != nil || e.Changed(0) || e.Size(0) != int64(len(b)) {
		t.Fatalf("an edit without changes: %v", err)
	}
	var all []*tensor.Tensor
	for i, old := range base.All() {
		n := int64(200) // longer lengths on all levels
		changed := &tensor.Tensor{Name: old.Name, DType: old.DType, Shape: tensor.Shape{n}}
		size, err := changed.Shape.Size(old.DType)
		if err != nil {
			t.Fatal(err)
		}
		changed.Data = tensor.Bytes(bytes.Repeat([]byte{0x11}, int(size)))
		all = append(all, changed)
		edited := overlay(t, base, changed)
		out := write(t, m, base, edited, 0)
		m2, got := mustOpen(t, out, nil)
		sameTensors(t, got, edited)
		// And back: the bytes return, except for what typed fields have become.
		back := write(t, m2, got, overlay(t, got, old), 0)
		_, set := mustOpen(t, back, nil)
		sameTensors(t, set, base)
		if m.Layout.Views[i].Encoded == nil && !bytes.Equal(back, b) {
			t.Errorf("%s: changed and changed back, the model differs", old.Name)
		}
	}
	edited := overlay(t, base, all...)
	_, got := mustOpen(t, write(t, m, base, edited, 0), nil)
	sameTensors(t, got, edited)
}

// A length that is written longer than needed stays as it is until it changes.
func TestEditKeepsLongLengths(t *testing.T) {
	long := func(num protowire.Number, b []byte) []byte {
		out := protowire.AppendTag(nil, num, protowire.BytesType)
		return append(append(out, 0x80|byte(len(b)), 0x80, 0), b...)
	}
	build := func(v float32) []byte {
		return msg(num(1, 10), long(modelGraph, long(graphTensor, rawTensor("w", 1, floats(v), 1))))
	}
	m, base := mustOpen(t, build(1), nil)
	edited := overlay(t, base, &tensor.Tensor{Name: "w", DType: tensor.F32, Shape: tensor.Shape{1}, Data: tensor.Bytes(floats(2))})
	if got := write(t, m, base, edited, 0); !bytes.Equal(got, build(2)) {
		t.Errorf("got %x", got)
	}
	edited = overlay(t, base, &tensor.Tensor{Name: "w", DType: tensor.F32, Shape: tensor.Shape{2}, Data: tensor.Bytes(floats(2, 3))})
	_, got := mustOpen(t, write(t, m, base, edited, 0), nil)
	sameTensors(t, got, edited)
}

func TestEditExternal(t *testing.T) {
	ext := func(name string, n int64, pairs ...string) []byte {
		return initializer(dims(n), num(tensorType, 1), str(tensorName, name), externalData(pairs...), str(12, "doc"))
	}
	sum := []string{"checksum", "0123456789012345678901234567890123456789"}
	at := func(offset string) []string { return []string{"location", "w.bin", "offset", offset} }
	build := func(sums ...string) []byte {
		return model(ext("a", 2, append(at("0"), sums...)...), ext("b", 1, append(at("8"), sums...)...),
			ext("tied1", 1, at("12")...), ext("tied2", 1, at("12")...), ext("other", 1, append([]string{"location", "v.bin"}, sum...)...))
	}
	b := build(sum...)
	fs := map[string][]byte{"w.bin": floats(1, 2, 3, 4), "v.bin": floats(5)}
	m, base := mustOpen(t, b, files(fs))
	f32s := func(name string, vs ...float32) *tensor.Tensor {
		return &tensor.Tensor{Name: name, DType: tensor.F32, Shape: tensor.Shape{int64(len(vs))}, Data: tensor.Bytes(floats(vs...))}
	}
	reopen := func(edited *tensor.Set) (main, w []byte) {
		t.Helper()
		main, w = write(t, m, base, edited, 0), write(t, m, base, edited, 1)
		if v := write(t, m, base, edited, 2); !bytes.Equal(v, fs["v.bin"]) {
			t.Errorf("v.bin is %x", v)
		}
		_, got := mustOpen(t, main, files(map[string][]byte{"w.bin": w, "v.bin": fs["v.bin"]}))
		sameTensors(t, got, edited)
		return main, w
	}

	// The same size: in place, without the checksums of that file.
	main, w := reopen(overlay(t, base, f32s("a", 8, 9)))
	if !bytes.Equal(w, floats(8, 9, 3, 4)) || !bytes.Equal(main, build()) {
		t.Errorf("in place: w.bin is %x, the model %x", w, main)
	}
	// Another type of the same size: in place, with another header.
	i32 := &tensor.Tensor{Name: "b", DType: tensor.I32, Shape: tensor.Shape{1, 1}, Data: tensor.Bytes{1, 2, 3, 4}}
	if _, w = reopen(overlay(t, base, i32)); !bytes.Equal(w[8:12], i32.Data.(tensor.Bytes)) {
		t.Errorf("in place with another type: w.bin is %x", w)
	}
	// Another size, or shared bytes: into the model; the file stays.
	for _, x := range []*tensor.Tensor{f32s("a", 1, 2, 3), f32s("b"), f32s("tied1", 7)} {
		if _, w = reopen(overlay(t, base, x)); !bytes.Equal(w, fs["w.bin"]) {
			t.Errorf("%s: w.bin is %x", x.Name, w)
		}
	}
	reopen(overlay(t, base, f32s("a", 1, 2, 3), f32s("b", 6), f32s("tied2", 1, 2)))
}

// zeros are more bytes than memory has.
type zeros int64

func (z zeros) Size() int64 { return int64(z) }

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	return len(p), nil
}

func TestEditRefused(t *testing.T) {
	b := everywhere()
	m, base := mustOpen(t, b, nil)
	u8 := func(name string, d tensor.Data) *tensor.Tensor {
		return &tensor.Tensor{Name: name, DType: tensor.U8, Shape: tensor.Shape{d.Size()}, Data: d}
	}
	opaque := &tensor.Tensor{Name: "w", DType: "Q3", Shape: tensor.Shape{1}, Data: tensor.Bytes{1}}
	var u *layout.UnsupportedError
	tests := []struct {
		name        string
		changed     *tensor.Tensor
		unsupported bool
		reason      string
	}{
		{"beyond protobuf", u8("w", zeros(MaxModel)), true, "protobuf allows"},
		{"far beyond protobuf", u8("w", zeros(1<<58)), true, "protobuf allows"},
		{"a list beyond protobuf", &tensor.Tensor{Name: "is", DType: tensor.I64, Shape: tensor.Shape{1 << 50}, Data: zeros(1 << 53)}, true, "protobuf allows"},
		{"bytes in value_floats", u8("fs", tensor.Bytes{1}), true, "value_floats cannot hold U8"},
		{"bytes in value_ints", u8("is", tensor.Bytes{1}), true, "value_ints cannot hold U8"},
		{"unknown type", opaque, false, `no data type for "Q3"`},
	}
	for _, tt := range tests {
		_, err := m.Edit(base, overlay(t, base, tt.changed))
		if err == nil || !strings.Contains(err.Error(), tt.reason) || errors.As(err, &u) != tt.unsupported {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := m.Edit(base, nil); err == nil {
		t.Error("an empty set is accepted")
	}
	_, other := mustOpen(t, nested(1), nil)
	if _, err := m.Edit(other, other); err == nil {
		t.Error("the set of another model is accepted")
	}
}

// Types have numbers, and numbers types.
func TestTypes(t *testing.T) {
	for i := int32(1); i < 40; i++ {
		if i == typeString {
			continue
		}
		if n, err := numberOf(dtypeOf(i)); err != nil || n != i {
			t.Errorf("data_type %d is %s, which is data_type %d, %v", i, dtypeOf(i), n, err)
		}
	}
	for _, d := range []tensor.DType{"", "ONNX_", "ONNX_1", "ONNX_0", "ONNX_-3", "ONNX_030", "F7"} {
		if n, err := numberOf(d); err == nil {
			t.Errorf("%q is data_type %d", d, n)
		}
	}
}

// Any model keeps its bytes under an empty edit, and any edit yields a model with
// the tensors that were asked for.
func TestEditProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		count := 0
		drawTensor := func() []byte {
			count++
			name := fmt.Sprint("w", count)
			data := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "data")
			n := int64(len(data))
			if rapid.Bool().Draw(rt, "raw") {
				return rawTensor(name, 2, data, n)
			}
			vs := make([]int64, n)
			for i := range vs {
				vs[i] = int64(data[i])
			}
			return msg(str(tensorName, name), packed(tensorInt32, vs...), num(tensorType, 2), dims(n))
		}
		var drawGraph func(depth int) []byte
		drawGraph = func(depth int) []byte {
			var g []byte
			for range rapid.IntRange(0, 3).Draw(rt, "fields") {
				switch k := rapid.IntRange(0, 3).Draw(rt, "field"); {
				case k == 0:
					g = append(g, initializer(drawTensor())...)
				case k == 1:
					g = append(g, makeNode("Constant", "", fmt.Sprint("c", count), attr("value", sub(attributeTensor, drawTensor())))...)
				case k == 2 && depth < 3:
					g = append(g, makeNode("If", "", "", attr("b", sub(attributeGraph, drawGraph(depth+1))))...)
				default:
					g = append(g, sub(rapid.SampledFrom([]protowire.Number{2, 10, 77, 5000}).Draw(rt, "unknown"), []byte("?"))...)
				}
			}
			return g
		}
		b := model(drawGraph(0))
		m, base := mustOpen(t, b, nil)
		if got := write(t, m, base, base, 0); !bytes.Equal(got, b) {
			rt.Fatalf("without changes: %x, want %x", got, b)
		}
		var changed []*tensor.Tensor
		for _, x := range base.All() {
			if rapid.Bool().Draw(rt, "change") {
				d := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "new")
				changed = append(changed, &tensor.Tensor{Name: x.Name, DType: tensor.I8, Shape: tensor.Shape{1, int64(len(d))}, Data: tensor.Bytes(d)})
			}
		}
		edited := overlay(t, base, changed...)
		_, got := mustOpen(t, write(t, m, base, edited, 0), nil)
		sameTensors(t, got, edited)
	})
}

// The same model gives the same layout and the same edit each time.
func TestDeterministic(t *testing.T) {
	b := everywhere()
	m, base := mustOpen(t, b, nil)
	first := dump(t, m, base)
	for range 5 {
		m, base := mustOpen(t, b, nil)
		if d := cmp.Diff(first, dump(t, m, base)); d != "" {
			t.Fatal(d)
		}
	}
}
