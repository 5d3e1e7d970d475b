package npz

import (
	"bytes"
	"compress/flate"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// npy puts a header (of version 1.0, without padding) and values together.
func npy(header string, values ...byte) []byte {
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
	return append(append(b, header...), values...)
}

// A part is a member of an archive that is made by build.
type part struct {
	name       string
	content    []byte
	deflate    bool
	descriptor bool // checksum and sizes follow the data
	zip64      bool // sizes in an extra field of the local header, as NumPy does it
}

// build makes an archive as a writer that is not ours might.
func build(parts ...part) []byte {
	var b, dir []byte
	for _, p := range parts {
		packed, method, flags := p.content, uint16(methodStored), uint16(0)
		if p.deflate {
			packed, method = deflate(p.content), methodDeflate
		}
		crc, size, csize := crc32.ChecksumIEEE(p.content), uint32(len(p.content)), uint32(len(packed))
		at, lcrc, lsize, lcsize, extra := uint32(len(b)), crc, size, csize, []byte(nil)
		if p.descriptor {
			flags, lcrc, lsize, lcsize = flagDescriptor, 0, 0, 0
		}
		if p.zip64 {
			extra = le.AppendUint16(le.AppendUint16(nil, zip64ExtraID), 16)
			extra = le.AppendUint64(le.AppendUint64(extra, uint64(lsize)), uint64(lcsize))
			lsize, lcsize = full32, full32
		}
		fields := func(b []byte, crc, csize, size uint32, extra int) []byte {
			b = le.AppendUint16(le.AppendUint16(b, flags), method)
			b = le.AppendUint32(le.AppendUint32(b, 0x210000), crc)
			b = le.AppendUint32(le.AppendUint32(b, csize), size)
			return le.AppendUint16(le.AppendUint16(b, uint16(len(p.name))), uint16(extra))
		}
		b = le.AppendUint16(append(b, localSig...), 20)
		b = append(append(fields(b, lcrc, lcsize, lsize, len(extra)), p.name...), extra...)
		b = append(b, packed...)
		if p.descriptor {
			b = append(b, "PK\x07\x08"...)
			b = le.AppendUint32(le.AppendUint32(le.AppendUint32(b, crc), csize), size)
		}
		dir = le.AppendUint32(append(dir, entrySig...), 20<<16|20)
		dir = fields(dir, crc, csize, size, 0)
		dir = append(dir, make([]byte, 10)...)
		dir = append(le.AppendUint32(dir, at), p.name...)
	}
	return end(append(b, dir...), len(b), len(parts), "")
}

// end appends the end record of a directory that begins at dir.
func end(b []byte, dir, n int, comment string) []byte {
	size := len(b) - dir
	b = append(append(b, endSig...), 0, 0, 0, 0)
	b = le.AppendUint16(le.AppendUint16(b, uint16(n)), uint16(n))
	b = le.AppendUint32(le.AppendUint32(b, uint32(size)), uint32(dir))
	return append(le.AppendUint16(b, uint16(len(comment))), comment...)
}

func deflate(b []byte) []byte {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.BestCompression)
	_, _ = w.Write(b) // a buffer does not fail
	_ = w.Close()
	return out.Bytes()
}

const f4head = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"

