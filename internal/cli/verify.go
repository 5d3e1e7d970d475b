package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ropewalk/align"
	"ropewalk/checkpoint"
	"ropewalk/graph/nets"
	"ropewalk/lineage"
	"ropewalk/lineage/passport"
	"ropewalk/symmetry"
)

type verifyOptions struct {
	against  string
	allow    []string
	policy   string
	net      string
	spec     string
	heads    headsFlag
	seed     uint64
	data     dataOptions
	split    string
	sarif    string
	evidence bool
	controls []string
	repair   string
	trust    trustFlags
	force    bool
	flags    *pflag.FlagSet
	report   reportFlag
}

func newVerify(e *env) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify SUSPECT --against REF",
		Short: "say what was done to a network",
		Long: `Compare the network SUSPECT with REF and say what was done to it: one verdict,
the first of these that holds, with all changes beside it in order:

  identical       the same bytes in the same files
  same weights    the same values of the same tensors, in another container
  reordered       bit for bit the same, but for the order of neurons
  rescaled        the same function: neurons also multiplied, flipped or padded
  re-encoded      the same values in another type, or quantized
  pruned          weights or neurons taken away
  modified        weights changed: noise, training, edits
  partly derived  some of the neurons, or a mixture with another network
  unrelated       no evidence of any of these, which is no proof of the contrary

Edits that few weights show, as of a norm, a bias or one weight, are named with
tensor and place. If it is known how to compute REF (an ONNX file, or of the
network that --net, or train, named), both are run on the same inputs, and the
answer says whether outputs are equal. What can move is found as by "ropewalk
align"; formats and types of the two may differ, but not the names of tensors.
What could not be checked is listed with the reason, and passes for nothing.

The status is 0 if the suspect passes, and 3 if not. Identical and same weights
pass, and what --allow names: verdicts (reordered, rescaled, re-encoded, pruned,
modified, partly-derived, unrelated) and kinds of changes (container, metadata,
renamed, tensors-added, tensors-missing, other-shapes, sign-flipped, padded,
neurons-removed, cast, quantized, noise, trained-further, merged, edited). The
verdict has to be allowed, by itself or by a kind that belongs to it, and so has
every change. Rescaled allows reordered, sign-flipped and padded, too;
re-encoded cast and quantized; pruned neurons-removed; modified noise,
trained-further and edited. Which tensors there are is allowed by name only.
Another graph in an ONNX file is allowed by graph; the same weights can do
anything in one.

--policy reads rules from a file of YAML; --allow wins over its own allow:

  allow: [reordered, re-encoded, pruned]   # as --allow
  forbid: [metadata]                       # although same weights allows it
  require: [function]                      # known to be the same; also accuracy
  max-pruned: 50%                          # of the weights, or of the neurons
  max-noise: 0.01                          # deviations of the weights
  min-bits: 8                              # of quantized or cast weights
  min-kept: 90%                            # of the neurons, if partly derived
  max-drop: 1%                             # of the accuracy on --data

What a rule asks for and was not checked counts as not kept. --sarif writes what
was found for scanners (SARIF 2.1.0).

REF can be a passport (see "ropewalk passport make"), which is enough for all
but outputs, edits of single weights and evidence. --signer says who must have
signed it; a policy can require: [signature], which is anybody's without
--signer.

--evidence adds an exact probability where neurons were not moved, and scores
beside those of controls, of random numbers and of the networks that --control
names, where they may have been; each with what it assumes. --repair writes
SUSPECT in the order of REF, in its own format, with factors taken back and
dummy neurons left out; what was damaged or edited stays as it is.`,
		Example: example(
			"what happened to it?", "ropewalk verify suspect.onnx --against mine.onnx",
			"in a pipeline: a copy may be stored in another order and type, nothing else", "ropewalk verify copy.safetensors --against mine.onnx --allow reordered,re-encoded",
			"rules in a file, and a log for a scanner", "ropewalk verify copy.onnx --against mine.onnx --policy policy.yaml --sarif verify.sarif",
			"is it derived, and how sure is that?", "ropewalk verify suspect.onnx --against mine.onnx --evidence --control other.onnx",
			"without the weights of the original", "ropewalk verify suspect.onnx --against owner.passport --signer owner-public.pem",
			"put it back in order", "ropewalk verify suspect.onnx --against mine.onnx --allow rescaled --repair restored.onnx",
			"what the changes cost", "ropewalk verify copy.safetensors --against lenet5.safetensors --data builtin:fashion-mnist",
			"names of tensors that changed", "ropewalk verify --json suspect.onnx --against mine.onnx | jq -r '.tensors[] | select(.equal | not).name'",
		),
		Args: arguments(1, 1, "SUSPECT"),
		RunE: func(cmd *cobra.Command, args []string) error { return e.verify(cmd.Context(), &o, args[0]) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	o.flags = fs
	fs.StringVar(&o.against, "against", "", "the network `REF` that SUSPECT is compared with, or its passport")
	fs.StringSliceVar(&o.allow, "allow", nil, "`KIND` of verdict or change that passes; commas between several")
	fs.StringVar(&o.policy, "policy", "", "read what passes from `FILE`")
	fs.StringVar(&o.net, "net", "", "the network of REF: a `NET` that train knows, or an ONNX file")
	fs.StringVar(&o.spec, "spec", "", "read what can move from `FILE`, and derive nothing")
	o.heads.addFlag(fs)
	o.trust.addFlags(fs)
	fs.Uint64Var(&o.seed, "seed", 0, "`SEED` of the inputs that both are run on")
	fs.BoolVar(&o.evidence, "evidence", false, "say how probable it is that strangers look as the two do, and what that assumes")
	fs.StringSliceVar(&o.controls, "control", nil, "hold the score of --evidence against the unrelated network in `FILE` (again, or commas, for more)")
	fs.StringVar(&o.repair, "repair", "", "write SUSPECT to `OUT` with what preserves the function undone")
	fs.StringVar(&o.sarif, "sarif", "", "write what was found to `FILE`, as SARIF")
	fs.BoolVarP(&o.force, "force", "f", false, "replace existing outputs")
	o.data.addFlags(cmd)
	fs.StringVar(&o.split, "split", "", "measure the accuracy on `SPLIT` test, validation or train; else the first of these that there is")
	o.report.addFlag(cmd, &o.force)
	complete(cmd, "allow", cobra.FixedCompletions(allowable(), cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "net", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nets.Names(), cobra.ShellCompDirectiveDefault
	})
	complete(cmd, "split", cobra.FixedCompletions([]string{splitTest, splitValidation, splitTrain}, cobra.ShellCompDirectiveNoFileComp))
	exits(cmd, exitUsage, exitNegative, exitRefused, exitBudget, exitInterrupted)
	return cmd
}

