package lanes

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand"
	"os"
	"runtime"
	"testing"

	"ropewalk/internal/codec"
)

// levels returns k levels whose distance grows outwards, none of them equal.
func levels(k int) []int32 {
	l := make([]int32, k)
	for i := range l {
		x := float64(2*i+1)/float64(k) - 1
		l[i] = int32(math.Round(x * (0.5 + 0.5*math.Abs(x)) * (1<<21 - 1)))
	}
	return l
}

// kernels returns symbols of an array with rows and columns of differing scale,
// whose values follow the ones before.
func kernels(seed int64, s codec.Segment) []uint16 {
	r := rand.New(rand.NewSource(seed))
	k := len(s.Levels)
	syms := make([]uint16, s.Len)
	scale := make([]float64, 64)
	for i := range scale {
		scale[i] = math.Exp2(r.NormFloat64())
	}
	last := 0.0
	for i := range syms {
		at := s.Start + i
		if at%s.Taps == 0 {
			last = 0
		}
		last = 0.7*last + r.NormFloat64()
		x := last * scale[at/s.Taps%s.Cols&63] * scale[at/s.Taps/s.Cols&63] * float64(k) / 12
		syms[i] = uint16(min(max(math.Round(x+float64(k-1)/2), 0), float64(k-1)))
	}
	return syms
}

// A block is symbols with their segments.
type block struct {
	name string
	syms []uint16
	segs []codec.Segment
}

func (b *block) add(seed int64, s codec.Segment) {
	b.segs = append(b.segs, s)
	b.syms = append(b.syms, kernels(seed, s)...)
}

// blocks returns blocks of many shapes.
func blocks() []block {
	var all []block
	one := func(k int, s codec.Segment) {
		s.Levels = levels(k)
		b := block{name: fmt.Sprintf("%d levels, %dx%d, %d from %d", k, s.Cols, s.Taps, s.Len, s.Start)}
		b.add(int64(len(all)), s)
		all = append(all, b)
	}
	for _, k := range []int{1, 2, 3, 4, 15, 16, 100, 256, 300, 4096} {
		one(k, codec.Segment{Cols: 16, Taps: 9, Width: 3, Len: 16 * 16 * 9})
	}
	for _, n := range []int{0, 1, 2, 7, 100, 1<<13 - 1, 1 << 13, 1 << 15, 100001} {
		one(16, codec.Segment{Cols: max(n, 1), Taps: 1, Width: 1, Len: n})
		one(16, codec.Segment{Cols: 32, Taps: 9, Width: 3, Start: 1234, Len: n})
		one(16, codec.Segment{Cols: 1000, Taps: 1, Width: 1, Start: 999, Len: n})
		one(16, codec.Segment{Cols: 1, Taps: 25, Width: 5, Start: 3, Len: n})
		one(16, codec.Segment{Cols: 2, Taps: 2000, Width: 50, Start: 3000, Len: n})
		one(9, codec.Segment{Cols: 1 << 20, Taps: 1 << 12, Width: 64, Start: 1 << 30, Len: n})
	}
	b := block{name: "many segments"}
	for i := range 12 {
		b.add(int64(i), codec.Segment{Cols: 5 + i, Taps: 1 + i%3*4, Width: 1, Start: i, Len: 50 * i * i, Levels: levels(2 + i*i)})
	}
	return append(all, b)
}

func TestRoundTrip(t *testing.T) {
	for _, b := range blocks() {
		coded := Append([]byte("before"), b.syms, b.segs)
		got := make([]uint16, len(b.syms))
		if err := Decode(got, coded[len("before"):], b.segs); err != nil {
			t.Errorf("%s: %v", b.name, err)
			continue
		}
		for i := range got {
			if got[i] != b.syms[i] {
				t.Errorf("%s: symbol %d is %d, want %d", b.name, i, got[i], b.syms[i])
				break
			}
		}
	}
}

