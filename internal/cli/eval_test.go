package cli

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ropewalk/checkpoint"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/internal/atomicfile"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// command runs the program in a folder.
func command(t *testing.T, dir string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.Command("ropewalk", args...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), status
}

// result runs a command that succeeds, and reads the last line of its JSON.
func result(t *testing.T, to any, dir string, args ...string) (stderr string) {
	t.Helper()
	stdout, stderr, status := command(t, dir, append(args, "--json")...)
	if status != exitOK {
		t.Fatalf("%q: status %d, %s", args, status, stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), to); err != nil {
		t.Fatalf("%q: %v in %q", args, err, stdout)
	}
	return stderr
}

// numbersOf returns a tensor of floats.
func numbersOf(name string, shape tensor.Shape, x ...float32) *tensor.Tensor {
	return &tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))}
}

// saveGraph writes an ONNX model of weights and nodes from input x, (batch, 2).
func saveGraph(t *testing.T, path string, batch int64, outputs []string, weights []*tensor.Tensor, nodes ...*graph.Node) {
	t.Helper()
	set, err := tensor.NewSet(weights...)
	if err != nil {
		t.Fatal(err)
	}
	first := graph.Dim{Size: batch}
	if batch < 0 {
		first.Name = "batch"
	}
	g := &graph.Graph{
		Name: "small", Inputs: []graph.Input{{Name: "x", Type: tensor.F32, Shape: []graph.Dim{first, {Size: 2}}}},
		Outputs: outputs, Nodes: nodes, Weights: set,
	}
	if _, err := writeFile(path, true, func(f *atomicfile.File) error { return g.WriteONNX(f) }); err != nil {
		t.Fatal(err)
	}
}

