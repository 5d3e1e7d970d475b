//go:build external

package npz

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// python runs a script in the interpreter that ROPEWALK_PYTHON names.
func python(t *testing.T, script string, args ...string) []byte {
	t.Helper()
	py := os.Getenv("ROPEWALK_PYTHON")
	if py == "" {
		t.Skip("ROPEWALK_PYTHON is not set: no reference to compare with")
	}
	cmd := exec.Command(py, append([]string{"-c", script}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python: %v\n%s", err, stderr.String())
	}
	return out
}

// saveScript saves the same arrays stored, deflated, and to a pipe (which
// makes data descriptors), and prints what they are.
const saveScript = `
import sys, io, json, random
import numpy as np
rng = np.random.default_rng(1); random.seed(1)
types = ['?', 'u1', 'i1', '<u2', '<i2', '<f2', '<u4', '<i4', '<f4', '<u8', '<i8', '<f8', '<c8', '<c16',
  '>f4', '>i2', 'V3', 'S5', '<U3', '<M8[ns]', '<m8[s]', '<f16']
out = {}
arrays = {}
for i in range(120):
    t = np.dtype(types[i % len(types)])
    shape = [random.randrange(0, 6) for _ in range(random.randrange(0, 5))]
    n = int(np.prod(shape)) * t.itemsize
    raw = rng.integers(0, 256, n, dtype=np.uint8)
    if t.kind == 'U': raw[:] = 0
    if t.kind == 'b': raw &= 1
    a = np.frombuffer(raw.tobytes(), dtype=t).reshape(shape)
    if i % 3 == 1: a = np.asfortranarray(a)
    if i % 7 == 2 and a.ndim > 1: a = a.swapaxes(0, 1)
    arrays['a%d/\u00e9' % i if i % 5 == 0 else 'a%d' % i] = a
class Pipe(io.RawIOBase):
    def __init__(self, f): self.f = f
    def writable(self): return True
    def write(self, b): return self.f.write(b)
d = sys.argv[1]
np.savez(d + '/stored.npz', **arrays)
np.savez_compressed(d + '/deflated.npz', **arrays)
with open(d + '/piped.npz', 'wb') as f: np.savez(Pipe(f), **arrays)
with open(d + '/pipeddeflated.npz', 'wb') as f: np.savez_compressed(Pipe(f), **arrays)
np.savez(d + '/empty.npz')
print(json.dumps({k: [a.dtype.str, list(a.shape), a.tobytes().hex(), bool(a.flags.f_contiguous and not a.flags.c_contiguous)] for k, a in arrays.items()}))
`

func TestExternalLoad(t *testing.T) {
	dir := t.TempDir()
	var want map[string][]any
	if err := json.Unmarshal(python(t, saveScript, dir), &want); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"stored", "deflated", "piped", "pipeddeflated"} {
		b, err := os.ReadFile(filepath.Join(dir, file+".npz"))
		if err != nil {
			t.Fatal(err)
		}
		if !IsNPZ(tensor.Bytes(b)) {
			t.Errorf("%s: IsNPZ", file)
		}
		l, err := Parse(file, tensor.Bytes(b))
		if err != nil {
			t.Fatal(err)
		}
		set, err := l.Set()
		if err != nil {
			t.Fatal(file, err)
		}
		kept := 0
		for name, w := range want {
			x := set.Lookup(name)
			d, _, err := parseDescr(w[0].(string))
			if err != nil {
				t.Fatal(err)
			}
			if x == nil {
				// Opaque and deflated, or in Fortran order: mentioned only.
				mentioned := slices.ContainsFunc(l.Metadata, func(p layout.Pair) bool { return p.Key == name+suffix })
				if d.Known() || !mentioned || !strings.HasSuffix(file, "deflated") && !w[3].(bool) {
					t.Errorf("%s: no tensor %q, %v", file, name, w[:2])
				}
				kept++
				continue
			}
			got, err := x.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			shape, _ := json.Marshal(w[1])
			ours, _ := json.Marshal(append([]int64{}, x.Shape...))
			if g, w := fmt.Sprintf("%s %s %x", x.DType, ours, got), fmt.Sprintf("%s %s %s", d, shape, w[2]); g != w {
				t.Errorf("%s: %q is %s, want %s", file, name, g, w)
			}
		}
		t.Logf("%s: %d tensors, %d mentioned", file, set.Len(), kept)
		if set.Len() < 70 {
			t.Error("too few")
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "empty.npz"))
	if err != nil {
		t.Fatal(err)
	}
	if err := checkParse(t, b); err != nil || !IsNPZ(tensor.Bytes(b)) {
		t.Error(err)
	}
}

