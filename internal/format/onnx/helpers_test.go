package onnx

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/layout"
	"ropewalk/tensor"
)

var errNoFile = errors.New("no such file")

// The helpers below build protobuf messages: a message is the concatenation of
// its fields.

func msg(fields ...[]byte) []byte { return bytes.Join(fields, nil) }

func sub(num protowire.Number, fields ...[]byte) []byte {
	b := protowire.AppendTag(nil, num, protowire.BytesType)
	return protowire.AppendBytes(b, msg(fields...))
}

func str(num protowire.Number, s string) []byte { return sub(num, []byte(s)) }

func num(num protowire.Number, v int64) []byte {
	b := protowire.AppendTag(nil, num, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(v))
}

func f32(num protowire.Number, v float32) []byte {
	b := protowire.AppendTag(nil, num, protowire.Fixed32Type)
	return protowire.AppendFixed32(b, math.Float32bits(v))
}

func packed(num protowire.Number, vs ...int64) []byte {
	var b []byte
	for _, v := range vs {
		b = protowire.AppendVarint(b, uint64(v))
	}
	return sub(num, b)
}

func dims(ds ...int64) []byte {
	var b []byte
	for _, d := range ds {
		b = append(b, num(tensorDims, d)...)
	}
	return b
}

// floats returns the little-endian bytes of float32 values.
func floats(vs ...float32) []byte {
	var b []byte
	for _, v := range vs {
		b = protowire.AppendFixed32(b, math.Float32bits(v))
	}
	return b
}

func doubles(vs ...float64) []byte {
	var b []byte
	for _, v := range vs {
		b = protowire.AppendFixed64(b, math.Float64bits(v))
	}
	return b
}

func int64s(vs ...int64) []byte {
	var b []byte
	for _, v := range vs {
		b = protowire.AppendFixed64(b, uint64(v))
	}
	return b
}

// model returns a model with a graph.
func model(graph ...[]byte) []byte {
	return msg(num(modelIRVersion, 10), str(modelProducer, "hand"), sub(modelGraph, graph...), sub(modelOpset, num(opsetVersion, 21)))
}

// rawTensor returns a TensorProto with raw_data.
func rawTensor(name string, dtype int64, raw []byte, shape ...int64) []byte {
	return msg(dims(shape...), num(tensorType, dtype), str(tensorName, name), sub(tensorRaw, raw))
}

func initializer(fields ...[]byte) []byte { return sub(graphTensor, fields...) }

func makeNode(op, name, output string, attributes ...[]byte) []byte {
	fields := msg(str(nodeOutput, output), str(nodeName, name), str(nodeOp, op))
	for _, a := range attributes {
		fields = append(fields, sub(nodeAttribute, a)...)
	}
	return sub(graphNode, fields)
}

func attr(name string, fields ...[]byte) []byte {
	return msg(str(attributeName, name), msg(fields...))
}

// external returns the fields of a TensorProto that point to a file.
func externalData(pairs ...string) []byte {
	b := num(tensorLocation, 1)
	for i := 0; i < len(pairs); i += 2 {
		b = append(b, sub(tensorExternal, str(entryKey, pairs[i]), str(entryValue, pairs[i+1]))...)
	}
	return b
}

// files opens files that are in memory.
func files(fs map[string][]byte) layout.Opener {
	return func(name string) (tensor.Data, error) {
		b, ok := fs[name]
		if !ok {
			return nil, errNoFile
		}
		return tensor.Bytes(b), nil
	}
}

// mustOpen opens a model that is right.
func mustOpen(t *testing.T, b []byte, open layout.Opener) (*Model, *tensor.Set) {
	t.Helper()
	m, err := Open("dir/m.onnx", tensor.Bytes(b), open)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Layout.Validate(); err != nil {
		t.Fatal(err)
	}
	set, err := m.Layout.Set()
	if err != nil {
		t.Fatal(err)
	}
	return m, set
}

// write returns a file of a model with changed tensors.
func write(t *testing.T, m *Model, base, changed *tensor.Set, file int) []byte {
	t.Helper()
	e, err := m.Edit(base, changed)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := e.WriteFile(&b, file); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != e.Size(file) {
		t.Fatalf("wrote %d bytes, said %d", b.Len(), e.Size(file))
	}
	return b.Bytes()
}

// sameTensors checks names, types, shapes and values.
func sameTensors(t *testing.T, got, want *tensor.Set) {
	t.Helper()
	if got.Len() != want.Len() {
		t.Fatalf("%d tensors, want %d", got.Len(), want.Len())
	}
	for i, w := range want.All() {
		g := got.At(i)
		if g.Name != w.Name || g.DType != w.DType || !g.Shape.Equal(w.Shape) {
			t.Errorf("tensor %d is %q %s %v, want %q %s %v", i, g.Name, g.DType, g.Shape, w.Name, w.DType, w.Shape)
			continue
		}
		gb, err := g.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		wb, err := w.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(gb, wb) {
			t.Errorf("tensor %q: values differ", g.Name)
		}
	}
}
