package tensor

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestRoundKnown(t *testing.T) {
	inf := float32(math.Inf(1))
	tests := []struct {
		x        float32
		bf16, fp uint16
	}{
		{0, 0, 0},
		{float32(math.Copysign(0, -1)), 0x8000, 0x8000},
		{1, 0x3f80, 0x3c00},
		{-2, 0xc000, 0xc000},
		{1 + 1.0/256, 0x3f80, 0x3c04},    // tie for bfloat16, to even
		{1 + 3.0/256, 0x3f82, 0x3c0c},    // tie for bfloat16, to even
		{1 + 1.0/2048, 0x3f80, 0x3c00},   // tie for float16
		{1 + 3.0/2048, 0x3f80, 0x3c02},   // tie for float16
		{65504, 0x4780, 0x7bff},          // largest float16
		{65519.996, 0x4780, 0x7bff},      // just below the tie
		{65520, 0x4780, 0x7c00},          // tie, to infinity
		{0x1p-14, 0x3880, 0x0400},        // smallest normal float16
		{0x1p-24, 0x3380, 0x0001},        // smallest subnormal
		{0x1p-25, 0x3300, 0x0000},        // tie, to even
		{0x1.000002p-25, 0x3300, 0x0001}, // just above
		{0x1.8p-24, 0x33c0, 0x0002},      // tie, to even
		{inf, 0x7f80, 0x7c00},
		{-inf, 0xff80, 0xfc00},
		{math.MaxFloat32, 0x7f80, 0x7c00},
	}
	for _, tt := range tests {
		if got := BFloat16Bits(tt.x); got != tt.bf16 {
			t.Errorf("bfloat16(%g) = %#04x, want %#04x", tt.x, got, tt.bf16)
		}
		if got := Float16Bits(tt.x); got != tt.fp {
			t.Errorf("float16(%g) = %#04x, want %#04x", tt.x, got, tt.fp)
		}
	}
	nan := float32(math.NaN())
	if b := BFloat16Bits(nan); b&0x7f80 != 0x7f80 || b&0x7f == 0 {
		t.Errorf("bfloat16(NaN) = %#04x", b)
	}
	if b := Float16Bits(nan); b&0x7c00 != 0x7c00 || b&0x3ff == 0 {
		t.Errorf("float16(NaN) = %#04x", b)
	}
}

// No other half is nearer, and of two that are equally near the even one wins.
func TestRoundNearest(t *testing.T) {
	formats := []struct {
		name  string
		round func(float32) uint16
		value func(uint16) float64
		inf   uint16
	}{
		{"bfloat16", BFloat16Bits, func(b uint16) float64 { return float64(math.Float32frombits(uint32(b) << 16)) }, 0x7f80},
		{"float16", Float16Bits, half, 0x7c00},
	}
	for _, f := range formats {
		rapid.Check(t, func(t *rapid.T) {
			x := math.Float32frombits(rapid.Uint32Max(0x7f7fffff).Draw(t, "bits"))
			got := f.round(x)
			if f.round(-x) != got|0x8000 {
				t.Fatalf("%s: %g and its negative round apart", f.name, x)
			}
			if got == f.inf {
				return // the tie to infinity is in the table of known values
			}
			off := math.Abs(f.value(got) - float64(x))
			for _, other := range []uint16{got - 1, got + 1} {
				if other == f.inf || other == 0xffff {
					continue
				}
				d := math.Abs(f.value(other) - float64(x))
				if d < off || d == off && got&1 == 1 {
					t.Fatalf("%s(%g) = %#04x (%g), but %#04x (%g) is nearer or even", f.name, x, got, f.value(got), other, f.value(other))
				}
			}
		})
	}
}

// half returns the value of a finite, positive float16.
func half(b uint16) float64 {
	exp, frac := int(b>>10), float64(b&0x3ff)
	if exp == 0 {
		return math.Ldexp(frac, -24)
	}
	return math.Ldexp(1024+frac, exp-25)
}
