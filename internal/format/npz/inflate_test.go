package npz

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// u1 is the header of n bytes.
func u1(n int64) string {
	return fmt.Sprintf("{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }\n", n)
}

// deflated makes an archive with one member whose deflated data need not be
// those of its size and checksum.
func deflated(packed []byte, size int64, crc uint32) []byte {
	b := build(part{name: "a.npy", content: packed})
	dir := int(le.Uint32(b[len(b)-6:]))
	le.PutUint16(b[8:], methodDeflate)
	le.PutUint16(b[dir+10:], methodDeflate)
	le.PutUint32(b[14:], crc)
	le.PutUint32(b[dir+16:], crc)
	le.PutUint32(b[22:], uint32(size))
	le.PutUint32(b[dir+24:], uint32(size))
	return b
}

// Files that open and turn out to be wrong when they are inflated.
func TestMalformedDeflate(t *testing.T) {
	content := npy(u1(1000), make([]byte, 1000)...)
	size, crc, packed := int64(len(content)), crc32.ChecksumIEEE(content), deflate(content)
	longer := npy(u1(1000), make([]byte, 1001)...)
	shorter := npy(u1(1000), make([]byte, 999)...)
	for _, c := range []struct {
		name   string
		packed []byte
		crc    uint32
		want   string
	}{
		{"good", packed, crc, ""},
		{"checksum", packed, crc + 1, "checksum"},
		{"more than declared", deflate(longer), crc, "more than the 1000 bytes"},
		{"bomb behind a small header", deflate(append(bytes.Clone(content), make([]byte, 1<<20)...)), crc, "more than the 1000 bytes"},
		{"less than declared", deflate(shorter), crc, "999 bytes of values and not to 1000"},
		{"cut", packed[:len(packed)-3], crc, "inflating it: unexpected EOF"},
		{"bytes after the end", append(bytes.Clone(packed), 0), crc, "1 bytes after the end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := Parse("x", tensor.Bytes(deflated(c.packed, size, c.crc)))
			if err != nil {
				t.Fatal(err)
			}
			set, err := l.Set()
			if err != nil {
				t.Fatal(err)
			}
			_, err = set.At(0).Bytes()
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var ce *layout.CorruptError
			if !errors.As(err, &ce) || ce.Offset != 35 || ce.File != "x" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// The attack on NumPy that safetensors publishes: a small archive whose one
// member inflates to 40 GB. Here it has no header at all, and another has one.
func TestZipBomb(t *testing.T) {
	zeros := make([]byte, 1<<22)
	_, err := Parse("x", tensor.Bytes(build(part{name: "weights.npy", content: zeros, deflate: true})))
	wantError(t, err, "x", 41, false)

	// A header that promises more than the directory.
	_, err = Parse("x", tensor.Bytes(build(part{name: "a.npy", content: npy(u1(40_000_000_000), zeros...), deflate: true})))
	wantError(t, err, "x", 35, false)

	// Header and directory agree, but no deflated data are that small.
	head := npy(u1(4_000_000_000))
	_, err = Parse("x", tensor.Bytes(deflated(deflate(head), int64(len(head))+4_000_000_000, 0)))
	if err == nil || !strings.Contains(err.Error(), "deflate cannot make") {
		t.Error(err)
	}
}

// Decode checks for itself what Parse has checked before.
func TestDecode(t *testing.T) {
	content := npy(u1(1000), ramp(1000)...)
	packed := deflate(content)
	view := func(d tensor.DType, shape ...int64) *layout.View {
		return &layout.View{Name: "a", DType: d, Shape: shape, Encoded: &layout.Encoded{}}
	}
	got, err := Decode(packed, view(tensor.U8, 1000))
	if err != nil || !bytes.Equal(got, ramp(1000)) {
		t.Error(err)
	}
	for _, c := range []struct {
		name   string
		packed []byte
		v      *layout.View
		want   string
	}{
		{"type", packed, view(tensor.I8, 1000), "holds U8 1000, not I8 1000"},
		{"shape", packed, view(tensor.U8, 10, 100), "holds U8 1000, not U8 10x100"},
		{"opaque", packed, view("<V2", 1000), "not known"},
		{"allocation", packed, view(tensor.U8, 1<<40), "deflate cannot make"},
		{"overflow", packed, view(tensor.U8, math.MaxInt64, 2), "invalid shape"},
		{"limit", make([]byte, MaxInflated/maxRatio+2), view(tensor.U8, MaxInflated+1), "the limit is"},
		{"no deflate", []byte("\xff\xff\xff\xff"), view(tensor.U8, 10), "corrupt"},
		{"no array", deflate([]byte("hello, world")), view(tensor.U8, 10), "not a NumPy array"},
		{"nothing", nil, view(tensor.U8, 0), "ends inside of its header"},
	} {
		if _, err := Decode(c.packed, c.v); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// Fortran order of a deflated array and of a stored one are the same tensor.
func TestFortran(t *testing.T) {
	for _, shape := range []tensor.Shape{{}, {5}, {2, 3}, {3, 1, 4}, {1, 1}, {2, 3, 4, 5}, {0, 3}, {3, 0}} {
		n, _ := shape.Elems()
		head := fmt.Sprintf("{'descr': '<u2', 'fortran_order': True, 'shape': %s, }\n", tuple(shape))
		content := npy(head, ramp(int(n)*2)...)
		var want []byte
		for _, deflate := range []bool{false, true} {
			l, err := Parse("x", tensor.Bytes(build(part{name: "a.npy", content: content, deflate: deflate})))
			if err != nil {
				t.Fatal(shape, err)
			}
			set, err := l.Set()
			if err != nil {
				t.Fatal(shape, err)
			}
			got, err := set.At(0).Bytes()
			if err != nil {
				t.Fatal(shape, err)
			}
			if deflate && !bytes.Equal(got, want) {
				t.Errorf("%v: deflated %v, stored %v", shape, got, want)
			}
			want = got
		}
		if len(shape) == 2 && shape[1] == 3 && n > 0 && !bytes.Equal(want, []byte{0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11}) {
			t.Errorf("%v: %v", shape, want)
		}
	}
}

func tuple(s tensor.Shape) string {
	var b strings.Builder
	for _, d := range s {
		fmt.Fprintf(&b, "%d,", d)
	}
	return "(" + b.String() + ")"
}
