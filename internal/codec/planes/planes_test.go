package planes

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand"
	"testing"

	"pgregory.net/rapid"
)

// texture fills n elements with one of the looks that tensors have.
func texture(r *rand.Rand, kind, n, width int) []byte {
	b := make([]byte, n*width)
	switch kind {
	case 0:
		r.Read(b)
	case 1, 2: // Gaussian weights; 2: nine of ten pruned
		for i := range n {
			if kind == 2 && r.Intn(10) > 0 {
				continue
			}
			v := math.Float32bits(float32(r.NormFloat64() * 0.05))
			switch width {
			case 1:
				b[i] = byte(int8(r.NormFloat64() * 20))
			case 2:
				binary.LittleEndian.PutUint16(b[2*i:], uint16(v>>16))
			case 4:
				binary.LittleEndian.PutUint32(b[4*i:], v)
			case 8:
				binary.LittleEndian.PutUint64(b[8*i:], math.Float64bits(r.NormFloat64()))
			}
		}
	case 3: // a counter
		for i := range n {
			for k := range min(width, 3) {
				b[i*width+k] = byte(i >> (8 * k))
			}
		}
	case 4: // two values
		for i := range b {
			b[i] = byte(r.Intn(2)) * 77
		}
	}
	return b // 5: zeros
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.SampledFrom([]int{1, 2, 4, 8}).Draw(t, "width")
		n := rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(0, 40000)).Draw(t, "n")
		tr := Transform(rapid.IntRange(0, 1).Draw(t, "transform"))
		src := texture(rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed"))), rapid.IntRange(0, 5).Draw(t, "texture"), n, width)
		coded := Append([]byte("before"), src, width, tr)[6:]
		if len(coded) > len(src)+1 {
			t.Fatalf("%d bytes became %d", len(src), len(coded))
		}
		dst := make([]byte, len(src))
		for i := range dst {
			dst[i] = 0xa5 // what was there must not matter
		}
		if err := Decode(dst, coded, width, tr); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(dst, src) {
			t.Fatal("values differ")
		}
	})
}

// decodeSlowly is the oracle: one bit at a time, by the definition of a
// canonical code.
func decodeSlowly(plane, coded []byte) {
	first, last := int(coded[0]), int(coded[1])
	var lens [256]int
	for s := first; s <= last; s++ {
		lens[s] = int(coded[2+(s-first)/2] >> (4 * ((s - first) & 1)) & 15)
	}
	coded = coded[2+(last-first)/2+1:]
	var sizes [4]int
	for k := range sizes {
		sizes[k] = int(binary.LittleEndian.Uint32(coded[4*k:]))
	}
	coded = coded[16:]
	quarter := (len(plane) + 3) / 4
	for k := range 4 {
		pos := 0
		for i := k * quarter; i < min((k+1)*quarter, len(plane)); i++ {
			word, length, base := 0, 0, 0
		symbol:
			for {
				word = word<<1 | int(coded[pos/8]>>(pos%8)&1)
				pos++
				length++
				base <<= 1
				for s, l := range lens {
					if l == length {
						if word == base {
							plane[i] = byte(s)
							break symbol
						}
						base++
					}
				}
			}
		}
		coded = coded[sizes[k]:]
	}
}

func TestHuffmanOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		spread := rapid.SampledFrom([]float64{0.3, 2, 30, 300}).Draw(t, "spread")
		plane := make([]byte, rapid.IntRange(2, 5000).Draw(t, "n"))
		for i := range plane {
			plane[i] = byte(min(r.ExpFloat64()*spread, 255))
		}
		plane[0], plane[1] = 3, 4 // at least two symbols
		hist := histogram(plane)
		c := newCode(&hist)
		coded := c.append(nil, plane, c.size(&hist))
		want, got := make([]byte, len(plane)), make([]byte, len(plane))
		decodeSlowly(want, coded)
		rest, err := decodeHuffman(got, coded)
		if err != nil || len(rest) != 0 {
			t.Fatalf("%d bytes left, %v", len(rest), err)
		}
		if !bytes.Equal(want, plane) || !bytes.Equal(got, plane) {
			t.Fatal("decoders disagree")
		}
	})
}

