package native

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/tensor"
)

// A fataler is what *testing.T and *rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// floatsOf returns a weight with numbers from -1 to 1 that are no closer to 0 than
// 1/16, so that kinks of activations are not met.
func drawFloats(t *rapid.T, label string, shape ...int64) *graph.Value {
	v := &graph.Value{Type: tensor.F32, Shape: shape, Float: make([]float64, product(shape))}
	seed := rapid.Uint64().Draw(t, label)
	r := splitmix(seed)
	for i := range v.Float {
		x := float64(r()>>40)/(1<<24)*1.875 - 0.9375
		v.Float[i] = float64(float32(x + math.Copysign(0.0625, x)))
	}
	return v
}

func splitmix(s uint64) func() uint64 {
	return func() uint64 {
		s += 0x9e3779b97f4a7c15
		z := s
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return z ^ z>>31
	}
}

func intsOf(x ...int64) *graph.Value {
	return &graph.Value{Type: tensor.I64, Shape: tensor.Shape{int64(len(x))}, Int: x}
}

// A single is a graph of one node, or a few, whose operands are weights.
type single struct {
	nodes    []*graph.Node
	operands map[string]*graph.Value
	order    []string // of the operands
	outputs  []string
	place    map[string]place
	fixed    []string // operands whose place is not drawn
}

// A place is where an operand of a graph in a test comes from.
type place int

const (
	weighed place = iota // it is a weight
	summed               // a node adds a weight and an input
	given                // it is an input
)

// one returns the graph of a node with these operands; nil is one that is left out.
func one(op string, attributes graph.Attributes, outputs int, operands ...*graph.Value) *single {
	s := &single{operands: map[string]*graph.Value{}, place: map[string]place{}}
	n := &graph.Node{Name: "node", Op: op, Attributes: attributes}
	for i, v := range operands {
		if v == nil {
			n.Inputs = append(n.Inputs, "")
			continue
		}
		name := fmt.Sprintf("w%d", i)
		n.Inputs = append(n.Inputs, name)
		s.operands[name] = v
		s.order = append(s.order, name)
	}
	for i := range outputs {
		n.Outputs = append(n.Outputs, fmt.Sprintf("y%d", i))
	}
	s.outputs = n.Outputs
	s.nodes = []*graph.Node{n}
	return s
}

// drawPlaces chooses places for the operands that are floats; the first one is no
// weight, lest all be constant.
func (s *single) drawPlaces(t *rapid.T) {
	first := true
	for _, name := range s.order {
		if s.operands[name].Float == nil || slices.Contains(s.fixed, name) {
			continue
		}
		choices := []place{summed, given, weighed}
		if first {
			choices, first = choices[:2], false
		}
		s.place[name] = rapid.SampledFrom(choices).Draw(t, "place of "+name)
	}
}

// graph returns the graph with operands in their places.
func (s *single) graph(t fataler) *graph.Graph {
	t.Helper()
	g := &graph.Graph{Name: "single", Outputs: s.outputs, Inputs: []graph.Input{{Name: "quarter", Type: tensor.F32, Shape: []graph.Dim{}}}}
	var ts []*tensor.Tensor
	for _, name := range s.order {
		v := s.operands[name]
		if s.place[name] == given {
			in := graph.Input{Name: name, Type: v.Type, Shape: []graph.Dim{}}
			for _, n := range v.Shape {
				in.Shape = append(in.Shape, graph.Dim{Size: n})
			}
			g.Inputs = append(g.Inputs, in)
			continue
		}
		w, err := v.Tensor(name)
		if err != nil {
			t.Fatalf("%v", err)
		}
		ts = append(ts, w)
	}
	var err error
	if g.Weights, err = tensor.NewSet(ts...); err != nil {
		t.Fatalf("%v", err)
	}
	for _, name := range s.order {
		if s.place[name] == summed {
			g.Nodes = append(g.Nodes, &graph.Node{Name: "make " + name, Op: "Add", Inputs: []string{name, "quarter"}, Outputs: []string{"made " + name}})
		}
	}
	for _, n := range s.nodes {
		c := *n
		c.Inputs = slices.Clone(n.Inputs)
		for i, in := range c.Inputs {
			if s.place[in] == summed {
				c.Inputs[i] = "made " + in
			}
		}
		g.Nodes = append(g.Nodes, &c)
	}
	return g
}