// A block that is cut anywhere is refused. Of a lone lane only the parameters
// are: its state may happen to end well, and the caller has a checksum.
func TestTruncated(t *testing.T) {
	for _, b := range blocks() {
		coded := Append(nil, b.syms, b.segs)
		got := make([]uint16, len(b.syms))
		alone := lanesOf(len(b.syms)) == 1
		for n := 0; n < len(coded); n += 1 + len(coded)/300 + len(b.syms)/3000 {
			err := Decode(got, coded[:n], b.segs)
			if err == nil && !alone {
				t.Errorf("%s: cut at %d of %d: no error", b.name, n, len(coded))
			}
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: cut at %d of %d: %v", b.name, n, len(coded), err)
			}
		}
		if err := Decode(got, append(coded, 0, 0), b.segs); !alone && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: two bytes more: %v", b.name, err)
		}
	}
}

// The bytes of a block are part of the file format.
func TestGolden(t *testing.T) {
	r := fmt.Sprintf
	got := ""
	for _, b := range blocks() {
		coded := Append(nil, b.syms, b.segs)
		if len(b.syms) == 100 {
			got += r("%x\n", coded)
		}
		got += r("%d %08x\n", len(coded), crc32.ChecksumIEEE(coded))
	}
	want, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("blocks have changed; they are now\n%s", got)
	}
}

// Parameters of a few bytes do not make a decoder allocate much.
func TestAllocation(t *testing.T) {
	s := codec.Segment{Cols: 1 << 30, Taps: 1 << 20, Width: 1 << 10, Start: 1 << 40, Len: 64, Levels: levels(MaxLevels)}
	got := make([]uint16, 64)
	r := rand.New(rand.NewSource(1))
	coded := make([]byte, 200)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 1000 {
		r.Read(coded)
		coded[0] |= 0x80 // not constant
		_ = new(decoder).decode(got, coded, []codec.Segment{s})
	}
	runtime.ReadMemStats(&after)
	// All tables there can be are 48 scales of 17 means of 256 buckets.
	if mean := (after.TotalAlloc - before.TotalAlloc) / 1000; mean > 4<<20 {
		t.Errorf("%d bytes for a block of 64 symbols", mean)
	}
}

// What quantized weights look like compresses to less than order 0.
func TestSmall(t *testing.T) {
	var b block
	b.add(1, codec.Segment{Cols: 64, Taps: 9, Width: 3, Len: 64 * 64 * 9, Levels: levels(16)})
	var counts [16]float64
	for _, s := range b.syms {
		counts[s]++
	}
	bits := 0.0
	for _, n := range counts {
		if n > 0 {
			bits -= n * math.Log2(n/float64(len(b.syms)))
		}
	}
	if n := len(Append(nil, b.syms, b.segs)); float64(8*n) > 0.85*bits {
		t.Errorf("%d bytes, entropy of order 0 is %.0f", n, bits/8)
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, c := range benchmarks() {
		b.Run(c.name, func(b *testing.B) {
			var coded []byte
			for b.Loop() {
				coded = Append(coded[:0], c.syms, c.segs)
			}
			b.ReportMetric(float64(len(c.syms))*float64(b.N)/1e6/b.Elapsed().Seconds(), "Msym/s")
			b.ReportMetric(8*float64(len(coded))/float64(len(c.syms)), "bits/sym")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range benchmarks() {
		b.Run(c.name, func(b *testing.B) {
			coded := Append(nil, c.syms, c.segs)
			got := make([]uint16, len(c.syms))
			for b.Loop() {
				if err := Decode(got, coded, c.segs); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(c.syms))*float64(b.N)/1e6/b.Elapsed().Seconds(), "Msym/s")
		})
	}
}

func benchmarks() []block {
	dense := block{name: "dense"}
	dense.add(1, codec.Segment{Cols: 512, Taps: 1, Width: 1, Len: 1 << 18, Levels: levels(16)})
	conv := block{name: "3x3"}
	conv.add(1, codec.Segment{Cols: 64, Taps: 9, Width: 3, Len: 1 << 18, Levels: levels(16)})
	small := block{name: "small"}
	for i := range 40 {
		small.add(int64(i), codec.Segment{Cols: 16, Taps: 9, Width: 3, Len: 16 * 16 * 9, Levels: levels(16)})
	}
	return []block{dense, conv, small}
}
