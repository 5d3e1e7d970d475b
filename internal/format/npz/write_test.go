package npz

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

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

// The bytes of numpy.save, NumPy 2.4.6.
func TestHeaderGolden(t *testing.T) {
	for _, c := range []struct {
		descr string
		shape tensor.Shape
		want  string
	}{
		{"<f4", tensor.Shape{}, "\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (), }" + strings.Repeat(" ", 62) + "\n"},
		{"<f8", tensor.Shape{0, 3}, "\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (0, 3), }" + strings.Repeat(" ", 58) + "\n"},
		{"|b1", tensor.Shape{3}, "\x93NUMPY\x01\x00v\x00{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }" + strings.Repeat(" ", 60) + "\n"},
	} {
		if got := string(newNPY(c.descr, c.shape)); got != c.want {
			t.Errorf("%v: %q, want %q", c.shape, got, c.want)
		}
	}
}

// The values of every array are aligned within their member, however long
// the shape is.
func TestHeaderAligned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := tensor.Shape(rapid.SliceOfN(rapid.Int64Range(0, 1<<62), 0, tensor.MaxRank).Draw(t, "shape"))
		b := newNPY("<c16", shape)
		if len(b)%alignment != 0 || int(le.Uint16(b[8:])) != len(b)-10 || b[len(b)-1] != '\n' {
			t.Fatalf("%q", b)
		}
		h := new(npyHeader)
		if err := (&literal{text: b[10:]}).header(h); err != nil || !h.shape.Equal(shape) {
			t.Fatal(err)
		}
	})
}

func TestWriteRefuses(t *testing.T) {
	one := make(tensor.Bytes, 1)
	for _, c := range []struct {
		name string
		x    *tensor.Tensor
		want string
		is   error
	}{
		{"F4", &tensor.Tensor{Name: "x", DType: tensor.F4, Shape: tensor.Shape{2}, Data: one}, "type F4", ErrType},
		{"I4", &tensor.Tensor{Name: "x", DType: tensor.I4, Shape: tensor.Shape{2}, Data: one}, "type I4", ErrType},
		{"opaque", &tensor.Tensor{Name: "x", DType: "Q8_0", Shape: tensor.Shape{1}, Data: one}, "type Q8_0", ErrType},
		{"objects", &tensor.Tensor{Name: "x", DType: "|O", Shape: tensor.Shape{1}, Data: one}, "type |O", ErrType},
		{"injection", &tensor.Tensor{Name: "x", DType: "|V1', 'x': '", Shape: tensor.Shape{1}, Data: one}, "type", ErrType},
		{"size", &tensor.Tensor{Name: "x", DType: "<V2", Shape: tensor.Shape{1}, Data: one}, "does not take 1 bytes", nil},
		{"zero byte", &tensor.Tensor{Name: "x\x00", DType: tensor.U8, Shape: tensor.Shape{1}, Data: one}, "zero byte", nil},
		{"not UTF-8", &tensor.Tensor{Name: "\xff", DType: tensor.U8, Shape: tensor.Shape{1}, Data: one}, "UTF-8", nil},
		{"long name", &tensor.Tensor{Name: strings.Repeat("x", 1<<16), DType: tensor.U8, Shape: tensor.Shape{1}, Data: one}, "65531", nil},
	} {
		var b bytes.Buffer
		err := Write(&b, newSet(t, c.x))
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) || b.Len() > 0 {
			t.Errorf("%s: got %v and %d bytes, want %q", c.name, err, b.Len(), c.want)
		}
	}
}

