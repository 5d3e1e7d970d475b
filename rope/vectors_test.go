package rope

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ropewalk/internal/codec/mix"
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
	short  bool   // in the short form
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

// A texture is what quantized weights look like: what the models of indices
// follow.
type texture struct {
	rows, cols, taps float64 // how much the scales of these differ: standard deviation of their logarithms
	drift            float64 // the same of a row and the one before it
	follow           float64 // how much of a value follows from the one before, 0 … 1
	prune            float64 // what is smaller becomes zero
}

// steps returns values of a shape as multiples of 1/step, of magnitude at most
// top. parts is 2 for complex types.
func (x texture) steps(seed int64, shape tensor.Shape, parts, step, top int) []int {
	r := rand.New(rand.NewSource(seed))
	row, taps := parts, parts
	for i, d := range shape[1:] {
		row *= int(d)
		if i > 0 {
			taps *= int(d)
		}
	}
	logs := func(n int, spread float64) []float64 {
		l := make([]float64, n)
		for i := range l {
			l[i] = r.NormFloat64() * spread
		}
		return l
	}
	rows, cols, tap := logs(int(shape[0]), x.rows), logs(row/taps, x.cols), logs(taps, x.taps)
	drift, last := 0.0, 0.0
	ks := make([]int, int(shape[0])*row)
	for i := range ks {
		at := i % row
		if at == 0 {
			drift += r.NormFloat64() * x.drift
		}
		last = x.follow*last + (1-x.follow)*r.NormFloat64()
		v := last * math.Exp(rows[i/row]+cols[at/taps]+tap[at%taps]+drift)
		if math.Abs(v) >= x.prune {
			ks[i] = int(min(max(math.Round(v*float64(step)), float64(-top)), float64(top)))
		}
	}
	return ks
}

func bytesOf(s string) (ks []int) {
	for _, c := range []byte(s) {
		ks = append(ks, int(c))
	}
	return ks
}

// times makes F32 of integers.
func times(ks []int, scale float32) []byte {
	var b []byte
	for _, k := range ks {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(k)*scale+0)) // no -0
	}
	return b
}

// textures has arrays of every number of axes, most of which are worth a
// prediction or classes of their rows, columns and taps.
func textures() *layout.Layout {
	b := &builder{}
	add := func(name string, dt tensor.DType, x texture, step, top int, shape ...int64) {
		parts := 1
		if dt == tensor.C64 {
			parts = 2
		}
		b.array(name, dt, shape, times(x.steps(int64(len(name)), shape, parts, step, top), 0.037))
	}
	b.skeleton("<")
	add("kernels", tensor.F32, texture{follow: 0.8, rows: 0.5}, 12, 7, 24, 6, 3, 3)
	add("pruned", tensor.F32, texture{prune: 1, cols: 0.4}, 3, 9, 40, 30)
	add("large kernels", tensor.F32, texture{follow: 0.7, taps: 0.8}, 30, 90, 8, 3, 6, 6)
	add("flat kernels", tensor.F32, texture{follow: 0.9, taps: 0.5}, 20, 30, 12, 10, 2, 5)
	add("lines", tensor.F32, texture{follow: 0.9, cols: 0.7}, 20, 15, 20, 8, 7)
	add("matrix", tensor.F32, texture{follow: 0.8, cols: 1, drift: 0.3}, 20, 15, 40, 25)
	add("pairs", tensor.C64, texture{taps: 1.5, rows: 0.5}, 3, 12, 12, 10, 3)
	b.array("constant", tensor.F32, tensor.Shape{9, 8}, times(bytesOf(strings.Repeat("\x05", 72)), 0.1))
	b.array("uniform", tensor.F32, tensor.Shape{20, 17}, times(bytesOf(strings.Repeat("\x00\x01\x03\x02", 85)), 1.1))
	add("vector of levels", tensor.F32, texture{}, 2, 3, 150)
	add("fine", tensor.F32, texture{rows: 1}, 90, 200, 30, 30)
	b.skeleton(">")
	return b.build()
}

