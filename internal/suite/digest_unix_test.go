//go:build unix

package suite

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A named pipe that nobody writes to keeps nobody waiting.
func TestDataDigestOfPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skipf("no named pipes here: %v", err)
	}
	if d, err := DataDigest(pipe); err == nil || !strings.Contains(err.Error(), "is a named pipe; want a file or a folder") {
		t.Errorf("digest %q, %v", d, err)
	}
}
