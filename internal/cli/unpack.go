package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ropewalk/checkpoint"
	"ropewalk/internal/nearest"
	"ropewalk/layout"
	"ropewalk/tensor"
)

type unpackOptions struct {
	out    string
	stdout bool
	base   string
	format string
	tensor string
	dtype  string
	force  bool
}

func newUnpack(e *env) *cobra.Command {
	var o unpackOptions
	cmd := &cobra.Command{
		Use:   "unpack FILE.rope [-o OUT]",
		Short: "restore packed checkpoints byte for byte",
		Long: `Restore the files that were packed, byte for byte; every checksum and digest is
checked on the way, and files get their names only when all of them are right.
The output is FILE without .rope. If the checkpoint had several files, OUT names
the main one, or a folder, and the others are written beside it. - is standard
input.

--format converts the tensors to another format instead, and --tensor takes out
one of them, as its raw little-endian row-major values unless there is a
--format. --dtype rounds floats to another type, in the original format unless
there is a --format; integers, and floats of 8 bits and less, keep their type. A
finite value that is too large for the type is an error. All three work on
checkpoints of all formats, packed or not, and check blocks only, not digests.`,
		Example: example(
			"restore model.safetensors", "ropewalk unpack model.safetensors.rope",
			"check that it is the same, without a file", "ropewalk unpack -c model.safetensors.rope | cmp - model.safetensors",
			"one tensor for NumPy: np.fromfile(\"bias.bin\", \"<f4\")", "ropewalk unpack model.rope --tensor fc2.bias -o bias.bin",
			"PyTorch to safetensors, without Python", "ropewalk unpack --format safetensors model.pt",
			"restore with weights of 16 bits", "ropewalk unpack --dtype BF16 model.safetensors.rope -o bf16.safetensors",
		),
		Args:              arguments(1, 1, "FILE.rope"),
		RunE:              func(cmd *cobra.Command, args []string) error { return e.unpack(cmd.Context(), &o, args[0]) },
		ValidArgsFunction: completeRope,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&o.out, "out", "o", "", "write to `OUT`: a file, a folder, or - for standard output")
	fs.BoolVarP(&o.stdout, "stdout", "c", false, "write to standard output, as -o -")
	fs.BoolVarP(&o.force, "force", "f", false, "replace existing outputs")
	fs.StringVar(&o.base, "base", "", "the checkpoint `OLD` that FILE was packed against")
	fs.StringVar(&o.format, "format", "", "convert to `FORMAT` safetensors or npz")
	fs.StringVar(&o.tensor, "tensor", "", "only the tensor `NAME`")
	fs.StringVar(&o.dtype, "dtype", "", "round floats to `TYPE` F16, BF16, F32 or F64")
	complete(cmd, "format", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "tensor", e.completeTensor)
	complete(cmd, "dtype", cobra.FixedCompletions(dtypes, cobra.ShellCompDirectiveNoFileComp))
	exits(cmd, exitUsage, exitRefused, exitBudget, exitInterrupted)
	return cmd
}

// formats are those that can be written.
var formats = []string{"safetensors", "npz"}

// dtypes are those to which floats can be cast.
var dtypes = []string{string(tensor.F16), string(tensor.BF16), string(tensor.F32), string(tensor.F64)}

func (o *unpackOptions) check() error {
	if o.stdout {
		if o.out != "" && o.out != dash {
			return usagef("-c writes to standard output, -o to %s", o.out)
		}
		o.out = dash
	}
	if filepath.Ext(o.out) == ext && !isDir(o.out) {
		return usagef("-o %s: files that end in %s are packed, and unpack writes them unpacked", o.out, ext).withHint("ropewalk pack FILE -o %s packs what unpack writes", o.out)
	}
	if o.format != "" && !slices.Contains(formats, o.format) {
		v := usagef("--format is %q, want %s", o.format, strings.Join(formats, " or "))
		if n := nearest.Name(o.format, formats); n != "" {
			return v.withHint("did you mean %s?", n)
		}
		return v
	}
	o.dtype = strings.ToUpper(o.dtype)
	if o.dtype != "" && !slices.Contains(dtypes, o.dtype) {
		v := usagef("--dtype is %q, want F16, BF16, F32 or F64", o.dtype)
		if n := nearest.Name(o.dtype, dtypes); n != "" {
			return v.withHint("did you mean %s?", n)
		}
		return v
	}
	return nil
}