// trainable returns the names of the operands that are floats and weights.
func (s *single) trainable() []string {
	var names []string
	for _, name := range s.order {
		if s.operands[name].Float != nil && s.place[name] != given {
			names = append(names, name)
		}
	}
	return names
}

// evaluate returns the outputs in float64.
func evaluate(t fataler, g *graph.Graph, values map[string]*graph.Value, o *graph.EvaluateOptions) map[string]*graph.Value {
	t.Helper()
	e := *g
	e.Inputs = slices.Clone(g.Inputs)
	in := map[string]*graph.Value{}
	for name, v := range values {
		in[name] = v
		if !slices.ContainsFunc(e.Inputs, func(i graph.Input) bool { return i.Name == name }) {
			e.Inputs = append(e.Inputs, graph.Input{Name: name, Type: v.Type})
		}
	}
	out, err := graph.Evaluate(&e, in, o)
	if err != nil {
		t.Fatalf("Evaluate: %v", err)
	}
	return out
}

// A trial says how a graph is to be tested.
type trial struct {
	trainable []string
	inputs    map[string]*graph.Value
	training  bool // Step computes other values than Forward
	frozen    bool
	tolerance float64 // relative to the greatest; 0 is 2e-5
	noStep    bool
	mask      func(node string, elems int) []bool
}

// check holds Forward and Step of the engine, with memory poisoned, with and
// without fusing, on one thread and several, against graph.Evaluate and its central
// differences.
func (s *single) check(t fataler, tr trial) {
	t.Helper()
	tr.inputs = map[string]*graph.Value{"quarter": {Type: tensor.F32, Shape: tensor.Shape{}, Float: []float64{0.25}}}
	maps.Copy(tr.inputs, s.operands)
	tr.trainable = slices.DeleteFunc(slices.Clone(tr.trainable), func(name string) bool { return s.place[name] == given })
	checkGraph(t, s.graph(t), s.operands, tr)
}

func checkGraph(t fataler, g *graph.Graph, weights map[string]*graph.Value, tr trial) {
	t.Helper()
	if tr.tolerance == 0 {
		tr.tolerance = 2e-5
	}
	values := map[string]*graph.Value{}
	maps.Copy(values, weights)
	inputs := make([]engine.Array, len(g.Inputs))
	for i, in := range g.Inputs {
		v := tr.inputs[in.Name]
		values[in.Name] = v
		inputs[i] = engine.Array{Shape: v.Shape, Float: float32s(v.Float), Int: v.Int}
	}
	want := evaluate(t, g, values, nil)
	trained := want
	if tr.training {
		trained = evaluate(t, g, values, &graph.EvaluateOptions{Training: true, Mask: tr.mask})
	}
	for _, v := range trained {
		for _, x := range v.Float {
			// The maximum of a window of padding; a mean of nothing, all of which is left out.
			tr.noStep = tr.noStep || math.IsInf(x, 0) || math.IsNaN(x)
		}
	}
	var first []string // bits of the first variant
	for _, threads := range []int{1, 3} {
		for _, fuse := range []bool{true, false} {
			p, err := compile(g, &engine.Options{Threads: threads, Trainable: tr.trainable, Frozen: tr.frozen})
			if err != nil {
				t.Fatalf("Compile: %v", err)
			}
			p.poison, p.noFuse = true, !fuse
			out, err := p.Forward(inputs)
			if err != nil {
				t.Fatalf("Forward: %v", err)
			}
			bits := compareOutputs(t, "Forward", g, out, want, tr.tolerance)
			if len(tr.trainable) > 0 && !tr.noStep {
				bits += checkStep(t, p, g, inputs, values, trained, tr)
			}
			if fuse {
				first = append(first, bits)
			}
			if err := p.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
		}
	}
	if first[0] != first[1] {
		t.Fatalf("the bits differ with the number of threads")
	}
}

func compareOutputs(t fataler, what string, g *graph.Graph, out []engine.Array, want map[string]*graph.Value, tolerance float64) string {
	t.Helper()
	var bits strings.Builder
	for i, name := range g.Outputs {
		w := want[name]
		if !out[i].Shape.Equal(w.Shape) {
			t.Fatalf("%s: output %q has shape %v, want %v", what, name, out[i].Shape, w.Shape)
		}
		compare(t, what+": output "+name, out[i].Float, w.Float, tolerance)
		if !slices.Equal(out[i].Int, w.Int) && len(out[i].Int)+len(w.Int) > 0 {
			t.Fatalf("%s: output %q is %v, want %v", what, name, out[i].Int, w.Int)
		}
		for _, x := range out[i].Float {
			fmt.Fprintf(&bits, "%08x", math.Float32bits(x))
		}
	}
	return bits.String()
}

