package safetensors

import (
	"io"
	"path/filepath"
	"strconv"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// totalSize is the key of an index under which writers put the bytes of all
// values.
const totalSize = "total_size"

// A Rewrite is a plan to write the files of a checkpoint with other values.
type Rewrite struct {
	files []rewritten
}

// A rewritten file is a shard or, without a set, the index.
type rewritten struct {
	set      *tensor.Set
	metadata []layout.Pair
	text     []byte
	size     int64
}

// NewRewrite plans to write the files of l, which [Parse] or [ParseIndex] made,
// with the tensors of set, which has the same names. Each tensor stays in its
// file and each file keeps its metadata; its tensors are in the order of [Write].
// An index keeps its text but for the number under total_size.
func NewRewrite(l *layout.Layout, set *tensor.Set) (*Rewrite, error) {
	r := &Rewrite{}
	total := int64(0)
	for i, f := range l.Files {
		head, err := read(f.Name, f.Data, 0, min(64, f.Data.Size()))
		if err != nil {
			return nil, err
		}
		if i == 0 && SniffIndex(head) {
			r.files = append(r.files, rewritten{})
			continue
		}
		h, err := readHeader(f.Name, f.Data)
		if err != nil {
			return nil, err
		}
		w := rewritten{metadata: h.metadata}
		list := make([]*tensor.Tensor, len(h.entries))
		for j := range h.entries {
			list[j] = set.Lookup(h.entries[j].name)
			if list[j] == nil {
				return nil, &layout.CorruptError{File: f.Name, Offset: -1, Reason: "tensor " + strconv.Quote(h.entries[j].name) + " is missing"}
			}
			w.size += list[j].Size()
		}
		if w.set, err = tensor.NewSet(list...); err != nil {
			return nil, err
		}
		// What the format refuses shows before anything is written.
		order, err := fileOrder(w.set)
		if err != nil {
			return nil, err
		}
		b, err := appendHeader(nil, order, w.metadata)
		if err != nil {
			return nil, err
		}
		total += w.size
		w.size += int64(len(b))
		r.files = append(r.files, w)
	}
	if len(r.files) > 0 && r.files[0].set == nil {
		text, err := indexWithTotal(filepath.Base(l.Files[0].Name), l.Files[0].Data, total)
		if err != nil {
			return nil, err
		}
		r.files[0].text, r.files[0].size = text, int64(len(text))
	}
	return r, nil
}

// Size returns the bytes of a file, by its index in the layout.
func (r *Rewrite) Size(file int) int64 { return r.files[file].size }

// WriteFile writes a file, by its index in the layout.
func (r *Rewrite) WriteFile(w io.Writer, file int) error {
	f := &r.files[file]
	if f.set != nil {
		return Write(w, f.set, f.metadata)
	}
	_, err := w.Write(f.text)
	return err
}

// indexWithTotal returns the text of an index with another total_size, if it
// has a number there.
func indexWithTotal(file string, d tensor.Data, total int64) ([]byte, error) {
	text, err := read(file, d, 0, d.Size())
	if err != nil {
		return nil, err
	}
	s, err := newScanner(file, 0, text)
	if err != nil {
		return nil, err
	}
	from, to := 0, 0
	err = s.object(func(_ int, key []byte) error {
		if string(key) != indexMetadata || s.peek() != '{' {
			return s.skip(1)
		}
		return s.object(func(_ int, key []byte) error {
			found, c := string(key) == totalSize, s.peek()
			at := s.pos
			if err := s.skip(2); err != nil {
				return err
			}
			if found && c >= '0' && c <= '9' {
				from, to = at, s.pos
			}
			return nil
		})
	})
	if err != nil || from == to {
		return text, err
	}
	b := append([]byte(nil), text[:from]...)
	b = strconv.AppendInt(b, total, 10)
	return append(b, text[to:]...), nil
}
