package lanes

import (
	"errors"
	"fmt"
	"math"
	"math/rand"
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

// A block that is cut anywhere is refused.
func TestTruncated(t *testing.T) {
	for _, b := range blocks() {
		if len(b.syms) > 5000 {
			continue
		}
		coded := Append(nil, b.syms, b.segs)
		got := make([]uint16, len(b.syms))
		for n := range coded {
			if err := Decode(got, coded[:n], b.segs); err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: cut at %d of %d: %v", b.name, n, len(coded), err)
			}
		}
	}
}
