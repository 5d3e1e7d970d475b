package tensor

import (
	"fmt"
	"iter"
)

// A Set is an ordered collection of tensors with distinct names. It is
// immutable and safe for concurrent use. The nil Set is empty.
type Set struct {
	list  []*Tensor
	index map[string]int
}

// NewSet returns a Set of the given tensors in the given order. It refuses
// duplicate names, invalid shapes, and data whose size is not that of the
// type and shape (where the type is known).
func NewSet(ts ...*Tensor) (*Set, error) {
	s := &Set{list: ts, index: make(map[string]int, len(ts))}
	for i, t := range ts {
		if _, dup := s.index[t.Name]; dup {
			return nil, fmt.Errorf("tensor: two tensors are named %q", t.Name)
		}
		s.index[t.Name] = i
		if _, err := t.Shape.Elems(); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if t.Data == nil {
			return nil, fmt.Errorf("tensor %q: has no data", t.Name)
		}
		if !t.DType.Known() {
			continue
		}
		want, err := t.Shape.Size(t.DType)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if got := t.Data.Size(); got != want {
			return nil, fmt.Errorf("tensor %q: %s %v takes %d bytes, has %d", t.Name, t.DType, t.Shape, want, got)
		}
	}
	return s, nil
}

// Len returns the number of tensors.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.list)
}

// At returns tensor i, 0 <= i < Len.
func (s *Set) At(i int) *Tensor { return s.list[i] }

// Lookup returns the tensor of that name, or nil.
func (s *Set) Lookup(name string) *Tensor {
	if s == nil {
		return nil
	}
	if i, ok := s.index[name]; ok {
		return s.list[i]
	}
	return nil
}

// All yields the tensors in order.
func (s *Set) All() iter.Seq2[int, *Tensor] {
	return func(yield func(int, *Tensor) bool) {
		for i := range s.Len() {
			if !yield(i, s.list[i]) {
				return
			}
		}
	}
}

// Overlay returns a Set like base in which each of the changed tensors stands
// in the place of the one with its name. Tensors that are not named keep their
// (lazy) data. A name that base lacks is an error: an overlay changes, it does
// not add.
func Overlay(base *Set, changed ...*Tensor) (*Set, error) {
	list := make([]*Tensor, base.Len())
	for i, t := range base.All() {
		list[i] = t
	}
	for _, t := range changed {
		if base.Lookup(t.Name) == nil {
			return nil, fmt.Errorf("tensor: overlay has %q, which the base lacks", t.Name)
		}
		list[base.index[t.Name]] = t
	}
	return NewSet(list...)
}
