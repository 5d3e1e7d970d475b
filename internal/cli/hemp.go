package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ropewalk/compact"
	"ropewalk/engine"
	"ropewalk/entropy"
	"ropewalk/graph/nets"
	"ropewalk/rope"
	"ropewalk/tensor"
	"ropewalk/train"
)

// hempOptions are the flags of training for a small file.
type hempOptions struct {
	penalty string
	c       compact.Options
	model   string
	init    string

	quantizer string
	target    targetFlag
	maxDrop   percentFlag
	tries     int
}

// penaltyHemp is the only penalty so far.
const penaltyHemp = "hemp"

// hempFlags are those that need --penalty.
var hempFlags = []string{
	"method", "order", "levels", "lambda", "pull", "model", "float-part", "ramp", "freeze-at", "dead-zone", "float-biases", "bias-step",
	"bias-rate", "prune", "shrink", "fixed-levels", "restless", "target-size", "max-drop", "tries",
	"quantizer", "requantize", "refresh", "closed-form", "scan", "floats",
}

func (o *hempOptions) addFlags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&o.penalty, "penalty", "", "train for a small file: `KIND` hemp; the options down to --tries go with it")
	fs.StringVar(&o.c.Method, "method", "", "`HOW` default, or paper: HEMP as published")
	fs.IntVar(&o.c.Order, "order", 0, "blocks of `N` weights (default 3 for paper, 2 for --model blocks)")
	fs.IntVar(&o.c.Levels, "levels", 0, "values that the weights of a tensor may have, `N` (default 3, or 7 where layers do not follow each other one by one, as in residual networks; 4 for paper)")
	fs.Float64Var(&o.c.Lambda, "lambda", 0, "what a bit costs, in `NATS` of the loss (default 1e-5); for paper λ_H (default 1; -1 is none)")
	fs.Float64Var(&o.c.Pull, "pull", 0, "paper: λ_E, the pull towards levels (default 0.1; -1 is none)")
	fs.StringVar(&o.quantizer, "quantizer", "", "paper: levels by `KIND` lloyd-gaussian (default), lloyd (k-means), uniform, ecsq, or codebook=FILE (numbers in text)")
	fs.BoolVar(&o.c.Requantize, "requantize", false, "paper: choose levels anew in each epoch")
	fs.IntVar(&o.c.Refresh, "refresh", 0, "paper: find the gradient of the entropy every `N` steps (default 10)")
	fs.BoolVar(&o.c.ClosedForm, "closed-form", false, "paper, --order 2: the explicit derivative as published, in the place of the exact one")
	fs.StringVar(&o.c.Scan, "scan", "", "paper: blocks of weights in the order `SCAN` row-major (default), kernel-columns, input-channels or output-channels")
	fs.StringVar(&o.model, "model", "", "count bits by `MODEL` neighbours (default), tensor, row-column or blocks")
	fs.Float64Var(&o.c.Start, "float-part", 0, "train so much of the time in floats first, `PART` (default 0.3 with new weights, else 0)")
	fs.Float64Var(&o.c.Ramp, "ramp", 0, "lambda grows until `PART` of training (default half of what follows the floats)")
	fs.Float64Var(&o.c.Freeze, "freeze-at", 0, "zeros stay zeros from `PART` of training on (default 0.6 of what follows the floats)")
	fs.Float64Var(&o.c.DeadZone, "dead-zone", 0, "weights below `PART` of the first level are zero (default 0.6)")
	fs.BoolVar(&o.c.FloatBiases, "float-biases", false, "do not put biases on a grid")
	fs.Float64Var(&o.c.BiasStep, "bias-step", 0, "the grid of biases, `STEP` (default 0.125)")
	fs.Float64Var(&o.c.BiasRate, "bias-rate", 0, "a bit of a bias costs `FACTOR` times that of a weight (default 1; -1 is nothing)")
	fs.Float64Var(&o.c.Prune, "prune", 0, "begin without the smallest `PART` of the weights of each tensor")
	fs.Float64Var(&o.c.Shrink, "shrink", 0, "in the float part, take `PART` of each weight off it in a step, less where the loss depends on it")
	fs.BoolVar(&o.c.FixedLevels, "fixed-levels", false, "do not learn the levels of weights")
	fs.BoolVar(&o.c.Restless, "restless", false, "after --freeze-at, let weights that change levels to and fro go on with it")
	fs.StringVar(&o.init, "init", "", "begin with the weights in `FILE`; the same as --weights")
	fs.Var(&o.target, "target-size", "have a file of at most `SIZE`, and of at least 98 % of that (95 % with --mark) if there is use for so much")
	fs.Var(&o.maxDrop, "max-drop", "find the smallest file whose accuracy on the validation data is at most `PERCENT` points below that of the weights it begins with")
	fs.IntVar(&o.tries, "tries", 0, "--max-drop: train `N` times (default 5)")
	complete(cmd, "penalty", cobra.FixedCompletions([]string{penaltyHemp}, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "method", cobra.FixedCompletions([]string{compact.Default, compact.Paper}, cobra.ShellCompDirectiveNoFileComp))
	var models []string
	for _, m := range compact.Models {
		models = append(models, string(m))
	}
	complete(cmd, "model", cobra.FixedCompletions(models, cobra.ShellCompDirectiveNoFileComp))
}

