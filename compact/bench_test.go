package compact

import (
	"math/rand/v2"
	"testing"

	"ropewalk/engine"
	"ropewalk/tensor"
	"ropewalk/train"
)

// BenchmarkStep is what a step of the recipe adds to one of the task, for the
// weights of a LeNet-300-100.
func BenchmarkStep(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	var w []engine.Weight
	for _, s := range []tensor.Shape{{300, 784}, {300}, {100, 300}, {100}, {10, 100}, {10}} {
		n, _ := s.Elems()
		x := engine.Weight{Name: s.String(), Shape: s, Values: make([]float32, n), Gradient: make([]float32, n)}
		for j := range x.Values {
			x.Values[j] = float32(0.03 * rng.NormFloat64())
			x.Gradient[j] = float32(1e-4 * rng.NormFloat64())
		}
		w = append(w, x)
	}
	r, err := New(w, nil, Options{Levels: 3, Threads: 1}, Tools{})
	if err != nil {
		b.Fatal(err)
	}
	shown := make([]engine.Weight, len(w))
	for i := range w {
		shown[i] = w[i]
		shown[i].Values = make([]float32, len(w[i].Values))
	}
	p := r.Penalty()
	step := uint64(100)
	for b.Loop() {
		r.Follow(train.Moment{Step: step, Steps: 1 << 20, Rate: 1e-9})
		for i := range w {
			copy(shown[i].Values, w[i].Values)
		}
		if err := r.Substitute(shown); err != nil {
			b.Fatal(err)
		}
		p.AddGrad(w)
		if err := r.Adjust(w); err != nil {
			b.Fatal(err)
		}
		step++
	}
}
