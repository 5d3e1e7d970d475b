package train_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/engine"
	"ropewalk/tensor"
	"ropewalk/train"
)

// echo is a program whose outputs are its inputs; add goes to every other value.
type echo struct {
	constant
	add float32
}

func (e echo) Forward(inputs []engine.Array) ([]engine.Array, error) {
	out := engine.Array{Shape: inputs[0].Shape, Float: append([]float32(nil), inputs[0].Float...)}
	for i := range out.Float {
		out.Float[i] += e.add * float32(i%2)
	}
	return []engine.Array{out}, nil
}

// said are examples whose values are what the network says of them.
func said(rows [][]float32, labels ...int) *train.Examples {
	b := &blobs{width: len(rows[0]), labels: labels}
	for _, r := range rows {
		b.x = append(b.x, r...)
	}
	return &train.Examples{Data: b}
}

func TestEvaluate(t *testing.T) {
	data := said([][]float32{
		{9, 0, 0, 0, 0, 0, 0}, // right
		{0, 9, 0, 0, 0, 0, 0}, // taken for 1, and all others tie: 2 is the second of them
		{6, 5, 4, 3, 2, 1, 0}, // taken for 0; 5 is not among the five first
		{6, 5, 4, 3, 2, 1, 0}, // taken for 0; 4 just is
		{1, 1, 1, 1, 1, 1, 1}, // a tie is for the first
	}, 0, 2, 5, 4, 0)
	for _, batch := range []int{0, 1, 2, 5} {
		r, err := train.Evaluate(t.Context(), echo{}, data, &train.EvaluateOptions{Batch: batch})
		if err != nil {
			t.Fatal(err)
		}
		if *r.Top1 != 2./5 || *r.Top5 != 4./5 || r.Examples != 5 {
			t.Errorf("top 1 %g, top 5 %g of %d", *r.Top1, *r.Top5, r.Examples)
		}
		soft := func(row []float64, k int) float64 {
			sum := 0.0
			for _, v := range row {
				sum += math.Exp(v)
			}
			return math.Log(sum) - row[k]
		}
		down := []float64{6, 5, 4, 3, 2, 1, 0}
		want := (soft([]float64{9, 0, 0, 0, 0, 0, 0}, 0) + soft([]float64{0, 9, 0, 0, 0, 0, 0}, 2) + soft(down, 5) + soft(down, 4) + math.Log(7)) / 5
		if math.Abs(r.Loss-want) > 1e-6 {
			t.Errorf("loss %g, want %g", r.Loss, want)
		}
		if c := r.Classes[0]; c.Examples != 2 || c.Said != 4 || c.Right != 2 || *c.Recall != 1 || *c.Precision != 0.5 {
			t.Errorf("class 0: %+v", c)
		}
		if c := r.Classes[6]; c.Recall != nil || c.Precision != nil {
			t.Errorf("class 6, of which there is nothing: %+v", c)
		}
		if d := cmp.Diff([]int{1, 0, 0, 0, 0, 0, 0}, r.Confusion[5]); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([][3]int{{2, 1, 1}, {4, 0, 1}}, r.Confused(2)); d != "" {
			t.Error(d)
		}
	}
	// Five classes have no top 5.
	r, err := train.Evaluate(t.Context(), echo{}, said([][]float32{{1, 0, 0, 0, 0}}, 0), nil)
	if err != nil || r.Top5 != nil {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestEvaluateErrors(t *testing.T) {
	for want, data := range map[string]train.Source{
		"examples 1 to 1: example 0 of the batch has the label 2": said([][]float32{{1, 0}, {0, 1}}, 0, 2),
		"examples 0 to 0: the loss is NaN":                        said([][]float32{{float32(math.NaN()), 0}}, 0),
		"there are no examples to evaluate on":                    &train.Examples{Data: &blobs{width: 2}},
		"the data ended after 1 of 2 examples":                    &broken{said([][]float32{{1, 0}, {0, 1}}, 0, 1), 1, nil},
		errBroken.Error():                                         &broken{said([][]float32{{1, 0}, {0, 1}}, 0, 1), 1, errBroken},
	} {
		_, err := train.Evaluate(t.Context(), echo{}, data, &train.EvaluateOptions{Batch: 1})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestCompare(t *testing.T) {
	data := said([][]float32{{1, 0}, {0, 1}, {3, 1}}, 0, 1, 1)
	c, err := train.Compare(t.Context(), echo{}, echo{add: 1.5}, data, &train.CompareOptions{Batch: 2, Logits: true})
	if err != nil {
		t.Fatal(err)
	}
	o := c.Outputs[0]
	if o.Values != 6 || o.Equal != 3 || o.Max != 1.5 || o.Mean != 0.75 || o.Rows != 3 || *o.Agreement != 2./3 {
		t.Errorf("%+v", o)
	}
	if want := math.Sqrt(3 * 1.5 * 1.5 / 12); math.Abs(o.Relative-want) > 1e-9 {
		t.Errorf("relative %g, want %g", o.Relative, want)
	}
	kl := func(a, b float64) float64 { // of softmax(a, 0) against softmax(b, 0)
		p, q := 1/(1+math.Exp(-a)), 1/(1+math.Exp(-b))
		return p*math.Log(p/q) + (1-p)*math.Log((1-p)/(1-q))
	}
	if want := (kl(1, -0.5) + kl(-1, -2.5) + kl(2, 0.5)) / 3; o.KLOf != train.KLOfSoftmax || math.Abs(*o.KL-want) > 1e-6 {
		t.Errorf("KL %g of %s, want %g", *o.KL, o.KLOf, want)
	}
	if *c.Top1A != 2./3 || *c.Top1B != 1./3 {
		t.Errorf("top 1 %g and %g", *c.Top1A, *c.Top1B)
	}
	// Outputs that are no distributions have no KL, unless they are logits.
	if c, err = train.Compare(t.Context(), echo{}, echo{add: 1.5}, data, nil); err != nil || c.Outputs[0].KL != nil {
		t.Errorf("%+v, %v", c, err)
	}
	probable := said([][]float32{{0.25, 0.75}, {1, 0}}, 0, 0)
	c, err = train.Compare(t.Context(), echo{}, echo{}, probable, nil)
	if err != nil || c.Outputs[0].KLOf != train.KLOfOutputs || *c.Outputs[0].KL != 0 || c.Outputs[0].Equal != 4 {
		t.Errorf("%+v, %v", c, err)
	}
	// Labels that are no classes of the outputs, and outputs that are no classes, leave
	// the comparison what it is without them.
	without, err := train.Compare(t.Context(), echo{}, echo{add: 1.5}, said([][]float32{{1, 0}, {0, 1}}, 0, 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	for want, b := range map[string]*train.Examples{
		"has the label 7; the network has 2 classes": said([][]float32{{1, 0}, {0, 1}}, 1, 7),
		"shape 2x2x2 is not one value for each":      {Data: said([][]float32{{1, 0, 0, 1}, {0, 1, 1, 0}}, 0, 1).Data, Reshape: tensor.Shape{2, 2}},
	} {
		c, err := train.Compare(t.Context(), echo{}, echo{add: 1.5}, b, &train.CompareOptions{Logits: true})
		if err != nil || !strings.Contains(c.Unjudged, want) || c.Top1A != nil || c.Top1B != nil || c.Outputs[0].KL != nil || c.Outputs[0].Max != 1.5 {
			t.Errorf("%+v, %v; want %q", c, err, want)
		}
		if c != nil && c.Outputs[0].Values == 4 {
			if d := cmp.Diff(without.Outputs, c.Outputs); d != "" {
				t.Errorf("(-without labels +with):\n%s", d)
			}
		}
	}
	odd := said([][]float32{{float32(math.Inf(1)), 1}}, 0)
	c, err = train.Compare(t.Context(), echo{}, echo{}, odd, &train.CompareOptions{Logits: true})
	if err != nil || c.Outputs[0].NonFinite != 1 || c.Outputs[0].KL != nil || c.Outputs[0].Max != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = train.Compare(t.Context(), echo{}, constant{[]engine.Array{{Shape: tensor.Shape{3, 1}, Float: make([]float32, 3)}}}, data, nil)
	if err == nil || !strings.Contains(err.Error(), "output 0 of A is 3x2, and that of B 3x1") {
		t.Error(err)
	}
	_, err = train.Compare(t.Context(), echo{}, constant{}, data, nil)
	if err == nil || !strings.Contains(err.Error(), "network A has 1 outputs, and B 0") {
		t.Error(err)
	}
}

// Noise is the same for the same seed, and as it was asked for.
func TestNoise(t *testing.T) {
	rate := 16000.
	draw := func(seed uint64) []*train.Batch {
		n := &train.Noise{Runs: 2, Seed: seed, Inputs: []train.NoiseInput{
			{Name: "x", Type: tensor.F32, Shape: tensor.Shape{50, 40}},
			{Name: "sr", Type: tensor.I64, Shape: tensor.Shape{}, Value: &rate},
			{Name: "mask", Type: tensor.Bool, Shape: tensor.Shape{9}},
		}}
		var list []*train.Batch
		for b, err := range n.Batches(t.Context(), train.Pass{Size: 1}) {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, b)
		}
		return list
	}
	a := draw(1)
	if !cmp.Equal(a, draw(1)) || cmp.Equal(a, draw(2)) || len(a) != 2 || cmp.Equal(a[0], a[1]) {
		t.Error("the numbers do not follow from the seed")
	}
	sum, square := 0.0, 0.0
	for _, v := range a[0].Inputs[0].Float {
		sum += float64(v)
		square += float64(v) * float64(v)
	}
	if math.Abs(sum/2000) > 0.1 || math.Abs(square/2000-1) > 0.2 { // standard errors 0.02 and 0.03
		t.Errorf("mean %g, variance %g", sum/2000, square/2000)
	}
	if in := a[0].Inputs[1]; len(in.Int) != 1 || in.Int[0] != 16000 {
		t.Errorf("%+v", in)
	}
	huge := &train.Noise{Runs: 1, Inputs: []train.NoiseInput{{Name: "x", Type: tensor.F32, Shape: tensor.Shape{1 << 20, 1 << 20}}}}
	for _, err := range huge.Batches(t.Context(), train.Pass{Size: 1}) {
		if err == nil {
			t.Error("a terabyte of noise")
		}
	}
}
