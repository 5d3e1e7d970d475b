package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// far is a byte that no file reaches: locks of Windows keep others from reading and
// writing what is locked.
const far = 1 << 30 // times 4 GiB

func try(f *os.File) (bool, error) {
	o := &windows.Overlapped{OffsetHigh: far}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, o)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
		return false, nil
	case errors.Is(err, windows.ERROR_NOT_SUPPORTED), errors.Is(err, windows.ERROR_INVALID_FUNCTION):
		return false, ErrUnsupported
	}
	return false, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
}
