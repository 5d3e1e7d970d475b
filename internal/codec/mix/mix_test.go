package mix

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/internal/codec"
)

// shapes with and without structure; the product is what a test needs at least.
func drawSegments(t *rapid.T, n int) []codec.Segment {
	var segs []codec.Segment
	for n > 0 {
		k := rapid.IntRange(1, n).Draw(t, "run")
		segs = append(segs, codec.Segment{
			Cols:  rapid.IntRange(1, 40).Draw(t, "cols"),
			Taps:  rapid.SampledFrom([]int{1, 2, 9, 25, 100}).Draw(t, "taps"),
			Start: rapid.IntRange(0, 10000).Draw(t, "start"),
			Len:   k,
		})
		n -= k
	}
	return segs
}

// withLevels returns the segments with k levels each.
func withLevels(segs []codec.Segment, k int) []codec.Segment {
	levels := make([]int32, k)
	for i := range levels {
		levels[i] = int32(i) << 8
	}
	segs = slices.Clone(segs)
	for i := range segs {
		segs[i].Levels = levels
	}
	return segs
}

func TestLevelsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom([]int{1, 2, 3, 4, 15, 16, 255, 256, 1000, MaxLevels}).Draw(t, "levels")
		n := rapid.IntRange(1, 3000).Draw(t, "n")
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		spread := rapid.SampledFrom([]float64{0.01, 0.5, 3, 1e6}).Draw(t, "spread")
		centre := r.Intn(k)
		syms := make([]uint16, n)
		for i := range syms {
			v := float64(centre) + r.NormFloat64()*spread
			syms[i] = uint16(min(max(v, 0), float64(k-1)))
		}
		segs := drawSegments(t, n)
		segs = withLevels(segs, k)
		coded := AppendLevels([]byte("prefix"), syms, segs)[6:]
		got := make([]uint16, n)
		if err := DecodeLevels(got, coded, segs); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if got[i] != syms[i] {
				t.Fatalf("symbol %d is %d, want %d", i, got[i], syms[i])
			}
		}
	})
}

var kinds = []Kind{Float64, Float32, Float16, BFloat16}

// drawFloats draws bit patterns: Gaussian weights, sparse ones, or anything,
// NaN payloads, infinities, subnormals and -0 included.
func drawFloats(t *rapid.T, kind Kind, n int) []byte {
	r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
	texture := rapid.IntRange(0, 3).Draw(t, "texture")
	b := make([]byte, n*kind.Width)
	for i := range n {
		var v uint64
		switch {
		case texture == 0:
			v = r.Uint64()
		case texture == 1 && r.Intn(10) > 0:
		case texture == 2 && r.Intn(10) == 0:
			v = []uint64{1, 1 << 63, 0x7ff0 << 48, 0x7f80 << 48, 0xffff << 48}[r.Intn(5)] >> (64 - 8*kind.Width)
		default:
			v = math.Float64bits(r.NormFloat64() * 0.05)
			if kind.Exponent == 8 {
				v = uint64(math.Float32bits(float32(math.Float64frombits(v))))
				v >>= 32 - 8*kind.Width
			} else {
				v >>= 64 - 8*kind.Width
			}
		}
		Store(b[i*kind.Width:], kind.Width, v&(1<<(8*kind.Width-1)<<1-1))
	}
	return b
}

func TestFloatsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		n := rapid.IntRange(1, 2000).Draw(t, "n")
		src := drawFloats(t, kind, n)
		segs := drawSegments(t, n)
		coded := AppendFloats(nil, src, kind, segs)
		got := make([]byte, len(src))
		if err := DecodeFloats(got, coded, kind, segs); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, src) {
			t.Fatal("values differ")
		}
	})
}

func TestDeltaRoundTrip(t *testing.T) {
	ints := []Kind{{Width: 1}, {Width: 2}, {Width: 4}, {Width: 8}}
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(append(ints, kinds...)).Draw(t, "kind")
		n := rapid.IntRange(1, 2000).Draw(t, "n")
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		base := make([]byte, n*kind.Width)
		r.Read(base)
		src := bytes.Clone(base)
		for i := range n {
			switch r.Intn(4) {
			case 0: // near
				at := src[i*kind.Width:]
				Store(at, kind.Width, kind.add(int64(r.Intn(2001)-1000), Load(at, kind.Width)))
			case 1: // far
				r.Read(src[i*kind.Width : (i+1)*kind.Width])
			}
		}
		segs := drawSegments(t, n)
		coded := AppendDelta(nil, src, base, kind, segs)
		got := make([]byte, len(src))
		if err := DecodeDelta(got, coded, base, kind, segs); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, src) {
			t.Fatal("values differ")
		}
		Differences(got, src, base, kind)
		ApplyDifferences(got, base, kind)
		if !bytes.Equal(got, src) {
			t.Fatal("values differ after differences")
		}
	})
}

