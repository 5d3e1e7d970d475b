package cli

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ropewalk/dataset"
	"ropewalk/internal/nearest"
	"ropewalk/train"
)

// trainOptions are the flags of train. All but the first few may stand in a recipe.
type trainOptions struct {
	out           string
	also          []string
	floats        string // the file of the weights behind the levels
	force, resume bool
	recipe        string
	net           netOptions
	data          dataOptions
	augment       dataset.Augmentation
	validation    string
	limit         int
	freeze        []string
	frozenNorms   bool
	batch         string
	milestones    []int
	t             train.Options
	loss          string
	smoothing     float64
	teacher       netOptions
	temperature   float64
	teacherWeight float64
	snapshotEvery time.Duration
	snapshotSteps uint64
	hemp          hempOptions
	mark          trainMarkOptions
	report        reportFlag
	flags         *pflag.FlagSet
}

func (o *trainOptions) addFlags(cmd *cobra.Command) {
	fs := cmd.Flags()
	o.flags = fs
	fs.SortFlags = false
	fs.StringVarP(&o.out, "out", "o", "", "write to `OUT`: .safetensors, .onnx or .rope")
	fs.StringArrayVar(&o.also, "also", nil, "write the network to `FILE`, too: .safetensors, .onnx or .rope (again for more)")
	fs.StringVar(&o.floats, "floats", "", "with --penalty hemp: write the floats behind the levels to `FILE`, to look at or to go on from")
	fs.BoolVarP(&o.force, "force", "f", false, "replace an existing output, and a snapshot beside it")
	fs.StringVar(&o.recipe, "recipe", "", "take options from `FILE`, lines such as \"epochs: 10\"; flags win")
	fs.BoolVar(&o.resume, "resume", false, "go on with the run whose snapshot is beside OUT")

	o.net.addFlags(cmd, "train `NET`: a name such as lenet5, or an ONNX file")
	fs.StringArrayVar(&o.freeze, "freeze", nil, "do not train weights whose names match `PATTERN` (again for more)")
	fs.BoolVar(&o.frozenNorms, "frozen-norms", false, "batch norms use their running statistics, and do not change them")

	o.data.addFlags(cmd)
	fs.StringVar(&o.validation, "validation", "", "evaluate on `SPLIT` validation, test or none, or on a part of train such as 0.1")
	fs.IntVar(&o.limit, "limit", 0, "train on the first `N` examples only")
	fs.Float64Var(&o.augment.Rotate, "rotate", 0, "turn images by up to `DEGREES`")
	fs.Float64Var(&o.augment.Shift, "shift", 0, "shift them by up to `PART` of their sides")
	fs.Float64Var(&o.augment.Scale, "scale", 0, "scale them by up to `FACTOR` less one")
	fs.IntVar(&o.augment.Crop, "crop", 0, "crop them out of a border of `N` pixels")
	fs.BoolVar(&o.augment.Flip, "flip", false, "mirror every other one")
	fs.Float64Var(&o.augment.Mixup, "mixup", 0, "average examples with others by Beta(`A`, A)")
	fs.Float64Var(&o.augment.CutMix, "cutmix", 0, "paste a part of others into them by Beta(`A`, A)")

	fs.IntVar(&o.t.Epochs, "epochs", 10, "go through the data `N` times")
	fs.StringVar(&o.batch, "batch", "100", "examples of a batch; `SIZES` as 32,64@10 change in epoch 10, counted from 0")
	fs.IntVar(&o.t.Accumulate, "accumulate", 1, "make one update of `N` batches")
	fs.Uint64Var(&o.t.Seed, "seed", 0, "`NUMBER` that all that is random follows from")

	opt := &o.t.Optimizer
	fs.StringVar(&opt.Kind, "optimizer", train.SGD, "`KIND` sgd, adam or adamw")
	fs.Float64Var(&opt.Rate, "rate", 0, "learning rate `R` (default 0.1; 0.001 for adam and adamw)")
	fs.Float64Var(&opt.Momentum, "momentum", 0, "`M` of sgd")
	fs.BoolVar(&opt.Nesterov, "nesterov", false, "look ahead by the momentum")
	fs.Float64Var(&opt.Beta1, "beta1", 0, "`B` of adam (default 0.9)")
	fs.Float64Var(&opt.Beta2, "beta2", 0, "`B` of adam (default 0.999)")
	fs.Float64Var(&opt.Epsilon, "epsilon", 0, "`E` of adam (default 1e-8)")
	fs.Float64Var(&opt.Decay, "decay", 0, "weight decay `D`")
	fs.BoolVar(&opt.DecayKernels, "decay-kernels", false, "biases and norms do not decay")
	fs.Float64Var(&o.t.Clip.Norm, "clip-norm", 0, "bound the norm of all gradients by `N`")
	fs.Float64Var(&o.t.Clip.Value, "clip-value", 0, "bound each gradient by `V`")
	fs.Float64Var(&o.t.Average, "average", 0, "keep an average of the weights that decays by `D`, such as 0.999")

	s := &o.t.Schedule
	fs.StringVar(&s.Kind, "schedule", train.Constant, "`KIND` constant, step, multistep, cosine or plateau")
	fs.Float64Var(&s.WarmUp, "warm-up", 0, "raise the rate over `E` epochs, which may be a part of one")
	fs.IntVar(&s.Every, "step-every", 0, "step: go down every `N` epochs")
	fs.IntSliceVar(&o.milestones, "milestones", nil, "multistep: go down at `EPOCHS`, as 30,60")
	fs.Float64Var(&s.Factor, "factor", 0, "step, multistep, plateau: by `F` (default 0.1)")
	fs.Float64Var(&s.Hold, "hold", 0, "cosine: begin after `PART` of all steps")
	fs.Float64Var(&s.Floor, "floor", 0, "cosine: end at `PART` of the rate")
	fs.IntVar(&s.Patience, "schedule-patience", 0, "plateau: after `N` evaluations (default 10)")

	fs.StringVar(&o.loss, "loss", "cross-entropy", "`KIND` cross-entropy or mse")
	fs.Float64Var(&o.smoothing, "smoothing", 0, "label smoothing, `PART`")
	fs.StringVar(&o.teacher.net, "teacher", "", "learn from `NET`, as --net, too")
	fs.StringVar(&o.teacher.weights, "teacher-weights", "", "take the weights of the teacher from `FILE`")
	fs.Float64Var(&o.temperature, "temperature", 0, "`T` of distillation (default 4)")
	fs.Float64Var(&o.teacherWeight, "teacher-weight", 0, "`PART` of the loss that is the teacher's (default 0.9)")

	o.hemp.addFlags(cmd)
	o.mark.addFlags(cmd)

	fs.IntVar(&o.t.Every, "every", 1, "evaluate after every `N` epochs")
	fs.StringVar(&o.t.Monitor, "monitor", train.ByLoss, "`WHAT` makes an evaluation the best one: loss or accuracy")
	fs.BoolVar(&o.t.Best, "best", false, "keep the weights of the best evaluation")
	fs.IntVar(&o.t.Patience, "patience", 0, "stop after `N` evaluations without a better one, and keep the best")
	fs.DurationVar(&o.snapshotEvery, "snapshot-every", time.Minute, "write a snapshot every `TIME`")
	fs.Uint64Var(&o.snapshotSteps, "snapshot-steps", 0, "and every `N` updates")

	fixed := func(flag string, words ...string) {
		complete(cmd, flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
	fixed("optimizer", train.SGD, train.Adam, train.AdamW)
	fixed("schedule", train.Constant, train.StepDown, train.MultiStep, train.Cosine, train.Plateau)
	fixed("loss", "cross-entropy", "mse")
	fixed("monitor", train.ByLoss, train.ByAccuracy)
}

// check looks at what does not depend on network or data, and fills in the options
// of package train.
func (o *trainOptions) check() error {
	if err := o.checkZeros(); err != nil {
		return err
	}
	switch {
	case o.net.net == "":
		return usagef("--net is missing").withHint("--net lenet5, or an ONNX file")
	case o.data.data == "":
		return usagef("--data is missing").withHint("--data DIR; --data builtin:fashion-mnist is at hand")
	case o.limit < 0:
		return usagef("--limit is %d, want 0 (all) or more", o.limit)
	case o.snapshotEvery <= 0:
		return usagef("--snapshot-every is %v, want more than 0", o.snapshotEvery)
	case o.teacher.net == "" && len(changed(o.flags, "teacher-weights", "temperature", "teacher-weight")) > 0:
		return usagef("--%s is about a teacher, and there is none", changed(o.flags, "teacher-weights", "temperature", "teacher-weight")[0]).withHint("--teacher NET names one")
	case o.loss != "cross-entropy" && o.loss != "mse":
		v := usagef("--loss is %q, want cross-entropy or mse", o.loss)
		if n := nearest.Name(o.loss, []string{"cross-entropy", "mse"}); n != "" {
			return v.withHint("did you mean %s?", n)
		}
		return v
	case o.loss == "mse" && (o.smoothing != 0 || o.teacher.net != ""):
		return usagef("--smoothing and --teacher go with --loss cross-entropy only")
	}
	for _, p := range o.freeze {
		if _, err := path.Match(p, ""); err != nil {
			return usagef("--freeze %q is no pattern", p)
		}
	}
	if o.teacher.net != "" && o.temperature == 0 {
		o.temperature = 4
	}
	if o.teacher.net != "" && o.teacherWeight == 0 {
		o.teacherWeight = 0.9
	}
	if o.milestones != nil {
		o.t.Schedule.Milestones = o.milestones
	}
	o.t.SnapshotEvery, o.t.SnapshotSteps = o.snapshotEvery, o.snapshotSteps
	if err := o.checkHemp(); err != nil {
		return err
	}
	return o.parseBatch()
}

// nonzero are flags whose zero packages train and compact take for their default.
var nonzero = []string{
	"rate", "beta1", "beta2", "epsilon", "factor", "schedule-patience", "temperature", "teacher-weight",
	"every", "accumulate",
	"levels", "dead-zone", "ramp", "freeze-at", "bias-step", "bias-rate", "refresh",
}

// checkZeros refuses a zero that would silently become something else.
func (o *trainOptions) checkZeros() error {
	for _, name := range changed(o.flags, slices.Clone(nonzero)...) {
		if text := o.flags.Lookup(name).Value.String(); text == "0" || text == "-0" {
			return usagef("--%s is 0, want more than 0", name).withHint("without --%s, its default holds", name)
		}
	}
	return nil
}

// parseBatch reads sizes such as 32,64@10,128@20.
func (o *trainOptions) parseBatch() error {
	bad := func() error {
		return usagef("--batch is %q, want a size, or sizes with the epochs from which they hold, such as 32,64@10", o.batch)
	}
	for i, word := range strings.Split(o.batch, ",") {
		size, epoch, timed := strings.Cut(strings.TrimSpace(word), "@")
		n, err := strconv.Atoi(size)
		if err != nil || timed == (i == 0) {
			return bad()
		}
		if i == 0 {
			o.t.Batch = n
			if n == 0 {
				return bad() // which package train takes for its default
			}
			continue
		}
		e, err := strconv.Atoi(epoch)
		if err != nil {
			return bad()
		}
		o.t.Batches = append(o.t.Batches, train.BatchFrom{Epoch: e, Size: n})
	}
	return nil
}

// choose splits the data. Keeping the best weights must not look at the test split:
// then a tenth of the training data is kept back, if there is nothing else.
func (o *trainOptions) choose(d *dataset.Dataset) (fit, validation dataset.Source, err error) {
	fit = d.Train
	if fit == nil {
		return nil, nil, usagef("%s has no training split", d.Name)
	}
	judges := o.t.Best || o.t.Patience > 0 || o.t.Schedule.Kind == train.Plateau || o.hemp.penalty != ""
	if o.validation == "" {
		switch {
		case d.Validation != nil:
			o.validation = splitValidation
		case judges:
			o.validation = "0.1"
		case d.Test != nil:
			o.validation = splitTest
		default:
			o.validation = "none"
		}
	}
	switch o.validation {
	case "none":
	case splitValidation, splitTest:
		if validation, _, err = split(d, o.validation); err != nil {
			return nil, nil, err
		}
	default:
		part, err := strconv.ParseFloat(o.validation, 64)
		if err != nil {
			return nil, nil, usagef("--validation is %q, want validation, test, none, or a part such as 0.1", o.validation)
		}
		if fit, validation, err = dataset.Split(fit, part, o.t.Seed); err != nil {
			return nil, nil, usagef("--validation: %w", err)
		}
	}
	if o.limit > 0 {
		fit = dataset.First(fit, o.limit)
	}
	return fit, validation, nil
}

// trainable returns the parameters that no pattern freezes.
func (o *trainOptions) trainable(n *network) ([]string, error) {
	all := n.Parameters()
	if len(all) == 0 {
		return nil, &verdict{status: exitRefused, err: errors.New(n.spec + " has no weights to train")}
	}
	used := make([]bool, len(o.freeze))
	var list []string
	for _, name := range all {
		frozen := false
		for i, p := range o.freeze {
			if ok, _ := path.Match(p, name); ok { // the pattern has been checked
				frozen, used[i] = true, true
			}
		}
		if !frozen {
			list = append(list, name)
		}
	}
	for i, ok := range used {
		if !ok {
			return nil, usagef("no weight matches --freeze %q", o.freeze[i]).withHint("\"ropewalk inspect\" lists the names of weights")
		}
	}
	if list == nil {
		return nil, usagef("--freeze leaves no weight to train")
	}
	return list, nil
}
