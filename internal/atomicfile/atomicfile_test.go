package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// write runs the whole life of a File.
func write(path, text string, force bool) error {
	f, err := Create(path, force)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	return f.Commit()
}

// dirOf returns the files of dir with their contents.
func dirOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			b = []byte("?")
		}
		got[e.Name()] = string(b)
	}
	return got
}

func check(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	if d := cmp.Diff(want, dirOf(t, dir)); d != "" {
		t.Errorf("folder (-want +got):\n%s", d)
	}
}

func TestCommit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := write(path, "one", false); err != nil {
		t.Fatal(err)
	}
	check(t, dir, map[string]string{"a": "one"})
	if err := write(path, "two", false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second file: %v, want fs.ErrExist", err)
	}
	check(t, dir, map[string]string{"a": "one"})
	if err := write(path, "two", true); err != nil {
		t.Fatal(err)
	}
	check(t, dir, map[string]string{"a": "two"})
}

func TestDiscard(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := write(path, "old", false); err != nil {
		t.Fatal(err)
	}
	f, err := Create(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	f.Discard()
	f.Discard()
	check(t, dir, map[string]string{"a": "old"})
	if err := f.Commit(); err == nil {
		t.Error("a discarded file was committed")
	}
}

// A file that appears while we write is not overwritten.
func TestRace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	f, err := Create(path, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("theirs"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want fs.ErrExist", err)
	}
	check(t, dir, map[string]string{"a": "theirs"})
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := write(dir, "", true); !errors.Is(err, ErrIsDir) {
		t.Errorf("a directory: %v, want ErrIsDir", err)
	}
	if err := write(filepath.Join(dir, "no", "a"), "", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing folder: %v, want fs.ErrNotExist", err)
	}
	check(t, dir, map[string]string{})
}

func TestSymlink(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("target", link); err != nil {
		t.Skip(err)
	}
	for _, text := range []string{"made through a dangling link", "replaced"} {
		if err := write(link, text, true); err != nil {
			t.Fatal(err)
		}
		check(t, dir, map[string]string{"target": text, "link": text})
		if st, err := os.Lstat(link); err != nil || st.Mode().Type() != fs.ModeSymlink {
			t.Errorf("the link is gone: %v, %v", st.Mode(), err)
		}
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	if err := write(loop, "", true); err == nil {
		t.Error("a link to itself was written through")
	}
}

func TestMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := write(path, "x", true); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o640 {
		t.Errorf("mode %v, %v; want that of the file before, 0640", st.Mode(), err)
	}
}

func TestDevice(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	if err := write("/dev/null", "x", false); err != nil {
		t.Error(err)
	}
	if err := write("/dev/full", "x", false); err == nil {
		t.Error("the full disk took a byte")
	}
}

// killed makes this test binary write a file and never end.
const killed = "ATOMICFILE_TEST_TARGET"

func TestMain(m *testing.M) {
	if path := os.Getenv(killed); path != "" {
		f, err := Create(path, true)
		if err == nil {
			_, err = f.WriteString("half of")
		}
		fmt.Println(err)
		select {}
	}
	os.Exit(m.Run())
}

// begin starts a process that is in the middle of writing path.
func begin(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killed+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "<nil>\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd
}

func end(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("it was not killed")
	}
}

func temporary(t *testing.T, dir string) int {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, ".ropewalk-*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(left)
}

// What a killed process leaves goes with the next file of that name, and nothing else:
// not what another process is writing, and not what belongs to other targets.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	end(t, begin(t, a))
	end(t, begin(t, b))
	if n := temporary(t, dir); n != 2 {
		t.Fatalf("%d temporary files, want one of each target", n)
	}
	alive := begin(t, a)
	defer func() {
		if alive != nil {
			end(t, alive)
		}
	}()
	if n := temporary(t, dir); n != 2 {
		t.Errorf("%d temporary files, want that of b, and the one that is being written", n)
	}
	if err := write(a, "whole", false); err != nil {
		t.Fatal(err)
	}
	if n := temporary(t, dir); n != 2 {
		t.Errorf("%d temporary files are left, want that of b, and the one that is being written", n)
	}
	end(t, alive)
	alive = nil
	if err := write(a, "whole", true); err != nil {
		t.Fatal(err)
	}
	if n := temporary(t, dir); n != 1 {
		t.Errorf("%d temporary files are left, want that of b", n)
	}
	own, err := Create(a, true) // of this process, too
	if err != nil {
		t.Fatal(err)
	}
	defer own.Discard()
	if err := write(b, "whole", false); err != nil {
		t.Fatal(err)
	}
	if err := write(a, "again", true); err != nil {
		t.Fatal(err)
	}
	if _, err := own.WriteString("last"); err != nil {
		t.Fatal(err)
	}
	if err := own.Commit(); err != nil {
		t.Fatal(err)
	}
	check(t, dir, map[string]string{"a": "last", "b": "whole"})
}

// Writers of one target do not take each other's files away.
func TestSweepRace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			for range 50 {
				if err := write(path, "x", true); err != nil {
					t.Error(err)
				}
			}
		})
	}
	g.Wait()
	check(t, dir, map[string]string{"a": "x"})
}
