package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/lineage"
	"ropewalk/tensor"
	"ropewalk/train"
)

// madeUp returns what verify would say of a comparison.
func madeUp(v lineage.Verdict, same string, changes ...lineage.Change) *verifyResult {
	for i := range changes {
		if c := &changes[i]; c.Text == "" {
			c.Text = string(c.Kind)
		}
	}
	return &verifyResult{
		Schema: "ropewalk/verify/1", Reference: "mine.onnx", Suspect: "dir/suspect.onnx",
		Comparison: &lineage.Comparison{Verdict: v, Changes: changes, Function: lineage.Function{Same: same, How: "both were run"}},
	}
}

// A suspect passes if its verdict and all of its changes are allowed, and nothing else
// that is asked for is missing.
func TestPolicy(t *testing.T) {
	kind := func(k lineage.Kind) lineage.Change { return lineage.Change{Kind: k} }
	moved, quantized := kind(lineage.Reorder), lineage.Change{Kind: lineage.Quantize, Bits: 4, Levels: 16}
	pruned, noisy := lineage.Change{Kind: lineage.Prune, Share: 0.9}, lineage.Change{Kind: lineage.Noise, Strength: 0.1}
	cast := lineage.Change{Kind: lineage.Cast, DType: "F16"}
	rewired := func(r *verifyResult) *verifyResult {
		r.GraphEdits = []lineage.GraphDifference{{Text: "node 3 (act) is Relu in the place of Tanh", Node: "act"}}
		return r
	}
	unseen := func(r *verifyResult) *verifyResult {
		r.skip(checkGraph, "there is none to hold it against")
		return r
	}
	measured := func(r *verifyResult, drop float64) *verifyResult {
		r.Accuracy = &verifyAccuracy{Reference: &train.Summary{}, Suspect: &train.Summary{}, Drop: drop}
		return r
	}
	for _, tt := range []struct {
		policy string
		r      *verifyResult
		rules  string // that are not kept
	}{
		{"", madeUp(lineage.Identical, "yes"), ""},
		{"", madeUp(lineage.SameWeights, "yes", kind(lineage.Container), kind(lineage.Metadata)), ""},
		{"", madeUp(lineage.SameWeights, "unknown"), ""},
		{"", madeUp(lineage.SameWeights, "yes", kind(lineage.Renamed)), "allow"},
		{"", madeUp(lineage.SameWeights, "yes", kind(lineage.AddedTensors)), "allow"},
		{"", madeUp(lineage.SameWeights, "no"), "allow"}, // the same weights in another graph
		{"", rewired(madeUp(lineage.SameWeights, "yes")), "allow"},
		{"allow: graph", rewired(madeUp(lineage.SameWeights, "no")), ""},
		{"allow: graph\nrequire: function", rewired(madeUp(lineage.SameWeights, "no")), "require"},
		{"", madeUp(lineage.Reordered, "yes", moved), "allow"},
		{"", madeUp(lineage.Unrelated, "no"), "allow"},
		{"allow: [reordered]", madeUp(lineage.Reordered, "yes", moved), ""},
		{"allow: reordered", madeUp(lineage.Reordered, "yes", moved, kind(lineage.Metadata)), ""},
		{"allow: reordered", madeUp(lineage.Reordered, "no", moved), "allow"},
		{"allow: reordered", madeUp(lineage.Rescaled, "yes", moved, kind(lineage.Rescale)), "allow"},
		{"allow: rescaled", madeUp(lineage.Rescaled, "yes", moved, kind(lineage.SignFlip), kind(lineage.Padding)), ""},
		{"allow: rescaled", madeUp(lineage.Rescaled, "yes", kind(lineage.Rescale), kind(lineage.AddedTensors)), "allow"},
		{"allow: [rescaled, tensors-added]", madeUp(lineage.Rescaled, "yes", kind(lineage.Rescale), kind(lineage.AddedTensors)), ""},
		{"allow: [padded]", madeUp(lineage.Rescaled, "yes", kind(lineage.Padding)), ""},
		{"allow: [padded]", madeUp(lineage.Rescaled, "yes", moved, kind(lineage.Padding)), "allow"},
		{"allow: [quantized]", madeUp(lineage.Reencoded, "no", quantized), ""},
		{"allow: [cast]", madeUp(lineage.Reencoded, "no", quantized), "allow"},
		{"allow: [re-encoded]", madeUp(lineage.Reencoded, "no", quantized, cast), ""},
		{"allow: [re-encoded]", madeUp(lineage.Reencoded, "no", moved, quantized), "allow"},
		{"allow: [pruned]", madeUp(lineage.Pruned, "no", pruned, quantized), "allow"},
		{"allow: [quantized, reordered]", madeUp(lineage.Pruned, "no", moved, pruned, quantized), "allow"},
		{"allow: [modified]", madeUp(lineage.Modified, "no", noisy, kind(lineage.Edited)), ""},
		{"allow: [modified]\nforbid: [edited]", madeUp(lineage.Modified, "no", noisy, kind(lineage.Edited)), "forbid"},
		{"allow: [Trained Further]", madeUp(lineage.Modified, "no", kind(lineage.Training)), ""},
		{"forbid: metadata", madeUp(lineage.SameWeights, "yes", kind(lineage.Metadata)), "forbid"},
		{"allow: [partly derived]", madeUp(lineage.PartlyDerived, "no", kind(lineage.Partial)), ""},
		{"allow: [unrelated]", madeUp(lineage.Unrelated, "unknown", kind(lineage.OtherShapes)), ""},
		{"require: function", madeUp(lineage.SameWeights, "unknown"), "require"},
		{"require: [function]", madeUp(lineage.SameWeights, "yes"), ""},
		{"require: [function]", unseen(madeUp(lineage.SameWeights, "yes")), "require"},
		{"require: [signature, evidence]", madeUp(lineage.Identical, "yes"), "require"},
		{"allow: modified\nrequire: [signature, evidence]", madeUp(lineage.Modified, "yes"), "require require"},
		{"require: accuracy", madeUp(lineage.Identical, "yes"), "require"},
		{"require: accuracy", measured(madeUp(lineage.Identical, "yes"), 0), ""},
		{"max-drop: 1%", measured(madeUp(lineage.Identical, "yes"), 0.005), ""},
		{"max-drop: 1%", measured(madeUp(lineage.Identical, "yes"), 0.02), "max-drop"},
		{"max-drop: 0.01", madeUp(lineage.Identical, "yes"), "max-drop"}, // not measured
		{"allow: pruned\nmax-pruned: 90%", madeUp(lineage.Pruned, "no", pruned), ""},
		{"allow: pruned\nmax-pruned: 0.5", madeUp(lineage.Pruned, "no", pruned), "max-pruned"},
		{"allow: pruned\nmax-pruned: 0.1", madeUp(lineage.Pruned, "no", lineage.Change{Kind: lineage.Removal, Share: 0.2}), "max-pruned"},
		{"allow: unrelated\nmax-pruned: 0.5", madeUp(lineage.Unrelated, "no"), "max-pruned"},
		{"allow: modified\nmax-noise: 0.05", madeUp(lineage.Modified, "no", noisy), "max-noise"},
		{"allow: modified\nmax-noise: 0.2", madeUp(lineage.Modified, "no", noisy), ""},
		{"allow: re-encoded\nmin-bits: 8", madeUp(lineage.Reencoded, "no", quantized), "min-bits"},
		{"allow: re-encoded\nmin-bits: 4", madeUp(lineage.Reencoded, "no", quantized, cast), ""},
		{"allow: re-encoded\nmin-bits: 32", madeUp(lineage.Reencoded, "no", cast), "min-bits"},
		{"allow: partly-derived\nmin-kept: 50%", madeUp(lineage.PartlyDerived, "no", lineage.Change{Kind: lineage.Partial, Share: 0.3}), "min-kept"},
		{"allow: []", madeUp(lineage.Identical, "yes"), ""},
		{"# nothing\n", madeUp(lineage.Reordered, "yes", moved), "allow"},
	} {
		p, err := parsePolicy("p.yaml", []byte(tt.policy))
		if err != nil {
			t.Errorf("%q: %v", tt.policy, err)
			continue
		}
		var rules []string
		for _, b := range p.judge(tt.r) {
			if !slices.Contains(rules, b.Rule) || b.Rule == "require" {
				rules = append(rules, b.Rule)
			}
		}
		if got := strings.Join(rules, " "); got != tt.rules {
			t.Errorf("%q of %s %v: not kept are %q, want %q", tt.policy, tt.r.Verdict, tt.r.Changes, got, tt.rules)
		}
	}
}

