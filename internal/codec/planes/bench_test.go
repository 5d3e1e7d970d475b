package planes

import (
	"encoding/binary"
	"math/rand"
	"testing"
)

// benchmarks are full blocks.
func benchmarks() []struct {
	name  string
	width int
	t     Transform
	src   []byte
} {
	fp16 := make([]byte, 2*chunk)
	r := rand.New(rand.NewSource(1))
	for i := range chunk {
		binary.LittleEndian.PutUint16(fp16[2*i:], half(r.NormFloat64()*0.05))
	}
	return []struct {
		name  string
		width int
		t     Transform
		src   []byte
	}{
		{"BF16", 2, Rotate, texture(0, chunk, 2, 1)},
		{"BF16rows", 2, Rotate, texture(1, chunk, 2, 1)},
		{"F16", 2, Rotate, fp16},
		{"F32", 4, Rotate, texture(0, chunk, 4, 1)},
		{"F32rows", 4, Rotate, texture(1, chunk, 4, 1)},
		{"F32pruned", 4, Rotate, texture(2, chunk, 4, 1)},
		{"F64", 8, Rotate, texture(0, chunk, 8, 1)},
		{"U8", 1, None, texture(0, chunk, 1, 1)},
		{"I64", 8, None, texture(7, chunk, 8, 1)},
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, c := range benchmarks() {
		b.Run(c.name, func(b *testing.B) {
			var e Encoder
			var coded []byte
			b.SetBytes(int64(len(c.src)))
			for b.Loop() {
				coded = e.Append(coded[:0], c.src, c.width, c.t)
			}
			b.ReportMetric(float64(len(coded))/float64(len(c.src)), "ratio")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range benchmarks() {
		b.Run(c.name, func(b *testing.B) {
			var d Decoder
			coded := Append(nil, c.src, c.width, c.t)
			dst := make([]byte, len(c.src))
			b.SetBytes(int64(len(dst)))
			for b.Loop() {
				if err := d.Decode(dst, coded, c.width, c.t); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
