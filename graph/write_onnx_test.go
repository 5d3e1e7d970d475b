package graph

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/internal/format/onnx"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// reread writes a graph and reads it again.
func reread(t *testing.T, write func(b *bytes.Buffer) error) *Graph {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	g, err := FromONNX("again.onnx", tensor.Bytes(b.Bytes()), nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// What is written is read back as it was.
func TestWriteONNX(t *testing.T) {
	g, err := FromONNX("m.onnx", tensor.Bytes(everything(t)), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range g.Inputs {
		if g.Inputs[i].Name == "c" {
			g.Inputs[i].Type = tensor.Bool
		}
	}
	again := reread(t, func(b *bytes.Buffer) error { return g.WriteONNX(b) })
	if d := cmp.Diff(show(g, nil), show(again, nil)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(g.Inputs, again.Inputs); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(g.Outputs, again.Outputs); d != "" {
		t.Error(d)
	}
	for _, n := range again.Nodes {
		if n.Opset != writtenOpset {
			t.Errorf("node %q is of opset %d", n.Name, n.Opset)
		}
	}
	// The batch is named, the rest is fixed.
	want := Input{Name: "y", Type: tensor.F32, Shape: []Dim{{-1, "x0"}, {32, ""}}}
	if d := cmp.Diff(want, again.Declared["y"]); d != "" {
		t.Error(d)
	}
}

// A specialized graph is written with its constants, and with shapes.
func TestWriteSpecialized(t *testing.T) {
	g, err := FromONNX("m.onnx", tensor.Bytes(everything(t)), nil)
	if err != nil {
		t.Fatal(err)
	}
	g.Inputs[1].Type = tensor.Bool
	s, err := Specialize(g, map[string]tensor.Shape{"x": {3, 2, 4, 4}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	again := reread(t, func(b *bytes.Buffer) error { return s.WriteONNX(b) })
	if d := cmp.Diff(show(s.Graph, s.Constants), show(again, nil)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(Input{Name: "y", Type: tensor.F32, Shape: []Dim{{Size: 3}, {Size: 32}}}, again.Declared["y"]); d != "" {
		t.Error(d)
	}
}

// Outputs that are constants, inputs or weights are written too.
func TestWriteOddOutputs(t *testing.T) {
	m := model{
		opset: 17, inputs: []onnx.Value{in("x", 2)}, outputs: []string{"a", "b", "c"}, weights: []*tensor.Tensor{f32("w", tensor.Shape{2}, 1, 2)},
		nodes: []*onnx.Node{nd("a = Identity(x)"), nd("b = Identity(w)"), nd("k = Constant()", "value_float", 1.0), nd("c = Exp(k)"), nd("d = Add(x, w)")},
	}
	s := specialized(t, m, nil, nil)
	again := reread(t, func(b *bytes.Buffer) error { return s.WriteONNX(b) })
	if d := cmp.Diff(s.Graph.Outputs, again.Outputs); d != "" {
		t.Error(d)
	}
	if s.Constants["c"] == nil || again.Weights.Lookup("c") == nil {
		t.Error("the constant is lost")
	}
}

// Where types cannot be found, those of the file are written, or there is an error.
func TestWriteUnknown(t *testing.T) {
	g := model{opset: 17, inputs: []onnx.Value{in("x", 2)}, outputs: []string{"y"}, nodes: []*onnx.Node{nd("y = Nonsense(x)")}}.load(t)
	err := g.WriteONNX(&bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), `the type of output "y" is not known`) {
		t.Errorf("got %v", err)
	}
	g.Declared = map[string]Input{"y": {Type: tensor.F32, Shape: []Dim{{Size: 2}}}}
	if err := g.WriteONNX(&bytes.Buffer{}); err != nil {
		t.Error(err)
	}
	g.Nodes[0].Problem = "it is strange"
	var u *UnsupportedError
	if err := g.WriteONNX(&bytes.Buffer{}); !errors.As(err, &u) {
		t.Errorf("got %v, want an UnsupportedError", err)
	}
}

// An edited file has other weights, and the same bytes everywhere else.
func TestEditONNX(t *testing.T) {
	file := everything(t)
	g, err := FromONNX("m.onnx", tensor.Bytes(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(ts ...*tensor.Tensor) []byte {
		t.Helper()
		set, err := tensor.NewSet(ts...)
		if err != nil {
			t.Fatal(err)
		}
		h, err := g.WithWeights(set)
		if err != nil {
			t.Fatal(err)
		}
		e, err := h.EditONNX()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := e.WriteFile(&b, 0); err != nil {
			t.Fatal(err)
		}
		if len(e.Files()) != 1 || e.Size(0) != int64(b.Len()) || e.Changed(0) != (len(ts) > 0 && !bytes.Equal(b.Bytes(), file)) {
			t.Errorf("the plan says %d files, %d bytes, changed %v", len(e.Files()), e.Size(0), e.Changed(0))
		}
		return b.Bytes()
	}
	same := f32("w", tensor.Shape{2, 2, 1, 1}, 1, 2, 3, 4)
	if !bytes.Equal(edit(), file) || !bytes.Equal(edit(same), file) {
		t.Error("a file without changes is not the same")
	}
	other := f32("w", tensor.Shape{2, 2, 1, 1}, 1, 2, 3, 5)
	inner := f32("If_8.else_branch/v", tensor.Shape{1}, 7)
	got := edit(other, inner)
	if len(got) != len(file) {
		t.Fatalf("the file has %d bytes, had %d", len(got), len(file))
	}
	differ := 0
	for i := range got {
		if got[i] != file[i] {
			differ++
		}
	}
	if differ == 0 || differ > 8 {
		t.Errorf("%d bytes differ, want those of two numbers", differ)
	}
	h, err := FromONNX("m.onnx", tensor.Bytes(got), nil)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := ValueOf(h.Weights.Lookup(inner.Name)); err != nil || v.Float[0] != 7 {
		t.Errorf("the weight in the branch is %v, %v", v, err)
	}
	if _, err := (&Graph{}).EditONNX(); !errors.Is(err, ErrNoSource) {
		t.Errorf("got %v, want ErrNoSource", err)
	}
}

// A model whose weights are in another file is read and edited there.
func TestExternalWeights(t *testing.T) {
	weights := tensor.F32.AppendFloats(nil, []float32{1, 2})
	// TensorProto: dims, data_type, name, data_location and external_data.
	init := field(5, []byte{1 << 3, 2, 2 << 3, 1}, text(8, "w"), []byte{14 << 3, 1},
		field(13, text(1, "location"), text(2, "m.bin")))
	value := func(num byte, name string) []byte {
		return field(num, text(1, name), field(2, field(1, []byte{1 << 3, 1}, field(2, field(1, []byte{1 << 3, 2})))))
	}
	graph := field(7, text(2, "g"), init, value(11, "x"), value(12, "y"), field(1, text(1, "x"), text(1, "w"), text(2, "y"), text(4, "Mul")))
	file := append(append([]byte{8, 10}, graph...), field(8, []byte{2 << 3, 17})...)
	open := func(name string) (tensor.Data, error) {
		if name != "m.bin" {
			return nil, errors.New("no such file")
		}
		return tensor.Bytes(weights), nil
	}
	g, err := FromONNX("m.onnx", tensor.Bytes(file), open)
	if err != nil {
		t.Fatal(err)
	}
	set, _ := tensor.NewSet(f32("w", tensor.Shape{2}, 3, 4))
	if g, err = g.WithWeights(set); err != nil {
		t.Fatal(err)
	}
	e, err := g.EditONNX()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := e.WriteFile(&b, 1); err != nil {
		t.Fatal(err)
	}
	if want := tensor.F32.AppendFloats(nil, []float32{3, 4}); e.Changed(0) || !bytes.Equal(b.Bytes(), want) {
		t.Errorf("the weights are % x, want % x; the model changed: %v", b.Bytes(), want, e.Changed(0))
	}
	l := &layout.Layout{Format: onnx.Format, Files: []layout.File{{Name: "m.onnx", Data: tensor.Bytes(file)}, {Name: "m.bin", Data: tensor.Bytes(weights)}}}
	h, err := FromLayout(l)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := ValueOf(h.Weights.Lookup("w")); err != nil || !cmp.Equal(v.Float, []float64{1, 2}) {
		t.Errorf("w is %v, %v", v, err)
	}
	l.Files = l.Files[:1]
	if _, err := FromLayout(l); err == nil {
		t.Error("a file that is not there was read")
	}
}
