package dataset_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/dataset"
	"ropewalk/internal/format/safetensors"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// The numbers are those of dataset/fashion-mnist/README.md.
func TestBuiltin(t *testing.T) {
	d := open(t, "builtin:fashion-mnist", nil)
	if d.Train.Len() != 6000 || d.Test.Len() != 1000 || d.Validation != nil || d.Shape.String() != "1x28x28" || d.Format != "idx" {
		t.Fatalf("got %d and %d examples of %v in format %s", d.Train.Len(), d.Test.Len(), d.Shape, d.Format)
	}
	for _, split := range []struct {
		s    dataset.Source
		each int
	}{{d.Train, 600}, {d.Test, 100}} {
		counts := make([]int, len(d.Classes))
		for i := range split.s.Len() {
			counts[split.s.Label(i)]++
		}
		if want := slices.Repeat([]int{split.each}, 10); !cmp.Equal(counts, want) {
			t.Errorf("examples of each class: %v, want %v", counts, want)
		}
	}
	if d.Classes[9] != "Ankle boot" || d.Train.Label(0) != 9 {
		t.Errorf("the first example is %q, want an ankle boot", d.Classes[d.Train.Label(0)])
	}
}

func TestIDX(t *testing.T) {
	images, labels := ramp(5*4*3), []byte{0, 2, 1, 2, 0}
	plain := map[string][]byte{
		"train-images-idx3-ubyte": idx(images, 5, 4, 3), "train-labels-idx1-ubyte": idx(labels, 5),
		"t10k-images-idx3-ubyte": idx(images[:12], 1, 4, 3), "t10k-labels-idx1-ubyte": idx(labels[:1], 1),
		"README": []byte("else"),
	}
	prefixed, dotted := map[string][]byte{"classes.txt": []byte("a\nb\nc\n\n")}, map[string][]byte{}
	for name, raw := range plain {
		prefixed["mnist-"+name+".gz"] = gzipped(t, raw)
		dotted[strings.Replace(strings.Replace(name, "-idx", ".idx", 1), "t10k", "test", 1)] = raw
	}
	for name, files := range map[string]map[string][]byte{"plain": plain, "prefixed": prefixed, "dotted": dotted} {
		t.Run(name, func(t *testing.T) {
			d := open(t, folder(t, files), nil)
			values, got := examples(t, d.Train)
			if !cmp.Equal(got, []int{0, 2, 1, 2, 0}) || d.Test.Len() != 1 || d.Shape.String() != "1x4x3" {
				t.Fatalf("got the labels %v, %d test examples, shape %v", got, d.Test.Len(), d.Shape)
			}
			for i, x := range values {
				if want := units(images[i*12 : (i+1)*12]); !cmp.Equal(x, want) {
					t.Errorf("example %d is %v, want %v", i, x, want)
				}
			}
			want := []string{"0", "1", "2"}
			if name == "prefixed" {
				want = []string{"a", "b", "c"}
			}
			if !cmp.Equal(d.Classes, want) {
				t.Errorf("classes %q, want %q", d.Classes, want)
			}
		})
	}

	// Two sets in a folder: one is chosen by naming one of its files.
	both := map[string][]byte{}
	for name, raw := range plain {
		both["letters-"+name], both["digits-"+name] = raw, raw
	}
	dir := folder(t, both)
	wantError(t, dir, nil, "two data sets")
	if d := open(t, filepath.Join(dir, "letters-train-images-idx3-ubyte"), nil); d.Train.Len() != 5 || d.Test.Len() != 1 {
		t.Errorf("got %d and %d examples, want 5 and 1", d.Train.Len(), d.Test.Len())
	}
}

