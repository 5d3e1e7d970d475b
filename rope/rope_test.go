package rope

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/internal/codec"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// segment is a run of a matrix, from its beginning.
func segment(cols, rows int) codec.Segment {
	return codec.Segment{Cols: cols, Taps: 1, Len: cols * rows}
}

// A builder makes layouts for tests: arrays with skeleton between them.
type builder struct {
	buf    []byte
	layout layout.Layout
}

func (b *builder) skeleton(s string) { b.buf = append(b.buf, s...) }

func (b *builder) array(name string, dt tensor.DType, shape tensor.Shape, values []byte) {
	b.layout.Views = append(b.layout.Views, layout.View{Name: name, DType: dt, Shape: shape, Array: len(b.layout.Arrays)})
	b.layout.Arrays = append(b.layout.Arrays, layout.Array{
		Name: name, DType: dt, Shape: shape, Offset: int64(len(b.buf)), Size: int64(len(values)),
	})
	b.buf = append(b.buf, values...)
}

func (b *builder) build() *layout.Layout {
	b.layout.Format = "test"
	b.layout.Files = []layout.File{{Name: "m.test", Data: tensor.Bytes(b.buf)}}
	return &b.layout
}

// pack encodes and opens again, without a base.
func pack(t testing.TB, l *layout.Layout, opt *Options) (*File, []byte) {
	t.Helper()
	var out bytes.Buffer
	s, err := Encode(context.Background(), &out, l, opt)
	if err != nil {
		t.Fatal(err)
	}
	if s.Packed != int64(out.Len()) {
		t.Fatalf("summary says %d bytes, wrote %d", s.Packed, out.Len())
	}
	if size, err := Size(context.Background(), l, opt); err != nil || size != s.Packed {
		t.Fatalf("Size is %d (%v), and Encode wrote %d bytes", size, err, s.Packed)
	}
	oo := &OpenOptions{}
	if opt != nil {
		oo.Base, oo.Threads = opt.Base, opt.Threads
	}
	f, err := Open("m.rope", tensor.Bytes(out.Bytes()), oo)
	if err != nil {
		t.Fatal(err)
	}
	if f.Root() != s.Root {
		t.Fatal("root digest differs between encoder and reader")
	}
	return f, out.Bytes()
}

// checkRestored compares files and tensors with the originals.
func checkRestored(t testing.TB, f *File, l *layout.Layout) {
	t.Helper()
	for i, file := range l.Files {
		want, _ := tensor.ReadRange(file.Data, 0, file.Data.Size(), nil)
		var got bytes.Buffer
		if err := f.Restore(context.Background(), i, &got, nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("file %d differs after restoring", i)
		}
		onDemand, err := tensor.ReadRange(f.Layout().Files[i].Data, 0, int64(len(want)), nil)
		if err != nil || !bytes.Equal(onDemand, want) {
			t.Fatalf("file %d differs when read on demand (%v)", i, err)
		}
	}
	if err := f.Test(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	want, err := l.Set()
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Layout().Set()
	if err != nil {
		t.Fatal(err)
	}
	if got.Len() != want.Len() {
		t.Fatalf("%d tensors, want %d", got.Len(), want.Len())
	}
	for i, w := range want.All() {
		g := got.At(i)
		wb, _ := w.Bytes()
		gb, err := g.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if g.Name != w.Name || g.DType != w.DType || !g.Shape.Equal(w.Shape) || !bytes.Equal(gb, wb) {
			t.Fatalf("tensor %q differs", w.Name)
		}
	}
	sum := int64(0)
	for _, e := range f.Ledger() {
		if e.Bytes < 0 {
			t.Fatalf("ledger entry %+v", e)
		}
		sum += e.Bytes
	}
	if sum != f.Size() {
		t.Fatalf("the ledger adds up to %d, the file has %d bytes", sum, f.Size())
	}
}

// gauss returns float32 weights with a scale of its own for each row.
func gauss(seed int64, rows, cols int) []byte {
	r := rand.New(rand.NewSource(seed))
	b := make([]byte, 0, 4*rows*cols)
	for range rows {
		scale := math.Exp(r.NormFloat64()) * 0.05
		for range cols {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(r.NormFloat64()*scale)))
		}
	}
	return b
}

// cast turns float32 bytes into bfloat16 by cutting.
func cast(b []byte) []byte {
	var out []byte
	for i := 2; i < len(b); i += 4 {
		out = append(out, b[i], b[i+1])
	}
	return out
}

