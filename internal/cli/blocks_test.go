package cli

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"ropewalk/checkpoint"
	"ropewalk/entropy"
	"ropewalk/quant"
	"ropewalk/tensor"
)

// What inspect says is the entropy of the symbols that were quantized, and of
// order 1 that of the statistics.
func TestBlocks(t *testing.T) {
	w, err := modelOf(3, 8192, 0.1).Lookup("head.fc.weight").Bytes()
	if err != nil {
		t.Fatal(err)
	}
	q, err := quant.Quantize("w", []int64{16, 512}, tensor.F32.AppendFloat32s(nil, w), nil, &quant.Options{Method: quant.Lloyd, Levels: 5})
	if err != nil {
		t.Fatal(err)
	}
	add := func(name string, d tensor.DType, x []float32) *tensor.Tensor {
		return &tensor.Tensor{Name: name, DType: d, Shape: tensor.Shape{int64(len(x))}, Data: tensor.Bytes(d.AppendFloats(nil, x))}
	}
	values := q.Values(nil)
	set, err := tensor.NewSet(add("a", tensor.F32, values), add("b", tensor.F16, values[:1001]), add("few", tensor.F32, values[:50]))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := writeModel(path, set); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var picked []int
	for _, name := range []string{"a", "b", "few"} { // a writer may sort
		for i, x := range c.Tensors.All() {
			if x.Name == name {
				picked = append(picked, i)
			}
		}
	}
	r := &inspectResult{Tensors: make([]tensorInfo, 3)}
	e := &env{quiet: true}
	if err := e.blocksOf(context.Background(), c, &blockOptions{order: "1..5"}, picked, r); err != nil {
		t.Fatal(err)
	}
	stats, err := statsOf(context.Background(), c, picked, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	if r.Tensors[2].Entropy != nil || r.Pooled.Tensors != 2 {
		t.Errorf("50 weights of 5 levels were counted: %+v", r.Pooled)
	}
	symbols := [][]uint16{q.Symbols, q.Symbols[:1001]}
	near := func(what string, got blockEntropy, want entropy.Entropy) {
		if got.Order != want.Order || got.Blocks != want.Blocks || got.Distinct != want.Distinct || math.Abs(got.Bits-want.PerWeight()) > 1e-12 {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	for k, n := range []int{1, 2, 3, 4, 5} {
		near("a", r.Tensors[0].Entropy[k], entropy.Measure(n, symbols[0]))
		near("b", r.Tensors[1].Entropy[k], entropy.Measure(n, symbols[1]))
		near("pooled", r.Pooled.Entropy[k], entropy.Measure(n, symbols...))
	}
	for i, at := range picked[:2] {
		s := stats[at]
		if d := math.Abs(*s.Entropy - r.Tensors[i].Entropy[0].Bits); d > 1e-12 || int(*s.Distinct) != r.Tensors[i].Levels {
			t.Errorf("tensor %d: statistics %v bits, blocks %v", i, *s.Entropy, r.Tensors[i].Entropy[0].Bits)
		}
	}
	if got, err := (&blockOptions{order: "2..4"}).orders(); err != nil || !slices.Equal(got, []int{2, 3, 4}) {
		t.Errorf("2..4 is %v, %v", got, err)
	}
}
