// Package checkpoint opens the files in which networks are kept, whatever
// their format, and writes them.
//
// [Open] tells formats apart by their first bytes, never by the name of a
// file. It reads headers only; tensors are read when asked for:
//
//	c, err := checkpoint.Open("model.safetensors", nil)
//	…
//	defer c.Close()
//	for _, t := range c.Tensors.All() {
//		fmt.Println(t.Name, t.DType, t.Shape)
//	}
//
// safetensors (one file, or an index with shards), ONNX (with external data),
// npz and npy, PyTorch's zip files (state dicts; no code in them is ever run)
// and .rope are read. A .rope counts as what it was packed from.
package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ropewalk/internal/format/npz"
	"ropewalk/internal/format/onnx"
	"ropewalk/internal/format/safetensors"
	"ropewalk/internal/format/torch"
	"ropewalk/internal/mapped"
	"ropewalk/layout"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// Options say how to open a checkpoint. The zero value is the default.
type Options struct {
	// Base is what a .rope was packed against, if it was. It must stay open
	// as long as the checkpoint.
	Base *Checkpoint
	// Threads and Memory are those of [rope.OpenOptions].
	Threads int
	Memory  int64
	// Open opens files, this one and those that it names, in the place of os.Open: to
	// keep to a folder, whatever symbolic links there are in it. It does not wait for
	// pipes.
	Open func(path string) (*os.File, error)
}

// A Checkpoint is an open checkpoint. It is safe for concurrent use. Its
// tensors are valid until Close.
type Checkpoint struct {
	// Path is the name that it was opened by.
	Path string
	// Format is "safetensors", "onnx", "pytorch", "npz", "npy" or "rope".
	Format string
	// Layout says where the tensors lie in the files; for a .rope, in the
	// files that it restores.
	Layout *layout.Layout
	// Tensors are the named tensors, in the order of the format.
	Tensors *tensor.Set
	// Rope is the packed file, if the format is "rope".
	Rope *rope.File

	files []*mapped.File
	temp  string // to be removed
	by    func(path string) (*os.File, error)
}