// unpackResult is what unpack says.
type unpackResult struct {
	Schema  string         `json:"schema"`
	Input   string         `json:"input"`
	Format  string         `json:"format" about:"of what was written: that of the original files, the one that was asked for, or raw"`
	Files   []fileSize     `json:"files" about:"that were written"`
	Bytes   int64          `json:"bytes" about:"of all files"`
	Tensor  *tensorHeading `json:"tensor,omitempty" about:"the one that was asked for"`
	Cast    *castResult    `json:"cast,omitempty" about:"what --dtype did"`
	Seconds float64        `json:"seconds"`
}

// A castResult says how many tensors have another type now.
type castResult struct {
	DType  tensor.DType `json:"dtype" about:"that was asked for"`
	Cast   int          `json:"cast" about:"tensors that were rounded to it"`
	Others int          `json:"others" about:"tensors that are of another type, and stay"`
}

type fileSize struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// A tensorHeading says what a tensor is.
type tensorHeading struct {
	Name  string       `json:"name"`
	DType tensor.DType `json:"dtype"`
	Shape tensor.Shape `json:"shape"`
}

func headingOf(t *tensor.Tensor) tensorHeading {
	h := tensorHeading{t.Name, t.DType, t.Shape}
	if h.Shape == nil {
		h.Shape = tensor.Shape{} // [] in JSON
	}
	return h
}

func (r *unpackResult) text(w *bufio.Writer) {
	for _, f := range r.Files {
		fmt.Fprintf(w, "%s => %s (%s bytes)\n", printable(r.Input), printable(f.Name), commas(f.Bytes))
	}
	if r.Tensor != nil {
		fmt.Fprintf(w, "%s is %s %v\n", printable(r.Tensor.Name), r.Tensor.DType, r.Tensor.Shape)
	} else if r.Cast != nil {
		fmt.Fprintf(w, "rounded %s to %s; %s of another type stay\n", count(r.Cast.Cast, "tensor"), r.Cast.DType, count(r.Cast.Others, "tensor"))
	}
}

func (e *env) unpack(ctx context.Context, o *unpackOptions, input string) error {
	start := time.Now()
	if err := o.check(); err != nil {
		return err
	}
	if o.base == dash && input == dash {
		return usagef("input and base are both standard input")
	}
	c, done, err := e.openBased(ctx, input, o.base)
	if err != nil {
		return err
	}
	defer done()
	r := &unpackResult{Schema: "ropewalk/unpack/1", Input: input}
	var write []part
	switch {
	case o.format != "" || o.tensor != "":
		write, err = o.extracting(c, input, r)
	case o.dtype != "":
		write, err = o.rewriting(c, input, r)
		r.Format = c.Layout.Format
	default:
		write, err = o.restoring(c, input)
		r.Format = c.Layout.Format
	}
	if err != nil {
		return err
	}
	p := e.progress("unpack", 0)
	outs, err := e.writeAll(ctx, c, write, o.force, p)
	p.stop()
	if err != nil {
		return err
	}
	for _, out := range outs {
		r.Files = append(r.Files, fileSize{out.name, out.n})
		r.Bytes += out.n
	}
	r.Seconds = time.Since(start).Seconds()
	if outs[0].isStdout() {
		return e.remark(r)
	}
	return e.answer(r)
}

// A part is one file to be written.
type part struct {
	path  string
	bytes int64 // for the progress
	write func(ctx context.Context, w io.Writer, progress func(done, total int64)) error
}

// restoring returns the original files.
func (o *unpackOptions) restoring(c *checkpoint.Checkpoint, input string) ([]part, error) {
	if c.Rope == nil {
		return nil, usagef("%s is not packed; it is %s", input, c.Format).withHint("--format safetensors or --format npz converts it, and --dtype rounds its floats")
	}
	paths, err := o.paths(c, input)
	if err != nil {
		return nil, err
	}
	var parts []part
	for i, f := range c.Layout.Files {
		parts = append(parts, part{paths[i], f.Data.Size(), func(ctx context.Context, w io.Writer, progress func(done, total int64)) error {
			return c.Rope.Restore(ctx, i, w, progress)
		}})
	}
	return parts, nil
}

