package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ropewalk/checkpoint"
	"ropewalk/tensor"
)

// A class groups inputs whose numbers are alike; the targets are per class.
type class string

const (
	fp32      class = "fp32"
	bf16      class = "bf16"
	fp16      class = "fp16"
	quantized class = "quantized" // float32 values of few levels
)

var classes = []class{fp32, bf16, fp16, quantized}

// An input is a file to compress.
type input struct {
	name  string // unique; "resnet20_cifar10 bf16"
	class class
	path  string
	size  int64 // of the file
}

// A variant is a copy of a network with other values.
type variant struct {
	suffix string
	class  class
	// change returns a tensor in place of one of float32 values.
	change func(t *tensor.Tensor, values []float32) *tensor.Tensor
}

var variants = []variant{
	{"bf16", bf16, narrow(tensor.BF16)},
	{"fp16", fp16, narrow(tensor.F16)},
	{"4 levels", quantized, matrices(func(w []float32) []float32 { return lloydMax(w, 4) })},
	{"16 levels", quantized, matrices(func(w []float32) []float32 { return lloydMax(w, 16) })},
	{"256 levels", quantized, matrices(func(w []float32) []float32 { return lloydMax(w, 256) })},
	{"int8 grid", quantized, matrices(int8Grid)},
}

// gather returns the networks of all folders, and their variants, which it
// writes into dir.
func gather(c *config, dir string) ([]input, error) {
	var paths []string
	for _, pattern := range []struct{ folder, glob string }{
		{c.own, "*.safetensors"},
		{c.own, "*.onnx"},
		{c.data, "*.safetensors"},
		{c.models, "*.onnx"},
	} {
		if pattern.folder == "" {
			continue
		}
		found, err := filepath.Glob(filepath.Join(pattern.folder, pattern.glob))
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	var inputs []input
	for _, path := range paths {
		list, err := variantsOf(path, dir)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, list...)
	}
	if len(inputs) == 0 {
		return nil, fmt.Errorf("found no network in %q, %q or %q", c.own, c.data, c.models)
	}
	return inputs, nil
}

// variantsOf returns the file itself and, if it holds float32 values that no
// input before it holds, its variants.
func variantsOf(path, dir string) ([]input, error) {
	c, err := checkpoint.Open(path, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	original, err := newInput(filepath.Base(path), classOf(c.Tensors), path)
	if err != nil {
		return nil, err
	}
	inputs := []input{original}
	// Variants of the same network in a second format would count twice.
	stem := strings.TrimSuffix(original.name, filepath.Ext(path))
	if twin, _ := filepath.Glob(filepath.Join(dir, stem+" *")); len(twin) > 0 || original.class != fp32 {
		return inputs, nil
	}
	for _, v := range variants {
		set, err := v.apply(c.Tensors)
		if err != nil {
			return nil, err
		}
		name := stem + " " + v.suffix
		out := filepath.Join(dir, name+".safetensors")
		if err := writeSafetensors(out, set); err != nil {
			return nil, err
		}
		in, err := newInput(name, v.class, out)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, in)
	}
	return inputs, nil
}

func newInput(name string, c class, path string) (input, error) {
	info, err := os.Stat(path)
	if err != nil {
		return input{}, err
	}
	return input{name: name, class: c, path: path, size: info.Size()}, nil
}

// classOf goes by the element type that holds most of the bytes.
func classOf(set *tensor.Set) class {
	bytes := map[tensor.DType]int64{}
	for _, t := range set.All() {
		bytes[t.DType] += t.Size()
	}
	most := slices.MaxFunc(append(slices.Sorted(maps.Keys(bytes)), tensor.F32), func(a, b tensor.DType) int {
		return cmp.Compare(bytes[a], bytes[b])
	})
	switch most {
	case tensor.BF16:
		return bf16
	case tensor.F16:
		return fp16
	case tensor.F32:
		return fp32
	}
	return quantized
}

// apply returns set with each float32 tensor changed.
func (v *variant) apply(set *tensor.Set) (*tensor.Set, error) {
	var changed []*tensor.Tensor
	for _, t := range set.All() {
		if t.DType != tensor.F32 {
			continue
		}
		raw, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		changed = append(changed, v.change(t, t.DType.AppendFloat32s(nil, raw)))
	}
	return tensor.Overlay(set, changed...)
}

// narrow stores every value in two bytes.
func narrow(d tensor.DType) func(*tensor.Tensor, []float32) *tensor.Tensor {
	return func(t *tensor.Tensor, values []float32) *tensor.Tensor {
		return &tensor.Tensor{Name: t.Name, DType: d, Shape: t.Shape, Data: tensor.Bytes(d.AppendFloats(nil, values))}
	}
}

// matrices quantizes what has two axes or more. Biases and norms stay: they are
// few, and nobody quantizes them.
func matrices(quantize func([]float32) []float32) func(*tensor.Tensor, []float32) *tensor.Tensor {
	return func(t *tensor.Tensor, values []float32) *tensor.Tensor {
		if len(t.Shape) < 2 {
			return t
		}
		raw := t.DType.AppendFloats(nil, quantize(values))
		return &tensor.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Data: tensor.Bytes(raw)}
	}
}

func writeSafetensors(path string, set *tensor.Set) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := checkpoint.Convert(f, "safetensors", set, nil); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
