package compact_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/checkpoint"
	"ropewalk/compact"
	"ropewalk/dataset"
	"ropewalk/engine"
	"ropewalk/engine/native"
	"ropewalk/entropy"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/rope"
	"ropewalk/tensor"
	"ropewalk/train"
)

// A lab is a small network, some data, and what a recipe needs of its caller.
type lab struct {
	program  engine.Program
	layers   []compact.Layer
	fit, val *train.Examples
}

func newLab(t *testing.T, net string, input tensor.Shape) *lab {
	t.Helper()
	g, err := nets.Build(net, &nets.Options{Seed: 3, Input: input})
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{}
	if l.layers, err = compact.Layers(g); err != nil {
		t.Fatal(err)
	}
	if l.program, err = (native.Backend{}).Compile(g, &engine.Options{Threads: 1, Trainable: g.Parameters()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.program.Close() })
	d, err := dataset.Open("builtin:fashion-mnist", &dataset.Options{Size: [2]int{int(input[1]), int(input[2])}})
	if err != nil {
		t.Fatal(err)
	}
	l.fit = &train.Examples{Data: dataset.First(d.Train, 2048), Classes: 10, Workers: 1}
	l.val = &train.Examples{Data: d.Test, Classes: 10, Workers: 1}
	return l
}

var small = tensor.Shape{1, 12, 12}

func (l *lab) trained() []engine.Weight {
	return slices.DeleteFunc(slices.Clone(l.program.Weights()), func(w engine.Weight) bool { return w.Gradient == nil })
}

// size packs the weights as a safetensors file would be.
func (l *lab) size(values [][]float32) (int64, error) {
	b, err := l.pack(values)
	return int64(len(b)), err
}

func (l *lab) pack(values [][]float32) ([]byte, error) {
	var list []*tensor.Tensor
	for i, w := range l.trained() {
		list = append(list, &tensor.Tensor{Name: w.Name, DType: tensor.F32, Shape: w.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, values[i]))})
	}
	set, err := tensor.NewSet(list...)
	if err != nil {
		return nil, err
	}
	var plain, packed bytes.Buffer
	if err := checkpoint.Convert(&plain, "safetensors", set, nil); err != nil {
		return nil, err
	}
	c, err := checkpoint.OpenReader(context.Background(), "net.safetensors", &plain, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_, err = rope.Encode(context.Background(), &packed, c.Layout, &rope.Options{Effort: rope.Max, Threads: 1})
	return packed.Bytes(), err
}

func (l *lab) judge(ctx context.Context) (*train.Summary, error) {
	r, err := train.Evaluate(ctx, l.program, l.val, nil)
	if err != nil {
		return nil, err
	}
	return r.Summary(), nil
}

func (l *lab) tools() compact.Tools { return compact.Tools{Size: l.size, Judge: l.judge} }

func (l *lab) options(r *compact.Recipe, epochs int) *train.Options {
	return &train.Options{
		Epochs: epochs, Batch: 64, Optimizer: train.Optimizer{Kind: train.Adam, Rate: 2e-3}, Schedule: train.Schedule{Kind: train.Cosine, Hold: 0.35},
		Penalties: []train.Penalty{r.Penalty()}, Hooks: []train.Hook{r}, Validation: l.val,
	}
}

