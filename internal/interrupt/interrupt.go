// Package interrupt waits for long computations that know no context.
package interrupt

import (
	"context"
	"fmt"
	"runtime/debug"
)

// Run returns what f returns, or the cause of ctx as soon as that ends; then f
// goes on for nothing, and its result is dropped. So f must touch nothing but
// memory of its own: no map of a file that is closed meanwhile, no buffer that
// goes back to a pool. A panic of f is a [*Panic].
func Run[T any](ctx context.Context, f func() (T, error)) (v T, err error) {
	if ctx.Err() != nil {
		return v, context.Cause(ctx)
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.err = &Panic{p, debug.Stack()}
			}
			done <- r
		}()
		r.v, r.err = f()
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		return v, context.Cause(ctx)
	}
}

// A Panic is a panic as an error.
type Panic struct {
	Value any
	Stack []byte
}

// Error implements error.
func (p *Panic) Error() string { return fmt.Sprintf("internal error: %v\n%s", p.Value, p.Stack) }