// neighbours has arrays that are counted between others of the same shapes that
// are predicted, in one block whose tree is large.
func neighbours() *layout.Layout {
	b := &builder{}
	add := func(name string, x texture, step int, shape ...int64) {
		b.array(name, tensor.F32, shape, times(x.steps(int64(len(name)), shape, 1, step, 60), 0.01))
	}
	b.skeleton("<")
	b.array("counted", tensor.F32, tensor.Shape{30, 20}, counts(600, 40, 20))
	add("matrix", texture{follow: 0.8, cols: 0.5}, 20, 30, 20)
	add("signals", texture{follow: 0.9, rows: 0.5}, 60, 16, 1, 40)
	b.array("counted signals", tensor.F32, tensor.Shape{20, 1, 40}, counts(800, 60, 20))
	add("kernels", texture{follow: 0.6}, 20, 8, 6, 3, 3)
	add("second matrix", texture{follow: 0.8, rows: 0.5}, 30, 20, 25)
	add("more signals", texture{follow: 0.9}, 60, 10, 1, 40)
	b.skeleton(">")
	return b.build()
}

// rare has few of its values in the first half.
func rare(n, k int) []byte {
	b, r := counts(n, k, 20), rand.New(rand.NewSource(16))
	for i := range n / 2 {
		copy(b[4*i:], b[4*(n/2+r.Intn(5)):][:4])
	}
	return b
}

// types has an array of each type whose levels are worth coding.
func types() *layout.Layout {
	b := &builder{}
	b.skeleton("<")
	shape := tensor.Shape{25, 40}
	from := func(dt tensor.DType, width int, values ...uint64) {
		var v []byte
		for _, k := range (texture{rows: 1.5}).steps(int64(len(b.buf)), shape, 1, 1, 5) {
			var word [8]byte
			binary.LittleEndian.PutUint64(word[:], values[(k+5)%len(values)])
			v = append(v, word[:width]...)
		}
		b.array(string(dt), dt, shape, v)
	}
	from(tensor.U8, 1, 3, 9, 50, 51, 52, 53, 54, 90, 255, 4, 0)
	from(tensor.I8, 1, 0x80, 0xfb, 0xfc, 0xfe, 0xff, 0, 1, 2, 5, 9, 0x7f)
	from(tensor.F8E8M0, 1, 0x70, 0x71, 0x72, 0x79, 0x7a, 0x7b, 0x7c, 0x7d, 0x7e, 0x7f, 0xff)
	from(tensor.F8E4M3, 1, 0xf8, 0xf0, 0xc2, 0xc0, 0x81, 0, 1, 0x40, 0x42, 0x70, 0x7e)
	from(tensor.F8E5M2, 1, 0xf4, 0xf0, 0xc2, 0xc0, 0x81, 0, 1, 0x40, 0x42, 0x70, 0x7b)
	from(tensor.F8E4M3Z, 1, 0xff, 0xf0, 0xc2, 0xc0, 0x81, 0, 1, 0x40, 0x42, 0x70, 0x7f)
	from(tensor.F8E5M2Z, 1, 0xff, 0xf0, 0xc2, 0xc0, 0x81, 0, 1, 0x40, 0x42, 0x71, 0x7f)
	b.array("infinite or no number", tensor.F8E4M3, shape, bytes.ReplaceAll(b.buf[len(b.buf)-1000:], []byte{0x40}, []byte{0xff}))
	from(tensor.F16, 2, 0xc400, 0xc000, 0xbc00, 0xa000, 0x8003, 0, 0x0003, 0x2000, 0x3c00, 0x4000, 0x7bff)
	from(tensor.BF16, 2, 0xc400, 0xc000, 0xbc00, 0xbb00, 0xb000, 0, 0x0003, 0x3b00, 0x3c00, 0x4000, 0x7f80)
	from(tensor.I16, 2, 0x8000, 0x8003, 0xfff9, 0xfffe, 0xffff, 0, 1, 2, 100, 300, 0x7fff)
	from(tensor.U16, 2, 3, 9, 50, 51, 52, 53, 300, 700, 0x8000, 0xfff0, 0xffff)
	from(tensor.I32, 4, 0x80000000, 0xffff0000, 0xfffffffe, 0xffffffff, 1, 0, 2, 3, 4, 70000, 0x7fffffff)
	from(tensor.U64, 8, 1<<63, 1<<62, 1, 2, 3, 0, 5, 70000, 1<<33, 1<<34, 1<<64-1)
	from(tensor.F64, 8, 0xbff0000000000000, 0xbfe0000000000000, 0xbfd0000000000000, 0xbfc0000000000000, 0xbfb8000000000000, 0, 1, 0x3fb8000000000000, 0x3fc0000000000000, 0x3fd0000000000000, 0x3fe0000000000000)
	b.skeleton(">")
	return b.build()
}