// verifyResult is what verify says.
type verifyResult struct {
	Schema    string `json:"schema"`
	Reference string `json:"reference"`
	Suspect   string `json:"suspect"`
	Summary   string `json:"summary" about:"the changes in words, or the verdict"`
	Passed    bool   `json:"passed" about:"nothing of the policy is not kept; the exit status is 0"`
	*lineage.Comparison
	Policy         string                    `json:"policy,omitempty" about:"the file"`
	Allowed        []string                  `json:"allowed,omitempty" about:"verdicts and kinds of changes that pass beside identical and same weights"`
	Breaches       []breach                  `json:"breaches,omitempty" about:"why it did not pass"`
	Unchecked      []unchecked               `json:"unchecked,omitempty" about:"what could not be checked, and so passes for nothing"`
	MetadataEdits  []metadataEdit            `json:"metadata_edits,omitempty" about:"of keys that either side has; not where formats differ"`
	GraphEdits     []lineage.GraphDifference `json:"graph_edits,omitempty" about:"where the suspect's graph is not that of the reference, if both have one; 20 at most"`
	Neurons        *verifyNeurons            `json:"neurons,omitempty" about:"how neurons were found, if they were looked for"`
	Accuracy       *verifyAccuracy           `json:"accuracy,omitempty" about:"if there is data, and it is known how to compute both"`
	Repair         *verifyRepair             `json:"repair,omitempty" about:"what was undone, with --repair"`
	Passport       *verifyPassport           `json:"passport,omitempty" about:"if the reference is one"`
	ReferenceFiles map[string]string         `json:"reference_files,omitempty" about:"SHA-256 of each file, in hex"`
	SuspectFiles   map[string]string         `json:"suspect_files,omitempty" about:"SHA-256 of each file, in hex"`
	Files          []fileSize                `json:"files,omitempty" about:"that were written"`
	Seconds        float64                   `json:"seconds"`

	would []string // what --allow would have to say

	unjudged bool // nobody asked for a policy: a page of serve
}

