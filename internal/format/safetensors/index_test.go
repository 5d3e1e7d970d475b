package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// folder is a folder of files.
type folder map[string][]byte

func (f folder) open(name string) (tensor.Data, error) {
	b, ok := f[name]
	if !ok {
		return nil, os.ErrNotExist
	}
	return tensor.Bytes(b), nil
}

const indexName = "dir/model.safetensors.index.json"

// shards are two files with three tensors.
func shards() folder {
	return folder{
		"m-1.safetensors": file(`{"__metadata__":{"format":"pt"},"c":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 3),
		"m-2.safetensors": file(`{"__metadata__":{"format":"pt","n":"2"},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
	}
}

func TestParseIndex(t *testing.T) {
	f := shards()
	ix := []byte(` {"metadata": {"total_size": 4, "nested": {"a":[1.5e3,-0,true,false,null,""]}, "s": "\u0061"}, "other":[{}],
		"weight_map": {"b": "m-2.safetensors", "a": "./m-1.safetensors", "c": "m-1.safetensors"}}` + "\n")
	l, err := ParseIndex(indexName, tensor.Bytes(ix), f.open)
	if err != nil {
		t.Fatal(err)
	}
	at1, at2 := int64(len(f["m-1.safetensors"])-3), int64(len(f["m-2.safetensors"])-1)
	u8 := func(n int64) (tensor.DType, tensor.Shape) { return tensor.U8, tensor.Shape{n} }
	array := func(name string, n int64, file int, off int64) layout.Array {
		d, s := u8(n)
		return layout.Array{Name: name, DType: d, Shape: s, File: file, Offset: off, Size: n}
	}
	view := func(name string, n int64, array int) layout.View {
		d, s := u8(n)
		return layout.View{Name: name, DType: d, Shape: s, Array: array}
	}
	want := &layout.Layout{
		Format: Format,
		Files: []layout.File{
			{Name: "model.safetensors.index.json", Data: tensor.Bytes(ix)},
			{Name: "m-1.safetensors", Data: tensor.Bytes(f["m-1.safetensors"])},
			{Name: "m-2.safetensors", Data: tensor.Bytes(f["m-2.safetensors"])},
		},
		Arrays: []layout.Array{array("a", 1, 1, at1), array("c", 2, 1, at1+1), array("b", 1, 2, at2)},
		Views:  []layout.View{view("c", 2, 1), view("a", 1, 0), view("b", 1, 2)},
		Metadata: []layout.Pair{
			{Key: "total_size", Value: "4"},
			{Key: "nested", Value: `{"a":[1.5e3,-0,true,false,null,""]}`},
			{Key: "s", Value: "a"},
			{Key: "format", Value: "pt"},
			{Key: "n", Value: "2"},
		},
	}
	if d := cmp.Diff(want, l); d != "" {
		t.Fatal(d)
	}
	if _, err := l.Set(); err != nil {
		t.Fatal(err)
	}
}

func TestMalformedIndex(t *testing.T) {
	const m1, m2 = "m-1.safetensors", "m-2.safetensors"
	in := func(name, head string, n int) folder {
		f := shards()
		f[name] = file(head, n)
		return f
	}
	good := `"a":"m-1.safetensors","c":"m-1.safetensors"`
	for _, c := range []struct {
		name  string
		index string // with a mark, unless the error is in a shard
		files folder
		in    string // the file of the error, if it is not the index
		at    int64  // in that
	}{
		{"empty", `¦`, nil, "", 0},
		{"array", `¦[]`, nil, "", 0},
		{"no weight map", `¦{"metadata":{}}`, nil, "", 0},
		{"empty weight map", `¦{"weight_map":{}}`, nil, "", 0},
		{"two weight maps", `{"weight_map":{"b":"m-2.safetensors",` + good + `},¦"weight_map":{}}`, nil, "", 0},
		{"two metadata", `{"metadata":{},¦"metadata":{}}`, nil, "", 0},
		{"same key of metadata", `{"metadata":{"a":1,¦"a":1}}`, nil, "", 0},
		{"same tensor twice", `{"weight_map":{"a":"m-1.safetensors",¦"\u0061":"m-1.safetensors"}}`, nil, "", 0},
		{"text after it", `{"weight_map":{"b":"m-2.safetensors",` + good + `}} ¦{}`, nil, "", 0},
		{"not UTF-8", "{\"¦\xff\":1}", nil, "", 0},
		{"number cut", `{"metadata":{"a":1.¦}}`, nil, "", 0},
		{"exponent cut", `{"metadata":{"a":1e+¦}}`, nil, "", 0},
		{"zero before digits", `{"metadata":{"a":¦-01}}`, nil, "", 0},
		{"bad word", `{"metadata":{"a":tr¦oe}}`, nil, "", 0},
		{"no value", `{"metadata":{"a":¦}}`, nil, "", 0},
		{"depth bomb", `{"x":` + strings.Repeat("[", maxDepth) + "¦" + strings.Repeat("[", 1<<20), nil, "", 0},
		{"depth bomb of objects", `{"x":` + strings.Repeat(`{"":`, maxDepth) + "¦" + strings.Repeat(`{"":`, 1<<20), nil, "", 0},
		{"shard is a number", `{"weight_map":{"b":¦2}}`, nil, "", 0},
		{"shard has no name", `{"weight_map":{"b":¦""}}`, nil, "", 0},
		{"shard in folder", `{"weight_map":{"b":¦"sub/m-2.safetensors"}}`, nil, "", 0},
		{"shard above", `{"weight_map":{"b":¦"../m-2.safetensors"}}`, nil, "", 0},
		{"shard above, hidden", `{"weight_map":{"b":¦"x/../../m-2.safetensors"}}`, nil, "", 0},
		{"shard at root", `{"weight_map":{"b":¦"/etc/m-2.safetensors"}}`, nil, "", 0},
		{"shard on a drive", `{"weight_map":{"b":¦"c:m-2.safetensors"}}`, nil, "", 0},
		{"shard with backslash", `{"weight_map":{"b":¦"..\\m-2.safetensors"}}`, nil, "", 0},
		{"shard with NUL", `{"weight_map":{"b":¦"m\u0000.safetensors"}}`, nil, "", 0},
		{"long name", `{"weight_map":{"b":¦"` + strings.Repeat("x", 300) + `.safetensors"}}`, nil, "", 0},
		{"tensor is nowhere", `{"weight_map":{"b":"m-2.safetensors",¦"d":"m-2.safetensors",` + good + `}}`, nil, "", 0},
		{"tensor is not in index", `{"weight_map":{"b":"m-2.safetensors","a":"m-1.safetensors"}}`, nil, m1, int64(bytes.Index(shards()[m1], []byte(`"c"`)))},
		{"tensor is elsewhere", `{"weight_map":{"b":"m-1.safetensors","a":"m-2.safetensors","c":"m-1.safetensors"}}`, nil, m1, int64(bytes.Index(shards()[m1], []byte(`"a"`)))},
		{
			"tensor in two shards", `{"weight_map":{"b":"m-2.safetensors",` + good + `}}`,
			in(m2, `{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}`, 1), m2, 8 + 53,
		},
		{"corrupt shard", `{"weight_map":{"b":"m-2.safetensors",` + good + `}}`, in(m2, `{"b":1}`, 0), m2, 8 + 5},
		{"shard is empty", `{"weight_map":{"b":"m-2.safetensors",` + good + `}}`, folder{m1: shards()[m1], m2: nil}, m2, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.files == nil {
				c.files = shards()
			}
			file, at := indexName, int64(strings.Index(c.index, "¦"))
			if c.in != "" {
				file, at = "dir/"+c.in, c.at
			}
			_, err := ParseIndex(indexName, tensor.Bytes(strings.Replace(c.index, "¦", "", 1)), c.files.open)
			var ce *layout.CorruptError
			if !errors.As(err, &ce) {
				t.Fatalf("got %v, want a CorruptError", err)
			}
			if ce.File != file || ce.Offset != at {
				t.Errorf("error is at byte %d of %s, want %d of %s: %v", ce.Offset, ce.File, at, file, err)
			}
		})
	}
}

func TestUnsupportedIndex(t *testing.T) {
	var many strings.Builder
	many.WriteString(`{"weight_map":{"":"0.safetensors"`)
	for i := range MaxShards - 1 {
		fmt.Fprintf(&many, `,"%d":"%d.safetensors"`, i, i+1)
	}
	fmt.Fprintf(&many, `,"x":`)
	at := many.Len()
	many.WriteString(`"x.safetensors"}}`)
	for _, c := range []struct {
		name, index string
		at          int64
	}{
		{"PyTorch shards", `{"weight_map":{"b":"pytorch_model-00001-of-00002.bin"}}`, 19},
		{"too many shards", many.String(), int64(at)},
	} {
		_, err := ParseIndex(indexName, tensor.Bytes(c.index), folder{}.open)
		var ue *layout.UnsupportedError
		if !errors.As(err, &ue) || ue.Offset != c.at {
			t.Errorf("%s: got %v, want an UnsupportedError at %d", c.name, err, c.at)
		}
	}
}

func TestIndexMissingShard(t *testing.T) {
	f := shards()
	delete(f, "m-2.safetensors")
	_, err := ParseIndex(indexName, tensor.Bytes(`{"weight_map":{"b":"m-2.safetensors"}}`), f.open)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "m-2.safetensors") {
		t.Error(err)
	}
}

