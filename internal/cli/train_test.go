package cli

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/internal/atomicfile"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// Ctrl-C and kill -9 lose nothing: the run goes on, and ends in the same file.
func TestTrainResume(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no way to send an interrupt to a process")
	}
	dir := t.TempDir()
	ropewalk := func(args ...string) (*exec.Cmd, *bytes.Buffer) {
		cmd := exec.Command("ropewalk", args...)
		cmd.Dir = dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		return cmd, &stderr
	}
	options := []string{
		"train", "--net", "lenet-300-100", "--data", "builtin:fashion-mnist", "--limit", "500", "--validation", "none", "--shift", "0.1",
		"--epochs", "20", "--batch", "50", "--optimizer", "adam", "--schedule", "cosine", "--snapshot-steps", "7", "--best=false",
	}
	cmd, stderr := ropewalk(append(options, "-o", "whole.safetensors")...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	stop := func(cmd *exec.Cmd, sig os.Signal, size int) error {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// So many lines of history are there: the run is in the middle.
		history := filepath.Join(dir, "part.safetensors"+historyExt)
		for begun := time.Now(); ; time.Sleep(time.Millisecond) {
			if b, err := os.ReadFile(history); err == nil && bytes.Count(b, []byte("\n")) >= size {
				break
			}
			if time.Since(begun) > time.Minute {
				t.Fatal("nothing happens")
			}
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		return cmd.Wait()
	}
	cmd, stderr = ropewalk(append(options, "-o", "part.safetensors", "-q")...)
	var exit *exec.ExitError
	if err := stop(cmd, os.Interrupt, 2); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("%v, want status 130", err)
	}
	if want := "ropewalk: error: interrupted\nropewalk: hint: ropewalk train --resume -o part.safetensors goes on\n"; stderr.String() != want {
		t.Errorf("stderr: %q, want %q", stderr, want)
	}
	if early := glob(t, dir, "part*"+recipeExt); early != nil {
		t.Errorf("a recipe is there before the result: %q", early)
	}
	cmd, _ = ropewalk("train", "--resume", "-o", "part.safetensors", "-q")
	if err := stop(cmd, syscall.SIGKILL, 5); err == nil {
		t.Error("the run was over before it was killed")
	}
	cmd, stderr = ropewalk("train", "--resume", "-o", "part.safetensors", "--threads", "1")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	whole, err := os.ReadFile(filepath.Join(dir, "whole.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	part, err := os.ReadFile(filepath.Join(dir, "part.safetensors"))
	if err != nil || !bytes.Equal(whole, part) {
		t.Errorf("the resumed run has another result (%v)", err)
	}
	history, err := os.ReadFile(filepath.Join(dir, "part.safetensors"+historyExt))
	if err != nil || strings.Count(string(history), "\n") != 20 {
		t.Errorf("%d lines of history, want 20 (%v)", strings.Count(string(history), "\n"), err)
	}
	if left := slices.Concat(glob(t, dir, "*"+snapshotExt+"*"), glob(t, dir, "*"+lockExt), glob(t, dir, ".*")); left != nil {
		t.Errorf("left behind: %q", left)
	}
	for _, name := range []string{"whole", "part"} {
		if _, err := os.Stat(filepath.Join(dir, name+".safetensors"+recipeExt)); err != nil {
			t.Error(err)
		}
	}
}

// What a recipe says is what was given, digit by digit.
func TestRecipeKeepsValues(t *testing.T) {
	var o trainOptions
	cmd := &cobra.Command{}
	o.addFlags(cmd)
	for name, value := range map[string]string{"seed": "18446744073709551615", "data": "007", "net": "1e3", "batch": "32,64@10", "rate": "1e-09", "milestones": "3,6"} {
		if err := cmd.Flags().Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	text, err := recipeOf(o.flags)
	if err != nil {
		t.Fatal(err)
	}
	var again trainOptions
	other := &cobra.Command{}
	again.addFlags(other)
	if err := setFlags("r.yaml", text, again.flags); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	o.flags.Visit(func(f *pflag.Flag) {
		if got := again.flags.Lookup(f.Name).Value.String(); got != f.Value.String() {
			t.Errorf("%s was %s, and comes back as %s", f.Name, f.Value, got)
		}
	})
}

// Metadata of a stranger's file cannot ask for what there is not.
func TestSettingsOfStrangers(t *testing.T) {
	dir := t.TempDir()
	e := &env{stdout: io.Discard, stderr: io.Discard}
	for want, s := range map[string]settings{
		"ropewalk.classes is \"many\"":       {settingClasses: "many"},
		"ropewalk.classes is \"-5\"":         {settingClasses: "-5"},
		"cannot have 1000000000000 classes":  {settingClasses: "1000000000000"},
		"ropewalk.input is \"3x\"":           {settingInput: "3x"},
		"cannot have inputs of shape -1x-1":  {settingInput: "-1x-1"},
		"cannot have inputs of shape 100000": {settingInput: "100000x100000x100000"},
		"the weights do not fit":             {settingInput: "8192x8192x8192"},
		"no network is named":                {settingNet: "nosuch"},
	} {
		if s[settingNet] == "" {
			s[settingNet] = "lenet-300-100"
		}
		set, err := tensor.NewSet(&tensor.Tensor{Name: "x", DType: tensor.F32, Shape: tensor.Shape{1}, Data: tensor.Bytes(make([]byte, 4))})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "m.safetensors")
		if _, err := writeFile(path, true, func(f *atomicfile.File) error { return writeTensors(f, set, s) }); err != nil {
			t.Fatal(err)
		}
		_, err = e.openNetwork(t.Context(), &netOptions{net: path}, &nets.Options{})
		if err == nil || exitStatus(err) != exitRefused || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v: %v (status %d), want %q", s, err, exitStatus(err), want)
		}
	}
}

// A model exported for batches of one size is evaluated on any data, and trained in
// such batches only, which is said before any work is done.
func TestFixedBatches(t *testing.T) {
	g, err := nets.Build("lenet-300-100", nil)
	if err != nil {
		t.Fatal(err)
	}
	g.Inputs[0].Shape[0] = graph.Dim{Size: 300}
	path := filepath.Join(t.TempDir(), "fixed.onnx")
	if _, err := writeFile(path, false, func(f *atomicfile.File) error { return g.WriteONNX(f) }); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		want string
		args []string
	}{
		{"batches of 300 only, not of 10\n", []string{"eval", path, "--data", "builtin:fashion-mnist", "--batch", "10"}},
		{"batches of 300 only\n", []string{"train", "--net", path, "--data", "builtin:fashion-mnist", "-o", path + ".rope"}},
		{"batches of 300 only, and there are 200 examples to train on", []string{"train", "--net", path, "--data", "builtin:fashion-mnist", "--limit", "200", "--batch", "300", "-o", path + ".rope"}},
	} {
		out, err := exec.Command("ropewalk", tt.args...).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitUsage || !strings.Contains(string(out), tt.want) {
			t.Errorf("%q: %v, %s; want %q", tt.args, err, out, tt.want)
		}
	}
	// Examples that fill no batch count as if it took any batch.
	dir := filepath.Dir(path)
	open, err := nets.Build("lenet-300-100", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writeFile(filepath.Join(dir, "open.onnx"), false, func(f *atomicfile.File) error { return open.WriteONNX(f) }); err != nil {
		t.Fatal(err)
	}
	var got, want evalResult
	result(t, &got, dir, "eval", "fixed.onnx", "--data", "builtin:fashion-mnist")
	result(t, &want, dir, "eval", "open.onnx", "--data", "builtin:fashion-mnist", "--batch", "300")
	if d := cmp.Diff(want.Result, got.Result, cmpopts.EquateApprox(0, 1e-6)); d != "" {
		t.Errorf("batches of one size (-want +got):\n%s", d)
	}
	for _, args := range [][]string{{"fixed.onnx", "--against", "open.onnx"}, {"open.onnx", "--against", "fixed.onnx"}} {
		var r evalResult
		result(t, &r, dir, append(append([]string{"eval"}, args...), "--data", "builtin:fashion-mnist")...)
		if c := r.Comparison; c.Examples != 1000 || c.Outputs[0].Values != 10000 || c.Outputs[0].Max > 1e-5 {
			t.Errorf("%q: %+v", args, c)
		}
	}
	var run trainResult
	stderr := result(t, &run, dir, "train", "--net", "fixed.onnx", "--data", "builtin:fashion-mnist", "--limit", "1000", "--batch", "300", "--epochs", "2", "-o", "t.onnx")
	if run.Steps != 6 || run.Examples != 900 || run.Validation.Examples != 1000 {
		t.Errorf("%d steps on %d examples, judged by %d", run.Steps, run.Examples, run.Validation.Examples)
	}
	if want := "so 100 of 1,000 are left out of each epoch"; !strings.Contains(stderr, want) {
		t.Errorf("%q does not say %q", stderr, want)
	}
	var after evalResult
	result(t, &after, dir, "eval", "t.onnx", "--data", "builtin:fashion-mnist")
	if d := cmp.Diff(run.Validation, after.Result, cmpopts.EquateApprox(0, 1e-6)); d != "" {
		t.Errorf("train and eval differ (-train +eval):\n%s", d)
	}
	// A student of any size learns from a teacher of one.
	result(t, &run, dir, "train", "--net", "open.onnx", "--teacher", "fixed.onnx", "--data", "builtin:fashion-mnist", "--limit", "1000", "--batch", "300", "--epochs", "1", "-o", "s.onnx")
	if run.Steps != 3 || run.Validation.Examples != 1000 {
		t.Errorf("student: %d steps, judged by %d", run.Steps, run.Validation.Examples)
	}
}

// Of two runs with one output, the second is told of the first, and changes nothing;
// a run that was killed is in nobody's way.
func TestTwoRuns(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no way to send an interrupt to a process")
	}
	dir := t.TempDir()
	options := []string{"train", "--net", "lenet-300-100", "--data", "builtin:fashion-mnist", "--limit", "200", "--validation", "none", "--epochs", "100000", "-q", "-o", "o.safetensors"}
	start := func() *exec.Cmd {
		cmd := exec.Command("ropewalk", options...)
		cmd.Dir = dir
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for begun := time.Now(); ; time.Sleep(time.Millisecond) {
			if b, err := os.ReadFile(filepath.Join(dir, "o.safetensors"+historyExt)); err == nil && len(b) > 0 {
				return cmd
			}
			if time.Since(begun) > time.Minute {
				t.Fatal("nothing happens")
			}
		}
	}
	first := start()
	before, err := os.ReadFile(filepath.Join(dir, "o.safetensors"+snapshotExt))
	if err != nil {
		t.Fatal(err)
	}
	for _, more := range [][]string{nil, {"-f", "--seed", "3"}, {"--resume"}} {
		args := append(slices.Clip(options), more...)
		if more != nil && more[0] == "--resume" {
			args = []string{"train", "--resume", "-o", "o.safetensors"}
		}
		_, stderr, status := command(t, dir, args...)
		want := fmt.Sprintf("another run is writing o.safetensors: o.safetensors.lock is held by process %d\nropewalk: hint: wait for it", first.Process.Pid)
		if status != exitFailure || !strings.Contains(stderr, want) {
			t.Errorf("%q beside a run: status %d, %q; want %q", more, status, stderr, want)
		}
	}
	after, err := os.ReadFile(filepath.Join(dir, "o.safetensors"+snapshotExt))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the snapshot of the first run has changed (%v)", err)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err == nil {
		t.Fatal("it was over before it was killed")
	}
	if _, stderr, status := command(t, dir, options...); status != exitUsage || !strings.Contains(stderr, "of a run that was interrupted") {
		t.Errorf("after kill -9: status %d, %q", status, stderr)
	}
	if err := os.Remove(filepath.Join(dir, "o.safetensors"+historyExt)); err != nil {
		t.Fatal(err)
	}
	options = append(options, "-f")
	second := start()
	if err := second.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); second.ProcessState.ExitCode() != exitInterrupted {
		t.Errorf("%v, want status 130", err)
	}
	if left := glob(t, dir, "*"+lockExt); left != nil {
		t.Errorf("left behind: %q", left)
	}
}

