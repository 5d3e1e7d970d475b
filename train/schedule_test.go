package train

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Rates over eight epochs of one step, beside those of PyTorch's schedulers (worked
// out by their formulas).
func TestSchedule(t *testing.T) {
	cos := func(t float64) float64 { return (1 + math.Cos(math.Pi*t)) / 2 }
	tests := []struct {
		name string
		s    Schedule
		want []float64
	}{
		{"constant", Schedule{}, []float64{1, 1, 1, 1, 1, 1, 1, 1}},
		{"step", Schedule{Kind: StepDown, Every: 3}, []float64{1, 1, 1, .1, .1, .1, .01, .01}},
		{"multistep", Schedule{Kind: MultiStep, Milestones: []int{2, 5, 5}, Factor: 0.5}, []float64{1, 1, .5, .5, .5, .125, .125, .125}},
		{"cosine", Schedule{Kind: Cosine}, []float64{1, cos(1 / 8.), cos(2 / 8.), cos(3 / 8.), .5, cos(5 / 8.), cos(6 / 8.), cos(7 / 8.)}},
		{"hold, floor", Schedule{Kind: Cosine, Hold: 0.5, Floor: 0.2}, []float64{1, 1, 1, 1, 1, .2 + .8*cos(.25), .2 + .8*.5, .2 + .8*cos(.75)}},
		{"warm-up", Schedule{WarmUp: 3}, []float64{.25, .5, .75, 1, 1, 1, 1, 1}},
		{"warm-up, cosine", Schedule{Kind: Cosine, WarmUp: 4}, []float64{.2, .4, .6, .8, 1, cos(.25), .5, cos(.75)}},
	}
	for _, tt := range tests {
		s, err := tt.s.settle()
		if err != nil {
			t.Fatal(err)
		}
		var got []float64
		for e := range 8 {
			got = append(got, s.factor(Moment{Epoch: e, Epochs: 8, Step: uint64(e), Steps: 8}, 0, 1))
		}
		if d := cmp.Diff(tt.want, got, cmpopts.EquateApprox(1e-12, 0)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

// The rate goes down after Patience+1 evaluations that are not clearly better, and
// the count begins anew.
func TestPlateau(t *testing.T) {
	s, err := Schedule{Kind: Plateau, Patience: 1, Factor: 0.5}.settle()
	if err != nil {
		t.Fatal(err)
	}
	var w watch
	var got []float64
	for _, loss := range []float64{2, 1, 1, 0.99999, 1, 1, 0.5, 0.6, 0.6} {
		w.see(&s, loss)
		got = append(got, s.factor(Moment{}, w.Down, 1))
	}
	if d := cmp.Diff([]float64{1, 1, 1, .5, .5, .25, .25, .25, .125}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestScheduleErrors(t *testing.T) {
	for want, s := range map[string]Schedule{
		"want constant, step":                       {Kind: "linear"},
		"every 0 epochs":                            {Kind: StepDown},
		"milestones of schedule multistep are []":   {Kind: MultiStep},
		"milestones of schedule multistep are [3 1": {Kind: MultiStep, Milestones: []int{3, 1}},
		"factor of the schedule is 1;":              {Kind: Plateau, Factor: 1},
		"factor of the schedule belongs to":         {Kind: Cosine, Factor: 0.5},
		"every of the schedule belongs to step":     {Kind: Cosine, Every: 1},
		"hold and floor of the schedule":            {Floor: 0.1},
		"holds for 1 of":                            {Kind: Cosine, Hold: 1},
		"warm-up takes NaN":                         {WarmUp: math.NaN()},
	} {
		if _, err := s.settle(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", s, err, want)
		}
	}
}
