package lanes

import (
	"errors"
	"math/rand"
	"slices"
	"testing"

	"ropewalk/internal/codec"
)

// agree decodes with both decoders, which must agree: in their symbols, or in
// that there are none.
func agree(t *testing.T, name string, n int, coded []byte, segs []codec.Segment) {
	t.Helper()
	got, want := make([]uint16, n), make([]uint16, n)
	err := Decode(got, coded, segs)
	ref := reference(want, coded, segs)
	if (err == nil) != (ref == nil) {
		t.Fatalf("%s: %v, reference: %v", name, err, ref)
	}
	if err != nil && !errors.Is(err, ErrCorrupt) {
		t.Fatalf("%s: %v", name, err)
	}
	if err == nil && !slices.Equal(got, want) {
		t.Fatalf("%s: differs from the reference", name)
	}
}

func TestReference(t *testing.T) {
	for _, b := range blocks() {
		agree(t, b.name, len(b.syms), Append(nil, b.syms, b.segs), b.segs)
	}
}

// Blocks with damage anywhere mean the same to both decoders.
func TestDamaged(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, b := range blocks() {
		if len(b.syms) > 40000 {
			continue
		}
		coded := Append(nil, b.syms, b.segs)
		if len(coded) == 0 {
			continue
		}
		flip := func(i int) {
			coded[i/8] ^= 1 << (i % 8)
			agree(t, b.name, len(b.syms), coded, b.segs)
			coded[i/8] ^= 1 << (i % 8)
		}
		if len(b.syms) <= 200 {
			for i := range 8 * len(coded) {
				flip(i)
			}
			continue
		}
		for i := range 20 { // most in the parameters
			flip(i % (8 * len(coded)))
			flip(r.Intn(8 * min(100, len(coded))))
			flip(r.Intn(8 * len(coded)))
		}
	}
}

// segments makes segments of what a fuzzer has found.
func segments(shape []byte) (segs []codec.Segment, n int) {
	for len(shape) >= 6 && len(segs) < 4 {
		s := codec.Segment{
			Cols: 1 + int(shape[0]), Taps: 1 + int(shape[1]%30), Start: int(shape[2]) * 3,
			Len: int(shape[3]) << (shape[4] % 7), Levels: levels(1 + int(shape[5])*int(shape[5])%MaxLevels),
		}
		s.Width = s.Taps
		segs = append(segs, s)
		n += s.Len
		shape = shape[6:]
	}
	return segs, n
}

func FuzzDecode(f *testing.F) {
	for seed, shape := range []string{"\x10\x08\x00\x90\x03\x04", "\x20\x00\x05\xff\x05\x04", "\x05\x08\x05\xff\x06\x10\x05\x08\x05\xff\x02\x0f"} {
		segs, _ := segments([]byte(shape))
		var b block
		for _, s := range segs {
			b.add(int64(seed), s)
		}
		f.Add([]byte(shape), Append(nil, b.syms, b.segs))
	}
	f.Fuzz(func(t *testing.T, shape, coded []byte) {
		segs, n := segments(shape)
		agree(t, "fuzzed", n, coded, segs)
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("\x10\x08\x00\x90\x03\x04"), []byte("some symbols"))
	f.Fuzz(func(t *testing.T, shape, values []byte) {
		segs, n := segments(shape)
		syms := make([]uint16, 0, n)
		for _, s := range segs {
			for i := range s.Len {
				v := 0
				if len(values) > 0 {
					v = int(values[i%len(values)]) * (1 + i%3)
				}
				syms = append(syms, uint16(v%len(s.Levels)))
			}
		}
		got := make([]uint16, n)
		if err := Decode(got, Append(nil, syms, segs), segs); err != nil || !slices.Equal(got, syms) {
			t.Fatalf("%v", err)
		}
	})
}
