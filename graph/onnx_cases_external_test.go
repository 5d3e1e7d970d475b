//go:build external

package graph

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

	"ropewalk/internal/onnxcases"
	"ropewalk/tensor"
)

// unsupportedCases lists the cases that are not expected to pass: a name, or the
// beginning of one and a star, and why.
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
	t.Logf("%d of %d cases pass (%.1f %%), %d are listed as unsupported", passed, len(cases), 100*float64(passed)/float64(len(cases)), listed)
	if share := float64(passed) / float64(len(cases)); share < 0.94 {
		t.Errorf("%.3f of the cases pass, want 0.94", share)
	}
}

// tryCase returns what is wrong in a case.
func tryCase(c onnxcases.Case) error {
	raw, err := os.ReadFile(c.Model())
	if err != nil {
		return err
	}
	g, err := FromONNX(c.Name, tensor.Bytes(raw), func(name string) (tensor.Data, error) {
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
	for i, s := range sets {
		if err := trySet(g, s, precision(c.Name)); err != nil {
			return fmt.Errorf("set %d: %w", i, err)
		}
	}
	return nil
}

func trySet(g *Graph, s onnxcases.Set, relative float64) error {
	inputs := map[string]*Value{}
	shapes := map[string]tensor.Shape{}
	for i, a := range s.Inputs {
		name := a.Name
		if !slices.ContainsFunc(g.Inputs, func(in Input) bool { return in.Name == name }) {
			if i >= len(g.Inputs) {
				return fmt.Errorf("input %q is none of the graph", name)
			}
			name = g.Inputs[i].Name
		}
		v, err := valueOfArray(a)
		if err != nil {
			return err
		}
		for _, in := range g.Inputs {
			if in.Name == name {
				v = brain(v, in.Type)
			}
		}
		inputs[name] = v
		shapes[name] = v.Shape
	}
	got, err := Evaluate(g, inputs, nil)
	if err != nil {
		return err
	}
	for i, a := range s.Outputs {
		want, err := valueOfArray(a)
		if err != nil {
			return err
		}
		if i >= len(g.Outputs) {
			return fmt.Errorf("output %d is none of the graph", i)
		}
		if v := got[g.Outputs[i]]; v != nil {
			want = brain(want, v.Type)
		}
		if err := near(got[g.Outputs[i]], want, relative); err != nil {
			return fmt.Errorf("output %q: %w", g.Outputs[i], err)
		}
	}
	return trySpecialized(g, inputs, shapes, got, relative)
}

// trySpecialized holds the specialized graph against the plain one: the types that are
// inferred are those that come out, and the values are the same. Shapes that follow
// from data are not an error: no inference knows these. Inputs without axes are taken as
// constants, as the sampling rate of a network that has a branch for each.
func trySpecialized(g *Graph, inputs map[string]*Value, shapes map[string]tensor.Shape, want map[string]*Value, relative float64) error {
	constants := map[string]*Value{}
	for name, v := range inputs {
		if len(v.Shape) == 0 && v.Int != nil {
			constants[name] = v
		}
	}
	s, err := Specialize(g, shapes, constants)
	if _, unsupported := errors.AsType[*UnsupportedError](err); unsupported {
		return nil
	}
	if err != nil {
		return fmt.Errorf("specialize: %w", err)
	}
	for _, name := range g.Outputs {
		t, ok := s.Types[name]
		if !ok || !t.equal(want[name].typ()) {
			return fmt.Errorf("output %q is inferred to be %v, and is %v", name, t, want[name].typ())
		}
	}
	// What is left of the graph computes the same, with the constants as weights.
	var weights []*tensor.Tensor
	for _, w := range s.Graph.Weights.All() {
		weights = append(weights, w)
	}
	for name, v := range s.Constants {
		if v.Type == Text {
			return nil
		}
		w, err := v.Tensor(name)
		if err != nil {
			return err
		}
		weights = append(weights, w)
	}
	left := *s.Graph
	if left.Weights, err = tensor.NewSet(weights...); err != nil {
		return err
	}
	got, err := Evaluate(&left, inputs, nil)
	if err != nil {
		return fmt.Errorf("specialized: %w", err)
	}
	for _, name := range g.Outputs {
		if err := near(got[name], want[name], relative); err != nil {
			return fmt.Errorf("output %q of the specialized graph: %w", name, err)
		}
	}
	return nil
}

func valueOfArray(a onnxcases.Array) (*Value, error) {
	if a.Tensor == nil {
		return &Value{Type: Text, Shape: a.Shape, Text: a.Text}, nil
	}
	return ValueOf(a.Tensor)
}

// brain returns v as BF16 if that is wanted and v has its bits: numpy, with which the
// cases were made, has no such type.
func brain(v *Value, want tensor.DType) *Value {
	if want != tensor.BF16 || v.Type != tensor.U16 {
		return v
	}
	out := newValue(Type{tensor.BF16, v.Shape})
	for i, x := range v.Int {
		out.Float[i] = float64(math.Float32frombits(uint32(x) << 16))
	}
	return out
}

// precision is a tenth of what ONNX's own runner allows, but for cases whose
// results are not exact themselves.
func precision(name string) float64 {
	for _, inexact := range []string{
		"window",   // pi is 3.1415 there
		"roialign", // rounded to four digits
		"gridsample_bicubic",
		"model/", // whole networks, in float32
	} {
		if strings.Contains(name, inexact) {
			return 1e-3
		}
	}
	return 1e-4
}

// near compares; halves and bfloat16 to their precision.
func near(got, want *Value, relative float64) error {
	if got == nil {
		return errors.New("it is missing")
	}
	if !got.typ().equal(want.typ()) {
		return fmt.Errorf("it is %v, want %v", got.typ(), want.typ())
	}
	if !slices.Equal(got.Int, want.Int) || !slices.Equal(got.Text, want.Text) {
		return fmt.Errorf("it is %v %q, want %v %q", got.Int, got.Text, want.Int, want.Text)
	}
	switch want.Type {
	case tensor.F16:
		relative = max(relative, 2e-3)
	case tensor.BF16:
		relative = max(relative, 1e-2)
	}
	for i, w := range want.Float {
		g := got.Float[i]
		same := g == w || g != g && w != w || math.Abs(g-w) <= 1e-6+relative*math.Abs(w)
		if !same {
			return fmt.Errorf("element %d is %g, want %g", i, g, w)
		}
	}
	return nil
}