func TestSniffIndex(t *testing.T) {
	for head, want := range map[string]bool{
		`{"metadata":{"total_size":1},"weight_map":{}}`: true,
		" {\n\t\"weight_map\" : {":                      true,
		`{"metadata": {"é` + "\xc3":                     true,
		`{"weights":{}}`:                                false,
		`{"weight_map`:                                  false,
		`["weight_map"]`:                                false,
		``:                                              false,
		"PK\x03\x04":                                    false,
	} {
		if got := SniffIndex([]byte(head)); got != want {
			t.Errorf("%q: %v", head, got)
		}
	}
}

var smallIndex = []byte(`{"metadata":{"n":-1.5e2},"weight_map":{"b":"m-2.safetensors","a":"m-1.safetensors","c":"m-1.safetensors"}}`)

func checkParseIndex(t *testing.T, b []byte) error {
	t.Helper()
	f := shards()
	l, err := ParseIndex("x", tensor.Bytes(b), f.open)
	if err != nil {
		var ce *layout.CorruptError
		var ue *layout.UnsupportedError
		if !errors.As(err, &ce) && !errors.As(err, &ue) && !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%v has the wrong type", err)
		}
		return err
	}
	if _, err := l.Set(); err != nil {
		t.Fatal(err)
	}
	return nil
}

