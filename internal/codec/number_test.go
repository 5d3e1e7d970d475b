package codec

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
)

func TestUvarint(t *testing.T) {
	tests := []struct {
		b []byte
		v uint64
		n int
	}{
		{nil, 0, 0},
		{[]byte{0}, 0, 1},
		{[]byte{0, 0}, 0, 1},
		{[]byte{0x7f, 0xff}, 127, 1},
		{[]byte{0x80}, 0, 0},
		{[]byte{0x80, 0}, 0, -2},
		{[]byte{0x85, 0}, 0, -2},
		{[]byte{0x80, 1}, 128, 2},
		{[]byte{0x80, 0x80, 0}, 0, -3},
		{slices.Concat(slices.Repeat([]byte{0xff}, 9), []byte{0}), 0, -10},
		{slices.Concat(slices.Repeat([]byte{0xff}, 9), []byte{1}), math.MaxUint64, 10},
		{slices.Concat(slices.Repeat([]byte{0xff}, 9), []byte{2}), 0, -10},
		{slices.Repeat([]byte{0x80}, 11), 0, -11},
	}
	for _, tt := range tests {
		if v, n := Uvarint(tt.b); v != tt.v || n != tt.n {
			t.Errorf("%x: got %d of %d bytes, want %d of %d", tt.b, v, n, tt.v, tt.n)
		}
	}
}

// Every number has the one form that the encoder writes, and no longer one.
func FuzzUvarint(f *testing.F) {
	for _, v := range []uint64{0, 1, 127, 128, 1<<14 - 1, 1 << 14, 1 << 63, math.MaxUint64} {
		f.Add(binary.AppendUvarint(nil, v))
	}
	f.Add([]byte{0x81, 0x80, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, n := Uvarint(b)
		if n > 0 && !slices.Equal(binary.AppendUvarint(nil, v), b[:n]) {
			t.Errorf("%x was read as %d", b[:n], v)
		}
	})
}
