package attack

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ErrChain reports an attack that cannot be: its text, or a step with an impossible
// strength or option. An unknown kind is an [*UnknownError], too.
var ErrChain = errors.New("attack: invalid attack")

// A Kind is what a step does.
type Kind string

// The kinds.
const (
	Permute   Kind = "permute"
	Scale     Kind = "scale"
	Sign      Kind = "sign"
	Dummy     Kind = "dummy"
	Noise     Kind = "noise"
	Prune     Kind = "prune"
	Remove    Kind = "remove"
	Quantize  Kind = "quantize"
	Finetune  Kind = "finetune"
	Overwrite Kind = "overwrite"
	Cast      Kind = "cast"
)

// Preserves reports whether a step of that kind leaves the network's function as it
// is, to rounding.
func (k Kind) Preserves() bool { return k == Permute || k == Scale || k == Sign || k == Dummy }

// Kinds returns all kinds, those that preserve the function first.
func Kinds() []Kind {
	var list []Kind
	for _, r := range rules {
		list = append(list, r.kind)
	}
	return list
}

// A Step is one thing that is done to a network.
type Step struct {
	Kind Kind `json:"kind"`
	// Strength is how much, in the unit of the kind; see the package comment. It is
	// not looked at for kinds that have none.
	Strength float64 `json:"strength"`
	// Options are words, or NAME=VALUE; the type of a cast is the first.
	Options []string `json:"options,omitempty"`
}

// A Chain is an attack: steps in order.
type Chain []Step

// A rule says what a step of a kind may be.
type rule struct {
	kind     Kind
	low, hi  float64 // of the strength; none if both are 0
	absent   float64 // the strength if none is given; 0 is an error
	above    bool    // low itself is not allowed
	whole    bool    // an integer
	unit     string  // what the strength is
	exclude  []string
	also     []string // words that go with those of exclude
	settings []string // NAME=VALUE
	groups   bool     // it works on groups of neurons
	run      func(*run, *Step, *Report) error
}

// rules are filled in by init, because their functions look at them.
var rules []rule

const (
	maxBits   = 16
	maxNoise  = 1e6
	maxScale  = 8
	maxEpochs = 10_000
	maxMark   = 1024 // a secret matrix of 25,000 columns has 200 MB then
)

func init() {
	rules = []rule{
		{kind: Permute, groups: true, run: (*run).permute},
		{kind: Scale, hi: maxScale, absent: 0.7, above: true, unit: "the deviation of the factors' logarithm", also: []string{"powers"}, groups: true, run: (*run).scale},
		{kind: Sign, groups: true, run: (*run).sign},
		{kind: Dummy, hi: 1, absent: 0.5, above: true, unit: "dummies for each neuron", exclude: []string{"zero", "clique", "split"}, also: []string{"plain"}, groups: true, run: (*run).dummy},
		{kind: Noise, hi: maxNoise, above: true, unit: "noise in deviations of each tensor", run: (*run).noise},
		{kind: Prune, hi: 1, above: true, unit: "the share of the weights", also: []string{"global"}, run: (*run).prune},
		{kind: Remove, hi: 0.99, above: true, unit: "the share of the neurons", also: []string{"random"}, groups: true, run: (*run).remove},
		{kind: Quantize, low: 1, hi: maxBits, whole: true, unit: "bits", exclude: []string{"channel", "lloyd-max", "gaussian"}, run: (*run).quantize},
		{kind: Finetune, low: 1, hi: maxEpochs, whole: true, unit: "epochs", settings: []string{"rate", "batch"}, run: (*run).finetune},
		{kind: Overwrite, low: 1, hi: maxMark, absent: 64, whole: true, unit: "bits of the mark", settings: []string{"tensor", "margin"}, run: (*run).overwrite},
		{kind: Cast, exclude: castWords, also: []string{"round"}, run: (*run).cast},
	}
}

func ruleOf(k Kind) *rule {
	i := slices.IndexFunc(rules, func(r rule) bool { return r.kind == k })
	if i < 0 {
		return nil
	}
	return &rules[i]
}

// An UnknownError reports a word that is no kind.
type UnknownError struct{ Word string }

// Error implements error.
func (e *UnknownError) Error() string {
	var words []string
	for _, k := range Kinds() {
		words = append(words, string(k))
	}
	return fmt.Sprintf("there is no attack %q; known are %s", e.Word, strings.Join(words, ", "))
}

// Unwrap returns [ErrChain].
func (e *UnknownError) Unwrap() error { return ErrChain }

func invalid(format string, args ...any) error {
	return &chainError{fmt.Errorf(format, args...)}
}

// chainError says just what is wrong, and is ErrChain.
type chainError struct{ why error }

func (e *chainError) Error() string   { return e.why.Error() }
func (e *chainError) Unwrap() []error { return []error{ErrChain, e.why} }

// maxSteps bounds a chain.
const maxSteps = 64

// Parse reads an attack, such as "permute+prune=0.9+quantize=4:channel". Strengths
// that are left out get their default. Errors wrap [ErrChain].
func Parse(text string) (Chain, error) {
	if text == "" {
		return nil, invalid("the attack is empty")
	}
	words := strings.Split(text, "+")
	if len(words) > maxSteps {
		return nil, invalid("an attack of %d steps, want at most %d", len(words), maxSteps)
	}
	var c Chain
	for i, word := range words {
		if word == "" {
			return nil, invalid("step %d of %q is empty", i+1, text)
		}
		s, err := parseStep(word)
		if err != nil {
			return nil, err
		}
		c = append(c, s)
	}
	return c, nil
}

