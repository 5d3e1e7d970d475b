package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ropewalk/checkpoint"
	"ropewalk/lossy"
	"ropewalk/quant"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// lossyOptions are the flags of pack that quantize.
type lossyOptions struct {
	bits, step, lambda float64
	levels             int
	quantizer          string
	target             byteSize
	keep               []string
	sensitivity        string
	perChannel         bool

	flags *pflag.FlagSet
}

// asking are the flags each of which asks for quantization; the others of
// lossyOptions only say how.
var asking = []string{"bits", "step", "levels", "quantizer", "lambda", "target-size"}

// alone are those of which only one can decide how much is lost.
var alone = []string{"bits", "step", "lambda", "target-size"}

func (o *lossyOptions) addFlags(cmd *cobra.Command) {
	fs := cmd.Flags()
	o.flags = fs
	fs.Float64Var(&o.bits, "bits", 0, "quantize to at most `B` bits per weight on average, in the packed file")
	fs.Var(&o.target, "target-size", "quantize so that the packed file has at most `SIZE`, such as 1.5MB")
	fs.Float64Var(&o.step, "step", 0, "quantize with steps of `S` times the root mean square of each tensor")
	fs.Float64Var(&o.lambda, "lambda", 0, "quantize, a bit being worth `L` of squared error (0.03 is about a step of 0.5)")
	fs.IntVar(&o.levels, "levels", 0, "quantize to at most `N` levels per tensor, 2 to 4096")
	fs.StringVar(&o.quantizer, "quantizer", "", "quantize by `METHOD` uniform (default), lloyd, lloyd-gaussian, ecsq, or codebook=FILE (numbers in text)")
	fs.StringArrayVar(&o.keep, "keep", nil, "leave tensors as they are whose names match `PATTERN` (again for more)")
	fs.StringVar(&o.sensitivity, "sensitivity", "", "weigh squared errors by the tensors of the same names in `FILE`")
	fs.BoolVar(&o.perChannel, "per-channel", false, "a scale for each output channel (F32 only)")
	complete(cmd, "quantizer", cobra.FixedCompletions([]string{"uniform", "lloyd", "lloyd-gaussian", "ecsq", "codebook="}, cobra.ShellCompDirectiveNoFileComp))
}

// work returns how long quantizing takes, in times of the coding that follows.
// That of a search is a guess.
func (o *lossyOptions) work() int64 {
	switch {
	case !o.wanted():
		return 0
	case o.flags.Changed("bits"), o.flags.Changed("target-size"):
		return 18
	}
	return 2
}

func (o *lossyOptions) wanted() bool { return slices.ContainsFunc(asking, o.flags.Changed) }

func (o *lossyOptions) check() error {
	for _, f := range []string{"keep", "sensitivity", "per-channel"} {
		if o.flags.Changed(f) && !o.wanted() {
			return usagef("--%s says how to quantize, but nothing asks for it", f).withHint("--bits, --step or --target-size do")
		}
	}
	var set []string
	for _, f := range alone {
		if o.flags.Changed(f) {
			set = append(set, f)
		}
	}
	if len(set) > 1 {
		return usagef("--%s and --%s both say how much to lose; give one", set[0], set[1])
	}
	name, _, _ := strings.Cut(o.quantizer, "=")
	if lloyd := strings.HasPrefix(name, "lloyd"); lloyd || name == "codebook" {
		for _, f := range []string{"step", "lambda", "target-size", "per-channel", "bits", "levels"} {
			if o.flags.Changed(f) && (!lloyd || f == "step" || f == "lambda" || f == "per-channel") {
				v := usagef("--%s does not go with --quantizer %s", f, name)
				if lloyd {
					return v.withHint("its levels are chosen by --levels, --bits or --target-size")
				}
				return v.withHint("its levels are those of the file")
			}
		}
	}
	switch {
	case o.perChannel && name == "ecsq":
		return usagef("--per-channel does not go with --quantizer ecsq")
	case o.flags.Changed("quantizer") && o.quantizer == "":
		return usagef("--quantizer is empty, want uniform, lloyd, lloyd-gaussian, ecsq or codebook=FILE")
	case o.flags.Changed("bits") && !(o.bits > 0 && o.bits <= 32):
		return usagef("--bits is %g, want more than 0, up to 32", o.bits)
	case o.flags.Changed("step") && !(o.step > 0 && o.step <= math.MaxFloat64):
		return usagef("--step is %g, want more than 0", o.step)
	case o.flags.Changed("lambda") && !(o.lambda > 0 && o.lambda <= math.MaxFloat64):
		return usagef("--lambda is %g, want more than 0", o.lambda)
	case o.flags.Changed("levels") && (o.levels < 2 || o.levels > quant.MaxLevels):
		return usagef("--levels is %d, want 2 to %d", o.levels, quant.MaxLevels)
	case o.flags.Changed("target-size") && o.target < 1:
		return usagef("--target-size is %d bytes, want more", o.target)
	}
	return nil
}

