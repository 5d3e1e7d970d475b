package dataset_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"ropewalk/dataset"
	"ropewalk/internal/format/npz"
	"ropewalk/tensor"
)

// idx makes an idx file of bytes.
func idx(values []byte, axes ...int) []byte {
	raw := []byte{0, 0, 8, byte(len(axes))}
	for _, n := range axes {
		raw = binary.BigEndian.AppendUint32(raw, uint32(n))
	}
	return append(raw, values...)
}

func gzipped(t testing.TB, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// ramp returns n bytes that are all different from their neighbours.
func ramp(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i/256)
	}
	return b
}

// folder writes files into a new folder.
func folder(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, raw := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// pngOf makes an image whose pixels follow from f.
func pngOf(t testing.TB, h, w int, f func(y, x int) color.Color) []byte {
	t.Helper()
	_, grey := f(0, 0).(color.Gray)
	var img interface {
		image.Image
		Set(x, y int, c color.Color)
	} = image.NewNRGBA(image.Rect(0, 0, w, h))
	if grey {
		img = image.NewGray(image.Rect(0, 0, w, h))
	}
	for y := range h {
		for x := range w {
			img.Set(x, y, f(y, x))
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func jpegOf(t testing.TB, h, w int, c color.Color) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func flat(c color.Color) func(y, x int) color.Color {
	return func(int, int) color.Color { return c }
}

func tensorOf(name string, d tensor.DType, raw []byte, shape ...int64) *tensor.Tensor {
	return &tensor.Tensor{Name: name, DType: d, Shape: shape, Data: tensor.Bytes(raw)}
}

func npzOf(t testing.TB, ts ...*tensor.Tensor) []byte {
	t.Helper()
	set, err := tensor.NewSet(ts...)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := npz.Write(&b, set); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// deflated packs the members of a zip archive again, as numpy.savez_compressed.
func deflated(t testing.TB, raw []byte) []byte {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range r.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		out, err := w.Create(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		var all bytes.Buffer
		if _, err := all.ReadFrom(in); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write(all.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(t testing.TB, spec string, o *dataset.Options) *dataset.Dataset {
	t.Helper()
	d, err := dataset.Open(spec, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// examples returns all values and labels of a source.
func examples(t testing.TB, s dataset.Source) ([][]float32, []int) {
	t.Helper()
	n, err := s.Shape().Elems()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]float32
	var labels []int
	for i := range s.Len() {
		x := make([]float32, n)
		if err := s.Example(i, x); err != nil {
			t.Fatal(err)
		}
		all = append(all, x)
		labels = append(labels, s.Label(i))
	}
	return all, labels
}

func units(raw []byte) []float32 {
	x := make([]float32, len(raw))
	for i, b := range raw {
		x[i] = float32(b) / 255
	}
	return x
}