func TestCIFAR(t *testing.T) {
	record := func(labels ...byte) []byte { return append(labels, ramp(3072)...) }
	d := open(t, folder(t, map[string][]byte{
		"data_batch_1.bin": append(record(3), record(9)...), "data_batch_2.bin": record(0), "test_batch.bin": record(1),
	}), nil)
	values, labels := examples(t, d.Train)
	if d.Format != "cifar10" || !cmp.Equal(labels, []int{3, 9, 0}) || d.Classes[3] != "cat" || d.Test.Len() != 1 || d.Shape.String() != "3x32x32" {
		t.Fatalf("got %s, labels %v, classes %v", d.Format, labels, d.Classes)
	}
	if !cmp.Equal(values[2], units(ramp(3072))) {
		t.Error("the pixels differ")
	}

	// The fine label is the second; the folder of the distribution is found.
	d = open(t, folder(t, map[string][]byte{"cifar-100-binary/train.bin": record(4, 72), "cifar-100-binary/test.bin": record(4, 99)}), nil)
	if d.Format != "cifar100" || d.Train.Label(0) != 72 || d.Test.Label(0) != 99 || len(d.Classes) != 100 {
		t.Errorf("got %s, labels %d and %d of %d", d.Format, d.Train.Label(0), d.Test.Label(0), len(d.Classes))
	}

	wantCorrupt(t, folder(t, map[string][]byte{"data_batch_1.bin": append(record(3), record(10)...)}), 3073, "label 10; want 0 to 9")
	wantCorrupt(t, folder(t, map[string][]byte{"test_batch.bin": append(record(3), 1, 2)}), 3073, "not a whole number")
}

func TestImages(t *testing.T) {
	red, green := color.NRGBA{200, 10, 30, 255}, color.NRGBA{5, 150, 20, 255}
	dir := folder(t, map[string][]byte{
		"train/cat/1.png": pngOf(t, 2, 3, flat(red)), "train/cat/deep/2.PNG": pngOf(t, 2, 3, flat(green)),
		"train/ant/a.jpg": jpegOf(t, 2, 3, color.Gray{77}), "train/ant/notes.txt": []byte("no image"), "train/ant/.hidden.png": nil,
		"test/dog/1.png": pngOf(t, 2, 3, flat(color.Gray{9})),
	})
	d := open(t, dir, nil)
	if !cmp.Equal(d.Classes, []string{"ant", "cat", "dog"}) || d.Shape.String() != "3x2x3" {
		t.Fatalf("got classes %q of %v", d.Classes, d.Shape)
	}
	values, labels := examples(t, d.Train)
	if !cmp.Equal(labels, []int{0, 1, 1}) || d.Test.Label(0) != 2 {
		t.Fatalf("got labels %v and %d", labels, d.Test.Label(0))
	}
	plane := func(r, g, b byte) []float32 {
		return units(slices.Concat(bytes.Repeat([]byte{r}, 6), bytes.Repeat([]byte{g}, 6), bytes.Repeat([]byte{b}, 6)))
	}
	for i, want := range [][]float32{plane(77, 77, 77), plane(200, 10, 30), plane(5, 150, 20)} {
		if diff := cmp.Diff(want, values[i]); diff != "" {
			t.Errorf("example %d: %s", i, diff)
		}
	}

	// Without folders of splits all is for training. All grey: one channel.
	d = open(t, filepath.Join(dir, "test"), nil)
	if d.Test != nil || d.Train.Len() != 1 || d.Shape.String() != "1x2x3" {
		t.Errorf("got %d examples of %v", d.Train.Len(), d.Shape)
	}
	// Luma of ITU-R BT.601: .299*200 + .587*10 + .114*30.
	d = open(t, dir, &dataset.Options{Channels: 1})
	if x, _ := examples(t, d.Train); x[1][0] != 69./255 {
		t.Errorf("grey of red is %v, want 69", x[1][0]*255)
	}
}

