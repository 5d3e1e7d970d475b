package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ropewalk/checkpoint"
	"ropewalk/engine"
	"ropewalk/engine/native"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// netOptions say which network.
type netOptions struct {
	net     string // a name that package nets knows, or a file
	weights string
}

func (o *netOptions) addFlags(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&o.net, "net", "", what)
	cmd.Flags().StringVar(&o.weights, "weights", "", "take the weights from `FILE`, any checkpoint with the same names")
	complete(cmd, "net", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nets.Names(), cobra.ShellCompDirectiveDefault
	})
}

// A network is an open network.
type network struct {
	*graph.Graph
	spec     string // as the user named it
	built    bool   // by package nets, not from a file
	options  nets.Options
	settings settings
	files    []*checkpoint.Checkpoint
}

func (n *network) close() {
	for _, c := range n.files {
		_ = c.Close() // only read from
	}
}

// settings are what a trained file says of its network and data: metadata of
// safetensors files, also inside of a .rope, under these keys.
type settings map[string]string

const (
	settingNet       = "ropewalk.net"
	settingClasses   = "ropewalk.classes"
	settingInput     = "ropewalk.input"
	settingNormalise = "ropewalk.normalise"
)

// usual returns how the examples of weights that many have were normalised, or "".
func (n *network) usual() string {
	for _, c := range n.files {
		for _, p := range c.Layout.Metadata {
			// Y. Idelbayev's, which most ports of this architecture go back to.
			if p.Key == "arch" && strings.HasPrefix(p.Value, "resnet") && strings.HasSuffix(p.Value, "-cifar-optionA") {
				return "imagenet"
			}
		}
	}
	return ""
}

func settingsOf(pairs []layout.Pair) settings {
	s := settings{}
	for _, p := range pairs {
		if strings.HasPrefix(p.Key, "ropewalk.") {
			s[p.Key] = p.Value
		}
	}
	return s
}

// shape returns a setting such as 3x32x32.
func (s settings) shape() (tensor.Shape, error) {
	text, ok := s[settingInput]
	if !ok {
		return nil, nil
	}
	var shape tensor.Shape
	for word := range strings.SplitSeq(text, "x") {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s is %q, want a shape such as 3x32x32", settingInput, text)
		}
		shape = append(shape, n)
	}
	return shape, nil
}

// lean returns the settings without those that are so anyway: a small network is not
// much larger than these lines.
func (s settings) lean() settings {
	c := maps.Clone(s)
	classes, input, ok := nets.Defaults(s[settingNet])
	if !ok {
		return c
	}
	if s[settingClasses] == strconv.Itoa(classes) {
		delete(c, settingClasses)
	}
	if s[settingInput] == input.String() {
		delete(c, settingInput)
	}
	if s[settingNormalise] == unitPixels {
		delete(c, settingNormalise)
	}
	return c
}

// unitPixels is the normalisation of a file that says nothing of it.
const unitPixels = "unit"

// isNet reports whether package nets knows a name.
func isNet(name string) bool {
	plain := func(s string) string { return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s)) }
	return slices.ContainsFunc(nets.Names(), func(n string) bool { return plain(n) == plain(name) })
}

// openNetwork opens a network by the name of a builder, an ONNX file, or a trained
// checkpoint that says which network it is for. build is for builders.
func (e *env) openNetwork(ctx context.Context, o *netOptions, build *nets.Options) (n *network, err error) {
	n = &network{spec: o.net}
	defer func() {
		if err != nil {
			n.close()
			n = nil
		}
	}()
	if _, err := os.Stat(o.net); err == nil || o.net == dash || isBuiltin(o.net) {
		return n, e.openNetFile(ctx, n, o, build)
	}
	if !isNet(o.net) && strings.ContainsAny(o.net, "./\\") {
		_, err := os.Stat(o.net)
		return n, err // a file that is not there
	}
	if err := n.build(o.net, build); err != nil {
		return n, err
	}
	return n, e.loadWeights(ctx, n, o.weights)
}

func (n *network) build(name string, o *nets.Options) (err error) {
	n.built, n.options = true, *o
	n.Graph, err = nets.Build(name, o)
	if err != nil {
		return usagef("%w", err).withHint("\"ropewalk train --help\" lists the networks; or name an ONNX file")
	}
	return nil
}

