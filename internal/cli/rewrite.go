package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ropewalk/checkpoint"
	"ropewalk/internal/atomicfile"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// rewrite writes a checkpoint in its own format with other tensors; packed, if that is what
// the output is named like.
func (e *env) rewrite(ctx context.Context, verb, input string, c *checkpoint.Checkpoint, set *tensor.Set, to string, force bool, inputs ...*checkpoint.Checkpoint) ([]fileSize, error) {
	plan, err := c.Rewrite(set)
	if errors.Is(err, checkpoint.ErrRewrite) {
		return nil, (&verdict{status: exitUsage, err: fmt.Errorf("%s: %w", input, err)}).withHint("ropewalk unpack --format safetensors makes a file of it that can be written")
	}
	if err != nil {
		return nil, err
	}
	parts, err := e.rewritten(c, plan, input, to)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		if err := refuseInput(part.path, inputs); err != nil {
			return nil, err
		}
	}
	p := e.progress(verb, 0)
	outs, err := e.writeAll(ctx, c, parts, force, p)
	p.stop()
	if err != nil {
		return nil, err
	}
	var files []fileSize
	for _, out := range outs {
		files = append(files, fileSize{out.name, out.n})
	}
	return files, nil
}

// rewritten returns the files of a plan, to be written to where they belong.
func (e *env) rewritten(c *checkpoint.Checkpoint, plan *checkpoint.Rewrite, input, to string) ([]part, error) {
	if filepath.Ext(to) == ext && !isDir(to) {
		if n := len(c.Layout.Files); n > 1 {
			return nil, usagef("%s is %d files, and %s would hold one", input, n, to).withHint("-o DIR/ writes them into a folder, and ropewalk pack packs them")
		}
		size := plan.Size(0)
		return []part{{to, size, func(ctx context.Context, w io.Writer, progress func(done, total int64)) error {
			return e.packWritten(ctx, &meterWriter{w: w, total: size, progress: progress}, to, c.Layout.Format, func(w io.Writer) error { return plan.WriteFile(w, 0) })
		}}}, nil
	}
	u := unpackOptions{out: to}
	paths, err := u.paths(c, input)
	if err != nil {
		return nil, err
	}
	return partsOf(plan, paths), nil
}

// packWritten packs, without loss, the file of a format that write writes, which lies in a
// temporary folder meanwhile. out names the packed file, and so the one within.
func (e *env) packWritten(ctx context.Context, w io.Writer, out, format string, write func(io.Writer) error) error {
	dir, err := os.MkdirTemp("", "ropewalk-*.tmp")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	name := strings.TrimSuffix(filepath.Base(out), ext)
	if filepath.Ext(name) == "" {
		name += "." + format
	}
	path := filepath.Join(dir, name)
	if _, err := writeFile(path, false, func(f *atomicfile.File) error { return write(f) }); err != nil {
		return err
	}
	plain, err := checkpoint.Open(path, nil)
	if err != nil {
		return err
	}
	defer plain.Close()
	_, err = rope.Encode(ctx, w, plain.Layout, &rope.Options{Effort: rope.Auto, Threads: e.threads, Memory: int64(e.memory)})
	return err
}
