package mark

import (
	"math"
	"math/rand/v2"
	"testing"

	"ropewalk/train"
)

var _ train.Term = (*Penalty)(nil)

// The derivatives are those of finite differences, and following them writes the mark.
func TestPenalty(t *testing.T) {
	set := network(t, 1)
	k := newKey(t, 1)
	for _, axis := range []int{0, 1} {
		p := &Parameters{Scheme: "uchida", Tensors: []string{"conv.weight"}, Bits: 40, Axes: map[string]int{"conv.weight": axis}}
		u := set.Lookup("conv.weight")
		for _, o := range []*PenaltyOptions{nil, {Sum: true}} {
			n, err := NewPenalty(u.Shape, k, p, o)
			if err != nil {
				t.Fatal(err)
			}
			w, err := floats(u)
			if err != nil {
				t.Fatal(err)
			}
			value := func() float64 {
				return n.AddGrad([][]float32{w}, [][]float32{make([]float32, len(w))})
			}
			g := make([]float32, len(w))
			g[7] = 100 // what was there stays
			n.AddGrad([][]float32{w}, [][]float32{g})
			g[7] -= 100
			r := rand.New(rand.NewPCG(1, 2))
			for range 20 {
				i := r.IntN(len(w))
				if i == 7 {
					continue // it lost digits
				}
				const h = 0.05
				old := w[i]
				w[i] = old + h
				up := value()
				w[i] = old - h
				down := value()
				w[i] = old
				want := (up - down) / (2 * h)
				if math.Abs(float64(g[i])-want) > 1e-3*math.Abs(want)+1e-6 {
					t.Errorf("axis %d, %+v: derivative %d is %g, and finite differences say %g", axis, o, i, g[i], want)
				}
			}
			before := value()
			for range 200 {
				clear(g)
				n.AddGrad([][]float32{w}, [][]float32{g})
				for i := range w {
					w[i] -= 5 / float32(n.factor) * g[i]
				}
			}
			marked := setOf(t, tensorOf("conv.weight", w, u.Shape...))
			if r := extract(t, marked, nil, k, p); *r.Wrong != 0 || value() > before/10 {
				t.Errorf("axis %d, %+v: after 200 steps %d bits are wrong, and the value is %g after %g", axis, o, *r.Wrong, value(), before)
			}
		}
	}
}
