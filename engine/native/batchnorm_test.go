package native

import (
	"maps"
	"testing"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/tensor"
)

// A file that asks for the statistics of the batch gets them from Forward, whatever
// Step has been told to do with them, and Forward leaves the running ones alone.
func TestTrainingMode(t *testing.T) {
	s := one("BatchNormalization", graph.Attributes{"training_mode": int64(1), "momentum": 0.5}, 1,
		&graph.Value{Type: tensor.F32, Shape: tensor.Shape{4, 2}, Float: []float64{1, 5, 2, 7, 4, 6, 8, 0}},
		&graph.Value{Type: tensor.F32, Shape: tensor.Shape{2}, Float: []float64{1, 2}},
		&graph.Value{Type: tensor.F32, Shape: tensor.Shape{2}, Float: []float64{0, 1}},
		&graph.Value{Type: tensor.F32, Shape: tensor.Shape{2}, Float: []float64{100, 200}},
		&graph.Value{Type: tensor.F32, Shape: tensor.Shape{2}, Float: []float64{30, 40}},
	)
	s.place["w0"] = given
	g := s.graph(t)
	values := map[string]*graph.Value{"quarter": {Type: tensor.F32, Shape: tensor.Shape{}, Float: []float64{0.25}}}
	maps.Copy(values, s.operands)
	batch := evaluate(t, g, values, nil)
	plain := s.graph(t)
	plain.Nodes[0].Attributes = graph.Attributes{"momentum": 0.5}
	running := evaluate(t, plain, values, nil)
	x := values["w0"]
	inputs := []engine.Array{{Shape: tensor.Shape{}, Float: []float32{0.25}}, {Shape: x.Shape, Float: float32s(x.Float)}}
	for _, frozen := range []bool{false, true} {
		p, err := compile(s.graph(t), &engine.Options{Trainable: []string{"w1", "w2"}, Frozen: frozen})
		if err != nil {
			t.Fatal(err)
		}
		out, err := p.Forward(inputs)
		if err != nil {
			t.Fatal(err)
		}
		compareOutputs(t, "Forward", g, out, batch, 1e-5)
		want := batch
		if frozen {
			want = running
		}
		moved := func() bool { return p.byName["w3"].values[0] != 100 || p.byName["w4"].values[1] != 40 }
		if moved() {
			t.Errorf("frozen %v: Forward changes the running statistics", frozen)
		}
		if _, err := p.Step(0, func(out, gradients []engine.Array) float64 {
			compareOutputs(t, "Step", g, out, want, 1e-5)
			return linear(out, gradients)
		}, inputs); err != nil {
			t.Fatal(err)
		}
		if moved() == frozen {
			t.Errorf("frozen %v: after a step, the running statistics have moved: %v", frozen, moved())
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