// unchecked is a check that could not be made.
type unchecked struct {
	Check string `json:"check" about:"neurons, outputs, graph, metadata, tensors, accuracy or evidence"`
	Why   string `json:"why"`
}

// The checks that may be impossible.
const (
	checkNeurons  = "neurons"
	checkOutputs  = "outputs"
	checkGraph    = "graph"
	checkMetadata = "metadata"
	checkTensors  = "tensors"
	checkAccuracy = "accuracy"
	checkEvidence = "evidence"
)

func (r *verifyResult) skip(check, format string, args ...any) {
	r.Unchecked = append(r.Unchecked, unchecked{check, fmt.Sprintf(format, args...)})
}

// verifyNeurons is how sure it is which neuron is which.
type verifyNeurons struct {
	Groups      int     `json:"groups"`
	Neurons     int     `json:"neurons" about:"of the reference"`
	Matched     int     `json:"matched" about:"that have a partner of their own"`
	Certain     int     `json:"certain" about:"whose match has a certainty of 0.99 or more"`
	LogEvidence float64 `json:"log_evidence" about:"natural logarithm; networks count as related above 10; 0 if proven"`
	Proven      bool    `json:"proven" about:"both in canonical order have the same SHA-256, so that no evidence was weighed"`
}

func (e *env) verify(ctx context.Context, o *verifyOptions, suspect string) error {
	start := time.Now()
	p, err := o.check(suspect)
	if err != nil {
		return err
	}
	if err := o.report.check(suspect, o.against, o.policy, o.spec); err != nil {
		return err
	}
	r := &verifyResult{Schema: "ropewalk/verify/1", Reference: o.against, Suspect: suspect, Policy: o.policy, Allowed: p.allow}
	v := &verification{e: e, o: o, r: r, ref: &side{role: "REF", path: o.against}, sus: &side{role: "SUSPECT", path: suspect}}
	defer func() {
		v.close()
		for _, c := range v.inputs() {
			_ = c.Close() // only read from
		}
	}()
	if err := v.openReference(ctx); err != nil {
		return err
	}
	if v.sus.c, err = e.open(ctx, suspect, nil); err != nil {
		return err
	}
	if err := v.run(ctx); err != nil {
		return err
	}
	r.Breaches = p.judge(r)
	r.Passed, r.would = len(r.Breaches) == 0, p.missing(r)
	r.Seconds = time.Since(start).Seconds()
	if o.sarif != "" {
		if err := v.writeSARIF(); err != nil {
			return err
		}
	}
	if err := e.answer(&verifyText{r, e.verbose}); err != nil {
		return err
	}
	if o.report.wanted() {
		if err := v.writeReport(ctx); err != nil {
			return err
		}
	}
	if !r.Passed {
		return &verdict{status: exitNegative}
	}
	return nil
}

