package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"ropewalk/train"
)

// The best try need not be the last one: its running statistics, its history and its bytes
// are those of the file.
func TestBestTry(t *testing.T) {
	dir := t.TempDir()
	ropewalk := func(status int, args ...string) []byte {
		t.Helper()
		cmd := exec.Command("ropewalk", append(args, "--data", "builtin:fashion-mnist", "--size", "8x8", "--json", "-q", "--threads", "1")...)
		cmd.Dir = dir
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run() // the status says it
		if cmd.ProcessState.ExitCode() != status {
			t.Fatalf("%v: status %d, want %d: %s", args, cmd.ProcessState.ExitCode(), status, &stderr)
		}
		lines := bytes.Split(bytes.TrimSpace(stdout.Bytes()), []byte("\n"))
		return lines[len(lines)-1]
	}
	ropewalk(exitOK, "train", "--net", "resnet20", "--limit", "300", "--epochs", "6", "--rate", "0.05", "--momentum", "0.9", "--schedule", "cosine", "--batch", "50", "-o", "floats.safetensors")
	text := ropewalk(exitBudget, "train", "--net", "resnet20", "--limit", "300", "--init", "floats.safetensors", "--penalty", "hemp", "--lambda", "3e-5", "--max-drop", "0.1%", "--tries", "2", "--epochs", "2", "--batch", "50", "-o", "small.rope")
	var res trainResult
	if err := json.Unmarshal(text, &res); err != nil {
		t.Fatal(err)
	}
	best := bestTry(res.Hemp.Tries)
	if best == len(res.Hemp.Tries)-1 {
		t.Skip("the last try is the best one here")
	}
	if want := res.Hemp.Tries[best]; res.Bytes != want.Bytes || *res.Validation.Top1 != want.Top1 {
		t.Errorf("%d bytes and %v right, the best try had %d and %v", res.Bytes, *res.Validation.Top1, want.Bytes, want.Top1)
	}
	var test struct {
		Result train.Result `json:"result"`
	}
	if err := json.Unmarshal(ropewalk(exitOK, "eval", "small.rope"), &test); err != nil {
		t.Fatal(err)
	}
	if *test.Result.Top1 != *res.Test.Top1 {
		t.Errorf("the file gets %v of the test data right, and %v was said", *test.Result.Top1, *res.Test.Top1)
	}
	history, err := os.ReadFile(filepath.Join(dir, "small.rope"+historyExt))
	if err != nil {
		t.Fatal(err)
	}
	var last train.Event
	lines := bytes.Split(bytes.TrimSpace(history), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &last); err != nil {
		t.Fatal(err)
	}
	if last.Notes["hemp"]["bytes"] != float64(res.Hemp.Trained) {
		t.Errorf("the history ends with %v bytes, and training with %d", last.Notes["hemp"]["bytes"], res.Hemp.Trained)
	}
	for _, pattern := range []string{"small.rope.*.history.jsonl", "small.rope.*snapshot*", "small.rope" + searchExt} {
		if left, _ := filepath.Glob(filepath.Join(dir, pattern)); left != nil {
			t.Errorf("%v are left", left)
		}
	}
}

// What a search may lose is against the weights that it begins with, as they were before any
// of them was pruned.
func TestSearchPruned(t *testing.T) {
	dir := t.TempDir()
	before := func(more ...string) string {
		t.Helper()
		args := []string{"train", "--threads", "1", "--net", "builtin:lenet5", "--data", "builtin:fashion-mnist", "--limit", "300", "--penalty", "hemp", "--max-drop", "99%", "--tries", "1", "--epochs", "1", "-f", "-o", "small.rope"}
		_, stderr, _ := command(t, dir, append(args, more...)...) // what it says of the beginning counts
		for line := range strings.Lines(stderr) {
			if strings.Contains(line, "before: ") {
				return line
			}
		}
		t.Fatalf("nothing about the beginning: %s", stderr)
		return ""
	}
	if whole, pruned := before(), before("--prune", "0.97"); whole != pruned {
		t.Errorf("%q with all weights, and %q with --prune", whole, pruned)
	}
}

// A search that was interrupted after a try goes on to the same file, and not with options
// other than those of its tries.
func TestSearchResume(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no way to send an interrupt to a process")
	}
	dir := t.TempDir()
	base := []string{"train", "-q", "--threads", "1"}
	run := func(want int, args ...string) {
		t.Helper()
		if _, stderr, status := command(t, dir, slices.Concat(base, args)...); status != want {
			t.Fatalf("%v: status %d, want %d: %s", args, status, want, stderr)
		}
	}
	data := []string{"--net", "lenet-300-100", "--data", "builtin:fashion-mnist", "--limit", "500", "--size", "8x8", "--validation", "0.2", "--optimizer", "adam", "--batch", "50"}
	run(exitOK, slices.Concat(data, []string{"--epochs", "5", "-o", "floats.safetensors"})...)
	search := slices.Concat(data, []string{"--init", "floats.safetensors", "--penalty", "hemp", "--lambda", "1e-5", "--max-drop", "5%", "--epochs", "3", "--tries", "2", "-o"})
	run(exitOK, append(search, "whole.rope")...)

	cmd := exec.Command("ropewalk", slices.Concat(base, search, []string{"part.rope"})...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); glob(t, dir, "part.rope"+searchExt) == nil; time.Sleep(time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatal("nothing happens")
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != exitInterrupted {
		t.Fatalf("status %d, want that of an interruption: %s", cmd.ProcessState.ExitCode(), &stderr)
	}
	run(exitRefused, "--resume", "--max-drop", "1%", "-o", "part.rope")
	run(exitOK, "--resume", "-o", "part.rope")
	whole, err := os.ReadFile(filepath.Join(dir, "whole.rope"))
	if err != nil {
		t.Fatal(err)
	}
	part, err := os.ReadFile(filepath.Join(dir, "part.rope"))
	if err != nil || !bytes.Equal(whole, part) {
		t.Errorf("the resumed search has another result (%v)", err)
	}
}