func TestWriteErrors(t *testing.T) {
	broken := errors.New("broken")
	set := newSet(t, &tensor.Tensor{Name: "x", DType: tensor.U8, Shape: tensor.Shape{300}, Data: failing{make(tensor.Bytes, 300), broken}})
	if err := Write(io.Discard, set); !errors.Is(err, broken) {
		t.Errorf("reading: %v", err)
	}
	set = newSet(t, &tensor.Tensor{Name: "x", DType: tensor.U8, Shape: tensor.Shape{1 << 20}, Data: make(tensor.Bytes, 1<<20)})
	if err := Write(failingWriter{broken}, set); !errors.Is(err, broken) {
		t.Errorf("writing: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// What comes back for a type. NumPy cannot say bfloat16.
func back(d tensor.DType) tensor.DType {
	if _, ok := names[descrs[d]]; ok {
		return d
	}
	return tensor.DType(descrs[d])
}

// What was written is read again, by us and by archive/zip, which verifies
// checksums; and the same tensors make the same file.
func TestRoundTrip(t *testing.T) {
	known := slices.Sorted(maps.Keys(descrs))
	rapid.Check(t, func(t *rapid.T) {
		var ts []*tensor.Tensor
		name := rapid.String().Filter(func(s string) bool { return checkName(s) == nil })
		for _, name := range rapid.SliceOfNDistinct(name, 0, 6, rapid.ID).Draw(t, "names") {
			d := rapid.SampledFrom(known).Draw(t, "type")
			shape := tensor.Shape(rapid.SliceOfN(rapid.Int64Range(0, 4), 0, 4).Draw(t, "shape"))
			n, _ := shape.Size(d)
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
		var b bytes.Buffer
		if err := Write(&b, set); err != nil {
			t.Fatal(err)
		}
		zr, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range zr.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				t.Fatal(err)
			}
		}
		if !IsNPZ(tensor.Bytes(b.Bytes())) {
			t.Fatal("IsNPZ does not know it")
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
		for i, want := range set.All() {
			got := again.At(i)
			if got.Name != want.Name || got.DType != back(want.DType) || !got.Shape.Equal(want.Shape) {
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
		var b2 bytes.Buffer
		if err := Write(&b2, again); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), b2.Bytes()) {
			t.Fatal("second file differs")
		}
	})
}

// sparse keeps what is written except for long runs of zeros, which it has as
// holes.
type sparse struct {
	size   int64
	chunks map[int64][]byte // by offset
	read   int64
}

func (s *sparse) Write(b []byte) (int, error) {
	if len(b) < 1<<16 {
		s.chunks[s.size] = bytes.Clone(b)
	}
	s.size += int64(len(b))
	return len(b), nil
}

func (s *sparse) Size() int64 { return s.size }

func (s *sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	s.read += int64(len(p))
	for at, c := range s.chunks {
		if from := max(at, off); from < min(at+int64(len(c)), off+int64(len(p))) {
			copy(p[from-off:], c[from-at:])
		}
	}
	return len(p), nil
}

// zeros is a large tensor without memory.
type zeros int64

var zeroChunk = make([]byte, 1<<26)

func (z zeros) Size() int64 { return int64(z) }

func (z zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

func (z zeros) Slice(_, n int64) ([]byte, bool) {
	if n > int64(len(zeroChunk)) {
		return nil, false
	}
	return zeroChunk[:n], true
}

// An array above 4 GiB, and one behind it, need zip64. To open them takes a
// few kilobytes.
func TestLargeIsLazy(t *testing.T) {
	if testing.Short() {
		t.Skip("the checksum of 4 GiB takes a second or more")
	}
	const n = 1<<32 + 5
	s := &sparse{chunks: make(map[int64][]byte)}
	set := newSet(t,
		&tensor.Tensor{Name: "large", DType: tensor.U8, Shape: tensor.Shape{n}, Data: zeros(n)},
		&tensor.Tensor{Name: "small", DType: tensor.U8, Shape: tensor.Shape{3}, Data: tensor.Bytes{1, 2, 3}},
	)
	if err := Write(s, set); err != nil {
		t.Fatal(err)
	}
	l, err := Parse("x", s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := l.Set()
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Lookup("large").Size(); got != n {
		t.Errorf("large has %d bytes", got)
	}
	if s.read > 100_000 {
		t.Errorf("read %d bytes", s.read)
	}
	if got, err := again.Lookup("small").Bytes(); err != nil || !bytes.Equal(got, []byte{1, 2, 3}) {
		t.Errorf("small is %v, %v", got, err)
	}
}
