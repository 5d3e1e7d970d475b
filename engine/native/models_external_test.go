//go:build external

package native

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/internal/onnxcases"
	"ropewalk/tensor"
)

// Whole networks, those of ROPEWALK_MODELS and one of our own, give what ONNX Runtime
// gives, to 1e-4 of the greatest element of an output, with all fusing, and the same
// bits on any number of threads. How long they take, make bench-engine says.
func TestModels(t *testing.T) {
	python, models := os.Getenv("ROPEWALK_PYTHON"), os.Getenv("ROPEWALK_MODELS")
	if python == "" || models == "" {
		t.Skip("ROPEWALK_PYTHON and ROPEWALK_MODELS are not set: no networks to compare")
	}
	if err := exec.Command(python, "-c", "import onnx, onnxruntime").Run(); err != nil {
		t.Skip("ROPEWALK_PYTHON has no onnx and onnxruntime: nothing to compare with")
	}
	own, root := t.TempDir(), t.TempDir()
	net, _ := network(t, "resnet20", 1, nil)
	var file bytes.Buffer
	if err := net.WriteONNX(&file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(own, "resnet20.onnx"), file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(python, "testdata/model_cases.py", models, own, root).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cases, err := onnxcases.All(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 2 {
		t.Fatalf("%s has no models", models)
	}
	for _, c := range cases {
		t.Run(filepath.Base(c.Name), func(t *testing.T) { testModel(t, c) })
	}
}

func testModel(t *testing.T, c onnxcases.Case) {
	raw, err := os.ReadFile(c.Model())
	if err != nil {
		t.Fatal(err)
	}
	g, err := graph.FromONNX(c.Name, tensor.Bytes(raw), nil)
	if err != nil {
		t.Fatal(err)
	}
	sets, err := c.Sets()
	if err != nil || len(sets) == 0 {
		t.Fatalf("no inputs and outputs: %v", err)
	}
	var bits []uint64
	for _, threads := range []int{1, 2, 3} {
		p, err := compile(g, &engine.Options{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		h := fnv.New64a()
		for k, s := range sets {
			inputs := make([]engine.Array, len(g.Inputs))
			for i, a := range s.Inputs {
				if inputs[i], err = arrayOf(a, g.Inputs[i].Type); err != nil {
					t.Fatal(err)
				}
			}
			out, err := p.Forward(inputs)
			if err != nil {
				t.Fatal(err)
			}
			for i, a := range s.Outputs {
				want, err := arrayOf(a, "")
				if err != nil {
					t.Fatal(err)
				}
				off, most := distance(out[i].Float, want.Float)
				if threads == 1 {
					t.Logf("set %d, output %q %v: off by %.1e of %.3g", k, g.Outputs[i], out[i].Shape, off, most)
				}
				if !out[i].Shape.Equal(want.Shape) || !(off <= 1e-4*most) {
					t.Errorf("set %d, output %q %v is off by %g of %g", k, g.Outputs[i], out[i].Shape, off, most)
				}
				for _, x := range out[i].Float {
					h.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(x)))
				}
			}
		}
		if bits = append(bits, h.Sum64()); bits[0] != h.Sum64() {
			t.Errorf("the bits differ with %d threads", threads)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// distance returns by how much got is off, and the greatest element of want.
func distance(got, want []float32) (off, most float64) {
	if len(got) != len(want) {
		return math.Inf(1), 0
	}
	for i, w := range want {
		most = max(most, math.Abs(float64(w)))
		off = max(off, math.Abs(float64(got[i])-float64(w)))
		if got[i] != got[i] {
			return math.Inf(1), most
		}
	}
	return off, most
}
