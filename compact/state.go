package compact

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"slices"

	"ropewalk/entropy"
)

// recipeState is what a resumed run needs beside the weights.
type recipeState struct {
	Phase           phase
	Epoch           int
	Calls           int
	Cost            float64
	Lambda          float64
	Calibrated      float64
	Finishing       finishing
	Last            []float64
	Order           []int
	Quantizer, Rate []byte
	Paper           []byte
	Fisher          [][]float32
	Mask            [][]bool
	Bits            []([]float32) // prices are found every some steps
	Higher          [][]float64
	Rest            []*settler // an empty one where there is none
	Mark            *marked    // nil if there is none
}

// State implements [train.Keeper].
func (r *Recipe) State() ([]byte, error) {
	s := recipeState{Phase: r.phase, Epoch: r.epoch, Calls: r.calls, Cost: r.bits, Lambda: r.lambda, Calibrated: r.calibrated, Finishing: r.finishing, Last: r.last, Order: r.order, Fisher: r.fisher, Mask: r.mask, Mark: r.mark}
	var err error
	if r.paper != nil {
		if s.Paper, err = r.paper.State(); err != nil {
			return nil, err
		}
	}
	if r.q != nil {
		if s.Quantizer, err = r.q.State(); err != nil {
			return nil, err
		}
	}
	if r.rate != nil {
		if s.Rate, err = r.rate.State(); err != nil {
			return nil, err
		}
	}
	for _, x := range r.rest {
		if x == nil {
			x = &settler{}
		}
		s.Rest = append(s.Rest, x)
	}
	for _, p := range r.prices {
		if p == nil {
			s.Bits, s.Higher = append(s.Bits, nil), append(s.Higher, nil)
			continue
		}
		s.Bits, s.Higher = append(s.Bits, p.bits), append(s.Higher, p.higher)
	}
	var b bytes.Buffer
	err = gob.NewEncoder(&b).Encode(&s)
	return b.Bytes(), err
}

// SetState implements [train.Keeper].
func (r *Recipe) SetState(b []byte) error {
	var s recipeState
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&s); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	if (s.Paper == nil) != (r.paper == nil) || s.Phase < floats || s.Phase > frozen || len(s.Bits) != len(r.prices) || len(s.Higher) != len(r.prices) || len(s.Fisher) != len(r.fisher) || len(s.Rest) != len(r.rest) {
		return fmt.Errorf("compact: the state is of another recipe")
	}
	r.epoch = s.Epoch
	if r.paper != nil {
		return r.paper.SetState(s.Paper)
	}
	if s.Phase != floats && r.q == nil {
		levels := make([]*entropy.Levels, len(r.names))
		for i, role := range r.roles {
			var err error
			switch role {
			case weight: // the values come with the state
				levels[i], err = entropy.Symmetric(1, r.o.Levels/2)
			case bias:
				levels[i], err = entropy.Symmetric(r.o.BiasStep, biasLevels)
			}
			if err != nil {
				return err
			}
		}
		if err := r.install(levels); err != nil {
			return err
		}
	}
	if r.q != nil {
		if err := r.q.SetState(s.Quantizer); err != nil {
			return err
		}
	}
	if r.rate != nil {
		if err := r.rate.SetState(s.Rate); err != nil {
			return err
		}
	}
	for i, p := range r.prices {
		if p == nil {
			continue
		}
		if len(s.Bits[i]) != len(p.bits) || len(s.Higher[i]) != len(p.higher) {
			return fmt.Errorf("compact: the prices of %q are those of another tensor", r.names[i])
		}
		copy(p.bits, s.Bits[i])
		copy(p.higher, s.Higher[i])
	}
	for i, f := range s.Fisher {
		if len(f) != len(r.fisher[i]) {
			return fmt.Errorf("compact: the sensitivities of %q are those of another tensor", r.names[i])
		}
		copy(r.fisher[i], f)
	}
	for i, x := range s.Rest {
		r.rest[i] = nil
		if x.Seen == nil || r.levels[i] == nil {
			continue
		}
		if err := x.fits(len(r.shown[i]), r.levels[i]); err != nil {
			return err
		}
		r.rest[i] = x
	}
	if s.Order != nil {
		if len(s.Order) != len(r.links()) || slices.ContainsFunc(s.Order, func(k int) bool { return k < 0 || k >= len(keys) }) {
			return fmt.Errorf("compact: the order of units is that of another network")
		}
	}
	if s.Mark != nil {
		if r.tools.Mark == nil {
			return fmt.Errorf("compact: the state has a mark, and none is wanted")
		}
		if err := s.Mark.fits(r); err != nil {
			return err
		}
	}
	r.mark = s.Mark
	r.phase, r.calls, r.bits, r.lambda, r.calibrated, r.finishing, r.last, r.order, r.mask = s.Phase, s.Calls, s.Cost, s.Lambda, s.Calibrated, s.Finishing, s.Last, s.Order, s.Mask
	return nil
}