// Open opens the checkpoint at path: for one of several files, the index or
// the file that names the others. Files that break their format give a
// *layout.CorruptError or *layout.UnsupportedError.
func Open(path string, opt *Options) (*Checkpoint, error) {
	c := &Checkpoint{Path: path}
	if err := c.open(path, opt); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// OpenReader copies r, whose name is for messages, to a temporary file, which
// Close removes, and opens that. It is for pipes: all formats but .rope say
// only somewhere in their middle what stands at their beginning.
func OpenReader(ctx context.Context, name string, r io.Reader, opt *Options) (*Checkpoint, error) {
	f, err := os.CreateTemp("", "ropewalk-*.tmp")
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{Path: name, temp: f.Name()}
	_, err = io.Copy(f, contextReader{ctx, r})
	err = errors.Join(err, f.Close())
	if err == nil {
		err = c.open(c.temp, opt)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

func (c *Checkpoint) open(path string, opt *Options) error {
	if opt == nil {
		opt = &Options{}
	}
	c.by = opt.Open
	f, err := c.file(path)
	if err != nil {
		return err
	}
	c.files = append(c.files, f)
	if err := c.parse(f, filepath.Dir(path), opt); err != nil {
		return err
	}
	c.Tensors, err = c.Layout.Set()
	if err != nil {
		return &layout.CorruptError{File: c.Path, Offset: -1, Reason: err.Error(), Err: err}
	}
	return nil
}

// file opens a file by the function of the options.
func (c *Checkpoint) file(path string) (*mapped.File, error) {
	if c.by != nil {
		return mapped.OpenBy(c.by, path)
	}
	return mapped.Open(path)
}

// headSize is how much of a file is looked at to tell its format.
const headSize = 64

func (c *Checkpoint) parse(f *mapped.File, dir string, opt *Options) error {
	head, err := tensor.ReadRange(f, 0, min(headSize, f.Size()), nil)
	if err != nil {
		return err
	}
	// The name goes into a .rope, and must do on every system.
	name := strings.NewReplacer(":", "_", `\`, "_").Replace(filepath.Base(c.Path))
	if c.temp != "" {
		name = "stdin" // becomes a file name inside of a .rope
	}
	beside := func(name string) (tensor.Data, error) { return c.openBeside(dir, name) }
	switch {
	case rope.Sniff(head):
		return c.openRope(f, opt)
	case safetensors.Sniff(head, f.Size()), safetensors.SniffCut(head, f.Size()):
		c.Layout, err = safetensors.Parse(name, f)
	case npz.Sniff(head) && torch.Is(f):
		c.Layout, err = torch.Parse(name, f)
	case npz.Sniff(head) && npz.IsNPZ(f):
		c.Layout, err = npz.Parse(name, f)
	case npz.SniffNPY(head):
		c.Layout, err = npz.ParseNPY(name, f)
	case torch.SniffLegacy(head):
		return &layout.UnsupportedError{File: c.Path, Offset: 0, Reason: "a PyTorch file of before version 1.6; load it and save it again with a newer torch.save"}
	case safetensors.SniffIndex(head):
		c.Layout, err = safetensors.ParseIndex(name, f, beside)
	case onnx.Sniff(head, f.Size()):
		c.Layout, err = onnx.Parse(name, f, beside)
	default:
		return &layout.UnsupportedError{File: c.Path, Offset: 0, Reason: unknownFormat(head, f.Size())}
	}
	if err != nil {
		return err
	}
	c.Format = c.Layout.Format
	return nil
}

// shortestFile is the length with which a safetensors file begins; no format has files that are shorter.
const shortestFile = 8

func unknownFormat(head []byte, size int64) string {
	switch {
	case size == 0:
		return "the file is empty"
	case size < shortestFile:
		return fmt.Sprintf("the file has %d bytes, too few for any format: not all of it is there", size)
	case npz.Sniff(head):
		return "a zip archive that is neither a PyTorch state dict nor an .npz"
	case len(head) >= 4 && string(head[:4]) == "GGUF":
		return "a GGUF file; this version does not read them"
	}
	return fmt.Sprintf("not a format that is read here (it begins with % x); known are safetensors, ONNX, PyTorch zip, npz, npy and .rope", head[:min(8, len(head))])
}

func (c *Checkpoint) openRope(f *mapped.File, opt *Options) error {
	ro := &rope.OpenOptions{Decoders: decoders(c.Path), Threads: opt.Threads, Memory: opt.Memory}
	if opt.Base != nil {
		ro.Base = opt.Base.Layout
	}
	var err error
	if c.Rope, err = rope.Open(c.Path, f, ro); err != nil {
		return err
	}
	c.Format = "rope"
	c.Layout = c.Rope.Layout()
	return nil
}

// decoders returns those of all formats, for a .rope may hold any. The file
// name is for messages.
func decoders(file string) map[string]layout.Decoder {
	all := onnx.Decoders(file)
	all[npz.Encoding] = npz.Decode
	return all
}

// openBeside opens a file that another one names, below dir. Symbolic links
// are followed: caches of downloaded models are made of them. Standard input
// has nothing beside it.
func (c *Checkpoint) openBeside(dir, name string) (tensor.Data, error) {
	if c.temp != "" {
		return nil, &layout.UnsupportedError{File: c.Path, Offset: -1, Reason: fmt.Sprintf("names another file, %q, which standard input cannot bring along", name)}
	}
	local, err := layout.LocalName(name)
	if err != nil {
		return nil, err
	}
	f, err := c.file(filepath.Join(dir, filepath.FromSlash(local)))
	if err != nil {
		return nil, err
	}
	c.files = append(c.files, f)
	return f, nil
}

// Size returns the bytes of all files that make up the checkpoint.
func (c *Checkpoint) Size() int64 {
	n := int64(0)
	for _, f := range c.files {
		n += f.Size()
	}
	return n
}

// Stored returns the files as they are stored: of a .rope that file itself, and of all
// other formats the files of the layout.
func (c *Checkpoint) Stored() []layout.File {
	if c.Rope == nil {
		return c.Layout.Files
	}
	return []layout.File{{Name: filepath.Base(c.Path), Data: c.files[0]}}
}

// Files returns what the system knows of the files, to compare them with
// others before something is written.
func (c *Checkpoint) Files() ([]os.FileInfo, error) {
	var infos []os.FileInfo
	for _, f := range c.files {
		st, err := f.Stat()
		if err != nil {
			return nil, err
		}
		infos = append(infos, st)
	}
	return infos, nil
}

// Close closes all files. Tensors of the checkpoint must not be used after it.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.Close())
	}
	c.files = nil
	if c.temp != "" {
		errs = append(errs, os.Remove(c.temp))
		c.temp = ""
	}
	return errors.Join(errs...)
}

// Convert writes tensors to w in another format: "safetensors" or "npz". It
// streams: no more than one tensor's part is in memory. metadata is kept where
// the format has a place for it.
func Convert(w io.Writer, format string, set *tensor.Set, metadata []layout.Pair) error {
	switch format {
	case "safetensors":
		return safetensors.Write(w, set, metadata)
	case "npz":
		return npz.Write(w, set)
	}
	return fmt.Errorf("checkpoint: cannot write format %q; want safetensors or npz", format)
}
