//go:build external

package cli

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// castScript compares a file with what NumPy makes of the tensors of another.
const castScript = `
import sys, numpy as np
from safetensors import deserialize
T = {'F16': np.float16, 'F32': np.float32, 'F64': np.float64}
def values(t):
    if t['dtype'] == 'BF16': # NumPy has no such type
        return (np.frombuffer(bytes(t['data']), '<u2').astype('<u4') << 16).view('<f4')
    return np.frombuffer(bytes(t['data']), T[t['dtype']])
def cast(x, to):
    if to != 'BF16':
        return x.astype(T[to])
    b = x.astype('<f4')
    assert (b == x).all(), 'this script rounds from F32 only'
    b = b.view('<u4').astype('<u8')
    return ((b + 0x7fff + (b >> 16 & 1)) >> 16).astype('<u2')
was, got = (dict(deserialize(open(p, 'rb').read())) for p in sys.argv[1:3])
to = sys.argv[3]
assert was.keys() == got.keys(), 'other names'
n = 0
for name, t in was.items():
    g = got[name]
    assert g['shape'] == t['shape'], name
    if t['dtype'] not in T and t['dtype'] != 'BF16':
        assert g['dtype'] == t['dtype'] and bytes(g['data']) == bytes(t['data']), name
        continue
    assert g['dtype'] == to, name
    want = cast(values(t), to)
    assert want.tobytes() == bytes(g['data']), name
    n += want.size
print(n)
`

// NumPy rounds as we do.
func TestCastAsNumPy(t *testing.T) {
	python := os.Getenv("ROPEWALK_PYTHON")
	if python == "" {
		t.Skip("ROPEWALK_PYTHON does not name a Python with numpy and safetensors")
	}
	dir := t.TempDir()
	in := filepath.Join("..", "..", "testdata", "fashion-cnn.safetensors")
	cast := func(from, to string) string {
		out := filepath.Join(dir, filepath.Base(from)+"."+to)
		e := &env{stdin: os.Stdin, stdout: io.Discard, stderr: os.Stderr, getenv: os.Getenv}
		if s := e.run(t.Context(), []string{"unpack", from, "--dtype", to, "-o", out}); s != 0 {
			t.Fatalf("to %s: status %d", to, s)
		}
		if b, err := exec.Command(python, "-c", castScript, from, out, to).CombinedOutput(); err != nil {
			t.Errorf("%s to %s: %v\n%s", from, to, err, b)
		}
		return out
	}
	wide := cast(in, "F64")
	for _, to := range []string{"F16", "BF16"} {
		cast(cast(in, to), "F32")
		cast(wide, to)
	}
	cast(wide, "F32")
}
