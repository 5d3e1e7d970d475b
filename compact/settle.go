package compact

import (
	"fmt"
	"math"

	"ropewalk/entropy"
)

// How weights that change to and fro come to rest, see [settler].
const (
	settleWindow = 0.05 // what is remembered of changes, as a part of the frozen phase
	settleFirst  = 0.3  // changes a step that are too many when it begins
	settleLast   = 0.95 // of the phase, from where a single change back is too many
	settleAll    = 0.98 // of it, from where any change is
)

// A settler brings the weights of one tensor to rest. A weight whose gradient is of
// one sign at one level, and of the other at the next, has its latent stay at the
// threshold between them and changes levels to and fro, whatever the learning rate:
// the network that training ends with is then one of many, by chance. Such weights
// are pinned to the level at which they mostly were, those that change most often
// first, while the others still learn (Nagel et al., Overcoming oscillations in
// quantization-aware training, 2022).
type settler struct {
	Seen   []uint16  // symbols
	Mean   []float32 // of symbols, weighted by how long ago they were
	Often  []float32 // changes back, a step, likewise
	Since  []uint32  // look at which Seen, Mean and Often were
	Up     []bool    // the last change was
	Moved  []bool    // there was one
	Looks  uint32
	Pinned []int32 // weights
	To     []uint16
	pinned []bool
}

func newSettler(symbols []uint16) *settler {
	n := len(symbols)
	s := &settler{
		Seen: make([]uint16, n), Mean: make([]float32, n), Often: make([]float32, n), Since: make([]uint32, n),
		Up: make([]bool, n), Moved: make([]bool, n), pinned: make([]bool, n),
	}
	copy(s.Seen, symbols)
	for j, k := range symbols {
		s.Mean[j] = float32(k)
	}
	return s
}

// look takes the symbols of a step, of which those of live may change. part is how much of the frozen phase is over,
// and window how many steps of it are remembered.
func (s *settler) look(symbols []uint16, live []int32, part, window float64) {
	s.Looks++
	few := 1 / window
	limit := 0.9 * few // one change back is this, and a little less after some time
	if part < settleLast {
		limit *= math.Pow(max(settleFirst*window, 1), 1-part/settleLast)
	}
	for _, j := range live {
		k := symbols[j]
		if k == s.Seen[j] {
			continue
		}
		if s.pinned[j] {
			s.Seen[j] = k // until the next step
			continue
		}
		kept := math.Exp(-few * float64(s.Looks-s.Since[j]))
		old := float64(s.Seen[j])
		mean := old + (float64(s.Mean[j])-old)*kept
		often := float64(s.Often[j]) * kept
		up := k > s.Seen[j]
		if s.Moved[j] && up != s.Up[j] {
			often += few
		}
		s.Seen[j], s.Mean[j], s.Often[j], s.Since[j] = k, float32(mean), float32(often), s.Looks
		s.Up[j], s.Moved[j] = up, true
		if often > limit || part >= settleAll {
			to := k
			if math.Abs(mean-old) < math.Abs(mean-float64(k)) {
				to = uint16(old)
			}
			s.pin(int(j), to)
		}
	}
}

func (s *settler) pin(j int, to uint16) {
	s.Pinned, s.To = append(s.Pinned, int32(j)), append(s.To, to)
	s.pinned[j] = true
}

// hold puts latents where their levels are.
func (s *settler) hold(latents []float32, levels []float64) {
	for i, j := range s.Pinned {
		latents[j] = float32(levels[s.To[i]])
	}
}

// fits checks a settler that was read from a state.
func (s *settler) fits(n int, l *entropy.Levels) error {
	levels := len(l.Values())
	ok := len(s.Seen) == n && len(s.Mean) == n && len(s.Often) == n && len(s.Since) == n && len(s.Up) == n && len(s.Moved) == n && len(s.Pinned) == len(s.To)
	if ok {
		s.pinned = make([]bool, n)
		for i, j := range s.Pinned {
			if ok = ok && j >= 0 && int(j) < n && int(s.To[i]) < levels; ok {
				s.pinned[j] = true
			}
		}
	}
	if !ok {
		return fmt.Errorf("compact: what is settled is of another tensor")
	}
	return nil
}

// settle brings weights to rest after Freeze.
func (r *Recipe) settle(values [][]float32) {
	if r.phase != frozen || r.o.Restless {
		return
	}
	steps := float64(r.at.Steps) * (1 - r.o.Freeze)
	part := (r.at.Progress() - r.o.Freeze) / (1 - r.o.Freeze)
	for i, l := range r.levels {
		if l == nil {
			continue
		}
		if r.rest[i] == nil {
			r.rest[i] = newSettler(r.q.Symbols(i))
			continue
		}
		live, some := r.q.Live(i)
		if !some { // biases, with a target
			for j := range r.shown[i] {
				live = append(live, int32(j))
			}
		}
		r.rest[i].look(r.q.Symbols(i), live, part, max(settleWindow*steps, 1))
		r.rest[i].hold(values[i], l.Values())
	}
}
