package rope

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
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

func bitsOf(fs ...float32) []uint64 {
	var vs []uint64
	for _, f := range fs {
		vs = append(vs, floatBits(f))
	}
	return vs
}

// series returns n values of f.
func series(n int, f func(i int) float32) []uint64 {
	var vs []uint64
	for i := range n {
		vs = append(vs, floatBits(f(i)))
	}
	return vs
}

// Each form comes back, and is the one that is taken where it is meant for.
func TestForms(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	noise := series(16, func(i int) float32 { return float32(i-8) + r.Float32() })
	mirror := slices.Clone(noise[:8])
	for i := range 8 {
		mirror = append(mirror, mirror[7-i]^1<<31)
	}
	ints := func(from, n int) (vs []uint64) {
		for i := range n {
			vs = append(vs, uint64(from+i)&0xff)
		}
		return vs
	}
	tests := []struct {
		name   string
		dtype  tensor.DType
		values []uint64
		form   byte
	}{
		{"noise", tensor.F32, noise, formGaps},
		{"one value", tensor.F32, bitsOf(0.1), formRaw},
		{"near each other", tensor.F32, series(16, func(i int) float32 { return 1 + float32(i*i+1)*0x1p-23 }), formGaps},
		{"bytes", tensor.U8, ints(3, 200), formRuns},
		{"int8", tensor.I8, ints(-128, 256), formRuns},
		{"odd multiples", tensor.F32, series(16, func(i int) float32 { return 0.037 * float32(i*i-20) }), formGrid},
		{"dequantized", tensor.F32, series(200, func(i int) float32 { return scaled(0.0123, int64(i-77)) }), formGridRuns},
		{"dequantized, symmetric", tensor.F32, series(255, func(i int) float32 { return scaled(0.0123, int64(i-127)) }), formGridRuns | formSymmetric},
		{"symmetric grid", tensor.F32, series(6, func(i int) float32 { return []float32{-9, -5, -1, 1, 5, 9}[i] * 0.0123 }), formGrid | formSymmetric},
		{"all but one a half", tensor.F32, bitsOf(-0.1083984375, -0.0001, 0.0400390625, 0.12255859375), formRaw},
		{"binary16", tensor.F32, []uint64{uint64(fromHalf(0xae11)), uint64(fromHalf(0xa7ff)), uint64(fromHalf(0x2903)), uint64(fromHalf(0x2fff))}, formHalf},
		{"symmetric", tensor.F32, mirror, formGaps | formSymmetric},
		{"symmetric with zero", tensor.F32, slices.Insert(slices.Clone(mirror), 8, 0), formGaps | formSymmetric},
		{"symmetric but for a -0", tensor.F32, slices.Insert(slices.Clone(mirror), 8, 1<<31), formGaps},
		{"symmetric halves", tensor.F32, []uint64{uint64(fromHalf(0xae11)), uint64(fromHalf(0xa501)), uint64(fromHalf(0x2501)), uint64(fromHalf(0x2e11))}, formHalf | formSymmetric},
		{"F64", tensor.F64, []uint64{math.Float64bits(-0.1), math.Float64bits(0.3)}, formRaw},
		{"BF16", tensor.BF16, []uint64{0xbf81, 0xbe22, 0x3c01, 0x3f00}, formRaw},
		{"I64", tensor.I64, []uint64{^uint64(4), 0, 1 << 40}, formGaps},
	}
	for _, tt := range tests {
		cb := &codebook{unit: unitOf(tt.dtype), values: tt.values}
		b := appendCodebooks(nil, []*codebook{nil, cb, cb})
		if b[len(b)-1] != bookSame || b[0] != bookNone {
			t.Errorf("%s: the second is stored as %x", tt.name, b)
		}
		_, n := binary.Uvarint(b[1:])
		if got := b[1+n]; got != tt.form {
			t.Errorf("%s: form %d, want %d", tt.name, got, tt.form)
		}
		owner := bookOwner{dtype: tt.dtype, values: int64(len(tt.values))}
		got, err := parseCodebooks(cb.unit, []bookOwner{owner, owner, owner}, b)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got[0] != nil || !slices.Equal(got[1].values, tt.values) || !slices.Equal(got[2].values, tt.values) {
			t.Errorf("%s: other values", tt.name)
		}
		if want := fixedLevels(tt.dtype, tt.values); !slices.Equal(got[2].fixed, want) {
			t.Errorf("%s: other levels", tt.name)
		}
		for cut := range b {
			if _, err := parseCodebooks(cb.unit, []bookOwner{owner, owner, owner}, b[:cut]); err == nil {
				t.Errorf("%s: cut to %d of %d bytes", tt.name, cut, len(b))
			}
		}
	}
}

