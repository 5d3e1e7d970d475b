package compact_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"ropewalk/compact"
	"ropewalk/engine"
	"ropewalk/engine/native"
	"ropewalk/graph/nets"
	"ropewalk/tensor"
	"ropewalk/train"
)

// A narrow network has no unit that does nothing, and computes what the wide one does.
func TestNarrow(t *testing.T) {
	for _, c := range []struct {
		net   string
		input tensor.Shape
	}{{"lenet-300-100", small}, {"lenet5", tensor.Shape{1, 16, 16}}, {"lenet5-relu", tensor.Shape{1, 16, 16}}} {
		t.Run(c.net, func(t *testing.T) {
			l := newLab(t, c.net, c.input)
			rng := rand.New(rand.NewPCG(4, 4))
			w := l.trained()
			values := make([][]float32, len(w))
			for i := range w {
				values[i] = make([]float32, len(w[i].Values))
				row := len(values[i]) / int(w[i].Shape[0])
				for j := range values[i] {
					// Many rows are dead, and of biases most.
					busy := j/row%3 == 0
					if len(w[i].Shape) == 1 {
						busy = j%7 == 1
					}
					if busy && rng.IntN(3) == 0 {
						values[i][j] = float32(rng.NormFloat64()) / 4
					}
				}
			}
			r := l.recipe(t, compact.Options{Levels: 3})
			if !r.CanNarrow() {
				t.Fatal("a chain of layers cannot become narrow")
			}
			shapes, narrow, err := r.Narrow(values)
			if err != nil {
				t.Fatal(err)
			}
			var list []*tensor.Tensor
			for i := range w {
				if n, err := shapes[i].Elems(); err != nil || int(n) != len(narrow[i]) {
					t.Fatalf("%s: %v has not %d weights", w[i].Name, shapes[i], len(narrow[i]))
				}
				list = append(list, &tensor.Tensor{Name: w[i].Name, DType: tensor.F32, Shape: shapes[i], Data: tensor.Bytes(tensor.F32.AppendFloats(nil, narrow[i]))})
			}
			set, err := tensor.NewSet(list...)
			if err != nil {
				t.Fatal(err)
			}
			widths := nets.WidthsOf(c.net, set)
			g, err := nets.Build(c.net, &nets.Options{Input: c.input, Widths: widths})
			if err != nil {
				t.Fatal(err)
			}
			if g, err = nets.Load(g, set); err != nil {
				t.Fatal(err)
			}
			p, err := native.Backend{}.Compile(g, &engine.Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			got, err := train.Evaluate(t.Context(), p, l.val, nil)
			if err != nil {
				t.Fatal(err)
			}
			l.set(values)
			want, err := train.Evaluate(t.Context(), l.program, l.val, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%v units, loss %v", widths, want.Loss)
			if math.Abs(got.Loss-want.Loss) > 1e-4*want.Loss {
				t.Errorf("a loss of %v, and of the wide network %v", got.Loss, want.Loss)
			}
			if widths[0] > w[0].Shape[0]*2/3 {
				t.Errorf("%d of %d units are left", widths[0], w[0].Shape[0])
			}
		})
	}
}

// Where all is zero, each layer keeps a unit.
func TestNarrowNothing(t *testing.T) {
	l := newLab(t, "lenet-300-100", small)
	var zeros [][]float32
	for _, w := range l.trained() {
		zeros = append(zeros, make([]float32, len(w.Values)))
	}
	shapes, _, err := l.recipe(t, compact.Options{Levels: 3}).Narrow(zeros)
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range l.trained() {
		if shapes[i][0] != 1 && shapes[i][0] != 10 {
			t.Errorf("%s has shape %v", w.Name, shapes[i])
		}
	}
}
