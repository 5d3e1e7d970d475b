package symmetry

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"ropewalk/graph"
	"ropewalk/tensor"
)

// ErrChanged reports that an element changed the function of a network.
var ErrChanged = errors.New("symmetry: the network's function changes")

// A Runner computes the outputs of a network, by name.
type Runner func(g *graph.Graph, inputs map[string]*graph.Value) (map[string]*graph.Value, error)

// Evaluate is the plain Runner: [graph.Evaluate], in float64.
func Evaluate(g *graph.Graph, inputs map[string]*graph.Value) (map[string]*graph.Value, error) {
	return graph.Evaluate(g, inputs, nil)
}

// VerifyOptions say how to verify. Nil and the zero value are the default.
type VerifyOptions struct {
	DeriveOptions
	// Seed chooses the element, unless one is given, and the inputs.
	Seed uint64
	// Element is what to do; nil is a random one of orders, factors that are powers
	// of 2, and signs.
	Element Element
	// Inputs are values to run on, by name; those that are missing are drawn:
	// floats from the standard normal distribution, integers from 0 and 1.
	Inputs map[string]*graph.Value
	// Run computes the network; nil is [Evaluate].
	Run Runner
	// Tolerance is how far outputs may be apart, relative to the largest of each; 0 is
	// 1e-6. What an element multiplies is rounded in the network's type, and so may be
	// what Run computes.
	Tolerance float64
}

// A Difference is how far an output of the changed network is from that of the old.
type Difference struct {
	Output string `json:"output"`
	// Largest is the largest difference, as a share of the largest output.
	Largest float64 `json:"largest"`
}

// Verify runs g and g with an element of s done to it on the same inputs. It returns
// how far the outputs are apart, and an error that wraps [ErrChanged] if they are not
// equal to rounding.
func Verify(s *Spec, g *graph.Graph, o *VerifyOptions) ([]Difference, error) {
	if o == nil {
		o = &VerifyOptions{}
	}
	e := o.Element
	if e == nil {
		var err error
		if e, err = s.Fit(g.Weights, s.Random(&RandomOptions{Seed: o.Seed, Scale: 0.7, Signs: true, Powers: true})); err != nil {
			return nil, err
		}
	}
	weights, err := Apply(s, g.Weights, e)
	if err != nil {
		return nil, err
	}
	changed := *g
	changed.Weights = weights
	return Compare(g, &changed, o)
}

// Compare runs two networks of the same inputs and outputs on the same inputs. It
// returns how far the outputs are apart, and an error that wraps [ErrChanged] if they
// are not equal to rounding. Of o it looks at the inputs, and at how to run and compare.
func Compare(before, after *graph.Graph, o *VerifyOptions) ([]Difference, error) {
	if o == nil {
		o = &VerifyOptions{}
	}
	run, tolerance := o.Run, o.Tolerance
	if run == nil {
		run = Evaluate
	}
	if tolerance == 0 {
		tolerance = 1e-6
	}
	inputs := o.inputs(before)
	x, err := run(before, inputs)
	if err != nil {
		return nil, err
	}
	y, err := run(after, inputs)
	if err != nil {
		return nil, err
	}
	return compare(before.Outputs, x, y, tolerance)
}

// Tells reports whether outputs can show a change: those that are all zero, or not
// finite, are equal to others that are.
func Tells(out map[string]*graph.Value) bool {
	for _, v := range out {
		for _, x := range v.Float {
			if x != 0 && x-x == 0 {
				return true
			}
		}
		for _, x := range v.Int {
			if x != 0 {
				return true
			}
		}
	}
	return false
}

func compare(names []string, before, after map[string]*graph.Value, tolerance float64) ([]Difference, error) {
	var out []Difference
	var bad error
	for _, name := range names {
		a, b := before[name], after[name]
		if a == nil || b == nil || !a.Shape.Equal(b.Shape) {
			return out, fmt.Errorf("%w: output %q has another shape, or is not there", ErrChanged, name)
		}
		d := Difference{Output: name}
		largest := 0.0
		for _, x := range a.Float {
			largest = max(largest, math.Abs(x))
		}
		for i, x := range a.Float {
			diff := math.Abs(x-b.Float[i]) / max(largest, math.SmallestNonzeroFloat64)
			if x == b.Float[i] || x != x && b.Float[i] != b.Float[i] {
				diff = 0
			}
			if !(diff <= d.Largest) {
				d.Largest = diff
			}
		}
		if !slices.Equal(a.Int, b.Int) {
			d.Largest = math.Inf(1)
		}
		if !(d.Largest <= tolerance) && bad == nil {
			bad = fmt.Errorf("%w: output %q differs by %.3g of its largest number, want at most %.3g", ErrChanged, name, d.Largest, tolerance)
		}
		out = append(out, d)
	}
	return out, bad
}

// inputs returns a value for each input.
func (o *VerifyOptions) inputs(g *graph.Graph) map[string]*graph.Value {
	out := map[string]*graph.Value{}
	r := rand.New(rand.NewPCG(o.Seed, 0x3c6ef372fe94f82b))
	shapes := inputShapes(g, &o.DeriveOptions)
	for _, in := range g.Inputs {
		switch {
		case o.Inputs[in.Name] != nil:
			out[in.Name] = o.Inputs[in.Name]
			continue
		case o.Constants[in.Name] != nil:
			out[in.Name] = o.Constants[in.Name]
			continue
		}
		t := in.Type
		if t == "" {
			t = tensor.F32
		}
		v := &graph.Value{Type: t, Shape: shapes[in.Name]}
		n, _ := v.Shape.Elems()
		for range n {
			if t.IsFloat() {
				v.Float = append(v.Float, r.NormFloat64())
			} else {
				v.Int = append(v.Int, r.Int64N(2))
			}
		}
		out[in.Name] = v
	}
	return out
}
