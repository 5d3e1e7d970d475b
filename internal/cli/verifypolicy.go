package cli

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"ropewalk/internal/nearest"
	"ropewalk/lineage"
	"ropewalk/tensor"
)

// A policy says which suspects pass: which verdicts and kinds of changes are allowed,
// how large these may be, and what has to be known.
type policy struct {
	file    string
	allow   []string // verdicts and kinds, and nothing else passes
	forbid  []string // kinds that an allowed verdict would bring along
	require []string
	limits  map[string]float64 // by key
}

// What a policy may require.
const (
	requireFunction  = "function"
	requireSignature = "signature"
	requireEvidence  = "evidence"
	requireAccuracy  = "accuracy"
)

var requirements = []string{requireFunction, requireSignature, requireEvidence, requireAccuracy}

// The limits of a policy.
const (
	maxPruned  = "max-pruned"
	maxNoise   = "max-noise"
	minBits    = "min-bits"
	minKept    = "min-kept"
	maxDropKey = "max-drop"
)

// A limit is a key of a policy that takes a number.
type limit struct {
	key         string
	least, most float64
	what        string
}

var limits = []limit{
	{maxPruned, 0, 1, "a share of the weights, 0 to 1"},
	{maxNoise, 0, math.MaxFloat64, "a standard deviation, as a share of that of the weights"},
	{minBits, 1, 64, "bits of each weight, 1 to 64"},
	{minKept, 0, 1, "a share of the neurons, 0 to 1"},
	{maxDropKey, 0, 1, "a drop of the top-1 accuracy, 0 to 1"},
}

// rungOf says to which verdict a kind of change belongs.
func rungOf(k lineage.Kind) lineage.Verdict {
	v, _ := k.Rung() // all kinds are known
	return v
}

// named are the kinds that no verdict implies, because they are about which tensors there
// are: they are allowed by their own names only.
var named = []lineage.Kind{lineage.Renamed, lineage.AddedTensors, lineage.MissingTensor, lineage.OtherShapes}

// implies reports whether whoever allows a verdict allows a kind of change.
func implies(v lineage.Verdict, k lineage.Kind) bool {
	switch {
	case v == lineage.Unrelated:
		return true
	case slices.Contains(named, k):
		return false
	case v == lineage.Rescaled && k == lineage.Reorder: // neurons "also" multiplied
		return true
	}
	return rungOf(k) == v
}

// kindsOfChange lists all kinds, in the order of their definition.
func kindsOfChange() []lineage.Kind {
	return []lineage.Kind{
		lineage.Container, lineage.Metadata, lineage.Renamed, lineage.AddedTensors, lineage.MissingTensor, lineage.OtherShapes,
		lineage.Reorder, lineage.Rescale, lineage.SignFlip, lineage.Padding, lineage.Removal, lineage.Cast, lineage.Quantize,
		lineage.Prune, lineage.Noise, lineage.Training, lineage.Merge, lineage.Edited, lineage.Partial,
	}
}

// allowable lists the words of --allow: verdicts, then kinds that are none.
func allowable() []string {
	var words []string
	for _, v := range lineage.Verdicts() {
		words = append(words, slug(string(v)))
	}
	for _, k := range kindsOfChange() {
		if w := slug(string(k)); !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return append(words, wordGraph)
}

// wordGraph allows another graph: other operators around the same weights.
const wordGraph = "graph"

// slug writes a verdict or a kind as one word.
func slug(s string) string { return strings.ReplaceAll(s, " ", "-") }

// wordsOf checks verdicts and kinds, and returns them as slugs.
func wordsOf(list []string) ([]string, error) {
	known := allowable()
	var words []string
	for _, w := range list {
		s := slug(strings.ToLower(strings.TrimSpace(w)))
		if slices.Contains(known, s) {
			words = append(words, s)
			continue
		}
		v := usagef("%q is no verdict, and no kind of change", w)
		if n := nearest.Name(s, known); n != "" {
			return nil, v.withHint("did you mean %s?", n)
		}
		return nil, v.withHint("known are %s", strings.Join(known, ", "))
	}
	return words, nil
}

// readPolicy reads a policy from a file.
func readPolicy(path string) (*policy, error) {
	text, err := readBounded(path, maxRecipe)
	if err != nil {
		return nil, err
	}
	return parsePolicy(path, text)
}

// parsePolicy reads a policy. Errors name the line.
func parsePolicy(path string, text []byte) (*policy, error) {
	p := &policy{file: path, limits: map[string]float64{}}
	file, err := parseYAML(path, text)
	if err != nil {
		return nil, err
	}
	seen := map[string]int{}
	for _, doc := range file.Docs {
		entries, err := mapping(path, doc.Body, `a policy is lines such as "max-pruned: 0.5"`)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			key, line := e.Key.String(), e.Key.GetToken().Position.Line
			if before, ok := seen[key]; ok {
				return nil, usagef("%s:%d: %q is there twice, first in line %d", path, line, key, before)
			}
			seen[key] = line
			if err := p.set(key, e.Value); err != nil {
				v, ok := errors.AsType[*verdict](err)
				if !ok {
					v = usagef("%w", err)
				}
				return nil, usagef("%s:%d: %s: %w", path, line, key, v.err).withHint("%s", v.hint)
			}
		}
	}
	return p, nil
}

