package dataset

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ropewalk/internal/format/npz"
	"ropewalk/internal/format/safetensors"
	"ropewalk/internal/mapped"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// builtinPrefix begins a spec that names data of the program.
const builtinPrefix = "builtin:"

// fashion is a part of Fashion-MNIST, Copyright (c) 2017 Zalando SE, under the MIT
// licence that lies beside it.
//
//go:embed fashion-mnist
var fashion embed.FS

// Builtin lists the names of the data sets that the program carries.
func Builtin() []string { return []string{"fashion-mnist"} }

// fashionClasses are the names that the authors of Fashion-MNIST gave.
var fashionClasses = []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"}

// Open reads a data set into memory: a folder, a file, or "builtin:NAME"; see the
// package comment for what is known. A damaged file is a *layout.CorruptError, one
// that may be valid but is not read here a *layout.UnsupportedError.
func Open(spec string, o *Options) (*Dataset, error) {
	o, err := o.settle()
	if err != nil {
		return nil, err
	}
	if name, ok := strings.CutPrefix(spec, builtinPrefix); ok {
		if !slices.Contains(Builtin(), name) {
			return nil, fmt.Errorf("no data set %q is built in; want %s%s", name, builtinPrefix, strings.Join(Builtin(), " or "+builtinPrefix))
		}
		dir, err := fs.Sub(fashion, name)
		if err != nil {
			return nil, err
		}
		l, err := openFolder(dir, name, o)
		if err != nil {
			return nil, err
		}
		l.classes = fashionClasses
		return l.finish(name, o)
	}
	st, err := os.Stat(spec)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && slices.Contains(Builtin(), spec) {
			return nil, fmt.Errorf("%w; %s%s is what the program carries", err, builtinPrefix, spec)
		}
		return nil, err
	}
	var l *loaded
	switch {
	case st.IsDir():
		l, err = openFolder(os.DirFS(spec), spec, o)
	case idxName.MatchString(filepath.Base(spec)):
		only := idxName.FindStringSubmatch(filepath.Base(spec))[1]
		l, err = openIDX(os.DirFS(filepath.Dir(spec)), filepath.Dir(spec), &only, o)
	default:
		l, err = openFile(spec, o)
	}
	if err != nil {
		return nil, err
	}
	return l.finish(filepath.Base(filepath.Clean(spec)), o)
}

// Folders in which the distributions of data sets keep their files.
var inner = []string{"cifar-10-batches-bin", "cifar-100-binary", "raw"}

// openFolder finds out what is in a folder. path is its name for messages.
func openFolder(dir fs.FS, path string, o *Options) (*loaded, error) {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	folders := 0
	for _, e := range entries {
		name := e.Name()
		switch {
		case idxName.MatchString(name):
			return openIDX(dir, path, nil, o)
		case isCIFAR10(name):
			return openCIFAR10(dir, path, o)
		case isCIFAR100(name):
			return openCIFAR100(dir, path, o)
		case name == "cifar-10-batches-py" || name == "cifar-100-python":
			return nil, &layout.UnsupportedError{File: join(path, name), Offset: -1, Reason: "holds pickles of Python, which may run code; take the binary version"}
		case slices.Contains(inner, name):
			sub, err := fs.Sub(dir, name)
			if err != nil {
				return nil, err
			}
			return openFolder(sub, join(path, name), o)
		}
		if st, err := fs.Stat(dir, name); err == nil && st.IsDir() {
			folders++
		}
	}
	if folders == 0 {
		return nil, fmt.Errorf("%s: there is no data set in this folder; want idx files (train-images-idx3-ubyte.gz, …), CIFAR's .bin files, or a folder of PNG or JPEG images for each class", path)
	}
	return openImages(dir, path, o)
}

// join is path.Join for messages: it keeps what a user has written.
func join(dir, name string) string {
	if name == "." {
		return dir
	}
	return filepath.Join(dir, filepath.FromSlash(name))
}

// openFile opens a file of arrays, known by its first bytes.
func openFile(path string, o *Options) (*loaded, error) {
	f, err := mapped.Open(path)
	if err != nil {
		return nil, err
	}
	l, err := readArrays(path, f, o)
	return l, errors.Join(err, f.Close())
}

// readArrays reads examples from named arrays. Nothing of d is kept.
func readArrays(path string, d tensor.Data, o *Options) (*loaded, error) {
	head, err := tensor.ReadRange(d, 0, min(64, d.Size()), nil)
	if err != nil {
		return nil, err
	}
	var l *layout.Layout
	switch {
	case npz.Sniff(head):
		l, err = npz.Parse(path, d)
	case safetensors.Sniff(head, d.Size()), safetensors.SniffCut(head, d.Size()):
		l, err = safetensors.Parse(path, d)
	default:
		return nil, &layout.UnsupportedError{File: path, Offset: 0, Reason: "not a data set; want .npz or .safetensors with arrays such as x_train and y_train, or a folder"}
	}
	if err != nil {
		return nil, err
	}
	set, err := l.Set()
	if err != nil {
		return nil, &layout.CorruptError{File: path, Offset: -1, Reason: err.Error(), Err: err}
	}
	return fromArrays(path, l.Format, set, o)
}
