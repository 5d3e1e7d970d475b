package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ropewalk/attack"
	"ropewalk/checkpoint"
	"ropewalk/engine"
	"ropewalk/engine/native"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/internal/atomicfile"
	"ropewalk/internal/nearest"
	"ropewalk/symmetry"
	"ropewalk/train"
)

type attackOptions struct {
	out     string
	force   bool
	seed    uint64
	only    []string
	truth   string
	net     string
	spec    string
	heads   headsFlag
	noProof bool
	data    dataOptions
	report  reportFlag
}

func newAttack(e *env) *cobra.Command {
	var o attackOptions
	cmd := &cobra.Command{
		Use:   "attack KINDS IN -o OUT",
		Short: "do to a network what an adversary would",
		Long: `Write IN as it is after an attack, in its own format. KINDS are joined by +, and
done in this order:

  permute          neurons in another order
  scale=S          neurons times log-normal factors; S (0.7) is the deviation of
                   their logarithm; :powers rounds them to powers of 2
  sign             signs of neurons, where the network allows it
  dummy=R          R (0.5, up to 1) times as many neurons more, which change no
                   output; :zero, :clique or :split of one kind only, :plain
                   without rescaling and shuffling, which hide them
  noise=X          normal noise of X deviations of each tensor
  prune=T          the share T of smallest magnitude becomes zero, of each
                   tensor; :global of all together
  remove=R         the share R of the neurons is gone: those of the smallest
                   weights, or :random ones
  quantize=B       2^B values, from the least to the largest of each tensor;
                   :channel of each output channel; :lloyd-max or :gaussian
                   where the squared error is least
  finetune=N       N epochs of training on --data; :rate=X (0.01) and
                   :batch=N (128)
  overwrite=T      another mark, of T (64) bits; :tensor=NAME says where,
                   :margin=X how strong
  cast=TYPE        f32, f16, bf16 or f64; :round keeps the type of the file

The first four do not change what the network computes. Where it is known how to
compute it (IN is an ONNX file, or of the network that --net, or train, named),
they prove it: outputs before and after are equal to rounding, or nothing is
written. What can move is found as by "ropewalk align". noise, prune, quantize
and overwrite change weights of two axes or more, not biases and norms.

--map writes what happened to which neuron, for "ropewalk align --map". --report
also tells what each step did to each tensor. The same seed does the same again.`,
		Example: example(
			"shuffle, and keep the truth", "ropewalk attack permute model.onnx -o suspect.onnx --map truth.json",
			"and see whether it is found", "ropewalk align --to model.onnx suspect.onnx --map truth.json",
			"all at once, but only in some layers", "ropewalk attack permute+scale+prune=0.9+quantize=4:channel resnet20.safetensors --net resnet20 --only 'layer3*' -o suspect.safetensors",
			"hide a network behind as many dummy neurons", "ropewalk attack dummy=1 model.onnx -o suspect.onnx",
			"two epochs on other data", "ropewalk attack finetune=2 lenet5.safetensors --data builtin:fashion-mnist -o tuned.safetensors",
		),
		Args: arguments(2, 2, "KINDS and IN"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			head := word[:strings.LastIndex(word, "+")+1]
			var list []string
			for _, k := range attack.Kinds() {
				list = append(list, head+string(k))
			}
			return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.attack(cmd.Context(), &o, args[0], args[1])
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&o.out, "out", "o", "", "write to `OUT`: a file, a folder, or - for standard output; .safetensors, .npz and .rope say which format")
	fs.BoolVarP(&o.force, "force", "f", false, "replace existing outputs")
	fs.Uint64Var(&o.seed, "seed", 0, "`SEED` of all that is random")
	fs.StringSliceVar(&o.only, "only", nil, "attack only the groups of neurons `GROUP`, with * for any name; commas between several (inspect --groups lists them)")
	fs.StringVar(&o.truth, "map", "", "write what happened to which neuron to `FILE`")
	fs.StringVar(&o.net, "net", "", "the network of IN: a `NET` that train knows, or an ONNX file")
	fs.StringVar(&o.spec, "spec", "", "read what can move from `FILE`, and derive nothing")
	o.heads.addFlag(fs)
	fs.BoolVar(&o.noProof, "no-proof", false, "do not compare outputs")
	o.data.addFlags(cmd)
	o.report.addFlag(cmd, &o.force)
	complete(cmd, "net", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nets.Names(), cobra.ShellCompDirectiveDefault
	})
	exits(cmd, exitUsage, exitNegative, exitRefused, exitInterrupted)
	return cmd
}

