//go:build external

package torch

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/tensor"
)

// TestAgainstPyTorch compares with what PyTorch itself loads. Each case is a
// file case.pt with, beside it, either case.json, a list of [name, type,
// shape], and case.bin, the values of all tensors one after another; or
// case.refuse, a part of the expected reason.
func TestAgainstPyTorch(t *testing.T) {
	python := os.Getenv("ROPEWALK_PYTHON")
	if python == "" {
		t.Skip("ROPEWALK_PYTHON does not name a Python with torch and numpy")
	}
	dir := t.TempDir()
	cmd := exec.Command(python, "testdata/external.py", dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.pt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("only %d cases", len(files))
	}
	for _, path := range files {
		base := strings.TrimSuffix(path, ".pt")
		t.Run(filepath.Base(base), func(t *testing.T) {
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if reason, err := os.ReadFile(base + ".refuse"); err == nil {
				_, err := Parse("m.pt", tensor.Bytes(file))
				if err == nil || !strings.Contains(err.Error(), string(reason)) {
					t.Fatalf("got %v, want %q", err, reason)
				}
				t.Log(err)
				return
			}
			compare(t, file, base)
		})
	}
}

func compare(t *testing.T, file []byte, base string) {
	text, err := os.ReadFile(base + ".json")
	if err != nil {
		t.Fatal(err)
	}
	values, err := os.ReadFile(base + ".bin")
	if err != nil {
		t.Fatal(err)
	}
	var want []struct {
		Name  string
		DType tensor.DType
		Shape tensor.Shape
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	l := mustParse(t, file)
	if len(l.Views) != len(want) {
		t.Fatalf("got %d tensors, want %d", len(l.Views), len(want))
	}
	set, err := l.Set()
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range want {
		x := set.At(i)
		if x.Name != w.Name || x.DType != w.DType || !x.Shape.Equal(w.Shape) {
			t.Errorf("got %s %s %s, want %s %s %s", x.Name, x.DType, x.Shape, w.Name, w.DType, w.Shape)
			continue
		}
		b, err := x.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if len(values) < len(b) || !slices.Equal(b, values[:len(b)]) {
			t.Fatalf("%s: values differ: %s", x.Name, cmp.Diff(values[:min(len(b), len(values))], b))
		}
		values = values[len(b):]
	}
	if len(values) != 0 {
		t.Errorf("%d bytes of values are left", len(values))
	}
}
