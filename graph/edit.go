package graph

import (
	"bytes"
	"errors"
	"io"

	"ropewalk/internal/format/onnx"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// A source is the model that a graph comes from.
type source struct {
	model *onnx.Model
	base  *tensor.Set
}

// ErrNoSource reports a graph that does not come from a file that could be
// edited.
var ErrNoSource = errors.New("graph: the graph was not read from an ONNX file; write it with WriteONNX")

// An Edit is a plan to write the files of a model with other weights. It reads
// from the files of the model, which must stay open, and is safe for concurrent
// use.
type Edit struct {
	edit  *onnx.Edit
	files []layout.File
}

// EditONNX plans to write the very model that g comes from, with the weights of g
// where they differ from those of the file. All else keeps its bytes: nodes in
// their old form, names, metadata, weights that are the same. The error is
// [ErrNoSource] if g comes from no file.
func (g *Graph) EditONNX() (*Edit, error) {
	if g.source == nil {
		return nil, ErrNoSource
	}
	var changed []*tensor.Tensor
	for _, old := range g.source.base.All() {
		t := g.Weights.Lookup(old.Name)
		if t == nil || t == old {
			continue
		}
		same, err := sameBytes(old, t)
		if err != nil {
			return nil, err
		}
		if !same {
			changed = append(changed, t)
		}
	}
	set, err := tensor.Overlay(g.source.base, changed...)
	if err != nil {
		return nil, err
	}
	e, err := g.source.model.Edit(g.source.base, set)
	if err != nil {
		return nil, err
	}
	return &Edit{e, g.source.model.Layout.Files}, nil
}

// Files are the files of the model: the main one, then those with external data.
func (e *Edit) Files() []layout.File { return e.files }

// Changed reports whether a file, by its index, gets other bytes.
func (e *Edit) Changed(file int) bool { return e.edit.Changed(file) }

// Size returns how many bytes WriteFile writes.
func (e *Edit) Size(file int) int64 { return e.edit.Size(file) }

// WriteFile writes a file, by its index. It must not be one of the model.
func (e *Edit) WriteFile(w io.Writer, file int) error { return e.edit.WriteFile(w, file) }

// sameBytes reports whether two tensors are the same but for their names.
func sameBytes(a, b *tensor.Tensor) (bool, error) {
	if a.DType != b.DType || !a.Shape.Equal(b.Shape) || a.Size() != b.Size() {
		return false, nil
	}
	const piece = 1 << 20
	var x, y []byte
	for off := int64(0); off < a.Size(); off += piece {
		n := min(piece, a.Size()-off)
		p, err := tensor.ReadRange(a.Data, off, n, x)
		if err != nil {
			return false, err
		}
		q, err := tensor.ReadRange(b.Data, off, n, y)
		if err != nil {
			return false, err
		}
		if !bytes.Equal(p, q) {
			return false, nil
		}
	}
	return true, nil
}
