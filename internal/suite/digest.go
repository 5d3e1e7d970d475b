package suite

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"strings"
)

// builtinPrefix begins the name of data that the program carries.
const builtinPrefix = "builtin:"

// maxDigested is how many bytes of data are read to know it again. What lies behind them
// counts by names and sizes alone, so that data of hundreds of gigabytes is not read for
// minutes before each bench.
const maxDigested = 1 << 30

// maxLinked bounds links to folders in folders that were reached by links: who reads data
// goes through one to a split and one to a class, and those that lead in a circle end.
const maxLinked = 4

// DataDigest returns what identifies data wherever it lies: the name of what the program
// carries, else 32 digits of a SHA-256 over the names and sizes of the files of a folder,
// in order, and their contents up to the first GiB of all; of a file that is no folder
// over its size and contents. Links are followed. Files and folders whose names begin with
// a dot are not counted, nor those that a file names, such as the shards of an index.
func DataDigest(where string) (string, error) {
	return dataDigest(where, maxDigested)
}

// dataDigest reads at most that many bytes of contents.
func dataDigest(where string, most int64) (string, error) {
	if strings.HasPrefix(where, builtinPrefix) {
		return where, nil
	}
	st, err := os.Stat(where)
	if err != nil {
		return "", err
	}
	d := &digester{Hash: sha256.New(), most: most}
	switch {
	case st.IsDir():
		d.folder = os.DirFS(where)
		err = d.addFolder(".", 0)
	case st.Mode().IsRegular():
		var f *os.File
		if f, err = os.Open(where); err == nil {
			err = d.addFile(f, "", st.Size())
		}
	default: // to open a named pipe waits for somebody to write
		err = fmt.Errorf("is %s; want a file or a folder", kindOf(st.Mode()))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", where, err)
	}
	return hex.EncodeToString(d.Sum(nil)[:16]), nil
}

// kindOf names what is neither a file nor a folder.
func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "no regular file"
}

// A digester is a hash of a folder.
type digester struct {
	hash.Hash
	folder fs.FS
	most   int64 // bytes of contents that are still read
}

// addFolder adds what is in a folder that was reached by so many links.
func (d *digester) addFolder(at string, links int) error {
	return fs.WalkDir(d.folder, at, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != at && strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.IsDir():
			return nil
		}
		st, err := fs.Stat(d.folder, name) // where a link leads to
		switch {
		case err == nil && st.IsDir() && links == maxLinked:
			return fmt.Errorf("%s is a link to a folder behind %d others; do they lead in a circle?", name, links)
		case err == nil && st.IsDir():
			return d.addFolder(name, links+1) // WalkDir goes into a link that it begins with
		case err != nil || !st.Mode().IsRegular():
			_, _ = fmt.Fprintf(d, "%q is no file\n", name) // a hash takes all
			return nil                                     //nolint:nilerr // a link that leads nowhere is no data
		}
		f, err := d.folder.Open(name)
		if err != nil {
			return err
		}
		return d.addFile(f, name, st.Size())
	})
}

// addFile adds a file, of whose contents it reads no more than is left to read, and closes
// it.
func (d *digester) addFile(f fs.File, name string, size int64) error {
	defer f.Close()
	_, _ = fmt.Fprintf(d, "%q %d\n", name, size) // a hash takes all
	if d.most == 0 {
		return nil
	}
	n, err := io.Copy(d, io.LimitReader(f, d.most))
	d.most -= n
	return err
}
