package native

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/tensor"
)

// weightValues returns the float weights of g as values.
func weightValues(t fataler, g *graph.Graph) map[string]*graph.Value {
	t.Helper()
	values := map[string]*graph.Value{}
	for _, w := range g.Weights.All() {
		if !w.DType.Numeric() {
			continue
		}
		v, err := graph.ValueOf(w)
		if err != nil {
			t.Fatalf("%v", err)
		}
		values[w.Name] = v
	}
	return values
}

// Whole networks are what graph.Evaluate says, forward and in a step; so are the
// gradients of weights, of which some elements are looked at.
func TestNetworks(t *testing.T) {
	for _, tt := range []struct {
		name  string
		input tensor.Shape
	}{
		{"lenet-300-100", tensor.Shape{1, 6, 6}},
		{"lenet5", tensor.Shape{1, 16, 16}},
		{"resnet20", tensor.Shape{3, 8, 8}},
		// Smaller images leave batch statistics of two numbers, which amplify rounding.
		{"mobilenet_v2_cifar", tensor.Shape{3, 16, 16}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, err := nets.Build(tt.name, &nets.Options{Input: tt.input, Classes: 3})
			if err != nil {
				t.Fatal(err)
			}
			shape := append(tensor.Shape{2}, tt.input...)
			in := &graph.Value{Type: tensor.F32, Shape: shape, Float: factors(product(shape))}
			values := weightValues(t, g)
			perturb(g, values)
			values[nets.Input] = in
			x := []engine.Array{{Shape: shape, Float: float32s(in.Float)}}
			for _, fuse := range []bool{true, false} {
				p, err := compile(g, &engine.Options{Trainable: g.Parameters()})
				if err != nil {
					t.Fatal(err)
				}
				p.poison, p.noFuse = true, !fuse
				for _, w := range p.weights {
					copy(w.values, float32s(values[w.name].Float))
				}
				out, err := p.Forward(x)
				if err != nil {
					t.Fatal(err)
				}
				compareOutputs(t, "Forward", g, out, evaluate(t, g, values, nil), 1e-4)
				o := &graph.EvaluateOptions{Training: true, Updated: map[string]*graph.Value{}, Mask: maskOf(g, random{step: 1})}
				want := evaluate(t, g, values, o)
				updated := o.Updated
				o.Updated = nil
				if _, err := p.Step(1, func(y, dy []engine.Array) float64 {
					compareOutputs(t, "Step", g, y, want, 2e-4)
					return linear(y, dy)
				}, x); err != nil {
					t.Fatal(err)
				}
				for name, v := range updated {
					compare(t, "running "+name, p.byName[name].values, v.Float, 1e-4)
				}
				if !fuse || testing.Short() {
					continue
				}
				directional(t, g, p, values, o)
			}
		})
	}
}

// maskOf returns what the engine's Dropout keeps, for graph.Evaluate.
func maskOf(g *graph.Graph, r random) func(node string, elems int) []bool {
	return func(node string, elems int) []bool {
		x := &operand{site: &site{size: elems, float: make([]float32, elems)}}
		o := &dropout{
			x: x, random: &r, node: nameHash(node), from: 0.5, src: x.float, dst: x.float,
			mask: &site{int: make([]int64, elems)},
		}
		for _, n := range g.Nodes {
			if n.Name == node && len(n.Inputs) > 1 {
				v, err := graph.ValueOf(g.Weights.Lookup(n.Inputs[1]))
				if err != nil {
					return nil
				}
				o.from = float32(v.Float[0])
			}
		}
		for i := range (elems + grainOf - 1) / grainOf {
			o.piece(0, i)
		}
		kept := make([]bool, elems)
		for i, k := range o.mask.int {
			kept[i] = k != 0
		}
		return kept
	}
}

// perturb makes weights that are zero at the beginning something else, and moves
// running statistics.
func perturb(g *graph.Graph, values map[string]*graph.Value) {
	buffers := g.Buffers()
	for _, name := range slices.Concat(buffers, g.Parameters()) {
		v := values[name]
		r := splitmix(nameHash(name))
		for i := range v.Float {
			u := float64(r()>>40)/(1<<24) - 0.5
			if slices.Contains(buffers, name) {
				u += 0.6 // variances are positive
			}
			v.Float[i] = float64(float32(v.Float[i] + 0.1*u))
		}
	}
}