// A full block must go through the loop over four streams, not the slow end.
func TestFastPathRuns(t *testing.T) {
	src := texture(rand.New(rand.NewSource(1)), 1, 1<<18, 2)
	plane := make([]byte, 1<<18)
	extract(plane, src, 2, 1, Rotate)
	hist := histogram(plane)
	c := newCode(&hist)
	var single, multi table
	c.newTable(&single, &multi)
	var outs [streams][]byte
	var rs [streams]bitReader
	for k := range outs {
		outs[k] = make([]byte, len(plane)/4)
		rs[k].in = c.appendStream(make([]byte, 0, len(plane)), plane[k*len(plane)/4:(k+1)*len(plane)/4])
	}
	for k, n := range decodeFour(&outs, &rs, &multi) {
		if n < len(outs[k])*95/100 {
			t.Errorf("stream %d: the fast loop decoded %d of %d symbols", k, n, len(outs[k]))
		}
	}
}

// Code lengths are optimal up to the limit: within 1.5 % of the entropy on
// exponents of Gaussian weights.
func TestNearEntropy(t *testing.T) {
	src := texture(rand.New(rand.NewSource(1)), 1, 1<<18, 2)
	plane := make([]byte, 1<<18)
	extract(plane, src, 2, 1, Rotate)
	hist := histogram(plane)
	entropy := 0.0
	for _, h := range hist {
		if h > 0 {
			entropy -= float64(h) / 8 * math.Log2(float64(h)/(1<<18))
		}
	}
	c := newCode(&hist)
	got := float64(len(c.append(nil, plane, c.size(&hist))))
	if got > entropy*1.025 {
		t.Errorf("%.0f bytes, entropy is %.0f", got, entropy)
	}
}

func TestDamage(t *testing.T) {
	for kind := range 6 {
		for _, width := range []int{1, 2, 4} {
			src := texture(rand.New(rand.NewSource(2)), kind, 100, width)
			coded := Append(nil, src, width, Rotate)
			dst := make([]byte, len(src))
			for n := range coded {
				if Decode(dst, coded[:n], width, Rotate) == nil {
					t.Errorf("texture %d, width %d: cut to %d of %d bytes, no error", kind, width, n, len(coded))
				}
			}
			for i := range coded {
				for bit := range 8 {
					bad := bytes.Clone(coded)
					bad[i] ^= 1 << bit
					_ = Decode(dst, bad, width, Rotate) // wrong values or an error, but no panic
				}
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for kind := range 6 {
		src := texture(rand.New(rand.NewSource(3)), kind, 200, 4)
		f.Add(Append(nil, src, 4, Rotate), byte(5), uint16(200))
		f.Add(Append(nil, src, 1, None), byte(0), uint16(800))
	}
	f.Fuzz(func(_ *testing.T, coded []byte, how byte, n uint16) {
		width := 1 << (how >> 1 & 3)
		_ = Decode(make([]byte, int(n)*width), coded, width, Transform(how&1))
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("some weights"), byte(4))
	f.Fuzz(func(t *testing.T, src []byte, how byte) {
		width := 1 << (how >> 1 & 3)
		src = src[:len(src)/width*width]
		tr := Transform(how & 1)
		dst := make([]byte, len(src))
		if err := Decode(dst, Append(nil, src, width, tr), width, tr); err != nil || !bytes.Equal(dst, src) {
			t.Fatalf("%v", err)
		}
	})
}

func BenchmarkBlock(b *testing.B) {
	for _, c := range []struct {
		name    string
		width   int
		texture int
	}{{"BF16", 2, 1}, {"F32", 4, 1}, {"F64", 8, 1}, {"I8", 1, 1}, {"F32pruned", 4, 2}} {
		src := texture(rand.New(rand.NewSource(1)), c.texture, 1<<18, c.width)
		tr := Rotate
		if c.width == 1 {
			tr = None
		}
		coded := Append(nil, src, c.width, tr)
		b.Run(fmt.Sprint("encode/", c.name), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportMetric(float64(len(coded))/float64(len(src)), "ratio")
			for b.Loop() {
				coded = Append(coded[:0], src, c.width, tr)
			}
		})
		dst := make([]byte, len(src))
		b.Run(fmt.Sprint("decode/", c.name), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				if err := Decode(dst, coded, c.width, tr); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