func TestBadImages(t *testing.T) {
	good := pngOf(t, 2, 2, flat(color.Gray{9}))
	huge := slices.Clone(good)
	binary.BigEndian.PutUint32(huge[16:], 1<<13)
	binary.BigEndian.PutUint32(huge[20:], 1<<12)
	dir := folder(t, map[string][]byte{
		"a/1.png": good, "a/2.png": good[:len(good)-20], "a/3.gif": []byte("GIF89a"), "b/4.png": huge, "b/5.png": good,
	})
	// The header of 4.png, whose checksum is wrong, is refused; so is 3.gif. Headers come first.
	wantError(t, dir, nil, "2 of 5 images do not decode", filepath.Join("a", "3.gif"), "neither PNG nor JPEG", "do not decode")
	d := open(t, dir, &dataset.Options{SkipBad: true})
	if _, labels := examples(t, d.Train); !cmp.Equal(labels, []int{0, 1}) || len(d.Skipped) != 3 || !strings.Contains(d.Skipped[0], "2.png") {
		t.Errorf("got labels %v, skipped %q", labels, d.Skipped)
	}
	wantError(t, folder(t, map[string][]byte{"a/1.png": good, "a/2.png": good[:len(good)-20]}), nil, "1 of 2 images", "2.png")
	wantError(t, folder(t, map[string][]byte{"a/1.png": good[:50]}), &dataset.Options{SkipBad: true}, "none of the 1 images")
	wantError(t, folder(t, map[string][]byte{"a/1.txt": nil}), nil, "no images")
	wantError(t, folder(t, map[string][]byte{"1.txt": nil}), nil, "no data set in this folder")

	other := pngOf(t, 2, 3, flat(color.Gray{9}))
	sizes := folder(t, map[string][]byte{"a/1.png": good, "a/2.png": good, "b/3.png": other, "b/4.png": other})
	wantError(t, sizes, nil, filepath.Join("b", "3.png"), "2x3 pixels", "2x2", "one size")
	if d := open(t, sizes, &dataset.Options{Size: [2]int{4, 5}}); d.Shape.String() != "1x4x5" || d.Train.Len() != 4 {
		t.Errorf("got %d examples of %v", d.Train.Len(), d.Shape)
	}
	wantError(t, sizes, &dataset.Options{Size: [2]int{4, 5}, Memory: 79}, "take 80 bytes", "79 are allowed")
}

// A small PNG that claims many pixels, with a right checksum, costs nothing.
func TestImageBomb(t *testing.T) {
	claim := func(h, w uint32) string {
		raw := pngOf(t, 1, 1, flat(color.Gray{0}))
		binary.BigEndian.PutUint32(raw[16:], w)
		binary.BigEndian.PutUint32(raw[20:], h)
		binary.BigEndian.PutUint32(raw[29:], crc32.ChecksumIEEE(raw[12:29]))
		return folder(t, map[string][]byte{"a/1.png": raw})
	}
	wantError(t, claim(5000, 5000), nil, "bytes cannot hold 5000x5000 pixels")
	wantError(t, claim(1, dataset.MaxPixels+1), nil, "1x67108865 pixels are not read")
	wantError(t, claim(1<<31-1, 1<<31-1), nil, "do not decode")
}

