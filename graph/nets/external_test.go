//go:build external

package nets_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/checkpoint"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/internal/format/npz"
	"ropewalk/tensor"
)

// python runs a script in the interpreter that ROPEWALK_PYTHON names, which needs
// torchvision.
func python(t *testing.T, script string, args ...string) []byte {
	t.Helper()
	py := os.Getenv("ROPEWALK_PYTHON")
	if py == "" {
		t.Skip("ROPEWALK_PYTHON is not set: no reference to compare with")
	}
	if out, err := exec.Command(py, "-c", "import torchvision").CombinedOutput(); err != nil {
		t.Skipf("ROPEWALK_PYTHON has no torchvision: %v\n%s", err, out)
	}
	cmd := exec.Command(py, append([]string{"-c", networks + script}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python: %v\n%s", err, stderr.String())
	}
	return out
}

// networks are those that torchvision lacks, written down from the papers, and how to
// make any by name.
const networks = `
import sys, json, warnings
warnings.simplefilter('ignore')
import numpy as np, torch, torchvision
import torch.nn as nn, torch.nn.functional as F

class Block(nn.Module):
    def __init__(self, inp, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inp, out, 3, stride, 1, bias=False); self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False); self.bn2 = nn.BatchNorm2d(out)
        self.grows = out != inp
    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.grows:
            n = y.shape[1] // 4
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, n, n))
        return F.relu(x + y)

class CifarResNet(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False); self.bn1 = nn.BatchNorm2d(16)
        def layer(inp, out, stride): return nn.Sequential(Block(inp, out, stride), *[Block(out, out, 1) for _ in range(n - 1)])
        self.layer1, self.layer2, self.layer3 = layer(16, 16, 1), layer(16, 32, 2), layer(32, 64, 2)
        self.linear = nn.Linear(64, 10)
    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))

class CifarVGG(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.features = getattr(torchvision.models, name)().features
        self.classifier = nn.Linear(512, 10)
    def forward(self, x): return self.classifier(self.features(x).flatten(1))

class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.fc1, self.fc2 = nn.Linear(800, 500), nn.Linear(500, 10)
    def forward(self, x):
        x = F.max_pool2d(self.conv2(F.max_pool2d(self.conv1(x), 2)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))

class LeNet300(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 300), nn.Linear(300, 100), nn.Linear(100, 10)
    def forward(self, x): return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))

def make(name, side=224):
    if name == 'lenet5': return LeNet5()
    if name == 'lenet-300-100': return LeNet300()
    if name in ('resnet20', 'resnet32', 'resnet44', 'resnet56', 'resnet110'): return CifarResNet((int(name[6:]) - 2) // 6)
    if name == 'mobilenet_v2_cifar':
        net = torchvision.models.mobilenet_v2(num_classes=10)
        net.features[0][0].stride = net.features[2].conv[1][0].stride = (1, 1)
        return net
    if name.endswith('_cifar'): return CifarVGG(name[:-6])
    if name == 'vit_b_32': return torchvision.models.vit_b_32(image_size=side)
    return getattr(torchvision.models, name)()
`

// Every network has the state dict of the reference.
func TestExternalStateDicts(t *testing.T) {
	const script = `
print(json.dumps({n: {k: list(v.shape) for k, v in make(n).state_dict().items() if not k.endswith('num_batches_tracked')} for n in sys.argv[1:]}))
`
	want := map[string]map[string]tensor.Shape{}
	if err := json.Unmarshal(python(t, script, nets.Names()...), &want); err != nil {
		t.Fatal(err)
	}
	for _, name := range nets.Names() {
		got := map[string]tensor.Shape{}
		for _, w := range build(t, name, nil).Weights.All() {
			if nets.IsState(w) {
				got[w.Name] = w.Shape
			}
		}
		if diff := cmp.Diff(want[name], got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// disturbed returns g with statistics, scales and biases that matter, and a last
// layer that is not zero.
func disturbed(t *testing.T, g *graph.Graph) *graph.Graph {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	var ts []*tensor.Tensor
	for _, w := range g.Weights.All() {
		if !nets.IsState(w) {
			continue
		}
		raw, err := w.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		v := w.DType.AppendFloat32s(nil, raw)
		for i := range v {
			switch {
			case strings.HasSuffix(w.Name, "running_var"):
				v[i] = 0.5 + rng.Float32()
			case len(v) == int(w.Shape[0]):
				v[i] += 0.2 * float32(rng.NormFloat64())
			case w.Name == "heads.head.weight" || w.Name == "class_token":
				v[i] = 0.05 * float32(rng.NormFloat64())
			}
		}
		ts = append(ts, &tensor.Tensor{Name: w.Name, DType: tensor.F32, Shape: w.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, v))})
	}
	g, err := nets.Load(g, set(t, ts))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// runScript runs a network on an input, and saves its outputs.
const runScript = `
name, weights, inputs, outputs = sys.argv[1:]
x = torch.from_numpy(np.load(inputs)['input'])
net = make(name, x.shape[2]).eval()
state = {k: torch.from_numpy(v) for k, v in np.load(weights).items()}
missing, extra = net.load_state_dict(state, strict=False)
assert not extra and all(k.endswith('num_batches_tracked') for k in missing), (missing, extra)
with torch.no_grad(): y = net.double()(x.double())
np.savez(outputs, logits=y.numpy())
`

func writeNPZ(t *testing.T, path string, s *tensor.Set) {
	t.Helper()
	var b bytes.Buffer
	if err := npz.Write(&b, s); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// compare runs g here and there on two random inputs and compares in float64.
func compare(t *testing.T, g *graph.Graph) {
	t.Helper()
	dir := t.TempDir()
	shape := tensor.Shape{2}
	for _, d := range g.Inputs[0].Shape[1:] {
		shape = append(shape, d.Size)
	}
	n, err := shape.Elems()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	x := &graph.Value{Type: tensor.F32, Shape: shape, Float: make([]float64, n)}
	for i := range x.Float {
		x.Float[i] = float64(float32(rng.NormFloat64()))
	}
	input, err := x.Tensor("input")
	if err != nil {
		t.Fatal(err)
	}
	writeNPZ(t, filepath.Join(dir, "input.npz"), set(t, []*tensor.Tensor{input}))
	writeNPZ(t, filepath.Join(dir, "weights.npz"), set(t, state(t, g, func(s string) string { return s })))
	python(t, runScript, g.Name, filepath.Join(dir, "weights.npz"), filepath.Join(dir, "input.npz"), filepath.Join(dir, "output.npz"))
	c, err := checkpoint.Open(filepath.Join(dir, "output.npz"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want, err := graph.ValueOf(c.Tensors.Lookup("logits"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := graph.Evaluate(g, map[string]*graph.Value{nets.Input: x}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := out[nets.Output]
	if got == nil || !got.Shape.Equal(want.Shape) {
		t.Fatalf("got outputs %v, want %v of %v", slices.Collect(maps.Keys(out)), nets.Output, want.Shape)
	}
	worst, largest := 0.0, 0.0
	for i, v := range want.Float {
		worst, largest = max(worst, math.Abs(v-got.Float[i])), max(largest, math.Abs(v))
	}
	t.Logf("outputs up to %.3g, largest difference %.2g", largest, worst)
	// Both compute in float64, in other orders.
	if !(worst <= 1e-10*largest) || largest == 0 {
		t.Errorf("outputs up to %v differ by %v", largest, worst)
	}
}

func TestExternalOutputs(t *testing.T) {
	for _, c := range []struct {
		name string
		side int64
	}{
		{"lenet-300-100", 28},
		{"lenet5", 28},
		{"resnet20", 32},
		{"resnet32", 32},
		{"vgg11_cifar", 32},
		{"vgg13_bn_cifar", 32},
		{"mobilenet_v2_cifar", 32},
		{"mobilenet_v2", 64},
		{"mobilenet_v3_large", 96},
		{"resnet18", 64},
		{"resnet50", 64},
		{"alexnet", 224},
		{"vit_b_32", 96},
	} {
		t.Run(c.name, func(t *testing.T) {
			channels := int64(3)
			if c.side == 28 {
				channels = 1
			}
			compare(t, disturbed(t, build(t, c.name, &nets.Options{Input: tensor.Shape{channels, c.side, c.side}, Seed: 5})))
		})
	}
}

// The trained networks load and give what torch gives.
func TestExternalTrained(t *testing.T) {
	for _, name := range []string{"resnet20", "resnet32"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("..", "..", "..", "shared", "data", name+"_cifar10.safetensors")
			if _, err := os.Stat(path); err != nil {
				t.Skipf("the trained network is not here: %v", err)
			}
			c, err := checkpoint.Open(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			g, err := nets.Load(build(t, name, nil), c.Tensors)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, g)
		})
	}
}