// rewriting returns the original files with other types of floats.
func (o *unpackOptions) rewriting(c *checkpoint.Checkpoint, input string, r *unpackResult) ([]part, error) {
	paths, err := o.paths(c, input)
	if err != nil {
		return nil, err
	}
	set, err := o.cast(c.Tensors, r)
	if err != nil {
		return nil, err
	}
	plan, err := c.Rewrite(set)
	if errors.Is(err, checkpoint.ErrRewrite) {
		return nil, (&verdict{status: exitUsage, err: fmt.Errorf("%s: --dtype: %w", input, err)}).withHint("--format safetensors writes the tensors alone, in any type")
	}
	if err != nil {
		return nil, err
	}
	return partsOf(plan, paths), nil
}

// partsOf are the files of a checkpoint that is rewritten, to be written to paths.
func partsOf(plan *checkpoint.Rewrite, paths []string) []part {
	var parts []part
	for i := range paths {
		size := plan.Size(i)
		parts = append(parts, part{paths[i], size, func(_ context.Context, w io.Writer, progress func(done, total int64)) error {
			return plan.WriteFile(&meterWriter{w: w, total: size, progress: progress}, i)
		}})
	}
	return parts
}

// cast returns the tensors in the type that was asked for, if one was.
func (o *unpackOptions) cast(set *tensor.Set, r *unpackResult) (*tensor.Set, error) {
	if o.dtype == "" {
		return set, nil
	}
	r.Cast = &castResult{DType: tensor.DType(o.dtype)}
	var list []*tensor.Tensor
	for _, t := range set.All() {
		n := tensor.Cast(t, r.Cast.DType)
		switch {
		case n != t:
			r.Cast.Cast++
		case t.DType != r.Cast.DType:
			r.Cast.Others++
		}
		list = append(list, n)
	}
	return tensor.NewSet(list...)
}

// paths returns where the files of the checkpoint go.
func (o *unpackOptions) paths(c *checkpoint.Checkpoint, input string) ([]string, error) {
	files := c.Layout.Files
	main, err := o.target(input, files[0].Name)
	if err != nil {
		return nil, err
	}
	if main == dash && len(files) > 1 {
		return nil, usagef("%s holds %d files, and standard output is one", input, len(files)).withHint("-o DIR/ writes them into a folder")
	}
	var paths []string
	seen := make(map[string]bool)
	for i, f := range files {
		path := main
		if i > 0 {
			name, err := layout.LocalName(f.Name)
			if err != nil {
				return nil, &layout.CorruptError{File: input, Offset: -1, Reason: err.Error(), Err: err}
			}
			path = filepath.Join(filepath.Dir(main), filepath.FromSlash(name))
		}
		if seen[path] {
			return nil, usagef("two of the files of %s would become %s", input, path).withHint("-o names the main file; the others keep their names")
		}
		seen[path] = true
		paths = append(paths, path)
	}
	return paths, nil
}

// extracting returns one file with one or all tensors in another form.
func (o *unpackOptions) extracting(c *checkpoint.Checkpoint, input string, r *unpackResult) ([]part, error) {
	set, suffix := c.Tensors, "."+o.format
	if o.tensor != "" {
		t := c.Tensors.Lookup(o.tensor)
		if t == nil {
			return nil, noTensor(c, o.tensor)
		}
		var err error
		if set, err = tensor.NewSet(t); err != nil {
			return nil, err
		}
	}
	set, err := o.cast(set, r)
	if err != nil {
		return nil, err
	}
	if o.tensor != "" {
		h := headingOf(set.At(0))
		r.Tensor = &h
	}
	r.Format = o.format
	if o.format == "" {
		r.Format, suffix = "raw", ".bin"
	}
	main, err := o.target(input, stem(c.Layout.Files[0].Name)+suffix)
	if err != nil {
		return nil, err
	}
	if o.out == "" && main != dash {
		main = stem(strings.TrimSuffix(input, ext)) + suffix
		if o.tensor != "" {
			return nil, usagef("--tensor needs an output").withHint("-o FILE, or -c for standard output")
		}
	}
	size := int64(0)
	for _, t := range set.All() {
		size += t.Size()
	}
	return []part{{main, size, func(ctx context.Context, w io.Writer, progress func(done, total int64)) error {
		w = &meterWriter{w: w, total: size, progress: progress}
		if o.format != "" {
			return checkpoint.Convert(w, o.format, set, c.Layout.Metadata)
		}
		return writeRaw(w, set.At(0))
	}}}, nil
}

