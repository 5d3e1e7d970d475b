package tensor_test

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/tensor"
)

var floatTypes = []tensor.DType{tensor.F16, tensor.BF16, tensor.F32, tensor.F64}

// precision returns the bits of a mantissa, and the exponent of the least
// positive number.
func precision(d tensor.DType) (bits uint, least int) {
	switch d {
	case tensor.F16:
		return 11, -24
	case tensor.BF16:
		return 8, -133
	case tensor.F32:
		return 24, -149
	}
	return 53, -1074
}

// round is the reference: x in arbitrary precision, rounded to nearest even
// once, to the bits that are left above the least number.
func round(x float64, d tensor.DType) float64 {
	if x == 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return x
	}
	bits, least := precision(d)
	_, e := math.Frexp(x) // |x| in [2^(e-1), 2^e)
	unit := max(e-int(bits), least)
	q := new(big.Float).SetMantExp(big.NewFloat(x), -unit)
	n, _ := q.Int(nil) // toward zero
	rest := new(big.Float).Sub(q, new(big.Float).SetInt(n))
	sign := int64(q.Sign())
	if c := rest.Abs(rest).Cmp(big.NewFloat(0.5)); c > 0 || c == 0 && n.Bit(0) == 1 {
		n.Add(n, big.NewInt(sign))
	}
	f, _ := new(big.Float).SetMantExp(new(big.Float).SetInt(n), unit).Float64()
	if n.Sign() == 0 {
		return math.Copysign(0, x)
	}
	return f
}

var largest = map[tensor.DType]float64{
	tensor.F16: 65504, tensor.BF16: math.Ldexp(255, 120), tensor.F32: math.MaxFloat32, tensor.F64: math.MaxFloat64,
}

func drawNumber(t *rapid.T, d tensor.DType) uint64 {
	switch d {
	case tensor.F16, tensor.BF16:
		return uint64(rapid.Uint16().Draw(t, "bits"))
	case tensor.F32:
		return uint64(rapid.Uint32().Draw(t, "bits"))
	}
	// Near ties of the smaller types, too: few bits of the mantissa are set.
	bits := rapid.Uint64().Draw(t, "bits")
	if rapid.Bool().Draw(t, "near") {
		bits &= ^uint64(0)<<rapid.IntRange(20, 46).Draw(t, "cut") | 3
		exponent := uint64(1023 + rapid.IntRange(-160, 40).Draw(t, "exponent"))
		bits = bits&^(0x7ff<<52) | exponent<<52
	}
	return bits
}

// One value through all pairs of types is the reference's.
func TestCast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := rapid.SampledFrom(floatTypes).Draw(t, "from"), rapid.SampledFrom(floatTypes).Draw(t, "to")
		raw := binary.LittleEndian.AppendUint64(nil, drawNumber(t, from))[:from.Bits()/8]
		x := value(from, raw)
		b, err := tensor.Cast(one("x", from, tensor.Shape{1}, raw...), to).Bytes()
		want := round(x, to)
		if math.Abs(want) > largest[to] && !math.IsInf(x, 0) {
			e, ok := errors.AsType[*tensor.RangeError](err)
			if !ok || e.Value != x || e.Index != 0 || e.To != to {
				t.Fatalf("%g from %s to %s: %v", x, from, to, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		got := value(to, b)
		if got != want && !(got != got && want != want) || math.Signbit(got) != math.Signbit(want) {
			t.Fatalf("%g from %s to %s is %g, want %g", x, from, to, got, want)
		}
	})
}

// value returns the number that raw is.
func value(d tensor.DType, raw []byte) float64 {
	if d == tensor.F64 {
		return math.Float64frombits(binary.LittleEndian.Uint64(raw))
	}
	return float64(d.AppendFloat32s(nil, raw)[0])
}

// Twice rounded, this would go up.
func TestCastRoundsOnce(t *testing.T) {
	x := 1 + math.Ldexp(1, -11) - math.Ldexp(1, -50) // just below a tie of F16, which F32 cannot tell from it
	raw := binary.LittleEndian.AppendUint64(nil, math.Float64bits(x))
	b, err := tensor.Cast(one("x", tensor.F64, tensor.Shape{1}, raw...), tensor.F16).Bytes()
	if err != nil || value(tensor.F16, b) != 1 {
		t.Errorf("%v, %v", b, err)
	}
}

// Any part of a cast tensor can be read, as parts of any other.
func TestCastParts(t *testing.T) {
	const n = 150_000
	raw := make([]byte, 0, 4*n)
	for i := range n {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(i)*0.1))
	}
	for _, data := range []tensor.Data{tensor.Bytes(raw), onlyRead{tensor.Bytes(raw)}} {
		x := &tensor.Tensor{Name: "x", DType: tensor.F32, Shape: tensor.Shape{n}, Data: data}
		for _, to := range floatTypes {
			c := tensor.Cast(x, to)
			if to == tensor.F32 != (c == x) {
				t.Fatalf("%s: a new tensor where there is nothing to do, or none", to)
			}
			all, err := c.Bytes()
			if err != nil || int64(len(all)) != c.Size() || c.Size() != n*int64(to.Bits()/8) {
				t.Fatalf("%s: %d bytes, %v", to, len(all), err)
			}
			for _, r := range [][2]int64{{0, 1}, {1, 9}, {131_071, 7}, {5, 290_001}, {c.Size() - 3, 3}} {
				part, err := tensor.ReadRange(c.Data, r[0], r[1], nil)
				if err != nil || string(part) != string(all[r[0]:r[0]+r[1]]) {
					t.Errorf("%s: %d bytes at %d are others, %v", to, r[1], r[0], err)
				}
			}
			over := make([]byte, 8)
			if m, err := c.Data.ReadAt(over, c.Size()-4); to != tensor.F32 && (m != 4 || !errors.Is(err, io.EOF)) {
				t.Errorf("%s: at the end %d bytes, %v", to, m, err)
			}
		}
	}
}

// What is no float that is known stays.
func TestCastKeeps(t *testing.T) {
	for _, d := range []tensor.DType{tensor.I64, tensor.Bool, tensor.F8E4M3, tensor.C64, "X1"} {
		x := one("x", d, tensor.Shape{0})
		if tensor.Cast(x, tensor.F16) != x {
			t.Errorf("%s was cast", d)
		}
	}
}

func TestCastOverflow(t *testing.T) {
	raw := tensor.F32.AppendFloats(nil, []float32{1, float32(math.Inf(1)), -65519, 65520})
	_, err := tensor.Cast(one("w", tensor.F32, tensor.Shape{4}, raw...), tensor.F16).Bytes()
	e, ok := errors.AsType[*tensor.RangeError](err)
	if !ok || e.Index != 3 || err.Error() != `tensor "w": value 3 is 65520, which is too large for F16` {
		t.Error(err)
	}
}