// policyKeys are all keys, in the order in which they are documented.
func policyKeys() []string {
	keys := []string{"allow", "forbid", "require"}
	for _, l := range limits {
		keys = append(keys, l.key)
	}
	return keys
}

func (p *policy) set(key string, n ast.Node) error {
	i := slices.IndexFunc(limits, func(l limit) bool { return l.key == key })
	if i < 0 && !slices.Contains(policyKeys(), key) {
		v := usagef("there is no such key")
		if n := nearest.Name(key, policyKeys()); n != "" {
			return v.withHint("did you mean %s?", n)
		}
		return v.withHint("keys are %s", strings.Join(policyKeys(), ", "))
	}
	values, err := scalars(n)
	if err != nil {
		return err
	}
	switch key {
	case "allow":
		p.allow, err = wordsOf(values)
		p.allow = append([]string{}, p.allow...) // an empty list allows what is never a question
		return err
	case "forbid":
		p.forbid, err = wordsOf(values)
		return err
	case "require":
		for _, w := range values {
			if !slices.Contains(requirements, w) {
				return usagef("%q cannot be required", w).withHint("known are %s", strings.Join(requirements, ", "))
			}
		}
		p.require = values
		return nil
	}
	l := limits[i]
	if len(values) != 1 {
		return errors.New("want one number, not a list")
	}
	x, err := shareOf(values[0])
	if err != nil || !(x >= l.least && x <= l.most) {
		return fmt.Errorf("%q will not do; want %s", values[0], l.what)
	}
	p.limits[key] = x
	return nil
}

// shareOf reads 0.5 or 50%.
func shareOf(text string) (float64, error) {
	if t, ok := strings.CutSuffix(text, "%"); ok {
		x, err := strconv.ParseFloat(strings.TrimSpace(t), 64)
		return x / 100, err
	}
	return strconv.ParseFloat(text, 64)
}

// A breach is a rule of a policy that a suspect does not keep.
type breach struct {
	Rule string `json:"rule" about:"allow, forbid, require, or the key of a limit"`
	Kind string `json:"kind,omitempty" about:"of the change, or the verdict, that it is about; or graph"`
	Text string `json:"text"`
}

// always are the verdicts that pass without a word.
var always = []lineage.Verdict{lineage.Identical, lineage.SameWeights}

// allows reports whether a verdict is allowed: by name, or by a kind of change that
// belongs to it.
func (p *policy) allows(v lineage.Verdict) bool {
	if slices.Contains(always, v) || slices.Contains(p.allow, slug(string(v))) {
		return true
	}
	return slices.ContainsFunc(kindsOfChange(), func(k lineage.Kind) bool {
		return rungOf(k) == v && slices.Contains(p.allow, slug(string(k)))
	})
}

// permits reports whether a kind of change is allowed: by name, or by a verdict that
// implies it.
func (p *policy) permits(k lineage.Kind) bool {
	if slices.Contains(p.allow, slug(string(k))) {
		return true
	}
	for _, v := range lineage.Verdicts() {
		if (slices.Contains(always, v) || slices.Contains(p.allow, slug(string(v)))) && implies(v, k) {
			return true
		}
	}
	return false
}

// forbids reports whether a kind of change is forbidden.
func (p *policy) forbids(k lineage.Kind) bool { return slices.Contains(p.forbid, slug(string(k))) }

// judge lists what a suspect does not keep of a policy; nothing means that it passes.
// What a rule asks for and could not be found out counts as not kept.
func (p *policy) judge(r *verifyResult) []breach {
	var all []breach
	add := func(rule, kind, format string, args ...any) {
		all = append(all, breach{Rule: rule, Kind: kind, Text: fmt.Sprintf(format, args...)})
	}
	fallen := !p.allows(r.Verdict)
	if fallen {
		add("allow", string(r.Verdict), "the verdict %s is not allowed", r.Verdict)
	}
	for i := range r.Changes {
		c := &r.Changes[i]
		switch {
		case p.forbids(c.Kind):
			add("forbid", string(c.Kind), "%s: forbidden", c.Text)
		case fallen && implies(r.Verdict, c.Kind): // was said
		case !p.permits(c.Kind):
			add("allow", string(c.Kind), "%s: not allowed", c.Text)
		}
	}
	if slices.Contains(p.forbid, slug(string(r.Verdict))) && len(all) == 0 {
		add("forbid", string(r.Verdict), "the verdict %s is forbidden", r.Verdict)
	}
	for _, f := range []struct{ check, word string }{{checkMetadata, slug(string(lineage.Metadata))}, {checkGraph, wordGraph}} {
		if why := r.why(f.check, ""); why != "" && slices.Contains(p.forbid, f.word) {
			add("forbid", f.word, "%s is forbidden to differ, and was not checked: %s", f.check, why)
		}
	}
	switch forbidden := slices.Contains(p.forbid, wordGraph); {
	case forbidden && len(r.GraphEdits) > 0:
		add("forbid", wordGraph, "the graph is not that of the reference: forbidden")
	case !slices.Contains(p.allow, wordGraph):
		switch {
		case len(r.GraphEdits) > 0:
			add("allow", wordGraph, "the graph is not that of the reference: not allowed")
		case keeps(r.Verdict) && r.Function.Same == "no":
			add("allow", wordGraph, "weights that preserve the function, and yet other outputs: the graph is not that of the reference")
		}
	}
	for _, w := range p.require {
		if why := r.lacks(w); why != "" {
			add("require", w, "%s is required: %s", w, why)
		}
	}
	for _, l := range limits {
		if x, ok := p.limits[l.key]; ok {
			if why := r.exceeds(l.key, x); why != "" {
				add(l.key, "", "%s", why)
			}
		}
	}
	return all
}

