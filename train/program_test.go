package train_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"

	"ropewalk/engine"
	"ropewalk/tensor"
	"ropewalk/train"
)

// perceptron is a program in plain Go: inputs less their mean (of the batch in
// training, else of the running statistics), a hidden layer with ReLU and dropout,
// and an output layer. It has all that the loop has to look after.
type perceptron struct {
	in, hidden, out int
	dropout         float64
	seed            uint64
	weights         []engine.Weight
	steps           []uint64 // numbers that Step was called with
}

const (
	running = iota
	weight1
	bias1
	weight2
	bias2
)

func newPerceptron(in, hidden, out int, seed uint64) *perceptron {
	p := &perceptron{in: in, hidden: hidden, out: out, dropout: 0.2, seed: seed}
	rng := rand.New(rand.NewPCG(seed, 1))
	add := func(name string, scale float64, trained bool, shape ...int64) {
		n, _ := tensor.Shape(shape).Elems()
		w := engine.Weight{Name: name, Shape: shape, Values: make([]float32, n)}
		for i := range w.Values {
			w.Values[i] = float32(scale * rng.NormFloat64())
		}
		if trained {
			w.Gradient = make([]float32, n)
		}
		p.weights = append(p.weights, w)
	}
	add("norm.running_mean", 0, false, int64(in))
	add("fc1.weight", 1/math.Sqrt(float64(in)), true, int64(hidden), int64(in))
	add("fc1.bias", 0.1, true, int64(hidden))
	add("fc2.weight", 1/math.Sqrt(float64(hidden)), true, int64(out), int64(hidden))
	add("fc2.bias", 0.1, true, int64(out))
	return p
}

func (p *perceptron) Weights() []engine.Weight { return p.weights }

func (p *perceptron) Close() error { return nil }

// values returns copies of all weights.
func (p *perceptron) values() [][]float32 {
	var all [][]float32
	for _, w := range p.weights {
		all = append(all, append([]float32(nil), w.Values...))
	}
	return all
}

func (p *perceptron) Forward(inputs []engine.Array) ([]engine.Array, error) {
	y, _, err := p.forward(inputs, p.weights[running].Values, nil)
	return y, err
}

// forward returns outputs, and the hidden layer of each example.
func (p *perceptron) forward(inputs []engine.Array, mean []float32, mask func() float32) ([]engine.Array, []float32, error) {
	if len(inputs) != 1 || len(inputs[0].Shape) != 2 || int(inputs[0].Shape[1]) != p.in {
		return nil, nil, fmt.Errorf("want one input of (examples, %d)", p.in)
	}
	x, n := inputs[0].Float, int(inputs[0].Shape[0])
	h, y := make([]float32, n*p.hidden), make([]float32, n*p.out)
	for i := range n {
		for j := range p.hidden {
			s := p.weights[bias1].Values[j]
			for k := range p.in {
				s += p.weights[weight1].Values[j*p.in+k] * (x[i*p.in+k] - mean[k])
			}
			h[i*p.hidden+j] = max(s, 0)
			if mask != nil {
				h[i*p.hidden+j] *= mask()
			}
		}
		for j := range p.out {
			s := p.weights[bias2].Values[j]
			for k := range p.hidden {
				s += p.weights[weight2].Values[j*p.hidden+k] * h[i*p.hidden+k]
			}
			y[i*p.out+j] = s
		}
	}
	return []engine.Array{{Shape: tensor.Shape{int64(n), int64(p.out)}, Float: y}}, h, nil
}

func (p *perceptron) Step(step uint64, loss engine.Loss, inputs []engine.Array) (float64, error) {
	p.steps = append(p.steps, step)
	mean := make([]float32, p.in)
	for i, v := range inputs[0].Float {
		mean[i%p.in] += v / float32(inputs[0].Shape[0])
	}
	v, err := p.step(step, loss, inputs, mean)
	if err != nil {
		return 0, err
	}
	for k, m := range mean {
		r := &p.weights[running].Values[k]
		*r = 0.9**r + 0.1*m
	}
	return v, nil
}

// step computes the gradients, given what is taken off the inputs.
func (p *perceptron) step(step uint64, loss engine.Loss, inputs []engine.Array, mean []float32) (float64, error) {
	x, n := inputs[0].Float, int(inputs[0].Shape[0])
	rng := rand.New(rand.NewPCG(p.seed, step))
	var masks []float32
	mask := func() float32 {
		m := float32(0)
		if rng.Float64() >= p.dropout {
			m = float32(1 / (1 - p.dropout))
		}
		masks = append(masks, m)
		return m
	}
	y, h, err := p.forward(inputs, mean, mask)
	if err != nil {
		return 0, err
	}
	dy := []engine.Array{{Shape: y[0].Shape, Float: make([]float32, len(y[0].Float))}}
	v := loss(y, dy)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, &engine.NonFiniteError{Step: step, Node: "fc1", Value: "hidden"}
	}
	for i := range p.weights {
		clear(p.weights[i].Gradient)
	}
	for i := range n {
		for j := range p.out {
			d := dy[0].Float[i*p.out+j]
			p.weights[bias2].Gradient[j] += d
			for k := range p.hidden {
				p.weights[weight2].Gradient[j*p.hidden+k] += d * h[i*p.hidden+k]
			}
		}
		for j := range p.hidden {
			if h[i*p.hidden+j] == 0 {
				continue
			}
			d := float32(0)
			for k := range p.out {
				d += dy[0].Float[i*p.out+k] * p.weights[weight2].Values[k*p.hidden+j]
			}
			d *= masks[i*p.hidden+j]
			p.weights[bias1].Gradient[j] += d
			for k := range p.in {
				p.weights[weight1].Gradient[j*p.in+k] += d * (x[i*p.in+k] - mean[k])
			}
		}
	}
	return v, nil
}

// blobs is a dataset.Source of clouds of points, one for each class.
type blobs struct {
	x      []float32
	labels []int
	width  int
}

func newBlobs(n, width, classes int, seed uint64) *blobs {
	centre := rand.New(rand.NewPCG(7, 7))
	middle := make([]float32, classes*width)
	for i := range middle {
		middle[i] = float32(2 * centre.NormFloat64())
	}
	rng := rand.New(rand.NewPCG(seed, 2))
	b := &blobs{width: width}
	for i := range n {
		c := i % classes
		b.labels = append(b.labels, c)
		for k := range width {
			b.x = append(b.x, middle[c*width+k]+float32(rng.NormFloat64()))
		}
	}
	return b
}

func (b *blobs) Len() int            { return len(b.labels) }
func (b *blobs) Shape() tensor.Shape { return tensor.Shape{int64(b.width)} }
func (b *blobs) Label(i int) int     { return b.labels[i] }

func (b *blobs) Example(i int, dst []float32) error {
	copy(dst, b.x[i*b.width:][:b.width])
	return nil
}

// broken is a Source whose batches end early, in an error or without.
type broken struct {
	train.Source
	after int
	err   error
}

var errBroken = errors.New("the disk has a scratch")

func (b *broken) Batches(ctx context.Context, p train.Pass) iter.Seq2[*train.Batch, error] {
	return func(yield func(*train.Batch, error) bool) {
		n := 0
		for batch, err := range b.Source.Batches(ctx, p) {
			if n++; n > b.after {
				if b.err != nil {
					yield(nil, b.err)
				}
				return
			}
			if !yield(batch, err) {
				return
			}
		}
	}
}
