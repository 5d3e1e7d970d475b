package planes

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawElements draws the elements of a block.
func drawElements(t *rapid.T, counts *rapid.Generator[int]) (src []byte, width int, tr Transform) {
	width = rapid.SampledFrom([]int{1, 2, 4, 8}).Draw(t, "width")
	tr = Transform(rapid.IntRange(0, 1).Draw(t, "transform"))
	kind := rapid.IntRange(0, len(textures)-1).Draw(t, "texture")
	return texture(kind, counts.Draw(t, "elements"), width, rapid.Int64().Draw(t, "seed")), width, tr
}

func TestRoundTrip(t *testing.T) {
	var e Encoder
	var d Decoder
	rapid.Check(t, func(t *rapid.T) {
		small, medium := rapid.IntRange(0, 300), rapid.IntRange(0, 20000)
		counts := rapid.OneOf(small, small, small, medium, medium, medium, medium, rapid.IntRange(chunk-10, 300000))
		src, width, tr := drawElements(t, counts)
		coded := e.Append([]byte("before"), src, width, tr)[6:]
		if chunks := (len(src)/width + chunk - 1) / chunk; len(coded) > len(src)+chunks {
			t.Fatalf("%d bytes became %d", len(src), len(coded))
		}
		dst := bytes.Repeat([]byte{0xa5}, len(src))
		if err := d.Decode(dst, coded, width, tr); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(dst, src) {
			t.Fatal("values differ")
		}
		// What was coded before leaves no trace.
		if again := Append(nil, src, width, tr); !bytes.Equal(again, coded) {
			t.Fatal("a second encoder gives other bytes")
		}
	})
}

// The fast decoder agrees with the simple one.
func TestReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src, width, tr := drawElements(t, rapid.OneOf(rapid.IntRange(0, 3000), rapid.IntRange(4000, 20000)))
		got, err := refDecode(len(src)/width, Append(nil, src, width, tr), width, tr)
		if err != nil || !bytes.Equal(got, src) {
			t.Fatalf("values differ, or %v", err)
		}
	})
}

// The streams of a plane of more than 2^17 symbols have longer sizes.
func TestReferenceLarge(t *testing.T) {
	for _, n := range []int{1 << 17, 1<<17 + 1, chunk, chunk + 1} {
		src := texture(1, n, 2, 1)
		got, err := refDecode(n, Append(nil, src, 2, Rotate), 2, Rotate)
		if err != nil || !bytes.Equal(got, src) {
			t.Errorf("%d elements: values differ, or %v", n, err)
		}
	}
}

