package checkpoint_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"ropewalk/checkpoint"
	"ropewalk/tensor"
)

// Without changes, an ONNX model is written as it is, and with other values it
// differs in those only; with other types it is not written.
func TestRewriteONNX(t *testing.T) {
	path := filepath.Join("..", "testdata", "fashion-cnn.onnx")
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	write := func(set *tensor.Set) []byte {
		t.Helper()
		r, err := c.Rewrite(set)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := r.WriteFile(&b, 0); err != nil {
			t.Fatal(err)
		}
		if int64(b.Len()) != r.Size(0) || len(r.Files()) != 1 {
			t.Errorf("%d bytes of %d files, said %d", b.Len(), len(r.Files()), r.Size(0))
		}
		return b.Bytes()
	}
	if !bytes.Equal(write(c.Tensors), was) {
		t.Error("no change, and other bytes")
	}
	old := c.Tensors.At(0)
	set, err := tensor.Overlay(c.Tensors, &tensor.Tensor{Name: old.Name, DType: old.DType, Shape: old.Shape, Data: tensor.Bytes(make([]byte, old.Size()))})
	if err != nil {
		t.Fatal(err)
	}
	is := write(set)
	if len(is) != len(was) || bytes.Equal(is, was) {
		t.Error("other values, and the same bytes or another size")
	}
	if set, err = tensor.Overlay(c.Tensors, tensor.Cast(old, tensor.F16)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Rewrite(set); !errors.Is(err, checkpoint.ErrRewrite) {
		t.Errorf("another type: %v", err)
	}
}

// A set of another checkpoint is not written into this one, and PyTorch's
// files are only read.
func TestRewriteRefuses(t *testing.T) {
	open := func(name string) *checkpoint.Checkpoint {
		c, err := checkpoint.Open(filepath.Join("..", "testdata", name), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	st, pt := open("fashion-cnn.safetensors"), open("fashion-cnn.pt")
	if _, err := st.Rewrite(nil); err == nil {
		t.Error("no tensors: no error")
	}
	if _, err := pt.Rewrite(pt.Tensors); !errors.Is(err, checkpoint.ErrRewrite) {
		t.Errorf("PyTorch: %v", err)
	}
}