// checkHemp looks at the options that need no network, and sets the defaults of a
// training for size.
func (o *trainOptions) checkHemp() error {
	h := &o.hemp
	if h.init != "" {
		if o.net.weights != "" && o.net.weights != h.init {
			return usagef("--init %s and --weights %s are both weights to begin with", h.init, o.net.weights)
		}
		o.net.weights = h.init
	}
	if h.penalty == "" {
		if c := changed(o.flags, slices.Clone(hempFlags)...); len(c) > 0 {
			return usagef("--%s goes with --penalty hemp only", c[0])
		}
		return nil
	}
	if h.penalty != penaltyHemp {
		return usagef("--penalty is %q; the only one is hemp", h.penalty)
	}
	form, err := formOf(o.out)
	if err != nil {
		return err
	}
	switch {
	case o.t.Average != 0 || o.t.Best || o.t.Patience != 0:
		return usagef("--average, --best and --patience do not go with --penalty hemp: the last symbols are what is stored")
	case o.validation == "none" || o.validation == splitTest:
		return usagef("--penalty hemp chooses on validation data, not on %s", o.validation).withHint("--validation 0.1 keeps a tenth of the training data back")
	case h.maxDrop < 0 || h.tries < 0 || h.tries > 100:
		return usagef("--max-drop is %v and --tries %d; want 0 or more, and 1 to 100", h.maxDrop, h.tries)
	case o.flags.Changed("tries") && h.maxDrop == 0:
		return usagef("--tries goes with --max-drop")
	case h.target > 0 && h.maxDrop > 0:
		return usagef("--target-size and --max-drop both decide how small the file is")
	case (h.target > 0 || h.maxDrop > 0) && form != formRope:
		return usagef("--target-size and --max-drop are about a .rope, and %s is none", o.out)
	case h.c.Method == compact.Paper && (h.target > 0 || h.maxDrop > 0):
		return usagef("--method paper has neither --target-size nor --max-drop").withHint("--lambda and --pull are its knobs")
	}
	for _, f := range []struct {
		name  string
		value float64
		none  bool // -1 is
	}{{"lambda", h.c.Lambda, h.c.Method == compact.Paper}, {"pull", h.c.Pull, true}} {
		if x := f.value; o.flags.Changed(f.name) && (!(x > 0) && !(f.none && x == -1) || math.IsInf(x, 0)) {
			return usagef("--%s is %g; want a number above 0", f.name, x)
		}
	}
	if o.flags.Changed("target-size") && h.target == 0 {
		return usagef("--target-size is 0; no file is so small")
	}
	if h.c.Quantizer, h.c.Codebook, err = quantizerOf(h.quantizer); err != nil {
		return err
	}
	h.c.Model, h.c.Target = entropy.Model(h.model), int64(h.target)
	if h.maxDrop > 0 && h.tries == 0 {
		h.tries = 5
	}
	if h.c.Method != compact.Paper {
		o.recipeDefaults()
	}
	return nil
}