// ramp returns n bytes 0, 1, 2, ...
func ramp(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func TestParse(t *testing.T) {
	fortran := "{'shape': (2, 3), 'fortran_order': True, \"descr\": '|u1'}"
	parts := []part{
		{name: "w.npy", content: npy(f4head, ramp(8)...), zip64: true},
		{name: "dir/z.npy", content: npy(fortran, 0, 3, 1, 4, 2, 5), deflate: true, descriptor: true},
		{name: "f.npy", content: npy(fortran, 0, 3, 1, 4, 2, 5), descriptor: true},
		{name: "README", content: []byte("hello")},
		{name: "big.npy", content: npy("{'descr':'>f4','fortran_order':False,'shape':()}", 1, 2, 3, 4)},
		{name: "bf.npy", content: npy("{'descr':'<V2','fortran_order':False,'shape':(1,)}", 1, 2), deflate: true},
		{name: "names.npy", content: npy("{'descr':'<U2','fortran_order':True,'shape':(1,2)}", ramp(16)...)},
		{name: "empty.npy", content: npy("{'descr':'<c16','fortran_order':False,'shape':(0,3L)}")},
	}
	b := build(parts...)
	l, err := Parse("dir/x.npz", tensor.Bytes(b))
	if err != nil {
		t.Fatal(err)
	}
	at := func(i int) int64 { return int64(bytes.Index(b, parts[i].content) + 10 + int(parts[i].content[8])) }
	zlen := int64(len(deflate(parts[1].content)))
	zat := int64(bytes.Index(b, deflate(parts[1].content)))
	want := &layout.Layout{
		Format: Format,
		Files:  []layout.File{{Name: "x.npz", Data: tensor.Bytes(b)}},
		Arrays: []layout.Array{
			{Name: "w", DType: tensor.F32, Shape: tensor.Shape{2}, Offset: at(0), Size: 8},
			{Name: "f", DType: tensor.U8, Shape: tensor.Shape{3, 2}, Offset: at(2), Size: 6},
			{Name: "big", DType: ">f4", Shape: tensor.Shape{}, Offset: at(4), Size: 4},
			{Name: "names", DType: "<U2", Shape: tensor.Shape{2, 1}, Offset: at(6), Size: 16},
			{Name: "empty", DType: tensor.C128, Shape: tensor.Shape{0, 3}, Offset: at(7)},
		},
		Views: []layout.View{
			{Name: "w", DType: tensor.F32, Shape: tensor.Shape{2}},
			{Name: "dir/z", DType: tensor.U8, Shape: tensor.Shape{2, 3}, Encoded: &layout.Encoded{Encoding: Encoding, Offset: zat, Size: zlen}},
			{Name: "f", DType: tensor.U8, Shape: tensor.Shape{2, 3}, Array: 1, Strides: []int64{1, 2}},
			{Name: "big", DType: ">f4", Shape: tensor.Shape{}, Array: 2},
			{Name: "empty", DType: tensor.C128, Shape: tensor.Shape{0, 3}, Array: 4},
		},
		Metadata: []layout.Pair{
			{Key: "README", Value: "not an array"},
			{Key: "bf.npy", Value: "<V2 1, deflated"},
			{Key: "names.npy", Value: "<U2 1x2 in Fortran order"},
		},
	}
	if d := cmp.Diff(want, l, cmpopts.IgnoreFields(layout.Layout{}, "Decoders")); d != "" {
		t.Fatal(d)
	}
	set, err := l.Set()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"w": ramp(8), "dir/z": ramp(6), "f": ramp(6), "big": {1, 2, 3, 4}, "empty": {}} {
		got, err := set.Lookup(name).Bytes()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// The order of the directory need not be that of the file.
func TestDirectoryOrder(t *testing.T) {
	one := npy("{'descr':'|u1','fortran_order':False,'shape':(1,)}", 1)
	two := npy("{'descr':'|u1','fortran_order':False,'shape':(1,)}", 2)
	b := build(part{name: "a.npy", content: one}, part{name: "b.npy", content: two})
	dir := int(le.Uint32(b[len(b)-6:]))
	n := (len(b) - endSize - dir) / 2
	swapped := bytes.Join([][]byte{b[:dir], b[dir+n : dir+2*n], b[dir : dir+n], b[dir+2*n:]}, nil)
	l, err := Parse("x", tensor.Bytes(swapped))
	if err != nil {
		t.Fatal(err)
	}
	set, err := l.Set()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		name string
		v    byte
	}{{"b", 2}, {"a", 1}} {
		x := set.At(i)
		if got, err := x.Bytes(); err != nil || x.Name != want.name || got[0] != want.v {
			t.Errorf("tensor %d is %s, %v, %v", i, x.Name, got, err)
		}
	}
}

// A header in which ¦ marks the byte that the error has to name.
func TestMalformedHeader(t *testing.T) {
	const f = "'fortran_order': False"
	for _, c := range []struct {
		name, header string
		values       int
		unsupported  bool
	}{
		{"empty", "¦", 0, false},
		{"list", "¦[]", 0, false},
		{"no keys", "¦{}", 0, false},
		{"cut", "{'descr': '<f4', " + f + ", 'shape': (¦", 0, false},
		{"cut in a string", "{'de¦", 0, false},
		{"no shape", "¦{'descr': '<f4', " + f + "}", 0, false},
		{"no order", "¦{'descr': '<f4', 'shape': (1,)}", 4, false},
		{"no type", "¦{" + f + ", 'shape': (1,)}", 4, false},
		{"key twice", "{'descr': '<f4', " + f + ", 'shape': (1,), ¦'shape': (1,)}", 4, false},
		{"unknown key", "{'descr': '<f4', " + f + ", 'shape': (1,), ¦'x': 1}", 4, false},
		{"no comma", "{'descr': '<f4' ¦" + f + ", 'shape': (1,)}", 4, false},
		{"no colon", "{'descr' ¦'<f4'}", 4, false},
		{"two commas", "{'descr': '<f4',¦, " + f + ", 'shape': (1,)}", 4, false},
		{"escape", "{'descr': '¦\\x3cf4'}", 4, false},
		{"not ASCII", "{'descr': '¦é'}", 4, false},
		{"newline in a string", "{'descr': '¦\nf4'}", 4, false},
		{"wrong quote", "{'descr\": '¦<f4'}", 4, false},
		{"code", "{'descr': ¦__import__('os'), " + f + ", 'shape': (1,)}", 4, false},
		{"call after", "{'descr': '<f4', " + f + ", 'shape': (1,)}¦.x", 4, false},
		{"zero byte after", "{'descr': '<f4', " + f + ", 'shape': (1,)}¦\x00", 4, false},
		{"true in C", "{'fortran_order': ¦true}", 4, false},
		{"number for bool", "{'fortran_order': ¦1}", 4, false},
		{"shape is a number", "{'descr': '<f4', " + f + ", 'shape': ¦4}", 16, false},
		{"shape is a number in brackets", "{'descr': '<f4', " + f + ", 'shape': ¦(4)}", 16, false},
		{"shape is a list", "{'descr': '<f4', " + f + ", 'shape': ¦[4]}", 16, false},
		{"only a comma", "{'descr': '<f4', " + f + ", 'shape': (¦,)}", 4, false},
		{"two commas in shape", "{'descr': '<f4', " + f + ", 'shape': (1,¦,)}", 4, false},
		{"no comma in shape", "{'descr': '<f4', " + f + ", 'shape': (1 ¦2)}", 4, false},
		{"negative axis", "{'descr': '<f4', " + f + ", 'shape': (¦-1,)}", 4, false},
		{"float axis", "{'descr': '<f4', " + f + ", 'shape': (1¦.0,)}", 4, false},
		{"hexadecimal axis", "{'descr': '<f4', " + f + ", 'shape': (0¦x1,)}", 4, false},
		{"octal axis", "{'descr': '<f4', " + f + ", 'shape': (¦01,)}", 4, false},
		{"True axis", "{'descr': '<f4', " + f + ", 'shape': (¦True,)}", 4, false},
		{"axis of 2^63", "{'descr': '<f4', " + f + ", 'shape': (¦9223372036854775808,)}", 4, false},
		{"elements overflow", "{'descr': '<f4', " + f + ", 'shape': ¦(4294967296, 4294967296)}", 4, false},
		{"bytes overflow", "{'descr': '<f4', " + f + ", 'shape': ¦(4611686018427387904,)}", 4, false},
		{"bytes of strings overflow", "{'descr': '|V2147483647', " + f + ", 'shape': ¦(4611686018427387904,)}", 4, false},
		{"65 axes", "{'descr': '<f4', " + f + ", 'shape': (" + strings.Repeat("1, ", 64) + "¦1)}", 4, false},
		{"depth bomb", "{'shape': (¦" + strings.Repeat("(", 30000), 4, false},
		{"too few values", "{'descr': '<f4', " + f + ", 'shape': (2,)}¦", 7, false},
		{"too many values", "{'descr': '<f4', " + f + ", 'shape': (2,)}¦", 9, false},

		{"objects", "{'descr': ¦'|O', " + f + ", 'shape': (1,)}", 8, true},
		{"structured", "{'descr': ¦[('a', '<f4')], " + f + ", 'shape': (1,)}", 8, true},
		{"structured, tuple", "{'descr': ¦('<f4', (2,)), " + f + ", 'shape': (1,)}", 8, true},
		{"no byte order", "{'descr': ¦'U8', " + f + ", 'shape': (1,)}", 8, true},
		{"our name", "{'descr': ¦'BF16', " + f + ", 'shape': (1,)}", 8, true},
		{"unknown kind", "{'descr': ¦'<x8', " + f + ", 'shape': (1,)}", 8, true},
		{"no size", "{'descr': ¦'<f', " + f + ", 'shape': (1,)}", 8, true},
		{"size with sign", "{'descr': ¦'<f+4', " + f + ", 'shape': (1,)}", 8, true},
		{"size with zero", "{'descr': ¦'<f04', " + f + ", 'shape': (1,)}", 8, true},
		{"size too large", "{'descr': ¦'|V2147483648', " + f + ", 'shape': (1,)}", 8, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := int64(strings.Index(c.header, "¦") + 10)
			content := npy(strings.Replace(c.header, "¦", "", 1), ramp(c.values)...)
			_, err := ParseNPY("x.npy", tensor.Bytes(content))
			wantError(t, err, "x.npy", at, c.unsupported)
			// Stored in an archive, it is the same place; deflated, there is none.
			_, err = Parse("x.npz", tensor.Bytes(build(part{name: "a.npy", content: content})))
			wantError(t, err, "x.npz", at+35, c.unsupported)
			_, err = Parse("x.npz", tensor.Bytes(build(part{name: "a.npy", content: content, deflate: true})))
			wantError(t, err, "x.npz", 35, c.unsupported)
		})
	}
}

