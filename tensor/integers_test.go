package tensor

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// Wrap is the remainder modulo 2^bits, from the range of the type.
func TestWrap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.SampledFrom([]DType{I4, U4, I8, U8, I16, U16, I32, U32, I64}).Draw(t, "type")
		x := rapid.Int64().Draw(t, "x")
		one := big.NewInt(1)
		modulus := new(big.Int).Lsh(one, uint(d.Bits()))
		want := new(big.Int).Mod(big.NewInt(x), modulus) // not negative
		if d[0] == 'I' && want.Cmp(new(big.Int).Lsh(one, uint(d.Bits()-1))) >= 0 {
			want.Sub(want, modulus)
		}
		if got := d.Wrap(x); !want.IsInt64() || got != want.Int64() {
			t.Fatalf("%d as %s is %d, want %v", x, d, got, want)
		}
	})
	for _, x := range []int64{0, 1, -1, 256} {
		want := int64(1)
		if x == 0 {
			want = 0
		}
		if got := Bool.Wrap(x); got != want {
			t.Errorf("%d as a truth value is %d", x, got)
		}
		if U64.Wrap(x) != x || F32.Wrap(x) != x {
			t.Errorf("%d has changed", x)
		}
	}
}
