package checkpoint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ropewalk/checkpoint"
	"ropewalk/layout"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// models are the files that the repository carries, and those of the folder
// that ROPEWALK_MODELS names.
func models(t *testing.T) []string {
	t.Helper()
	files := []string{"../testdata/fashion-cnn.safetensors", "../testdata/fashion-cnn.onnx", "../testdata/fashion-cnn.pt"}
	if dir := os.Getenv("ROPEWALK_MODELS"); dir != "" {
		more, _ := filepath.Glob(filepath.Join(dir, "*"))
		files = append(files, more...)
	}
	return files
}

func open(t *testing.T, path string, opt *checkpoint.Options) *checkpoint.Checkpoint {
	t.Helper()
	c, err := checkpoint.Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func pack(t *testing.T, c *checkpoint.Checkpoint, opt *rope.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.rope")
	var out bytes.Buffer
	if _, err := rope.Encode(context.Background(), &out, c.Layout, opt); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkSame compares two sets bit by bit.
func checkSame(t *testing.T, got, want *tensor.Set) {
	t.Helper()
	if got.Len() != want.Len() {
		t.Fatalf("%d tensors, want %d", got.Len(), want.Len())
	}
	for i, w := range want.All() {
		g := got.At(i)
		a, err := g.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		b, err := w.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if g.Name != w.Name || g.DType != w.DType || !g.Shape.Equal(w.Shape) || !bytes.Equal(a, b) {
			t.Errorf("tensor %d: %s %s %v, want %s %s %v, with equal values", i, g.Name, g.DType, g.Shape, w.Name, w.DType, w.Shape)
		}
	}
}

func TestPackEveryFormat(t *testing.T) {
	for _, path := range models(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			c := open(t, path, nil)
			if c.Tensors.Len() == 0 {
				t.Error("no tensors")
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, effort := range []rope.Effort{rope.Fast, rope.Max} {
				p := open(t, pack(t, c, &rope.Options{Effort: effort}), nil)
				var got bytes.Buffer
				if err := p.Rope.Restore(context.Background(), 0, &got, nil); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got.Bytes(), want) {
					t.Error("restored file differs")
				}
				if p.Size() >= int64(len(want)) {
					t.Errorf("%s: %d bytes became %d", effort, len(want), p.Size())
				}
				checkSame(t, p.Tensors, c.Tensors)
			}
		})
	}
}

// A network in three formats has the same tensors in each.
func TestSameNetwork(t *testing.T) {
	want := open(t, "../testdata/fashion-cnn.safetensors", nil).Tensors
	for _, name := range []string{"fashion-cnn.onnx", "fashion-cnn.pt"} {
		got := open(t, "../testdata/"+name, nil).Tensors
		found := 0
		for _, w := range want.All() {
			g := got.Lookup(w.Name)
			if g == nil {
				continue // exporters leave out what inference does not need
			}
			found++
			a, _ := g.Bytes()
			b, _ := w.Bytes()
			if !bytes.Equal(a, b) {
				t.Errorf("%s: tensor %s differs", name, w.Name)
			}
		}
		if found == 0 {
			t.Errorf("%s has no tensor of the same name", name)
		}
	}
}

func TestConvert(t *testing.T) {
	c := open(t, "../testdata/fashion-cnn.pt", nil)
	for _, format := range []string{"safetensors", "npz"} {
		path := filepath.Join(t.TempDir(), "m")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(checkpoint.Convert(f, format, c.Tensors, nil), f.Close()); err != nil {
			t.Fatal(err)
		}
		got := open(t, path, nil)
		if got.Format != format {
			t.Errorf("format is %q, want %q", got.Format, format)
		}
		for _, w := range c.Tensors.All() {
			a, _ := got.Tensors.Lookup(w.Name).Bytes()
			b, _ := w.Bytes()
			if !bytes.Equal(a, b) {
				t.Errorf("%s: tensor %s differs", format, w.Name)
			}
		}
	}
	if err := checkpoint.Convert(io.Discard, "tar", c.Tensors, nil); err == nil {
		t.Error("no error for an unknown format")
	}
}

// Shards and external data: several files become one, and several again.
func TestSharded(t *testing.T) {
	dir := t.TempDir()
	c := open(t, "../testdata/fashion-cnn.safetensors", nil)
	var index strings.Builder
	index.WriteString(`{"metadata":{},"weight_map":{`)
	var parts [2][]*tensor.Tensor
	for i, x := range c.Tensors.All() {
		parts[i%2] = append(parts[i%2], x)
	}
	for i, ts := range parts {
		set, err := tensor.NewSet(ts...)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("model-%d.safetensors", i)
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(checkpoint.Convert(f, "safetensors", set, nil), f.Close()); err != nil {
			t.Fatal(err)
		}
		for k, x := range ts {
			if i+k > 0 {
				index.WriteByte(',')
			}
			fmt.Fprintf(&index, "%q:%q", x.Name, name)
		}
	}
	index.WriteString("}}")
	main := filepath.Join(dir, "model.safetensors.index.json")
	if err := os.WriteFile(main, []byte(index.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, main, nil)
	if len(s.Layout.Files) != 3 || s.Tensors.Len() != c.Tensors.Len() {
		t.Fatalf("%d files and %d tensors, want 3 and %d", len(s.Layout.Files), s.Tensors.Len(), c.Tensors.Len())
	}
	p := open(t, pack(t, s, nil), nil)
	checkSame(t, p.Tensors, s.Tensors)
	for i, f := range s.Layout.Files {
		want, err := os.ReadFile(filepath.Join(dir, f.Name))
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := p.Rope.Restore(context.Background(), i, &got, nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("file %s differs", f.Name)
		}
	}
}

func TestBase(t *testing.T) {
	c := open(t, "../testdata/fashion-cnn.safetensors", nil)
	packed := pack(t, c, &rope.Options{Base: c.Layout})
	if _, err := checkpoint.Open(packed, nil); !errors.Is(err, rope.ErrBase) {
		t.Errorf("without a base: %v", err)
	}
	p := open(t, packed, &checkpoint.Options{Base: c})
	checkSame(t, p.Tensors, c.Tensors)
	if p.Size() > 4096 {
		t.Errorf("a copy of its base takes %d bytes", p.Size())
	}
}

func TestOpenReader(t *testing.T) {
	f, err := os.Open("../testdata/fashion-cnn.onnx")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := checkpoint.OpenReader(context.Background(), "standard input", f, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkSame(t, c.Tensors, open(t, "../testdata/fashion-cnn.onnx", nil).Tensors)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := checkpoint.OpenReader(ctx, "x", strings.NewReader("abc"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"empty": "", "text": "hello, world", "gguf": "GGUF\x03\x00\x00\x00", "png": "\x89PNG\r\n\x1a\n",
		"rope2": "\x89ROPE\r\n\x02" + strings.Repeat("\x00", 100),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := checkpoint.Open(path, nil)
		var c *layout.CorruptError
		var u *layout.UnsupportedError
		if !errors.As(err, &c) && !errors.As(err, &u) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := checkpoint.Open(dir, nil); err == nil {
		t.Error("a directory: no error")
	}
	if _, err := checkpoint.Open(filepath.Join(dir, "missing"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func ExampleOpen() {
	c, err := checkpoint.Open("../testdata/fashion-cnn.safetensors", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	w := c.Tensors.At(0)
	fmt.Println(c.Format, w.Name, w.DType, w.Shape)
	// Output: safetensors bn1.num_batches_tracked I64 scalar
}