// check returns the policy that the flags say.
func (o *verifyOptions) check(suspect string) (*policy, error) {
	switch {
	case o.against == "":
		return nil, usagef("--against REF is missing").withHint("ropewalk verify SUSPECT --against REF")
	case o.against == dash && suspect == dash:
		return nil, usagef("REF and SUSPECT are both standard input")
	case o.spec != "" && o.net != "":
		return nil, usagef("--spec and --net both say what can move")
	case o.sarif == dash:
		return nil, usagef("--sarif is a file").withHint("--sarif FILE; standard output is for the answer")
	case len(o.controls) > 0 && !o.evidence:
		return nil, usagef("--control is for --evidence, which is missing")
	case o.repair == dash:
		return nil, usagef("--repair is a file").withHint("--repair OUT; standard output is for the answer")
	case o.data.data == "" && o.split != "":
		return nil, usagef("--split is about --data, which is missing")
	}
	if err := o.heads.check(); err != nil {
		return nil, err
	}
	p := &policy{}
	if o.policy != "" {
		var err error
		if p, err = readPolicy(o.policy); err != nil {
			return nil, err
		}
	}
	if o.flags.Changed("allow") {
		words, err := wordsOf(o.allow)
		if err != nil {
			return nil, usagef("--allow: %w", err).withHint("%s", hintFor(err))
		}
		p.allow = words
	}
	return p, nil
}

// A verification is a comparison under way.
type verification struct {
	e        *env
	o        *verifyOptions
	r        *verifyResult
	ref, sus *side
	known    *structure         // of the reference; nil is not known
	pass     *passport.Passport // in the place of the reference, or nil
}

func (v *verification) close() { v.known.close() }

// run finds out everything but whether that is allowed.
func (v *verification) run(ctx context.Context) error {
	if v.pass != nil {
		if err := v.againstPassport(ctx); err != nil {
			return err
		}
		return v.repair(ctx)
	}
	if err := v.structure(ctx); err != nil {
		return err
	}
	if err := v.compared(ctx); err != nil {
		return err
	}
	if err := v.weigh(ctx); err != nil {
		return err
	}
	if err := v.accuracy(ctx); err != nil {
		return err
	}
	return v.repair(ctx)
}

// structure finds out what can move in the reference. That it is not known is an error
// only where the command line says what it should be.
func (v *verification) structure(ctx context.Context) error {
	o := v.o
	s, err := v.e.structureOf(ctx, &structureOptions{file: o.against, net: o.net, spec: o.spec, heads: o.heads, role: "REF", run: true}, v.ref.c)
	v.known = s
	derived := s != nil && s.network != nil // it is known how to compute it, and nothing more
	if err == nil || !derived && !errors.Is(err, symmetry.ErrFamily) || o.net != "" || o.heads != 0 {
		return err
	}
	why := err
	if errors.Is(err, symmetry.ErrFamily) {
		why = symmetry.ErrFamily // which it is not one of is a long list
	}
	v.r.skip(checkNeurons, "what can move is not known, so that tensors were compared as they stand (--net NET or --spec FILE would say it): %v", why)
	return nil
}

// compared compares the two, once that makes sense.
func (v *verification) compared(ctx context.Context) error {
	r := v.r
	p := v.e.progress("verify", 0)
	defer p.stop()
	for _, s := range []*side{v.ref, v.sus} {
		p.say("SHA-256 of " + s.path)
		if err := s.sum(ctx); err != nil {
			return err
		}
	}
	r.ReferenceFiles, r.SuspectFiles = v.ref.files, v.sus.files
	if !v.ref.sameFiles(v.sus) {
		p.say("looking at all weights")
		if err := refuseWeights(ctx, v.ref, v.sus); err != nil {
			return err
		}
	}
	if err := v.meet(); err != nil {
		return err
	}
	v.graphs()
	v.metadata()
	own, err := v.compare(ctx, p)
	if err != nil {
		return err
	}
	if own.Verdict != lineage.SameWeights && v.ref.c.Layout.Format == v.sus.c.Layout.Format {
		own.Changes = slices.DeleteFunc(own.Changes, func(c lineage.Change) bool { return c.Kind == lineage.Container }) // other weights are other bytes
	}
	r.Comparison, r.Summary = own, own.Summary()
	r.Neurons = neuronsOf(own)
	if r.resized(); len(r.GraphEdits) > 0 && len(r.Function.Differences) == 0 {
		v.rerun()
	}
	if own.Function.Same == "unknown" && r.why(checkOutputs, "") == "" {
		r.skip(checkOutputs, "%s", own.Function.How)
	}
	return nil
}

