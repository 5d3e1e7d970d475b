package interrupt_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"ropewalk/internal/interrupt"
)

func TestRun(t *testing.T) {
	bad := errors.New("bad")
	if v, err := interrupt.Run(t.Context(), func() (int, error) { return 7, bad }); v != 7 || !errors.Is(err, bad) {
		t.Errorf("%d, %v", v, err)
	}
	_, err := interrupt.Run(t.Context(), func() (int, error) { panic("boo") })
	if p, ok := errors.AsType[*interrupt.Panic](err); !ok || p.Value != "boo" || !strings.Contains(err.Error(), "internal error: boo") {
		t.Error(err)
	}

	// It does not wait for what would never end.
	ctx, cancel := context.WithCancelCause(t.Context())
	block := make(chan struct{})
	defer close(block)
	_, err = interrupt.Run(ctx, func() (int, error) {
		cancel(bad)
		<-block
		return 0, nil
	})
	if !errors.Is(err, bad) {
		t.Error(err)
	}
	if _, err = interrupt.Run(ctx, func() (int, error) { t.Error("it was called"); return 0, nil }); !errors.Is(err, bad) {
		t.Error(err)
	}
}
