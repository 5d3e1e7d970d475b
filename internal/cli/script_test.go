package cli

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/checkpoint"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/layout"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// The test binary runs itself as the command.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ropewalk": func() { os.Exit(Main()) }})
}

func TestScript(t *testing.T) {
	testdata, err := filepath.Abs(filepath.Join("..", "..", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TESTDATA", testdata)
			e.Setenv("TMPDIR", filepath.Join(e.WorkDir, ".tmp")) // made by the script framework
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Geteuid() == 0, nil
			case "full":
				_, err := os.Stat("/dev/full")
				return err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"mkmodel":  mkmodel,
			"status":   status,
			"flip":     flip,
			"truncate": truncate,
			"files":    files,
			"json":     jsonField,
			"perturb":  perturb,
			"mkimages": mkimages,
			"shuffle":  shuffle,
			"mkfamily": mkfamily,
			"groups":   groups,
			"edit":     edit,
			"untimed":  untimed,
			"rewire":   rewire,
		},
	})
}

// shuffle IN OUT SEED SCALE TRUTH [SPEC] writes an ONNX network, or with SPEC any
// checkpoint, with its neurons moved at random, multiplied by factors of that
// deviation (of their logarithm), and what was done.
func shuffle(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 5 {
		ts.Fatalf("usage: shuffle IN OUT SEED SCALE TRUTH [SPEC]")
	}
	c, err := checkpoint.Open(ts.MkAbs(args[0]), nil)
	ts.Check(err)
	defer c.Close()
	var spec *symmetry.Spec
	if len(args) > 5 {
		spec, err = symmetry.Parse(ts.ReadFile(args[5]))
	} else {
		var g *graph.Graph
		g, err = graph.FromLayout(c.Layout)
		ts.Check(err)
		spec, err = symmetry.Derive(g, nil)
	}
	ts.Check(err)
	seed, err := strconv.ParseUint(args[2], 10, 64)
	ts.Check(err)
	o := &symmetry.RandomOptions{Seed: seed}
	o.Scale, err = strconv.ParseFloat(args[3], 64)
	ts.Check(err)
	o.Signs = o.Scale > 0
	e, err := spec.Fit(c.Tensors, spec.Random(o))
	ts.Check(err)
	set, err := symmetry.Apply(spec, c.Tensors, e)
	ts.Check(err)
	plan, err := c.Rewrite(set)
	ts.Check(err)
	var b bytes.Buffer
	ts.Check(plan.WriteFile(&b, 0))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b.Bytes(), 0o666))
	truth, err := json.Marshal(map[string]any{"element": e})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[4]), truth, 0o666))
}

// mkfamily FILE NET writes a checkpoint with random tensors of the names and shapes of
// a network: one that train knows, or a list of testdata/families.
func mkfamily(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mkfamily FILE NET")
	}
	r := rand.New(rand.NewPCG(1, 2))
	var list []*tensor.Tensor
	put := func(name string, shape tensor.Shape) {
		n, err := shape.Elems()
		ts.Check(err)
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(0.1 * r.NormFloat64())
			if strings.HasSuffix(name, "running_var") {
				x[i] = 0.5 + r.Float32()
			}
		}
		list = append(list, &tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
	}
	if isNet(args[1]) {
		g, err := nets.Build(args[1], nil)
		ts.Check(err)
		for _, t := range g.Weights.All() {
			if nets.IsState(t) {
				put(t.Name, t.Shape)
			}
		}
	} else {
		for line := range strings.Lines(ts.ReadFile(args[1])) {
			dims, name, _ := strings.Cut(strings.TrimSpace(line), " ")
			var shape tensor.Shape
			for d := range strings.SplitSeq(dims, "x") {
				n, err := strconv.ParseInt(d, 10, 64)
				ts.Check(err)
				shape = append(shape, n)
			}
			put(name, shape)
		}
	}
	set, err := tensor.NewSet(list...)
	ts.Check(err)
	ts.Check(writeModel(ts.MkAbs(args[0]), set))
}

// groups FILE OUT takes what inspect --groups says of symmetries from what it printed,
// and sees whether that is read back as what it is.
func groups(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: groups FILE OUT")
	}
	text := ts.ReadFile(args[0])
	from := strings.Index(text, "\n# ")
	to := strings.LastIndex(text, "\n\n  ")
	if from < 0 || to < from {
		ts.Fatalf("no groups in %s", args[0])
	}
	text = text[from+1:to] + "\n"
	spec, err := symmetry.Parse(text)
	ts.Check(err)
	if _, plain, _ := strings.Cut(text, "\ngroup "); "group "+plain != spec.String() {
		ts.Fatalf("it is read back as\n%s", spec)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o666))
}

