package mix

import (
	"math"
	"math/rand"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/internal/codec"
)

// drawShapes draws segments of n values in all, whose shapes and codebooks may
// be anything that the container can name.
func drawShapes(t *rapid.T, n int) []codec.Segment {
	sizes := []int{1, 2, 3, 8, 9, 10, 25, 26, 49, 128, 4096, 65537, 1 << 40}
	books := rapid.SliceOfN(rapid.Custom(drawBook), 1, 3).Draw(t, "books")
	var segs []codec.Segment
	for n > 0 {
		k := rapid.IntRange(1, n).Draw(t, "run")
		segs = append(segs, codec.Segment{
			Cols:   rapid.SampledFrom(sizes).Draw(t, "cols"),
			Taps:   rapid.SampledFrom(sizes).Draw(t, "taps"),
			Width:  rapid.SampledFrom([]int{0, 1, 2, 3, 5, 7, 1 << 40}).Draw(t, "width"),
			Start:  rapid.SampledFrom([]int{0, 1, 7, 1000, 1 << 20, 1<<62 - 1}).Draw(t, "start"),
			Len:    k,
			Levels: rapid.SampledFrom(books).Draw(t, "book"),
		})
		n -= k
	}
	return segs
}

func drawBook(t *rapid.T) []int32 {
	n := rapid.SampledFrom([]int{1, 2, 3, 16, 255, MaxLevels}).Draw(t, "levels")
	b := make([]int32, n)
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0: // all equal
	case 1: // negative
		for i := range b {
			b[i] = int32(i-n) << 8
		}
	case 2: // pairs, positive
		for i := range b {
			b[i] = 1 + int32(i/2)
		}
	case 3: // around zero, denser there
		for i := range b {
			d := int32(i - n/2)
			b[i] = d * max(d, -d) / 2
		}
	case 4: // two extremes
		for i := range b {
			b[i] = 1<<21 - 1
		}
		b[0] = -b[n-1]
	}
	return b
}

func TestLevelsAnyShape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1500).Draw(t, "n")
		segs := drawShapes(t, n)
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		var syms []uint16
		for _, s := range segs {
			spread := 1 + r.Intn(len(s.Levels))
			for range s.Len {
				syms = append(syms, uint16(len(s.Levels)-1-r.Intn(spread)))
			}
		}
		got := make([]uint16, n)
		if err := DecodeLevels(got, AppendLevels(nil, syms, segs), segs); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, syms) {
			t.Fatal("symbols differ")
		}
	})
}

func TestLevelsHostile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 500).Draw(t, "n")
		segs := drawShapes(t, n)
		coded := rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "coded")
		got := make([]uint16, n)
		if DecodeLevels(got, coded, segs) != nil {
			return
		}
		for _, s := range segs {
			for _, v := range got[:s.Len] {
				if int(v) >= len(s.Levels) {
					t.Fatalf("symbol %d of %d", v, len(s.Levels))
				}
			}
			got = got[s.Len:]
		}
	})
}

// Many short segments of wide arrays take memory once.
func TestLevelsShortSegments(t *testing.T) {
	var segs []codec.Segment
	for i := range 1000 {
		segs = append(segs, codec.Segment{Cols: 1 << 40, Taps: 9, Width: 3, Start: i << 20, Len: 16})
	}
	segs = withLevels(segs, 16)
	syms := make([]uint16, 16000)
	for i := range syms {
		syms[i] = uint16(i * i % 16)
	}
	coded := AppendLevels(nil, syms, segs)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := DecodeLevels(syms, coded, segs); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 12<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

// entropy returns the bytes of an order-0 code that knows the histogram.
func entropy(syms []uint16) float64 {
	n := map[uint16]int{}
	for _, s := range syms {
		n[s]++
	}
	bits := 0.0
	for _, k := range n {
		bits -= float64(k) * math.Log2(float64(k)/float64(len(syms)))
	}
	return bits / 8
}

// Where nothing can be predicted, symbols cost their entropy, and at most 64
// bytes and 1 % for learning what they are like.
func TestLevelsNearOrder0(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, k := range []int{1, 2, 3, 4, 16} {
		for _, n := range []int{10, 100, 1000, 10000} {
			for kind := range 4 {
				weights := make([]float64, k)
				sum := 0.0
				for i := range weights {
					switch kind {
					case 0:
						weights[i] = 1
					case 1:
						weights[i] = math.Exp(-float64(i))
					case 2:
						weights[i] = r.ExpFloat64()
					case 3:
						weights[i] = math.Exp(-math.Abs(float64(i) - float64(k-1)/2))
					}
					sum += weights[i]
				}
				syms := make([]uint16, n)
				for i := range syms {
					u := r.Float64() * sum
					for u -= weights[0]; u > 0 && int(syms[i]) < k-1; u -= weights[syms[i]] {
						syms[i]++
					}
				}
				segs := withLevels([]codec.Segment{{Cols: 16, Taps: 9, Width: 3, Len: n}}, k)
				got, want := float64(len(AppendLevels(nil, syms, segs))), entropy(syms)
				t.Logf("%d of %d levels, kind %d: %.0f bytes, entropy %.0f: %+.0f", n, k, kind, got, want, got-want)
				if got > want*1.01+64 {
					t.Errorf("%d of %d levels, kind %d: %.0f bytes, entropy is %.0f", n, k, kind, got, want)
				}
			}
		}
	}
}

// What is constant costs next to nothing.
func TestLevelsConstant(t *testing.T) {
	for _, k := range []int{1, 2, 16, 256, MaxLevels} {
		for _, n := range []int{1, 100, 10000, 1 << 18} {
			syms := slices.Repeat([]uint16{uint16(k / 2)}, n)
			segs := withLevels([]codec.Segment{{Cols: 64, Taps: 1, Len: n}}, k)
			coded := len(AppendLevels(nil, syms, segs))
			t.Logf("%d of %d levels: %d bytes", n, k, coded)
			if coded > 32+n/2000 {
				t.Errorf("%d values, all one of %d levels: %d bytes", n, k, coded)
			}
		}
	}
}

// BenchmarkLevelsSmall is a block of 20 small arrays.
func BenchmarkLevelsSmall(b *testing.B) {
	segs := withLevels(slices.Repeat([]codec.Segment{{Cols: 5, Taps: 1, Len: 5}}, 20), 16)
	syms := make([]uint16, 100)
	b.ReportAllocs()
	for b.Loop() {
		AppendLevels(nil, syms, segs)
	}
}

func BenchmarkLevels(b *testing.B) {
	const n = 1 << 16
	r := rand.New(rand.NewSource(1))
	syms := make([]uint16, n)
	for i := range syms {
		syms[i] = uint16(min(max(8+r.NormFloat64()*2, 0), 15))
	}
	segs := withLevels([]codec.Segment{{Cols: 64, Taps: 9, Width: 3, Len: n}}, 16)
	coded := AppendLevels(nil, syms, segs)
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(n)
		for b.Loop() {
			AppendLevels(nil, syms, segs)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(n)
		for b.Loop() {
			if err := DecodeLevels(syms, coded, segs); err != nil {
				b.Fatal(err)
			}
		}
	})
}