// wide has 4096 levels, most of which occur once.
func wide() []byte {
	ks := texture{rows: 1.5}.steps(21, tensor.Shape{65, 64}, 1, 60, 2047)
	for i := range 4096 {
		ks = append(ks, i*1021%4096-2048) // 1021 is odd: each of them
	}
	return times(ks, 0.0123)
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
	{name: "plain-cut", why: "coder 8: plain segments, the first with few of its levels", layout: one("w", tensor.F32, tensor.Shape{80, 30}, rare(2400, 60)), opt: Options{Effort: Max, BlockValues: 1200}, coder: "levels"},
	{name: "plain-between", why: "coder 8: plain segments between others of the same kinds of kernels, some long; deep nodes", layout: neighbours, opt: Options{Effort: Max}, coder: "levels"},
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
	{name: "textures", why: "coder 8: coefficients of kernels; one to four axes; one level only", layout: textures, opt: Options{Effort: Max}, coder: "levels"},
	{name: "textures-cut", why: "coder 8: blocks that begin inside of a kernel", layout: one("w", tensor.F32, tensor.Shape{24, 6, 3, 3}, times(texture{follow: 0.8, rows: 0.5}.steps(7, tensor.Shape{24, 6, 3, 3}, 1, 12, 7), 0.1)), opt: Options{Effort: Max, BlockValues: 500}, coder: "levels"},
	{name: "textures-fast", why: "coder 12: classes, coefficients, a constant", layout: textures, opt: Options{Effort: Fast}, coder: "lanes"},
	{name: "lanes-4", why: "coder 12: four lanes; classes of rows, columns and taps; 25 sets of coefficients", layout: one("w", tensor.F32, tensor.Shape{46, 6, 6, 5}, times(texture{follow: 0.85, taps: 0.5, cols: 0.7, drift: 0.2}.steps(22, tensor.Shape{46, 6, 6, 5}, 1, 9, 5), 0.3)), opt: Options{Effort: Fast}, coder: "lanes"},
	{name: "lanes-fine", why: "coder 12: fine steps, classes close to the ones before, zeros with a cell of their own", layout: one("w", tensor.F32, tensor.Shape{60, 80}, times(texture{cols: 1.2, drift: 0.15, prune: 0.7}.steps(24, tensor.Shape{60, 80}, 1, 2, 30), 0.3)), opt: Options{Effort: Fast}, coder: "lanes"},
	{name: "lanes-8", why: "coder 12: eight lanes in a folded vector, pruned", layout: one("w", tensor.F32, tensor.Shape{33000}, times(texture{prune: 2}.steps(23, tensor.Shape{33000}, 1, 1, 4), 0.3)), opt: Options{Effort: Fast}, coder: "lanes"},
	{name: "long", why: "coder 8: more values than the sums of all may hold", layout: one("w", tensor.F32, tensor.Shape{61, 1000}, times(texture{prune: 2.5, rows: 0.2}.steps(25, tensor.Shape{61, 1000}, 1, 1, 4), 0.3)), opt: Options{Effort: Max}, coder: "levels"},
	{name: "types", why: "coder 8: levels of all kinds of types", layout: types, opt: Options{Effort: Max}, coder: "levels"},
	{name: "wide", why: "coder 8: 4096 levels", layout: one("w", tensor.F32, tensor.Shape{129, 64}, wide()), opt: Options{Effort: Max}, coder: "levels"},
	{name: "wide-fast", why: "coder 12: 4096 levels", layout: one("w", tensor.F32, tensor.Shape{129, 64}, wide()), opt: Options{Effort: Fast}, coder: "lanes"},
	{name: "small-net", why: "a described skeleton, coder 11", layout: func() *layout.Layout { return perceptron(4, [][2]int{{30, 40}, {10, 30}}) }, opt: Options{Effort: Max}},
	{name: "short", why: "the short form: coder 11 for all but payloads", layout: func() *layout.Layout { return perceptron(4, [][2]int{{30, 40}, {10, 30}}) }, opt: Options{Effort: Max}, short: true},
	{name: "short-parts", why: "the short form: two groups, and a block of two parts", layout: shared, opt: Options{Effort: Max}, short: true},
	{name: "short-blocks", why: "the short form: several blocks, the last payload is without a length", layout: one("w", tensor.F32, tensor.Shape{24, 6, 3, 3}, times(texture{follow: 0.8, rows: 0.5}.steps(7, tensor.Shape{24, 6, 3, 3}, 1, 12, 7), 0.1)), opt: Options{Effort: Max, BlockValues: 500}, short: true},
	{name: "short-known", why: "the short form of a known network", layout: knownLeNet, opt: Options{Effort: Max}, short: true},
	{name: "model", why: "the skeleton of an ONNX model", layout: model, opt: Options{Effort: Max}},
	{name: "short-model", why: "the short form of the same: network 8", layout: model, opt: Options{Effort: Max}, short: true},
	{
		name: "delta-max", why: "coder 10; needs base.bin", layout: one("w", tensor.F32, tensor.Shape{40, 108}, nudged(gauss(1, 40, 108))),
		base: one("w", tensor.F32, tensor.Shape{40, 108}, gauss(1, 40, 108)), opt: Options{Effort: Max}, coder: "delta",
	},
	{
		name: "delta-fast", why: "coder 9; needs base.bin", layout: one("w", tensor.F32, tensor.Shape{40, 108}, nudged(gauss(1, 40, 108))),
		base: one("w", tensor.F32, tensor.Shape{40, 108}, gauss(1, 40, 108)), opt: Options{Effort: Fast}, coder: "delta planes",
	},
}

