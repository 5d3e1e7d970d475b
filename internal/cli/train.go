package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ropewalk/graph/nets"
	"ropewalk/internal/atomicfile"
	"ropewalk/internal/filelock"
	"ropewalk/train"
)

// What a run keeps beside its result.
const (
	recipeExt   = ".recipe.yaml"
	historyExt  = ".history.jsonl"
	snapshotExt = ".snapshot"
	lockExt     = ".lock"
	// pendingExt is the recipe until there is a result that it belongs to.
	pendingExt = snapshotExt + ".yaml"
)

func newTrain(e *env) *cobra.Command {
	var o trainOptions
	cmd := &cobra.Command{
		Use:   "train --net NET --data DIR -o OUT",
		Short: "train a network, or fine-tune one",
		Long: `Train NET on the examples in DIR and write it to OUT. NET is a name, for a
network with new weights or those of --weights:
` + netLines() + `
or an ONNX file, which is fine-tuned and, as OUT.onnx, stays the same file but
for its weights. A .rope holds what a .safetensors or .onnx would.

Beside OUT are written: OUT.recipe.yaml, all options in effect, with which
--recipe does the same again; OUT.history.jsonl, a line for each epoch; and
until the end OUT.snapshot with its recipe, and OUT.lock, which keeps other runs
away. After Ctrl-C, a crash or kill -9, --resume -o OUT goes on and gives the
same weights, bit for bit, on the same kind of machine.

--penalty hemp trains for a small file: weights become levels, most of them
zero, and what the coder will need for them is part of the loss. The file holds
the levels of the last pass. --lambda says what a bit costs, --target-size how
large the file may be, --max-drop how much accuracy may be lost. Its defaults
are --optimizer adam --rate 0.002 --epsilon 1e-9 --schedule cosine --hold 0.35
--floor 0.003 --batch 128 (but for --method paper), and --validation 0.1 where
the data has no split of that name. Bytes of the result but for those of OUT are
of the packed file.

--mark KEY writes a mark of "ropewalk mark" while training; the weights need no
change afterwards. With --penalty hemp its scheme is grid: half way between
--freeze-at and the end, the weights that cost least in loss and bits go to the
next level, up or down as the key says; they are held there, and all else learns
on. OUT.unmarked is the network before that; keep it, the mark is read against
it. Otherwise the scheme is uchida: bits in one layer, as a part of the loss.

Every option may stand in a recipe under its name, such as "rate: 0.05"; flags
win. The formulas of optimizers and schedules are PyTorch's.`,
		Example: example(
			"a LeNet-5 on the images that the program carries", "ropewalk train --net lenet5 --data builtin:fashion-mnist --epochs 5 -o lenet5.safetensors",
			"a ResNet-20 on CIFAR-10, the usual way", "ropewalk train --net resnet20 --data cifar --normalise cifar10 --crop 4 --flip --epochs 200 --batch 128\n    --momentum 0.9 --nesterov --decay 1e-4 --schedule cosine -o resnet20.safetensors",
			"fine-tune an ONNX model, and stop when it gets no better", "ropewalk train --net model.onnx --data images/ --rate 0.001 --patience 3 -o tuned.onnx",
			"a LeNet-300-100 in 3 KB", "ropewalk train --net lenet-300-100 --init float.safetensors --data mnist --penalty hemp --target-size 3KB\n    --shift 0.07 --scale 0.1 --rotate 8.6 --epochs 60 -o small.rope",
			"a small file with its owner's mark", "ropewalk train --net lenet5 --data mnist --penalty hemp --mark alice.key --mark-commitment alice.json -o small.rope\nropewalk mark extract small.rope --key alice.key --reference small.rope.unmarked --commitment alice.json",
			"go on after an interruption", "ropewalk train --resume -o lenet5.safetensors",
		),
		Args:              arguments(0, 0, "no argument"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.train(cmd.Context(), &o)
		},
	}
	o.addFlags(cmd)
	o.report.addFlag(cmd, &o.force)
	exits(cmd, exitUsage, exitRefused, exitBudget, exitInterrupted)
	return cmd
}

// netLines lists the names of networks, in lines that fit.
func netLines() string {
	var b strings.Builder
	line := " "
	for _, n := range nets.Names() {
		if len(line)+1+len(n) > 76 {
			b.WriteString(line + "\n")
			line = " "
		}
		line += " " + n
	}
	b.WriteString(line)
	return b.String()
}