// What --allow is told to say is enough.
func TestPolicySaysWhatWouldPass(t *testing.T) {
	p := &policy{allow: []string{"metadata"}}
	r := madeUp(lineage.Pruned, "no", lineage.Change{Kind: lineage.Reorder}, lineage.Change{Kind: lineage.AddedTensors}, lineage.Change{Kind: lineage.Prune})
	words := p.missing(r)
	if want := []string{"metadata", "pruned", "reordered", "tensors-added"}; !slices.Equal(words, want) {
		t.Errorf("got %v, want %v", words, want)
	}
	own, err := wordsOf(words)
	if err != nil {
		t.Fatal(err)
	}
	if b := (&policy{allow: own}).judge(r); len(b) > 0 {
		t.Errorf("it does not pass with them: %v", b)
	}
	if words := p.missing(madeUp(lineage.Unrelated, "no")); words != nil {
		t.Errorf("strangers: %v", words)
	}
}

// Every verdict and kind can be named, and belongs somewhere.
func TestPolicyKnowsAllKinds(t *testing.T) {
	for _, k := range kindsOfChange() {
		if rungOf(k) == "" {
			t.Errorf("%s belongs to no verdict", k)
		}
	}
	long := newVerify(&env{}).Long
	for _, w := range allowable() {
		if !strings.Contains(strings.ReplaceAll(long, " ", "-"), w) {
			t.Errorf("help does not say %s", w)
		}
	}
	for _, key := range policyKeys() {
		if !strings.Contains(long, "  "+key+":") {
			t.Errorf("help does not say %s", key)
		}
	}
}