// directional compares the slope of the loss in a direction through all weights
// with the gradients.
func directional(t *testing.T, g *graph.Graph, p *program, values map[string]*graph.Value, o *graph.EvaluateOptions) {
	t.Helper()
	const looked = 5 // weights; evaluation is slow
	trainable := g.Parameters()
	stride := (len(trainable) + looked - 1) / looked
	for _, w := range p.Weights() {
		if w.Gradient == nil || slices.Index(trainable, w.Name)%stride != 0 {
			continue
		}
		d := factors(len(w.Gradient) + 1)[1:]
		loss := func(h float64) float64 {
			moved := maps.Clone(values)
			c := *values[w.Name]
			c.Float = slices.Clone(c.Float)
			for i := range c.Float {
				c.Float[i] += h * d[i]
			}
			moved[w.Name] = &c
			sum := 0.0
			for _, v := range evaluate(t, g, moved, o) {
				for k, f := range factors(len(v.Float)) {
					sum += f * v.Float[k]
				}
			}
			return sum
		}
		const h = 1e-7 // small, lest a Relu bend within
		want := (loss(h) - loss(-h)) / (2 * h)
		got, size := 0.0, 0.0
		for i, x := range w.Gradient {
			got += d[i] * float64(x)
			size += math.Abs(d[i] * float64(x))
		}
		if math.Abs(got-want) > 1e-3*size+1e-4 {
			t.Errorf("gradient of %s along a direction is %g, want %g (sum of sizes %g)", w.Name, got, want, size)
		}
	}
}

// Once its shapes are known, a call allocates nothing.
func TestAllocations(t *testing.T) {
	for _, name := range []string{"lenet5", "resnet20", "mobilenet_v2_cifar"} {
		g, in := network(t, name, 3, nil)
		_, other := network(t, name, 2, nil)
		p, err := compile(g, &engine.Options{Threads: 2, Trainable: g.Parameters()})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		calls := map[string]func() error{
			"Forward":                 func() error { _, err := p.Forward(in); return err },
			"Step":                    func() error { _, err := p.Step(1, crossEntropy, in); return err },
			"Step on a smaller batch": func() error { _, err := p.Step(1, crossEntropy, other); return err },
		}
		for _, call := range calls {
			if err := call(); err != nil {
				t.Fatal(err)
			}
		}
		for what, call := range calls {
			// Which goroutine gets the largest piece of work is open, and each has scratch
			// that grows: so there are some chances.
			var failed error
			n := 1.0
			for i := 0; i < 5 && n != 0; i++ {
				n = testing.AllocsPerRun(1, func() { failed = errors.Join(failed, call()) })
			}
			if n != 0 || failed != nil {
				t.Errorf("%s: %s allocates %v times (%v)", name, what, n, failed)
			}
		}
	}
}

