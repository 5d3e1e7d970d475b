package train

import (
	"fmt"
	"math"
	"slices"
)

// The schedules.
const (
	Constant  = "constant"
	StepDown  = "step"
	MultiStep = "multistep"
	Cosine    = "cosine"
	Plateau   = "plateau"
)

// A Schedule says how the learning rate goes on from that of the [Optimizer]. The
// zero value is Constant.
//
//	constant   rate
//	step       rate · Factor^(epoch / Every)
//	multistep  rate · Factor^(number of Milestones that are not after the epoch)
//	cosine     rate until Hold of all steps are done, then along half a cosine to
//	           Floor · rate, step by step
//	plateau    rate · Factor after each time that the loss has not fallen for more
//	           than Patience evaluations
//
// step, multistep and plateau are PyTorch's StepLR, MultiStepLR and
// ReduceLROnPlateau, and change between epochs only. Before all of them, WarmUp
// epochs go up in a straight line.
type Schedule struct {
	Kind string `json:"kind"`
	// Every is the epochs between two steps down: 1 or more.
	Every int `json:"every,omitempty"`
	// Milestones are epochs, ascending.
	Milestones []int `json:"milestones,omitempty"`
	// Factor is above 0 and below 1; 0 is 0.1.
	Factor float64 `json:"factor,omitempty"`
	// Hold is the part of all steps before the cosine begins, 0 to less than 1.
	Hold float64 `json:"hold,omitempty"`
	// Floor is the part of the rate that is left in the end, 0 to 1.
	Floor float64 `json:"floor,omitempty"`
	// Patience is the evaluations without a lower loss (by a ten-thousandth part)
	// that plateau waits for; 0 is 10.
	Patience int `json:"patience,omitempty"`
	// WarmUp is in epochs, and may be a part of one.
	WarmUp float64 `json:"warm_up,omitempty"`
}

func (s Schedule) settle() (Schedule, error) {
	if s.Kind == "" {
		s.Kind = Constant
	}
	falls := s.Kind == StepDown || s.Kind == MultiStep || s.Kind == Plateau
	if falls && s.Factor == 0 {
		s.Factor = 0.1
	}
	if s.Kind == Plateau && s.Patience == 0 {
		s.Patience = 10
	}
	foreign := func(what, of string) error {
		return fmt.Errorf("%s of the schedule belongs to %s, and the schedule is %s", what, of, s.Kind)
	}
	switch {
	case !slices.Contains([]string{Constant, StepDown, MultiStep, Cosine, Plateau}, s.Kind):
		return s, fmt.Errorf("schedule %q is not known; want constant, step, multistep, cosine or plateau", s.Kind)
	case s.Every != 0 && s.Kind != StepDown:
		return s, foreign("every", StepDown)
	case s.Milestones != nil && s.Kind != MultiStep:
		return s, foreign("milestones", MultiStep)
	case s.Factor != 0 && !falls:
		return s, foreign("factor", "step, multistep and plateau")
	case (s.Hold != 0 || s.Floor != 0) && s.Kind != Cosine:
		return s, foreign("hold and floor", Cosine)
	case s.Patience != 0 && s.Kind != Plateau:
		return s, foreign("patience", Plateau)
	case s.Kind == StepDown && s.Every < 1:
		return s, fmt.Errorf("schedule step goes down every %d epochs; want 1 or more", s.Every)
	case s.Kind == MultiStep && (len(s.Milestones) == 0 || !slices.IsSorted(s.Milestones) || s.Milestones[0] < 0):
		return s, fmt.Errorf("the milestones of schedule multistep are %v; want epochs in ascending order", s.Milestones)
	case falls && !(s.Factor > 0 && s.Factor < 1):
		return s, fmt.Errorf("the factor of the schedule is %g; want more than 0 and less than 1", s.Factor)
	case !(s.Hold >= 0 && s.Hold < 1) || !(s.Floor >= 0 && s.Floor <= 1):
		return s, fmt.Errorf("schedule cosine holds for %g of the steps and ends at %g of the rate; want 0 to less than 1, and 0 to 1", s.Hold, s.Floor)
	case s.Patience < 0:
		return s, fmt.Errorf("the patience of the schedule is %d; want 0 or more", s.Patience)
	case !(s.WarmUp >= 0 && s.WarmUp < 1e6):
		return s, fmt.Errorf("the warm-up takes %g epochs; want 0 or more", s.WarmUp)
	}
	return s, nil
}

// factor returns the part of the rate at a moment; down is how often plateau has
// gone down, and perEpoch the steps of the first epoch.
func (s *Schedule) factor(m Moment, down int, perEpoch uint64) float64 {
	up := uint64(math.Ceil(s.WarmUp * float64(perEpoch)))
	if m.Step < up {
		return float64(m.Step+1) / float64(up+1) * s.after(m, down, up)
	}
	return s.after(m, down, up)
}

func (s *Schedule) after(m Moment, down int, up uint64) float64 {
	switch s.Kind {
	case StepDown:
		return math.Pow(s.Factor, float64(m.Epoch/s.Every))
	case MultiStep:
		n, _ := slices.BinarySearch(s.Milestones, m.Epoch+1)
		return math.Pow(s.Factor, float64(n))
	case Plateau:
		return math.Pow(s.Factor, float64(down))
	case Cosine:
		start := max(float64(up), s.Hold*float64(m.Steps))
		if float64(m.Step) <= start || float64(m.Steps) <= start {
			return 1
		}
		t := (float64(m.Step) - start) / (float64(m.Steps) - start)
		return s.Floor + (1-s.Floor)*(1+math.Cos(math.Pi*t))/2
	}
	return 1
}

// A watch is what plateau remembers.
type watch struct {
	Best float64 `json:"best"`
	Seen bool    `json:"seen"` // there is a Best
	Bad  int     `json:"bad"`  // evaluations since
	Down int     `json:"down"`
}

// significant is the part by which a loss has to fall to count, as in PyTorch.
const significant = 1e-4

// see takes the loss of an evaluation.
func (w *watch) see(s *Schedule, loss float64) {
	if s.Kind != Plateau {
		return
	}
	if !w.Seen || loss < w.Best*(1-significant) {
		w.Best, w.Seen, w.Bad = loss, true, 0
		return
	}
	if w.Bad++; w.Bad > s.Patience {
		w.Bad = 0
		w.Down++
	}
}
