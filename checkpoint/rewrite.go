package checkpoint

import (
	"errors"
	"fmt"
	"io"

	"ropewalk/internal/format/npz"
	"ropewalk/internal/format/onnx"
	"ropewalk/internal/format/safetensors"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// ErrRewrite reports a checkpoint that cannot be written in its format with
// other tensors. It is wrapped in an error that says why.
var ErrRewrite = errors.New("checkpoint: cannot be written in its format")

// A Rewrite is a plan to write the files of a checkpoint, in their format, with
// other tensors. It reads from the checkpoint, which must stay open, and is safe
// for concurrent use.
type Rewrite struct {
	plan rewriter
	l    *layout.Layout
}

type rewriter interface {
	Size(file int) int64
	WriteFile(w io.Writer, file int) error
}

// Rewrite plans to write the checkpoint with the tensors of set, which is
// made of c.Tensors with [tensor.Overlay]: other types and values under the same
// names. All else that the files hold stays: metadata, graph, tensors of other
// kinds. A .rope is written in the format of what it holds.
//
//   - safetensors: each tensor stays in its file.
//   - npz: members are stored, without compression.
//   - ONNX: values may change but not types, since operators ask for all their
//     inputs in one type, and a runtime refuses the model otherwise.
//   - PyTorch files cannot be written.
//
// The error wraps [ErrRewrite] if that cannot be.
func (c *Checkpoint) Rewrite(set *tensor.Set) (*Rewrite, error) {
	if set.Len() != c.Tensors.Len() {
		return nil, fmt.Errorf("checkpoint: %d tensors for a checkpoint of %d", set.Len(), c.Tensors.Len())
	}
	for i, t := range c.Tensors.All() {
		if n := set.At(i); n.Name != t.Name {
			return nil, fmt.Errorf("checkpoint: tensor %d is %q, in the checkpoint %q", i, n.Name, t.Name)
		}
	}
	r := &Rewrite{l: c.Layout}
	var err error
	switch c.Layout.Format {
	case safetensors.Format:
		r.plan, err = safetensors.NewRewrite(c.Layout, set)
	case onnx.Format:
		r.plan, err = c.rewriteONNX(set)
	case npz.Format:
		if len(c.Layout.Metadata) > 0 {
			return nil, fmt.Errorf("%w: member %q is no array that could be written", ErrRewrite, c.Layout.Metadata[0].Key)
		}
		r.plan = arrays{set, func(w io.Writer) error { return npz.Write(w, set) }}
	case npz.FormatNPY:
		if set.Len() != 1 {
			return nil, fmt.Errorf("%w: the array has a type that is not known", ErrRewrite)
		}
		r.plan = arrays{set, func(w io.Writer) error { return npz.WriteNPY(w, set.At(0)) }}
	default:
		return nil, fmt.Errorf("%w: format %s is only read", ErrRewrite, c.Layout.Format)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Files returns the names of the files, as in the layout: the main one first.
func (r *Rewrite) Files() []layout.File { return r.l.Files }

// Size returns about how many bytes a file will have.
func (r *Rewrite) Size(file int) int64 { return r.plan.Size(file) }

// WriteFile writes a file, by its index. It must not be one of the checkpoint.
func (r *Rewrite) WriteFile(w io.Writer, file int) error { return r.plan.WriteFile(w, file) }

// arrays is the one file of NumPy's formats.
type arrays struct {
	set   *tensor.Set
	write func(w io.Writer) error
}

func (a arrays) Size(int) int64 {
	n := int64(0)
	for _, t := range a.set.All() {
		n += t.Size()
	}
	return n
}

func (a arrays) WriteFile(w io.Writer, _ int) error { return a.write(w) }

func (c *Checkpoint) rewriteONNX(set *tensor.Set) (rewriter, error) {
	l := c.Layout
	for i, t := range c.Tensors.All() {
		if n := set.At(i); n.DType != t.DType {
			return nil, fmt.Errorf("%w: operators of an ONNX graph ask for all their inputs in one type, so tensor %q has to stay %s", ErrRewrite, t.Name, t.DType)
		}
	}
	byName := make(map[string]tensor.Data, len(l.Files))
	for _, f := range l.Files {
		byName[f.Name] = f.Data
	}
	m, err := onnx.Open(l.Files[0].Name, l.Files[0].Data, func(name string) (tensor.Data, error) {
		clean, err := layout.LocalName(name)
		if err != nil {
			return nil, err
		}
		d, ok := byName[clean]
		if !ok {
			return nil, fmt.Errorf("the checkpoint has no file %q", name)
		}
		return d, nil
	})
	if err != nil {
		return nil, err
	}
	return m.Edit(c.Tensors, set)
}
