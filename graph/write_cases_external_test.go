//go:build external

package graph

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ropewalk/internal/onnxcases"
	"ropewalk/tensor"
)

// checkAll has onnx.checker look at all files of a folder, types and shapes included.
const checkAll = `
import glob, sys, onnx
for path in sorted(glob.glob(sys.argv[1] + "/*.onnx")):
    try:
        onnx.checker.check_model(path, full_check=True)
    except Exception as e:
        print(path.split("/")[-1], str(e).split("\n")[0])
`

// Every operator case of ONNX, written as it is and specialized, is valid, and computes
// the same after it has been read again.
func TestWriteONNXCases(t *testing.T) {
	cases, err := onnxcases.All(onnxcases.Root())
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Skipf("no cases in %s: set ROPEWALK_ONNX_CASES, or install libonnx-testdata", onnxcases.Root())
	}
	dir := t.TempDir()
	whole, special := 0, 0
	for _, c := range cases {
		w, s, err := writeCase(c, dir)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		whole, special = whole+w, special+s
	}
	t.Logf("%d of %d cases written, %d specialized", whole, len(cases), special)
	if whole < 1000 || special < 870 {
		t.Error("want at least 1000, and 870 specialized: of the others, shapes follow from data")
	}
	exe := os.Getenv("ROPEWALK_PYTHON")
	if exe == "" || exec.Command(exe, "-c", "import onnx").Run() != nil {
		t.Skip("ROPEWALK_PYTHON does not name a Python with the package onnx")
	}
	out, err := exec.Command(exe, "-c", checkAll, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		t.Errorf("not valid: %s", line)
	}
}

// writeCase returns how many models were written whole and specialized. What cannot be
// computed is left out: another test counts that.
func writeCase(c onnxcases.Case, dir string) (whole, special int, err error) {
	raw, err := os.ReadFile(c.Model())
	if err != nil {
		return 0, 0, err
	}
	g, err := FromONNX(c.Name, tensor.Bytes(raw), nil)
	if err != nil {
		return 0, 0, err
	}
	sets, err := c.Sets()
	if err != nil || len(sets) == 0 {
		return 0, 0, nil // of lists of arrays
	}
	inputs, shapes := map[string]*Value{}, map[string]tensor.Shape{}
	for i, a := range sets[0].Inputs {
		if i >= len(g.Inputs) {
			return 0, 0, nil
		}
		v, err := valueOfArray(a)
		if err != nil {
			return 0, 0, nil
		}
		v = brain(v, g.Inputs[i].Type)
		inputs[g.Inputs[i].Name], shapes[g.Inputs[i].Name] = v, v.Shape
	}
	want, err := Evaluate(g, inputs, nil)
	if err != nil {
		return 0, 0, nil
	}
	name := filepath.Join(dir, strings.ReplaceAll(c.Name, "/", "_"))
	try := func(what string, write func(b *bytes.Buffer) error) error {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if err := os.WriteFile(name+"_"+what+".onnx", b.Bytes(), 0o600); err != nil {
			return err
		}
		again, err := FromONNX(c.Name, tensor.Bytes(b.Bytes()), nil)
		if err != nil {
			return fmt.Errorf("%s, read again: %w", what, err)
		}
		got, err := Evaluate(again, inputs, nil)
		if err != nil {
			return fmt.Errorf("%s, read again: %w", what, err)
		}
		for name, w := range want {
			if err := near(got[name], w, 1e-6); err != nil {
				return fmt.Errorf("%s, read again: output %q: %w", what, name, err)
			}
		}
		return nil
	}
	if err := try("whole", func(b *bytes.Buffer) error { return g.WriteONNX(b) }); err != nil {
		return 0, 0, err
	}
	s, err := Specialize(g, shapes, nil)
	if err != nil {
		return 1, 0, nil
	}
	if err := try("special", func(b *bytes.Buffer) error { return s.WriteONNX(b) }); err != nil {
		return 1, 0, err
	}
	return 1, 1, nil
}