// compare fails if got is off by more than tolerance times the greatest value.
func compare(t fataler, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d elements, want %d", what, len(got), len(want))
	}
	scale := 1.0
	for _, w := range want {
		if !math.IsInf(w, 0) && !math.IsNaN(w) {
			scale = max(scale, math.Abs(w))
		}
	}
	for i, w := range want {
		if g := float64(got[i]); g != w && !(math.Abs(g-w) <= tolerance*scale) && !(math.IsNaN(g) && math.IsNaN(w)) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, g, w)
		}
	}
}

// factors are the derivatives of the loss by an output.
func factors(n int) []float64 {
	r := splitmix(uint64(n))
	c := make([]float64, n)
	for i := range c {
		c[i] = float64(r()>>40)/(1<<23) - 1
	}
	return c
}

// linear is the loss Σ factors·output.
func linear(outputs, gradients []engine.Array) float64 {
	loss := 0.0
	for k, y := range outputs {
		for i, f := range factors(len(y.Float)) {
			loss += f * float64(y.Float[i])
			gradients[k].Float[i] = float32(f)
		}
	}
	return loss
}

func checkStep(t fataler, p *program, g *graph.Graph, inputs []engine.Array, values, want map[string]*graph.Value, tr trial) string {
	t.Helper()
	var bits string
	loss := func(outputs, gradients []engine.Array) float64 {
		bits += compareOutputs(t, "Step", g, outputs, want, tr.tolerance)
		return linear(outputs, gradients)
	}
	if _, err := p.Step(1, loss, inputs); err != nil {
		t.Fatalf("Step: %v", err)
	}
	o := &graph.EvaluateOptions{Training: tr.training, Mask: tr.mask}
	for _, w := range p.Weights() {
		if w.Gradient == nil {
			continue
		}
		slope := differences(t, g, values, w.Name, o)
		got := slices.Clone(w.Gradient)
		for i, d := range slope {
			if math.IsNaN(float64(got[i])) {
				t.Fatalf("gradient of %s: element %d is NaN", w.Name, i)
			}
			if math.IsNaN(d) {
				slope[i], got[i] = 0, 0
			}
		}
		compare(t, "gradient of "+w.Name, got, slope, 10*tr.tolerance)
		for _, x := range w.Gradient {
			bits += fmt.Sprintf("%08x", math.Float32bits(x))
		}
	}
	return bits
}

// sampled is of how many elements of a weight, on average, the derivative is looked
// at: evaluation is slow.
const sampled = 8

// differences returns the derivative of the linear loss by a weight; those by
// elements that are not looked at are NaN.
func differences(t fataler, g *graph.Graph, values map[string]*graph.Value, name string, o *graph.EvaluateOptions) []float64 {
	t.Helper()
	w := values[name]
	at := maps.Clone(values)
	loss := func(i int, h float64) float64 {
		c := *w
		c.Float = slices.Clone(w.Float)
		c.Float[i] += h
		at[name] = &c
		sum := 0.0
		for out, v := range evaluate(t, g, at, o) {
			_ = out
			for k, f := range factors(len(v.Float)) {
				sum += f * v.Float[k]
			}
		}
		return sum
	}
	const h = 1e-6
	d := make([]float64, len(w.Float))
	r := splitmix(uint64(len(d)))
	for i := range d {
		d[i] = math.NaN() // not looked at
		if len(d) <= sampled || r()%uint64(len(d)) < sampled {
			d[i] = (loss(i, h) - loss(i, -h)) / (2 * h)
		}
	}
	return d
}

// never is a *testing.T that a rapid check can fall back on.
var _ fataler = (*testing.T)(nil)

// needsOracle skips a test of an operator that graph.Evaluate lacks.
func needsOracle(t *testing.T, op string) {
	t.Helper()
	if !slices.Contains(graph.Operators(), op) {
		t.Skipf("graph.Evaluate does not know %s yet", op)
	}
}
