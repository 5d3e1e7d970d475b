//go:build external

package native

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ropewalk/engine"
	"ropewalk/graph"
)

// torchScript computes logits as at inference, and gradients and running statistics
// of a step in float64, from weights in files, and how far PyTorch's own gradients in
// float32 are from that.
const torchScript = `
import sys, json, numpy as np, torch, torchvision, torch.nn as nn, torch.nn.functional as F
torch.manual_seed(0)
net, folder, smooth = sys.argv[1:4]
index = json.load(open(folder + "/index.json"))
W = {n: torch.from_numpy(np.fromfile(folder + "/" + f, dtype=np.float32).reshape(s).copy()) for n, f, s in index}
x = W.pop("input")
class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5); self.conv2 = nn.Conv2d(20, 50, 5); self.fc1 = nn.Linear(800, 500); self.fc2 = nn.Linear(500, 10)
    def forward(self, x):
        x = F.max_pool2d(self.conv2(F.max_pool2d(self.conv1(x), 2)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))
class Block(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.conv1 = nn.Conv2d(i, o, 3, s, 1, bias=False); self.bn1 = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False); self.bn2 = nn.BatchNorm2d(o)
        self.grows = i != o
    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.grows:
            n = y.shape[1] // 4
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, n, n))
        return F.relu(x + y)
class ResNet(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False); self.bn1 = nn.BatchNorm2d(16)
        layer = lambda i, o, s: nn.Sequential(Block(i, o, s), *[Block(o, o, 1) for _ in range(n - 1)])
        self.layer1, self.layer2, self.layer3 = layer(16, 16, 1), layer(16, 32, 2), layer(32, 64, 2)
        self.linear = nn.Linear(64, 10)
    def forward(self, x):
        return self.linear(self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x)))))).mean((2, 3)))
def mobile():
    m = torchvision.models.mobilenet_v2(num_classes=10)
    m.features[0][0].stride = (1, 1); m.features[2].conv[1][0].stride = (1, 1)
    m.classifier[0].p = 0.0
    return m
m = {"lenet5": LeNet, "resnet20": lambda: ResNet(3), "mobilenet_v2_cifar": mobile}[net]()
state = {k: W[k] for k in m.state_dict() if not k.endswith("num_batches_tracked")}
print(m.load_state_dict(state, strict=False), file=sys.stderr)
def strip(module):
    for k, c in module.named_children():
        if isinstance(c, nn.ReLU6): setattr(module, k, nn.Identity())
        else: strip(c)
if smooth == "true": strip(m)
label = torch.arange(x.shape[0]) * 7 % 10
m.train()
y1 = m(x)
F.cross_entropy(y1, label).backward()
single = {n: p.grad.double() for n, p in m.named_parameters()}
m.zero_grad(set_to_none=True)
m.load_state_dict(state, strict=False)
m.double(); x = x.double()
m.eval()
with torch.no_grad(): out = {"logits": m(x)}
m.train()
y = m(x)
loss = F.cross_entropy(y, label)
loss.backward()
out["trained"] = y.detach()
out["error of trained"] = (y1.double() - y).abs().max().detach()
out["loss"] = loss.detach()
for n, p in m.named_parameters():
    out["gradient of " + n] = p.grad
    out["error of " + n] = (single[n] - p.grad).norm()
for n, b in m.named_buffers():
    if "running" in n: out["running " + n] = b
json.dump({k: v.double().reshape(-1).tolist() for k, v in out.items()}, sys.stdout)
`

