package native

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// A failure is what forward and backward panic with if the data makes it impossible
// to go on, such as an index that is outside of a table. Forward and Step return it
// as an error that names the node.
//
// Any other panic in an operator is a mistake of ours. It becomes an error, too,
// which says so and has the stack: a goroutine of the pool hands its panic to the
// caller's, so that nothing ends the program behind its back.
type failure struct{ err error }

// fail ends the call of Forward or Step.
func fail(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

// caught sets *err to what an operator has panicked with. It is to be deferred.
func (l *plan) caught(err *error) {
	r := recover()
	if r == nil {
		return
	}
	n := l.running
	if n == nil {
		panic(r)
	}
	f, ok := r.(failure)
	if !ok {
		f.err = fmt.Errorf("internal error: %v\n%s", r, debug.Stack())
	}
	*err = fmt.Errorf("node %q (%s): %w", n.Name, n.Op, f.err)
}

// try calls a maker. A panic in it is a mistake of ours, and becomes an error.
func (m maker) try(n *node) (o operator, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v\n%s", r, debug.Stack())
		}
	}()
	return m(n)
}

var errTooLarge = errors.New("more elements than can be computed with")

// elems returns the number of elements of a site, or an error if there are too many.
func (s *site) elems() (int, error) {
	n, err := s.shape.Elems()
	if err != nil {
		return 0, err
	}
	if n > maxElements {
		return 0, fmt.Errorf("%q of shape %v has %w (%d)", s.name, s.shape, errTooLarge, int64(maxElements))
	}
	return int(n), nil
}
