package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// file puts a header and n bytes of values together. Byte i of the values is i.
func file(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	for i := range n {
		b = append(b, byte(i))
	}
	return b
}

func TestParse(t *testing.T) {
	// The order of the header is b, empty, a; that of the values a, empty, b.
	head := `{"b": {"data_offsets":[6,10],"dtype":"F32","shape":[]},` +
		`"__metadata__":{"format":"pt","a\u0020\ud83d\ude00":"\"\\\n"},` + "\n\t\r" +
		`"empty":{"dtype":"I64","shape":[0,3],"data_offsets":[6,6]},` +
		`"a":{"dtype":"BF16","shape":[3,1],"data_offsets":[0,6]},` +
		`"new":{"dtype":"F128X","shape":[3],"data_offsets":[10,15]}}  `
	b := file(head, 15)
	l, err := Parse("dir/x.safetensors", tensor.Bytes(b))
	if err != nil {
		t.Fatal(err)
	}
	at := int64(len(b) - 15)
	want := &layout.Layout{
		Format: Format,
		Files:  []layout.File{{Name: "x.safetensors", Data: tensor.Bytes(b)}},
		Arrays: []layout.Array{
			{Name: "a", DType: tensor.BF16, Shape: tensor.Shape{3, 1}, Offset: at, Size: 6},
			{Name: "empty", DType: tensor.I64, Shape: tensor.Shape{0, 3}, Offset: at + 6},
			{Name: "b", DType: tensor.F32, Shape: tensor.Shape{}, Offset: at + 6, Size: 4},
			{Name: "new", DType: "F128X", Shape: tensor.Shape{3}, Offset: at + 10, Size: 5},
		},
		Views: []layout.View{
			{Name: "b", DType: tensor.F32, Shape: tensor.Shape{}, Array: 2},
			{Name: "empty", DType: tensor.I64, Shape: tensor.Shape{0, 3}, Array: 1},
			{Name: "a", DType: tensor.BF16, Shape: tensor.Shape{3, 1}, Array: 0},
			{Name: "new", DType: "F128X", Shape: tensor.Shape{3}, Array: 3},
		},
		Metadata: []layout.Pair{{Key: "format", Value: "pt"}, {Key: "a 😀", Value: "\"\\\n"}},
	}
	if d := cmp.Diff(want, l, cmpopts.EquateEmpty()); d != "" {
		t.Fatal(d)
	}
	set, err := l.Set()
	if err != nil {
		t.Fatal(err)
	}
	got, err := set.Lookup("b").Bytes()
	if err != nil || !bytes.Equal(got, []byte{6, 7, 8, 9}) {
		t.Fatalf("b is %v, %v", got, err)
	}
}

// What the tests of the reference implementation accept.
func TestAccepts(t *testing.T) {
	for name, b := range map[string][]byte{
		"no tensors":      file(`{}`, 0),
		"no tensors, pad": file(`{}      `, 0),
		"only metadata":   file(`{"__metadata__":{"framework":"pt"}}     `, 0),
		"scalar":          file(`{"test":{"dtype":"I32","shape":[],"data_offsets":[0,4]}}`, 4),
		"matrix":          file(`{"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}`, 16),
		"empty tensor":    file(`{"test":{"dtype":"I32","shape":[2,0],"data_offsets":[0, 0]}}`, 0),
		"empty tensors":   file(`{"a":{"dtype":"I32","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"I8","shape":[0],"data_offsets":[0,0]},"c":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, 1),
		"empty name":      file(`{"":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, 1),
		"halves of bytes": file(`{"x":{"dtype":"F4","shape":[1,2],"data_offsets":[0,1]}}`, 1),
		"six bits":        file(`{"x":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}`, 3),
		"huge but empty":  file(`{"x":{"dtype":"F32","shape":[0,4611686018427387904],"data_offsets":[0,0]}}`, 0),
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Parse("x", tensor.Bytes(b))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Set(); err != nil {
				t.Fatal(err)
			}
			if !Sniff(b[:min(64, len(b))], int64(len(b))) {
				t.Error("Sniff does not know it")
			}
		})
	}
}