// Networks give the logits, gradients and running statistics that PyTorch gives.
func TestTorch(t *testing.T) {
	python := os.Getenv("ROPEWALK_PYTHON")
	if python == "" {
		t.Skip("ROPEWALK_PYTHON is not set: no reference to compare with")
	}
	if err := exec.Command(python, "-c", "import torchvision").Run(); err != nil {
		t.Skip("ROPEWALK_PYTHON has no torchvision")
	}
	// In a large network some of a million numbers lie so close to a kink of ReLU6 that
	// rounding decides: one that flips changes late gradients by some thousandths of
	// their norm. PyTorch in float32 has such, too. Without the kinks, roundings are
	// all there is.
	for _, tt := range []struct {
		name      string
		smooth    bool // without ReLU6
		tolerance float64
	}{{"lenet5", false, 1e-5}, {"resnet20", false, 1e-4}, {"mobilenet_v2_cifar", false, 0.03}, {"mobilenet_v2_cifar", true, 1e-5}} {
		t.Run(fmt.Sprintf("%s/%v", tt.name, tt.smooth), func(t *testing.T) {
			name, tolerance := tt.name, tt.tolerance
			g, in := network(t, name, 8, nil)
			if tt.smooth {
				g = withoutKinks(g)
			}
			p, err := compile(g, &engine.Options{Trainable: g.Parameters()})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			for _, w := range p.weights {
				if strings.HasSuffix(w.name, ".ratio") {
					clear(w.values) // nothing is dropped
				}
			}
			dir := t.TempDir()
			var index [][3]any
			write := func(name string, shape []int64, values []float32) {
				raw := make([]byte, 0, 4*len(values))
				for _, v := range values {
					raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
				}
				file := strings.ReplaceAll(name, "/", "_") + ".f32"
				if err := os.WriteFile(filepath.Join(dir, file), raw, 0o600); err != nil {
					t.Fatal(err)
				}
				index = append(index, [3]any{name, file, append([]int64{}, shape...)})
			}
			for _, w := range p.weights {
				write(w.name, w.shape, w.values)
			}
			write("input", in[0].Shape, in[0].Float)
			raw, err := json.Marshal(index)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "index.json"), raw, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(python, "-c", torchScript, name, dir, strconv.FormatBool(tt.smooth))
			var stderr strings.Builder
			cmd.Stderr = &stderr
			answer, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
			var want map[string][]float64
			if err := json.Unmarshal(answer, &want); err != nil {
				t.Fatal(err)
			}
			out, err := p.Forward(in)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, "logits", out[0].Float, want["logits"], 1e-4)
			loss, err := p.Step(1, func(y, dy []engine.Array) float64 {
				off := 0.0
				for i, v := range want["trained"] {
					off = max(off, math.Abs(v-float64(y[0].Float[i])))
				}
				t.Logf("logits of the step are off by at most %.2g, those of PyTorch in float32 by %.2g", off, want["error of trained"][0])
				return crossEntropy(y, dy)
			}, in)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, "loss", []float32{float32(loss)}, want["loss"], 1e-5)
			worst, worstTheirs, all, allTheirs := 0.0, 0.0, 0.0, 0.0
			for _, w := range p.weights {
				if r := want["running "+w.name]; r != nil {
					compare(t, "running "+w.name, w.values, r, 1e-4)
				}
				if w.gradient == nil {
					continue
				}
				slope := want["gradient of "+w.name]
				if len(slope) != len(w.gradient) {
					t.Fatalf("gradient of %s has %d elements, PyTorch's %d", w.name, len(w.gradient), len(slope))
				}
				size, off := 0.0, 0.0
				for i, s := range slope {
					d := s - float64(w.gradient[i])
					size, off = size+s*s, off+d*d
				}
				size, off = math.Sqrt(size), math.Sqrt(off)
				theirs := want["error of "+w.name][0]
				all, allTheirs = all+off*off, allTheirs+theirs*theirs
				if size > 1e-6 { // else all is rounding: a bias before a normalization
					worst, worstTheirs = max(worst, off/size), max(worstTheirs, theirs/size)
				}
				if off > 3*theirs+tolerance*size+1e-7 {
					t.Errorf("gradient of %s, of norm %g, is off by %g; that of PyTorch in float32 by %g", w.name, size, off, theirs)
				}
			}
			all, allTheirs = math.Sqrt(all), math.Sqrt(allTheirs)
			if tt.smooth && all > 2*allTheirs {
				t.Errorf("all gradients together are off by %g, those of PyTorch in float32 by %g", all, allTheirs)
			}
			t.Logf("all gradients together are off by %.3g, those of PyTorch in float32 by %.3g", all, allTheirs)
			t.Logf("gradients are off by at most %.2g of their norm, those of PyTorch in float32 by %.2g", worst, worstTheirs)
		})
	}
}

// withoutKinks returns a network without its ReLU6.
func withoutKinks(g *graph.Graph) *graph.Graph {
	out, from := *g, map[string]string{}
	out.Nodes = nil
	for _, n := range g.Nodes {
		c := *n
		c.Inputs = slices.Clone(n.Inputs)
		for i, name := range c.Inputs {
			if before, ok := from[name]; ok {
				c.Inputs[i] = before
			}
		}
		if n.Op == "Clip" {
			from[n.Outputs[0]] = c.Inputs[0]
			continue
		}
		out.Nodes = append(out.Nodes, &c)
	}
	return &out
}