func parseStep(word string) (Step, error) {
	head, rest, has := strings.Cut(word, ":")
	name, value, strong := strings.Cut(head, "=")
	s := Step{Kind: Kind(name)}
	r := ruleOf(s.Kind)
	if r == nil {
		return s, &UnknownError{name}
	}
	switch {
	case s.Kind == Cast:
		if !strong {
			return s, invalid("cast needs a type: cast=bf16")
		}
		s.Options = append(s.Options, value)
	case !strong:
		s.Strength = r.absent
		if r.hi > 0 && r.absent == 0 {
			return s, invalid("%s needs a strength, %s: %s=%s", name, r.unit, name, r.sample())
		}
	case r.hi == 0:
		return s, invalid("%s has no strength, and %q gives one", name, word)
	default:
		x, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return s, invalid("%s=%s: want a number, %s", name, value, r.unit)
		}
		s.Strength = x
	}
	if has {
		s.Options = append(s.Options, strings.Split(rest, ":")...)
	}
	return s, s.check()
}

// sample is a strength for messages.
func (r *rule) sample() string {
	switch {
	case r.whole:
		return "4"
	case r.hi == 1:
		return "0.9"
	}
	return "1"
}

// check says what is wrong with a step.
func (s *Step) check() error {
	r := ruleOf(s.Kind)
	if r == nil {
		return &UnknownError{string(s.Kind)}
	}
	x := s.Strength
	if r.hi > 0 && (!(x >= r.low && x <= r.hi) || r.above && x == r.low || r.whole && x != math.Trunc(x)) {
		want := fmt.Sprintf("%g to %g", r.low, r.hi)
		if r.above {
			want = fmt.Sprintf("more than %g, up to %g", r.low, r.hi)
		}
		if r.whole {
			want = "a whole number, " + want
		}
		return invalid("%s=%g: want %s: %s", s.Kind, x, want, r.unit)
	}
	seen := map[string]bool{}
	only := ""
	for _, o := range s.Options {
		name, value, isSetting := strings.Cut(o, "=")
		switch {
		case seen[name]:
			return invalid("%s has the option %s twice", s.Kind, name)
		case isSetting && slices.Contains(r.settings, name):
			if value == "" {
				return invalid("%s: option %s has no value", s.Kind, name)
			}
		case !isSetting && slices.Contains(r.exclude, name):
			if only != "" {
				return invalid("%s cannot be both %s and %s", s.Kind, only, name)
			}
			only = name
		case !isSetting && slices.Contains(r.also, name):
		default:
			return invalid("%s has no option %q; %s", s.Kind, o, r.known())
		}
		seen[name] = true
	}
	if s.Kind == Cast && only == "" {
		return invalid("cast needs a type: %s", strings.Join(castWords, ", "))
	}
	return nil
}

// known lists the options of a kind.
func (r *rule) known() string {
	list := slices.Concat(r.exclude, r.also)
	for _, s := range r.settings {
		list = append(list, s+"=VALUE")
	}
	if len(list) == 0 {
		return "it has none"
	}
	return "known are " + strings.Join(list, ", ")
}

// has reports whether a word is among the options.
func (s *Step) has(word string) bool { return slices.Contains(s.Options, word) }

// setting returns the value of NAME=VALUE, or "".
func (s *Step) setting(name string) string {
	for _, o := range s.Options {
		if n, v, ok := strings.Cut(o, "="); ok && n == name {
			return v
		}
	}
	return ""
}

// number returns the value of NAME=VALUE as a number in (0, most], or absent.
func (s *Step) number(name string, absent, most float64) (float64, error) {
	text := s.setting(name)
	if text == "" {
		return absent, nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x > 0 && x <= most) {
		return 0, invalid("%s: %s=%s: want a number above 0, up to %g", s.Kind, name, text, most)
	}
	return x, nil
}

// String returns the step as [Parse] reads it.
func (s *Step) String() string {
	r := ruleOf(s.Kind)
	text := string(s.Kind)
	options := s.Options
	switch {
	case s.Kind == Cast && len(options) > 0:
		text += "=" + options[0]
		options = options[1:]
	case r != nil && r.hi > 0:
		text += "=" + strings.ReplaceAll(strconv.FormatFloat(s.Strength, 'g', -1, 64), "e+", "e")
	}
	return strings.Join(append([]string{text}, options...), ":")
}

// String returns the attack as [Parse] reads it.
func (c Chain) String() string {
	var words []string
	for i := range c {
		words = append(words, c[i].String())
	}
	return strings.Join(words, "+")
}

// MovesNeurons reports whether a step needs to know which neurons move together.
func (c Chain) MovesNeurons() bool {
	return slices.ContainsFunc(c, func(s Step) bool { r := ruleOf(s.Kind); return r != nil && r.groups })
}

// Trains reports whether a step trains the network.
func (c Chain) Trains() bool {
	return slices.ContainsFunc(c, func(s Step) bool { return s.Kind == Finetune })
}
