//go:build external

package train_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ropewalk/checkpoint"
	"ropewalk/engine"
	"ropewalk/engine/native"
	"ropewalk/graph/nets"
	"ropewalk/tensor"
	"ropewalk/train"
)

// stepsScript makes some steps of training, in float64 and in float32, and saves the
// weights of the first, and how far the second went another way.
const stepsScript = `
import sys, json
sys.path.insert(0, '../internal/bench/engine')
import numpy as np, torch, nets
name, options, start, data, out = sys.argv[1:]
o = json.loads(options)
state = {k: torch.from_numpy(v) for k, v in np.load(start).items()}
d = np.load(data)
def run(dtype):
    net = nets.make(name).to(dtype).train()
    for m in net.modules():
        if isinstance(m, torch.nn.Dropout): m.p = 0
    missing, extra = net.load_state_dict(state, strict=False)
    assert not extra and all(k.endswith('num_batches_tracked') for k in missing), (missing, extra)
    opt = getattr(torch.optim, o['optimizer'])(net.parameters(), **o['options'])
    losses = []
    for x, y in zip(torch.from_numpy(d['x']).to(dtype), torch.from_numpy(d['y'])):
        opt.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), y, label_smoothing=o['smoothing'])
        loss.backward()
        if o['clip']: torch.nn.utils.clip_grad_norm_(net.parameters(), o['clip'])
        opt.step()
        losses.append(loss.item())
    return losses, {k: v.double().numpy() for k, v in net.state_dict().items() if v.is_floating_point()}
losses, exact = run(torch.float64)
losses32, rounded = run(torch.float32)
diff = sum(((rounded[k] - v) ** 2).sum() for k, v in exact.items())
way = sum(((v - state[k].double().numpy()) ** 2).sum() for k, v in exact.items())
np.savez(out, losses=np.array(losses), losses32=np.array(losses32), other=np.array([(diff / way) ** 0.5]), **exact)
`

// listed is a Source of given batches, in their order.
type listed []*train.Batch

func (l listed) Len() int { return len(l) * len(l[0].Targets.Labels) }

func (l listed) Batches(_ context.Context, p train.Pass) iter.Seq2[*train.Batch, error] {
	return func(yield func(*train.Batch, error) bool) {
		for _, b := range l[p.First:] {
			if !yield(b, nil) {
				return
			}
		}
	}
}

// Three steps of whole networks from the same weights, with each optimizer: the way
// that the weights have gone is that of PyTorch in float64, about as exactly as
// PyTorch in float32 goes it. (Where norms see few examples, roundings of the first
// step have grown to a few thousandths by the third.)
func TestExternalSteps(t *testing.T) {
	py := os.Getenv("ROPEWALK_PYTHON")
	if py == "" {
		t.Skip("ROPEWALK_PYTHON is not set: no reference to compare with")
	}
	if out, err := exec.Command(py, "-c", "import torchvision").CombinedOutput(); err != nil {
		t.Skipf("ROPEWALK_PYTHON has no torchvision: %v\n%s", err, out)
	}
	type setting struct {
		name  string
		torch string // class and arguments
		o     train.Options
		clip  float64
	}
	// Epsilons are large enough that gradients which are noise do not become whole
	// steps.
	settings := []setting{
		{"sgd", `"SGD", "options": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.001}`, train.Options{Optimizer: train.Optimizer{Rate: 0.05, Momentum: 0.9, Decay: 0.001}}, 0},
		{"nesterov", `"SGD", "options": {"lr": 0.05, "momentum": 0.9, "nesterov": true}`, train.Options{Optimizer: train.Optimizer{Rate: 0.05, Momentum: 0.9, Nesterov: true}}, 0.5},
		{"adam", `"Adam", "options": {"lr": 0.001, "eps": 0.001, "weight_decay": 0.01}`, train.Options{Optimizer: train.Optimizer{Kind: train.Adam, Epsilon: 0.001, Decay: 0.01}}, 0},
		{"adamw", `"AdamW", "options": {"lr": 0.001, "eps": 0.001, "weight_decay": 0.1, "betas": [0.8, 0.95]}`, train.Options{Optimizer: train.Optimizer{Kind: train.AdamW, Epsilon: 0.001, Decay: 0.1, Beta1: 0.8, Beta2: 0.95}}, 0},
	}
	for _, net := range []struct {
		name  string
		batch int
	}{{"lenet-300-100", 20}, {"lenet5", 20}, {"resnet20", 16}, {"mobilenet_v2_cifar", 8}} {
		for i, s := range settings {
			t.Run(net.name+"/"+s.name, func(t *testing.T) {
				smoothing := []float64{0, 0.1}[i%2]
				options := fmt.Sprintf(`{"optimizer": %s, "smoothing": %g, "clip": %g}`, s.torch, smoothing, s.clip)
				s.o.Objective = &train.CrossEntropy{Smoothing: smoothing}
				s.o.Clip.Norm = s.clip
				compareSteps(t, py, net.name, net.batch, options, &s.o)
			})
		}
	}
}