// status N COMMAND ARGS... runs a command and checks its exit status.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// mkmodel FILE [SEED [VALUES [SCALE]]] writes a model of the format that FILE
// ends in. Models of one seed have the same tensors; VALUES is the size of the
// largest, and SCALE the deviation of the floats.
func mkmodel(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: mkmodel FILE [SEED [VALUES [SCALE]]]")
	}
	seed, values := 1, 4096
	for i, p := range []*int{&seed, &values} {
		if len(args) > i+1 {
			var err error
			*p, err = strconv.Atoi(args[i+1])
			ts.Check(err)
		}
	}
	scale := 0.05
	if len(args) > 3 {
		var err error
		scale, err = strconv.ParseFloat(args[3], 64)
		ts.Check(err)
	}
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[0])), 0o777))
	ts.Check(writeModel(ts.MkAbs(args[0]), modelOf(uint64(seed), values, scale)))
}

// modelOf returns the tensors of a small network.
func modelOf(seed uint64, values int, scale float64) *tensor.Set {
	r := rand.New(rand.NewPCG(seed, 1))
	normal := func(name string, shape ...int64) *tensor.Tensor {
		n, _ := tensor.Shape(shape).Elems()
		b := make(tensor.Bytes, 0, 4*n)
		for range n {
			b, _ = binary.Append(b, binary.LittleEndian, float32(r.NormFloat64()*scale))
		}
		return &tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: b}
	}
	set, err := tensor.NewSet(
		normal("conv.weight", 8, 3, 3, 3),
		normal("conv.bias", 8),
		normal("head.fc.weight", 16, int64(values/16)),
		normal("head.fc.bias", 16),
		&tensor.Tensor{Name: "head.mask", DType: tensor.U8, Shape: tensor.Shape{2, 2}, Data: tensor.Bytes{0, 1, 0, 1}},
	)
	if err != nil {
		panic(err)
	}
	return set
}

// writeModel writes a checkpoint of one or two files.
func writeModel(path string, set *tensor.Set) error {
	switch {
	case strings.HasSuffix(path, ".index.json"):
		return writeSharded(path, set)
	case strings.HasSuffix(path, "noise.npy"): // behind a header that is as short as it may be
		const head = "\x93NUMPY\x01\x00\x46\x00{'descr':'|u1','fortran_order':False,'shape':(400000,)}"
		noise := make([]byte, 400000)
		r := rand.NewChaCha8([32]byte{})
		_, _ = r.Read(noise)
		return os.WriteFile(path, append(fmt.Appendf(nil, "%-79s\n", head), noise...), 0o666)
	case strings.HasSuffix(path, ".npy"): // one byte, and no more
		const head = "\x93NUMPY\x01\x00\x76\x00{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }"
		return os.WriteFile(path, fmt.Appendf(nil, "%-127s\n\x07", head), 0o666)
	case strings.HasSuffix(path, ".onnx"):
		return writeONNX(path, set)
	}
	var b bytes.Buffer
	meta := []layout.Pair{{Key: "made by", Value: "a test"}}
	if err := checkpoint.Convert(&b, filepath.Ext(path)[1:], set, meta); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o666)
}

// writeSharded writes an index and two shards, shard-1 and shard-2.
func writeSharded(path string, set *tensor.Set) error {
	index := make(map[string]string)
	for i := range 2 {
		name := fmt.Sprintf("shard-%d.safetensors", i+1)
		var ts []*tensor.Tensor
		for j, t := range set.All() {
			if j%2 == i {
				ts = append(ts, t)
				index[t.Name] = name
			}
		}
		shard, err := tensor.NewSet(ts...)
		if err != nil {
			return err
		}
		if err := writeModel(filepath.Join(filepath.Dir(path), name), shard); err != nil {
			return err
		}
	}
	b, err := json.Marshal(map[string]any{"metadata": map[string]any{}, "weight_map": index})
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o666)
}

// writeONNX writes a model whose initializers lie in data/weights.bin.
func writeONNX(path string, set *tensor.Set) error {
	text := func(b []byte, num protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
	}
	number := func(b []byte, num protowire.Number, n uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), n)
	}
	var weights, graph []byte
	for _, t := range set.All() {
		var init []byte
		for _, d := range t.Shape {
			init = number(init, 1, uint64(d))
		}
		init = number(init, 2, map[tensor.DType]uint64{tensor.F32: 1, tensor.U8: 2}[t.DType])
		init = text(init, 8, t.Name)
		where := map[string]string{"location": "data/weights.bin", "offset": strconv.Itoa(len(weights)), "length": strconv.FormatInt(t.Size(), 10)}
		for _, k := range slices.Sorted(maps.Keys(where)) {
			init = text(init, 13, string(text(text(nil, 1, k), 2, where[k])))
		}
		graph = text(graph, 5, string(number(init, 14, 1)))
		b, err := t.Bytes()
		if err != nil {
			return err
		}
		weights = append(weights, b...)
	}
	graph = text(graph, 2, "test")
	model := number(nil, 1, 8)
	model = text(model, 7, string(graph))
	model = text(model, 8, string(number(nil, 2, 17)))
	data := filepath.Join(filepath.Dir(path), "data")
	if err := os.MkdirAll(data, 0o777); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(path, model, 0o666), os.WriteFile(filepath.Join(data, "weights.bin"), weights, 0o666))
}

