package filelock

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func hold(t *testing.T, path string) *Lock {
	t.Helper()
	l, err := Hold(path)
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The second one is told who has it, and gets it when the first is done. What a dead
// process left is taken over.
func TestHold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.lock")
	if err := os.WriteFile(path, []byte("123456789\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	l := hold(t, path)
	_, err := Hold(path)
	var held *HeldError
	if !errors.As(err, &held) || held.PID != os.Getpid() || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("the second gets %v", err)
	}
	l.Release()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	hold(t, path).Release()
	(*Lock)(nil).Release()
}

// A file of somebody else's that has the name of a lock stays what it is.
func TestHoldSparesFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.lock")
	for _, text := range []string{"dear diary", "12 monkeys", strings.Repeat("1", 100)} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Hold(path); errors.Is(err, ErrUnsupported) {
			t.Skip(err)
		} else if err == nil || !strings.Contains(err.Error(), "move it away") {
			t.Errorf("%q: %v", text, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q became %q (%v)", text, got, err)
		}
	}
	if _, err := Hold(filepath.Join(path, "b")); err == nil {
		t.Error("a lock in a folder that is none")
	}
}

// Never do two hold it.
func TestHoldRace(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a file that another opens cannot be removed there")
	}
	path := filepath.Join(t.TempDir(), "a.lock")
	hold(t, path).Release()
	var holders, got atomic.Int32
	var g sync.WaitGroup
	for range 4 {
		g.Go(func() {
			for range 300 {
				l, err := Hold(path)
				if err != nil {
					if !errors.As(err, new(*HeldError)) {
						t.Error(err)
					}
					continue
				}
				if holders.Add(1) != 1 {
					t.Error("two hold it")
				}
				got.Add(1)
				holders.Add(-1)
				l.Release()
			}
		})
	}
	g.Wait()
	if got.Load() == 0 {
		t.Error("nobody ever got it")
	}
}
