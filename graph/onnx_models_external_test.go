//go:build external

package graph

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ropewalk/internal/onnxcases"
)

// modelCases makes a case, as those of ONNX are, for each model of a folder: small random
// inputs, and the outputs that ONNX Runtime has for them.
const modelCases = `
import glob, os, shutil, sys
import numpy as np, onnx, onnxruntime
from onnx import numpy_helper
rng = np.random.default_rng(1)
types = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(double)": np.float64}
for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.onnx"))):
    s = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = os.path.splitext(os.path.basename(path))[0]
    sets = os.path.join(sys.argv[2], "model", name, "test_data_set_0")
    os.makedirs(sets)
    shutil.copy(path, os.path.join(sys.argv[2], "model", name, "model.onnx"))
    feed = {}
    for i in s.get_inputs():
        # batch 1; images of 32 or 48 by 64; windows of speech of 512; states as they are
        free = [1, 3, 48 if "rec" in name or "cls" in name else 32, 64] if len(i.shape) == 4 else [1, 512] if len(i.shape) == 2 else [2, 1, 64]
        shape = [d if isinstance(d, int) and d > 0 else free[k] for k, d in enumerate(i.shape)]
        x = np.array(16000) if "sr" == i.name else rng.standard_normal(shape) * 0.3
        feed[i.name] = x.astype(types[i.type])
    for kind, arrays in (("input", feed.items()), ("output", zip([o.name for o in s.get_outputs()], s.run(None, feed)))):
        for k, (n, x) in enumerate(arrays):
            with open(os.path.join(sets, "%s_%d.pb" % (kind, k)), "wb") as f:
                f.write(numpy_helper.from_array(x, n).SerializeToString())
`

// Whole networks give what ONNX Runtime gives, to a thousandth: their float32 adds up
// over a hundred layers.
func TestModelsAgainstONNXRuntime(t *testing.T) {
	python, models := os.Getenv("ROPEWALK_PYTHON"), os.Getenv("ROPEWALK_MODELS")
	if python == "" || models == "" {
		t.Skip("ROPEWALK_PYTHON and ROPEWALK_MODELS are not set: no networks to compare")
	}
	if err := exec.Command(python, "-c", "import onnxruntime").Run(); err != nil {
		t.Skip("ROPEWALK_PYTHON has no onnxruntime: nothing to compare with")
	}
	root := t.TempDir()
	script := filepath.Join(root, "cases.py")
	if err := os.WriteFile(script, []byte(modelCases), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(python, script, models, root).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cases, err := onnxcases.All(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatalf("%s has no models", models)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if err := tryCase(c); err != nil {
				t.Error(err)
			}
		})
	}
}