// The gradient of the input is not computed, convolutions take in what follows
// them, and a plan for Forward needs a fraction of the memory of one for Step.
func TestPlan(t *testing.T) {
	g, in := network(t, "resnet20", 2, nil)
	p, err := compile(g, &engine.Options{Threads: 1, Trainable: g.Parameters()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Step(1, crossEntropy, in); err != nil {
		t.Fatal(err)
	}
	step := p.plans[0]
	for _, s := range step.inputs {
		if s.grad != nil {
			t.Errorf("the gradient of input %q is computed", s.name)
		}
	}
	if _, err := p.Forward(in); err != nil {
		t.Fatal(err)
	}
	forward := p.plans[0]
	count := map[string]int{}
	for _, l := range []*plan{step, forward} {
		for _, n := range l.nodes {
			count[strings.Join(append([]string{l.what(), n.Op}, n.with...), " ")]++
		}
	}
	want := map[string]int{
		"train Conv": 21, "train BatchNormalization Relu": 10, "train BatchNormalization Add Relu": 9, "train BatchNormalization": 2,
		"train GlobalAveragePool": 1, "train Gemm": 1,
		"compute Conv BatchNormalization Relu": 10, "compute Conv BatchNormalization Add Relu": 9, "compute Conv BatchNormalization": 2,
		"compute GlobalAveragePool": 1, "compute Gemm": 1,
	}
	if len(step.nodes) < 40 { // with shortcuts that pad there are other nodes
		t.Errorf("a step has %d nodes", len(step.nodes))
	}
	for what, n := range count {
		if want[what] == 0 && !strings.Contains(what, "Slice") && !strings.Contains(what, "Pad") {
			t.Errorf("%d times %q, which is not expected", n, what)
		}
	}
	if forward.size*3 > step.size {
		t.Errorf("Forward takes %d floats, and Step %d", forward.size, step.size)
	}
}

// A plan is made once for each set of shapes, and the oldest is forgotten.
func TestPlansAreKept(t *testing.T) {
	g, _ := network(t, "lenet-300-100", 1, nil)
	p, err := compile(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	call := func(batch int64) *plan {
		_, in := network(t, "lenet-300-100", batch, nil)
		if _, err := p.Forward(in); err != nil {
			t.Fatal(err)
		}
		return p.plans[0]
	}
	first := call(1)
	for i := range int64(plansKept - 1) {
		call(2 + i)
	}
	if call(1) != first {
		t.Error("the plan for batch 1 was made twice")
	}
	if len(p.plans) != plansKept {
		t.Errorf("%d plans are kept, want %d", len(p.plans), plansKept)
	}
	second := call(2)
	for i := range int64(plansKept) {
		call(100 + i)
	}
	if call(2) == second {
		t.Error("a plan was kept for ever")
	}
}

// A loss that is not finite names the first value that is not, and running
// statistics stay.
func TestNonFinite(t *testing.T) {
	g, in := network(t, "resnet20", 2, tensor.Shape{3, 8, 8})
	var conv *graph.Node
	for _, n := range g.Nodes {
		if n.Op == "Conv" && strings.Contains(n.Inputs[1], "layer2") {
			conv = n
			break
		}
	}
	if conv == nil {
		t.Fatal("no convolution in layer2")
	}
	for _, tt := range []struct {
		name  string
		spoil func(p *program)
		want  engine.NonFiniteError
	}{
		{"an overflow", func(p *program) {
			for i := range p.byName[conv.Inputs[1]].values {
				p.byName[conv.Inputs[1]].values[i] = 3e38
			}
		}, engine.NonFiniteError{Step: 7, Node: conv.Name, Value: conv.Outputs[0]}},
		{"a weight", func(p *program) {
			p.byName[conv.Inputs[1]].values[3] = float32(math.NaN())
		}, engine.NonFiniteError{Step: 7, Value: conv.Inputs[1]}},
		{"the input", func(*program) { in[0].Float[5] = float32(math.Inf(1)) }, engine.NonFiniteError{Step: 7, Value: "input"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := compile(g, &engine.Options{Trainable: g.Parameters()})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			tt.spoil(p)
			before := map[string][]float32{}
			for _, name := range g.Buffers() {
				before[name] = slices.Clone(p.byName[name].values)
			}
			_, err = p.Step(7, crossEntropy, in)
			var got *engine.NonFiniteError
			if !errors.As(err, &got) || *got != tt.want {
				t.Errorf("got %v, want %v", err, &tt.want)
			}
			for name, v := range before {
				if !slices.Equal(v, p.byName[name].values) {
					t.Errorf("running statistics %s have changed", name)
				}
			}
		})
	}
	t.Run("the loss alone", func(t *testing.T) {
		in[0].Float[5] = 0
		p, err := compile(g, &engine.Options{Trainable: g.Parameters()})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		_, err = p.Step(9, func(_, _ []engine.Array) float64 { return math.Inf(1) }, in)
		var got *engine.NonFiniteError
		if !errors.As(err, &got) || *got != (engine.NonFiniteError{Step: 9}) {
			t.Errorf("got %v", err)
		}
	})
}

// Bad inputs are errors that say which.
func TestInputErrors(t *testing.T) {
	g, in := network(t, "lenet5", 2, nil)
	p, err := compile(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	good := in[0]
	for _, tt := range []struct {
		name   string
		inputs []engine.Array
		want   string
	}{
		{"none", nil, "0 inputs given"},
		{"another rank", []engine.Array{{Shape: tensor.Shape{2, 784}, Float: good.Float}}, `input "input" has shape 2x784`},
		{"another width", []engine.Array{{Shape: tensor.Shape{2, 1, 28, 27}, Float: good.Float[:2*28*27]}}, "28"},
		{"too few", []engine.Array{{Shape: good.Shape, Float: good.Float[1:]}}, "has 1567"},
		{"integers", []engine.Array{{Shape: good.Shape, Int: make([]int64, good.Shape[0])}}, "in Float"},
		{"a negative axis", []engine.Array{{Shape: tensor.Shape{-1, 1, 28, 28}}}, "negative|-1"},
		{"huge", []engine.Array{{Shape: tensor.Shape{1 << 40, 1, 28, 28}}}, "more than"},
	} {
		_, err := p.Forward(tt.inputs)
		if err == nil || !slices.ContainsFunc(strings.Split(tt.want, "|"), func(w string) bool { return strings.Contains(err.Error(), w) }) {
			t.Errorf("%s: got %v, want something with %q", tt.name, err, tt.want)
		}
	}
	if _, err := compile(g, &engine.Options{Trainable: []string{"no such"}}); err == nil || !strings.Contains(err.Error(), `"no such"`) {
		t.Errorf("a weight that is not there: %v", err)
	}
}

// All operators that are missing are named at once.
func TestUnsupported(t *testing.T) {
	g, _ := network(t, "lenet5", 1, nil)
	g.Nodes = slices.Clone(g.Nodes)
	g.Nodes[0] = &graph.Node{Name: "odd", Op: "Odd", Inputs: g.Nodes[0].Inputs, Outputs: g.Nodes[0].Outputs}
	g.Nodes[1] = &graph.Node{Name: "strange", Domain: "x.y", Op: "Relu", Inputs: g.Nodes[1].Inputs, Outputs: g.Nodes[1].Outputs}
	_, err := compile(g, nil)
	var u *graph.UnsupportedError
	if !errors.As(err, &u) || len(u.Missing) != 2 || u.Missing[0].Node != "odd" || u.Missing[1].Op != "Relu" {
		t.Errorf("got %v", err)
	}
}

// Dropout keeps about what it should, scales what it keeps, has a gradient to
// match, and gives the same again for the same step only.
func TestDropout(t *testing.T) {
	const n = 40000
	x := &graph.Value{Type: tensor.F32, Shape: tensor.Shape{n}, Float: make([]float64, n)}
	for i := range x.Float {
		x.Float[i] = 1
	}
	ratio := &graph.Value{Type: tensor.F32, Shape: tensor.Shape{}, Float: []float64{0.25}}
	s := one("Dropout", nil, 1, x, ratio)
	s.place["w0"] = summed
	p, err := compile(s.graph(t), &engine.Options{Trainable: []string{"w0"}, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	in := []engine.Array{{Shape: tensor.Shape{}, Float: []float32{0}}}
	step := func(i uint64) []float32 {
		var y []float32
		if _, err := p.Step(i, func(out, grad []engine.Array) float64 {
			y = slices.Clone(out[0].Float)
			for i := range grad[0].Float {
				grad[0].Float[i] = 1
			}
			return 0
		}, in); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(y, p.byName["w0"].gradient) { // x and dy are 1
			t.Error("the gradient does not go where the values went")
		}
		return y
	}
	first := step(1)
	kept := 0
	for _, v := range first {
		switch v {
		case 0:
		case float32(1 / 0.75):
			kept++
		default:
			t.Fatalf("an element is %v", v)
		}
	}
	if got := float64(kept) / n; math.Abs(got-0.75) > 0.01 {
		t.Errorf("%g are kept", got)
	}
	if slices.Equal(first, step(2)) {
		t.Error("two steps drop the same")
	}
	if !slices.Equal(first, step(1)) {
		t.Error("a step that is computed again drops something else")
	}
	out, err := p.Forward(in)
	if err != nil {
		t.Fatal(err)
	}
	if out[0].Float[0] != 1 || slices.Contains(out[0].Float, 0) {
		t.Error("Forward drops")
	}
}

// No two blocks that are in use at one time overlap, and the whole is not larger
// than all of them.
func TestArrange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var blocks []*block
		sum := 0
		for range rapid.IntRange(0, 30).Draw(t, "blocks") {
			from := rapid.IntRange(0, 20).Draw(t, "from")
			b := &block{size: rapid.IntRange(0, 100).Draw(t, "size"), from: from, to: rapid.IntRange(from, 24).Draw(t, "to")}
			if rapid.Bool().Draw(t, "twice") {
				b.again = rapid.IntRange(25, 40).Draw(t, "again")
			}
			blocks = append(blocks, b)
			sum += align(b.size)
		}
		total := arrange(blocks)
		if total > sum {
			t.Fatalf("%d floats for blocks of %d", total, sum)
		}
		used := map[string]int{}
		for i, b := range blocks {
			if b.size > 0 && (b.offset%arenaAlign != 0 || b.offset+b.size > total) {
				t.Fatalf("block %d at %d", i, b.offset)
			}
			for time := range 41 {
				if !(b.from <= time && time <= b.to || b.again > 0 && b.again == time) {
					continue
				}
				for at := b.offset; at < b.offset+b.size; at++ {
					key := fmt.Sprint(time, at)
					if j, taken := used[key]; taken {
						t.Fatalf("blocks %d and %d overlap at time %d", i, j, time)
					}
					used[key] = i
				}
			}
		}
	})
}

// A batch of nothing is no mistake: outputs are empty, and gradients zero.
func TestEmptyBatch(t *testing.T) {
	for _, name := range []string{"lenet5", "resnet20", "mobilenet_v2_cifar"} {
		g, in := network(t, name, 0, nil)
		p, err := compile(g, &engine.Options{Trainable: g.Parameters()})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		out, err := p.Forward(in)
		if err != nil || !out[0].Shape.Equal(tensor.Shape{0, 10}) {
			t.Fatalf("%s: %v, %v", name, out, err)
		}
		for _, w := range p.weights {
			for i := range w.gradient {
				w.gradient[i] = 1
			}
		}
		if _, err := p.Step(1, func(_, _ []engine.Array) float64 { return 0 }, in); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, w := range p.weights {
			if i := slices.IndexFunc(w.gradient, func(x float32) bool { return x != 0 }); i >= 0 {
				t.Errorf("%s: gradient of %s has %v", name, w.name, w.gradient[i])
			}
		}
	}
}
