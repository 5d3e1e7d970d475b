package train_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"ropewalk/engine"
	"ropewalk/train"
)

// shrinking is a penalty that is the sum of squares.
type shrinking struct{ calls int }

func (s *shrinking) Name() string { return "squares" }

func (s *shrinking) AddGrad(w []engine.Weight) float64 {
	v, rest := s.sum(w)
	for i := range w {
		rest(0, i, 0, len(w[i].Values))
	}
	return v
}

func (s *shrinking) sum(w []engine.Weight) (float64, train.Pieces) {
	s.calls++
	v := 0.0
	for i := range w {
		for _, x := range w[i].Values {
			v += 0.005 * float64(x) * float64(x)
		}
	}
	return v, func(_, i, from, to int) {
		for k := from; k < to; k++ {
			w[i].Gradient[k] += 0.01 * w[i].Values[k]
		}
	}
}

// shrinkingLater leaves the derivative for later.
type shrinkingLater struct {
	shrinking
	later int
}

func (s *shrinkingLater) AddGradLater(w []engine.Weight, _ int) (float64, train.Pieces) {
	s.later++
	return s.sum(w)
}

// signsPieces does what signs does, but from floats that are elsewhere, and piece by
// piece. It rests in some steps, in which the network computes with the floats.
type signsPieces struct {
	signs
	step   uint64
	shows  int
	pieces bool
}

func (s *signsPieces) Follow(m train.Moment) { s.step = m.Step }
func (s *signsPieces) Idle() bool            { return s.step%5 == 2 }

func (s *signsPieces) Show(shown, floats []engine.Weight) error {
	s.shows++
	for i, w := range floats {
		copy(shown[i].Values, w.Values)
	}
	return s.Substitute(shown)
}

func (s *signsPieces) AdjustPieces(w []engine.Weight, _ int) train.Pieces {
	s.pieces = true
	return func(_, i, from, to int) {
		for k := from; k < to; k++ {
			w[i].Values[k] = min(max(w[i].Values[k], -1), 1)
		}
	}
}

func (s *signsPieces) Adjust(w []engine.Weight) error {
	if s.pieces {
		s.pieces = false
		return nil
	}
	return s.signs.Adjust(w)
}

// signsResting is the same without any of that: it does nothing where the other rests.
type signsResting struct {
	signs
	step uint64
}

func (s *signsResting) Follow(m train.Moment) { s.step = m.Step }

func (s *signsResting) Substitute(w []engine.Weight) error {
	if s.step%5 == 2 {
		return nil
	}
	return s.signs.Substitute(w)
}

// Penalties and hooks that work while the optimizer has a weight at hand train to the
// same bits as those that go through all weights themselves, with snapshots in between,
// for each optimizer and any threads.
func TestPieces(t *testing.T) {
	for name, o := range map[string]train.Optimizer{
		"sgd": {Rate: 0.05, Decay: 0.01}, "nesterov": {Rate: 0.02, Momentum: 0.9, Nesterov: true}, "adam": {Kind: train.Adam, Rate: 0.01},
	} {
		for _, threads := range []int{1, 3} {
			for _, clip := range []train.Clip{{}, {Norm: 0.5}} {
				t.Run(fmt.Sprintf("%s, %d threads, clip %g", name, threads, clip.Norm), func(t *testing.T) {
					run := func(p train.Penalty, h train.Hook) [][]float32 {
						net := newPerceptron(width, 10, classes, 3)
						fit(t, net, &train.Options{
							Epochs: 3, Batch: 8, Threads: threads, Optimizer: o, Clip: clip, Penalties: []train.Penalty{p}, Hooks: []train.Hook{h},
							Validation: held(), Snapshot: t.TempDir() + "/s", SnapshotSteps: 3,
						})
						return net.values()
					}
					later, pieces := &shrinkingLater{}, &signsPieces{signs: signs{Level: 0.3}}
					got := run(later, pieces)
					want := run(&shrinking{}, &signsResting{signs: signs{Level: 0.3}})
					for i := range want {
						if !slices.Equal(got[i], want[i]) {
							t.Errorf("weight %d differs", i)
						}
						for _, x := range got[i] {
							if math.IsNaN(float64(x)) {
								t.Fatal("NaN")
							}
						}
					}
					if (later.later > 0) != (clip == train.Clip{}) || later.calls == 0 {
						t.Errorf("%d of %d derivatives were left for later", later.later, later.calls)
					}
					if pieces.shows == 0 {
						t.Error("nothing was shown from elsewhere")
					}
				})
			}
		}
	}
}
