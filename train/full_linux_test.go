package train_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"ropewalk/train"
)

// fullDir names the folder in which the test binary trains with no room for a
// larger file than it is given.
const fullDir = "ROPEWALK_TEST_FULL_DIR"

func init() {
	dir := os.Getenv(fullDir)
	if dir == "" {
		return
	}
	o := killOptions(dir)
	o.Resume = true
	// A limit on the size of files is the disk that is full when a snapshot is
	// half written.
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 4096, Max: 4096}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		panic(err)
	}
	_, err := train.Fit(context.Background(), newPerceptron(width, 10, classes, 3), examples(), o)
	switch {
	case errors.Is(err, syscall.EFBIG):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(7)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(8)
	}
	os.Exit(0)
}

// A snapshot that does not fit the disk is an error, and the one before stays.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	whole := snapshotOf(t, killOptions(dir))
	if len(whole) < 4097 {
		t.Fatalf("the snapshot has %d bytes only", len(whole))
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), fullDir+"="+dir)
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 7 {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(string(out), "snapshot") {
		t.Errorf("%s does not say what was written", out)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("%v beside snapshot and history (%v)", entries, err)
	}
	if now, err := os.ReadFile(killOptions(dir).Snapshot); err != nil || string(now) != string(whole) {
		t.Errorf("the snapshot before is gone (%v)", err)
	}
	// With room again, the run goes on.
	p := newPerceptron(width, 10, classes, 3)
	if err := resume(t, p, killOptions(dir)); err != nil {
		t.Error(err)
	}
}
