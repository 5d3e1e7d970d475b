package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ropewalk/dataset"
	"ropewalk/graph"
	"ropewalk/tensor"
	"ropewalk/train"
)

// dataOptions say which data, and how to read it.
type dataOptions struct {
	data      string
	normalise string
	size      string
	fit       string
	channels  int
	layout    string
	skipBad   bool
}

func (o *dataOptions) addFlags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&o.data, "data", "", "examples in `DIR`: IDX (MNIST), CIFAR, a folder of PNG or JPEG for each class; or in an .npz or .safetensors file; or builtin:fashion-mnist")
	fs.StringVar(&o.normalise, "normalise", "", "`HOW` to normalise pixels, which are 0 to 1: unit (not at all), measured, mnist, fashion-mnist, cifar10, cifar100, imagenet, or MEANS/DEVIATIONS as 0.5,0.5,0.5/0.2,0.2,0.2")
	fs.StringVar(&o.size, "size", "", "scale images to `HxW`")
	fs.StringVar(&o.fit, "fit", "", "`HOW` images get to their size: crop (default) or stretch")
	fs.IntVar(&o.channels, "channels", 0, "make images grey (`N` 1) or colour (3)")
	fs.StringVar(&o.layout, "layout", "", "the `ORDER` of axes in .npz and .safetensors: nchw or nhwc; else it is guessed")
	fs.BoolVar(&o.skipBad, "skip-bad", false, "leave out images that do not decode, and count them")
	complete(cmd, "normalise", cobra.FixedCompletions([]string{"unit", "measured", "mnist", "fashion-mnist", "cifar10", "cifar100", "imagenet"}, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "fit", cobra.FixedCompletions([]string{dataset.FitCrop, dataset.FitStretch}, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "layout", cobra.FixedCompletions([]string{"nchw", "nhwc"}, cobra.ShellCompDirectiveNoFileComp))
}

// open reads the data.
func (o *dataOptions) open(e *env) (*dataset.Dataset, error) {
	if o.data == "" {
		return nil, usagef("--data is missing").withHint("--data DIR; --data builtin:fashion-mnist is at hand")
	}
	d := &dataset.Options{Normalise: o.normalise, Fit: o.fit, Channels: o.channels, Layout: o.layout, SkipBad: o.skipBad, Memory: int64(e.memory), Threads: e.threads}
	if o.size != "" {
		size, err := parseShape(o.size)
		if err != nil || len(size) != 2 || min(size[0], size[1]) == 0 {
			return nil, usagef("--size is %q, want HEIGHTxWIDTH, such as 32x32", o.size)
		}
		d.Size = [2]int{int(size[0]), int(size[1])}
	}
	data, err := dataset.Open(o.data, d)
	switch {
	case err == nil:
	case errors.As(err, new(*dataset.OptionError)):
		return nil, usagef("%w", err)
	case errors.Is(err, dataset.ErrImage):
		return nil, (&verdict{status: exitRefused, err: err}).withHint("remove them; or --skip-bad leaves them out")
	case errors.Is(err, dataset.ErrSizes):
		return nil, (&verdict{status: exitRefused, err: err}).withHint("--size HxW scales all of them")
	case errors.Is(err, fs.ErrNotExist) || exitStatus(err) != exitFailure:
		return nil, err
	default:
		return nil, &verdict{status: exitRefused, err: err}
	}
	for i, s := range data.Skipped {
		if i == 5 && !e.verbose {
			e.notef("… and %d more; -v names all", len(data.Skipped)-i)
			break
		}
		e.notef("left out: %s", s)
	}
	return data, nil
}

// parseShape reads 3x32x32 or 3,32,32.
func parseShape(text string) (tensor.Shape, error) {
	shape := tensor.Shape{}
	if text == "" {
		return shape, nil // a scalar
	}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == 'x' || r == ',' }) {
		n, err := strconv.ParseInt(strings.TrimSpace(word), 10, 32)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is no shape; want numbers such as 3x32x32", text)
		}
		shape = append(shape, n)
	}
	return shape, nil
}