// target returns where the (main) output goes. name is what it is called in a
// folder, or if the input has no name.
func (o *unpackOptions) target(input, name string) (string, error) {
	bare, packed := strings.CutSuffix(filepath.Base(input), ext)
	if packed && bare != "" && stem(bare) == bare {
		bare += strings.TrimPrefix(filepath.Base(name), stem(filepath.Base(name))) // a network that was trained into NAME.rope
	}
	switch {
	case o.out == dash, o.out == "" && input == dash:
		return dash, nil
	case o.out != "" && !isDir(o.out):
		return o.out, nil
	case o.out != "" && packed && o.format == "" && o.tensor == "":
		return filepath.Join(o.out, bare), nil
	case o.out != "":
		return filepath.Join(o.out, filepath.Base(name)), nil
	case o.format == "" && o.tensor == "" && (!packed || bare == ""):
		return "", usagef("%s does not end in %s, so the output has no name", input, ext).withHint("-o names it; it was %s", name)
	}
	return strings.TrimSuffix(input, filepath.Base(input)) + bare, nil
}

// stem returns a file name without the ending of a format that is read here.
func stem(name string) string {
	for _, s := range []string{".index.json", ".safetensors", ".onnx", ".npz", ".npy", ".pth", ".pt", ".bin"} {
		name = strings.TrimSuffix(name, s)
	}
	return name
}

// noTensor says that there is no tensor of that name.
func noTensor(c *checkpoint.Checkpoint, name string) error {
	var names []string
	for _, t := range c.Tensors.All() {
		names = append(names, t.Name)
	}
	v := usagef("%s has no tensor %q", c.Path, name)
	if n := nearest.Name(name, names); n != "" {
		return v.withHint("did you mean %q?", n)
	}
	return v.withHint("ropewalk inspect lists them")
}

// writeRaw writes the values of a tensor.
func writeRaw(w io.Writer, t *tensor.Tensor) error {
	const step = 4 << 20
	for off := int64(0); off < t.Size(); off += step {
		b, err := tensor.ReadRange(t.Data, off, min(step, t.Size()-off), nil)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// A meterWriter tells the progress what passes through it.
type meterWriter struct {
	w           io.Writer
	done, total int64
	progress    func(done, total int64)
}

func (m *meterWriter) Write(b []byte) (int, error) {
	n, err := m.w.Write(b)
	m.done += int64(n)
	m.progress(m.done, m.total)
	return n, err
}

// writeAll writes all parts, and gives them their names when all are there. If
// it fails, it leaves nothing behind that was not there before, except that a
// file that -f replaced stays replaced.
func (e *env) writeAll(ctx context.Context, c *checkpoint.Checkpoint, parts []part, force bool, p *progress) (outs []*output, err error) {
	var undo []func()
	defer func() {
		for _, out := range outs {
			out.discard()
		}
		if err != nil {
			for _, u := range slices.Backward(undo) {
				u()
			}
		}
	}()
	for i, part := range parts {
		if i > 0 { // the folder of the main file is the user's business
			dirs, err := makeDirs(filepath.Dir(part.path))
			for _, d := range dirs {
				undo = append(undo, func() { _ = os.Remove(d) })
			}
			if err != nil {
				return nil, err
			}
		}
		out, err := e.create(ctx, part.path, force, c)
		if err != nil {
			return outs, err
		}
		outs = append(outs, out)
		p.total.Add(part.bytes)
	}
	for i, part := range parts {
		if err := part.write(ctx, outs[i], p.part(part.bytes)); err != nil {
			return outs, err
		}
	}
	for _, out := range outs {
		_, missing := os.Lstat(out.name)
		if err := out.commit(); err != nil {
			return outs, err
		}
		if missing != nil && !out.isStdout() {
			undo = append(undo, func() { _ = os.Remove(out.name) })
		}
	}
	return outs, nil
}

// makeDirs makes a folder and those above it, and returns the ones that are new.
func makeDirs(dir string) (made []string, err error) {
	if _, err := os.Stat(dir); err == nil {
		return nil, nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if made, err = makeDirs(parent); err != nil {
			return made, err
		}
	}
	if err := os.Mkdir(dir, 0o777); err != nil {
		return made, err
	}
	return append(made, dir), nil
}
