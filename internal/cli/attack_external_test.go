//go:build external

package cli

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// outputsScript compares what ONNX Runtime makes of two models: the largest difference,
// as a share of the largest output.
const outputsScript = `
import sys, numpy as np, onnxruntime
a, b = (onnxruntime.InferenceSession(p, providers=['CPUExecutionProvider']) for p in sys.argv[1:3])
rng = np.random.default_rng(1)
i = a.get_inputs()[0]
shape = [d if isinstance(d, int) and d > 0 else {0: 1, 1: 3}.get(k, 64) for k, d in enumerate(i.shape)]
x = (rng.standard_normal(shape) * 0.3).astype(np.float32)
worst = 0
for p, q in zip(a.run(None, {i.name: x}), b.run(None, {i.name: x})):
    assert p.shape == q.shape
    # A detector that sees nothing in noise gives 1e-7, in which its sigmoid has few bits.
    worst = max(worst, np.abs(p - q).max() / max(np.abs(p).max(), 1e-3))
assert worst < 0.01 or sys.argv[3] == 'any', worst
print(worst)
`

// ONNX Runtime computes attacked models: the same, where the function is preserved, and
// at all, where neurons are gone.
func TestAttackedInONNXRuntime(t *testing.T) {
	python := os.Getenv("ROPEWALK_PYTHON")
	if python == "" || exec.Command(python, "-c", "import onnxruntime").Run() != nil {
		t.Skip("ROPEWALK_PYTHON does not name a Python with onnxruntime")
	}
	models := []string{filepath.Join("..", "..", "testdata", "fashion-cnn.onnx")}
	if dir := os.Getenv("ROPEWALK_MODELS"); dir != "" {
		more, err := filepath.Glob(filepath.Join(dir, "ch_*.onnx")) // PP-OCR: of one input
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, more...)
	}
	for _, model := range models {
		for _, kinds := range []string{"permute+scale+sign", "dummy=0.4", "remove=0.2", "prune=0.5+quantize=6"} {
			out := filepath.Join(t.TempDir(), "out.onnx")
			e := &env{stdin: os.Stdin, stdout: io.Discard, stderr: os.Stderr, getenv: os.Getenv}
			args := []string{"attack", "-q", kinds, model, "-o", out}
			status := e.run(t.Context(), args)
			if status == exitRefused && strings.Contains(kinds, "sign") { // not all have signs to turn
				args[2] = "permute+scale"
				status = e.run(t.Context(), args)
			}
			if status != 0 {
				t.Errorf("%v: status %d", args, status)
				continue
			}
			same := "same"
			if kinds[0] == 'r' || kinds[0] == 'p' && kinds[1] == 'r' {
				same = "any"
			}
			b, err := exec.Command(python, "-c", outputsScript, model, out, same).CombinedOutput()
			if err != nil {
				t.Errorf("%s of %s: %v: %s", kinds, model, err, b)
			}
			t.Logf("%s of %s: %s", kinds, filepath.Base(model), b)
		}
	}
}