// A header in which ¦ marks the byte that the error has to name.
func TestMalformed(t *testing.T) {
	i32 := func(name, shape, offsets string) string {
		return `"` + name + `":{"dtype":"I32","shape":` + shape + `,"data_offsets":` + offsets + `}`
	}
	for _, c := range []struct {
		name, header string
		values       int
		truncated    bool
	}{
		// Not JSON.
		{"empty header", `¦`, 0, true},
		{"only a brace", `{¦`, 0, true},
		{"cut in a string", `{"a¦`, 0, true},
		{"cut in an escape", `{"a\¦`, 0, true},
		{"cut in a code point", `{"a\u00¦`, 0, true},
		{"space first", `¦ {}`, 0, false},
		{"not a brace", `¦[]`, 0, false},
		{"polyglot prefix", "¦#!/bin/sh\n{}", 0, false},
		{"newline as padding", `{}¦` + "\n", 0, false},
		{"two objects", `{} ¦{}`, 0, false},
		{"zero as padding", "{}¦\x00\x00", 0, false},
		{"comma last", `{"__metadata__":{},¦}`, 0, false},
		{"key without quotes", `{¦a:1}`, 0, false},
		{"no colon", `{"a"¦{}}`, 0, false},
		{"comment", `{¦/* */}`, 0, false},
		{"not UTF-8", "{\"¦\xff\":{}}", 0, false},
		{"overlong UTF-8", "{\"¦\xc0\x80\":{}}", 0, false},
		{"surrogate in UTF-8", "{\"¦\xed\xa0\x80\":{}}", 0, false},
		{"control character", "{\"a¦\n\":{}}", 0, false},
		{"half of a surrogate pair", `{"¦\ud800":{}}`, 0, false},
		{"two halves that do not fit", `{"¦\ud800\ud800":{}}`, 0, false},
		{"low half first", `{"¦\udc00":{}}`, 0, false},
		{"unknown escape", `{"¦\x41":{}}`, 0, false},
		{"bad code point", `{"\u00¦g0":{}}`, 0, false},
		{"depth bomb", `{"a":¦` + strings.Repeat("[", 1<<20), 0, false},
		{"depth bomb in an entry", `{"a":{"dtype":¦` + strings.Repeat(`{"a":`, 1<<18), 0, false},
		{"depth bomb in a shape", `{"a":{"dtype":"I8","shape":[¦` + strings.Repeat("[", 1<<20), 0, false},

		// Not the right keys.
		{"same tensor twice", `{` + i32("a", "[0]", "[0,0]") + `,¦` + i32("a", "[0]", "[0,0]") + `}`, 0, false},
		{"same tensor twice, escaped", `{` + i32("a", "[0]", "[0,0]") + `,¦` + i32(`\u0061`, "[0]", "[0,0]") + `}`, 0, false},
		{"metadata twice", `{"__metadata__":{},¦"__metadata__":{}}`, 0, false},
		{"same metadata twice", `{"__metadata__":{"a":"","b":"",¦"\u0061":""}}`, 0, false},
		{"dtype twice", `{"a":{"dtype":"I32","shape":[0],¦"dtype":"I8","data_offsets":[0,0]}}`, 0, false},
		{"shape twice", `{"a":{"shape":[0],"dtype":"I32",¦"sh\u0061pe":[0],"data_offsets":[0,0]}}`, 0, false},
		{"offsets twice", `{"a":{"shape":[0],"dtype":"I32","data_offsets":[0,0],¦"data_offsets":[0,0]}}`, 0, false},
		{"unknown key", `{"a":{"dtype":"I32","shape":[0],"data_offsets":[0,0],¦"Dtype":"I8"}}`, 0, false},
		{"no dtype", `{¦"a":{"shape":[0],"data_offsets":[0,0]}}`, 0, false},
		{"no shape", `{¦"a":{"dtype":"I32","data_offsets":[0,0]}}`, 0, false},
		{"no offsets", `{¦"a":{"dtype":"I32","shape":[0]}}`, 0, false},
		{"entry is empty", `{¦"a":{}}`, 0, false},
		{"entry is an array", `{"a":¦["I32",[0],[0,0]]}`, 0, false},
		{"entry is null", `{"a":¦null}`, 0, false},
		{"metadata is null", `{"__metadata__":¦null}`, 0, false},
		{"metadata is a number", `{"__metadata__":{"a":¦1}}`, 0, false},
		{"metadata is nested", `{"__metadata__":{"a":¦{}}}`, 0, false},
		{"metadata is a tensor", `{"__metadata__":{"dtype":"I32","shape":¦[0],"data_offsets":[0,0]}}`, 0, false},
		{"dtype is a number", `{"a":{"dtype":¦32,"shape":[0],"data_offsets":[0,0]}}`, 0, false},

		// Not the right numbers.
		{"negative axis", `{` + i32("a", "[¦-1]", "[0,0]") + `}`, 0, false},
		{"negative offset", `{` + i32("a", "[1]", "[¦-4,0]") + `}`, 0, false},
		{"minus zero", `{` + i32("a", "[0]", "[¦-0,0]") + `}`, 0, false},
		{"float", `{` + i32("a", "[¦1.0]", "[0,4]") + `}`, 4, false},
		{"exponent", `{` + i32("a", "[1]", "[0,¦4e0]") + `}`, 4, false},
		{"leading zero", `{` + i32("a", "[1]", "[0,¦04]") + `}`, 4, false},
		{"string", `{` + i32("a", `[¦"1"]`, "[0,4]") + `}`, 4, false},
		{"true", `{` + i32("a", `[¦true]`, "[0,4]") + `}`, 4, false},
		{"offset of 2^63", `{` + i32("a", "[1]", "[0,¦9223372036854775808]") + `}`, 4, false},
		{"offset of 2^64+4", `{` + i32("a", "[1]", "[0,¦18446744073709551620]") + `}`, 4, false},
		{"axis of 2^64-2", `{` + i32("a", "[2,¦18446744073709551614]", "[0,16]") + `}`, 16, false},
		{"elements overflow", `{` + i32("a", "¦[2,9223372036854775807]", "[0,16]") + `}`, 16, false},
		{"elements wrap to four", `{` + i32("a", "¦[4294967296,4294967296,4]", "[0,16]") + `}`, 16, false},
		{"bytes wrap to 16", `{` + i32("a", "¦[4611686018427387904]", "[0,16]") + `}`, 16, false},
		{"elements overflow beside a zero", `{` + i32("a", "¦[0,4294967296,4294967296]", "[0,0]") + `}`, 0, false},
		{"65 axes", `{` + i32("a", "[1"+strings.Repeat(",1", 63)+",¦1]", "[0,4]") + `}`, 4, false},
		{"shape is a number", `{` + i32("a", "¦1", "[0,4]") + `}`, 4, false},
		{"shape ends in a comma", `{` + i32("a", "[1,¦]", "[0,4]") + `}`, 4, false},
		{"no offsets at all", `{` + i32("a", "[1]", "[¦]") + `}`, 4, false},
		{"one offset", `{` + i32("a", "[1]", "[0¦]") + `}`, 4, false},
		{"three offsets", `{` + i32("a", "[1]", "[0,4¦,4]") + `}`, 4, false},
		{"odd halves", `{"a":{"dtype":"F4","shape":¦[1,3],"data_offsets":[0,2]}}`, 2, false},
		{"odd six bits", `{"a":{"dtype":"F6_E3M2","shape":¦[3],"data_offsets":[0,3]}}`, 3, false},

		// Not the right places.
		{"too small for the shape", `{` + i32("a", "[2,2]", "[¦0,4]") + `}`, 4, false},
		{"too large for the shape", `{` + i32("a", "[]", "[¦0,16]") + `}`, 16, false},
		{"values but no elements", `{` + i32("a", "[0]", "[¦0,16]") + `}`, 16, false},
		{"end before begin", `{` + i32("a", "[0]", "[4,¦0]") + `}`, 4, false},
		{"end after the file", `{` + i32("a", "[2,2]", "[0,¦16]") + `}`, 14, true},
		{"hole first", `{` + i32("a", "[1]", "[¦4,8]") + `}`, 8, false},
		{"hole between", `{` + i32("b", "[1]", "[¦5,9]") + `,` + i32("a", "[1]", "[0,4]") + `}`, 9, false},
		{"overlap", `{` + i32("b", "[1]", "[0,4]") + `,` + i32("a", "[1]", "[¦3,7]") + `}`, 7, false},
		{"inside of another", `{` + i32("a", "[2]", "[0,8]") + `,` + i32("b", "[1]", "[¦4,8]") + `}`, 8, false},
		{"empty inside of another", `{` + i32("a", "[2]", "[0,8]") + `,` + i32("b", "[0]", "[¦4,4]") + `}`, 8, false},
		{"same values twice", `{` + i32("a", "[2]", "[0,8]") + `,` + i32("b", "[2]", "[¦0,8]") + `}`, 8, false},
		{"opaque overlaps", `{"a":{"dtype":"?","shape":[1],"data_offsets":[0,8]},"b":{"dtype":"?","shape":[1],"data_offsets":[¦7,9]}}`, 9, false},
		{"opaque has a bad shape", `{"a":{"dtype":"?","shape":¦[4294967296,4294967296],"data_offsets":[0,8]}}`, 8, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := strings.Index(c.header, "¦")
			b := file(strings.Replace(c.header, "¦", "", 1), c.values)
			wantCorrupt(t, b, int64(at+lengthSize), c.truncated)
		})
	}
}

