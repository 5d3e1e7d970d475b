//go:build external

package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
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

// saveScript saves random tensors of all types that PyTorch has, with names
// that need escapes, into files of a folder.
const saveScript = `
import sys, torch, random
from safetensors.torch import save_file
random.seed(1); torch.manual_seed(1)
types = [torch.bool, torch.uint8, torch.int8, torch.float8_e4m3fn, torch.float8_e5m2,
  torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
  torch.int16, torch.uint16, torch.float16, torch.bfloat16, torch.int32, torch.uint32, torch.float32,
  torch.complex64, torch.float64, torch.int64, torch.uint64]
chars = 'abc._0"\\/\b\f\n\r\t\x00\x1f\x7f<&\u00e9\u2028\U0001f600'
def tensor(t):
    shape = [random.randrange(0, 5) for _ in range(random.randrange(0, 4))]
    x = torch.randint(0, 256, shape + [16], dtype=torch.uint8)
    if t == torch.bool: return x[..., 0].contiguous() > 127
    x = x.view(torch.uint8)[..., :torch.empty(0, dtype=t).element_size()].contiguous()
    return x.view(t)[..., 0].contiguous()
for i in range(60):
    names = {''.join(random.choice(chars) for _ in range(random.randrange(1, 6))) for _ in range(random.randrange(0, 24))}
    ts = {n: tensor(types[i % 19] if i < 19 else random.choice(types)) for n in names}
    meta = [None, {}, {'format': 'pt'}, {'k"\n\u00e9': 'v\\'}][i % 4]
    save_file(ts, '%s/%d.safetensors' % (sys.argv[1], i), metadata=meta)
`

// We read what the reference wrote, and write the same bytes.
func TestExternalSameBytes(t *testing.T) {
	dir := t.TempDir()
	python(t, saveScript, dir)
	files, _ := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	n := 0
	for _, f := range files {
		want, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		l, err := Parse(f, tensor.Bytes(want))
		if err != nil {
			t.Fatal(err)
		}
		set, err := l.Set()
		if err != nil {
			t.Fatal(err)
		}
		n += set.Len()
		var list []*tensor.Tensor
		for _, x := range set.All() {
			list = append(list, x)
		}
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		if set, err = tensor.NewSet(list...); err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := Write(&got, set, l.Metadata); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: %q, want %q", f, clip(got.Bytes()), clip(want))
		}
	}
	t.Logf("%d files, %d tensors", len(files), n)
	if len(files) != 60 || n < 300 {
		t.Error("too few")
	}
}

func clip(b []byte) []byte { return b[:min(len(b), 400)] }

// judgeScript reads a list of paths and prints what the reference makes of each
// file: an error, or names, types, shapes and the bytes of each tensor.
const judgeScript = `
import sys, json
from safetensors import deserialize
for p in open(sys.argv[1]):
    b = open(p.strip(), 'rb').read()
    try:
        print(json.dumps({'Tensors': sorted([n, t['dtype'], t['shape'], bytes(t['data']).hex()] for n, t in deserialize(b))}))
    except BaseException as e:
        print(json.dumps({'Error': str(e)}))
`

type verdict struct {
	Error   string
	Tensors [][]any
}

// stricter are the rules of ours that the reference lacks, each by a part of
// our error.
var stricter = []string{
	"stands there twice",     // a tensor: there, the last of the name wins
	"stands twice in",        // likewise a key of the metadata
	"unknown key",            // ignored there
	"after the header",       // tabs and newlines are padding there
	"' ' where '{' is due",   // so they are before the header
	"'\\t' where '{' is due", // likewise
	"'\\n' where '{' is due", // likewise
	"'[' where '{' is due",   // there, an entry may be an array of three values
	"'n' where '{' is due",   // there, __metadata__ may be null
	"above 2^63-1",           // there, an axis beside a zero may have 64 bits
	"2^62 elements",          // likewise
}

// Mutated files are accepted or refused as by the reference, with the same
// tensors, but for the intended differences.
func TestExternalMutated(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	seeds := seedHeaders()
	var list strings.Builder
	var files [][]byte
	for i := range 6000 {
		b := slices.Clone(seeds[i%len(seeds)])
		if i >= len(seeds) {
			b = mutate(rng, b)
		}
		p := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, b)
		list.WriteString(p + "\n")
	}
	paths := filepath.Join(dir, "list")
	if err := os.WriteFile(paths, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(python(t, judgeScript, paths)), []byte("\n"))
	if len(lines) != len(files) {
		t.Fatalf("%d verdicts of %d", len(lines), len(files))
	}
	both, neither, lenient := 0, 0, 0
	strict := map[string]int{}
	for i, line := range lines {
		var want verdict
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber() // an axis may have more digits than a float64
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		l, err := Parse("x", tensor.Bytes(files[i]))
		switch {
		case err != nil && want.Error != "":
			neither++
		case err != nil:
			j := slices.IndexFunc(stricter, func(s string) bool { return strings.Contains(err.Error(), s) })
			if j < 0 {
				t.Errorf("refused, the reference accepts: %v\n%q", err, files[i])
				continue
			}
			strict[stricter[j]]++
		case want.Error != "":
			// We are lenient in one respect: types that are not known yet.
			if !strings.Contains(want.Error, "unknown variant") {
				t.Errorf("accepted, the reference refuses: %s\n%q", want.Error, files[i])
			}
			lenient++
		default:
			both++
			same(t, l, want.Tensors)
		}
	}
	t.Logf("both accept %d, both refuse %d, only we accept %d (unknown types), only we refuse %v", both, neither, lenient, strict)
	if both < 300 || neither < 300 {
		t.Error("the mutations are one-sided")
	}
}