// examplesFor presents a split to a network: in the shape that it wants, if there
// is one that the examples can have.
func examplesFor(n *network, d *dataset.Dataset, s dataset.Source, workers int) (*train.Examples, error) {
	if len(n.Inputs) != 1 {
		return nil, usagef("%s has %s, and the data is for one", n.spec, count(len(n.Inputs), "input"))
	}
	x := &train.Examples{Data: s, Classes: len(d.Classes), Workers: workers}
	in := n.Inputs[0]
	if !in.Type.IsFloat() {
		return nil, usagef("%s takes %s, and examples are floats", n.spec, in.Type)
	}
	if len(in.Shape) == 0 {
		return x, nil
	}
	want := in.Shape[1:]
	have := d.Shape
	switch {
	case fits(want, have):
		return x, nil
	case len(have) == 3 && fits(want, tensor.Shape{have[1], have[2], have[0]}):
		x.ChannelsLast = true
		return x, nil
	}
	// A flat network takes all pixels in a row.
	reshaped, elems := make(tensor.Shape, len(want)), int64(1)
	for i, dim := range want {
		reshaped[i] = max(dim.Size, 1)
		elems *= reshaped[i]
		if dim.Size < 0 {
			elems = -1
			break
		}
	}
	if all, err := have.Elems(); err == nil && all == elems {
		x.Reshape = reshaped
		return x, nil
	}
	v := &verdict{status: exitRefused, err: fmt.Errorf("examples of %s are %v, and %s takes %s", d.Name, have, n.spec, dimsText(want))}
	return nil, v.withHint("--size and --channels change images")
}

// fits reports whether a shape is one that an input takes.
func fits(want []graph.Dim, have tensor.Shape) bool {
	if len(want) != len(have) {
		return false
	}
	for i, d := range want {
		if d.Size >= 0 && d.Size != have[i] {
			return false
		}
	}
	return true
}

// dimsText returns dimensions as 3x?x?; names, which may have an x in them, are
// set off: batch × 3.
func dimsText(dims []graph.Dim) string {
	words := make([]string, len(dims))
	for i, d := range dims {
		switch {
		case d.Size >= 0:
			words[i] = strconv.FormatInt(d.Size, 10)
		case d.Name != "":
			words[i] = d.Name
		default:
			words[i] = "?"
		}
	}
	if slices.ContainsFunc(dims, func(d graph.Dim) bool { return d.Size < 0 && d.Name != "" }) {
		return strings.Join(words, " × ")
	}
	return strings.Join(words, "x")
}

// batchOf returns how many examples of a batch the network takes, if that is fixed.
func batchOf(n *network) (int, bool) {
	if len(n.Inputs) == 1 && len(n.Inputs[0].Shape) > 0 {
		if size := n.Inputs[0].Shape[0].Size; size > 0 {
			return int(size), true
		}
	}
	return 0, false
}

// The names of splits.
const (
	splitTrain      = "train"
	splitValidation = "validation"
	splitTest       = "test"
)

// split returns a split by its name; "" is the first there is of test, validation
// and train.
func split(d *dataset.Dataset, name string) (dataset.Source, string, error) {
	all := map[string]dataset.Source{splitTest: d.Test, splitValidation: d.Validation, splitTrain: d.Train}
	order := []string{splitTest, splitValidation, splitTrain}
	var there []string
	for _, k := range order {
		if all[k] != nil {
			there = append(there, k)
		}
	}
	if name == "" {
		return all[there[0]], there[0], nil // a data set has one at least
	}
	if s := all[name]; s != nil {
		return s, name, nil
	}
	return nil, "", usagef("%s has no split %q, only %s", d.Name, name, strings.Join(there, ", "))
}