func wantCorrupt(t *testing.T, b []byte, offset int64, truncated bool) {
	t.Helper()
	_, err := Parse("x.safetensors", tensor.Bytes(b))
	var ce *layout.CorruptError
	if !errors.As(err, &ce) {
		t.Fatalf("got %v, want a CorruptError", err)
	}
	if ce.Offset != offset || ce.File != "x.safetensors" {
		t.Errorf("error is at byte %d of %s, want %d: %v", ce.Offset, ce.File, offset, err)
	}
	if got := errors.Is(err, io.ErrUnexpectedEOF); got != truncated {
		t.Errorf("truncated is %v, want %v: %v", got, truncated, err)
	}
	if len(err.Error()) > 500 {
		t.Errorf("error has %d bytes", len(err.Error()))
	}
}

// What does not fit into the table of headers.
func TestMalformedFile(t *testing.T) {
	good := file(`{"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}`, 16)
	long := func(n uint64) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, n), good[8:]...)
	}
	for _, c := range []struct {
		name      string
		file      []byte
		offset    int64
		truncated bool
	}{
		{"nothing", nil, 0, true},
		{"part of the length", good[:7], 7, true},
		{"only the length", good[:8], 0, true},
		{"polyglot suffix", append(bytes.Clone(good), "PK\x05\x06"...), int64(len(good)), false},
		{"values but no tensors", file(`{}`, 1), 10, false},
		{"abuse attempt 1: header of 1000 bytes", long(1000), 0, true},
		{"header above the limit", long(MaxHeader + 1), 0, false},
		{"header of 2^63", long(1 << 63), 0, false},
		{"header of 2^64-8", long(math.MaxUint64 - 7), 0, false},
		{"header too short", long(59), 67, true},
		{"header too long", long(61), 68, false},
		{"header of nothing", long(0), 8, true},
		{"byte order mark", file("\ufeff{}", 0), 8, false},
		{"UTF-16", file("{\x00}\x00", 0), 9, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantCorrupt(t, c.file, c.offset, c.truncated)
		})
	}
}

