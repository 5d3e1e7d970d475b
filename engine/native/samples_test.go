package native

import (
	"errors"
	"testing"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/tensor"
)

// A composer puts a graph together, node by node.
type composer struct {
	g       *graph.Graph
	weights []*tensor.Tensor
	seed    uint64
	tb      testing.TB
}

// weight adds a weight with small random numbers, and returns its name.
func (c *composer) weight(name string, shape ...int64) string {
	v := zeros(shape...)
	c.seed++
	r := splitmix(c.seed)
	for i := range v.Float {
		v.Float[i] = float64(float32((float64(r()>>40)/(1<<24) - 0.5) * 0.6))
	}
	return c.constant(name, v)
}

func (c *composer) constant(name string, v *graph.Value) string {
	t, err := v.Tensor(name)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.weights = append(c.weights, t)
	return name
}

func (c *composer) ints(name string, x ...int64) string { return c.constant(name, intsOf(x...)) }

// node adds a node with one result, whose name it returns.
func (c *composer) node(op string, a graph.Attributes, inputs ...string) string {
	name := op + " " + string(rune('a'+len(c.g.Nodes)))
	c.g.Nodes = append(c.g.Nodes, &graph.Node{Name: name, Op: op, Inputs: inputs, Outputs: []string{name}, Attributes: a})
	return name
}

func (c *composer) done(output string) *graph.Graph {
	c.g.Outputs = []string{output}
	var err error
	if c.g.Weights, err = tensor.NewSet(c.weights...); err != nil {
		c.tb.Fatal(err)
	}
	return c.g
}

// languageModel is a small network over tokens: an embedding, an LSTM and a GRU,
// attention, normalization. Some operators are there only to be there.
func languageModel(tb testing.TB) (*graph.Graph, []engine.Array) {
	const time, batch, width, size = 6, 4, 96, 24
	c := &composer{tb: tb, g: &graph.Graph{Name: "language", Inputs: []graph.Input{
		{Name: "tokens", Type: tensor.I64, Shape: []graph.Dim{{Size: time}, {Size: batch}}},
	}}}
	x := c.node("Gather", nil, c.weight("table", 50, width), "tokens")
	y := c.node("LSTM", graph.Attributes{"hidden_size": int64(size), "direction": "bidirectional"}, x,
		c.weight("lstm.w", 2, 4*size, width), c.weight("lstm.r", 2, 4*size, size), c.weight("lstm.b", 2, 8*size))
	y = c.node("Transpose", graph.Attributes{"perm": []int64{0, 2, 1, 3}}, y)
	y = c.node("Reshape", nil, y, c.ints("shape", time, batch, 2*size))
	y = c.node("LayerNormalization", nil, y, c.weight("ln.scale", 2*size), c.weight("ln.bias", 2*size))
	y = c.node("Mish", nil, y)
	s := c.node("Einsum", graph.Attributes{"equation": "tbi,ubi->btu"}, y, y)
	s = c.node("Where", nil, c.node("Greater", nil, s, c.constant("limit", scalarOf(3))), c.constant("three", scalarOf(3)), s)
	s = c.node("Softmax", graph.Attributes{"axis": int64(-1)}, s)
	a := c.node("Einsum", graph.Attributes{"equation": "btu,ubi->tbi"}, s, y)
	a = c.node("PRelu", nil, a, c.weight("slope", 2*size))
	a = c.node("Max", nil, a, y)
	z := c.node("GRU", graph.Attributes{"hidden_size": int64(size)}, a,
		c.weight("gru.w", 1, 3*size, 2*size), c.weight("gru.r", 1, 3*size, size), c.weight("gru.b", 1, 6*size))
	z = c.node("CumSum", nil, z, c.constant("zero", &graph.Value{Type: tensor.I64, Shape: tensor.Shape{}, Int: []int64{0}}))
	z = c.node("Gather", graph.Attributes{"axis": int64(0)}, z, c.constant("last", &graph.Value{Type: tensor.I64, Shape: tensor.Shape{}, Int: []int64{-1}}))
	z = c.node("Squeeze", nil, z, c.ints("first", 0))
	z = c.node("RMSNormalization", nil, z, c.weight("rms", size))
	z = c.node("Gemm", graph.Attributes{"transB": int64(1)}, z, c.weight("head.w", 10, size), c.weight("head.b", 10))
	in := engine.Array{Shape: tensor.Shape{time, batch}}
	r := splitmix(4)
	for range time * batch {
		in.Int = append(in.Int, int64(r()%50))
	}
	return c.done(z), []engine.Array{in}
}

