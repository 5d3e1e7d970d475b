package lineage

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ropewalk/attack"
	"ropewalk/checkpoint"
	"ropewalk/tensor"
)

// A failer is what fails a test: of testing, or of rapid.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// examineAll examines all tensors of a suspect that was not moved.
func examineAll(t failer, ref, sus *tensor.Set) []examined {
	t.Helper()
	var all []examined
	for _, x := range ref.All() {
		y := sus.Lookup(x.Name)
		d, r, err := examine(x, y, y, examineOptions{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, examined{d, r})
	}
	return all
}

// afterAttack does an attack.
func afterAttack(t failer, set *tensor.Set, text string, seed uint64) *tensor.Set {
	t.Helper()
	c, err := attack.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Apply(context.Background(), attack.Network{Set: set}, &attack.Options{Seed: seed})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r.Set
}

// expected is what an attack has to be called: kinds in their order, and parameters.
func expected(t failer, text string) []Change {
	t.Helper()
	c, err := attack.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var list []Change
	for _, s := range c {
		has := func(word string) bool { return strings.Contains(" "+strings.Join(s.Options, " ")+" ", " "+word+" ") }
		e := Change{Scope: "tensor"}
		switch s.Kind {
		case attack.Prune:
			e.Kind, e.Share = Prune, s.Strength
			if has("global") {
				e.Scope = "network"
			}
		case attack.Quantize:
			e.Kind, e.Bits, e.Grid = Quantize, s.Strength, "uniform"
			if has("channel") {
				e.Scope = "channel"
			}
			if has("lloyd-max") || has("gaussian") {
				e.Grid = "not uniform"
			}
			if s.Strength == 1 { // two levels are neither
				e.Grid = ""
			}
		case attack.Noise:
			e.Kind, e.Strength, e.Scope = Noise, s.Strength, ""
		case attack.Cast:
			e.Kind, e.DType, e.Scope = Cast, strings.ToUpper(s.Options[0]), ""
		default:
			t.Fatalf("%s has no expectation", s.Kind)
		}
		list = append(list, e)
	}
	return list
}

// wrong says what is wrong with the changes that were named, or "".
func wrong(got, want []Change) string {
	if len(got) != len(want) {
		return "other changes"
	}
	for i, w := range want {
		g := got[i]
		switch {
		case g.Kind != w.Kind:
			return "other kinds"
		case math.Abs(g.Share-w.Share) > 0.02:
			return fmt.Sprintf("a share of %.4f", g.Share)
		case g.Bits != w.Bits:
			return fmt.Sprintf("%g bits", g.Bits)
		case math.Abs(g.Strength-w.Strength) > 0.15*w.Strength:
			return fmt.Sprintf("a strength of %g", g.Strength)
		case g.Scope != w.Scope || g.Grid != w.Grid:
			return fmt.Sprintf("scope %q and grid %q", g.Scope, g.Grid)
		case g.DType != w.DType:
			return fmt.Sprintf("type %s", g.DType)
		case len(g.Names) > 0:
			return fmt.Sprintf("names %d tensors", len(g.Names))
		}
	}
	return ""
}

func describe(list []Change) string {
	var words []string
	for _, c := range list {
		words = append(words, c.Text)
	}
	return strings.Join(words, ", ")
}

// singles and pairs are attacks that leave enough to be told by.
var singles = []string{
	"prune=0.02", "prune=0.5", "prune=0.9", "prune=0.99", "prune=0.5:global", "prune=0.9:global",
	"quantize=1", "quantize=2", "quantize=3", "quantize=4", "quantize=8", "quantize=12",
	"quantize=1:channel", "quantize=2:channel", "quantize=4:channel", "quantize=8:channel",
	"quantize=2:lloyd-max", "quantize=4:lloyd-max", "quantize=6:lloyd-max", "quantize=2:gaussian", "quantize=4:gaussian",
	"noise=0.001", "noise=0.1", "noise=0.5", "noise=2",
	"cast=bf16", "cast=f16", "cast=f64", "cast=bf16:round", "cast=f16:round",
}

var pairs = []string{
	"prune=0.9+quantize=4", "prune=0.5+quantize=8", "prune=0.9+quantize=4:channel", "prune=0.9:global+quantize=4",
	"prune=0.9+quantize=4:lloyd-max", "prune=0.5+quantize=4:gaussian",
	"quantize=4+prune=0.9", "quantize=8+prune=0.5", "quantize=4:channel+prune=0.9", "quantize=4+prune=0.9:global",
	"quantize=4:lloyd-max+prune=0.5", "quantize=4:gaussian+prune=0.5",
	"noise=0.5+quantize=4", "noise=0.5+quantize=8", "noise=0.1+quantize=4:channel", "noise=0.5+quantize=4:lloyd-max",
	"noise=0.5+prune=0.9", "noise=1+prune=0.5", "noise=0.5+prune=0.9:global",
	"prune=0.9+noise=0.5", "prune=0.5+noise=0.1", "prune=0.9:global+noise=0.5",
	"quantize=4+noise=0.5", "quantize=4+noise=0.02", "quantize=4:channel+noise=0.5", "quantize=8+noise=0.1",
	"quantize=4:lloyd-max+noise=0.1", "quantize=4:gaussian+noise=0.1",
	"prune=0.9+cast=bf16", "quantize=2+cast=bf16", "quantize=4+cast=f16", "quantize=4:channel+cast=bf16", "noise=0.5+cast=bf16:round", "noise=0.5+cast=f16",
}

func open(t testing.TB, path string) *tensor.Set {
	t.Helper()
	c, err := checkpoint.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.Tensors
}

// tell names the damage of each attack, and fails where it is named otherwise.
func tell(t *testing.T, set *tensor.Set, attacks []string) {
	t.Helper()
	for i, text := range attacks {
		t.Run(text, func(t *testing.T) {
			got := damages(examineAll(t, set, afterAttack(t, set, text, uint64(i+1))))
			if why := wrong(got, expected(t, text)); why != "" {
				t.Errorf("%s is called %q (%s)", text, describe(got), why)
			}
		})
	}
}

func TestDamagesOfRealNetwork(t *testing.T) {
	set := open(t, "../testdata/fashion-cnn.safetensors")
	tell(t, set, singles)
	tell(t, set, pairs)
}

// TestDamagesOfModels is the same for trained networks that are not in the repository.
func TestDamagesOfModels(t *testing.T) {
	dir := os.Getenv("ROPEWALK_MODELS")
	if dir == "" {
		t.Skip("no trained models: ROPEWALK_MODELS names no folder")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skipf("no *.safetensors in %s", dir)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			set := open(t, f)
			tell(t, set, singles)
			tell(t, set, pairs)
		})
	}
}

// Damage is named by the same words where neurons were moved or multiplied, before or after.
func TestDamagesUnderFactors(t *testing.T) {
	n := bundled(t)
	for chain, want := range map[string][]string{
		"permute+prune=0.9+quantize=4": {"pruned 90 %", "quantized to 4 bits"},
		"scale+quantize=4:channel":     {"quantized to 4 bits per channel"},
		"quantize=4+scale":             {"quantized to 4 bits"},
		"quantize=4:channel+scale":     {"quantized to 4 bits per channel"},
		"quantize=4:lloyd-max+scale":   {"quantized to 4 bits"},
		"scale+noise=0.1":              {"noise of 0.1 sigma"},
	} {
		c, err := Compare(t.Context(), n, attacked(t, n, chain, 1), nil)
		if err != nil {
			t.Fatalf("%s: %v", chain, err)
		}
		var got []string
		for _, x := range c.Changes {
			if !x.Preserves {
				got = append(got, x.Text)
			}
		}
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("%s is called %q", chain, c.Summary())
		}
	}
}