// perturb FILE OUT TENSOR writes FILE (safetensors) with two values of a
// tensor changed: the first by 0.5, the second to NaN.
func perturb(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: perturb FILE OUT TENSOR")
	}
	c, err := checkpoint.Open(ts.MkAbs(args[0]), nil)
	ts.Check(err)
	defer c.Close()
	t := *c.Tensors.Lookup(args[2])
	b, err := t.Bytes()
	ts.Check(err)
	b = bytes.Clone(b)
	first := floatOf(tensor.F32)(uint64(binary.LittleEndian.Uint32(b)))
	_, err = binary.Encode(b, binary.LittleEndian, float32(first+0.5))
	ts.Check(err)
	binary.LittleEndian.PutUint32(b[4:], 0x7fc00000)
	t.Data = tensor.Bytes(b)
	set, err := tensor.Overlay(c.Tensors, &t)
	ts.Check(err)
	ts.Check(writeModel(ts.MkAbs(args[1]), set))
}

// rewire IN OUT writes an ONNX network in which the first Relu is a Tanh.
func rewire(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: rewire IN OUT")
	}
	text := ts.ReadFile(args[0])
	const relu, tanh = "\"\x04Relu", "\"\x04Tanh" // field 4 of a node, a text of four bytes
	if !strings.Contains(text, relu) {
		ts.Fatalf("%s has no Relu", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Replace(text, relu, tanh, 1)), 0o666))
}

// mkimages DIR N [SIDE [CLASSES]] writes a folder of grey images: N of each class to
// train on, and half as many to test. Cats are bright at the top and dogs at the
// bottom; if there are more classes, each is bright in a place of its own.
func mkimages(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mkimages DIR N [SIDE [CLASSES]]")
	}
	number := []int{0, 8, 2}
	for i, text := range args[1:] {
		var err error
		number[i], err = strconv.Atoi(text)
		ts.Check(err)
	}
	n, side, classes := number[0], number[1], number[2]
	rng := rand.New(rand.NewPCG(1, 2))
	names := []string{"cats", "dogs", "eels", "foxes", "goats"}
	for c := range classes {
		for split, n := range map[string]int{"train": n, "test": n / 2} {
			dir := filepath.Join(ts.MkAbs(args[0]), split, names[c])
			ts.Check(os.MkdirAll(dir, 0o777))
			for i := range n {
				img := image.NewGray(image.Rect(0, 0, side, side))
				for p := range img.Pix {
					img.Pix[p] = byte(rng.IntN(60))
					if p*classes/len(img.Pix) == c {
						img.Pix[p] += 180
					}
				}
				var b bytes.Buffer
				ts.Check(png.Encode(&b, img))
				ts.Check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.png", i)), b.Bytes(), 0o666))
			}
		}
	}
}

// edit FILE FROM TO replaces a text that is there once.
func edit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edit FILE FROM TO")
	}
	text := ts.ReadFile(args[0])
	if n := strings.Count(text, args[1]); n != 1 {
		ts.Fatalf("%s has %q %d times, want once", args[0], args[1], n)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, args[1], args[2], 1)), 0o666))
}

// untimed FILE takes the lines of a table of bench out that are times: of the columns s
// and more.
func untimed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: untimed FILE")
	}
	var kept strings.Builder
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if !strings.Contains(line, ",s,") && !strings.Contains(line, ",more,") {
			kept.WriteString(line)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(kept.String()), 0o666))
}

// flip FILE OFFSET inverts the bits of a byte; a negative offset counts from
// the end.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	b[offset(ts, args[1], len(b))] ^= 0xff
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o666))
}

// truncate FILE SIZE cuts a file; a negative size is what is cut off.
func truncate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: truncate FILE SIZE")
	}
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b[:offset(ts, args[1], len(b))], 0o666))
}

func offset(ts *testscript.TestScript, text string, size int) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	if n < 0 {
		n += size
	}
	return n
}

// files DIR NAME... checks that a folder holds these files and no other,
// hidden ones and folders counted.
func files(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: files DIR NAME...")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	want := slices.Sorted(slices.Values(args[1:]))
	if !slices.Equal(got, want) {
		ts.Fatalf("%s holds %q, want %q", args[0], got, want)
	}
}

// json FILE FIELD VALUE checks a field, named with dots, of each JSON line in
// FILE, which may be stdout or stderr. VALUE * is any but null.
func jsonField(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: json FILE FIELD VALUE")
	}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var v any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			ts.Fatalf("%q is no JSON: %v", line, err)
		}
		for key := range strings.SplitSeq(args[1], ".") {
			switch w := v.(type) {
			case map[string]any:
				v = w[key]
			case []any:
				i, err := strconv.Atoi(key)
				ts.Check(err)
				v = w[i]
			default:
				v = nil
			}
		}
		if got := fmt.Sprint(v); got != args[2] && (args[2] != "*" || v == nil) {
			ts.Fatalf("%s is %s, want %s", args[1], got, args[2])
		}
	}
}