// ordered keeps the order of the numbers, and unordered undoes it.
func TestOrdered(t *testing.T) {
	last := uint64(0)
	for i, f := range []float32{float32(math.Inf(-1)), -1e9, -1, -1e-40, float32(math.Copysign(0, -1)), 0, 1e-40, 0.5, 1, 1e9, float32(math.Inf(1))} {
		o := Float32.ordered(uint64(math.Float32bits(f)))
		if i > 0 && o <= last {
			t.Errorf("%g: ordered is %d, not above %d", f, o, last)
		}
		if back := Float32.unordered(o); back != uint64(math.Float32bits(f)) {
			t.Errorf("%g: comes back as %#x", f, back)
		}
		last = o
	}
}

// Trained weights have rows of different scale; knowing them must pay.
func TestFloatsUsesScale(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	const rows, cols = 256, 256
	var b []byte
	for range rows {
		scale := math.Exp(r.NormFloat64())
		for range cols {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(r.NormFloat64()*scale)))
		}
	}
	structured := len(AppendFloats(nil, b, Float32, []codec.Segment{{Cols: cols, Taps: 1, Len: rows * cols}}))
	flat := len(AppendFloats(nil, b, Float32, []codec.Segment{{Cols: rows * cols, Taps: 1, Len: rows * cols}}))
	if structured >= flat {
		t.Errorf("%d bytes with rows known, %d without", structured, flat)
	}
	if ratio := float64(structured) / float64(len(b)); ratio > 0.85 {
		t.Errorf("ratio is %.3f, want at most 0.85", ratio)
	}
}

// The cost of symbols is near their entropy where there is nothing else to know.
func TestLevelsNearEntropy(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	const n = 1 << 16
	for _, p := range []float64{0.5, 0.9, 0.99, 0.9999} {
		syms := make([]uint16, n)
		ones := 0
		for i := range syms {
			if r.Float64() > p {
				syms[i] = 1
				ones++
			}
		}
		q := float64(ones) / n
		entropy := -n * (q*math.Log2(q) + (1-q)*math.Log2(1-q)) / 8
		got := float64(len(AppendLevels(nil, syms, withLevels([]codec.Segment{{Cols: n, Taps: 1, Len: n}}, 2))))
		if got > entropy*1.03+160 {
			t.Errorf("p = %g: %0.f bytes, entropy is %0.f", p, got, entropy)
		}
	}
}

func TestTables(t *testing.T) {
	for i := 1; i < len(squashTable); i++ {
		if squashTable[i] < squashTable[i-1] || squashTable[i] == 0 || squashTable[i] > 65535 {
			t.Fatalf("squash at %d is %d after %d", i, squashTable[i], squashTable[i-1])
		}
	}
	for x := -1800; x <= 1800; x += 50 {
		if got := stretchTable[squashTable[x+2048]>>4]; math.Abs(float64(int(got)-x)) > 140 {
			t.Errorf("stretch(squash(%d)) = %d", x, got)
		}
	}
	for _, x := range []uint64{1, 2, 3, 255, 257, 511, 1000, 1 << 40, 1<<63 + 1} {
		exact := 256 * math.Log2(float64(x))
		if got := float64(log2(x)); got > exact+1e-6 || got < exact-1.5 {
			t.Errorf("log2 of %d is %g, want %g", x, got, exact)
		}
	}
	for i := 1; i < len(logisticTable); i++ {
		exact := (1 << 24) / (1 + math.Exp(-float64(i-2048)/256))
		if got := float64(logisticTable[i]); math.Abs(got-exact) > 2 {
			t.Fatalf("the logistic function at %d is %g, want %g", i-2048, got, exact)
		}
	}
}

func TestTextRoundTrip(t *testing.T) {
	texts := []string{"", "a", textDictionary, strings.Repeat("layer.weight", 300)}
	r := rand.New(rand.NewSource(1))
	noise := make([]byte, 3000)
	r.Read(noise)
	for _, text := range append(texts, string(noise)) {
		coded := AppendText([]byte("prefix"), []byte(text), nil)[6:]
		got := make([]byte, len(text))
		if err := DecodeText(got, coded, nil); err != nil || string(got) != text {
			t.Errorf("%d bytes in %d: %v", len(text), len(coded), err)
		}
		if len(coded) > len(text)+len(text)/16+4 {
			t.Errorf("%d bytes from %d", len(coded), len(text))
		}
	}
	// What the dictionary has costs little, also the first time.
	if n := len(AppendText(nil, []byte("\x03F32\x0afc1.weight\x0afc2.weight"), nil)); n > 12 {
		t.Errorf("names take %d bytes", n)
	}
}

