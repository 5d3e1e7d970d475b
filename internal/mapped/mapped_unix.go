//go:build unix

package mapped

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"ropewalk/tensor"
)

// mapping is a mapped file.
type mapping struct{ tensor.Bytes }

func mapFile(f *os.File, size int64) (tensor.Data, func() error, error) {
	if size == 0 || int64(int(size)) != size {
		return nil, nil, errors.New("cannot be mapped")
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return mapping{b}, func() error { return unix.Munmap(b) }, nil
}

// Release drops the whole pages of the range from memory. They come back from
// the file when they are touched again.
func (m mapping) Release(off, n int64) {
	page := int64(os.Getpagesize())
	from, to := (off+page-1)/page*page, (off+n)/page*page
	if from < to && to <= int64(len(m.Bytes)) {
		_ = unix.Madvise(m.Bytes[from:to], unix.MADV_DONTNEED) // only advice
	}
}
