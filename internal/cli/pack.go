package cli

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"ropewalk/checkpoint"
	"ropewalk/internal/nearest"
	"ropewalk/layout"
	"ropewalk/lossy"
	"ropewalk/rope"
)

// ext is how packed files are called.
const ext = ".rope"

type packOptions struct {
	out    string
	effort string
	base   string
	block  int
	force  bool
	lossy  lossyOptions
	report reportFlag
}

func newPack(e *env) *cobra.Command {
	var o packOptions
	cmd := &cobra.Command{
		Use:   "pack FILE... [-o OUT]",
		Short: "make checkpoints smaller, without loss unless told otherwise",
		Long: `Pack each FILE into a .rope file beside it, from which unpack restores the same
bytes. For a checkpoint of several files, name the index (safetensors) or the
model (ONNX); one .rope holds them all. - is standard input.

Every block is decoded again and compared before it is written, and the result
is opened once more before it gets its name. The bytes of the result do not
depend on --threads or --memory.

--bits, --step, --levels, --quantizer, --lambda and --target-size quantize the
weights first: floats of at least two axes and 64 values. All else stays as it
is, and unpack then gives the checkpoint with the quantized values. With effort
max, symbols are chosen by error and by what they cost in the file. --bits and
--target-size are never exceeded; if they can be met without loss, nothing is
quantized, and if not at all, the status is 5 and the message has the least.

With --base OLD only the differences to another checkpoint are stored; OLD is
needed again to unpack.`,
		Example: example(
			"pack a checkpoint; the result is model.safetensors.rope", "ropewalk pack model.safetensors",
			"pack a fine-tuned model as the difference to the one before", "ropewalk pack --base v1.safetensors v2.safetensors -o v2.rope",
			"quantize to a file of at most 1.5 MB", "ropewalk pack --target-size 1.5MB model.onnx -o small.rope",
			"quantize to 3 bits per weight, but not the last layer", "ropewalk pack --bits 3 --keep 'head.*' model.safetensors",
			"pack many, and take the ratios to another program", "ropewalk pack --json -q *.safetensors | jq .ratio",
		),
		Args: arguments(1, 1<<20, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(args); err != nil {
				return err
			}
			if !cmd.Flags().Changed("block") {
				o.block = 0 // which may be larger, where all is one block
			}
			return e.pack(cmd.Context(), &o, args)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&o.out, "out", "o", "", "write to `OUT`: a file, a folder, or - for standard output")
	fs.BoolVarP(&o.force, "force", "f", false, "replace an existing output")
	fs.StringVar(&o.effort, "effort", string(rope.Auto), "`LEVEL` fast, max, or auto: max up to 64 MiB of tensors, else fast")
	fs.StringVar(&o.base, "base", "", "store the difference to the checkpoint `OLD`")
	fs.IntVar(&o.block, "block", rope.DefaultBlockValues, "cut tensors into blocks of `N` values")
	o.lossy.addFlags(cmd)
	o.report.addFlag(cmd, &o.force)
	complete(cmd, "effort", cobra.FixedCompletions(efforts(), cobra.ShellCompDirectiveNoFileComp))
	exits(cmd, exitUsage, exitRefused, exitBudget, exitInterrupted)
	return cmd
}

func efforts() []string { return []string{string(rope.Auto), string(rope.Fast), string(rope.Max)} }

// maxBlock is the largest block that the format allows.
const maxBlock = 4 << 20

func (o *packOptions) check(inputs []string) error {
	if !slices.Contains(efforts(), o.effort) {
		v := usagef("--effort is %q, want auto, fast or max", o.effort)
		if n := nearest.Name(o.effort, efforts()); n != "" {
			return v.withHint("did you mean %s?", n)
		}
		return v
	}
	if o.block < 1 || o.block > maxBlock {
		return usagef("--block is %d, want 1 to %d", o.block, maxBlock)
	}
	if len(inputs) > 1 && o.out != "" && !isDir(o.out) {
		return usagef("%d inputs and one output, %s", len(inputs), o.out).withHint("-o DIR/ writes each into a folder")
	}
	if o.base == dash && slices.Contains(inputs, dash) {
		return usagef("input and base are both standard input")
	}
	if o.report.wanted() && (len(inputs) > 1 || o.out == dash || inputs[0] == dash && o.out == "") {
		return usagef("--report is about one output that is a file")
	}
	if err := o.report.check(append(inputs, o.base)...); err != nil {
		return err
	}
	if s := o.lossy.sensitivity; s == dash && (len(inputs) > 1 || inputs[0] == dash || o.base == dash) {
		return usagef("sensitivities come from standard input, which can be read only once").withHint("name a file")
	}
	return o.lossy.check()
}

// target returns where the packed form of input goes.
func (o *packOptions) target(input string) (string, error) {
	switch {
	case o.out == "" && input == dash:
		return dash, nil
	case o.out == "":
		return input + ext, nil
	case o.out == dash || !isDir(o.out):
		return o.out, nil
	case input == dash:
		return "", usagef("standard input has no name to be called by in %s", o.out).withHint("-o %s", filepath.Join(o.out, "NAME"+ext))
	}
	return filepath.Join(o.out, filepath.Base(input)+ext), nil
}

// packResult is what pack says of one input.
type packResult struct {
	Schema   string  `json:"schema"`
	Input    string  `json:"input"`
	Output   string  `json:"output"`
	Format   string  `json:"format" about:"of the input"`
	Files    int     `json:"files" about:"that make up the input"`
	Original int64   `json:"original_bytes" about:"of all files of the input"`
	Packed   int64   `json:"packed_bytes" about:"of the output"`
	Ratio    float64 `json:"ratio" about:"original_bytes / packed_bytes; above 1 is smaller"`
	Tensors  int     `json:"tensors"`
	Twins    int     `json:"twins" about:"arrays stored as a reference to an equal one"`
	Same     int     `json:"same" about:"arrays stored as a reference to the base"`
	Effort   string  `json:"effort" about:"the one that was used: fast or max"`
	Base     string  `json:"base,omitempty"`
	Root     string  `json:"root" about:"SHA-256 over header and index, in hex; it covers all that the file decodes to"`
	Seconds  float64 `json:"seconds"`

	Quantized *quantizedResult `json:"quantized,omitempty" about:"what was lost, if weights were quantized"`
}

func (r *packResult) text(w *bufio.Writer) {
	fmt.Fprintf(w, "%s : %.2f %% (%v => %v, %.3f:1) %s\n", printable(r.Input),
		100/r.Ratio, byteSize(r.Original), byteSize(r.Packed), r.Ratio, printable(r.Output))
	if r.Quantized != nil {
		r.Quantized.text(w)
	}
}

func (e *env) pack(ctx context.Context, o *packOptions, inputs []string) error {
	targets := make(map[string]string) // target → input
	total := int64(0)
	for _, in := range inputs {
		t, err := o.target(in)
		if err != nil {
			return err
		}
		if other, ok := targets[t]; ok {
			return usagef("%s and %s would both become %s", other, in, t).withHint("pack them one by one, each with its -o")
		}
		targets[t] = in
		total += sizeOf(in)
	}
	var base *checkpoint.Checkpoint
	if o.base != "" {
		var err error
		if base, err = e.open(ctx, o.base, nil); err != nil {
			return err
		}
		defer base.Close()
	}
	work := 1 + o.lossy.work()
	p := e.progress("pack", total*work)
	p.mixed.Store(work > 1)
	defer p.stop()
	for _, in := range inputs {
		if err := e.packOne(ctx, o, in, base, p); err != nil {
			return err
		}
	}
	return nil
}

func (e *env) packOne(ctx context.Context, o *packOptions, input string, base *checkpoint.Checkpoint, p *progress) error {
	start := time.Now()
	c, err := e.open(ctx, input, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	if c.Rope != nil {
		return usagef("%s is packed already", input).withHint("ropewalk unpack restores it")
	}
	target, err := o.target(input)
	if err != nil {
		return err
	}
	inputs := []*checkpoint.Checkpoint{c}
	opt := &rope.Options{Effort: rope.Effort(o.effort), Threads: e.threads, Memory: int64(e.memory), BlockValues: o.block}
	if base != nil {
		inputs = append(inputs, base)
		opt.Base = base.Layout
	}
	var sens *checkpoint.Checkpoint
	if o.lossy.sensitivity != "" {
		if sens, err = e.open(ctx, o.lossy.sensitivity, nil); err != nil {
			return err
		}
		defer sens.Close()
		inputs = append(inputs, sens)
	}
	out, err := e.create(ctx, target, o.force, inputs...)
	if err != nil {
		return err
	}
	defer out.discard()
	work := o.lossy.work()
	p.total.Add((c.Size() - sizeOf(input)) * (1 + work)) // the files beside an index, or those of a pipe
	opt.Progress = p.part(c.Size())
	l := c.Layout
	var q *lossy.Result
	if o.lossy.wanted() {
		if q, err = e.quantize(ctx, &o.lossy, c, sens, opt, p.part(c.Size()*work)); err != nil {
			return err
		}
		l = q.Layout
	}
	s, err := rope.Encode(ctx, out, l, opt)
	if err != nil {
		return err
	}
	stored, err := e.reopen(out, s, base)
	if err != nil {
		return err
	}
	if err := out.commit(); err != nil {
		return err
	}
	r := &packResult{
		Schema: "ropewalk/pack/1", Input: input, Output: target, Format: c.Format, Files: len(c.Layout.Files),
		Original: s.Original, Packed: s.Packed, Ratio: float64(s.Original) / float64(s.Packed),
		Tensors: s.Tensors, Twins: s.Twins, Same: s.Same, Effort: string(s.Effort), Base: o.base,
		Root: hex.EncodeToString(s.Root[:]), Seconds: time.Since(start).Seconds(),
	}
	if q != nil {
		r.Quantized = newQuantizedResult(q, stored)
	}
	if s.Packed >= s.Original {
		e.notef("%s did not get smaller; packing it is not worth it", input)
	}
	if out.isStdout() {
		return e.remark(r)
	}
	if err := e.answer(r); err != nil || !o.report.wanted() {
		return err
	}
	page, err := e.packPage(r, c, base)
	if err != nil {
		return err
	}
	return e.writeReport(&o.report, page, inputs...)
}

// reopen opens what was written, before it gets its name, and returns what
// its arrays take; nil for what cannot be opened again.
func (e *env) reopen(out *output, s *rope.Summary, base *checkpoint.Checkpoint) ([]rope.ArrayInfo, error) {
	if out.isStdout() || out.file.Temp() == "" {
		return nil, nil
	}
	c, err := checkpoint.Open(out.file.Temp(), &checkpoint.Options{Base: base, Threads: e.threads})
	if err != nil {
		if l, ok := errors.AsType[*layout.CorruptError](err); ok {
			return nil, fmt.Errorf("%s: what was written does not read back: %s", out.name, l.Reason) // our failure, not the input's
		}
		return nil, fmt.Errorf("%s: what was written does not read back: %w", out.name, err)
	}
	defer c.Close()
	if c.Rope == nil || c.Rope.Root() != s.Root || c.Rope.Size() != s.Packed {
		return nil, fmt.Errorf("%s: what was written does not read back: other digest or size", out.name)
	}
	return c.Rope.Arrays(), nil
}
