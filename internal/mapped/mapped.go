// Package mapped opens files as tensor data: mapped into memory where the
// system can do that, else read on demand.
//
// A mapped file must not be changed or cut while it is in use; the rest of the
// program never writes into its inputs.
package mapped

import (
	"errors"
	"fmt"
	"os"

	"ropewalk/tensor"
)

// A File is an open file. Its data is valid until Close.
type File struct {
	tensor.Data
	os *os.File
	// unmap is nil where the file is not mapped.
	unmap func() error
}

// Open opens the named regular file. A directory, or another thing that has no
// length, is an error.
func Open(name string) (*File, error) {
	// Look before opening: to open a named pipe waits for somebody to write.
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() && !st.IsDir() {
		return nil, fmt.Errorf("%s: is not a regular file; use - to read from a pipe", name)
	}
	return OpenBy(os.Open, name)
}

// OpenBy opens a file as Open does, but by a function: one that opens only some files.
func OpenBy(open func(name string) (*os.File, error), name string) (*File, error) {
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && st.IsDir() {
		err = fmt.Errorf("%s: is a directory, not a file", name)
	}
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s: is not a regular file; use - to read from a pipe", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return New(f, st.Size()), nil
}

// New wraps an open file of a known size. The File owns f from then on.
func New(f *os.File, size int64) *File {
	if data, unmap, err := mapFile(f, size); err == nil {
		return &File{data, f, unmap}
	}
	return &File{Data: onDemand{f, size}, os: f}
}

// Stat describes the file, to compare it with others.
func (f *File) Stat() (os.FileInfo, error) { return f.os.Stat() }

// Slice lends mapped bytes; see [tensor.Slicer].
func (f *File) Slice(off, n int64) ([]byte, bool) {
	if s, ok := f.Data.(tensor.Slicer); ok {
		return s.Slice(off, n)
	}
	return nil, false
}

// Release tells the system that a range will not be needed soon, so that
// reading a long mapped file once does not fill the memory with it.
func (f *File) Release(off, n int64) {
	if r, ok := f.Data.(interface{ Release(off, n int64) }); ok {
		r.Release(off, n)
	}
}

// Close ends the mapping and closes the file.
func (f *File) Close() error {
	if f.unmap != nil {
		if err := f.unmap(); err != nil {
			return errors.Join(err, f.os.Close())
		}
	}
	return f.os.Close()
}

// onDemand reads with one system call a time.
type onDemand struct {
	f    *os.File
	size int64
}

func (d onDemand) Size() int64 { return d.size }

func (d onDemand) ReadAt(p []byte, off int64) (int, error) { return d.f.ReadAt(p, off) }
