package mix

import (
	"math"
	"math/rand"
	"runtime"
	"slices"
	"sort"
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

// A histogram is a family of distributions over k levels.
type histogram struct {
	name   string
	weight func(r *rand.Rand, i, k int) float64
}

var histograms = []histogram{
	{"flat", func(*rand.Rand, int, int) float64 { return 1 }},
	{"uniform", func(r *rand.Rand, _, _ int) float64 { return r.Float64() }},
	{"exponential", func(r *rand.Rand, _, _ int) float64 { return r.ExpFloat64() }},
	{"spikes", func(r *rand.Rand, _, k int) float64 { return spike(r, k) }},
	{"spikes on a floor", func(r *rand.Rand, _, k int) float64 { return 0.01 + spike(r, k) }},
	{"comb", func(r *rand.Rand, i, _ int) float64 { return float64(b2i(i%4 == 0)) * r.Float64() }},
	{"holes", func(r *rand.Rand, _, _ int) float64 { return float64(r.Intn(2)) * r.Float64() }},
	{"geometric", func(_ *rand.Rand, i, k int) float64 { return math.Exp2(-12 * float64(i) / float64(k)) }},
	{"bimodal", func(_ *rand.Rand, i, k int) float64 {
		a, b := 12*(float64(i)/float64(k)-0.3), 20*(float64(i)/float64(k)-0.7)
		return math.Exp(-a*a) + math.Exp(-b*b)
	}},
	{"laplace", func(_ *rand.Rand, i, k int) float64 {
		return math.Exp(-16 * math.Abs(float64(i)/float64(k)-0.5))
	}},
}

// spike is not zero for about five of k levels.
func spike(r *rand.Rand, k int) float64 { return float64(b2i(r.Intn(k) < 5)) * (1 + r.Float64()) }

// drawSymbols returns n independent symbols of k levels.
func drawSymbols(r *rand.Rand, n, k, kind int) []uint16 {
	below := make([]float64, k+1)
	for i := range k {
		below[i+1] = below[i] + histograms[kind].weight(r, i, k)
	}
	syms := make([]uint16, n)
	if below[k] == 0 {
		return syms
	}
	for i := range syms {
		u := r.Float64() * below[k]
		syms[i] = uint16(max(sort.Search(k, func(j int) bool { return below[j+1] > u }), 0))
	}
	return syms
}

// regret is how many bytes counting costs that knows nothing about a histogram
// of k levels (Krichevsky and Trofimov), at worst: it is not in the entropy. The
// worst are equal counts of all levels, or of fewer.
func regret(n, k int) float64 {
	gamma := func(x float64) float64 {
		l, _ := math.Lgamma(x)
		return l
	}
	worst := 0.0
	for used := float64(min(n, k)); used >= 1; used /= 2 {
		log := gamma(float64(n)+float64(k)/2) - gamma(float64(k)/2) - used*(gamma(float64(n)/used+0.5)-gamma(0.5))
		worst = max(worst, log/math.Ln2-float64(n)*math.Log2(used))
	}
	return worst / 8
}

// Where nothing can be predicted, symbols cost their entropy and what learning
// the histogram costs. The bound holds for each segment of a block.
func checkNearOrder0(t *testing.T, r *rand.Rand, n, k, kind int) float64 {
	t.Helper()
	syms := drawSymbols(r, n, k, kind)
	segs := withLevels([]codec.Segment{{Cols: 16, Taps: 9, Width: 3, Len: n}}, k)
	coded := AppendLevels(nil, syms, segs)
	over := float64(len(coded)) - entropy(syms)
	if k <= 64 && over > 64 {
		t.Errorf("%d of %d levels, %s: %.0f bytes over the entropy", n, k, histograms[kind].name, over)
	}
	if most := regret(n, k) + 8; over > max(most, 64) { // less is tolerated
		t.Errorf("%d of %d levels, %s: %.0f bytes over the entropy, want at most %.0f", n, k, histograms[kind].name, over, most)
	}
	return over
}

func TestLevelsNearOrder0(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, k := range []int{1, 2, 3, 4, 16, 64, 256, 1024, MaxLevels} {
		for _, n := range []int{10, 100, 1000, 10000, 100000} {
			if n*k > 1<<23 {
				continue // for the time that it takes
			}
			worst, at := math.Inf(-1), 0
			for kind := range histograms {
				if over := checkNearOrder0(t, r, n, k, kind); over > worst {
					worst, at = over, kind
				}
			}
			t.Logf("%d of %d levels: at most %.1f bytes over the entropy (%s), counting costs %.1f", n, k, worst, histograms[at].name, regret(n, k))
		}
	}
}

// The bound of 64 bytes holds up to a million values.
func TestLevelsNearOrder0Long(t *testing.T) {
	if testing.Short() {
		t.Skip("a second for each million values")
	}
	r := rand.New(rand.NewSource(1))
	for _, k := range []int{2, 64} {
		for kind, h := range histograms {
			if h.name == "exponential" || h.name == "uniform" { // the worst ones
				over := checkNearOrder0(t, r, 1000000, k, kind)
				t.Logf("a million of %d levels, %s: %.1f bytes over the entropy", k, h.name, over)
			}
		}
	}
}

// Any histogram, length and codebook, in several segments.
func TestLevelsNearOrder0Any(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		var (
			syms []uint16
			segs []codec.Segment
			most = 1.0 // the byte of the block
			want float64
		)
		for range rapid.IntRange(1, 3).Draw(t, "segments") {
			k := 1 + rapid.IntRange(0, rapid.SampledFrom([]int{2, 16, 64, 256, MaxLevels}).Draw(t, "order")-1).Draw(t, "levels")
			n := rapid.IntRange(1, rapid.SampledFrom([]int{10, 1000, 30000}).Draw(t, "size")).Draw(t, "n")
			part := drawSymbols(r, n, k, rapid.IntRange(0, len(histograms)-1).Draw(t, "histogram"))
			syms = append(syms, part...)
			segs = append(segs, withLevels([]codec.Segment{{Cols: 16, Taps: 9, Width: 3, Len: n}}, k)...)
			want += entropy(part)
			most += max(regret(n, k)+8, 64)
		}
		coded := AppendLevels(nil, syms, segs)
		if over := float64(len(coded)) - want; over > most+want/256 {
			t.Fatalf("%d segments: %.0f bytes over the entropy, want at most %.0f", len(segs), over, most)
		}
		got := make([]uint16, len(syms))
		if err := DecodeLevels(got, coded, segs); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, syms) {
			t.Fatal("other symbols came back")
		}
	})
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
