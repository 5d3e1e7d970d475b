package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// An idx file is a header, big-endian, and the values:
//
//	0    2      3      4            4+4*rank
//	|0 0| type | rank | axes uint32 ... | values
//	     8: uint8
//
// Images have three axes (number, height, width), labels one.

// idxName matches the names of idx files: what stands before the split, the split,
// what is in it, and the number of axes.
var idxName = regexp.MustCompile(`^(.*?)(train|t10k|test|val)[-_](images|labels)[-.]idx([13])-ubyte(?:\.gz)?$`)

var idxSplit = map[string]int{"train": train, "t10k": test, "test": test, "val": validation}

const (
	idxUint8 = 8
	// idxMaxAxis bounds an axis of an image.
	idxMaxAxis = 1 << 14
)

// openIDX reads the idx files of a folder whose names begin with *only; if that is
// nil, all of them have to begin alike.
func openIDX(dir fs.FS, path string, only *string, o *Options) (*loaded, error) {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var found [splits]map[string]string // images, labels: file
	prefix, some := "", false
	for _, e := range entries {
		m := idxName.FindStringSubmatch(e.Name())
		if m == nil || only != nil && m[1] != *only {
			continue
		}
		if some && m[1] != prefix {
			return nil, fmt.Errorf("%s: there are two data sets, %q and %q; name one of the files, or move one away", path, prefix+"…", m[1]+"…")
		}
		prefix, some = m[1], true
		k := idxSplit[m[2]]
		if found[k] == nil {
			found[k] = map[string]string{}
		}
		// Of a plain file and a compressed one of the same name, the plain one is read.
		if other := found[k][m[3]]; other != "" && strings.TrimSuffix(e.Name(), ".gz") != other {
			return nil, fmt.Errorf("%s: %s and %s hold the %s of one split; move one away", path, other, e.Name(), m[3])
		} else if other == "" {
			found[k][m[3]] = e.Name()
		}
	}
	l := &loaded{format: "idx"}
	for k, files := range found {
		if files == nil {
			continue
		}
		for _, what := range []string{"images", "labels"} {
			if files[what] == "" {
				return nil, fmt.Errorf("%s: the %s split has no file of %s beside %s", path, splitNames[k], what, files["images"]+files["labels"])
			}
		}
		if l.splits[k], err = readIDX(dir, path, files["images"], files["labels"], o); err != nil {
			return nil, err
		}
	}
	l.classes, err = readLines(dir, path, "classes.txt")
	return l, err
}

func readIDX(dir fs.FS, path, images, labels string, o *Options) (*Memory, error) {
	shape, pixels, err := readIDXFile(dir, path, images, 3, o.Memory)
	if err != nil {
		return nil, err
	}
	count, raw, err := readIDXFile(dir, path, labels, 1, o.Memory)
	if err != nil {
		return nil, err
	}
	if count[0] != shape[0] {
		return nil, fmt.Errorf("%s has %d images, and %s %d labels; they do not belong together", join(path, images), shape[0], join(path, labels), count[0])
	}
	classes := make([]int, len(raw))
	for i, c := range raw {
		classes[i] = int(c)
	}
	m, err := NewPixels(tensor.Shape{1, shape[1], shape[2]}, pixels, classes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", join(path, images), err)
	}
	return m, nil
}

func readIDXFile(dir fs.FS, path, name string, rank int, memory int64) (tensor.Shape, []byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: is not a regular file", join(path, name))
	}
	return parseIDX(join(path, name), bufio.NewReaderSize(f, 1<<16), st.Size(), rank, memory)
}

// parseIDX reads an idx file of the given size and rank, compressed or not, and
// returns its axes and values, no more than memory bytes. The offsets in its errors
// are those of the uncompressed file.
func parseIDX(name string, r *bufio.Reader, size int64, rank int, memory int64) (tensor.Shape, []byte, error) {
	corrupt := func(off int64, err error, format string, args ...any) error {
		return &layout.CorruptError{File: name, Offset: off, Reason: fmt.Sprintf(format, args...), Err: err}
	}
	var in io.Reader = r
	limit := size // what the values and the header can take
	if magic, err := r.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, corrupt(0, err, "the gzip header is damaged: %v", err)
		}
		in = z
		limit = maxRatio * size
	}
	head := make([]byte, 4+4*rank)
	if n, err := io.ReadFull(in, head); err != nil {
		return nil, nil, corrupt(int64(n), truncated(err), "the header of an idx file has %d bytes, and the file ends after %d", len(head), n)
	}
	switch {
	case head[0] != 0 || head[1] != 0:
		return nil, nil, corrupt(0, nil, "not an idx file: it begins with % x, want 00 00 08 %02x", head[:4], rank)
	case int(head[3]) != rank:
		return nil, nil, corrupt(3, nil, "an idx file with %d axes; want %d", head[3], rank)
	case head[2] != idxUint8:
		return nil, nil, &layout.UnsupportedError{File: name, Offset: 2, Reason: fmt.Sprintf("an idx file of the element type %#02x; only bytes (0x08) are read", head[2])}
	}
	shape := make(tensor.Shape, rank)
	for i := range shape {
		shape[i] = int64(binary.BigEndian.Uint32(head[4+4*i:]))
		if i > 0 && (shape[i] == 0 || shape[i] > idxMaxAxis) {
			return nil, nil, corrupt(int64(4+4*i), nil, "images of %v pixels; want 1 to %d along each axis", shape[1:i+1], idxMaxAxis)
		}
	}
	n, err := shape.Elems() // below 2^60
	if err != nil {
		return nil, nil, corrupt(4, err, "%v", err)
	}
	if n > limit-int64(len(head)) {
		return nil, nil, corrupt(4, io.ErrUnexpectedEOF, "%v bytes are announced, but the file is truncated: it can hold no more than %d", shape, limit-int64(len(head)))
	}
	if n > memory {
		return nil, nil, fmt.Errorf("%s: %w", name, tooLarge(int(shape[0]), shape[1:], n, memory))
	}
	// The buffer grows with what is really there: a small file cannot ask for much.
	var values bytes.Buffer
	values.Grow(int(min(n, 64*size)) + bytes.MinRead)
	got, err := io.Copy(&values, io.LimitReader(in, n))
	if err == nil && got < n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, nil, corrupt(int64(len(head))+got, truncated(err), "%d of %d bytes could be read (%v): %v", got, n, shape, err)
	}
	switch extra, err := io.ReadFull(in, make([]byte, 1)); {
	case extra > 0:
		return nil, nil, corrupt(int64(len(head))+n, nil, "there are bytes after the %d that %v announces", n, shape)
	case !errors.Is(err, io.EOF):
		return nil, nil, corrupt(int64(len(head))+n, err, "the checksum or the end is damaged: %v", err)
	}
	return shape, values.Bytes(), nil
}

func truncated(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// maxLines bounds a file of names in bytes.
const maxLines = 1 << 24

// readLines returns the lines of a text file without the empty ones at its end, or
// nil if there is no such file.
func readLines(dir fs.FS, path, name string) ([]string, error) {
	st, err := fs.Stat(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && (st.Size() > maxLines || !st.Mode().IsRegular()) {
		err = fmt.Errorf("want a file of at most %d bytes", maxLines)
	}
	var raw []byte
	if err == nil {
		raw, err = fs.ReadFile(dir, name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", join(path, name), err)
	}
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n \t"), "\n")
	if lines[0] == "" || len(lines) > MaxClasses {
		return nil, fmt.Errorf("%s: want 1 to %d lines, a name in each", join(path, name), MaxClasses)
	}
	return lines, nil
}
