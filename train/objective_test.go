package train_test

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/engine"
	"ropewalk/tensor"
	"ropewalk/train"
)

// outputs draws logits, or probabilities.
func drawOutputs(t *rapid.T, n, classes int, probabilities bool) []engine.Array {
	z := make([]float32, n*classes)
	for i := range z {
		z[i] = float32(rapid.Float64Range(-4, 4).Draw(t, "z"))
	}
	if probabilities {
		for r := z; len(r) > 0; r = r[classes:] {
			sum := 0.0
			for _, v := range r[:classes] {
				sum += math.Exp(float64(v))
			}
			for k := range r[:classes] {
				r[k] = float32(math.Exp(float64(r[k])) / sum)
			}
		}
	}
	return []engine.Array{{Shape: tensor.Shape{int64(n), int64(classes)}, Float: z}}
}

func drawTargets(t *rapid.T, n, classes int, soft bool) *train.Targets {
	target := &train.Targets{}
	for range n {
		target.Labels = append(target.Labels, rapid.Int64Range(0, int64(classes)-1).Draw(t, "label"))
		if !soft {
			continue
		}
		row := make([]float32, classes)
		rest := float32(1)
		for k := range row[1:] {
			row[k] = rest * float32(rapid.Float64Range(0, 1).Draw(t, "share"))
			rest -= row[k]
		}
		row[classes-1] = rest
		target.Shares = append(target.Shares, row...)
	}
	return target
}

// constant is a program that always says the same.
type constant struct{ outputs []engine.Array }

func (c constant) Forward([]engine.Array) ([]engine.Array, error) { return c.outputs, nil }
func (c constant) Step(uint64, engine.Loss, []engine.Array) (float64, error) {
	return 0, errors.New("not for training")
}
func (c constant) Weights() []engine.Weight { return nil }
func (c constant) Close() error             { return nil }

// Gradients of all objectives are the central differences of their values.
func TestObjectiveGradients(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, classes := rapid.IntRange(1, 4).Draw(t, "n"), rapid.IntRange(2, 7).Draw(t, "classes")
		smoothing := rapid.SampledFrom([]float64{0, 0.1, 0.5}).Draw(t, "smoothing")
		target := drawTargets(t, n, classes, rapid.Bool().Draw(t, "soft"))
		probabilities := false
		var o train.Objective
		switch rapid.SampledFrom([]string{"logits", "probabilities", "mse", "values", "distill"}).Draw(t, "objective") {
		case "logits":
			o = &train.CrossEntropy{Smoothing: smoothing}
		case "probabilities":
			probabilities = true
			o = &train.CrossEntropy{Smoothing: smoothing, Probabilities: true}
		case "mse":
			o = train.MSE{}
		case "values":
			o = train.MSE{}
			target.Values = drawOutputs(t, n, classes, false)[0].Float
		case "distill":
			d := &train.Distill{
				Teacher: constant{drawOutputs(t, n, classes, false)}, Temperature: rapid.Float64Range(0.5, 5).Draw(t, "T"),
				Weight: rapid.SampledFrom([]float64{0, 0.3, 1}).Draw(t, "weight"), Task: &train.CrossEntropy{Smoothing: smoothing},
			}
			if err := d.Prepare(nil); err != nil {
				t.Fatal(err)
			}
			o = d
		}
		y := drawOutputs(t, n, classes, probabilities)
		dy := []engine.Array{{Shape: y[0].Shape, Float: make([]float32, n*classes)}}
		judge := func(dy []engine.Array) float64 {
			v, err := o.Judge(target, y, dy)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if judge(nil) != judge(dy) {
			t.Fatal("the loss depends on whether gradients are wanted")
		}
		for i := range y[0].Float {
			was := y[0].Float[i]
			h := float32(1e-3)
			if probabilities {
				h = was / 64
			}
			up, down := was+h, was-h
			y[0].Float[i] = up
			a := judge(nil)
			y[0].Float[i] = down
			b := judge(nil)
			y[0].Float[i] = was
			want := (a - b) / (float64(up) - float64(down))
			if got := float64(dy[0].Float[i]); math.Abs(got-want) > 1e-4+1e-3*math.Abs(want) {
				t.Fatalf("%s: derivative %d is %g, by differences %g", o.Name(), i, got, want)
			}
		}
	})
}