// saveExamples writes pairs of numbers; the class is whether the first is the larger.
func saveExamples(t *testing.T, path string, n int) (x []float32, labels []int64) {
	t.Helper()
	var y tensor.Bytes
	for i := range n {
		a, b := float32(math.Sin(float64(i)))+3, float32(math.Cos(float64(3*i)))+3
		x = append(x, a, b)
		labels = append(labels, 0)
		if a > b {
			labels[i] = 1
		}
		y = binary.LittleEndian.AppendUint64(y, uint64(labels[i]))
	}
	set, err := tensor.NewSet(numbersOf("x_test", tensor.Shape{int64(n), 2}, x...), numbersOf("x_train", tensor.Shape{int64(n), 2}, x...),
		&tensor.Tensor{Name: "y_test", DType: tensor.I64, Shape: tensor.Shape{int64(n)}, Data: y},
		&tensor.Tensor{Name: "y_train", DType: tensor.I64, Shape: tensor.Shape{int64(n)}, Data: y})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := checkpoint.Convert(&b, "npz", set, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return x, labels
}

func node(op, name, inputs string, attributes graph.Attributes) *graph.Node {
	return &graph.Node{Name: name + "_node", Op: op, Inputs: strings.Fields(inputs), Outputs: []string{name}, Attributes: attributes}
}

// Three losses are one: what eval prints, what train prints of its validation, and
// what follows from the statistics of the batch. Each time a warning is there.
func TestTrainingModeIsFollowed(t *testing.T) {
	dir := t.TempDir()
	const n = 20
	x, labels := saveExamples(t, filepath.Join(dir, "d.npz"), n)
	pair := tensor.Shape{2}
	weights := []*tensor.Tensor{
		numbersOf("gamma", pair, 1, 1), numbersOf("beta", pair, 0, 0), numbersOf("mean", pair, 7, -9), numbersOf("var", pair, 25, 1),
	}
	saveGraph(t, filepath.Join(dir, "m.onnx"), -1, []string{"y"}, weights,
		node("BatchNormalization", "y", "x gamma beta mean var", graph.Attributes{"training_mode": int64(1)}))
	want := 0.0
	var mean, variance [2]float64
	for i, v := range x {
		mean[i%2] += float64(v) / n
	}
	for i, v := range x {
		variance[i%2] += (float64(v) - mean[i%2]) * (float64(v) - mean[i%2]) / n
	}
	for i, l := range labels {
		var z [2]float64
		for c := range z {
			z[c] = (float64(x[2*i+c]) - mean[c]) / math.Sqrt(variance[c]+1e-5)
		}
		want += (math.Log(math.Exp(z[0])+math.Exp(z[1])) - z[l]) / n
	}
	const warning = `m.onnx normalises by the statistics of each batch, and not by its running ones, as its file says: 1 BatchNormalization node with training_mode 1, first "y_node"`
	var evaluated evalResult
	if stderr := result(t, &evaluated, dir, "eval", "m.onnx", "--data", "d.npz"); !strings.Contains(stderr, warning) {
		t.Errorf("eval says %q", stderr)
	}
	if got := evaluated.Result.Loss; math.Abs(got-want) > 1e-5 {
		t.Errorf("eval gives a loss of %g, want %g", got, want)
	}
	// With a rate of almost nothing, the weights stay.
	var trained trainResult
	stderr := result(t, &trained, dir, "train", "--net", "m.onnx", "--data", "d.npz", "--epochs", "1", "--batch", "20", "--rate", "1e-30", "--frozen-norms", "-o", "o.onnx")
	if !strings.Contains(stderr, warning) {
		t.Errorf("train says %q", stderr)
	}
	if got := trained.Validation.Loss; math.Abs(got-want) > 1e-5 {
		t.Errorf("the validation of train gives a loss of %g, want %g", got, want)
	}
	if trained.Loss == trained.Validation.Loss {
		t.Error("with --frozen-norms, training used the statistics of the batch")
	}
}

// Nobody typed what a file says of the normalisation: a file that says nonsense is
// refused, and not the command line.
func TestBadNormalisation(t *testing.T) {
	dir := t.TempDir()
	saveExamples(t, filepath.Join(dir, "d.npz"), 10)
	g, err := nets.Build("lenet-300-100", nil)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"sideways":      `error: m.safetensors: its metadata: normalisation "sideways" is not known`,
		"0.5/0":         "error: m.safetensors: its metadata: a normalisation by mean 0.5 and deviation 0",
		"1,2/1":         "error: m.safetensors: its metadata: a normalisation with 2 means and 1 deviations",
		"1,NaN,3/1,1,1": "error: m.safetensors: its metadata: a normalisation by mean NaN",
		"1,2/1,2":       "is for 2 channels, and the examples have 1",
	} {
		if _, err := writeFile(filepath.Join(dir, "m.safetensors"), true, func(f *atomicfile.File) error {
			return writeTensors(f, g.Weights, settings{settingNet: "lenet-300-100", settingNormalise: text})
		}); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"eval", "m.safetensors", "--data", "builtin:fashion-mnist"},
			{"train", "--net", "lenet-300-100", "--weights", "m.safetensors", "--data", "builtin:fashion-mnist", "-o", "o.rope"},
		} {
			if _, stderr, status := command(t, dir, args...); status != exitRefused || !strings.Contains(stderr, want) {
				t.Errorf("%q with %q: status %d, %s; want %q", args, text, status, stderr, want)
			}
		}
	}
	args := []string{"eval", "m.safetensors", "--data", "builtin:fashion-mnist", "--normalise"}
	if _, stderr, status := command(t, dir, append(args, "unit")...); status != exitOK {
		t.Errorf("with --normalise: status %d, %s", status, stderr)
	}
	if _, stderr, status := command(t, dir, append(args, "sideways")...); status != exitUsage {
		t.Errorf("nonsense on the command line: status %d, %s", status, stderr)
	}
	// The recipe beside a model that cannot say it itself
	saveGraph(t, filepath.Join(dir, "m.onnx"), -1, []string{"y"}, nil, node("Relu", "y", "x", nil))
	if err := os.WriteFile(filepath.Join(dir, "m.onnx"+recipeExt), []byte("normalise: sideways\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := command(t, dir, "eval", "m.onnx", "--data", "d.npz"); status != exitRefused || !strings.Contains(stderr, "m.onnx.recipe.yaml: normalisation \"sideways\"") {
		t.Errorf("the recipe: status %d, %s", status, stderr)
	}
}

