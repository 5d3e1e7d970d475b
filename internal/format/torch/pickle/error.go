package pickle

import "fmt"

// An Error says why a pickle was not read, and at which opcode.
type Error struct {
	Offset int64  // of the opcode, from the start of the pickle
	Reason string // one sentence without a full stop
	// Refused is set where the pickle may be valid, but wants something that
	// is not read; else it breaks the rules of the format.
	Refused bool
	Err     error // the cause, or nil; io.ErrUnexpectedEOF for a truncated one
}

func (e *Error) Error() string {
	return fmt.Sprintf("pickle: at byte %d: %s", e.Offset, e.Reason)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Refuse returns an error for a host to refuse something that may be valid.
// The reader fills in the offset.
func Refuse(format string, args ...any) *Error {
	return &Error{Offset: -1, Reason: fmt.Sprintf(format, args...), Refused: true}
}

// Malformed returns an error for a host to report what cannot be valid. The
// reader fills in the offset.
func Malformed(format string, args ...any) *Error {
	return &Error{Offset: -1, Reason: fmt.Sprintf(format, args...)}
}
