package cli

import (
	"errors"
	"io"
	"os"
	"runtime"
)

// isLost reports whether standard output was closed when the program started, as by
// the shell's >&-. The runtime of Go opens /dev/null in its place, for reading and
// writing, so that writing there succeeds; who throws an answer away on purpose opens
// it for writing only, as > /dev/null does. Some do not, such as Python's DEVNULL, and
// cannot be told apart: see RATIONALE.md.
func isLost(f *os.File) bool {
	if runtime.GOOS == "windows" {
		return false // writing fails there
	}
	st, err := f.Stat()
	if err != nil {
		return true
	}
	null, err := os.Stat(os.DevNull)
	if err != nil || !os.SameFile(st, null) {
		return false
	}
	_, err = f.Read(make([]byte, 1)) // the end of the file, or that it is not open for reading
	return errors.Is(err, io.EOF)
}

// needStdout is for work whose result is what goes to standard output, and nothing
// else: it says before the work that the result would be lost.
func (e *env) needStdout() error {
	if !e.lost {
		return nil
	}
	v := &verdict{status: exitFailure, err: errors.New("standard output is closed, and the answer would be lost")}
	return v.withHint("> /dev/null throws it away on purpose")
}