// attackResult is what attack says.
type attackResult struct {
	Schema  string          `json:"schema"`
	Input   string          `json:"input"`
	Attack  string          `json:"attack" about:"with the strengths that were not given"`
	Seed    uint64          `json:"seed"`
	Steps   []attack.Report `json:"steps"`
	Changes []stepChanges   `json:"changes,omitempty" about:"with --report: what each step did to each tensor that it changed"`
	Map     string          `json:"map,omitempty" about:"the file with the truth"`
	Files   []fileSize      `json:"files" about:"that were written"`
	Seconds float64         `json:"seconds"`
}

func (e *env) attack(ctx context.Context, o *attackOptions, kinds, input string) error {
	start := time.Now()
	chain, err := o.check(kinds)
	if err != nil {
		return err
	}
	if err := o.report.check(input, o.net, o.spec, o.data.data); err != nil {
		return err
	}
	c, err := e.open(ctx, input, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	target, s, err := e.target(ctx, o, chain, input, c)
	if err != nil {
		return err
	}
	defer s.close()
	ao := &attack.Options{Seed: o.seed, Only: o.only, Unproved: o.noProof}
	if ao.Verify.Run, ao.Precision = e.runner(target.Graph); chain.Trains() {
		if ao.Trainer, err = e.trainer(o, s, chain); err != nil {
			return err
		}
	}
	r := &attackResult{Schema: "ropewalk/attack/1", Input: input, Attack: chain.String(), Seed: o.seed, Map: o.truth}
	if o.report.wanted() {
		ao.Watch = func(i int, before, after *attack.Network) error {
			list, err := changesOf(ctx, before.Set, after.Set)
			r.Changes = append(r.Changes, stepChanges{chain[i].String(), list})
			return err
		}
	}
	res, err := e.applied(ctx, chain, target, ao)
	if err != nil {
		return attackError(input, err)
	}
	r.Steps = res.Reports
	parts, err := e.attacked(o, c, input, res)
	if err != nil {
		return err
	}
	p := e.progress("attack", 0)
	outs, err := e.writeAll(ctx, c, parts, o.force, p)
	p.stop()
	if err != nil {
		return attackError(input, err)
	}
	for _, out := range outs {
		r.Files = append(r.Files, fileSize{out.name, out.n})
	}
	if o.truth != "" {
		n, err := writeFile(o.truth, o.force, func(f *atomicfile.File) error { return json.NewEncoder(f).Encode(res.Truth) })
		if err != nil {
			return err
		}
		r.Files = append(r.Files, fileSize{o.truth, n})
	}
	r.Seconds = time.Since(start).Seconds()
	say := e.answer
	if o.out == dash {
		say = e.remark
	}
	if err := say(r); err != nil || !o.report.wanted() {
		return err
	}
	page, err := e.attackPage(r, c.Tensors, res)
	if err != nil {
		return err
	}
	return e.writeReport(&o.report, page, c)
}

// applied does the attack, and shows which step it is at.
func (e *env) applied(ctx context.Context, chain attack.Chain, n *attack.Network, o *attack.Options) (*attack.Result, error) {
	p := e.progress("attack", 0)
	defer p.stop()
	o.Progress = func(step int) { p.say(chain[step].String()) }
	if o.Trainer != nil {
		o.Trainer.Progress = func(t train.Progress) { p.say(trainLine(t)) }
	}
	return chain.Apply(ctx, *n, o)
}

func (o *attackOptions) check(kinds string) (attack.Chain, error) {
	if err := o.heads.check(); err != nil {
		return nil, err
	}
	chain, err := attack.Parse(kinds)
	if unknown, ok := errors.AsType[*attack.UnknownError](err); ok {
		var words []string
		for _, k := range attack.Kinds() {
			words = append(words, string(k))
		}
		v := usagef("%w", err)
		if n := nearest.Name(unknown.Word, words); n != "" {
			return nil, v.withHint("did you mean %s?", n)
		}
		return nil, v.withHint("\"ropewalk attack --help\" says what they do")
	}
	switch {
	case err != nil:
		return nil, usagef("%w", err).withHint("\"ropewalk attack --help\" says what they do")
	case o.out == "":
		return nil, usagef("-o OUT is missing").withHint("inputs are never changed")
	case o.truth != "" && o.truth == o.out:
		return nil, usagef("-o and --map are both %s", o.out)
	case o.truth == dash:
		return nil, usagef("--map is a file")
	case o.report.wanted() && (o.report.path == o.out || o.report.path == o.truth):
		return nil, usagef("%s is the report and another output", o.report.path)
	case chain.Trains() && o.data.data == "":
		return nil, usagef("finetune needs --data").withHint("--data DIR; --data builtin:fashion-mnist is at hand")
	case !chain.Trains() && o.data.data != "":
		return nil, usagef("--data is for finetune, which is not among %s", chain)
	}
	if o.truth != "" && !o.force {
		if _, err := os.Lstat(o.truth); err == nil {
			return nil, usagef("%s is there already", o.truth).withHint("-f replaces it")
		}
	}
	return chain, nil
}

// target returns the network that is attacked, as far as it is known and has to be.
func (e *env) target(ctx context.Context, o *attackOptions, chain attack.Chain, input string, c *checkpoint.Checkpoint) (*attack.Network, *structure, error) {
	s, err := e.structureOf(ctx, &structureOptions{file: input, net: o.net, spec: o.spec, heads: o.heads, role: "IN", run: !o.noProof || chain.Trains()}, c)
	needed := chain.MovesNeurons() || chain.Trains() || len(o.only) > 0 || o.net != "" || o.spec != ""
	switch {
	case err != nil && needed:
		s.close()
		return nil, nil, err
	case err != nil:
		e.notef("%s: what can move is not known, and not needed: %v", input, err)
		if s == nil {
			s = &structure{}
		}
	}
	n := &attack.Network{Set: c.Tensors, Spec: s.spec}
	if s.network != nil {
		n.Graph = s.network.Graph
	}
	if n.Spec != nil {
		if err := n.Spec.Fits(n.Set); err != nil {
			s.close()
			return nil, nil, &verdict{status: exitRefused, err: fmt.Errorf("%s: %w", input, err)}
		}
	}
	return n, s, nil
}

// What the runners of networks are good for.
const (
	// exactWeights is how many weights a network may have that is computed in float64
	// by the plain evaluator, which is some hundred times slower.
	exactWeights = 1 << 20
	// enginePrecision is how far outputs of the engine, in float32, may be apart.
	enginePrecision = 1e-4
)

// runner returns what computes a network for a proof, and how exact that is.
func (e *env) runner(g *graph.Graph) (symmetry.Runner, float64) {
	if g == nil {
		return nil, 0
	}
	n := int64(0)
	for _, t := range g.Weights.All() {
		n += t.Elems()
	}
	if n <= exactWeights {
		return symmetry.Evaluate, 0
	}
	return func(g *graph.Graph, inputs map[string]*graph.Value) (map[string]*graph.Value, error) {
		out, err := e.computed(g, inputs)
		if errors.As(err, new(*graph.UnsupportedError)) {
			return symmetry.Evaluate(g, inputs) // has more operators
		}
		return out, err
	}, enginePrecision
}

// computed runs a network on the engine.
func (e *env) computed(g *graph.Graph, inputs map[string]*graph.Value) (map[string]*graph.Value, error) {
	p, err := native.Backend{}.Compile(g, &engine.Options{Threads: e.threads})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	var in []engine.Array
	for _, i := range g.Inputs {
		v := inputs[i.Name]
		a := engine.Array{Shape: v.Shape, Int: v.Int}
		for _, x := range v.Float {
			a.Float = append(a.Float, float32(x))
		}
		in = append(in, a)
	}
	arrays, err := p.Forward(in)
	if err != nil {
		return nil, err
	}
	out := map[string]*graph.Value{}
	for i, a := range arrays {
		v := &graph.Value{Shape: a.Shape, Int: append([]int64(nil), a.Int...)}
		for _, x := range a.Float {
			v.Float = append(v.Float, float64(x))
		}
		out[g.Outputs[i]] = v
	}
	return out, nil
}

// trainer opens the data.
func (e *env) trainer(o *attackOptions, s *structure, chain attack.Chain) (*attack.Trainer, error) {
	if s.network == nil {
		return nil, usagef("to fine-tune a network, it has to be known how it is computed").withHint("--net NET says which network it is")
	}
	if o.data.normalise == "" {
		o.data.normalise = s.network.settings[settingNormalise]
		if o.data.normalise == "" {
			o.data.normalise = s.network.usual()
		}
		if o.data.normalise == "" {
			e.notef("the examples are taken as they are (pixels 0 to 1), as nothing says how the network was trained; --normalise sets it")
		}
	}
	data, err := o.data.open(e)
	if err != nil {
		return nil, err
	}
	if data.Train == nil {
		return nil, usagef("%s has no examples to train on", data.Name)
	}
	x, err := examplesFor(s.network, data, data.Train, e.threads)
	if err != nil {
		return nil, err
	}
	size, fixed := batchOf(s.network)
	if fixed {
		for i := range chain {
			if want := fmt.Sprintf("batch=%d", size); chain[i].Kind == attack.Finetune && !slices.Contains(chain[i].Options, want) {
				return nil, usagef("%s takes batches of %d only", s.network.spec, size).withHint("%s:%s", chain[i].String(), want)
			}
		}
	}
	return &attack.Trainer{
		FixedBatch: fixed,
		Backend:    native.Backend{}, Data: x, Compile: engine.Options{Threads: e.threads},
		Objective: &train.CrossEntropy{Probabilities: s.network.probabilities()},
	}, nil
}

// attackError gives an error its status.
func attackError(input string, err error) error {
	var group *attack.GroupError
	var bad *attack.FiniteError
	switch {
	case errors.As(err, &group):
		var names []string
		for i := range group.Spec.Groups {
			names = append(names, group.Spec.Groups[i].Name)
		}
		v := usagef("--only: %w", err)
		if n := nearest.Name(group.Pattern, names); n != "" {
			return v.withHint("did you mean %s?", n)
		}
		return v.withHint("ropewalk inspect --groups %s lists them", input)
	case errors.Is(err, attack.ErrChain):
		return usagef("%w", err)
	case errors.As(err, &bad):
		return &verdict{status: exitRefused, err: fmt.Errorf("%s: %w", input, bad)}
	case errors.Is(err, attack.ErrNetwork):
		return &verdict{status: exitRefused, err: fmt.Errorf("%s: %w", input, err)}
	case errors.Is(err, symmetry.ErrChanged):
		return &verdict{exitNegative, fmt.Errorf("%s: %w", input, err), "what is said to move does not fit this network; nothing was written"}
	case errors.As(err, new(*train.LabelError)):
		return &verdict{status: exitRefused, err: fmt.Errorf("%s: %w", input, err)}
	}
	return err
}

// attacked returns the files to write.
func (e *env) attacked(o *attackOptions, c *checkpoint.Checkpoint, input string, res *attack.Result) ([]part, error) {
	u := unpackOptions{out: o.out, force: o.force}
	single := func(write func(ctx context.Context, w io.Writer) error) ([]part, error) {
		path, err := u.target(input, c.Layout.Files[0].Name)
		if err != nil {
			return nil, err
		}
		size := int64(0)
		for _, t := range res.Set.All() {
			size += t.Size()
		}
		return []part{{path, size, func(ctx context.Context, w io.Writer, progress func(done, total int64)) error {
			return write(ctx, &meterWriter{w: w, total: size, progress: progress})
		}}}, nil
	}
	format := strings.TrimPrefix(filepath.Ext(o.out), ".")
	switch {
	case isDir(o.out), format == c.Layout.Format:
	case format == formRope:
		return single(func(ctx context.Context, w io.Writer) error { return e.packAttacked(ctx, w, c, o.out, res) })
	case format == formSafetensors || format == "npz":
		return single(func(_ context.Context, w io.Writer) error { return checkpoint.Convert(w, format, res.Set, nil) })
	case format == formONNX && res.Graph != nil:
		return single(func(_ context.Context, w io.Writer) error { return res.Graph.WriteONNX(w) })
	}
	if c.Layout.Format == "onnx" && (res.Reshaped || res.Regraphed) && res.Graph != nil {
		// The file declares shapes of values, and attributes, that are not so any more.
		return single(func(_ context.Context, w io.Writer) error { return res.Graph.WriteONNX(w) })
	}
	plan, err := c.Rewrite(res.Set)
	if errors.Is(err, checkpoint.ErrRewrite) {
		v := &verdict{status: exitUsage, err: fmt.Errorf("%s: %w", input, err)}
		if c.Layout.Format == "onnx" {
			return nil, v.withHint("cast=TYPE:round keeps the type and rounds the values")
		}
		return nil, v.withHint("-o FILE.safetensors writes another format")
	}
	if err != nil {
		return nil, err
	}
	paths, err := u.paths(c, input)
	if err != nil {
		return nil, err
	}
	return partsOf(plan, paths), nil
}

// packAttacked writes a .rope: of the file that would be written else.
func (e *env) packAttacked(ctx context.Context, w io.Writer, c *checkpoint.Checkpoint, out string, res *attack.Result) error {
	format, write := formSafetensors, func(w io.Writer) error { return checkpoint.Convert(w, formSafetensors, res.Set, nil) }
	switch {
	case c.Layout.Format == formONNX && (res.Reshaped || res.Regraphed) && res.Graph != nil:
		format, write = formONNX, res.Graph.WriteONNX
	case len(c.Layout.Files) == 1:
		plan, err := c.Rewrite(res.Set)
		switch {
		case err == nil:
			format, write = c.Layout.Format, func(w io.Writer) error { return plan.WriteFile(w, 0) }
		case !errors.Is(err, checkpoint.ErrRewrite) || c.Layout.Format == formONNX:
			return err
		}
	}
	return e.packWritten(ctx, w, out, format, write)
}

func (r *attackResult) text(w *bufio.Writer) {
	for i := range r.Steps {
		s := &r.Steps[i]
		fmt.Fprintf(w, "%s: ", s.Step)
		switch {
		case s.Mark != nil:
			fmt.Fprintf(w, "%s in %s, %d of which were wrong before; it changed by %.3g %%", count(s.Mark.Bits, "bit"), printable(s.Mark.Tensor), s.Mark.Wrong, 100*s.Mark.Change)
		case s.Groups > 0:
			fmt.Fprintf(w, "%s in %s", count(s.Neurons, "neuron"), count(s.Groups, "group"))
		default:
			fmt.Fprintf(w, "%s weights in %s", commas(s.Weights), count(s.Tensors, "tensor"))
		}
		if s.Loss != nil {
			fmt.Fprintf(w, "; loss %.4f in the last epoch", *s.Loss)
		}
		for _, d := range s.Proof {
			fmt.Fprintf(w, "; output %s differs by %.2g", printable(d.Output), d.Largest)
		}
		if s.Unproved != "" {
			fmt.Fprintf(w, "; outputs were not compared: %s", printable(s.Unproved))
		}
		fmt.Fprintln(w)
		for _, l := range s.Left {
			fmt.Fprintf(w, "  group %s is as it was: %s\n", printable(l.Group), printable(l.Reason))
		}
	}
	for _, f := range r.Files {
		fmt.Fprintf(w, "wrote %s (%s bytes)\n", printable(f.Name), commas(f.Bytes))
	}
}