// knownLeNet is a pruned LeNet with 40 and 20 units, as a trained one is packed.
func knownLeNet() *layout.Layout {
	h, _ := knownHeader(1, []int64{40, 20})
	l := *h.layout
	buf := bytes.Clone(h.skeleton)
	r := rand.New(rand.NewSource(16))
	for _, a := range l.Arrays {
		for range a.Size / 4 {
			v := float32(0)
			if r.Intn(20) == 0 {
				v = 0.0625 - 0.125*float32(r.Intn(2))
			}
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
	}
	l.Files = []layout.File{{Name: "model.safetensors", Data: tensor.Bytes(buf)}}
	return &l
}

// TestVectors encodes each vector and compares with the committed bytes, and
// decodes the committed bytes.
func TestVectors(t *testing.T) {
	var list strings.Builder
	for _, v := range vectors {
		l := v.layout()
		opt := v.opt
		opt.long = !v.short
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
	for _, l := range []*layout.Layout{sample(), shared(), perceptron(4, [][2]int{{5, 6}}), model()} {
		file, _ := pack(f, l, nil)
		f.Add(byte(coderRaw), byte(unitF32), file.header.append())
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

// FuzzShort gives arbitrary texts and payloads to the reader of the short form: what
// the check keeps out comes after all has been decoded.
func FuzzShort(f *testing.F) {
	for _, l := range []*layout.Layout{sample(), shared(), perceptron(4, [][2]int{{5, 6}}), model()} {
		_, packed := pack(f, l, nil)
		if string(packed[:len(MagicShort)]) != MagicShort {
			continue
		}
		r := &wireReader{b: packed[len(MagicShort) : len(packed)-checkSize]}
		k := int(r.uint("network", 99))
		if k != 0 && k != knownModel {
			f.Fatalf("a sample is known network %d", k)
		}
		text := make([]byte, r.uint("length", mix.MaxText))
		if err := mix.DecodeText(text, r.bytes("text", r.uint("length", 1<<20)), knownText(k, nil)); err != nil {
			f.Fatal(err)
		}
		f.Add(text, r.b)
	}
	f.Fuzz(func(t *testing.T, text, payloads []byte) {
		if len(text) > mix.MaxText {
			return
		}
		coded := mix.AppendText(nil, text, nil)
		b := append([]byte(MagicShort), 0)
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(binary.AppendUvarint(b, uint64(len(coded))), coded...)
		b = append(b, payloads...)
		_, err := Open("fuzz", tensor.Bytes(append(b, make([]byte, checkSize)...)), nil)
		var c *layout.CorruptError
		var u *layout.UnsupportedError
		if !errors.As(err, &c) && !errors.As(err, &u) {
			t.Fatalf("a check of zeros: %v", err)
		}
	})
}
