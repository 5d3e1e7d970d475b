package native

import (
	"slices"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/tensor"
)

// maxSteering bounds an input whose values a plan can be made for.
const maxSteering = 64

// specialize fixes the shapes of the inputs. Where shapes or forms of operators follow
// from the values of small inputs (a sampling rate, a size to which to resize), these are
// fixed, too, and returned in their places: the plan is then
// for these values only. So it is where a branch that is not taken does not fit the
// shapes. Where all fits, a plan serves all values.
func (p *program) specialize(shapes []tensor.Shape, inputs []engine.Array) (*graph.Specialized, []*graph.Value, error) {
	byName := map[string]tensor.Shape{}
	for i, in := range p.graph.Inputs {
		byName[in.Name] = shapes[i]
	}
	none := make([]*graph.Value, len(shapes))
	s, err := graph.Specialize(p.graph, byName, nil)
	if err == nil {
		return s, none, nil
	}
	// First integers alone, which shapes and choices are made of; then floats, such
	// as the scales of Resize.
	for _, floats := range []bool{false, true} {
		steering, constants := make([]*graph.Value, len(shapes)), map[string]*graph.Value{}
		for i, in := range p.graph.Inputs {
			if v := steerable(in, inputs[i], floats); v != nil {
				steering[i], constants[in.Name] = v, v
			}
		}
		if len(constants) == 0 {
			continue
		}
		if s, err2 := graph.Specialize(p.graph, byName, constants); err2 == nil {
			return s, steering, nil
		}
	}
	return nil, none, err
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