// loadScript prints what NumPy makes of an archive, and whether each member
// is what numpy.save would have made of it.
const loadScript = `
import sys, io, json, zipfile
import numpy as np
z = np.load(sys.argv[1])
zipfile.ZipFile(sys.argv[1]).testzip()
out = {}
for k in z.files:
    a = z[k]
    b = io.BytesIO(); np.save(b, a)
    out[k] = [a.dtype.str, list(a.shape), a.tobytes().hex(), b.getvalue() == zipfile.ZipFile(sys.argv[1]).read(k + '.npy')]
import ml_dtypes
if 'BF16 1' in out: out['BF16 1'].append(z['BF16 1'].view(ml_dtypes.bfloat16).astype('f4').tolist())
print(json.dumps(out))
`

func TestExternalNumpyLoadsOurs(t *testing.T) {
	var ts []*tensor.Tensor
	for d := range descrs {
		for rank := range 4 {
			shape := tensor.Shape{3, 12, 100000}[:rank]
			if rank == 3 {
				shape = tensor.Shape{0, 1, 123456}
			}
			n, _ := shape.Size(d)
			data := tensor.Bytes(ramp(int(n)))
			if d == tensor.Bool {
				for i := range data {
					data[i] &= 1
				}
			}
			if d == tensor.BF16 && rank == 1 {
				data = tensor.Bytes{0x80, 0x3f, 0, 0x40, 0x40, 0x40} // 1, 2, 3
			}
			ts = append(ts, &tensor.Tensor{Name: fmt.Sprintf("%s %d", d, rank), DType: d, Shape: shape, Data: data})
		}
	}
	ts = append(ts, &tensor.Tensor{Name: "é/>", DType: ">f4", Shape: tensor.Shape{2}, Data: tensor.Bytes(ramp(8))})
	var out bytes.Buffer
	if err := Write(&out, newSet(t, ts...)); err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(t.TempDir(), "x.npz")
	if err := os.WriteFile(p, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var got map[string][]any
	if err := json.Unmarshal(python(t, loadScript, p), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(ts) {
		t.Errorf("%d arrays of %d", len(got), len(ts))
	}
	for _, x := range ts {
		g := got[x.Name]
		if g == nil {
			t.Errorf("%q is missing", x.Name)
			continue
		}
		descr, _ := descrOf(x)
		want := fmt.Sprintf("%s %v %x true", strings.Replace(descr, "<V2", "|V2", 1), []int64(x.Shape), []byte(x.Data.(tensor.Bytes)))
		if s := fmt.Sprintf("%s %v %s %v", g[0], g[1], g[2], g[3] == true || descr == "<V2"); s != want {
			t.Errorf("%q is %s, want %s", x.Name, s, want)
		}
	}
	if s := fmt.Sprint(got["BF16 1"][4]); s != "[1 2 3]" {
		t.Errorf("bfloat16 is %s", s)
	}
}

// judgeScript prints what NumPy makes of files in hexadecimal.
const judgeScript = `
import sys, json, io, warnings
import numpy as np
warnings.simplefilter('ignore')
for line in open(sys.argv[1]):
    try:
        a = np.load(io.BytesIO(bytes.fromhex(line.strip())), allow_pickle=False)
        print(json.dumps([a.dtype.str, list(a.shape), a.tobytes().hex()]))
    except BaseException as e:
        print(json.dumps(None))
`

// Headers with one byte changed are refused by both, or have the same values
// for both. We are stricter about bytes after the values, string prefixes,
// and types without a byte order.
func TestExternalMutatedHeader(t *testing.T) {
	seed := npy("{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }  \n", ramp(12)...)
	var files [][]byte
	var list strings.Builder
	for i := range seed[:len(seed)-12] {
		for _, c := range []byte("\x00 \n'\"(),:{}[]01239TFiufcVSU<>|=-L.") {
			b := bytes.Clone(seed)
			b[i] = c
			files = append(files, b)
			fmt.Fprintf(&list, "%x\n", b)
		}
	}
	p := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(p, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(python(t, judgeScript, p)), []byte("\n"))
	both, neither, strict, opaque := 0, 0, map[string]int{}, 0
	for i, line := range lines {
		var want []any
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatal(err)
		}
		l, err := ParseNPY("x", tensor.Bytes(files[i]))
		switch {
		case err != nil && want == nil:
			neither++
		case err != nil:
			strict[err.Error()]++
		case want == nil && !l.Arrays[0].DType.Known():
			opaque++ // such as "<c2": there is no such type, but it may come
		case want == nil:
			t.Errorf("accepted, NumPy refuses: %q", files[i])
		default:
			both++
			set, err := l.Set()
			if err != nil {
				t.Fatal(err)
			}
			if set.Len() == 0 { // opaque in Fortran order
				opaque++
				continue
			}
			x := set.At(0)
			b, _ := x.Bytes()
			if s, w := fmt.Sprintf("%v %x", []int64(x.Shape), b), fmt.Sprintf("%v %s", want[1], want[2]); s != w {
				t.Errorf("%q is %s, want %s", files[i], s, w)
			}
		}
	}
	t.Logf("both accept %d (%d opaque), both refuse %d, only we refuse %d:", both, opaque, neither, len(strict))
	for s, n := range strict {
		t.Logf("  %dx %s", n, s)
	}
}