// recipeDefaults are those of recipe A in the place of those of train.
func (o *trainOptions) recipeDefaults() {
	set := func(flag, value string) {
		if !o.flags.Changed(flag) {
			if err := o.flags.Set(flag, value); err != nil {
				panic("internal error: --" + flag + ": " + err.Error())
			}
		}
	}
	if o.t.Optimizer.Kind == train.SGD && !o.flags.Changed("optimizer") {
		set("optimizer", train.Adam)
		set("rate", "0.002")
		set("epsilon", "1e-9")
	}
	if !o.flags.Changed("schedule") {
		set("schedule", train.Cosine)
		set("hold", "0.35")
		set("floor", "0.003")
	}
	set("batch", "128")
	if o.net.weights == "" && isNet(o.net.net) {
		set("float-part", "0.3")
	}
}

// fill sets the flags that were not given to what the recipe works with, so that the file
// of the run says it.
func (o *trainOptions) fill(c compact.Options) error {
	if c.Method != compact.Paper && c.Model != entropy.Blocks {
		c.Order = 0 // it says what the history measures, and nothing else
	}
	for flag, value := range map[string]any{
		"levels": c.Levels, "lambda": c.Lambda, "pull": c.Pull, "order": c.Order, "model": c.Model, "ramp": c.Ramp, "freeze-at": c.Freeze,
		"dead-zone": c.DeadZone, "bias-step": c.BiasStep, "bias-rate": c.BiasRate,
	} {
		if o.flags.Changed(flag) || reflect.ValueOf(value).IsZero() {
			continue
		}
		if err := o.flags.Set(flag, fmt.Sprint(value)); err != nil {
			return fmt.Errorf("internal error: --%s: %w", flag, err)
		}
	}
	return nil
}

// identify has what a penalty depends on tell a run from others, each option by its name.
func identify(identity map[string]string, penalty string, c compact.Options) error {
	b, err := json.Marshal(c)
	var options map[string]any
	if err == nil {
		err = json.Unmarshal(b, &options)
	}
	identity["penalty"] = penalty
	for k, v := range options {
		identity[penalty+" "+k] = fmt.Sprint(v)
	}
	return err
}

// prepareHemp makes the recipe for the program.
func (r *trainRun) prepareHemp(ctx context.Context) error {
	h := &r.hemp
	if h.penalty == "" {
		return nil
	}
	layers, err := compact.Layers(r.net.Graph)
	if err != nil {
		return r.net.wrap(err)
	}
	r.buffers = r.net.Buffers()
	h.c.Threads = r.e.threads
	if h.maxDrop > 0 && r.begun == nil {
		r.begun = cloneValues(r.program.Weights())
	}
	tools := compact.Tools{
		// An interruption waits for the update, which is whole or not done.
		Size: func(values [][]float32) (int64, error) { return r.packedSize(context.WithoutCancel(ctx), values) },
		Judge: func(ctx context.Context) (*train.Summary, error) {
			v, err := r.judge(ctx, r.t.Validation)
			if err != nil {
				return nil, err
			}
			return v.Summary(), nil
		},
	}
	tools.Batch, tools.Narrow = r.updateExamples(), r.narrows()
	if r.thins() {
		tools.Finished = r.finishedSize
	}
	if r.marked != nil && r.trainOptions.mark.scheme == markGrid {
		tools.Mark = func(p *compact.Proposal) ([]compact.Move, []byte, error) {
			return r.chooseMoves(context.WithoutCancel(ctx), p)
		}
	}
	if r.recipe, err = compact.New(r.trained(), layers, h.c, tools); err != nil {
		if known := r.collapsed(err); known != nil {
			return known
		}
		if _, ok := errors.AsType[*compact.ValueError](err); ok {
			return (&verdict{status: exitRefused, err: err}).withHint("%s has a bad value; \"ropewalk inspect --stats\" shows where there are more", cmp.Or(r.trainOptions.net.weights, r.net.spec))
		}
		return usagef("%w", err)
	}
	r.t.Penalties, r.t.Hooks = append([]train.Penalty{r.recipe.Penalty()}, r.marking...), []train.Hook{r.recipe}
	return nil
}

// updateExamples is how many examples an update follows in the end, when it is asked what
// weights are worth.
func (r *trainRun) updateExamples() int {
	return r.t.BatchSize(max(r.t.Epochs-1, 0)) * max(r.t.Accumulate, 1)
}

