package rope

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// update rewrites testdata/vectors. Do that only together with a new version
// of the format: files of released versions must decode for ever.
var update = flag.Bool("update", false, "rewrite the conformance vectors")

const vectorDir = "../testdata/vectors"

// A vector is a packed file with what a decoder must make of it.
type vector struct {
	name   string
	why    string
	layout func() *layout.Layout
	base   func() *layout.Layout
	opt    Options
	coder  string // of the first array, where the vector is about that
}

func one(name string, dt tensor.DType, shape tensor.Shape, values []byte) func() *layout.Layout {
	return func() *layout.Layout {
		b := &builder{}
		b.skeleton("<")
		b.array(name, dt, shape, values)
		b.skeleton(">")
		return b.build()
	}
}

// float16s, float64s, levels and so on make values of one texture each.
func float64s(n int) []byte {
	r := rand.New(rand.NewSource(4))
	var b []byte
	for range n {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(r.NormFloat64()))
	}
	return b
}

// levels quantizes weights whose rows differ in scale to k steps.
func levels(rows, cols, k int, scale float32) []byte {
	w := gauss(5, rows, cols)
	b := make([]byte, 0, len(w))
	for i := 0; i < len(w); i += 4 {
		x := float64(math.Float32frombits(binary.LittleEndian.Uint32(w[i:])))
		v := float32(math.Round(min(max(x*float64(k)*2, -float64(k/2)), float64(k-1-k/2))))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v*scale+0)) // no -0
	}
	return b
}

// counts draws one of some of k values, each up to most times as often as the
// rarest.
func counts(n, k, most int) []byte {
	r := rand.New(rand.NewSource(15))
	var some []int
	for i := range k {
		if r.Intn(2) == 0 {
			some = append(some, slices.Repeat([]int{i}, 1+r.Intn(most))...)
		}
	}
	var b []byte
	for range n {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(some[r.Intn(len(some))]-k/2)/64+0))
	}
	return b
}

func kmeans(n, k int) []byte {
	r := rand.New(rand.NewSource(6))
	book := gauss(7, 1, k)
	var b []byte
	for range n {
		i := min(int(r.ExpFloat64()*float64(k)/8), k-1)
		b = append(b, book[4*i:4*i+4]...)
	}
	return b
}

// spiky has most values near one level and a long tail.
func spiky(n, k int) []byte {
	r := rand.New(rand.NewSource(10))
	var b []byte
	for range n {
		x := math.Pow(r.ExpFloat64(), 4) * 0.7
		if r.Intn(2) == 0 {
			x = -x
		}
		v := math.Round(min(max(x, float64(-k/2)), float64(k/2)))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v*0.25+0)))
	}
	return b
}

func counter(n int) []byte {
	r := rand.New(rand.NewSource(11))
	var b []byte
	for i := range n {
		b = binary.LittleEndian.AppendUint64(b, uint64(i*300+r.Intn(300)))
	}
	return b
}

func pruned(n int) []byte {
	b := gauss(8, 1, n)
	r := rand.New(rand.NewSource(9))
	for i := range n {
		if r.Intn(10) > 0 {
			copy(b[4*i:], []byte{0, 0, 0, 0})
		}
	}
	return b
}

