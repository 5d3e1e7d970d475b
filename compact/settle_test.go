package compact

import (
	"testing"

	"ropewalk/engine"
	"ropewalk/entropy"
	"ropewalk/tensor"
	"ropewalk/train"
)

// A weight that changes to and fro comes to rest where it mostly was; one that
// changes once, and one that stays, are left alone.
func TestSettler(t *testing.T) {
	const steps = 1000
	at := func(step int) []uint16 {
		s := []uint16{0, 1, 1, 2}
		if step%10 < 7 { // mostly 2
			s[1] = 2
		}
		if step >= 300 {
			s[2] = 0
		}
		if step%200 == 150 { // rarely
			s[3] = 1
		}
		return s
	}
	s := newSettler(at(0))
	for step := 1; step < steps; step++ {
		s.look(at(step), []int32{0, 1, 2, 3}, float64(step)/steps, settleWindow*steps)
	}
	latents := []float32{.1, .2, .3, .4}
	s.hold(latents, []float64{-1, 0, 1})
	want := []float32{.1, 1, .3, 1}
	for j := range want {
		if latents[j] != want[j] {
			t.Errorf("weight %d is %g, want %g", j, latents[j], want[j])
		}
	}
	levels, err := entropy.Symmetric(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.fits(4, levels); err != nil {
		t.Error(err)
	}
	if s.fits(5, levels) == nil {
		t.Error("what is settled of 4 weights was taken for 5")
	}
	s.To[0] = 3
	if s.fits(4, levels) == nil {
		t.Error("a level that is not there was taken")
	}
}

// What comes to rest early are only weights that change often.
func TestSettlerIsPatient(t *testing.T) {
	const steps = 10000
	s := newSettler([]uint16{1, 1})
	for step := 1; step < steps/10; step++ {
		often, seldom := uint16(step%2), uint16(1)
		if step%150 < 70 {
			seldom = 0
		}
		s.look([]uint16{often, seldom}, []int32{0, 1}, float64(step)/steps, settleWindow*steps)
	}
	if len(s.Pinned) != 1 || s.Pinned[0] != 0 {
		t.Errorf("at rest are %v, want the first weight", s.Pinned)
	}
}

// Weights shrink as far as the loss is insensitive to them.
func TestShrink(t *testing.T) {
	n := 64
	w := []engine.Weight{{Name: "w", Shape: tensor.Shape{8, 8}, Values: make([]float32, n), Gradient: make([]float32, n)}}
	for j := range n {
		w[0].Values[j] = 1
		w[0].Gradient[j] = float32(j) / float32(n-1)
	}
	w[0].Values[0] = -1
	r, err := New(w, nil, Options{Start: 0.5, Shrink: 0.5}, Tools{})
	if err != nil {
		t.Fatal(err)
	}
	r.Follow(train.Moment{Step: 0, Steps: 100})
	if err := r.Adjust(w); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		j    int
		want float32
	}{{0, -0.5}, {n - 1, 1}, {21, 1 - 0.5*2/3.}} {
		if got := w[0].Values[c.j]; got < c.want-1e-6 || got > c.want+1e-6 {
			t.Errorf("weight %d is %g, want %g", c.j, got, c.want)
		}
	}
	if _, err := New(w, nil, Options{Shrink: 0.5}, Tools{}); err == nil {
		t.Error("weights shrink in a part of training that is not there")
	}
}
