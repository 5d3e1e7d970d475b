package rope

import (
	"math"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/tensor"
)

func TestFixedLevels(t *testing.T) {
	f32 := func(fs ...float32) (vs []uint64) {
		for _, f := range fs {
			vs = append(vs, floatBits(f))
		}
		return vs
	}
	tests := []struct {
		name   string
		dtype  tensor.DType
		values []uint64
		want   []int32
	}{
		{"F32", tensor.F32, f32(-1, -0.5, 0, 0.75), []int32{-1 << 20, -1 << 19, 0, 3 << 18}},
		{"just below a power of two", tensor.F32, f32(-math.SmallestNonzeroFloat32, 0.99999994), []int32{0, 1<<21 - 1}},
		{"truncated towards zero", tensor.F32, f32(-1.0000006, 1.5), []int32{-1 << 20, 3 << 19}},
		{"subnormal", tensor.F32, []uint64{0, 1, 2, 3}, []int32{0, 1 << 19, 1 << 20, 3 << 19}},
		{"F16", tensor.F16, []uint64{0xc000, 0x8000, 0, 0x3c00}, []int32{-1 << 20, 0, 0, 1 << 19}},
		{"BF16", tensor.BF16, []uint64{0xbf80, 0x4040}, []int32{-1 << 19, 3 << 19}},
		{"F64", tensor.F64, []uint64{math.Float64bits(-math.MaxFloat64), math.Float64bits(1)}, []int32{-1<<21 + 1, 0}},
		{"I8", tensor.I8, []uint64{0x80, 0xff, 0, 127}, []int32{-1 << 20, -1 << 13, 0, 127 << 13}},
		{"I64", tensor.I64, []uint64{1 << 63, 0, 1<<63 - 1}, []int32{-1 << 20, 0, 1<<20 - 1}},
		{"U64", tensor.U64, []uint64{5, 1<<64 - 1}, []int32{0, 1<<21 - 1}},
		{"BOOL", tensor.Bool, []uint64{0, 1}, []int32{0, 1 << 20}},
		{"F8_E4M3", tensor.F8E4M3, []uint64{0xb8, 0, 0x38, 0x7e}, []int32{-(7 << 18 / 448), 0, 7 << 18 / 448, 7 << 18}},
		{"zeros", tensor.F32, []uint64{1 << 31, 0}, []int32{0, 256}},
		{"infinite", tensor.F32, f32(-1, 0, float32(math.Inf(1))), []int32{0, 256, 512}},
		{"NaN", tensor.BF16, []uint64{0xbf80, 0x7fc0}, []int32{0, 256}},
	}
	for _, tt := range tests {
		if got := fixedLevels(tt.dtype, tt.values); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Levels are in the order of their values, within bounds, and what exact
// arithmetic gives.
func TestFixedLevelsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := rapid.SliceOfNDistinct(rapid.Float64(), 1, 50, func(f float64) float64 { return f }).Draw(t, "values")
		slices.Sort(fs)
		var vs []uint64
		top := 0.0
		for _, f := range fs {
			vs = append(vs, math.Float64bits(f))
			top = max(top, math.Abs(f))
		}
		levels := fixedLevels(tensor.F64, vs)
		_, exp := math.Frexp(top)
		for i, l := range levels {
			if i > 0 && l < levels[i-1] {
				t.Fatalf("levels %v", levels)
			}
			want, _ := new(big.Float).SetMantExp(big.NewFloat(fs[i]), fixedBits-exp).Int64()
			if top > 0 && int64(l) != want {
				t.Fatalf("level of %g below %g is %d, want %d", fs[i], top, l, want)
			}
		}
	})
}

func TestHalf(t *testing.T) {
	for h := range uint32(1 << 16) {
		if h>>10&31 == 31 {
			continue
		}
		f := fromHalf(uint16(h))
		x := math.Float32frombits(f)
		e, m := int(h>>10&31), float64(h&1023)
		want := math.Ldexp(m, -24)
		if e > 0 {
			want = math.Ldexp(1024+m, e-25)
		}
		if h>>15 != 0 {
			want = -want
		}
		if float64(x) != want || math.Signbit(float64(x)) != (h>>15 != 0) {
			t.Fatalf("half %#x is %g, want %g", h, x, want)
		}
		if hs := halves([]uint64{uint64(f)}); hs == nil || hs[0] != uint16(h) {
			t.Fatalf("%g does not come back as %#x", x, h)
		}
		if f&(1<<13-1) == 0 && halves([]uint64{uint64(f | 1)}) != nil {
			t.Fatalf("%#x taken for a half", f|1)
		}
	}
	for _, f := range []float32{1e-9, 65520, float32(math.Inf(1)), float32(math.NaN())} {
		if halves([]uint64{floatBits(f)}) != nil {
			t.Errorf("%g taken for a half", f)
		}
	}
}