// Values that can be worked out by hand.
func TestObjectiveValues(t *testing.T) {
	two := func(a, b float32) []engine.Array {
		return []engine.Array{{Shape: tensor.Shape{1, 2}, Float: []float32{a, b}}}
	}
	tests := []struct {
		name   string
		o      train.Objective
		target train.Targets
		out    []engine.Array
		want   float64
	}{
		{"even odds", &train.CrossEntropy{}, train.Targets{Labels: []int64{0}}, two(3, 3), math.Ln2},
		{"far right", &train.CrossEntropy{}, train.Targets{Labels: []int64{0}}, two(1000, -1000), 0},
		{"far wrong", &train.CrossEntropy{}, train.Targets{Labels: []int64{1}}, two(1000, -1000), 2000},
		{"smoothed", &train.CrossEntropy{Smoothing: 0.5}, train.Targets{Labels: []int64{0}}, two(4, 0), 0.25*4 + math.Log(1+math.Exp(-4))},
		{"shares", &train.CrossEntropy{}, train.Targets{Shares: []float32{0.5, 0.5}}, two(0, 2), 1 + math.Log(1+math.Exp(-2))},
		{"probabilities", &train.CrossEntropy{Probabilities: true}, train.Targets{Labels: []int64{1}}, two(0.75, 0.25), math.Log(4)},
		{"no chance", &train.CrossEntropy{Probabilities: true}, train.Targets{Labels: []int64{1}}, two(1, 0), 38 * math.Ln10},
		{"one-hot", train.MSE{}, train.Targets{Labels: []int64{1}}, two(1, 3), (1 + 4) / 2.},
		{"values", train.MSE{}, train.Targets{Values: []float32{0, 5}}, two(1, 3), (1 + 4) / 2.},
	}
	for _, tt := range tests {
		got, err := tt.o.Judge(&tt.target, tt.out, nil)
		if err != nil || math.Abs(got-tt.want) > 1e-6*max(1, tt.want) {
			t.Errorf("%s: %g, %v; want %g", tt.name, got, err, tt.want)
		}
	}
	nan := float32(math.NaN())
	for _, o := range []train.Objective{&train.CrossEntropy{}, &train.CrossEntropy{Probabilities: true}, train.MSE{}} {
		if v, _ := o.Judge(&train.Targets{Labels: []int64{0}}, two(nan, 0), nil); !math.IsNaN(v) {
			t.Errorf("%s of NaN is %g", o.Name(), v)
		}
	}
}

func TestObjectiveErrors(t *testing.T) {
	out := []engine.Array{{Shape: tensor.Shape{2, 3}, Float: make([]float32, 6)}}
	ce := &train.CrossEntropy{}
	tests := []struct {
		name   string
		o      train.Objective
		target train.Targets
		out    []engine.Array
		want   string
	}{
		{"label too large", ce, train.Targets{Labels: []int64{2, 3}}, out, "example 1 of the batch has the label 3; the network has 3 classes, 0 to 2"},
		{"label below zero", ce, train.Targets{Labels: []int64{-1, 0}}, out, "example 0 of the batch has the label -1; the network has 3 classes, 0 to 2"},
		{"labels missing", ce, train.Targets{}, out, "0 labels for 2 examples"},
		{"shares missing", ce, train.Targets{Shares: make([]float32, 3)}, out, "3 shares for 2 examples of 3 classes"},
		{"values missing", train.MSE{}, train.Targets{Values: make([]float32, 3)}, out, "3 values to reach for 6 values of the output"},
		{"no output", ce, train.Targets{Labels: []int64{0}}, nil, "the network has no output"},
		{"integers", ce, train.Targets{Labels: []int64{0}}, []engine.Array{{Shape: tensor.Shape{1}, Int: []int64{1}}}, "the output of shape 1 is not one row of numbers for each example"},
	}
	for _, tt := range tests {
		if _, err := tt.o.Judge(&tt.target, tt.out, nil); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	_, err := ce.Judge(&train.Targets{Labels: []int64{2, 3}}, out, nil)
	if l, ok := errors.AsType[*train.LabelError](err); !ok || l.Label != 3 {
		t.Errorf("%v is no LabelError", err)
	}
}
