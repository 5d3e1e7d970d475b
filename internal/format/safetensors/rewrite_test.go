package safetensors

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// An index keeps every byte but those of the total.
func TestIndexTotal(t *testing.T) {
	for _, tt := range []struct{ was, is string }{
		{`{"metadata": {"total_size": 123, "x": [1]}, "weight_map": {}}`, `{"metadata": {"total_size": 77, "x": [1]}, "weight_map": {}}`},
		{"{\n \"weight_map\": {\"total_size\": \"a\"},\n \"metadata\": {\"a\": {\"total_size\": 1}, \"total_size\": 1.5e3 } }\n", "{\n \"weight_map\": {\"total_size\": \"a\"},\n \"metadata\": {\"a\": {\"total_size\": 1}, \"total_size\": 77 } }\n"},
		{`{"metadata": {"total_size": "12"}, "weight_map": {}}`, `{"metadata": {"total_size": "12"}, "weight_map": {}}`},
		{`{"metadata": null, "weight_map": {}, "total_size": 5}`, `{"metadata": null, "weight_map": {}, "total_size": 5}`},
	} {
		got, err := indexWithTotal("i", tensor.Bytes(tt.was), 77)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.is, string(got)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
}

// Each tensor stays in its shard, each shard keeps its metadata, and the total
// of the index is the new one.
func TestRewriteShards(t *testing.T) {
	value := func(name string, d tensor.DType, n int64) *tensor.Tensor {
		size, err := (tensor.Shape{n}).Size(d)
		if err != nil {
			t.Fatal(err)
		}
		return &tensor.Tensor{Name: name, DType: d, Shape: tensor.Shape{n}, Data: tensor.Bytes(make([]byte, size))}
	}
	file := func(meta string, ts ...*tensor.Tensor) []byte {
		set, err := tensor.NewSet(ts...)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := Write(&b, set, []layout.Pair{{Key: "of", Value: meta}}); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	const index = `{"metadata":{"total_size":%},"weight_map":{"b":"1.safetensors","n":"1.safetensors","a":"2.safetensors"}}`
	files := map[string][]byte{
		"1.safetensors": file("one", value("b", tensor.F32, 3), value("n", tensor.I64, 2)),
		"2.safetensors": file("two", value("a", tensor.F32, 5)),
	}
	l, err := ParseIndex("m.json", tensor.Bytes(strings.Replace(index, "%", "48", 1)), func(name string) (tensor.Data, error) {
		return tensor.Bytes(files[name]), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	base, err := l.Set()
	if err != nil {
		t.Fatal(err)
	}
	set, err := tensor.Overlay(base, value("a", tensor.BF16, 5), value("b", tensor.BF16, 3))
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRewrite(l, set)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]byte{
		[]byte(strings.Replace(index, "%", "32", 1)),
		file("one", value("b", tensor.BF16, 3), value("n", tensor.I64, 2)),
		file("two", value("a", tensor.BF16, 5)),
	}
	for i := range want {
		var b bytes.Buffer
		if err := r.WriteFile(&b, i); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), want[i]) || r.Size(i) != int64(b.Len()) {
			t.Errorf("file %d: %q (%d bytes said), want %q", i, b.Bytes(), r.Size(i), want[i])
		}
	}
	// What the format has no name for is refused before anything is written.
	odd, err := tensor.Overlay(base, &tensor.Tensor{Name: "a", DType: "X", Shape: tensor.Shape{1}, Data: tensor.Bytes{0}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewRewrite(l, odd); err == nil {
		t.Error("type X: no error")
	}
}
