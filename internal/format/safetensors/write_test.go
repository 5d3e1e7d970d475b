package safetensors

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ropewalk/layout"
	"ropewalk/tensor"
)

func newSet(t testing.TB, ts ...*tensor.Tensor) *tensor.Set {
	t.Helper()
	set, err := tensor.NewSet(ts...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func zeros(name string, d tensor.DType, shape ...int64) *tensor.Tensor {
	n, _ := tensor.Shape(shape).Size(d)
	return &tensor.Tensor{Name: name, DType: d, Shape: shape, Data: make(tensor.Bytes, n)}
}

// The bytes that the reference implementation makes, from its tests or by
// safetensors.torch.save of version 0.8.0.
func TestWriteGolden(t *testing.T) {
	for _, c := range []struct {
		name     string
		tensors  []*tensor.Tensor
		metadata []layout.Pair
		want     string // without the length
	}{
		{"empty", nil, nil, `{}      `},
		{"empty metadata", nil, []layout.Pair{}, `{"__metadata__":{}}     `},
		{"metadata", nil, []layout.Pair{{Key: "framework", Value: "pt"}}, `{"__metadata__":{"framework":"pt"}}     `},
		{
			"one",
			[]*tensor.Tensor{zeros("attn.0", tensor.F32, 1, 2, 3)},
			nil,
			`{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}` + strings.Repeat("\x00", 24),
		},
		{
			"padded",
			[]*tensor.Tensor{zeros("attn0", tensor.F32, 1, 1, 2, 3)},
			nil,
			`{"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       ` + strings.Repeat("\x00", 24),
		},
		{
			"halves of bytes",
			[]*tensor.Tensor{zeros("attn.0", tensor.F4, 1, 2)},
			nil,
			`{"attn.0":{"dtype":"F4","shape":[1,2],"data_offsets":[0,1]}}    ` + "\x00",
		},
		{
			"by type, then by name",
			[]*tensor.Tensor{zeros("a", tensor.U8, 1), zeros("b", tensor.F32, 1), zeros("aa", tensor.F32), zeros("c", tensor.I64, 1)},
			[]layout.Pair{{Key: "k", Value: "v"}},
			`{"__metadata__":{"k":"v"},"c":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},` +
				`"aa":{"dtype":"F32","shape":[],"data_offsets":[8,12]},"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]},` +
				`"a":{"dtype":"U8","shape":[1],"data_offsets":[16,17]}}      ` + strings.Repeat("\x00", 17),
		},
		{
			"escapes",
			[]*tensor.Tensor{zeros("\"\\/\b\f\n\r\t\x00\x1f\x7f<&é\u2028", tensor.U8, 0)},
			nil,
			`{"\"\\/\b\f\n\r\t\u0000\u001f` + "\x7f<&é\u2028" + `":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}} `,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := Write(&b, newSet(t, c.tensors...), c.metadata); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, b.String()[lengthSize:]); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	opaque := &tensor.Tensor{Name: "x", DType: "Q8_0", Data: make(tensor.Bytes, 3)}
	for _, c := range []struct {
		name     string
		tensor   *tensor.Tensor
		metadata []layout.Pair
		want     string
		is       error
	}{
		{"I4", zeros("x.i4", tensor.I4, 2), nil, `tensor "x.i4" has type I4`, ErrType},
		{"U4", zeros("x", tensor.U4, 2), nil, "type U4", ErrType},
		{"C128", zeros("x", tensor.C128, 2), nil, "type C128", ErrType},
		{"opaque", opaque, nil, "type Q8_0", ErrType},
		{"odd halves", zeros("x", tensor.F4, 3), nil, "whole bytes", nil},
		{"reserved name", zeros("__metadata__", tensor.U8, 3), nil, "keeps this name", nil},
		{"name is not UTF-8", zeros("\xff", tensor.U8, 3), nil, "not UTF-8", nil},
		{"metadata twice", zeros("x", tensor.U8, 3), []layout.Pair{{Key: "a"}, {Key: "a"}}, "twice", nil},
		{"metadata is not UTF-8", zeros("x", tensor.U8, 3), []layout.Pair{{Value: "\xff"}}, "not UTF-8", nil},
		{"header too large", zeros("x", tensor.U8, 3), []layout.Pair{{Value: strings.Repeat("x", MaxHeader)}}, "limit", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			err := Write(&b, newSet(t, c.tensor), c.metadata)
			if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if b.Len() > 0 {
				t.Errorf("wrote %d bytes", b.Len())
			}
		})
	}
}

func TestWriteErrors(t *testing.T) {
	broken := errors.New("broken")
	x := zeros("x", tensor.U8, 300)
	set := newSet(t, &tensor.Tensor{Name: "x", DType: tensor.U8, Shape: tensor.Shape{300}, Data: failing{x.Data, broken}})
	if err := Write(new(bytes.Buffer), set, nil); !errors.Is(err, broken) {
		t.Errorf("reading: %v", err)
	}
	for n := range 2 {
		if err := Write(&failingWriter{n, broken}, newSet(t, x), nil); !errors.Is(err, broken) {
			t.Errorf("write %d: %v", n, err)
		}
	}
}

type failingWriter struct {
	n   int
	err error
}

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.n--; w.n < 0 {
		return 0, w.err
	}
	return len(b), nil
}

// drawSet draws tensors that the format can hold. Half of them do not lend
// their bytes.
func drawSet(t *rapid.T) (*tensor.Set, []layout.Pair) {
	names := rapid.SliceOfNDistinct(rapid.String().Filter(func(s string) bool { return s != metadataKey }), 0, 8, rapid.ID).Draw(t, "names")
	var ts []*tensor.Tensor
	for _, name := range names {
		d := rapid.SampledFrom(types).Draw(t, "type")
		shape := tensor.Shape(rapid.SliceOfN(rapid.Int64Range(0, 4), 0, 4).Draw(t, "shape"))
		if d.Bits()%8 != 0 {
			shape = append(shape, 4)
		}
		n, err := shape.Size(d)
		if err != nil {
			t.Fatal(err)
		}
		var data tensor.Data = tensor.Bytes(rapid.SliceOfN(rapid.Byte(), int(n), int(n)).Draw(t, "values"))
		if rapid.Bool().Draw(t, "read") {
			data = struct{ tensor.Data }{data}
		}
		ts = append(ts, &tensor.Tensor{Name: name, DType: d, Shape: shape, Data: data})
	}
	set, err := tensor.NewSet(ts...)
	if err != nil {
		t.Fatal(err)
	}
	var metadata []layout.Pair
	for _, k := range rapid.SliceOfNDistinct(rapid.String(), 0, 3, rapid.ID).Draw(t, "keys") {
		metadata = append(metadata, layout.Pair{Key: k, Value: rapid.String().Draw(t, "value")})
	}
	return set, metadata
}

// What was written is read again, and written again is the same file.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set, metadata := drawSet(t)
		var b bytes.Buffer
		if err := Write(&b, set, metadata); err != nil {
			t.Fatal(err)
		}
		l, err := Parse("x", tensor.Bytes(b.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		again, err := l.Set()
		if err != nil {
			t.Fatal(err)
		}
		if again.Len() != set.Len() {
			t.Fatalf("%d tensors of %d", again.Len(), set.Len())
		}
		for _, want := range set.All() {
			got := again.Lookup(want.Name)
			if got == nil || got.DType != want.DType || !got.Shape.Equal(want.Shape) {
				t.Fatalf("got %v, want %v", got, want)
			}
			g, err := got.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			if w, _ := want.Bytes(); !bytes.Equal(g, w) {
				t.Fatalf("%q: values differ", want.Name)
			}
		}
		for i, v := range l.Views { // our files have values and header in one order
			if v.Array != i {
				t.Fatalf("view %d is array %d", i, v.Array)
			}
			a := l.Arrays[i]
			if w := int64(a.DType.Bits() / 8); w > 0 && a.Offset%w != 0 {
				t.Fatalf("array %d is at %d", i, a.Offset)
			}
		}
		var b2 bytes.Buffer
		if err := Write(&b2, again, l.Metadata); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), b2.Bytes()) {
			t.Fatal("second file differs")
		}
	})
}

// Every known type either has a place in the order or is refused.
func TestTypes(t *testing.T) {
	for _, d := range types {
		if !d.Known() {
			t.Errorf("%s is not known", d)
		}
	}
	if len(types) != 22 {
		t.Errorf("%d types", len(types))
	}
}
