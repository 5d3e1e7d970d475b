package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"

	"ropewalk/checkpoint"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// The shape of a Llama of 7 billion parameters.
const (
	words    = 32000
	model    = 4096
	inner    = 11008
	heads    = 32
	headSize = model / heads
)

// llama lists its tensors; noise is added in standard deviations.
func llama(layers int, noise float64) (*tensor.Set, error) {
	var ts []*tensor.Tensor
	add := func(name string, shape ...int64) {
		ts = append(ts, &tensor.Tensor{Name: name, DType: tensor.BF16, Shape: shape, Data: newRandom(name, shape, noise)})
	}
	add("model.embed_tokens.weight", words, model)
	for l := range layers {
		at := fmt.Sprintf("model.layers.%d.", l)
		for _, w := range []string{"q", "k", "v", "o"} {
			add(at+"self_attn."+w+"_proj.weight", model, model)
		}
		add(at+"mlp.gate_proj.weight", inner, model)
		add(at+"mlp.up_proj.weight", inner, model)
		add(at+"mlp.down_proj.weight", model, inner)
		add(at+"input_layernorm.weight", model)
		add(at+"post_attention_layernorm.weight", model)
	}
	add("model.norm.weight", model)
	add("lm_head.weight", words, model)
	return tensor.NewSet(ts...)
}

// random is bfloat16 numbers that are made when they are read, row by row: Gaussian for
// matrices, and around one for norms.
type random struct {
	seed      uint64
	size, row int64 // in bytes
	mean, sd  float32
	noise     float32
	normal    []float32
}

// normals holds Gaussian numbers to choose from.
var normals = func() []float32 {
	r := rand.New(rand.NewPCG(7, 7))
	x := make([]float32, 1<<16)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}()

func newRandom(name string, shape []int64, noise float64) *random {
	h := fnv.New64a()
	_, _ = io.WriteString(h, name) // never fails
	r := &random{seed: h.Sum64(), row: 2 * shape[len(shape)-1], sd: float32(1 / math.Sqrt(model)), noise: float32(noise), normal: normals}
	r.size = r.row
	if len(shape) == 2 {
		r.size *= shape[0]
	} else {
		r.mean, r.sd = 1, 0.1
	}
	return r
}

// Size returns the number of bytes.
func (r *random) Size() int64 { return r.size }

// ReadAt implements [io.ReaderAt].
func (r *random) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) && off < r.size {
		b := r.make(off / r.row)
		k := copy(p[n:], b[off%r.row:])
		n += k
		off += int64(k)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (r *random) make(row int64) []byte {
	g := rand.NewPCG(r.seed, uint64(row))
	out := make([]byte, 0, r.row)
	var own, more uint64
	for c := range r.row / 2 {
		if c%4 == 0 {
			own = g.Uint64()
			more = g.Uint64()
		}
		x := r.normal[own>>(c%4*16)&0xffff] + r.noise*r.normal[more>>(c%4*16)&0xffff]
		out = binary.LittleEndian.AppendUint16(out, tensor.BFloat16Bits(r.mean+r.sd*x))
	}
	return out
}

// moves is what is done to the suspect: all neurons move, none is multiplied.
func moves(spec *symmetry.Spec) symmetry.Element {
	return spec.Random(&symmetry.RandomOptions{Seed: 1})
}

// make writes the files that are not there yet.
func (c *config) make() error {
	for i, path := range c.paths() {
		if _, err := os.Stat(path); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		noise := 0.0
		if i == 1 {
			noise = c.noise
		}
		set, err := llama(c.layers, noise)
		if err != nil {
			return err
		}
		if i == 1 {
			spec, err := symmetry.DeriveNames(set, &symmetry.NamesOptions{HeadSize: headSize})
			if err != nil {
				return err
			}
			if set, err = symmetry.Apply(spec, set, moves(spec)); err != nil {
				return err
			}
		}
		fmt.Fprintf(os.Stderr, "making %s\n", path)
		if err := write(path, set); err != nil {
			return err
		}
	}
	return nil
}

// write puts a file in place when it is complete.
func write(path string, set *tensor.Set) error {
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = checkpoint.Convert(w, "safetensors", set, nil)
	if err == nil {
		err = w.Flush()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path+".part"))
	}
	return os.Rename(path+".part", path)
}
