package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
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