// quantizerOf returns the method that --quantizer names, and its codebook.
// codebookPrefix stands before the file of a codebook.
const codebookPrefix = "codebook="

func quantizerOf(name string) (quant.Method, []float32, error) {
	file, isBook := strings.CutPrefix(name, codebookPrefix)
	switch m := quant.Method(name); m {
	case "", quant.Uniform, quant.Lloyd, quant.LloydGaussian, quant.ECSQ:
		return m, nil, nil
	}
	if !isBook || file == "" {
		return "", nil, usagef("--quantizer is %q, want uniform, lloyd, lloyd-gaussian, ecsq or codebook=FILE", name)
	}
	book, err := readCodebook(file)
	return quant.Codebook, book, err
}

// maxCodebook is a generous size for a text of as many numbers as there can be
// levels.
const maxCodebook = 1 << 20

// readCodebook returns the numbers of a text, in order, each once.
func readCodebook(file string) ([]float32, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCodebook+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxCodebook {
		return nil, usagef("%s has more than %v, which is no codebook", file, byteSize(maxCodebook))
	}
	var book []float32
	for _, w := range strings.FieldsFunc(string(text), func(r rune) bool { return strings.ContainsRune(" \t\r\n,;", r) }) {
		v, err := strconv.ParseFloat(w, 32)
		if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
			return nil, usagef("%s: %.40q is not a number of 32 bits", file, w).withHint("a codebook is numbers with spaces, commas or line ends between them")
		}
		book = append(book, float32(v))
	}
	slices.Sort(book)
	book = slices.Compact(book)
	if len(book) == 0 || len(book) > quant.MaxLevels {
		return nil, usagef("%s holds %s, want 1 to %d", file, count(len(book), "number"), quant.MaxLevels)
	}
	return book, nil
}

// quantize returns the checkpoint with quantized weights. sens may be nil.
func (e *env) quantize(ctx context.Context, o *lossyOptions, c, sens *checkpoint.Checkpoint, opt *rope.Options, progress func(done, total int64)) (*lossy.Result, error) {
	method, book, err := quantizerOf(o.quantizer)
	if err != nil {
		return nil, err
	}
	effort := opt.Effort
	if effort == rope.Auto {
		effort = rope.EffortFor(c.Layout)
	}
	lo := &lossy.Options{
		Quant: quant.Options{Method: method, Codebook: book, Levels: o.levels, Step: o.step, Lambda: o.lambda, PerChannel: o.perChannel},
		Keep:  o.keep, RDO: effort == rope.Max, Threads: e.threads, Progress: progress,
		Budget: o.flags.Changed("target-size") || o.flags.Changed("bits"),
	}
	if sens != nil {
		lo.Sensitivities = sens.Tensors
	}
	r, err := runLossy(ctx, o, lo, c, opt)
	switch budget, ok := errors.AsType[*lossy.BudgetError](err); {
	case ok && o.flags.Changed("target-size"):
		return nil, budgetf("%s cannot become %s bytes; the smallest that can be reached is %s bytes", c.Path, commas(budget.Target), commas(budget.Smallest))
	case ok:
		return nil, &verdict{status: exitBudget, err: fmt.Errorf("%s: %w", c.Path, err)}
	case errors.Is(err, lossy.ErrOptions):
		return nil, &verdict{status: exitUsage, err: fmt.Errorf("%s: %w", c.Path, err)}
	case errors.Is(err, lossy.ErrInput):
		v := &verdict{status: exitRefused, err: fmt.Errorf("%s: %w", c.Path, err)}
		if sens == nil {
			return nil, v.withHint("--keep NAME leaves a tensor as it is")
		}
		return nil, v
	}
	return r, err
}

