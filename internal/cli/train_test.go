package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Ctrl-C and kill -9 lose nothing: the run goes on, and ends in the same file.
func TestTrainResume(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no way to send an interrupt to a process")
	}
	dir := t.TempDir()
	ropewalk := func(args ...string) (*exec.Cmd, *bytes.Buffer) {
		cmd := exec.Command("ropewalk", args...)
		cmd.Dir = dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		return cmd, &stderr
	}
	options := []string{
		"train", "--net", "lenet-300-100", "--data", "builtin:fashion-mnist", "--limit", "500", "--validation", "none", "--shift", "0.1",
		"--epochs", "20", "--batch", "50", "--optimizer", "adam", "--schedule", "cosine", "--snapshot-steps", "7", "--best=false",
	}
	cmd, stderr := ropewalk(append(options, "-o", "whole.safetensors")...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	stop := func(cmd *exec.Cmd, sig os.Signal, size int) error {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// So many lines of history are there: the run is in the middle.
		history := filepath.Join(dir, "part.safetensors"+historyExt)
		for begun := time.Now(); ; time.Sleep(time.Millisecond) {
			if b, err := os.ReadFile(history); err == nil && bytes.Count(b, []byte("\n")) >= size {
				break
			}
			if time.Since(begun) > time.Minute {
				t.Fatal("nothing happens")
			}
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		return cmd.Wait()
	}
	cmd, stderr = ropewalk(append(options, "-o", "part.safetensors", "-q")...)
	var exit *exec.ExitError
	if err := stop(cmd, os.Interrupt, 2); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("%v, want status 130", err)
	}
	if want := "ropewalk: error: interrupted\nropewalk: hint: ropewalk train --resume -o part.safetensors goes on\n"; stderr.String() != want {
		t.Errorf("stderr: %q, want %q", stderr, want)
	}
	cmd, _ = ropewalk("train", "--resume", "-o", "part.safetensors", "-q")
	if err := stop(cmd, syscall.SIGKILL, 5); err == nil {
		t.Error("the run was over before it was killed")
	}
	cmd, stderr = ropewalk("train", "--resume", "-o", "part.safetensors", "--threads", "1")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	whole, err := os.ReadFile(filepath.Join(dir, "whole.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	part, err := os.ReadFile(filepath.Join(dir, "part.safetensors"))
	if err != nil || !bytes.Equal(whole, part) {
		t.Errorf("the resumed run has another result (%v)", err)
	}
	history, err := os.ReadFile(filepath.Join(dir, "part.safetensors"+historyExt))
	if err != nil || strings.Count(string(history), "\n") != 20 {
		t.Errorf("%d lines of history, want 20 (%v)", strings.Count(string(history), "\n"), err)
	}
	if left := glob(t, dir, "*"+snapshotExt); left != nil {
		t.Errorf("left behind: %q", left)
	}
}
