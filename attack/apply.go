package attack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"

	"ropewalk/graph"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// ErrNetwork reports a network to which an attack cannot be done: one without what
// the attack is on. It is wrapped in an error that says what is missing.
var ErrNetwork = errors.New("attack: impossible for this network")

// A Network is what is attacked.
type Network struct {
	// Set holds the tensors. They have to stay open as long as a result is used.
	Set *tensor.Set
	// Spec says which axes move together. Nil is not known: only steps on weights
	// are possible then.
	Spec *symmetry.Spec
	// Graph computes the network, with weights of the names that Set has. Nil is not
	// known: then nothing is proved, and nothing trained.
	Graph *graph.Graph
}

// Options say how to attack. Nil and the zero value are the default.
type Options struct {
	Seed uint64
	// Only are patterns ([path.Match]) of the names of groups that are attacked; none
	// is all. Steps on weights then change the tensors that make these neurons.
	Only []string
	// Verify says how outputs are compared; its Run is that of all proofs. Seed,
	// Element and Tolerance are not looked at.
	Verify symmetry.VerifyOptions
	// Precision is how far a Run that rounds may be off, relative to the largest
	// output; 0 is 1e-6, which suits [symmetry.Evaluate].
	Precision float64
	// Unproved leaves the proofs out.
	Unproved bool
	// Trainer trains, for finetune.
	Trainer *Trainer
	// Progress is called when a step begins, with its number in the chain; nil is not.
	Progress func(step int)
	// Watch is called after each step, with its number in the chain and the network before
	// and after it; nil is not. Its error ends the attack.
	Watch func(step int, before, after *Network) error
}

// A Result is an attacked network.
type Result struct {
	Network
	// Reshaped says that tensors have other shapes, and Regraphed that the graph has
	// other attributes: then no file that holds the old one can be only patched.
	Reshaped, Regraphed bool
	Truth               *Truth
	Reports             []Report
}

// A Report says what a step did.
type Report struct {
	Step string `json:"step"`
	// Groups, and Neurons in all of them, that the step moved, multiplied, added or
	// removed.
	Groups  int `json:"groups,omitempty" about:"of neurons, that it changed"`
	Neurons int `json:"neurons,omitempty" about:"that it moved, multiplied, added or removed"`
	// Tensors, and Weights in all of them, that it changed.
	Tensors int   `json:"tensors,omitempty" about:"that it changed, if it works on weights"`
	Weights int64 `json:"weights,omitempty" about:"in these tensors"`
	// Left are the groups that it left as they are, and why.
	Left []Left `json:"left,omitempty" about:"groups that it left as they are"`
	// Proof is how far the outputs are apart, relative to the largest of each; nil
	// if nothing was proved, and Unproved says why. Both are empty for steps that
	// change the function.
	Proof    []symmetry.Difference `json:"proof,omitempty" about:"how far outputs are apart, before and after, as a share of the largest"`
	Unproved string                `json:"unproved,omitempty" about:"why outputs were not compared"`
	// Loss is that of the last epoch of training.
	Loss *float64 `json:"loss,omitempty" about:"of the last epoch of training"`
	// Mark is the mark that was written.
	Mark *Mark `json:"mark,omitempty" about:"that was written"`
}

// Left is a group that was left as it is.
type Left struct {
	Group  string `json:"group"`
	Reason string `json:"reason"`
}

// A run is an attack in progress.
type run struct {
	Network
	ctx       context.Context
	o         *Options
	step      int
	truth     *Truth
	reshaped  bool
	regraphed bool
	last      *cache
}

// Apply does the steps in order. What it returns shares tensors with n, which stays
// as it is. Errors are [ErrChain], [ErrNetwork], a [*FiniteError], or
// [symmetry.ErrChanged] if the function did change; others come from reading.
func (c Chain) Apply(ctx context.Context, n Network, o *Options) (*Result, error) {
	if o == nil {
		o = &Options{}
	}
	if len(c) == 0 {
		return nil, invalid("the attack is empty")
	}
	for i := range c {
		if err := c[i].check(); err != nil {
			return nil, err
		}
	}
	r := &run{Network: n, ctx: ctx, o: o, truth: newTruth(n.Spec), last: &cache{}}
	if n.Spec != nil {
		if err := n.Spec.Fits(n.Set); err != nil {
			return nil, err
		}
	}
	if err := r.checkOnly(c); err != nil {
		return nil, err
	}
	res := &Result{}
	for i := range c {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		r.step = i
		if o.Progress != nil {
			o.Progress(i)
		}
		rep, before := Report{Step: c[i].String()}, r.Network
		if err := ruleOf(c[i].Kind).run(r, &c[i], &rep); err != nil {
			return nil, fmt.Errorf("%s: %w", c[i].String(), err)
		}
		res.Reports = append(res.Reports, rep)
		if o.Watch != nil {
			after := r.Network
			if err := o.Watch(i, &before, &after); err != nil {
				return nil, err
			}
		}
	}
	r.truth.Attack, r.truth.Seed = c.String(), o.Seed
	res.Network, res.Truth, res.Reshaped, res.Regraphed = r.Network, r.truth.finished(), r.reshaped, r.regraphed
	return res, nil
}

