package entropy

import (
	"math/rand/v2"
	"slices"
	"testing"

	"ropewalk/tensor"
)

// A straight-through run that is resumed goes on to the same bits.
func TestRateState(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 12))
	layers := []Layer{{Name: "a", Shape: tensor.Shape{20, 30}}, {Name: "b", Shape: tensor.Shape{7}}}
	w := [][]float32{scaled(rng, layers[0].Shape, 0.5, 0.5), make([]float32, 7)}
	start := func() (*Quantizer, *Rate, *Levels) {
		l, err := Symmetric(0.5, 2)
		if err != nil {
			t.Fatal(err)
		}
		q, err := NewQuantizer(layers, []*Levels{l, nil}, &QuantizerOptions{DeadZone: 0.6})
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewRate(layers, []*Levels{l, nil}, &RateOptions{Model: RowColumn, Every: 4, Beyond: 0.3})
		if err != nil {
			t.Fatal(err)
		}
		r.SetLambda(1e-3)
		return q, r, l
	}
	step := func(q *Quantizer, r *Rate, l *Levels, w [][]float32) {
		values, g := cloned(w), cloned(w)
		q.Forward(values, w)
		for i := range g {
			for j := range g[i] {
				g[i][j] = values[i][j] - w[i][j]*float32(j%3)/2
			}
		}
		q.Backward(g)
		r.AddGrad(w, g)
		for i := range w {
			for j := range w[i] {
				w[i][j] -= 0.05 * g[i][j]
			}
		}
		l.Step(0.01)
	}
	q, r, l := start()
	for i := range 10 {
		if i == 6 {
			q.Freeze()
		}
		step(q, r, l, w)
	}
	qs, err := q.State()
	if err != nil {
		t.Fatal(err)
	}
	rs, err := r.State()
	if err != nil {
		t.Fatal(err)
	}
	q2, r2, l2 := start()
	if err := q2.SetState(qs); err != nil {
		t.Fatal(err)
	}
	if err := r2.SetState(rs); err != nil {
		t.Fatal(err)
	}
	resumed := cloned(w)
	for range 10 {
		step(q, r, l, w)
		step(q2, r2, l2, resumed)
	}
	if !slices.Equal(w[0], resumed[0]) || !slices.Equal(l.Values(), l2.Values()) || r.Bits() != r2.Bits() || !slices.Equal(q.Symbols(0), q2.Symbols(0)) {
		t.Errorf("the resumed run differs: levels %v and %v, bits %v and %v", l.Values(), l2.Values(), r.Bits(), r2.Bits())
	}

	// States of others are refused, and change nothing.
	other, err := Symmetric(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	q3, err := NewQuantizer(layers, []*Levels{other, nil}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := q3.SetState(qs); err == nil || !slices.Equal(other.Values(), []float64{-1, 0, 1}) {
		t.Errorf("five levels became three: %v, %v", err, other.Values())
	}
	plain, err := NewRate(layers, []*Levels{other, nil}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := plain.SetState(rs); err == nil {
		t.Error("a rate without classes took some")
	}
	for _, f := range []func([]byte) error{q.SetState, r.SetState} {
		for _, bad := range [][]byte{nil, []byte("no state"), qs[:len(qs)/2]} {
			if f(bad) == nil {
				t.Errorf("%.20q was taken", bad)
			}
		}
	}
}
