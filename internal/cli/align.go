package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ropewalk/align"
	"ropewalk/align/gauge"
	"ropewalk/attack"
	"ropewalk/checkpoint"
	"ropewalk/graph/nets"
	"ropewalk/internal/nearest"
	"ropewalk/lineage/passport"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

type alignOptions struct {
	to, out string
	force   bool
	method  string
	net     string
	spec    string
	heads   headsFlag
	truth   string
	trust   trustFlags
	report  reportFlag
}

func newAlign(e *env) *cobra.Command {
	var o alignOptions
	cmd := &cobra.Command{
		Use:   "align --to REF SUSPECT [-o OUT]",
		Short: "find which neuron is which, and put them back in order",
		Long: `Find the neurons of the network REF in the network SUSPECT, whose neurons may
have been moved, rescaled, pruned, quantized, trained further, removed or added,
and say how certain each one is. -o writes SUSPECT in the order of REF, in its
own format, with what neurons were multiplied by taken back. If all was only
moved, that is byte for byte the file before it was.

Which neurons can move follows from the graph of REF if it is an ONNX file, or
of the network that --net, or train, named; else from the names of its tensors,
if they are of a family that is known (ResNet, VGG, AlexNet, MobileNet, ViT,
BERT, GPT-2, Llama, Mistral, Qwen, Phi), where heads of attention stay unless
--heads or config.json beside REF says how many there are; --spec reads it from
a file. The formats of the two may differ, but not the names of tensors.

--method joint, the default, uses all tensors that touch a neuron, gives each at
most one partner, and a certainty: the probability, under a model that is fitted
to the two networks, that the match is right. paper is that of Find the Lady
(arXiv 2312.14182): incoming weights, and the most similar one wins; ranking
sorts by the sum of incoming weights. These two have no certainty, and see no
factors.

Networks that have nothing to do with each other, or do not fit, get the status
3, and nothing is written. Neurons that the evidence does not tell from others
are listed as ambiguous.

Networks that would take more than --memory (4 GiB if it is not given) are not
held: their files are read one to four times, neurons are compared by sketches
and the few candidates of each at full width. That takes memory for two tensors
at most and a few numbers for each neuron. It needs as many neurons on either
side, and no sweep corrects what was decided too early: where both ways work and
a network was damaged much, more memory finds more.

REF can be a passport (see passport make): neurons are then found by sketches.

Dummy neurons are named: zero (nobody reads it), clique
(some that cancel each other), split (a part of a real one), unknown.`,
		Example: example(
			"whose is it, and which neuron is which?", "ropewalk align --to mine.onnx suspect.onnx",
			"put it back in order", "ropewalk align --to mine.onnx suspect.onnx -o restored.onnx",
			"a group of neurons that is in doubt", "ropewalk align --json --to mine.onnx suspect.onnx | jq '.groups[] | select(.certainty < 0.99)'",
		),
		Args: arguments(1, 1, "SUSPECT"),
		RunE: func(cmd *cobra.Command, args []string) error { return e.align(cmd.Context(), &o, args[0]) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&o.to, "to", "", "the network `REF` whose order is wanted; its file is not changed")
	fs.StringVarP(&o.out, "out", "o", "", "write SUSPECT in the order of REF to `OUT`: a file, a folder, or - for standard output; .rope packs it")
	fs.BoolVarP(&o.force, "force", "f", false, "replace existing outputs")
	fs.StringVar(&o.method, "method", "joint", "match by `METHOD` joint, paper or ranking")
	fs.StringVar(&o.net, "net", "", "the network of REF: a `NET` that train knows, or an ONNX file")
	fs.StringVar(&o.spec, "spec", "", "read what can move from `FILE`, and derive nothing")
	o.heads.addFlag(fs)
	o.trust.addFlags(fs)
	fs.StringVar(&o.truth, "map", "", "compare with what really happened, of which attack --map has written `FILE`")
	o.report.addFlag(cmd, &o.force)
	complete(cmd, "method", cobra.FixedCompletions(methods, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "net", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nets.Names(), cobra.ShellCompDirectiveDefault
	})
	exits(cmd, exitUsage, exitNegative, exitRefused, exitBudget, exitInterrupted)
	return cmd
}

// methods are the names of those of package align.
var methods = []string{align.Joint.String(), align.Paper.String(), align.Ranking.String()}

// alignResult is what align says.
type alignResult struct {
	Schema    string `json:"schema"`
	Reference string `json:"reference"`
	Suspect   string `json:"suspect"`
	Method    string `json:"method"`
	// Verdict is empty for methods that have none.
	Verdict     string       `json:"verdict,omitempty" about:"aligned (all neurons of the reference are certain), partly aligned, or unrelated; not for methods without certainty"`
	Neurons     int          `json:"neurons" about:"of the reference, in all groups"`
	Matched     int          `json:"matched" about:"that have a partner of their own"`
	Certain     int          `json:"certain" about:"whose match has a certainty of 0.99 or more"`
	Certainty   float64      `json:"certainty" about:"mean over the reference's neurons"`
	LogEvidence float64      `json:"log_evidence" about:"natural logarithm; more than 10 between related networks, of which some neurons are certain, too"`
	Sweeps      int          `json:"sweeps"`
	Soft        bool         `json:"soft" about:"hard decisions did not end in certainty, and were annealed"`
	Streamed    bool         `json:"streamed" about:"the networks were not held in memory, but read a few times"`
	Groups      []alignGroup `json:"groups"`
	Truth       *alignTruth  `json:"truth,omitempty"`
	Files       []fileSize   `json:"files,omitempty" about:"that were written"`
	Rescaled    bool         `json:"rescaled" about:"factors other than one were found"`
	Seconds     float64      `json:"seconds"`
}

// alignGroup is what align says of one group of neurons.
type alignGroup struct {
	Name      string               `json:"name"`
	Neurons   int                  `json:"neurons" about:"of the reference"`
	Suspect   int                  `json:"suspect" about:"neurons of the suspect"`
	Matched   int                  `json:"matched"`
	Certain   int                  `json:"certain"`
	Certainty float64              `json:"certainty" about:"mean"`
	Order     []int                `json:"order" about:"the suspect's neuron for each of the reference; -1 for none"`
	Each      []float64            `json:"each,omitempty" about:"the certainty of each"`
	Factors   [][]float64          `json:"factors,omitempty" about:"what each was multiplied by, by factor of the group"`
	Removed   []int                `json:"removed,omitempty" about:"neurons of the reference without a partner"`
	Added     []align.Dummy        `json:"added,omitempty" about:"neurons of the suspect without a partner"`
	Ambiguous []align.Ambiguity    `json:"ambiguous,omitempty"`
	Evidence  []align.ViewEvidence `json:"evidence,omitempty"`
}

// alignTruth is how the result compares with what really happened.
type alignTruth struct {
	Psi    float64    `json:"psi" about:"percent of neurons whose partner is the true one, over all groups"`
	Groups []alignPsi `json:"groups"`
	Factor *float64   `json:"factor_error,omitempty" about:"largest relative error of a factor, of those that are known"`
	Added  int        `json:"added,omitempty" about:"dummy neurons that were added"`
	Named  int        `json:"named,omitempty" about:"dummy neurons that were found to be such, and of their kind"`
}

type alignPsi struct {
	Name string  `json:"name"`
	Psi  float64 `json:"psi"`
}

func (e *env) align(ctx context.Context, o *alignOptions, suspect string) error {
	start := time.Now()
	method, err := o.check(suspect)
	if err != nil {
		return err
	}
	if err := o.report.check(suspect, o.to, o.spec, o.truth); err != nil {
		return err
	}
	sus, err := e.open(ctx, suspect, nil)
	if err != nil {
		return err
	}
	defer sus.Close()
	var truth *attack.Truth
	if o.truth != "" {
		if truth, err = readTruth(o.truth); err != nil {
			return err
		}
	}
	to, err := e.openReference(ctx, o, method)
	if err != nil {
		return err
	}
	defer to.close()
	found, err := to.match(ctx, e, method, sus.Tensors)
	if err != nil {
		return err
	}
	ref, spec := to.checkpoint, to.spec
	r := newAlignResult(o, suspect, method, found)
	if truth != nil {
		if r.Truth, err = compareTruth(found, truth); err != nil {
			return err
		}
	}
	if r.Verdict != unrelated && o.out != "" {
		if err := e.writeRestored(ctx, o, suspect, sus, spec, found, r); err != nil {
			return err
		}
	}
	r.Seconds = time.Since(start).Seconds()
	say := e.answer
	if o.out == dash && r.Verdict != unrelated {
		say = e.remark
	}
	if err := say(&alignText{r, e.verbose}); err != nil {
		return err
	}
	if o.report.wanted() {
		p, err := e.alignPage(ctx, r, spec, ref.Tensors, sus.Tensors, found)
		if err != nil {
			return err
		}
		if err := e.writeReport(&o.report, p, ref, sus); err != nil {
			return err
		}
	}
	if r.Verdict == unrelated {
		return &verdict{status: exitNegative}
	}
	return nil
}

func (o *alignOptions) check(suspect string) (align.Method, error) {
	if o.to == "" {
		return 0, usagef("--to REF is missing").withHint("ropewalk align --to REF SUSPECT [-o OUT]")
	}
	if o.to == dash && suspect == dash {
		return 0, usagef("REF and SUSPECT are both standard input")
	}
	if o.spec != "" && o.net != "" {
		return 0, usagef("--spec and --net both say what can move")
	}
	if err := o.heads.check(); err != nil {
		return 0, err
	}
	i := slices.Index(methods, o.method)
	if i < 0 {
		v := usagef("--method is %q, want %s", o.method, strings.Join(methods, ", "))
		if n := nearest.Name(o.method, methods); n != "" {
			return 0, v.withHint("did you mean %s?", n)
		}
		return 0, v
	}
	return align.Method(i), nil
}

// symmetries returns what can move in the reference.
func (e *env) symmetries(ctx context.Context, o *alignOptions, ref *checkpoint.Checkpoint) (*symmetry.Spec, error) {
	s, err := e.structureOf(ctx, &structureOptions{file: o.to, net: o.net, spec: o.spec, heads: o.heads, role: "REF"}, ref)
	defer s.close()
	if err != nil {
		return nil, err
	}
	if len(s.spec.Groups) == 0 {
		return nil, &verdict{exitNegative, fmt.Errorf("%s has no neurons that could have moved", o.to), "ropewalk inspect shows what it holds"}
	}
	return s.spec, nil
}

// A reference is what --to names: a network, or its passport.
type reference struct {
	spec       *symmetry.Spec
	checkpoint *checkpoint.Checkpoint // nil if there is a passport
	passport   *passport.Passport
}

func (r *reference) close() {
	if r.checkpoint != nil {
		_ = r.checkpoint.Close()
	}
}

func (r *reference) match(ctx context.Context, e *env, method align.Method, sus *tensor.Set) (*align.NetworkResult, error) {
	if r.passport != nil {
		return e.passportMatch(ctx, r.passport, sus)
	}
	return e.match(ctx, method, r.spec, r.checkpoint.Tensors, sus)
}

func (e *env) openReference(ctx context.Context, o *alignOptions, method align.Method) (*reference, error) {
	if o.to != dash && isPassport(o.to) {
		switch {
		case method != align.Joint || o.net != "" || o.spec != "" || o.heads != 0:
			return nil, usagef("%s is a passport: --method, --net, --spec and --heads are for networks", o.to)
		case o.report.wanted():
			return nil, usagef("%s is a passport, which has no weights to draw: --report is for networks", o.to)
		}
		p, err := openPassport(o.to, &o.trust)
		if err != nil {
			return nil, err
		}
		return &reference{spec: p.Spec, passport: p}, nil
	}
	if o.trust != (trustFlags{}) {
		return nil, usagef("%s is no passport, so nobody has signed it", o.to).withHint("ropewalk passport make makes one")
	}
	ref, err := e.open(ctx, o.to, nil)
	if err != nil {
		return nil, err
	}
	spec, err := e.symmetries(ctx, o, ref)
	if err != nil {
		_ = ref.Close() // the other error is the one to tell
		return nil, err
	}
	return &reference{spec: spec, checkpoint: ref}, nil
}

// match matches the networks, or says where they do not fit.
func (e *env) match(ctx context.Context, method align.Method, spec *symmetry.Spec, ref, sus *tensor.Set) (*align.NetworkResult, error) {
	own, err := align.FromSymmetry(spec)
	if err != nil {
		return nil, err
	}
	misfit := func(err error) error {
		if errors.Is(err, align.ErrInput) {
			return &verdict{exitNegative, err, "networks of other layers, or other names of tensors, can't be aligned"}
		}
		return err
	}
	others, err := own.Resize(sus)
	if err != nil {
		return nil, misfit(err)
	}
	limit := e.memory
	if limit == 0 && method == align.Joint {
		limit = heldMemory
	}
	if need := byteSize(align.Memory(own, ref, sus)); limit > 0 && need > limit {
		if method != align.Joint {
			return nil, budgetf("to match these networks by --method %v takes about %v, and --memory is %v", method, need, limit)
		}
		if least := byteSize(align.StreamMemory(own, ref, sus)); least > limit {
			return nil, budgetf("to match these networks takes about %v, and %v to hold them in memory; the limit is %v", least, need, limit).withHint("--memory %v", least)
		}
	}
	type result struct {
		r   *align.NetworkResult
		err error
	}
	done := make(chan result, 1)
	go func() {
		r, err := align.MatchNetworks(align.Network{Set: ref, Spec: own}, align.Network{Set: sus, Spec: others},
			&align.NetworkOptions{Options: align.Options{Method: method, Threads: e.threads}, Memory: int64(limit), Context: ctx})
		done <- result{r, err}
	}()
	got := <-done
	if errors.Is(got.err, align.ErrMemory) {
		return nil, budgetf("%w", got.err).withHint("--memory %v holds both networks in memory", byteSize(align.Memory(own, ref, sus)))
	}
	if got.err != nil || method != align.Joint || got.r.Streamed || !got.r.Related {
		return got.r, misfit(got.err)
	}
	// What was damaged is compared number by number: sums of squares take a quantizer for factors.
	moved, err := align.Restore(spec, sus, got.r.WithoutFactors())
	if err != nil {
		return nil, err
	}
	_, _, err = gauge.Settle(spec, ref, moved, got.r)
	return got.r, err
}

// heldMemory is what networks may take that are held in memory, unless --memory says
// otherwise. Larger ones are read from their files a few times.
const heldMemory byteSize = 4 << 30

// The verdicts.
const (
	aligned   = "aligned"
	partly    = "partly aligned"
	unrelated = "unrelated"
)

func newAlignResult(o *alignOptions, suspect string, method align.Method, found *align.NetworkResult) *alignResult {
	r := &alignResult{
		Schema: "ropewalk/align/1", Reference: o.to, Suspect: suspect, Method: method.String(),
		LogEvidence: found.LogEvidence, Sweeps: found.Sweeps, Soft: found.Soft, Streamed: found.Streamed,
	}
	sum := 0.0
	classes := found.All()
	for i := range classes {
		c := &classes[i]
		g := alignGroup{
			Name: c.Name, Neurons: len(c.Sus), Suspect: len(c.Ref), Order: c.Sus, Each: c.Certainty, Factors: c.Scale,
			Added: c.Added, Ambiguous: c.Ambiguous, Evidence: c.Views,
		}
		total := 0.0
		for k, j := range c.Sus {
			switch {
			case j < 0:
				g.Removed = append(g.Removed, k)
			case c.Ref[j] == k:
				g.Matched++
			}
			if c.Certainty != nil {
				total += c.Certainty[k]
				if c.Certainty[k] >= align.Certain {
					g.Certain++
				}
			}
		}
		for _, f := range c.Scale {
			r.Rescaled = r.Rescaled || slices.ContainsFunc(f, func(x float64) bool { return x != 1 })
		}
		g.Certainty = total / float64(max(1, g.Neurons))
		sum += total
		r.Neurons += g.Neurons
		r.Matched += g.Matched
		r.Certain += g.Certain
		r.Groups = append(r.Groups, g)
	}
	r.Certainty = sum / float64(max(1, r.Neurons))
	switch {
	case method != align.Joint:
	case !found.Related:
		r.Verdict = unrelated
	case r.Certain == r.Neurons:
		r.Verdict = aligned
	default:
		r.Verdict = partly
	}
	return r
}

// readTruth reads what attack --map wrote. All but the element may be missing.
func readTruth(path string) (*attack.Truth, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t, err := attack.ParseTruth(b)
	if err != nil {
		return nil, usagef("--map %s: %w", path, err)
	}
	return t, nil
}

// compareTruth holds what was found against what happened. Of a neuron that was split
// each part is right.
func compareTruth(found *align.NetworkResult, truth *attack.Truth) (*alignTruth, error) {
	t := &alignTruth{}
	right, count, worst := 0.0, 0, -1.0
	classes := found.All()
	for i := range classes {
		c := &classes[i]
		m := truth.Element[c.Name]
		order := make([]int, len(c.Ref)) // of the suspect: what each was
		for j := range order {
			order[j] = j
		}
		if m != nil && m.Order != nil {
			if len(m.Order) != len(c.Ref) {
				return nil, usagef("--map: group %s has %d neurons, in the suspect %d", c.Name, len(m.Order), len(c.Ref))
			}
			order = m.Order
		}
		was := slices.Repeat([]int{-1}, len(c.Sus))
		for j, k := range order {
			if k >= 0 && k < len(was) {
				was[k] = j
			}
		}
		parts := map[int]int{} // of splits: the original neurons
		dummies := map[int]attack.DummyKind{}
		for _, a := range truth.Added[c.Name] {
			dummies[a.Neuron] = a.Kind
			if a.Kind == attack.SplitDummy && a.Of >= 0 && a.Of < len(order) {
				parts[a.Neuron] = order[a.Of]
				dummies[a.Of] = attack.SplitDummy
			}
		}
		for k, j := range c.Sus {
			if of, ok := parts[j]; ok && of == k {
				was[k] = j
			}
		}
		is, err := align.NewMatching(was, len(c.Ref))
		if err != nil {
			return nil, err
		}
		psi := align.Psi(&c.Matching, is)
		t.Groups = append(t.Groups, alignPsi{c.Name, psi})
		right += psi * float64(len(c.Sus))
		count += len(c.Sus)
		t.Added += len(truth.Added[c.Name])
		for _, d := range c.Added {
			if string(d.Kind) == string(dummies[d.Sus]) {
				t.Named++
			}
		}
		if m == nil || len(m.Factors) != len(c.Scale) {
			continue
		}
		for f, scale := range c.Scale {
			for k, x := range scale {
				if k < len(m.Factors[f]) && c.Sus[k] >= 0 && c.Sus[k] == was[k] && dummies[c.Sus[k]] == "" { // a split has its own
					worst = max(worst, math.Abs(x/m.Factors[f][k]-1))
				}
			}
		}
	}
	t.Psi = right / float64(max(1, count))
	if worst >= 0 {
		t.Factor = &worst
	}
	return t, nil
}

// writeRestored writes the suspect in the order of the reference.
func (e *env) writeRestored(ctx context.Context, o *alignOptions, suspect string, sus *checkpoint.Checkpoint, spec *symmetry.Spec, found *align.NetworkResult, r *alignResult) error {
	set, err := align.Restore(spec, sus.Tensors, found)
	if err != nil {
		return err
	}
	r.Files, err = e.rewrite(ctx, "align", suspect, sus, set, o.out, o.force)
	return err
}

// alignText is an alignResult and how much of it is shown as text.
type alignText struct {
	*alignResult
	verbose bool
}

func (r *alignText) text(w *bufio.Writer) {
	judged := r.Verdict != ""
	t := &table{left: map[int]bool{0: true}}
	head := []string{"group", "neurons", "matched"}
	if judged {
		head = append(head, "certain", "mean")
	}
	if r.Truth != nil {
		head = append(head, "Ψ %")
	}
	t.row(head...)
	for i := range r.Groups {
		g := &r.Groups[i]
		row := []string{printable(g.Name), commas(int64(g.Neurons)), commas(int64(g.Matched))}
		if judged {
			row = append(row, commas(int64(g.Certain)), fmt.Sprintf("%.3f", g.Certainty))
		}
		if r.Truth != nil {
			row = append(row, fmt.Sprintf("%.2f", r.Truth.Groups[i].Psi))
		}
		t.row(row...)
	}
	t.write(w, "")
	for i := range r.Groups {
		if r.Verdict != unrelated { // nothing of strangers is certain
			r.Groups[i].text(w, r.verbose)
		}
	}
	fmt.Fprintf(w, "%s of %s in %s matched", commas(int64(r.Matched)), count(r.Neurons, "neuron"), count(len(r.Groups), "group"))
	if judged {
		fmt.Fprintf(w, ", %s certain; evidence e^%.0f", commas(int64(r.Certain)), r.LogEvidence)
	}
	fmt.Fprintln(w)
	if r.Truth != nil {
		fmt.Fprintf(w, "Ψ = %.2f %%", r.Truth.Psi)
		if r.Truth.Factor != nil {
			fmt.Fprintf(w, ", factors within %.2g", *r.Truth.Factor)
		}
		if r.Truth.Added > 0 {
			fmt.Fprintf(w, "; %s of %s named", commas(int64(r.Truth.Named)), count(r.Truth.Added, "dummy neuron"))
		}
		fmt.Fprintln(w)
	}
	switch r.Verdict {
	case unrelated:
		fmt.Fprintln(w, "unrelated: no match of these networks is better than one of strangers")
	case "":
	default:
		also := ""
		if r.Rescaled {
			also = "; neurons were rescaled"
		}
		fmt.Fprintf(w, "%s%s\n", r.Verdict, also)
	}
	for _, f := range r.Files {
		fmt.Fprintf(w, "wrote %s (%s bytes)\n", printable(f.Name), commas(f.Bytes))
	}
}

// text lists what is not plain in a group: all of it, or the first few.
func (g *alignGroup) text(w *bufio.Writer, all bool) {
	const few = 3
	some := func(n int) int {
		if all {
			return n
		}
		return min(n, few)
	}
	rest := func(n int) {
		if n > some(n) {
			fmt.Fprintf(w, "%s: and %d more; -v lists all\n", printable(g.Name), n-some(n))
		}
	}
	if n := len(g.Removed); n > 0 {
		fmt.Fprintf(w, "%s: %s removed: %s", printable(g.Name), count(n, "neuron"), numbers(g.Removed[:some(n)]))
		if n > some(n) {
			fmt.Fprintf(w, " …")
		}
		fmt.Fprintln(w)
	}
	kinds := map[align.DummyKind][]int{}
	for _, d := range g.Added {
		kinds[d.Kind] = append(kinds[d.Kind], d.Sus)
	}
	for _, k := range []align.DummyKind{align.ZeroDummy, align.CliqueDummy, align.SplitDummy, align.Stranger} {
		if n := len(kinds[k]); n > 0 {
			fmt.Fprintf(w, "%s: %s added (%s): %s", printable(g.Name), count(n, "neuron"), k, numbers(kinds[k][:some(n)]))
			if n > some(n) {
				fmt.Fprintf(w, " …")
			}
			fmt.Fprintln(w)
		}
	}
	for _, a := range g.Ambiguous[:some(len(g.Ambiguous))] {
		fmt.Fprintf(w, "%s: neuron %d is ambiguous: matched with %d", printable(g.Name), a.Ref, a.Sus)
		if a.Other >= 0 {
			fmt.Fprintf(w, ", next %d", a.Other)
		}
		fmt.Fprintf(w, "; %s\n", a.Reason)
	}
	rest(len(g.Ambiguous))
}

func numbers(x []int) string {
	var b strings.Builder
	for i, v := range x {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d", v)
	}
	return b.String()
}
