package native

import (
	"math"

	"ropewalk/tensor"
)

// A cast is Cast or CastLike.
type cast struct {
	x *operand
	y *site
}

func makeCast(n *node) (operator, error) {
	n.gradInPlace(0)
	n.chooses()
	return &cast{n.in[0], n.out[0]}, nil
}

func (o *cast) forward() {
	x, y := o.x, o.y
	switch {
	case x.ints && y.ints:
		for i, v := range x.int {
			y.int[i] = y.dtype.Wrap(v)
		}
	case x.ints:
		for i, v := range x.int {
			y.float[i] = roundTo(y.dtype, asFloat(x.dtype, v))
		}
	case y.ints:
		for i, v := range x.float {
			y.int[i] = toInt(y.dtype, float64(v))
		}
	case y.dtype == tensor.F16 || y.dtype == tensor.BF16:
		for i, v := range x.float {
			y.float[i] = roundTo(y.dtype, float64(v))
		}
	default:
		copy(y.float, x.float)
	}
}

// backward lets gradients through, as if nothing had been rounded.
func (o *cast) backward() {
	switch dx, dy := o.x.into, o.y.grad; {
	case !o.x.add && len(dx) > 0 && &dx[0] == &dy[0]:
	case o.x.add:
		for i, d := range dy {
			dx[i] += d
		}
	default:
		copy(dx, dy)
	}
}

// isUnsigned and isSigned tell the integers apart; truth values are neither.
func isUnsigned(d tensor.DType) bool {
	return d == tensor.U64 || d == tensor.U32 || d == tensor.U16 || d == tensor.U8 || d == tensor.U4
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// rangeOf returns the least and the greatest integer of a type; of U64, whose
// elements are the int64 of the same bits, it is that of I64.
func rangeOf(d tensor.DType) (lo, hi int64) {
	switch bits := d.Bits(); {
	case d == tensor.Bool:
		return 0, 1
	case bits == 64:
		return math.MinInt64, math.MaxInt64
	case isUnsigned(d):
		return 0, 1<<bits - 1
	default:
		return -1 << (bits - 1), 1<<(bits-1) - 1
	}
}

// asFloat returns an integer of a type as a float.
func asFloat(d tensor.DType, x int64) float64 {
	if d == tensor.U64 {
		return float64(uint64(x))
	}
	return float64(x)
}

// toInt cuts x toward zero. What does not fit goes by way of int64 and is cut to
// its bits, as with C++ on usual machines; four bits saturate. NaN is 0.
func toInt(d tensor.DType, x float64) int64 {
	switch {
	case d == tensor.Bool:
		return truth(x != 0)
	case d == tensor.U64:
		switch {
		case !(x > 0):
			return 0
		case x >= 1<<64:
			return -1
		}
		return int64(uint64(x))
	case d == tensor.I4 || d == tensor.U4:
		return saturate(d, math.Trunc(x))
	}
	return d.Wrap(saturate(tensor.I64, math.Trunc(x)))
}

// saturate returns a whole number as the nearest of type d; NaN is 0.
func saturate(d tensor.DType, x float64) int64 {
	lo, hi := rangeOf(d)
	switch {
	case x != x:
		return 0
	case x <= float64(lo):
		return lo
	case x >= float64(hi):
		return hi
	}
	return int64(x)
}

// roundTo rounds x to a type of floats.
func roundTo(d tensor.DType, x float64) float32 {
	f := float32(x)
	if d != tensor.F16 && d != tensor.BF16 {
		return f
	}
	if float64(f) != x && x == x && !math.IsInf(float64(f), 0) {
		// The neighbour whose last bit is set: rounding twice is then rounding once.
		b := math.Float32bits(f)
		if math.Abs(float64(f)) > math.Abs(x) {
			b--
		}
		f = math.Float32frombits(b | 1)
	}
	if d == tensor.F16 {
		return tensor.Float16Value(tensor.Float16Bits(f))
	}
	return math.Float32frombits(uint32(tensor.BFloat16Bits(f)) << 16)
}