// What a small network takes beside the coded weights: names, shapes, levels and
// checksums. Of a network that a builder knows that is less than of one of a stranger,
// whose names nobody knows, and whose graph is part of the file.
func TestOverhead(t *testing.T) {
	pytorch := strings.NewReplacer("fc1.", "classifier.lin1.", "fc2.", "classifier.lin2.", "fc3.", "classifier.head.")
	nodes := strings.NewReplacer("flatten", "/Flatten_output_0", "fc1", "/classifier/lin1/Gemm_output_0", "fc2", "/classifier/lin2/Gemm_output_0",
		"relu1", "/Relu_output_0", "relu2", "/Relu_1_output_0", "logits", "scores")
	for _, tt := range []struct {
		name, net string
		change    func(t *testing.T, n *network) *network
		settings  settings
		most      int64
	}{
		{name: "lenet-300-100", net: "lenet-300-100", settings: settings{settingNet: "lenet-300-100"}, most: 64},
		{name: "lenet5", net: "lenet5", settings: settings{settingNet: "lenet5"}, most: 64},
		{name: "lenet5-relu", net: "lenet5-relu", settings: settings{settingNet: "lenet5-relu"}, most: 64},
		{name: "foreign safetensors", net: "lenet-300-100", most: 160, change: func(t *testing.T, n *network) *network {
			n.Weights = renamed(t, n.Weights, pytorch)
			return n
		}},
		{name: "ONNX", net: "lenet-300-100", most: 64, change: throughONNX},
		{name: "foreign ONNX", net: "lenet-300-100", most: 160, change: func(t *testing.T, n *network) *network {
			n.Weights = renamed(t, n.Weights, pytorch)
			n.Name = "torch_jit"
			n.Inputs[0].Name = "images"
			for _, node := range n.Nodes {
				for i, in := range node.Inputs {
					if node.Inputs[i] = nodes.Replace(in); in == "input" {
						node.Inputs[i] = "images"
					} else if i > 0 {
						node.Inputs[i] = pytorch.Replace(in)
					}
				}
				node.Outputs[0] = nodes.Replace(node.Outputs[0])
				node.Name = strings.TrimSuffix(node.Outputs[0], "_output_0")
			}
			n.Outputs[0] = "scores"
			return throughONNX(t, n)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, err := nets.Build(tt.net, &nets.Options{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			n := &network{Graph: g, built: true}
			if tt.change != nil {
				n = tt.change(t, n)
			}
			var list []*tensor.Tensor
			for _, w := range n.Weights.All() {
				values := make([]byte, 4*w.Elems())
				r := rand.New(rand.NewPCG(1, uint64(len(values))))
				for i := 0; i < len(values); i += 4 {
					if r.IntN(20) == 0 {
						binary.LittleEndian.PutUint32(values[i:], math.Float32bits(0.046875)|uint32(r.IntN(2))<<31)
					}
				}
				list = append(list, &tensor.Tensor{Name: w.Name, DType: w.DType, Shape: w.Shape, Data: tensor.Bytes(values)})
			}
			set, err := tensor.NewSet(list...)
			if err != nil {
				t.Fatal(err)
			}
			e := &env{threads: 1}
			packed, err := e.packNetwork(t.Context(), n, set, tt.settings, "model.safetensors")
			if err != nil {
				t.Fatal(err)
			}
			f, err := rope.Open("m.rope", tensor.Bytes(packed), nil)
			if err != nil {
				t.Fatal(err)
			}
			over := f.Size()
			for _, p := range f.Ledger() {
				if p.Part == rope.PartTensor {
					over -= p.Bytes
				}
			}
			t.Logf("%d bytes beside the weights", over)
			if over > tt.most {
				t.Errorf("%d bytes beside the weights, want %d at most", over, tt.most)
			}
		})
	}
}

func renamed(t *testing.T, set *tensor.Set, names *strings.Replacer) *tensor.Set {
	t.Helper()
	var list []*tensor.Tensor
	for _, w := range set.All() {
		c := *w
		c.Name = names.Replace(w.Name)
		list = append(list, &c)
	}
	out, err := tensor.NewSet(list...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// throughONNX returns a network as it comes out of a file.
func throughONNX(t *testing.T, n *network) *network {
	t.Helper()
	var b bytes.Buffer
	if err := n.WriteONNX(&b); err != nil {
		t.Fatal(err)
	}
	g, err := graph.FromONNX("m.onnx", tensor.Bytes(b.Bytes()), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &network{Graph: g}
}

// No output of a run is one of its inputs, whatever -f says.
func TestTrainInputs(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.safetensors", "my.key"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"--net", "lenet5", "--teacher", "lenet5", "--teacher-weights", "a.safetensors", "-o", "a.safetensors"},
		{"--net", "lenet5", "--init", "a.safetensors", "--penalty", "hemp", "--also", "a.safetensors", "-o", "b.rope"},
		{"--net", "lenet5", "--init", "a.safetensors", "--penalty", "hemp", "--floats", "./a.safetensors", "-o", "b.rope"},
		{"--net", "lenet5", "--penalty", "hemp", "--mark", "my.key", "--mark-commitment", "my.key", "-o", "b.rope"},
	} {
		_, stderr, status := command(t, dir, append([]string{"train", "-f", "--data", "builtin:fashion-mnist"}, args...)...)
		if status != exitUsage || !strings.Contains(stderr, "is an input and the output at once") {
			t.Errorf("%v: status %d, %s", args, status, stderr)
		}
	}
}

// A recipe has zeros that are not the default.
func TestRecipeZero(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"--net", "lenet-300-100", "--data", "builtin:fashion-mnist", "--limit", "300", "--size", "8x8", "--penalty", "hemp", "--float-part", "0", "--epochs", "2", "-o", "a.rope"},
		{"--recipe", "a.rope" + recipeExt, "-o", "b.rope"},
	} {
		if _, stderr, status := command(t, dir, append([]string{"train", "-q"}, args...)...); status != exitOK {
			t.Fatalf("%v: status %d: %s", args, status, stderr)
		}
	}
	a, err := os.ReadFile(filepath.Join(dir, "a.rope"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "b.rope"))
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("the recipe makes another file (%v)", err)
	}
}