func wantError(t *testing.T, err error, file string, at int64, unsupported bool) {
	t.Helper()
	var ce *layout.CorruptError
	var ue *layout.UnsupportedError
	switch {
	case unsupported && errors.As(err, &ue):
		if ue.File != file || ue.Offset != at {
			t.Errorf("error is at byte %d of %s, want %d of %s: %v", ue.Offset, ue.File, at, file, err)
		}
	case !unsupported && errors.As(err, &ce):
		if ce.File != file || ce.Offset != at {
			t.Errorf("error is at byte %d of %s, want %d of %s: %v", ce.Offset, ce.File, at, file, err)
		}
	default:
		t.Errorf("got %v; unsupported is %v", err, unsupported)
	}
	if err != nil && len(err.Error()) > 500 {
		t.Errorf("error has %d bytes", len(err.Error()))
	}
}

func TestMalformedPreamble(t *testing.T) {
	good := npy(f4head, ramp(8)...)
	set := func(at int, b ...byte) []byte {
		c := bytes.Clone(good)
		copy(c[at:], b)
		return c
	}
	for _, c := range []struct {
		name        string
		file        []byte
		at          int64
		unsupported bool
	}{
		{"nothing", nil, 0, false},
		{"cut", good[:9], 9, false},
		{"magic", set(0, 'X'), 0, false},
		{"version 0", set(6, 0), 6, true},
		{"version 4", set(6, 4), 6, true},
		{"version 1.1", set(7, 1), 6, true},
		{"length too large", set(8, 0xff, 0xff), 8, false},
		{"length of version 2 above the limit", set(6, 2, 0, 0, 0, 1, 0), 8, false},
		{"length of version 2 is 2^32-1", set(6, 2, 0, 0xff, 0xff, 0xff, 0xff), 8, false},
		{"values cut", good[:len(good)-1], 10 + int64(len(f4head)), false},
	} {
		_, err := ParseNPY("x", tensor.Bytes(c.file))
		t.Run(c.name, func(t *testing.T) { wantError(t, err, "x", c.at, c.unsupported) })
	}
}

