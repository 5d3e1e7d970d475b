package cli

import (
	"strconv"

	"github.com/spf13/pflag"

	"ropewalk/graph"
	"ropewalk/tensor"
	"ropewalk/train"
)

// noiseOptions say how inputs are made where there is no data.
type noiseOptions struct {
	shapes, values []string
	runs           int
	seed           uint64
}

var noiseFlags = []string{"shape", "value", "runs", "seed"}

func (o *noiseOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&o.shapes, "shape", nil, "without data: the shape of an input, `INPUT=N,N,…` (again for more)")
	fs.StringArrayVar(&o.values, "value", nil, "without data: fill an input with a number, `INPUT=X` (again for more)")
	fs.IntVar(&o.runs, "runs", 4, "without data: compare on `N` random inputs")
	fs.Uint64Var(&o.seed, "seed", 0, "without data: `NUMBER` that they follow from")
}

// source returns inputs for a network. Batches whose size is open have one example.
func (o *noiseOptions) source(n *network) (*train.Noise, error) {
	if o.runs < 1 {
		return nil, usagef("--runs is %d, want 1 or more", o.runs)
	}
	shapes, values := map[string]tensor.Shape{}, map[string]float64{}
	known := func(flag, name string) error {
		for _, in := range n.Inputs {
			if in.Name == name {
				return nil
			}
		}
		return usagef("--%s: %s has no input %q", flag, n.spec, name).withHint("its inputs are %s", inputNames(n))
	}
	for _, text := range o.shapes {
		name, value, err := splitPair("shape", text)
		if err == nil {
			err = known("shape", name)
		}
		if err != nil {
			return nil, err
		}
		if shapes[name], err = parseShape(value); err != nil {
			return nil, usagef("--shape %s: %w", name, err)
		}
	}
	for _, text := range o.values {
		name, value, err := splitPair("value", text)
		if err == nil {
			err = known("value", name)
		}
		if err != nil {
			return nil, err
		}
		if values[name], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, usagef("--value %s is %q, want a number", name, value)
		}
	}
	s := &train.Noise{Runs: o.runs, Seed: o.seed}
	for _, in := range n.Inputs {
		x := train.NoiseInput{Name: in.Name, Type: in.Type, Shape: shapes[in.Name]}
		if v, ok := values[in.Name]; ok {
			x.Value = &v
		}
		if x.Shape == nil {
			var ok bool
			if x.Shape, ok = openShape(in); !ok {
				return nil, usagef("the shape of input %q of %s is open", in.Name, n.spec).withHint("--shape %s=N,N,…; the inputs are %s", in.Name, inputNames(n))
			}
		} else if in.Shape != nil && !fits(in.Shape, x.Shape) {
			return nil, usagef("--shape %s is %v, and %s takes %s", in.Name, x.Shape, n.spec, dimsText(in.Shape))
		}
		s.Inputs = append(s.Inputs, x)
	}
	return s, nil
}

// openShape returns the shape of an input with one example, if nothing else is open.
func openShape(in graph.Input) (tensor.Shape, bool) {
	if in.Shape == nil {
		return nil, false
	}
	shape := make(tensor.Shape, len(in.Shape))
	for i, d := range in.Shape {
		switch {
		case d.Size >= 0:
			shape[i] = d.Size
		case i == 0:
			shape[i] = 1
		default:
			return nil, false
		}
	}
	return shape, true
}