func TestArrays(t *testing.T) {
	pixels := ramp(2 * 6 * 5 * 3)
	floats := tensor.F16.AppendFloats(nil, []float32{0.5, -1, 2, 0.25, 3, 4})
	int64s := func(values ...int64) []byte {
		var raw []byte
		for _, v := range values {
			raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
		}
		return raw
	}
	write := func(name string, raw []byte) string {
		return filepath.Join(folder(t, map[string][]byte{name: raw}), name)
	}

	keras := npzOf(t, tensorOf("x_train", tensor.U8, pixels, 2, 6, 5, 3), tensorOf("y_train", tensor.U8, []byte{1, 0}, 2, 1),
		tensorOf("x_test", tensor.U8, pixels[:90], 1, 6, 5, 3), tensorOf("y_test", tensor.U8, []byte{2}, 1, 1))
	for _, raw := range [][]byte{keras, deflated(t, keras)} {
		d := open(t, write("a.npz", raw), nil)
		values, labels := examples(t, d.Train)
		if d.Format != "npz" || d.Shape.String() != "3x6x5" || !cmp.Equal(labels, []int{1, 0}) || d.Test.Len() != 1 || len(d.Classes) != 3 {
			t.Fatalf("got %v, labels %v, classes %v", d.Shape, labels, d.Classes)
		}
		for c := range 3 {
			for i := range 30 {
				if got, want := values[1][c*30+i], float32(pixels[90+i*3+c])/255; got != want {
					t.Fatalf("channel %d, pixel %d: %v, want %v", c, i, got, want)
				}
			}
		}
	}

	set, err := tensor.NewSet(tensorOf("images", tensor.F16, floats, 2, 3), tensorOf("labels", tensor.I64, int64s(4, 0), 2))
	if err != nil {
		t.Fatal(err)
	}
	var st bytes.Buffer
	if err := safetensors.Write(&st, set, nil); err != nil {
		t.Fatal(err)
	}
	d := open(t, write("a.bin", st.Bytes()), nil)
	if values, labels := examples(t, d.Train); !cmp.Equal(values, [][]float32{{0.5, -1, 2}, {0.25, 3, 4}}) || !cmp.Equal(labels, []int{4, 0}) || d.Shape.String() != "3" {
		t.Errorf("got %v of %v, labels %v", values, d.Shape, labels)
	}

	nan := tensor.F32.AppendFloats(nil, []float32{1, 2, 3, float32(math.NaN())})
	for _, c := range []struct {
		ts   []*tensor.Tensor
		want string
	}{
		{[]*tensor.Tensor{tensorOf("x_train", tensor.U8, pixels, 2, 90)}, "examples or labels only"},
		{[]*tensor.Tensor{tensorOf("x", tensor.U8, pixels, 4, 3, 15, 1), tensorOf("y", tensor.U8, make([]byte, 4), 4)}, "give the layout"},
		{[]*tensor.Tensor{tensorOf("weights", tensor.U8, pixels, 2, 90)}, "there are weights (U8, 2x90)"},
		{[]*tensor.Tensor{tensorOf("x", tensor.U8, pixels, 2, 90), tensorOf("y", tensor.U8, []byte{1, 2, 3}, 3)}, `"x" has 2 examples, and "y" 3 labels`},
		{[]*tensor.Tensor{tensorOf("x", tensor.U8, pixels, 2, 90), tensorOf("y", tensor.I64, int64s(0, -1), 2)}, `label 1 of "y" is -1`},
		{[]*tensor.Tensor{tensorOf("x", tensor.U8, pixels, 2, 90), tensorOf("y", tensor.I64, int64s(0, 1<<40), 2)}, "1099511627776"},
		{[]*tensor.Tensor{tensorOf("x", tensor.U8, pixels, 2, 90), tensorOf("y", tensor.F32, make([]byte, 8), 2)}, "whole numbers"},
		{[]*tensor.Tensor{tensorOf("x", tensor.U8, pixels, 2, 90), tensorOf("y", tensor.U8, make([]byte, 20), 2, 10)}, "one label for each example"},
		{[]*tensor.Tensor{tensorOf("x", tensor.I32, make([]byte, 8), 2, 1), tensorOf("y", tensor.U8, make([]byte, 2), 2)}, "uint8 or floats"},
		{[]*tensor.Tensor{tensorOf("x", tensor.F32, nan, 2, 2), tensorOf("y", tensor.U8, make([]byte, 2), 2)}, "NaN in example 1"},
		{[]*tensor.Tensor{tensorOf("x", tensor.U8, pixels, 2, 90), tensorOf("images", tensor.U8, pixels, 2, 90)}, "could both be"},
	} {
		wantError(t, write("a.npz", npzOf(t, c.ts...)), nil, c.want)
	}
	wantError(t, write("a.txt", []byte("hello")), nil, "not a data set")
}

func TestLabelsOutOfRange(t *testing.T) {
	dir := folder(t, map[string][]byte{"train-images-idx3-ubyte": idx(ramp(3), 3, 1, 1), "train-labels-idx1-ubyte": idx([]byte{0, 5, 9}, 3)})
	wantError(t, dir, &dataset.Options{Classes: 6}, "example 2 of the train split has the label 9; want 0 to 5")
	if d := open(t, dir, &dataset.Options{Classes: 12}); len(d.Classes) != 12 {
		t.Errorf("%d classes, want 12", len(d.Classes))
	}
}

// Every truncation of a file is an error that says so, and no byte can be added.
func TestTruncatedIDX(t *testing.T) {
	labels := idx([]byte{0, 1}, 2)
	for _, compress := range []bool{false, true} {
		raw, name := idx(ramp(24), 2, 3, 4), "train-images-idx3-ubyte"
		if compress {
			raw, name = gzipped(t, raw), name+".gz"
		}
		for n := range len(raw) + 2 {
			if n == len(raw) {
				continue
			}
			cut := append(slices.Clone(raw), 0)[:n]
			_, err := dataset.Open(folder(t, map[string][]byte{name: cut, "train-labels-idx1-ubyte": labels}), nil)
			if _, ok := errors.AsType[*layout.CorruptError](err); !ok {
				t.Errorf("%d of %d bytes: %v, want a *layout.CorruptError", n, len(raw), err)
				continue
			}
			if !compress && n < len(raw) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d of %d bytes: %v is not io.ErrUnexpectedEOF", n, len(raw), err)
			}
		}
	}
}