func TestVersions(t *testing.T) {
	for version := byte(1); version <= 3; version++ {
		b := npy(f4head, ramp(8)...)
		if version > 1 {
			b = bytes.Join([][]byte{b[:10], {0, 0}, b[10:]}, nil)
		}
		b[6] = version
		l, err := ParseNPY("dir/w.npy", tensor.Bytes(b))
		if err != nil {
			t.Fatal(version, err)
		}
		set, err := l.Set()
		if err != nil {
			t.Fatal(version, err)
		}
		if got, err := set.Lookup("w").Bytes(); err != nil || !bytes.Equal(got, ramp(8)) || l.Format != FormatNPY {
			t.Error(version, got, err)
		}
	}
	// Version 3 was never written by Python 2.
	b := npy("{'descr':'<f4','fortran_order':False,'shape':(2L,)}", ramp(8)...)
	b = bytes.Join([][]byte{b[:10], {0, 0}, b[10:]}, nil)
	b[6] = 3
	_, err := ParseNPY("x", tensor.Bytes(b))
	wantError(t, err, "x", int64(bytes.IndexByte(b, 'L')), false)
}

func TestParseDescr(t *testing.T) {
	for descr, want := range map[string]struct {
		d tensor.DType
		n int64
	}{
		"|b1": {tensor.Bool, 1}, "<b1": {tensor.Bool, 1}, "|i1": {tensor.I8, 1}, ">i1": {tensor.I8, 1}, "|u1": {tensor.U8, 1},
		"<i2": {tensor.I16, 2}, "<u2": {tensor.U16, 2}, "<f2": {tensor.F16, 2},
		"<i4": {tensor.I32, 4}, "<u4": {tensor.U32, 4}, "<f4": {tensor.F32, 4},
		"<i8": {tensor.I64, 8}, "<u8": {tensor.U64, 8}, "<f8": {tensor.F64, 8},
		"<c8": {tensor.C64, 8}, "<c16": {tensor.C128, 16},
		">f4": {">f4", 4}, "<f16": {"<f16", 16}, "<f1": {"<f1", 1}, "<V2": {"<V2", 2}, "|V1": {"|V1", 1}, "|S0": {"|S0", 0},
		"<U3": {"<U3", 12}, "<M8[ns]": {"<M8[ns]", 8}, "<m8": {"<m8", 8}, "<M8[25s]": {"<M8[25s]", 8},
	} {
		d, n, err := parseDescr(descr)
		if d != want.d || n != want.n || err != nil {
			t.Errorf("%s: %s %d %v", descr, d, n, err)
		}
	}
}