// trained returns the weights of the program that are trained.
func (r *trainRun) trained() []engine.Weight {
	return slices.DeleteFunc(slices.Clone(r.program.Weights()), func(w engine.Weight) bool { return w.Gradient == nil })
}

func (r *trainRun) judge(ctx context.Context, x train.Source) (*train.Result, error) {
	return train.Evaluate(ctx, r.program, x, &train.EvaluateOptions{Batch: r.t.Batch, FixedBatch: r.t.FixedBatch, Objective: r.t.Objective})
}

// packedSize returns the bytes of the .rope of the network with these values of its trained
// weights. Many networks are asked for more than once.
func (r *trainRun) packedSize(ctx context.Context, values [][]float32) (int64, error) {
	set, err := r.stored(values)
	if err != nil {
		return 0, err
	}
	plain, err := r.e.plainNetwork(r.net, set, r.settings)
	if err != nil {
		return 0, err
	}
	of := sha256.Sum256(plain)
	if size, ok := r.sizes[of]; ok {
		return size, nil
	}
	c, err := openPlain(ctx, plain, r.out)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	size, err := rope.Size(ctx, c.Layout, r.e.packOptions())
	if err != nil {
		return 0, err
	}
	if r.sizes == nil {
		r.sizes = map[[sha256.Size]byte]int64{}
	}
	r.sizes[of] = size
	return size, nil
}

// stored returns the weights that go into the file, where those that are trained have
// these values: in a .rope of a network that can be built with fewer units, without
// those that do nothing. A file says how many there are by its shapes.
func (r *trainRun) stored(values [][]float32) (*tensor.Set, error) {
	weights, i := slices.Clone(r.program.Weights()), 0
	var shapes []tensor.Shape
	if r.narrows() && r.recipe != nil && r.recipe.CanNarrow() {
		var err error
		if shapes, values, err = r.recipe.Narrow(values); err != nil {
			return nil, err
		}
	}
	for k, w := range weights {
		if w.Gradient == nil {
			weights[k].Values = r.coarse(w, w.Values)
			continue
		}
		weights[k].Values = r.coarse(w, values[i])
		if shapes != nil {
			weights[k].Shape = shapes[i]
		}
		i++
	}
	return trainedSet(r.net, weights)
}

// narrows reports whether the file may leave units out.
func (r *trainRun) narrows() bool {
	return r.form == formRope && r.net.built && nets.CanNarrow(r.net.Name)
}

// coarse returns the values of a weight as they are stored. A recipe that is not there
// yet, but asks how small a file can be, changes none.
func (r *trainRun) coarse(w engine.Weight, values []float32) []float32 {
	if r.recipe == nil || w.Gradient == nil && !slices.Contains(r.buffers, w.Name) { // a constant of the graph
		return values
	}
	return r.recipe.Coarse(w, values)
}

// collapsed names the knob to turn, if err is of a network that did not survive.
func (r *trainRun) collapsed(err error) error {
	var c *compact.CollapsedError
	var b *compact.BudgetError
	switch {
	case errors.As(err, &c):
		return budgetf("%w", err).withHint("%s", r.revived(strings.ReplaceAll(c.Knob, "_", "-")))
	case errors.As(err, &b):
		return budgetf("--target-size: %w", err).withHint("a larger --target-size; nothing was written")
	}
	return nil
}

// percentFlag is points of a percentage, as 0.5%.
type percentFlag float64

func (p *percentFlag) String() string {
	if *p == 0 {
		return ""
	}
	return fmt.Sprintf("%g%%", float64(*p))
}

func (p *percentFlag) Set(s string) error {
	var x float64
	rest := strings.TrimSuffix(s, "%")
	if _, err := fmt.Sscanf(rest+"\n", "%g\n", &x); err != nil || !(x > 0 && x <= 100) {
		return fmt.Errorf("want points of accuracy such as 0.5%%")
	}
	*p = percentFlag(x)
	return nil
}

func (p *percentFlag) Type() string { return "percent" }

// targetFlag is a size that prints exactly, so that a recipe holds what was asked for.
type targetFlag byteSize

func (t *targetFlag) String() string {
	if *t == 0 {
		return ""
	}
	return fmt.Sprint(int64(*t))
}

func (t *targetFlag) Set(s string) error { return (*byteSize)(t).Set(s) }

func (t *targetFlag) Type() string { return "SIZE" }
