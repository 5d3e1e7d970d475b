package align

import (
	"math/rand/v2"
	"slices"
	"testing"

	"ropewalk/internal/kernel"
)

// What sketches decide is what all evidence says; where there is a doubt they decide
// nothing.
func TestSketched(t *testing.T) {
	pool := kernel.NewPool(2)
	defer pool.Close()
	decided := 0
	for seed := range uint64(12) {
		omega := []float64{0, 0.3, 1, 4}[seed%4]
		r := rand.New(rand.NewPCG(seed, 256))
		s := layer(r, 128, 300, 200, []Gauge{Positive}, func(x []float32) { noise(r, x, omega) })
		_, got := sketched(&s.group, pool)
		if got == nil {
			if omega < 0.5 {
				t.Errorf("seed %d: sketches leave a doubt at noise %v", seed, omega)
			}
			continue
		}
		decided++
		want := must(Match(&s.group, nil))
		if !slices.Equal(got.Sus, want.Sus) || !slices.Equal(got.Sus, s.truth.Sus) {
			t.Errorf("seed %d, noise %v: sketches match otherwise", seed, omega)
		}
		if slices.Min(got.Certainty) < 0.99 {
			t.Errorf("seed %d, noise %v: decided with a certainty of %v", seed, omega, slices.Min(got.Certainty))
		}
		if omega > 2 {
			t.Errorf("seed %d: decided at noise %v", seed, omega)
		}
	}
	if decided < 6 {
		t.Errorf("sketches decided %d of 12", decided)
	}
	// Twins, a neuron without weights, and strangers.
	r := rand.New(rand.NewPCG(1, 256))
	for name, edit := range map[string]func(v *View){
		"twins":     func(v *View) { copy(v.Ref[:v.Dim], v.Ref[v.Dim:2*v.Dim]); copy(v.Sus, v.Ref) },
		"dead":      func(v *View) { clear(v.Sus[:v.Dim]) },
		"strangers": func(v *View) { copy(v.Sus, gaussian(r, len(v.Sus))) },
	} {
		s := layer(r, 128, 300, 200, nil, func([]float32) {})
		for k := range s.group.Views {
			edit(&s.group.Views[k])
		}
		if _, got := sketched(&s.group, pool); got != nil {
			t.Errorf("%s: decided", name)
		}
	}
}
