package nets

import (
	"fmt"
	"slices"
	"strings"

	"ropewalk/graph"
	"ropewalk/internal/nearest"
	"ropewalk/tensor"
)

// Options say which network to build. Nil and the zero value are the default.
type Options struct {
	// Classes is the number of outputs; 0 is that of the original: 10 or 1000.
	Classes int `json:"classes,omitempty"`
	// Input is the shape of an example, (channels, height, width); nil is that of the
	// original: 1x28x28, 3x32x32 or 3x224x224.
	Input tensor.Shape `json:"input,omitempty"`
	// Seed chooses the initial weights.
	Seed uint64 `json:"seed"`
	// Widths are the units of the hidden layers, in their order, for networks that are
	// a plain chain of layers, the LeNets; nil is those of the original. See [WidthsOf].
	Widths []int64 `json:"widths,omitempty"`
}

// The names of a network's input and output.
const (
	Input  = "input"
	Output = "logits"
)

const (
	maxClasses = 1 << 20
	maxSide    = 1 << 13 // of an input, along each axis
	maxWidth   = 1 << 16 // units of a hidden layer
)

// A plan is a network that can be built.
type plan struct {
	name    string
	classes int
	input   tensor.Shape
	build   func(b *builder, x value)
}

var (
	digits   = tensor.Shape{1, 28, 28}
	cifar    = tensor.Shape{3, 32, 32}
	imagenet = tensor.Shape{3, 224, 224}
)

// plans are all networks, the small ones first.
var plans = slices.Concat(lenets, cifarResnets, cifarVGGs, cifarMobileNets, alexnets, vggs, resnets, mobileNets, transformers)

// Names returns the names of all networks.
func Names() []string {
	names := make([]string, len(plans))
	for i, p := range plans {
		names[i] = p.name
	}
	return names
}

// Defaults returns the classes and the input that [Build] takes for a network if none
// are asked for; false if the name is not known.
func Defaults(name string) (classes int, input tensor.Shape, ok bool) {
	i := slices.IndexFunc(plans, func(p plan) bool { return plain(p.name) == plain(name) })
	if i < 0 {
		return 0, nil, false
	}
	return plans[i].classes, slices.Clone(plans[i].input), true
}

// Build makes the network of that name, in which case, hyphens and underscores do
// not count. A name that is not known is an error with those that are near it; so is
// an input that is too small for the network.
func Build(name string, o *Options) (*graph.Graph, error) {
	if o == nil {
		o = &Options{}
	}
	i := slices.IndexFunc(plans, func(p plan) bool { return plain(p.name) == plain(name) })
	if i < 0 {
		return nil, fmt.Errorf("no network is named %q; near are %s, and there are %d in all", name, strings.Join(near(name), ", "), len(plans))
	}
	p := plans[i]
	if o.Input == nil {
		o = &Options{Classes: o.Classes, Input: p.input, Seed: o.Seed, Widths: o.Widths}
	}
	classes := o.Classes
	if classes == 0 {
		classes = p.classes
	}
	if classes < 1 || classes > maxClasses {
		return nil, fmt.Errorf("%s cannot have %d classes; want 1 to %d", p.name, classes, maxClasses)
	}
	if len(o.Input) != 3 || slices.ContainsFunc(o.Input, func(n int64) bool { return n < 1 || n > maxSide }) {
		return nil, fmt.Errorf("%s cannot have inputs of shape %v; want channels, height and width, 1 to %d each", p.name, o.Input, maxSide)
	}
	if n := len(hidden[p.name]); o.Widths != nil && (len(o.Widths) != n || slices.ContainsFunc(o.Widths, func(w int64) bool { return w < 1 || w > maxWidth })) {
		return nil, fmt.Errorf("%s cannot have hidden layers of %v units; it has %d that can be of other widths, 1 to %d", p.name, o.Widths, n, maxWidth)
	}
	b := &builder{net: p.name, seed: o.Seed, classes: int64(classes), widths: o.Widths}
	p.build(b, value{Input, o.Input})
	if b.err != nil {
		return nil, fmt.Errorf("%s for inputs of shape %v: %w", p.name, o.Input, b.err)
	}
	weights, err := tensor.NewSet(append(b.state, b.constants...)...)
	if err != nil {
		return nil, fmt.Errorf("%s: internal error: %w", p.name, err)
	}
	shape := []graph.Dim{{Size: -1, Name: "batch"}}
	for _, n := range o.Input {
		shape = append(shape, graph.Dim{Size: n})
	}
	return &graph.Graph{
		Name:    p.name,
		Inputs:  []graph.Input{{Name: Input, Type: tensor.F32, Shape: shape}},
		Outputs: []string{Output},
		Nodes:   b.nodes,
		Weights: weights,
	}, nil
}

// plain is a name as it is compared.
func plain(name string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
}

// near returns three names that are most like name.
func near(name string) []string {
	names := Names()
	nearest.Sort(names, name, plain)
	return names[:3]
}