func TestMalformedCodebooks(t *testing.T) {
	f32 := bookOwner{tensor.F32, tensor.Shape{10, 100}, 1000}
	u8 := bookOwner{tensor.U8, tensor.Shape{1000}, 1000}
	i64 := bookOwner{tensor.I64, tensor.Shape{1000}, 1000}
	tests := []struct {
		name  string
		owner bookOwner
		bytes string
		want  string
	}{
		{"nothing", f32, "", "unexpected EOF"},
		{"the same as none", f32, "\x01", "that of none"},
		{"too many levels", f32, "\x82\x20", "levels is 4098"},
		{"more levels than values", bookOwner{tensor.U8, tensor.Shape{2}, 2}, "\x04\x02\x05\x02", "3 levels for 2 values"},
		{"levels from nothing", u8, "\xc9\x01\x02", "200 levels in 1 bytes"},
		{"unknown form", f32, "\x03\x10\x00", "form 16"},
		{"grid of bytes", u8, "\x03\x03\x00\x00\x00\x3f\x01\x01", "form 3"},
		{"decreasing", u8, "\x03\x00\x05\x04", "not above"},
		{"equal", u8, "\x03\x00\x05\x05", "not above"},
		{"past its type", u8, "\x03\x01\xfe\x01\x01", "above 255"},
		{"run past its type", u8, "\x05\x02\xfe\x01\x03", "above 255"},
		{"run of too many", u8, "\x03\x02\x05\x02", "length of a run"},
		{"past 64 bits", i64, "\x03\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "above"},
		{"symmetric unsigned", u8, "\x02\x08", "symmetric codebook of unsigned"},
		{"symmetric of negatives", f32, "\x03\x08\x00\x00\x80\xbf", "not above"},
		{"infinite half", f32, "\x03\x05\x00\x7c\x00\x7d", "not finite"},
		{"negative scale", f32, "\x03\x03\x00\x00\x80\xbf\x00\x00", "scale is -1"},
		{"scale of zero", f32, "\x03\x03\x00\x00\x00\x00\x00\x00", "scale is 0"},
		{"infinite product", f32, "\x03\x03\xff\xff\x7f\x7f\x02\x01", "too large"},
		{"grid too wide", f32, "\x03\x03\x00\x00\x80\x3f\x00\x80\x80\x80\x02", "above"},
		{"rows of a vector", bookOwner{tensor.F32, tensor.Shape{1000}, 1000}, "\x03\x07\x00", "rows of an array"},
		{"rows of complex numbers", bookOwner{tensor.C64, tensor.Shape{10, 50}, 1000}, "\x03\x07\x00", "rows of an array"},
		{"rows without scales", f32, "\x03\x07\x00", "10 scales in 0 bytes"},
		{"form of scales", f32, "\x03\x07\x03" + strings.Repeat("\x01", 50), "scales have form 3"},
		{"rows beyond bounds", f32, "\x03\x07\x01" + strings.Repeat("\x00\x3c", 10) + "\x80\x80\x04\x00", "above"},
		{"rows of other symmetric", f32, "\x03\x0f\x00", "form 15"},
		{"more", f32, "\x00\x00", "1 bytes behind"},
	}
	for _, tt := range tests {
		_, err := parseCodebooks(unitOf(tt.owner.dtype), []bookOwner{tt.owner}, []byte(tt.bytes))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// perRow returns an array quantized row by row, as int8 per channel is.
func perRow(seed int64, rows, cols int, top float64) []byte {
	r := rand.New(rand.NewSource(seed))
	b := make([]byte, 0, 4*rows*cols)
	for range rows {
		spread := math.Exp(r.NormFloat64()) * 0.05
		row, largest := make([]float32, cols), float32(0)
		for i := range row {
			row[i] = float32(r.NormFloat64() * spread)
			largest = max(largest, row[i], -row[i])
		}
		scale := largest / float32(top)
		for _, f := range row {
			k := int64(math.RoundToEven(float64(f / scale)))
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(scaled(scale, k)))
		}
	}
	return b
}

func TestRows(t *testing.T) {
	holes := perRow(3, 40, 90, 7)
	clear(holes[:4*90])        // the first row
	clear(holes[4*900:][:360]) // and one in between
	few := make([]byte, 4*64*9)
	for i := range 64 { // kernels with few different values, none of them one step
		scale := 0.01 + float32(i)*0.0003
		for k := range 9 {
			v := scaled(scale, []int64{0, 6, -9, 0, 15, 6, 0, -9, 3}[(k+i)%9])
			binary.LittleEndian.PutUint32(few[4*(9*i+k):], math.Float32bits(v))
		}
	}
	for _, tt := range []struct {
		name   string
		shape  tensor.Shape
		values []byte
		levels int // at most
	}{
		{"int8", tensor.Shape{64, 10, 3, 3}, perRow(1, 64, 90, 127), 255},
		{"int4", tensor.Shape{100, 200}, perRow(2, 100, 200, 7), 15},
		{"zero rows", tensor.Shape{40, 90}, holes, 15},
		{"steps of several", tensor.Shape{64, 1, 3, 3}, few, 31},
	} {
		b := &builder{}
		b.array("w", tensor.F32, tt.shape, tt.values)
		l := b.build()
		f, packed := pack(t, l, &Options{Effort: Max})
		checkRestored(t, f, l)
		a := f.Arrays()[0]
		if a.Levels == 0 || a.Levels > tt.levels || f.groups[0].books[0].rows == nil {
			t.Errorf("%s: %d levels", tt.name, a.Levels)
		}
		if limit := len(tt.values) * 5 / 16; len(packed) > limit {
			t.Errorf("%s: %d bytes, more than %d", tt.name, len(packed), limit)
		}
	}
	// What only looks like it.
	for _, spoil := range []uint32{1 << 31, 0x7fc00000, 0x7f800000, 0x3dcccccd} {
		values := perRow(1, 64, 90, 127)
		binary.LittleEndian.PutUint32(values[4*5000:], spoil)
		b := &builder{}
		b.array("w", tensor.F32, tensor.Shape{64, 90}, values)
		l := b.build()
		f, _ := pack(t, l, &Options{Effort: Fast})
		checkRestored(t, f, l)
		if f.Arrays()[0].Levels != 0 {
			t.Errorf("rows with %#x have %d levels", spoil, f.Arrays()[0].Levels)
		}
	}
}

// lloyd quantizes values to the means of k cells.
func lloyd(b []byte, k int) []byte {
	fs := make([]float64, len(b)/4)
	for i := range fs {
		fs[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
	}
	levels := make([]float64, k)
	for i := range levels {
		levels[i] = fs[i*len(fs)/k]
	}
	nearest := func(f float64) int {
		best := 0
		for i, l := range levels {
			if math.Abs(f-l) < math.Abs(f-levels[best]) {
				best = i
			}
		}
		return best
	}
	for range 8 {
		sums, counts := make([]float64, k), make([]float64, k)
		for _, f := range fs {
			i := nearest(f)
			sums[i] += f
			counts[i]++
		}
		for i := range levels {
			levels[i] = sums[i] / max(counts[i], 1)
		}
	}
	out := make([]byte, 0, len(b))
	for _, f := range fs {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(levels[nearest(f)])))
	}
	return out
}

// lenet returns LeNet-300-100 in a file as safetensors writes it, each weight
// tensor quantized to k levels.
func lenet(k int) *layout.Layout {
	return perceptron(k, [][2]int{{300, 784}, {100, 300}, {10, 100}})
}

// perceptron returns a network of layers with so many outputs and inputs.
func perceptron(k int, layers [][2]int) *layout.Layout {
	b := &builder{}
	var head strings.Builder
	at := 0
	var arrays []layout.Array
	var values []byte
	for i, n := range layers {
		for _, a := range []layout.Array{
			{Name: fmt.Sprintf("fc%d.bias", i+1), Shape: tensor.Shape{int64(n[0])}},
			{Name: fmt.Sprintf("fc%d.weight", i+1), Shape: tensor.Shape{int64(n[0]), int64(n[1])}},
		} {
			w := gauss(int64(i), 1, int(a.Shape[0]))
			if len(a.Shape) == 2 {
				w = lloyd(gauss(int64(i), n[0], n[1]), k)
			}
			dims := strings.ReplaceAll(fmt.Sprint([]int64(a.Shape)), " ", ",")
			fmt.Fprintf(&head, `,%q:{"dtype":"F32","shape":%s,"data_offsets":[%d,%d]}`, a.Name, dims, at, at+len(w))
			at += len(w)
			values = append(values, w...)
			arrays = append(arrays, a)
		}
	}
	text := "{" + head.String()[1:] + "}"
	text += strings.Repeat(" ", -len(text)&7)
	b.skeleton(string(binary.LittleEndian.AppendUint64(nil, uint64(len(text)))) + text)
	for _, a := range arrays {
		size, _ := a.Shape.Size(tensor.F32)
		b.array(a.Name, tensor.F32, a.Shape, values[:size])
		values = values[size:]
	}
	l := b.build()
	l.Format, l.Files[0].Name = "safetensors", "lenet-300-100.safetensors"
	return l
}

// What a small net costs beside its values: names, shapes, codebooks, digests.
func TestSmallNet(t *testing.T) {
	l := lenet(4)
	for _, effort := range []Effort{Max, Fast} {
		f, packed := pack(t, l, &Options{Effort: effort})
		checkRestored(t, f, l)
		values := int64(0) // the payloads of the blocks
		for _, b := range f.blocks {
			for _, n := range b.parts {
				if n > 0 {
					values += n - int64(len(appendFrame(nil, coderRaw, make([]byte, n)))) + n
				}
			}
		}
		if over := int64(len(packed)) - values; over >= 200 || len(f.blocks) != 1 {
			t.Errorf("%s: %d bytes beside the values, in %d blocks", effort, over, len(f.blocks))
		} else {
			t.Logf("%s: %d bytes, of them %d beside the values: header %d, codebooks %d, index %d",
				effort, len(packed), over, f.headLen, f.groups[0].codebookLen, f.footLen)
		}
		for _, a := range f.Arrays() {
			want := 0
			if len(a.Shape) == 2 {
				want = 4
			}
			if a.Levels != want || !a.Shared {
				t.Errorf("%s: %+v", effort, a)
			}
		}
	}
}

// Quantized arrays of a kind share a block, and are smaller for it.
func TestSharedModel(t *testing.T) {
	all, alone := &builder{}, 0
	for i := range 8 {
		w := levels(32, 90, 16, 0.01*float32(i+1))
		all.array(fmt.Sprint("w", i), tensor.F32, tensor.Shape{32, 10, 3, 3}, w)
		one := &builder{}
		one.array("w", tensor.F32, tensor.Shape{32, 10, 3, 3}, w)
		_, packed := pack(t, one.build(), &Options{Effort: Max})
		alone += len(packed)
	}
	l := all.build()
	f, packed := pack(t, l, &Options{Effort: Max})
	checkRestored(t, f, l)
	if len(f.groups) != 1 {
		t.Errorf("%d groups, want 1", len(f.groups))
	}
	if len(packed) > alone-8*100 {
		t.Errorf("%d bytes together, %d alone", len(packed), alone)
	}
	for i, a := range f.Arrays() {
		if b := f.groups[0].books[i]; a.Levels != len(b.values) || b.rows != nil {
			t.Errorf("%s: %d levels", a.Name, a.Levels)
		}
	}
}

// A codebook never makes a file much larger: not that of noise, of what zstd
// knows better, or of few values.
func TestNoHarm(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	noise := make([]byte, 20000)
	r.Read(noise)
	for name, a := range map[string]struct {
		dtype  tensor.DType
		values []byte
		limit  int
	}{
		"bytes of noise":   {tensor.U8, noise, len(noise) + 120},
		"noise in BF16":    {tensor.BF16, cast(gauss(1, 10, 2000)), 40000},
		"repeated text":    {tensor.U8, bytes.Repeat(noise[:1000], 20), 1300},
		"one value":        {tensor.F32, bytes.Repeat([]byte{1, 2, 3, 4}, 5000), 130},
		"a short vector":   {tensor.F32, gauss(1, 1, 5), 140},
		"a mask of causes": {tensor.Bool, mask(256), 700},
	} {
		for _, effort := range []Effort{Max, Fast} {
			b := &builder{}
			b.array("w", a.dtype, tensor.Shape{int64(len(a.values) / (a.dtype.Bits() / 8))}, a.values)
			l := b.build()
			f, packed := pack(t, l, &Options{Effort: effort})
			checkRestored(t, f, l)
			if len(packed) > a.limit {
				t.Errorf("%s, %s: %d bytes, more than %d", name, effort, len(packed), a.limit)
			}
		}
	}
}

// mask is a lower triangle.
func mask(n int) []byte {
	b := make([]byte, n*n)
	for i := range n {
		for k := range i + 1 {
			b[i*n+k] = 1
		}
	}
	return b
}

// Parts that the index tells and codebooks that do not fit them are refused.
func TestWrongParts(t *testing.T) {
	l := lenet(4)
	_, packed := pack(t, l, &Options{Effort: Fast, long: true})
	f, err := Open("m.rope", tensor.Bytes(packed), nil)
	if err != nil {
		t.Fatal(err)
	}
	g := f.groups[0]
	frame := packed[g.codebook : g.codebook+g.codebookLen]
	_, payload, _ := parseFrame(frame)
	// Two codebooks become one, of the same length in bytes.
	bad := bytes.Clone(payload)
	for i := range bad {
		bad[i] = 0
	}
	out := bytes.Clone(packed)
	copy(out[g.codebook:], appendFrame(nil, coderCodebooks, bad))
	var c *layout.CorruptError
	if _, err := Open("m.rope", tensor.Bytes(out), nil); !errors.As(err, &c) || c.Offset != g.codebook {
		t.Errorf("codebooks of zeros: %v", err)
	}
	copy(out[g.codebook:], appendFrame(nil, coderLevels, payload))
	if _, err := Open("m.rope", tensor.Bytes(out), nil); !errors.As(err, &c) || !strings.Contains(err.Error(), "in the place of codebooks") {
		t.Errorf("another coder: %v", err)
	}
}

// A safetensors header comes back, however it was written.
func TestDescribedSkeleton(t *testing.T) {
	const entries = `"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b\"":{"dtype":"F32","shape":[],"data_offsets":[8,12]}}`
	for _, tt := range []struct {
		text      string
		described bool
	}{
		{"{" + entries, true},
		{"{" + entries + "   ", true},
		{`{"__metadata__":{"format":"pt"},` + entries, true},
		{`{"__metadata__":{"format":"np"},` + entries, true},
		{"{ " + entries, true},
		{"{" + strings.ReplaceAll(entries, "[", "[ "), true},
		{"nothing like that at all", true},
		{"", true},
	} {
		b := &builder{}
		b.skeleton(string(binary.LittleEndian.AppendUint64(nil, uint64(len(tt.text)))) + tt.text)
		b.array("a", tensor.F32, tensor.Shape{2}, gauss(1, 1, 2))
		b.array(`b"`, tensor.F32, tensor.Shape{}, gauss(2, 1, 1))
		l := b.build()
		l.Format = formatSafetensors
		if strings.Contains(tt.text, "meta") {
			l.Metadata = []layout.Pair{{Key: "format", Value: "pt"}}
		}
		f, _ := pack(t, l, nil)
		checkRestored(t, f, l)
		content := f.header.append()
		if got := content[0]&featureDescribed != 0; got != tt.described {
			t.Errorf("%q: described: %t", tt.text, got)
		}
	}
}

// The groups of many arrays do not depend on the threads, and fit a block.
func TestGroupsFit(t *testing.T) {
	b := &builder{}
	for i := range 30 {
		b.array(fmt.Sprint("q", i), tensor.F32, tensor.Shape{30, 50}, levels(30, 50, 3+i, 0.1))
		b.array(fmt.Sprint("b", i), tensor.F32, tensor.Shape{50}, gauss(int64(i), 1, 50))
		b.array(fmt.Sprint("h", i), tensor.BF16, tensor.Shape{9, 9}, cast(levels(9, 9, 4, 0.5)))
	}
	l := b.build()
	var first []byte
	for _, threads := range []int{1, 3} {
		var out bytes.Buffer
		if _, err := Encode(context.Background(), &out, l, &Options{Effort: Max, BlockValues: 4000, Threads: threads}); err != nil {
			t.Fatal(err)
		}
		f, err := Open("m.rope", tensor.Bytes(out.Bytes()), nil)
		if err != nil {
			t.Fatal(err)
		}
		checkRestored(t, f, l)
		if first == nil {
			first = out.Bytes()
		}
		if !bytes.Equal(first, out.Bytes()) {
			t.Error("other bytes with more threads")
		}
	}
}

// FuzzCodebooks gives arbitrary bytes to the reader of codebooks; what it
// takes, it takes again when stored anew.
func FuzzCodebooks(f *testing.F) {
	types := []tensor.DType{tensor.F32, tensor.C64, tensor.F16, tensor.F8E4M3, tensor.U8, tensor.I8, tensor.I64, tensor.U64, tensor.F64, "X9"}
	for i, v := range []string{"half-levels", "symmetric-levels", "rows", "shared", "grid-levels", "kmeans-levels", "i8"} {
		packed, err := os.ReadFile(filepath.Join(vectorDir, v+".rope"))
		if err != nil {
			f.Fatal(err)
		}
		file, err := Open(v, tensor.Bytes(packed), nil)
		if err != nil {
			f.Fatal(err)
		}
		for _, g := range file.groups {
			if g.codebook > 0 {
				_, payload, _ := parseFrame(packed[g.codebook : g.codebook+g.codebookLen])
				f.Add(byte(i/6*5), payload)
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		dt := types[int(kind)%len(types)]
		u := unitOf(dt)
		owners := []bookOwner{
			{dt, tensor.Shape{40, 50}, 2000}, {dt, tensor.Shape{30}, 30}, {dt, tensor.Shape{70, 9, 3, 3}, 70 * 81}, {dt, tensor.Shape{9000}, 9000},
		}
		books, err := parseCodebooks(u, owners, payload)
		if err != nil {
			return
		}
		again, err := parseCodebooks(u, owners, appendCodebooks(nil, books))
		if err != nil {
			t.Fatal(err)
		}
		for i, cb := range books {
			if cb == nil {
				continue
			}
			if !slices.Equal(cb.values, again[i].values) || len(cb.fixed) != len(cb.values) {
				t.Fatalf("codebook %d is another", i)
			}
			syms := make([]uint16, min(owners[i].values, 100))
			for k := range syms {
				syms[k] = uint16(k % len(cb.values))
			}
			b := make([]byte, len(syms)*u.width())
			c := bytes.Clone(b)
			if cb.expand(b, syms, 10) != nil || again[i].expand(c, syms, 10) != nil || !bytes.Equal(b, c) {
				t.Fatalf("codebook %d has other values", i)
			}
		}
	})
}
