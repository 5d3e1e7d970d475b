package main

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/graph/nets"
	"ropewalk/lineage"
	"ropewalk/symmetry"
	"ropewalk/tensor"

	"ropewalk/attack"
)

// The bound of no claim among n is 1 - 0.05^(1/n); others are those of R's binom.test(k,
// n, alternative = "less").
func TestUpper(t *testing.T) {
	for _, tt := range []struct {
		k, n int
		want float64
	}{{0, 100, 1 - math.Pow(0.05, 0.01)}, {0, 100000, 1 - math.Pow(0.05, 1e-5)}, {1, 10, 0.3941633}, {5, 100, 0.1022533}, {7, 7, 1}} {
		if got := upper(tt.k, tt.n, 0.95); math.Abs(got-tt.want) > 1e-6*tt.want+1e-9 {
			t.Errorf("%d of %d: %g, want %g", tt.k, tt.n, got, tt.want)
		}
	}
}

func small(t *testing.T) *subject {
	t.Helper()
	g, err := nets.Build("lenet-300-100", &nets.Options{Input: tensor.Shape{1, 8, 8}, Widths: []int64{24, 16}, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := symmetry.Derive(g, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &subject{plan: plan{name: "small"}, Network: attack.Network{Set: g.Weights, Spec: spec, Graph: g}}
}

// What has to be named, and what a later step covers.
func TestTruth(t *testing.T) {
	s := small(t)
	for text, want := range map[string]string{
		"permute":                         "reordered",
		"permute+scale":                   "reordered, rescaled",
		"dummy:zero":                      "reordered, rescaled, padded",
		"remove=0.2":                      "neurons removed",
		"prune=0.9+noise=0.5":             "(pruned), noise",
		"noise=0.5+prune=0.9":             "noise, pruned",
		"prune=0.9+quantize=4":            "pruned, quantized",
		"prune=0.05+quantize=2":           "(pruned), quantized",
		"quantize=4+noise=0.1":            "(quantized), noise",
		"cast=f16:round+scale":            "rescaled, (cast)",
		"cast=f16+scale":                  "rescaled, cast",
		"cast=bf16:round+prune=0.5":       "cast, pruned",
		"noise=0.5+quantize=4:lloyd-max":  "noise, quantized",
		"noise=0.01+quantize=2":           "(noise), quantized",
		"quantize=4:channel+cast=f16":     "quantized, cast",
		"permute+prune=0.9+quantize=4":    "reordered, pruned, quantized",
		"overwrite=16:margin=1+noise=0.5": "(edited), noise",
	} {
		x, err := tell(context.Background(), s, text, 5)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		var got []string
		for _, it := range x.items {
			word := string(it.kinds[0])
			if !it.must {
				word = "(" + word + ")"
			}
			got = append(got, word)
		}
		if d := cmp.Diff(want, strings.Join(got, ", ")); d != "" {
			t.Errorf("%s: (-want +got)\n%s", text, d)
		}
	}
}

// Parameters that are off, kinds too many or too few and a wrong verdict are seen.
func TestJudge(t *testing.T) {
	s := small(t)
	x, err := tell(context.Background(), s, "permute+prune=0.9+quantize=4", 5)
	if err != nil {
		t.Fatal(err)
	}
	right := []lineage.Change{
		{Kind: lineage.Reorder, Preserves: true},
		{Kind: lineage.Prune, Share: 0.89, Scope: "tensor"},
		{Kind: lineage.Quantize, Bits: 4, Scope: "tensor", Grid: "uniform"},
	}
	with := func(change func(c []lineage.Change) []lineage.Change) []lineage.Change {
		return change(append([]lineage.Change(nil), right...))
	}
	for _, tt := range []struct {
		name    string
		changes []lineage.Change
		verdict lineage.Verdict
		want    []string
	}{
		{"right", right, lineage.Pruned, nil},
		{"verdict", right, lineage.Modified, []string{"verdict: modified, want pruned"}},
		{"share", with(func(c []lineage.Change) []lineage.Change { c[1].Share = 0.85; return c }), lineage.Pruned, []string{"pruned: share 0.85, want 0.9"}},
		{"bits", with(func(c []lineage.Change) []lineage.Change { c[2].Bits = 6; return c }), lineage.Pruned, []string{"quantized: bits 6, want 4"}},
		{"order", []lineage.Change{right[0], right[2], right[1]}, lineage.Pruned, []string{"order: quantized before pruned"}},
		{"too few", with(func(c []lineage.Change) []lineage.Change { return c[1:] }), lineage.Pruned, []string{"missing: reordered"}},
		{"too many", with(func(c []lineage.Change) []lineage.Change { return append(c, lineage.Change{Kind: lineage.Noise}) }), lineage.Modified, []string{"not done: noise"}},
	} {
		if d := cmp.Diff(tt.want, judge(x, &lineage.Comparison{Verdict: tt.verdict, Changes: tt.changes})); d != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, d)
		}
	}
	far, err := apart(s.Graph, x.attack.Graph)
	if err != nil {
		t.Fatal(err)
	}
	said := &lineage.Comparison{Verdict: lineage.Reordered, Changes: right[:1], Function: lineage.Function{Same: "yes"}}
	if far < other || function(x, said, far) == "" {
		t.Errorf("outputs are %g apart, and nothing is wrong with calling that the same function", far)
	}
}

// The place that is looked for in the suspect's file is the one that was changed.
func TestPlaces(t *testing.T) {
	s := small(t)
	for _, kind := range placeKinds {
		for seed := range uint64(5) {
			changed, m, err := s.edit(kind, seed)
			if err != nil {
				t.Fatal(err)
			}
			if m == nil {
				if kind != "statistic" {
					t.Errorf("%s: no such place", kind)
				}
				continue
			}
			x, err := s.Set.Lookup(m.tensor).Float32s()
			if err != nil {
				t.Fatal(err)
			}
			y, err := changed.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for i := range x {
				if x[i] != y[i] {
					n++
				}
			}
			if n == 0 || kind == placeKinds[0] && (n != 1 || x[m.index] == y[m.index]) {
				t.Errorf("%s: %d numbers differ", m, n)
			}
			if kind != placeKinds[0] {
				continue
			}
			set, err := tensor.Overlay(s.Set, changed)
			if err != nil {
				t.Fatal(err)
			}
			r, err := attacked(context.Background(), attack.Network{Set: set, Spec: s.Spec}, "permute", seed, nil)
			if err != nil {
				t.Fatal(err)
			}
			own, err := s.own(m, r)
			if err != nil {
				t.Fatal(err)
			}
			z, err := r.Set.Lookup(m.tensor).Float32s()
			if err != nil {
				t.Fatal(err)
			}
			if z[own] != y[m.index] {
				t.Errorf("%s: at %d of the suspect is %g, want %g", m, own, z[own], y[m.index])
			}
		}
	}
}

// A line that was cut off is forgotten, and a later one of the same key counts.
func TestStore(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.jsonl"), []byte("{\"network\":\"a\",\"attack\":\"b\"}\n{\"netw"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func() *store[finding] {
		s, err := openStore(dir, "x", func(f *finding) string { return f.Network })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	for _, f := range []*finding{{Network: "c"}, {Network: "a", Attack: "later"}} {
		if err := s.add(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer func() { _ = s.close() }()
	if d := cmp.Diff([]string{"a", "c"}, s.keys); d != "" || s.all["a"].Attack != "later" {
		t.Errorf("keys (-want +got)\n%s\nattack of a: %q", d, s.all["a"].Attack)
	}
}
