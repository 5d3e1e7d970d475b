package onnx

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ropewalk/tensor"
)

// published is what is known of models that people have, as the onnx package
// counts it: initializers, Constants, and the values of ConstantOfShape nodes
// (the last hold 2 of the 545,288 float32 of Silero v5, and 4 of the 444,948).
//
// Even when every value is found, arrays are not all of the file: of Silero v5,
// which spells out an LSTM in operators, 6 % is graph; of the small classifier
// 8 %.
var published = map[string]struct {
	tensors  int
	f32      int64   // float32 elements
	coverage float64 // least share of the file that is arrays
}{
	"silero_vad_v5.onnx":                  {345, 545286 + 2, .935},
	"silero_vad_v6.onnx":                  {345, 545286 + 2, .935},
	"silero_vad_legacy.onnx":              {263, 444944 + 4, .985},
	"ch_PP-OCRv4_det_infer.onnx":          {342, 1171841, .985},
	"ch_PP-OCRv4_rec_infer.onnx":          {325, 2690296, .99},
	"ch_ppocr_mobile_v2.0_cls_infer.onnx": {250, 133664, .92},
}

// Every model below the folder that ROPEWALK_MODELS names is parsed, its tensors
// are read, and it is written back: as it is, and with each tensor replaced by an
// equal one.
func TestModels(t *testing.T) {
	dir := os.Getenv("ROPEWALK_MODELS")
	if dir == "" {
		t.Skip("ROPEWALK_MODELS does not name a folder with .onnx files")
	}
	models := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".onnx") {
			return err
		}
		models++
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !Sniff(b[:min(64, len(b))], int64(len(b))) {
			t.Errorf("%s: not recognized", path)
		}
		m, err := Open(path, tensor.Bytes(b), nil)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return nil
		}
		set, err := m.Layout.Set()
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return nil
		}
		var f32, covered int64
		var copies []*tensor.Tensor
		for _, x := range set.All() {
			b, err := x.Bytes()
			if err != nil {
				t.Errorf("%s: %v", path, err)
				return nil
			}
			if x.DType == tensor.F32 {
				f32 += x.Elems()
			}
			copies = append(copies, &tensor.Tensor{Name: x.Name, DType: x.DType, Shape: x.Shape, Data: tensor.Bytes(b)})
		}
		for _, a := range m.Layout.Arrays {
			covered += a.Size
		}
		if want, ok := published[filepath.Base(path)]; ok {
			share := float64(covered) / float64(len(b))
			t.Logf("%s: %d tensors, %d float32 elements, %.4f of the file is arrays", path, set.Len(), f32, share)
			if set.Len() != want.tensors || f32 != want.f32 {
				t.Errorf("%s: %d tensors and %d float32 elements, want %d and %d", path, set.Len(), f32, want.tensors, want.f32)
			}
			if share < want.coverage {
				t.Errorf("%s: only %.3f of the file is arrays", path, share)
			}
		}
		if got := write(t, m, set, set, 0); !bytes.Equal(got, b) {
			t.Errorf("%s: written back without changes, it differs", path)
		}
		equal, err := tensor.NewSet(copies...)
		if err != nil {
			t.Fatal(err)
		}
		again := write(t, m, set, equal, 0)
		m2, err := Open(path, tensor.Bytes(again), nil)
		if err != nil {
			t.Errorf("%s: written with all tensors replaced: %v", path, err)
			return nil
		}
		set2, err := m2.Layout.Set()
		if err != nil {
			t.Fatal(err)
		}
		sameTensors(t, set2, set)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if models == 0 {
		t.Fatalf("no .onnx file in %s", dir)
	}
	t.Logf("%d models", models)
}