// sample is a small network with one of everything.
func sample() *layout.Layout {
	w := gauss(1, 64, 90)
	levels := make([]byte, 4*6000)
	for i := range 6000 {
		k := int(binary.LittleEndian.Uint32(w[4*(i%5760):])>>20) % 7
		binary.LittleEndian.PutUint32(levels[4*i:], math.Float32bits(float32(k-3)*0.037))
	}
	b := &builder{}
	b.skeleton("HEADER{...}")
	b.array("conv.weight", tensor.F32, tensor.Shape{64, 10, 3, 3}, w)
	b.array("conv.bias", tensor.F32, tensor.Shape{64}, gauss(2, 1, 64))
	b.array("bn.mean", tensor.F32, tensor.Shape{64}, gauss(3, 1, 64))
	b.skeleton("\x00\x00")
	b.array("fc.weight", tensor.BF16, tensor.Shape{64, 90}, cast(gauss(4, 64, 90)))
	b.array("head.quantized", tensor.F32, tensor.Shape{60, 100}, levels)
	b.array("tied", tensor.F32, tensor.Shape{64, 10, 3, 3}, w)
	b.array("zeros", tensor.F64, tensor.Shape{1000}, make([]byte, 8000))
	b.array("empty", tensor.F16, tensor.Shape{0, 4}, nil)
	b.array("scalar", tensor.I64, tensor.Shape{}, []byte{7, 0, 0, 0, 0, 0, 0, 0})
	b.array("packed", tensor.U4, tensor.Shape{3, 3}, []byte{0x21, 0x43, 0x65, 0x87, 9})
	b.array("odd", "F3_NEW", tensor.Shape{5}, []byte("opaque"))
	b.skeleton("FOOTER")
	return b.build()
}

func TestRoundTrip(t *testing.T) {
	for _, opt := range []*Options{
		nil,
		{Effort: Fast},
		{Effort: Max},
		{Effort: Max, BlockValues: 1000},
		{Effort: Fast, BlockValues: 77, Threads: 3},
		{Effort: Max, Memory: 1},
		{BlockValues: 1, Effort: Fast},
	} {
		l := sample()
		if opt != nil && opt.BlockValues == 1 {
			b := &builder{}
			b.skeleton("x")
			b.array("a", tensor.F32, tensor.Shape{9}, gauss(1, 3, 3))
			l = b.build()
		}
		f, _ := pack(t, l, opt)
		checkRestored(t, f, l)
	}
}

// The bytes do not depend on the number of threads or the memory.
func TestDeterministic(t *testing.T) {
	for _, effort := range []Effort{Fast, Max} {
		_, one := pack(t, sample(), &Options{Effort: effort, Threads: 1, BlockValues: 500})
		for _, opt := range []Options{{Threads: 2}, {Threads: 7}, {Threads: 5, Memory: 1}} {
			opt.Effort, opt.BlockValues = effort, 500
			if _, many := pack(t, sample(), &opt); !bytes.Equal(one, many) {
				t.Errorf("%s: %d threads give other bytes than one", effort, opt.Threads)
			}
		}
	}
}

func TestRoundTripProperty(t *testing.T) {
	types := []tensor.DType{
		tensor.Bool, tensor.U4, tensor.F6E2M3, tensor.U8, tensor.I8, tensor.F8E4M3, tensor.U16, tensor.I16, tensor.F16,
		tensor.BF16, tensor.U32, tensor.I32, tensor.F32, tensor.U64, tensor.I64, tensor.F64, tensor.C64, tensor.C128,
	}
	rapid.Check(t, func(t *rapid.T) {
		b := &builder{}
		n := rapid.IntRange(0, 6).Draw(t, "arrays")
		for i := range n {
			if rapid.Bool().Draw(t, "gap") {
				b.skeleton(rapid.StringN(0, 20, -1).Draw(t, "skeleton"))
			}
			dt := rapid.SampledFrom(types).Draw(t, "type")
			rank := rapid.IntRange(0, 4).Draw(t, "rank")
			shape := make(tensor.Shape, rank)
			for k := range shape {
				shape[k] = int64(rapid.IntRange(0, 9).Draw(t, "axis"))
			}
			size, err := shape.Size(dt)
			if err != nil {
				t.Fatal(err)
			}
			b.array(fmt.Sprint("t", i), dt, shape, drawValues(t, int(size)))
		}
		l := b.build()
		opt := &Options{
			Effort:      rapid.SampledFrom([]Effort{Fast, Max}).Draw(t, "effort"),
			BlockValues: rapid.IntRange(1, 5000).Draw(t, "block"),
			Threads:     rapid.IntRange(1, 3).Draw(t, "threads"),
		}
		var out bytes.Buffer
		if _, err := Encode(context.Background(), &out, l, opt); err != nil {
			t.Fatal(err)
		}
		f, err := Open("x", tensor.Bytes(out.Bytes()), nil)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := f.Restore(context.Background(), 0, &got, nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), b.buf) {
			t.Fatal("restored file differs")
		}
	})
}

