//go:build external

package cli

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"ropewalk/checkpoint"
	"ropewalk/internal/atomicfile"
	"ropewalk/tensor"
)

// Pages about a network of a hundred million weights stay below 5 MB. They are left in the
// folder ROPEWALK_REPORTS, where TestBrowserFiles of internal/report opens them.
func TestReportHundredMillion(t *testing.T) {
	dir := t.TempDir()
	pages := os.Getenv("ROPEWALK_REPORTS")
	if pages == "" {
		pages = dir
	}
	ref, sus := filepath.Join(dir, "reference.safetensors"), filepath.Join(dir, "suspect.safetensors")
	if n := llama(t, ref); n < 100e6 {
		t.Fatalf("it has %d weights", n)
	}
	for _, c := range []struct {
		page   string
		args   []string
		status int
	}{
		{"large-attack.html", []string{"attack", "permute", ref, "--heads", "16", "--no-proof", "-o", sus}, exitOK},
		{"large-inspect.html", []string{"inspect", "--stats", "--groups", "--heads", "16", ref}, exitOK},
		{"large-pack.html", []string{"pack", "--effort", "fast", ref, "-o", filepath.Join(dir, "reference.rope")}, exitOK},
		{"large-verify.html", []string{"verify", sus, "--against", ref, "--heads", "16"}, exitNegative},
		{"large-align.html", []string{"align", "--to", ref, sus, "--heads", "16"}, exitOK},
		{"large-passport.html", []string{"passport", "make", ref, "--heads", "16", "-o", filepath.Join(dir, "reference.passport")}, exitOK},
	} {
		page := filepath.Join(pages, c.page)
		typed(t, c.status, append(c.args, "--report", page, "-f"))
		st, err := os.Stat(page)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes", c.page, st.Size())
		if st.Size() > 5e6 {
			t.Errorf("%s has %d bytes, more than 5 MB", c.page, st.Size())
		}
	}
}

// typed runs a command line.
func typed(t *testing.T, status int, args []string) {
	t.Helper()
	var out, errs bytes.Buffer
	e := &env{stdin: bytes.NewReader(nil), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	if got := e.run(t.Context(), append(args, "-q")); got != status {
		t.Fatalf("%q: status %d, want %d: %s%s", args, got, status, out.String(), errs.String())
	}
}

// Each kind of page is left in the folder ROPEWALK_REPORTS, where TestBrowserFiles of
// internal/report opens and prints them.
func TestReportKinds(t *testing.T) {
	pages := os.Getenv("ROPEWALK_REPORTS")
	if pages == "" {
		t.Skip("ROPEWALK_REPORTS names no folder for pages")
	}
	ref, err := filepath.Abs("../../testdata/fashion-cnn.onnx")
	if err != nil {
		t.Fatal(err)
	}
	pages, err = filepath.Abs(pages)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	fashion := []string{"--data", "builtin:fashion-mnist"}
	for _, c := range []struct {
		page   string
		status int
		args   []string
	}{
		{"train", exitOK, append([]string{"train", "--net", "lenet5", "--epochs", "2", "-o", "m.safetensors"}, fashion...)},
		{"train-small", exitOK, append([]string{"train", "--penalty", "hemp", "--net", "lenet5", "--init", "m.safetensors", "--epochs", "3", "-o", "small.rope"}, fashion...)},
		{"eval", exitOK, append([]string{"eval", "m.safetensors"}, fashion...)},
		{"eval-against", exitOK, []string{"eval", "small.rope", "--against", "m.safetensors"}},
		{"inspect", exitOK, []string{"inspect", "--entropy", "small.rope"}},
		{"inspect-onnx", exitOK, []string{"inspect", "--groups", ref}},
		{"pack", exitOK, []string{"pack", "--bits", "4", ref, "-o", "lossy.rope"}},
		{"diff", exitNegative, []string{"diff", "m.safetensors", "small.rope"}},
		{"attack", exitOK, []string{"attack", "permute+scale+dummy=0.3+prune=0.5+quantize=4", ref, "-o", "sus.onnx", "--map", "map.json"}},
		{"attack-one", exitOK, []string{"attack", "quantize=3", ref, "-o", "coarse.onnx"}},
		{"attack-moves", exitOK, []string{"attack", "permute+scale", ref, "-o", "moved.onnx"}},
		{"align", exitOK, []string{"align", "--to", ref, "sus.onnx", "--map", "map.json"}},
		{"verify", exitNegative, []string{"verify", "sus.onnx", "--against", ref, "--evidence"}},
		{"verify-same", exitOK, []string{"verify", ref, "--against", ref}},
		{"", exitOK, []string{"mark", "keygen", "-o", "my.key"}},
		{"mark-embed", exitOK, append([]string{"mark", "embed", ref, "--key", "my.key", "--scheme", "payload", "--payload", "cust0042", "-o", "marked.onnx"}, fashion...)},
		{"mark-extract", exitOK, []string{"mark", "extract", "marked.onnx", "--key", "my.key", "--reference", ref, "--scheme", "payload", "--bits", "64"}},
		{"passport-make", exitOK, []string{"passport", "make", ref, "-o", "ref.passport", "--metadata", "owner=somebody", "--hash-files"}},
		{"passport-show", exitOK, []string{"passport", "show", "ref.passport"}},
		{"", exitOK, []string{"passport", "make", "m.safetensors", "-o", "m.passport"}},
		{"passport-match", exitOK, []string{"passport", "match", "moved.onnx", "."}},
		{"bench", exitOK, []string{"bench", "codec", "--quick", "-o", "tables"}},
		{"", exitOK, []string{"report", "m.safetensors.history.jsonl", "map.json", "ref.passport", "small.rope", "-o", filepath.Join(pages, "report.html"), "-f"}},
	} {
		if c.page != "" {
			c.args = append(c.args, "--report", filepath.Join(pages, c.page+".html"), "-f")
		}
		typed(t, c.status, c.args)
	}
}

// llama writes a small Llama of random weights in F16, and returns how many.
func llama(t *testing.T, path string) (weights int64) {
	t.Helper()
	const wide, inner, words = 1024, 2816, 14_000
	var list []*tensor.Tensor
	r := rand.New(rand.NewPCG(1, 2))
	add := func(name string, shape ...int64) {
		n, err := tensor.Shape(shape).Elems()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 0, 2*n)
		for range n / 4 {
			// A sign, an exponent of about 2^-6, and noise.
			b = binary.LittleEndian.AppendUint64(b, r.Uint64()&0x87ff87ff87ff87ff|0x2000200020002000)
		}
		list = append(list, &tensor.Tensor{Name: name, DType: tensor.F16, Shape: shape, Data: tensor.Bytes(b)})
		weights += n
	}
	add("model.embed_tokens.weight", words, wide)
	for i := range 6 {
		layer := fmt.Sprintf("model.layers.%d.", i)
		for _, x := range []string{"q", "k", "v", "o"} {
			add(layer+"self_attn."+x+"_proj.weight", wide, wide)
		}
		add(layer+"mlp.gate_proj.weight", inner, wide)
		add(layer+"mlp.up_proj.weight", inner, wide)
		add(layer+"mlp.down_proj.weight", wide, inner)
		add(layer+"input_layernorm.weight", wide)
		add(layer+"post_attention_layernorm.weight", wide)
	}
	add("model.norm.weight", wide)
	add("lm_head.weight", words, wide)
	set, err := tensor.NewSet(list...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writeFile(path, true, func(f *atomicfile.File) error { return checkpoint.Convert(f, "safetensors", set, nil) }); err != nil {
		t.Fatal(err)
	}
	return weights
}
