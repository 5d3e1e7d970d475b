package layout

import "fmt"

// A CorruptError reports a file that breaks the rules of its format: it is
// damaged, truncated, or was never meant to be read.
type CorruptError struct {
	File   string // as the user named it, or a file beside that one
	Offset int64  // in bytes from the start of the file; -1 if it has no place
	Reason string // one sentence without a full stop: what, with numbers
	Err    error  // the cause, or nil; io.ErrUnexpectedEOF for a truncated file
}

func (e *CorruptError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Reason)
	}
	return fmt.Sprintf("%s: at byte %d: %s", e.File, e.Offset, e.Reason)
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Err }

// An UnsupportedError reports a file that may be valid, but uses something
// that this version does not read.
type UnsupportedError struct {
	File   string
	Offset int64 // -1 if it has no place
	Reason string
}

func (e *UnsupportedError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Reason)
	}
	return fmt.Sprintf("%s: at byte %d: %s", e.File, e.Offset, e.Reason)
}