// trainResult is what train says in the end.
type trainResult struct {
	Schema     string           `json:"schema"`
	Type       string           `json:"type" about:"result; the lines before have the type epoch"`
	Output     string           `json:"output"`
	Bytes      int64            `json:"bytes" about:"of the output"`
	More       []moreOutput     `json:"more,omitempty" about:"of --also and --floats"`
	Net        string           `json:"net"`
	Parameters int64            `json:"parameters" about:"numbers that were trained"`
	Data       string           `json:"data"`
	Examples   int              `json:"examples" about:"of an epoch"`
	Skipped    int              `json:"skipped" about:"images that did not decode, and were left out"`
	Seed       uint64           `json:"seed"`
	Epochs     int              `json:"epochs"`
	Steps      int64            `json:"steps" about:"updates"`
	Loss       float64          `json:"loss" about:"mean over the last epoch, while it went on"`
	Best       int              `json:"best_epoch" about:"from 1, of the weights in the output; 0 if they are the last ones"`
	Stopped    bool             `json:"stopped" about:"early, because evaluations did not get better"`
	ValidateOn string           `json:"validate_on" about:"validation, test, none, or a part of train"`
	Validation *train.Result    `json:"validation,omitempty" about:"of the weights in the output"`
	Test       *train.Result    `json:"test,omitempty" about:"of the weights in the output, if the validation was on other data"`
	Hemp       *hempResult      `json:"hemp,omitempty" about:"of --penalty hemp"`
	Mark       *trainMarkResult `json:"mark,omitempty" about:"of --mark"`
	Recipe     string           `json:"recipe" about:"file with the options in effect"`
	History    string           `json:"history" about:"file with a line for each epoch"`
	Seconds    float64          `json:"seconds" about:"of training"`
}