// openNetFile opens a file that is a network, or the weights of one.
func (e *env) openNetFile(ctx context.Context, n *network, o *netOptions, build *nets.Options) error {
	c, err := e.open(ctx, o.net, nil)
	if err != nil {
		return err
	}
	n.files = append(n.files, c)
	if c.Layout.Format == "onnx" {
		if n.Graph, err = graph.FromLayout(c.Layout); err != nil {
			return err
		}
		return e.loadWeights(ctx, n, o.weights)
	}
	n.settings = settingsOf(c.Layout.Metadata)
	name := n.settings[settingNet]
	if name == "" {
		return usagef("%s holds tensors, but not the network that they belong to", o.net).withHint("--net NAME --weights %s", o.net)
	}
	if o.weights != "" {
		return usagef("%s and --weights %s are both weights", o.net, o.weights)
	}
	own := nets.Options{} // what a file does not say is as the builder has it
	if build != nil {
		own.Seed = build.Seed
	}
	refused := func(err error) error {
		return &verdict{status: exitRefused, err: fmt.Errorf("%s: its metadata: %w", o.net, err)}
	}
	if text, ok := n.settings[settingClasses]; ok {
		if own.Classes, err = strconv.Atoi(text); err != nil || own.Classes < 1 {
			return refused(fmt.Errorf("%s is %q, want a number", settingClasses, text))
		}
	}
	if shape, err := n.settings.shape(); err != nil {
		return refused(err)
	} else if shape != nil {
		own.Input = shape
	}
	own.Widths = nets.WidthsOf(name, c.Tensors)
	if err := n.build(name, &own); err != nil {
		return refused(err)
	}
	return n.load(o.net, c.Tensors)
}

// loadWeights puts weights of another file into the network.
func (e *env) loadWeights(ctx context.Context, n *network, path string) error {
	if path == "" {
		return nil
	}
	c, err := e.open(ctx, path, nil)
	if err != nil {
		return err
	}
	n.files = append(n.files, c)
	if n.settings == nil {
		n.settings = settingsOf(c.Layout.Metadata)
	}
	if w := nets.WidthsOf(n.Name, c.Tensors); n.built && w != nil {
		own := n.options
		own.Widths = w
		if err := n.build(n.Name, &own); err != nil {
			return err
		}
	}
	return n.load(path, c.Tensors)
}

func (n *network) load(path string, set *tensor.Set) (err error) {
	refused := func(err error) error { return &verdict{status: exitRefused, err: fmt.Errorf("%s: %w", path, err)} }
	if n.built {
		if n.Graph, err = nets.Load(n.Graph, set); err != nil {
			return refused(err)
		}
		return nil
	}
	// An ONNX model may have weights that training never changes, which other
	// files of it lack; but one that has none of its parameters is another one.
	var list []*tensor.Tensor
	for _, t := range set.All() {
		if n.Weights.Lookup(t.Name) != nil {
			list = append(list, t)
		}
	}
	for _, name := range n.Parameters() {
		if set.Lookup(name) == nil {
			return refused(fmt.Errorf("it has no tensor %q, which is a weight of %s", name, n.spec))
		}
	}
	own, err := tensor.NewSet(list...)
	if err != nil {
		return err
	}
	if n.Graph, err = n.WithWeights(own); err != nil {
		return refused(err)
	}
	return nil
}

// compile makes a program of the network. Trainable may be nil.
func (e *env) compile(n *network, o engine.Options) (engine.Program, error) {
	o.Threads = e.threads
	p, err := native.Backend{}.Compile(n.Graph, &o)
	if err != nil {
		return nil, n.wrap(err)
	}
	return p, nil
}

// wrap names the network in an error. What an engine cannot do is refused.
func (n *network) wrap(err error) error {
	if lacking, ok := errors.AsType[*graph.UnsupportedError](err); ok {
		return &verdict{status: exitRefused, err: fmt.Errorf("%s: cannot %s: %s", n.spec, lacking.What, missingText(lacking.Missing))}
	}
	return fmt.Errorf("%s: %w", n.spec, err)
}

// missingText lists operators, each once: an exporter repeats them a hundred times.
func missingText(all []graph.Missing) string {
	type kind struct{ op, why string }
	var order []kind
	first, counts := map[kind]string{}, map[kind]int{}
	for _, m := range all {
		k := kind{m.Op, m.Why}
		if counts[k]++; counts[k] == 1 {
			order = append(order, k)
			first[k] = m.String()
		}
	}
	var parts []string
	for _, k := range order {
		text := first[k]
		if n := counts[k] - 1; n > 0 {
			text += fmt.Sprintf(" (and %s)", count(n, "more node"))
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// noteBatchStatistics warns of a network that was exported in training mode: it is
// run as its file says, and few want that.
func (e *env) noteBatchStatistics(n *network) {
	nodes := n.BatchStatistics()
	if len(nodes) == 0 {
		return
	}
	e.notef("%s normalises by the statistics of each batch, and not by its running ones, as its file says: %s with training_mode 1, first %q; outputs depend on the batch that an example is in",
		n.spec, count(len(nodes), "BatchNormalization node"), nodes[0])
}

// probabilities reports whether the first output comes out of a softmax.
func (n *network) probabilities() bool {
	name := n.Outputs[0]
	for _, node := range slices.Backward(n.Nodes) {
		if slices.Contains(node.Outputs, name) {
			switch node.Op {
			case "Softmax":
				return true
			case "Identity", "Reshape", "Squeeze", "Flatten", "Cast":
				name = node.Inputs[0]
			default:
				return false
			}
		}
	}
	return false
}

// changed lists which of the flags are set.
func changed(fs *pflag.FlagSet, names ...string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return !fs.Changed(n) })
}
