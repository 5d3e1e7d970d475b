package align

import (
	"sync/atomic"

	"ropewalk/tensor"
)

// forgetEvery is after how many bytes that were read of a tensor its mapped pages are
// given back.
const forgetEvery = 64 << 20

// A forgetful Data is a part of a mapped file that does not stay in memory because it was
// read: whoever reads a long file once, in any order, has a part of it at a time.
type forgetful struct {
	tensor.Section
	pages interface{ Release(off, n int64) }
	read  atomic.Int64
	last  *atomic.Pointer[forgetful] // of all tensors, the one that was read last
}

// forgetfully returns set, the tensors of mapped files replaced by forgetful ones.
func forgetfully(set *tensor.Set) (*tensor.Set, error) {
	var changed []*tensor.Tensor
	last := &atomic.Pointer[forgetful]{}
	for _, t := range set.All() {
		part, ok := t.Data.(tensor.Section)
		if !ok || part.Len < forgetEvery/64 {
			continue
		}
		if r, ok := part.Base.(interface{ Release(off, n int64) }); ok {
			changed = append(changed, &tensor.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Data: &forgetful{Section: part, pages: r, last: last}})
		}
	}
	return tensor.Overlay(set, changed...)
}

// ReadAt implements [io.ReaderAt].
func (f *forgetful) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.Section.ReadAt(p, off)
	f.count(int64(n))
	return n, err
}

// Slice implements [tensor.Slicer]. What was lent stays valid: pages that were given back
// come from the file again.
func (f *forgetful) Slice(off, n int64) ([]byte, bool) {
	b, ok := f.Section.Slice(off, n)
	if ok {
		f.count(n)
	}
	return b, ok
}

func (f *forgetful) count(n int64) {
	if was := f.last.Swap(f); was != nil && was != f {
		was.forget()
	}
	if f.read.Add(n) >= forgetEvery {
		f.forget()
	}
}

func (f *forgetful) forget() {
	f.read.Store(0)
	f.pages.Release(f.Off, f.Len)
}