// An archive with one stored member, of which one field is changed.
func TestMalformedArchive(t *testing.T) {
	content := npy(f4head, ramp(8)...)
	for _, c := range []struct {
		name        string
		part        part
		where       string // local, dir, end: what at counts from
		at          int
		set         []byte
		want        int64 // offset of the error, from the same place
		in          string
		unsupported bool
	}{
		{"local signature", part{}, "local", 0, []byte("PK\x03\x05"), 0, "local", false},
		{"local flags", part{}, "local", 6, []byte{8}, 6, "local", false},
		{"local method", part{}, "local", 8, []byte{8}, 8, "local", false},
		{"local checksum", part{}, "local", 14, []byte{1, 2, 3, 4}, 14, "local", false},
		{"local packed size", part{}, "local", 18, []byte{1}, 18, "local", false},
		{"local size", part{}, "local", 22, []byte{1}, 18, "local", false},
		{"local name length", part{}, "local", 26, []byte{0xff, 0xff}, 0, "local", false},
		{"local name shorter", part{}, "local", 26, []byte{4}, 30, "local", false},
		{"local extra length", part{}, "local", 28, []byte{0xff, 0xff}, 0, "local", false},
		{"local name", part{}, "local", 30, []byte("b"), 30, "local", false},
		{"local zip64 is missing", part{}, "local", 18, bytes.Repeat([]byte{0xff}, 8), 35, "local", false},
		{"local zip64 is too long", part{zip64: true}, "local", 37, []byte{17}, 35, "local", false},
		{"local zip64 has another size", part{zip64: true}, "local", 39, []byte{1}, 18, "local", false},
		{"local zip64 of another kind", part{zip64: true}, "local", 35, []byte{2}, 35, "local", false},

		{"entry signature", part{}, "dir", 0, []byte("PK\x03\x04"), 0, "dir", false},
		{"encrypted", part{}, "dir", 8, []byte{1}, 8, "dir", true},
		{"strongly encrypted", part{}, "dir", 8, []byte{0x41}, 8, "dir", true},
		{"method", part{}, "dir", 10, []byte{8}, 8, "local", false},
		{"checksum", part{}, "dir", 16, []byte{1, 2, 3, 4}, 14, "local", false},
		{"packed size", part{}, "dir", 20, []byte{1}, 24, "dir", false},
		{"size", part{}, "dir", 24, []byte{1}, 24, "dir", false},
		{"sizes", part{}, "dir", 20, []byte{1, 0, 0, 0, 1, 0, 0, 0}, 18, "local", false},
		{"sizes after the directory", part{}, "dir", 20, []byte{0, 0, 1, 0, 0, 0, 1, 0}, 0, "dir", false},
		{"sizes into the directory", part{}, "dir", 20, []byte{77, 0, 0, 0, 77, 0, 0, 0}, 0, "local", false},
		{"zip64 is missing", part{}, "dir", 20, bytes.Repeat([]byte{0xff}, 8), 51, "dir", false},
		{"zip bomb", part{deflate: true}, "dir", 24, []byte{0, 0, 2, 0}, 24, "dir", false},
		{"zip bomb of 4 GB", part{deflate: true}, "dir", 24, []byte{0xfe, 0xff, 0xff, 0xff}, 24, "dir", false},
		{"name length", part{}, "dir", 28, []byte{0xff}, 0, "dir", false},
		{"extra length", part{}, "dir", 30, []byte{1}, 0, "dir", false},
		{"comment length", part{}, "dir", 32, []byte{1}, 0, "dir", false},
		{"disk", part{}, "dir", 34, []byte{1}, 0, "dir", true},
		{"local header in the data", part{}, "dir", 42, []byte{1}, 1, "local", false},
		{"local header in the directory", part{}, "dir", 42, []byte{200}, 0, "dir", false},
		{"name is not UTF-8", part{}, "dir", 46, []byte{0xff}, 46, "dir", true},

		{"end signature", part{}, "end", 0, []byte("PK\x05\x07"), 22, "end", false},
		{"this disk", part{}, "end", 4, []byte{1}, 0, "end", true},
		{"disk of the directory", part{}, "end", 6, []byte{1}, 0, "end", true},
		{"entries here", part{}, "end", 8, []byte{2}, 0, "end", true},
		{"too few entries", part{}, "end", 8, []byte{0, 0, 0, 0}, 0, "dir", false},
		{"too many entries", part{}, "end", 8, []byte{2, 0, 2, 0}, 0, "end", false},
		{"directory size", part{}, "end", 12, []byte{50}, 0, "end", false},
		{"directory offset", part{}, "end", 16, []byte{1}, 0, "end", false},
		{"directory of 4 GB", part{}, "end", 12, []byte{0xff, 0xff, 0xff, 0xff}, 0, "end", false},
		{"comment is longer than the file", part{}, "end", 20, []byte{1}, 22, "end", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.part.name, c.part.content = "a.npy", content
			b := build(c.part)
			place := map[string]int{"local": 0, "dir": int(le.Uint32(b[len(b)-6:])), "end": len(b) - endSize}
			at := place[c.where] + c.at
			if bytes.HasPrefix(b[at:], c.set) {
				t.Fatal("nothing is changed")
			}
			copy(b[at:], c.set)
			_, err := Parse("x", tensor.Bytes(b))
			wantError(t, err, "x", int64(place[c.in])+c.want, c.unsupported)
		})
	}
}

