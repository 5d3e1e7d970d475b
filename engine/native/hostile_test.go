package native

import (
	"hash/fnv"
	"math"
	"strings"
	"testing"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/tensor"
)

func zeros(shape ...int64) *graph.Value {
	return &graph.Value{Type: tensor.F32, Shape: shape, Float: make([]float64, product(shape))}
}

// arraysOf returns the inputs of the graph of s, with operands as they are.
func arraysOf(s *single, g *graph.Graph) []engine.Array {
	var in []engine.Array
	for _, i := range g.Inputs {
		v := s.operands[i.Name]
		if i.Name == "quarter" {
			v = &graph.Value{Type: tensor.F32, Shape: tensor.Shape{}, Float: []float64{0.25}}
		}
		a := engine.Array{Shape: v.Shape, Int: v.Int}
		if v.Type.Numeric() {
			a.Float = float32s(v.Float)
		}
		in = append(in, a)
	}
	return in
}

// Data that an operator cannot use is an error that names the node, on any number of
// threads, and the program goes on.
func TestDataErrors(t *testing.T) {
	at := func(i ...int64) *graph.Value { return intsOf(i...) }
	for _, tt := range []struct {
		name string
		s    *single
		feed []string
		want string
	}{
		{"Gather above", one("Gather", nil, 1, zeros(4, 300), at(1, 4)), []string{"w1"}, "index 4 is outside of an axis of 4"},
		{"Gather below", one("Gather", nil, 1, zeros(4), at(-5)), []string{"w1"}, "index -5 is outside of an axis of 4"},
		{"Gather of nothing", one("Gather", nil, 1, zeros(0, 2), at(0)), []string{"w1"}, "index 0 is outside of an axis of 0"},
		{"GatherElements", one("GatherElements", nil, 1, zeros(2), at(0, 9)), []string{"w1"}, "index 9 is outside of an axis of 2"},
		{"GatherND", one("GatherND", nil, 1, zeros(2, 2), at(1, math.MaxInt64)), []string{"w1"}, "index 9223372036854775807 is outside of an axis of 2"},
		{"ScatterElements", one("ScatterElements", nil, 1, zeros(2), at(math.MinInt64), zeros(1)), []string{"w1"}, "index -9223372036854775808 is outside"},
		{"ScatterND", one("ScatterND", nil, 1, zeros(2), at(2), zeros()), []string{"w1"}, "index 2 is outside of an axis of 2"},
		{"MaxUnpool", one("MaxUnpool", graph.Attributes{"kernel_shape": []int64{2}}, 1, zeros(1, 1, 2),
			&graph.Value{Type: tensor.I64, Shape: tensor.Shape{1, 1, 2}, Int: []int64{0, 99}}), []string{"w1"}, "place 99 of element 1"},
		{"CumSum", one("CumSum", nil, 1, zeros(2), &graph.Value{Type: tensor.I64, Shape: tensor.Shape{}, Int: []int64{3}}), []string{"w1"}, "axis 3 is outside"},
		{"ReverseSequence", one("ReverseSequence", nil, 1, zeros(2, 1), at(3)), []string{"w1"}, "length 3 of sequence 0 is outside of 0 to 2"},
		{"LSTM", one("RNN", nil, 2, zeros(2, 1, 1), zeros(1, 1, 1), zeros(1, 1, 1), nil,
			&graph.Value{Type: tensor.I32, Shape: tensor.Shape{1}, Int: []int64{7}}), []string{"w4"}, "length 7 of sequence 0"},
		{"labels", one("SoftmaxCrossEntropyLoss", nil, 1, zeros(1, 3), at(3)), []string{"w1"}, "label 3 at 0 is outside of 3 classes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.s.place["w0"] = given
			for _, name := range tt.feed {
				tt.s.place[name] = given
			}
			g := tt.s.graph(t)
			for _, threads := range []int{1, 3} {
				p, err := compile(g, &engine.Options{Threads: threads})
				if err != nil {
					t.Fatal(err)
				}
				in := arraysOf(tt.s, g)
				for range 2 { // the pool is whole after an error
					_, err = p.Forward(in)
					if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), `node "node" (`) {
						t.Errorf("got %v, want something with %q", err, tt.want)
					}
					if strings.Contains(err.Error(), "internal error") {
						t.Errorf("%v", err)
					}
				}
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A mistake of ours in a goroutine of the pool becomes an error that says so, and
// names the node.
func TestPanicInWorker(t *testing.T) {
	s := one("Neg", nil, 1, zeros(1<<17))
	s.place["w0"] = given
	g := s.graph(t)
	p, err := compile(g, &engine.Options{Threads: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	in := arraysOf(s, g)
	if _, err := p.Forward(in); err != nil {
		t.Fatal(err)
	}
	o := p.plans[0].nodes[0].op.(*point)
	do := o.do
	o.do = func(worker, i int) {
		if i == o.pieces-1 {
			panic("oops")
		}
		do(worker, i)
	}
	_, err = p.Forward(in)
	if err == nil || !strings.Contains(err.Error(), `node "node" (Neg): internal error: oops`) {
		t.Errorf("got %v", err)
	}
	o.do = do
	if _, err := p.Forward(in); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// Shapes of which nothing sensible can come are errors, and none takes memory or time.
func TestEnormousShapes(t *testing.T) {
	big := int64(1) << 40
	for _, tt := range []struct {
		name string
		s    *single
	}{
		{"Expand", one("Expand", nil, 1, zeros(1), intsOf(big))},
		{"Expand, many axes", one("Expand", nil, 1, zeros(1, 1), intsOf(1<<31, 1<<31))},
		{"Tile", one("Tile", nil, 1, zeros(1), intsOf(big))},
		{"Resize", one("Resize", nil, 1, zeros(1), nil, nil, intsOf(1<<39))},
		{"Pad", one("Pad", nil, 1, zeros(1), intsOf(0, big))},
		{"OneHot", one("OneHot", nil, 1, intsOf(0), intsOf(1<<40), zeros(2))},
		{"CenterCropPad", one("CenterCropPad", nil, 1, zeros(1), intsOf(big))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.s.place["w0"] = given
			g := tt.s.graph(t)
			p, err := compile(g, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			_, err = p.Forward(arraysOf(tt.s, g))
			if err == nil || !strings.Contains(err.Error(), `"node"`) && !strings.Contains(err.Error(), "limit") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Axes without elements are computed with like all others: forward gives what
// graph.Evaluate does, and there is a step.
func TestEmptyAxes(t *testing.T) {
	image := graph.Attributes{"kernel_shape": []int64{1, 1}}
	for _, s := range []*single{
		one("Add", nil, 1, zeros(0, 3), zeros(3)),
		one("Relu", nil, 1, zeros(0)),
		one("MatMul", nil, 1, zeros(0, 2), zeros(2, 3)),
		one("MatMul", nil, 1, zeros(2, 0), zeros(0, 3)),
		one("Gemm", nil, 1, zeros(0, 2), zeros(2, 3)),
		one("Conv", image, 1, zeros(0, 2, 3, 3), zeros(2, 2, 1, 1)),
		one("ConvTranspose", image, 1, zeros(0, 2, 3, 3), zeros(2, 2, 1, 1)),
		one("LayerNormalization", nil, 1, zeros(0, 2), zeros(2), zeros(2)),
		one("InstanceNormalization", nil, 1, zeros(0, 2, 3), zeros(2), zeros(2)),
		one("Softmax", nil, 1, zeros(2, 0)),
		one("Transpose", nil, 1, zeros(2, 0)),
		one("Concat", graph.Attributes{"axis": int64(0)}, 1, zeros(0, 2), zeros(1, 2)),
		one("Gather", nil, 1, zeros(3, 0), intsOf(1)),
		one("Tile", nil, 1, zeros(0, 2), intsOf(2, 2)),
		one("Where", nil, 1, &graph.Value{Type: tensor.Bool, Shape: tensor.Shape{0}, Int: []int64{}}, zeros(1), zeros(1)),
		one("Max", nil, 1, zeros(0), zeros(1)),
		one("ReduceSum", nil, 1, zeros(0, 3), intsOf(0)),
		one("ReduceLogSumExp", nil, 1, zeros(0, 3), intsOf(0)),
		one("CumSum", nil, 1, zeros(0, 2), &graph.Value{Type: tensor.I64, Shape: tensor.Shape{}, Int: []int64{1}}),
		one("TopK", nil, 2, zeros(2, 3), intsOf(0)),
		one("Einsum", graph.Attributes{"equation": "ij,jk->ik"}, 1, zeros(2, 0), zeros(0, 3)),
		one("GlobalAveragePool", nil, 1, zeros(0, 2, 3, 3)),
		one("DepthToSpace", graph.Attributes{"blocksize": int64(2)}, 1, zeros(0, 4, 2, 2)),
		one("Trilu", nil, 1, zeros(0, 2)),
		one("LSTM", nil, 3, zeros(2, 0, 1), zeros(1, 4, 1), zeros(1, 4, 1)),
		one("LSTM", nil, 3, zeros(0, 1, 1), zeros(1, 4, 1), zeros(1, 4, 1)),
		one("Resize", nil, 1, zeros(0, 2), nil, &graph.Value{Type: tensor.F32, Shape: tensor.Shape{2}, Float: []float64{1, 2}}),
		one("LRN", graph.Attributes{"size": int64(1)}, 1, zeros(0, 2, 3)),
	} {
		t.Run(s.nodes[0].Op, func(t *testing.T) {
			s.place["w0"] = summed
			if s.operands["w0"].Float == nil {
				s.place["w0"] = given
			}
			s.check(t, trial{trainable: []string{"w0"}})
		})
	}
}

// bitsOf is a hash of the bits of floats.
func bitsOf(lists ...[]float32) uint64 {
	h := fnv.New64a()
	for _, x := range lists {
		for _, v := range x {
			b := math.Float32bits(v)
			h.Write([]byte{byte(b), byte(b >> 8), byte(b >> 16), byte(b >> 24)})
		}
	}
	return h.Sum64()
}

// Networks that train for some steps are the same to the last bit on 1, 2 and 3
// threads.
func TestThreadsWholeNetworks(t *testing.T) {
	for _, name := range []string{"lenet5", "resnet20", "mobilenet_v2_cifar", "language", "decoder"} {
		t.Run(name, func(t *testing.T) {
			var first uint64
			for _, threads := range []int{1, 2, 3} {
				var g *graph.Graph
				var in []engine.Array
				switch name {
				case "language":
					g, in = languageModel(t)
				case "decoder":
					g, in = decoder(t)
				default:
					g, in = network(t, name, 3, nil)
				}
				p, err := compile(g, &engine.Options{Threads: threads, Trainable: g.Parameters(), Seed: 3})
				if err != nil {
					t.Fatal(err)
				}
				for step := range uint64(3) {
					if _, err := p.Step(step, crossEntropy, in); err != nil {
						t.Fatal(err)
					}
					for _, w := range p.Weights() {
						for i, d := range w.Gradient {
							w.Values[i] -= 0.05 * d
						}
					}
				}
				out, err := p.Forward(in)
				if err != nil {
					t.Fatal(err)
				}
				lists := [][]float32{out[0].Float}
				for _, w := range p.Weights() {
					lists = append(lists, w.Values)
				}
				bits := bitsOf(lists...)
				if threads == 1 {
					first = bits
				}
				if bits != first {
					t.Errorf("%d threads give other bits than one", threads)
				}
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