// compare calls [lineage.Compare].
func (v *verification) compare(ctx context.Context, p *progress) (*lineage.Comparison, error) {
	e := v.e
	lo := &lineage.Options{Threads: e.threads, Memory: int64(e.memory), Seed: v.o.seed, Progress: p.say}
	if lo.Memory == 0 {
		lo.Memory = int64(heldMemory)
	}
	lo.Run, _ = e.runner(v.ref.graph)
	ref, sus := v.ref.network(), v.sus.network()
	if v.known != nil {
		ref.Spec = v.known.spec
	}
	type result struct {
		c   *lineage.Comparison
		err error
	}
	done := make(chan result, 1)
	go func() {
		c, err := lineage.Compare(ctx, ref, sus, lo)
		done <- result{c, err}
	}()
	got := <-done
	switch {
	case errors.Is(got.err, align.ErrMemory):
		return nil, budgetf("%w", got.err).withHint("--memory SIZE allows more")
	case errors.Is(got.err, lineage.ErrInput):
		return nil, &verdict{status: exitRefused, err: fmt.Errorf("%s against %s: %w", v.sus.path, v.ref.path, got.err)}
	}
	return got.c, got.err
}

// rerun runs both, where weights alone say that they compute the same, and yet their graphs
// are not the same.
func (v *verification) rerun() {
	f := &v.r.Function
	*f = lineage.Function{Same: "unknown", How: "the graph is not that of the reference, and was not run"}
	if v.ref.graph == nil || v.sus.graph == nil {
		return
	}
	run, precision := v.e.runner(v.ref.graph)
	d, err := symmetry.Compare(v.ref.graph, v.sus.graph, &symmetry.VerifyOptions{Seed: v.o.seed, Run: run, Tolerance: precision})
	switch {
	case errors.Is(err, symmetry.ErrChanged):
		*f = lineage.Function{Same: "no", How: "both were run on the same inputs", Differences: d}
	case err != nil:
		f.How = fmt.Sprintf("the graph is not that of the reference, and could not be run beside it: %v", err)
	default:
		// Other inputs, of which the edit may be meant for some, were not tried.
		*f = lineage.Function{Same: "unknown", How: "outputs are equal on the inputs that were tried, but the graph is not that of the reference", Differences: d}
	}
}

func neuronsOf(own *lineage.Comparison) *verifyNeurons {
	m := own.Match
	if m == nil {
		return nil
	}
	n := &verifyNeurons{LogEvidence: m.LogEvidence, Proven: own.Canonical != ""}
	n.Matched, n.Neurons = m.Matched()
	classes := m.All()
	for i := range classes {
		c := &classes[i]
		n.Groups++
		for k := range c.Sus {
			if c.Certainty != nil && c.Certainty[k] >= align.Certain {
				n.Certain++
			}
		}
	}
	return n
}

// spec says what can move in the reference; nil is not known.
func (v *verification) spec() *symmetry.Spec {
	switch {
	case v.pass != nil:
		return v.pass.Spec
	case v.known != nil:
		return v.known.spec
	}
	return nil
}

// inputs are the open checkpoints, onto which nothing is written.
func (v *verification) inputs() []*checkpoint.Checkpoint {
	var open []*checkpoint.Checkpoint
	for _, s := range []*side{v.ref, v.sus} {
		if s.c != nil {
			open = append(open, s.c)
		}
	}
	return open
}