// keeps reports whether networks of a verdict compute the same, if their graphs do.
func keeps(v lineage.Verdict) bool {
	return slices.Contains([]lineage.Verdict{lineage.Identical, lineage.SameWeights, lineage.Reordered, lineage.Rescaled}, v)
}

// lacks says why something that is required is not there, or "".
func (r *verifyResult) lacks(what string) string {
	switch what {
	case requireFunction:
		switch graph := r.why(checkGraph, ""); {
		case r.Function.Same == "no":
			return "the networks compute something else"
		case r.Function.Same == "yes" && graph != "":
			return "weights preserve it, but not every graph does: " + graph
		case r.Function.Same == "yes" && r.Verdict == lineage.Rescaled && len(r.Function.Differences) == 0:
			return "neurons were multiplied, and the networks were not run: what that does depends on activations, which names of tensors don't tell for sure; --net NET or an ONNX file does"
		case r.Function.Same == "yes":
			return ""
		}
		return "it is not known whether the networks compute the same"
	case requireSignature:
		switch {
		case r.Passport == nil:
			return "the reference is no passport"
		case !r.Passport.Signed:
			return "the passport is not signed"
		}
		return ""
	case requireEvidence:
		switch {
		case slices.Contains(always, r.Verdict): // equal weights are more than evidence
		case r.Evidence != nil && !r.Evidence.Derived && r.Verdict != lineage.Unrelated:
			return r.Evidence.Reason
		case r.Evidence == nil:
			return r.why(checkEvidence, "it was not asked for; --evidence does")
		}
	case requireAccuracy:
		if r.Accuracy == nil {
			return r.why(checkAccuracy, "it was not measured")
		}
	}
	return ""
}

// why says why a check could not be made.
func (r *verifyResult) why(check, otherwise string) string {
	for _, u := range r.Unchecked {
		if u.Check == check {
			return u.Why
		}
	}
	return otherwise
}

// exceeds says how a limit is not kept, or "".
func (r *verifyResult) exceeds(key string, most float64) string {
	if key == maxDropKey {
		switch a := r.Accuracy; {
		case a == nil:
			return fmt.Sprintf("%s is %g: %s", key, most, r.why(checkAccuracy, "the accuracy was not measured"))
		case a.Drop > most:
			return fmt.Sprintf("top-1 dropped by %.2f points, and %s is %.2f", 100*a.Drop, key, 100*most)
		}
		return ""
	}
	if r.Verdict == lineage.Unrelated {
		return fmt.Sprintf("%s is %g: nothing is known of how strangers differ", key, most)
	}
	for i := range r.Changes {
		c := &r.Changes[i]
		switch {
		case key == maxPruned && (c.Kind == lineage.Prune || c.Kind == lineage.Removal) && !(c.Share <= most):
			return fmt.Sprintf("%s, and %s is %g", c.Text, key, most)
		case key == maxNoise && (c.Kind == lineage.Noise || c.Kind == lineage.Training) && !(c.Strength <= most):
			return fmt.Sprintf("%s (%.3g deviations), and %s is %g", c.Text, c.Strength, key, most)
		case key == minBits && c.Kind == lineage.Quantize && !(c.Bits >= most):
			return fmt.Sprintf("%s, and %s is %g", c.Text, key, most)
		case key == minBits && c.Kind == lineage.Cast && !(float64(tensor.DType(c.DType).Bits()) >= most):
			return fmt.Sprintf("%s, and %s is %g", c.Text, key, most)
		case key == minKept && c.Kind == lineage.Partial && !(c.Share >= most):
			return fmt.Sprintf("%s, and %s is %g", c.Text, key, most)
		}
	}
	return ""
}

// missing returns the words that --allow would need for a suspect to pass, or nothing if
// that is not all that keeps it from passing.
func (p *policy) missing(r *verifyResult) []string {
	if r.Verdict == lineage.Unrelated {
		return nil
	}
	own := *p
	own.allow = slices.Clone(p.allow)
	for breaches := own.judge(r); len(breaches) > 0; breaches = own.judge(r) {
		if slices.ContainsFunc(breaches, func(b breach) bool { return b.Rule != "allow" }) {
			return nil
		}
		w := slug(breaches[0].Kind)
		if slices.Contains(own.allow, w) {
			return nil
		}
		own.allow = append(own.allow, w)
	}
	return own.allow
}