func (r *trainResult) text(w *bufio.Writer) {
	fmt.Fprintf(w, "%s: %s, %s, loss %.4f", printable(r.Net), count(r.Epochs, "epoch"), count(int(r.Steps), "step"), r.Loss)
	if r.Stopped {
		fmt.Fprint(w, "; stopped early")
	}
	if r.Best > 0 {
		fmt.Fprintf(w, "; weights of epoch %d", r.Best)
	}
	fmt.Fprintln(w)
	if r.Validation != nil {
		fmt.Fprintf(w, "%s: %s\n", r.validationName(), scores(r.Validation.Summary(), r.Validation.Examples))
	}
	if r.Test != nil {
		fmt.Fprintf(w, "test: %s\n", scores(r.Test.Summary(), r.Test.Examples))
	}
	if h := r.Hemp; h != nil {
		fmt.Fprintf(w, "%s of %s weights are not zero; %d bytes as trained, %d weights then taken out, %d bytes saved by order\n",
			commas(int64(h.Nonzero)), commas(int64(h.Quantized)), h.Trained, h.Thinned, h.Sorted)
		fmt.Fprintf(w, "%d bytes\n", r.Bytes)
	}
	if r.Mark != nil {
		r.Mark.text(w)
	}
	for _, m := range r.More {
		fmt.Fprintf(w, "%s (%v)", printable(m.File), byteSize(m.Bytes))
		if m.Floats {
			fmt.Fprint(w, ", floats behind the levels")
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%s (%v), in %s, seed %d\n", printable(r.Output), byteSize(r.Bytes), clock(time.Duration(r.Seconds*float64(time.Second))), r.Seed)
}

func (r *trainResult) validationName() string {
	if r.ValidateOn == splitTest {
		return splitTest
	}
	return splitValidation
}

// scores returns "loss 0.3012, top-1 90.12 %, top-5 99.70 % of 10,000".
func scores(s *train.Summary, examples int) string {
	text := fmt.Sprintf("loss %.4f", s.Loss)
	if s.Top1 != nil {
		text += fmt.Sprintf(", top-1 %.2f %%", 100**s.Top1)
	}
	if s.Top5 != nil {
		text += fmt.Sprintf(", top-5 %.2f %%", 100**s.Top5)
	}
	if examples > 0 {
		text += " of " + commas(int64(examples))
	}
	return text
}

func (e *env) train(ctx context.Context, o *trainOptions) error {
	if err := o.begin(); err != nil {
		return err
	}
	form, err := formOf(o.out)
	if err != nil {
		return err
	}
	lock, err := e.lock(o.out)
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := o.inTheWay(); err != nil {
		return err
	}
	r, err := e.prepare(ctx, o, form)
	if r != nil {
		defer r.close()
	}
	if err != nil {
		return err
	}
	if err := r.run(ctx); err != nil {
		r.forget(err)
		return err
	}
	return nil
}

// lock keeps other runs from writing the same files. It ends with the process, even
// if that is killed.
func (e *env) lock(out string) (*filelock.Lock, error) {
	l, err := filelock.Hold(out + lockExt)
	var held *filelock.HeldError
	switch {
	case errors.Is(err, filelock.ErrUnsupported):
		e.notef("another run that writes %s would not be noticed: %v", out, err)
		return nil, nil
	case errors.As(err, &held):
		v := &verdict{status: exitFailure, err: fmt.Errorf("another run is writing %s: %w", out, err)}
		return nil, v.withHint("wait for it; or -o names another file")
	}
	return l, err
}

// begin reads the recipe and checks the options.
func (o *trainOptions) begin() error {
	switch {
	case o.out == "":
		return usagef("-o OUT is missing").withHint("-o FILE.safetensors, .onnx or .rope")
	case o.out == dash:
		return usagef("the result of train is a file, with others beside it").withHint("-o FILE.safetensors")
	case o.resume && o.recipe != "":
		return usagef("--resume takes the recipe beside OUT, not another one")
	case o.resume:
		o.recipe = o.out + pendingExt
		if _, err := os.Stat(o.recipe); err != nil { // it ended between result and snapshot
			o.recipe = o.out + recipeExt
		}
	}
	if o.recipe != "" {
		err := readRecipe(o.recipe, o.flags)
		if o.resume && errors.Is(err, fs.ErrNotExist) {
			return usagef("there is nothing to resume: %w", err).withHint("without --resume, the run begins")
		}
		if err != nil {
			return err
		}
	}
	if err := o.check(); err != nil {
		return err
	}
	if err := o.mark.check(&o.hemp); err != nil {
		return err
	}
	if err := o.report.check(o.inputs()...); err != nil {
		return err
	}
	if err := refuseFiles(o.outputs(), o.inputs()); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, path := range append(o.more(), o.out) {
		if _, err := formOf(path); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return err
		}
		if seen[filepath.Clean(path)] {
			return usagef("%s is to be written twice", path)
		}
		seen[filepath.Clean(path)] = true
	}
	if st, err := os.Stat(o.out); err == nil && st.IsDir() {
		return &fs.PathError{Op: "create", Path: o.out, Err: atomicfile.ErrIsDir}
	}
	return nil
}

// more are the files that are written beside the output.
func (o *trainOptions) more() []string {
	if o.floats == "" {
		return o.also
	}
	return append(slices.Clone(o.also), o.floats)
}

// inputs are the files that a run reads, as far as options name them.
func (o *trainOptions) inputs() []string {
	list := []string{o.net.weights, o.teacher.weights, o.data.data, o.recipe, o.mark.key, o.mark.pass.file}
	for _, net := range []string{o.net.net, o.teacher.net} {
		if !isNet(net) {
			list = append(list, net)
		}
	}
	if book, ok := strings.CutPrefix(o.hemp.quantizer, codebookPrefix); ok {
		list = append(list, book)
	}
	return list
}

// outputs are the files that a run may replace.
func (o *trainOptions) outputs() []string {
	list := append(o.more(), o.out)
	if o.mark.key != "" {
		list = append(list, o.mark.commitment, o.out+unmarkedExt)
	}
	return list
}

// inTheWay looks that no earlier result or run would be lost.
func (o *trainOptions) inTheWay() error {
	switch _, err := os.Stat(o.out); {
	case o.force:
		return nil
	case err == nil:
		return &fs.PathError{Op: "create", Path: o.out, Err: fs.ErrExist}
	}
	for _, path := range o.more() {
		if _, err := os.Stat(path); err == nil {
			return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
		}
	}
	if err := o.markInTheWay(); err != nil {
		return err
	}
	for _, path := range []string{o.out + snapshotExt, o.out + searchExt, o.trySnapshot(0)} {
		if _, err := os.Stat(path); err == nil && !o.resume {
			return usagef("%s is there, of a run that was interrupted", path).withHint("--resume goes on with it, -f begins anew")
		}
	}
	return nil
}
