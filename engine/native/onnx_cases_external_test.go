//go:build external

package native

import (
	_ "embed"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/internal/onnxcases"
	"ropewalk/tensor"
)

// unsupportedCases lists the cases that are not expected to pass, and why.
//
//go:embed testdata/onnx_cases_unsupported.txt
var unsupportedCases string

// Every operator case of ONNX that is not on the list passes, and none that is on it
// does.
func TestONNXCases(t *testing.T) {
	cases, err := onnxcases.All(onnxcases.Root())
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Skipf("no cases in %s: set ROPEWALK_ONNX_CASES, or install libonnx-testdata", onnxcases.Root())
	}
	why := map[string]string{}
	for line := range strings.Lines(unsupportedCases) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, reason, ok := strings.Cut(line, " ")
		if !ok {
			t.Fatalf("the list has %q without a reason", line)
		}
		why[name] = strings.TrimSpace(reason)
	}
	passed, listed := 0, 0
	for _, c := range cases {
		err := tryCase(c)
		reason, unsupported := why[c.Name]
		delete(why, c.Name)
		switch {
		case err == nil:
			passed++
			if unsupported {
				t.Errorf("%s passes, but is listed: %s", c.Name, reason)
			}
		case unsupported:
			listed++
		default:
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	for name := range why {
		t.Errorf("%s is listed, but there is no such case", name)
	}
	share := float64(passed) / float64(len(cases))
	t.Logf("%d of %d cases pass (%.1f %%), %d are listed as unsupported", passed, len(cases), 100*share, listed)
	if share < leastShare {
		t.Errorf("%.3f of the cases pass, want %.2f", share, leastShare)
	}
}

// leastShare bounds the share of cases that pass from below.
const leastShare = 0.90

// tryCase returns what is wrong in a case.
func tryCase(c onnxcases.Case) error {
	raw, err := os.ReadFile(c.Model())
	if err != nil {
		return err
	}
	g, err := graph.FromONNX(c.Name, tensor.Bytes(raw), func(name string) (tensor.Data, error) {
		b, err := os.ReadFile(filepath.Join(c.Dir, name))
		return tensor.Bytes(b), err
	})
	if err != nil {
		return err
	}
	sets, err := c.Sets()
	if err != nil {
		return err
	}
	if len(sets) == 0 {
		return errors.New("there are no inputs and outputs")
	}
	p, err := compile(g, &engine.Options{Threads: 2})
	if err != nil {
		return err
	}
	defer p.Close()
	p.poison = true
	for i, s := range sets {
		if err := trySet(p, s, relative(c.Name)); err != nil {
			return fmt.Errorf("set %d: %w", i, err)
		}
	}
	return nil
}

// relative is what results may be off, relative to each element: a tenth of what ONNX's
// own runner allows, but where results are not exact themselves.
func relative(name string) float64 {
	for _, inexact := range []string{"gridsample_bicubic", "model/", "roialign", "window"} {
		if strings.Contains(name, inexact) {
			return 1e-3
		}
	}
	return 1e-4
}

func trySet(p *program, s onnxcases.Set, relative float64) error {
	inputs := make([]engine.Array, len(p.graph.Inputs))
	given := make([]bool, len(inputs))
	for i, a := range s.Inputs {
		k := slices.IndexFunc(p.graph.Inputs, func(in graph.Input) bool { return in.Name == a.Name })
		if k < 0 {
			k = i
		}
		if k >= len(inputs) || a.Tensor == nil {
			return fmt.Errorf("input %q is text, or none of the graph", a.Name)
		}
		x, err := arrayOf(a, p.graph.Inputs[k].Type)
		if err != nil {
			return err
		}
		inputs[k], given[k] = x, true
	}
	if slices.Contains(given, false) {
		return errors.New("the case lacks an input")
	}
	out, err := p.Forward(inputs)
	if err != nil {
		return err
	}
	for i, a := range s.Outputs {
		if a.Tensor == nil {
			return fmt.Errorf("output %d is text", i)
		}
		l := p.plans[0]
		want, err := arrayOf(a, l.outputs[i].dtype)
		if err != nil {
			return err
		}
		if err := near(out[i], want, l.outputs[i].dtype, relative); err != nil {
			return fmt.Errorf("output %q: %w", p.graph.Outputs[i], err)
		}
	}
	return nil
}

func arrayOf(a onnxcases.Array, want tensor.DType) (engine.Array, error) {
	v, err := graph.ValueOf(a.Tensor)
	if err != nil {
		return engine.Array{}, err
	}
	if want == tensor.BF16 && v.Type == tensor.U16 { // numpy, with which the cases were made, has no such type
		f := make([]float32, len(v.Int))
		for i, x := range v.Int {
			f[i] = math.Float32frombits(uint32(x) << 16)
		}
		return engine.Array{Shape: v.Shape, Float: f}, nil
	}
	if v.Int != nil {
		return engine.Array{Shape: v.Shape, Int: v.Int}, nil
	}
	return engine.Array{Shape: v.Shape, Float: float32s(v.Float)}, nil
}

func near(got, want engine.Array, d tensor.DType, relative float64) error {
	if !got.Shape.Equal(want.Shape) {
		return fmt.Errorf("its shape is %v, want %v", got.Shape, want.Shape)
	}
	if !slices.Equal(got.Int, want.Int) {
		return fmt.Errorf("it is %v, want %v", got.Int, want.Int)
	}
	if len(got.Float) != len(want.Float) {
		return fmt.Errorf("it has %d floats, want %d", len(got.Float), len(want.Float))
	}
	switch d {
	case tensor.F16:
		relative = max(relative, 2e-3)
	case tensor.BF16:
		relative = max(relative, 1e-2)
	}
	for i, w := range want.Float {
		g := got.Float[i]
		if !(g == w || g != g && w != w || math.Abs(float64(g)-float64(w)) <= 2e-6+relative*math.Abs(float64(w))) {
			return fmt.Errorf("element %d is %g, want %g", i, g, w)
		}
	}
	return nil
}