func runLossy(ctx context.Context, o *lossyOptions, lo *lossy.Options, c *checkpoint.Checkpoint, opt *rope.Options) (*lossy.Result, error) {
	q, err := lossy.New(ctx, c.Layout, lo)
	if err != nil {
		return nil, err
	}
	switch {
	case o.flags.Changed("target-size"):
		return q.Within(ctx, int64(o.target), opt)
	case o.flags.Changed("bits"):
		return q.WithBits(ctx, o.bits, opt)
	}
	lambda, err := q.Lambda()
	if err != nil {
		return nil, err
	}
	return q.Quantize(ctx, lambda)
}

// quantizedResult is what pack says of what was lost.
type quantizedResult struct {
	Weights int64             `json:"weights" about:"that were quantized"`
	Bits    float64           `json:"bits_per_weight" about:"in the file, with codebooks; 0 if the output is a pipe"`
	NMSE    float64           `json:"nmse" about:"squared error / squared weights of each tensor, averaged over weights"`
	Lambda  float64           `json:"lambda" about:"squared error that a bit was worth"`
	Tensors []quantizedTensor `json:"tensors"`
}

type quantizedTensor struct {
	Name     string       `json:"name"`
	Shape    tensor.Shape `json:"shape"`
	Kept     string       `json:"kept,omitempty" about:"why it is as it was; else it was quantized"`
	Levels   int          `json:"levels,omitempty"`
	Bits     float64      `json:"bits_per_weight" about:"in the file; 0 if the output is a pipe"`
	NMSE     float64      `json:"nmse" about:"squared error / squared weights"`
	MaxError float64      `json:"max_error"`
}

func newQuantizedResult(q *lossy.Result, infos []rope.ArrayInfo) *quantizedResult {
	r := &quantizedResult{Lambda: q.Lambda, Tensors: []quantizedTensor{}}
	r.Weights, r.NMSE = q.Weights()
	if infos != nil {
		stored, n := q.Stored(infos)
		r.Bits = 8 * float64(stored) / float64(max(n, 1))
	}
	for i, t := range q.Tensors {
		x := quantizedTensor{Name: t.Name, Shape: t.Shape, Kept: t.Kept, Levels: t.Levels, NMSE: t.NMSE, MaxError: t.MaxError}
		if x.Shape == nil {
			x.Shape = tensor.Shape{}
		}
		if infos != nil && t.Weights > 0 {
			x.Bits = 8 * float64(infos[i].Stored) / float64(t.Weights)
		}
		r.Tensors = append(r.Tensors, x)
	}
	return r
}

func (r *quantizedResult) text(w *bufio.Writer) {
	kept := 0
	for _, t := range r.Tensors {
		if t.Kept != "" {
			kept++
		}
	}
	if kept == len(r.Tensors) {
		fmt.Fprintf(w, "nothing had to be quantized: it fits as it is, without loss\n")
		return
	}
	fmt.Fprintf(w, "quantized %s weights of %s", commas(r.Weights), count(len(r.Tensors)-kept, "tensor"))
	if r.Bits > 0 {
		fmt.Fprintf(w, " to %.3f bits each", r.Bits)
	}
	if r.NMSE > 0 {
		fmt.Fprintf(w, ", signal to noise %.1f dB", lossy.SNR(r.NMSE))
	} else {
		fmt.Fprintf(w, " without loss")
	}
	fmt.Fprintf(w, "; kept %s as they were\n", count(kept, "tensor"))
}
