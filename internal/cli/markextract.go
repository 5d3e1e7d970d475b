package cli

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ropewalk/checkpoint"
	"ropewalk/mark"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

type extractOptions struct {
	markOptions
	keys       []string
	reference  string
	marked     string
	commitment string
	asIs       bool
	tried      int
	alignments int
	evidence   string
	force      bool
	report     reportFlag
}

func newMarkExtract(e *env) *cobra.Command {
	var o extractOptions
	cmd := &cobra.Command{
		Use:   "extract SUSPECT --key KEY --reference REF",
		Short: "read a mark in a network, and say how probable it is that it is chance",
		Long: `Read the mark of KEY in SUSPECT. First its neurons are put in the order of REF,
the unmarked network, and rescaling is undone; then what differs from REF is
held against the key. Nothing of the key is known to the alignment.

REF may also be a passport of the unmarked network, which has sketches of it: z
is then smaller, by the root of the share that they keep.

Without REF, scheme uchida can be read after alignment to the tensors of a
marked copy (--copy) that carry no mark. Marked tensors are never looked at: who
searches for the order in which marked weights fit finds the mark in any
network. --as-is aligns nothing.

The probability is that of a reading so good if the suspect, REF and the
alignment have nothing to do with the key: p <= exp(-z²/2) for z standard
deviations of fair coins, an exact binomial tail for uchida's bits, times the
number of keys, layers and alignments tried (--keys, --alignments say of those
before). The mark counts as present if that is at most 1e-9 and --commitment
was published before the suspect was, else 2^-128: without a commitment one
could try keys until one fits. That it was published before is for its time
stamp to show. 64 bits of uchida reach 1e-19 at best, so they need a commitment.

The status is 0 if the mark is present, 3 if absent. Absent means no evidence,
not that the networks have nothing in common.`,
		Example: example(
			"is it mine?", "ropewalk mark extract suspect.safetensors --key alice.key --reference model.safetensors --commitment alice.json",
			"for a third party", "ropewalk mark extract suspect.onnx --key alice.key --reference model.onnx --commitment alice.json --evidence evidence.json",
			"who was this copy made for?", "ropewalk mark extract leaked.onnx --key alice.key --reference model.onnx --scheme payload --bits 64",
		),
		Args: arguments(1, 1, "SUSPECT"),
		RunE: func(cmd *cobra.Command, args []string) error { return e.markExtract(cmd.Context(), &o, args[0]) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringArrayVar(&o.keys, "key", nil, "the key, in `FILE` (again for more, of which the best counts)")
	fs.StringVar(&o.reference, "reference", "", "the unmarked network, in `FILE`, or its passport (see passport make)")
	fs.StringVar(&o.marked, "copy", "", "a marked copy of the owner's, in `FILE`, if there is no reference")
	fs.StringVar(&o.commitment, "commitment", "", "what was published, in `FILE`; it says scheme and parameters, too")
	o.addFlags(cmd)
	fs.BoolVar(&o.asIs, "as-is", false, "align nothing")
	fs.StringVar(&o.net, "net", "", "the network of REF: a `NET` that train knows, or an ONNX file")
	fs.StringVar(&o.spec, "spec", "", "read what can move from `FILE`, and derive nothing")
	fs.IntVar(&o.tried, "keys", 0, "`N` keys were tried in all")
	fs.IntVar(&o.alignments, "alignments", 0, "`N` alignments were tried in all")
	fs.StringVar(&o.evidence, "evidence", "", "write a signed statement to `FILE`")
	fs.BoolVarP(&o.force, "force", "f", false, "replace an existing FILE of --evidence or --report")
	o.report.addFlag(cmd, &o.force)
	exits(cmd, exitUsage, exitNegative, exitRefused, exitBudget, exitInterrupted)
	return cmd
}

// markExtractResult is what mark extract says.
type markExtractResult struct {
	Schema     string           `json:"schema"`
	Suspect    string           `json:"suspect"`
	Reference  string           `json:"reference,omitempty"`
	Key        string           `json:"key" about:"public name of the key with the best reading"`
	Owner      string           `json:"owner"`
	Parameters *mark.Parameters `json:"parameters"`
	Committed  bool             `json:"committed" about:"a commitment was given, and fits"`
	Alignment  *markAlignment   `json:"alignment" about:"how the suspect was put in order"`
	Reading    *mark.Reading    `json:"reading"`
	Verdict    *mark.Verdict    `json:"verdict"`
	Assumption string           `json:"assumption" about:"what the probability rests on"`
	Evidence   string           `json:"evidence,omitempty" about:"the file"`
	Seconds    float64          `json:"seconds"`
}

type markAlignment struct {
	To          string  `json:"to" about:"reference, passport, copy, or nothing"`
	Related     bool    `json:"related" about:"a relation was found; if not, the suspect was read as it is"`
	LogEvidence float64 `json:"log_evidence" about:"natural logarithm"`
	Neurons     int     `json:"neurons"`
	Matched     int     `json:"matched"`
	Share       float64 `json:"share,omitempty" about:"with a passport: which part of a difference its sketches tell; z is about the root of that of what the network would show"`
}

func (a *markAlignment) String() string {
	switch {
	case a.To == "nothing":
		return "none: read as it is"
	case !a.Related:
		return fmt.Sprintf("to the %s: no relation found, read as it is", a.To)
	}
	if a.Share > 0 {
		return fmt.Sprintf("to the %s: %s of %s neurons matched, evidence e^%.0f; it keeps %.0f %% of the weights' differences, so z is about %.2f of what the network shows", a.To,
			commas(int64(a.Matched)), commas(int64(a.Neurons)), a.LogEvidence, 100*a.Share, math.Sqrt(a.Share))
	}
	return fmt.Sprintf("to the %s: %s of %s neurons matched, evidence e^%.0f", a.To, commas(int64(a.Matched)), commas(int64(a.Neurons)), a.LogEvidence)
}

func (o *extractOptions) check(suspect string) error {
	if len(o.keys) == 0 {
		return usagef("--key is missing").withHint("ropewalk mark extract SUSPECT --key KEY --reference REF")
	}
	dashes := 0
	for _, p := range []string{suspect, o.reference, o.marked} {
		if p == dash {
			dashes++
		}
	}
	switch {
	case dashes > 1:
		return usagef("two inputs are both standard input")
	case o.reference != "" && o.marked != "":
		return usagef("--reference and --copy both say what to align to; the reference is better")
	case o.asIs && o.marked != "":
		return usagef("--as-is aligns nothing, so --copy says nothing")
	case o.spec != "" && o.net != "":
		return usagef("--spec and --net both say what can move")
	case o.reference == "" && o.marked == "" && !o.asIs:
		return usagef("there is nothing to align to: the unmarked network is needed, because who searches for the order in which marked weights fit finds the mark in any network").
			withHint("--reference REF; or --copy MARKED, of which only unmarked tensors are looked at; or --as-is")
	case o.tried < 0 || o.alignments < 0:
		return usagef("--keys and --alignments count what was tried, and are not negative")
	case o.commitment != "" && len(changed(o.flags, "scheme", "tensor", "epsilon", "bits")) > 0:
		return usagef("--%s is in the commitment", changed(o.flags, "scheme", "tensor", "epsilon", "bits")[0])
	case o.evidence != "" && len(o.keys) > 1:
		return usagef("--evidence is for one key").withHint("--keys %d says how many were tried", len(o.keys))
	}
	return nil
}

func (e *env) markExtract(ctx context.Context, o *extractOptions, suspect string) error {
	start := time.Now()
	if err := o.check(suspect); err != nil {
		return err
	}
	if err := o.report.check(append(o.keys, suspect, o.reference, o.marked, o.commitment)...); err != nil {
		return err
	}
	mo, err := o.options()
	if err != nil && o.commitment == "" {
		return err
	}
	var secrets []mark.Secrets
	for _, path := range o.keys {
		s, err := e.secrets(path, &o.pass)
		if err != nil {
			return err
		}
		secrets = append(secrets, s)
	}
	sus, err := e.open(ctx, suspect, nil)
	if err != nil {
		return err
	}
	defer sus.Close()
	if o.reference != "" && isPassport(o.reference) {
		return e.extractFromPassport(ctx, o, suspect, sus, secrets, mo, start)
	}
	own, ref := sus, (*tensor.Set)(nil)
	if path := o.reference + o.marked; path != "" {
		if own, err = e.open(ctx, path, nil); err != nil {
			return err
		}
		defer own.Close()
	}
	if o.reference != "" {
		ref = own.Tensors
	}
	cm, err := o.readCommitment(secrets, func(cm *mark.Commitment) error {
		switch {
		case ref != nil:
			return cm.CheckReference(ref)
		case o.marked != "":
			return cm.CheckMarked(own.Tensors)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if cm == nil && o.scheme == "uchida" && o.reference+o.marked != "" {
		mo.Axes = e.filterAxes(ctx, &alignOptions{to: o.reference + o.marked, net: o.net, spec: o.spec}, own)
	}
	r := &markExtractResult{Schema: "ropewalk/mark-extract/1", Suspect: suspect, Reference: o.reference, Committed: cm != nil}
	params := make([]*mark.Parameters, len(secrets))
	for i, s := range secrets {
		if cm != nil {
			params[i] = cm.Parameters
		} else if params[i], err = mark.Assume(o.scheme, own.Tensors, s, mo); err != nil {
			return markError(err)
		}
	}
	set, err := e.alignSuspect(ctx, o, params[0], own, sus, r)
	if err != nil {
		return err
	}
	for i, s := range secrets {
		if err := e.readWith(o, set, ref, s, params[i], r); err != nil {
			return err
		}
	}
	if o.evidence != "" {
		var refs []mark.Subject
		if own != sus {
			if refs, err = digestsOf(ctx, own); err != nil {
				return err
			}
		}
		if err := e.writeEvidence(ctx, o, secrets[0], cm, sus, refs, r, own); err != nil {
			return err
		}
	}
	return e.extracted(o, r, start, sus, own)
}

// extracted tells the result of a reading; inputs are what no report replaces.
func (e *env) extracted(o *extractOptions, r *markExtractResult, start time.Time, inputs ...*checkpoint.Checkpoint) error {
	r.Seconds = time.Since(start).Seconds()
	if err := e.answer(&markExtractText{r, e.verbose}); err != nil {
		return err
	}
	if o.report.wanted() {
		if err := e.writeReport(&o.report, e.markPage(r), inputs...); err != nil {
			return err
		}
	}
	if !r.Verdict.Present {
		return &verdict{status: exitNegative}
	}
	return nil
}

// readCommitment reads what was published, and holds keys and networks against it.
func (o *extractOptions) readCommitment(secrets []mark.Secrets, networks func(*mark.Commitment) error) (*mark.Commitment, error) {
	if o.commitment == "" {
		return nil, nil
	}
	text, err := readBounded(o.commitment, mark.MaxCommitment)
	if err != nil {
		return nil, err
	}
	cm, err := mark.ParseCommitment(text)
	if err != nil {
		return nil, markError(fmt.Errorf("%s: %w", o.commitment, err))
	}
	for i, s := range secrets {
		if err := cm.CheckSecrets(s); err != nil {
			return nil, markError(fmt.Errorf("%s: %w", o.keys[i], err))
		}
	}
	if err := networks(cm); err != nil {
		return nil, markError(fmt.Errorf("%s%s: %w", o.reference, o.marked, err))
	}
	return cm, nil
}

// alignSuspect puts the suspect in order.
func (e *env) alignSuspect(ctx context.Context, o *extractOptions, p *mark.Parameters, own, sus *checkpoint.Checkpoint, r *markExtractResult) (*tensor.Set, error) {
	r.Alignment = &markAlignment{To: "nothing"}
	if o.asIs {
		return sus.Tensors, nil
	}
	spec, err := e.symmetries(ctx, &alignOptions{to: o.reference + o.marked, net: o.net, spec: o.spec}, own)
	if err != nil {
		return nil, err
	}
	ao := &mark.AlignOptions{Threads: e.threads, Context: ctx}
	r.Alignment.To = "reference"
	if o.marked != "" {
		ao.Marked, r.Alignment.To = p.Tensors, "copy"
	}
	a, err := e.alignFor(own.Tensors, spec, sus.Tensors, ao)
	if err != nil {
		return nil, markError(err)
	}
	r.Alignment.Related, r.Alignment.LogEvidence = a.Related, a.LogEvidence
	r.Alignment.Neurons, r.Alignment.Matched = a.Neurons, a.Matched
	return a.Set, nil
}

func (e *env) alignFor(own *tensor.Set, spec *symmetry.Spec, sus *tensor.Set, ao *mark.AlignOptions) (*mark.Aligned, error) {
	p := e.progress("align", 0)
	defer p.stop()
	return mark.Align(own, spec, sus, ao)
}

// assumptions are what readings rest on, in words.
var assumptions = map[bool]string{
	false: "the key's signs are fair coins, drawn independently of the suspect, of the reference and of how they were aligned; then P(reading >= z) <= exp(-z²/2) (Hoeffding)",
	true:  "the key's projections are drawn independently of the suspect and of how it was aligned; then each bit is read as a fair coin (binomial tail, exact)",
}

// readWith reads with a key.
func (e *env) readWith(o *extractOptions, set, ref *tensor.Set, s mark.Secrets, p *mark.Parameters, r *markExtractResult) error {
	scheme, err := mark.Find(p.Scheme)
	if err != nil {
		return markError(err)
	}
	reading, err := scheme.Extract(set, ref, s, p)
	if err != nil {
		return markError(err)
	}
	o.judge(reading, s, p, r)
	return nil
}

// judge keeps a reading if it is the best.
func (o *extractOptions) judge(reading *mark.Reading, s mark.Secrets, p *mark.Parameters, r *markExtractResult) {
	v := mark.Judge(reading, &mark.Circumstances{Committed: r.Committed, Keys: max(o.tried, len(o.keys)), Alignments: o.alignments})
	if r.Verdict != nil && v.Log10P >= r.Verdict.Log10P {
		return
	}
	r.Key, r.Parameters, r.Reading, r.Verdict = s.ID(), p, reading, v
	r.Assumption = assumptions[p.Scheme == "uchida"]
	switch k := s.(type) {
	case *mark.Key:
		r.Owner = k.Owner
	case mark.LayerKey:
		r.Owner = k.Owner
	}
}

// writeEvidence writes a signed statement; refs are the files of the owner's network, or of
// its passport.
func (e *env) writeEvidence(ctx context.Context, o *extractOptions, s mark.Secrets, cm *mark.Commitment, sus *checkpoint.Checkpoint, refs []mark.Subject, r *markExtractResult, inputs ...*checkpoint.Checkpoint) error {
	k, ok := s.(*mark.Key)
	if !ok {
		return &verdict{status: exitRefused, err: errors.New("a layer key signs no evidence; the owner's key does")}
	}
	subjects, err := digestsOf(ctx, sus)
	if err != nil {
		return err
	}
	p := mark.Evidence{
		Parameters: r.Parameters, Alignment: r.Alignment.String(), Reading: r.Reading, Verdict: r.Verdict, Assumption: r.Assumption,
		Version: programVersion(), Time: time.Now().UTC().Format(time.RFC3339),
	}
	words := []string{"ropewalk mark extract", sus.Path, "--key KEY"}
	if refs != nil {
		p.Reference = refs
		flag := "--reference"
		if o.marked != "" {
			flag = "--copy"
		}
		words = append(words, flag, o.reference+o.marked)
	}
	if cm != nil {
		p.Commitment = cm.Digest
		words = append(words, "--commitment", o.commitment)
	} else {
		words = append(words, "--scheme", o.scheme)
	}
	for _, f := range []string{"tensor", "epsilon", "payload", "bits", "net", "spec", "keys", "alignments", "as-is"} {
		if o.flags.Changed(f) {
			words = append(words, "--"+f+"="+o.flags.Lookup(f).Value.String())
		}
	}
	p.Command = strings.Join(words, " ")
	text, err := mark.Sign(k, &mark.Statement{Subject: subjects, Predicate: p})
	if err != nil {
		return err
	}
	if err := refuseInput(o.evidence, append(inputs, sus)); err != nil {
		return err
	}
	for _, path := range append(slices.Clone(o.keys), o.reference, o.marked, o.commitment) {
		if path != "" && sameFile(path, o.evidence) {
			return usagef("%s would be input and output at once", path)
		}
	}
	r.Evidence = o.evidence
	return writeSmall(o.evidence, append(text, '\n'), o.force, false)
}

// sameFile reports whether two paths are one file that is there.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// digestsOf returns the SHA-256 of all files of a checkpoint.
func digestsOf(ctx context.Context, c *checkpoint.Checkpoint) ([]mark.Subject, error) {
	sum := func(name string, r io.Reader) (mark.Subject, error) {
		h := sha256.New()
		_, err := io.Copy(h, &patientReader{ctx: ctx, r: r})
		return mark.Subject{Name: name, Digest: map[string]string{"sha256": hex.EncodeToString(h.Sum(nil))}}, err
	}
	if c.Rope != nil {
		f, err := os.Open(c.Path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		s, err := sum(c.Path, f)
		return []mark.Subject{s}, err
	}
	var all []mark.Subject
	for i, f := range c.Layout.Files {
		name := f.Name
		if i == 0 {
			name = c.Path
		}
		s, err := sum(name, io.NewSectionReader(f.Data, 0, f.Data.Size()))
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// markExtractText is a markExtractResult and how much of it is shown.
type markExtractText struct {
	*markExtractResult
	verbose bool
}

// power writes 10^x.
func power(log10 float64) string {
	if log10 > -4 {
		return fmt.Sprintf("%.2g", math.Pow(10, log10))
	}
	return fmt.Sprintf("10^%.1f", log10)
}

func (r *markExtractText) text(w *bufio.Writer) {
	d, v := r.Reading, r.Verdict
	owner := ""
	if r.Owner != "" {
		owner = " of " + printable(r.Owner)
	}
	fmt.Fprintf(w, "key %s%s, scheme %s, %s\n", r.Key, owner, d.Scheme, count(len(d.Layers), "tensor"))
	fmt.Fprintf(w, "alignment %s\n", r.Alignment)
	if r.verbose && len(d.Layers) > 1 {
		t := &table{left: map[int]bool{0: true}}
		t.row("tensor", "weights", "z", "p")
		for _, l := range d.Layers {
			t.row(printable(l.Tensor), commas(l.Weights), fmt.Sprintf("%.1f", l.Z), power(l.Log10P))
		}
		t.write(w, "")
	}
	if d.Scheme != "uchida" {
		fmt.Fprintf(w, "z = %.1f, ", d.Z)
	}
	if d.BER != nil {
		fmt.Fprintf(w, "BER %.2f %% (%d of %d bits), ", 100**d.BER, *d.Wrong, d.Bits)
	}
	fmt.Fprintf(w, "p <= %s; of %s: %s\n", power(d.Log10P), count(v.Tests, "reading"), power(v.Log10P))
	fmt.Fprintf(w, "if %s\n", r.Assumption)
	if d.Payload != "" {
		fmt.Fprintf(w, "payload: %s\n", printable(readable(d.Payload)))
	}
	if d.Collusion {
		fmt.Fprint(w, "collusion: copies with different payloads were mixed")
		for i, c := range d.Colluders {
			fmt.Fprintf(w, "%s%s", map[bool]string{true: ": ", false: ", "}[i == 0], printable(readable(c)))
		}
		fmt.Fprintln(w)
	}
	why := "no commitment was given"
	if r.Committed {
		why = "if the commitment was published before the suspect"
	}
	word := "absent"
	if v.Present {
		word = "present"
	}
	fmt.Fprintf(w, "%s: the threshold is %s, %s\n", word, power(v.Threshold), why)
	if !v.Present && !r.Committed {
		fmt.Fprintf(w, "only scheme %s was looked for; --scheme names another, and a commitment says which it is\n", d.Scheme)
	}
	if r.Evidence != "" {
		fmt.Fprintf(w, "wrote %s\n", printable(r.Evidence))
	}
}
