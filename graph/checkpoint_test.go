package graph_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"ropewalk/checkpoint"
	"ropewalk/graph"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// A checkpoint that is open, packed or not, gives the graph that the file gives, and
// its tensors have the names of the graph's weights.
func TestFromLayout(t *testing.T) {
	file := graph.Everything(t)
	want, err := graph.FromONNX("m.onnx", tensor.Bytes(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	plain, err := checkpoint.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	packed := path + ".rope"
	f, err := os.Create(packed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rope.Encode(context.Background(), f, plain.Layout, nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	restored, err := checkpoint.Open(packed, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	for _, c := range []*checkpoint.Checkpoint{plain, restored} {
		g, err := graph.FromLayout(c.Layout)
		if err != nil {
			t.Fatalf("%s: %v", c.Format, err)
		}
		if len(g.Nodes) != len(want.Nodes) || g.Weights.Len() != want.Weights.Len() {
			t.Errorf("%s: %d nodes and %d weights, want %d and %d", c.Format, len(g.Nodes), g.Weights.Len(), len(want.Nodes), want.Weights.Len())
		}
		for i, w := range c.Tensors.All() {
			if got := g.Weights.At(i); got.Name != w.Name || !got.Shape.Equal(w.Shape) {
				t.Errorf("%s: weight %d is %q %v, in the checkpoint %q %v", c.Format, i, got.Name, got.Shape, w.Name, w.Shape)
			}
		}
		if _, err := g.WithWeights(c.Tensors); err != nil {
			t.Errorf("%s: %v", c.Format, err)
		}
	}
}
