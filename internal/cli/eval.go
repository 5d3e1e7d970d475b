package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ropewalk/dataset"
	"ropewalk/engine"
	"ropewalk/graph/nets"
	"ropewalk/train"
)

type evalOptions struct {
	net            netOptions
	data           dataOptions
	split          string
	batch          int
	fixedBatch     bool // a network takes no other
	against        string
	againstWeights string
	noise          noiseOptions
	flags          *pflag.FlagSet
	report         reportFlag
}

func newEval(e *env) *cobra.Command {
	var o evalOptions
	cmd := &cobra.Command{
		Use:   "eval MODEL --data DIR",
		Short: "measure a network on labelled data, or against another one",
		Long: `Run MODEL on the examples in DIR and print loss, top-1 and top-5 accuracy; with
-v or --json also classes and the confusion matrix. MODEL is an ONNX file, a
checkpoint that train wrote, or, with --net NAME, any checkpoint with the
weights of that network; each of them also as a .rope. What an ONNX file says is
done: one that was exported in training mode is told of, and normalises by the
statistics of each batch (of --batch examples). If it takes batches of one size
only, the last batch is filled up with copies of examples that count nowhere.

With --against B, print how far the outputs of the two networks differ on the
same inputs, and how often they agree; labels count for classifiers only.
Without --data these are random numbers from a normal distribution, in the
shapes that the network asks for; --shape gives those that it leaves open, and
--value an input that is no data.`,
		Example: example(
			"accuracy on the images that the program carries", "ropewalk eval lenet5.safetensors --data builtin:fashion-mnist",
			"a state dict of PyTorch", "ropewalk eval --net resnet20 --weights resnet20.pt --data cifar/ --normalise imagenet",
			"what quantizing did to the outputs", "ropewalk eval model.onnx --against model.onnx.rope --shape x=1,3,320,320",
			"an input that is a setting", "ropewalk eval silero.onnx --against tuned.onnx --shape input=1,512 --shape state=2,1,128 --value sr=16000",
		),
		Args: arguments(0, 1, "MODEL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(args); err != nil {
				return err
			}
			return e.eval(cmd.Context(), &o)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	o.flags = fs
	o.net.addFlags(cmd, "the network `NAME` that MODEL, or --weights, has the weights of")
	o.data.addFlags(cmd)
	fs.StringVar(&o.split, "split", "", "evaluate on `SPLIT` test, validation or train; else the first of these that there is")
	fs.IntVar(&o.batch, "batch", 0, "run `N` examples at a time (default 100)")
	fs.StringVar(&o.against, "against", "", "compare with the network in `FILE`")
	fs.StringVar(&o.againstWeights, "against-weights", "", "compare with the same network with the weights of `FILE`")
	o.noise.addFlags(fs)
	o.report.addFlag(cmd, nil)
	complete(cmd, "split", cobra.FixedCompletions([]string{splitTest, splitValidation, splitTrain}, cobra.ShellCompDirectiveNoFileComp))
	exits(cmd, exitUsage, exitRefused, exitInterrupted)
	return cmd
}

// check sorts out what the argument is: a network, or the weights of one.
func (o *evalOptions) check(args []string) error {
	switch {
	case len(args) == 0 && o.net.net == "":
		return usagef("MODEL is missing").withHint("ropewalk eval MODEL --data DIR")
	case len(args) == 1 && o.net.net == "":
		o.net.net = args[0]
		if isNet(args[0]) && o.net.weights == "" {
			if _, err := os.Stat(args[0]); err != nil {
				return usagef("%s without weights knows nothing", args[0]).withHint("--net %s --weights FILE", args[0])
			}
		}
	case len(args) == 1 && o.net.weights != "":
		return usagef("%s and --weights %s are both weights", args[0], o.net.weights)
	case len(args) == 1:
		o.net.weights = args[0]
	case o.net.weights == "" && isNet(o.net.net):
		return usagef("%s without weights knows nothing", o.net.net).withHint("--weights FILE")
	}
	comparing := o.against != "" || o.againstWeights != ""
	switch {
	case o.against != "" && o.againstWeights != "":
		return usagef("--against and --against-weights both name the other network")
	case o.batch < 0:
		return usagef("--batch is %d, want 1 or more", o.batch)
	case !comparing && o.data.data == "":
		return usagef("--data is missing").withHint("--data DIR; or --against FILE, which needs none")
	case o.data.data != "" && len(changed(o.flags, noiseFlags...)) > 0:
		return usagef("--%s is about inputs without data, and there is --data", changed(o.flags, noiseFlags...)[0])
	case !comparing && len(changed(o.flags, noiseFlags...)) > 0:
		return usagef("--%s goes with --against only", changed(o.flags, noiseFlags...)[0])
	}
	return nil
}

// evalResult is what eval says of one network.
type evalResult struct {
	Schema string `json:"schema"`
	Model  string `json:"model"`
	Net    string `json:"net" about:"its name"`
	Data   string `json:"data,omitempty"`
	Split  string `json:"split,omitempty" about:"train, test or validation"`
	// Normalise is empty without data.
	Normalise string        `json:"normalise,omitempty" about:"what was done to the data: unit (nothing), or means/deviations"`
	Assumed   bool          `json:"assumed,omitempty" about:"neither the command line nor the model said how to normalise"`
	Skipped   int           `json:"skipped" about:"images that did not decode, and were left out"`
	Result    *train.Result `json:"result,omitempty" about:"on labelled data"`

	Against    string            `json:"against,omitempty" about:"the other network, B"`
	Seed       *uint64           `json:"seed,omitempty" about:"of random inputs"`
	Comparison *train.Comparison `json:"comparison,omitempty" about:"with the other network"`

	classes []string
	usual   string // how weights like these were trained, or ""
}

// evalText is an evalResult and how much of it is shown.
type evalText struct {
	*evalResult
	verbose bool
}

func (e *env) eval(ctx context.Context, o *evalOptions) error {
	if err := e.needStdout(); err != nil {
		return err
	}
	if err := o.report.check(o.net.net, o.net.weights, o.against, o.againstWeights); err != nil {
		return err
	}
	r := &evalResult{Schema: "ropewalk/eval/1", Data: o.data.data}
	n, data, err := e.evalInputs(ctx, o, r)
	if n != nil {
		defer n.close()
	}
	if err != nil {
		return err
	}
	e.noteBatchStatistics(n)
	r.Model, r.Net = n.spec, n.Name
	if n.built && len(n.files) > 0 {
		r.Model = n.files[0].Path
	}
	p, err := e.compile(n, engine.Options{Fixed: true})
	if err != nil {
		return err
	}
	defer p.Close()
	bar := e.progress("eval", 0)
	defer bar.stop()
	bar.mixed.Store(true)
	show := func(done, total int) {
		bar.total.Store(int64(total))
		bar.done.Store(int64(done))
	}
	if o.against != "" || o.againstWeights != "" {
		err = e.compareNets(ctx, o, r, n, p, data, show)
	} else {
		r.Result, err = train.Evaluate(ctx, p, data, &train.EvaluateOptions{
			Batch: o.batch, FixedBatch: o.fixedBatch, Objective: &train.CrossEntropy{Probabilities: n.probabilities()}, Progress: show,
		})
		err = evalError(n, err)
	}
	if err != nil {
		return err
	}
	if r.Result != nil {
		r.Result.Name(r.classes)
	}
	if err := e.answer(&evalText{r, e.verbose}); err != nil || !o.report.wanted() {
		return err
	}
	return e.writeReport(&o.report, e.evalPage(r), n.files...)
}

// evalError says whose fault it is that a network cannot be run.
func evalError(n *network, err error) error {
	if err == nil || exitStatus(err) != exitFailure || errors.As(err, new(*os.PathError)) {
		return err
	}
	v := &verdict{status: exitRefused, err: n.wrap(err)}
	if errors.As(err, new(*train.LabelError)) {
		return v.withHint("the data has more classes than the network")
	}
	return v
}

// evalInputs opens the network and what it is run on.
func (e *env) evalInputs(ctx context.Context, o *evalOptions, r *evalResult) (*network, train.Source, error) {
	if o.data.data == "" {
		n, err := e.openNetwork(ctx, &o.net, &nets.Options{})
		if err != nil {
			return n, nil, err
		}
		data, err := o.noise.source(n)
		if err == nil {
			r.Seed = &o.noise.seed
		}
		return n, data, err
	}
	if o.data.normalise == "" {
		var err error
		if o.data.normalise, err = e.trainedNormalisation(ctx, &o.net); err != nil {
			return nil, nil, err
		}
		r.Assumed = o.data.normalise == ""
	}
	d, err := o.data.open(e)
	if err != nil {
		return nil, nil, err
	}
	n, err := e.openNetwork(ctx, &o.net, &nets.Options{Classes: len(d.Classes), Input: d.Shape})
	if err != nil {
		return n, nil, err
	}
	s, name, err := split(d, o.split)
	if err != nil {
		return n, nil, err
	}
	r.Split, r.Skipped, r.Normalise, r.usual = name, len(d.Skipped), d.Normalisation.String(), n.usual()
	if err := o.fixBatch(n); err != nil {
		return n, nil, err
	}
	x, err := examplesFor(n, d, s, e.threads)
	if err != nil {
		return n, nil, err
	}
	r.classes = d.Classes
	return n, x, nil
}

// fixBatch sets the size of batches to that which a network takes, if it is fixed.
func (o *evalOptions) fixBatch(n *network) error {
	if size, fixed := batchOf(n); fixed {
		if o.batch != size && (o.fixedBatch || o.flags.Changed("batch")) {
			return usagef("%s takes batches of %d only, not of %d", n.spec, size, o.batch)
		}
		o.batch, o.fixedBatch = size, true
	}
	if o.batch == 0 {
		o.batch = 100
	}
	return nil
}

// trainedNormalisation returns what train did to the data of a network: what the file
// says, or the recipe beside it. "" is not known.
func (e *env) trainedNormalisation(ctx context.Context, o *netOptions) (string, error) {
	for _, path := range []string{o.weights, o.net} {
		if st, err := os.Stat(path); !isBuiltin(path) && (err != nil || st.IsDir()) {
			continue
		}
		c, err := e.open(ctx, path, nil)
		if err != nil {
			continue // opening it again will say what is wrong
		}
		how, by := settingsOf(c.Layout.Metadata)[settingNormalise], path+": its metadata"
		_ = c.Close() // only read from
		if how == "" {
			how, by = recipeValue(path+recipeExt, "normalise"), path+recipeExt
		}
		if err := dataset.CheckNormalisation(how); err != nil {
			return "", (&verdict{status: exitRefused, err: fmt.Errorf("%s: %w", by, err)}).withHint("--normalise says it in its place")
		}
		if how == "" && settingsOf(c.Layout.Metadata)[settingNet] != "" {
			how = unitPixels
		}
		if how != "" {
			if how != unitPixels {
				e.notef("pixels are normalised by %s, as %s was trained", how, path)
			}
			return how, nil
		}
	}
	return "", nil
}

// recipeValue returns an option of a recipe, or "".
func recipeValue(path, key string) string {
	var t trainOptions
	cmd := &cobra.Command{}
	t.addFlags(cmd)
	if readRecipe(path, cmd.Flags()) != nil {
		return ""
	}
	return cmd.Flags().Lookup(key).Value.String()
}

// compareNets runs two networks on the same inputs.
func (e *env) compareNets(ctx context.Context, o *evalOptions, r *evalResult, a *network, p engine.Program, data train.Source, show func(done, total int)) error {
	other := netOptions{net: o.against}
	r.Against = o.against
	if o.againstWeights != "" || o.against != "" && a.built && !isNet(o.against) && !e.isNetwork(ctx, o.against) {
		r.Against = o.against + o.againstWeights
		other = netOptions{net: o.net.net, weights: r.Against}
		if a.built {
			other.net = a.Name
		}
	}
	build := &nets.Options{}
	if a.built {
		build = &a.options
	}
	b, err := e.openNetwork(ctx, &other, build)
	if err != nil {
		return err
	}
	defer b.close()
	e.noteBatchStatistics(b)
	if len(a.Inputs) != len(b.Inputs) {
		return &verdict{status: exitRefused, err: fmt.Errorf("%s has %s, and %s %d", a.spec, count(len(a.Inputs), "input"), b.spec, len(b.Inputs))}
	}
	if o.data.data != "" {
		if err := o.fixBatch(b); err != nil {
			return err
		}
	}
	q, err := e.compile(b, engine.Options{Fixed: true})
	if err != nil {
		return err
	}
	defer q.Close()
	logits := o.data.data != "" && !a.probabilities() && !b.probabilities()
	c, err := train.Compare(ctx, p, q, data, &train.CompareOptions{Batch: o.batch, FixedBatch: o.fixedBatch, Logits: logits, Progress: show})
	if err != nil {
		return o.compareError(a, b, err)
	}
	for i := range c.Outputs {
		c.Outputs[i].Name = a.Outputs[i]
	}
	r.Comparison = c
	return nil
}

// compareError says which network it is that cannot be run, and what may help.
func (o *evalOptions) compareError(a, b *network, err error) error {
	if exitStatus(err) != exitFailure || errors.As(err, new(*os.PathError)) {
		return err
	}
	v := &verdict{status: exitRefused, err: fmt.Errorf("network A is %s, and B is %s: %w", a.spec, b.spec, err)}
	if o.data.data == "" {
		for _, in := range a.Inputs {
			given := slices.ContainsFunc(o.noise.values, func(s string) bool { return strings.HasPrefix(s, in.Name+"=") })
			if !in.Type.IsFloat() && !given {
				return v.withHint("input %s is %s, and gets 0 and 1 at random; --value %s=X sets it", in.Name, in.Type, in.Name)
			}
		}
	}
	return v
}

// isNetwork reports whether a file says by itself which network it is.
func (e *env) isNetwork(ctx context.Context, path string) bool {
	c, err := e.open(ctx, path, nil)
	if err != nil {
		return true // opening it again will say what is wrong
	}
	defer c.Close()
	return c.Layout.Format == "onnx" || settingsOf(c.Layout.Metadata)[settingNet] != ""
}

func (r *evalText) text(w *bufio.Writer) {
	if r.Comparison != nil {
		r.compared(w)
		r.assumption(w)
		return
	}
	fmt.Fprintf(w, "%s on %s (%s): %s\n", printable(r.Model), printable(r.Data), r.Split, scores(r.Result.Summary(), r.Result.Examples))
	if r.Skipped > 0 {
		fmt.Fprintf(w, "%s left out\n", count(r.Skipped, "image"))
	}
	r.assumption(w)
	if !r.verbose || r.Result.Classes == nil {
		return
	}
	t := &table{left: map[int]bool{0: true}}
	t.row("class", "examples", "right", "recall", "precision")
	part := func(v *float64) string {
		if v == nil {
			return "-"
		}
		return fmt.Sprintf("%.2f %%", 100**v)
	}
	name := func(i int) string {
		if c := r.Result.Classes[i]; c.Name != "" {
			return printable(c.Name)
		}
		return strconv.Itoa(i)
	}
	for i, c := range r.Result.Classes {
		t.row(name(i), commas(int64(c.Examples)), commas(int64(c.Right)), part(c.Recall), part(c.Precision))
	}
	t.write(w, "")
	for _, p := range r.Result.Confused(5) {
		fmt.Fprintf(w, "%s of %s taken for %s\n", commas(int64(p[2])), name(p[0]), name(p[1]))
	}
}

// assumption says how the data was normalised, if nothing said how: a network that
// was trained otherwise does badly, and gives no other sign of it.
func (r *evalText) assumption(w *bufio.Writer) {
	if !r.Assumed {
		return
	}
	fmt.Fprint(w, "the data was taken as it is (pixels 0 to 1), as nothing says how the network was trained; ")
	if r.usual != "" {
		fmt.Fprintf(w, "weights like these usually want --normalise %s\n", r.usual)
		return
	}
	fmt.Fprintln(w, "--normalise sets it")
}

func (r *evalText) compared(w *bufio.Writer) {
	c := r.Comparison
	on := "random inputs"
	if r.Seed != nil {
		on += fmt.Sprintf(", seed %d", *r.Seed)
	} else {
		on = fmt.Sprintf("%s (%s), %s", printable(r.Data), r.Split, count(c.Examples, "example"))
	}
	fmt.Fprintf(w, "%s against %s on %s\n", printable(r.Model), printable(r.Against), on)
	t := &table{left: map[int]bool{0: true}}
	t.row("output", "values", "equal", "max", "mean", "relative", "agree", "KL")
	for _, o := range c.Outputs {
		agree, kl := "-", "-"
		if o.Agreement != nil {
			agree = fmt.Sprintf("%.2f %%", 100**o.Agreement)
		}
		if o.KL != nil {
			kl = fmt.Sprintf("%.3g", *o.KL)
		}
		t.row(printable(o.Name), commas(o.Values), commas(o.Equal), fmt.Sprintf("%.3g", o.Max), fmt.Sprintf("%.3g", o.Mean), fmt.Sprintf("%.3g", o.Relative), agree, kl)
	}
	t.write(w, "")
	for _, o := range c.Outputs {
		if o.NonFinite > 0 {
			fmt.Fprintf(w, "%s: %s not finite, which count nowhere else\n", printable(o.Name), count(int(o.NonFinite), "value"))
		}
	}
	if c.Unjudged != "" {
		fmt.Fprintf(w, "no top-1: %s\n", printable(c.Unjudged))
	}
	if c.Top1A != nil {
		fmt.Fprintf(w, "top-1 %.2f %% against %.2f %%\n", 100**c.Top1A, 100**c.Top1B)
	}
}

// splitPair reads NAME=VALUE.
func splitPair(flag, text string) (name, value string, err error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return "", "", usagef("--%s is %q, want INPUT=VALUE", flag, text)
	}
	return name, value, nil
}

// inputNames lists the inputs of a network with their shapes.
func inputNames(n *network) string {
	var names []string
	for _, in := range n.Inputs {
		shape := "?"
		if in.Shape != nil {
			shape = dimsText(in.Shape)
		}
		if in.Shape != nil && len(in.Shape) == 0 {
			shape = "scalar"
		}
		names = append(names, fmt.Sprintf("%s (%s %s)", in.Name, in.Type, shape))
	}
	return strings.Join(slices.Clip(names), ", ")
}