func TestIndexTruncated(t *testing.T) {
	for i := range smallIndex {
		if err := checkParseIndex(t, smallIndex[:i]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("first %d bytes: %v, want io.ErrUnexpectedEOF", i, err)
		}
	}
}

func TestIndexFlippedBits(t *testing.T) {
	for i := range len(smallIndex) * 8 {
		b := bytes.Clone(smallIndex)
		b[i/8] ^= 1 << (i % 8)
		_ = checkParseIndex(t, b)
	}
}

// The scanner takes the same values as encoding/json, except for what that
// repairs and for depth.
func FuzzScanner(f *testing.F) {
	f.Add([]byte(`{"a":[1,-2.5e+3,true,false,null,"\u00e9\ud83d\ude00\n"],"b":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := newScanner("x", 0, b)
		if err == nil {
			err = s.skip(0)
		}
		if err == nil && (s.peek() != 0 || s.pos < len(b)) {
			err = s.unexpected("the end")
		}
		if err == nil && !json.Valid(b) {
			t.Fatalf("%q is accepted", b)
		}
		if err != nil && json.Valid(b) && !bytes.ContainsAny(b, "\\") && !strings.Contains(err.Error(), "UTF-8") && !strings.Contains(err.Error(), "nested") {
			t.Fatalf("%q is refused: %v", b, err)
		}
	})
}

func FuzzParseIndex(f *testing.F) {
	f.Add(smallIndex)
	f.Fuzz(func(t *testing.T, b []byte) { _ = checkParseIndex(t, b) })
}

// sparse is a large file of which only the header exists. It counts what is
// read.
type sparse struct {
	head []byte
	size int64
	read *atomic.Int64
}

func (s sparse) Size() int64 { return s.size }

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	s.read.Add(int64(len(p)))
	n := 0
	if off < int64(len(s.head)) {
		n = copy(p, s.head[off:])
	}
	clear(p[n:])
	return len(p), nil
}

// A checkpoint of 12 GB in 24 shards opens without a look at its values.
func TestLargeIndexIsLazy(t *testing.T) {
	const nShards, perShard, size = 24, 40, 12_500_000
	var read atomic.Int64
	var headers int64
	ix := strings.Builder{}
	ix.WriteString(`{"metadata":{"total_size":12000000000},"weight_map":{`)
	f := make(map[string]sparse)
	for s := range nShards {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", s+1, nShards)
		var h strings.Builder
		h.WriteString(`{"__metadata__":{"format":"pt"}`)
		for i := range perShard {
			key := fmt.Sprintf("model.layers.%d.mlp.experts.%d.weight", s, i)
			if s+i > 0 {
				ix.WriteByte(',')
			}
			fmt.Fprintf(&ix, `"%s":"%s"`, key, name)
			fmt.Fprintf(&h, `,"%s":{"dtype":"BF16","shape":[6250,1000],"data_offsets":[%d,%d]}`, key, i*size, (i+1)*size)
		}
		h.WriteByte('}')
		b := file(h.String(), 0)
		headers += int64(len(b))
		f[name] = sparse{b, int64(len(b)) + perShard*size, &read}
	}
	ix.WriteString(`}}`)
	begin := time.Now()
	l, err := ParseIndex("model.safetensors.index.json", tensor.Bytes(ix.String()), func(name string) (tensor.Data, error) { return f[name], nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Validate(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d tensors in %v", len(l.Views), time.Since(begin))
	if read.Load() != headers {
		t.Errorf("read %d bytes, the headers have %d", read.Load(), headers)
	}
	if len(l.Views) != nShards*perShard {
		t.Errorf("%d views", len(l.Views))
	}
}
