package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"testing"
	"testing/fstest"

	"ropewalk/internal/format/npz"
	"ropewalk/tensor"
)

// fuzzMemory is what the fuzz targets allow.
const fuzzMemory = 1 << 22

// usable fails if a data set that was opened cannot be used.
func usable(t *testing.T, l *loaded) {
	t.Helper()
	d, err := l.finish("fuzz", &Options{Memory: fuzzMemory})
	if err != nil {
		return
	}
	for _, s := range []Source{d.Train, d.Test, d.Validation} {
		if s == nil {
			continue
		}
		x := make([]float32, elemsOf(s))
		for i := range s.Len() {
			if err := s.Example(i, x); err != nil {
				t.Fatal(err)
			}
			if c := s.Label(i); c < 0 || c >= len(d.Classes) {
				t.Fatalf("label %d of %d classes", c, len(d.Classes))
			}
		}
	}
}

func FuzzIDX(f *testing.F) {
	plain := []byte{0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(plain); err != nil {
		f.Fatal(err)
	}
	if err := z.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		shape, values, err := parseIDX("fuzz", bufio.NewReader(bytes.NewReader(raw)), int64(len(raw)), 3, fuzzMemory)
		if err == nil && (int64(len(values)) != shape[0]*shape[1]*shape[2] || cap(values) > 4*fuzzMemory) {
			t.Fatalf("%d values of %v", len(values), shape)
		}
	})
}

func FuzzCIFAR(f *testing.F) {
	// The fuzzer chooses labels and what stands after the last record: records of
	// three thousand bytes would take it hours to make smaller.
	f.Add([]byte{0, 9}, []byte{}, byte(0), "")
	f.Add([]byte{1, 99, 200, 0}, []byte{1}, byte(1), "a\nb")
	f.Fuzz(func(t *testing.T, labels, rest []byte, which byte, names string) {
		var raw []byte
		for i, c := range labels {
			raw = append(raw, c)
			if which%2 == 0 || i%2 == 1 {
				raw = append(raw, make([]byte, cifarPixels)...)
			}
		}
		raw = append(raw, rest...)
		dir := fstest.MapFS{"test_batch.bin": {Data: raw}, "batches.meta.txt": {Data: []byte(names)}}
		if which%2 == 1 {
			dir = fstest.MapFS{"train.bin": {Data: raw}, "fine_label_names.txt": {Data: []byte(names)}}
		}
		if l, err := openFolder(dir, "fuzz", &Options{Memory: fuzzMemory}); err == nil {
			usable(t, l)
		}
	})
}

func FuzzPicture(f *testing.F) {
	for _, img := range []image.Image{image.NewGray(image.Rect(0, 0, 2, 3)), image.NewNRGBA64(image.Rect(0, 0, 2, 1)), image.NewPaletted(image.Rect(0, 0, 2, 1), color.Palette{color.Black, color.Transparent})} {
		var a, b bytes.Buffer
		if err := png.Encode(&a, img); err != nil {
			f.Fatal(err)
		}
		if err := jpeg.Encode(&b, img, nil); err != nil {
			f.Fatal(err)
		}
		f.Add(a.Bytes())
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		size, err := pictureSize(raw)
		if err != nil || size.height*size.width > 1<<16 { // keeps the fuzzer fast
			return
		}
		if p, err := decodePicture(raw); err == nil && (!p.sameSize(size) || p.channels != size.channels || len(p.pixels) != p.elems()) {
			t.Fatalf("the header says %dx%dx%d, the image is %dx%dx%d", size.channels, size.height, size.width, p.channels, p.height, p.width)
		}
	})
}

func FuzzArrays(f *testing.F) {
	set, err := tensor.NewSet(
		&tensor.Tensor{Name: "x", DType: tensor.F32, Shape: tensor.Shape{2, 3}, Data: tensor.Bytes(make([]byte, 24))},
		&tensor.Tensor{Name: "y", DType: tensor.I64, Shape: tensor.Shape{2}, Data: tensor.Bytes(binary.LittleEndian.AppendUint64(make([]byte, 8), 1))},
	)
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if err := npz.Write(&b, set); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		if l, err := readArrays("fuzz", tensor.Bytes(raw), &Options{Memory: fuzzMemory}); err == nil {
			usable(t, l)
		}
	})
}