// checkOnly looks that there are groups where they are needed.
func (r *run) checkOnly(c Chain) error {
	if len(r.o.Only) == 0 && !c.MovesNeurons() {
		return nil
	}
	if r.Spec == nil || len(r.Spec.Groups) == 0 {
		return fmt.Errorf("%w: it has no groups of neurons that can move", ErrNetwork)
	}
	for _, pattern := range r.o.Only {
		if _, err := path.Match(pattern, ""); err != nil {
			return invalid("%q is no pattern of names", pattern)
		}
		if !slices.ContainsFunc(r.Spec.Groups, func(g symmetry.Group) bool { return matches(pattern, g.Name) }) {
			return &GroupError{Pattern: pattern, Spec: r.Spec}
		}
	}
	return nil
}

// A GroupError reports a pattern that no group has.
type GroupError struct {
	Pattern string
	Spec    *symmetry.Spec
}

// Error implements error.
func (e *GroupError) Error() string {
	const few = 5
	var names []string
	for i := range e.Spec.Groups[:min(few, len(e.Spec.Groups))] {
		names = append(names, e.Spec.Groups[i].Name)
	}
	if n := len(e.Spec.Groups); n > few {
		names = append(names, fmt.Sprintf("and %d more", n-few))
	}
	return fmt.Sprintf("no group of neurons is %q; there are %s", e.Pattern, strings.Join(names, ", "))
}

// Unwrap returns [ErrNetwork].
func (e *GroupError) Unwrap() error { return ErrNetwork }

// matches reports whether a pattern, or the name itself, matches.
func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok || pattern == name
}

// chosen reports whether a group is attacked.
func (r *run) chosen(g *symmetry.Group) bool {
	return len(r.o.Only) == 0 || slices.ContainsFunc(r.o.Only, func(p string) bool { return matches(p, g.Name) })
}

// seed returns the seed of the step; that of the first is the attack's.
func (r *run) seed() uint64 { return r.o.Seed + uint64(r.step)*0x9e3779b97f4a7c15 }

// source returns what makes the source of what is random about a name in a step.
func source(seed uint64, name string) func() *rand.Rand {
	h := uint64(0xcbf29ce484222325) // FNV-1a
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	return func() *rand.Rand { return rand.New(rand.NewPCG(seed, h)) }
}

// weights returns the tensors that steps on weights change.
func (r *run) weights() ([]*tensor.Tensor, error) {
	var parameters, making map[string]bool
	if r.Graph != nil {
		parameters = map[string]bool{}
		for _, name := range r.Graph.Parameters() {
			parameters[name] = true
		}
	}
	if len(r.o.Only) > 0 {
		making = map[string]bool{}
		for i := range r.Spec.Groups {
			g := &r.Spec.Groups[i]
			for k := range g.Places {
				if r.chosen(g) && g.Places[k].Role == symmetry.Incoming {
					making[g.Places[k].Tensor] = true
				}
			}
		}
	}
	var list []*tensor.Tensor
	for _, t := range r.Set.All() {
		if t.DType.Numeric() && len(t.Shape) >= 2 && t.Elems() > 0 && (parameters == nil || parameters[t.Name]) && (making == nil || making[t.Name]) {
			list = append(list, t)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: it has no weights of two axes or more that hold F16, BF16, F32 or F64", ErrNetwork)
	}
	return list, nil
}

// change puts tensors in the place of those of their names, in the graph, too.
func (r *run) change(changed ...*tensor.Tensor) error {
	set, err := tensor.Overlay(r.Set, changed...)
	if err != nil {
		return err
	}
	r.Set = set
	if r.Graph == nil {
		return nil
	}
	var own []*tensor.Tensor
	for _, t := range changed {
		if old := r.Graph.Weights.Lookup(t.Name); old != nil {
			if old.DType != t.DType && old.DType.Numeric() && t.DType.Numeric() {
				t = tensor.Cast(t, old.DType)
			}
			own = append(own, t)
		}
	}
	weights, err := tensor.Overlay(r.Graph.Weights, own...)
	if err != nil {
		return err
	}
	g := *r.Graph
	g.Weights = weights
	r.Graph = &g
	return nil
}

// counted notes tensors in a report.
func (rep *Report) counted(list []*tensor.Tensor) {
	for _, t := range list {
		rep.Tensors++
		rep.Weights += t.Elems()
	}
}
