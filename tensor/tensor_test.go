package tensor_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"ropewalk/tensor"
)

func TestShape(t *testing.T) {
	for _, tt := range []struct {
		shape tensor.Shape
		dtype tensor.DType
		elems int64
		size  int64 // -1: an error
	}{
		{tensor.Shape{}, tensor.F32, 1, 4},
		{tensor.Shape{0}, tensor.F32, 0, 0},
		{tensor.Shape{3, 5}, tensor.BF16, 15, 30},
		{tensor.Shape{3, 3}, tensor.U4, 9, 5},
		{tensor.Shape{5}, tensor.F6E2M3, 5, 4},
		{tensor.Shape{2}, tensor.C128, 2, 32},
		{tensor.Shape{2}, "X1", 2, -1},
		{tensor.Shape{-1}, tensor.F32, -1, -1},
		{tensor.Shape{1 << 40, 1 << 40}, tensor.U8, -1, -1},
		{tensor.Shape{1 << 40, 1 << 40, 0}, tensor.U8, -1, -1},
		{tensor.Shape{1 << 62}, tensor.F64, 1 << 62, -1},
		{make(tensor.Shape, tensor.MaxRank+1), tensor.U8, -1, -1},
	} {
		n, err := tt.shape.Elems()
		if tt.elems < 0 != (err != nil) || err == nil && n != tt.elems {
			t.Errorf("%v has %d elements, %v; want %d", tt.shape, n, err, tt.elems)
		}
		n, err = tt.shape.Size(tt.dtype)
		if tt.size < 0 != (err != nil) || err == nil && n != tt.size {
			t.Errorf("%v of %s has %d bytes, %v; want %d", tt.shape, tt.dtype, n, err, tt.size)
		}
		if err != nil && !errors.Is(err, tensor.ErrShape) {
			t.Errorf("%v: %v is not ErrShape", tt.shape, err)
		}
	}
}

func one(name string, dt tensor.DType, shape tensor.Shape, b ...byte) *tensor.Tensor {
	return &tensor.Tensor{Name: name, DType: dt, Shape: shape, Data: tensor.Bytes(b)}
}

func TestSet(t *testing.T) {
	a, b := one("a", tensor.U8, tensor.Shape{2}, 1, 2), one("b", "X", tensor.Shape{7}, 3)
	s, err := tensor.NewSet(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if s.Len() != 2 || s.At(1) != b || s.Lookup("a") != a || s.Lookup("c") != nil {
		t.Error("the set does not hold what it was given")
	}
	changed := one("a", tensor.U8, tensor.Shape{3}, 1, 2, 3)
	o, err := tensor.Overlay(s, changed)
	if err != nil {
		t.Fatal(err)
	}
	if o.Lookup("a") != changed || o.At(0) != changed || o.Lookup("b") != b || s.Lookup("a") != a {
		t.Error("an overlay changes one tensor, and not the base")
	}
	for what, ts := range map[string][]*tensor.Tensor{
		"a duplicate":  {a, a},
		"a wrong size": {one("x", tensor.F32, tensor.Shape{1}, 1, 2)},
		"a bad shape":  {one("x", tensor.U8, tensor.Shape{-2})},
		"no data":      {{Name: "x", DType: tensor.U8, Shape: tensor.Shape{0}}},
	} {
		if _, err := tensor.NewSet(ts...); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, err := tensor.Overlay(s, one("new", tensor.U8, tensor.Shape{0})); err == nil {
		t.Error("an overlay may not add")
	}
	var none *tensor.Set
	if none.Len() != 0 || none.Lookup("a") != nil {
		t.Error("the nil set is empty")
	}
}

func TestReadRange(t *testing.T) {
	data := tensor.Bytes{0, 1, 2, 3, 4, 5}
	section := tensor.Section{Base: data, Off: 1, Len: 4}
	if b, err := tensor.ReadRange(section, 1, 2, nil); err != nil || b[0] != 2 || len(b) != 2 {
		t.Errorf("got %v, %v", b, err)
	}
	for _, r := range [][2]int64{{-1, 2}, {3, 2}, {0, 5}, {0, -1}, {1 << 62, 1 << 62}} {
		if _, err := tensor.ReadRange(section, r[0], r[1], nil); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("range %v: %v", r, err)
		}
	}
	got, err := io.ReadAll(io.NewSectionReader(section, 0, section.Size()))
	if err != nil || string(got) != "\x01\x02\x03\x04" {
		t.Errorf("section reads %v, %v", got, err)
	}
	if _, err := tensor.ReadRange(endless{}, 0, 1<<50, nil); err == nil {
		t.Error("2^50 bytes at once: no error")
	}
}

func TestWriteTo(t *testing.T) {
	values := bytes.Repeat([]byte("weights "), 300000)
	for what, d := range map[string]tensor.Data{"lent": tensor.Bytes(values), "read": onlyRead{tensor.Bytes(values)}} {
		var out bytes.Buffer
		x := &tensor.Tensor{Name: "x", DType: tensor.U8, Shape: tensor.Shape{int64(len(values))}, Data: d}
		if n, err := x.WriteTo(&out); err != nil || n != int64(len(values)) || !bytes.Equal(out.Bytes(), values) {
			t.Errorf("%s: wrote %d bytes, %v", what, n, err)
		}
	}
	if _, err := (&tensor.Tensor{Name: "x", Data: tensor.Section{Base: tensor.Bytes{1}, Len: 5}}).WriteTo(io.Discard); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("data that ends early: %v", err)
	}
}

// onlyRead hides that its data could be lent.
type onlyRead struct{ b tensor.Bytes }

func (r onlyRead) Size() int64                             { return r.b.Size() }
func (r onlyRead) ReadAt(p []byte, off int64) (int, error) { return r.b.ReadAt(p, off) }

// endless claims to have any size.
type endless struct{}

func (endless) Size() int64                           { return 1 << 60 }
func (endless) ReadAt(p []byte, _ int64) (int, error) { return len(p), nil }

func ExampleOverlay() {
	w := &tensor.Tensor{Name: "w", DType: tensor.U8, Shape: tensor.Shape{2}, Data: tensor.Bytes{1, 2}}
	base, err := tensor.NewSet(w)
	if err != nil {
		panic(err)
	}
	changed, err := tensor.Overlay(base, &tensor.Tensor{Name: "w", DType: tensor.U8, Shape: tensor.Shape{3}, Data: tensor.Bytes{7, 8, 9}})
	if err != nil {
		panic(err)
	}
	b, err := changed.Lookup("w").Bytes()
	fmt.Println(base.Lookup("w").Shape, changed.Lookup("w").Shape, b, err)
	// Output: 2 3 [7 8 9] <nil>
}
