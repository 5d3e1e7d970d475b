package planes

import (
	"encoding/binary"
	"math"
	"math/rand"
)

// textures are what blocks of tensors look like.
var textures = []struct {
	name string
	fill func(r *rand.Rand, b []byte, width int)
}{
	{"gauss", func(r *rand.Rand, b []byte, width int) { gauss(r, b, width, 1) }},
	{"rows", func(r *rand.Rand, b []byte, width int) {
		for row := 576 * width; len(b) > 0; {
			n := min(row, len(b))
			gauss(r, b[:n], width, math.Exp(r.NormFloat64()))
			b = b[n:]
		}
	}},
	{"pruned", func(r *rand.Rand, b []byte, width int) {
		gauss(r, b, width, 1)
		for i := 0; i < len(b); i += width {
			if r.Intn(10) > 0 {
				clear(b[i : i+width])
			}
		}
	}},
	{"random", func(r *rand.Rand, b []byte, _ int) { r.Read(b) }},
	{"zeros", func(_ *rand.Rand, b []byte, _ int) { clear(b) }},
	{"constant", func(r *rand.Rand, b []byte, width int) {
		v := r.Uint64()
		for i := 0; i < len(b); i += width {
			store(b[i:], width, v)
		}
	}},
	{"counter", func(_ *rand.Rand, b []byte, width int) {
		for i := 0; i < len(b); i += width {
			store(b[i:], width, uint64(i/width))
		}
	}},
	{"small ints", func(r *rand.Rand, b []byte, width int) {
		for i := 0; i < len(b); i += width {
			store(b[i:], width, uint64(int64(r.NormFloat64()*20)))
		}
	}},
	{"two values", func(r *rand.Rand, b []byte, width int) {
		for i := 0; i < len(b); i += width {
			store(b[i:], width, uint64(r.Intn(2))*0x3c003c003c003c00)
		}
	}},
	{"skewed", func(r *rand.Rand, b []byte, _ int) {
		for i := range b {
			b[i] = byte(min(r.ExpFloat64()*r.ExpFloat64()*r.ExpFloat64()*20, 255))
		}
	}},
	{"not numbers", func(r *rand.Rand, b []byte, width int) {
		gauss(r, b, width, 1)
		for i := 0; i < len(b); i += width {
			switch r.Intn(8) {
			case 0: // NaN with any payload, either sign
				store(b[i:], width, load(b[i:], width, None)|0x7ff0<<48>>(64-8*width)|1)
			case 1: // infinity, or -0
				store(b[i:], width, uint64(r.Intn(2)*0x7f80+0x8000)<<48>>(64-8*width))
			case 2: // denormal
				store(b[i:], width, uint64(r.Intn(100)))
			}
		}
	}},
}

// gauss fills b with weights: floats of 2 (bfloat16), 4 and 8 bytes, or int8.
func gauss(r *rand.Rand, b []byte, width int, scale float64) {
	for i := 0; i < len(b); i += width {
		x := (r.NormFloat64() + r.NormFloat64()*1e-9) * 0.05 * scale
		switch width {
		case 1:
			b[i] = byte(int8(max(-127, min(127, x*500))))
		case 2:
			binary.LittleEndian.PutUint16(b[i:], uint16(math.Float32bits(float32(x))>>16))
		case 4:
			binary.LittleEndian.PutUint32(b[i:], math.Float32bits(float32(x)))
		case 8:
			binary.LittleEndian.PutUint64(b[i:], math.Float64bits(x))
		}
	}
}

// half turns a number of ordinary size into an IEEE half.
func half(x float64) uint16 {
	f := math.Float32bits(float32(x))
	e := int(f>>23&255) - 127 + 15
	if e <= 0 {
		return uint16(f >> 16 & 0x8000)
	}
	return uint16(f>>16&0x8000) | uint16(e<<10) | uint16(f>>13&0x3ff)
}

// make returns n elements of a texture.
func texture(kind, n, width int, seed int64) []byte {
	b := make([]byte, n*width)
	textures[kind].fill(rand.New(rand.NewSource(seed)), b, width)
	return b
}