func compareSteps(t *testing.T, py, net string, batch int, options string, o *train.Options) {
	shape := tensor.Shape{3, 32, 32}
	if strings.HasPrefix(net, "lenet") {
		shape = tensor.Shape{1, 28, 28}
	}
	g, err := nets.Build(net, &nets.Options{Seed: 1, Classes: 10, Input: shape})
	if err != nil {
		t.Fatal(err)
	}
	if net == "mobilenet_v2_cifar" {
		for _, n := range g.Nodes { // the reference has no dropout either
			if n.Op == "Dropout" {
				n.Op, n.Inputs, n.Attributes = "Identity", n.Inputs[:1], nil
				n.Outputs = n.Outputs[:1]
			}
		}
	}
	p, err := native.Backend{}.Compile(g, &engine.Options{Trainable: g.Parameters()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	dir := t.TempDir()
	var start []*tensor.Tensor
	for _, w := range p.Weights() {
		if nets.IsState(g.Weights.Lookup(w.Name)) {
			start = append(start, floatTensor(w.Name, w.Shape, w.Values))
		}
	}
	writeNPZ(t, filepath.Join(dir, "start.npz"), start...)
	data, x, y := batches(3, batch, shape)
	writeNPZ(t, filepath.Join(dir, "data.npz"), x, y)
	cmd := exec.Command(py, "-c", stepsScript, net, options, filepath.Join(dir, "start.npz"), filepath.Join(dir, "data.npz"), filepath.Join(dir, "out.npz"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("python: %v\n%s", err, out)
	}
	o.Epochs, o.Batch = 1, batch
	var losses []float64
	sum := 0.0
	o.Progress = func(pr train.Progress) {
		total := pr.Loss * float64(pr.Batches)
		losses = append(losses, total-sum)
		sum = total
	}
	if _, err := train.Fit(t.Context(), p, data, o); err != nil {
		t.Fatal(err)
	}
	ref, err := checkpoint.Open(filepath.Join(dir, "out.npz"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ref.Close()
	rounded := float64s(t, ref.Tensors.Lookup("losses32"))
	other := float64s(t, ref.Tensors.Lookup("other"))[0]
	wants := float64s(t, ref.Tensors.Lookup("losses"))
	for i, want := range wants {
		// A loss is as far off as the weights are; one that PyTorch hits by luck is no bound.
		moved := math.Abs(want - wants[0])
		if math.Abs(losses[i]-want) > 1e-5*want+4*max(math.Abs(rounded[i]-want), other*moved) {
			t.Errorf("loss of step %d is %g, want %g (PyTorch in float32: %g)", i, losses[i], want, rounded[i])
		}
	}
	diff, way := 0.0, 0.0
	starts, err := tensor.NewSet(start...)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range p.Weights() {
		name := w.Name
		if starts.Lookup(name) == nil {
			continue // a constant of an operator
		}
		raw, err := starts.Lookup(name).Bytes()
		if err != nil {
			t.Fatal(err)
		}
		from := tensor.F32.AppendFloat32s(nil, raw)
		for k, want := range float64s(t, ref.Tensors.Lookup(name)) {
			d := float64(w.Values[k]) - want
			s := want - float64(from[k])
			diff += d * d
			way += s * s
		}
	}
	rel := math.Sqrt(diff / way)
	t.Logf("relative difference of the ways: %.2g; of PyTorch in float32: %.2g", rel, other)
	if rel > 1e-5+4*other {
		t.Errorf("the weights have gone another way: relative difference %.3g, of PyTorch in float32 %.3g", rel, other)
	}
}

// batches returns n batches, and the same as arrays.
func batches(n, size int, shape tensor.Shape) (list listed, x, y *tensor.Tensor) {
	rng := rand.New(rand.NewPCG(3, 4))
	elems, _ := shape.Elems()
	var all []float32
	var labels []byte
	for range n {
		b := &train.Batch{}
		in := engine.Array{Shape: append(tensor.Shape{int64(size)}, shape...)}
		for range size {
			c := rng.Int64N(10)
			b.Targets.Labels = append(b.Targets.Labels, c)
			labels = binary.LittleEndian.AppendUint64(labels, uint64(c))
			for range elems {
				in.Float = append(in.Float, float32(rng.NormFloat64()+float64(c)/10))
			}
		}
		all = append(all, in.Float...)
		b.Inputs = []engine.Array{in}
		list = append(list, b)
	}
	full := append(tensor.Shape{int64(n), int64(size)}, shape...)
	return list, floatTensor("x", full, all), &tensor.Tensor{Name: "y", DType: tensor.I64, Shape: tensor.Shape{int64(n), int64(size)}, Data: tensor.Bytes(labels)}
}

func floatTensor(name string, shape tensor.Shape, v []float32) *tensor.Tensor {
	return &tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, v))}
}

func writeNPZ(t *testing.T, path string, list ...*tensor.Tensor) {
	t.Helper()
	set, err := tensor.NewSet(list...)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := checkpoint.Convert(&b, "npz", set, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func float64s(t *testing.T, x *tensor.Tensor) []float64 {
	t.Helper()
	raw, err := x.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	v := make([]float64, len(raw)/8)
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return v
}
