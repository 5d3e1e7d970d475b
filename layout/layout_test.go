package layout_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/layout"
	"ropewalk/tensor"
)

func file(n int) layout.File {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return layout.File{Name: "m", Data: tensor.Bytes(b)}
}

func u16(name string, at, n int64) layout.Array {
	return layout.Array{Name: name, DType: tensor.U16, Shape: tensor.Shape{n}, Offset: at, Size: 2 * n}
}

func TestValidate(t *testing.T) {
	view := func(v layout.View) []layout.View { v.Name = "v"; return []layout.View{v} }
	for what, tt := range map[string]struct {
		arrays []layout.Array
		views  []layout.View
		ok     bool
	}{
		"in order":          {arrays: []layout.Array{u16("a", 0, 4), u16("b", 8, 4)}, ok: true},
		"an empty array":    {arrays: []layout.Array{u16("a", 0, 0), u16("b", 0, 4)}, ok: true},
		"overlap":           {arrays: []layout.Array{u16("a", 0, 4), u16("b", 6, 4)}},
		"not sorted":        {arrays: []layout.Array{u16("a", 8, 2), u16("b", 0, 2)}},
		"past the end":      {arrays: []layout.Array{u16("a", 60, 3)}},
		"no such file":      {arrays: []layout.Array{{DType: tensor.U8, Shape: tensor.Shape{1}, Size: 1, File: 1}}},
		"wrong size":        {arrays: []layout.Array{{DType: tensor.U16, Shape: tensor.Shape{3}, Size: 5}}},
		"whole":             {arrays: []layout.Array{u16("a", 0, 6)}, views: view(layout.View{DType: tensor.U16, Shape: tensor.Shape{2, 3}}), ok: true},
		"transposed":        {arrays: []layout.Array{u16("a", 0, 6)}, views: view(layout.View{DType: tensor.U16, Shape: tensor.Shape{3, 2}, Strides: []int64{1, 3}}), ok: true},
		"a row too many":    {arrays: []layout.Array{u16("a", 0, 6)}, views: view(layout.View{DType: tensor.U16, Shape: tensor.Shape{2, 3}, Offset: 1})},
		"a stride too long": {arrays: []layout.Array{u16("a", 0, 6)}, views: view(layout.View{DType: tensor.U16, Shape: tensor.Shape{2}, Strides: []int64{6}})},
		"a negative stride": {arrays: []layout.Array{u16("a", 0, 6)}, views: view(layout.View{DType: tensor.U16, Shape: tensor.Shape{2}, Strides: []int64{-1}})},
		"2^63 bytes":        {arrays: []layout.Array{u16("a", 0, 6)}, views: view(layout.View{DType: tensor.U16, Shape: tensor.Shape{1 << 62}, Strides: []int64{0}})},
		"no such array":     {views: view(layout.View{DType: tensor.U16, Shape: tensor.Shape{0}, Array: 0})},
		"part of 4 bits":    {arrays: []layout.Array{u16("a", 0, 6)}, views: view(layout.View{DType: tensor.U4, Shape: tensor.Shape{3}})},
		"encoded outside":   {views: view(layout.View{DType: tensor.U16, Shape: tensor.Shape{1}, Encoded: &layout.Encoded{Offset: 60, Size: 5}})},
	} {
		l := &layout.Layout{Files: []layout.File{file(64)}, Arrays: tt.arrays, Views: tt.views}
		if err := l.Validate(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", what, err)
		} else if err != nil && !errors.Is(err, layout.ErrLayout) {
			t.Errorf("%s: %v is not ErrLayout", what, err)
		}
	}
}

// A strided view has the elements that its strides say, however it is read.
func TestStrided(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.Int64Range(1, 70).Draw(t, "rows"), rapid.Int64Range(1, 70).Draw(t, "cols")
		off := rapid.Int64Range(0, 5).Draw(t, "offset")
		n := rows*cols + off
		values := make([]byte, 0, 2*n)
		for i := range n {
			values = binary.LittleEndian.AppendUint16(values, uint16(i))
		}
		l := &layout.Layout{
			Files:  []layout.File{{Name: "m", Data: tensor.Bytes(values)}},
			Arrays: []layout.Array{u16("a", 0, n)},
			Views:  []layout.View{{Name: "t", DType: tensor.U16, Shape: tensor.Shape{cols, rows}, Strides: []int64{1, cols}, Offset: off}},
		}
		set, err := l.Set()
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for c := range cols {
			for r := range rows {
				want = binary.LittleEndian.AppendUint16(want, uint16(off+r*cols+c))
			}
		}
		got, err := set.Lookup("t").Bytes()
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("read whole: %v", err)
		}
		at := rapid.Int64Range(0, int64(len(want))-1).Draw(t, "at")
		part := make([]byte, rapid.IntRange(1, len(want)).Draw(t, "length"))
		k, err := set.Lookup("t").Data.ReadAt(part, at)
		if !bytes.Equal(part[:k], want[at:at+int64(k)]) || (k < len(part)) != errors.Is(err, io.EOF) {
			t.Fatalf("%d bytes at %d: got %d, %v", len(part), at, k, err)
		}
	})
}

func TestEncoded(t *testing.T) {
	calls := 0
	l := &layout.Layout{
		Files: []layout.File{file(8)},
		Views: []layout.View{{Name: "v", DType: tensor.U8, Shape: tensor.Shape{3}, Encoded: &layout.Encoded{Encoding: "x", Offset: 2, Size: 3}}},
		Decoders: map[string]layout.Decoder{"x": func(b []byte, _ *layout.View) ([]byte, error) {
			calls++
			return []byte{b[2], b[1], b[0]}, nil
		}},
	}
	set, err := l.Set()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if b, err := set.At(0).Bytes(); err != nil || !bytes.Equal(b, []byte{4, 3, 2}) {
			t.Errorf("got %v, %v", b, err)
		}
	}
	if calls != 1 {
		t.Errorf("decoded %d times", calls)
	}
	l.Decoders = nil
	if _, err := l.Set(); err == nil {
		t.Error("without a decoder: no error")
	}
}

func TestLocalName(t *testing.T) {
	for name, want := range map[string]string{"a": "a", "a/b": "a/b", "./a": "a", "a/../b": "b", "..": "", "../a": "", "/a": "", "": "", ".": "", `a\b`: "", "c:x": "", "a\x00": "", "a/../../b": ""} {
		got, err := layout.LocalName(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", name, got, err, want)
		}
	}
}
