//go:build unix

package cli

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A named pipe that nobody writes to keeps nobody waiting.
func TestServePipe(t *testing.T) {
	dir := servedFolder(t)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.json"), 0o666); err != nil {
		t.Skipf("no named pipes here: %v", err)
	}
	s := servedBy(t, dir)
	status := make(chan int)
	go func() {
		r := ask(s, "GET", "/see?file=pipe.json")
		defer r.Body.Close()
		status <- r.StatusCode
	}()
	select {
	case got := <-status:
		if got != 403 {
			t.Errorf("status %d, want 403", got)
		}
	case <-time.After(20 * time.Second):
		t.Error("no answer")
	}
}
