//go:build external

package graph_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/tensor"
)

// runtime runs models in ONNX Runtime, after onnx.checker has looked at them.
// Arrays travel as JSON.
const runtime = `
import json, sys, numpy, onnx, onnxruntime
job = json.load(sys.stdin)
onnx.checker.check_model(job["model"], full_check=job["check"])
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
options.log_severity_level = 3
session = onnxruntime.InferenceSession(job["model"], options, providers=["CPUExecutionProvider"])
kinds = {"F32": numpy.float32, "I64": numpy.int64, "BOOL": numpy.bool_}
feeds = {i.name: numpy.array(job["inputs"][i.name]["Values"], kinds[job["inputs"][i.name]["Type"]]).reshape(job["inputs"][i.name]["Shape"])
         for i in session.get_inputs()}
names = [o.name for o in session.get_outputs()]
out = {n: {"Shape": list(v.shape), "Values": [float(x) for x in v.ravel()]} for n, v in zip(names, session.run(names, feeds))}
json.dump(out, sys.stdout)
`

type array struct {
	Type   string
	Shape  []int64
	Values []float64
}

// onnxruntime returns the outputs of a model.
func onnxruntime(t *testing.T, file []byte, inputs map[string]*graph.Value, check bool) map[string]array {
	t.Helper()
	exe := os.Getenv("ROPEWALK_PYTHON")
	if exe == "" || exec.Command(exe, "-c", "import onnx, onnxruntime").Run() != nil {
		t.Skip("ROPEWALK_PYTHON does not name a Python with the packages onnx and onnxruntime")
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	arrays := map[string]array{}
	for name, v := range inputs {
		a := array{Type: string(v.Type), Shape: v.Shape, Values: v.Float}
		for _, x := range v.Int {
			a.Values = append(a.Values, float64(x))
		}
		arrays[name] = a
	}
	job, err := json.Marshal(map[string]any{"model": path, "inputs": arrays, "check": check})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-c", runtime)
	cmd.Stdin = bytes.NewReader(job)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	out := map[string]array{}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// agree compares outputs with those of ONNX Runtime and returns the largest
// difference, as a share of the largest number of its output.
func agree(t *testing.T, what string, got map[string]*graph.Value, want map[string]array, bound float64) float64 {
	t.Helper()
	worst := 0.0
	for name, w := range want {
		g := got[name]
		if g == nil || !g.Shape.Equal(w.Shape) {
			t.Errorf("%s: output %q is %v, want shape %v", what, name, g, w.Shape)
			continue
		}
		scale := 1e-3
		for _, x := range w.Values {
			scale = max(scale, math.Abs(x))
		}
		for i, x := range w.Values {
			d := math.Abs(x-g.Float[i]) / scale
			if !(d <= bound) {
				t.Errorf("%s: %q[%d] is %v, ONNX Runtime has %v", what, name, i, g.Float[i], x)
				break
			}
			worst = max(worst, d)
		}
	}
	return worst
}

func random(seed uint64, shape ...int64) *graph.Value {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	v := &graph.Value{Type: tensor.F32, Shape: shape, Float: make([]float64, n)}
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range v.Float {
		v.Float[i] = float64(float32(r.NormFloat64()))
	}
	return v
}

func evaluate(t *testing.T, g *graph.Graph, inputs map[string]*graph.Value) map[string]*graph.Value {
	t.Helper()
	fed := map[string]*graph.Value{}
	for _, in := range g.Inputs {
		fed[in.Name] = inputs[in.Name]
	}
	out, err := graph.Evaluate(g, fed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func write(t *testing.T, f func(b *bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := f(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// models are the networks that people have, with what to feed.
var models = []struct {
	file   string
	inputs map[string]*graph.Value
	fixed  string // an input that is constant
}{
	{"ch_ppocr_mobile_v2.0_cls_infer.onnx", map[string]*graph.Value{"x": random(1, 1, 3, 48, 96)}, ""},
	{"ch_PP-OCRv4_rec_infer.onnx", map[string]*graph.Value{"x": random(2, 1, 3, 48, 64)}, ""},
	{"ch_PP-OCRv4_det_infer.onnx", map[string]*graph.Value{"x": strokes(64, 96)}, ""},
	{"silero_vad_legacy.onnx", map[string]*graph.Value{"input": random(4, 1, 512), "sr": whole(16000), "h": random(5, 2, 1, 64), "c": random(6, 2, 1, 64)}, "sr"},
	{"silero_vad_v5.onnx", map[string]*graph.Value{"input": random(7, 1, 512), "sr": whole(16000), "state": random(8, 2, 1, 128)}, "sr"},
	{"silero_vad_v6.onnx", map[string]*graph.Value{"input": random(9, 1, 256), "sr": whole(8000), "state": random(10, 2, 1, 128)}, "sr"},
}

// strokes is an image of something dark and chequered on a bright ground: in noise
// a detector of text finds nothing, and its output is 0.
func strokes(height, width int) *graph.Value {
	v := random(3, 1, 3, int64(height), int64(width))
	for i := range v.Float {
		x, y := i%width, i/width%height
		v.Float[i] *= .1
		if y >= 24 && y < 40 && x >= 16 && x < 80 && (x/4+y/4)%2 == 0 {
			v.Float[i] -= 2
		} else {
			v.Float[i] += 2
		}
	}
	return v
}

func whole(n int64) *graph.Value {
	return &graph.Value{Type: tensor.I64, Shape: tensor.Shape{}, Int: []int64{n}}
}

// Real networks compute what they compute in ONNX Runtime: as they are, specialized,
// written again, and with other weights in the file that they come from.
func TestModels(t *testing.T) {
	dir := os.Getenv("ROPEWALK_MODELS")
	if dir == "" {
		t.Skip("ROPEWALK_MODELS does not name a folder with .onnx files")
	}
	found := 0
	for _, m := range models {
		paths, err := filepath.Glob(filepath.Join(dir, m.file))
		if err != nil {
			t.Fatal(err)
		}
		if len(paths) == 0 {
			continue
		}
		found++
		t.Run(strings.TrimSuffix(m.file, ".onnx"), func(t *testing.T) { testModel(t, paths[0], m.inputs, m.fixed) })
	}
	if found == 0 {
		t.Skipf("%s has none of the models of this test", dir)
	}
}

func testModel(t *testing.T, path string, inputs map[string]*graph.Value, fixed string) {
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	g, err := graph.FromONNX(filepath.Base(path), tensor.Bytes(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	if missing := g.Missing(); missing != nil {
		t.Fatalf("missing: %v", missing)
	}
	const bound = 5e-5 // of float32 against float64, through up to a hundred layers
	want := onnxruntime(t, file, inputs, false)
	worst := agree(t, "as it is", evaluate(t, g, inputs), want, bound)
	t.Logf("%d nodes, %d parameters, %d buffers; largest difference %.2g", len(g.Nodes), len(g.Parameters()), len(g.Buffers()), worst)

	shapes, constants := map[string]tensor.Shape{}, map[string]*graph.Value{}
	for name, v := range inputs {
		if name == fixed {
			constants[name] = v
		} else {
			shapes[name] = v.Shape
		}
	}
	s, err := graph.Specialize(g, shapes, constants)
	if err != nil {
		t.Fatal(err)
	}
	ops := map[string]int{}
	for _, n := range s.Graph.Nodes {
		ops[n.Op]++
	}
	if ops["If"] > 0 || ops["Shape"] > 0 || ops["Identity"] > len(g.Outputs) {
		t.Errorf("specialized, there are still %v", ops)
	}
	t.Logf("specialized: %d nodes, %d weights, %d constants: %v", len(s.Graph.Nodes), s.Graph.Weights.Len(), len(s.Constants), ops)
	plain, err := s.Plain()
	if err != nil {
		t.Fatal(err)
	}
	agree(t, "specialized", evaluate(t, plain, inputs), want, bound)
	if got, all := len(plain.Parameters()), len(g.Parameters()); got > all {
		t.Errorf("%d parameters, %d before", got, all)
	}
	for _, name := range slices.Concat(plain.Parameters(), plain.Buffers()) {
		if s.Graph.Weights.Lookup(name) == nil {
			t.Errorf("%q is not among the weights", name)
		}
	}

	same := func(what string, file []byte, check bool) {
		t.Helper()
		got := map[string]*graph.Value{}
		for name, a := range onnxruntime(t, file, inputs, check) {
			got[name] = &graph.Value{Type: tensor.F32, Shape: a.Shape, Float: a.Values}
		}
		agree(t, what, got, want, bound)
	}
	same("specialized and written", write(t, func(b *bytes.Buffer) error { return s.WriteONNX(b) }), true)
	same("written", write(t, func(b *bytes.Buffer) error { return g.WriteONNX(b) }), true)

	// Other weights.
	var changed []*tensor.Tensor
	names := map[string]bool{}
	for _, name := range g.Parameters() {
		names[name] = true
	}
	r := rand.New(rand.NewPCG(11, 1))
	for _, w := range g.Weights.All() {
		if !names[w.Name] {
			continue
		}
		raw, err := w.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		values := w.DType.AppendFloat32s(nil, raw)
		for i := range values {
			values[i] *= 1 + .01*float32(r.NormFloat64())
		}
		changed = append(changed, &tensor.Tensor{Name: w.Name, DType: w.DType, Shape: w.Shape, Data: tensor.Bytes(w.DType.AppendFloats(nil, values))})
	}
	set, err := tensor.NewSet(changed...)
	if err != nil {
		t.Fatal(err)
	}
	tuned, err := g.WithWeights(set)
	if err != nil {
		t.Fatal(err)
	}
	e, err := tuned.EditONNX()
	if err != nil {
		t.Fatal(err)
	}
	edited := write(t, func(b *bytes.Buffer) error { return e.WriteFile(b, 0) })
	if bytes.Equal(edited, file) {
		t.Error("the edited file is the same")
	}
	before := want
	want = onnxruntime(t, edited, inputs, false)
	if fmt.Sprint(slices.Sorted(maps.Keys(want))) != fmt.Sprint(slices.Sorted(maps.Keys(before))) {
		t.Error("the edited file has other outputs")
	}
	moved := 0.0
	for name, a := range want {
		for i, x := range a.Values {
			moved = max(moved, math.Abs(x-before[name].Values[i]))
		}
	}
	if moved == 0 {
		t.Error("the weights of the edited file have no effect")
	}
	agree(t, "tuned", evaluate(t, tuned, inputs), want, bound)
}

// The networks of the papers, written as ONNX, are valid and run in ONNX Runtime with
// the same outputs, at a batch size that the file does not know.
func TestBuiltNetworks(t *testing.T) {
	for _, name := range []string{"lenet5", "resnet20", "mobilenet_v2_cifar"} {
		t.Run(name, func(t *testing.T) {
			g, err := nets.Build(name, &nets.Options{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			shape := tensor.Shape{3}
			for _, d := range g.Inputs[0].Shape[1:] {
				shape = append(shape, d.Size)
			}
			inputs := map[string]*graph.Value{g.Inputs[0].Name: random(12, shape...)}
			file := write(t, func(b *bytes.Buffer) error { return g.WriteONNX(b) })
			agree(t, "written", evaluate(t, g, inputs), onnxruntime(t, file, inputs, true), 5e-5)
			h, err := graph.FromONNX(name, tensor.Bytes(file), nil)
			if err != nil {
				t.Fatal(err)
			}
			if out := h.Declared[h.Outputs[0]]; len(out.Shape) != 2 || out.Shape[0].Size >= 0 || out.Shape[0].Name != g.Inputs[0].Shape[0].Name || out.Shape[1].Size != 10 {
				t.Errorf("the output is declared as %+v", out)
			}
		})
	}
}