// decoder is a small network over images with the operators of decoders.
func decoder(tb testing.TB) (*graph.Graph, []engine.Array) {
	c := &composer{tb: tb, g: &graph.Graph{Name: "decoder", Inputs: []graph.Input{
		{Name: "image", Type: tensor.F32, Shape: []graph.Dim{{Size: 2}, {Size: 3}, {Size: 9}, {Size: 8}}},
	}}}
	x := c.node("Conv", graph.Attributes{"pads": []int64{1, 1, 1, 1}}, "image", c.weight("conv", 8, 3, 3, 3), c.weight("conv.b", 8))
	x = c.node("InstanceNormalization", nil, x, c.weight("in.scale", 8), c.weight("in.bias", 8))
	x = c.node("Softplus", nil, x)
	x = c.node("Resize", graph.Attributes{"mode": "linear"}, x, "", "", c.ints("sizes", 2, 8, 13, 20))
	x = c.node("ConvTranspose", graph.Attributes{"strides": []int64{2, 2}, "group": int64(2)}, x, c.weight("up", 8, 6, 3, 3), c.weight("up.b", 12))
	x = c.node("GroupNormalization", graph.Attributes{"num_groups": int64(3)}, x, c.weight("gn.scale", 12), c.weight("gn.bias", 12))
	x = c.node("LpPool", graph.Attributes{"kernel_shape": []int64{2, 2}}, x)
	x = c.node("DepthToSpace", graph.Attributes{"blocksize": int64(2)}, x)
	x = c.node("LRN", graph.Attributes{"size": int64(3)}, x)
	x = c.node("Tile", nil, x, c.ints("times", 1, 2, 1, 1))
	x = c.node("Resize", graph.Attributes{"mode": "nearest"}, x, "", "", c.ints("less", 2, 6, 30, 31))
	x = c.node("GlobalAveragePool", nil, x)
	x = c.node("Flatten", graph.Attributes{"axis": int64(1)}, x)
	x = c.node("Gemm", nil, x, c.weight("head.w", 6, 10), c.weight("head.b", 10))
	in := engine.Array{Shape: tensor.Shape{2, 3, 9, 8}, Float: float32s(factors(2 * 3 * 9 * 8))}
	return c.done(x), []engine.Array{in}
}

// Both networks are what graph.Evaluate says, and the slopes along directions are those
// of the gradients.
func TestSamples(t *testing.T) {
	for _, make := range []func(testing.TB) (*graph.Graph, []engine.Array){languageModel, decoder} {
		g, in := make(t)
		t.Run(g.Name, func(t *testing.T) {
			values := weightValues(t, g)
			v := &graph.Value{Type: g.Inputs[0].Type, Shape: in[0].Shape, Int: in[0].Int}
			if v.Int == nil {
				for _, x := range in[0].Float {
					v.Float = append(v.Float, float64(x))
				}
			}
			values[g.Inputs[0].Name] = v
			p, err := compile(g, &engine.Options{Threads: 2, Trainable: g.Parameters()})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			p.poison = true
			want := evaluate(t, g, values, nil)
			out, err := p.Forward(in)
			if err != nil {
				t.Fatal(err)
			}
			compareOutputs(t, "Forward", g, out, want, 1e-4)
			if _, err := p.Step(1, func(y, dy []engine.Array) float64 {
				compareOutputs(t, "Step", g, y, want, 1e-4)
				return linear(y, dy)
			}, in); err != nil {
				t.Fatal(err)
			}
			directional(t, g, p, values, nil)
		})
	}
}

// A step with the newer operators allocates nothing.
func TestSamplesAllocate(t *testing.T) {
	for _, make := range []func(testing.TB) (*graph.Graph, []engine.Array){languageModel, decoder} {
		g, in := make(t)
		p, err := compile(g, &engine.Options{Threads: 2, Trainable: g.Parameters()})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for what, call := range map[string]func() error{
			"Forward": func() error { _, err := p.Forward(in); return err },
			"Step":    func() error { _, err := p.Step(1, crossEntropy, in); return err },
		} {
			failed := call()
			if n := testing.AllocsPerRun(3, func() { failed = errors.Join(failed, call()) }); n != 0 || failed != nil {
				t.Errorf("%s: %s allocates %v times (%v)", g.Name, what, n, failed)
			}
		}
	}
}
