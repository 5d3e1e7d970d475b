package kernel

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

// Every pattern of 16 bits, at every offset and length of a register, is the upper half of
// its float32, and nothing is written behind.
func TestBFloat16s(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		raw := make([]byte, 0, 2<<16)
		for x := range 1 << 16 {
			raw = binary.LittleEndian.AppendUint16(raw, uint16(x))
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for n := range 70 {
			from := rng.IntN(1<<16 - n)
			checkBFloat16s(t, raw[2*from:][:2*n])
		}
		checkBFloat16s(t, raw)
		checkBFloat16s(t, raw[2:])
	})
}

func checkBFloat16s(t *testing.T, raw []byte) {
	t.Helper()
	n := len(raw) / 2
	dst := make([]float32, n+1)
	dst[n] = 7
	BFloat16s(dst[:n], raw)
	for i, x := range dst[:n] {
		if got, want := math.Float32bits(x), uint32(binary.LittleEndian.Uint16(raw[2*i:]))<<16; got != want {
			t.Fatalf("number %d of %d: %08x, want %08x", i, n, got, want)
		}
	}
	if dst[n] != 7 {
		t.Fatalf("%d numbers: what is behind them was written", n)
	}
}

func TestBFloat16sPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("three bytes for two numbers are no panic")
		}
	}()
	BFloat16s(make([]float32, 2), make([]byte, 3))
}

func BenchmarkBFloat16s(b *testing.B) {
	raw, dst := make([]byte, 8192), make([]float32, 4096)
	b.SetBytes(8192)
	for b.Loop() {
		BFloat16s(dst, raw)
	}
}
