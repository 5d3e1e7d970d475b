package mix

import (
	"encoding/binary"
	"math/rand"
	"slices"
	"testing"

	"ropewalk/internal/codec"
)

// stretched returns coded with the number at place at, which a further byte
// makes longer but not larger.
func stretched(t *testing.T, coded []byte, at int) []byte {
	t.Helper()
	_, n := binary.Uvarint(coded[at:])
	if n <= 0 {
		t.Fatalf("no number at %d of %x", at, coded)
	}
	last := at + n - 1
	return slices.Concat(coded[:last], []byte{coded[last] | 0x80, 0}, coded[last+1:])
}

// places returns where numbers begin of which each follows the one before, and
// where the last one ends.
func places(t *testing.T, coded []byte, from, count int) []int {
	t.Helper()
	at := []int{from}
	for range count {
		_, n := binary.Uvarint(coded[from:])
		if n <= 0 {
			t.Fatalf("no number at %d of %x", from, coded)
		}
		from += n
		at = append(at, from)
	}
	return at
}

// Numbers that are longer than needed are refused, each of them, though a
// block with them would mean the same.
func TestNumbersLongerThanNeeded(t *testing.T) {
	const n = 150
	segs := []codec.Segment{{Cols: 5, Taps: 9, Width: 3, Start: 3, Len: 100}, {Cols: 50, Taps: 1, Width: 1, Len: 50}}
	r := rand.New(rand.NewSource(1))
	syms := make([]uint16, n)
	for i := range syms {
		syms[i] = uint16(r.Intn(100))
	}
	src, base := make([]byte, 4*n), make([]byte, 4*n)
	r.Read(src)
	leveled := slices.Concat(withLevels(segs[:1], 300), withLevels(segs[1:], 100))
	levels := AppendLevels(nil, syms, leveled)
	floats := AppendFloats(nil, src, Float32, segs)
	delta := AppendDelta(nil, src, base, Float32, segs)

	classes, _ := binary.Uvarint(floats)
	blocks := []struct {
		name    string
		coded   []byte
		numbers []int // where they begin, and the end of the last
		decode  func(coded []byte) error
	}{
		{"levels", levels, places(t, levels, 1, len(segs)), func(b []byte) error { return DecodeLevels(make([]uint16, n), b, leveled) }},
		{"floats", floats, places(t, floats, 0, int(classes)+2), func(b []byte) error { return DecodeFloats(make([]byte, 4*n), b, Float32, segs) }},
		{"delta", delta, places(t, delta, 1, 1), func(b []byte) error { return DecodeDelta(make([]byte, 4*n), b, base, Float32, segs) }},
	}
	for _, b := range blocks {
		if err := b.decode(b.coded); err != nil {
			t.Fatalf("%s: %v", b.name, err)
		}
		for _, at := range b.numbers[:len(b.numbers)-1] {
			if err := b.decode(stretched(t, b.coded, at)); err == nil {
				t.Errorf("%s: the number at byte %d has one byte too many, and is taken", b.name, at)
			}
		}
	}
}
