package train

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"ropewalk/engine"
	"ropewalk/internal/kernel"
	"ropewalk/tensor"
)

// reference is an optimizer in float64, written from the pseudocode in PyTorch's
// manual.
type reference struct {
	o    Optimizer
	m, v []float64
	t    int
}

func (r *reference) update(w, g []float64, rate, decay float64) {
	r.t++
	for k := range w {
		d := g[k]
		if r.o.Kind == AdamW {
			w[k] -= rate * decay * w[k]
		} else {
			d += decay * w[k]
		}
		if r.o.Kind == SGD {
			if r.o.Momentum != 0 {
				if r.t > 1 {
					r.m[k] = r.o.Momentum*r.m[k] + d
				} else {
					r.m[k] = d
				}
				if r.o.Nesterov {
					d += r.o.Momentum * r.m[k]
				} else {
					d = r.m[k]
				}
			}
			w[k] -= rate * d
			continue
		}
		r.m[k] = r.o.Beta1*r.m[k] + (1-r.o.Beta1)*d
		r.v[k] = r.o.Beta2*r.v[k] + (1-r.o.Beta2)*d*d
		m := r.m[k] / (1 - math.Pow(r.o.Beta1, float64(r.t)))
		v := r.v[k] / (1 - math.Pow(r.o.Beta2, float64(r.t)))
		w[k] -= rate * m / (math.Sqrt(v) + r.o.Epsilon)
	}
}

func TestOptimizers(t *testing.T) {
	const n, steps = 20, 50
	for name, o := range map[string]Optimizer{
		"sgd":           {},
		"sgd, decay":    {Decay: 0.1},
		"momentum":      {Momentum: 0.9, Decay: 0.01},
		"nesterov":      {Momentum: 0.8, Nesterov: true, Decay: 0.01},
		"adam":          {Kind: Adam, Rate: 0.05},
		"adam, decay":   {Kind: Adam, Rate: 0.05, Decay: 0.1, Beta1: 0.8, Beta2: 0.95, Epsilon: 1e-3},
		"adamw":         {Kind: AdamW, Rate: 0.05, Decay: 0.1},
		"kernels decay": {Decay: 0.5, DecayKernels: true},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := o.settle()
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 2))
			w := []engine.Weight{
				{Name: "w", Shape: tensor.Shape{4, 5}, Values: make([]float32, n), Gradient: make([]float32, n)},
				{Name: "b", Shape: tensor.Shape{n}, Values: make([]float32, n), Gradient: make([]float32, n)},
			}
			refs := []*reference{{o: o, m: make([]float64, n), v: make([]float64, n)}, {o: o, m: make([]float64, n), v: make([]float64, n)}}
			want := [][]float64{make([]float64, n), make([]float64, n)}
			for i := range w {
				for k := range n {
					w[i].Values[k] = rng.Float32()
					want[i][k] = float64(w[i].Values[k])
				}
			}
			a := newAverages(o, w)
			p := kernel.NewPool(2)
			defer p.Close()
			for s := range steps {
				rate := o.Rate / float64(1+s)
				for i := range w {
					g := make([]float64, n)
					for k := range n {
						w[i].Gradient[k] = float32(rng.NormFloat64())
						g[k] = float64(w[i].Gradient[k])
					}
					decay := o.Decay
					if o.DecayKernels && i == 1 {
						decay = 0
					}
					refs[i].update(want[i], g, rate, decay)
				}
				a.update(p, w, rate, nil, nil)
			}
			for i := range w {
				for k, v := range w[i].Values {
					if d := math.Abs(float64(v) - want[i][k]); d > 1e-5 { // 50 roundings of numbers near 1
						t.Fatalf("%s[%d] is %g, want %g", w[i].Name, k, v, want[i][k])
					}
				}
			}
		})
	}
}

func TestOptimizerErrors(t *testing.T) {
	for want, o := range map[string]Optimizer{
		"want sgd, adam or adamw":      {Kind: "lion"},
		"rate is -1":                   {Rate: -1},
		"rate is NaN":                  {Rate: math.NaN()},
		"momentum is 1,":               {Momentum: 1},
		"belong to sgd":                {Kind: Adam, Momentum: 0.9},
		"belong to adam and adamw":     {Beta1: 0.9},
		"needs a momentum":             {Nesterov: true},
		"epsilon is 2":                 {Kind: Adam, Epsilon: 2},
		"weight decay is -0.1":         {Decay: -0.1},
		"momentum is 0, beta1 0.9, be": {Kind: AdamW, Beta2: 1},
	} {
		if _, err := o.settle(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", o, err, want)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	const n = 266_610 // LeNet-300-100
	for name, o := range map[string]Optimizer{"sgd": {Decay: 1e-4}, "momentum": {Momentum: 0.9, Decay: 1e-4}, "nesterov": {Momentum: 0.9, Nesterov: true}, "adam": {Kind: Adam}} {
		b.Run(name, func(b *testing.B) {
			o, err := o.settle()
			if err != nil {
				b.Fatal(err)
			}
			w := []engine.Weight{{Name: "w", Shape: tensor.Shape{n, 1}, Values: make([]float32, n), Gradient: make([]float32, n)}}
			a := newAverages(o, w)
			p := kernel.NewPool(0)
			defer p.Close()
			b.SetBytes(4 * n)
			for b.Loop() {
				a.update(p, w, o.Rate, nil, nil)
			}
		})
	}
}