// Errors of a policy name the line, and what may have been meant.
func TestPolicyErrors(t *testing.T) {
	for _, tt := range []struct{ text, want, hint string }{
		{"alow: [reordered]", "p.yaml:1: alow: there is no such key", "did you mean allow?"},
		{"\n\nallow: [reordred]", `p.yaml:3: allow: "reordred" is no verdict, and no kind of change`, "did you mean reordered?"},
		{"allow: reordered\nallow: pruned", `p.yaml:2: not YAML: mapping key "allow" already defined`, ""},
		{"allow: reordered\n---\nallow: pruned", `p.yaml:3: "allow" is there twice, first in line 1`, ""},
		{"max-pruned: 1.5", `p.yaml:1: max-pruned: "1.5" will not do; want a share of the weights, 0 to 1`, ""},
		{"max-pruned: NaN", `will not do`, ""},
		{"max-noise: -1", `will not do`, ""},
		{"min-bits: many", `p.yaml:1: min-bits: "many" will not do`, ""},
		{"min-bits: [4, 8]", `want one number, not a list`, ""},
		{"max-pruned:", `there is no value`, ""},
		{"max-pruned: {a: 1}", `want a number`, ""},
		{"require: luck", `p.yaml:1: require: "luck" cannot be required`, "known are function, signature, evidence, accuracy"},
		{"- allow", `p.yaml:1: a policy is lines such as "max-pruned: 0.5"`, ""},
		{"allow: [", "p.yaml:1: not YAML", ""},
	} {
		_, err := parsePolicy("p.yaml", []byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) || exitStatus(err) != exitUsage {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
			continue
		}
		if h := hintFor(err); !strings.Contains(h, tt.hint) || tt.hint == "" && h != "" {
			t.Errorf("%q: hint %q, want %q", tt.text, h, tt.hint)
		}
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add("allow: [reordered, pruned]\nmax-pruned: 50%\n")
	f.Add("require: function\nforbid:\n  - edited\n")
	f.Add("? [a\n: - &a *a")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePolicy("p.yaml", []byte(text))
		if err != nil {
			return
		}
		p.judge(madeUp(lineage.Pruned, "no", lineage.Change{Kind: lineage.Prune, Share: 0.9}))
		for key, x := range p.limits {
			if x != x || x < 0 {
				t.Errorf("%s is %v", key, x)
			}
		}
	})
}