// unhex reads hex digits, with any white space.
func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The bytes of small blocks, as docs/FORMAT.md explains them.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		name  string
		src   []byte
		width int
		tr    Transform
		coded string
	}{
		{"nothing", nil, 4, Rotate, ""},
		{"raw", []byte{1, 2, 3, 4}, 2, Rotate, "00 01020304"},
		{"fill", bytes.Repeat([]byte{0x80, 0xbf}, 4), 2, Rotate, "01 0101 01 7f"}, // bfloat16 -1
		{
			"sparse", append(make([]byte, 62), 0x80, 0x3f), 2, Rotate, // 31 zeros, 1
			`02 00 00000080
			 00 803f`,
		},
		{
			"huffman", bytes.Repeat([]byte("ab"), 32), 1, None,
			`01 02
			 ed1401               97 symbols without a word, two of length 1
			 0200 0200 0200 0200
			 aaaa aaaa aaaa aaaa`,
		},
		{
			"stored",
			[]byte{0, 0xff, 1, 0xff, 2, 0xff, 3, 0xff, 4, 0xff, 5, 0xff, 6, 0xff, 7, 0xff, 8, 0xff},
			2, None,
			`01 0001
			 00 04 01 05 02 06 03 07 08
			 ff`,
		},
	} {
		want := c.coded
		if c.name == "huffman" {
			want = strings.Replace(want, "97 symbols without a word, two of length 1", "", 1)
		}
		got := Append(nil, c.src, c.width, c.tr)
		if diff := cmp.Diff(unhex(t, want), append([]byte{}, got...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, c := range []struct {
		name  string
		n     int // elements of two bytes
		coded string
	}{
		{"empty", 1, ""},
		{"bytes for no elements", 0, "00"},
		{"unknown chunk", 1, "03 0000"},
		{"raw, cut", 2, "00 010203"},
		{"raw, longer", 1, "00 010203"},
		{"kinds, cut", 1, "01 01"},
		{"unknown kind", 1, "01 0104 00 00"},
		{"all planes stored", 1, "01 0000 0000"},
		{"stored plane, cut", 3, "01 0001 0000"},
		{"fill, cut", 1, "01 0101 00"},
		{"bytes behind the chunk", 1, "01 0101 0000 00"},
		{"lengths, cut", 8, "01 0201 1c"},
		{"lengths, bad nibble", 8, "01 0201 e1 00000000 00000000 00"},
		{"lengths, word of 15", 8, "01 0201 f1 00000000 00000000 00"},
		{"lengths, too many words", 8, "01 0201 2111 00000000 00000000 00"},
		{"lengths of 257 symbols", 8, "01 0201 fd1e d1fe 00000000 00000000 00"},
		{"lengths, run over the last symbol", 8, "01 0201 ddff dff1 1100 00000000 00000000 00"},
		{"lengths, end not zero", 8, "01 0201 2222 12 00000000 00000000 00"},
		{"sizes, cut", 8, "01 0201 11 0100 0100"},
		{"streams, cut", 8, "01 0201 11 0100 0100 0100 0200 00 00 00 00"},
		{"stream without symbols", 8, "01 0201 11 0100 0100 0100 0000 01 02 03 00"},
		{"stream too long", 8, "01 0201 11 0100 0100 0100 0200 01 02 03 0000 00"},
		{"stream with an end that is not zero", 8, "01 0201 11 0100 0100 0100 0100 01 02 03 04 00"},
		{"classes, none", 8, "01 0301 00 00 00"},
		{"classes, one", 8, "01 0301 01 00 0100 00"},
		{"classes, five", 8, "01 0301 05 00 0100 0100 0100 0100 0100 00"},
		{"classes, cut in the ids", 8, "01 0301 02"},
		{"classes, id of none", 8, "01 0301 02 02 0100 0100 00"},
		{"classes, ids behind the end", 8, "01 0301 02 04 0100 0100 00"},
		{"classes in classes", 8, "01 0301 02 00 0302 00 0100 0100 0100 00"},
		{"class, cut", 8, "01 0301 02 00 0001020304"},
		{"class without a kind", 8, "01 0301 02 00"},
		{"mask, cut", 9, "02 00 ff"},
		{"mask, no kind", 9, "02"},
		{"mask with classes", 9, "02 03 02 00 0100 0100 00"},
		{"mask, bits behind the end", 9, "02 00 0002 00 0000"},
		{"no values", 9, "02 00 0001"},
		{"values, cut", 9, "02 00 0101 00 0000"},
		{"values that are sparse", 9, "02 00 0100 02 00 01 00 0100"},
		{"bytes behind no values", 9, "02 00 0000 00"},
	} {
		dst := make([]byte, 2*c.n)
		coded := unhex(t, c.coded)
		if err := Decode(dst, coded, 2, None); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: error %v", c.name, err)
		}
		if _, err := refDecode(c.n, coded, 2, None); err == nil {
			t.Errorf("%s: the reference accepts it", c.name)
		}
	}
}

// agree reports a difference between the two decoders.
func agree(t *testing.T, coded []byte, n, width int, tr Transform) {
	t.Helper()
	got := make([]byte, n*width)
	err := Decode(got, coded, width, tr)
	want, refErr := refDecode(n, coded, width, tr)
	if (err == nil) != (refErr == nil) {
		t.Fatalf("error %v, reference %v", err, refErr)
	}
	if err == nil && !bytes.Equal(got, want) {
		t.Fatal("decoders disagree")
	}
	if err != nil && !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}

// samples calls f with small blocks of all textures.
func samples(f func(name string, src []byte, width int, tr Transform)) {
	for kind, texture := range textures {
		for _, width := range []int{1, 2, 4, 8} {
			src := make([]byte, 150*width)
			texture.fill(rand.New(rand.NewSource(int64(kind))), src, width)
			f(fmt.Sprintf("%s, width %d", texture.name, width), src, width, Transform(kind&1))
		}
	}
	// One that has classes: zeros here, noise there.
	src := append(make([]byte, minClassed), texture(3, minClassed, 1, 1)...)
	f("classes", src, 1, None)
}

func TestTruncation(t *testing.T) {
	samples(func(name string, src []byte, width int, tr Transform) {
		coded := Append(nil, src, width, tr)
		dst := make([]byte, len(src))
		for n := range coded {
			if err := Decode(dst, coded[:n:n], width, tr); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: cut to %d of %d bytes: %v", name, n, len(coded), err)
			}
		}
	})
}