// Abuse attempts 2 and 3 of the reference: a small file in which each of many
// tensors claims the same values, so that whoever reads them all runs out of
// memory.
func TestManyOnSameValues(t *testing.T) {
	var b strings.Builder
	b.WriteByte('{')
	second := 0
	for i := range 100_000 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"weight_%d":{"dtype":"F32","shape":[200,200],"data_offsets":[`, i)
		if i == 1 {
			second = b.Len()
		}
		b.WriteString(`0,160000]}`)
	}
	b.WriteByte('}')
	wantCorrupt(t, file(b.String(), 160_000), int64(second+lengthSize), false)
}

// A header that claims the limit in a small file must not be allocated.
func TestNoAllocationBeforeCheck(t *testing.T) {
	b := binary.LittleEndian.AppendUint64(nil, MaxHeader)
	b = append(b, "{}"...)
	n := testing.AllocsPerRun(10, func() {
		if _, err := Parse("x", tensor.Bytes(b)); err == nil {
			t.Fatal("accepted")
		}
	})
	if n > 20 {
		t.Errorf("%v allocations", n)
	}
}

func TestSniff(t *testing.T) {
	good := file(`{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, 1)
	for _, c := range []struct {
		name string
		head []byte
		size int64
		want bool
	}{
		{"good", good[:64-8], int64(len(good)), true},
		{"size is too small", good, 20, false},
		{"empty", nil, 0, false},
		{"only the length", good[:8], int64(len(good)), false},
		{"ZIP", []byte("PK\x03\x04\x14\x00\x00\x00{"), 1 << 40, false},
		{"text", []byte(`{"metadata":{}}`), 15, false},
		{"2^64-1", append(bytes.Repeat([]byte{0xff}, 8), '{'), math.MaxInt64, false},
	} {
		if got := Sniff(c.head, c.size); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// A file that is cut within its header is known as one, at every length that has the
// length of the header; whole files, and others, are not.
func TestSniffCut(t *testing.T) {
	good := file(`{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, 1)
	for n := range len(good) + 1 {
		cut := good[:n]
		want := n >= lengthSize && n < len(good)-1
		if got := SniffCut(cut[:min(64, n)], int64(n)); got != want {
			t.Errorf("%d of %d bytes: %v", n, len(good), got)
		}
		if _, err := Parse("cut", tensor.Bytes(cut)); n < len(good) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: %v", n, len(good), err)
		}
	}
	for _, head := range []string{"PK\x03\x04\x14\x00\x00\x00{", `{"metadata":{}}`, "\xff\xff\xff\xff\xff\xff\xff\xff{", "\x01\x00\x00\x00\x00\x00\x00\x00{", "\x08\x07\x12\x04test{", "\xe8\x1f\x00\x00\x00\x00\x00\x00["} {
		if SniffCut([]byte(head), int64(len(head))) {
			t.Errorf("%q is taken for a safetensors file", head)
		}
	}
}

// small is a file with everything in it.
var small = file(`{"__metadata__":{"k":"v\u00e9"},"b":{"dtype":"BF16","shape":[2,1],"data_offsets":[3,7]},`+
	`"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"o":{"dtype":"X","shape":[],"data_offsets":[7,8]}} `, 8)

// Whatever Parse accepts is a valid layout.
func checkParse(t *testing.T, b []byte) error {
	t.Helper()
	l, err := Parse("x", tensor.Bytes(b))
	if err != nil {
		var ce *layout.CorruptError
		if !errors.As(err, &ce) {
			t.Fatalf("%v is not a CorruptError", err)
		}
		if ce.Offset < 0 || ce.Offset > int64(len(b)) {
			t.Fatalf("offset %d in %d bytes: %v", ce.Offset, len(b), err)
		}
		return err
	}
	set, err := l.Set() // validates
	if err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	for _, x := range set.All() {
		v, err := x.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		total += int64(len(v))
	}
	if total > int64(len(b)) {
		t.Fatalf("%d bytes of values in %d", total, len(b))
	}
	return nil
}

func TestTruncated(t *testing.T) {
	for i := range small {
		if err := checkParse(t, small[:i]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("first %d bytes: %v, want io.ErrUnexpectedEOF", i, err)
		}
	}
}

func TestFlippedBits(t *testing.T) {
	for i := range len(small) * 8 {
		b := bytes.Clone(small)
		b[i/8] ^= 1 << (i % 8)
		_ = checkParse(t, b)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(small)
	f.Add(file(`{}      `, 0))
	f.Add(file(`{"a":{"dtype":"F4","shape":[0,2],"data_offsets":[0,0]}}`, 0))
	f.Fuzz(func(t *testing.T, b []byte) { _ = checkParse(t, b) })
}

// FuzzHeader spares the fuzzer the length field.
func FuzzHeader(f *testing.F) {
	f.Add(string(small[8:len(small)-8]), 8)
	f.Fuzz(func(t *testing.T, head string, n int) {
		_ = checkParse(t, file(head, n&0xffff))
	})
}

// A reader that fails is not a corrupt file.
func TestReadError(t *testing.T) {
	broken := errors.New("disk is on fire")
	_, err := Parse("x", failing{tensor.Bytes(small), broken})
	var ce *layout.CorruptError
	if !errors.Is(err, broken) || errors.As(err, &ce) {
		t.Fatal(err)
	}
}

type failing struct {
	tensor.Data
	err error
}

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// BenchmarkHeader reads a header of 50 MB.
func BenchmarkHeader(b *testing.B) {
	var s strings.Builder
	s.WriteByte('{')
	n := 0
	for ; s.Len() < 50_000_000; n++ {
		if n > 0 {
			s.WriteByte(',')
		}
		fmt.Fprintf(&s, `"model.layers.%d.mlp.experts.weight":{"dtype":"U8","shape":[1,1],"data_offsets":[%d,%d]}`, n, n, n+1)
	}
	s.WriteByte('}')
	f := file(s.String(), n)
	b.SetBytes(int64(s.Len()))
	b.ReportAllocs()
	b.ReportMetric(float64(n), "tensors")
	for b.Loop() {
		if _, err := Parse("x", tensor.Bytes(f)); err != nil {
			b.Fatal(err)
		}
	}
}