// Networks that are no classifiers are compared on labelled data all the same; on
// their own, there is nothing to measure.
func TestAgainstRegression(t *testing.T) {
	dir := t.TempDir()
	saveExamples(t, filepath.Join(dir, "d.npz"), 10)
	for name, slope := range map[string]float32{"a.onnx": 2, "b.onnx": 2.5} {
		saveGraph(t, filepath.Join(dir, name), -1, []string{"y"}, []*tensor.Tensor{numbersOf("w", tensor.Shape{2, 1}, slope, 1)}, node("MatMul", "y", "x w", nil))
	}
	args := []string{"eval", "a.onnx", "--against", "b.onnx", "--data", "d.npz"}
	var r evalResult
	result(t, &r, dir, args...)
	if c := r.Comparison; c.Examples != 10 || c.Outputs[0].Values != 10 || c.Outputs[0].Max < 1 || c.Top1A != nil || c.Unjudged == "" {
		t.Errorf("%+v", c)
	}
	if stdout, _, _ := command(t, dir, args...); !strings.Contains(stdout, "\nno top-1: example 1 of the batch has the label 1; the network has 1 classes") &&
		!strings.Contains(stdout, "\nno top-1: example 0 of the batch has the label 1; the network has 1 classes") {
		t.Errorf("%s", stdout)
	}
	if _, _, status := command(t, dir, "eval", "a.onnx", "--data", "d.npz"); status != exitRefused {
		t.Errorf("status %d of a network with too few classes", status)
	}
}

// Weights that go back to a well-known repository are told by their metadata how they
// were trained, where nothing else says so.
func TestUsualNormalisation(t *testing.T) {
	dir := t.TempDir()
	g, err := nets.Build("resnet20", nil)
	if err != nil {
		t.Fatal(err)
	}
	const n = 10 // one of each class
	pixels, labels := make(tensor.Bytes, n*3*32*32), make(tensor.Bytes, 8*n)
	for i := range pixels {
		pixels[i] = byte(i * 7)
	}
	for i := range n {
		labels[8*i] = byte(i)
	}
	var state []*tensor.Tensor
	for _, w := range g.Weights.All() {
		if nets.IsState(w) {
			state = append(state, w)
		}
	}
	weights, err := tensor.NewSet(state...)
	if err != nil {
		t.Fatal(err)
	}
	set, err := tensor.NewSet(&tensor.Tensor{Name: "x_test", DType: tensor.U8, Shape: tensor.Shape{n, 3, 32, 32}, Data: pixels},
		&tensor.Tensor{Name: "y_test", DType: tensor.I64, Shape: tensor.Shape{n}, Data: labels})
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, format string, set *tensor.Set, meta ...layout.Pair) {
		t.Helper()
		if _, err := writeFile(filepath.Join(dir, name), true, func(f *atomicfile.File) error { return checkpoint.Convert(f, format, set, meta) }); err != nil {
			t.Fatal(err)
		}
	}
	write("d.npz", "npz", set)
	args := []string{"eval", "--net", "resnet20", "--weights", "w.safetensors", "--data", "d.npz"}
	const line = "the data was taken as it is (pixels 0 to 1), as nothing says how the network was trained; "
	for _, tt := range []struct {
		meta []layout.Pair
		more []string
		want string // behind line; "" if there is no such line
	}{
		{[]layout.Pair{{Key: "arch", Value: "resnet20-cifar-optionA"}}, nil, "weights like these usually want --normalise imagenet\n"},
		{[]layout.Pair{{Key: "arch", Value: "resnet20-cifar-optionA"}}, []string{"--against-weights", "w.safetensors"}, "weights like these usually want --normalise imagenet\n"},
		{[]layout.Pair{{Key: "arch", Value: "resnet20-cifar-optionA"}}, []string{"--normalise", "imagenet"}, ""},
		{[]layout.Pair{{Key: "arch", Value: "resnet20-cifar-optionA"}, {Key: settingNormalise, Value: "cifar10"}}, nil, ""},
		{[]layout.Pair{{Key: "arch", Value: "resnet20-cifar-optionB"}}, nil, "--normalise sets it\n"},
		{[]layout.Pair{{Key: "arch", Value: "vgg16-cifar-optionA"}}, nil, "--normalise sets it\n"},
		{nil, nil, "--normalise sets it\n"},
	} {
		write("w.safetensors", "safetensors", weights, tt.meta...)
		stdout, stderr, status := command(t, dir, append(slices.Clip(args), tt.more...)...)
		if status != exitOK {
			t.Fatalf("%v: %s", tt.meta, stderr)
		}
		if _, after, found := strings.Cut(stdout, line); found != (tt.want != "") || after != tt.want {
			t.Errorf("%v %q: %s; want %q", tt.meta, tt.more, stdout, tt.want)
		}
	}
}