func TestBadIDX(t *testing.T) {
	labels := idx([]byte{0, 1}, 2)
	with := func(images []byte) string {
		return folder(t, map[string][]byte{"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels})
	}
	wantCorrupt(t, with(append([]byte("PK\x03\x04"), make([]byte, 20)...)), 0, "not an idx file")
	wantCorrupt(t, with(append(idx([]byte{1, 2, 3}, 3), make([]byte, 12)...)), 3, "1 axes; want 3")
	wantCorrupt(t, with(idx(nil, 1<<31, 1<<14, 1<<14)), 4, "truncated")
	wantCorrupt(t, with(idx(nil, 2, 1<<31, 1<<31)), 8, "along each axis")
	wantCorrupt(t, with(idx(nil, 2, 0, 1)), 8, "along each axis")
	wantError(t, with(idx(ramp(3), 3, 1, 1)), nil, "has 3 images", "2 labels")
	wantError(t, with(idx(ramp(2), 2, 1, 1)), &dataset.Options{Memory: 1}, "take 2 bytes")
	wantError(t, folder(t, map[string][]byte{"train-labels-idx1-ubyte": labels}), nil, "no file of images beside train-labels")
	wantError(t, folder(t, map[string][]byte{"train-labels-idx1-ubyte": idx(nil, 0), "train-images-idx3-ubyte": idx(nil, 0, 1, 1)}), nil, "no examples")
}

func TestBadOptions(t *testing.T) {
	for want, o := range map[string]*dataset.Options{
		`fit "zoom"`:    {Fit: "zoom"},
		"2 channels":    {Channels: 2},
		`layout "hwcn"`: {Layout: "hwcn"},
		"size 0x3":      {Size: [2]int{0, 3}},
		"-1 classes":    {Classes: -1},
		`normalisation "mean" is not known; want unit, measured, cifar10`: {Normalise: "mean"},
		"for 3 channels": {Normalise: "imagenet"},
		"above zero":     {Normalise: "1/0"},
	} {
		wantError(t, "builtin:fashion-mnist", o, want)
	}
	wantError(t, "builtin:mnist", nil, "want builtin:fashion-mnist")
	wantError(t, "fashion-mnist/../nowhere", nil, "no such file")
}

func wantError(t *testing.T, spec string, o *dataset.Options, parts ...string) {
	t.Helper()
	_, err := dataset.Open(spec, o)
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got the error %v, want one with %q", err, part)
		}
	}
}

func wantCorrupt(t *testing.T, spec string, offset int64, part string) {
	t.Helper()
	_, err := dataset.Open(spec, nil)
	var corrupt *layout.CorruptError
	if !errors.As(err, &corrupt) || corrupt.Offset != offset || !strings.Contains(err.Error(), part) {
		t.Errorf("got the error %v, want a *layout.CorruptError at %d with %q", err, offset, part)
	}
}

// The full sets, where they lie on this machine.
func TestFullSets(t *testing.T) {
	for _, c := range []struct {
		dir, normalisation string
	}{{"/usr/share/datasets/fashion-mnist", "fashion-mnist"}, {filepath.Join("..", "..", "shared", "data"), "mnist"}} {
		t.Run(c.normalisation, func(t *testing.T) {
			if _, err := os.Stat(c.dir); err != nil {
				t.Skipf("the data is not here: %v", err)
			}
			d := open(t, c.dir, nil)
			if d.Train.Len() != 60000 || d.Test.Len() != 10000 {
				t.Fatalf("got %d and %d examples", d.Train.Len(), d.Test.Len())
			}
			want, err := dataset.ParseNormalisation(c.normalisation, d.Train)
			if err != nil {
				t.Fatal(err)
			}
			got, err := dataset.Measure(d.Train)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(float64(got.Mean[0]-want.Mean[0])) > 1e-4 || math.Abs(float64(got.Std[0]-want.Std[0])) > 1e-4 {
				t.Errorf("measured %v, known %v", got, want)
			}
		})
	}
}
