package native

import (
	"fmt"
	"math"
	"testing"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/tensor"
)

// network builds a network and inputs for it.
func network(tb testing.TB, name string, batch int64, input tensor.Shape) (*graph.Graph, []engine.Array) {
	tb.Helper()
	g, err := nets.Build(name, &nets.Options{Input: input})
	if err != nil {
		tb.Fatal(err)
	}
	shape := tensor.Shape{batch}
	for _, d := range g.Inputs[0].Shape[1:] {
		shape = append(shape, d.Size)
	}
	x := engine.Array{Shape: shape, Float: make([]float32, product(shape))}
	r := splitmix(1)
	for i := range x.Float {
		x.Float[i] = float32(r()>>40)/(1<<23) - 1
	}
	return g, []engine.Array{x}
}

// crossEntropy is the mean loss of rows against labels that follow from their
// number.
func crossEntropy(outputs, gradients []engine.Array) float64 {
	y, dy := outputs[0], gradients[0]
	rows, cols := int(y.Shape[0]), int(y.Shape[1])
	loss := 0.0
	for r := range rows {
		row := y.Float[r*cols:][:cols]
		peak, sum := float64(row[0]), 0.0
		for _, v := range row {
			peak = max(peak, float64(v))
		}
		for _, v := range row {
			sum += math.Exp(float64(v) - peak)
		}
		label := r * 7 % cols
		loss += peak + math.Log(sum) - float64(row[label])
		for i, v := range row {
			p := math.Exp(float64(v)-peak) / sum
			if i == label {
				p--
			}
			dy.Float[r*cols+i] = float32(p / float64(rows))
		}
	}
	return loss / float64(rows)
}

var benchmarks = []struct {
	name  string
	batch int64
	input tensor.Shape
}{
	{"lenet-300-100", 100, nil},
	{"lenet-5", 100, nil},
	{"resnet20", 128, nil},
	{"resnet32", 128, nil},
	{"mobilenet_v2_cifar", 64, nil},
}

func BenchmarkStep(b *testing.B) {
	for _, bm := range benchmarks {
		b.Run(fmt.Sprintf("%s/%d", bm.name, bm.batch), func(b *testing.B) {
			g, in := network(b, bm.name, bm.batch, bm.input)
			p, err := compile(g, &engine.Options{Threads: 2, Trainable: g.Parameters()})
			if err != nil {
				b.Fatal(err)
			}
			before := processorTime()
			for b.Loop() {
				if _, err := p.Step(1, crossEntropy, in); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((processorTime()-before)*1e3/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(len(p.slab)*4)/1e6, "MB-arena")
		})
	}
}

func BenchmarkForward(b *testing.B) {
	for _, bm := range benchmarks {
		b.Run(fmt.Sprintf("%s/%d", bm.name, bm.batch), func(b *testing.B) {
			g, in := network(b, bm.name, bm.batch, bm.input)
			p, err := compile(g, &engine.Options{Threads: 2})
			if err != nil {
				b.Fatal(err)
			}
			before := processorTime()
			for b.Loop() {
				if _, err := p.Forward(in); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((processorTime()-before)*1e3/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(len(p.slab)*4)/1e6, "MB-arena")
		})
	}
}