// worn is a result with a bit of everything.
func worn() *verifyResult {
	r := madeUp(lineage.Modified, "no",
		lineage.Change{Kind: lineage.Reorder, Text: "reordered", Preserves: true, Neurons: 160, Names: []string{"conv1.out", "fc1.out"}},
		lineage.Change{Kind: lineage.Edited, Text: "2 places edited"})
	r.Summary = "reordered, 2 places edited"
	r.Tensors = []lineage.TensorDifference{
		{Name: "conv1.weight", Elements: 400, Equal: true, DType: "F32", ReferenceDType: "F32"},
		{Name: "fc1.weight", Elements: 1600, Changed: 1, Largest: 0.5, Relative: 0.01, DType: "F32", ReferenceDType: "F32"},
	}
	for i := range 12 {
		r.Edits = append(r.Edits, lineage.Edit{What: "weight", Text: fmt.Sprintf("fc1.weight[%d,3] was changed by 0.5", i), Tensor: "fc1.weight", Group: "fc1.out", Neuron: i, Index: []int{i, 3}, Own: []int{7, 3}, Size: 0.5})
	}
	was, is := "2.5", "2.6\x1b[31m"
	r.MetadataEdits = []metadataEdit{{Key: "version", Reference: &was, Suspect: &is}, {Key: "new", Suspect: &was}}
	r.GraphEdits = []lineage.GraphDifference{{Text: "node 3 (act) is Relu in the place of Tanh", Node: "act"}}
	r.Neurons = &verifyNeurons{Groups: 4, Neurons: 160, Matched: 160, Certain: 159, LogEvidence: 812.3}
	r.ReferenceFiles = map[string]string{"mine.onnx": strings.Repeat("ab", 32), "weights.bin": strings.Repeat("cd", 32)}
	r.SuspectFiles = map[string]string{"suspect.onnx": strings.Repeat("ef", 32)}
	r.skip(checkAccuracy, "there is no data")
	p := &policy{}
	r.Breaches = p.judge(r)
	r.would = p.missing(r)
	return r
}