func same(t *testing.T, l *layout.Layout, want [][]any) {
	t.Helper()
	set, err := l.Set()
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() != len(want) {
		t.Fatalf("%d tensors, the reference has %d", set.Len(), len(want))
	}
	for _, w := range want {
		x := set.Lookup(w[0].(string))
		if x == nil {
			t.Fatalf("no tensor %q", w[0])
		}
		b, err := x.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		shape, _ := json.Marshal(w[2])
		ours, _ := json.Marshal(append([]int64{}, x.Shape...))
		if got, want := fmt.Sprintf("%s %s %x", x.DType, ours, b), fmt.Sprintf("%s %s %s", w[1], shape, w[3]); got != want {
			t.Fatalf("%q is %s, want %s", w[0], got, want)
		}
	}
}

// seedHeaders are valid files, and files with one unusual thing each.
func seedHeaders() [][]byte {
	var out [][]byte
	for _, h := range []struct {
		head string
		n    int
	}{
		{string(small[8 : len(small)-8]), 8},
		{`{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"I8","shape":[0],"data_offsets":[16,16]}}`, 16},
		{`{"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]},"b":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[2,5]}}`, 5},
		{`{"a":{"dtype":"I8","shape":[1],"data_offsets":[1,2]},"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, 1},
		{`{"a":["I8",[1],[0,1]]}`, 1},
		{`{"__metadata__":null}`, 0},
		{`{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1],"x":[[]]}}`, 1},
		{"\t{}", 0},
		{"{}\r\n", 0},
		{`{"a":{"dtype":"I8","shape":[0,18446744073709551615],"data_offsets":[0,0]}}`, 0},
		{`{"a":{"dtype":"I8","shape":[-0,1],"data_offsets":[0,0]}}`, 0},
		{`{"a":{"dtype":"I8","shape":[1e0],"data_offsets":[0,1]}}`, 1},
		{`{"\ud83d\ude00":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, 1},
		{`{"\ud83d":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, 1},
		{`{"__metadata__":{"a":"b","a":"c"}}`, 0},
		{`{"__metadata__":{},"__metadata__":{}}`, 0},
		{`{"a":{"dtype":"I8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, 1},
		{`{"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]},"b":{"dtype":"F8_E8M0","shape":[],"data_offsets":[8,9]}}`, 9},
		{`{"a":{"dtype":"F8_E4M3FNUZ","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F8_E5M2FNUZ","shape":[],"data_offsets":[1,2]}}`, 2},
	} {
		out = append(out, file(h.head, h.n))
	}
	return out
}

// mutate changes a few bytes of the header, mostly into other JSON tokens, and
// sets the length right again, mostly.
func mutate(rng *rand.Rand, b []byte) []byte {
	n := int(binary.LittleEndian.Uint64(b))
	head, data := slices.Clone(b[8:8+n]), slices.Clone(b[8+n:])
	tokens := []string{"0", "1", "9", "-", ".", "e", ",", ":", "{", "}", "[", "]", `"`, `\`, " ", "\n", "a", `"a"`, "null", "[]", "{}", "I8", "F32", "BF16", `\u0061`, "\xff", "é"}
	for range rng.IntN(3) {
		i := rng.IntN(len(head) + 1)
		j := min(len(head), i+rng.IntN(3))
		head = slices.Replace(head, i, j, []byte(tokens[rng.IntN(len(tokens))])...)
	}
	switch rng.IntN(8) {
	case 0:
		data = append(data, 0)
	case 1:
		data = data[:max(0, len(data)-1)]
	}
	out := append(file(string(head), 0), data...)
	if rng.IntN(16) == 0 {
		out[0] += byte(rng.IntN(3)) - 1
	}
	return out
}

// The reference reads what we wrote. Types that PyTorch lacks are covered by
// deserialize, which knows them all.
func TestExternalReadsOurs(t *testing.T) {
	dir := t.TempDir()
	var ts []*tensor.Tensor
	for i, d := range types {
		shape := tensor.Shape{int64(i%3) * 4, 2}
		n, _ := shape.Size(d)
		b := make(tensor.Bytes, n)
		for j := range b {
			b[j] = byte(i + j)
		}
		ts = append(ts, &tensor.Tensor{Name: string(d) + "\n\x00é", DType: d, Shape: shape, Data: b})
	}
	var out bytes.Buffer
	if err := Write(&out, newSet(t, ts...), []layout.Pair{{Key: "a", Value: "b"}, {Key: "c", Value: "d"}}); err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(dir, "x")
	if err := os.WriteFile(p, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p+".list", []byte(p), 0o600); err != nil {
		t.Fatal(err)
	}
	var v verdict
	if err := json.Unmarshal(python(t, judgeScript, p+".list"), &v); err != nil || v.Error != "" {
		t.Fatal(err, v.Error)
	}
	l, err := Parse(p, tensor.Bytes(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	same(t, l, v.Tensors)
}