func FuzzDecode(f *testing.F) {
	segs := []codec.Segment{{Cols: 5, Taps: 9, Start: 3, Len: 100}, {Cols: 50, Taps: 1, Len: 50}}
	r := rand.New(rand.NewSource(1))
	src := make([]byte, 8*150)
	r.Read(src)
	syms := make([]uint16, 150)
	for i := range syms {
		syms[i] = uint16(r.Intn(9))
	}
	f.Add(byte(0), AppendLevels(nil, syms, withLevels(segs, 9)))
	f.Add(byte(1), AppendFloats(nil, src[:4*150], Float32, segs))
	mixed := slices.Concat(withLevels(segs[:1], 9), withLevels(segs[1:], 300))
	mixed[0].Width, mixed[1].Cols, mixed[1].Taps = 3, 1<<40, 1<<40
	f.Add(byte(252), AppendLevels(nil, syms, mixed))
	f.Add(byte(3), AppendText(nil, src, nil))
	f.Add(byte(2), AppendDelta(nil, src, make([]byte, len(src)), Float64, segs))
	f.Fuzz(func(t *testing.T, what byte, coded []byte) {
		kind := kinds[int(what>>4)%len(kinds)]
		dst := make([]byte, 150*kind.Width)
		switch what % 4 {
		case 0:
			segs := withLevels(segs, 1+int(what>>2)*65)
			if what == 252 {
				segs = mixed
			}
			got := make([]uint16, 150)
			if DecodeLevels(got, coded, segs) == nil {
				for i, s := range got {
					if k := len(segs[b2i(i >= segs[0].Len)].Levels); int(s) >= k {
						t.Fatalf("symbol %d of %d", s, k)
					}
				}
			}
		case 1:
			_ = DecodeFloats(dst, coded, kind, segs)
		case 2:
			_ = DecodeDelta(dst, coded, make([]byte, len(dst)), kind, segs)
		case 3:
			_ = DecodeText(dst, coded, nil)
		}
	})
}

func BenchmarkFloats(b *testing.B) {
	src := make([]byte, 0, 4<<16)
	r := rand.New(rand.NewSource(1))
	for range 1 << 16 {
		src = binary.LittleEndian.AppendUint32(src, math.Float32bits(float32(r.NormFloat64())))
	}
	segs := []codec.Segment{{Cols: 64, Taps: 9, Len: 1 << 16}}
	coded := AppendFloats(nil, src, Float32, segs)
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(src)))
		for b.Loop() {
			AppendFloats(nil, src, Float32, segs)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(src)))
		dst := make([]byte, len(src))
		for b.Loop() {
			if err := DecodeFloats(dst, coded, Float32, segs); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// What symbols are said to cost is what they take, and the choices can be
// coded: with the model, and without it.
func TestAssignLevels(t *testing.T) {
	r := rand.New(rand.NewSource(3))
	const n = 20000
	bell := make([]uint16, n)
	for i := range bell {
		bell[i] = uint16(min(max(7+r.NormFloat64()*2, 0), 14))
		if i > 0 && i%9 != 0 {
			bell[i] = (bell[i] + bell[i-1]) / 2
		}
	}
	comb := drawSymbols(r, n, 256, slices.IndexFunc(histograms, func(h histogram) bool { return h.name == "comb" }))
	for name, want := range map[string][]uint16{"bell": bell, "comb": comb} {
		segs := withLevels([]codec.Segment{{Cols: 20, Taps: 9, Width: 3, Len: n}}, 256)
		syms := slices.Clone(want)
		sum := 0.0
		AssignLevels(syms, segs, func(i int, cost func(sym int) uint32) int {
			sum += float64(cost(int(want[i]))) / 65536 / 8
			return int(want[i])
		})
		if !slices.Equal(syms, want) {
			t.Fatalf("%s: other symbols than those that were chosen", name)
		}
		coded := AppendLevels(nil, syms, segs)
		if got := float64(len(coded)); math.Abs(got-sum) > 0.01*got+16 {
			t.Errorf("%s: symbols cost %.0f bytes and take %.0f", name, sum, got)
		}
		if p, _ := parseParams(coded, segs); (p.segs[0].plain != 0) != (name == "comb") {
			t.Errorf("%s: estimator %d", name, p.segs[0].plain)
		}
	}
}
