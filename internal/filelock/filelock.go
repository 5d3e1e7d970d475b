// Package filelock tells whether somebody is at work on a file.
//
//	l, err := filelock.Hold("model.rope.lock")
//	var held *filelock.HeldError
//	if errors.As(err, &held) { … } // another process is at it
//	defer l.Release()
//
// A lock belongs to the open file, so the system takes it back when the process
// ends, however it ends: after kill -9 nothing is in anybody's way. Locks are
// advisory; they hold between processes, and between two files that one process
// has opened.
package filelock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// ErrUnsupported reports a system, or a file system, that has no locks.
var ErrUnsupported = errors.New("files cannot be locked here")

// Try takes the lock of f, which is open for reading and writing, and reports
// whether that went: false is that somebody else has it. It ends when f is closed.
func Try(f *os.File) (bool, error) { return try(f) }

// A HeldError reports a lock that somebody else has.
type HeldError struct {
	Path string
	PID  int // of the process, or 0 if it is not known
}

// Error implements error.
func (e *HeldError) Error() string {
	if e.PID == 0 {
		return e.Path + " is held by another process"
	}
	return fmt.Sprintf("%s is held by process %d", e.Path, e.PID)
}

// A Lock is a file that is there while this process does something, and says which
// process it is.
type Lock struct {
	f    *os.File
	path string
}

// attempts is how often a file may vanish while it is being locked.
const attempts = 100

// Hold makes the file at path, or takes over one that nobody holds any more, and
// locks it. If another has it, the error is a [*HeldError]; where there are no locks,
// it is [ErrUnsupported], and no file is left.
func Hold(path string) (*Lock, error) {
	for range attempts {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return nil, err
		}
		ok, err := try(f)
		switch {
		case err != nil:
			_ = f.Close()
			_ = os.Remove(path) // nobody can hold it
			return nil, err
		case !ok:
			pid := readPID(f)
			_ = f.Close()
			return nil, &HeldError{path, pid}
		case !Names(path, f): // its holder removed it after we had opened it
			_ = f.Close()
			continue
		}
		if !signed(f) {
			_ = f.Close()
			return nil, fmt.Errorf("%s is there, and is no lock; move it away", path)
		}
		l := &Lock{f, path}
		if err := l.sign(); err != nil {
			l.Release()
			return nil, err
		}
		return l, nil
	}
	return nil, &HeldError{Path: path}
}

// sign writes the number of the process, for who reads the file.
func (l *Lock) sign() error {
	if err := l.f.Truncate(0); err != nil {
		return err
	}
	_, err := l.f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// maxSigned bounds what sign writes.
const maxSigned = 32

// signed reports whether a file that may be taken over is what Hold leaves: it is
// empty, or has the number of a process.
func signed(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode().IsRegular() && (st.Size() == 0 || st.Size() <= maxSigned && readPID(f) > 0)
}

func readPID(f *os.File) int {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxSigned))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

// Release removes the file and gives the lock back. A nil lock is none.
func (l *Lock) Release() {
	if l == nil {
		return
	}
	Remove(l.path, l.f)
}

// Names reports whether f is the file at path.
func Names(path string, f *os.File) bool {
	st, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(st, there)
}

// Remove removes the file at path, whose lock f has, and closes f. Nobody can lock
// it in between, but for Windows, where an open file cannot be removed; there, one
// that another has opened stays.
func Remove(path string, f *os.File) {
	if runtime.GOOS == "windows" {
		_ = f.Close()
		_ = os.Remove(path)
		return
	}
	_ = os.Remove(path) // if it stays, the next one takes it over
	_ = f.Close()
}
