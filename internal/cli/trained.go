package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"ropewalk/checkpoint"
	"ropewalk/engine"
	"ropewalk/graph/nets"
	"ropewalk/internal/atomicfile"
	"ropewalk/layout"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// writeNetwork writes a network with other weights and returns the size of the
// file. set has the weights that changed.
func (e *env) writeNetwork(ctx context.Context, n *network, set *tensor.Set, s settings, form, path string, force bool) (int64, error) {
	plain := func(w io.Writer) error { return writeTensors(w, set, s) }
	if form == formONNX {
		plain = func(w io.Writer) error { return e.writeModel(w, n, set) }
	}
	if form != formRope {
		return writeFile(path, force, func(f *atomicfile.File) error { return plain(f) })
	}
	packed, err := e.packNetwork(ctx, n, set, s, path)
	if err != nil {
		return 0, err
	}
	return writeFile(path, force, func(f *atomicfile.File) error {
		_, err := f.Write(packed)
		return err
	})
}

// packNetwork returns the .rope of a network with other weights. Path is for messages.
func (e *env) packNetwork(ctx context.Context, n *network, set *tensor.Set, s settings, path string) ([]byte, error) {
	plain, err := e.plainNetwork(n, set, s)
	if err != nil {
		return nil, err
	}
	c, err := openPlain(ctx, plain, path)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var packed bytes.Buffer
	_, err = rope.Encode(ctx, &packed, c.Layout, e.packOptions())
	return packed.Bytes(), err
}

// plainNetwork returns the file of a network with other weights that is then packed.
func (e *env) plainNetwork(n *network, set *tensor.Set, s settings) ([]byte, error) {
	var plain bytes.Buffer
	var err error
	if n.built {
		err = writeTensors(&plain, set, s.lean())
	} else {
		err = e.writeModel(&plain, n, set)
	}
	return plain.Bytes(), err
}

// openPlain opens such a file. Path is for messages.
func openPlain(ctx context.Context, plain []byte, path string) (*checkpoint.Checkpoint, error) {
	c, err := checkpoint.OpenReader(ctx, path, bytes.NewReader(plain), nil)
	if err == nil {
		c.Layout.Files[0].Name = "model." + c.Layout.Format
	}
	return c, err
}

// packOptions are those of networks that ropewalk made, by training or with a mark.
func (e *env) packOptions() *rope.Options {
	return &rope.Options{Effort: rope.Auto, Threads: e.threads, Memory: int64(e.memory)}
}

// writeTensors writes a safetensors file with what is known of the network.
func writeTensors(w io.Writer, set *tensor.Set, s settings) error {
	var meta []layout.Pair
	for _, k := range slices.Sorted(maps.Keys(s)) {
		meta = append(meta, layout.Pair{Key: k, Value: s[k]})
	}
	return checkpoint.Convert(w, "safetensors", set, meta)
}

// writeModel writes an ONNX model: the file that it came from with other weights,
// or, of a network that came from none or has its weights in other files, a new one.
func (e *env) writeModel(w io.Writer, n *network, set *tensor.Set) error {
	g, err := n.WithWeights(set)
	if err != nil {
		return err
	}
	if n.built {
		return g.WriteONNX(w)
	}
	edit, err := g.EditONNX()
	if err != nil {
		return err
	}
	if len(edit.Files()) > 1 {
		e.notef("%s keeps weights in other files; the result is one new file", n.spec)
		return g.WriteONNX(w)
	}
	return edit.WriteFile(w, 0)
}

// trainedSet returns the weights of a program as tensors of the types that they had.
func trainedSet(n *network, weights []engine.Weight) (*tensor.Set, error) {
	var list []*tensor.Tensor
	for _, w := range weights {
		old := n.Weights.Lookup(w.Name)
		if old == nil || n.built && !nets.IsState(old) {
			continue
		}
		list = append(list, &tensor.Tensor{
			Name: w.Name, DType: tensor.F32, Shape: w.Shape,
			Data: tensor.Bytes(tensor.F32.AppendFloats(make([]byte, 0, 4*len(w.Values)), w.Values)),
		})
	}
	set, err := tensor.NewSet(list...)
	if err != nil || n.built {
		return set, err
	}
	return castLike(set, n.Weights)
}

// castLike gives tensors the types of those of the same name.
func castLike(set, like *tensor.Set) (*tensor.Set, error) {
	list := make([]*tensor.Tensor, 0, set.Len())
	for _, t := range set.All() {
		list = append(list, tensor.Cast(t, like.Lookup(t.Name).DType))
	}
	return tensor.NewSet(list...)
}

// The forms of a result.
const (
	formSafetensors = "safetensors"
	formONNX        = "onnx"
	formRope        = "rope"
)

// formOf tells the form of a result by its name.
func formOf(path string) (string, error) {
	switch f := strings.TrimPrefix(filepath.Ext(path), "."); f {
	case formSafetensors, formONNX, formRope:
		return f, nil
	}
	return "", usagef("%s does not say what to write", path).withHint("a name that ends in .safetensors, .onnx or .rope does")
}

// writeFile writes a file as a whole.
func writeFile(path string, force bool, write func(f *atomicfile.File) error) (int64, error) {
	f, err := atomicfile.Create(path, force)
	if err != nil {
		return 0, err
	}
	defer f.Discard()
	if err := write(f); err != nil {
		return 0, fmt.Errorf("write %s: %w", path, err)
	}
	size, err := f.Seek(0, 2)
	if err != nil {
		size = 0 // a device
	}
	return size, f.Commit()
}
