package lineage

import (
	"encoding/binary"
	"math"

	"ropewalk/tensor"
)

// A numbers is the values of a tensor of floats, read where they are wanted.
type numbers struct {
	dtype tensor.DType
	raw   []byte
	shape tensor.Shape
}

// numbersOf reads t, whose type has to be one that decodes.
func numbersOf(t *tensor.Tensor) (*numbers, error) {
	raw, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	return &numbers{t.DType, raw, t.Shape}, nil
}

// len returns how many values there are.
func (v *numbers) len() int { return len(v.raw) * 8 / v.dtype.Bits() }

// row returns how many values an index of axis 0 has.
func (v *numbers) row() int {
	if len(v.shape) == 0 || v.shape[0] <= 0 {
		return max(1, v.len())
	}
	return max(1, v.len()/int(v.shape[0]))
}

// read decodes the values from i on into dst.
func (v *numbers) read(dst []float64, i int) {
	switch v.dtype {
	case tensor.F64:
		for k := range dst {
			dst[k] = math.Float64frombits(binary.LittleEndian.Uint64(v.raw[8*(i+k):]))
		}
	case tensor.F32:
		for k := range dst {
			dst[k] = float64(math.Float32frombits(binary.LittleEndian.Uint32(v.raw[4*(i+k):])))
		}
	case tensor.BF16:
		for k := range dst {
			dst[k] = float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(v.raw[2*(i+k):])) << 16))
		}
	case tensor.F16:
		for k := range dst {
			dst[k] = float64(tensor.Float16Value(binary.LittleEndian.Uint16(v.raw[2*(i+k):])))
		}
	default:
		table := float8s[v.dtype]
		for k := range dst {
			dst[k] = table[v.raw[i+k]]
		}
	}
}

// bits returns the bits of value i.
func (v *numbers) bits(i int) uint64 {
	switch v.dtype.Bits() {
	case 64:
		return binary.LittleEndian.Uint64(v.raw[8*i:])
	case 32:
		return uint64(binary.LittleEndian.Uint32(v.raw[4*i:]))
	case 16:
		return uint64(binary.LittleEndian.Uint16(v.raw[2*i:]))
	}
	return uint64(v.raw[i])
}

// decodes reports whether values of a type can be computed with.
func decodes(d tensor.DType) bool { return d.Numeric() || float8s[d] != nil }

// A precision is what a type of floats can tell apart.
type precision struct {
	dtype    tensor.DType
	mantissa int     // bits behind the leading one
	least    int     // exponent of the smallest normal number
	largest  float64 // finite
}

// precisions goes from the narrowest to the widest, the one with the larger range first.
var precisions = []precision{
	{tensor.F8E5M2, 2, -14, 57344},
	{tensor.F8E4M3, 3, -6, 448},
	{tensor.BF16, 7, -126, 0x1.fep127},
	{tensor.F16, 10, -14, 65504},
	{tensor.F32, 23, -126, math.MaxFloat32},
	{tensor.F64, 52, -1022, math.MaxFloat64},
}

// precisionOf returns what a type that decodes can tell apart.
func precisionOf(d tensor.DType) *precision {
	switch d {
	case tensor.F8E4M3Z:
		return &precision{d, 3, -7, 240}
	case tensor.F8E5M2Z:
		return &precision{d, 2, -15, 57344}
	}
	for i := range precisions {
		if precisions[i].dtype == d {
			return &precisions[i]
		}
	}
	return nil
}

// epsilon is the largest relative error of rounding a normal number.
func (p *precision) epsilon() float64 { return math.Ldexp(1, -p.mantissa-1) }

// round returns the value of the type that is nearest to a finite x, ties to even; what
// is too large becomes infinite.
func (p *precision) round(x float64) float64 {
	if x == 0 || p.mantissa == 52 {
		return x
	}
	e := max(int(math.Float64bits(x)>>52&0x7ff)-1023, p.least)
	unit := math.Ldexp(1, e-p.mantissa)
	r := math.RoundToEven(x/unit) * unit
	if math.Abs(r) > p.largest {
		return math.Inf(int(math.Copysign(1, x)))
	}
	return r
}

// holds reports whether a finite x is a value of the type.
func (p *precision) holds(x float64) bool { return p.round(x) == x }

// float8s are the values of bytes, for types of eight bits.
var float8s = map[tensor.DType]*[256]float64{
	tensor.F8E4M3:  float8(3, 7, func(b int) bool { return b&0x7f == 0x7f }, nil),
	tensor.F8E5M2:  float8(2, 15, func(b int) bool { return b&0x7f > 0x7c }, func(b int) bool { return b&0x7f == 0x7c }),
	tensor.F8E4M3Z: float8(3, 8, func(b int) bool { return b == 0x80 }, nil),
	tensor.F8E5M2Z: float8(2, 16, func(b int) bool { return b == 0x80 }, nil),
}

// float8 makes the table of a type with so many bits of mantissa and that bias.
func float8(mantissa, bias int, nan, inf func(b int) bool) *[256]float64 {
	t := new([256]float64)
	for b := range t {
		e, m := b&0x7f>>mantissa, b&(1<<mantissa-1)
		v := math.Ldexp(float64(m), 1-bias-mantissa)
		if e > 0 {
			v = math.Ldexp(float64(m|1<<mantissa), e-bias-mantissa)
		}
		switch {
		case nan(b):
			v = math.NaN()
		case inf != nil && inf(b):
			v = math.Inf(1)
		}
		if b&0x80 != 0 {
			v = -v
		}
		t[b] = v
	}
	return t
}

// A valueSet counts distinct numbers up to a limit. 0 and -0 are the same.
type valueSet struct {
	slots []uint64 // bits; 0 is empty
	count int
	zero  bool
	limit int
	full  bool // there were more
}

func newValueSet(limit int) *valueSet {
	n := 16
	for n < 2*limit {
		n *= 2
	}
	return &valueSet{slots: make([]uint64, n), limit: limit}
}

// add enters a number.
func (s *valueSet) add(x float64) {
	if s.full {
		return
	}
	if x == 0 {
		if !s.zero {
			s.zero = true
			s.grow()
		}
		return
	}
	k := math.Float64bits(x)
	mask := uint64(len(s.slots) - 1)
	for i := k * 0x9e3779b97f4a7c15 >> 40; ; i++ {
		switch s.slots[i&mask] {
		case k:
			return
		case 0:
			if s.grow(); !s.full {
				s.slots[i&mask] = k
			}
			return
		}
	}
}

func (s *valueSet) grow() {
	if s.count == s.limit {
		s.full = true
		return
	}
	s.count++
}

// values returns the numbers, in no order.
func (s *valueSet) values() []float64 {
	out := make([]float64, 0, s.count)
	if s.zero {
		out = append(out, 0)
	}
	for _, k := range s.slots {
		if k != 0 {
			out = append(out, math.Float64frombits(k))
		}
	}
	return out
}

// clear empties a set.
func (s *valueSet) clear() {
	clear(s.slots)
	s.count, s.zero, s.full = 0, false, false
}
