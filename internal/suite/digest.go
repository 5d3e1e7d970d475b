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

// DataDigest returns what identifies data wherever it lies: the name of what the program
// carries, else 32 digits of a SHA-256 over the names and sizes of the files of a folder,
// in order, and their contents up to the first GiB of all; of a file that is no folder
// over its size and contents. Files and folders whose names begin with a dot are not
// counted, nor those that a file names, such as the shards of an index.
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
	h := sha256.New()
	if st.IsDir() {
		err = digestFolder(h, os.DirFS(where), most)
	} else {
		var f *os.File
		if f, err = os.Open(where); err == nil {
			_, err = digestFile(h, f, "", st.Size(), most)
		}
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", where, err)
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

func digestFolder(h hash.Hash, folder fs.FS, most int64) error {
	return fs.WalkDir(folder, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		st, err := fs.Stat(folder, name) // where a link leads to
		if err != nil || !st.Mode().IsRegular() {
			_, _ = fmt.Fprintf(h, "%q is no file\n", name) // a hash takes all
			return nil                                     //nolint:nilerr // a link that leads nowhere is no data
		}
		f, err := folder.Open(name)
		if err != nil {
			return err
		}
		n, err := digestFile(h, f, name, st.Size(), most)
		most -= n
		return err
	})
}

// digestFile adds a file, of whose contents it reads at most that many bytes, and closes
// it. It returns how many it has read.
func digestFile(h hash.Hash, f fs.File, name string, size, most int64) (int64, error) {
	defer f.Close()
	_, _ = fmt.Fprintf(h, "%q %d\n", name, size) // a hash takes all
	if most == 0 {
		return 0, nil
	}
	return io.Copy(h, io.LimitReader(f, most))
}