func TestMalformedMembers(t *testing.T) {
	content := npy(f4head, ramp(8)...)
	a := part{name: "a.npy", content: content}
	one := build(a)
	dir := int64(le.Uint32(one[len(one)-6:]))
	entry := one[dir : len(one)-endSize]

	// The classic bomb without a single deflated byte repeated: many entries
	// of the directory share one member.
	shared := bytes.Clone(one[:dir])
	for i := range 3 {
		e := bytes.Clone(entry)
		e[46] = byte('a' + i)
		shared = append(shared, e...)
	}
	shared = end(shared, int(dir), 3, "")

	two := build(a, part{name: "b.npy", content: content})
	at2 := int64(le.Uint32(two[len(two)-6:])) + int64(len(entry))
	copy(two[at2+46:], "a")
	for _, c := range []struct {
		name        string
		file        []byte
		at          int64
		unsupported bool
	}{
		{"nothing", nil, 0, false},
		{"text", []byte("hello"), 5, false},
		{"two of a name", two, at2, false},
		{"overlapping members", shared, 0, false},
		{"bytes before the archive", append([]byte("#!/bin/sh\n"), one...), int64(len(one)) + 10 - endSize, false},
		{"bytes after the archive", append(bytes.Clone(one), 'x'), int64(len(one)) + 1, false},
	} {
		_, err := Parse("x", tensor.Bytes(c.file))
		t.Run(c.name, func(t *testing.T) { wantError(t, err, "x", c.at, c.unsupported) })
	}

	bz := build(a)
	bz[8], bz[dir+10] = 12, 12
	_, err := Parse("x", tensor.Bytes(bz))
	wantError(t, err, "x", dir+10, true)

	if _, err := Parse("x", tensor.Bytes(end(bytes.Clone(one[:len(one)-endSize]), int(dir), 1, "a comment PK\x05\x06"))); err != nil {
		t.Errorf("with a comment: %v", err)
	}
}