func TestVerifyCard(t *testing.T) {
	show := func(r *verifyResult, verbose bool) string {
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		(&verifyText{r, verbose}).text(w)
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	const want = `verdict    modified
changes    reordered
           2 places edited
function   changed: both were run
neurons    160 of 160 in 4 groups found, 159 of them certain; evidence e^812
tensors    1 of 2 changed; -v lists them
edits      fc1.weight[0,3] was changed by 0.5
           fc1.weight[1,3] was changed by 0.5
           fc1.weight[2,3] was changed by 0.5
           fc1.weight[3,3] was changed by 0.5
           fc1.weight[4,3] was changed by 0.5
           fc1.weight[5,3] was changed by 0.5
           fc1.weight[6,3] was changed by 0.5
           fc1.weight[7,3] was changed by 0.5
           fc1.weight[8,3] was changed by 0.5
           fc1.weight[9,3] was changed by 0.5
           and 2 more; -v lists all
graph      node 3 (act) is Relu in the place of Tanh
metadata   version: "2.5" => "2.6\x1b[31m"
           new added: "2.5"
unchecked  accuracy: there is no data
failed     the verdict modified is not allowed
           reordered: not allowed
           the graph is not that of the reference: not allowed
           --allow modified,reordered,graph would let it pass
`
	if d := cmp.Diff(want, show(worn(), false)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if long := show(worn(), true); !strings.Contains(long, "fc1.weight[11,3]") || !strings.Contains(long, "fc1.weight        1  1,600") {
		t.Errorf("-v says\n%s", long)
	}
	stranger := madeUp(lineage.Unrelated, "unknown")
	stranger.Breaches = (&policy{}).judge(stranger)
	if s := show(stranger, false); !strings.HasPrefix(s, "verdict    unrelated: no evidence found") || strings.Contains(s, "not derived") {
		t.Errorf("of a stranger it says\n%s", s)
	}
}

// The log has what the format demands, and refers to itself correctly. A test with the
// tag external holds it against the schema.
func TestSARIF(t *testing.T) {
	r := worn()
	b, err := json.Marshal(r.sarif())
	if err != nil {
		t.Fatal(err)
	}
	var log sarifLog
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || len(log.Runs) != 1 {
		t.Fatalf("version %s, %d runs", log.Version, len(log.Runs))
	}
	run := log.Runs[0]
	var uris []string
	for i, a := range run.Artifacts {
		if a.Location.Index != i || len(a.Hashes["sha-256"]) != 64 {
			t.Errorf("artifact %d is %+v", i, a)
		}
		uris = append(uris, a.Location.URI)
	}
	if d := cmp.Diff([]string{"dir/suspect.onnx", "mine.onnx", "weights.bin"}, uris); d != "" {
		t.Errorf("artifacts (-want +got):\n%s", d)
	}
	fails := 0
	for _, res := range run.Results {
		if rules := run.Tool.Driver.Rules; res.RuleIndex >= len(rules) || rules[res.RuleIndex].ID != res.RuleID {
			t.Errorf("rule %d is not %s", res.RuleIndex, res.RuleID)
		}
		if (res.Kind == "fail") != (res.Level == "error") || res.Kind != "fail" && res.Level != "none" || res.Message.Text == "" || len(res.Locations) != 1 {
			t.Errorf("result %+v", res)
		}
		if res.Kind == "fail" {
			fails++
		}
	}
	if fails != 16 || len(run.Results) != 16 { // the verdict, two changes, twelve edits, and one of the graph
		t.Errorf("%d of %d results fail", fails, len(run.Results))
	}
	edit := run.Results[3]
	if d := cmp.Diff([]sarifLogical{{"fc1.weight", "fc1.weight", "tensor"}, {"[7,3]", "fc1.weight[7,3]", "weight"}, {"fc1.out[0]", "fc1.out[0]", "neuron"}}, edit.Locations[0].Logical); d != "" {
		t.Errorf("places (-want +got):\n%s", d)
	}
	if run.Invocations[0].ExitCode != 3 || len(run.Invocations[0].Notifications) != 1 {
		t.Errorf("invocation %+v", run.Invocations[0])
	}
	ok := madeUp(lineage.Reordered, "yes", lineage.Change{Kind: lineage.Reorder})
	ok.Passed = true
	for _, res := range ok.sarif().Runs[0].Results {
		if res.Kind != "informational" || res.Level != "none" {
			t.Errorf("of one that passes: %+v", res)
		}
	}
}

// Infinities are refused where the other side has none, and a mask that has them on both
// sides is no weight.
func TestVerifyMask(t *testing.T) {
	dir := t.TempDir()
	inf := tensor.F32.AppendFloats(nil, []float32{0, float32(math.Inf(-1))})
	write := func(name string, seed uint64, mask []byte) string {
		m := &tensor.Tensor{Name: "mask", DType: tensor.F32, Shape: tensor.Shape{2}, Data: tensor.Bytes(mask)}
		set, err := tensor.Overlay(modelOf(seed, 4096, 0.05))
		if err != nil {
			t.Fatal(err)
		}
		list := []*tensor.Tensor{m}
		for _, own := range set.All() {
			list = append(list, own)
		}
		if set, err = tensor.NewSet(list...); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := writeModel(path, set); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ref, sus := write("a.safetensors", 1, inf), write("b.safetensors", 2, inf)
	other := write("c.safetensors", 1, tensor.F32.AppendFloats(nil, []float32{0, -1}))
	for _, tt := range []struct {
		ref, sus string
		status   int
		says     string
	}{
		{ref, sus, exitNegative, ""},
		{ref, other, exitRefused, "a.safetensors: tensor mask has -Inf at 1"},
		{other, ref, exitRefused, "a.safetensors: tensor mask has -Inf at 1"},
	} {
		var out, errs bytes.Buffer
		e := &env{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
		if s := e.run(t.Context(), []string{"verify", tt.sus, "--against", tt.ref}); s != tt.status || !strings.Contains(errs.String(), tt.says) {
			t.Errorf("%s against %s: status %d, %s%s", tt.sus, tt.ref, s, out.String(), errs.String())
		}
	}
}

// Paths of any kind become URIs.
func TestURIs(t *testing.T) {
	for path, want := range map[string]string{
		"a b.onnx": "a%20b.onnx", "dir/x.onnx": "dir/x.onnx", "/tmp/x.onnx": "file:///tmp/x.onnx", "c:d": "./c:d", "é": "%C3%A9", "-": "stdin",
	} {
		if got := uriOf(path); got != want {
			t.Errorf("%q is %q, want %q", path, got, want)
		}
	}
}
