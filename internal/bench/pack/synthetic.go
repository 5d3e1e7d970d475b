package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"

	"ropewalk/tensor"
)

// The large files are seeded: every run measures the same bytes.
const (
	syntheticSeed    = 1
	syntheticColumns = 4096
	syntheticTensors = 16
)

// synthesize writes one large file of each of two types: Gaussian rows whose
// deviation differs from row to row by up to a factor of eight, as those of
// trained layers do.
func synthesize(dir string, mib int) ([]input, error) {
	var inputs []input
	for _, k := range []struct {
		class class
		dtype tensor.DType
		width int
	}{
		{bf16, tensor.BF16, 2},
		{fp32, tensor.F32, 4},
	} {
		rows := mib << 20 / (syntheticTensors * syntheticColumns * k.width)
		rng := rand.New(rand.NewPCG(syntheticSeed, uint64(k.width)))
		list := make([]*tensor.Tensor, syntheticTensors)
		for i := range list {
			raw := make([]byte, 0, rows*syntheticColumns*k.width)
			for range rows {
				deviation := math.Exp2(3*rng.Float64() - 8)
				for range syntheticColumns {
					x := float32(rng.NormFloat64() * deviation)
					raw = k.dtype.AppendFloats(raw, []float32{x})
				}
			}
			list[i] = &tensor.Tensor{
				Name:  fmt.Sprintf("layer%02d.weight", i),
				DType: k.dtype,
				Shape: tensor.Shape{int64(rows), syntheticColumns},
				Data:  tensor.Bytes(raw),
			}
		}
		set, err := tensor.NewSet(list...)
		if err != nil {
			return nil, err
		}
		name := fmt.Sprintf("synthetic %s, %d MiB", k.class, mib)
		path := filepath.Join(dir, "synthetic-"+string(k.class)+".safetensors")
		if err := writeSafetensors(path, set); err != nil {
			return nil, err
		}
		in, err := newInput(name, k.class, path)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, in)
	}
	return inputs, nil
}
