package onnx

import (
	"cmp"
	"fmt"
	"slices"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// Format is the name of the format in a [layout.Layout].
const Format = "onnx"

// A Model is a parsed model that can be written with other tensors. It is
// immutable and safe for concurrent use.
type Model struct {
	// Layout is what [Parse] returns.
	Layout *layout.Layout

	name       string
	enclosures []enclosure // parents before their children
	slots      []slot      // one per view
}

// Parse finds the tensors of a model. The name is that of the file, as errors
// print it; its last element is that of the first file of the layout. External
// data is opened with open, which may be nil if there is none.
//
// Tensors are in the order of the file and have the names that the graph gives
// them: an initializer its own, a Constant that of its output, any other tensor
// attribute the name of its node and attribute. What is nested is named with the
// path to it ("If_0.then_branch/w"), and equal names are told apart by a number
// ("w#2"). Two tensors with the same external bytes are two views of one array.
//
// Parse returns a [*layout.CorruptError] or a [*layout.UnsupportedError] where
// the model is to blame. It does not read values, and does not verify the
// checksums that external data may have.
func Parse(name string, d tensor.Data, open layout.Opener) (*layout.Layout, error) {
	m, err := Open(name, d, open)
	if err != nil {
		return nil, err
	}
	return m.Layout, nil
}

// Open is like [Parse] and also keeps what [Model.Edit] needs.
func Open(name string, d tensor.Data, open layout.Opener) (*Model, error) {
	w := &walker{
		r:         newReader(name, 0, d),
		open:      open,
		files:     []layout.File{{Name: baseName(name), Data: d}},
		fileIndex: make(map[string]int),
		names:     namer{next: make(map[string]int)},
	}
	if err := w.model(); err != nil {
		return nil, err
	}
	l, err := w.layout()
	if err != nil {
		return nil, err
	}
	if err := l.Validate(); err != nil {
		return nil, &layout.CorruptError{File: name, Offset: -1, Reason: err.Error(), Err: err}
	}
	return &Model{Layout: l, name: name, enclosures: w.enclosures, slots: w.slots}, nil
}

// layout makes the layout of what the walk has found.
func (w *walker) layout() (*layout.Layout, error) {
	l := &layout.Layout{
		Format:   Format,
		Files:    w.files,
		Views:    make([]layout.View, len(w.slots)),
		Metadata: w.metadata,
		Decoders: Decoders(w.r.file),
	}
	var order []int // slots with arrays, as arrays are sorted
	for i := range w.slots {
		l.Views[i] = w.slots[i].view
		if w.slots[i].view.Encoded == nil {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		s, t := &w.slots[a], &w.slots[b]
		return cmp.Or(cmp.Compare(s.file, t.file), cmp.Compare(s.body.start, t.body.start), cmp.Compare(s.body.end, t.body.end))
	})
	for k, i := range order {
		s := &w.slots[i]
		if k > 0 && s.file > 0 {
			before := &w.slots[order[k-1]]
			if before.file == s.file && before.body.end > s.body.start {
				if before.body != s.body {
					return nil, &layout.CorruptError{
						File:   w.files[s.file].Name,
						Offset: s.body.start,
						Reason: fmt.Sprintf("external data of %q begins inside of that of %q", s.view.Name, before.view.Name),
					}
				}
				if err := w.tie(l, i); err != nil {
					return nil, err
				}
				continue
			}
		}
		l.Views[i].Array = len(l.Arrays)
		l.Arrays = append(l.Arrays, layout.Array{
			Name:   s.view.Name,
			DType:  s.view.DType,
			Shape:  s.view.Shape,
			File:   s.file,
			Offset: s.body.start,
			Size:   s.body.size(),
		})
	}
	return l, nil
}

// tie makes view i one of the last array, which has the same bytes. The types
// may differ as long as both have whole bytes.
func (w *walker) tie(l *layout.Layout, i int) error {
	v, a := &l.Views[i], &l.Arrays[len(l.Arrays)-1]
	v.Array = len(l.Arrays) - 1
	bits := v.DType.Bits()
	if !v.IsWhole(a) && (bits == 0 || bits%8 != 0 || !a.DType.Known()) {
		return w.r.unsupported(w.slots[i].at, "%q and %q share external data as %s and %s", v.Name, a.Name, v.DType, a.DType)
	}
	return nil
}
