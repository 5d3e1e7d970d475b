package native

import (
	"slices"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/tensor"
)

// maxSteering bounds an input whose values a plan can be made for.
const maxSteering = 64

// How much of the inputs steers a plan.
const (
	nothingSteers = iota
	integersSteer // which shapes and choices are made of
	floatsSteer   // such as the scales of Resize
)

// build makes the plan of p for inputs like these. Where that fails because shapes, forms
// of operators or the choice of a branch follow from the values of small inputs (a sampling
// rate, a size to which to resize), the plan is for these values only. Where all fits
// without, a plan serves all values.
func (p *program) build(inputs []engine.Array, m mode) (*plan, error) {
	var first error
	for level := p.steering; level <= floatsSteer; level++ {
		steering := make([]*graph.Value, len(inputs))
		steers := false
		for i, in := range p.graph.Inputs {
			if level > nothingSteers {
				steering[i] = steerable(in, inputs[i], level == floatsSteer)
				steers = steers || steering[i] != nil
			}
		}
		if level > p.steering && !steers {
			continue
		}
		l, err := p.buildFor(inputs, steering, m)
		if err == nil {
			p.steering = level
			return l, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// steerable returns an input as a constant, or nil if it is too large, or is floats and
// these are not wanted.
func steerable(in graph.Input, x engine.Array, floats bool) *graph.Value {
	n := product(x.Shape)
	t := in.Type
	if t == "" {
		t = tensor.F32
		if x.Int != nil {
			t = tensor.I64
		}
	}
	v := &graph.Value{Type: t, Shape: slices.Clone(x.Shape)}
	switch {
	case n > maxSteering:
	case t.Numeric() && floats && len(x.Float) == n:
		v.Float = make([]float64, n)
		for i, f := range x.Float {
			v.Float[i] = float64(f)
		}
		return v
	case !t.Numeric() && t != graph.Text && len(x.Int) == n:
		v.Int = append([]int64{}, x.Int...)
		return v
	}
	return nil
}

// steers reports whether x is the value for which a plan is made.
func steers(v *graph.Value, x engine.Array) bool {
	if v.Int != nil {
		return slices.Equal(v.Int, x.Int)
	}
	return slices.EqualFunc(v.Float, x.Float, func(a float64, b float32) bool { return a == float64(b) })
}

// integers returns a weight of integers that is too large to be a constant.
func (p *program) integers(t *tensor.Tensor) *graph.Value {
	if v := p.tables[t.Name]; v != nil {
		return v
	}
	v, err := graph.ValueOf(t)
	if err != nil {
		return nil
	}
	if p.tables == nil {
		p.tables = map[string]*graph.Value{}
	}
	p.tables[t.Name] = v
	return v
}

// hasText reports whether the node reads or makes text.
func (n *node) hasText() bool {
	return slices.ContainsFunc(n.in, func(o *operand) bool { return o != nil && o.dtype == graph.Text }) ||
		slices.ContainsFunc(n.out, func(s *site) bool { return s != nil && s.dtype == graph.Text })
}
