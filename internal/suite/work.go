package suite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// workMark is a file in folders of work by which they are known as ours: all that is in
// them is removed in the end.
const workMark = ".ropewalk-bench"

// A WorkError is about a folder that would be one of work, and that we have not made.
type WorkError struct{ Folder string }

func (e *WorkError) Error() string {
	return fmt.Sprintf("%s is there, and no bench has made it; what is in it would be removed", e.Folder)
}

// CheckWork returns a [*WorkError] if there is something in the place of a folder of work
// that is not ours.
func CheckWork(dir string) error {
	st, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return &WorkError{dir}
	}
	if _, err := os.Lstat(filepath.Join(dir, workMark)); err == nil {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return &WorkError{dir}
	}
	return nil
}

// makeWork makes a folder of work.
func makeWork(dir string) error {
	if err := CheckWork(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, workMark), nil, 0o666)
}

// removeWork removes a folder of work. Its mark goes last: without it, what an
// interruption leaves would be nobody's.
func removeWork(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == workMark {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}