// drawValues draws bytes of one of the textures that tensors have.
func drawValues(t *rapid.T, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
	switch rapid.IntRange(0, 4).Draw(t, "texture") {
	case 0: // anything, NaN payloads and subnormals included
		r.Read(b)
	case 1: // few bytes
		for i := range b {
			b[i] = byte(r.Intn(3))
		}
	case 2: // sparse
		for i := range b {
			if r.Intn(50) == 0 {
				b[i] = byte(r.Intn(256))
			}
		}
	case 3: // floats
		copy(b, gauss(r.Int63(), n/4+1, 1))
	}
	return b // case 4: zeros
}

func TestBase(t *testing.T) {
	old := sample()
	// A fine-tuned copy: one tensor changed a little, one shape changed, the
	// others the same.
	b := &builder{}
	b.skeleton("HEADER{..}")
	r := rand.New(rand.NewSource(9))
	for i := range old.Arrays {
		a := old.Arrays[i]
		v, _ := tensor.ReadRange(old.ArrayData(i), 0, a.Size, nil)
		v = bytes.Clone(v)
		shape := a.Shape
		switch a.Name {
		case "conv.weight", "conv.bias":
			for k := 0; k < len(v); k += 4 {
				x := math.Float32frombits(binary.LittleEndian.Uint32(v[k:]))
				binary.LittleEndian.PutUint32(v[k:], math.Float32bits(x+float32(r.NormFloat64()*1e-5)))
			}
		case "fc.weight":
			shape = tensor.Shape{90, 64}
			v[3]++
		}
		b.array(a.Name, a.DType, shape, v)
	}
	l := b.build()
	for _, effort := range []Effort{Fast, Max} {
		alone, _ := pack(t, l, &Options{Effort: effort})
		f, packed := pack(t, l, &Options{Effort: effort, Base: old})
		checkRestored(t, f, l)
		if effort == Max && f.Size() >= alone.Size()*9/10 {
			t.Errorf("with a base %d bytes, without %d", f.Size(), alone.Size())
		}
		if _, err := Open("x", tensor.Bytes(packed), nil); !errors.Is(err, ErrBase) {
			t.Errorf("without its base: %v", err)
		}
		if _, err := Open("x", tensor.Bytes(packed), &OpenOptions{Base: l}); !errors.Is(err, ErrBase) {
			t.Errorf("with a wrong base: %v", err)
		}
	}
}

// Every truncation and every flipped bit is found: on opening, or at the
// latest when everything is decoded.
func TestDamage(t *testing.T) {
	t.Run("long form", func(t *testing.T) { damage(t, &Options{Effort: Max, BlockValues: 200, long: true}) })
	t.Run("short form", func(t *testing.T) { damage(t, &Options{Effort: Max, BlockValues: 200}) })
}

func damage(t *testing.T, o *Options) {
	b := &builder{}
	b.skeleton("HEAD")
	b.array("w", tensor.F32, tensor.Shape{40, 9}, gauss(1, 40, 9))
	b.array("b", tensor.F32, tensor.Shape{10}, gauss(2, 1, 10))
	l := b.build()
	_, good := pack(t, l, o)
	if want := map[bool]string{false: MagicShort, true: Magic}[o.long]; string(good[:8]) != want {
		t.Fatalf("the file begins with %q", good[:8])
	}
	check := func(what string, bad []byte) {
		t.Helper()
		f, err := Open("m.rope", tensor.Bytes(bad), nil)
		if err == nil {
			var out bytes.Buffer
			err = f.Restore(context.Background(), 0, &out, nil)
		}
		var c *layout.CorruptError
		var u *layout.UnsupportedError
		if !errors.As(err, &c) && !errors.As(err, &u) {
			t.Fatalf("%s: error is %v", what, err)
		}
	}
	for n := range good {
		check(fmt.Sprint("cut to ", n), good[:n])
	}
	step := 1
	if testing.Short() {
		step = 5 // with the race detector this takes minutes
	}
	for i := range good {
		for bit := i % step; bit < 8; bit += step {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			check(fmt.Sprintf("bit %d of byte %d", bit, i), bad)
		}
	}
	check("one byte more", append(bytes.Clone(good), 0))
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Encode(ctx, &bytes.Buffer{}, sample(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Encode: %v", err)
	}
	f, _ := pack(t, sample(), nil)
	if err := f.Restore(ctx, 0, &bytes.Buffer{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Restore: %v", err)
	}
}

type brokenWriter struct{ room int }

var errFull = errors.New("full")

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.room -= len(p); w.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriterFails(t *testing.T) {
	_, packed := pack(t, sample(), nil)
	for room := 0; room < len(packed); room += len(packed)/16 + 1 {
		if _, err := Encode(context.Background(), &brokenWriter{room}, sample(), &Options{Effort: Fast}); !errors.Is(err, errFull) {
			t.Fatalf("with room for %d bytes: %v", room, err)
		}
	}
}