// zip64File is an archive whose directory is found by its zip64 record only.
func zip64File() []byte {
	b := build(part{name: "a.npy", content: npy(f4head, ramp(8)...)})
	dir := uint64(le.Uint32(b[len(b)-6:]))
	b = b[:len(b)-endSize]
	// Sizes and offset of the entry move to its extra field.
	e := b[dir:]
	extra := le.AppendUint16(le.AppendUint16(nil, 0x7777), 0) // one of another kind
	extra = le.AppendUint16(le.AppendUint16(extra, zip64ExtraID), 24)
	extra = le.AppendUint64(extra, uint64(le.Uint32(e[24:])))
	extra = le.AppendUint64(extra, uint64(le.Uint32(e[20:])))
	extra = append(le.AppendUint64(extra, uint64(le.Uint32(e[42:]))), 0, 0, 0)
	le.PutUint32(e[20:], full32)
	le.PutUint32(e[24:], full32)
	le.PutUint32(e[42:], full32)
	le.PutUint16(e[30:], uint16(len(extra)))
	b = append(b, extra...)
	at := uint64(len(b))
	b = le.AppendUint64(append(b, end64Sig...), end64Size-12)
	b = append(b, make([]byte, 12)...)
	b = le.AppendUint64(le.AppendUint64(b, 1), 1)
	b = le.AppendUint64(le.AppendUint64(b, at-dir), dir)
	b = le.AppendUint64(append(append(b, locatorSig...), 0, 0, 0, 0), at)
	b = append(b, 1, 0, 0, 0)
	b = append(append(b, endSig...), 0, 0, 0, 0)
	b = append(b, bytes.Repeat([]byte{0xff}, 12)...)
	return append(b, 0, 0)
}

func TestZip64(t *testing.T) {
	b := zip64File()
	if err := checkParse(t, b); err != nil {
		t.Fatal(err)
	}
	rec, loc := len(b)-endSize-locatorSize-end64Size, len(b)-endSize-locatorSize
	for _, c := range []struct {
		name        string
		at          int
		set         uint64
		want        int
		unsupported bool
	}{
		{"record signature", rec, 0, rec, false},
		{"record size", rec + 4, 45, rec, false},
		{"record size of 2^64-1", rec + 4, math.MaxUint64, rec, false},
		{"disks", rec + 16, 1, rec, true},
		{"entries here", rec + 24, 2, rec, true},
		{"entries", rec + 32, math.MaxUint64, rec, true},
		{"directory size", rec + 40, 1 << 63, rec, false},
		{"directory offset", rec + 48, math.MaxUint64, rec, false},
		{"locator of 2^64-1", loc + 8, math.MaxUint64, loc + 8, false},
		{"locator of itself", loc + 8, uint64(loc), loc + 8, false},
		{"locator elsewhere", loc + 8, 0, 0, false},
		{"short end disagrees", loc + locatorSize + 8, 7, rec, false},
	} {
		c2 := bytes.Clone(b)
		le.PutUint64(c2[c.at:], c.set)
		_, err := Parse("x", tensor.Bytes(c2))
		t.Run(c.name, func(t *testing.T) { wantError(t, err, "x", int64(c.want), c.unsupported) })
	}
}

func TestSniff(t *testing.T) {
	arr := part{name: "a.npy", content: npy(f4head, ramp(8)...)}
	for _, c := range []struct {
		name       string
		file       []byte
		sniff, npz bool
	}{
		{"npz", build(arr), true, true},
		{"empty archive", build(), true, true},
		{"npz with a note", build(part{name: "README"}, arr), true, true},
		{"other archive", build(part{name: "README"}), true, false},
		{"torch", build(part{name: "archive/data.pkl"}, arr), true, false},
		{"torch without a folder", build(part{name: "data.pkl"}, arr), true, false},
		{"cut archive", build(arr)[:40], true, false},
		{"text", []byte("hello"), false, false},
		{"nothing", nil, false, false},
	} {
		if Sniff(c.file) != c.sniff || IsNPZ(tensor.Bytes(c.file)) != c.npz {
			t.Errorf("%s: %v, %v", c.name, Sniff(c.file), IsNPZ(tensor.Bytes(c.file)))
		}
	}
	if !SniffNPY(arr.content) || SniffNPY([]byte("NUMPY")) {
		t.Error("SniffNPY")
	}
}

