package attack

import (
	"math"
	"math/rand/v2"

	"ropewalk/tensor"
)

// noise adds numbers from N(0, (Ω·σ)²) to all weights, σ being the deviation of their
// tensor (the population's: divided by n).
func (r *run) noise(s *Step, rep *Report) error {
	list, err := r.weights()
	if err != nil {
		return err
	}
	rep.counted(list)
	var changed []*tensor.Tensor
	for _, t := range list {
		source := source(r.seed(), t.Name) // r goes on, and this is read later
		changed = append(changed, r.changed(t, edit{
			func(x []float32) error { addNoise(x, s.Strength, source()); return nil },
			func(x []float64) error { addNoise(x, s.Strength, source()); return nil },
		}))
	}
	return r.change(changed...)
}

// addNoise adds normal noise of omega deviations of x.
func addNoise[F floating](x []F, omega float64, r *rand.Rand) {
	sigma := omega * deviation(x)
	for i, v := range x {
		x[i] = F(float64(v) + float64(sigma*r.NormFloat64()))
	}
}

// deviation returns the standard deviation of x, divided by n.
func deviation[F floating](x []F) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v)
	}
	mean := sum / float64(len(x))
	sum = 0
	for _, v := range x {
		d := float64(v) - mean
		sum += float64(d * d)
	}
	return math.Sqrt(sum / float64(len(x)))
}