func TestBitFlips(t *testing.T) {
	samples(func(_ string, src []byte, width int, tr Transform) {
		coded := Append(nil, src, width, tr)
		for i := range min(len(coded), 2000) {
			for bit := range 8 {
				coded[i] ^= 1 << bit
				if len(coded) < 2000 {
					agree(t, coded, len(src)/width, width, tr)
				} else {
					_ = Decode(make([]byte, len(src)), coded, width, tr) // without a panic
				}
				coded[i] ^= 1 << bit
			}
		}
	})
}

func TestNoAllocations(t *testing.T) {
	var e Encoder
	var d Decoder
	for kind, texture := range textures {
		src := make([]byte, 4*chunk)
		texture.fill(rand.New(rand.NewSource(int64(kind))), src, 4)
		coded := e.Append(nil, src, 4, Rotate)
		coded = append(coded, make([]byte, len(coded)/8)...) // room for what is written too much
		dst := make([]byte, len(src))
		n := len(e.Append(coded[:0], src, 4, Rotate))
		if allocs := testing.AllocsPerRun(2, func() { e.Append(coded[:0], src, 4, Rotate) }); allocs > 0 {
			t.Errorf("%s: %v allocations to encode", texture.name, allocs)
		}
		if err := d.Decode(dst, coded[:n], 4, Rotate); err != nil {
			t.Fatal(err)
		}
		if allocs := testing.AllocsPerRun(2, func() { _ = d.Decode(dst, coded[:n], 4, Rotate) }); allocs > 0 {
			t.Errorf("%s: %v allocations to decode", texture.name, allocs)
		}
	}
}

func TestMisuse(t *testing.T) {
	for _, c := range []struct {
		n, width int
		tr       Transform
	}{{3, 3, None}, {3, 2, None}, {0, 0, None}, {4, 4, 2}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v: no panic", c)
				}
			}()
			Append(nil, make([]byte, c.n), c.width, c.tr)
		}()
	}
}

func FuzzDecode(f *testing.F) {
	samples(func(_ string, src []byte, width int, tr Transform) {
		how := byte(tr)
		for w := width; w > 1; w /= 2 {
			how += 2
		}
		f.Add(Append(nil, src, width, tr), how, uint16(len(src)/width))
	})
	f.Fuzz(func(t *testing.T, coded []byte, how byte, n uint16) {
		agree(t, coded, int(n), 1<<(how>>1&3), Transform(how&1))
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("some weights"), byte(4), byte(3))
	f.Add(make([]byte, 100), byte(3), byte(200))
	f.Fuzz(func(t *testing.T, src []byte, how, times byte) {
		width := 1 << (how >> 1 & 3)
		src = bytes.Repeat(src, int(times)) // long enough for all ways
		src = src[:len(src)/width*width]
		tr := Transform(how & 1)
		dst := make([]byte, len(src))
		coded := Append(nil, src, width, tr)
		if err := Decode(dst, coded, width, tr); err != nil || !bytes.Equal(dst, src) {
			t.Fatalf("values differ, or %v", err)
		}
	})
}
