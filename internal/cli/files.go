package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ropewalk/checkpoint"
	"ropewalk/internal/atomicfile"
)

// dash stands for standard input or output.
const dash = "-"

// open opens an input: a checkpoint of any format, one that the program carries, or
// standard input.
func (e *env) open(ctx context.Context, path string, base *checkpoint.Checkpoint) (*checkpoint.Checkpoint, error) {
	opt := &checkpoint.Options{Base: base, Memory: int64(e.memory), Threads: e.threads, Open: e.opener}
	switch {
	case isBuiltin(path):
		return openBuiltin(ctx, path, opt)
	case path != dash:
		return checkpoint.Open(path, opt)
	}
	if isTerminal(e.stdin) {
		return nil, usagef("standard input is a terminal").withHint("name a file, or pipe one in")
	}
	return checkpoint.OpenReader(ctx, "standard input", &patientReader{ctx: ctx, r: e.stdin}, opt)
}

// openBased opens an input and the base that it may need; an empty base is
// none. The function that it returns closes both.
func (e *env) openBased(ctx context.Context, path, base string) (*checkpoint.Checkpoint, func(), error) {
	if base == "" {
		c, err := e.open(ctx, path, nil)
		if err != nil {
			return nil, nil, err
		}
		return c, func() { _ = c.Close() }, nil
	}
	b, err := e.open(ctx, base, nil)
	if err != nil {
		return nil, nil, err
	}
	c, err := e.open(ctx, path, b)
	if err != nil {
		_ = b.Close() // the other error is the one to tell
		return nil, nil, err
	}
	return c, func() { _ = errors.Join(c.Close(), b.Close()) }, nil
}

// patientReader gives up when its context ends, even while a read of a pipe
// that nobody writes to goes on.
type patientReader struct {
	ctx  context.Context
	r    io.Reader
	buf  []byte
	rest []byte
	err  error
}

func (p *patientReader) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		if p.buf == nil {
			p.buf = make([]byte, 1<<20)
		}
		type result struct {
			n   int
			err error
		}
		done := make(chan result, 1)
		go func() {
			n, err := p.r.Read(p.buf)
			done <- result{n, err}
		}()
		select {
		case got := <-done:
			p.rest, p.err = p.buf[:got.n], got.err
		case <-p.ctx.Done():
			p.err = context.Cause(p.ctx) // the buffer is the goroutine's from now on
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// An output is a file that is being written, or standard output.
type output struct {
	ctx  context.Context
	name string // for messages
	w    io.Writer
	file *atomicfile.File // nil for standard output
	n    int64            // bytes written
}

// create begins to write an output. It refuses to write binary data to a
// terminal, or onto one of the inputs.
func (e *env) create(ctx context.Context, path string, force bool, inputs ...*checkpoint.Checkpoint) (*output, error) {
	if path == dash {
		if err := e.needStdout(); err != nil {
			return nil, err
		}
		if isTerminal(e.stdout) {
			return nil, usagef("standard output is a terminal, and the data is binary").withHint("-o FILE writes to a file")
		}
		return &output{ctx: ctx, name: "standard output", w: e.stdout}, nil
	}
	if err := refuseInput(path, inputs); err != nil {
		return nil, err
	}
	f, err := atomicfile.Create(path, force)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &verdict{exitFailure, err, "the folder of an output has to exist"}
	case err != nil:
		return nil, err
	}
	return &output{ctx: ctx, name: path, w: f, file: f}, nil
}

// refuseInput checks that path is none of the files of inputs, whatever the
// names and links that lead to it.
func refuseInput(path string, inputs []*checkpoint.Checkpoint) error {
	st, err := os.Stat(path)
	if err != nil {
		return nil // it is not there, or creating it will say what is wrong
	}
	for _, c := range inputs {
		infos, err := c.Files()
		if err != nil {
			return err
		}
		for _, in := range infos {
			if os.SameFile(st, in) {
				return overInput(path)
			}
		}
	}
	return nil
}

func overInput(path string) error {
	return usagef("%s is an input and the output at once", path).withHint("-o names another file; inputs are never changed")
}

// refuseFiles checks that none of some paths is one of the files of inputs. "" is none, and
// so is what is no file.
func refuseFiles(outputs, inputs []string) error {
	for _, out := range outputs {
		st, err := os.Stat(out)
		if err != nil {
			continue
		}
		for _, path := range inputs {
			if in, err := os.Stat(path); err == nil && os.SameFile(st, in) {
				return overInput(out)
			}
		}
	}
	return nil
}

// Write implements [io.Writer]. It ends with the context.
func (o *output) Write(b []byte) (int, error) {
	if o.ctx.Err() != nil {
		return 0, context.Cause(o.ctx)
	}
	n, err := o.w.Write(b)
	o.n += int64(n)
	return n, err
}

// isStdout reports whether the answer has to go elsewhere.
func (o *output) isStdout() bool { return o.file == nil }

func (o *output) commit() error {
	if o.file == nil {
		return nil
	}
	if o.ctx.Err() != nil {
		return context.Cause(o.ctx)
	}
	return o.file.Commit()
}

func (o *output) discard() {
	if o.file != nil {
		o.file.Discard()
	}
}

// isDir reports whether -o names a folder to write into.
func isDir(path string) bool {
	if strings.HasSuffix(path, "/") || strings.HasSuffix(path, string(filepath.Separator)) {
		return true
	}
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// sizeOf returns the size of a file for the progress, or 0 if it has none.
func sizeOf(path string) int64 {
	if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
		return st.Size()
	}
	return 0
}
