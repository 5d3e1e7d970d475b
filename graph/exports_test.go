//go:build external

package graph_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/graph"
	"ropewalk/tensor"
)

// Networks that PyTorch exports, in several opsets, compute what they compute there,
// and their parameters and buffers are those of PyTorch.
func TestPyTorch(t *testing.T) {
	testExports(t, "import torch, torchvision", "testdata/torch_export.py")
}

// Networks that Keras exports by way of tf2onnx compute what they compute there.
func TestKeras(t *testing.T) {
	testExports(t, "import tensorflow, tf2onnx", "testdata/keras_export.py")
}

// testExports tests what a script writes, if Python can do the imports.
func testExports(t *testing.T, imports, script string) {
	exe := os.Getenv("ROPEWALK_PYTHON")
	if exe == "" || exec.Command(exe, "-c", imports).Run() != nil {
		t.Skipf("ROPEWALK_PYTHON does not name a Python that can %s", imports)
	}
	cmd := exec.Command(exe, script)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<30)
	for lines.Scan() {
		var e exported
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		t.Run(e.Name, func(t *testing.T) { testExported(t, &e) })
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// exported is a line that a script writes.
type exported struct {
	Name       string
	Folded     bool // the exporter has put constants together
	File       []byte
	Inputs     map[string]array
	Outputs    map[string]array
	Parameters []string
	Buffers    []string
}

func (a array) value() *graph.Value {
	v := &graph.Value{Type: tensor.DType(a.Type), Shape: a.Shape}
	if v.Type != tensor.I64 {
		v.Float = a.Values
		return v
	}
	for _, x := range a.Values {
		v.Int = append(v.Int, int64(x))
	}
	return v
}

func testExported(t *testing.T, e *exported) {
	g, err := graph.FromONNX("m.onnx", tensor.Bytes(e.File), nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := g.Missing(); m != nil {
		t.Fatalf("missing: %v", m)
	}
	const bound = 2e-5
	inputs, shapes := map[string]*graph.Value{}, map[string]tensor.Shape{}
	for name, a := range e.Inputs {
		inputs[name] = a.value()
		shapes[name] = a.Shape
	}
	agree(t, "as it is", evaluate(t, g, inputs), e.Outputs, bound)
	s, err := graph.Specialize(g, shapes, nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := s.Plain()
	if err != nil {
		t.Fatal(err)
	}
	agree(t, "specialized", evaluate(t, plain, inputs), e.Outputs, bound)
	if e.Folded {
		return
	}
	for _, which := range []struct {
		what      string
		got, want []string
	}{
		{"parameters", g.Parameters(), e.Parameters},
		{"buffers", g.Buffers(), e.Buffers},
		{"parameters, specialized,", plain.Parameters(), e.Parameters},
		{"buffers, specialized,", plain.Buffers(), e.Buffers},
	} {
		got, want := slices.Sorted(slices.Values(which.got)), slices.Sorted(slices.Values(which.want))
		// The exporter writes GroupNorm as an InstanceNormalization with ones and
		// zeros, which look like weights before training.
		got = slices.DeleteFunc(got, func(name string) bool { return strings.HasPrefix(name, "/net/net.7/Constant") })
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s differ from PyTorch's:\n%s", which.what, d)
		}
	}
}