func special() []byte {
	var b []byte
	for _, v := range []uint32{0, 1 << 31, 1, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffffffff, 0x00800000, 0x3f800000, 0xbf800000, 0x7f7fffff} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// snapped maps each value.
func snapped(b []byte, f func(float32) float32) []byte {
	b = bytes.Clone(b)
	for i := 0; i < len(b); i += 4 {
		v := f(math.Float32frombits(binary.LittleEndian.Uint32(b[i:])))
		binary.LittleEndian.PutUint32(b[i:], math.Float32bits(v))
	}
	return b
}

// step cuts around zero into n steps.
func step(f float32, n int) int {
	return int(min(max(math.Round(float64(f)*20+float64(n/2)), 0), float64(n-1)))
}

// shared has arrays of different codebooks, the same one, and none.
func shared() *layout.Layout {
	b := &builder{}
	b.skeleton("<")
	b.array("w0", tensor.F32, tensor.Shape{20, 30}, levels(20, 30, 15, 0.013))
	b.array("b0", tensor.F32, tensor.Shape{20}, gauss(15, 1, 20))
	w2 := levels(20, 30, 15, 0.013) // the codebook of w0, but other values
	b.array("w2", tensor.F32, tensor.Shape{20, 30}, append(w2[1200:], w2[:1200]...))
	b.array("w1", tensor.F32, tensor.Shape{20, 4, 3, 3}, kmeans(720, 14))
	b.array("rows", tensor.F32, tensor.Shape{30, 25}, perRow(16, 30, 25, 7))
	b.array("complex", tensor.C64, tensor.Shape{6, 5, 4}, levels(10, 24, 9, 0.5))
	b.array("i8", tensor.I8, tensor.Shape{30, 20}, []byte(strings.Repeat("\x00\xff\x01\x00\x02\x00\xfe\x01\x00\x00\x00\xff", 50)))
	b.array("i8 too", tensor.I8, tensor.Shape{30, 20}, []byte(strings.Repeat("\x00\xff\x01\x00\x02\x01\xfe\x01\x00\xff", 60)))
	b.skeleton(">")
	return b.build()
}

func nudged(b []byte) []byte {
	b = bytes.Clone(b)
	for i := 0; i+4 <= len(b); i += 12 {
		binary.LittleEndian.PutUint32(b[i:], binary.LittleEndian.Uint32(b[i:])+uint32(i%7))
	}
	return b
}

var vectors = []vector{
	{name: "minimal", why: "no arrays; the file is two bytes of skeleton", layout: func() *layout.Layout {
		b := &builder{}
		b.skeleton("{}")
		return b.build()
	}},
	{name: "worked-example", why: "the file that docs/FORMAT.md takes apart", layout: one("w", tensor.F32, tensor.Shape{2, 3}, levels(2, 3, 4, 0.5)), opt: Options{Effort: Fast, rawEnds: true}},
	{name: "sample-fast", why: "several types, twins, empty and opaque arrays, small groups", layout: sample, opt: Options{Effort: Fast, BlockValues: 2000}},
	{name: "sample-max", why: "the same", layout: sample, opt: Options{Effort: Max, BlockValues: 2000}},
	{name: "f32-floats", why: "coder 5: a kernel of 3x3", layout: one("w", tensor.F32, tensor.Shape{100, 12, 3, 3}, gauss(1, 100, 108)), opt: Options{Effort: Max}, coder: "floats"},
	{name: "f64-floats", why: "coder 5, 64 bits", layout: one("w", tensor.F64, tensor.Shape{5, 100}, float64s(500)), opt: Options{Effort: Max}, coder: "floats"},
	{name: "bf16-floats", why: "coder 5, 16 bits, two axes", layout: one("w", tensor.BF16, tensor.Shape{200, 100}, cast(gauss(2, 200, 100))), opt: Options{Effort: Max}, coder: "floats"},
	{name: "bf16-planes", why: "coder 4", layout: one("w", tensor.BF16, tensor.Shape{200, 100}, cast(gauss(2, 200, 100))), opt: Options{Effort: Fast}, coder: "planes+exponent"},
	{name: "f32-special", why: "NaN payloads, infinities, -0, subnormals", layout: one("w", tensor.F32, tensor.Shape{12}, special()), opt: Options{Effort: Max}},
	{name: "pruned", why: "planes with a mask", layout: one("w", tensor.F32, tensor.Shape{100, 60}, pruned(6000)), opt: Options{Effort: Fast}, coder: "planes+exponent"},
	{name: "grid-levels", why: "coders 6 (form 2) and 8", layout: one("w", tensor.F32, tensor.Shape{64, 30, 3, 3}, levels(64, 270, 256, 0.0123)), opt: Options{Effort: Max}, coder: "levels"},
	{name: "kmeans-levels", why: "coders 6 and 8, 16 values", layout: one("w", tensor.F32, tensor.Shape{100, 150}, kmeans(15000, 16)), opt: Options{Effort: Max}, coder: "levels"},
	{name: "kmeans-1000", why: "coders 6 and 12, more levels than a table has", layout: one("w", tensor.F32, tensor.Shape{60, 80}, kmeans(4800, 1000)), opt: Options{Effort: Fast}, coder: "lanes"},
	{name: "i8", why: "a quantized integer tensor", layout: one("w", tensor.I8, tensor.Shape{80, 10, 3, 3}, func() []byte {
		var b []byte
		for i, w := 0, levels(80, 90, 256, 1); i < len(w); i += 4 {
			b = append(b, byte(int8(math.Float32frombits(binary.LittleEndian.Uint32(w[i:])))))
		}
		return b
	}()), opt: Options{Effort: Max}, coder: "levels"},
	{name: "spiky-levels", why: "coder 8: a plain segment that learns what is new", layout: one("w", tensor.F32, tensor.Shape{100, 300}, spiky(30000, 600)), opt: Options{Effort: Max}, coder: "levels"},
	{name: "complex", why: "two values each; a kernel of 10x10 taps", layout: one("w", tensor.C64, tensor.Shape{30, 2, 10, 10}, gauss(3, 60, 200)), opt: Options{Effort: Max}, coder: "floats"},
	{name: "counter", why: "coder 3, 64 bits", layout: one("w", tensor.I64, tensor.Shape{5000}, counter(5000)), opt: Options{Effort: Fast}, coder: "planes"},
	{name: "opaque", why: "coder 1: an unknown type", layout: one("w", "X9", tensor.Shape{3}, bytes.Repeat([]byte("unknown "), 4000)), opt: Options{Effort: Fast}, coder: "zstd"},
	{name: "skeleton", why: "a skeleton that is not inline, in two blocks", layout: func() *layout.Layout {
		b := &builder{}
		b.skeleton(strings.Repeat("long header ", 4000))
		b.array("w", tensor.U8, tensor.Shape{3}, []byte{1, 2, 3})
		b.skeleton(strings.Repeat("long footer ", 4000))
		return b.build()
	}, opt: Options{Effort: Fast, BlockValues: 50000}},
	{name: "views", why: "views of kinds 0, 1 and 2", layout: func() *layout.Layout {
		l := one("w", tensor.F32, tensor.Shape{4, 6}, gauss(1, 4, 6))()
		l.Views = []layout.View{
			{Name: "w", DType: tensor.F32, Shape: tensor.Shape{4, 6}},
			{Name: "transposed", DType: tensor.F32, Shape: tensor.Shape{6, 4}, Strides: []int64{1, 6}},
			{Name: "row 1", DType: tensor.F32, Shape: tensor.Shape{6}, Offset: 6},
			{Name: "as integers", DType: tensor.I32, Shape: tensor.Shape{24}},
		}
		return l
	}},
	{name: "long-levels", why: "coder 8: deep nodes of a long kernel", layout: one("w", tensor.F32, tensor.Shape{40, 2, 128}, levels(40, 256, 200, 0.01)), opt: Options{Effort: Max}, coder: "levels"},
	{name: "plain-levels", why: "coder 8: a plain segment with a prior", layout: one("w", tensor.F32, tensor.Shape{100, 100}, counts(10000, 256, 20)), opt: Options{Effort: Max}, coder: "levels"},
	{name: "half-levels", why: "a codebook of binary16", layout: one("w", tensor.F32, tensor.Shape{40, 50}, snapped(gauss(12, 40, 50), func(f float32) float32 {
		return math.Float32frombits(fromHalf(uint16([]int{0xaf11, 0xa8fe, 0x2503, 0x2c07, 0x3011}[step(f, 5)])))
	})), opt: Options{Effort: Max}, coder: "levels"},
	{name: "symmetric-levels", why: "a symmetric codebook with a zero", layout: one("w", tensor.F32, tensor.Shape{40, 50}, snapped(gauss(13, 40, 50), func(f float32) float32 {
		return []float32{-0.317, -0.104, 0, 0.104, 0.317}[step(f, 5)]
	})), opt: Options{Effort: Max}, coder: "levels"},
	{name: "rows", why: "a scale for each row", layout: one("w", tensor.F32, tensor.Shape{40, 6, 3, 3}, perRow(14, 40, 54, 127)), opt: Options{Effort: Max}, coder: "levels"},
	{name: "rows-fast", why: "the same with coder 12, in two blocks", layout: one("w", tensor.F32, tensor.Shape{40, 6, 3, 3}, perRow(14, 40, 54, 127)), opt: Options{Effort: Fast, BlockValues: 1500}, coder: "lanes"},
	{name: "shared", why: "several arrays with codebooks, and some without, in one block", layout: shared, opt: Options{Effort: Max}, coder: "levels"},
	{name: "shared-fast", why: "the same with coder 12", layout: shared, opt: Options{Effort: Fast}, coder: "lanes"},
	{name: "small-net", why: "a described skeleton, coder 11", layout: func() *layout.Layout { return perceptron(4, [][2]int{{30, 40}, {10, 30}}) }, opt: Options{Effort: Max}},
	{
		name: "delta-max", why: "coder 10; needs base.bin", layout: one("w", tensor.F32, tensor.Shape{40, 108}, nudged(gauss(1, 40, 108))),
		base: one("w", tensor.F32, tensor.Shape{40, 108}, gauss(1, 40, 108)), opt: Options{Effort: Max}, coder: "delta",
	},
	{
		name: "delta-fast", why: "coder 9; needs base.bin", layout: one("w", tensor.F32, tensor.Shape{40, 108}, nudged(gauss(1, 40, 108))),
		base: one("w", tensor.F32, tensor.Shape{40, 108}, gauss(1, 40, 108)), opt: Options{Effort: Fast}, coder: "delta planes",
	},
}

// TestVectors encodes each vector and compares with the committed bytes, and
// decodes the committed bytes.
func TestVectors(t *testing.T) {
	var list strings.Builder
	for _, v := range vectors {
		l := v.layout()
		opt := v.opt
		var oo OpenOptions
		if v.base != nil {
			opt.Base = v.base()
			oo.Base = opt.Base
		}
		var out bytes.Buffer
		if _, err := Encode(context.Background(), &out, l, &opt); err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}
		path := filepath.Join(vectorDir, v.name+".rope")
		if *update {
			if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		packed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(packed, out.Bytes()) {
			t.Errorf("%s: the encoder writes other bytes than those of the vector", v.name)
		}
		f, err := Open(v.name, tensor.Bytes(packed), &oo)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		checkRestored(t, f, l)
		if v.coder != "" && f.Arrays()[0].Coders != v.coder {
			t.Errorf("%s: coded by %q, want %q", v.name, f.Arrays()[0].Coders, v.coder)
		}
		original, _ := tensor.ReadRange(l.Files[0].Data, 0, l.Files[0].Data.Size(), nil)
		fmt.Fprintf(&list, "%s.rope ok %d %x # %s\n", v.name, len(original), sha256.Sum256(original), v.why)
	}
	path := filepath.Join(vectorDir, "vectors.txt")
	if *update {
		base := vectors[len(vectors)-1].base()
		b, _ := tensor.ReadRange(base.Files[0].Data, 0, base.Files[0].Data.Size(), nil)
		if err := os.WriteFile(filepath.Join(vectorDir, "base.bin"), b, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(list.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if list.String() != string(want) {
		t.Error("vectors.txt does not list what the vectors are")
	}
}

func FuzzOpen(f *testing.F) {
	for _, v := range vectors {
		if b, err := os.ReadFile(filepath.Join(vectorDir, v.name+".rope")); err == nil && v.base == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Open("fuzz", tensor.Bytes(b), nil)
		if err != nil {
			return
		}
		total := int64(0)
		for _, x := range file.Layout().Files {
			total += x.Data.Size()
		}
		if total > 1<<22 {
			return // valid, perhaps, but slow
		}
		if _, err := file.Layout().Set(); err != nil {
			return // views with an encoding that only a format knows
		}
		for i := range file.Layout().Files {
			_ = file.Restore(context.Background(), i, &bytes.Buffer{}, nil)
		}
	})
}

// FuzzBlock gives arbitrary payloads to every coder: what the checksum keeps
// out otherwise.
func FuzzBlock(f *testing.F) {
	src := gauss(1, 30, 9)
	for c := range numOfCoders {
		f.Add(byte(c), byte(unitF32), src[:100])
	}
	l := sample()
	var out bytes.Buffer
	if _, err := Encode(context.Background(), &out, l, &Options{Effort: Max}); err != nil {
		f.Fatal(err)
	}
	file, err := Open("seed", tensor.Bytes(out.Bytes()), nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range file.blocks {
		frame, _ := tensor.ReadRange(file.data, b.off, b.size(), nil)
		if c, payload, err := parseFrame(frame); err == nil {
			f.Add(byte(c), byte(file.header.groups[b.group].unit), payload)
		}
	}
	for _, l := range []*layout.Layout{sample(), shared(), perceptron(4, [][2]int{{5, 6}})} {
		file, _ := pack(f, l, nil)
		f.Add(byte(coderRaw), byte(unitF32), file.header.append(nil))
	}
	f.Fuzz(func(_ *testing.T, coder, u byte, payload []byte) {
		info := &blockInfo{unit: unit(u % byte(unitF64+1))}
		w := info.unit.width()
		info.segments = append(info.segments, segment(9, 30), segment(1, 7))
		info.base = make([]byte, 277*w)
		for i := range info.segments {
			cb := &codebook{unit: info.unit, values: []uint64{0, 1, 2, 3, 100}[i:]}
			cb.fix(tensor.U64)
			info.books, info.segments[i].Levels = append(info.books, cb), cb.fixed
		}
		_ = decodeBlock(make([]byte, 277*w), frameBody{coderID(coder), payload}, info)
		owner := bookOwner{tensor.F32, tensor.Shape{20, 50}, 1000}
		_, _ = parseCodebooks(info.unit, []bookOwner{owner, owner, {tensor.F32, tensor.Shape{5}, 5}}, payload)
		_, _ = parseHeader(payload)
	})
}
