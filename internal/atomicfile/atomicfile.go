// Package atomicfile writes files that appear whole or not at all.
//
//	f, err := atomicfile.Create("model.rope", false)
//	…
//	defer f.Discard() // does nothing after Commit
//	…                 // write to f
//	err = f.Commit()
//
// The bytes go to a temporary file beside the target; Commit syncs it and gives
// it the name. A program that fails, is interrupted or runs out of disk leaves
// the target as it was, and a reader who has the old file open (or mapped)
// keeps the old bytes. What a killed program leaves of its temporary file is
// removed when the same target is written the next time: the lock that its owner
// holds (see [filelock]) has then gone with it.
//
// A symbolic link stays: the file that it names is the one that is replaced. A
// target that is no regular file, such as a device or a named pipe, has nothing
// that could be replaced; it is written to directly.
package atomicfile

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"ropewalk/internal/filelock"
)

// ErrIsDir reports a target that is a directory.
var ErrIsDir = errors.New("is a directory")

// A File is a file that is being written. It is not safe for concurrent use.
type File struct {
	*os.File
	target string   // links resolved
	temp   string   // "" if the target is written to directly
	lock   *os.File // of temp; nil where there are no locks
	force  bool
	mode   fs.FileMode // of the file that is replaced, or 0
	done   bool
}

// Create begins to write the file at path. If there is one already, it fails
// with an error that is [fs.ErrExist], unless force is set. The folder must
// exist. Create finds out what it can before any work is done; Commit looks
// again.
func Create(path string, force bool) (*File, error) {
	target, err := resolve(path)
	if err != nil {
		return nil, err
	}
	f := &File{target: target, force: force}
	st, err := os.Stat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case st.IsDir():
		return nil, &fs.PathError{Op: "create", Path: path, Err: ErrIsDir}
	case !st.Mode().IsRegular():
		f.File, err = os.OpenFile(target, os.O_WRONLY, 0)
		return f, err
	case !force:
		return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	default:
		f.mode = st.Mode().Perm()
	}
	// Not os.CreateTemp: the file shall get the permissions that the user's
	// umask gives any other file.
	dir, prefix := filepath.Dir(target), prefixOf(target)
	sweep(dir, prefix)
	for range attempts {
		f.temp = filepath.Join(dir, prefix+rand.Text()+suffix)
		f.File, err = os.OpenFile(f.temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if err != nil {
			return nil, &fs.PathError{Op: "create", Path: path, Err: cause(err)}
		}
		if f.claim() {
			return f, nil
		}
		_ = f.Close() // a sweep came before the lock
	}
	return nil, &fs.PathError{Op: "create", Path: path, Err: errors.New("its temporary file is gone each time it is made")}
}

// attempts is how often a temporary file may be swept away before its owner has
// locked it. Once is rare.
const attempts = 10

const suffix = ".tmp"

// prefixOf is how the names of temporary files of a target begin. The name of the
// target itself may be too long to have more added to it.
func prefixOf(target string) string {
	h := sha256.Sum256([]byte(filepath.Base(target)))
	return ".ropewalk-" + hex.EncodeToString(h[:5]) + "-"
}

// claim locks the temporary file, and reports whether it is there still. The lock is
// that of a second open file: the first is closed before the file gets its name.
func (f *File) claim() bool {
	lock, err := os.OpenFile(f.temp, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	ok, err := filelock.Try(lock)
	switch {
	case err != nil: // no locks: then nobody else can take it, either
		_ = lock.Close()
		return true
	case !ok || !filelock.Names(f.temp, lock):
		_ = lock.Close()
		return false
	}
	f.lock = lock
	return true
}

// unlock lets a sweep have the temporary file, if it is still there.
func (f *File) unlock() {
	if f.lock != nil {
		_ = f.lock.Close()
		f.lock = nil
	}
}

// sweep removes temporary files that nobody holds any more. What goes wrong is no
// reason not to write.
func sweep(dir, prefix string) {
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1024)
		for _, name := range names {
			if strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
				removeStale(filepath.Join(dir, name))
			}
		}
		if err != nil {
			return
		}
	}
}

func removeStale(path string) {
	if st, err := os.Lstat(path); err != nil || !st.Mode().IsRegular() {
		return
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return
	}
	if ok, err := filelock.Try(f); err != nil || !ok || !filelock.Names(path, f) {
		_ = f.Close()
		return
	}
	filelock.Remove(path, f)
}

// cause takes the name of the temporary file, which means nothing to a user,
// out of an error.
func cause(err error) error {
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		return pe.Err
	case errors.As(err, &le):
		return le.Err
	}
	return err
}

// maxLinks is how many symbolic links lead to a target at most, as on Linux.
const maxLinks = 40

// resolve follows symbolic links, also to a file that is not there yet.
func resolve(path string) (string, error) {
	for range maxLinks {
		st, err := os.Lstat(path)
		if err != nil || st.Mode().Type() != fs.ModeSymlink {
			return path, nil // what is wrong with path, Stat will say
		}
		link, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(link) {
			link = filepath.Join(filepath.Dir(path), link)
		}
		path = link
	}
	return "", fmt.Errorf("%s: more than %d symbolic links", path, maxLinks)
}

// Temp returns the path of the temporary file, to read back what was written,
// or "" if the target is written to directly.
func (f *File) Temp() string { return f.temp }

// Commit makes the file durable and gives it its name. After an error the
// target is as it was, and the temporary file is gone.
func (f *File) Commit() error {
	if f.done {
		return errors.New("atomicfile: committed or discarded before")
	}
	if f.temp == "" {
		f.done = true
		return f.Close()
	}
	defer f.Discard()
	if err := f.commit(); err != nil {
		return &fs.PathError{Op: "write", Path: f.target, Err: cause(err)}
	}
	f.done = true
	f.unlock()
	syncDir(filepath.Dir(f.target))
	return nil
}

func (f *File) commit() error {
	if f.mode != 0 {
		if err := f.Chmod(f.mode); err != nil && runtime.GOOS != "windows" {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		f.unlock() // an open file cannot be renamed
	}
	if f.force {
		return os.Rename(f.temp, f.target)
	}
	// A link, unlike a rename, refuses to replace a file that came meanwhile.
	err := os.Link(f.temp, f.target)
	switch {
	case err == nil:
		return os.Remove(f.temp)
	case errors.Is(err, fs.ErrExist):
		return err
	}
	// Not all file systems have hard links.
	if _, err := os.Lstat(f.target); err == nil {
		return fs.ErrExist
	}
	return os.Rename(f.temp, f.target)
}

// Discard removes what was written, unless it was committed.
func (f *File) Discard() {
	if f.done {
		return
	}
	f.done = true
	_ = f.Close() // may be closed already
	if f.temp != "" {
		if runtime.GOOS == "windows" {
			f.unlock()
		}
		_ = os.Remove(f.temp) // nobody is left to tell
	}
	f.unlock()
}

// syncDir makes the new name durable where directories can be synced.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}