func (l *lab) recipe(t *testing.T, o compact.Options) *compact.Recipe {
	t.Helper()
	o.Threads = 1
	r, err := compact.New(l.trained(), l.layers, o, l.tools())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// train trains from new weights and returns the network with the last event.
func (l *lab) train(t *testing.T, o compact.Options, epochs int) (*compact.Network, *train.Report, []*train.Event) {
	t.Helper()
	r := l.recipe(t, o)
	to := l.options(r, epochs)
	var events []*train.Event
	to.Epoch = func(e *train.Event) { events = append(events, e) }
	report, err := train.Fit(t.Context(), l.program, l.fit, to)
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.Finish(l.trained())
	if err != nil {
		t.Fatal(err)
	}
	return n, report, events
}

func (l *lab) set(values [][]float32) {
	for i, w := range l.trained() {
		copy(w.Values, values[i])
	}
}

// Every model makes a network small that still works: what is stored does what the
// report says, and has the symbols of the last forward pass.
func TestModels(t *testing.T) {
	sizes := map[string]int64{}
	for _, m := range append([]compact.Options{{Model: "none"}}, compact.Options{Model: compact.Neighbours}, compact.Options{Model: "tensor"}, compact.Options{Model: "row-column"}, compact.Options{Model: "blocks"}) {
		name := string(m.Model)
		t.Run(name, func(t *testing.T) {
			m.Start, m.Lambda = 0.3, 5e-5
			if name == "none" {
				m.Model, m.Lambda = "", 1e-12
			}
			l := newLab(t, "lenet-300-100", small)
			n, report, events := l.train(t, m, 6)
			l.set(n.Values())
			v, err := l.judge(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// Levels are rounded to 16 bits, nothing else.
			if diff := *v.Top1 - *report.Validation.Top1; diff > 0.005 || diff < -0.005 {
				t.Errorf("the network gets %.4f right, and %.4f when it was trained", *v.Top1, *report.Validation.Top1)
			}
			if *v.Top1 < 0.6 {
				t.Errorf("the network gets %.4f right", *v.Top1)
			}
			size, err := l.size(n.Values())
			if err != nil {
				t.Fatal(err)
			}
			sizes[name] = size
			notes := events[len(events)-1].Notes["hemp"]
			if e := notes["estimated"] / notes["bytes"]; e < 0.97 || e > 1.03 {
				t.Errorf("the estimate is %v times the real size %v", e, notes["bytes"])
			}
			if name != "none" && size > sizes["none"]*2/3 {
				t.Errorf("%d bytes, and %d when bits are free", size, sizes["none"])
			}
		})
	}
}

// The same seed gives the same bytes, and so does a run that was stopped at any
// moment, many times.
func TestResume(t *testing.T) {
	for _, o := range []compact.Options{
		{Start: 0.2, Lambda: 3e-5, Prune: 0.3},
		{Model: "row-column", Lambda: 3e-5, Levels: 5, FloatBiases: true},
		{Target: 6000},
		{Method: compact.Paper, Order: 2, Lambda: 0.1, Pull: 0.01},
	} {
		var want []byte
		for run, every := range []int{0, 0, 29} {
			l := newLab(t, "lenet-300-100", small)
			l.fit.Data = dataset.First(l.fit.Data, 1024)
			path := filepath.Join(t.TempDir(), "snapshot")
			resume := false
			for {
				r := l.recipe(t, o)
				to := l.options(r, 3)
				to.Snapshot, to.Resume = path, resume
				ctx, cancel := context.WithCancel(t.Context())
				steps := 0
				to.Progress = func(train.Progress) {
					if steps++; steps == every {
						cancel()
					}
				}
				_, err := train.Fit(ctx, l.program, l.fit, to)
				stopped := ctx.Err() != nil
				cancel()
				if stopped {
					resume = true
					l = newLab(t, "lenet-300-100", small)
					l.fit.Data = dataset.First(l.fit.Data, 1024)
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				n, err := r.Finish(l.trained())
				if err != nil {
					t.Fatal(err)
				}
				got, err := l.pack(n.Values())
				if err != nil {
					t.Fatal(err)
				}
				if run == 0 {
					want = got
				} else if !bytes.Equal(got, want) {
					t.Errorf("%+v, run %d: %d bytes that differ from the %d of the first", o, run, len(got), len(want))
				}
				break
			}
		}
	}
}

// A target is met within 2 %, and never passed.
func TestTarget(t *testing.T) {
	for _, target := range []int64{2500, 4500} {
		l := newLab(t, "lenet-300-100", small)
		n, report, events := l.train(t, compact.Options{Start: 0.3, Target: target}, 8)
		_, size, err := n.Sorted()
		if err != nil {
			t.Fatal(err)
		}
		if size > target+target/100 || size < target*97/100 { // the caller thins what is too much
			t.Errorf("%d bytes, want at most %d", size, target)
		}
		// What is too much goes.
		if e := events[len(events)-1].Notes["hemp"]["estimated"]; e > float64(target) || math.Abs(e-float64(min(size, target))) > 0.03*e {
			t.Errorf("%g bytes are expected in the end of %d, and %d are wanted", e, size, target)
		}
		if *report.Validation.Top1 < 0.45 { // after 256 steps
			t.Errorf("%d bytes get %.4f right", size, *report.Validation.Top1)
		}
	}
	l := newLab(t, "lenet-300-100", small)
	_, err := compact.New(l.trained(), l.layers, compact.Options{Target: 50}, l.tools())
	var b *compact.BudgetError
	if !errors.As(err, &b) || b.Target != 50 || b.Smallest <= 50 {
		t.Errorf("a file of 50 bytes: %v", err)
	}
}

// The estimate of the history follows what is said to be done in the end, which is asked
// some times and no more.
func TestEstimate(t *testing.T) {
	l := newLab(t, "lenet-300-100", small)
	asked := 0
	tools := l.tools()
	tools.Finished = func(_ context.Context, n *compact.Network) (int64, error) {
		asked++
		_, size, err := n.Sorted()
		return size / 2, err
	}
	r, err := compact.New(l.trained(), l.layers, compact.Options{Start: 0.2, Threads: 1}, tools)
	if err != nil {
		t.Fatal(err)
	}
	o := l.options(r, 6)
	var last *train.Event
	o.Epoch = func(e *train.Event) { last = e }
	if _, err := train.Fit(t.Context(), l.program, l.fit, o); err != nil {
		t.Fatal(err)
	}
	n, err := r.Finish(l.trained())
	if err != nil {
		t.Fatal(err)
	}
	_, size, err := n.Sorted()
	if err != nil {
		t.Fatal(err)
	}
	if e := last.Notes["hemp"]["estimated"]; math.Abs(e-float64(size)/2) > 0.03*e {
		t.Errorf("%g bytes are expected in the end, and there are %d", e, size/2)
	}
	if asked < 2 || asked > 5 {
		t.Errorf("what is done in the end was asked %d times", asked)
	}
}

// The entropy of blocks has no slope beyond the outer levels. Where these do not move,
// the target is reached by weights that are kept within them.
func TestFixedBlocks(t *testing.T) {
	l := newLab(t, "lenet-300-100", small)
	n, report, _ := l.train(t, compact.Options{Start: 0.3, Target: 4000, Model: entropy.Blocks, Order: 2, FixedLevels: true}, 6)
	_, size, err := n.Sorted()
	if err != nil {
		t.Fatal(err)
	}
	if size < 3500 || size > 4100 || *report.Validation.Top1 < 0.2 {
		t.Errorf("%d bytes get %.4f right, want at most 4000", size, *report.Validation.Top1)
	}
}

// Sorting changes no output but by rounding, and no size for the worse; thinning
// makes less of the network.
func TestSortAndThin(t *testing.T) {
	for net, input := range map[string]tensor.Shape{"lenet-300-100": small, "lenet5": {1, 20, 20}} {
		l := newLab(t, net, input)
		n, _, _ := l.train(t, compact.Options{Start: 0.3, Lambda: 1e-4}, 4)
		before, err := l.size(n.Values())
		if err != nil {
			t.Fatal(err)
		}
		losses := func(n *compact.Network) float64 {
			l.set(n.Values())
			v, err := l.judge(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return v.Loss
		}
		sorted, size, err := n.Sorted()
		if err != nil {
			t.Fatal(err)
		}
		if size > before {
			t.Errorf("%s: sorted %d bytes, %d before", net, size, before)
		}
		if a, b := losses(n), losses(sorted); a-b > 1e-4 || b-a > 1e-4 {
			t.Errorf("%s: the loss is %v, and %v when units are sorted", net, a, b)
		}
		if cmp.Equal(n.Values(), sorted.Values()) {
			t.Errorf("%s: nothing was sorted", net)
		}
		all, _ := n.Nonzero()
		if k, _ := n.Thinned(t.Context(), 0, 64).Nonzero(); k != all {
			t.Errorf("%s: %d of %d weights are left when bits are free", net, k, all)
		}
		last := all
		for _, lambda := range []float64{1e-5, 1e-3, 1} {
			k, _ := n.Thinned(t.Context(), lambda, 64).Nonzero()
			if k > last {
				t.Errorf("%s: %d weights at %g nats per bit, %d at less", net, k, lambda, last)
			}
			last = k
		}
		if last > all/10 {
			t.Errorf("%s: %d of %d weights are left when a bit costs a nat", net, last, all)
		}
	}
}

// A network that is priced to death is told, with what to turn.
func TestCollapse(t *testing.T) {
	l := newLab(t, "lenet-300-100", small)
	r := l.recipe(t, compact.Options{Lambda: 1})
	_, err := train.Fit(t.Context(), l.program, l.fit, l.options(r, 4))
	var c *compact.CollapsedError
	if !errors.As(err, &c) || c.Knob != "lambda" {
		t.Fatalf("lambda 1: %v", err)
	}
}

// A training of a few steps pays for its bits, too.
func TestShort(t *testing.T) {
	var nonzero []int
	for _, lambda := range []float64{1e-9, 1e-2} {
		l := newLab(t, "lenet-300-100", small)
		l.fit.Data = dataset.First(l.fit.Data, 256)
		n, _, _ := l.train(t, compact.Options{Lambda: lambda}, 4)
		some, _ := n.Nonzero()
		nonzero = append(nonzero, some)
	}
	if nonzero[1] > nonzero[0]*9/10 {
		t.Errorf("%d weights are not zero without a price, and %d with one", nonzero[0], nonzero[1])
	}
}

// Networks with branches, and with convolutions of single channels, keep their norms and
// get seven levels; their channels stay where they are.
func TestBranches(t *testing.T) {
	for net, head := range map[string]string{"resnet20": "linear.bias", "mobilenet_v2_cifar": "classifier.1.bias"} {
		t.Run(net, func(t *testing.T) {
			l := newLab(t, net, tensor.Shape{1, 8, 8})
			l.fit.Data, l.val.Data = dataset.First(l.fit.Data, 32), dataset.First(l.val.Data, 16)
			r := l.recipe(t, compact.Options{Start: 0.3, Lambda: 1e-5})
			if n := r.Options().Levels; n != 7 {
				t.Errorf("%d levels", n)
			}
			if _, err := train.Fit(t.Context(), l.program, l.fit, l.options(r, 3)); err != nil {
				t.Fatal(err)
			}
			before := l.trained()
			n, err := r.Finish(before)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range n.Values() {
				distinct := map[float32]bool{}
				for _, x := range v {
					distinct[x] = true
				}
				switch matrix := len(before[i].Shape) >= 2; {
				case matrix && len(distinct) > 7:
					t.Errorf("%s has %d values", before[i].Name, len(distinct))
				case !matrix && before[i].Name != head && !slices.Equal(v, before[i].Values):
					t.Errorf("%s has changed", before[i].Name)
				}
			}
			sorted, _, err := n.Sorted()
			if err != nil {
				t.Fatal(err)
			}
			if !cmp.Equal(n.Values(), sorted.Values()) {
				t.Error("channels were moved")
			}
		})
	}
}

// What has no levels of its own is stored in 8 significant bits, if it is a vector.
func TestCoarse(t *testing.T) {
	l := newLab(t, "resnet20", tensor.Shape{1, 8, 8})
	r := l.recipe(t, compact.Options{})
	paper := l.recipe(t, compact.Options{Method: compact.Paper})
	for _, w := range l.program.Weights() {
		for i := range w.Values {
			w.Values[i] += float32(i) / 777
		}
		got := r.Coarse(w, w.Values)
		if len(w.Shape) != 1 || w.Name == "linear.bias" {
			if !slices.Equal(got, w.Values) {
				t.Errorf("%s %v has changed", w.Name, w.Shape)
			}
			continue
		}
		for i, x := range got {
			if math.Float32bits(x)&0xffff != 0 || math.Abs(float64(x-w.Values[i])) > math.Abs(float64(w.Values[i]))/256 {
				t.Errorf("%s: %v became %v", w.Name, w.Values[i], x)
			}
		}
		if !slices.Equal(paper.Coarse(w, w.Values), w.Values) {
			t.Errorf("%s has changed, which the paper's method leaves alone", w.Name)
		}
	}
}

// The paper's method lowers the entropy that it is about.
func TestPaper(t *testing.T) {
	var h []float64
	for _, lambda := range []float64{-1, 0.3} {
		l := newLab(t, "lenet-300-100", small)
		_, _, events := l.train(t, compact.Options{Method: compact.Paper, Order: 2, Lambda: lambda, Pull: 0.01}, 6)
		h = append(h, events[len(events)-1].Notes["hemp"]["hn"])
	}
	if h[1] > 0.95*h[0] {
		t.Errorf("H_2 is %v bits per weight, and %v without the penalty", h[1], h[0])
	}
}

func TestRefusals(t *testing.T) {
	l := newLab(t, "lenet-300-100", small)
	for _, o := range []compact.Options{
		{Method: "magic"},
		{Model: "magic"},
		{Levels: 4},
		{Levels: 1},
		{Lambda: -1},
		{Start: 1},
		{Start: 0.5, Ramp: 0.4},
		{DeadZone: 1},
		{BiasStep: -1},
		{Prune: 1},
		{Target: -1},
		{Method: compact.Paper, Levels: 1},
		{Method: compact.Paper, Prune: 0.5},
		{Method: compact.Paper, DeadZone: 0.5},
		{Pull: 0.1},
		{Order: 3},
		{BiasRate: math.NaN()},
	} {
		if _, err := compact.New(l.trained(), l.layers, o, l.tools()); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	weights := l.trained()
	for _, x := range []float32{0, -0.05} { // constant tensors are weights like others
		for i := range weights[0].Values {
			weights[0].Values[i] = x
		}
		if _, err := compact.New(weights, l.layers, compact.Options{}, l.tools()); err != nil {
			t.Errorf("weights that are all %v: %v", x, err)
		}
	}
	weights[0].Values[7] = float32(math.NaN())
	var bad *compact.ValueError
	if _, err := compact.New(weights, l.layers, compact.Options{}, l.tools()); !errors.As(err, &bad) || bad.Index != 7 || bad.Tensor != weights[0].Name {
		t.Errorf("a weight that is not a number: %v", err)
	}
	if _, err := compact.New(weights[1:2], l.layers, compact.Options{}, l.tools()); err == nil {
		t.Error("a network without matrices was taken")
	}
}

func TestLayers(t *testing.T) {
	for net, want := range map[string][]compact.Layer{
		"lenet-300-100": {
			{Weight: "fc1.weight", Bias: "fc1.bias", Outer: true, Plane: [2]int{28, 28}, From: -1},
			{Weight: "fc2.weight", Bias: "fc2.bias", Outer: true, From: 0, Repeat: 1},
			{Weight: "fc3.weight", Bias: "fc3.bias", Outer: true, From: 1, Repeat: 1},
		},
		"lenet5": {
			{Weight: "conv1.weight", Bias: "conv1.bias", Outer: true, Plane: [2]int{5, 5}, From: -1},
			{Weight: "conv2.weight", Bias: "conv2.bias", Outer: true, Plane: [2]int{5, 5}, From: 0, Repeat: 1},
			{Weight: "fc1.weight", Bias: "fc1.bias", Outer: true, Plane: [2]int{4, 4}, From: 1, Repeat: 16},
			{Weight: "fc2.weight", Bias: "fc2.bias", Outer: true, From: 2, Repeat: 1},
		},
	} {
		g, err := nets.Build(net, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := compact.Layers(g)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", net, diff)
		}
	}
	// Channels of a residual network are tied by sums, and norms stand in between.
	g, err := nets.Build("resnet20", nil)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := compact.Layers(g)
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) < 20 {
		t.Errorf("resnet20 has %d layers", len(layers))
	}
	for _, l := range layers {
		if l.From >= 0 {
			t.Errorf("resnet20: %+v is a chain", l)
		}
	}
}

// Units do not move where something else reads the tensors that make them, or where they are
// not on the second axis.
func TestTied(t *testing.T) {
	node := func(op, out string, in ...string) *graph.Node {
		return &graph.Node{Name: out, Op: op, Inputs: in, Outputs: []string{out}}
	}
	pads := func(n *graph.Node) *graph.Node {
		n.Attributes = graph.Attributes{"pads": []int64{1, 1, 1, 1}}
		return n
	}
	shapes := map[string]tensor.Shape{
		"first": {8, 1, 3, 3}, "b": {8}, "other": {8}, "second": {8, 8, 3, 3}, "third": {8, 8, 3, 3}, "last": {512, 10}, "tokens": {8, 16}, "read": {128, 10},
	}
	ints := func(v ...int64) []byte {
		var b []byte
		for _, x := range v {
			b = binary.LittleEndian.AppendUint64(b, uint64(x))
		}
		return b
	}
	for name, test := range map[string]struct {
		nodes []*graph.Node
		want  []int // From of each layer
	}{
		"free": {[]*graph.Node{
			pads(node("Conv", "a", "x", "first", "b")), node("Relu", "c", "a"), pads(node("Conv", "d", "c", "second", "other")), node("Relu", "e", "d"), node("Flatten", "f", "e"), node("MatMul", "y", "f", "last"),
		}, []int{-1, 0, 1}},
		"shared weight": {[]*graph.Node{
			pads(node("Conv", "a", "x", "first")), pads(node("Conv", "c", "a", "second")), pads(node("Conv", "d", "c", "second")), node("Flatten", "e", "d"), node("MatMul", "y", "e", "last"),
		}, []int{-1, -1, -1, -1}},
		"shared bias": {[]*graph.Node{
			pads(node("Conv", "a", "x", "first", "b")), pads(node("Conv", "c", "a", "second", "b")), node("Flatten", "d", "c"), node("MatMul", "y", "d", "last"),
		}, []int{-1, -1, -1}},
		"computed bias": {[]*graph.Node{
			node("Relu", "p", "b"), pads(node("Conv", "a", "x", "first", "p")), pads(node("Conv", "c", "a", "second")), node("Flatten", "d", "c"), node("MatMul", "y", "d", "last"),
		}, []int{-1, -1, 1}},
		"tokens": {[]*graph.Node{
			node("Reshape", "a", "x", "eight"), node("MatMul", "c", "a", "tokens"), node("Relu", "d", "c"), node("Flatten", "e", "d"), node("MatMul", "y", "e", "read"),
		}, []int{-1, -1}},
		"mixed by a reshape": {[]*graph.Node{
			pads(node("Conv", "a", "x", "first")), node("Reshape", "c", "a", "sixteen"), node("Flatten", "d", "c"), node("MatMul", "y", "d", "last"),
		}, []int{-1, -1}},
	} {
		list := []*tensor.Tensor{
			{Name: "eight", DType: tensor.I64, Shape: tensor.Shape{3}, Data: tensor.Bytes(ints(-1, 8, 8))},
			{Name: "sixteen", DType: tensor.I64, Shape: tensor.Shape{3}, Data: tensor.Bytes(ints(-1, 16, 32))},
		}
		for name, s := range shapes {
			n, err := s.Elems()
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, &tensor.Tensor{Name: name, DType: tensor.F32, Shape: s, Data: tensor.Bytes(make([]byte, 4*n))})
		}
		set, err := tensor.NewSet(list...)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := compact.Layers(&graph.Graph{
			Name: name, Inputs: []graph.Input{{Name: "x", Type: tensor.F32, Shape: []graph.Dim{{Size: -1, Name: "n"}, {Size: 1}, {Size: 8}, {Size: 8}}}},
			Outputs: []string{"y"}, Nodes: test.nodes, Weights: set,
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []int
		for _, l := range layers {
			got = append(got, l.From)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: made by layers %v, want %v", name, got, test.want)
		}
	}
}
