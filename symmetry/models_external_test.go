//go:build external

package symmetry_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ropewalk/checkpoint"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// Other people's networks: OCR of PaddlePaddle, voice detection of PyTorch. A random
// element leaves their outputs as they are. Operators in float64 hide nothing: what the
// element multiplies are powers of 2, all but variances.
func TestExternalModels(t *testing.T) {
	folder := os.Getenv("ROPEWALK_MODELS")
	if folder == "" {
		t.Skip("ROPEWALK_MODELS does not name a folder of ONNX files")
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.onnx"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no ONNX files in %s: %v", folder, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, err := checkpoint.Open(file, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			g, err := graph.FromLayout(c.Layout)
			if err != nil {
				t.Fatal(err)
			}
			o := symmetry.DeriveOptions{Shapes: map[string]tensor.Shape{}, Constants: map[string]*graph.Value{}}
			for _, in := range g.Inputs {
				switch {
				case in.Name == "sr":
					o.Constants["sr"] = &graph.Value{Type: tensor.I64, Shape: tensor.Shape{}, Int: []int64{16000}}
				case in.Name == "input":
					o.Shapes["input"] = tensor.Shape{1, 512}
				case in.Name == "state":
					o.Shapes["state"] = tensor.Shape{2, 1, 128}
				case strings.Contains(file, "rec_"):
					o.Shapes[in.Name] = tensor.Shape{1, 3, 48, 64}
				case len(in.Shape) == 4:
					o.Shapes[in.Name] = tensor.Shape{1, 3, 64, 64}
				}
			}
			s, err := symmetry.Derive(g, &o)
			if err != nil {
				t.Fatal(err)
			}
			neurons := 0
			for i := range s.Groups {
				neurons += s.Groups[i].Size
			}
			diffs, err := symmetry.Verify(s, g, &symmetry.VerifyOptions{DeriveOptions: o, Seed: 1, Tolerance: 1e-5})
			t.Logf("%d groups, %d neurons: %v", len(s.Groups), neurons, diffs)
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// A random element leaves the outputs of a ViT-B/32 as they are.
func TestExternalViT(t *testing.T) {
	g := lively(must(nets.Build("vit_b_32", &nets.Options{Input: tensor.Shape{3, 32, 32}})), 1)
	verify(t, must(symmetry.Derive(g, nil)), g)
}
