package tensor

import (
	"encoding/binary"
	"math"
	"testing"
)

// Every 16-bit number comes back from float32, and every float32 goes to the
// nearest 16-bit number.
func TestFloats16(t *testing.T) {
	for _, d := range []DType{F16, BF16} {
		for h := range 1 << 16 {
			raw := binary.LittleEndian.AppendUint16(nil, uint16(h))
			v := d.AppendFloat32s(nil, raw)
			back := d.AppendFloats(nil, v)
			if v[0] == v[0] && string(back) != string(raw) {
				t.Fatalf("%s %04x becomes %g, which becomes %x", d, h, v[0], back)
			}
			if v[0] != v[0] && !math.IsNaN(float64(d.AppendFloat32s(nil, back)[0])) {
				t.Fatalf("%s %04x: NaN is lost", d, h)
			}
			if h&0x7fff < 0x7bff && d == F16 || h&0x7fff < 0x7f7f && d == BF16 {
				next := d.AppendFloat32s(nil, binary.LittleEndian.AppendUint16(nil, uint16(h+1)))[0]
				middle := float32((float64(v[0]) + float64(next)) / 2)
				even := uint16(h + h&1)
				for _, c := range []struct {
					v    float32
					want uint16
				}{
					{math.Nextafter32(middle, v[0]), uint16(h)},
					{math.Nextafter32(middle, next), uint16(h + 1)},
					{middle, even},
				} {
					if got := binary.LittleEndian.Uint16(d.AppendFloats(nil, []float32{c.v})); got != c.want {
						t.Fatalf("%s: %g becomes %04x, want %04x", d, c.v, got, c.want)
					}
				}
			}
		}
		inf := float32(math.Inf(1))
		if got := d.AppendFloat32s(nil, d.AppendFloats(nil, []float32{math.MaxFloat32}))[0]; got != inf {
			t.Errorf("%s: the largest float32 becomes %g", d, got)
		}
	}
}

func TestFloatsWide(t *testing.T) {
	values := []float32{0, -1.5, 3e-41, math.MaxFloat32}
	for _, d := range []DType{F32, F64} {
		raw := d.AppendFloats(nil, values)
		if len(raw) != len(values)*d.Bits()/8 {
			t.Errorf("%s: %d bytes", d, len(raw))
		}
		for i, v := range d.AppendFloat32s(nil, raw) {
			if v != values[i] {
				t.Errorf("%s: %g becomes %g", d, values[i], v)
			}
		}
	}
}