// small has stored and deflated members of several kinds.
var small = build(
	part{name: "w.npy", content: npy(f4head, ramp(8)...), zip64: true},
	part{name: "z.npy", content: npy("{'descr':'<u2','fortran_order':True,'shape':(2,2)}", ramp(8)...), deflate: true},
	part{name: "f.npy", content: npy("{'descr':'<i2','fortran_order':True,'shape':(2,2)}", ramp(8)...), descriptor: true},
	part{name: "s.npy", content: npy("{'descr':'|S3','fortran_order':False,'shape':(1,)}", ramp(3)...)},
)

// Whatever Parse accepts is a valid layout whose values can be read, unless
// deflated ones turn out to be corrupt.
func checkParse(t *testing.T, b []byte) error {
	t.Helper()
	l, err := Parse("x", tensor.Bytes(b))
	if err != nil {
		checkError(t, err, len(b))
		return err
	}
	return checkLayout(t, l, b)
}

func checkLayout(t *testing.T, l *layout.Layout, b []byte) error {
	t.Helper()
	set, err := l.Set()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range set.All() {
		if x.Size() > 1<<20 {
			continue
		}
		if _, err := x.Bytes(); err != nil {
			checkError(t, err, len(b))
			return err
		}
	}
	return nil
}

func checkError(t *testing.T, err error, size int) {
	t.Helper()
	var ce *layout.CorruptError
	var ue *layout.UnsupportedError
	switch {
	case errors.As(err, &ce):
		if ce.Offset < 0 || ce.Offset > int64(size) {
			t.Fatalf("offset %d in %d bytes: %v", ce.Offset, size, err)
		}
	case errors.As(err, &ue):
		if ue.Offset < 0 || ue.Offset > int64(size) {
			t.Fatalf("offset %d in %d bytes: %v", ue.Offset, size, err)
		}
	default:
		t.Fatalf("%v has the wrong type", err)
	}
}

func TestTruncated(t *testing.T) {
	for i := range small {
		if err := checkParse(t, small[:i]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("first %d bytes: %v, want io.ErrUnexpectedEOF", i, err)
		}
	}
	arr := npy(f4head, ramp(8)...)
	for i := range arr {
		_, err := ParseNPY("x", tensor.Bytes(arr[:i]))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("first %d bytes of an array: %v, want io.ErrUnexpectedEOF", i, err)
		}
	}
}

func TestFlippedBits(t *testing.T) {
	for _, file := range [][]byte{small, zip64File()} {
		for i := range len(file) * 8 {
			b := bytes.Clone(file)
			b[i/8] ^= 1 << (i % 8)
			_ = checkParse(t, b)
		}
	}
	arr := npy(f4head, ramp(8)...)
	for i := range len(arr) * 8 {
		b := bytes.Clone(arr)
		b[i/8] ^= 1 << (i % 8)
		checkParseNPY(t, b)
	}
}

func checkParseNPY(t *testing.T, b []byte) {
	t.Helper()
	l, err := ParseNPY("x", tensor.Bytes(b))
	if err != nil {
		checkError(t, err, len(b))
		return
	}
	_ = checkLayout(t, l, b)
}

func FuzzParse(f *testing.F) {
	f.Add(small)
	f.Add(zip64File())
	f.Add(build())
	f.Fuzz(func(t *testing.T, b []byte) { _ = checkParse(t, b) })
}

func FuzzParseNPY(f *testing.F) {
	f.Add(npy(f4head, ramp(8)...))
	f.Add(npy("{'descr':'<u2','fortran_order':True,'shape':(2L,2)}", ramp(8)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		checkParseNPY(t, b)
		_ = checkParse(t, build(part{name: "a.npy", content: b, deflate: true}))
	})
}

// A reader that fails is not a corrupt file.
func TestReadError(t *testing.T) {
	broken := errors.New("disk is on fire")
	for _, parse := range []func(string, tensor.Data) (*layout.Layout, error){Parse, ParseNPY} {
		_, err := parse("x", failing{tensor.Bytes(small), broken})
		var ce *layout.CorruptError
		if !errors.Is(err, broken) || errors.As(err, &ce) {
			t.Error(err)
		}
	}
}

type failing struct {
	tensor.Data
	err error
}

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }
