package main

import (
	"path/filepath"
	"testing"

	"ropewalk/checkpoint"
)

// Each rate meets the error of Lloyd-Max from below, and needs fewer bytes for
// it, by either criterion; and fewer still when it looks at what symbols cost.
func TestRates(t *testing.T) {
	file, err := checkpoint.Open(filepath.Join("..", "..", "..", "testdata", "fashion-cnn.safetensors"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	n := &network{name: "fashion", weights: 0}
	ms, err := matrices(file.Tensors)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ms {
		n.weights += len(m.values)
	}
	points, err := meetAll(t.Context(), n, file, []int{8})
	if err != nil {
		t.Fatal(err)
	}
	if want := len(criteria) * (1 + len(rates)); len(points) != want {
		t.Fatalf("%d points, want %d", len(points), want)
	}
	for i := 0; i < len(points); i += 3 {
		lloyd, plain, rdo := points[i], points[i+1], points[i+2]
		t.Logf("%s: %d bytes, %d, %d", lloyd.criterion, lloyd.size, plain.size, rdo.size)
		for _, p := range []ratePoint{plain, rdo} {
			if p.error > lloyd.error || p.error < (1-near)*lloyd.error {
				t.Errorf("%s, %s: error %g, want %g", p.criterion, p.rate, p.error, lloyd.error)
			}
		}
		if plain.size >= lloyd.size || rdo.size >= plain.size {
			t.Errorf("%s: %d bytes, then %d and %d", lloyd.criterion, lloyd.size, plain.size, rdo.size)
		}
	}
	n.weights++
	if _, err := meetAll(t.Context(), n, file, []int{8}); err == nil {
		t.Error("another number of weights: no error")
	}
}
