package mark

import (
	"math/rand/v2"
	"testing"
)

// Bytes of weights in a second. One tensor is read by one processor.
func BenchmarkExtract(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	w := make([]float32, 1<<22)
	for i := range w {
		w[i] = float32(r.NormFloat64())
	}
	set := setOf(b, tensorOf("w", w, 1<<12, 1<<10))
	k := newKey(b, 1, 1, 2, 3, 4)
	for _, scheme := range []string{"keyed", "payload"} {
		e := embed(b, scheme, set, k, nil)
		raw, err := e.Set.At(0).Bytes()
		if err != nil {
			b.Fatal(err)
		}
		marked := setOf(b, tensorOf("w", e.Set.At(0).DType.AppendFloat32s(nil, raw), 1<<12, 1<<10))
		b.Run(scheme+"/extract", func(b *testing.B) {
			b.SetBytes(4 << 22)
			for b.Loop() {
				extract(b, marked, set, k, e.Parameters)
			}
		})
		b.Run(scheme+"/embed", func(b *testing.B) {
			b.SetBytes(4 << 22)
			for b.Loop() {
				if _, err := e.Set.At(0).Data.ReadAt(raw, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
